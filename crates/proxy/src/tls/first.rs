//! The first words of TLS that passes uninspected.
//!
//! A server may ask for a second hello, and a program could put another name in
//! that one. So bytes are carried record by record until the server has answered,
//! and a second hello that it asked for is compared with the first.

use std::io;

use bytes::BytesMut;
use remit_policy::{Attempt as _, Basis, Connect, Refusal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::hello::{self, HANDSHAKE, RECORD_HEAD, Seen};
use crate::flow::Stop;

/// SOURCE: RFC 8446 §5.1, content types.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;

/// SOURCE: RFC 8446 §5.2 allows 256 bytes beyond 2^14, RFC 5246 §6.2.3 2,048.
const LONGEST_RECORD: usize = (1 << 14) + 2048;

/// The random of a ServerHello that asks for a second hello.
/// SOURCE: RFC 8446 §4.1.3.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Carries both ways until the program can say no other name any more. `agent`
/// gives the hello once more; afterwards both are where plain carrying goes on.
///
/// Renegotiation in TLS 1.2 is encrypted and not seen here.
pub(crate) async fn greet<A, U>(
    connect: &Connect,
    seen: &Seen,
    agent: &mut A,
    upstream: &mut U,
) -> Result<(), Stop>
where
    A: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let broken =
        |error: io::Error| Stop::Failed(format!("TLS with `{connect}` broke off: {error}"));
    let mut out = BytesMut::zeroed(seen.length);
    agent.read_exact(&mut out).await.map_err(broken)?;
    upstream.write_all(&out.split()).await.map_err(broken)?;

    let mut back = BytesMut::new();
    let retry = answered(agent, upstream, &mut out, &mut back).await.map_err(broken)?;
    agent.write_all(&back).await.map_err(broken)?;
    agent.flush().await.map_err(broken)?;
    if retry {
        second(connect, seen, agent, upstream, &mut out).await?;
    }
    upstream.write_all(&out).await.map_err(broken)
}

/// Waits for the server's answer, and says whether it asks for a second hello.
/// Meanwhile early data goes on; what may be a hello stays in `out`.
async fn answered<A, U>(
    agent: &mut A,
    upstream: &mut U,
    out: &mut BytesMut,
    back: &mut BytesMut,
) -> io::Result<bool>
where
    A: AsyncRead + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut is_talking = true;
    loop {
        if let Some(retry) = asks_again(back) {
            return Ok(retry);
        }
        while let Some(length) = no_hello(out)? {
            upstream.write_all(&out.split_to(length)).await?;
        }
        let may_read = is_talking && !is_held(out);
        tokio::select! {
            read = agent.read_buf(out), if may_read => is_talking = read? > 0,
            read = upstream.read_buf(back) => if read? == 0 { return Ok(false) },
        }
    }
}

/// Passes the second hello on if it says what the first did.
async fn second<A, U>(
    connect: &Connect,
    first: &Seen,
    agent: &mut A,
    upstream: &mut U,
    out: &mut BytesMut,
) -> Result<(), Stop>
where
    A: AsyncRead + Unpin,
    U: AsyncWrite + Unpin,
{
    let broken =
        |error: io::Error| Stop::Failed(format!("TLS with `{connect}` broke off: {error}"));
    // Early data that was on its way, and a compatibility record.
    while !is_held(out) {
        match no_hello(out).map_err(broken)? {
            Some(length) => upstream.write_all(&out.split_to(length)).await.map_err(broken)?,
            None if agent.read_buf(out).await.map_err(broken)? == 0 => return Ok(()),
            None => {}
        }
    }
    // A program that gives up instead says so, and has nothing to add.
    if out.first() == Some(&ALERT) {
        return Ok(());
    }
    let again = hello::read(agent, out).await.map_err(|error| Stop::Failed(error.to_string()))?;
    let (said, says) = (&first.hello, &again.hello);
    if (&said.name, said.encrypted) == (&says.name, says.encrypted) {
        return Ok(());
    }
    Err(Stop::Refused(Refusal {
        attempt: connect.summary(),
        basis: Basis::built_in("TLS goes to the host that was asked for"),
        instead: Some("the same server name in the first and the second message of TLS".into()),
        note: None,
    }))
}

/// Length of a whole record at the beginning that no server reads a hello in.
fn no_hello(bytes: &[u8]) -> io::Result<Option<usize>> {
    let [CHANGE_CIPHER_SPEC | APPLICATION_DATA, _, _, high, low, ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST_RECORD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is too long"));
    }
    let whole = RECORD_HEAD + length;
    Ok((bytes.len() >= whole).then_some(whole))
}

/// Whether the next record may have a hello in it.
fn is_held(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|kind| ![CHANGE_CIPHER_SPEC, APPLICATION_DATA].contains(kind))
}

