//! The one upgrade of HTTP/1.1 that is passed on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Version};
use sha1::{Digest as _, Sha1};

use super::framing::{Body, Options};
use super::head::RequestHead;
use super::strict::{Malformed, single};

/// A WebSocket asked for; the host must show that it has understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    accept: String,
}

/// The WebSocket that a request asks for, if it does.
///
/// Other upgrades, `h2c` among them, are not passed on, which declines them: the
/// request goes on as one of HTTP/1.1.
pub(super) fn offer(
    head: &RequestHead,
    options: Options,
    body: Body,
) -> Result<Option<Offer>, Malformed> {
    let asked = head.headers.get(UPGRADE).map(|value| value.as_bytes());
    if !options.upgrade || !asked.is_some_and(|name| name.eq_ignore_ascii_case(b"websocket")) {
        return Ok(None);
    }
    let only =
        |name: HeaderName| single(&head.headers, &name, "a field of its WebSocket is there twice");
    // SOURCE: RFC 6455 §4.1, the client's opening handshake.
    let version = only(SEC_WEBSOCKET_VERSION)? == Some(b"13");
    let key = only(SEC_WEBSOCKET_KEY)?.unwrap_or_default();
    let sixteen = STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    let plain =
        head.method.as_str() == "GET" && head.version == Version::HTTP_11 && body == Body::None;
    only(UPGRADE)?;
    if !(version && sixteen && plain) {
        return Err(Malformed::new("it asks for a WebSocket in another way than RFC 6455"));
    }
    Ok(Some(Offer { accept: accept(key) }))
}

impl Offer {
    /// Whether the host's 101 is the answer to this very offer.
    pub(super) fn is_taken(&self, headers: &HeaderMap) -> bool {
        let upgrade = headers.get(UPGRADE).map(|value| value.as_bytes());
        upgrade.is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
            && headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|value| *value == self.accept)
    }
}

/// SOURCE: RFC 6455 §4.2.2, point 5.4.
fn accept(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accepted_key_is_that_of_the_specification() {
        // SOURCE: RFC 6455 §1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
