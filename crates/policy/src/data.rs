//! What may leave a session, whichever host it goes to.

use std::cmp::Reverse;

use crate::basis::Basis;
use crate::layers::{Said, Settled};

/// Which methods a request may have, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Web {
    /// Any that the rules allow.
    Full,
    /// GET, HEAD and OPTIONS, but for what the agent's adapter needs.
    ReadOnly,
}

/// How answers are kept, least restricted first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cache {
    /// Not at all.
    #[default]
    Off,
    /// What may be kept is, for sessions that answer from the cache alone.
    Fill,
    /// Requests are answered from the cache alone, but for what the agent's
    /// adapter needs.
    Only,
}

/// What is done about secrets in outgoing bodies of inspected hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patterns {
    /// Nothing.
    Off,
    /// What looks like one is a question.
    Ask,
}

/// The data rules, as all layers together have them.
#[derive(Clone, Debug)]
pub struct DataRules {
    /// Bytes that may leave the session in all. None: as many as there are.
    pub upload: Option<u64>,
    pub upload_basis: Basis,
    pub web: Web,
    pub web_basis: Basis,
    pub cache: Cache,
    pub cache_basis: Basis,
    pub patterns: Patterns,
    pub patterns_basis: Basis,
}

/// What was said about each, in order of preference. Less to upload is stricter.
#[derive(Debug, Default)]
pub(crate) struct DataSaid {
    pub(crate) upload: Vec<Said<Reverse<u64>>>,
    pub(crate) web: Vec<Said<Web>>,
    pub(crate) cache: Vec<Said<Cache>>,
    pub(crate) patterns: Vec<Said<Patterns>>,
}

/// `"none"`: no cap.
pub(crate) const NO_CAP: u64 = u64::MAX;

impl DataSaid {
    pub(crate) fn add(&mut self, more: Self) {
        self.upload.extend(more.upload);
        self.web.extend(more.web);
        self.cache.extend(more.cache);
        self.patterns.extend(more.patterns);
    }

    pub(crate) fn settle(self) -> DataRules {
        let complete = "the built-in `default` profile states every single value";
        let upload = Settled::new(self.upload).expect(complete);
        let web = Settled::new(self.web).expect(complete);
        let cache = Settled::new(self.cache).expect(complete);
        let patterns = Settled::new(self.patterns).expect(complete);
        DataRules {
            upload: Some(upload.value().0).filter(|bytes| *bytes != NO_CAP),
            upload_basis: upload.basis().clone(),
            web: web.value(),
            web_basis: web.basis().clone(),
            cache: cache.value(),
            cache_basis: cache.basis().clone(),
            patterns: patterns.value(),
            patterns_basis: patterns.basis().clone(),
        }
    }
}
