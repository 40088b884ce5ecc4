//! Streams cut anywhere, and requests that no signer made.

use std::convert::Infallible;

use bolero::{check, produce};
use bytes::Bytes;

use super::find::Stream;
use super::find::tests::finder;
use super::slot::{decoded_bytes, encoded};
use super::tests::{draft, request, secret};
use super::*;

/// Texts that begin, end and overlap in each other.
const TEXTS: [(&str, &str); 4] =
    [("abcabd", "ABCABD"), ("abcabdab", "ABCABDAB"), ("bdabcc", "BDABCC"), ("cccccc", "CCCCCC")];

#[test]
fn cuts_change_nothing_but_short_beginnings() {
    let finder = finder(&TEXTS);
    let pieces = produce::<Vec<Vec<u8>>>();
    check!().with_generator(pieces).for_each(|pieces| {
        let pieces: Vec<Vec<u8>> = pieces
            .iter()
            .map(|piece| piece.iter().map(|b| b"abcd"[usize::from(b % 4)]).collect())
            .collect();
        let pass = |stream: &mut Stream, piece: &[u8], last| {
            let chunk = Bytes::copy_from_slice(piece);
            let judge = |instead| Ok::<_, Infallible>(Some(Vec::as_slice(instead)));
            stream.pass(&finder, chunk, last, judge).unwrap_or_else(|never| match never {})
        };
        let whole = pass(&mut Stream::default(), &pieces.concat(), true);
        let mut stream = Stream::default();
        let mut cut: Vec<u8> =
            pieces.iter().flat_map(|piece| pass(&mut stream, piece, false)).collect();
        cut.extend(pass(&mut stream, b"", true));
        assert_eq!(cut.len(), whole.len(), "lengths are kept");
        // What differs is at most three bytes that had gone, in their own spelling.
        assert!(cut.eq_ignore_ascii_case(&whole));
        for text in TEXTS.map(|(text, _)| text.as_bytes()) {
            assert!(!cut.windows(text.len()).any(|window| window == text), "{cut:?}");
        }
    });
}

#[test]
fn decoding_undoes_encoding_and_never_grows() {
    check!().with_generator(produce::<Vec<u8>>()).for_each(|bytes| {
        assert_eq!(&decoded_bytes(encoded(bytes).as_bytes()), bytes);
        assert!(decoded_bytes(bytes).len() <= bytes.len());
    });
}

/// What signatures are made of.
const PIECES: [&str; 18] = [
    "AWS4-HMAC-SHA256 ",
    "Credential=",
    "AKIAIOSFODNN7EXAMPLE",
    "/20130524/us-east-1/s3/aws4_request",
    "/",
    ",",
    ", ",
    ";",
    "=",
    "SignedHeaders=",
    "host",
    "x-amz-date",
    "Signature=",
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    "STREAMING-",
    "%",
    "&X-Amz-Signature=",
    "&X-Amz-Algorithm=AWS4-HMAC-SHA256",
];

#[test]
fn nothing_is_signed_that_was_not_signed_inside() {
    let key = |id, text| AwsKey { id: secret(id), secret: secret(text), session: None };
    let inside = key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let outside = key("AKIAREALREALREALREAL", "RealRealRealRealReal/RealReal+RealRealRe");
    check!().with_generator(produce::<(Vec<u8>, Vec<u8>)>()).for_each(|(one, two)| {
        let text = |numbers: &[u8]| -> String {
            numbers.iter().map(|n| PIECES[usize::from(*n) % PIECES.len()]).collect()
        };
        let request = request("GET https://examplebucket.s3.amazonaws.com:443/test.txt");
        let headers = [("authorization", &*text(one)), ("x-amz-date", "20130524T000000Z")];
        let mut draft = draft(&request, &headers);
        draft.query = Some(text(two));
        // No guess is a signature by the placeholder's key.
        assert!(!matches!(aws::sign(&request, &mut draft, &inside, &outside), Ok(Some(_))));
        assert!(!format!("{draft:?}").contains("AKIAREAL"));
    });
}
