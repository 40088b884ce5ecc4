//! How long a body of HTTP/1 is, and the fields that concern one connection only.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, StatusCode, Version};
use remit_policy::Method;

use super::strict::{Malformed, single};

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    /// So many bytes, at least one.
    Length(u64),
    Chunked,
    /// All that comes until the host closes. Never of a request.
    UntilClose,
}

/// How a request's body ends.
///
/// SOURCE: RFC 9112 §6.1 and §6.3. Where it lets a server choose between two
/// readings, the request is refused.
pub(super) fn request_body(headers: &HeaderMap, version: Version) -> Result<Body, Malformed> {
    if let Some(expected) = single(headers, &EXPECT, "it has more than one `Expect`")?
        && !expected.eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Malformed::new("it expects something else than `100-continue`"));
    }
    Ok(declared(headers, version)?.unwrap_or(Body::None))
}

/// How an answer's body ends, to a request of `method`.
pub(super) fn response_body(
    headers: &HeaderMap,
    version: Version,
    status: StatusCode,
    method: &Method,
) -> Result<Body, Malformed> {
    let declared = declared(headers, version)?;
    let bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || method.as_str() == "HEAD";
    Ok(if bodiless { Body::None } else { declared.unwrap_or(Body::UntilClose) })
}

fn declared(headers: &HeaderMap, version: Version) -> Result<Option<Body>, Malformed> {
    let coding = single(headers, &TRANSFER_ENCODING, "it has more than one `Transfer-Encoding`")?;
    let length = single(headers, &CONTENT_LENGTH, "it has more than one `Content-Length`")?;
    match (coding, length) {
        (Some(_), Some(_)) => {
            Err(Malformed::new("it has both `Content-Length` and `Transfer-Encoding`"))
        }
        (Some(_), None) if version != Version::HTTP_11 => {
            Err(Malformed::new("it has a `Transfer-Encoding`, which HTTP/1.0 does not know"))
        }
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some(Body::Chunked)),
        (Some(_), None) => Err(Malformed::new("its `Transfer-Encoding` is not `chunked`")),
        (None, Some(length)) => match number(length) {
            Some(0) => Ok(Some(Body::None)),
            Some(length) => Ok(Some(Body::Length(length))),
            None => Err(Malformed::new("its `Content-Length` is not a number")),
        },
        (None, None) => Ok(None),
    }
}

/// A length in decimal digits and nothing else: no sign, no space, no list.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
    text.parse().ok()
}

/// What `Connection` may name in a request. Anything else would take a field out
/// that the host was to see.
const OPTIONS: [&str; 5] = ["close", "keep-alive", "upgrade", "te", "http2-settings"];

/// What a message says about its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) upgrade: bool,
}

/// Reads a request's `Connection`.
pub(super) fn request_options(headers: &HeaderMap) -> Result<Options, Malformed> {
    let mut options = Options::default();
    for option in named(headers) {
        if !OPTIONS.contains(&option.as_str()) {
            return Err(Malformed::new("its `Connection` names a field that is not about it"));
        }
        options.close |= option == "close";
        options.upgrade |= option == "upgrade";
    }
    Ok(options)
}

/// Whether an answer's `Connection` says that it is the last.
pub(super) fn closes(headers: &HeaderMap, version: Version) -> bool {
    version != Version::HTTP_11 || named(headers).any(|option| option == "close")
}

fn named(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| {
            // What is not text is no option we know; it must not be passed over.
            let text = value.to_str().unwrap_or("?");
            text.split(',').map(|option| option.trim().to_ascii_lowercase()).collect::<Vec<_>>()
        })
        .filter(|option| !option.is_empty())
}

/// Fields that concern one connection of HTTP/1, or that we write ourselves.
const OURS: [HeaderName; 13] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
];

/// Takes out what is not passed on, also what an answer's `Connection` names. The
/// rest keeps its order.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = named(headers).collect();
    let ours =
        |name: &HeaderName| OURS.contains(name) || named.iter().any(|one| name.as_str() == one);
    if headers.keys().any(ours) {
        let mut kept = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers.iter().filter(|(name, _)| !ours(name)) {
            kept.append(name, value.clone());
        }
        *headers = kept;
    }
}
