//! What no program says to a proxy.

use super::*;

/// What messages are made of.
const PIECES: [&[u8]; 20] = [
    b"\x04\x01\x01\xbb",
    b"\x05\x01\x00",
    b"\x05\x01\x00\x03",
    b"\0\0\0\x01",
    b"\x7f\0\0\x01",
    b"\0",
    b"\x0aa.example",
    b"a.example",
    b"A.Example.",
    b"127.1",
    b"[::1]",
    b":443",
    b"\x01\xbb",
    b"CONNECT ",
    b"GET http://",
    b"/p?q",
    b"@",
    b"%00",
    b" HTTP/1.1\r\n",
    b"host: a.example\r\n\r\n",
];

/// A host that was understood stands in what was said, as text or as its bytes.
#[track_caller]
fn is_said(host: &Host, said: &[u8]) {
    let lower = said.to_ascii_lowercase();
    let has = |part: &[u8]| lower.windows(part.len()).any(|window| window == part);
    let found = match host {
        Host::Name(name) => has(name.as_str().as_bytes()),
        Host::Address(std::net::IpAddr::V4(four)) => {
            has(four.to_string().as_bytes()) || said.windows(4).any(|w| w == four.octets())
        }
        // IPv6 is written in many ways.
        Host::Address(std::net::IpAddr::V6(six)) => {
            said.windows(16).any(|w| w == six.octets()) || has(b":")
        }
    };
    assert!(found, "{host} from {said:?}");
}

fn check_all(said: &[u8]) {
    let _ = socks::sign_in(said).inspect(|message| within(message, said));
    let _ = socks::password(said).inspect(|message| within(message, said));
    for parse in [socks::request4, socks::request5] {
        if let Ok(Some(((host, _), length))) = parse(said) {
            assert!(length <= said.len());
            is_said(&host, &said[..length]);
        }
        agrees_on_beginnings(said, |bytes| {
            parse(bytes).map(|message| message.map(|(host, length)| (Some(host), length)))
        });
    }
    if let Ok(Some((asked, length))) = request(said) {
        assert!(length <= said.len());
        is_said(&asked.host, &said[..length]);
        if let Words::Request(passed) = asked.words {
            let there = remit_policy::Connect { host: asked.host, port: asked.port, program: None };
            let head = passed.to_host(&there);
            let end = head.windows(4).position(|window| window == b"\r\n\r\n");
            assert_eq!(end, Some(head.len() - 4), "it ends once, at its end");
        }
    }
    agrees_on_beginnings(said, |bytes| {
        request(bytes)
            .map(|asked| asked.map(|(asked, length)| (Some((asked.host, asked.port)), length)))
    });
}

#[track_caller]
fn within<T>(message: &Option<(T, usize)>, said: &[u8]) {
    if let Some((_, length)) = message {
        assert!(*length <= said.len());
    }
}

/// A message that is complete means the same whatever follows it, and nothing
/// shorter is taken for it.
fn agrees_on_beginnings<T: PartialEq + std::fmt::Debug>(
    said: &[u8],
    parse: impl Fn(&[u8]) -> Parsed<T>,
) {
    if let Ok(Some((message, length))) = parse(said) {
        for shorter in 0..length {
            assert!(matches!(parse(&said[..shorter]), Ok(None)), "{:?}", &said[..shorter]);
        }
        assert_eq!(parse(&said[..length]), Ok(Some((message, length))));
    }
}

#[test]
fn no_bytes_are_misread() {
    bolero::check!().for_each(check_all);
}

#[test]
fn no_pieces_are_misread() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|choice| {
        let pieces = choice.iter().map(|byte| PIECES[usize::from(*byte) % PIECES.len()]);
        let said: Vec<u8> = pieces.take(24).flatten().copied().collect();
        check_all(&said);
    });
}
