//! HTTP/2: every stream a request of its own, gRPC among them.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HeaderValue, TE, TRAILER};
use http::{HeaderMap, Response, StatusCode, Uri, Version, request};
use remit_policy::{Method, Refusal, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::admit::{Account, Admitted, Ready};
use super::hooks::{Hooks, Incoming, Outgoing};
use super::strict::{self, Malformed};
use super::{Inspected, answer, authority, framing};
use crate::Gate;

/// Requests at once on one connection; what common servers allow.
const STREAMS: u32 = 128;
/// Bytes that may be under way unread, on one stream and on a connection. They
/// bound both the memory of a connection and its speed over a long way.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The same while many connections are open: a program that reads nothing makes us
/// hold as much for each.
const SMALL_WINDOW: u32 = 64 * 1024;
/// As in HTTP/1.
const HEAD_LIMIT: u32 = super::head::HEAD_LIMIT as u32;
const PREFACE_PATIENCE: Duration = Duration::from_secs(60);

/// What a stream tells about the connection to the host.
enum Host {
    Serves,
    /// It takes no more requests.
    Leaves,
}

/// Why an exchange does not go on.
enum Broke {
    /// The agent gave the stream up.
    AgentGone,
    /// The host did, for this reason.
    HostGone(Reason),
    Refused(Refusal),
    Malformed(Malformed),
}

impl<G: Gate, H: Hooks + 'static> Inspected<G, H> {
    /// Carries requests of HTTP/2 until one side is done, and returns why that was.
    ///
    /// As [`Inspected::one`] in all else.
    pub(crate) async fn two<A, U>(self: Arc<Self>, agent: A, host: U) -> &'static str
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
        U: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (stream_window, connection_window) = match self.is_crowded {
            true => (SMALL_WINDOW, SMALL_WINDOW),
            false => (STREAM_WINDOW, CONNECTION_WINDOW),
        };
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_header_list_size(HEAD_LIMIT);
        let (client, connection) = match builder.handshake::<_, Bytes>(host).await {
            Ok(both) => both,
            Err(error) => {
                self.gate.failed(format!("cannot speak HTTP/2 with `{}`: {error}", self.connect));
                return "broken off";
            }
        };
        let mut builder = h2::server::Builder::new();
        builder
            .max_concurrent_streams(STREAMS)
            .initial_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_header_list_size(HEAD_LIMIT);
        let handshake = timeout(PREFACE_PATIENCE, builder.handshake::<_, Bytes>(agent)).await;
        let Ok(Ok(mut server)) = handshake else { return "broken off" };
        let mut connection = pin!(connection);
        let mut host_leaves = false;
        // Dropped with this function, and every stream with it.
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                accepted = server.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        let stream = Arc::clone(&self).stream(client.clone(), request, respond);
                        streams.spawn(stream);
                    }
                    Some(Err(_)) => return "broken off",
                    None => return "closed",
                },
                Some(told) = streams.join_next() => {
                    if matches!(told, Ok(Host::Leaves)) {
                        server.graceful_shutdown();
                    }
                }
                _ = &mut connection, if !host_leaves => {
                    host_leaves = true;
                    server.graceful_shutdown();
                }
            }
        }
    }

    /// One request and its answer.
    async fn stream(
        self: Arc<Self>,
        client: SendRequest<Bytes>,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Host {
        let (parts, body) = request.into_parts();
        let asked = match self.understand_two(&parts) {
            Ok(asked) => asked,
            Err(malformed) => {
                let refusal = self.reject(&malformed);
                say(&mut respond, answer::refused(malformed.status, &refusal), false);
                return Host::Serves;
            }
        };
        if !body.is_end_stream()
            && let Err(malformed) = self.takes_content(&asked.method)
        {
            let refusal = self.reject(&malformed);
            say(&mut respond, answer::refused(malformed.status, &refusal), false);
            return Host::Serves;
        }
        let is_head = asked.method.as_str() == "HEAD";
        let kept = Kept::of(&parts.headers);
        let admitted = tokio::select! {
            biased;
            admitted = self.admit(asked, parts.headers) => admitted,
            _ = poll_fn(|context| respond.poll_reset(context)) => return Host::Serves,
        };
        match admitted {
            Ok(Admitted::Send(ready)) => self.send_two(client, ready, kept, body, respond).await,
            Ok(Admitted::Answer(account, response)) => {
                account.answered(response.status());
                account.received(response.body());
                say(&mut respond, response, is_head);
                Host::Serves
            }
            Err(refusal) => {
                say(&mut respond, answer::refused(StatusCode::FORBIDDEN, &refusal), is_head);
                Host::Serves
            }
        }
    }

    /// Reads what a head says. What RFC 9113 §8.2 and §8.3 call malformed does not
    /// come here.
    fn understand_two(&self, parts: &request::Parts) -> Result<Request, Malformed> {
        let method = Method::parse(parts.method.as_str())
            .map_err(|_| Malformed::new("the method is not a token of at most 32 bytes"))?;
        let hosted = strict::same_host(&parts.headers, &self.connect, self.scheme)?;
        match parts.uri.authority() {
            Some(name) => strict::same_authority(name.as_str(), &self.connect, self.scheme)?,
            None if hosted => {}
            None => return Err(Malformed::new("it has no `:authority`")),
        }
        if parts.uri.scheme_str().is_some_and(|scheme| scheme != self.scheme.to_string()) {
            return Err(Malformed::misdirected("its `:scheme` is another"));
        }
        framing::request_body(&parts.headers, Version::HTTP_11)?;
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        self.asked(method, target, &parts.headers, false)
    }

    /// Sends a permitted request and carries its answer back.
    async fn send_two(
        &self,
        client: SendRequest<Bytes>,
        ready: Ready<G, H>,
        kept: Kept,
        mut body: RecvStream,
        mut respond: SendResponse<Bytes>,
    ) -> Host {
        let Ready { account, method, target, headers, mut outgoing, mut incoming } = ready;
        let is_head = method.as_str() == "HEAD";
        let ended = body.is_end_stream();
        let Some(request) = self.request_two(&method, target.as_str(), headers, &kept) else {
            let refusal = self.reject(&Malformed::new("the target cannot be written in HTTP/2"));
            say(&mut respond, answer::refused(StatusCode::BAD_REQUEST, &refusal), is_head);
            return Host::Serves;
        };
        if ended && let Err(refusal) = outgoing.finish(None).await {
            self.gate.refused(&refusal);
            say(&mut respond, answer::refused(StatusCode::FORBIDDEN, &refusal), is_head);
            return Host::Serves;
        }
        let sent = match client.ready().await {
            Ok(mut client) => client.send_request(request, ended),
            Err(error) => Err(error),
        };
        let Ok((answer, mut to_host)) = sent else {
            // SOURCE: RFC 9113 §8.7, nothing was done; the agent may ask again.
            respond.send_reset(Reason::REFUSED_STREAM);
            return Host::Leaves;
        };
        let outcome = {
            let mut upload =
                pin!(upload(&mut body, &mut to_host, &mut outgoing, &account, kept.length()));
            let mut download = pin!(download(answer, &mut respond, &mut incoming, &account));
            let mut uploaded = ended;
            loop {
                tokio::select! {
                    biased;
                    done = &mut download => break done,
                    done = &mut upload, if !uploaded => match done {
                        Ok(()) | Err(Broke::HostGone(_)) => uploaded = true,
                        broke => break broke,
                    },
                }
            }
        };
        let Err(broke) = outcome else { return Host::Serves };
        let refused = match broke {
            Broke::AgentGone => {
                to_host.send_reset(Reason::CANCEL);
                return Host::Serves;
            }
            Broke::HostGone(reason) => {
                respond.send_reset(reason);
                return Host::Serves;
            }
            Broke::Refused(refusal) => {
                self.gate.refused(&refusal);
                answer::refused(StatusCode::FORBIDDEN, &refusal)
            }
            Broke::Malformed(malformed) => {
                answer::refused(malformed.status, &self.reject(&malformed))
            }
        };
        to_host.send_reset(Reason::CANCEL);
        if account.begun() {
            respond.send_reset(Reason::CANCEL);
        } else {
            say(&mut respond, refused, is_head);
        }
        Host::Serves
    }

    fn request_two(
        &self,
        method: &Method,
        target: &str,
        headers: HeaderMap,
        kept: &Kept,
    ) -> Option<http::Request<()>> {
        let uri = Uri::builder()
            .scheme(self.scheme.to_string().as_str())
            .authority(authority(&self.connect, self.scheme))
            .path_and_query(target)
            .build()
            .ok()
            // The judged target and no other.
            .filter(|uri| uri.path_and_query().is_some_and(|parsed| parsed.as_str() == target))?;
        let mut request = http::Request::new(());
        *request.method_mut() = http::Method::from_bytes(method.as_str().as_bytes()).ok()?;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        kept.put(request.headers_mut());
        Some(request)
    }
}

