//! What all connections of a session have in common.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::names::Names;

/// One for a session; connections hold it by reference count.
#[derive(Debug)]
pub struct Shared {
    pub(crate) names: Arc<Names>,
    /// Bytes that left the session so far, on all connections.
    pub(crate) uploaded: AtomicU64,
}

impl Shared {
    pub fn new(names: Arc<Names>) -> Self {
        Self { names, uploaded: AtomicU64::new(0) }
    }
}
