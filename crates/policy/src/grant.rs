//! What a yes covers, and for how long.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::attempt::{Connect, Exec};
use crate::host::{Host, Port};
use crate::request::{Method, Request};

/// What a person may say to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Yes, this one time.
    Once,
    /// Yes, and the same again until this session ends.
    Session,
    /// No.
    Refuse,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Choice::Once => "allowed once",
            Choice::Session => "allowed for this session",
            Choice::Refuse => "refused",
        })
    }
}

/// What came back: the choice, by whom, with what words to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub choice: Choice,
    /// Who answered and where, such as `alice at the session's terminal`.
    pub by: String,
    /// Words to the agent; used on refusal.
    #[serde(default)]
    pub note: Option<String>,
}

/// What one session-wide yes covers: exactly the same again.
///
/// It covers the same program with the same arguments in the same directory, or
/// the same host and port whichever program asks. It does not cover a prefix, a program or a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    Exec { program: Option<PathBuf>, argv: Vec<OsString>, cwd: PathBuf },
    Connect { host: Host, port: Port },
    Request { host: Host, port: Port, method: Method, path: String },
}

impl From<&Exec> for Grant {
    fn from(exec: &Exec) -> Self {
        Self::Exec { program: exec.program.clone(), argv: exec.argv.clone(), cwd: exec.cwd.clone() }
    }
}

impl From<&Connect> for Grant {
    fn from(connect: &Connect) -> Self {
        Self::Connect { host: connect.host.clone(), port: connect.port }
    }
}

impl From<&Request> for Grant {
    fn from(request: &Request) -> Self {
        let Connect { host, port, .. } = request.connect.clone();
        let path = request.target.path().to_owned();
        Self::Request { host, port, method: request.method.clone(), path }
    }
}

/// The yeses given so far in one session.
#[derive(Clone, Debug, Default)]
pub struct Grants(HashSet<Grant>);

impl Grants {
    /// Remembers a yes; the same attempt is then allowed until the session ends,
    /// unless a rule refuses it.
    pub fn add(&mut self, grant: Grant) {
        self.0.insert(grant);
    }

    /// Whether a yes covers this.
    pub fn covers(&self, grant: &Grant) -> bool {
        self.0.contains(grant)
    }
}
