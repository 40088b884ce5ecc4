//! What is known about programs: which only read, which arguments stop them doing
//! only that, which are dangerous, and why.
//!
//! It is for fewer and better questions. It contains nothing; that is the
//! boundary's work.

use std::ffi::OsStr;

use serde::{Deserialize, Serialize};

use crate::attempt::Exec;
use crate::basis::Basis;
use crate::filesystem::Place;
use crate::layers::Force;

/// How bad it would be, were it not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Worth saying, not worth asking.
    Low,
    /// Asked, unless a rule of the user's or the system's allows it.
    Medium,
    /// Asked of a person, unless a requirement of the system's allows it.
    High,
}

/// Something known about one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The risk class, in words joined by hyphens: `recursive-deletion`.
    pub class: String,
    pub risk: Risk,
    /// One sentence for a person.
    pub reason: String,
    /// Whether what it does can be taken back afterwards, and how; absent where
    /// nobody knows.
    pub undo: Option<String>,
}

impl Finding {
    /// Whether it is asked about although a statement of this force allows it in
    /// particular.
    pub(crate) fn asks_although(&self, allowed_by: Option<Force>) -> bool {
        match self.risk {
            Risk::Low => false,
            Risk::Medium => allowed_by < Some(Force::Choice),
            Risk::High => allowed_by < Some(Force::Requirement),
        }
    }

    pub(crate) fn basis(&self) -> Basis {
        let mut basis = Basis::built_in(format!("commands: {}", self.class));
        basis.justification = Some(self.reason.clone());
        basis
    }
}

/// What is known about an attempt, gravest first.
pub(crate) fn findings(_: &Exec, _: &Place) -> Vec<Finding> {
    Vec::new()
}

/// Whether it is known to change nothing, start nothing else and reach nothing,
/// with these arguments and variables.
pub(crate) fn reads_only(_: &Exec) -> bool {
    false
}

/// Whether a variable of this name changes what some program does, so that it
/// belongs to the verdict.
pub fn is_telling(_: &OsStr) -> bool {
    false
}
