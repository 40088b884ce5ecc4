use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use remit_policy::Host;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::super::{Authority, Upstream, hello, said};
use super::*;

/// A world with one authority, a host that has a certificate of it, and a session.
struct World {
    authority: Authority,
    session: Tls,
}

/// What a program offers and trusts.
struct Program<'a> {
    trusts: &'a Authority,
    offers: &'a [&'a [u8]],
    asks: &'a str,
}

fn authority() -> Authority {
    Authority::new(SystemTime::now()).expect("an authority")
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.certificate().to_vec())).expect("a root");
    roots
}

fn world() -> World {
    let outside = authority();
    let trusted = CertificateDer::from(outside.certificate().to_vec());
    let upstream = Upstream::trusting([trusted]).expect("one to trust");
    World { authority: outside, session: Tls { authority: authority(), upstream } }
}

fn connect(to: &str) -> Connect {
    Connect::parse(to).expect("an attempt")
}

/// A host that has a certificate of `authority` for `host`, and answers each line.
async fn serve(config: Arc<ServerConfig>, stream: DuplexStream) -> io::Result<()> {
    let mut stream = TlsAcceptor::from(config).accept(stream).await?;
    let mut line = [0; 64];
    let length = stream.read(&mut line).await?;
    stream.write_all(&line[..length]).await?;
    stream.shutdown().await
}

/// What the program got, and how the session ended it.
async fn inspected(
    world: &World,
    program: &Program<'_>,
    host: Arc<ServerConfig>,
) -> (io::Result<(Option<Vec<u8>>, String)>, Result<Http, Stop>) {
    let (outside, mut agent) = duplex(1 << 16);
    let (upstream, server) = duplex(1 << 16);
    let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots(program.trusts))
        .with_no_client_auth();
    config.alpn_protocols = program.offers.iter().map(|offer| offer.to_vec()).collect();
    let to = connect(program.asks);
    let name = match &to.host {
        Host::Address(address) => ServerName::from(*address),
        Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).expect("a name"),
    };
    let run = async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, outside).await?;
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        stream.write_all(b"hi\r\n").await?;
        let mut got = String::new();
        stream.read_to_string(&mut got).await?;
        io::Result::Ok((agreed, got))
    };
    let carry = async {
        let mut ahead = BytesMut::new();
        let seen = hello::read(&mut agent, &mut ahead).await.expect("a hello");
        let (again, agent) = tokio::io::split(agent);
        let agent = tokio::io::join(io::Cursor::new(ahead).chain(again), agent);
        let Inspected { mut agent, mut upstream, http } =
            inspect(&world.session, &to, &seen.hello, agent, upstream).await?;
        let _ = tokio::io::copy_bidirectional(&mut agent, &mut upstream).await;
        Ok(http)
    };
    let (got, ended, _) = tokio::join!(run, carry, serve(host, server));
    (got, ended)
}

/// A host's TLS, by the world's authority.
fn host(authority: &Authority, name: &str, http: Option<Http>) -> Arc<ServerConfig> {
    authority.answer(&connect(name).host, http).expect("answered")
}

fn failed(ended: Result<Http, Stop>) -> String {
    match ended {
        Err(Stop::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

const ASKED: &str = "api.example:443";

#[tokio::test]
async fn program_and_host_agree_on_a_protocol_through_us() {
    let world = world();
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    type Case<'a> = (&'a [&'a [u8]], Option<Http>, Option<&'a [u8]>, Http);
    let cases: [Case<'_>; 5] = [
        (both, Some(Http::Two), Some(b"h2"), Http::Two),
        (both, Some(Http::One), Some(b"http/1.1"), Http::One),
        (both, None, None, Http::One),
        (&[], Some(Http::Two), None, Http::One),
        (&[b"spdy/3", b"http/1.1"], Some(Http::One), Some(b"http/1.1"), Http::One),
    ];
    for (offers, speaks, expected, http) in cases {
        for asks in [ASKED, "192.0.2.1:443", "[2001:db8::1]:443"] {
            let program = Program { trusts: &world.session.authority, offers, asks };
            let server = host(&world.authority, asks, speaks);
            let (got, ended) = inspected(&world, &program, server).await;
            let (agreed, text) = got.expect("an answer");
            assert_eq!((agreed.as_deref(), text.as_str()), (expected, "hi\r\n"), "{asks}");
            assert_eq!(ended.expect("inspected"), http);
        }
    }
}

#[tokio::test]
async fn a_host_that_is_not_itself_is_told_of_and_gets_nothing() {
    let world = world();
    let program = Program { trusts: &world.session.authority, offers: &[b"http/1.1"], asks: ASKED };
    let foreign = authority();
    let cases = [
        (host(&foreign, ASKED, None), "no authority that this machine trusts"),
        // Not even the session's own authority vouches for a host outside.
        (host(&world.session.authority, ASKED, None), "no authority that this machine trusts"),
        (host(&world.authority, "evil.example:443", None), "it is another host's"),
        (host(&Authority::new(SystemTime::UNIX_EPOCH).expect("old"), ASKED, None), "not valid"),
    ];
    for (server, expected) in cases {
        let (got, ended) = inspected(&world, &program, server).await;
        let (_, page) = got.expect("a page");
        assert!(page.starts_with("HTTP/1.1 502 ") && page.contains(expected), "{page}");
        let why = failed(ended);
        assert!(why.contains(expected) && why.contains("`api.example:443`"), "{why}");
    }
}

#[tokio::test]
async fn a_program_with_a_list_of_its_own_is_named_as_such() {
    let world = world();
    // It trusts the host's authority, as one with the host's certificate pinned does.
    let program = Program { trusts: &world.authority, offers: &[], asks: ASKED };
    let (got, ended) = inspected(&world, &program, host(&world.authority, ASKED, None)).await;
    assert!(got.is_err());
    let why = failed(ended);
    assert!(why.contains("does not trust the session's authority"), "{why}");
    assert!(why.contains("network.pass_through"), "{why}");
}

#[tokio::test]
async fn a_host_that_wants_a_client_certificate_is_named_as_such() {
    let world = world();
    let verifier = WebPkiClientVerifier::builder_with_provider(
        roots(&world.authority).into(),
        ring::default_provider().into(),
    )
    .build()
    .expect("a verifier");
    let template = host(&world.authority, ASKED, None);
    let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&template.cert_resolver));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    let (near, far) = duplex(1 << 16);
    let begin = async {
        let (mut stream, _) = world.session.upstream.begin(&connect(ASKED), &[], near).await?;
        // In TLS 1.3 the host says so after the handshake.
        stream.read(&mut [0; 16]).await.map_err(|error| said(&error)).map(drop)
    };
    let (ended, _) = tokio::join!(begin, serve(config.into(), far));
    let why = ended.expect_err("no certificate was sent");
    assert!(why.contains("client certificate"), "{why}");
}
