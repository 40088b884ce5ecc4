//! Judges whether a record is what was written.
//!
//! One pass over both files, holding one line at a time. Each line must continue
//! the line before it, and each checkpoint must be signed and agree with the
//! chain where it stands. The first thing that does not is named. Where a line
//! and its predecessor disagree, the line after them tells which of the two was
//! changed, since it continues what was really there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use remit_policy::show;

use crate::chain::{self, Digest, MAX_LINE};
use crate::checkpoint::{self, Checkpoint, Flaw, Next};
use crate::event::Kind;
use crate::key::PublicKey;
use crate::read::{self, Line};
use crate::report::{Bad, Fault, Outcome, Report};
use crate::session::SessionId;

/// Verifies the record in a session's directory. `session` is the name it must
/// have and `key` the key that must have signed it; whoever chooses them decides
/// what the result is worth.
pub fn verify(
    directory: &Path,
    session: SessionId,
    key: &PublicKey,
) -> Result<Report, VerifyError> {
    let open = |name: &str| {
        let path = directory.join(name);
        match read::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some).map_err(|source| VerifyError { path, source }),
        }
    };
    let Some(record) = open("record.jsonl")? else {
        return Ok(absent(session, Fault::NoRecord, "there is no `record.jsonl`"));
    };
    let Some(checkpoints) = open("checkpoints")? else {
        return Ok(absent(session, Fault::NoCheckpoints, "there is no file `checkpoints`"));
    };
    as_of_now(checkpoints)
        .and_then(|checkpoints| streams(record, checkpoints, session, key))
        .map_err(|source| VerifyError { path: directory.to_owned(), source })
}

/// No more of a file than there is at this moment. The session may still run:
/// what a checkpoint of this moment covers is in the record by the time we get
/// there; a later one may cover what was written after we had been there.
fn as_of_now(file: BufReader<File>) -> io::Result<io::Take<BufReader<File>>> {
    let length = file.get_ref().metadata()?.len();
    Ok(file.take(length))
}

/// The files could not be read, so nothing is known about them.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}` to verify it", path.display())]
pub struct VerifyError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Verifies the contents of the two files.
pub fn streams(
    record: impl BufRead,
    checkpoints: impl BufRead,
    session: SessionId,
    key: &PublicKey,
) -> io::Result<Report> {
    let mut walk = Walk {
        lines: Lines { from: record, buffer: Vec::new() },
        checkpoints,
        key,
        head: Digest::first(&session),
        before: None,
        next: None,
        report: empty(session),
    };
    match walk.walk() {
        Ok(()) => {}
        Err(Stop::Io(error)) => return Err(error),
        Err(Stop::Bad(bad)) => {
            walk.report.events = bad.record.unwrap_or(walk.report.events).min(walk.report.events);
            walk.report.outcome = Outcome::Bad;
            walk.report.bad = Some(bad);
        }
    }
    walk.report.uncovered = walk.report.events.saturating_sub(walk.report.covered);
    Ok(walk.report)
}

struct Walk<'a, R, C> {
    lines: Lines<R>,
    checkpoints: C,
    key: &'a PublicKey,
    /// Link of the last good line.
    head: Digest,
    /// Link of the line before that.
    before: Option<Digest>,
    /// The checkpoint that the chain has not reached yet.
    next: Option<Checkpoint>,
    report: Report,
}

enum Stop {
    Io(io::Error),
    Bad(Bad),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

impl<R: BufRead, C: BufRead> Walk<'_, R, C> {
    fn walk(&mut self) -> Result<(), Stop> {
        self.load_checkpoint()?;
        if self.next.is_none() {
            let message = "the file `checkpoints` holds no checkpoint".to_owned();
            return Err(bad(None, Fault::NoCheckpoints, message));
        }
        let mut coming = self.lines.next()?;
        loop {
            self.meet_checkpoint(&coming)?;
            let line = std::mem::replace(&mut coming, Seen::End);
            match line {
                Seen::Event(link) => {
                    coming = self.lines.next()?;
                    self.judge(&link, &coming)?;
                    self.before = Some(std::mem::replace(&mut self.head, link.link));
                    self.report.events += 1;
                    self.report.ended = link.last;
                }
                Seen::Unreadable(why) => {
                    let n = self.report.events;
                    let message = format!("record {n} (line {}) is not an event: {why}", n + 1);
                    return Err(bad(Some(n), Fault::NotAnEvent, message));
                }
                Seen::Torn | Seen::End => return self.last(line == Seen::Torn),
            }
        }
    }

