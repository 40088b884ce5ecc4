//! `remit explain`: what the policy would say to an attempt, and why, without
//! anything being tried.
//!
//! Exit status: 0 if it would be allowed, 10 if somebody would be asked, 11 if it
//! would be refused; 1 for an error, 2 for a command line that was not understood.

mod told;
mod way;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use remit_approvals::words;
use remit_policy::request::RequestError;
use remit_policy::{Connect, Decision, Grants, Method, Request, Scheme, Target, ToolCall, past};
use remit_supervisor::session::RunError;
use remit_supervisor::{Standpoint, View};

use crate::log::Out;
pub(crate) use told::word;
use told::{Part, Told};

#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    from: From,
    #[command(subcommand)]
    attempt: Tried,
}

/// From where it is looked at.
#[derive(Debug, clap::Args)]
struct From {
    /// The workspace; the current directory if absent
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    /// The policy profile
    #[arg(long, value_name = "NAME", global = true)]
    profile: Option<String>,
    /// The agent that would run, such as `codex`: it has needs of its own
    #[arg(long, value_name = "NAME", global = true)]
    agent: Option<OsString>,
    /// One JSON object
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Tried {
    /// Start a program with these arguments
    Exec {
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGV"
        )]
        argv: Vec<OsString>,
    },
    /// Run a text in a shell, as a hook is given it
    Shell { text: String },
    /// Connect to a host
    Connect {
        #[arg(value_name = "HOST:PORT")]
        there: String,
        /// The program that connects, by path or by name
        #[arg(long, value_name = "FILE")]
        program: Option<OsString>,
    },
    /// Send a request over HTTP
    Request {
        method: String,
        /// Such as `https://api.example/v1/things`
        url: String,
        /// The program that sends it, by path or by name
        #[arg(long, value_name = "FILE")]
        program: Option<OsString>,
    },
    /// Read a file or a directory
    Read { path: PathBuf },
    /// Make a file, or write to it
    Write { path: PathBuf },
    /// Call a tool of an MCP server
    Tool {
        server: String,
        tool: String,
        /// The arguments, one JSON object
        #[arg(value_name = "JSON", default_value = "{}")]
        arguments: String,
    },
}

