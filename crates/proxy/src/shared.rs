//! What all connections of a session have in common.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
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
    /// Bytes that left the session so far, on all connections.
    pub(crate) uploaded: AtomicU64,
    /// The same by the statement that caps it.
    capped: Mutex<HashMap<String, Arc<AtomicU64>>>,
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
            uploaded: AtomicU64::new(0),
            capped: Mutex::default(),
        }
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
}
