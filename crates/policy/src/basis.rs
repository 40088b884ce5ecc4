//! Why a verdict came out as it did: the rule, the layer that set it, the line.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a policy statement came from, weakest voice first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The profile that ships with the program, and what an agent's adapter adds.
    BuiltIn,
    /// `.remit/` in the workspace. It can only narrow.
    Project,
    /// `~/.config/remit/`.
    User,
    /// `/etc/remit/`.
    System,
    /// A person's or reviewer's answer to a question.
    Answer,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::BuiltIn => "built-in",
            Layer::Project => "project",
            Layer::User => "user",
            Layer::System => "system",
            Layer::Answer => "answer",
        })
    }
}

/// A place in a policy text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file as the person would name it.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
}

/// What decided. Every verdict has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The rule in its own words, such as `forbidden git push` or
    /// `network.default = "ask"`.
    pub rule: String,
    pub layer: Layer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The author's reason, if the rule gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
}

impl Basis {
    /// A basis within the program itself, without a file.
    pub fn built_in(rule: impl Into<String>) -> Self {
        Self { rule: rule.into(), layer: Layer::BuiltIn, origin: None, justification: None }
    }

    /// A yes given earlier in this session, which covers the same again.
    pub(crate) fn granted() -> Self {
        Self::answered("allowed for this session")
    }

    /// What somebody answered, in words.
    pub(crate) fn answered(rule: impl Into<String>) -> Self {
        Self { layer: Layer::Answer, ..Self::built_in(rule) }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}", self.rule, self.layer)?;
        if let Some(origin) = &self.origin {
            write!(f, ", {} line {}", origin.file, origin.line)?;
        }
        write!(f, ")")
    }
}
