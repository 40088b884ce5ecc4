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
    session: Option<u64>,
    /// What was sent so far under each cap on such destinations, and the cap.
    there: Vec<(Arc<AtomicU64>, u64)>,
    /// Whether a cap stopped it.
    stopped: AtomicBool,
    shared: Arc<Shared>,
}

/// The most that may be sent, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// By the session, wherever to.
    pub session: Option<u64>,
    /// By the session to all destinations that the statement of this name is about.
    pub there: Vec<(String, u64)>,
}

/// The error that stops a connection at its cap; see [`Meter::is_spent`].
#[derive(Debug, thiserror::Error)]
#[error("the upload cap is reached")]
struct Spent;

impl Meter {
    pub(crate) fn new(caps: Caps, shared: Arc<Shared>) -> Self {
        let (sent, received, stopped) = Default::default();
        let there = caps.there.iter().map(|(name, cap)| (shared.under(name), *cap)).collect();
        Self { sent, received, session: caps.session, there, stopped, shared }
    }

    /// Accounts for bytes of the agent's before they are passed on.
    ///
    /// # Errors
    ///
    /// More than a cap allows: nothing of them may be passed on.
    pub(crate) fn sends(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let over = |count: &AtomicU64, cap: u64| count.fetch_add(bytes, Relaxed) + bytes > cap;
        let mut stops = over(&self.shared.uploaded, self.session.unwrap_or(u64::MAX));
        for (count, cap) in &self.there {
            stops |= over(count, *cap);
        }
        if stops {
            self.stopped.store(true, Relaxed);
            return Err(io::Error::other(Spent));
        }
        self.sent.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Bytes that were accounted for and will be once more.
    pub(crate) fn unsends(&self, bytes: usize) {
        let bytes = bytes as u64;
        let under = self.there.iter().map(|(count, _)| &**count);
        for count in [&self.sent, &self.shared.uploaded].into_iter().chain(under) {
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
        let (hosts, shared) = (vec![("*.example".to_owned(), 6)], shared());
        let meter = |there| Meter::new(Caps { session: Some(10), there }, Arc::clone(&shared));
        let one = meter(hosts.clone());
        one.sends(4).expect("up to the cap");
        let another = meter(hosts);
        another.sends(2).expect("up to the cap of both");
        let error = one.sends(1).expect_err("beyond it");
        assert!(Meter::is_spent(&error));
        assert_eq!(one.read(), (4, 0));
        let elsewhere = meter(Vec::new());
        elsewhere.sends(3).expect("another destination");
        assert!(elsewhere.sends(1).is_err(), "the session's own cap, refused tries included");
    }
}
