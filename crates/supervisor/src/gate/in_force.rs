//! Which policy is in force, and how another comes into force.

use std::sync::Arc;

use remit_audit::{AppendError, Kind, Text};
use remit_policy::{Grants, Policy, Refusal, Verdict};
use tokio::sync::watch;

use super::{Gate, Recorded};
use crate::live;

impl Gate {
    /// The policy in force. A verdict is by one policy, so fetch it once for each.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// The policy that the boundary was built by, and holds for what it confines.
    pub(crate) fn boundary(&self) -> &Policy {
        &self.start
    }

    /// Hears of every policy put in force from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    /// The yeses so far.
    pub(crate) fn granted(&self) -> Grants {
        self.grants().clone()
    }

    /// Puts another policy in force, once that is written down. `files` are those
    /// that differ, `later` the sections that wait for the next session.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: it could not be written down; the policy stays.
    pub(crate) fn change(
        &self,
        policy: Policy,
        files: Vec<Text>,
        later: Vec<String>,
    ) -> Result<(), AppendError> {
        let (from, to) = (live::digest(&self.policy()), live::digest(&policy));
        self.journal.write(Kind::PolicyChanged { from, to, files, later })?;
        self.policy.send_replace(Arc::new(policy));
        Ok(())
    }

    pub(super) fn refused_by<A: Recorded>(&self, policy: &Policy, attempt: &A) -> Option<Refusal> {
        match attempt.clone().judge(policy, &self.grants()) {
            Verdict::Refuse(refusal) => Some(refusal),
            Verdict::Allow(_) | Verdict::Ask(_) => None,
        }
    }

    /// Waits for a policy that refuses what is asked about.
    pub(super) async fn refusing<A: Recorded>(&self, attempt: &A) -> Refusal {
        let mut changes = self.changes();
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            if let Some(refusal) = self.refused_by(&now, attempt) {
                return refusal;
            }
            if changes.changed().await.is_err() {
                // Nobody changes it any more.
                return std::future::pending().await;
            }
        }
    }
}