    /// Compares the chain with the checkpoint that stands here, if one does.
    fn meet_checkpoint(&mut self, coming: &Seen) -> Result<(), Stop> {
        let n = self.report.events;
        let Some(note) = self.next.filter(|note| note.events == n) else {
            return Ok(());
        };
        let (first, number) = (self.report.covered, self.report.checkpoints + 1);
        if note.head != self.head && n == first {
            return Err(
                self.bad_checkpoint(Fault::CheckpointMalformed, "signs a head that no record has")
            );
        }
        if note.head != self.head {
            let last = format!("record {} (line {n})", n - 1);
            let coming = match coming {
                Seen::Event(next) => Some(next),
                _ => None,
            };
            let (record, fault, who) = if coming.is_some_and(|next| self.replaces_the_last(next)) {
                (n - 1, Fault::Inserted, format!("{last} was inserted: it is"))
            } else if n - first == 1 || coming.is_some_and(|next| next.prev == note.head) {
                (n - 1, Fault::Edited, format!("{last} was changed: it is"))
            } else {
                let run = format!("records {first} to {} fit each other but are", n - 1);
                (first, Fault::Rewritten, run)
            };
            let message = format!("{who} not what checkpoint {number} signed");
            return Err(bad(Some(record), fault, message));
        }
        self.report.covered = n;
        self.report.checkpoints += 1;
        self.load_checkpoint()
    }

    fn judge(&self, line: &Link, coming: &Seen) -> Result<(), Stop> {
        let n = self.report.events;
        let here = format!("record {n} (line {})", n + 1);
        let coming = match coming {
            Seen::Event(next) => Some(next),
            _ => None,
        };
        let (record, fault, message) = if line.session != self.report.session {
            (n, Fault::OtherSession, format!("{here} belongs to session `{}`", line.session))
        } else if line.prev == self.head {
            if line.seq == n && !self.report.ended {
                return Ok(());
            } else if line.seq == n {
                (n, Fault::AfterTheEnd, format!("{here} follows the last word of the session"))
            } else {
                (n, Fault::Edited, format!("{here} was changed: it says it is record {}", line.seq))
            }
        } else if line.seq == n {
            let untouched = coming.is_some_and(|next| next.prev == line.link)
                || self.next.is_some_and(|note| note.events == n + 1 && note.head == line.link);
            if coming.is_some_and(|next| next.seq == n && next.prev == self.head) {
                (
                    n,
                    Fault::Inserted,
                    format!("{here} was inserted: the line after it is the true record {n}"),
                )
            } else if untouched && n > self.report.covered {
                let before = format!("record {} (line {n})", n - 1);
                let message = format!(
                    "{before} was changed, or what follows it was replaced: record {n} continues another"
                );
                (n - 1, Fault::Edited, message)
            } else {
                (
                    n,
                    Fault::Edited,
                    format!("{here} was changed: it does not continue what is before it"),
                )
            }
        } else if line.link == self.head {
            (
                n,
                Fault::Duplicated,
                format!("{here} is missing: record {} stands there twice", line.seq),
            )
        } else if self.replaces_the_last(line) {
            let message = format!(
                "record {0} (line {n}) was inserted: the line after it is the true record {0}",
                line.seq
            );
            (n - 1, Fault::Inserted, message)
        } else if line.seq < n {
            (
                n,
                Fault::Duplicated,
                format!("{here} is missing: record {} stands there again", line.seq),
            )
        } else if coming.is_some_and(|next| next.seq == n) {
            (n, Fault::Reordered, format!("{here} comes after record {}", line.seq))
        } else {
            (n, Fault::Missing, format!("{here} is missing: record {} stands there", line.seq))
        };
        Err(bad(Some(record), fault, message))
    }

    /// Whether this line is what should have stood in place of the one before.
    fn replaces_the_last(&self, line: &Link) -> bool {
        let n = self.report.events;
        line.seq + 1 == n && Some(line.prev) == self.before && n > self.report.covered
    }

