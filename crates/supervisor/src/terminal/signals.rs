//! Signals as flags and a wake-up.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use signal_hook::{SigId, flag, low_level};

pub(super) const SIGHUP: i32 = Signal::HUP.as_raw();
const SIGINT: i32 = Signal::INT.as_raw();
const SIGTERM: i32 = Signal::TERM.as_raw();
const SIGWINCH: i32 = Signal::WINCH.as_raw();
const SIGCONT: i32 = Signal::CONT.as_raw();

/// The signals that concern a terminal. After a drop they no longer reach us,
/// but SIGTERM, SIGINT and SIGHUP stay caught: the program is about to exit.
pub(super) struct Signals {
    resized: Arc<AtomicBool>,
    continued: Arc<AtomicBool>,
    ends: [(i32, Arc<AtomicBool>); 3],
    ids: Vec<SigId>,
}

impl Signals {
    /// Catches them; each also writes a byte to `wake`.
    pub(super) fn catch(wake: &UnixStream) -> io::Result<Self> {
        let mut signals = Self {
            resized: Arc::default(),
            continued: Arc::default(),
            ends: [SIGTERM, SIGINT, SIGHUP].map(|signal| (signal, Arc::default())),
            ids: Vec::new(),
        };
        let mut all = vec![
            (SIGWINCH, Arc::clone(&signals.resized)),
            (SIGCONT, Arc::clone(&signals.continued)),
        ];
        all.extend(signals.ends.iter().map(|(signal, raised)| (*signal, Arc::clone(raised))));
        for (signal, raised) in all {
            // Actions run in this order: the flag is up before the wake-up.
            signals.ids.push(flag::register(signal, raised)?);
            signals.ids.push(low_level::pipe::register(signal, wake.try_clone()?)?);
        }
        Ok(signals)
    }

    /// Whether the window changed its size since last asked.
    pub(super) fn resized(&self) -> bool {
        self.resized.swap(false, Ordering::SeqCst)
    }

    /// Whether we were continued since last asked.
    pub(super) fn continued(&self) -> bool {
        self.continued.swap(false, Ordering::SeqCst)
    }

    /// The signals to end that came since last asked.
    pub(super) fn ends(&self) -> Vec<i32> {
        let raised = self.ends.iter().filter(|(_, raised)| raised.swap(false, Ordering::SeqCst));
        raised.map(|(signal, _)| *signal).collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}
