//! Which profile is in force, and what it extends.

use std::collections::BTreeMap;

use crate::basis::Layer;
use crate::error::{PolicyError, nearest};
use crate::filesystem::Place;
use crate::layers::{Force, Voice};
use crate::settings::{SettingsText, Source, Stated};

/// The profiles that ship with the program. `default` is extended by all others.
pub(crate) const BUILT_IN: [(&str, &str); 3] = [
    ("default", include_str!("profiles/default.toml")),
    ("offline", include_str!("profiles/offline.toml")),
    ("read-only", include_str!("profiles/read-only.toml")),
];

/// Every profile that can be asked for, by name.
#[derive(Debug)]
pub(crate) struct Profiles(BTreeMap<String, Profile>);

#[derive(Debug)]
struct Profile {
    stated: Stated,
    /// None for `default` alone.
    extends: Option<String>,
    /// Where it is defined, for errors.
    file: String,
    line: u32,
}

impl Profiles {
    pub(crate) fn built_in() -> Result<Self, PolicyError> {
        let nowhere = Place { home: "/".into(), workspace: "/".into() };
        let mut profiles = BTreeMap::new();
        for (name, text) in BUILT_IN {
            let file = format!("built-in profile {name}");
            let source = Source::new(&file, text);
            let (voice, extends) = match name {
                "default" => (Voice::of(Layer::BuiltIn, &file), None),
                _ => (Voice::of(Layer::BuiltIn, &file).in_profile(), Some("default".to_owned())),
            };
            let stated = SettingsText::parse(&source)?.state(&source, &voice, &nowhere)?;
            profiles.insert(name.to_owned(), Profile { stated, extends, file, line: 1 });
        }
        Ok(Self(profiles))
    }

    /// Adds the profiles that a file defines. All are checked, chosen or not.
    pub(crate) fn add(
        &mut self,
        settings: SettingsText,
        source: &Source<'_>,
        voice: &Voice,
        place: &Place,
    ) -> Result<(), PolicyError> {
        for (name, text) in settings.profiles {
            let (file, line) = (source.file.to_owned(), source.line(name.span()));
            let key = format!("profiles.{}", name.get_ref());
            if voice.force == Force::Allegation {
                return Err(PolicyError::Widens { file, line, key });
            }
            if let Some(other) = self.0.get(name.get_ref()) {
                let reason = format!("that name is taken by `{}` line {}", other.file, other.line);
                return Err(PolicyError::Value { file, line, key, reason });
            }
            let stated = text.state(source, &voice.clone().in_profile(), place)?;
            let extends =
                text.extends.map_or_else(|| "default".to_owned(), |name| name.into_inner());
            self.0
                .insert(name.into_inner(), Profile { stated, extends: Some(extends), file, line });
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What the profile and those it extends state, nearest first, and what
    /// `default` states.
    pub(crate) fn choose(mut self, name: &str) -> Result<(Vec<Stated>, Stated), PolicyError> {
        self.check_chains()?;
        let known = self.known();
        let unknown = || PolicyError::NoProfile { name: name.to_owned(), known: known.clone() };
        let mut chain = Vec::new();
        let mut next = name.to_owned();
        loop {
            let profile = self.0.remove(&next).ok_or_else(unknown)?;
            match profile.extends {
                Some(extends) => next = extends,
                None => return Ok((chain, profile.stated)),
            }
            chain.push(profile.stated);
        }
    }

    /// Every profile, chosen or not, leads to `default`.
    fn check_chains(&self) -> Result<(), PolicyError> {
        for (name, profile) in &self.0 {
            let wrong = |reason| PolicyError::Value {
                file: profile.file.clone(),
                line: profile.line,
                key: format!("profiles.{name}.extends"),
                reason,
            };
            let mut steps = 0;
            let mut at = profile;
            while let Some(extends) = &at.extends {
                let Some(next) = self.0.get(extends) else {
                    let likely = nearest(extends, self.0.keys().map(String::as_str));
                    let hint = likely
                        .map_or_else(|| self.known(), |name| format!("did you mean `{name}`?"));
                    return Err(wrong(format!("no profile is called `{extends}`; {hint}")));
                };
                steps += 1;
                if steps > self.0.len() {
                    return Err(wrong(format!("`{name}` extends itself by way of `{extends}`")));
                }
                at = next;
            }
        }
        Ok(())
    }

    fn known(&self) -> String {
        self.0.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }
}
