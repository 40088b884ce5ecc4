//! The session's questions and those who can answer them: the popup on its own
//! terminal, and other terminals through the approval socket.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use remit_approvals::{Ask, NotOpen, Posed, QuestionId, Queue};
use remit_policy::Answer;
use tokio::sync::oneshot;

use crate::terminal::Handle;

/// Where questions wait.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    queue: Mutex<Queue<oneshot::Sender<Answer>>>,
    terminal: OnceLock<Handle>,
    /// Questions may wait for another terminal.
    queued: bool,
}

/// A question that was put, and the promise of its answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: QuestionId,
    pub(crate) answer: oneshot::Receiver<Answer>,
}

/// Why nothing was asked, in words that go into the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CannotAsk {
    Nobody,
    TooMany,
}

impl Questions {
    /// `queued`: without a terminal, questions wait for `remit approvals`.
    pub(crate) fn new(queued: bool) -> Self {
        Self {
            queued,
            ..Self::default()
        }
    }

    /// From now on questions pop up on this terminal.
    pub(crate) fn attach(&self, terminal: Handle) {
        // There is one terminal a session; a second is not attached.
        let _ = self.terminal.set(terminal);
    }

    /// Puts a question to whoever can answer.
    pub(crate) fn put(&self, ask: Ask) -> Result<Waiting, CannotAsk> {
        if self.terminal.get().is_none() && !self.queued {
            return Err(CannotAsk::Nobody);
        }
        let (waiter, answer) = oneshot::channel();
        let (id, posed) = {
            let mut queue = self.queue();
            let id = queue.pose(ask, waiter).map_err(|_| CannotAsk::TooMany)?;
            (id, queue.get(id).cloned())
        };
        if let (Some(terminal), Some(posed)) = (self.terminal.get(), posed) {
            terminal.ask(posed);
        }
        Ok(Waiting { id, answer })
    }

    /// Nobody answered in time.
    pub(crate) fn expire(&self, id: QuestionId) {
        self.queue().expire(id);
        self.close(id);
    }

    /// Whether the session's terminal shows a program that owns the whole screen.
    pub(crate) fn screen_is_taken(&self) -> bool {
        self.terminal.get().is_some_and(Handle::is_full_screen)
    }

    pub(crate) fn open(&self) -> Vec<Posed> {
        self.queue().open().cloned().collect()
    }

    pub(crate) fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen> {
        let waiter = self.queue().answer(id, &answer)?;
        // Whoever waited may have given up; the answer then permits nothing.
        let _ = waiter.send(answer);
        self.close(id);
        Ok(())
    }

    fn close(&self, id: QuestionId) {
        if let Some(terminal) = self.terminal.get() {
            terminal.withdraw(id);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Answer>>> {
        // Every change of the queue is one call.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
