//! What verifying a record found.

use std::fmt;

use serde::Serialize;

use crate::session::SessionId;

/// What verifying found. Its JSON form is stable: fields are added, not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub session: SessionId,
    pub outcome: Outcome,
    /// What is wrong, where the outcome is bad.
    pub bad: Option<Bad>,
    /// Events that were found good.
    pub events: u64,
    /// How many of them a checkpoint covers.
    pub covered: u64,
    /// How many stand after the last checkpoint: chained, and not yet signed.
    pub uncovered: u64,
    /// Good checkpoints.
    pub checkpoints: u64,
    /// Whether the last event is the session's last word. If not, the
    /// supervisor died or still runs.
    pub ended: bool,
    /// Whether the file ends in the middle of a line, after the last checkpoint.
    pub incomplete_event: bool,
    /// Whether the checkpoints end in the middle of one.
    pub incomplete_checkpoint: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every byte that a checkpoint covers is as it was signed, and what
    /// follows continues it. It says nothing about events that were cut off
    /// together with their checkpoints.
    Intact,
    Bad,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// The number (`seq`) the first bad record has or should have.
    pub record: Option<u64>,
    /// Its line in `record.jsonl`, from 1.
    pub line: Option<u64>,
    /// The first bad checkpoint in `checkpoints`, from 1.
    pub checkpoint: Option<u64>,
    pub fault: Fault,
    /// The same in a sentence.
    pub message: String,
}

/// In what way something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The line cannot be read as an event.
    NotAnEvent,
    /// The line was changed after it was written.
    Edited,
    /// A record that should be here is not.
    Missing,
    /// A record that was not written stands here.
    Inserted,
    /// A record that stood before stands here again.
    Duplicated,
    /// Records stand in another order.
    Reordered,
    /// The record belongs to another session.
    OtherSession,
    /// Something follows the session's last word.
    AfterTheEnd,
    /// A run of records was written anew: they fit each other and not the
    /// checkpoint over them. The named one is the first of the run.
    Rewritten,
    /// There are fewer records than a checkpoint covers.
    Truncated,
    NoRecord,
    NoCheckpoints,
    /// It is not in the form of a checkpoint.
    CheckpointMalformed,
    CheckpointOtherSession,
    CheckpointOtherKey,
    /// It was changed after it was signed.
    CheckpointSignature,
    /// It covers no more than the one before.
    CheckpointOrder,
}

impl fmt::Display for Report {
    /// One line without its newline, such as `intact: 12 events, all covered by
    /// 3 checkpoints`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bad) = &self.bad {
            return write!(f, "bad: {}", bad.message);
        }
        write!(f, "intact: {}, ", count(self.events, "event"))?;
        match self.uncovered {
            0 => write!(f, "all covered by {}", count(self.checkpoints, "checkpoint"))?,
            some => {
                write!(
                    f,
                    "{} covered by {}, ",
                    self.covered,
                    count(self.checkpoints, "checkpoint")
                )?;
                write!(f, "{some} not yet covered")?;
            }
        }
        if self.incomplete_event {
            write!(f, "; the last line is incomplete")?;
        }
        if self.incomplete_checkpoint {
            write!(f, "; the last checkpoint is incomplete")?;
        }
        if !self.ended {
            write!(f, "; ended without a last word (the supervisor died or still runs)")?;
        }
        Ok(())
    }
}

fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}
