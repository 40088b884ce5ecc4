//! Messages that no honest program wrote.

use bolero::{check, produce};
use bytes::Bytes;
use remit_policy::Scheme;
use tokio::runtime::{Builder, Runtime};

use super::body::{Extensions, Pieces, Written};
use super::framing::{self, Body};
use super::reader::Reader;
use super::tests::{Watched, inspected};
use super::{answer, head};
use crate::http::Inspected;

/// What heads are made of, and what is written into them to be read in two ways.
const PIECES: [&[u8]; 32] = [
    b"GET /a HTTP/1.1\r\n",
    b"POST http://api.example/a HTTP/1.1\r\n",
    b"POST /denied HTTP/1.0\r\n",
    b"Host: api.example\r\n",
    b"Host: evil.example\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Sec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"X-HTTP-Method-Override: DELETE\r\n",
    b"X: ",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"_",
    b"#",
    b"//",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b";x=y",
    b"fffffffffffffff\r\n",
    b"\xff",
];

fn assembled(picks: &[u8]) -> Vec<u8> {
    let pieces = picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]);
    pieces.collect::<Vec<_>>().concat()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

/// A head that is understood says the same when it is written as we write it, and
/// only one thing.
fn lawful(inspected: &Inspected<Watched, ()>, bytes: &[u8]) {
    let Ok(Some(end)) = head::end(bytes, 0) else { return };
    let bytes = Bytes::copy_from_slice(&bytes[..end]);
    let Some((head, body, written)) = inspected.rewritten(&bytes) else { return };
    let text = String::from_utf8_lossy(&written).into_owned();
    assert!(text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1, "{text:?}");
    let bare = written.iter().enumerate().any(|(at, byte)| match byte {
        b'\n' => at == 0 || written[at - 1] != b'\r',
        b'\r' => written.get(at + 1) != Some(&b'\n'),
        _ => *byte == 0,
    });
    assert!(!bare, "{text:?} has a bare CR, LF or NUL");
    let fields: Vec<(&str, &str)> =
        text.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(field, _)| *field == name).map(|(_, value)| *value).collect()
    };
    let lengths = match body {
        Body::Length(_) => 1,
        Body::Chunked => 0,
        // Nothing is sent, and said to be.
        _ => usize::from(head.method.as_str() == "POST"),
    };
    assert_eq!(values("content-length").len(), lengths, "{text:?}");
    let chunked = usize::from(body == Body::Chunked);
    assert_eq!(values("transfer-encoding"), vec!["chunked"; chunked], "{text:?}");
    assert_eq!(values("host"), ["api.example"], "{text:?}");
    let again = inspected.rewritten(&Bytes::from(written.clone())).expect("our own head is good");
    assert_eq!((again.1, again.2), (body, written), "it is written the same again");
}

#[test]
fn a_head_that_is_understood_is_written_in_one_way() {
    let inspected = inspected(Scheme::Http, ());
    let picks = produce::<Vec<u8>>().with().len(0..10_usize);
    let input = (picks, produce::<u16>(), produce::<u8>());
    check!().with_iterations(30_000).with_generator(input).for_each(|(picks, at, bent)| {
        // Mostly good to begin with, so that what follows matters.
        let tail = [&[0, 3][..], picks, &[16, 17]].concat();
        for mut bytes in [assembled(picks), assembled(&tail)] {
            lawful(&inspected, &bytes);
            let at = usize::from(*at) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = *bent;
                lawful(&inspected, &bytes);
            }
        }
    });
}

#[test]
fn a_head_in_two_reads_ends_where_it_ends_in_one() {
    let picks = produce::<Vec<u8>>().with().len(0..10_usize);
    check!().with_iterations(10_000).with_generator((picks, produce::<u16>())).for_each(
        |(picks, cut)| {
            let bytes = assembled(picks);
            let cut = usize::from(*cut) % (bytes.len() + 1);
            if let Ok(None) = head::end(&bytes[..cut], 0) {
                assert_eq!(head::end(&bytes, cut), head::end(&bytes, 0), "{bytes:?} cut at {cut}");
            }
        },
    );
}

/// The body in these bytes, and how many of them it took.
async fn body_of(bytes: &[u8], extensions: Extensions) -> Option<(Vec<u8>, usize)> {
    let mut reader = Reader::new(bytes);
    let mut pieces = Pieces::new(Body::Chunked, extensions);
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next(&mut reader).await.ok()? {
        whole.extend_from_slice(&piece);
    }
    Some((whole, reader.held().len()))
}

#[test]
fn a_chunked_body_is_the_same_when_it_is_chunked_anew() {
    let runtime = runtime();
    let picks = produce::<Vec<u8>>().with().len(0..10_usize);
    let input = (picks, produce::<u16>(), produce::<u8>());
    check!().with_iterations(20_000).with_generator(input).for_each(|(picks, at, bent)| {
        let mut bytes = [assembled(picks).as_slice(), b"2\r\nhi\r\n0\r\n\r\nGET"].concat();
        let at = usize::from(*at) % bytes.len();
        bytes[at] = *bent;
        runtime.block_on(async {
            let strict = body_of(&bytes, Extensions::Refused).await;
            let loose = body_of(&bytes, Extensions::Ignored).await;
            let Some((whole, rest)) = strict else { return };
            assert_eq!(loose, Some((whole.clone(), rest)), "what is strict is read alike");
            let (mut again, mut written) = (Vec::new(), Written::new(Body::Chunked));
            written.piece(&mut again, &whole).await.expect("memory");
            written.end(&mut again).await.expect("memory");
            assert_eq!(body_of(&again, Extensions::Refused).await, Some((whole, 0)));
        });
    });
}

#[test]
fn no_answer_is_too_odd_to_be_read_or_refused() {
    check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
        let mut whole = b"HTTP/1.1 200 ".to_vec();
        whole.extend_from_slice(bytes);
        whole.extend_from_slice(b"\r\n\r\n");
        let Ok(Some(end)) = head::end(&whole, 0) else { return };
        let Ok(mut answer) = head::response(&whole[..end]) else { return };
        framing::strip(&mut answer.headers);
        let mut written = answer::head(answer.status, &answer.headers);
        written.extend_from_slice(b"\r\n");
        let again = head::response(&written).expect("our own head is good");
        assert_eq!((again.status, again.headers), (answer.status, answer.headers));
    });
}
