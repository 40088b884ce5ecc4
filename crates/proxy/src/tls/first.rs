//! The first words of TLS that passes uninspected.
//!
//! A server may ask for a second hello, and a program could put another name in
//! that one. So bytes are carried record by record until the server has answered,
//! and a second hello that it asked for is compared with the first.

use std::io;

use bytes::BytesMut;
use remit_policy::{Attempt as _, Basis, Connect, Refusal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::hello::{self, HANDSHAKE, HelloError, PIECES, RECORD_HEAD, Seen};
use crate::flow::Stop;

/// SOURCE: RFC 8446 §5.1, content types.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;

/// SOURCE: RFC 8446 §5.2 allows 256 bytes beyond 2^14, RFC 5246 §6.2.3 2,048.
const LONGEST_RECORD: usize = (1 << 14) + 2048;

/// How much is read at once, in bytes: most first flights are shorter.
const PIECE: usize = 4096;

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
    let broken = |error: io::Error| broken(connect, &error);
    let mut out = BytesMut::zeroed(seen.length);
    agent.read_exact(&mut out).await.map_err(broken)?;
    upstream.write_all(&out.split()).await.map_err(broken)?;

    let mut heard = BytesMut::with_capacity(PIECE);
    let mut is_talking = true;
    for _ in 0..PIECES {
        while let Some(length) = no_hello(&out).map_err(broken)? {
            upstream.write_all(&out.split_to(length)).await.map_err(broken)?;
        }
        let retry = asks_again(&heard);
        let may_go_on = match retry {
            None => false,
            Some(false) => true,
            Some(true) => is_held(&out) && says_the_same(connect, seen, &out)?,
        };
        if may_go_on {
            return upstream.write_all(&out).await.map_err(broken);
        }
        if !is_talking && (out.is_empty() || retry.is_some()) {
            return Ok(());
        }
        // Until the server has answered, what may be a second hello waits.
        let may_read = is_talking && (retry.is_some() || !is_held(&out));
        out.reserve(PIECE);
        heard.reserve(PIECE);
        let before = heard.len();
        tokio::select! {
            read = agent.read_buf(&mut out), if may_read => {
                is_talking = read.map_err(broken)? > 0;
            }
            read = upstream.read_buf(&mut heard) => {
                if read.map_err(broken)? == 0 {
                    return Ok(());
                }
                agent.write_all(&heard[before..]).await.map_err(broken)?;
                agent.flush().await.map_err(broken)?;
            }
        }
    }
    Err(Stop::Failed(format!("TLS with `{connect}` begins in too many pieces")))
}

fn broken(connect: &Connect, error: &io::Error) -> Stop {
    Stop::Failed(format!("TLS with `{connect}` broke off: {error}"))
}

/// Whether `bytes` begin with a second hello, all of it, that says what the first
/// did; or with an alert, of a program that gives up instead.
fn says_the_same(connect: &Connect, first: &Seen, bytes: &[u8]) -> Result<bool, Stop> {
    if bytes.first() == Some(&ALERT) {
        return Ok(true);
    }
    let failed = |error: HelloError| Stop::Failed(error.to_string());
    let Some(again) = hello::parse(bytes).map_err(failed)? else { return Ok(false) };
    let (said, says) = (&first.hello, &again.hello);
    if (&said.name, said.encrypted) == (&says.name, says.encrypted) {
        return Ok(true);
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
mod tests;
