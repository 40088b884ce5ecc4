//! The body of one request on its way out, and its answer on its way in.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Version};
use remit_policy::{Method, Refusal};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::http::admit::Account;
use crate::http::answer;
use crate::http::body::{Extensions, Pieces, Written};
use crate::http::framing::{self, Body};
use crate::http::head;
use crate::http::hooks::{Incoming, Outgoing};
use crate::http::reader::{NoHead, Reader};
use crate::http::websocket::Offer;
use crate::{Gate, tls};

/// Interim answers to one request.
pub(in crate::http) const INTERIM_LIMIT: usize = 16;

/// How an answer ended.
pub(super) enum Done {
    /// Complete; whether the host takes another request.
    Complete {
        keep: bool,
    },
    Upgraded,
    /// The host broke off, or what it says is not HTTP.
    Failed(String),
    /// The agent does not take it.
    AgentGone,
}

/// Why a body does not go on.
pub(super) enum Broke {
    AgentGone,
    /// The host takes no more; it may have answered.
    HostGone,
    Malformed,
    Refused(Refusal),
}

/// How a request is to be framed.
pub(super) struct Terms {
    pub(super) version: Version,
    pub(super) body: Body,
    pub(super) websocket: Option<Offer>,
    /// The agent says more after this one.
    pub(super) keep: bool,
}

impl Terms {
    pub(super) fn framing(&self, method: &Method) -> String {
        let mut lines = match self.body {
            Body::Length(length) => format!("content-length: {length}\r\n"),
            Body::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            // SOURCE: RFC 9110 §8.6, methods that usually have content say so.
            _ if matches!(method.as_str(), "POST" | "PUT" | "PATCH") => {
                "content-length: 0\r\n".to_owned()
            }
            _ => String::new(),
        };
        if self.websocket.is_some() {
            lines.push_str("connection: upgrade\r\nupgrade: websocket\r\n");
        } else if !self.keep {
            lines.push_str("connection: close\r\n");
        }
        lines
    }
}

/// How long the answer to a program that has ended its side may take to begin. One
/// that has gone away altogether looks the same, and its request is given up then.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// Carries a request's body, then waits for the agent to hang up.
pub(super) async fn upload<R, W, O, G>(
    agent: &mut Reader<R>,
    host: &mut W,
    body: Body,
    outgoing: &mut O,
    account: &Account<G>,
    uploaded: &AtomicBool,
) -> Broke
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    O: Outgoing,
    G: Gate,
{
    let mut pieces = Pieces::new(body, Extensions::Refused);
    let mut written = Written::new(body);
    loop {
        let (piece, last) = match pieces.next(agent).await {
            Ok(Some(piece)) => (outgoing.pass(piece).await, false),
            Ok(None) => (outgoing.finish(None).await, true),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Broke::Malformed,
            Err(_) => return Broke::AgentGone,
        };
        let piece = match piece {
            Ok(piece) => piece,
            Err(refusal) => return Broke::Refused(refusal),
        };
        account.sent(&piece);
        if written.piece(host, &piece).await.is_err() {
            return Broke::HostGone;
        }
        if last {
            break;
        }
    }
    if written.end(host).await.is_err() {
        return Broke::HostGone;
    }
    uploaded.store(true, Relaxed);
    if given_up(agent).await == Gone::Silently && account.begun() {
        // Whether it is there shows when something is written to it.
        std::future::pending::<()>().await;
    }
    Broke::AgentGone
}

/// How a program has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It has ended its side, and may still wait for an answer.
    Silently,
    Reset,
}

/// Ends when the program has gone, or ended its side so long ago that nobody waits
/// for an answer any more.
pub(super) async fn given_up<R: AsyncRead + Unpin>(agent: &mut Reader<R>) -> Gone {
    if agent.gone().await.is_err() {
        return Gone::Reset;
    }
    tokio::time::sleep(HALF_CLOSED).await;
    Gone::Silently
}

