//! Heads of HTTP/1 messages, in the one spelling that every reader agrees on.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use remit_policy::Method;

use super::strict::Malformed;

/// How long a head may be, with its end. Twice what common servers take.
pub(super) const HEAD_LIMIT: usize = 128 * 1024;

const FIELD_LIMIT: usize = 200;

/// The head of a request as it was written.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: Method,
    /// Not looked at yet.
    pub(super) target: String,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

/// The head of an answer. Its reason phrase, which means nothing, is not kept.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

/// Where a head ends, the empty line included, looking on from `seen`. `None` if it
/// is not complete.
///
/// SOURCE: RFC 9112 §2.2 lets a reader take a bare LF for the end of a line and
/// forbids a bare CR. Readers differ, so neither is taken here.
pub(super) fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Malformed> {
    // The end of a line may have been cut in the middle.
    let from = seen.saturating_sub(3);
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        if at >= HEAD_LIMIT {
            return Err(Malformed { status: TOO_LARGE, why: "its head is longer than 128 KiB" });
        }
        match byte {
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => {
                return Err(Malformed::new("a line ends without CR"));
            }
            b'\n' if at == 1 => return Err(Malformed::new("it begins with an empty line")),
            b'\n' if bytes[..at].ends_with(b"\r\n\r") => return Ok(Some(at + 1)),
            b'\n' | b'\r' => {}
            0 => return Err(Malformed::new("it has a NUL in it")),
            _ if at > 0 && bytes[at - 1] == b'\r' => {
                return Err(Malformed::new("a CR stands inside a line"));
            }
            _ => {}
        }
    }
    Ok(None)
}

const TOO_LARGE: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;

/// Reads a complete head.
pub(super) fn request(bytes: &[u8]) -> Result<RequestHead, Malformed> {
    // SOURCE: RFC 9113 §3.4, the preface of HTTP/2.
    if bytes.starts_with(b"PRI * HTTP/2.0\r\n") {
        let why = "HTTP/2 was not agreed on in TLS, so HTTP/1 is spoken here";
        return Err(Malformed { status: StatusCode::HTTP_VERSION_NOT_SUPPORTED, why });
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut parsed = httparse::Request::new(&mut fields);
    let whole =
        matches!(parsed.parse(bytes), Ok(httparse::Status::Complete(end)) if end == bytes.len());
    let (Some(method), Some(target), Some(minor), true) =
        (parsed.method, parsed.path, parsed.version, whole)
    else {
        return Err(Malformed::new("it is not a request of HTTP/1"));
    };
    let method = Method::parse(method)
        .map_err(|_| Malformed::new("the method is not a token of at most 32 bytes"))?;
    let headers = fields_of(parsed.headers)?;
    Ok(RequestHead { method, target: target.to_owned(), version: version(minor), headers })
}

/// Reads a complete head.
pub(super) fn response(bytes: &[u8]) -> Result<ResponseHead, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut parsed = httparse::Response::new(&mut fields);
    let whole =
        matches!(parsed.parse(bytes), Ok(httparse::Status::Complete(end)) if end == bytes.len());
    let (Some(code), Some(minor), true) = (parsed.code, parsed.version, whole) else {
        return Err(Malformed::new("it is not an answer of HTTP/1"));
    };
    let status = StatusCode::from_u16(code)
        .map_err(|_| Malformed::new("the status is not between 100 and 999"))?;
    let headers = fields_of(parsed.headers)?;
    Ok(ResponseHead { status, version: version(minor), headers })
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

fn fields_of(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Malformed::new("a field is not a name and a value"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}