/// Whether a server's answer asks for a second hello. `None` if that cannot be
/// said yet. A server that answers in other words than TLS has asked for nothing.
fn asks_again(bytes: &[u8]) -> Option<bool> {
    let mut message = Vec::new();
    let mut rest = bytes;
    // SOURCE: RFC 8446 §4.1.3: the random follows head and version.
    while message.len() < 4 + 2 + RETRY.len() {
        let (kind, content) = match rest {
            [kind @ (HANDSHAKE | ALERT), _, _, high, low, after @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let (content, next) = after.split_at_checked(length).unwrap_or((after, &[]));
                rest = next;
                (*kind, content)
            }
            [] | [HANDSHAKE | ALERT, ..] => return None,
            _ => return Some(false),
        };
        // Servers of old warn before they greet.
        if kind == HANDSHAKE {
            message.extend_from_slice(content);
        }
    }
    const SERVER_HELLO: u8 = 2;
    Some(message[0] == SERVER_HELLO && message[6..].starts_with(&RETRY))
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::super::hello::tests::{extension, hello_of, named, records};
    use super::*;

    fn answer(random: [u8; 32], most: usize) -> Vec<u8> {
        let body = [&[3, 3], &random[..], &[0, 0x13, 1, 0]].concat();
        records(&[&[2, 0, 0, body.len() as u8], &body[..]].concat(), most)
    }

    /// What came to the server, and how it ended, for a program that says `says`,
    /// hears `hears` and then says `then`.
    async fn greeted(says: &[u8], hears: &[u8], then: &[u8]) -> (Vec<u8>, Result<(), Stop>) {
        let connect = Connect::parse("a.example:443").expect("an attempt");
        let seen = hello::parse(says).expect("well-formed").expect("whole");
        let (mut program, mut agent) = duplex(1 << 16);
        let (mut upstream, server) = duplex(1 << 16);
        program.write_all(says).await.expect("room");
        program.write_all(then).await.expect("room");
        let serve = async |mut server: DuplexStream| {
            let mut first = vec![0; seen.length];
            server.read_exact(&mut first).await.expect("a hello");
            server.write_all(hears).await.expect("room");
            server.read_to_end(&mut first).await.expect("the rest");
            first
        };
        let carry = async {
            let ended = greet(&connect, &seen, &mut agent, &mut upstream).await;
            drop(upstream);
            ended
        };
        let (came, ended) = tokio::join!(serve(server), carry);
        (came, ended)
    }

    #[tokio::test]
    async fn a_second_hello_says_what_the_first_did() {
        let says = hello_of(&[named("a.example")]);
        let compatible = [20, 3, 3, 0, 1, 1];
        let early = [23, 3, 3, 0, 2, 9, 9];
        let other = hello_of(&[named("evil.example")]);
        let hidden = hello_of(&[named("a.example"), extension(0xfe0d, b"x")]);
        let unnamed = hello_of(&[]);
        for most in [1, 7, 100] {
            let retry = answer(RETRY, most);
            let warned = [&[21, 3, 3, 0, 2, 1, 112], &retry[..]].concat();
            for hears in [&retry, &warned] {
                let then = [&compatible, &early[..], &says].concat();
                let (came, ended) = greeted(&says, hears, &then).await;
                assert!(ended.is_ok(), "{ended:?}");
                assert_eq!(came, [&says, &then[..]].concat());
                for second in [&other, &hidden, &unnamed] {
                    let then = [&compatible, &early[..], second].concat();
                    let (came, ended) = greeted(&says, hears, &then).await;
                    assert!(matches!(ended, Err(Stop::Refused(_))), "{ended:?}");
                    assert_eq!(came, [&says, &compatible[..], &early].concat(), "and no more");
                }
            }
        }
    }

    #[tokio::test]
    async fn without_being_asked_there_is_no_second_hello() {
        let says = hello_of(&[named("a.example")]);
        let hears = answer([7; 32], 100);
        let then = [22, 3, 3, 0, 1, 16];
        let (came, ended) = greeted(&says, &hears, &then).await;
        assert!(ended.is_ok());
        assert_eq!(came, [&says, &then[..]].concat(), "as it is");
        let (came, ended) = greeted(&says, b"HTTP/1.1 400 Bad Request\r\n", b"").await;
        assert!(ended.is_ok());
        assert_eq!(came, says);
    }

    #[tokio::test]
    async fn half_a_second_hello_is_not_sent() {
        let says = hello_of(&[named("a.example")]);
        let other = hello_of(&[named("evil.example")]);
        let garbled = [&[22, 3, 3, 0, 0], &other[..]].concat();
        let (came, ended) = greeted(&says, &answer(RETRY, 100), &garbled).await;
        assert!(matches!(ended, Err(Stop::Failed(_))), "{ended:?}");
        assert_eq!(came, says);
    }
}
