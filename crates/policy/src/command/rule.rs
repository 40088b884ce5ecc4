//! One rule about commands.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::Names;
use super::options::Sure;
use super::prefix::Prefix;
use super::shape::Shape;
use crate::attempt::Exec;
use crate::filesystem::Place;
use crate::knowledge;
use crate::layers::Decision;
use crate::paths::{FilePattern, Spelling};

/// What a rule says about which commands.
#[derive(Clone, Debug)]
pub(crate) struct CommandRule {
    pub(crate) decision: Decision,
    pub(crate) which: Which,
    /// Working directories; anywhere if there are none.
    pub(crate) directories: Vec<FilePattern>,
    /// The profile that the command runs under, if another than the session's.
    pub(crate) place: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Which {
    Prefix(Prefix),
    Shape(Shape),
}

impl Which {
    /// Bare names or paths; never empty.
    pub(crate) fn programs(&self) -> &[String] {
        match self {
            Which::Prefix(prefix) => prefix.programs(),
            Which::Shape(shape) => &shape.programs,
        }
    }

    /// Whether it is about everything that the programs do.
    pub(super) fn is_whole_program(&self) -> bool {
        match self {
            Which::Prefix(prefix) => prefix.is_whole_program(),
            Which::Shape(shape) => {
                *shape == Shape { programs: shape.programs.clone(), ..Shape::default() }
            }
        }
    }

    fn matches(&self, exec: &Exec, sure: Sure) -> bool {
        match self {
            Which::Prefix(prefix) => prefix.arguments_match(exec.argv.get(1..).unwrap_or_default()),
            Which::Shape(shape) => shape.matches(exec, sure),
        }
    }

    pub(super) fn names(&self, variable: &OsStr) -> bool {
        matches!(self, Which::Shape(shape) if shape.names(variable))
    }
}

impl CommandRule {
    /// How sure it has to be that it is about a command.
    pub(crate) fn sure(&self) -> Sure {
        match self.decision {
            Decision::Allow => Sure::Certain,
            Decision::Ask | Decision::Refuse => Sure::Possible,
        }
    }

    /// Whether it is about this command, of whose program it is known that one of
    /// its names is among this rule's.
    pub(super) fn applies(&self, exec: &Exec) -> bool {
        let sure = self.sure();
        self.which.matches(exec, sure) && self.is_in_a_directory(&exec.cwd, sure) && {
            // A variable can make a program run another; a permission that did not
            // think of it is not for this.
            let unforeseen = |name: &OsStr| !self.which.names(name);
            sure == Sure::Possible || !knowledge::is_poisoned(exec, unforeseen)
        }
    }

    fn is_in_a_directory(&self, cwd: &Path, sure: Sure) -> bool {
        let spelling = match sure {
            Sure::Certain => Spelling::Exact,
            Sure::Possible => Spelling::Folded,
        };
        let unknown = !cwd.is_absolute() && sure == Sure::Possible;
        self.directories.is_empty()
            || unknown
            || self.directories.iter().any(|pattern| pattern.matches(cwd, spelling))
    }

    /// Whether it is about this argument vector, in a directory and with variables
    /// and a standard input as it says. For the examples of a rule file.
    pub(crate) fn is_about(&self, argv: &[String], place: &Place) -> bool {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        let path = PathBuf::from(argv.first().cloned().unwrap_or_default());
        let exec = Exec { path, argv, cwd: place.workspace.clone(), ..Exec::default() };
        let names = Names::of(&exec);
        let named = |program: &String| match program.contains('/') {
            true => names.paths().any(|path| path == Path::new(program)),
            false => names.any().any(|name| name == program.as_bytes()),
        };
        let arguments = match &self.which {
            Which::Prefix(prefix) => prefix.arguments_match(exec.argv.get(1..).unwrap_or_default()),
            Which::Shape(shape) => shape.arguments_match(&exec.argv, self.sure()),
        };
        self.which.programs().iter().any(named) && arguments
    }
}

impl fmt::Display for CommandRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Prefix(prefix) => write!(f, "{prefix}")?,
            Which::Shape(shape) => write!(f, "{shape}")?,
        }
        let mut directories = self.directories.iter();
        if let Some(first) = directories.next() {
            write!(f, " in {first}")?;
        }
        directories.try_for_each(|other| write!(f, " or {other}"))
    }
}
