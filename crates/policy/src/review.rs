//! Whether a reviewer model answers what a person would be asked, which one, and
//! within which bounds.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::attempt::Connect;
use crate::basis::{Basis, Layer};
use crate::credentials::{Credential, CredentialUse};
use crate::error::PolicyError;
use crate::host::{Host, Port};
use crate::layers::{Force, Said, Settled};
use crate::request::Scheme;

/// What `[review]` says, as all layers together have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewSettings {
    /// None: a person is asked.
    pub reviewer: Option<Reviewer>,
    /// What set the reviewer, or that there is none.
    pub basis: Basis,
    /// How long all attempts at one question may take together: 1 to 90 seconds.
    pub timeout: Duration,
    /// How often a reviewer that cannot be reached or has no time is asked: 1 to 3.
    pub attempts: u8,
    /// Refusals in a row, or questions without an answer, after which a person is
    /// asked for the rest of the session: 1 to 50.
    pub breaker: u32,
    /// What the organisation and the person want the reviewer to heed, most binding
    /// first.
    pub guidance: Vec<(Layer, String)>,
}

/// A reviewer model and how it is asked. Stated as a whole by one table, so that
/// no text sends one layer's credential to another layer's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewer {
    pub format: ReviewFormat,
    pub url: ReviewUrl,
    pub model: String,
    /// The name of a [`Credential`] of the form `bearer` or `header`. Absent only
    /// for one on this machine.
    pub credential: Option<String>,
}

/// Which wire format a reviewer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewFormat {
    /// `POST …/chat/completions`, as most local servers speak it too.
    OpenAi,
    /// `POST …/messages`.
    Anthropic,
}

/// Where a reviewer is asked: `https`, or `http` to this machine's loopback. It has
/// no user, no query and no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewUrl {
    pub scheme: Scheme,
    pub host: Host,
    pub port: Port,
    path: String,
}

impl ReviewUrl {
    /// Parses `https://host/path`, `https://host:port/path`, or the same with `http`
    /// and `localhost` or an address of loopback.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let text = if text.contains('@') { "…@…" } else { text };
            format!("`{text}` is not an address such as `https://api.example/v1/messages`")
        };
        let (scheme, rest, port) = match text.split_once("://").ok_or_else(wrong)? {
            ("https", rest) => (Scheme::Https, rest, 443),
            ("http", rest) => (Scheme::Http, rest, 80),
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:%+,=".contains(&b);
        if path.len() < 2 || !path.bytes().all(plain) {
            return Err(format!("{}; it names the path that requests go to", wrong()));
        }
        let there = Connect::parse(authority)
            .or_else(|| Connect::parse(&format!("{authority}:{port}")))
            .ok_or_else(wrong)?;
        let here = match &there.host {
            // Other names below `localhost` may be looked up on the network.
            Host::Name(name) => name.as_str() == "localhost",
            Host::Address(_) => there.is_loopback(),
        };
        if scheme == Scheme::Http && !here {
            return Err(format!(
                "`{text}`: what a session does is not sent unencrypted; use `https`, or an \
                 address of loopback"
            ));
        }
        Ok(Self { scheme, host: there.host, port: there.port, path: path.to_owned() })
    }

    /// Whether it does not leave this machine.
    pub fn is_here(&self) -> bool {
        crate::network::is_loopback(&crate::network::canonical(self.connect()).host)
    }

    /// Where the connection goes.
    pub fn connect(&self) -> Connect {
        Connect { host: self.host.clone(), port: self.port, program: None }
    }
}

impl fmt::Display for ReviewUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, u16::from(self.port)) {
            // Some servers compare the name in the request with their own.
            (Host::Name(name), 443) if self.scheme == Scheme::Https => {
                write!(f, "https://{name}{}", self.path)
            }
            (Host::Address(IpAddr::V6(address)), port) => {
                write!(f, "{}://[{address}]:{port}{}", self.scheme, self.path)
            }
            _ => write!(f, "{}://{}{}", self.scheme, self.connect(), self.path),
        }
    }
}

/// What was said about each, in order of preference.
#[derive(Debug, Default)]
pub(crate) struct ReviewSaid {
    /// None: off.
    pub(crate) reviewer: Vec<Said<Option<Reviewer>>>,
    pub(crate) timeout: Vec<Said<Reverse<Duration>>>,
    pub(crate) attempts: Vec<Said<Reverse<u8>>>,
    pub(crate) breaker: Vec<Said<Reverse<u32>>>,
    pub(crate) guidance: Vec<Said<String>>,
}

