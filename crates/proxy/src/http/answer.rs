//! Answers given from here, in the host's place.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use remit_policy::{Basis, Connect, Refusal};

use super::strict::Malformed;

/// The answer to a request that is refused.
pub(super) fn refused(status: StatusCode, refusal: &Refusal) -> Response<Bytes> {
    text(status, "refused", format!("{refusal}\n"))
}

/// The answer to a request that the host did not answer.
pub(super) fn failed(why: &str) -> Response<Bytes> {
    text(StatusCode::BAD_GATEWAY, "unreachable", format!("{why}\n"))
}

/// A request refused for how it is written.
pub(super) fn malformed(connect: &Connect, malformed: &Malformed) -> Refusal {
    let mut basis = Basis::built_in("a request must be readable in one way only");
    basis.justification = Some(malformed.why.to_owned());
    let instead = match malformed.status {
        StatusCode::MISDIRECTED_REQUEST => "a connection of its own for each host",
        _ => "the same in a request as RFC 9110 and RFC 9112 have it",
    };
    let attempt = format!("request to `{connect}`");
    Refusal { attempt, basis, instead: Some(instead.to_owned()), note: None }
}

fn text(status: StatusCode, mark: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-remit", HeaderValue::from_static(mark));
    response
}

/// The head of an answer of HTTP/1.1, without its framing and its empty line.
pub(super) fn head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    // The host's own reason phrase could say anything.
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    fields(&mut head, headers);
    head
}

pub(super) fn fields(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
}
