//! The loop between the person's terminal and the program's: it passes bytes,
//! and puts questions in between.

mod input;
mod questions;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use remit_approvals::keys::Decoder;
use remit_approvals::popup::{Area, Popup};
use remit_approvals::wire::{local, person};
use remit_approvals::words::plain;
use remit_approvals::{Posed, QuestionId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{OptionalActions, tcsetattr, tcsetwinsize};

use super::mode::Outer;
use super::paste::Pastes;
use super::screen::Screen;
use super::signals::{self, Signals};
use super::{Message, Shared, lock, refuse};

/// Output that waits for a slow terminal, and input for a slow program. Then
/// the other side is no longer read.
const QUEUED: usize = 64 * 1024;

/// Output that is held back under a popup. Then the program waits.
const HELD: usize = 1024 * 1024;

/// A lone `ESC` is the key if nothing follows within this time.
const LONE_ESC: Duration = Duration::from_millis(50);

/// Any other sequence that is not continued within this time was none; and so
/// it is with a program's.
const SEQUENCE: Duration = Duration::from_secs(1);

/// How often to look whether we are in the foreground again, or the program's
/// side open again; nothing announces these.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// After the command's end: how long its side must be silent, and how long
/// passing on its last output may take altogether.
const SILENCE: Duration = Duration::from_millis(30);
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Relay {
    outer: Outer,
    master: OwnedFd,
    woken: UnixStream,
    signals: Signals,
    shared: Arc<Shared>,
    /// How the person is named in an answer.
    by: String,
    /// Their stable name.
    person: String,
    /// Lines of ours that wait for the screen.
    unsaid: Vec<String>,
    screen: Screen,
    pastes: Pastes,
    decoder: Decoder,
    /// How many of the decoder's pending bytes the program already has.
    passed: usize,
    /// Whether the paste that is going on began while a popup was shown.
    popup_paste: bool,
    last_input: Instant,
    to_outer: Vec<u8>,
    to_master: Vec<u8>,
    held: Vec<u8>,
    /// Open questions, oldest first.
    questions: BTreeMap<QuestionId, Posed>,
    shown: Option<Shown>,
    outer_gone: bool,
    background: bool,
    /// When the program's side was last found closed.
    master_closed: Option<Instant>,
    finishing: Option<Instant>,
    last_output: Instant,
}

/// The popup on the screen.
struct Shown {
    popup: Popup,
    area: Area,
    /// Whether it has left our queue, so that the person can have seen it.
    sent: bool,
    /// Whether it was drawn with the keys asleep.
    asleep: bool,
}

impl Relay {
    pub(super) fn new(
        outer: &OwnedFd,
        master: OwnedFd,
        woken: UnixStream,
        signals: Signals,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let outer = Outer::open(outer)?;
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | rustix::fs::OFlags::NONBLOCK)?;
        let size = outer.size()?;
        tcsetwinsize(&master, size)?;
        tcsetattr(&master, OptionalActions::Now, &outer.modes()?)?;
        let now = Instant::now();
        let mut relay = Self {
            by: format!("{} at the session's terminal", person(rustix::process::getuid().as_raw())),
            person: local(rustix::process::getuid().as_raw()),
            unsaid: Vec::new(),
            screen: Screen::new(size.ws_col, size.ws_row),
            outer,
            master,
            woken,
            signals,
            shared,
            pastes: Pastes::default(),
            decoder: Decoder::default(),
            passed: 0,
            popup_paste: false,
            last_input: now,
            to_outer: Vec::new(),
            to_master: Vec::new(),
            held: Vec::new(),
            questions: BTreeMap::new(),
            shown: None,
            outer_gone: false,
            background: false,
            master_closed: None,
            finishing: None,
            last_output: now,
        };
        relay.enter()?;
        Ok(relay)
    }

    /// Runs until [`Message::Finish`], then puts the modes back.
    pub(super) fn run(mut self) {
        loop {
            self.hear();
            self.heed_signals();
            if self.background && self.outer.in_foreground() {
                self.reenter();
            }
            self.settle();
            self.speak();
            if self.is_done() {
                break;
            }
            self.wait();
            self.write_outer();
            self.write_master();
            if !self.background && !self.outer_gone && self.to_master.len() < QUEUED {
                self.read_outer();
            }
            self.read_master();
            self.time_out();
        }
        self.leave();
        self.outer.restore();
    }

    /// Says what waits to be said, where it spoils no picture.
    fn speak(&mut self) {
        if self.shown.is_some() || self.outer_gone || self.background || self.screen.is_alternate()
        {
            return;
        }
        for words in std::mem::take(&mut self.unsaid) {
            self.forward(format!("\r\nremit: {}\r\n", plain(&words)).as_bytes());
        }
    }

    /// Takes back what the session left on in the terminal, and waits a moment
    /// until it is said.
    fn leave(&mut self) {
        if self.outer_gone || !self.outer.in_foreground() {
            return;
        }
        self.to_outer.extend(self.screen.leave());
        for words in std::mem::take(&mut self.unsaid) {
            self.to_outer.extend(format!("\r\nremit: {}\r\n", plain(&words)).into_bytes());
        }
        self.drain(Instant::now() + LAST_WORDS);
    }

    /// Writes what waits for the terminal.
    fn drain(&mut self, deadline: Instant) {
        self.write_outer();
        while !self.to_outer.is_empty() && !self.outer_gone && Instant::now() < deadline {
            let mut fds = [PollFd::new(&self.outer, PollFlags::OUT)];
            let _ = poll(&mut fds, Some(&timespec(SILENCE)));
            self.write_outer();
        }
    }

    // What comes from the rest of the program.

    fn hear(&mut self) {
        let mut bytes = [0; 256];
        while matches!(self.woken.read(&mut bytes), Ok(1..)) {}
        let messages = lock(&self.shared.inbox).as_mut().map(std::mem::take).unwrap_or_default();
        for message in messages {
            match message {
                Message::Ask(posed) if self.outer_gone => self.refuse(posed.id),
                Message::Ask(posed) => drop(self.questions.insert(posed.id, posed)),
                Message::Say(words) => self.unsaid.push(words),
                Message::Withdraw(id) => drop(self.questions.remove(&id)),
                Message::Suspended => self.suspend(),
                Message::Finish => {
                    self.questions.clear();
                    self.finishing.get_or_insert_with(Instant::now);
                    self.last_output = Instant::now();
                    // It may have been opened, written and closed since.
                    self.master_closed = None;
                }
            }
        }
    }

    fn heed_signals(&mut self) {
        for signal in self.signals.ends() {
            self.shared.desk.signalled(signal);
        }
        if self.signals.continued() {
            self.reenter();
        }
        if self.signals.resized() {
            self.resize();
        }
    }

    fn refuse(&self, id: QuestionId) {
        refuse(self.shared.desk.as_ref(), id);
    }

    // The terminal as a whole.

    /// Takes the terminal, if it is ours to take now.
    fn enter(&mut self) -> io::Result<()> {
        self.background = !self.outer.in_foreground();
        if self.background { Ok(()) } else { self.outer.make_raw() }
    }

    /// Takes the terminal again after someone else had it.
    fn reenter(&mut self) {
        if self.enter().is_err() {
            self.lose_outer();
        }
        self.resize();
    }

    fn resize(&mut self) {
        let Ok(size) = self.outer.size() else { return };
        // Without its own side open, the program has no size to be told.
        let _ = tcsetwinsize(&self.master, size);
        if (size.ws_col, size.ws_row) != self.screen.size() {
            self.screen.resize(size.ws_col, size.ws_row);
        }
        let Some(shown) = &mut self.shown else { return };
        if self.screen.is_alternate() {
            self.to_outer.extend(self.screen.repaint());
        } else {
            self.to_outer.extend(b"\x1b[0m\x1b[2J");
        }
        let (cols, rows) = self.screen.size();
        shown.area = shown.popup.area(cols, rows);
        self.draw();
    }

    fn lose_outer(&mut self) {
        if self.outer_gone {
            return;
        }
        self.outer_gone = true;
        self.shown = None;
        self.to_outer.clear();
        self.held.clear();
        for id in std::mem::take(&mut self.questions).into_keys() {
            self.refuse(id);
        }
        self.shared.desk.signalled(signals::SIGHUP);
    }

    /// Stops with the command, as the shell's job that we both are.
    fn suspend(&mut self) {
        self.hide();
        // What it printed before it stopped, such as leaving the full screen.
        let deadline = Instant::now() + LAST_WORDS;
        while self.read_master() && Instant::now() < deadline {}
        self.drain(deadline);
        self.outer.restore();
        self.signals.continued();
        // The default action stops all of us. Where the shell does no job
        // control, the kernel ignores the signal, and so the wait has an end.
        let stopped = rustix::process::kill_current_process_group(Signal::TSTP);
        let patience = Instant::now() + SEQUENCE;
        while stopped.is_ok() && !self.signals.continued() && Instant::now() < patience {
            let _ = poll(
                &mut [PollFd::new(&self.woken, PollFlags::IN)],
                Some(&timespec(Duration::from_millis(20))),
            );
            let _ = self.woken.read(&mut [0; 256]);
        }
        self.reenter();
        self.shared.desk.resume();
    }

    fn is_done(&self) -> bool {
        let Some(since) = self.finishing else {
            return false;
        };
        let silent = self.last_output.elapsed() >= SILENCE || self.master_closed.is_some();
        let written = self.to_outer.is_empty() || self.outer_gone;
        (silent && written && self.shown.is_none()) || since.elapsed() >= LAST_WORDS
    }

    // Bytes from the program.

    /// Reads once. Whether there may be more.
    fn read_master(&mut self) -> bool {
        let room = if self.shown.is_some() {
            self.held.len() < HELD
        } else {
            self.to_outer.len() < QUEUED
        };
        let closed = self.master_closed.is_some_and(|since| since.elapsed() < LOOK_AGAIN);
        if !room || closed {
            return false;
        }
        let mut bytes = [0; 16 * 1024];
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(count @ 1..) => {
                self.master_closed = None;
                self.last_output = Instant::now();
                self.on_output(&bytes[..count]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // EIO: no program has the other side open now. One may again.
            Ok(0) | Err(_) => {
                self.master_closed = Some(Instant::now());
                false
            }
        }
    }

    fn on_output(&mut self, bytes: &[u8]) {
        if self.outer_gone {
            self.screen.feed(bytes, &mut Vec::new());
        } else if self.shown.is_some() {
            self.held.extend(bytes);
        } else {
            self.forward(bytes);
        }
    }

    /// Passes on what of the output the terminal may hear.
    fn forward(&mut self, bytes: &[u8]) {
        self.screen.feed(bytes, &mut self.to_outer);
        self.shared.full_screen.store(self.screen.is_alternate(), Ordering::Relaxed);
    }

    fn write_outer(&mut self) {
        if self.outer_gone || self.to_outer.is_empty() {
            return;
        }
        let written = write_some(self.outer.as_fd(), &mut self.to_outer);
        if written.is_err() {
            self.lose_outer();
        }
        if self.to_outer.is_empty()
            && let Some(shown) = &mut self.shown
            && !shown.sent
        {
            shown.sent = true;
            shown.popup.disturb(Instant::now());
        }
    }

    // Time.

    fn time_out(&mut self) {
        let rest = self.pastes.flush(Instant::now());
        self.on_input(&rest);
        self.time_out_input();
        if self.screen.in_text() && self.last_output.elapsed() >= SEQUENCE {
            self.screen.end_text();
        }
    }

    fn time_out_input(&mut self) {
        let limit = if self.decoder.pending() == [0x1b] { LONE_ESC } else { SEQUENCE };
        if !self.decoder.pending().is_empty()
            && self.last_input.elapsed() >= limit
            && let Some(piece) = self.decoder.flush()
        {
            if self.shown.is_none() {
                self.pass_on(&piece);
            } else {
                self.take(&piece, 1);
                self.draw();
            }
        }
        let now = Instant::now();
        if self
            .shown
            .as_ref()
            .is_some_and(|shown| shown.asleep && shown.popup.wakes_at(now).is_none())
        {
            self.draw();
        }
    }

    fn wait(&mut self) {
        let timeout = self.next_deadline().map(timespec);
        let quiet = PollFlags::empty();
        let mut for_outer = PollFlags::empty();
        for_outer.set(PollFlags::IN, self.to_master.len() < QUEUED && !self.background);
        for_outer.set(PollFlags::OUT, !self.to_outer.is_empty());
        let room = if self.shown.is_some() {
            self.held.len() < HELD
        } else {
            self.to_outer.len() < QUEUED
        };
        let mut for_master = PollFlags::empty();
        for_master.set(PollFlags::IN, room);
        for_master.set(PollFlags::OUT, !self.to_master.is_empty());
        let mut fds = vec![PollFd::new(&self.woken, PollFlags::IN)];
        // A hang-up is reported whether asked for or not; one that is known
        // would keep us awake.
        if !self.outer_gone && for_outer != quiet {
            fds.push(PollFd::new(&self.outer, for_outer));
        }
        if self.master_closed.is_none() && for_master != quiet {
            fds.push(PollFd::new(&self.master, for_master));
        }
        // An interrupted or failed wait is one that ended early.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    fn next_deadline(&self) -> Option<Duration> {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let mut deadlines = Vec::new();
        if let Some(shown) = &self.shown {
            deadlines.extend(shown.popup.wakes_at(now).map(until));
            if !self.decoder.pending().is_empty() && !self.decoder.pasting() {
                let limit = if self.decoder.pending() == [0x1b] { LONE_ESC } else { SEQUENCE };
                deadlines.push(until(self.last_input + limit));
            }
        }
        deadlines.extend(self.pastes.rests_at().map(until));
        if self.screen.in_text() && self.held.is_empty() {
            deadlines.push(until(self.last_output + SEQUENCE));
        }
        if self.background || self.master_closed.is_some() {
            deadlines.push(LOOK_AGAIN);
        }
        if self.finishing.is_some() {
            deadlines.push(SILENCE);
        }
        // A moment more, so that the deadline has passed when we wake.
        deadlines.into_iter().min().map(|left| left + Duration::from_millis(1))
    }
}

impl Drop for Relay {
    /// After a bug of ours: [`Relay::run`] left nothing to take back otherwise.
    fn drop(&mut self) {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if self.shown.take().is_some() {
                self.to_outer.extend(self.screen.uncover());
            }
            self.leave();
        }));
    }
}

/// Writes what can be written now and drops it from `bytes`.
fn write_some(fd: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> Result<(), Errno> {
    let mut written = 0;
    let result = loop {
        if written == bytes.len() {
            break Ok(());
        }
        match rustix::io::write(fd, &bytes[written..]) {
            Ok(0) | Err(Errno::AGAIN) => break Ok(()),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(error) => break Err(error),
        }
    };
    bytes.drain(..written);
    result
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
}
