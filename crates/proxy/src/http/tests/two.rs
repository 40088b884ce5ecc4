//! HTTP/2, with the agent and the host on either side of us.

use std::future::poll_fn;

use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Version};
use tokio::sync::mpsc;

use super::*;

/// An agent's connection, and what arrives at the host.
struct Both {
    agent: SendRequest<Bytes>,
    host: mpsc::UnboundedReceiver<(http::Request<RecvStream>, SendResponse<Bytes>)>,
    gate: Watched,
}

async fn both<H: Hooks + 'static>(hooks: H) -> Both {
    let inspected = Arc::new(inspected(Scheme::Https, hooks));
    let gate = inspected.gate.clone();
    let (agent_end, ours) = duplex(1 << 16);
    let (host_end, theirs) = duplex(1 << 16);
    tokio::spawn(inspected.two(ours, theirs));
    let (arrived, host) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut server = h2::server::handshake(host_end).await.expect("a connection");
        while let Some(Ok(pair)) = server.accept().await {
            let _ = arrived.send(pair);
        }
    });
    let (agent, connection) = h2::client::handshake(agent_end).await.expect("a connection");
    tokio::spawn(async move { drop(connection.await) });
    Both { agent, host, gate }
}

fn request(method: Method, uri: &str) -> http::Request<()> {
    let mut request = http::Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().expect("an address");
    *request.version_mut() = Version::HTTP_2;
    request
}

async fn text(mut body: RecvStream) -> String {
    let mut whole = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        whole.extend_from_slice(&piece);
    }
    String::from_utf8_lossy(&whole).into_owned()
}

#[tokio::test(start_paused = true)]
async fn every_stream_is_judged_by_itself() {
    let Both { agent, mut host, gate } = both(()).await;
    let mut agent = agent.ready().await.expect("a connection");
    let paths = ["/a?q=1", "/denied", "/asked", "/b"];
    let [a, denied, asked, b] = paths.map(|path| {
        let request = request(Method::GET, &format!("https://api.example{path}"));
        agent.send_request(request, true).expect("a stream").0
    });
    for path in ["/a?q=1", "/b"] {
        let (request, mut respond) = host.recv().await.expect("a request");
        assert_eq!(request.uri().to_string(), format!("https://api.example{path}"));
        assert!(request.into_body().is_end_stream());
        respond.send_response(Response::new(()), true).expect("answers");
    }
    assert_eq!(a.await.expect("an answer").status(), 200);
    let denied = denied.await.expect("an answer");
    assert_eq!(denied.status(), 403);
    assert_eq!(denied.headers()["x-remit"], "refused");
    assert!(text(denied.into_body()).await.contains("by `deny /denied`"));
    assert_eq!(b.await.expect("an answer").status(), 200);
    // The stream that waits for a person holds nobody up, and can be given up.
    drop(asked);
    drop(agent);
    assert!(gate.seen().contains(&"request `GET https://api.example:443/asked`".to_owned()));
    assert!(host.recv().await.is_none(), "the host hears of nothing else");
}

