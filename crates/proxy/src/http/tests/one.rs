//! HTTP/1 as agents and hosts write it, well and badly.

use super::*;

/// What came of one connection.
struct Outcome {
    to_agent: String,
    to_host: String,
    seen: Vec<String>,
    reason: &'static str,
}

/// Longer than any patience of ours.
const LONG: Duration = Duration::from_secs(300);

/// Says `said` at once, and hears all that comes.
async fn agent(mut end: DuplexStream, said: Vec<u8>) -> String {
    let mut heard = Vec::new();
    let _ = end.write_all(&said).await;
    let _ = timeout(LONG, end.read_to_end(&mut heard)).await;
    String::from_utf8_lossy(&heard).into_owned()
}

/// Gives the answers one by one, each when another head has come.
async fn host(mut end: DuplexStream, answers: Vec<&'static str>) -> String {
    let (mut heard, mut answered) = (Vec::new(), 0);
    let mut answers = answers.into_iter();
    let mut room = vec![0; 64 * 1024];
    while let Ok(Ok(length @ 1..)) = timeout(2 * LONG, end.read(&mut room)).await {
        heard.extend_from_slice(&room[..length]);
        while let Some(at) = heard[answered..].windows(4).position(|four| four == b"\r\n\r\n") {
            answered += at + 4;
            match answers.next() {
                Some(answer) => drop(end.write_all(answer.as_bytes()).await),
                None => break,
            }
        }
        if answers.as_slice().is_empty() && heard.ends_with(b"connection: close\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

async fn carry<H: Hooks + 'static>(
    hooks: H,
    said: impl Into<Vec<u8>>,
    answers: &[&'static str],
) -> Outcome {
    let inspected = inspected(Scheme::Http, hooks);
    let (agent_end, ours) = duplex(1 << 20);
    let (host_end, theirs) = duplex(1 << 20);
    let gate = inspected.gate.clone();
    let carried = async move { inspected.one(ours, theirs).await };
    let (reason, to_agent, to_host) =
        tokio::join!(carried, agent(agent_end, said.into()), host(host_end, answers.to_vec()));
    Outcome { to_agent, to_host, seen: gate.seen(), reason }
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn every_request_of_a_kept_connection_is_judged_by_itself() {
    let said = "GET /a HTTP/1.1\r\nHost: api.example\r\n\r\n\
                GET /denied/b HTTP/1.1\r\nHost: api.example\r\n\r\n\
                GET /c?q=1 HTTP/1.1\r\nHost: api.example\r\n\r\n";
    let outcome = carry((), said, &[EMPTY, EMPTY]).await;
    assert_eq!(
        outcome.to_host,
        "GET /a HTTP/1.1\r\nhost: api.example\r\n\r\nGET /c?q=1 HTTP/1.1\r\nhost: api.example\r\n\r\n"
    );
    assert_eq!(outcome.to_agent.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(outcome.to_agent.matches("HTTP/1.1 403 Forbidden").count(), 1);
    assert!(outcome.to_agent.contains("by `deny /denied`"), "{}", outcome.to_agent);
    assert_eq!(
        outcome.seen,
        [
            "request `GET http://api.example:80/a`",
            "200, 0 out, 0 in",
            "request `GET http://api.example:80/denied/b`",
            "request `GET http://api.example:80/c`",
            "200, 0 out, 0 in",
        ]
    );
    assert_eq!(outcome.reason, "closed");
}

/// A request that gets this status from us and of which the host hears nothing.
async fn check_kept_from_host(said: &str, status: &str) {
    let outcome = carry((), said, &[EMPTY, EMPTY]).await;
    assert_eq!(outcome.to_host, "", "{said:?}");
    assert!(outcome.to_agent.starts_with(&format!("HTTP/1.1 {status} ")), "{said:?}");
    assert_eq!(outcome.to_agent.matches("HTTP/1.1").count(), 1, "{said:?}: {}", outcome.to_agent);
    assert!(outcome.seen.iter().all(|what| what.starts_with("refused: ")), "{:?}", outcome.seen);
    assert_eq!(outcome.seen.len(), 1, "{said:?} is written down once");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_read_in_two_ways_is_not_passed_on() {
    let smuggled = "GET /denied HTTP/1.1\r\nHost: api.example\r\n\r\n";
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 44",
        "Content-Length: 4, 4",
        "Content-Length: +4",
        "Content-Length: -1",
        "Content-Length: 0x4",
        "Content-Length: 4 4",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content_Length: 4",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding:",
        " Transfer-Encoding: chunked",
        "X: a\r\n Transfer-Encoding: chunked",
        "X: a\r\n\tb",
        "X: a\nTransfer-Encoding: chunked",
        "X: a\rTransfer-Encoding: chunked",
        "X: a\0b",
        "no field at all",
        ": no name",
        "X Y: z",
        "Host: api.example",
        "Host: evil.example",
        "Connection: authorization",
        "Connection: close, content-length",
        "Connection: \u{e9}",
        "Expect: 200-maybe",
        "Expect: 100-continue\r\nExpect: 100-continue",
        "X-Original-URL: /denied",
        "X-Rewrite-URL: /denied",
        "X_Original_URL: /denied",
        "X-Forwarded-Host: evil.example",
        "Forwarded: host=evil.example",
        "X-HTTP-Method-Override: DEL ETE",
        "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 12",
        "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let said =
            format!("POST /a HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n\r\n0\r\n\r\n{smuggled}");
        check_kept_from_host(&said, "400").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_line_has_one_spelling() {
    for (line, status) in [
        ("GET /a HTTP/1.1\nHost: api.example\n\n", "400"),
        ("GET  /a HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /a b HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /a\tHTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /a#b HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /\u{e9} HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET a HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET * HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /a HTTP/1.2\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /a HTTP/2.0\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /a\r\nHost: api.example\r\n\r\n", "400"),
        ("G(T /a HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("\r\nGET /a HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        ("GET /a HTTP/1.1\r\n\r\n", "400"),
        ("GET /a HTTP/1.0\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        ("CONNECT api.example:80 HTTP/1.1\r\nHost: api.example\r\n\r\n", "405"),
        ("CONNECT evil.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n", "405"),
        ("TRACE / HTTP/1.1\r\nHost: api.example\r\n\r\n", "405"),
    ] {
        check_kept_from_host(line, status).await;
    }
    let long = "x".repeat(132_000);
    let long = format!("GET /a HTTP/1.1\r\nHost: api.example\r\nX: {long}\r\n\r\n");
    check_kept_from_host(&long, "431").await;
    check_kept_from_host(&"X".repeat(140_000), "431").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_is_for_the_host_of_its_connection() {
    for (target, host, status) in [
        ("/", "evil.example", "421"),
        ("/", "api.example.evil", "421"),
        ("/", "evilapi.example", "421"),
        ("/", "api.example:443", "421"),
        ("/", "192.0.2.1", "421"),
        ("/", "[::1]", "421"),
        ("/", "api.example@evil.example", "400"),
        ("/", "evil.example#.api.example", "400"),
        ("/", "evil.example/api.example", "400"),
        ("/", "api.example evil.example", "400"),
        ("/", "api.example, evil.example", "400"),
        ("/", "api.example%00.evil.example", "400"),
        ("/", "api.example:80:80", "400"),
        ("/", "api.example:", "400"),
        ("/", "api.example..", "400"),
        ("/", "\u{430}pi.example", "400"),
        ("/", "[fe80::1%25eth0]", "400"),
        ("/", "", "400"),
        ("http://evil.example/", "api.example", "421"),
        ("http://evil.example/", "evil.example", "421"),
        ("http://api.example/", "evil.example", "421"),
        ("https://api.example/", "api.example", "421"),
        ("ftp://api.example/", "api.example", "421"),
        ("http://api.example@evil.example/", "api.example", "400"),
        ("http://evil.example#.api.example/", "api.example", "421"),
        ("http://api.example\\.evil.example/", "api.example", "400"),
        ("http:///", "api.example", "400"),
    ] {
        let said = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        check_kept_from_host(&said, status).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_request_in_other_words_is_written_in_ours() {
    for said in [
        "GET /a HTTP/1.1\r\nHost: api.example\r\n\r\n",
        "GET /a HTTP/1.1\r\nHOST:API.example:80\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: api.example.\r\n\r\n",
        "GET http://api.example/a HTTP/1.1\r\nHost: api.example\r\n\r\n",
        "GET HTTP://Api.Example:80/a HTTP/1.1\r\nHost: api.example\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers\r\n\r\n",
        // What Java's client and `curl --http2` say; declined by not being passed on.
        "GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAEAAEAAAAIAAAAB\r\nHost: api.example\r\n\r\n",
        "GET /a HTTP/1.1\r\nUpgrade: connect-udp\r\nConnection: upgrade\r\nHost: api.example\r\n\r\n",
    ] {
        let outcome = carry((), said, &[EMPTY]).await;
        assert_eq!(outcome.to_host, "GET /a HTTP/1.1\r\nhost: api.example\r\n\r\n", "{said:?}");
        assert_eq!(outcome.seen[1], "200, 0 out, 0 in");
    }
    let outcome =
        carry((), "OPTIONS http://api.example HTTP/1.1\r\nHost: api.example\r\n\r\n", &[EMPTY]);
    assert!(outcome.await.to_host.starts_with("OPTIONS * HTTP/1.1\r\n"));
    let outcome = carry((), "GET /a HTTP/1.0\r\n\r\n", &[EMPTY]).await;
    assert_eq!(
        outcome.to_host,
        "GET /a HTTP/1.0\r\nhost: api.example\r\nconnection: close\r\n\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn methods_that_a_server_may_take_instead_are_judged_too() {
    let said = "POST /a HTTP/1.1\r\nHost: api.example\r\nX-HTTP-Method-Override: DELETE\r\n\
                x_http_method: PUT\r\n\r\n";
    let outcome = carry((), said, &[EMPTY]).await;
    assert_eq!(outcome.seen[0], "request `POST http://api.example:80/a` as DELETE+PUT");
}

#[tokio::test(start_paused = true)]
async fn bodies_are_framed_anew() {
    let said = "POST /a HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: Chunked\r\n\r\n\
                3\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Denied: 1\r\n\r\n\
                POST /b HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let answer = "HTTP/1.1 200 Fine hunter2\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n\
                  4 ;ext=\"a\"\r\nwiki\r\n0\r\nT: t\r\n\r\n";
    // The empty line after the last chunk is a head to our host, too.
    let outcome = carry((), said, &[answer, "", "HTTP/1.0 200 OK\r\n\r\nuntil close"]).await;
    assert_eq!(
        outcome.to_host,
        "POST /a HTTP/1.1\r\nhost: api.example\r\ntransfer-encoding: chunked\r\n\r\n\
         3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n\
         POST /b HTTP/1.1\r\nhost: api.example\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    );
    assert!(
        outcome.to_agent.starts_with(
            "HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\n\r\n\
         HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil close"
        ),
        "{}",
        outcome.to_agent
    );
    assert_eq!(outcome.seen[1], "200, 13 out, 4 in");
}

#[tokio::test(start_paused = true)]
async fn a_badly_chunked_body_ends_the_request() {
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3;ext\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "1000000000000000\r\nabc\r\n",
        "0\r\nX: a\n\r\n\r\n",
    ] {
        let said = format!(
            "POST /a HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n{body}\
             GET /denied HTTP/1.1\r\nHost: api.example\r\n\r\n"
        );
        let outcome = carry((), said, &[]).await;
        assert!(outcome.to_agent.starts_with("HTTP/1.1 400 "), "{body:?}: {}", outcome.to_agent);
        assert!(!outcome.to_host.ends_with("0\r\n\r\n"), "{body:?}: the host has no whole request");
        assert_eq!(outcome.to_host.matches("HTTP/1.1").count(), 1, "{body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_can_be_read_in_two_ways_is_not_passed_on() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        "<html>",
        "HTTP/2 200\r\n\r\n",
    ] {
        let outcome = carry(
            (),
            "GET /a HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n",
            &[answer],
        )
        .await;
        assert!(outcome.to_agent.starts_with("HTTP/1.1 502 "), "{answer:?}: {}", outcome.to_agent);
        let failed = outcome
            .seen
            .iter()
            .any(|what| what.starts_with("failed: no answer from `api.example:80`"));
        assert!(failed, "{answer:?}: {:?}", outcome.seen);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_host_says_unasked_is_no_answer() {
    let said =
        "GET /a HTTP/1.1\r\nHost: api.example\r\n\r\nGET /b HTTP/1.1\r\nHost: api.example\r\n\r\n";
    let twice =
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let outcome = carry((), said, &[twice]).await;
    assert_eq!(outcome.to_agent.matches("HTTP/1.1 200").count(), 1);
    assert_eq!(outcome.to_host.matches("GET").count(), 1);
    assert_eq!(outcome.reason, "broken off");
}

#[tokio::test(start_paused = true)]
async fn an_interim_answer_lets_the_body_come() {
    let inspected = inspected(Scheme::Http, ());
    let (mut agent, ours) = duplex(1 << 16);
    let (mut host, theirs) = duplex(1 << 16);
    tokio::spawn(async move { inspected.one(ours, theirs).await });
    let mut room = [0; 4096];
    agent
        .write_all(b"PUT /a HTTP/1.1\r\nHost: api.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await
        .expect("says");
    let length = host.read(&mut room).await.expect("hears");
    assert!(room[..length].ends_with(b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n"));
    host.write_all(b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n").await.expect("answers");
    let length = agent.read(&mut room).await.expect("hears");
    assert_eq!(&room[..length], b"HTTP/1.1 100 Continue\r\n\r\n");
    agent.write_all(b"ok").await.expect("says");
    let length = host.read(&mut room).await.expect("hears");
    assert_eq!(&room[..length], b"ok");
}

#[tokio::test(start_paused = true)]
async fn an_event_comes_as_soon_as_it_is_sent() {
    let inspected = inspected(Scheme::Http, ());
    let (mut agent, ours) = duplex(1 << 16);
    let (mut host, theirs) = duplex(1 << 16);
    tokio::spawn(async move { inspected.one(ours, theirs).await });
    let mut room = [0; 4096];
    agent.write_all(b"GET /events HTTP/1.1\r\nHost: api.example\r\n\r\n").await.expect("says");
    let _ = host.read(&mut room).await.expect("hears");
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    host.write_all(head).await.expect("answers");
    let length = agent.read(&mut room).await.expect("hears");
    assert_eq!(&room[..length], head);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        host.write_all(b"9\r\ndata: 1\n\n\r\n").await.expect("answers");
        let length = agent.read(&mut room).await.expect("hears");
        assert_eq!(&room[..length], b"9\r\ndata: 1\n\n\r\n");
    }
}

const OFFER: &str = "GET /socket HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive, Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_websocket_idles_for_a_day_and_goes_on() {
    let inspected = inspected(Scheme::Http, Secret);
    let gate = inspected.gate.clone();
    let (mut agent, ours) = duplex(1 << 16);
    let (mut host, theirs) = duplex(1 << 16);
    let carried = tokio::spawn(async move { inspected.one(ours, theirs).await });
    let mut room = [0; 4096];
    agent.write_all(OFFER.as_bytes()).await.expect("says");
    agent.write_all(b"early").await.expect("says");
    let length = host.read(&mut room).await.expect("hears");
    assert!(room[..length].ends_with(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"));
    let taken =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    host.write_all(taken).await.expect("answers");
    let length = agent.read(&mut room).await.expect("hears");
    assert!(room[..length].starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    let length = host.read(&mut room).await.expect("hears");
    assert_eq!(&room[..length], b"early");
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    host.write_all(b"is hunter2").await.expect("says");
    let length = agent.read(&mut room).await.expect("hears");
    assert_eq!(&room[..length], b"is *******");
    drop((agent, host));
    assert_eq!(carried.await.ok(), Some("closed"));
    assert_eq!(gate.seen()[0], "request `GET http://api.example:80/socket` as CONNECT");
    assert_eq!(gate.seen()[1], "101, 5 out, 10 in");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_opened_by_the_answer_to_its_own_offer_only() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    let outcome = carry((), OFFER, &[other]).await;
    assert!(outcome.to_agent.starts_with("HTTP/1.1 502 "), "{}", outcome.to_agent);
    let outcome =
        carry((), format!("{OFFER}GET /denied HTTP/1.1\r\nHost: api.example\r\n\r\n"), &[EMPTY])
            .await;
    assert_eq!(outcome.to_host.matches("HTTP/1.1").count(), 1, "a declined offer is no tunnel");
    assert!(outcome.to_agent.contains("HTTP/1.1 403 "));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_dribbles_its_head_is_cut_off() {
    let inspected = inspected(Scheme::Http, ());
    let (mut agent, ours) = duplex(1 << 16);
    let (_host, theirs) = duplex(1 << 16);
    let carried = tokio::spawn(async move { inspected.one(ours, theirs).await });
    let begun = tokio::time::Instant::now();
    while !carried.is_finished() && begun.elapsed() < LONG {
        let _ = agent.write_all(b"X").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(carried.await.ok(), Some("refused"));
    assert!(begun.elapsed() < Duration::from_secs(80), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_withdraws_the_question() {
    let inspected = inspected(Scheme::Http, ());
    let gate = inspected.gate.clone();
    let (mut agent, ours) = duplex(1 << 16);
    let (mut host, theirs) = duplex(1 << 16);
    let carried = tokio::spawn(async move { inspected.one(ours, theirs).await });
    agent.write_all(b"GET /asked HTTP/1.1\r\nHost: api.example\r\n\r\n").await.expect("says");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!carried.is_finished(), "a person may take their time");
    drop(agent);
    assert_eq!(carried.await.ok(), Some("given up by the program"));
    assert_eq!(gate.seen(), ["request `GET http://api.example:80/asked`"]);
    assert_eq!(host.read(&mut [0; 16]).await.ok(), Some(0), "the host hears nothing");
}

#[tokio::test(start_paused = true)]
async fn hooks_change_fields_query_and_answer_and_no_framing() {
    let said = "GET /a HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n";
    let echo = "HTTP/1.1 200 OK\r\nx-echo: hunter2\r\ncontent-length: 9\r\n\r\n<hunter2>";
    let outcome = carry(Secret, said, &[echo]).await;
    assert_eq!(
        outcome.to_host,
        "GET /a?key=hunter2 HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer hunter2\r\n\
         connection: close\r\n\r\n"
    );
    assert!(outcome.to_agent.ends_with("content-length: 9\r\nconnection: close\r\n\r\n<*******>"));
    assert!(!outcome.to_agent.contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn hooks_answer_and_refuse_before_anything_is_sent() {
    for (path, answer) in [
        ("/cached", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold"),
        ("/elsewhere", "HTTP/1.1 403 Forbidden\r\n"),
        ("/broken", "HTTP/1.1 403 Forbidden\r\n"),
    ] {
        let outcome =
            carry(Secret, format!("GET {path} HTTP/1.1\r\nHost: api.example\r\n\r\n"), &[]).await;
        assert!(outcome.to_agent.starts_with(answer), "{path}: {}", outcome.to_agent);
        assert_eq!(outcome.to_host, "", "{path}");
    }
    let said = "POST /a HTTP/1.1\r\nHost: api.example\r\nContent-Length: 9\r\n\r\n<hunter2>";
    let outcome = carry(Secret, said, &[]).await;
    assert!(outcome.to_agent.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{}", outcome.to_agent);
    assert!(outcome.to_host.ends_with("\r\n\r\n"), "no byte of the body: {}", outcome.to_host);
    assert_eq!(outcome.seen[1], "refused: a secret in a body");
}

#[tokio::test(start_paused = true)]
async fn large_bodies_pass_without_being_collected() {
    const LENGTH: u64 = 64 << 20;
    let inspected = inspected(Scheme::Http, ());
    let (mut agent, ours) = duplex(1 << 16);
    let (mut host, theirs) = duplex(1 << 16);
    tokio::spawn(async move { inspected.one(ours, theirs).await });
    agent.write_all(b"GET /big HTTP/1.1\r\nHost: api.example\r\n\r\n").await.expect("says");
    let mut room = vec![0; 1 << 16];
    let _ = host.read(&mut room).await.expect("hears");
    let sent = tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
        host.write_all(head.as_bytes()).await.expect("answers");
        let mut body = tokio::io::repeat(b'x').take(LENGTH);
        tokio::io::copy(&mut body, &mut host).await.expect("answers")
    });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!sent.is_finished(), "what the agent does not read is not read of the host");
    let mut received = 0;
    while received < LENGTH {
        received += agent.read(&mut room).await.expect("hears") as u64;
    }
    assert_eq!(sent.await.ok(), Some(LENGTH));
}

/// A host whose answer is there as soon as the request is written.
#[derive(Default)]
struct Instant {
    answers: Vec<u8>,
}

impl tokio::io::AsyncRead for Instant {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let answers = std::mem::take(&mut self.get_mut().answers);
        if answers.is_empty() {
            return std::task::Poll::Pending;
        }
        buffer.put_slice(&answers);
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Instant {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.get_mut().answers.extend_from_slice(EMPTY.as_bytes());
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_at_once_does_not_end_the_connection() {
    let inspected = inspected(Scheme::Http, ());
    let (end, ours) = duplex(1 << 16);
    let said = "GET /a HTTP/1.1\r\nHost: api.example\r\n\r\n".repeat(3);
    let carried = async move { inspected.one(ours, Instant::default()).await };
    let (_, heard) = tokio::join!(carried, agent(end, said.into_bytes()));
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 3, "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_a_host_may_take_for_a_request_is_the_last_it_reads() {
    let said = "GET /a HTTP/1.1\r\nHost: api.example\r\nContent-Length: 27\r\n\r\n\
                POST /denied HTTP/1.1\r\n\r\nxx";
    let outcome = carry((), said, &[EMPTY]).await;
    assert!(outcome.to_host.contains("connection: close\r\n"), "{}", outcome.to_host);
    assert!(outcome.to_agent.contains("connection: close\r\n"), "{}", outcome.to_agent);
    let said = "POST /a HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n\r\nxx";
    let outcome = carry((), said, &[EMPTY]).await;
    assert!(!outcome.to_host.contains("connection: close"), "{}", outcome.to_host);
}
