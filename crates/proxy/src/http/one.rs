//! HTTP/1: one request after the other, and WebSockets.

mod carry;

pub(super) use carry::INTERIM_LIMIT;

use std::io;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version};
use remit_policy::{Method, Refusal, Request};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use self::carry::{Broke, Done, Terms, download, upload};
use super::admit::{Account, Admitted, Ready};
use super::framing::{self, Body};
use super::head::{self, RequestHead};
use super::hooks::{Hooks, Incoming, Outgoing};
use super::reader::{NoHead, Reader};
use super::strict::{self, Malformed};
use super::websocket::{self, Offer};
use super::{Inspected, answer, authority};
use crate::Gate;

/// How long a head may take from its first byte, so that a program which dribbles
/// it holds nothing for long. Heads come in one piece or few.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// How long what follows a refused request is read, so that the refusal is not
/// overtaken by a reset.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

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
    Tunnel(Account<G>, H::Outgoing, H::Incoming),
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
                Next::Tunnel(account, outgoing, incoming) => {
                    return self.tunnel(sides, &account, outgoing, incoming).await;
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
            _ = carry::given_up(&mut sides.agent) => return Next::Close("given up by the program"),
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
        if body != Body::None {
            self.takes_content(&request.method)?;
        }
        let keep = !options.close
            && head.version == Version::HTTP_11
            && !self.may_be_read_as_more(&request, body);
        Ok(Understood { request, head, body, websocket, keep })
    }

    /// The target in origin form. The absolute form must name this very host.
    ///
    /// SOURCE: RFC 9112 §3.2.2, servers accept the absolute form.
    fn path_of(&self, head: &RequestHead) -> Result<String, Malformed> {
        let text = head.target.as_str();
        let Some((scheme, authority, path)) = strict::absolute(text) else {
            return Ok(text.to_owned());
        };
        if !scheme.eq_ignore_ascii_case(&self.scheme.to_string()) {
            return Err(Malformed::misdirected("its target has another scheme"));
        }
        strict::same_authority(authority, &self.connect, self.scheme)?;
        Ok(strict::origin(path, &head.method))
    }

    /// Whether the host might take the body for the next request: some do not read
    /// one that they do not expect. Such a request is the connection's last, for the
    /// host as well, which then reads no further.
    fn may_be_read_as_more(&self, request: &Request, body: Body) -> bool {
        let expects_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
        body != Body::None && (!expects_body || !self.gate.handling(&self.connect).agents)
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
        let head = self.head_of(&method, target.as_str(), &headers, &terms);
        let accepted = async {
            sides.to_host.write_all(&head).await?;
            sides.to_host.flush().await
        };
        if accepted.await.is_err() {
            return self.unanswered(sides, "it does not take the request").await;
        }
        // Of no body nothing is left, even if the answer comes before that is looked at.
        let uploaded = AtomicBool::new(terms.body == Body::None);
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
            Ok((Done::Upgraded, _)) => Next::Tunnel(account, outgoing, incoming),
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

    /// A head in our own spelling.
    fn head_of(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        terms: &Terms,
    ) -> Vec<u8> {
        let host = authority(&self.connect, self.scheme);
        let (method_text, version) = (method.as_str(), terms.version);
        let line = format!("{method_text} {target} {version:?}\r\nhost: {host}\r\n");
        let mut head = line.into_bytes();
        answer::fields(&mut head, headers);
        head.extend_from_slice(terms.framing(method).as_bytes());
        head.extend_from_slice(b"\r\n");
        head
    }

    /// What a head would be written as. `None` if it is refused.
    #[cfg(test)]
    pub(super) fn rewritten(&self, bytes: &Bytes) -> Option<(RequestHead, Body, Vec<u8>)> {
        let Understood { request, mut head, body, websocket, keep } =
            self.understand(bytes).ok()?;
        framing::strip(&mut head.headers);
        let terms = Terms { version: head.version, body, websocket, keep };
        let target = request.target.as_str();
        let written = self.head_of(&request.method, target, &head.headers, &terms);
        Some((head, body, written))
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

    /// Carries a WebSocket until both sides are done or one breaks off.
    async fn tunnel<A, U>(
        &self,
        mut sides: Sides<A, U>,
        account: &Account<G>,
        mut outgoing: H::Outgoing,
        mut incoming: H::Incoming,
    ) -> &'static str
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
        U: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Sides { agent, to_agent, host, to_host, .. } = &mut sides;
        let out = async {
            while let Some(piece) = agent.piece(u64::MAX).await? {
                let piece = outgoing.pass(piece).await?;
                account.sent(&piece);
                to_host.write_all(&piece).await?;
                to_host.flush().await?;
            }
            let piece = outgoing.finish(None).await?;
            account.sent(&piece);
            to_host.write_all(&piece).await?;
            to_host.shutdown().await?;
            Ok::<(), Torn>(())
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
            to_agent.shutdown().await?;
            Ok(())
        };
        match tokio::try_join!(out, back) {
            Ok(_) => "closed",
            Err(Torn::Broken) => "broken off",
            Err(Torn::Refused(refusal)) => {
                self.gate.refused(&refusal);
                "refused"
            }
        }
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

/// Why a WebSocket does not go on.
#[derive(Debug)]
enum Torn {
    Broken,
    Refused(Refusal),
}

impl From<io::Error> for Torn {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl From<Refusal> for Torn {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
