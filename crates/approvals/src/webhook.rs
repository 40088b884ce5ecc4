//! Questions sent to a service, and its signed answers.
//!
//! A question is posted as JSON and signed as Standard Webhooks are. The answer is
//! the body of the response, which may be held open as long as the question waits;
//! or, after a 202 with a `Location` at the same origin, what is found there. It is
//! signed with the same key, names the question and what was asked by digest, is
//! fresh and counts once. Whatever else comes is no answer.
//!
//! What it does not do: the key is on this machine. It keeps out the network and
//! the agent, who cannot read it, but not a local user who can; a second person is
//! only as good as the place where the key is kept.

mod bound;
mod signed;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use remit_policy::Answer;
use ureq::http::{HeaderMap, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::queue::Posed;
use bound::Sent;
use signed::Message;
pub use signed::{Key, KeyError};

/// Questions that are sent at a time; more are not sent.
const AT_A_TIME: usize = 16;

/// Longest response that is read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// How often an answer is looked for where the service does not hold the request
/// open; a `Retry-After` of up to a minute is heeded.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where a question's answer goes, and whether it is still wanted.
pub trait Hook: Send + Sync {
    fn is_open(&self, posed: &Posed) -> bool;

    /// A signed answer to it.
    fn answer(&self, posed: &Posed, answer: Answer);

    /// What came and is no answer, or why nothing came.
    fn ignored(&self, posed: &Posed, why: &str);
}

/// One service.
#[derive(Debug)]
pub struct Webhook {
    url: Uri,
    key: Key,
    agent: ureq::Agent,
    /// Longest wait for a response that is not an answer held open.
    timeout: Duration,
    /// The local user whose session it is.
    requester: String,
    /// Ids of answers that were taken.
    used: Mutex<HashSet<String>>,
    busy: AtomicUsize,
}

/// Why there is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("cannot read the address `{url}` of the webhook")]
    Url { url: String, source: ureq::http::uri::InvalidUri },
    #[error("cannot use the secret of the webhook")]
    Key(#[from] KeyError),
    #[error("cannot send to the webhook: this machine trusts no certificate authority")]
    NoRoots,
}

/// What one request came to.
enum Came {
    /// No body.
    Nothing,
    Message(Message),
    /// The answer will be found there.
    Elsewhere(Uri),
}

impl Webhook {
    /// `url` as the policy has it: encrypted, or on this machine.
    ///
    /// # Errors
    ///
    /// [`WebhookError`] if it is no address, the secret is no key, or there is
    /// nobody to verify the service by.
    pub fn new(
        url: &str,
        secret: &str,
        timeout: Duration,
        requester: String,
    ) -> Result<Self, WebhookError> {
        let parsed: Uri =
            url.parse().map_err(|source| WebhookError::Url { url: url.to_owned(), source })?;
        let roots = roots();
        if roots.is_empty() && parsed.scheme_str() == Some("https") {
            return Err(WebhookError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_connect(Some(timeout))
            .timeout_send_request(Some(timeout))
            .timeout_send_body(Some(timeout))
            .build();
        Ok(Self {
            url: parsed,
            key: Key::parse(secret)?,
            agent: config.new_agent(),
            timeout,
            requester,
            used: Mutex::default(),
            busy: AtomicUsize::new(0),
        })
    }

    /// Sends a question and waits for its answer on a thread of its own, at most
    /// as long as it waits for anybody.
    pub fn send(self: &Arc<Self>, posed: Posed, patience: Duration, hook: Arc<dyn Hook>) {
        if self.busy.fetch_add(1, Ordering::SeqCst) >= AT_A_TIME {
            self.busy.fetch_sub(1, Ordering::SeqCst);
            hook.ignored(&posed, "not sent: too many questions are there already");
            return;
        }
        let (webhook, teller) = (Arc::clone(self), Arc::clone(&hook));
        let question = posed.clone();
        let spawned = thread::Builder::new().name("webhook".to_owned()).spawn(move || {
            webhook.ask(&question, Instant::now() + patience, hook.as_ref());
            webhook.busy.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            self.busy.fetch_sub(1, Ordering::SeqCst);
            teller.ignored(&posed, "not sent: no thread could be started");
        }
    }

    /// Tells the service of something that is no question. What it says to it is
    /// not read.
    pub fn tell(&self, event: &serde_json::Value) {
        let Ok(body) = serde_json::to_vec(event) else { return };
        // It is told once; who is not there does not hear it.
        let _ = self.request(&self.url, Some(&body), self.timeout);
    }

    fn ask(&self, posed: &Posed, end: Instant, hook: &dyn Hook) {
        let sent = match Sent::new(posed, &self.requester, now()) {
            Ok(sent) => sent,
            Err(error) => return hook.ignored(posed, &error.to_string()),
        };
        let mut place: Option<Uri> = None;
        let mut told = false;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !hook.is_open(posed) {
                return;
            }
            let (to, body, wait) = match &place {
                None => (&self.url, Some(sent.body.as_slice()), left),
                Some(place) => (place, None, left.min(self.timeout)),
            };
            let (mut again, mut wrong) = (LOOK_AGAIN, None);
            match self.request(to, body, wait) {
                Ok((Came::Elsewhere(there), pause)) => (place, again) = (Some(there), pause),
                Ok((Came::Message(message), pause)) => match self.read(&sent, &message) {
                    Ok(answer) => return hook.answer(posed, answer),
                    Err(why) => (again, wrong) = (pause, Some(why)),
                },
                Ok((Came::Nothing, pause)) => again = pause,
                Err(why) => wrong = Some(why),
            }
            if let Some(why) = wrong.filter(|_| !told) {
                // Once is enough to know, and a service that repeats itself fills
                // no record.
                told = true;
                hook.ignored(posed, &why);
            }
            if place.is_none() {
                return;
            }
            thread::sleep(again.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// The answer in a message: signed, fresh, to this question, and not yet used.
    fn read(&self, sent: &Sent, message: &Message) -> Result<Answer, String> {
        let id = message.check(&self.key, now())?;
        let answer = sent.answer(&message.body, now(), self.url.host().unwrap_or_default())?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.insert(id.to_owned()) {
            true => Ok(answer),
            false => Err("it was used before".to_owned()),
        }
    }

    /// Posts a body, or looks without one, and says how long to pause after it.
    fn request(
        &self,
        to: &Uri,
        body: Option<&[u8]>,
        wait: Duration,
    ) -> Result<(Came, Duration), String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (id, timestamp) = (format!("msg_{id}"), now());
        let signature = self.key.sign(&id, timestamp, body.unwrap_or_default());
        let signed = [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signature),
        ];
        let said = |error: ureq::Error| format!("the webhook was not reached: {error}");
        let response = match body {
            Some(body) => {
                let request = self.agent.post(to).config().timeout_global(Some(wait)).build();
                let request = request.header("content-type", "application/json");
                signed.iter().fold(request, |it, (name, value)| it.header(*name, value)).send(body)
            }
            None => {
                let request = self.agent.get(to).config().timeout_global(Some(wait)).build();
                signed.iter().fold(request, |it, (name, value)| it.header(*name, value)).call()
            }
        };
        let mut response = response.map_err(said)?;
        let pause = pause(response.headers());
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::ACCEPTED if body.is_some() => {
                let there = header(response.headers(), "location")
                    .ok_or("it accepted the question and does not say where the answer will be")?;
                return Ok((Came::Elsewhere(same_origin(&self.url, &there)?), pause));
            }
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => return Ok((Came::Nothing, pause)),
            status => return Err(format!("the webhook replied with {status}")),
        }
        let read = response.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = read.map_err(|error| format!("the webhook's reply was cut off: {error}"))?;
        if body.is_empty() {
            return Ok((Came::Nothing, pause));
        }
        let of = |name: &str| header(response.headers(), name).unwrap_or_default();
        let message = Message {
            id: of("webhook-id"),
            timestamp: of("webhook-timestamp"),
            signature: of("webhook-signature"),
            body,
        };
        Ok((Came::Message(message), pause))
    }
}

/// A header that is there once.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(str::to_owned)
}

fn pause(headers: &HeaderMap) -> Duration {
    let seconds = header(headers, "retry-after").and_then(|text| text.parse::<u64>().ok());
    seconds.map_or(LOOK_AGAIN, |seconds| Duration::from_secs(seconds.clamp(1, 60)))
}

/// Where an answer may be looked for: at the host and port that the question went
/// to, by the same scheme.
fn same_origin(url: &Uri, there: &str) -> Result<Uri, String> {
    let elsewhere = || "the answer would be at another origin".to_owned();
    let mut parts = url.clone().into_parts();
    if there.starts_with('/') && !there.starts_with("//") {
        parts.path_and_query = Some(there.parse().map_err(|_| elsewhere())?);
        return Uri::from_parts(parts).map_err(|_| elsewhere());
    }
    let uri: Uri = there.parse().map_err(|_| elsewhere())?;
    let port = |uri: &Uri| {
        uri.port_u16().or(match uri.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        })
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let same =
        uri.scheme_str() == url.scheme_str() && host(&uri) == host(url) && port(&uri) == port(url);
    if same && plain { Ok(uri) } else { Err(elsewhere()) }
}

/// The authorities that this machine trusts, as the rest of Remit does.
fn roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
