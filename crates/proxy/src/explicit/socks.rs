//! SOCKS, versions 4, 4a and 5, as programs speak it. No more of it than asking
//! for a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use remit_policy::{Host, HostName, Port};

use super::{Parsed, Wrong};

/// SOURCE: RFC 1928 §3, no authentication, and user name with password.
pub(super) const NOTHING: u8 = 0;
pub(super) const PASSWORD: u8 = 2;

/// SOURCE: RFC 1928 §6; the address that was bound is nobody's business.
const GRANTED_5: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// SOURCE: SOCKS: A protocol for TCP proxy across firewalls, CONNECT.
const GRANTED_4: [u8; 8] = [0, 0x5a, 0, 0, 0, 0, 0, 0];

const GENERAL: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const UNKNOWN_COMMAND: u8 = 7;
const UNKNOWN_ADDRESS: u8 = 8;

/// How long a user's name may be in version 4, which sets no limit.
const USER_LIMIT: usize = 255;
/// A host name, and a trailing dot.
const HOST_LIMIT: usize = 254;

/// Which version is spoken, and whether the answer is yes.
pub(super) fn reply(version: u8, granted: bool) -> Vec<u8> {
    match (version, granted) {
        (4, true) => GRANTED_4.to_vec(),
        (4, false) => refused4(),
        (_, true) => GRANTED_5.to_vec(),
        (_, false) => refused5(NOT_ALLOWED),
    }
}

fn refused4() -> Vec<u8> {
    vec![0, 0x5b, 0, 0, 0, 0, 0, 0]
}

fn refused5(code: u8) -> Vec<u8> {
    vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

fn wrong5(code: u8, why: impl Into<String>) -> Wrong {
    Wrong { reply: refused5(code), why: why.into() }
}

fn wrong4(why: impl Into<String>) -> Wrong {
    Wrong { reply: refused4(), why: why.into() }
}

/// The way to sign in that is taken of those that are offered: none, if it may be.
pub(super) fn sign_in(bytes: &[u8]) -> Parsed<u8> {
    let [_version, count, rest @ ..] = bytes else { return Ok(None) };
    let Some((offered, _)) = rest.split_at_checked(usize::from(*count)) else { return Ok(None) };
    match [NOTHING, PASSWORD].into_iter().find(|way| offered.contains(way)) {
        Some(way) => Ok(Some((way, 2 + offered.len()))),
        None => Err(Wrong {
            reply: vec![5, 0xff],
            why: "it offers neither to sign in with nothing nor with a password".to_owned(),
        }),
    }
}

/// A user name and password, which are not looked at: who asks is known already.
///
/// SOURCE: RFC 1929 §2.
pub(super) fn password(bytes: &[u8]) -> Parsed<()> {
    let [version, user, rest @ ..] = bytes else { return Ok(None) };
    if *version != 1 {
        let why = "its user name and password are of an unknown version".to_owned();
        return Err(Wrong { reply: vec![1, 1], why });
    }
    let Some((_, [length, rest @ ..])) = rest.split_at_checked(usize::from(*user)) else {
        return Ok(None);
    };
    let length = usize::from(*length);
    Ok((rest.len() >= length).then_some(((), 3 + usize::from(*user) + length)))
}

/// A request of version 5.
///
/// SOURCE: RFC 1928 §4 and §5.
pub(super) fn request5(bytes: &[u8]) -> Parsed<(Host, Port)> {
    let [version, command, reserved, kind, rest @ ..] = bytes else { return Ok(None) };
    if (*version, *reserved) != (5, 0) {
        return Err(wrong5(GENERAL, "its request is not one of SOCKS 5"));
    }
    match command {
        1 => {}
        2 => return Err(wrong5(UNKNOWN_COMMAND, "`BIND` would let others in")),
        3 => return Err(wrong5(UNKNOWN_COMMAND, "`UDP ASSOCIATE`: UDP carries lookups only")),
        _ => return Err(wrong5(UNKNOWN_COMMAND, "its command is unknown")),
    }
    let whole = match kind {
        1 => rest
            .split_first_chunk::<4>()
            .map(|(four, rest)| (Ok(Host::Address(Ipv4Addr::from(*four).into())), rest)),
        4 => rest
            .split_first_chunk::<16>()
            .map(|(sixteen, rest)| (Ok(Host::Address(Ipv6Addr::from(*sixteen).into())), rest)),
        3 => rest
            .split_first()
            .and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)))
            .map(|(name, rest)| (named(name), rest)),
        _ => return Err(wrong5(UNKNOWN_ADDRESS, "its kind of address is unknown")),
    };
    let Some((host, [high, low, rest @ ..])) = whole else { return Ok(None) };
    let host = host.map_err(|why| wrong5(NOT_ALLOWED, why))?;
    let port = port([*high, *low]).map_err(|why| wrong5(NOT_ALLOWED, why))?;
    Ok(Some(((host, port), bytes.len() - rest.len())))
}

/// A request of version 4, or 4a where the address is 0.0.0.x and a name follows.
///
/// SOURCE: SOCKS 4A: a simple extension to SOCKS 4 protocol.
pub(super) fn request4(bytes: &[u8]) -> Parsed<(Host, Port)> {
    let [version, command, high, low, a, b, c, d, rest @ ..] = bytes else { return Ok(None) };
    if (*version, *command) != (4, 1) {
        return Err(wrong4("only `CONNECT` is served in SOCKS 4"));
    }
    let port = port([*high, *low]).map_err(wrong4)?;
    let Some((_, user)) = text(rest, USER_LIMIT)? else { return Ok(None) };
    let rest = &rest[user..];
    let (host, name) = match [*a, *b, *c, *d] {
        [0, 0, 0, marked] if marked != 0 => {
            let Some((name, length)) = text(rest, HOST_LIMIT)? else { return Ok(None) };
            (named(name).map_err(wrong4)?, length)
        }
        address => (Host::Address(Ipv4Addr::from(address).into()), 0),
    };
    Ok(Some(((host, port), 8 + user + name)))
}

/// Bytes that end with NUL, and their length with it.
fn text(bytes: &[u8], limit: usize) -> Parsed<&[u8]> {
    match bytes.iter().take(limit + 1).position(|byte| *byte == 0) {
        Some(end) => Ok(Some((&bytes[..end], end + 1))),
        None if bytes.len() > limit => Err(wrong4("a text in its request is too long")),
        None => Ok(None),
    }
}

fn port(bytes: [u8; 2]) -> Result<Port, String> {
    Port::try_from(u16::from_be_bytes(bytes)).map_err(|error| error.to_string())
}

/// The host that a name means: an address, if it is one as it is usually written.
fn named(name: &[u8]) -> Result<Host, String> {
    let text = std::str::from_utf8(name).map_err(|_| "the host is not text".to_owned())?;
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Host::Address(address)),
        Err(_) => HostName::parse(text).map(Host::Name).map_err(|error| error.to_string()),
    }
}
