//! HTTP/1: one request after the other, and WebSockets.

use std::io;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use remit_policy::{Refusal, Request, Scheme};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use super::admit::{Account, Admitted, Ready};
use super::body::{Extensions, Pieces, Written};
use super::framing::{self, Body};
use super::head::{self, RequestHead};
use super::hooks::{Hooks, Incoming, Outgoing};
use super::reader::{NoHead, Reader};
use super::strict::{self, Malformed};
use super::websocket::{self, Offer};
use super::{Inspected, answer};
use crate::{Gate, tls};

/// How long a head may take from its first byte, so that a program which dribbles
/// it holds nothing for long. Heads come in one piece or few.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// How long what follows a refused request is read, so that the refusal is not
/// overtaken by a reset.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// Interim answers to one request.
pub(super) const INTERIM_LIMIT: usize = 16;

/// Both sides of a connection.
struct Sides<A, U> {
    agent: Reader<ReadHalf<A>>,
    to_agent: WriteHalf<A>,
    host: Reader<ReadHalf<U>>,
    to_host: WriteHalf<U>,
    /// Requests that the host has answered on this connection.
    answered: u64,
}

/// A request that is understood.
struct Understood {
    request: Request,
    head: RequestHead,
    body: Body,
    websocket: Option<Offer>,
    /// The agent says more after this one.
    keep: bool,
}

/// What comes after a request.
enum Next<G: Gate, H: Hooks> {
    Another,
    Close(&'static str),
    Tunnel(Account<G>, H::Incoming),
}

/// How an answer ended.
enum Done {
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
enum Broke {
    AgentGone,
    /// The host takes no more; it may have answered.
    HostGone,
    Malformed,
    Refused(Refusal),
}

impl<G: Gate, H: Hooks> Inspected<G, H> {
    /// Carries requests of HTTP/1 until one side is done, and returns why that was.
    ///
    /// Refusals are written down and told to the agent here; the caller says that the
    /// connection has ended, and nothing else. It may be dropped at any moment.
    pub(crate) async fn one<A, U>(&self, agent: A, host: U) -> &'static str
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
        U: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (from_agent, to_agent) = split(agent);
        let (from_host, to_host) = split(host);
        let (agent, host) = (Reader::new(from_agent), Reader::new(from_host));
        let mut sides = Sides { agent, to_agent, host, to_host, answered: 0 };
        let reason = loop {
            match self.exchange(&mut sides).await {
                Next::Another => {}
                Next::Close(reason) => break reason,
                Next::Tunnel(account, incoming) => {
                    return tunnel(sides, &account, incoming).await;
                }
            }
        };
        if sides.to_agent.shutdown().await.is_ok() && reason != "closed" {
            let drain = async { while let Ok(Some(_)) = sides.agent.piece(u64::MAX).await {} };
            let _ = timeout(DRAIN_PATIENCE, drain).await;
        }
        reason
    }

    /// One request and its answer.
    async fn exchange<A, U>(&self, sides: &mut Sides<A, U>) -> Next<G, H>
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
        U: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let understood = match next_request(sides).await {
            Ok(bytes) => self.understand(&bytes),
            Err(NoHead::Ended) => return Next::Close("closed"),
            Err(NoHead::Broken(_)) => return Next::Close("broken off"),
            Err(NoHead::Malformed(malformed)) => Err(malformed),
        };
        let Understood { request, head, body, websocket, keep } = match understood {
            Ok(understood) => understood,
            Err(malformed) => {
                let refusal = self.reject(&malformed);
                let response = answer::refused(malformed.status, &refusal);
                return say(sides, response, false, false).await;
            }
        };
        let (bodiless, is_head) = (body == Body::None, request.method.as_str() == "HEAD");
        let admitted = tokio::select! {
            biased;
            admitted = self.admit(request, head.headers) => admitted,
            // A program that hangs up withdraws its question.
            _ = sides.agent.gone() => return Next::Close("given up by the program"),
        };
        match admitted {
            Ok(Admitted::Send(ready)) => {
                let terms = Terms { version: head.version, body, websocket, keep };
                self.send(sides, ready, terms).await
            }
            Ok(Admitted::Answer(account, response)) => {
                account.answered(response.status());
                account.received(response.body());
                say(sides, response, keep && bodiless, is_head).await
            }
            Err(refusal) => {
                let response = answer::refused(StatusCode::FORBIDDEN, &refusal);
                say(sides, response, keep && bodiless, is_head).await
            }
        }
    }

