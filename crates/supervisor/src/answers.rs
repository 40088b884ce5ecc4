//! The yeses for projects: `rules/answers.rules` among the person's own policy.
//!
//! It is a rule file like any other, in which each rule has a line before it that
//! says its number, its last day and its project:
//!
//! ```text
//! # answer 3 until 2026-12-21 in "/home/alice/shop"
//! prefix_rule(
//!     pattern = ["/usr/bin/git", "fetch"],
//!     …
//! )
//! ```
//!
//! What is over, or for another project, is not read as policy. A rule without such
//! a line refuses: it would hold everywhere and for ever. The file is hidden inside
//! the boundary, as all of the person's policy is.

mod entries;
mod file;

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use remit_policy::{Layer, PolicyError, PolicyText, TextKind};

use crate::files::{self, LoadError, Places};
pub use entries::Entry;
pub(crate) use entries::in_force;

/// Its name in the directory of the user's rules.
pub(crate) const NAME: &str = "answers.rules";

/// The answers of one person.
#[derive(Clone, Debug)]
pub struct Answers {
    path: PathBuf,
}

/// A yes to be written.
#[derive(Clone, Debug)]
pub(crate) struct NewAnswer {
    pub(crate) workspace: PathBuf,
    /// Its last day.
    pub(crate) until: Date,
    /// The rule, with its line end and without an empty line.
    pub(crate) rule: String,
}

/// Why answers could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    #[error("the session has no place for it yet")]
    NoPlace,
    #[error("cannot {doing} `{}`", path.display())]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot read `{}` line {line}: {why}", path.display())]
    Entry { path: PathBuf, line: usize, why: String },
    #[error("the project `{}` has a name that is not text", .0.display())]
    NotText(PathBuf),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the rule does not fit the policy")]
    Policy(#[source] PolicyError),
    #[error("the rule would not settle it, because a stricter one is about it")]
    SettlesNothing,
    #[error("there is no answer {0}; `remit approvals rules` lists them")]
    Unknown(u32),
}

impl Answers {
    pub fn of(places: &Places) -> Self {
        Self { path: places.config.join("rules").join(NAME) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of them, whatever their project and last day, in order of the file.
    pub fn entries(&self) -> Result<Vec<Entry>, AnswersError> {
        let text = file::read(&self.path)?;
        entries::parse(&text).map_err(|(line, why)| self.wrong(line, why))
    }

    /// Writes one more, under the next number, if `check` accepts the file as it
    /// will be. Those that are over are left out.
    pub(crate) fn add(
        &self,
        new: &NewAnswer,
        today: Date,
        check: impl FnOnce(&str) -> Result<(), AnswersError>,
    ) -> Result<u32, AnswersError> {
        let workspace = new.workspace.to_str();
        let workspace = workspace.ok_or_else(|| AnswersError::NotText(new.workspace.clone()))?;
        file::change(&self.path, |text| {
            let kept = entries::parse(text).map_err(|(line, why)| self.wrong(line, why))?;
            let number = kept.iter().map(|entry| entry.number).max().unwrap_or(0).saturating_add(1);
            let over = kept.iter().filter(|entry| entry.until < today);
            let mut text = entries::without(text, &over.map(|it| it.number).collect::<Vec<_>>());
            text.push_str(&entries::written(number, new.until, workspace, &new.rule));
            check(&text)?;
            Ok((text, number))
        })
    }

    /// Takes one back.
    pub fn forget(&self, number: u32) -> Result<Entry, AnswersError> {
        file::change(&self.path, |text| {
            let mut kept = entries::parse(text).map_err(|(line, why)| self.wrong(line, why))?;
            let at = kept.iter().position(|entry| entry.number == number);
            let gone = kept.swap_remove(at.ok_or(AnswersError::Unknown(number))?);
            Ok((entries::without(text, &[number]), gone))
        })
    }

    /// Everything that is policy in this project, with this text in the file's place.
    pub(crate) fn beside_others(
        &self,
        places: &Places,
        workspace: &Path,
        today: Date,
        text: &str,
    ) -> Result<Vec<PolicyText>, AnswersError> {
        let text = in_force(text, workspace, today).map_err(|(line, why)| self.wrong(line, why))?;
        let file = remit_policy::show::line(&self.path.to_string_lossy());
        let mut texts = files::load(places, workspace)?.texts;
        texts.retain(|other| other.file != file);
        texts.push(PolicyText { layer: Layer::User, kind: TextKind::Rules, file, text });
        Ok(texts)
    }

    fn wrong(&self, line: usize, why: String) -> AnswersError {
        AnswersError::Entry { path: self.path.clone(), line, why }
    }
}