/// A request that gets this status from us and of which the host hears nothing.
async fn check_kept_from_host(request: http::Request<()>, status: u16) {
    let words = format!("{request:?}");
    let Both { agent, mut host, gate } = both(()).await;
    let mut agent = agent.ready().await.expect("a connection");
    let (answer, _body) = agent.send_request(request, true).expect("a stream");
    assert_eq!(answer.await.expect("an answer").status(), status, "{words}");
    assert_eq!(gate.seen().len(), 1, "{words}: {:?}", gate.seen());
    assert!(gate.seen()[0].starts_with("refused: "), "{words}: {:?}", gate.seen());
    drop((agent, _body));
    assert!(host.recv().await.is_none(), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_for_the_host_of_its_connection() {
    for (uri, status) in [
        ("https://evil.example/", 421),
        ("https://api.example.evil/", 421),
        ("https://api.example:80/", 421),
        ("https://api.example:8443/", 421),
        ("https://api.example@evil.example/", 400),
        ("http://api.example/", 421),
        ("http://api.example:443/", 421),
    ] {
        check_kept_from_host(request(Method::GET, uri), status).await;
    }
    for (name, value, status) in [
        ("host", "evil.example", 421),
        ("content-length", "x", 400),
        ("x-forwarded-host", "evil.example", 400),
        ("x-original-url", "/denied", 400),
        ("x_rewrite_url", "/denied", 400),
        ("transfer_encoding", "chunked", 400),
        ("expect", "else", 400),
    ] {
        let mut request = request(Method::GET, "https://api.example/");
        request.headers_mut().insert(name, value.parse().expect("a value"));
        // A length that is no number does not come as far as us.
        if name != "content-length" {
            check_kept_from_host(request, status).await;
        }
    }
    let mut twice = request(Method::GET, "https://api.example/");
    twice.headers_mut().append("host", "api.example".parse().expect("a value"));
    twice.headers_mut().append("host", "evil.example".parse().expect("a value"));
    check_kept_from_host(twice, 400).await;
    check_kept_from_host(request(Method::TRACE, "https://api.example/"), 405).await;
    check_kept_from_host(request(Method::CONNECT, "https://api.example/"), 405).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_grpc_passes_with_its_trailers() {
    let Both { agent, mut host, gate } = both(Secret).await;
    let mut agent = agent.ready().await.expect("a connection");
    let mut call = request(Method::POST, "https://api.example/pkg.Service/Method");
    call.headers_mut().insert("te", "trailers".parse().expect("a value"));
    call.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
    let (answer, mut up) = agent.send_request(call, false).expect("a stream");
    let (request, mut respond) = host.recv().await.expect("a request");
    assert_eq!(request.uri().query(), Some("key=hunter2"));
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["authorization"], "Bearer hunter2");
    assert!(!request.headers().contains_key("content-length"), "{:?}", request.headers());
    // Both directions at once, piece by piece.
    let mut received = request.into_body();
    let mut down = respond.send_response(Response::new(()), false).expect("answers");
    let mut heard = answer.await.expect("an answer").into_body();
    for _ in 0..3 {
        up.send_data(Bytes::from_static(b"ping"), false).expect("says");
        assert_eq!(received.data().await.expect("data").expect("data"), "ping");
        down.send_data(Bytes::from_static(b"hunter2"), false).expect("says");
        assert_eq!(heard.data().await.expect("data").expect("data"), "*******");
    }
    up.send_data(Bytes::new(), true).expect("says");
    assert!(received.data().await.is_none_or(|data| data.is_ok_and(|data| data.is_empty())));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    trailers.insert("x-echo", "hunter2".parse().expect("a value"));
    down.send_trailers(trailers).expect("says");
    assert!(heard.data().await.is_none());
    let trailers = heard.trailers().await.expect("trailers").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert!(!trailers.contains_key("x-echo"));
    drop((agent, up, heard));
    assert!(host.recv().await.is_none());
    assert_eq!(gate.seen().last().map(String::as_str), Some("200, 12 out, 21 in"));
}

#[tokio::test(start_paused = true)]
async fn who_gives_a_stream_up_is_heard_on_the_other_side() {
    let Both { agent, mut host, gate } = both(()).await;
    let mut agent = agent.ready().await.expect("a connection");
    let uri = "https://api.example/a";
    let (answer, mut up) = agent.send_request(request(Method::POST, uri), false).expect("a stream");
    let (_request, mut respond) = host.recv().await.expect("a request");
    up.send_reset(Reason::CANCEL);
    let reset = poll_fn(|context| respond.poll_reset(context)).await;
    assert_eq!(reset.ok(), Some(Reason::CANCEL));
    drop(answer);

    let (answer, _up) = agent.send_request(request(Method::POST, uri), false).expect("a stream");
    let (_request, mut respond) = host.recv().await.expect("a request");
    respond.send_reset(Reason::ENHANCE_YOUR_CALM);
    let error = answer.await.expect_err("no answer");
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    let ends = gate.seen().iter().filter(|what| *what == "no answer, 0 out, 0 in").count();
    assert_eq!(ends, 2, "{:?}", gate.seen());
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_is_answered_and_never_complete() {
    let Both { agent, mut host, gate } = both(Secret).await;
    let mut agent = agent.ready().await.expect("a connection");
    let post = request(Method::POST, "https://api.example/a");
    let (answer, mut up) = agent.send_request(post, false).expect("a stream");
    let (request, _respond) = host.recv().await.expect("a request");
    up.send_data(Bytes::from_static(b"<hunter2>"), true).expect("says");
    assert_eq!(answer.await.expect("an answer").status(), 403);
    let error = request.into_body().data().await.expect("an end").expect_err("not whole");
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    assert!(gate.seen().contains(&"refused: a secret in a body".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn trailers_do_not_name_another_method() {
    let Both { agent, mut host, .. } = both(()).await;
    let mut agent = agent.ready().await.expect("a connection");
    let post = request(Method::POST, "https://api.example/a");
    let (answer, mut up) = agent.send_request(post, false).expect("a stream");
    let (request, _respond) = host.recv().await.expect("a request");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-http-method-override", "DELETE".parse().expect("a value"));
    up.send_trailers(trailers).expect("says");
    assert_eq!(answer.await.expect("an answer").status(), 400);
    assert!(request.into_body().trailers().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_large_body_waits_for_its_reader() {
    const LENGTH: usize = 16 << 20;
    let Both { agent, mut host, .. } = both(()).await;
    let mut agent = agent.ready().await.expect("a connection");
    let get = request(Method::GET, "https://api.example/big");
    let (answer, _) = agent.send_request(get, true).expect("a stream");
    let (_request, mut respond) = host.recv().await.expect("a request");
    let mut down = respond.send_response(Response::new(()), false).expect("answers");
    let sent = tokio::spawn(async move {
        let mut left = LENGTH;
        while left > 0 {
            down.reserve_capacity(left.min(1 << 16));
            let room = poll_fn(|context| down.poll_capacity(context)).await;
            let room = room.expect("open").expect("room");
            down.send_data(Bytes::from(vec![b'x'; room]), room == left).expect("says");
            left -= room;
        }
    });
    let body = answer.await.expect("an answer").into_body();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!sent.is_finished(), "what the agent does not read is not read of the host");
    assert_eq!(text(body).await.len(), LENGTH);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_leaves_lets_the_agent_ask_again() {
    let inspected = Arc::new(inspected(Scheme::Https, ()));
    let (agent_end, ours) = duplex(1 << 16);
    let (host_end, theirs) = duplex(1 << 16);
    let carried = tokio::spawn(inspected.two(ours, theirs));
    let host = tokio::spawn(async move {
        let mut server = h2::server::handshake(host_end).await.expect("a connection");
        let (_, mut respond) = server.accept().await.expect("a request").expect("a request");
        server.graceful_shutdown();
        respond.send_response(Response::new(()), true).expect("answers");
        while server.accept().await.is_some() {}
    });
    let (agent, connection) = h2::client::handshake::<_>(agent_end).await.expect("a connection");
    let driven = tokio::spawn(connection);
    let mut agent: SendRequest<Bytes> = agent.ready().await.expect("a connection");
    let get = request(Method::GET, "https://api.example/a");
    let (answer, _) = agent.send_request(get, true).expect("a stream");
    assert_eq!(answer.await.expect("an answer").status(), 200);
    host.await.expect("the host is done");
    assert!(driven.await.expect("driven").is_ok(), "the agent hears a graceful end");
    assert_eq!(carried.await.ok(), Some("closed"));
}
