//! Where a captured connection meets the attempt that was judged for it.
//!
//! The supervisor connects the caller's socket to our listener and knows the
//! address it comes from; the listener accepts it and sees the same address.
//! Either may be first.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remit_policy::{Connect, Permit, Refusal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::names::Names;

/// A judged connection on its way to the listener.
#[derive(Debug)]
pub struct Captured<G> {
    /// Whom to ask and tell about it.
    pub gate: G,
    pub admission: Admission,
}

/// The verdict on a connection, or the promise of one.
#[derive(Debug)]
pub enum Admission {
    Permitted(Permit<Connect>),
    Refused(Refusal),
    /// Somebody is being asked. A sender that is dropped refuses.
    Pending(oneshot::Receiver<Result<Permit<Connect>, Refusal>>),
    /// A conversation with a name server, whichever it was meant for: ours
    /// answers. Nothing of it leaves the machine.
    Lookups(Arc<Names>),
    /// It was made to the gateway, for a proxy. What it asks for is to be judged.
    Explicit,
}

/// The meeting place.
#[derive(Debug)]
pub struct Capture<G> {
    slots: Mutex<HashMap<SocketAddr, Slot<G>>>,
}

impl<G> Default for Capture<G> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

#[derive(Debug)]
enum Slot<G> {
    Expected(Captured<G>, Instant),
    Arrived(oneshot::Sender<Captured<G>>),
}

/// How long an arrived connection waits for its attempt. The two are made by
/// the same call; only a connection that nobody judged waits this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an attempt waits for its connection. Without one by then, the caller
/// gave up while it was under way; whoever comes from that address later is
/// somebody else.
const STALE: Duration = Duration::from_secs(120);

/// How many attempts may wait before stale ones are looked for.
const MANY: usize = 1024;

impl<G> Slot<G> {
    /// Those that arrived end by themselves.
    fn is_stale(&self, now: Instant) -> bool {
        matches!(self, Slot::Expected(_, since) if now.duration_since(*since) >= STALE)
    }
}

impl<G> Capture<G> {
    /// Announces a connection that comes, or came, from `peer`.
    pub fn expect(&self, peer: SocketAddr, captured: Captured<G>) {
        let now = Instant::now();
        let mut slots = self.slots();
        if slots.len() >= MANY && slots.len() == slots.capacity() {
            // Only then would the table grow, so a sweep costs little each time.
            slots.retain(|_, slot| !slot.is_stale(now));
        }
        let captured = match slots.remove(&peer) {
            Some(Slot::Arrived(waiting)) => match waiting.send(captured) {
                Ok(()) => return,
                Err(captured) => captured,
            },
            // An older one from the same address was never claimed: its
            // connection is gone, for the address is in use again.
            Some(Slot::Expected(..)) | None => captured,
        };
        slots.insert(peer, Slot::Expected(captured, now));
    }

    /// Claims the attempt of a connection that arrived. `None` if there is none:
    /// nobody judged it.
    pub(crate) async fn claim(&self, peer: SocketAddr) -> Option<Captured<G>> {
        let waiting = {
            let mut slots = self.slots();
            match slots.remove(&peer) {
                Some(Slot::Expected(captured, since)) if since.elapsed() < STALE => {
                    return Some(captured);
                }
                _ => {
                    let (sender, receiver) = oneshot::channel();
                    slots.insert(peer, Slot::Arrived(sender));
                    receiver
                }
            }
        };
        let claimed = tokio::time::timeout(PATIENCE, waiting).await;
        match claimed {
            Ok(captured) => captured.ok(),
            Err(_) => {
                self.slots().remove(&peer);
                None
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SocketAddr, Slot<G>>> {
        // Every change is one insertion or removal.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(gate: u64) -> Captured<u64> {
        let (_, never) = oneshot::channel();
        Captured { gate, admission: Admission::Pending(never) }
    }

    fn peer(port: u16) -> SocketAddr {
        ([198, 18, 0, 1], port).into()
    }

    #[tokio::test]
    async fn they_meet_whoever_is_first() {
        let capture = Capture::default();
        capture.expect(peer(1), captured(7));
        assert_eq!(capture.claim(peer(1)).await.map(|c| c.gate), Some(7));

        let (claimed, ()) = tokio::join!(capture.claim(peer(2)), async {
            tokio::task::yield_now().await;
            capture.expect(peer(2), captured(8));
        });
        assert_eq!(claimed.map(|c| c.gate), Some(8));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_a_connection_is_nobody_elses() {
        let capture = Capture::default();
        capture.expect(peer(4), captured(1));
        tokio::time::advance(STALE - Duration::from_secs(1)).await;
        assert_eq!(capture.claim(peer(4)).await.map(|c| c.gate), Some(1), "it may be slow");
        capture.expect(peer(4), captured(2));
        tokio::time::advance(STALE).await;
        assert!(capture.claim(peer(4)).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_without_a_connection_do_not_pile_up() {
        let capture = Capture::default();
        for round in 0..20 {
            for port in 1..=2 * MANY as u16 {
                capture.expect(([198, 18, round, 9], port).into(), captured(0));
            }
            tokio::time::advance(STALE).await;
        }
        let held = capture.slots().len();
        assert!(held <= 8 * MANY, "{held} are held");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_judged_gets_nothing() {
        let capture = Capture::default();
        assert!(capture.claim(peer(3)).await.is_none());
        capture.expect(peer(3), captured(9));
        assert_eq!(
            capture.claim(peer(3)).await.map(|c| c.gate),
            Some(9),
            "the address can be used again"
        );
    }
}