/// Fields of framing that have a meaning of their own in HTTP/2.
struct Kept {
    length: Option<HeaderValue>,
    trailer: Option<HeaderValue>,
    /// `te: trailers`, which gRPC insists on.
    takes_trailers: bool,
}

impl Kept {
    fn of(headers: &HeaderMap) -> Self {
        Self {
            length: headers.get(CONTENT_LENGTH).cloned(),
            trailer: headers.get(TRAILER).cloned(),
            takes_trailers: headers.contains_key(TE),
        }
    }

    fn put(&self, headers: &mut HeaderMap) {
        if let Some(length) = &self.length {
            headers.insert(CONTENT_LENGTH, length.clone());
        }
        if let Some(trailer) = &self.trailer {
            headers.insert(TRAILER, trailer.clone());
        }
        if self.takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }

    fn length(&self) -> Option<u64> {
        self.length.as_ref()?.to_str().ok()?.parse().ok()
    }
}

/// Carries a request's body.
async fn upload<O: Outgoing, G: Gate>(
    body: &mut RecvStream,
    host: &mut SendStream<Bytes>,
    outgoing: &mut O,
    account: &Account<G>,
    length: Option<u64>,
) -> Result<(), Broke> {
    let mut total = 0;
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| Broke::AgentGone)?;
        let taken = data.len();
        let piece = outgoing.pass(data).await.map_err(Broke::Refused)?;
        total += piece.len() as u64;
        account.sent(&piece);
        push(host, piece).await.map_err(Broke::HostGone)?;
        let _ = body.flow_control().release_capacity(taken);
    }
    let mut trailers = body.trailers().await.map_err(|_| Broke::AgentGone)?;
    if let Some(trailers) = &trailers
        && !strict::overrides(trailers).map_err(Broke::Malformed)?.is_empty()
    {
        return Err(Broke::Malformed(Malformed::new("its trailers name another method")));
    }
    let rest = outgoing.finish(trailers.as_mut()).await.map_err(Broke::Refused)?;
    total += rest.len() as u64;
    if length.is_some_and(|length| length != total) {
        return Err(Broke::Malformed(Malformed::new("its body has another length than it says")));
    }
    account.sent(&rest);
    push(host, rest).await.map_err(Broke::HostGone)?;
    end(host, trailers).map_err(Broke::HostGone)
}

