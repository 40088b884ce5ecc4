//! What a yes covers, and for how long.

mod escaped;
mod proposal;

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, Connect, Exec};
use crate::host::{Host, HostName, Port};
use crate::request::{Request, Scheme};
use crate::upload::Upload;
pub use proposal::Proposal;
pub(crate) use proposal::{TEXT as PROPOSALS, of_connect, of_exec, of_request};

/// What a person may say to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Yes, this one time.
    Once,
    /// Yes, and the same again until this session ends.
    Session,
    /// Yes, and this host on every port until this session ends.
    Host,
    /// Yes, and every host of this registrable domain on every port until this
    /// session ends.
    Domain,
    /// Yes, and what the proposed rule covers, for this project and until the rule
    /// expires. The rule is written to the person's own rules.
    Project,
    /// No.
    Refuse,
    /// No, and the session ends.
    Stop,
}

impl Choice {
    /// Whether it lets the attempt happen.
    pub fn is_yes(self) -> bool {
        !matches!(self, Choice::Refuse | Choice::Stop)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Choice::Once => "allowed once",
            Choice::Session => "allowed for this session",
            Choice::Host => "allowed for this host",
            Choice::Domain => "allowed for this domain",
            Choice::Project => "allowed for this project",
            Choice::Refuse => "refused",
            Choice::Stop => "refused, and the session stopped",
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
    /// The people whose answer it is, by names that stay the same wherever they
    /// answer: the local user, or whom a signed answer names. Nobody, where no
    /// person answered.
    #[serde(default)]
    pub people: BTreeSet<String>,
    /// Words: to the agent with a no, the reason with a yes.
    #[serde(default)]
    pub note: Option<String>,
}

/// What one yes covers until the session ends.
///
/// A yes for the session covers exactly the same again: the same program with
/// the same arguments in the same directory, the same host and port whichever
/// program asks, the same request but for its query, or what looks like the same
/// kind of secret to the same host and port. It covers no prefix and no program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    Exec {
        program: Option<PathBuf>,
        argv: Vec<OsString>,
        cwd: PathBuf,
    },
    Connect {
        host: Host,
        port: Port,
    },
    /// Connections to this host, on every port.
    Host(Host),
    /// Connections to this registrable domain and every host below it, on every
    /// port.
    Domain(HostName),
    Request {
        host: Host,
        port: Port,
        scheme: Scheme,
        /// The method, and those that the request asks to be acted on instead.
        methods: BTreeSet<String>,
        path: String,
    },
    /// What looks like a secret of this kind, in bodies of requests there.
    Upload {
        host: Host,
        port: Port,
        what: &'static str,
    },
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
        Self::Request { host, port, scheme: request.scheme, methods: request.methods(), path }
    }
}

impl From<&Upload> for Grant {
    fn from(upload: &Upload) -> Self {
        let Connect { host, port, .. } = upload.request.connect.clone();
        Self::Upload { host, port, what: upload.what }
    }
}

/// The domain that somebody registered and a host belongs to: `example.co.uk`
/// of `a.b.example.co.uk`. None for an address, for a public suffix, and for a
/// name of one label.
///
/// SOURCE: the public suffix list, private domains included, so that
/// `alice.github.io` is a domain of its own. Below a suffix that is not on it
/// the last two labels are the domain.
pub(crate) fn registrable(host: &Host) -> Option<HostName> {
    let Host::Name(name) = host else { return None };
    HostName::parse(psl::domain_str(name.as_str())?).ok()
}

/// The yeses given so far in one session. Moments are times since one that is the
/// same for all of them, by a clock that does not run backwards.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// With the moment from which on it covers nothing, if there is one.
    given: HashMap<Grant, Option<Duration>>,
    /// The first of those moments.
    next: Option<Duration>,
}

impl Grants {
    /// Remembers a yes; what it covers is then allowed until the session ends,
    /// unless a rule refuses it.
    pub fn add(&mut self, grant: Grant) {
        self.given.insert(grant, None);
        self.reckon();
    }

    /// The same until a moment. Of two yeses for the same the last one counts.
    pub fn add_until(&mut self, grant: Grant, until: Duration) {
        self.given.insert(grant, Some(until));
        self.reckon();
    }

    /// Forgets the yeses that do not hold any more. Call it before judging.
    pub fn expire(&mut self, now: Duration) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.given.retain(|_, until| until.is_none_or(|until| now < until));
        self.reckon();
    }

    fn reckon(&mut self) {
        self.next = self.given.values().flatten().min().copied();
    }

    /// Whether a yes covers this attempt.
    pub fn cover(&self, attempt: &impl Attempt) -> bool {
        !self.given.is_empty()
            && attempt.covered_by().iter().any(|grant| self.given.contains_key(grant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_that_ends_covers_nothing_from_its_moment_on() {
        let attempt = Connect::parse("api.example:443").expect("a host");
        let seconds = Duration::from_secs;
        let mut grants = Grants::default();
        grants.add_until((&attempt).into(), seconds(10));
        grants.add_until(Grant::Host(attempt.host.clone()), seconds(20));
        for (now, covered) in
            [(0, true), (9, true), (10, true), (19, true), (20, false), (5, false)]
        {
            grants.expire(seconds(now));
            assert_eq!(grants.cover(&attempt), covered, "at {now}");
        }
        grants.add_until((&attempt).into(), seconds(30));
        grants.add((&attempt).into());
        grants.expire(Duration::MAX);
        assert!(grants.cover(&attempt), "the last yes counts");
    }

    #[test]
    fn a_domain_is_what_somebody_registered() {
        let check = |host: &str, expected: Option<&str>| {
            let host = Connect::parse(&format!("{host}:443")).expect("a host").host;
            assert_eq!(registrable(&host).as_ref().map(HostName::as_str), expected, "{host}");
        };
        check("api.example.com", Some("example.com"));
        check("example.com", Some("example.com"));
        check("a.b.example.co.uk", Some("example.co.uk"));
        check("co.uk", None);
        check("com", None);
        check("localhost", None);
        check("alice.github.io", Some("alice.github.io"));
        check("x.alice.github.io", Some("alice.github.io"));
        check("github.io", None);
        check("s3.amazonaws.com", None);
        check("a.xn--55qx5d.cn", Some("a.xn--55qx5d.cn"));
        check("xn--55qx5d.cn", None);
        check("a.city.kawasaki.jp", Some("city.kawasaki.jp"));
        check("db.corp", Some("db.corp"));
        check("10.0.0.5", None);
        check("[::1]", None);
    }
}
