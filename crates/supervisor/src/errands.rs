//! Calls that wait for another program of the session: one thread waits for all
//! of them, so that a session has none of ours to use up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use remit_sandbox::notify::{self, Listener, Notification};

use crate::connect;
use crate::exec::libc_errno as errno;
use crate::guard;

/// How many calls may wait. More are told to try again.
const MOST: usize = 256;

/// Between two tries of one call: an eighth of what it has waited already, so
/// that it is late by no more than that.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(100);

/// Something that is tried until it need not wait any more.
#[derive(Debug)]
pub(crate) enum Errand {
    /// A pipe with a name, until its other end is opened.
    Open(guard::Errand),
    /// A server of the session, until it takes the connection.
    Connect(connect::Errand),
}

impl Errand {
    /// Tries once, without waiting, and answers the call if that is the end of
    /// it. Returns whether it is.
    fn attempt(&mut self, listener: &Listener, call: &Notification, waited: Duration) -> bool {
        if !listener.is_waiting(call) {
            return true;
        }
        match self {
            Errand::Open(errand) => errand.attempt(listener, call),
            Errand::Connect(errand) => match errand.attempt(waited) {
                Some(number) => {
                    listener.answer(call, number);
                    true
                }
                None => false,
            },
        }
    }
}

#[derive(Debug)]
struct Waiting {
    call: Notification,
    errand: Errand,
    since: Instant,
    next: Instant,
}

/// The waiting calls of one session. Dropping it ends the thread; the calls fail
/// when the listener closes.
#[derive(Debug)]
pub(crate) struct Errands {
    listener: Arc<Listener>,
    waiting: Arc<AtomicUsize>,
    thread: Option<(Sender<Waiting>, JoinHandle<()>)>,
}

impl Errands {
    pub(crate) fn new(listener: Arc<Listener>) -> Self {
        Self { listener, waiting: Arc::default(), thread: None }
    }

    /// Tries at once, and sees to the rest elsewhere. Call it on the thread that
    /// acts as callers.
    pub(crate) fn take(&mut self, call: &Notification, mut errand: Errand) {
        if errand.attempt(&self.listener, call, Duration::ZERO) {
            return;
        }
        if self.waiting.load(Ordering::Relaxed) >= MOST {
            return self.listener.answer(call, errno::EAGAIN);
        }
        let now = Instant::now();
        let waiting = Waiting { call: *call, errand, since: now, next: now + SHORTEST };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = self.thread().and_then(|to| to.send(waiting).map_err(io::Error::other));
        if sent.is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.listener.answer(call, errno::EAGAIN);
        }
    }

    /// Where errands are sent; the thread starts with the first.
    fn thread(&mut self) -> io::Result<&Sender<Waiting>> {
        if self.thread.is_none() {
            let (send, receive) = channel();
            let (listener, waiting) = (Arc::clone(&self.listener), Arc::clone(&self.waiting));
            let thread = thread::Builder::new()
                .name("errands".to_owned())
                .spawn(move || wait(&listener, &receive, &waiting))?;
            self.thread = Some((send, thread));
        }
        self.thread.as_ref().map(|(send, _)| send).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Errands {
    fn drop(&mut self) {
        if let Some((send, thread)) = self.thread.take() {
            drop(send);
            // It only tries; a panic in it was reported already.
            let _ = thread.join();
        }
    }
}

fn wait(listener: &Listener, new: &Receiver<Waiting>, count: &AtomicUsize) {
    let acts_as_callers = notify::act_as_callers().is_ok();
    let mut all: Vec<Waiting> = Vec::new();
    loop {
        let now = Instant::now();
        let next = all.iter().map(|one| one.next).min();
        let pause = next.map_or(LONGEST, |next| next.saturating_duration_since(now));
        let came = if all.is_empty() {
            new.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            new.recv_timeout(pause)
        };
        match came {
            Ok(one) if acts_as_callers => all.push(one),
            Ok(one) => {
                count.fetch_sub(1, Ordering::Relaxed);
                listener.answer(&one.call, errno::EPERM);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        let before = all.len();
        all.retain_mut(|one| {
            if one.next > now {
                return true;
            }
            let waited = now - one.since;
            one.next = now + (waited / 8).clamp(SHORTEST, LONGEST);
            !one.errand.attempt(listener, &one.call, waited)
        });
        count.fetch_sub(before - all.len(), Ordering::Relaxed);
    }
}
