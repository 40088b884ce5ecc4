use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::witness::Witness;

pub(super) fn message(code: u32, rest: &[u8]) -> Vec<u8> {
    let length = (8 + rest.len()) as u32;
    [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
}

pub(super) const V3: u32 = 3 << 16;

fn database(user: &str, database: &str) -> Fact {
    Fact::Database { user: user.into(), database: database.into() }
}

fn protocol(inspected: bool) -> Fact {
    Fact::Protocol { name: "postgresql", inspected }
}

/// A client, a server, and what becomes of what they said already.
struct Talk {
    client: DuplexStream,
    server: DuplexStream,
    witness: Witness,
    near: DuplexStream,
    far: DuplexStream,
}

impl Talk {
    async fn new(client_says: &[&[u8]], server_says: &[u8]) -> Self {
        let (mut client, near) = duplex(64 * 1024);
        let (far, mut server) = duplex(64 * 1024);
        client.write_all(&client_says.concat()).await.expect("written");
        server.write_all(server_says).await.expect("written");
        Self { client, server, witness: Witness::default(), near, far }
    }

    async fn negotiate(&mut self) -> Result<Next, String> {
        self.client.shutdown().await.expect("ended");
        match negotiate(&self.witness, &mut self.near, &mut self.far).await {
            Ok(next) => Ok(next),
            Err(Stop::Failed(why)) => Err(why),
            Err(Stop::Refused(refusal)) => panic!("{refusal}"),
        }
    }

    /// What the client and the server were sent.
    async fn heard(mut self) -> (Vec<u8>, Vec<u8>) {
        drop((self.near, self.far));
        let (mut client, mut server) = (Vec::new(), Vec::new());
        self.client.read_to_end(&mut client).await.expect("read");
        self.server.read_to_end(&mut server).await.expect("read");
        (client, server)
    }
}

#[tokio::test]
async fn tls_is_agreed_upon_and_nothing_of_it_is_read() {
    let (ask, hello) = (message(TLS, b""), b"\x16\x03\x01hello");
    let mut talk = Talk::new(&[&ask, hello], b"S\x16\x03\x03server").await;
    assert_eq!(talk.negotiate().await, Ok(Next::Tls));
    let mut rest = Vec::new();
    talk.near.read_to_end(&mut rest).await.expect("read");
    assert_eq!(rest, hello);
    let mut rest = [0; 9];
    talk.far.read_exact(&mut rest).await.expect("read");
    assert_eq!(&rest, b"\x16\x03\x03server");
    assert_eq!(talk.witness.facts(), [protocol(false)]);
    assert_eq!(talk.heard().await, (b"S".to_vec(), ask));
}

#[tokio::test]
async fn a_server_without_tls_is_begun_in_clear() {
    let start = message(V3, b"user\0ada\0database\0shop\0application_name\0psql\0\0");
    let (gss, tls) = (message(GSS, b""), message(TLS, b""));
    let mut talk = Talk::new(&[&gss, &tls, &start], b"N").await;
    assert_eq!(talk.negotiate().await, Ok(Next::Carry));
    assert_eq!(talk.witness.facts(), [protocol(false), database("ada", "shop")]);
    let heard = talk.heard().await;
    assert_eq!(heard, (b"NN".to_vec(), [tls, start].concat()), "GSSAPI is declined here");
}

#[tokio::test]
async fn a_session_may_begin_at_once() {
    let cancel = message(CANCEL, &[0, 0, 0, 1, 0, 0, 0, 2]);
    let cases = [
        (message(V3, b"user\0ada\0\0"), vec![protocol(false), database("ada", "ada")]),
        (message(V3 + 2, b"user\0a\0database\0\0\0"), vec![protocol(false), database("a", "a")]),
        (cancel, vec![protocol(false)]),
    ];
    for (first, facts) in cases {
        let mut talk = Talk::new(&[&first, b"Q"], b"").await;
        assert_eq!(talk.negotiate().await, Ok(Next::Carry));
        assert_eq!(talk.witness.facts(), facts);
        assert_eq!(talk.heard().await.1, first, "what follows is not ours to carry");
    }
}

#[tokio::test]
async fn what_is_not_understood_never_reaches_the_server() {
    let check = async |first: &[u8], part: &str| {
        let mut talk = Talk::new(&[first], b"").await;
        let why = talk.negotiate().await.expect_err("not understood");
        assert!(why.starts_with("cannot begin PostgreSQL: ") && why.contains(part), "{why}");
        assert_eq!(talk.heard().await.1, b"", "{part}");
    };
    check(&message(V3, b"user\0a\0user\0root\0\0"), "twice").await;
    check(&message(V3, b"user\0a\0database\0x\0database\0y\0\0"), "twice").await;
    check(&message(V3, b"database\0x\0\0"), "no user").await;
    check(&message(V3, b"user\0\0\0"), "no user").await;
    check(&message(V3, b"user\0a\0\0tail\0"), "more after").await;
    check(&message(V3, b"user\0a"), "does not end").await;
    check(&message(V3, b"user\0\xff\0\0"), "UTF-8").await;
    check(&message(2 << 16, b"user\0a\0\0"), "version").await;
    check(&message(CANCEL, b"1"), "version").await;
    check(&[0, 0, 0, 7, 0, 0, 0], "sensible length").await;
    check(&[0xff; 16], "sensible length").await;
    check(&[0, 0, 0, 20, 0, 3], "ended too early").await;
    check(&message(GSS, b"").repeat(4), "again and again").await;
    check(b"", "ended too early").await;
}

#[tokio::test]
async fn a_server_that_answers_otherwise_is_not_spoken_to() {
    for answer in [&b"E"[..], b"X", b""] {
        let mut talk = Talk::new(&[&message(TLS, b"")], answer).await;
        talk.server.shutdown().await.expect("ended");
        talk.negotiate().await.expect_err("no answer of the protocol's");
        assert_eq!(talk.heard().await.0, b"");
    }
}

#[tokio::test]
async fn within_tls_a_session_begins() {
    let check = async |first: &[u8]| {
        let witness = Witness::default();
        let mut sent = Vec::new();
        let next = within_tls(&witness, &mut &first[..], &mut sent).await;
        (next.ok(), sent, witness.facts())
    };
    let start = message(V3, b"user\0ada\0database\0shop\0\0");
    let facts = vec![protocol(true), database("ada", "shop")];
    assert_eq!(check(&start).await, (Some(Next::Carry), start, facts));
    assert_eq!(check(&message(TLS, b"")).await, (None, vec![], vec![protocol(true)]));
}

#[tokio::test]
async fn a_client_that_is_refused_reads_why() {
    let start = message(V3, b"user\0ada\0\0");
    let cases = [vec![start.clone()], vec![message(TLS, b""), start.clone()]];
    for said in cases {
        let (mut client, mut near) = duplex(64 * 1024);
        client.write_all(&said[1..].concat()).await.expect("written");
        client.shutdown().await.expect("ended");
        farewell(&mut near, &said[0], "refused: connect\n  by x").await;
        drop(near);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.expect("read");
        let declined = vec![b'N'; said.len() - 1];
        let heard = heard.strip_prefix(&declined[..]).expect("TLS is declined first");
        assert_eq!(heard, b"E\0\0\0\x33SFATAL\0VFATAL\0C42501\0Mrefused: connect\n  by x\0\0");
    }
}

#[test]
fn eight_bytes_tell_postgresql() {
    let check = |first: &[u8], expected| assert_eq!(begins(first), expected, "{first:x?}");
    check(&message(TLS, b""), true);
    check(&message(GSS, b""), true);
    check(&message(CANCEL, &[0; 8]), true);
    check(&message(V3, b"user\0a\0\0")[..8], true);
    check(&message(2 << 16, b"user\0a\0\0"), false);
    check(&message(TLS, b"x"), false);
    check(b"GET / HT", false);
    check(b"SSH-2.0-", false);
    check(b"\x16\x03\x01\x02\0\x01\0\0", false);
    check(b"\0\0\0\x08\x04\xd2\x16", false);
}