impl ReviewSaid {
    pub(crate) fn add(&mut self, more: Self) {
        self.reviewer.extend(more.reviewer);
        self.timeout.extend(more.timeout);
        self.attempts.extend(more.attempts);
        self.breaker.extend(more.breaker);
        self.guidance.extend(more.guidance);
    }

    /// # Errors
    ///
    /// [`PolicyError`] if the reviewer's credential is not there or is of a form that
    /// a reviewer cannot be told. Checked for every reviewer that anybody states.
    pub(crate) fn settle(
        mut self,
        credentials: &[Credential],
    ) -> Result<ReviewSettings, PolicyError> {
        let complete = "the built-in `default` profile states every single value";
        for said in &self.reviewer {
            if let Some(Reviewer { credential: Some(name), .. }) = &said.value {
                tellable(name, credentials).map_err(|why| PolicyError::about(&said.basis, why))?;
            }
        }
        let held = chosen(&self.reviewer).expect(complete);
        self.guidance.sort_by_key(|said| Reverse(said.basis.layer));
        Ok(ReviewSettings {
            reviewer: held.value.clone(),
            basis: held.basis.clone(),
            timeout: Settled::new(self.timeout).expect(complete).value().0,
            attempts: Settled::new(self.attempts).expect(complete).value().0,
            breaker: Settled::new(self.breaker).expect(complete).value().0,
            guidance: self.guidance.into_iter().map(|it| (it.basis.layer, it.value)).collect(),
        })
    }
}

/// The system's `off`, else the system's reviewer, which the person and the project
/// cannot turn off; else a project's `off`; else whatever is preferred.
fn chosen(said: &[Said<Option<Reviewer>>]) -> Option<&Said<Option<Reviewer>>> {
    let of = |force: Force| said.iter().filter(move |said| said.force == force);
    let off = |said: &&Said<Option<Reviewer>>| said.value.is_none();
    of(Force::Requirement)
        .find(off)
        .or_else(|| of(Force::Requirement).next())
        .or_else(|| of(Force::Allegation).find(off))
        .or_else(|| said.iter().find(|said| said.force != Force::Allegation))
}

fn tellable(name: &str, credentials: &[Credential]) -> Result<(), String> {
    match credentials.iter().find(|credential| credential.name == name) {
        Some(Credential { uses: CredentialUse::Bearer | CredentialUse::Header { .. }, .. }) => {
            Ok(())
        }
        Some(_) => Err(format!("a reviewer is told `bearer` or `header`, not `{name}`")),
        None => Err(format!("there is no `[credentials.{name}]`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_encrypted_or_on_this_machine() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = ReviewUrl::parse(text).map(|url| url.to_string());
            assert_eq!(parsed.as_deref().ok(), expected, "{text}: {parsed:?}");
        };
        let same = |text: &str| check(text, Some(text));
        same("https://api.example/v1/messages");
        same("https://api.example:8443/v1/chat/completions");
        same("http://127.0.0.1:11434/v1/chat/completions");
        same("http://[::1]:11434/v1/chat/completions");
        same("http://localhost:1234/v1/chat/completions");
        check("https://API.example:443/v1", Some("https://api.example/v1"));
        check("https://10.0.0.5/v1", Some("https://10.0.0.5:443/v1"));
        check("http://api.example/v1", None);
        check("http://10.0.0.5:80/v1", None);
        check("http://localhost.evil.example/v1", None);
        check("http://a.localhost/v1", None);
        check("http://127.0.0.1.evil.example/v1", None);
        check("http://127.0.0.1@evil.example/v1", None);
        check("https://me:pw@api.example/v1", None);
        check("https://api.example", None);
        check("https://api.example/", None);
        check("https://api.example/v1?key=x", None);
        check("https://api.example/v1#x", None);
        check("https://api.example/v1 x", None);
        check("ftp://api.example/v1", None);
        check("file:///etc/passwd", None);
        check("https:///v1", None);
        check("", None);
        let told = ReviewUrl::parse("https://me:pw@api.example/v1").unwrap_err();
        assert!(!told.contains("pw"), "{told}");
    }
}
