use std::sync::Arc;
use std::time::SystemTime;

use bolero::{check, produce};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::Authority;
use super::super::hello::tests::{extension, hello_of, named, records};
use super::*;

fn answer(random: [u8; 32], most: usize) -> Vec<u8> {
    let body = [&[3, 3], &random[..], &[0, 0x13, 1, 0]].concat();
    records(&[&[2, 0, 0, body.len() as u8], &body[..]].concat(), most)
}

/// What came to the server, and how it ended, for a program that says `says`,
/// hears `hears` and then says `then`.
async fn greeted(says: &[u8], hears: &[u8], then: &[u8]) -> (Vec<u8>, Result<(), Stop>) {
    let connect = Connect::parse("a.example:443").expect("an attempt");
    let seen = hello::parse(says).expect("well-formed").expect("whole");
    let (mut program, mut agent) = duplex(1 << 16);
    let (mut upstream, server) = duplex(1 << 16);
    program.write_all(says).await.expect("room");
    program.write_all(then).await.expect("room");
    program.shutdown().await.expect("half closed");
    let serve = async |mut server: DuplexStream| {
        let mut first = vec![0; seen.length];
        server.read_exact(&mut first).await.expect("a hello");
        // A program that has said all there is may be carried on before it hears.
        let _ = server.write_all(hears).await;
        server.read_to_end(&mut first).await.expect("the rest");
        first
    };
    let carry = async {
        let ended = greet(&connect, &seen, &mut agent, &mut upstream).await;
        drop(upstream);
        ended
    };
    let (came, ended) = tokio::join!(serve(server), carry);
    (came, ended)
}

#[tokio::test]
async fn a_second_hello_says_what_the_first_did() {
    let says = hello_of(&[named("a.example")]);
    let compatible = [20, 3, 3, 0, 1, 1];
    let early = [23, 3, 3, 0, 2, 9, 9];
    let other = hello_of(&[named("evil.example")]);
    let hidden = hello_of(&[named("a.example"), extension(0xfe0d, b"x")]);
    let unnamed = hello_of(&[]);
    for most in [1, 7, 100] {
        let retry = answer(RETRY, most);
        let warned = [&[21, 3, 3, 0, 2, 1, 112], &retry[..]].concat();
        for hears in [&retry, &warned] {
            let then = [&compatible, &early[..], &says].concat();
            let (came, ended) = greeted(&says, hears, &then).await;
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(came, [&says, &then[..]].concat());
            for second in [&other, &hidden, &unnamed] {
                let then = [&compatible, &early[..], second].concat();
                let (came, ended) = greeted(&says, hears, &then).await;
                assert!(matches!(ended, Err(Stop::Refused(_))), "{ended:?}");
                assert_eq!(came, [&says, &compatible[..], &early].concat(), "and no more");
            }
        }
    }
}

#[tokio::test]
async fn without_being_asked_there_is_no_second_hello() {
    let says = hello_of(&[named("a.example")]);
    let hears = answer([7; 32], 100);
    let then = [22, 3, 3, 0, 1, 16];
    let (came, ended) = greeted(&says, &hears, &then).await;
    assert!(ended.is_ok());
    assert_eq!(came, [&says, &then[..]].concat(), "as it is");
    let (came, ended) = greeted(&says, b"HTTP/1.1 400 Bad Request\r\n", b"").await;
    assert!(ended.is_ok());
    assert_eq!(came, says);
}

#[tokio::test]
async fn half_a_second_hello_is_not_sent() {
    let says = hello_of(&[named("a.example")]);
    let other = hello_of(&[named("evil.example")]);
    let garbled = [&[22, 3, 3, 0, 0], &other[..]].concat();
    let (came, ended) = greeted(&says, &answer(RETRY, 100), &garbled).await;
    assert!(matches!(ended, Err(Stop::Failed(_))), "{ended:?}");
    assert_eq!(came, says);
}

/// Two ends of a library that need a second hello, by a pipe that takes a few
/// bytes at a time.
#[tokio::test]
async fn a_second_hello_that_the_server_wants_gets_through() {
    let connect = Connect::parse("a.example:443").expect("an attempt");
    let authority = Authority::new(SystemTime::now()).expect("an authority");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.certificate().to_vec())).expect("a root");
    let provider =
        |groups| Arc::new(CryptoProvider { kx_groups: groups, ..ring::default_provider() });
    let (usual, odd) = (ring::kx_group::X25519, ring::kx_group::SECP384R1);
    let client = ClientConfig::builder_with_provider(provider(vec![usual, odd]))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let certificate = authority.answer(&connect.host, None).expect("answered");
    let server = ServerConfig::builder_with_provider(provider(vec![odd]))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificate.cert_resolver));
    let ((program, mut agent), (mut upstream, host)) = (duplex(37), duplex(41));
    let speak = async {
        let name = ServerName::try_from("a.example").expect("a name");
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, program).await?;
        stream.write_all(b"hi").await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut Vec::new()).await
    };
    let hear = async {
        let mut stream = TlsAcceptor::from(Arc::new(server)).accept(host).await?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await?;
        stream.shutdown().await?;
        io::Result::Ok(heard)
    };
    let carry = async {
        let mut ahead = BytesMut::new();
        let seen = hello::read(&mut agent, &mut ahead).await.expect("a hello");
        let (again, to_program) = tokio::io::split(agent);
        let mut agent = tokio::io::join(io::Cursor::new(ahead).chain(again), to_program);
        greet(&connect, &seen, &mut agent, &mut upstream).await?;
        let _ = tokio::io::copy_bidirectional(&mut agent, &mut upstream).await;
        Ok::<_, Stop>(())
    };
    let all = async { tokio::join!(speak, hear, carry) };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), all).await;
    let (spoken, heard, carried) = ended.expect("nobody waits for another");
    carried.expect("carried");
    spoken.expect("spoken");
    assert_eq!(heard.expect("heard"), "hi");
}

/// What a program may send after its first hello.
fn piece(pick: u8) -> Vec<u8> {
    match pick % 9 {
        0 => hello_of(&[named("a.example")]),
        1 | 2 => hello_of(&[named("evil.example")]),
        3 => records(&super::super::hello::tests::message_of(&[named("evil.example")]), 9),
        4 => vec![CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1],
        5 => vec![APPLICATION_DATA, 3, 3, 0, 3, 22, 3, 3],
        6 => vec![APPLICATION_DATA, 3, 3, 0, 0],
        7 => vec![ALERT, 3, 3, 0, 2, 1, 0],
        _ => vec![HANDSHAKE, 3, 3, 0, 1, pick],
    }
}

#[test]
fn no_server_that_asked_again_hears_another_name() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let input = (produce::<Vec<u8>>().with().len(0..7_usize), produce::<bool>());
    check!().with_iterations(2_000).with_generator(input).for_each(|(picks, is_warned)| {
        let says = hello_of(&[named("a.example")]);
        let then: Vec<u8> = picks.iter().flat_map(|pick| piece(*pick)).collect();
        let warning: &[u8] = if *is_warned { &[ALERT, 3, 3, 0, 2, 1, 112] } else { b"" };
        let hears = [warning, &answer(RETRY, 50)].concat();
        let (came, ended) = runtime.block_on(greeted(&says, &hears, &then));
        let mut rest = &came[says.len()..];
        // As a server reads on: past what is no handshake.
        while let Ok(Some(length)) = no_hello(rest) {
            rest = &rest[length..];
        }
        if let Ok(Some(again)) = hello::parse(rest) {
            assert_eq!(again.hello.name.as_deref(), Some("a.example"), "{ended:?}");
        }
    });
}
