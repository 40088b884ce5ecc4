//! What a `command_rule` names: programs, a subcommand, flags, variables.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use super::options::{self, Flag, Sure};
use super::prefix::alternatives;
use super::script;
use crate::attempt::Exec;

/// A command by what stands in it, wherever it stands. Everything that is given
/// narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bare names or paths; never empty.
    pub(crate) programs: Vec<String>,
    pub(crate) subcommand: Vec<Vec<String>>,
    /// One of these, if there are any.
    pub(crate) any_flags: Vec<Flag>,
    /// Each of these.
    pub(crate) all_flags: Vec<Flag>,
    pub(crate) variables: Vec<Variable>,
    /// Whether the script that it runs is on standard input.
    pub(crate) stdin_is_script: Option<bool>,
}

/// A variable that is set: `NAME`, or `NAME=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    value: Option<String>,
}

impl Variable {
    /// Parses it. The error says what it looks like.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("`{text}` is neither `NAME` nor `NAME=value`"));
        }
        Ok(Self { name: name.to_owned(), value })
    }

    fn is(&self, (name, value): &(OsString, OsString)) -> bool {
        OsStr::new(&self.name) == name
            && self.value.as_ref().is_none_or(|wanted| OsStr::new(wanted) == value)
    }
}

impl Shape {
    /// Whether arguments, variables and standard input are as it says.
    pub(crate) fn matches(&self, exec: &Exec, sure: Sure) -> bool {
        let script = || match (self.stdin_is_script, script::is_on_stdin(exec)) {
            (None, _) => true,
            (Some(wanted), Some(is)) => wanted == is,
            (Some(_), None) => sure == Sure::Possible,
        };
        let set = |variable: &Variable| exec.environment.iter().any(|pair| variable.is(pair));
        self.arguments_match(&exec.argv, sure) && self.variables.iter().all(set) && script()
    }

    /// The same of the arguments alone.
    pub(crate) fn arguments_match(&self, argv: &[OsString], sure: Sure) -> bool {
        let arguments = argv.get(1..).unwrap_or_default();
        let named: Vec<_> = self.any_flags.iter().chain(&self.all_flags).cloned().collect();
        let among = |flag: &Flag| flag.is_among(arguments, sure, &named);
        options::has_subcommand(&self.programs, &self.subcommand, arguments, sure)
            && (self.any_flags.is_empty() || self.any_flags.iter().any(among))
            && self.all_flags.iter().all(among)
    }

    /// Whether it names this variable, so that it was thought of.
    pub(crate) fn names(&self, variable: &OsStr) -> bool {
        self.variables.iter().any(|named| named.name.as_bytes() == variable.as_bytes())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alternatives(std::slice::from_ref(&self.programs)))?;
        if !self.subcommand.is_empty() {
            write!(f, " {}", alternatives(&self.subcommand))?;
        }
        for flag in &self.all_flags {
            write!(f, " {}", flag.text())?;
        }
        let any: Vec<_> = self.any_flags.iter().map(Flag::text).collect();
        if !any.is_empty() {
            write!(f, " with {}", any.join(" or "))?;
        }
        for variable in &self.variables {
            write!(f, " with {}", variable.name)?;
        }
        match self.stdin_is_script {
            Some(true) => f.write_str(" with its script on stdin"),
            Some(false) => f.write_str(" without a script on stdin"),
            None => Ok(()),
        }
    }
}
