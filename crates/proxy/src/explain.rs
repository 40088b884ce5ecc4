//! Telling a program, in its own protocol, why it gets nothing.

use std::time::Duration;

use bytes::Bytes;
use remit_policy::Refusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::sniff::{self, Protocol};

/// How long a program may take to speak before it is cut off without a word.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers a refused connection and ends it.
///
/// `spoken` is what the program speaks, if its first bytes were read already.
pub(crate) async fn refuse(stream: TcpStream, spoken: Option<Protocol>, refusal: &Refusal) {
    answer(
        stream,
        spoken,
        "403 Forbidden",
        "x-remit: refused",
        &format!("{refusal}\n"),
        ALERT_ACCESS_DENIED,
    )
    .await;
}

/// Answers a connection that could not be made and ends it.
pub(crate) async fn fail(stream: TcpStream, spoken: Option<Protocol>, why: &str) {
    answer(
        stream,
        spoken,
        "502 Bad Gateway",
        "x-remit: unreachable",
        &format!("{why}\n"),
        ALERT_INTERNAL_ERROR,
    )
    .await;
}

/// SOURCE: RFC 8446 §6, fatal alerts in a record of version 3.1.
const ALERT_ACCESS_DENIED: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 49];
const ALERT_INTERNAL_ERROR: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 80];

async fn answer(
    mut stream: TcpStream,
    spoken: Option<Protocol>,
    status: &str,
    mark: &str,
    body: &str,
    alert: [u8; 7],
) {
    let (spoken, head) = match spoken {
        Some(spoken) => (spoken, false),
        None => match tokio::time::timeout(PATIENCE, sniff::first(&mut stream, Bytes::new())).await
        {
            Ok(Ok((first, spoken))) => (spoken, first.starts_with(b"HEAD ")),
            _ => (Protocol::Other, false),
        },
    };
    let reply = match spoken {
        Protocol::Http => format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n{mark}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{}",
            body.len(),
            if head { "" } else { body },
        )
        .into_bytes(),
        Protocol::Tls => alert.to_vec(),
        _ => return cut(stream),
    };
    if stream.write_all(&reply).await.is_ok() && stream.shutdown().await.is_ok() {
        // Unread bytes would turn our end into a reset, which may overtake the reply.
        let mut rest = vec![0; 16 * 1024];
        let drain = async { while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {} };
        let _ = tokio::time::timeout(PATIENCE, drain).await;
    }
}

/// Ends a connection so that the program sees an error and not an empty answer.
pub(crate) fn cut(stream: TcpStream) {
    // Without lingering, closing resets. If that cannot be set, it just closes.
    let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
}
