//! What is said to a proxy, and by one.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, StatusCode, Version};
use remit_policy::{Connect, Scheme};

use super::framing::{self, Body};
use super::head::{self, RequestHead};
use super::strict::{self, Malformed};
use super::{answer, authority};
use crate::sniff::{self, Protocol};

/// How long a head may be that is read by looking at it anew with every piece.
const HEAD_LIMIT: usize = 16 * 1024;

/// What a program asks of a proxy.
#[derive(Debug)]
pub(crate) enum Asked {
    /// `CONNECT`: a connection, whatever is spoken on it.
    Connection(Connect),
    /// A request for this host, in absolute form.
    Request(Connect, Passed),
}

/// A request that named its host, to be passed on to it.
#[derive(Debug)]
pub(crate) struct Passed(RequestHead);

/// Reads what a program asks, and how long it is. `None` if it is not complete.
///
/// What the fields of a `CONNECT` say means nothing: where it leads is said by its
/// target alone.
///
/// # Errors
///
/// The answer's status, and why.
pub(crate) fn asked(bytes: &[u8]) -> Result<Option<(Asked, usize)>, (StatusCode, &'static str)> {
    let Some(end) = bounded(bytes)? else { return Ok(None) };
    let asked = understood(&bytes[..end]).map_err(|malformed| (malformed.status, malformed.why))?;
    Ok(Some((asked, end)))
}

/// The status with which a proxy answers `CONNECT`, and how long its head is.
/// `None` if it is not complete.
pub(crate) fn status(bytes: &[u8]) -> Result<Option<(StatusCode, usize)>, &'static str> {
    let Some(end) = bounded(bytes).map_err(|(_, why)| why)? else { return Ok(None) };
    let head = head::response(&bytes[..end]).map_err(|malformed| malformed.why)?;
    Ok(Some((head.status, end)))
}

fn bounded(bytes: &[u8]) -> Result<Option<usize>, (StatusCode, &'static str)> {
    match head::end(&bytes[..bytes.len().min(HEAD_LIMIT)], 0) {
        Ok(None) if bytes.len() >= HEAD_LIMIT => {
            Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "its head is longer than 16 KiB"))
        }
        Ok(end) => Ok(end),
        Err(malformed) => Err((malformed.status, malformed.why)),
    }
}

fn understood(bytes: &[u8]) -> Result<Asked, Malformed> {
    let head = head::request(bytes)?;
    if head.method.as_str() == "CONNECT" {
        let there = Connect::parse(&head.target)
            .ok_or(Malformed::new("the target is not a host name or an address, and a port"))?;
        let body = framing::request_body(&head.headers, head.version)?;
        return match body {
            Body::None => Ok(Asked::Connection(there)),
            _ => Err(Malformed::new("`CONNECT` has no body")),
        };
    }
    // What is not taken for a request later would be carried without being judged.
    if sniff::protocol(bytes) != Some(Protocol::Http) {
        return Err(Malformed::new("the method is not one that requests have"));
    }
    let (scheme, authority, _) = strict::absolute(&head.target)
        .ok_or(Malformed::new("this is a proxy; its requests are `CONNECT` or name a host"))?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Malformed::new("only `http` is asked for so; ask for others by `CONNECT`"));
    }
    let there = strict::named(authority, Scheme::Http)?;
    let hosted = strict::same_host(&head.headers, &there, Scheme::Http)?;
    if !hosted && head.version == Version::HTTP_11 {
        return Err(Malformed::new("it has no `Host`"));
    }
    Ok(Asked::Request(there, Passed(head)))
}

impl Passed {
    /// Whether its answer has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.0.method.as_str() == "HEAD"
    }

    /// The same as it is written to a host itself, without what is for the proxy. It is
    /// the last on its connection, because the next may be for another host.
    pub(crate) fn to_host(&self, there: &Connect) -> Bytes {
        let Self(RequestHead { method, target, version, headers }) = self;
        let rest = strict::absolute(target).map(|(_, _, rest)| rest).unwrap_or_default();
        let path = strict::origin(rest, method);
        let host = authority(there, Scheme::Http);
        let first = format!("{} {path} {version:?}\r\nhost: {host}\r\n", method.as_str());
        let mut bytes = first.into_bytes();
        answer::fields(&mut bytes, &without_ours(headers));
        bytes.extend_from_slice(b"connection: close\r\n\r\n");
        bytes.into()
    }
}

fn without_ours(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for ours in [HOST.as_str(), "proxy-authorization", "proxy-connection"] {
        headers.remove(ours);
    }
    headers
}
