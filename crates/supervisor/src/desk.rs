//! The session's questions and those who can answer them: the popup on its own
//! terminal, and other terminals through the approval socket.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use remit_approvals::keys::Piece;
use remit_approvals::{Ask, NotOpen, Posed, QuestionId, Queue, wire};
use remit_policy::Answer;
use remit_sandbox::Control;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::oneshot;

use crate::gate::Gate;
use crate::terminal::{Handle, TerminalDesk};

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
        Self { queued, ..Self::default() }
    }

    /// From now on questions pop up on this terminal.
    pub(crate) fn attach(&self, terminal: Handle) {
        // There is one terminal a session; a second is not attached.
        let _ = self.terminal.set(terminal);
    }

    /// Puts a question to whoever can answer.
    pub(crate) fn put(&self, ask: Ask) -> Result<Waiting, CannotAsk> {
        if !self.has_person() {
            return Err(CannotAsk::Nobody);
        }
        let waiting = self.hold(ask)?;
        self.show(waiting.id);
        Ok(waiting)
    }

    /// Whether a person can be asked without looking for questions.
    pub(crate) fn has_person(&self) -> bool {
        self.terminal.get().is_some() || self.queued
    }

    /// Opens a question without showing it. It is in the list, and who answers first
    /// answers it.
    pub(crate) fn hold(&self, ask: Ask) -> Result<Waiting, CannotAsk> {
        let (waiter, answer) = oneshot::channel();
        let id = self.queue().pose(ask, waiter).map_err(|_| CannotAsk::TooMany)?;
        Ok(Waiting { id, answer })
    }

    /// Shows an open question to the person.
    pub(crate) fn show(&self, id: QuestionId) {
        let posed = self.queue().get(id).cloned();
        if let (Some(terminal), Some(posed)) = (self.terminal.get(), posed) {
            terminal.ask(posed);
        }
    }

    /// Nobody answered in time.
    pub(crate) fn expire(&self, id: QuestionId) {
        self.queue().expire(id);
        self.close(id);
    }

    /// The one who asked is gone.
    pub(crate) fn withdraw(&self, id: QuestionId) {
        self.queue().withdraw(id);
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

/// Where answers and signals arrive.
#[derive(Debug)]
pub(crate) struct Desk {
    gate: Arc<Gate>,
    control: Arc<Control>,
    /// Whether a signal was passed on already; the next one ends the session.
    signalled: AtomicBool,
}

impl Desk {
    pub(crate) fn new(gate: Arc<Gate>, control: Arc<Control>) -> Self {
        Self { gate, control, signalled: AtomicBool::new(false) }
    }

    /// Passes a signal on to the command's process group; the second one ends
    /// the session, as does the first before there is a command.
    pub(crate) fn signal(&self, signal: i32) {
        let again = self.signalled.swap(true, Ordering::Relaxed);
        let group = self.gate.command.get().and_then(|process| Pid::from_raw(*process as i32));
        let passed = match (group, Signal::from_named_raw(signal)) {
            (Some(group), Some(signal)) if !again => kill_process_group(group, signal).is_ok(),
            _ => false,
        };
        if !passed {
            self.control.end();
        }
    }
}

impl TerminalDesk for Desk {
    fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen> {
        self.gate.questions.answer(id, answer)
    }

    fn resume(&self) {
        // Fails only when the session is over.
        let _ = self.control.resume();
    }

    fn signalled(&self, signal: i32) {
        self.signal(signal);
    }

    fn typed(&self, pieces: &[Piece]) {
        self.gate.reviewing.heard(pieces);
    }
}

impl wire::Desk for Desk {
    fn appeal(&self, id: QuestionId) -> Result<QuestionId, NotOpen> {
        self.gate.appeal(id)
    }

    fn open(&self) -> Vec<Posed> {
        self.gate.questions.open()
    }

    fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen> {
        self.gate.questions.answer(id, answer)
    }
}
