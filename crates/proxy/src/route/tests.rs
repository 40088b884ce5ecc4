use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::Way;
use crate::flow::Stop;
use crate::witness::{Witness, pair};

fn there() -> Connect {
    Connect::parse("host.example:443").expect("a host and port")
}

/// What comes of a proxy that answers so, all at once.
async fn answered(answer: &[u8], authorization: Option<&str>) -> Result<TcpStream, String> {
    let (mut ours, mut proxy) = pair().await;
    proxy.write_all(answer).await.expect("an answer");
    let value = authorization.map(|text| HeaderValue::from_str(text).expect("a value"));
    proxy.shutdown().await.expect("an end");
    let led = connect(&mut ours, &there(), value.as_ref()).await;
    // Words that nobody read would make its end a reset.
    let _ = proxy.read(&mut [0; 4096]).await.expect("the request");
    led.map(|()| ours).map_err(|error| error.to_string())
}

async fn check(answer: &[u8], expected: &str) {
    let error = answered(answer, None).await.expect_err("no way");
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn what_the_host_says_first_is_left_to_whoever_reads_on() {
    let filler = format!("x: {}\r\n", "y".repeat(1000));
    for fields in ["".to_owned(), "content-length: 9\r\n".to_owned(), filler.repeat(9)] {
        let answer = format!("HTTP/1.0 200 Connection established\r\n{fields}\r\nSSH-2.0-host\r\n");
        let mut stream = answered(answer.as_bytes(), None).await.expect("a way");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("the rest");
        assert_eq!(rest, "SSH-2.0-host\r\n");
    }
}

#[tokio::test]
async fn an_answer_in_pieces_is_one_answer() {
    let (mut ours, mut proxy) = pair().await;
    let speaking = tokio::spawn(async move {
        let _ = proxy.read(&mut [0; 4096]).await.expect("the request");
        for byte in b"HTTP/1.1 200 OK\r\nvia: x\r\n\r\nhello" {
            proxy.write_all(&[*byte]).await.expect("a byte");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    connect(&mut ours, &there(), None).await.expect("a way");
    let mut rest = String::new();
    ours.read_to_string(&mut rest).await.expect("the rest");
    assert_eq!(rest, "hello");
    speaking.await.expect("no panic");
}

#[tokio::test]
async fn a_proxy_that_does_not_lead_there_is_an_error_that_says_why() {
    check(b"HTTP/1.1 407 x\r\nproxy-authenticate: Basic\r\n\r\n", "`network.proxy_credential`")
        .await;
    check(b"HTTP/1.1 403 x\r\n\r\n", "forbids").await;
    check(b"HTTP/1.1 502 x\r\n\r\n", "502").await;
    check(b"HTTP/1.1 201 x\r\n\r\n", "201").await;
    check(b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 x\r\n\r\n", "100").await;
    check(b"HTTP/2 200 x\r\n\r\n", "does not answer as an HTTP proxy").await;
    check(b"HTTP/1.1 200 x\n\n", "does not answer as an HTTP proxy").await;
    check(b"SSH-2.0-x\r\n\r\n", "does not answer as an HTTP proxy").await;
    check(b"HTTP/1.1 200 x\r\n", "closed").await;
    check(b"", "closed").await;
    let long = [b"HTTP/1.1 200 x\r\nx: ".as_slice(), &[b'y'; 20_000]].concat();
    check(&long, "16 KiB").await;
    let error = answered(b"HTTP/1.1 407 x\r\n\r\n", Some("Basic x")).await.expect_err("no way");
    assert!(error.contains("does not take the sign-in"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_proxy_is_given_up() {
    let (mut ours, _proxy) = pair().await;
    let error = connect(&mut ours, &there(), None).await.expect_err("no way");
    assert!(error.to_string().contains("20 seconds"), "{error}");
}

/// A proxy that answers so to whatever it is asked, and tells what that was.
async fn proxy(answer: &'static [u8]) -> (Way, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.expect("words");
        stream.write_all(answer).await.expect("an answer");
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    let way = Way::Proxy {
        host: remit_policy::Host::Address(address.ip()),
        port: address.port().try_into().expect("a port"),
        authorization: Some(HeaderValue::from_static("Basic c2VjcmV0")),
    };
    (way, served)
}

#[tokio::test]
async fn a_permitted_connection_leaves_by_the_proxy() {
    let (way, served) = proxy(b"HTTP/1.1 200 OK\r\n\r\nhello").await;
    let gate = Witness::leaving_by(way);
    let server = "192.0.2.1:22".parse().expect("an address");
    let mut stream = gate.flow(server).dial().await.expect("a way");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("its words");
    assert_eq!(said, "hello");
    assert_eq!(
        served.await.expect("no panic"),
        "CONNECT 192.0.2.1:22 HTTP/1.1\r\nhost: 192.0.2.1:22\r\n\
         proxy-authorization: Basic c2VjcmV0\r\n\r\n"
    );
}

#[tokio::test]
async fn why_a_proxy_failed_is_told_with_its_name() {
    let (way, _served) = proxy(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let gate = Witness::leaving_by(way);
    let server = "192.0.2.1:22".parse().expect("an address");
    let Err(Stop::Failed(why)) = gate.flow(server).dial().await else { panic!("no way") };
    assert!(why.starts_with("cannot connect to `192.0.2.1:22` by the proxy `127.0.0.1:"), "{why}");
    assert!(why.ends_with("it answers with status 502 Bad Gateway"), "{why}");
}
