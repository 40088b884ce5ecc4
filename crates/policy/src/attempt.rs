//! What the agent tries. An attempt is parsed once, at the edge, and carries
//! everything its verdict may depend on.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::grant::{Choice, Grant, Proposal, of_connect, of_exec, registrable};
use crate::host::{Host, HostName, Port};
use crate::policy::Policy;
use crate::precedent::Case;
use crate::show;
use crate::writing::Change;

/// Anything that can be judged.
pub trait Attempt {
    /// What is tried, in words for a person, escaped for a terminal:
    /// ``run `git push` ``, ``connect to `api.example:443` ``.
    fn summary(&self) -> String;

    /// What may be answered if this is asked, in the order in which it is offered.
    fn choices(&self) -> Vec<Choice> {
        vec![Choice::Once, Choice::Session, Choice::Refuse, Choice::Stop]
    }

    /// What a yes of this choice covers beyond this one time. None for a choice
    /// that covers nothing more, or that is not among [`choices`](Self::choices).
    fn grant(&self, choice: Choice) -> Option<Grant>;

    /// What it is compared with others as, reviewed and appealed. None for a kind
    /// that a person alone answers.
    fn case(&self) -> Option<Case> {
        None
    }

    /// The narrowest rule that allows the same again in this project, if a rule may
    /// and can.
    fn proposal(&self, _: &Policy) -> Option<Proposal> {
        None
    }

    /// Every grant that would cover this.
    fn covered_by(&self) -> Vec<Grant> {
        self.choices().into_iter().filter_map(|choice| self.grant(choice)).collect()
    }
}

/// A program about to be started, at `execve`.
///
/// What is not known says so: an absent program, no variables, [`Stdin::Unknown`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exec {
    /// The path given to the system call, as the caller spelt it.
    pub path: PathBuf,
    /// The file that path leads to inside the boundary, links followed.
    /// Absent when it could not be resolved from outside.
    pub program: Option<PathBuf>,
    /// The program of the process that calls.
    pub by: Option<PathBuf>,
    /// The argument vector, `argv[0]` first. Bytes, not text.
    pub argv: Vec<OsString>,
    /// The caller's working directory, as seen inside the boundary.
    pub cwd: PathBuf,
    /// Paths of the programs that this file is another name or a copy of, among
    /// those that the policy has to know ([`crate::Policy::known_programs`]).
    pub copy_of: Vec<PathBuf>,
    /// The variables that change what a program does ([`crate::is_telling`]), with
    /// their values, in order of their names.
    pub environment: Vec<(OsString, OsString)>,
    /// What it reads on standard input.
    pub stdin: Stdin,
    /// The program that writes into the pipe it reads on standard input.
    pub fed_by: Option<PathBuf>,
    /// The program that reads from the pipe it writes on standard output.
    pub feeds: Option<PathBuf>,
}

/// What a program has on standard input when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    #[default]
    Unknown,
    /// Closed, or `/dev/null`.
    Nothing,
    Terminal,
    File,
    Pipe,
    Socket,
}

impl Attempt for Exec {
    fn summary(&self) -> String {
        format!("run `{}`", show::command(&self.argv))
    }

    fn grant(&self, choice: Choice) -> Option<Grant> {
        matches!(choice, Choice::Session | Choice::Project).then(|| self.into())
    }

    fn proposal(&self, policy: &Policy) -> Option<Proposal> {
        of_exec(self, policy)
    }

    fn case(&self) -> Option<Case> {
        Some(Case::Exec(self.clone()))
    }
}

/// A TCP connection about to be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connect {
    pub host: Host,
    pub port: Port,
    /// The executable file of the process that connects, as seen inside the
    /// boundary, links followed. Absent when it is not known.
    pub program: Option<PathBuf>,
}

impl Connect {
    /// Parses `host:port`, `192.0.2.1:port` or `[2001:db8::1]:port`; nothing else
    /// is an attempt.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let number = port.bytes().all(|b| b.is_ascii_digit()).then_some(port)?;
        let port = Port::try_from(number.parse::<u16>().ok()?).ok()?;
        let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match inside {
            Some(v6) => Host::Address(IpAddr::V6(v6.parse().ok()?)),
            None => match host.parse() {
                Ok(v4) => Host::Address(IpAddr::V4(v4)),
                Err(_) => Host::Name(HostName::parse(host).ok()?),
            },
        };
        Some(Self { host, port, program: None })
    }
}

impl Connect {
    /// Whether it does not leave the machine it is made on.
    pub fn is_loopback(&self) -> bool {
        crate::network::is_loopback(&crate::network::canonical(self.clone()).host)
    }

    /// The domain that somebody registered and the host belongs to, if any.
    pub fn domain(&self) -> Option<HostName> {
        registrable(&self.host)
    }
}

impl Attempt for Connect {
    fn summary(&self) -> String {
        format!("connect to `{self}`")
    }

    fn choices(&self) -> Vec<Choice> {
        let domain = self.domain().map(|_| Choice::Domain);
        let mut choices = vec![Choice::Once, Choice::Session, Choice::Host];
        choices.extend(domain);
        choices.extend([Choice::Refuse, Choice::Stop]);
        choices
    }

    fn grant(&self, choice: Choice) -> Option<Grant> {
        match choice {
            Choice::Session | Choice::Project => Some(self.into()),
            Choice::Host => Some(Grant::Host(self.host.clone())),
            Choice::Domain => self.domain().map(Grant::Domain),
            Choice::Once | Choice::Refuse | Choice::Stop => None,
        }
    }

    fn case(&self) -> Option<Case> {
        Some(Case::Connect(self.clone()))
    }

    fn proposal(&self, policy: &Policy) -> Option<Proposal> {
        of_connect(self, policy)
    }
}

/// A name about to be made, changed, or opened for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWrite {
    /// Absolute, as seen inside, its directory free of links.
    pub path: PathBuf,
    pub change: Change,
}

impl Attempt for FileWrite {
    fn summary(&self) -> String {
        let verb = match self.change {
            Change::Write => "write",
            Change::MakeDirectory => "make the directory",
            Change::MakeLink => "make a link at",
            Change::PutFile => "put a file at",
            Change::PutDirectory { .. } => "put a directory at",
            Change::Take => "rename or link",
            Change::Remove => "remove",
            Change::Attributes => "change mode, owner or times of",
        };
        format!("{verb} `{}`", show::line(&self.path.to_string_lossy()))
    }

    /// Writing is not asked about.
    fn choices(&self) -> Vec<Choice> {
        vec![Choice::Refuse]
    }

    fn grant(&self, _: Choice) -> Option<Grant> {
        None
    }
}

impl std::fmt::Display for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => {
                write!(f, "[{address}]:{}", self.port)
            }
            Host::Address(address) => write!(f, "{address}:{}", self.port),
        }
    }
}