    fn last(&mut self, torn: bool) -> Result<(), Stop> {
        let n = self.report.events;
        if let Some(note) = self.next {
            let cut = if torn { "in the middle of" } else { "before" };
            let message = format!(
                "record {n} (line {}) is missing: the file ends {cut} it, and checkpoint {} covers {} records",
                n + 1,
                self.report.checkpoints + 1,
                note.events
            );
            return Err(bad(Some(n), Fault::Truncated, message));
        }
        self.report.incomplete_event = torn;
        Ok(())
    }

    fn load_checkpoint(&mut self) -> Result<(), Stop> {
        let (fault, what) =
            match checkpoint::read(&mut self.checkpoints, &self.report.session, self.key)? {
                Next::Note(note)
                    if self.report.checkpoints > 0 && note.events <= self.report.covered =>
                {
                    (Fault::CheckpointOrder, "covers no more than the one before it")
                }
                Next::Note(note) => {
                    self.next = Some(note);
                    return Ok(());
                }
                end @ (Next::End | Next::Torn) => {
                    self.next = None;
                    self.report.incomplete_checkpoint = end == Next::Torn;
                    return Ok(());
                }
                Next::Bad(Flaw::Malformed) => {
                    (Fault::CheckpointMalformed, "is not in the form of a checkpoint")
                }
                Next::Bad(Flaw::OtherSession) => {
                    (Fault::CheckpointOtherSession, "belongs to another session")
                }
                Next::Bad(Flaw::OtherKey) => {
                    (Fault::CheckpointOtherKey, "was signed by another key")
                }
                Next::Bad(Flaw::Signature) => {
                    (Fault::CheckpointSignature, "was changed: its signature does not fit")
                }
            };
        Err(self.bad_checkpoint(fault, what))
    }

    /// A bad one among the checkpoints: the first that has not been counted.
    fn bad_checkpoint(&self, fault: Fault, what: &str) -> Stop {
        let number = self.report.checkpoints + 1;
        let message = format!("checkpoint {number} {what}");
        Stop::Bad(Bad { record: None, line: None, checkpoint: Some(number), fault, message })
    }
}

fn bad(record: Option<u64>, fault: Fault, message: String) -> Stop {
    Stop::Bad(Bad { record, line: record.map(|n| n + 1), checkpoint: None, fault, message })
}

/// What stands in a line, as far as the chain is concerned.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Event(Link),
    Unreadable(String),
    Torn,
    End,
}

#[derive(Debug, PartialEq, Eq)]
struct Link {
    seq: u64,
    session: SessionId,
    prev: Digest,
    link: Digest,
    /// Whether it is the session's last word.
    last: bool,
}

struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Seen> {
        Ok(match read::next(&mut self.from, &mut self.buffer, MAX_LINE)? {
            Line::End => Seen::End,
            Line::Torn => Seen::Torn,
            Line::TooLong => Seen::Unreadable("it is longer than any event".to_owned()),
            Line::Whole => match chain::decode(&self.buffer) {
                Ok(event) => Seen::Event(Link {
                    seq: event.seq,
                    session: event.session,
                    prev: event.prev,
                    link: Digest::of(&self.buffer),
                    last: matches!(event.event, Kind::SessionEnded { .. }),
                }),
                // The reason may quote the file, which anybody may have written.
                Err(why) => {
                    Seen::Unreadable(show::line(&why.to_string()).chars().take(160).collect())
                }
            },
        })
    }
}

fn empty(session: SessionId) -> Report {
    Report {
        session,
        outcome: Outcome::Intact,
        bad: None,
        events: 0,
        covered: 0,
        uncovered: 0,
        checkpoints: 0,
        ended: false,
        incomplete_event: false,
        incomplete_checkpoint: false,
    }
}

fn absent(session: SessionId, fault: Fault, what: &str) -> Report {
    let bad = Bad { record: None, line: None, checkpoint: None, fault, message: what.to_owned() };
    Report { outcome: Outcome::Bad, bad: Some(bad), ..empty(session) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_comes_while_we_read_is_not_read() {
        let state = tempfile::tempdir().expect("a directory");
        let path = state.path().join("checkpoints");
        std::fs::write(&path, "then").expect("written");
        let mut reader = as_of_now(read::open(&path).expect("opened")).expect("measured");
        std::fs::write(&path, "then and now").expect("written");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "then");
    }
}
