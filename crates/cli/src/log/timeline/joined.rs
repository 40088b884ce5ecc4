//! Events about the same attempt, by its number.

use std::collections::{HashMap, HashSet};

use remit_audit::{Event, Kind, Verdict};
use remit_policy::{Choice, Refusal};

use super::row::Row;

#[derive(Default)]
pub(super) struct Joined<'a> {
    /// Attempts that were asked about.
    pub questions: HashSet<u64>,
    /// Attempts that an answer allowed.
    allowed: HashSet<u64>,
    /// By question.
    pub answers: HashMap<u32, Answer<'a>>,
    /// By attempt.
    pub refusals: HashMap<u64, &'a Refusal>,
    /// Of connections, by attempt: when (`mono`), bytes sent, bytes received.
    pub ends: HashMap<u64, (u64, u64, u64)>,
    /// What failed after it was allowed, by attempt.
    pub outcomes: HashMap<u64, Vec<&'a str>>,
}

pub(super) struct Answer<'a> {
    pub choice: Choice,
    pub by: &'a str,
    pub note: Option<&'a str>,
    pub waited_ms: u64,
}

impl<'a> Joined<'a> {
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut joined = Self::default();
        for event in events {
            match &event.event {
                Kind::Question { attempt, .. } => {
                    joined.questions.insert(*attempt);
                }
                Kind::Answer { id, attempt, choice, by, note, waited_ms } => {
                    if *choice != Choice::Refuse {
                        joined.allowed.insert(*attempt);
                    }
                    let note = note.as_deref();
                    // The first answer counted; a later one changed nothing.
                    let answer = Answer { choice: *choice, by, note, waited_ms: *waited_ms };
                    joined.answers.entry(*id).or_insert(answer);
                }
                Kind::Refusal { attempt, refusal, .. } => {
                    joined.refusals.insert(*attempt, refusal);
                }
                Kind::ConnectEnded { attempt, sent, received, .. } => {
                    joined.ends.insert(*attempt, (event.mono, *sent, *received));
                }
                Kind::Outcome { attempt, error } => {
                    joined.outcomes.entry(*attempt).or_default().push(error);
                }
                _ => {}
            }
        }
        joined
    }

    /// Whether a refusal or an unanswered question tells of this attempt, so
    /// that it did not happen and its own event adds nothing.
    pub(super) fn told_elsewhere(&self, attempt: u64, verdict: Verdict) -> bool {
        let unanswered = verdict == Verdict::Ask
            && self.questions.contains(&attempt)
            && !self.allowed.contains(&attempt);
        unanswered || self.refusals.contains_key(&attempt)
    }

    /// The row with what failed after the permit.
    pub(super) fn failures(&self, attempt: u64, row: Row) -> Row {
        let errors = self.outcomes.get(&attempt).into_iter().flatten();
        errors.fold(row, |row, error| row.note(format!("failed: {error}")))
    }
}
