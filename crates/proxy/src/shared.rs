//! What all connections of a session have in common.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::Answers;
use crate::credentials::Credentials;
use crate::names::Names;
use crate::relay::Pipes;
use crate::ssh::SshKeys;
use crate::tls::Tls;

/// One for a session; connections hold it by reference count.
#[derive(Debug)]
pub struct Shared {
    pub(crate) names: Arc<Names>,
    pub(crate) pipes: Pipes,
    /// Absent where nothing is inspected.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Absent where no SSH command is judged.
    pub(crate) ssh: Option<Arc<SshKeys>>,
    pub(crate) credentials: Arc<Credentials>,
    /// Absent where no answer is kept.
    pub(crate) answers: Option<Arc<Answers>>,
    /// Connections that are open now, and that may be.
    open: AtomicUsize,
    most: usize,
    /// Bytes that left the session so far, on all connections.
    pub(crate) uploaded: AtomicU64,
    /// The same by the statement that caps it.
    capped: Mutex<HashMap<String, Arc<AtomicU64>>>,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Shared {
    pub fn new(names: Arc<Names>) -> Self {
        Self {
            names,
            pipes: Pipes::default(),
            tls: None,
            ssh: None,
            credentials: Arc::default(),
            answers: None,
            open: AtomicUsize::new(0),
            most: usize::MAX,
            uploaded: AtomicU64::new(0),
            capped: Mutex::default(),
        }
    }

    /// Opens no more connections than this at a time.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// A place for one more connection. None if they are all taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        (self.open.fetch_add(1, Relaxed) < self.most).then_some(place)
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Whether so many are open that each has to do with little memory.
    pub(crate) fn is_crowded(&self) -> bool {
        const FEW: usize = 64;
        self.open.load(Relaxed) > FEW
    }

    /// Inspects TLS where the policy says so.
    #[must_use]
    pub fn inspecting(self, tls: Tls) -> Self {
        Self { tls: Some(Arc::new(tls)), ..self }
    }

    /// Judges SSH commands where the policy says so.
    #[must_use]
    pub fn commanding(self, keys: SshKeys) -> Self {
        Self { ssh: Some(Arc::new(keys)), ..self }
    }

    /// Puts secrets in where the policy says so.
    #[must_use]
    pub fn holding(self, credentials: Arc<Credentials>) -> Self {
        Self { credentials, ..self }
    }

    /// Keeps answers, and gives them, where the policy says so.
    #[must_use]
    pub fn keeping(self, answers: Answers) -> Self {
        Self { answers: Some(Arc::new(answers)), ..self }
    }

    /// What was sent so far under the cap of this name.
    pub(crate) fn under(&self, name: &str) -> Arc<AtomicU64> {
        // Every change is one insertion.
        let mut capped = self.capped.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(capped.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::names::Ranges;

    pub(crate) fn shared() -> Arc<Shared> {
        let ranges = Ranges {
            gateway: [198, 18, 0, 1].into(),
            prefix: 15,
            gateway6: "fd72:656d:6974::1".parse().expect("an address"),
        };
        Arc::new(Shared::new(Arc::new(Names::new(ranges))))
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_has_ended() {
        let shared = Arc::try_unwrap(shared()).expect("the only one").at_most(2);
        let shared = Arc::new(shared);
        let (one, other) = (shared.enter(), shared.enter());
        assert!(one.is_some() && other.is_some());
        assert!(shared.enter().is_none() && shared.enter().is_none());
        drop(one);
        let again = shared.enter();
        assert!(again.is_some() && shared.enter().is_none());
    }
}
