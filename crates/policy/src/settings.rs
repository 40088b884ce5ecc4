//! Settings: the raw shape of a TOML file, then what it states, checked.
//!
//! An unknown key, a wrong type or an impossible value refuses the whole file
//! and names file, line and key.

mod approvals;
mod credentials;
mod network;
mod review;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::approvals::ApprovalsSaid;
use crate::credentials::CredentialSaid;
use crate::error::{PolicyError, nearest};
use crate::filesystem::{Access, Place, Reading, protected_name};
use crate::layers::{Decision, Force, Said, Voice};
use crate::limits::{LimitsSaid, LimitsText};
use crate::review::ReviewSaid;
use crate::tiers::Tier;
use crate::writing::Git;
use approvals::ApprovalsText;
use credentials::CredentialText;
use network::NetworkText;
pub(crate) use network::{NetworkSaid, method};
use review::ReviewText;

/// When events reach the disk, weakest promise first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sync {
    /// Together, shortly after they were written; refusals and answers at once.
    Group,
    /// Each before what it permits happens.
    Always,
}

/// Everything that one text, or one profile in it, states.
#[derive(Debug, Default)]
pub(crate) struct Stated {
    pub(crate) workspace: Option<Said<Access>>,
    pub(crate) write: Vec<Said<PathBuf>>,
    pub(crate) hide: Vec<Said<PathBuf>>,
    pub(crate) protect: Vec<Said<PathBuf>>,
    pub(crate) git: Option<Said<Git>>,
    pub(crate) read: Option<Said<Reading>>,
    pub(crate) environment: Vec<Said<String>>,
    pub(crate) tiers: Option<Said<BTreeSet<Tier>>>,
    pub(crate) network: NetworkSaid,
    pub(crate) credentials: Vec<Said<CredentialSaid>>,
    pub(crate) commands: Option<Said<Decision>>,
    pub(crate) tools: Option<Said<Decision>>,
    pub(crate) approvals: ApprovalsSaid,
    pub(crate) review: ReviewSaid,
    pub(crate) sync: Option<Said<Sync>>,
    pub(crate) limits: LimitsSaid,
}

/// The raw shape of a settings file, and of a profile in it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettingsText {
    pub(crate) extends: Option<Spanned<String>>,
    sandbox: SandboxText,
    network: NetworkText,
    credentials: BTreeMap<Spanned<String>, CredentialText>,
    commands: CommandsText,
    tools: ToolsText,
    approvals: ApprovalsText,
    review: ReviewText,
    record: RecordText,
    limits: LimitsText,
    pub(crate) profiles: BTreeMap<Spanned<String>, SettingsText>,
}

