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
    Expected(Captured<G>),
    Arrived(oneshot::Sender<Captured<G>>),
}

/// How long an arrived connection waits for its attempt. The two are made by
/// the same call; only a connection that nobody judged waits this long.
const PATIENCE: Duration = Duration::from_secs(5);

impl<G> Capture<G> {
    /// Announces a connection that comes, or came, from `peer`.
    pub fn expect(&self, peer: SocketAddr, captured: Captured<G>) {
        let mut slots = self.slots();
        match slots.remove(&peer) {
            Some(Slot::Arrived(waiting)) => {
                if let Err(captured) = waiting.send(captured) {
                    slots.insert(peer, Slot::Expected(captured));
                }
            }
            // An older one from the same address was never claimed: its
            // connection is gone, for the address is in use again.
            Some(Slot::Expected(_)) | None => {
                slots.insert(peer, Slot::Expected(captured));
            }
        }
    }

    /// Claims the attempt of a connection that arrived. `None` if there is none:
    /// nobody judged it.
    pub(crate) async fn claim(&self, peer: SocketAddr) -> Option<Captured<G>> {
        let waiting = {
            let mut slots = self.slots();
            match slots.remove(&peer) {
                Some(Slot::Expected(captured)) => return Some(captured),
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
