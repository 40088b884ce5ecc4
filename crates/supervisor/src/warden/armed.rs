//! Programs on their way: let go and not yet compared, or refused a moment ago.

use std::collections::VecDeque;

use remit_approvals::QuestionId;
use remit_policy::Exec;

use crate::exec::{Bound, Streams};
use crate::process::Facts;
use crate::resolve::Identity;

/// A program that was let go and must be what was judged.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) attempt: u64,
    pub(super) facts: Facts,
    pub(super) judged: Exec,
    pub(super) identity: Option<Identity>,
    pub(super) streams: Streams,
    /// What was shown to somebody who said yes, now or before in this session.
    /// None of it may have changed.
    pub(super) bound: Option<Bound>,
    /// The attempt that it waits at its stop for, if somebody is asked.
    pub(super) asked: Option<u64>,
    pub(super) question: Option<QuestionId>,
}

impl Armed {
    pub(super) fn new(attempt: u64, facts: Facts, judged: Exec, way: Way) -> Self {
        let Way { identity, streams, bound } = way;
        Self { attempt, facts, judged, identity, streams, bound, asked: None, question: None }
    }

    /// The facts of the process that it has become.
    pub(super) fn as_started(&self, process: u32) -> Facts {
        Facts { process, ..self.facts.clone() }
    }
}

/// What is known of a program about to start besides the attempt.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) identity: Option<Identity>,
    pub(super) streams: Streams,
    pub(super) bound: Option<Bound>,
}

/// The last refusals. A shell that is refused a program tries the same file
/// again by the next directory of PATH; that is one attempt, not two questions.
#[derive(Debug, Default)]
pub(super) struct RecentlyRefused(VecDeque<(u32, u64, Exec, Option<Identity>)>);

impl RecentlyRefused {
    /// As many as there may be processes in the middle of such a search.
    const MOST: usize = 64;

    pub(super) fn remember(&mut self, facts: &Facts, exec: Exec, identity: Option<Identity>) {
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((facts.process, facts.started, exec, identity));
    }

    /// Whether the same process was refused the same arguments a moment ago.
    pub(super) fn holds_like(&self, facts: &Facts, tried: &Exec) -> bool {
        self.0.iter().any(|(process, started, exec, _)| {
            (*process, *started) == (facts.process, facts.started)
                && exec.argv == tried.argv
                && exec.path != tried.path
        })
    }

    /// Whether the same process tries the same file with the same arguments.
    pub(super) fn holds(&self, facts: &Facts, tried: &Exec, identity: Option<Identity>) -> bool {
        identity.is_some()
            && self.0.iter().any(|(process, started, exec, file)| {
                (*process, *started, *file) == (facts.process, facts.started, identity)
                    && exec.argv == tried.argv
                    && exec.path != tried.path
            })
    }
}
