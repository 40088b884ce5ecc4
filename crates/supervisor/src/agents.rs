//! What differs from agent to agent: where it keeps its state, which hosts its
//! model lives at, and how its own sandbox is told that an outer one is in force.

mod claude;
mod codex;
mod gemini;
mod opencode;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// One agent, as far as it needs something of its own.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    pub(crate) name: &'static str,
    /// Names its program is started by.
    programs: &'static [&'static str],
    /// Hosts without which it cannot think, by the policy's name for them.
    hosts: &'static [&'static str],
    /// Variables it is configured by.
    environment: &'static [&'static str],
    /// What it must be able to write, relative to the home directory.
    state: &'static [State],
    /// Words put behind `argv[0]`, such as its own switch for its own sandbox.
    arguments: &'static [&'static str],
    /// Variables it gets unless its user set them; `~/` is the home directory.
    defaults: &'static [(&'static str, &'static str)],
}

/// A place where an agent keeps its state.
#[derive(Clone, Copy, Debug)]
enum State {
    /// `at` home, unless a variable says that it is `below` another directory.
    Directory { at: &'static str, moved_by: &'static str, below: &'static str },
    /// A file in one of its directories that starts as a copy of another, if
    /// that is there: `to`, `from`.
    Copy(&'static str, &'static str),
}

/// What to make on the host before the boundary is built, if it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) path: PathBuf,
    /// `None` for a directory; otherwise the file it starts as a copy of.
    pub(crate) copy_of: Option<PathBuf>,
}

const ADAPTERS: [&Adapter; 4] =
    [&codex::ADAPTER, &claude::ADAPTER, &gemini::ADAPTER, &opencode::ADAPTER];

/// The adapter for a command, by the name it is started by.
pub(crate) fn adapter(program: &OsStr) -> Option<&'static Adapter> {
    let name = Path::new(program).file_name()?.to_str()?;
    ADAPTERS.into_iter().find(|adapter| adapter.programs.contains(&name))
}

impl Adapter {
    /// What the policy is told at the built-in layer.
    pub(crate) fn needs(&self, home: &Path) -> remit_policy::AgentNeeds {
        remit_policy::AgentNeeds {
            name: self.name.to_owned(),
            hosts: self.hosts.iter().map(|host| (*host).to_owned()).collect(),
            write: self
                .places(home)
                .filter(|place| place.copy_of.is_none())
                .map(|place| place.path)
                .collect(),
            environment: self.environment.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// The agent's places, with what to make of those that are missing.
    pub(crate) fn places(&self, home: &Path) -> impl Iterator<Item = Missing> {
        let home = home.to_path_buf();
        self.state.iter().map(move |state| match state {
            State::Directory { at, moved_by, below } => {
                let moved = std::env::var_os(moved_by).map(PathBuf::from);
                let path = match moved.filter(|moved| moved.is_absolute()) {
                    // Collects away the slash that joining nothing leaves.
                    Some(moved) => moved.join(below).components().collect(),
                    None => home.join(at),
                };
                Missing { path, copy_of: None }
            }
            State::Copy(to, from) => {
                Missing { path: home.join(to), copy_of: Some(home.join(from)) }
            }
        })
    }

    /// The variables it gets unless its user set them.
    pub(crate) fn defaults(&self, home: &Path) -> Vec<(OsString, OsString)> {
        let value = |value: &str| match value.strip_prefix("~/") {
            Some(rest) => home.join(rest).into(),
            None => OsString::from(value),
        };
        self.defaults.iter().map(|(name, text)| (OsString::from(name), value(text))).collect()
    }

    /// The argument vector with the agent's own sandbox told to stand back.
    pub(crate) fn argv(&self, argv: &[OsString]) -> Vec<OsString> {
        let mut words = argv.to_vec();
        let at = words.len().min(1);
        words.splice(at..at, self.arguments.iter().map(OsString::from));
        words
    }
}

/// What a command without an adapter needs: nothing of its own.
pub(crate) fn none() -> remit_policy::AgentNeeds {
    remit_policy::AgentNeeds {
        name: "command".to_owned(),
        hosts: Vec::new(),
        write: Vec::new(),
        environment: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_the_name_it_is_started_by() {
        let check = |program: &str, expected: Option<&str>| {
            assert_eq!(
                adapter(OsStr::new(program)).map(|adapter| adapter.name),
                expected,
                "{program}"
            );
        };
        check("codex", Some("codex"));
        check("/opt/bin/claude", Some("claude"));
        check("codex-like", None);
        check("sh", None);
        check("", None);
    }

    #[test]
    fn switches_stand_behind_the_programs_name() {
        let argv = codex::ADAPTER.argv(&["codex", "exec", "hi"].map(OsString::from));
        assert_eq!(argv.first(), Some(&OsString::from("codex")));
        assert_eq!(argv.last(), Some(&OsString::from("hi")));
        assert!(argv.iter().any(|word| word.to_string_lossy().contains("sandbox_mode")));
    }
}
