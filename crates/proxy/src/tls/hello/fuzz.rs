//! Hellos that no library sent.

use bolero::{check, produce};

use super::tests::{extension, message_of, named, records};
use super::*;

/// What hellos are made of: extensions that matter, whole and broken.
fn piece(pick: u8) -> Vec<u8> {
    match pick % 10 {
        0 => named("api.example"),
        1 => named("evil.example"),
        2 => named("API.EXAMPLE."),
        3 => extension(0, &[0, 0]),
        4 => extension(16, b"\0\x03\x02h2"),
        5 => extension(16, b"\0\x09\x08http/1.1"),
        6 => extension(0xfe0d, &[0; 12]),
        7 => extension(43, b"\x02\x03\x04"),
        8 => vec![0, 0, 0xff, 0xff],
        _ => extension(u16::from(pick), b""),
    }
}

#[test]
fn a_hello_is_read_alike_however_it_is_cut_and_whatever_follows() {
    let input =
        (produce::<Vec<u8>>().with().len(0..6_usize), produce::<u8>(), produce::<Vec<u8>>());
    check!().with_iterations(10_000).with_generator(input).for_each(|(picks, most, after)| {
        let extensions: Vec<_> = picks.iter().map(|pick| piece(*pick)).collect();
        let message = message_of(&extensions);
        let whole = parse(&records(&message, 4000)).map(|seen| seen.map(|seen| seen.hello));
        let mut cut = records(&message, usize::from(*most).max(1));
        let length = cut.len();
        // Bytes of the next record are not looked at.
        cut.extend(after);
        match (whole, parse(&cut)) {
            (Ok(Some(whole)), Ok(Some(seen))) => {
                assert_eq!((whole, length), (seen.hello, seen.length));
            }
            (Err(_), Err(_)) => {}
            other => panic!("{other:?}"),
        }
        // What is not all there is asked for, and never read as something else.
        for end in 0..length {
            assert!(!matches!(parse(&cut[..end]), Ok(Some(_))), "at {end} of {length}");
        }
    });
}

#[test]
fn no_bytes_at_all_are_too_odd() {
    check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
        for bytes in [bytes.to_vec(), records(bytes, 4000)] {
            if let Ok(Some(seen)) = parse(&bytes) {
                assert!(seen.length <= bytes.len());
                assert!(seen.hello.name.is_none_or(|name| name.is_ascii() && !name.is_empty()));
            }
        }
    });
}
