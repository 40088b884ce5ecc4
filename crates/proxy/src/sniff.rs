//! What a program speaks, by its first bytes.

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Tls,
    Other,
}

/// SOURCE: RFC 9110 §9 and RFC 5789, with a space as on the request line.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
];

pub(crate) fn protocol(first: &[u8]) -> Protocol {
    match first {
        // SOURCE: RFC 8446 §5.1, a handshake record of version 3.x.
        [0x16, 0x03, ..] => Protocol::Tls,
        _ if METHODS.iter().any(|method| first.starts_with(method)) => Protocol::Http,
        _ => Protocol::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_protocol() {
        let check = |bytes: &[u8], expected| assert_eq!(protocol(bytes), expected, "{bytes:?}");
        check(b"GET / HTTP/1.1\r\n", Protocol::Http);
        check(b"PATCH /x HTTP/1.1", Protocol::Http);
        check(b"GETAWAY", Protocol::Other);
        check(b"\x16\x03\x01\x02\x00", Protocol::Tls);
        check(b"SSH-2.0-OpenSSH", Protocol::Other);
        check(b"", Protocol::Other);
    }
}
