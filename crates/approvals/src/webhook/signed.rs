//! Signatures in the form of Standard Webhooks.
//!
//! SOURCE: the Standard Webhooks specification 1.0: headers `webhook-id`,
//! `webhook-timestamp` (seconds since 1970) and `webhook-signature`, which holds
//! `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, more than one of
//! them apart by spaces. A secret is written `whsec_` and base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// How far the two clocks may be apart, in seconds: as much as the specification
/// recommends.
pub(super) const FRESH: u64 = 5 * 60;

/// Shorter keys are guessed.
const LEAST_KEY: usize = 16;

/// What both sides sign with.
#[derive(Clone)]
pub struct Key(Vec<u8>);

/// Why a secret is no key. Never says the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret of a webhook is at least {LEAST_KEY} bytes, or `whsec_` and so many in base64")]
pub struct KeyError;

impl Key {
    /// Reads a secret as it is kept: `whsec_…`, or any text of 16 bytes and more.
    /// Line ends behind it are not part of it.
    pub fn parse(secret: &str) -> Result<Self, KeyError> {
        let secret = secret.trim_end_matches(['\r', '\n']);
        let bytes = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| KeyError)?,
            None => secret.as_bytes().to_vec(),
        };
        if bytes.len() < LEAST_KEY { Err(KeyError) } else { Ok(Self(bytes)) }
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let code = self.code(id, timestamp, body).finalize().into_bytes();
        format!("v1,{}", STANDARD.encode(code))
    }

    fn is_signed(&self, id: &str, timestamp: u64, body: &[u8], signatures: &str) -> bool {
        let mut given = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        given.any(|encoded| {
            let code = STANDARD.decode(encoded);
            // Takes as long wherever the first difference is.
            code.is_ok_and(|code| self.code(id, timestamp, body).verify_slice(&code).is_ok())
        })
    }

    fn code(&self, id: &str, timestamp: u64, body: &[u8]) -> Hmac<Sha256> {
        let mut code = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        code.update(format!("{id}.{timestamp}.").as_bytes());
        code.update(body);
        code
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

/// A message as it came, with what its headers say.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The id, if the key signed it lately. `now` in seconds since 1970.
    pub(super) fn check(&self, key: &Key, now: u64) -> Result<&str, &'static str> {
        let digits =
            !self.timestamp.is_empty() && self.timestamp.bytes().all(|b| b.is_ascii_digit());
        let Some(timestamp) = self.timestamp.parse::<u64>().ok().filter(|_| digits) else {
            return Err("it does not say when it was signed");
        };
        if self.id.is_empty() || self.id.len() > 128 {
            return Err("it has no `webhook-id` of at most 128 bytes");
        }
        if !key.is_signed(&self.id, timestamp, &self.body, &self.signature) {
            return Err("it is not signed with the key of the webhook");
        }
        if now.abs_diff(timestamp) > FRESH {
            return Err("it was not signed within the last five minutes");
        }
        Ok(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SOURCE: the example of the specification.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_was_changed_or_is_old_is_not_taken() {
        let key = Key::parse("0123456789abcdef").unwrap();
        let other = Key::parse("0123456789abcdeg").unwrap();
        let message = |change: fn(&mut Message)| {
            let mut message = Message {
                id: "a".to_owned(),
                timestamp: "1000".to_owned(),
                signature: format!("v1a,x {}", key.sign("a", 1000, b"body")),
                body: b"body".to_vec(),
            };
            change(&mut message);
            message
        };
        assert_eq!(message(|_| {}).check(&key, 1300), Ok("a"));
        assert_eq!(message(|_| {}).check(&key, 700), Ok("a"));
        let bad: [fn(&mut Message); 7] = [
            |it| it.id = "b".to_owned(),
            |it| it.timestamp = "1001".to_owned(),
            |it| it.timestamp = "+1000".to_owned(),
            |it| it.body.push(b' '),
            |it| it.signature = it.signature.replace("v1,", "v2,"),
            |it| it.signature.clear(),
            |it| it.timestamp.clear(),
        ];
        for change in bad {
            let changed = message(change);
            assert!(changed.check(&key, 1000).is_err(), "{changed:?}");
        }
        assert!(message(|_| {}).check(&other, 1000).is_err());
        for now in [1301, 699] {
            assert!(
                message(|_| {}).check(&key, now).is_err_and(|why| why.contains("five minutes"))
            );
        }
        assert!(Key::parse("short\n").is_err() && Key::parse("whsec_c2hvcnQ=").is_err());
    }
}
