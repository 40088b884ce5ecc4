//! Texts in, what they say out, with everything that is wrong with them.

use std::collections::BTreeSet;

use crate::basis::Layer;
use crate::day::Day;
use crate::error::PolicyError;
use crate::filesystem::Place;
use crate::layers::Voice;
use crate::policy::{PolicyText, TextKind};
use crate::profiles::Profiles;
use crate::rules::{self, RulesSaid};
use crate::settings::{SettingsText, Source, Stated};

/// What all texts say, each checked by itself.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) profiles: Profiles,
    /// What is said outside profiles, in order of preference: the user's, then the
    /// system's.
    pub(crate) general: Vec<Stated>,
    pub(crate) rules: RulesSaid,
    /// Of a settings file the first, of a rule file all that could be found.
    pub(crate) problems: Vec<PolicyError>,
}

impl Loaded {
    /// Reads every text, whatever is wrong with another.
    pub(crate) fn read(texts: &[PolicyText], place: &Place, today: Option<Day>) -> Self {
        let mut problems: Vec<_> = place.check().err().into_iter().collect();
        let profiles = Profiles::built_in().expect("the built-in profiles are tested");
        let mut loaded = Self {
            profiles,
            general: Vec::new(),
            rules: RulesSaid::default(),
            problems: Vec::new(),
        };
        let mut general = Vec::new();
        for text in texts.iter().filter(|text| text.kind == TextKind::Settings) {
            match loaded.settings(text, place) {
                Ok(stated) => general.push((text.layer, stated)),
                Err(problem) => problems.push(problem),
            }
        }
        general.sort_by_key(|(layer, _)| match layer {
            Layer::User => 0,
            Layer::System | Layer::Answer => 1,
            Layer::BuiltIn | Layer::Project => 2,
        });
        loaded.general = general.into_iter().map(|(_, stated)| stated).collect();
        let names: BTreeSet<String> = loaded.profiles.names().map(str::to_owned).collect();
        let profiles = problems.is_empty().then_some(&names);
        let reading = rules::Reading { place, profiles, today };
        for text in texts.iter().filter(|text| text.kind == TextKind::Rules) {
            let voice = Voice::of(text.layer, &text.file);
            rules::read(&mut loaded.rules, &mut problems, &voice, &text.file, &text.text, reading);
        }
        loaded.problems = problems;
        loaded
    }

    fn settings(&mut self, text: &PolicyText, place: &Place) -> Result<Stated, PolicyError> {
        let voice = Voice::of(text.layer, &text.file);
        let source = Source::new(&text.file, &text.text);
        let settings = SettingsText::parse(&source)?;
        let stated = settings.state(&source, &voice, place)?;
        self.profiles.add(settings, &source, &voice, place)?;
        Ok(stated)
    }
}
