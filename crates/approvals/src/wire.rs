//! The approval socket: the same questions, from another terminal.
//!
//! A Unix stream socket in a directory that only its owner may enter, outside
//! the boundary. One JSON object per line each way; unknown keys refuse. Who
//! answered is what the kernel says about the peer, never what the peer says.
//!
//! It does not protect against the person's own other programs: whatever runs
//! as the same user, outside the boundary, may answer.

mod client;
mod peer;
mod server;

use std::io::{self, BufRead, Read as _};
use std::time::Duration;

use remit_policy::{Answer, Choice};
use serde::{Deserialize, Serialize};

use crate::queue::{NotOpen, Posed, QuestionId};

pub use client::{AnswerError, BreakError, Client, ClientError};
pub use peer::{local, person};
pub use server::{Server, serve};

/// Where answers end up.
pub trait Desk: Send + Sync {
    /// The open questions, oldest first.
    fn open(&self) -> Vec<Posed>;

    /// Answers one.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if it takes no answer any more.
    fn answer(&self, id: QuestionId, answer: Answer) -> Result<Outcome, NotOpen>;

    /// Puts a question that a reviewer refused to a person, once. Returns the number
    /// it has now.
    ///
    /// # Errors
    ///
    /// [`NotOpen::NotAppealed`] if no reviewer refused it, or it was appealed before.
    fn appeal(&self, id: QuestionId) -> Result<QuestionId, NotOpen> {
        Err(NotOpen::NotAppealed { id })
    }

    /// Lifts the limits on answers for a while. Returns when they hold again, RFC
    /// 3339. The error says why not, in words for a person.
    fn break_glass(&self, _: BreakGlass) -> Result<String, String> {
        Err("nobody may break the glass here".to_owned())
    }
}

/// What an answer that was taken came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The question is closed.
    Decided,
    /// So many more people must say yes.
    Waits { more: u8 },
}

/// A wish to lift the limits on answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    /// Who wishes it and where, as in an answer.
    pub by: String,
    /// The stable name.
    pub person: String,
    pub length: Duration,
    pub reason: String,
}

/// Longest request, in bytes.
const REQUEST_LIMIT: u64 = 64 * 1024;

/// Longest reply, in bytes: a full queue of the longest questions fits.
const REPLY_LIMIT: u64 = 64 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    List {},
    Answer {
        id: QuestionId,
        choice: Choice,
        #[serde(default)]
        note: Option<String>,
    },
    BreakGlass {
        seconds: u64,
        reason: String,
    },
    Appeal {
        id: QuestionId,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Reply {
    Open {
        questions: Vec<Posed>,
    },
    Answered {
        id: QuestionId,
        outcome: Outcome,
    },
    Broken {
        until: String,
    },
    /// The glass stays whole.
    NotBroken {
        why: String,
    },
    /// A question that a reviewer refused is open again under this number.
    Appealed {
        id: QuestionId,
    },
    NotOpen(NotOpen),
    /// The request was not understood.
    Rejected {
        reason: String,
    },
}

/// Reads one line without its end. None at the end of the stream.
fn read_line(stream: &mut impl BufRead, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    stream.take(limit + 1).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() as u64 >= limit => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line is longer than {limit} bytes"),
        )),
        Some(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the last line has no end")),
    }
}

fn to_line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
