use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::*;
use crate::shared::tests::shared;
use crate::witness::{Witness, pair};

/// How a conversation with the proxy went.
struct Heard {
    reply: Vec<u8>,
    refused: Vec<String>,
}

/// A server that greets whoever connects, and tells what it heard.
async fn server() -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n")
            && stream.read_buf(&mut heard).await.is_ok_and(|n| n > 0)
        {}
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        stream.write_all(answer).await.expect("an answer");
        String::from_utf8(heard).expect("text")
    });
    (address, served)
}

fn allowing(server: SocketAddr) -> Witness {
    Witness::judging(&format!(
        "[network]\nallow = ['{server}', 'allowed.example:80']\ninternal = ['{server}']"
    ))
}

/// Says everything at once, and hears until the proxy ends the connection.
async fn talk(gate: &Witness, words: &[u8]) -> Heard {
    let (mut program, ours) = pair().await;
    let serving = tokio::spawn(serve(ours, gate.clone(), shared()));
    program.write_all(words).await.expect("words");
    let mut reply = Vec::new();
    let _ =
        timeout(Duration::from_secs(10), program.read_to_end(&mut reply)).await.expect("an end");
    drop(program);
    serving.await.expect("no panic");
    Heard { reply, refused: gate.refused() }
}

#[track_caller]
fn check(heard: &Heard, reply: &[u8], why: &str) {
    let shown = String::from_utf8_lossy(&heard.reply);
    assert!(heard.reply.starts_with(reply), "{shown}");
    assert!(heard.refused.iter().any(|refused| refused.contains(why)), "{:?}", heard.refused);
}

