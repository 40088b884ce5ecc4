//! Asks a reviewer and takes what it says for what it is worth.

use std::thread;
use std::time::{Duration, Instant};

use remit_policy::{ReviewSettings, Reviewer as Named};
use ureq::http::{HeaderName, HeaderValue};

use crate::call::{self, CallError, Way};
use crate::facts::{Facts, Words};
use crate::opinion::{Decision, Opinion, Unusable};
use crate::prompt::Prompt;
use crate::wire;

/// How long to wait before the second attempt; twice as long before the third.
const PAUSE: Duration = Duration::from_millis(300);

/// A reviewer that can be asked.
#[derive(Clone, Debug)]
pub struct Reviewer {
    named: Named,
    settings: ReviewSettings,
    key: Option<Key>,
    proxy: Option<String>,
}

/// The header that authorises us to the reviewer. Its `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Key {
    name: HeaderName,
    value: HeaderValue,
}

impl Key {
    pub fn new(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self { name, value }
    }
}

/// Why a reviewer said nothing that counts. A person is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("the reviewer gave no answer: {0}")]
    Call(String),
    #[error("the reviewer's answer does not count: {0}")]
    Unusable(#[from] Unusable),
}

impl Reviewer {
    /// `proxy` is the proxy that connections leave by, as `http://host:port`. None if
    /// the settings name no reviewer.
    pub fn new(settings: &ReviewSettings, key: Option<Key>, proxy: Option<String>) -> Option<Self> {
        let named = settings.reviewer.clone()?;
        Some(Self { named, settings: settings.clone(), key, proxy })
    }

    /// Asks, and waits at most as long as the settings say. It blocks.
    ///
    /// `boundary` is drawn at random for this question, in hexadecimal.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`]: whatever is not a whole and consistent answer in time.
    pub fn review(
        &self,
        facts: &Facts,
        words: &[Words],
        boundary: &str,
    ) -> Result<(Decision, Opinion), NoAnswer> {
        let deadline = Instant::now() + self.settings.timeout;
        let prompt = Prompt::new(&self.settings.guidance, facts, words, boundary);
        let body = wire::body(self.named.format, &self.named.model, &prompt).to_string();
        let response = self
            .ask(body.as_bytes(), deadline)
            .map_err(|error| NoAnswer::Call(remit_policy::show::line(&error.to_string())))?;
        let opinion = wire::opinion(self.named.format, &response)?;
        let decision = opinion.decides(facts.in_full)?;
        Ok((decision, opinion))
    }

    /// Posts until there is an answer, what went wrong will not pass, or attempts or
    /// time are used up.
    fn ask(&self, body: &[u8], deadline: Instant) -> Result<Vec<u8>, CallError> {
        let own = wire::headers(self.named.format)
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let key = self.key.iter().map(|key| (key.name.clone(), key.value.clone()));
        let headers: Vec<_> = own.chain(key).collect();
        let proxy = self.proxy.as_deref().filter(|_| !self.named.url.is_here());
        let way = Way { url: &self.named.url, proxy };
        let mut attempt = 1;
        loop {
            let outcome = call::post(&way, &headers, body, deadline);
            let again = matches!(&outcome, Err(error) if error.may_pass())
                && attempt < self.settings.attempts;
            if !again {
                return outcome;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            thread::sleep((PAUSE * u32::from(attempt)).min(left));
            attempt += 1;
        }
    }
}