    /// Reads what a head says, and refuses what can be read in two ways.
    fn understand(&self, bytes: &Bytes) -> Result<Understood, Malformed> {
        let head = head::request(bytes)?;
        let target = self.path_of(&head)?;
        let hosted = strict::same_host(&head.headers, &self.connect, self.scheme)?;
        if !hosted && head.version == Version::HTTP_11 {
            return Err(Malformed::new("it has no `Host`"));
        }
        let body = framing::request_body(&head.headers, head.version)?;
        let options = framing::request_options(&head.headers)?;
        let websocket = websocket::offer(&head, options, body)?;
        let tunnel = websocket.is_some();
        let request = self.asked(head.method.clone(), &target, &head.headers, tunnel)?;
        let keep = !options.close && head.version == Version::HTTP_11;
        Ok(Understood { request, head, body, websocket, keep })
    }

    /// The target in origin form. The absolute form must name this very host.
    ///
    /// SOURCE: RFC 9112 §3.2.2, servers accept the absolute form.
    fn path_of(&self, head: &RequestHead) -> Result<String, Malformed> {
        let text = head.target.as_str();
        let Some((scheme, rest)) = text.split_once("://").filter(|_| !text.starts_with('/')) else {
            return Ok(text.to_owned());
        };
        if !scheme.eq_ignore_ascii_case(&self.scheme.to_string()) {
            return Err(Malformed::misdirected("its target has another scheme"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        strict::same_authority(authority, &self.connect, self.scheme)?;
        Ok(match path {
            "" if head.method.as_str() == "OPTIONS" => "*".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            query => format!("/{query}"),
        })
    }

    /// Sends a permitted request and carries its answer back.
    async fn send<A, U>(
        &self,
        sides: &mut Sides<A, U>,
        ready: Ready<G, H>,
        terms: Terms,
    ) -> Next<G, H>
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
        U: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Ready { account, method, target, headers, mut outgoing, mut incoming } = ready;
        if !sides.host.held().is_empty() {
            // What comes before it was asked for could be taken for this answer.
            self.gate.failed(format!("`{}` answers what was not asked", self.connect));
            return Next::Close("broken off");
        }
        let mut head = format!(
            "{} {} {:?}\r\nhost: {}\r\n",
            method.as_str(),
            target.as_str(),
            terms.version,
            strict::authority(&self.connect, self.scheme),
        )
        .into_bytes();
        answer::fields(&mut head, &headers);
        head.extend_from_slice(terms.framing(&method).as_bytes());
        head.extend_from_slice(b"\r\n");
        let accepted = async {
            sides.to_host.write_all(&head).await?;
            sides.to_host.flush().await
        };
        if accepted.await.is_err() {
            return self.unanswered(sides, "it does not take the request").await;
        }
        let uploaded = AtomicBool::new(false);
        let broke = {
            let mut upload = pin!(upload(
                &mut sides.agent,
                &mut sides.to_host,
                terms.body,
                &mut outgoing,
                &account,
                &uploaded,
            ));
            let mut download = pin!(download(
                &mut sides.host,
                &mut sides.to_agent,
                &method,
                &terms,
                &mut incoming,
                &account,
            ));
            let mut halted = false;
            loop {
                tokio::select! {
                    biased;
                    done = &mut download => break Ok((done, halted)),
                    broke = &mut upload, if !halted => match broke {
                        Broke::HostGone => halted = true,
                        other => break Err(other),
                    },
                }
            }
        };
        let whole = uploaded.load(Relaxed);
        match broke {
            Ok((Done::Complete { keep }, halted)) => {
                sides.answered += 1;
                let another = keep && terms.keep && whole && !halted;
                if another { Next::Another } else { Next::Close("answered") }
            }
            Ok((Done::Upgraded, _)) => Next::Tunnel(account, incoming),
            Ok((Done::Failed(why), _)) if account.begun() => {
                self.gate.failed(format!("answer of `{}`: {why}", self.connect));
                Next::Close("broken off")
            }
            Ok((Done::Failed(why), _)) => self.unanswered(sides, &why).await,
            Ok((Done::AgentGone, _)) | Err(Broke::AgentGone | Broke::HostGone) => {
                Next::Close("given up by the program")
            }
            Err(Broke::Malformed) => {
                let malformed = Malformed::new("its body is not framed as its head says");
                let refusal = self.reject(&malformed);
                let response = answer::refused(malformed.status, &refusal);
                self.late(sides, &account, response).await
            }
            Err(Broke::Refused(refusal)) => {
                self.gate.refused(&refusal);
                let response = answer::refused(StatusCode::FORBIDDEN, &refusal);
                self.late(sides, &account, response).await
            }
        }
    }

    /// Answers a request whose body was refused, if nothing was answered yet.
    async fn late<A, U>(
        &self,
        sides: &mut Sides<A, U>,
        account: &Account<G>,
        response: Response<Bytes>,
    ) -> Next<G, H>
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if account.begun() {
            return Next::Close("broken off");
        }
        say(sides, response, false, false).await
    }

    /// Tells the agent that no answer came. A connection that has served before is
    /// just closed, for then the agent may ask again on a new one.
    ///
    /// SOURCE: RFC 9110 §9.2.2 and RFC 9112 §9.3.1, retries.
    async fn unanswered<A, U>(&self, sides: &mut Sides<A, U>, why: &str) -> Next<G, H>
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if sides.answered > 0 {
            return Next::Close("broken off");
        }
        let why = format!("no answer from `{}`: {why}", self.connect);
        self.gate.failed(why.clone());
        say(sides, answer::failed(&why), false, false).await
    }
}

