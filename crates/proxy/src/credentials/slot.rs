//! The place of a request that a secret is put into.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, header};

use super::Form;
use crate::http::hooks::Draft;

/// Two credentials with the same place cannot both be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Header(HeaderName),
    Query(String),
}

impl Slot {
    pub(super) fn of(form: &Form) -> Self {
        match form {
            Form::Bearer(_) | Form::Basic { .. } | Form::Aws(_) => {
                Slot::Header(header::AUTHORIZATION)
            }
            Form::Header { name, .. } => Slot::Header(name.clone()),
            Form::Query { name, .. } => Slot::Query(name.clone()),
        }
    }

    /// What the program put there.
    pub(super) fn contents(&self, draft: &Draft) -> Vec<Vec<u8>> {
        match self {
            Slot::Header(name) => {
                draft.headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
            }
            Slot::Query(name) => pairs(draft)
                .filter(|pair| is_named(pair, name))
                .map(|pair| pair.as_bytes().to_vec())
                .collect(),
        }
    }

    pub(super) fn clear(&self, draft: &mut Draft) {
        match self {
            Slot::Header(name) => {
                draft.headers.remove(name);
            }
            Slot::Query(name) => {
                let rest: Vec<_> = pairs(draft).filter(|pair| !is_named(pair, name)).collect();
                draft.query = (!rest.is_empty()).then(|| rest.join("&"));
            }
        }
    }
}

/// Puts the secret into its place, which is clear. A key of AWS has none.
pub(super) fn fill(form: &Form, draft: &mut Draft) {
    match form {
        Form::Bearer(_) | Form::Basic { .. } => {
            let value = authorization(form).expect("both are ways to authorise");
            draft.headers.insert(header::AUTHORIZATION, value);
        }
        Form::Header { name, secret } => {
            draft.headers.insert(name.clone(), value(secret.expose()));
        }
        Form::Query { name, secret } => {
            let pair = [encoded(name.as_bytes()), encoded(secret.expose().as_bytes())].join("=");
            draft.query = Some(match draft.query.take() {
                Some(query) => format!("{query}&{pair}"),
                None => pair,
            });
        }
        Form::Aws(_) => {}
    }
}

/// The value of `authorization` for a form that has its place there.
pub(super) fn authorization(form: &Form) -> Option<HeaderValue> {
    match form {
        Form::Bearer(secret) => Some(value(&format!("Bearer {}", secret.expose()))),
        Form::Basic { user, password } => {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            Some(value(&format!("Basic {pair}")))
        }
        Form::Header { .. } | Form::Query { .. } | Form::Aws(_) => None,
    }
}

/// INVARIANT: `text` has a secret in it, which is printable ASCII.
pub(super) fn value(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).expect("a secret is printable ASCII");
    value.set_sensitive(true);
    value
}

fn pairs(draft: &Draft) -> impl Iterator<Item = &str> {
    draft.query.iter().flat_map(|query| query.split('&'))
}

fn is_named(pair: &str, name: &str) -> bool {
    let (spelt, _) = pair.split_once('=').unwrap_or((pair, ""));
    let spelt = decoded(&spelt.replace('+', " "));
    spelt.eq_ignore_ascii_case(name.as_bytes())
}

/// Percent-decoded once. What is no escape stays as it is.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    decoded_bytes(text.as_bytes())
}

pub(super) fn decoded_bytes(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (b, ..) => {
                out.push(b);
                at += 1;
            }
        }
    }
    out
}

/// Percent-encoded: all but the unreserved characters of RFC 3986 §2.3.
pub(super) fn encoded(bytes: &[u8]) -> String {
    let one = |b: &u8| match b {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => char::from(*b).to_string(),
        b => format!("%{b:02X}"),
    };
    bytes.iter().map(one).collect()
}
