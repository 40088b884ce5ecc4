//! TLS that is ended here and begun anew to the host.

use std::io;
use std::time::Duration;

use remit_policy::Connect;
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, client, server};

use super::{Hello, Http, Tls};
use crate::flow::Stop;

/// Both ends of inspected TLS, in the clear between them.
#[derive(Debug)]
pub(crate) struct Inspected<A, U> {
    pub(crate) agent: server::TlsStream<A>,
    pub(crate) upstream: client::TlsStream<U>,
    /// What both were told is spoken.
    pub(crate) http: Http,
}

/// How long a program may take over its part of the handshake.
const PATIENCE: Duration = Duration::from_secs(15);

/// Begins TLS with the host, verified, and then with the program, on what both
/// can speak. `agent` gives the hello once more.
///
/// # Errors
///
/// What is to be written down. The program has been told already.
pub(crate) async fn inspect<A, U>(
    tls: &Tls,
    connect: &Connect,
    hello: &Hello,
    agent: A,
    upstream: U,
) -> Result<Inspected<A, U>, Stop>
where
    A: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let offer: Vec<Http> = hello.protocols.iter().filter_map(|offered| Http::of(offered)).collect();
    match tls.upstream.begin(connect, &offer, upstream).await {
        Ok((upstream, agreed)) => {
            let agent = accept(tls, connect, agreed, agent).await.map_err(Stop::Failed)?;
            Ok(Inspected { agent, upstream, http: agreed.unwrap_or(Http::One) })
        }
        Err(why) => {
            let http = offer.contains(&Http::One).then_some(Http::One);
            if let Ok(agent) = accept(tls, connect, http, agent).await {
                tell(agent, &why).await;
            }
            Err(Stop::Failed(why))
        }
    }
}

/// Begins TLS with the program alone, on HTTP/1.1, for answers that are given here.
///
/// # Errors
///
/// What is to be written down. The program has been told already.
pub(crate) async fn inspect_alone<A>(
    tls: &Tls,
    connect: &Connect,
    hello: &Hello,
    agent: A,
) -> Result<server::TlsStream<A>, Stop>
where
    A: AsyncRead + AsyncWrite + Unpin,
{
    let mut offers = hello.protocols.iter().filter_map(|offered| Http::of(offered));
    let http = offers.find(|offer| *offer == Http::One);
    accept(tls, connect, http, agent).await.map_err(Stop::Failed)
}

/// Answers the program as the host that it asked for.
async fn accept<A>(
    tls: &Tls,
    connect: &Connect,
    http: Option<Http>,
    agent: A,
) -> Result<server::TlsStream<A>, String>
where
    A: AsyncRead + AsyncWrite + Unpin,
{
    let config = tls.authority.answer(&connect.host, http).map_err(|error| error.to_string())?;
    let handshake = TlsAcceptor::from(config).accept(agent);
    match tokio::time::timeout(PATIENCE, handshake).await {
        Ok(Ok(agent)) => Ok(agent),
        Ok(Err(error)) => Err(distrust(connect, &error)),
        Err(_) => Err(format!("the program did not finish TLS for `{connect}`")),
    }
}

/// Why a program does not go on with our answer.
fn distrust(connect: &Connect, error: &io::Error) -> String {
    use AlertDescription::{BadCertificate, CertificateUnknown, UnknownCA, UnsupportedCertificate};
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::AlertReceived(
            UnknownCA | BadCertificate | CertificateUnknown | UnsupportedCertificate,
        )) => format!(
            "the program does not trust the session's authority for `{connect}`: it has a list of its own; \
             give it the one in `SSL_CERT_FILE`, or let the host pass uninspected (`network.pass_through`)"
        ),
        Some(other) => format!("the program ended TLS for `{connect}`: {other}"),
        None => format!(
            "the program hung up on TLS for `{connect}`: {error}; if it has a list of authorities \
             of its own, give it the one in `SSL_CERT_FILE`"
        ),
    }
}

/// Says in HTTP/1.1 why there is no connection, and ends it.
async fn tell<A: AsyncRead + AsyncWrite + Unpin>(mut agent: server::TlsStream<A>, why: &str) {
    /// For hearing the request and for being heard.
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut request = [0; 4096];
    let heard = tokio::time::timeout(PATIENCE, agent.read(&mut request)).await;
    let Ok(Ok(1..)) = heard else { return };
    let body = if request.starts_with(b"HEAD ") { "" } else { why };
    let reply = format!(
        "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/plain; charset=utf-8\r\n\
         x-remit: unreachable\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        why.len(),
    );
    let said = async {
        agent.write_all(reply.as_bytes()).await?;
        agent.shutdown().await?;
        // Unread bytes would turn our end into a reset, which may overtake the reply.
        while agent.read(&mut request).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(PATIENCE, said).await;
}

#[cfg(test)]
mod tests;