/// How a request is to be framed.
struct Terms {
    version: Version,
    body: Body,
    websocket: Option<Offer>,
    keep: bool,
}

impl Terms {
    fn framing(&self, method: &remit_policy::Method) -> String {
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

/// The next head. Ends also when the host closes, or speaks unasked, meanwhile.
async fn next_request<A, U>(sides: &mut Sides<A, U>) -> Result<Bytes, NoHead>
where
    A: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let begun = tokio::select! {
        biased;
        begun = sides.agent.begun() => begun,
        _ = sides.host.begun() => return Err(NoHead::Ended),
    };
    if !begun.map_err(NoHead::Broken)? {
        return Err(NoHead::Ended);
    }
    let late = Malformed { status: StatusCode::REQUEST_TIMEOUT, why: "its head took a minute" };
    timeout(HEAD_PATIENCE, sides.agent.head()).await.unwrap_or(Err(NoHead::Malformed(late)))
}

/// Carries a request's body, then waits for the agent to hang up.
async fn upload<R, W, O, G>(
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
    let _ = agent.gone().await;
    Broke::AgentGone
}

/// Carries the answer.
async fn download<R, W, I, G>(
    host: &mut Reader<R>,
    agent: &mut W,
    method: &remit_policy::Method,
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
            let mut bytes = answer::head(head.status, &http::HeaderMap::new());
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

/// Answers from here.
async fn say<A, U, G: Gate, H: Hooks>(
    sides: &mut Sides<A, U>,
    response: Response<Bytes>,
    keep: bool,
    is_head: bool,
) -> Next<G, H>
where
    A: AsyncRead + AsyncWrite + Unpin,
{
    let (parts, body) = response.into_parts();
    let mut headers = parts.headers;
    framing::strip(&mut headers);
    let mut bytes = answer::head(parts.status, &headers);
    let close = if keep { "" } else { "connection: close\r\n" };
    bytes.extend_from_slice(format!("content-length: {}\r\n{close}\r\n", body.len()).as_bytes());
    if !is_head {
        bytes.extend_from_slice(&body);
    }
    let said =
        sides.to_agent.write_all(&bytes).await.is_ok() && sides.to_agent.flush().await.is_ok();
    match (said, keep) {
        (true, true) => Next::Another,
        (true, false) => Next::Close("refused"),
        (false, _) => Next::Close("broken off"),
    }
}

/// Carries a WebSocket until both sides are done or one breaks off.
async fn tunnel<A, U, I, G>(
    mut sides: Sides<A, U>,
    account: &Account<G>,
    mut incoming: I,
) -> &'static str
where
    A: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    I: Incoming,
    G: Gate,
{
    let Sides { agent, to_agent, host, to_host, .. } = &mut sides;
    let out = async {
        while let Some(piece) = agent.piece(u64::MAX).await? {
            account.sent(&piece);
            to_host.write_all(&piece).await?;
            to_host.flush().await?;
        }
        to_host.shutdown().await
    };
    let back = async {
        while let Some(piece) = host.piece(u64::MAX).await? {
            let piece = incoming.pass(piece);
            account.received(&piece);
            to_agent.write_all(&piece).await?;
            to_agent.flush().await?;
        }
        let piece = incoming.finish(None);
        account.received(&piece);
        to_agent.write_all(&piece).await?;
        to_agent.shutdown().await
    };
    let ended: io::Result<_> = tokio::try_join!(out, back);
    if ended.is_ok() { "closed" } else { "broken off" }
}