#[tokio::test]
async fn connect_leads_to_the_permitted_host_and_what_follows_is_judged() {
    let (address, served) = server().await;
    let words = format!(
        "CONNECT {address} HTTP/1.1\r\nhost: elsewhere.example\r\n\r\nGET /a HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    );
    let heard = talk(&allowing(address), words.as_bytes()).await;
    let reply = String::from_utf8(heard.reply).expect("text");
    assert!(
        reply.starts_with("HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200"),
        "{reply}"
    );
    assert!(reply.ends_with("hello"), "{reply}");
    assert!(served.await.expect("no panic").starts_with("GET /a HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_request_in_absolute_form_is_passed_on_in_origin_form_and_is_the_last() {
    let (address, served) = server().await;
    let words = format!(
        "GET http://{address}/a?b HTTP/1.1\r\nhost: {address}\r\nproxy-authorization: Basic c2VjcmV0\r\n\
         proxy-connection: keep-alive\r\naccept: x\r\n\r\n\
         GET http://other.example/ HTTP/1.1\r\nhost: other.example\r\n\r\n"
    );
    let heard = talk(&allowing(address), words.as_bytes()).await;
    let reply = String::from_utf8(heard.reply).expect("text");
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("connection: close\r\n") && reply.ends_with("hello"), "{reply}");
    let host = served.await.expect("no panic");
    assert_eq!(
        host,
        format!("GET /a?b HTTP/1.1\r\nhost: {address}\r\naccept: x\r\nconnection: close\r\n\r\n")
    );
}

#[tokio::test]
async fn a_tunnel_in_a_tunnel_is_refused_by_the_engine() {
    let (address, served) = server().await;
    let words = format!(
        "CONNECT {address} HTTP/1.1\r\n\r\nCONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n"
    );
    let heard = talk(&allowing(address), words.as_bytes()).await;
    let reply = String::from_utf8(heard.reply).expect("text");
    assert!(reply.contains("HTTP/1.1 4"), "{reply}");
    assert!(!reply.contains("hello"), "{reply}");
    assert!(!served.await.expect("no panic").contains("evil"));
}

#[tokio::test]
async fn socks_leads_to_the_permitted_host() {
    let request = b"GET / HTTP/1.0\r\n\r\n";
    let port = |address: SocketAddr| address.port().to_be_bytes();
    for (greeting, granted) in [
        (b"\x05\x01\x00".to_vec(), b"\x05\x00\x05\x00\x00\x01".to_vec()),
        (b"\x05\x02\x02\x00".to_vec(), b"\x05\x00\x05\x00\x00\x01".to_vec()),
        (b"\x05\x01\x02\x01\x03ada\x02pw".to_vec(), b"\x05\x02\x01\x00\x05\x00\x00\x01".to_vec()),
    ] {
        for host in [b"\x01\x7f\0\0\x01".to_vec(), b"\x03\x09127.0.0.1".to_vec()] {
            let (address, _served) = server().await;
            let words =
                [&greeting, b"\x05\x01\x00".as_slice(), &host, &port(address), request].concat();
            let heard = talk(&allowing(address), &words).await;
            assert!(heard.reply.starts_with(&granted), "{:?}", heard.reply);
            assert!(heard.reply.ends_with(b"hello"));
        }
    }
    for host in [b"\x7f\0\0\x01ada\0".to_vec(), b"\0\0\0\x09ada\x00127.0.0.1\0".to_vec()] {
        let (address, _served) = server().await;
        let words = [b"\x04\x01".as_slice(), &port(address), &host, request].concat();
        let heard = talk(&allowing(address), &words).await;
        assert!(heard.reply.starts_with(b"\0\x5a"), "{:?}", heard.reply);
        assert!(heard.reply.ends_with(b"hello"));
    }
}

#[tokio::test]
async fn other_hosts_are_refused_in_the_words_they_were_asked_for_in() {
    let gate = Witness::judging("[network]\ndefault = 'refuse'\nallow = ['allowed.example:80']");
    for target in [
        "other.example:443",
        "127.0.0.1:80",
        "[::1]:80",
        "0.0.0.0:80",
        "[::]:80",
        "localhost:80",
        "10.0.0.1:80",
        "[::ffff:127.0.0.1]:80",
        "[::7f00:1]:80",
        "[2002:7f00:1::]:80",
        "[64:ff9b::7f00:1]:80",
        "169.254.169.254:80",
        "[fd00:ec2::254]:80",
        "metadata.google.internal:80",
        "198.18.0.1:3128",
        "[fd72:656d:6974::1]:3128",
        "allowed.example:81",
        "allowed.example.evil.example:80",
        "evilallowed.example:80",
    ] {
        let words = format!("CONNECT {target} HTTP/1.1\r\nhost: allowed.example:80\r\n\r\n");
        let heard = talk(&gate, words.as_bytes()).await;
        let reply = String::from_utf8(heard.reply).expect("text");
        assert!(reply.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{target}: {reply}");
        assert!(reply.contains("x-remit: refused\r\n") && reply.contains("refused: connect to"));
    }
    let heard = talk(&gate, b"\x05\x01\x00\x05\x01\x00\x03\x0dother.example\x01\xbb").await;
    assert!(heard.reply.starts_with(b"\x05\x00\x05\x02"), "{:?}", heard.reply);
    let heard = talk(&gate, b"\x04\x01\x01\xbb\0\0\0\x01\0other.example\0").await;
    assert!(heard.reply.starts_with(b"\0\x5b"), "{:?}", heard.reply);
    let words = b"HEAD http://other.example/ HTTP/1.1\r\nhost: other.example\r\n\r\n";
    let heard = talk(&gate, words).await;
    assert!(heard.reply.starts_with(b"HTTP/1.1 403") && heard.reply.ends_with(b"\r\n\r\n"));
}

#[tokio::test]
async fn spellings_that_two_readers_may_read_in_two_ways_are_refused() {
    let gate = Witness::judging("[network]\nallow = ['allowed.example:80', '*.allowed.example']");
    for target in [
        "allowed.example",
        "allowed.example:",
        "allowed.example:0",
        "allowed.example:+80",
        "allowed.example:65616",
        "allowed.example:80/",
        "http://allowed.example:80",
        "/",
        "user@allowed.example:80",
        "evil.example@allowed.example:80",
        "allowed.example:80@evil:1",
        "evil.example%00.allowed.example:80",
        "evil.example#.allowed.example:80",
        "allowed.example..:80",
        ".allowed.example:80",
        "127.1:80",
        "2130706433:80",
        "0x7f.1:80",
        "0177.0.0.1:80",
        "[fe80::1%25eth0]:80",
        "[::1:80",
        "::1:80",
        "[127.0.0.1]:80",
        "allowed.example\u{ff0e}evil.example:80",
        "*:80",
        "-:80\t",
    ] {
        let words = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
        let heard = talk(&gate, words.as_bytes()).await;
        let reply = String::from_utf8(heard.reply).expect("text");
        assert!(reply.starts_with("HTTP/1.1 4") && !reply.contains(" 403 "), "{target}: {reply}");
    }
    let bad = "HTTP/1.1 400";
    for words in [
        "CONNECT evil.example\0.allowed.example:80 HTTP/1.1\r\n\r\n",
        "CONNECT allowed.example:80 evil HTTP/1.1\r\n\r\n",
        "CONNECT allowed.example:80 HTTP/1.1\n\n",
        "CONNECT allowed.example:80\r HTTP/1.1\r\n\r\n",
        "CONNECT allowed.example:80 HTTP/1.1\r\ncontent-length: 3\r\n\r\n",
        "CONNECT allowed.example:80 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: allowed.example\r\n\r\n",
        "GET https://allowed.example/ HTTP/1.1\r\nhost: allowed.example\r\n\r\n",
        "GET http://evil.example%00.allowed.example/ HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET http://a@allowed.example/ HTTP/1.1\r\nhost: allowed.example\r\n\r\n",
        "GET http://evil.example\\@allowed.example/ HTTP/1.1\r\nhost: allowed.example\r\n\r\n",
        "GET http:///allowed.example HTTP/1.1\r\nhost: allowed.example\r\n\r\n",
        "GET http://allowed.example/ HTTP/1.1\r\n\r\n",
        "GET http://allowed.example/ HTTP/1.1\r\nhost: allowed.example\r\nhost: a.example\r\n\r\n",
        "get http://allowed.example/ HTTP/1.1\r\nhost: allowed.example\r\n\r\n",
    ] {
        check(&talk(&gate, words.as_bytes()).await, bad.as_bytes(), "");
    }
    let words = "GET http://allowed.example/ HTTP/1.1\r\nhost: other.allowed.example\r\n\r\n";
    check(&talk(&gate, words.as_bytes()).await, b"HTTP/1.1 421", "another host");
    for name in [
        "",
        "evil\0.allowed.example",
        "a\r\nb.allowed.example",
        "a%00.allowed.example",
        "a allowed.example",
        "127.1",
        "[::1]",
        "allowed.example:80",
        "\u{e9}.allowed.example",
    ] {
        let length = u8::try_from(name.len()).expect("short");
        let words = socks_named(&[&[length], name.as_bytes()].concat());
        check(&talk(&gate, &words).await, b"\x05\x00\x05\x02", "host");
    }
    let long = format!("{}a", "a.".repeat(127));
    let words = socks_named(&[b"\xff", long.as_bytes()].concat());
    check(&talk(&gate, &words).await, b"\x05\x00\x05\x02", "longer than 253");
}

/// A request of SOCKS 5 for a name, whose length comes first.
fn socks_named(name: &[u8]) -> Vec<u8> {
    [b"\x05\x01\x00\x05\x01\x00\x03", name, b"\0\x50"].concat()
}

#[tokio::test]
async fn other_commands_kinds_and_protocols_are_refused() {
    let gate = Witness::judging("[network]\nallow = ['allowed.example:80']");
    let after = |request: &[u8]| [b"\x05\x01\x00", request].concat();
    let name = b"\x00\x03\x0fallowed.example\0\x50";
    let ask = |command: u8| after(&[b"\x05", [command].as_slice(), name].concat());
    check(&talk(&gate, &ask(2)).await, b"\x05\x00\x05\x07", "BIND");
    check(&talk(&gate, &ask(3)).await, b"\x05\x00\x05\x07", "UDP ASSOCIATE");
    check(&talk(&gate, &ask(0xf0)).await, b"\x05\x00\x05\x07", "command");
    check(&talk(&gate, &after(b"\x05\x01\x00\x02\x01")).await, b"\x05\x00\x05\x08", "address");
    check(&talk(&gate, &after(b"\x05\x01\x01\x03\x01")).await, b"\x05\x00\x05\x01", "SOCKS 5");
    check(&talk(&gate, b"\x05\x01\x01").await, b"\x05\xff", "password");
    check(&talk(&gate, b"\x05\x00").await, b"\x05\xff", "password");
    check(&talk(&gate, b"\x04\x02\0\x50\x01\x02\x03\x04\0").await, b"\0\x5b", "CONNECT");
    let endless = [b"\x04\x01\0\x50\x01\x02\x03\x04".as_slice(), &[b'u'; 300]].concat();
    check(&talk(&gate, &endless).await, b"\0\x5b", "too long");
    check(&talk(&gate, b"\x16\x03\x01\x02\x00").await, b"\x15\x03\x01", "TLS");
    let endless = [b"GET http://allowed.example/", [b'a'; 17 * 1024].as_slice()].concat();
    check(&talk(&gate, &endless).await, b"HTTP/1.1 431", "16 KiB");
}

#[tokio::test]
async fn what_was_looked_up_inside_is_the_name() {
    let gate = Witness::judging("[network]\ndefault = 'refuse'");
    let shared = shared();
    let name = remit_policy::HostName::parse("looked-up.example").expect("a name");
    let (four, six) = shared.names.addresses(&name).expect("addresses");
    for target in [format!("{four}:80"), format!("[{six}]:80"), format!("[::ffff:{four}]:80")] {
        let (mut program, ours) = pair().await;
        tokio::spawn(serve(ours, gate.clone(), Arc::clone(&shared)));
        let words = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
        program.write_all(words.as_bytes()).await.expect("words");
        let mut reply = String::new();
        let _ = program.read_to_string(&mut reply).await;
        assert!(reply.contains("connect to `looked-up.example:80`"), "{reply}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_up_waits_for_no_answer() {
    let gate = Witness::judging("[network]\ndefault = 'ask'");
    for words in [
        b"CONNECT asked.example:443 HTTP/1.1\r\n\r\n".as_slice(),
        b"POST http://asked.example/ HTTP/1.1\r\nhost: asked.example\r\ncontent-length: 1\r\n\r\nx",
        b"\x05\x01\x00\x05\x01\x00\x03\x0dasked.example\x01\xbb",
    ] {
        let (mut program, ours) = pair().await;
        let serving = tokio::spawn(serve(ours, gate.clone(), shared()));
        program.write_all(words).await.expect("words");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!serving.is_finished(), "it waits for an answer");
        drop(program);
        timeout(Duration::from_secs(5), serving).await.expect("an end").expect("no panic");
    }
}
