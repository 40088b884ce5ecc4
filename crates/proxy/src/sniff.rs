//! What a program speaks, by its first bytes.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::{postgres, ssh};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Tls,
    Ssh,
    PostgreSql,
    Other,
}

/// What first bytes say; `None` while there are too few of them.
pub(crate) fn protocol(first: &[u8]) -> Option<Protocol> {
    match first {
        [] | [0x16] => None,
        // SOURCE: RFC 8446 §5.1, a handshake record of version 3.x.
        [0x16, 0x03, ..] => Some(Protocol::Tls),
        _ if ssh::begins(first) => Some(Protocol::Ssh),
        _ if b"SSH-".starts_with(first) => None,
        [0, ..] => postgresql(first),
        _ => request_line(first),
    }
}

/// Eight bytes decide.
fn postgresql(first: &[u8]) -> Option<Protocol> {
    (first.len() >= 8).then(|| match postgres::begins(first) {
        true => Protocol::PostgreSql,
        false => Protocol::Other,
    })
}

/// A method, which is a token, and a blank. What stands before it is passed over
/// as some servers do, and refused later.
///
/// SOURCE: RFC 9112 §2.2 and §3.
fn request_line(first: &[u8]) -> Option<Protocol> {
    const LONGEST: usize = 32;
    let is_blank = |b: &u8| matches!(b, b'\t' | 0x0b | 0x0c | b' ');
    let begin = first.iter().position(|b| !is_blank(b) && !matches!(b, b'\r' | b'\n'))?;
    let line = &first[begin..];
    let token = line.iter().take_while(|b| b.is_ascii_alphabetic() || **b == b'-').count();
    let said_loud = line[..token].iter().any(u8::is_ascii_uppercase);
    match &line[token..] {
        [] if token <= LONGEST => None,
        [blank, ..] if is_blank(blank) && token > 0 && said_loud => Some(Protocol::Http),
        // Some servers take a method in small letters; so do other protocols their
        // commands, which are not followed by a path.
        [blank, ..] if is_blank(blank) && token > 0 => {
            let target = line[token..].iter().find(|b| !is_blank(b))?;
            Some(if *target == b'/' { Protocol::Http } else { Protocol::Other })
        }
        _ => Some(Protocol::Other),
    }
}

/// How long after its first byte a program may take to say what it speaks.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes in which it has to say so.
const LONGEST: usize = 4096;

/// Reads until the bytes tell what is spoken. Empty when the program is done
/// without a word; no protocol when it does not go on to say what it speaks.
pub(crate) async fn first(
    stream: &mut TcpStream,
    ahead: Bytes,
) -> io::Result<(Bytes, Option<Protocol>)> {
    let mut first = BytesMut::from(&ahead[..]);
    if first.is_empty() && stream.read_buf(&mut first).await? == 0 {
        return Ok((Bytes::new(), None));
    }
    let more = async {
        loop {
            if let Some(protocol) = protocol(&first) {
                return io::Result::Ok(protocol);
            }
            if stream.read_buf(&mut first).await? == 0 {
                return Ok(Protocol::Other);
            }
            if first.len() > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    };
    let spoken = match tokio::time::timeout(PATIENCE, more).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => None,
        Ok(spoken) => Some(spoken?),
        // Its hello has a patience of its own.
        Err(_) => (first[..] == [0x16]).then_some(Protocol::Tls),
    };
    Ok((first.freeze(), spoken))
}

#[cfg(test)]
mod fuzz {
    use super::*;

    #[test]
    fn more_bytes_never_change_what_was_told() {
        bolero::check!().with_type::<(Vec<u8>, Vec<u8>)>().for_each(|(first, more)| {
            if let Some(told) = protocol(first) {
                let all = [first.as_slice(), more].concat();
                assert_eq!(protocol(&all), Some(told));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<Protocol>) {
        assert_eq!(protocol(bytes), expected, "{bytes:?}");
    }

    #[test]
    fn first_bytes_tell_the_protocol() {
        check(b"", None);
        check(b"GET / HTTP/1.1\r\n", Some(Protocol::Http));
        check(b"PATCH /x HTTP/1.1", Some(Protocol::Http));
        check(b"PROPFIND /", Some(Protocol::Http));
        check(b"M-SEARCH * HTTP/1.1", Some(Protocol::Http));
        check(b"PRI * HTTP/2.0", Some(Protocol::Http));
        check(b"GETAWAY", None);
        check(b"GE", None);
        check(b"helo there", Some(Protocol::Other));
        check(b"\r\nGET / HTTP/1.1", Some(Protocol::Http));
        check(b"\n\nDELETE /lf", Some(Protocol::Http));
        check(b" GET /", Some(Protocol::Http));
        check(b"\x0bGET /", Some(Protocol::Http));
        check(b"GET\t/", Some(Protocol::Http));
        check(b"get /x", Some(Protocol::Http));
        check(b"get key", Some(Protocol::Other));
        check(b"get ", None);
        check(b"\r\n", None);
        check(b"PING\r\n", Some(Protocol::Other));
        check(b"\x16", None);
        check(b"\x16\x03\x01\x02\x00", Some(Protocol::Tls));
        check(b"\x16\x02", Some(Protocol::Other));
        check(b"SS", None);
        check(b"SSH-2.0-OpenSSH", Some(Protocol::Ssh));
        check(b"\0\0\0\x08\x04\xd2\x16\x2f", Some(Protocol::PostgreSql));
        check(b"\0\0\0\x20\0\x03\0\0user\0", Some(Protocol::PostgreSql));
        check(b"\0\0\0\x08\0\0\0\0", Some(Protocol::Other));
        check(b"\0\0", None);
    }
}
