//! What is sent of a question, and which answers fit it.

use remit_policy::{Answer, Choice};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::queue::Posed;
use crate::words::plain;

/// A question as it is sent: a body, and what an answer has to name.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// `SESSION/N`.
    pub(super) question: String,
    /// SHA-256 in hex of the question as it is in the body.
    pub(super) digest: String,
    pub(super) body: Vec<u8>,
}

#[derive(Serialize)]
struct Body<'q> {
    r#type: &'static str,
    /// Seconds since 1970.
    timestamp: u64,
    data: Data<'q>,
}

#[derive(Serialize)]
struct Data<'q> {
    question: &'q str,
    digest: &'q str,
    /// The local user whose session it is.
    requester: &'q str,
    asked: &'q serde_json::value::RawValue,
}

/// What comes back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    question: String,
    digest: String,
    choice: Choice,
    /// A name that stays the same for the same person.
    by: String,
    #[serde(default)]
    note: Option<String>,
    /// Seconds since 1970 from which on it is none.
    expires: u64,
}

/// Longest name and note in an answer, in bytes.
const LONGEST: usize = 4096;

impl Sent {
    /// `now` in seconds since 1970.
    pub(super) fn new(posed: &Posed, requester: &str, now: u64) -> serde_json::Result<Self> {
        let asked = serde_json::value::to_raw_value(posed)?;
        let digest = Sha256::digest(asked.get());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let question = format!("{}/{}", posed.session, posed.id);
        let data = Data { question: &question, digest: &digest, requester, asked: &asked };
        let body = Body { r#type: "question.posed", timestamp: now, data };
        Ok(Self { body: serde_json::to_vec(&body)?, question, digest })
    }

    /// Reads an answer whose signature was checked. The error says why it is none
    /// to this question.
    pub(super) fn answer(&self, body: &[u8], now: u64, host: &str) -> Result<Answer, String> {
        let text: Text = serde_json::from_slice(body)
            .map_err(|error| format!("it is not an answer: {}", plain(&error.to_string())))?;
        if text.question != self.question {
            return Err("it is about another question".to_owned());
        }
        if text.digest != self.digest {
            return Err("it is not about what was asked: the digest differs".to_owned());
        }
        if text.expires <= now {
            return Err("it has expired".to_owned());
        }
        let named = text.by.trim();
        let short = text.note.as_ref().is_none_or(|note| note.len() <= LONGEST);
        if named.is_empty() || named.len() > LONGEST || !short {
            return Err("it does not say by whom it is, or says too much".to_owned());
        }
        let by = format!("{} by the webhook at {}", plain(named), plain(host));
        Ok(Answer { choice: text.choice, by, people: [person(named)].into(), note: text.note })
    }
}

/// The stable name of whom an answer names: what stands before an `@`, in small
/// letters, so that somebody is the same person here and at their own terminal.
/// Two of one name at two domains are taken for one; that is the strict way.
fn person(named: &str) -> String {
    plain(named.split('@').next().unwrap_or(named).trim()).to_lowercase()
}
