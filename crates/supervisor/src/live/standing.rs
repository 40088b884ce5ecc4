//! A permitted connection, judged again whenever the policy changes.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use remit_policy::{
    Attempt as _, Basis, Connect, Grants, Handling, Host, Layer, Permit, Policy, Port, Refusal,
    Verdict,
};
use remit_proxy::Caps;

use crate::gate::Gate;

/// What a connection was permitted by, and how it is carried.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The policy that it was judged by, or one from before.
    since: Arc<Policy>,
    /// Whether a person said yes to it.
    is_answered: AtomicBool,
    terms: OnceLock<Terms>,
    /// Where its name leads, as far as it was looked up.
    addresses: Mutex<Vec<IpAddr>>,
}

/// How a connection is carried. A change of it makes it another connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) handling: Handling,
    pub(crate) caps: Caps,
    /// The proxy that it leaves by.
    way: Option<(Host, Port)>,
}

impl Terms {
    fn of(policy: &Policy, permitted: &Connect) -> Self {
        let caps = policy.upload_caps(permitted).into_iter();
        let there = caps.map(|(bytes, basis)| (format!("{} {}", basis.layer, basis.rule), bytes));
        let caps = Caps { session: policy.data().upload, there: there.collect() };
        let proxy = policy.proxy().filter(|_| !policy.dials_directly(permitted));
        Self {
            handling: policy.handling(permitted),
            caps,
            way: proxy.map(|proxy| (proxy.host.clone(), proxy.port)),
        }
    }
}

impl Standing {
    /// Of a connection about to be judged. `since` is fetched before the verdict,
    /// so that no change falls between the two.
    pub(crate) fn new(since: Arc<Policy>) -> Self {
        Self {
            since,
            is_answered: AtomicBool::new(false),
            terms: OnceLock::new(),
            addresses: Mutex::default(),
        }
    }

    /// Remembers whether a person gave the permit.
    pub(crate) fn permitted(&self, permit: &Permit<Connect>) {
        if permit.basis().layer == Layer::Answer {
            self.is_answered.store(true, Ordering::Relaxed);
        }
    }

    /// How the connection is carried, from its beginning to its end.
    pub(crate) fn terms(&self, gate: &Gate, permitted: &Connect) -> &Terms {
        self.terms.get_or_init(|| Terms::of(&gate.policy(), permitted))
    }

    /// Checks an address before it is dialled.
    pub(crate) fn address(
        &self,
        gate: &Gate,
        permitted: &Connect,
        answer: IpAddr,
    ) -> Result<(), Refusal> {
        // Remembered before it is judged: a change in between is then seen by one
        // of the two.
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        gate.policy().address(permitted, answer)
    }

    /// Waits for a change of the policy that takes the permit back.
    pub(crate) async fn revoked(&self, gate: &Gate, permitted: &Connect) -> Refusal {
        let mut changes = gate.changes();
        let mut judged = Arc::clone(&self.since);
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            if !Arc::ptr_eq(&now, &judged) {
                if let Err(refusal) = self.check(&now, &gate.granted(), permitted) {
                    return refusal;
                }
                judged = now;
            }
            if changes.changed().await.is_err() {
                // Nobody changes it any more.
                return std::future::pending().await;
            }
        }
    }

    /// Whether this policy permits the connection as it is carried. What would be
    /// asked stays only if a person was asked about this very connection.
    fn check(&self, now: &Policy, granted: &Grants, permitted: &Connect) -> Result<(), Refusal> {
        match now.connect(permitted.clone(), granted) {
            Verdict::Allow(permit) => drop(permit.spend()),
            Verdict::Refuse(refusal) => return Err(refusal),
            Verdict::Ask(_) if self.is_answered.load(Ordering::Relaxed) => {}
            Verdict::Ask(question) => {
                return Err(question.unanswered("connect again; somebody will be asked"));
            }
        }
        for answer in self.addresses.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            now.address(permitted, *answer)?;
        }
        if self.terms.get().is_some_and(|terms| *terms != Terms::of(now, permitted)) {
            return Err(Refusal {
                attempt: permitted.summary(),
                basis: Basis::built_in(
                    "network: the policy changed how this host is reached; no connection stays as it was",
                ),
                instead: Some("the same connection anew".to_owned()),
                note: None,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
