//! The person's terminal: what the program shows, what the person types, and
//! questions in between.
//!
//! The program runs on a pseudo-terminal of ours. What the person types passes
//! as it is, but for marks within a paste that would end it. What the program
//! prints passes as far as it cannot harm the terminal, and what it left on in
//! the terminal is switched off when the command has ended.
//!
//! A question holds the program's output back, draws a popup, takes the
//! person's keys, puts the screen back and lets the output go on.
//!
//! On the alternate screen, where full-screen programs live, everything shown
//! since it was entered is known, and the popup's cells are painted again from
//! that knowledge. The normal screen also shows what was there before us, so
//! there the popup borrows the alternate screen and the terminal itself puts
//! everything back, scrollback and reflow included.
//!
//! What it does not do: attributes beyond colour, weight, slant, underline and
//! inverse (strike-through, links, images) are lost under a popup on the
//! alternate screen until the program paints there again. On the normal
//! screen, a cursor that the program saved before the popup and restores only
//! after it comes back where the cursor was when the popup appeared.

mod attributes;
mod filter;
mod left;
mod lexer;
mod mode;
mod paint;
mod paste;
mod relay;
mod screen;
mod signals;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use remit_approvals::keys::Piece;
use remit_approvals::{NotOpen, Posed, QuestionId};
use remit_policy::{Answer, Choice};

use relay::Relay;

/// Where the terminal's news go. Called on the terminal's own thread; calls
/// may use the [`Handle`] but must not wait for the terminal.
pub trait TerminalDesk: Send + Sync {
    /// The person answered. A [`NotOpen`] is no error: someone was faster.
    fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen>;

    /// We were continued after [`Handle::suspended`]: continue the command.
    fn resume(&self);

    /// A signal asks for the end of the session: SIGTERM, SIGINT, or SIGHUP,
    /// the last one also when the terminal went away. May come repeatedly.
    fn signalled(&self, signal: i32);

    /// The person typed this for the program, which shows what is typed or reads
    /// each key itself; so it is no password.
    fn typed(&self, _pieces: &[Piece]) {}
}

/// The terminal of one session. Dropping it is [`Handle::finish`].
#[derive(Debug)]
pub struct Terminal {
    handle: Handle,
}

/// Speaks to the terminal's thread; never waits, but for [`Handle::finish`].
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    /// None once the thread has ended.
    inbox: Mutex<Option<Vec<Message>>>,
    wake: UnixStream,
    desk: Arc<dyn TerminalDesk>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether a program has the alternate screen, as last seen.
    full_screen: AtomicBool,
}

enum Message {
    Ask(Posed),
    Say(String),
    Withdraw(QuestionId),
    Suspended,
    Finish,
}

impl Terminal {
    /// Takes over the person's terminal `outer`, such as an opened `/dev/tty`,
    /// in raw mode, for the program behind the pseudo-terminal `master`.
    ///
    /// The program's side starts with the outer modes and size. `master`
    /// becomes non-blocking; `outer` is opened again, so that no description
    /// shared with the person's shell changes. Its modes are put back when the
    /// terminal finishes, whatever ends it.
    ///
    /// # Errors
    ///
    /// If `outer` is not a terminal, or the thread, its wake-up or the signal
    /// handlers cannot be made; then the outer modes are as they were.
    pub fn start(outer: OwnedFd, master: OwnedFd, desk: Arc<dyn TerminalDesk>) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let signals = signals::Signals::catch(&wake)?;
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Some(Vec::new())),
            wake,
            desk,
            thread: Mutex::new(None),
            full_screen: AtomicBool::new(false),
        });
        let relay = Relay::new(&outer, master, woken, signals, Arc::clone(&shared))?;
        let handle = Handle { shared };
        let ended = handle.clone();
        let thread = thread::Builder::new().name("terminal".to_owned()).spawn(move || {
            // A bug of ours must not leave questions open or modes changed:
            // unwinding drops the relay, which puts the modes back.
            let run = std::panic::AssertUnwindSafe(move || relay.run());
            let bug = std::panic::catch_unwind(run).is_err();
            ended.close(bug);
        })?;
        *lock(&handle.shared.thread) = Some(thread);
        Ok(Self { handle })
    }

    /// A way to speak to it from elsewhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.handle.finish();
    }
}

impl Handle {
    /// Shows a question, after older ones; one that is shown already is shown as it
    /// is now. If the terminal is gone, the
    /// question is refused at once, through the desk.
    pub fn ask(&self, posed: Posed) {
        let id = posed.id;
        if !self.send(Message::Ask(posed)) {
            refuse(self.shared.desk.as_ref(), id);
        }
    }

    /// Says a line of our own, when neither a popup nor a full-screen program is on
    /// the screen.
    pub fn say(&self, words: String) {
        if !self.send(Message::Say(words.clone())) {
            let _ = writeln!(io::stderr().lock(), "remit: {words}");
        }
    }

    /// Takes a question back: it was answered elsewhere, or expired.
    pub fn withdraw(&self, id: QuestionId) {
        self.send(Message::Withdraw(id));
    }

    /// Whether a full-screen program has the terminal, so that a line written to
    /// it would be drawn over its picture.
    pub fn is_full_screen(&self) -> bool {
        self.shared.full_screen.load(Ordering::Relaxed)
    }

    /// The command was stopped by job control: gives the terminal back to the
    /// shell and stops our process group with it. When the shell continues us,
    /// takes the terminal again and calls [`TerminalDesk::resume`].
    pub fn suspended(&self) {
        if !self.send(Message::Suspended) {
            self.shared.desk.resume();
        }
    }

    /// The command has ended: passes on what it printed last, for some seconds
    /// at most, switches off what it left on, puts the terminal's modes back and
    /// waits for that. Questions
    /// that are still shown vanish unanswered.
    pub fn finish(&self) {
        self.send(Message::Finish);
        let thread = lock(&self.shared.thread).take();
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join(); // its panic was caught inside
        }
    }

    /// False if the thread has ended.
    fn send(&self, message: Message) -> bool {
        let sent = match lock(&self.shared.inbox).as_mut() {
            Some(inbox) => {
                inbox.push(message);
                true
            }
            None => false,
        };
        // A full pipe wakes as well as a longer one.
        let _ = (&self.shared.wake).write(&[0]);
        sent
    }

    fn close(&self, bug: bool) {
        let left = lock(&self.shared.inbox).take().unwrap_or_default();
        for message in left {
            match message {
                Message::Ask(posed) => refuse(self.shared.desk.as_ref(), posed.id),
                Message::Suspended => self.shared.desk.resume(),
                Message::Say(words) => {
                    let _ = writeln!(io::stderr().lock(), "remit: {words}");
                }
                Message::Withdraw(_) | Message::Finish => {}
            }
        }
        if bug {
            self.shared.desk.signalled(signals::SIGHUP);
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The answer when there is nobody to ask.
fn refuse(desk: &dyn TerminalDesk, id: QuestionId) {
    let by = "the terminal went away".to_owned();
    // If someone answered elsewhere, that stands.
    let _ = desk.answer(id, Answer { choice: Choice::Refuse, by, people: [].into(), note: None });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
