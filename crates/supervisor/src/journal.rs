//! The session's record, shared by everybody who has something to write down.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remit_audit::{AppendError, At, Kind, Record};
use rustix::time::{ClockId, clock_gettime};

/// How long an event may wait for the disk. Within it, events are synced together.
const GROUP: Duration = Duration::from_millis(100);

/// Unrecorded means unpermitted: whoever gets an error here refuses.
#[derive(Debug)]
pub(crate) struct Journal {
    record: Mutex<Record>,
    attempts: AtomicU64,
    broken: AtomicBool,
}

impl Journal {
    pub(crate) fn new(record: Record) -> Self {
        Self {
            record: Mutex::new(record),
            attempts: AtomicU64::new(1),
            broken: AtomicBool::new(false),
        }
    }

    /// A number for something the agent tried.
    pub(crate) fn attempt(&self) -> u64 {
        self.attempts.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes an event down before what it tells of may happen.
    pub(crate) fn write(&self, kind: Kind) -> Result<(), AppendError> {
        let written = self.record().append(now(), kind).map(drop);
        if written.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        written
    }

    /// Writes the last word.
    pub(crate) fn end(&self) -> Result<(), AppendError> {
        self.record().end(now()).map(drop)
    }

    /// Brings what was written to the disk in groups, until the other end of
    /// `stop` is dropped. The record can be written to while the disk works.
    ///
    /// Calls `broken` once something could not be written down: the session must
    /// end, for it can neither permit nor prove anything any more.
    pub(crate) fn keep_synced(&self, stop: &Receiver<()>, broken: impl Fn()) {
        while stop.recv_timeout(GROUP) == Err(RecvTimeoutError::Timeout) {
            if self.sync().is_err() {
                self.broken.store(true, Ordering::Relaxed);
            }
            if self.broken.load(Ordering::Relaxed) {
                broken();
            }
        }
    }

    fn sync(&self) -> Result<(), AppendError> {
        let pending = {
            let mut record = self.record();
            if !record.dirty() {
                return Ok(());
            }
            record.begin_commit()?
        };
        match pending {
            Some(pending) => {
                let signed = pending.sync();
                self.record().finish(signed)
            }
            None => Ok(()),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A record that was interrupted in the middle of a line refuses by itself.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both clocks of an event.
pub(crate) fn now() -> At {
    let nanoseconds = |clock| {
        let time = clock_gettime(clock);
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec).unwrap_or(0)
    };
    At { wall_ns: nanoseconds(ClockId::Realtime), mono_ns: nanoseconds(ClockId::Boottime) }
}
