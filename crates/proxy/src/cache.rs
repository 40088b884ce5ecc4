//! Answers kept on this machine, for sessions that answer from them alone.
//!
//! Kept is what anybody would be answered: complete answers of 200 to GET, to
//! requests without credentials, cookies, ranges, bodies, and without any field
//! that is not known to be harmless. A program could otherwise have a server answer
//! something odd, and have it kept for the sessions after it. Whether an answer is
//! still fresh is not asked; the policy chose to work with what was kept.

mod entry;
mod store;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, SET_COOKIE, VARY};
use http::{HeaderMap, Response, StatusCode};
use remit_policy::{Attempt as _, Basis, Refusal, Request};

use crate::credentials::Credentials;
use entry::Entry;
pub(crate) use store::Filling;
pub use store::{Answers, AnswersError};

/// An answer that would be kept if it may.
#[derive(Debug)]
pub(crate) struct Wanted {
    answers: Arc<Answers>,
    key: String,
    asked: HeaderMap,
}

/// What of a request's fields an answer may depend on without harm to others. What
/// ends in `-` stands for all that begin so.
///
/// SOURCE: RFC 9110 §12.5 and §13.1, RFC 9111 §5, the Fetch standard; the sources of
/// Cargo and npm for theirs, which count requests.
const HARMLESS: [&str; 19] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "cargo-protocol",
    "dnt",
    "if-modified-since",
    "if-none-match",
    "npm-auth-type",
    "npm-command",
    "npm-session",
    "pacote-",
    "pragma",
    "priority",
    "sec-ch-ua",
    "sec-fetch-",
    "upgrade-insecure-requests",
    "user-agent",
];

impl Wanted {
    /// `None` if nothing that answers the request may be kept.
    pub(crate) fn of(
        answers: &Arc<Answers>,
        request: &Request,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let is_harmless = |name: &str| {
            HARMLESS.iter().any(|it| match it.ends_with('-') {
                true => name.starts_with(it),
                false => name == *it,
            })
        };
        let all = headers.keys().all(|name| is_harmless(name.as_str()));
        let may = reads(request, &["GET"]) && all && !says(headers, "no-store");
        let key = key(request);
        may.then(|| Self { answers: Arc::clone(answers), key, asked: headers.clone() })
    }

    /// Begins to keep an answer, if it may be kept and there is room.
    pub(crate) fn begin(self, status: StatusCode, headers: &HeaderMap) -> Option<Filling> {
        let is_for_one = headers.contains_key(SET_COOKIE)
            || says(headers, "no-store")
            || says(headers, "private");
        if status != StatusCode::OK || is_for_one {
            return None;
        }
        let entry = Entry::new(self.key, now(), status, headers, &self.asked)?;
        self.answers.begin(&entry)
    }
}

impl Answers {
    /// The answer that was kept for a request.
    pub(crate) fn find(&self, request: &Request, headers: &HeaderMap) -> Option<Response<Bytes>> {
        if !reads(request, &["GET", "HEAD"]) {
            return None;
        }
        let (entry, body) = self.read(&key(request))?;
        if !entry.is_for(headers) {
            return None;
        }
        let mut response = Response::new(body);
        *response.status_mut() = entry.status;
        *response.headers_mut() = entry.headers;
        let age = now().saturating_sub(entry.stored);
        response.headers_mut().insert(AGE, HeaderValue::from(age));
        response.headers_mut().insert("x-remit", HeaderValue::from_static("cached"));
        Some(response)
    }
}

/// Why there is no answer.
pub(crate) fn refusal(credentials: &Credentials, request: &Request) -> Refusal {
    Refusal {
        attempt: credentials.masked(&request.summary()),
        basis: Basis::built_in("network: answers come from the cache alone"),
        instead: Some(
            "GET and HEAD of what a session with `network.cache = \"fill\"` has fetched".to_owned(),
        ),
        note: None,
    }
}

/// What the program is told then.
///
/// SOURCE: RFC 9111 §5.2.1.7 has 504 for what a cache alone cannot answer.
pub(crate) fn not_kept(refusal: &Refusal) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{refusal}\n")));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-remit", HeaderValue::from_static("not cached"));
    response
}

/// Whether the request is one of these, however it is read.
fn reads(request: &Request, methods: &[&str]) -> bool {
    let asked = request.methods();
    asked.len() == 1 && asked.iter().all(|method| methods.contains(&method.as_str()))
}

/// What an answer is kept under. HEAD asks for the head of what GET asks for.
fn key(request: &Request) -> String {
    format!("GET {}://{}{}", request.scheme, request.connect, request.target.as_str())
}

/// Whether `cache-control` has a directive, with an argument or without.
fn says(headers: &HeaderMap, directive: &str) -> bool {
    let fields = headers.get_all(CACHE_CONTROL).into_iter().map(|value| value.as_bytes());
    fields.flat_map(|value| value.split(|byte| *byte == b',')).any(|one| {
        let name = one.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(directive.as_bytes())
    })
}

/// The names that `vary` lists, in small letters. `None` if it lists everything.
fn varying(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for value in headers.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name == "*" {
                return None;
            }
            names.push(name.to_ascii_lowercase());
        }
    }
    Some(names)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
