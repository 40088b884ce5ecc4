//! `remit log`: what is in the records, for a person and for programs.
//!
//! Exit status: 0 if all went well; 1 if a record does not verify, or there is
//! no such session (an error, for the caller to report).

mod list;
mod show;
mod timeline;
pub(crate) mod units;
mod verify;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::tz::TimeZone;
use remit_approvals::words;
use remit_audit::{Event, KeyError, ReadError, SessionId, VerifyError};

use timeline::{Colours, Page};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LogCommand {
    /// List the recorded sessions, newest first
    List {
        /// One JSON object per session and line
        #[arg(long)]
        json: bool,
    },
    /// Show every event of a session in full
    Show {
        /// A session, the beginning of its name, or `latest`
        #[arg(default_value = LATEST)]
        session: String,
        /// One JSON object per event and line, as recorded
        #[arg(long)]
        json: bool,
    },
    /// Tell what happened in a session
    Timeline {
        /// A session, the beginning of its name, or `latest`
        #[arg(default_value = LATEST)]
        session: String,
    },
    /// Check that nothing was changed, removed or added since it was recorded
    Verify {
        /// A session, the beginning of its name, or `latest`
        #[arg(default_value = LATEST, conflicts_with = "all")]
        session: String,
        /// Check every session
        #[arg(long)]
        all: bool,
        /// The public key that must have signed, instead of this device's own
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// One JSON object per session and line
        #[arg(long)]
        json: bool,
    },
}

/// In the place of a session's name: the newest one.
pub(crate) const LATEST: &str = "latest";

/// Why the records cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("cannot list the records in `{}`", path.display())]
    State { path: PathBuf, source: io::Error },
    #[error("no session is recorded in `{}` yet; start one with `remit run`", path.display())]
    NoSessions { path: PathBuf },
    #[error("no recorded session is named `{}`; `remit log list` lists them", words::plain(name))]
    NotFound { name: String },
    #[error("`{}` could be `{first}` or `{second}`; give more of the name", words::plain(name))]
    Ambiguous { name: String, first: SessionId, second: SessionId },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot write to standard output")]
    Write(#[from] io::Error),
}

/// Does what the command says with the records under `state`.
pub(crate) fn run(command: LogCommand, state: &Path) -> Result<ExitCode, LogError> {
    let mut out = Out::new(io::stdout().lock());
    match command {
        LogCommand::List { json } => {
            let sessions = sessions(state)?;
            if sessions.is_empty() && !json {
                let none = LogError::NoSessions { path: state.to_owned() };
                writeln!(io::stderr(), "{none}")?;
            }
            list::write(&mut out, state, &sessions, &page(), json)?;
        }
        LogCommand::Show { session, json } => {
            let session = find(state, &session)?;
            show::write(&mut out, &session.directory(state), json)?;
        }
        LogCommand::Timeline { session } => {
            let directory = find(state, &session)?.directory(state);
            let (events, problem) = load(&directory)?;
            out.write_all(timeline::render(&events, &page()).as_bytes())?;
            if let Some(problem) = problem {
                out.flush()?;
                return Err(problem.into());
            }
        }
        LogCommand::Verify { session, all, key, json } => {
            let chosen = if all { sessions(state)? } else { vec![find(state, &session)?] };
            let key = key.unwrap_or_else(|| state.join("key.pub"));
            return verify::write(&mut out, state, &chosen, &key, json);
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn sessions(state: &Path) -> Result<Vec<SessionId>, LogError> {
    remit_audit::sessions(state)
        .map_err(|source| LogError::State { path: state.to_owned(), source })
}

/// The sessions that these names mean, each once, in the order of the names.
pub(crate) fn chosen(state: &Path, names: &[String]) -> Result<Vec<SessionId>, LogError> {
    let mut chosen = Vec::new();
    for name in names {
        let session = find(state, name)?;
        if !chosen.contains(&session) {
            chosen.push(session);
        }
    }
    Ok(chosen)
}

/// The one session that `name` means: its whole name, the beginning of no other
/// session's name, or `latest`.
fn find(state: &Path, name: &str) -> Result<SessionId, LogError> {
    find_among(sessions(state)?, state, name)
}

/// The same among these sessions, which are sorted by name.
pub(crate) fn find_among(
    mut sessions: Vec<SessionId>,
    state: &Path,
    name: &str,
) -> Result<SessionId, LogError> {
    let Some(newest) = sessions.last().copied() else {
        return Err(LogError::NoSessions { path: state.to_owned() });
    };
    if name == LATEST {
        return Ok(newest);
    }
    sessions.retain(|session| session.as_str().starts_with(name));
    // A whole name that another one begins with sorts before it.
    match sessions[..] {
        [only] => Ok(only),
        [first, ..] if first.as_str() == name => Ok(first),
        [first, second, ..] => Err(LogError::Ambiguous { name: name.to_owned(), first, second }),
        [] => Err(LogError::NotFound { name: name.to_owned() }),
    }
}

/// The events up to the first that cannot be read, and why that one cannot.
fn load(directory: &Path) -> Result<(Vec<Event>, Option<ReadError>), ReadError> {
    let mut events = Vec::new();
    for event in remit_audit::events(directory)? {
        match event {
            Ok(event) => events.push(event),
            Err(problem) => return Ok((events, Some(problem))),
        }
    }
    Ok((events, None))
}

/// How standard output wants to be written to.
fn page() -> Page {
    let stdout = io::stdout();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = if stdout.is_terminal() && !plain { Colours::On } else { Colours::Off };
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    let width = if columns == 0 { 80 } else { columns };
    Page { width, colours, zone: TimeZone::system() }
}

/// An output whose reader may go away, as `head` does: the rest is then dropped.
pub(crate) struct Out<W: Write> {
    to: io::BufWriter<W>,
    gone: bool,
}

impl<W: Write> Out<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to: io::BufWriter::new(to), gone: false }
    }

    fn unless_gone<T: Default>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(instead)
            }
            result => result,
        }
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let written = self.to.write(bytes);
        self.unless_gone(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let flushed = self.to.flush();
        self.unless_gone(flushed, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(names: &[&str]) -> tempfile::TempDir {
        let state = tempfile::tempdir().expect("a directory");
        for name in names {
            std::fs::create_dir_all(state.path().join("sessions").join(name)).expect("made");
        }
        state
    }

    #[test]
    fn a_session_is_found_by_any_beginning_that_only_it_has() {
        let state = state(&["20261120-a", "20261121-b", "20261121-bc", "not a session"]);
        let found = |name: &str| find(state.path(), name).map(|session| session.to_string());
        assert_eq!(found("latest").expect("found"), "20261121-bc");
        assert_eq!(found("20261120").expect("found"), "20261120-a");
        assert_eq!(found("20261121-b").expect("found"), "20261121-b");
        assert!(matches!(found("2026"), Err(LogError::Ambiguous { .. })));
        assert!(matches!(found("2027\u{1b}"), Err(LogError::NotFound { .. })));
        let none = self::state(&[]);
        assert!(matches!(find(none.path(), "latest"), Err(LogError::NoSessions { .. })));
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut out = Out::new(writer);
        for _ in 0..3 {
            out.write_all(&[b'x'; 100_000]).expect("dropped");
        }
        out.flush().expect("dropped");
        assert!(out.gone);
    }
}
