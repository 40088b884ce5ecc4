//! The session's questions and those who can answer them: the popup on its own
//! terminal, other terminals through the approval socket, and a webhook.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use std::io::Write as _;
use std::time::Duration;

use remit_approvals::keys::Piece;
use remit_approvals::webhook::{Hook, Webhook};
use remit_approvals::wire::{BreakGlass, Outcome};
use remit_approvals::{Ask, Heard, NotOpen, Posed, QuestionId, Queue, notification, wire};
use remit_audit::Kind;
use remit_policy::{Answer, Choice};
use remit_sandbox::Control;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::oneshot;

use crate::gate::Gate;
use crate::terminal::{Handle, TerminalDesk};

/// Where questions wait.
#[derive(Default)]
pub(crate) struct Questions {
    queue: Mutex<Queue<oneshot::Sender<Answer>>>,
    terminal: OnceLock<Handle>,
    /// Questions may wait for another terminal.
    queued: bool,
    elsewhere: Elsewhere,
    /// Where answers from elsewhere arrive.
    hook: OnceLock<Arc<dyn Hook>>,
}

/// Who else hears of questions.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    pub(crate) webhook: Option<Arc<Webhook>>,
    /// Whether the desktop shows a notice.
    pub(crate) desktop: bool,
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

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Questions").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Questions {
    /// `queued`: without a terminal, questions wait for `remit approvals`.
    pub(crate) fn new(queued: bool, elsewhere: Elsewhere) -> Self {
        Self { queued, elsewhere, ..Self::default() }
    }

    /// From now on questions go to the webhook, and its answers there.
    pub(crate) fn listen(&self, hook: Arc<dyn Hook>) {
        // There is one desk a session; a second is not listened to.
        let _ = self.hook.set(hook);
    }

    /// From now on questions pop up on this terminal.
    pub(crate) fn attach(&self, terminal: Handle) {
        // There is one terminal a session; a second is not attached.
        let _ = self.terminal.set(terminal);
    }

    /// Puts a question to whoever can answer, for so long.
    pub(crate) fn put(&self, ask: Ask, patience: Duration) -> Result<Waiting, CannotAsk> {
        if !self.has_person() {
            return Err(CannotAsk::Nobody);
        }
        let waiting = self.hold(ask)?;
        self.show(waiting.id, patience);
        Ok(waiting)
    }

    /// Whether a person can be asked without looking for questions.
    pub(crate) fn has_person(&self) -> bool {
        self.terminal.get().is_some() || self.queued || self.webhook().is_some()
    }

    fn webhook(&self) -> Option<(&Arc<Webhook>, &Arc<dyn Hook>)> {
        self.elsewhere.webhook.as_ref().zip(self.hook.get())
    }

    /// Opens a question without showing it. It is in the list, and who answers first
    /// answers it.
    pub(crate) fn hold(&self, ask: Ask) -> Result<Waiting, CannotAsk> {
        let (waiter, answer) = oneshot::channel();
        let id = self.queue().pose(ask, waiter).map_err(|_| CannotAsk::TooMany)?;
        Ok(Waiting { id, answer })
    }

    /// Shows an open question to the person, for so long.
    pub(crate) fn show(&self, id: QuestionId, patience: Duration) {
        let Some(posed) = self.queue().get(id).cloned() else { return };
        if let Some((webhook, hook)) = self.webhook() {
            webhook.send(posed.clone(), patience, Arc::clone(hook));
        }
        if self.elsewhere.desktop {
            let class = posed.findings.first().map_or(&posed.kind, |finding| &finding.class);
            notification::show("remit asks", class);
        }
        if let Some(terminal) = self.terminal.get() {
            terminal.ask(posed);
        }
    }

    /// Breaks the glass, or makes it whole: other terms hold, and are shown.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.queue().set_broken(broken);
        if let Some(terminal) = self.terminal.get() {
            self.open().into_iter().for_each(|posed| terminal.ask(posed));
        }
    }

    /// Says something to the person, where they sit.
    pub(crate) fn say(&self, words: String) {
        match self.terminal.get() {
            Some(terminal) => terminal.say(words),
            None => drop(writeln!(std::io::stderr().lock(), "remit: {words}")),
        }
    }

    /// Says something everywhere, asked for or not.
    pub(crate) fn alarm(&self, class: &'static str, session: &str, words: &str) {
        self.say(words.to_owned());
        notification::show("remit", class);
        if let Some(webhook) = &self.elsewhere.webhook {
            let at = jiff::Timestamp::now().as_second();
            let data = serde_json::json!({ "session": session, "words": words });
            let event = serde_json::json!({ "type": class, "timestamp": at, "data": data });
            let webhook = Arc::clone(webhook);
            // Without a thread it is told less loudly.
            let told = std::thread::Builder::new().name("alarm".to_owned());
            let _ = told.spawn(move || webhook.tell(&event));
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

    /// Hears an answer. True where it closed a question that somebody still waits
    /// for.
    pub(crate) fn hear(&self, id: QuestionId, answer: &Answer) -> Result<(Outcome, bool), NotOpen> {
        let heard = self.queue().answer(id, answer)?;
        match heard {
            Heard::Decided { waiter, answer } => {
                // Whoever waited may have given up; the answer then permits nothing.
                let is_awaited = waiter.send(answer).is_ok();
                self.close(id);
                Ok((Outcome::Decided, is_awaited))
            }
            Heard::Waits { more } => {
                let posed = self.queue().get(id).cloned();
                if let (Some(terminal), Some(posed)) = (self.terminal.get(), posed) {
                    terminal.ask(posed);
                }
                Ok((Outcome::Waits { more }, true))
            }
        }
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

impl Desk {
    /// Hears an answer, wherever it comes from. What comes too late is written down.
    fn hear(&self, id: QuestionId, answer: Answer) -> Result<Outcome, NotOpen> {
        let Answer { choice, by, note, .. } = answer.clone();
        let heard = self.gate.questions.hear(id, &answer);
        let event = match &heard {
            Ok((Outcome::Waits { more }, _)) => {
                Some(Kind::Agreed { id: id.into(), choice, by, note, more: *more })
            }
            Ok((Outcome::Decided, is_awaited)) => {
                // Else whoever waits writes it down, and then ends the session.
                if choice == Choice::Stop && !is_awaited {
                    self.gate.stop(&by);
                }
                None
            }
            Err(NotOpen::Unknown { .. }) => None,
            Err(why) if why.is_still_open() => None,
            Err(why) => {
                let why = why.to_string();
                Some(Kind::LateAnswer { id: id.into(), choice, by, note, why })
            }
        };
        if let Some(event) = event {
            // A record that fails here ends the session.
            let _ = self.gate.journal.write(event);
        }
        heard.map(|(outcome, _)| outcome)
    }
}

impl Hook for Desk {
    fn is_open(&self, posed: &Posed) -> bool {
        self.gate.questions.queue().get(posed.id).is_some()
    }

    fn answer(&self, posed: &Posed, answer: Answer) {
        let by = answer.by.clone();
        if let Err(why) = self.hear(posed.id, self.gate.vouched(answer))
            && why.is_still_open()
        {
            self.ignored(posed, &format!("from {by}: {why}"));
        }
    }

    fn ignored(&self, posed: &Posed, why: &str) {
        let (id, from) = (posed.id.into(), "the webhook".to_owned());
        // A record that fails here ends the session.
        let _ = self.gate.journal.write(Kind::IgnoredAnswer { id, from, why: why.to_owned() });
    }
}

impl TerminalDesk for Desk {
    fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen> {
        self.hear(id, answer).map(drop)
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

    fn answer(&self, id: QuestionId, answer: Answer) -> Result<Outcome, NotOpen> {
        self.hear(id, answer)
    }

    fn break_glass(&self, wish: BreakGlass) -> Result<String, String> {
        self.gate.break_glass(wish)
    }
}
