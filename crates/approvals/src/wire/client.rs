//! Asks on the approval socket.

use std::io::{self, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use remit_policy::Choice;
use rustix::fs::{Mode, OFlags};

use super::{Outcome, REPLY_LIMIT, Reply, Request, read_line, to_line};
use crate::queue::{NotOpen, Posed, QuestionId};

/// How long a session may take to reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to one session's questions. Blocking; use it and drop it, the
/// session closes it after 10 seconds.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Talking to a session failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to `{}`", path.display())]
    Connect { path: PathBuf, source: io::Error },
    #[error("cannot talk to the session at `{}`", path.display())]
    Talk { path: PathBuf, source: io::Error },
    #[error("the session at `{}` closed the connection without a reply", path.display())]
    Closed { path: PathBuf },
    #[error("the session at `{}` replied with something that is not a reply", path.display())]
    Reply { path: PathBuf, source: serde_json::Error },
    #[error("the session at `{}` gave a reply to another request", path.display())]
    Mismatch { path: PathBuf },
    #[error("the session at `{}` rejected the request: {}", path.display(), remit_policy::show::line(reason))]
    Rejected { path: PathBuf, reason: String },
}

/// An answer did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It came too late.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The glass was not broken.
#[derive(Debug, thiserror::Error)]
pub enum BreakError {
    #[error("the glass stays whole: {}", remit_policy::show::line(.0))]
    Refused(String),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A socket's address holds at most 107 bytes of path; its directory's
/// descriptor gives it a short name.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())?;
    let short = format!("/proc/self/fd/{}", directory.as_raw_fd());
    UnixStream::connect(Path::new(&short).join(name))
}

impl Client {
    /// Connects, however long the path is. A refused connection, whose source is
    /// [`io::ErrorKind::ConnectionRefused`], is the socket of a session that ended.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let error = |source| ClientError::Connect { path: path.to_owned(), source };
        let stream = connect(path).map_err(error)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(error)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(error)?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned() })
    }

    /// The open questions, oldest first. Their texts are as the session sent
    /// them: escape them before a terminal sees them.
    pub fn list(&mut self) -> Result<Vec<Posed>, ClientError> {
        match self.ask(&Request::List {})? {
            Reply::Open { questions } => Ok(questions),
            reply => Err(self.unexpected(reply)),
        }
    }

    /// Answers a question. The session fills in who answered.
    pub fn answer(
        &mut self,
        id: QuestionId,
        choice: Choice,
        note: Option<String>,
    ) -> Result<Outcome, AnswerError> {
        match self.ask(&Request::Answer { id, choice, note })? {
            Reply::Answered { id: answered, outcome } if answered == id => Ok(outcome),
            Reply::NotOpen(not_open) => Err(not_open.into()),
            reply => Err(self.unexpected(reply).into()),
        }
    }

    /// Lifts the limits on answers for a while, in whole seconds. Returns when they
    /// hold again, RFC 3339.
    pub fn break_glass(&mut self, length: Duration, reason: String) -> Result<String, BreakError> {
        match self.ask(&Request::BreakGlass { seconds: length.as_secs(), reason })? {
            Reply::Broken { until } => Ok(until),
            Reply::NotBroken { why } => Err(BreakError::Refused(why)),
            reply => Err(self.unexpected(reply).into()),
        }
    }

    /// Puts a question that a reviewer refused to a person. Returns the number it
    /// has now.
    pub fn appeal(&mut self, id: QuestionId) -> Result<QuestionId, AnswerError> {
        match self.ask(&Request::Appeal { id })? {
            Reply::Appealed { id } => Ok(id),
            Reply::NotOpen(not_open) => Err(not_open.into()),
            reply => Err(self.unexpected(reply).into()),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let talk = |source| ClientError::Talk { path: self.path.clone(), source };
        let line = to_line(request).map_err(talk)?;
        // A session that rejects a request mid-way still says why.
        let sent = self.stream.get_mut().write_all(&line);
        let reply = match read_line(&mut self.stream, REPLY_LIMIT) {
            Ok(Some(reply)) => reply,
            Ok(None) => {
                return Err(ClientError::Closed { path: self.path.clone() });
            }
            Err(source) => return Err(talk(sent.err().unwrap_or(source))),
        };
        serde_json::from_slice(&reply)
            .map_err(|source| ClientError::Reply { path: self.path.clone(), source })
    }

    fn unexpected(&self, reply: Reply) -> ClientError {
        let path = self.path.clone();
        match reply {
            Reply::Rejected { reason } => ClientError::Rejected { path, reason },
            _ => ClientError::Mismatch { path },
        }
    }
}
