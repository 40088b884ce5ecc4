//! A request of HTTP about to be passed on, and how a permitted connection is
//! to be treated.

use std::collections::BTreeSet;
use std::fmt;

use crate::attempt::{Attempt, Connect};
use crate::data::Cache;
use crate::grant::{Choice, Grant, Proposal, of_request};
use crate::policy::Policy;
use crate::precedent::Case;
use crate::show;

/// A request about to be sent upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The connection it came on, which was permitted.
    pub connect: Connect,
    pub scheme: Scheme,
    pub method: Method,
    pub target: Target,
    /// Methods that headers of the request ask the server to act on instead,
    /// such as `X-HTTP-Method-Override`. The strictest of all decides.
    pub overrides: Vec<Method>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    Https,
}

/// A method: a token of RFC 9110 §9.1, at most 32 bytes, in the case it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(String);

/// Path and query of a request, `/path?query` or `*`: visible ASCII, no `#`, at
/// most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(String);

/// Parameters of a query that frameworks take the method from, in small letters.
///
/// SOURCE: the manuals of Rails, Laravel, Symfony and Express (`_method`), of
/// Google's APIs (`$httpMethod`), and of servers that read the headers' names.
const METHOD_PARAMETERS: [&str; 7] = [
    "_method",
    "$httpmethod",
    "httpmethod",
    "method_override",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

impl Request {
    /// The method, and all that the request asks the server to act on instead.
    /// A text of the query need not be a method.
    pub fn methods(&self) -> BTreeSet<String> {
        let mut methods = BTreeSet::from([self.method.0.clone()]);
        methods.extend(self.overrides.iter().map(|method| method.0.clone()));
        let parameters = self.target.query().unwrap_or_default().split(['&', ';']);
        methods.extend(parameters.filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let name = plain(name).to_ascii_lowercase();
            METHOD_PARAMETERS.contains(&name.as_str()).then(|| plain(value))
        }));
        methods
    }
}

/// A part of a query with its percent signs and pluses decoded.
fn plain(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = value.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (decoded, taken) = match (byte, value) {
            (b'%', Some(value)) => (value, 2),
            (b'+', _) => (b' ', 0),
            _ => (byte, 0),
        };
        out.push(decoded);
        rest = &after[taken..];
    }
    String::from_utf8_lossy(&out).trim().to_owned()
}

/// Why a text is not a method or a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestError(&'static str);

impl Method {
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        // SOURCE: RFC 9110 §5.6.2, tokens.
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if text.is_empty() || text.len() > 32 || !text.bytes().all(token) {
            return Err(RequestError("the method is not a token of at most 32 bytes"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        if !(text.starts_with('/') || text == "*") {
            return Err(RequestError("the target does not begin with `/`"));
        }
        if text.len() > 64 * 1024 {
            return Err(RequestError("the target is longer than 64 KiB"));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(RequestError(
                "the target has a space, a control or other than ASCII in it",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before `?`.
    pub fn path(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// The part after the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.0.split_once('?').map(|(_, query)| query)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        })
    }
}

impl fmt::Display for Request {
    /// `GET https://api.example:443/path`, without the query, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, path) = (self.method.as_str(), show::line(self.target.path()));
        write!(f, "{method} {}://{}{path}", self.scheme, self.connect)
    }
}

impl Attempt for Request {
    fn summary(&self) -> String {
        let mut others = self.methods();
        others.remove(self.method.as_str());
        match others.iter().map(|other| show::line(other)).collect::<Vec<_>>() {
            none if none.is_empty() => format!("request `{self}`"),
            others => {
                format!("request `{self}`, which asks to be taken for `{}`", others.join("`, `"))
            }
        }
    }

    fn grant(&self, choice: Choice) -> Option<Grant> {
        matches!(choice, Choice::Session | Choice::Project).then(|| self.into())
    }

    fn proposal(&self, policy: &Policy) -> Option<Proposal> {
        of_request(self, policy)
    }

    fn case(&self) -> Option<Case> {
        Some(Case::Request(self.clone()))
    }
}

/// How a permitted connection is to be treated, as the policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handling {
    /// TLS is ended here and begun anew upstream, and requests are judged.
    pub inspect: bool,
    /// Statements about requests, or data rules, need each request to be seen:
    /// what is neither HTTP, nor TLS that can be inspected, nor SSH of which
    /// `ssh` says what may be run, is refused. Implies `inspect`.
    pub requests_only: bool,
    /// TLS without a readable name, and on ports 80 and 443 other protocols than
    /// theirs, are let through.
    pub opaque: bool,
    /// SSH is ended here and begun anew, and only these commands may be run
    /// (`git-upload-pack`, …). `None`: SSH passes as it is.
    pub ssh: Option<BTreeSet<String>>,
    /// The agent cannot work without the host: what goes there holds everything
    /// that the agent read.
    pub agents: bool,
    /// What looks like a secret in a body is a question ([`Upload`](crate::Upload)).
    pub search: bool,
    /// How answers are kept.
    pub cache: Cache,
}