/// Carries the answer.
async fn download<I: Incoming, G: Gate>(
    mut answer: ResponseFuture,
    respond: &mut SendResponse<Bytes>,
    incoming: &mut I,
    account: &Account<G>,
) -> Result<(), Broke> {
    let mut interims = 0;
    let response = loop {
        let next = tokio::select! {
            biased;
            next = poll_fn(|context| next_head(&mut answer, context)) => next,
            _ = poll_fn(|context| respond.poll_reset(context)) => return Err(Broke::AgentGone),
        };
        match next.map_err(|error| Broke::HostGone(reason(&error)))? {
            Head::Final(response) => break response,
            Head::Interim(status) => {
                interims += 1;
                if interims > super::one::INTERIM_LIMIT || status == StatusCode::SWITCHING_PROTOCOLS
                {
                    return Err(Broke::HostGone(Reason::PROTOCOL_ERROR));
                }
                let mut interim = Response::new(());
                *interim.status_mut() = status;
                respond.send_informational(interim).map_err(|_| Broke::AgentGone)?;
            }
        }
    };
    let (mut parts, mut body) = response.into_parts();
    let kept = Kept::of(&parts.headers);
    framing::strip(&mut parts.headers);
    incoming.head(parts.status, &mut parts.headers);
    framing::strip(&mut parts.headers);
    kept.put(&mut parts.headers);
    parts.headers.remove(TE);
    account.answered(parts.status);
    let ended = body.is_end_stream();
    let head = Response::from_parts(parts, ());
    let mut agent = respond.send_response(head, ended).map_err(|_| Broke::AgentGone)?;
    if ended {
        return Ok(());
    }
    loop {
        let data = tokio::select! {
            biased;
            data = body.data() => data,
            _ = poll_fn(|context| agent.poll_reset(context)) => return Err(Broke::AgentGone),
        };
        let Some(data) = data else { break };
        let data = data.map_err(|error| Broke::HostGone(reason(&error)))?;
        let taken = data.len();
        let piece = incoming.pass(data);
        account.received(&piece);
        push(&mut agent, piece).await.map_err(|_| Broke::AgentGone)?;
        let _ = body.flow_control().release_capacity(taken);
    }
    let trailers = body.trailers().await;
    let mut trailers = trailers.map_err(|error| Broke::HostGone(reason(&error)))?;
    let rest = incoming.finish(trailers.as_mut());
    account.received(&rest);
    push(&mut agent, rest).await.map_err(|_| Broke::AgentGone)?;
    end(&mut agent, trailers).map_err(|_| Broke::AgentGone)
}

