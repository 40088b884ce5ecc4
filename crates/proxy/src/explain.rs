//! Telling a program, in its own protocol, why it gets nothing.

use std::time::Duration;

use bytes::Bytes;
use remit_policy::Refusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sniff::{self, Protocol};
use crate::{postgres, ssh};

/// How long a program may take to speak before it is cut off without a word.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a program speaks, and the first bytes by which that is known.
pub(crate) type Heard = (Protocol, Bytes);

/// Answers a refused connection and ends it.
///
/// `heard` is what the program speaks and its first bytes, if they were read already.
pub(crate) async fn refuse(stream: TcpStream, heard: Option<Heard>, refusal: &Refusal) {
    answer(
        stream,
        heard,
        "403 Forbidden",
        "x-remit: refused",
        &format!("{refusal}\n"),
        ALERT_ACCESS_DENIED,
    )
    .await;
}

/// Answers a connection that could not be made and ends it.
pub(crate) async fn fail(stream: TcpStream, heard: Option<Heard>, why: &str) {
    answer(
        stream,
        heard,
        "502 Bad Gateway",
        "x-remit: unreachable",
        &format!("{why}\n"),
        ALERT_INTERNAL_ERROR,
    )
    .await;
}

/// SOURCE: RFC 8446 §6, fatal alerts in a record of version 3.1.
pub(crate) const ALERT_ACCESS_DENIED: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 49];
const ALERT_INTERNAL_ERROR: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 80];

async fn answer(
    mut stream: TcpStream,
    heard: Option<Heard>,
    status: &str,
    mark: &str,
    body: &str,
    alert: [u8; 7],
) {
    let (spoken, first) = match heard {
        Some(heard) => heard,
        None => match timeout(PATIENCE, sniff::first(&mut stream, Bytes::new())).await {
            Ok(Ok((first, Some(spoken)))) => (spoken, first),
            _ => (Protocol::Other, Bytes::new()),
        },
    };
    let reply = match spoken {
        Protocol::Http => in_http(status, mark, body, !first.starts_with(b"HEAD ")),
        Protocol::Tls => alert.to_vec(),
        Protocol::Ssh => ssh::farewell(body),
        Protocol::PostgreSql => {
            let _ =
                timeout(PATIENCE, postgres::farewell(&mut stream, &first, body.trim_end())).await;
            Vec::new()
        }
        Protocol::Other => return cut(stream),
    };
    say(stream, &reply).await;
}

/// An answer of HTTP/1, the last on its connection. `mark` is a field of its own.
pub(crate) fn in_http(status: &str, mark: &str, body: &str, has_body: bool) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n{mark}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{}",
        body.len(),
        if has_body { body } else { "" },
    )
    .into_bytes()
}

/// Says a last word and ends a connection.
pub(crate) async fn say(mut stream: TcpStream, reply: &[u8]) {
    if stream.write_all(reply).await.is_ok() && stream.shutdown().await.is_ok() {
        // Unread bytes would turn our end into a reset, which may overtake the reply.
        let mut rest = vec![0; 16 * 1024];
        let drain = async { while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {} };
        let _ = timeout(PATIENCE, drain).await;
    }
}

/// Ends a connection so that the program sees an error and not an empty answer.
pub(crate) fn cut(stream: TcpStream) {
    // Without lingering, closing resets. If that cannot be set, it just closes.
    let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
}