/// The arguments of a tool: a text as it is, anything else as JSON without blanks.
fn arguments(text: &str) -> Result<BTreeMap<String, String>, ExplainError> {
    let wrong = |source| ExplainError::Arguments { text: text.to_owned(), source };
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).map_err(wrong)?;
    let word = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(object.into_iter().map(|(name, value)| (name, word(value))).collect())
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExplainError {
    #[error(transparent)]
    Stand(#[from] RunError),
    #[error("`{}` is not a destination; write `HOST:PORT`, such as `api.example:443`", words::plain(.0))]
    Destination(String),
    #[error("`{}` is not the address of a request; write `https://HOST/PATH`", words::plain(.0))]
    Address(String),
    #[error("cannot read the request `{}`", words::plain(text))]
    Request { text: String, source: RequestError },
    #[error("`{}` is not a JSON object of arguments", words::plain(text))]
    Arguments { text: String, source: serde_json::Error },
    #[error("cannot write to standard output")]
    Write(#[from] io::Error),
}

const ASKED: u8 = 10;
const REFUSED: u8 = 11;

pub(crate) fn run(explain: Explain) -> Result<ExitCode, ExplainError> {
    let From { directory, profile, agent, json } = explain.from;
    let stand = Standpoint::take(View { directory, profile, agent })?;
    let told = explain.attempt.judged(&stand)?;
    let mut out = Out::new(io::stdout().lock());
    match json {
        true => writeln!(out, "{}", told.json())?,
        false => out.write_all(told.to_string().as_bytes())?,
    }
    out.flush()?;
    Ok(match told.decision() {
        Decision::Allow => ExitCode::SUCCESS,
        Decision::Ask => ExitCode::from(ASKED),
        Decision::Refuse => ExitCode::from(REFUSED),
    })
}

impl Tried {
    fn judged(self, stand: &Standpoint) -> Result<Told, ExplainError> {
        match self {
            Self::Exec { argv } => Ok(way::command(stand, stand.exec(argv)?)),
            Self::Shell { text } => Ok(way::shell(stand, &text)),
            Self::Connect { there, program } => {
                let connect = Connect::parse(&there).ok_or(ExplainError::Destination(there))?;
                let connect = Connect { program: file(stand, program)?, ..connect };
                Ok(connection(stand, connect))
            }
            Self::Request { method, url, program } => {
                let request = request(stand, &method, &url, program)?;
                Ok(requested(stand, request))
            }
            Self::Read { path } => Ok(read(stand, &path)),
            Self::Write { path } => Ok(Told::of(stand.write(&path))),
            Self::Tool { server, tool, arguments } => {
                let arguments = self::arguments(&arguments)?;
                let call = ToolCall { server, tool, arguments };
                Ok(Told::of(stand.policy.tool(call, &Grants::default())))
            }
        }
    }
}

fn connection(stand: &Standpoint, connect: Connect) -> Told {
    let handling = stand.policy.handling(&connect);
    let program = connect.program.clone();
    let told = Told::of(stand.policy.connect(connect, &Default::default()))
        .with("program", program.map(|path| path.to_string_lossy().into_owned()));
    let seen = match (handling.requests_only, handling.inspect) {
        (true, _) => Some("each request is judged, and what cannot be seen is refused"),
        (false, true) => Some("TLS is inspected, and each request is judged"),
        (false, false) => None,
    };
    told.with("seen", seen.map(str::to_owned))
}

/// A request needs its connection first, so the stricter of the two is the answer.
fn requested(stand: &Standpoint, request: Request) -> Told {
    let grants = Default::default();
    let connect = past::ruled(stand.policy.connect(request.connect.clone(), &grants));
    let connection = Part::new(format!("connect to {}", request.connect), connect.clone());
    let told = Told::of(stand.policy.request(request, &grants));
    let alone = Part::new("the request itself".to_owned(), told.ruled.clone());
    let told = match connect.decision > told.ruled.decision {
        true => told.decided_by(connect),
        false => told,
    };
    told.in_parts(vec![connection, alone])
}

fn read(stand: &Standpoint, path: &Path) -> Told {
    let summary = format!("read `{}`", words::plain(&path.to_string_lossy()));
    match stand.read(path) {
        Ok(basis) => Told::allowed(summary, basis),
        Err(refusal) => Told::refused(refusal),
    }
}

fn request(
    stand: &Standpoint,
    method: &str,
    url: &str,
    program: Option<OsString>,
) -> Result<Request, ExplainError> {
    let wrong = || ExplainError::Address(url.to_owned());
    let (scheme, rest, usual) = match url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest, 443),
        Some(("http", rest)) => (Scheme::Http, rest, 80),
        _ => return Err(wrong()),
    };
    let (host, target) = match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
        Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
        None => (rest, "/".to_owned()),
    };
    let there = || Connect::parse(host).or_else(|| Connect::parse(&format!("{host}:{usual}")));
    let connect = there().ok_or_else(wrong)?;
    let unread = |source| ExplainError::Request { text: format!("{method} {url}"), source };
    Ok(Request {
        connect: Connect { program: file(stand, program)?, ..connect },
        scheme,
        method: Method::parse(method).map_err(unread)?,
        target: Target::parse(&target).map_err(unread)?,
        overrides: Vec::new(),
    })
}

/// The file of a program, links followed, as connections are judged by it.
fn file(stand: &Standpoint, program: Option<OsString>) -> Result<Option<PathBuf>, ExplainError> {
    let Some(name) = program else { return Ok(None) };
    Ok(stand.exec(vec![name])?.program)
}
