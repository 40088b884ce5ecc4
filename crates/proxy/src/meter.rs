//! How much goes each way, and how much may.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::shared::Shared;

/// Counts what one connection carries. Known even when the carrying breaks off.
#[derive(Debug)]
pub(crate) struct Meter {
    sent: AtomicU64,
    received: AtomicU64,
    /// Bytes to this destination so far, of all its connections.
    there: Arc<AtomicU64>,
    caps: Caps,
    /// Whether a cap stopped it.
    stopped: AtomicBool,
    shared: Arc<Shared>,
}

/// The most that may be sent, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// By the session, wherever to.
    pub session: Option<u64>,
    /// By the session to this destination.
    pub there: Option<u64>,
}

/// The error that stops a connection at its cap; see [`Meter::is_spent`].
#[derive(Debug, thiserror::Error)]
#[error("the upload cap is reached")]
struct Spent;

impl Meter {
    pub(crate) fn new(there: Arc<AtomicU64>, caps: Caps, shared: Arc<Shared>) -> Self {
        let (sent, received, stopped) = Default::default();
        Self { sent, received, there, caps, stopped, shared }
    }

    /// Accounts for bytes of the agent's before they are passed on.
    ///
    /// # Errors
    ///
    /// More than a cap allows: nothing of them may be passed on.
    pub(crate) fn sends(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let all = self.shared.uploaded.fetch_add(bytes, Relaxed) + bytes;
        let there = self.there.fetch_add(bytes, Relaxed) + bytes;
        let over = |so_far: u64, cap: Option<u64>| cap.is_some_and(|cap| so_far > cap);
        if over(all, self.caps.session) || over(there, self.caps.there) {
            self.stopped.store(true, Relaxed);
            return Err(io::Error::other(Spent));
        }
        self.sent.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Bytes that were accounted for and will be once more.
    pub(crate) fn unsends(&self, bytes: usize) {
        let bytes = bytes as u64;
        for count in [&self.sent, &self.there, &self.shared.uploaded] {
            count.fetch_sub(bytes, Relaxed);
        }
    }

    pub(crate) fn receives(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes to the host and from it, so far.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.sent.load(Relaxed), self.received.load(Relaxed))
    }

    /// Whether a cap stopped the connection, whatever its readers made of the error.
    pub(crate) fn was_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Whether an error is a cap's.
    pub(crate) fn is_spent(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Spent>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::tests::shared;

    #[test]
    fn nothing_beyond_a_cap_is_counted_as_sent() {
        let there = Arc::default();
        let caps = Caps { session: Some(10), there: Some(6) };
        let shared = shared();
        let one = Meter::new(Arc::clone(&there), caps, Arc::clone(&shared));
        one.sends(6).expect("up to the cap");
        assert!(!one.was_stopped());
        let error = one.sends(1).expect_err("beyond it");
        assert!(Meter::is_spent(&error) && one.was_stopped());
        assert_eq!(one.read(), (6, 0));
        let another = Meter::new(Arc::default(), caps, shared);
        another.sends(3).expect("another destination");
        assert!(another.sends(1).is_err(), "the session's own cap, refused tries included");
    }
}
