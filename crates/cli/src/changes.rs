//! `remit changes`: what a session on a copy-on-write view changed, shown,
//! applied or dropped.
//!
//! Exit status: 0 if everything asked for was done; 1 if a change was left, or
//! nothing could be done (an error, for the caller to report).

mod apply;
mod diff;
mod list;
mod show;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use remit_approvals::words;
use remit_audit::SessionId;
use remit_supervisor::Places;
use remit_supervisor::changes::{self, ChangesError, Review};

use crate::log::{LogError, Out, find_among};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ChangesCommand {
    /// List the sessions that left changes, newest first
    List {
        /// One JSON object per session and line
        #[arg(long)]
        json: bool,
    },
    /// Show what a session changed: A added, M modified, D deleted, T another kind of thing
    Show {
        /// A session, the beginning of its name, or `latest`
        #[arg(default_value = crate::log::LATEST)]
        session: String,
        /// The differences of text files too
        #[arg(long, conflicts_with = "json")]
        diff: bool,
        /// One JSON object per change and line
        #[arg(long)]
        json: bool,
    },
    /// Make changes in the workspace itself
    Apply {
        /// A session, the beginning of its name, or `latest`
        session: String,
        /// Only these, relative to the workspace; directories with what is below them
        paths: Vec<PathBuf>,
        /// Yes to what needs a yes of its own: deletions, protected names, what Git runs,
        /// links that lead out
        #[arg(long)]
        yes: bool,
        /// Overwrite what was changed in the workspace since the session began
        #[arg(long)]
        force: bool,
    },
    /// Throw all changes of a session away
    Drop {
        /// A session, the beginning of its name, or `latest`
        session: String,
        /// Without asking
        #[arg(long)]
        yes: bool,
    },
}

/// Why the changes cannot be shown, applied or dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("no session left changes; start one with `remit run --overlay`")]
    Nothing,
    #[error("no session that left changes is named `{}`; `remit changes list` lists them", words::plain(.0))]
    NotFound(String),
    #[error("`{}` is not a path inside the workspace `{}`", words::plain(&path.to_string_lossy()), workspace.display())]
    Outside { path: PathBuf, workspace: PathBuf },
    #[error("nobody is here to confirm; say `--yes` to drop the changes of session `{0}`")]
    Unconfirmed(SessionId),
    #[error(transparent)]
    Find(LogError),
    #[error(transparent)]
    Changes(#[from] ChangesError),
    #[error("cannot write to standard output")]
    Write(#[from] io::Error),
}

/// Does what the command says.
pub(crate) fn run(command: ChangesCommand, places: &Places) -> Result<ExitCode, CommandError> {
    let mut out = Out::new(io::stdout().lock());
    match command {
        ChangesCommand::List { json } => {
            let sessions = changes::sessions(&places.state)?;
            if sessions.is_empty() && !json {
                crate::say::line(&CommandError::Nothing.to_string());
            }
            list::write(&mut out, places, &sessions, json)?;
        }
        ChangesCommand::Show { session, diff, json } => {
            let review = Review::open(places, find(places, &session)?)?;
            let form = match (diff, json) {
                (_, true) => show::Form::Json,
                (true, _) => show::Form::Diff,
                _ => show::Form::List,
            };
            show::write(&mut out, &review, form)?;
        }
        ChangesCommand::Apply { session, paths, yes, force } => {
            let review = Review::decide(places, find(places, &session)?)?;
            let paths: Result<Vec<_>, _> =
                paths.iter().map(|path| inside(path, &review.workspace)).collect();
            return Ok(apply::run(&review, &paths?, yes, force)?);
        }
        ChangesCommand::Drop { session, yes } => {
            let review = Review::decide(places, find(places, &session)?)?;
            return drop_all(&review, yes);
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn find(places: &Places, name: &str) -> Result<SessionId, CommandError> {
    let sessions = changes::sessions(&places.state)?;
    find_among(sessions, &places.state, name).map_err(|error| match error {
        LogError::NoSessions { .. } => CommandError::Nothing,
        LogError::NotFound { name } => CommandError::NotFound(name),
        other => CommandError::Find(other),
    })
}

/// A path as it was typed, relative to the workspace.
fn inside(path: &Path, workspace: &Path) -> Result<PathBuf, CommandError> {
    let outside =
        || CommandError::Outside { path: path.to_owned(), workspace: workspace.to_owned() };
    let relative = if path.is_absolute() {
        path.strip_prefix(workspace).map_err(|_| outside())?
    } else {
        path
    };
    let mut plain = PathBuf::new();
    for part in relative.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            _ => return Err(outside()),
        }
    }
    Ok(plain)
}

fn drop_all(review: &Review, yes: bool) -> Result<ExitCode, CommandError> {
    let session = review.session;
    if !yes {
        let question = format!("Throw away all changes of session {session}?");
        match ask(&question) {
            None => return Err(CommandError::Unconfirmed(session)),
            Some(false) => {
                crate::say::line("nothing was dropped");
                return Ok(ExitCode::FAILURE);
            }
            Some(true) => {}
        }
    }
    let mut meter = Meter::new("removed");
    let mut count = 0;
    review.discard(&mut || {
        count += 1;
        meter.at(count, None);
    })?;
    meter.end();
    crate::say::line(&format!("dropped all changes of session {session}"));
    Ok(ExitCode::SUCCESS)
}

/// Puts a question to the person at the terminal. None where there is none.
fn ask(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut err = io::stderr().lock();
    write!(err, "{question} [y/N] ").and_then(|()| err.flush()).ok()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// How far something is, for a person at a terminal, once it takes long.
struct Meter {
    what: &'static str,
    started: std::time::Instant,
    told: Option<std::time::Instant>,
}

impl Meter {
    fn new(what: &'static str) -> Self {
        Self { what, started: std::time::Instant::now(), told: None }
    }

    fn at(&mut self, number: usize, total: Option<usize>) {
        let now = std::time::Instant::now();
        let last = self.told.unwrap_or(self.started);
        if now.duration_since(last).as_millis() < 500 || !io::stderr().is_terminal() {
            return;
        }
        self.told = Some(now);
        let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
        let _ = write!(io::stderr(), "\r{} {number}{of}", self.what);
    }

    fn end(&mut self) {
        if self.told.take().is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_path_is_one_inside_the_workspace() {
        let check = |path: &str, expected: Option<&str>| {
            let found = inside(Path::new(path), Path::new("/home/a/project")).ok();
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
        };
        check("src/main.rs", Some("src/main.rs"));
        check("./src//x/", Some("src/x"));
        check("/home/a/project/src", Some("src"));
        check("/home/a/other", None);
        check("../x", None);
        check("a/../b", None);
    }
}