/// Carries the answer.
pub(super) async fn download<R, W, I, G>(
    host: &mut Reader<R>,
    agent: &mut W,
    method: &Method,
    terms: &Terms,
    incoming: &mut I,
    account: &Account<G>,
) -> Done
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    I: Incoming,
    G: Gate,
{
    let mut head = match final_head(host, agent, terms).await {
        Ok(head) => head,
        Err(done) => return done,
    };
    let body = match framing::response_body(&head.headers, head.version, head.status, method) {
        Ok(body) => body,
        Err(malformed) => {
            return Done::Failed(format!("its answer is malformed: {}", malformed.why));
        }
    };
    let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let keep = body != Body::UntilClose && !framing::closes(&head.headers, head.version);
    let length = head.headers.get(http::header::CONTENT_LENGTH).cloned();
    framing::strip(&mut head.headers);
    if body == Body::UntilClose {
        incoming.endless();
    }
    incoming.head(head.status, &mut head.headers);
    framing::strip(&mut head.headers);
    account.answered(head.status);
    let mut bytes = answer::head(head.status, &head.headers);
    match (body, length) {
        (Body::Chunked, _) => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // Also of answers to HEAD, which say how long a body would be.
        (_, Some(length)) if !upgraded => {
            bytes.extend_from_slice(&[b"content-length: ", length.as_bytes(), b"\r\n"].concat());
        }
        _ => {}
    }
    bytes.extend_from_slice(match (upgraded, keep && terms.keep) {
        (true, _) => b"connection: upgrade\r\nupgrade: websocket\r\n\r\n",
        (false, true) => b"\r\n".as_slice(),
        (false, false) => b"connection: close\r\n\r\n",
    });
    if agent.write_all(&bytes).await.is_err() || agent.flush().await.is_err() {
        return Done::AgentGone;
    }
    if upgraded {
        return Done::Upgraded;
    }
    let mut pieces = Pieces::new(body, Extensions::Ignored);
    let mut written = Written::new(body);
    loop {
        let (piece, last) = match pieces.next(host).await {
            Ok(Some(piece)) => (incoming.pass(piece), false),
            Ok(None) => (incoming.finish(None), true),
            Err(error) => return Done::Failed(format!("its answer broke off: {error}")),
        };
        account.received(&piece);
        if written.piece(agent, &piece).await.is_err() {
            return Done::AgentGone;
        }
        if last {
            break;
        }
    }
    if written.end(agent).await.is_err() {
        return Done::AgentGone;
    }
    Done::Complete { keep }
}

/// The head of the final answer; interim ones are passed on bare.
async fn final_head<R, W>(
    host: &mut Reader<R>,
    agent: &mut W,
    terms: &Terms,
) -> Result<head::ResponseHead, Done>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let malformed = |why: &str| Done::Failed(format!("its answer is malformed: {why}"));
    for _ in 0..INTERIM_LIMIT {
        let bytes = match host.head().await {
            Ok(bytes) => bytes,
            Err(NoHead::Ended) => return Err(Done::Failed("it closed the connection".to_owned())),
            Err(NoHead::Broken(error)) => return Err(Done::Failed(tls::said(&error))),
            Err(NoHead::Malformed(why)) => return Err(malformed(why.why)),
        };
        let head = head::response(&bytes).map_err(|why| malformed(why.why))?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let taken = terms.websocket.as_ref().is_some_and(|offer| offer.is_taken(&head.headers));
            return if taken { Ok(head) } else { Err(malformed("nobody asked for its upgrade")) };
        }
        if !head.status.is_informational() {
            return Ok(head);
        }
        if terms.version == Version::HTTP_11 {
            let mut bytes = answer::head(head.status, &HeaderMap::new());
            bytes.extend_from_slice(b"\r\n");
            let told = async {
                agent.write_all(&bytes).await?;
                agent.flush().await
            };
            told.await.map_err(|_: io::Error| Done::AgentGone)?;
        }
    }
    Err(malformed("more than 16 interim answers"))
}
