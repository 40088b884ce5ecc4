//! First messages that no client sends.

use bolero::{check, produce};

use super::tests::{V3, message};
use super::*;

const PIECES: [&[u8]; 10] = [
    b"user\0",
    b"database\0",
    b"ada\0",
    b"\0",
    b"x",
    b"options\0",
    b"\xff\0",
    b"User\0",
    b"a=b\0",
    b"user",
];

/// What a server makes of the same: it takes the last of equal names.
///
/// SOURCE: `ProcessStartupPacket` of PostgreSQL.
fn as_a_server(rest: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = rest.split(|&b| b == 0);
    let (mut user, mut database) = (vec![], vec![]);
    while let Some(name) = parts.next().filter(|name| !name.is_empty()) {
        let value = parts.next()?.to_vec();
        match name {
            b"user" => user = value,
            b"database" => database = value,
            _ => {}
        }
    }
    if database.is_empty() {
        database.clone_from(&user);
    }
    Some((user, database))
}

#[test]
fn the_noted_database_is_the_one_that_the_server_opens() {
    let picks = produce::<Vec<u8>>().with().len(0..10_usize);
    check!().with_iterations(20_000).with_generator(picks).for_each(|picks| {
        let pieces = picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]);
        let rest = pieces.collect::<Vec<_>>().concat();
        if let Ok(First::Startup { user, database }) = parse(&message(V3, &rest)) {
            let noted = (user.into_bytes(), database.into_bytes());
            assert_eq!(as_a_server(&rest), Some(noted), "{rest:?}");
        }
    });
}

#[test]
fn no_bytes_at_all_are_too_odd() {
    check!().with_iterations(10_000).for_each(|bytes: &[u8]| {
        let understood = parse(bytes).is_ok();
        assert!(!understood || begins(bytes), "{bytes:x?} is understood and not told");
    });
}
