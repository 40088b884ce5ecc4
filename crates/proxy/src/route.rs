//! The way out by an HTTP proxy: one `CONNECT`, read strictly.
//!
//! The proxy resolves the name. So the address that a name leads to is not checked
//! here, and what is connected to is what the proxy makes of the name.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use remit_policy::Connect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::proxied;

/// How long the proxy may take to answer. It has a host to reach meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a proxy does not lead to a host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("it wants a sign-in; set `network.proxy_credential`")]
    SignIn,
    #[error("it does not take the sign-in in `network.proxy_credential`")]
    SignInRefused,
    #[error(
        "it forbids the connection (403); ask whoever runs it, or list the host in `network.no_proxy`"
    )]
    Forbidden,
    #[error("it answers with status {0}")]
    Status(StatusCode),
    #[error("it does not answer as an HTTP proxy does: {0}")]
    Malformed(&'static str),
    #[error("it did not answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error("it closed the connection")]
    Closed,
    #[error(transparent)]
    Broken(std::io::Error),
}

/// Has the proxy at the other end of a connection lead it on to a host.
///
/// Afterwards the connection is one to the host: not a byte behind the proxy's
/// answer is taken from it, for some hosts speak first.
pub(crate) async fn connect(
    stream: &mut TcpStream,
    there: &Connect,
    authorization: Option<&HeaderValue>,
) -> Result<(), RouteError> {
    let mut request = format!("CONNECT {there} HTTP/1.1\r\nhost: {there}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(
            &[b"proxy-authorization: ", value.as_bytes(), b"\r\n".as_slice()].concat(),
        );
    }
    request.extend_from_slice(b"\r\n");
    let answered = async {
        stream.write_all(&request).await.map_err(RouteError::Broken)?;
        answer(stream).await
    };
    let status = timeout(PATIENCE, answered).await.unwrap_or(Err(RouteError::Silent))?;
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED if authorization.is_none() => {
            Err(RouteError::SignIn)
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(RouteError::SignInRefused),
        StatusCode::FORBIDDEN => Err(RouteError::Forbidden),
        other => Err(RouteError::Status(other)),
    }
}

/// Reads the head of an answer, and not a byte more.
async fn answer(stream: &mut TcpStream) -> Result<StatusCode, RouteError> {
    let mut head = Vec::new();
    let mut seen = [0; 2048];
    loop {
        let before = head.len();
        let length = stream.peek(&mut seen).await.map_err(RouteError::Broken)?;
        if length == 0 {
            return Err(RouteError::Closed);
        }
        head.extend_from_slice(&seen[..length]);
        let status = proxied::status(&head).map_err(RouteError::Malformed)?;
        // A head ends in what was just seen, for it had not ended before.
        let taken = status.map_or(length, |(_, end)| end - before);
        stream.read_exact(&mut seen[..taken]).await.map_err(RouteError::Broken)?;
        if let Some((status, _)) = status {
            return Ok(status);
        }
    }
}

#[cfg(test)]
mod tests;