enum Head {
    Interim(StatusCode),
    Final(Response<RecvStream>),
}

fn next_head(
    answer: &mut ResponseFuture,
    context: &mut std::task::Context<'_>,
) -> Poll<Result<Head, h2::Error>> {
    match answer.poll_informational(context) {
        Poll::Ready(Some(interim)) => {
            Poll::Ready(interim.map(|interim| Head::Interim(interim.status())))
        }
        _ => Pin::new(answer).poll(context).map_ok(Head::Final),
    }
}

/// Sends a piece as the other side makes room for it.
async fn push(to: &mut SendStream<Bytes>, mut piece: Bytes) -> Result<(), Reason> {
    while !piece.is_empty() {
        to.reserve_capacity(piece.len());
        while to.capacity() == 0 {
            match poll_fn(|context| to.poll_capacity(context)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(reason(&error)),
                None => return Err(Reason::CANCEL),
            }
        }
        let room = to.capacity().min(piece.len());
        to.send_data(piece.split_to(room), false).map_err(|error| reason(&error))?;
    }
    Ok(())
}

fn end(to: &mut SendStream<Bytes>, trailers: Option<HeaderMap>) -> Result<(), Reason> {
    match trailers {
        Some(trailers) => to.send_trailers(trailers),
        None => to.send_data(Bytes::new(), true),
    }
    .map_err(|error| reason(&error))
}

/// What the other side is told of an error.
fn reason(error: &h2::Error) -> Reason {
    error.reason().unwrap_or(Reason::INTERNAL_ERROR)
}

/// Answers from here. An agent that has gone does not hear it.
fn say(respond: &mut SendResponse<Bytes>, response: Response<Bytes>, is_head: bool) {
    let (mut parts, body) = response.into_parts();
    framing::strip(&mut parts.headers);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let bodiless = is_head || body.is_empty();
    if let Ok(mut stream) = respond.send_response(Response::from_parts(parts, ()), bodiless)
        && !bodiless
    {
        let _ = stream.send_data(body, true);
    }
}