type Texts = Option<Spanned<Vec<Spanned<String>>>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SandboxText {
    workspace: Option<Spanned<String>>,
    write: Texts,
    hide: Texts,
    protect: Texts,
    git: Option<Spanned<String>>,
    read: Option<Spanned<String>>,
    environment: Texts,
    tiers: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CommandsText {
    default: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ToolsText {
    default: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RecordText {
    sync: Option<Spanned<String>>,
}

/// A text with its name, to say where something stands in it.
#[derive(Debug)]
pub(crate) struct Source<'t> {
    pub(crate) file: &'t str,
    text: &'t str,
    /// Where each line but the first begins.
    lines: Vec<usize>,
}

impl SettingsText {
    /// Parses a whole file. What stands in it is checked by [`state`](Self::state).
    pub(crate) fn parse(source: &Source<'_>) -> Result<Self, PolicyError> {
        let settings: Self = toml::from_str(source.text).map_err(|error| source.explain(&error))?;
        if let Some(extends) = &settings.extends {
            return Err(source.wrong("extends", extends.span(), "only a profile extends another"));
        }
        for (name, profile) in &settings.profiles {
            if let Some(inner) = profile.profiles.keys().next() {
                let key = format!("profiles.{}.profiles", name.get_ref());
                return Err(source.wrong(
                    &key,
                    inner.span(),
                    "a profile has no profiles of its own",
                ));
            }
        }
        Ok(settings)
    }

    /// Checks what is said here, outside the profiles, and lets `voice` say it.
    pub(crate) fn state(
        &self,
        source: &Source<'_>,
        voice: &Voice,
        place: &Place,
    ) -> Result<Stated, PolicyError> {
        let speaker = Speaker { source, voice, place };
        let Self { sandbox, commands, tools, approvals, review, record, limits, .. } = self;
        speaker.widens("sandbox.write", &sandbox.write)?;
        speaker.widens("sandbox.environment", &sandbox.environment)?;
        let decides = [
            ("allow", Decision::Allow),
            ("prompt", Decision::Ask),
            ("forbidden", Decision::Refuse),
        ];
        let access = [("write", Access::Write), ("read", Access::Read)];
        let gits = [("manage", Git::Manage), ("commit", Git::Commit), ("read", Git::Read)];
        let syncs = [("group", Sync::Group), ("always", Sync::Always)];
        Ok(Stated {
            workspace: speaker.choice("sandbox.workspace", &sandbox.workspace, &access)?,
            write: speaker.paths("sandbox.write", &sandbox.write)?,
            hide: speaker.paths("sandbox.hide", &sandbox.hide)?,
            protect: speaker.list("sandbox.protect", &sandbox.protect, protected_name)?,
            read: speaker.choice(
                "sandbox.read",
                &sandbox.read,
                &[("open", Reading::Open), ("hide", Reading::Hide)],
            )?,
            git: speaker.choice("sandbox.git", &sandbox.git, &gits)?,
            environment: speaker.names("sandbox.environment", &sandbox.environment)?,
            tiers: speaker.tiers("sandbox.tiers", &sandbox.tiers)?,
            network: self.network.state(&speaker)?,
            credentials: self.credentials(&speaker)?,
            commands: speaker.choice("commands.default", &commands.default, &decides)?,
            tools: speaker.choice("tools.default", &tools.default, &decides)?,
            approvals: approvals.state(&speaker)?,
            review: review.state(&speaker)?,
            sync: speaker.choice("record.sync", &record.sync, &syncs)?,
            limits: limits.state(&speaker)?,
        })
    }

    fn credentials(&self, speaker: &Speaker<'_>) -> Result<Vec<Said<CredentialSaid>>, PolicyError> {
        let stated = self.credentials.iter().map(|(name, text)| {
            let key = format!("credentials.{}", name.get_ref());
            speaker.widens(&key, &Some(name.clone()))?;
            text.state(speaker, name)
        });
        stated.collect()
    }
}

/// Turns raw values into statements of one voice.
pub(crate) struct Speaker<'t> {
    source: &'t Source<'t>,
    voice: &'t Voice,
    place: &'t Place,
}

impl Speaker<'_> {
    pub(crate) fn single<T>(
        &self,
        key: &str,
        text: &Option<Spanned<String>>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<Said<T>>, PolicyError> {
        self.raw(key, text, |text| read(text))
    }

    /// A single value of any type that TOML has.
    pub(crate) fn raw<R: Debug, T>(
        &self,
        key: &str,
        raw: &Option<Spanned<R>>,
        read: impl FnOnce(&R) -> Result<T, String>,
    ) -> Result<Option<Said<T>>, PolicyError> {
        let Some(raw) = raw else { return Ok(None) };
        let value =
            read(raw.get_ref()).map_err(|reason| self.source.wrong(key, raw.span(), reason))?;
        let rule = format!("{key} = {:?}", raw.get_ref());
        Ok(Some(self.voice.says(value, rule, self.source.line(raw.span()))))
    }

    fn choice<T: Copy>(
        &self,
        key: &str,
        text: &Option<Spanned<String>>,
        choices: &[(&str, T)],
    ) -> Result<Option<Said<T>>, PolicyError> {
        self.single(key, text, |text| {
            let chosen = choices.iter().find(|(word, _)| *word == text);
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
            let reason = || format!("it is {}, not `{text}`", words.join(" or "));
            chosen.map(|(_, value)| *value).ok_or_else(reason)
        })
    }

    fn list<T>(
        &self,
        key: &str,
        texts: &Texts,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<Said<T>>, PolicyError> {
        let said = texts.iter().flat_map(Spanned::get_ref).map(|text| {
            let value =
                read(text.get_ref()).map_err(|why| self.source.wrong(key, text.span(), why))?;
            let rule = crate::show::line(&format!("{key} {:?}", text.get_ref()));
            Ok(self.voice.says(value, rule, self.source.line(text.span())))
        });
        said.collect()
    }

    /// The values of a list, if there is one. An empty one would say the opposite
    /// of what it looks like.
    fn listed<T>(
        &self,
        key: &str,
        texts: &Texts,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, PolicyError> {
        let Some(list) = texts else { return Ok(None) };
        let said = self.list(key, texts, read)?;
        match said.is_empty() {
            true => Err(self.wrong(key, list.span(), "an empty list says nothing; leave it out")),
            false => Ok(Some(said.into_iter().map(|said| said.value).collect())),
        }
    }

    fn says<T>(&self, value: T, rule: String, span: Range<usize>) -> Said<T> {
        self.voice.says(value, crate::show::line(&rule), self.source.line(span))
    }

    fn wrong(&self, key: &str, span: Range<usize>, reason: impl Display) -> PolicyError {
        self.source.wrong(key, span, reason)
    }

    fn paths(&self, key: &str, texts: &Texts) -> Result<Vec<Said<PathBuf>>, PolicyError> {
        self.list(key, texts, |text| {
            self.place.resolve(text).map_err(|why| format!("`{text}`: {why}"))
        })
    }

    fn names(&self, key: &str, texts: &Texts) -> Result<Vec<Said<String>>, PolicyError> {
        self.list(key, texts, |text| {
            crate::environment::Environment::check(text).map(|()| text.to_owned())
        })
    }

    /// One statement for the whole list, for an empty list says something too.
    fn tiers(&self, key: &str, texts: &Texts) -> Result<Option<Said<BTreeSet<Tier>>>, PolicyError> {
        let Some(list) = texts else { return Ok(None) };
        let named = self.list(key, texts, Tier::parse)?;
        let tiers: BTreeSet<Tier> = named.into_iter().map(|said| said.value).collect();
        let names: Vec<_> = tiers.iter().map(|tier| format!("{:?}", tier.name())).collect();
        let rule = format!("{key} = [{}]", names.join(", "));
        Ok(Some(self.voice.says(tiers, rule, self.source.line(list.span()))))
    }

    /// Refuses a key that only allows, if the voice may only narrow.
    fn widens<R>(&self, key: &str, raw: &Option<Spanned<R>>) -> Result<(), PolicyError> {
        match raw {
            Some(raw) if self.voice.force == Force::Allegation => Err(PolicyError::Widens {
                file: self.source.file.to_owned(),
                line: self.source.line(raw.span()),
                key: key.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// A number and `s`, `m` or `h`: from one second to a day.
fn duration(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Some(seconds @ 1..=86400) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(format!("`{text}` is not between `1s` and `24h`")),
        None => Err(format!("`{text}` is not a duration such as `30s`, `5m` or `1h`")),
    }
}

/// A number and `s`, `m` or `h`, in seconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    ["s", "m", "h"].iter().zip([1, 60, 3600]).find_map(|(unit, seconds)| {
        let number = text.strip_suffix(unit)?;
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(seconds)
    })
}

impl<'t> Source<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        let lines = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { file, text, lines }
    }

    /// The line where a span of the text begins, counted from 1.
    pub(crate) fn line(&self, span: Range<usize>) -> u32 {
        let before = self.lines.partition_point(|begin| *begin <= span.start);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn wrong(&self, key: &str, span: Range<usize>, reason: impl Display) -> PolicyError {
        PolicyError::Value {
            file: self.file.to_owned(),
            line: self.line(span),
            key: key.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// What the TOML reader means, with the key in full.
    fn explain(&self, error: &toml::de::Error) -> PolicyError {
        let span = error.span().unwrap_or(0..0);
        let (file, line) = (self.file.to_owned(), self.line(span.clone()));
        let message = error.message();
        let key = DeTable::parse(self.text)
            .ok()
            .and_then(|table| key_at(table.get_ref(), span.start))
            .map(|keys| keys.join("."));
        let mut quoted = message.split('`').skip(1).step_by(2);
        match (key, quoted.next()) {
            (key, Some(unknown)) if message.starts_with("unknown field") => {
                let likely = nearest(unknown, quoted).map(str::to_owned);
                let key =
                    key.filter(|key| key.ends_with(unknown)).unwrap_or_else(|| unknown.to_owned());
                PolicyError::UnknownKey { file, line, key, likely }
            }
            (Some(key), _) => PolicyError::Value { file, line, key, reason: message.to_owned() },
            (None, _) => PolicyError::NotToml { file, line, reason: message.to_owned() },
        }
    }
}

/// The keys that lead to what stands at `offset`, outermost first.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref().to_string();
        if key.span().contains(&offset) {
            return Some(vec![name]);
        }
        let inner = match value.get_ref() {
            DeValue::Table(table) => key_at(table, offset),
            DeValue::Array(values) => values.iter().find_map(|value| match value.get_ref() {
                DeValue::Table(table) => key_at(table, offset),
                _ => None,
            }),
            _ => None,
        };
        match inner {
            Some(inner) => Some([vec![name], inner].concat()),
            None => value.span().contains(&offset).then(|| vec![name]),
        }
    })
}
