//! The first message of TLS, read as strictly as it can be: what we take it to
//! say, every server takes it to say.

#[cfg(test)]
mod fuzz;

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What a ClientHello says that a verdict may depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The server name, as it was spelt: ASCII, not empty.
    pub(crate) name: Option<String>,
    /// There is an inner hello that only the server can read (ECH or one of its
    /// drafts), or what is made to look like one. The two cannot be told apart.
    pub(crate) encrypted: bool,
    /// The protocols offered by ALPN, in the program's order; often empty.
    pub(crate) protocols: Vec<Vec<u8>>,
}

/// Bytes that begin with a whole hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) hello: Hello,
    /// Length of the records it came in; what follows is another record's.
    pub(crate) length: usize,
}

/// Why bytes are not a hello.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("the program's first message of TLS is malformed: {0}")]
    Malformed(&'static str),
    #[error("the program began TLS and did not finish its first message")]
    Unfinished,
}

/// The longest hello that is read, in bytes. The usual ones have 200 to 2,000; a
/// resumed session adds its ticket.
pub(super) const LONGEST: usize = 64 * 1024;

/// How long a program may take over its hello, and in how many pieces it may
/// come: each piece is looked at from the beginning.
const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const PIECES: usize = 1000;

/// How much is read at once, in bytes: most hellos are shorter.
const PIECE: usize = 2048;

/// SOURCE: RFC 8446 §5.1.
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const RECORD_HEAD: usize = 5;
const LONGEST_FRAGMENT: usize = 1 << 14;

/// SOURCE: RFC 8446 §4: message types.
const CLIENT_HELLO: u8 = 1;

/// SOURCE: RFC 6066 §3, RFC 7301 §3.1.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// Extensions that hide the server name: `encrypted_client_hello` (RFC 9849), its
/// drafts' numbers, what only an inner hello has, and ESNI, from which all came.
const HIDING: [u16; 8] = [0xfe0d, 0xfe0c, 0xfe0b, 0xfe0a, 0xfe09, 0xfe08, 0xfd00, 0xffce];

/// Reads until `ahead` begins with a whole hello. What was read stays in `ahead`,
/// and may be more than the hello.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    ahead: &mut BytesMut,
) -> Result<Seen, HelloError> {
    let whole = async {
        for _ in 0..PIECES {
            if let Some(seen) = parse(ahead)? {
                return Ok(seen);
            }
            ahead.reserve(PIECE);
            if !stream.read_buf(ahead).await.is_ok_and(|length| length > 0) {
                break;
            }
        }
        Err(HelloError::Unfinished)
    };
    tokio::time::timeout(PATIENCE, whole).await.unwrap_or(Err(HelloError::Unfinished))
}

/// Reads a hello off the beginning of a connection. `None` if more is needed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Seen>, HelloError> {
    let Some((message, length)) = message(bytes)? else { return Ok(None) };
    Ok(Some(Seen { hello: hello(&message)?, length }))
}

/// The first handshake message, put together from its records, without its head;
/// and the length of those records. `None` if more is needed.
fn message(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, HelloError> {
    let mut message = Vec::new();
    let mut at = 0;
    loop {
        let Some((fragment, next)) = fragment(bytes, at)? else { return Ok(None) };
        message.extend_from_slice(fragment);
        at = next;
        let [kind, high, middle, low, rest @ ..] = message.as_slice() else { continue };
        if *kind != CLIENT_HELLO {
            return Err(HelloError::Malformed("it is no hello"));
        }
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        if length > LONGEST {
            return Err(HelloError::Malformed("it is longer than 64 KiB"));
        }
        if rest.len() > length {
            return Err(HelloError::Malformed("there is another message in its record"));
        }
        if rest.len() == length {
            return Ok(Some((message.split_off(4), at)));
        }
    }
}

/// The content of the handshake record at `at`, and where the next one begins.
fn fragment(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, HelloError> {
    let head = bytes.get(at..).unwrap_or_default();
    match head {
        [HANDSHAKE, 3, 0..=4, high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length == 0 || length > LONGEST_FRAGMENT {
                return Err(HelloError::Malformed("a record of it has an impossible length"));
            }
            Ok(rest.get(..length).map(|fragment| (fragment, at + RECORD_HEAD + length)))
        }
        [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, 0..=4] | [HANDSHAKE, 3, 0..=4, _] => {
            Ok(None)
        }
        _ => Err(HelloError::Malformed("something other than a handshake interrupts it")),
    }
}

/// SOURCE: RFC 8446 §4.1.2 and, for versions before, RFC 5246 §7.4.1.2.
fn hello(message: &[u8]) -> Result<Hello, HelloError> {
    let mut message = Reader(message);
    let [3, 1..=3] = message.take(2)? else {
        return Err(HelloError::Malformed("its version is none of TLS 1.0 to 1.3"));
    };
    let _random = message.take(32)?;
    if message.short()?.len() > 32 {
        return Err(HelloError::Malformed("its session is longer than 32 bytes"));
    }
    let suites = message.long()?;
    if suites.is_empty() || suites.len() % 2 != 0 {
        return Err(HelloError::Malformed("its list of cipher suites has an impossible length"));
    }
    if message.short()?.is_empty() {
        return Err(HelloError::Malformed("it has no compression methods"));
    }
    let mut said = Hello { name: None, encrypted: false, protocols: Vec::new() };
    if message.is_empty() {
        return Ok(said);
    }
    let mut extensions = Reader(message.long()?);
    message.end()?;
    let mut kinds = Vec::new();
    while !extensions.is_empty() {
        let kind = extensions.number()?;
        let content = Reader(extensions.long()?);
        // SOURCE: RFC 8446 §4.2: no more than one of a type.
        if kinds.contains(&kind) {
            return Err(HelloError::Malformed("it has an extension twice"));
        }
        kinds.push(kind);
        match kind {
            SERVER_NAME => said.name = Some(server_name(content)?),
            ALPN => said.protocols = protocols(content)?,
            _ => said.encrypted |= HIDING.contains(&kind),
        }
    }
    Ok(said)
}

/// Exactly one name: of two, a server may take the one that we do not.
fn server_name(mut content: Reader<'_>) -> Result<String, HelloError> {
    let mut list = Reader(content.long()?);
    content.end()?;
    let [0] = list.take(1)? else {
        return Err(HelloError::Malformed("its server name is no host name"));
    };
    let name = list.long()?;
    list.end()?;
    match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(name.to_owned())
        }
        _ => Err(HelloError::Malformed("its server name is not readable")),
    }
}

fn protocols(mut content: Reader<'_>) -> Result<Vec<Vec<u8>>, HelloError> {
    let mut list = Reader(content.long()?);
    content.end()?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let protocol = list.short()?;
        if protocol.is_empty() {
            return Err(HelloError::Malformed("it offers a protocol without a name"));
        }
        protocols.push(protocol.to_vec());
    }
    if protocols.is_empty() {
        return Err(HelloError::Malformed("its list of protocols is empty"));
    }
    Ok(protocols)
}

/// What is left to read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], HelloError> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or(HelloError::Malformed("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, HelloError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A field behind its length in one byte.
    fn short(&mut self) -> Result<&'b [u8], HelloError> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    /// A field behind its length in two bytes.
    fn long(&mut self) -> Result<&'b [u8], HelloError> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn end(&self) -> Result<(), HelloError> {
        if self.is_empty() { Ok(()) } else { Err(HelloError::Malformed("a length in it is wrong")) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Behind its length in two bytes.
    fn long(content: &[u8]) -> Vec<u8> {
        [&(content.len() as u16).to_be_bytes(), content].concat()
    }

    pub(crate) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &long(content)].concat()
    }

    pub(crate) fn named(name: &str) -> Vec<u8> {
        extension(0, &long(&[&[0], &long(name.as_bytes())[..]].concat()))
    }

    /// A handshake message with these extensions.
    pub(crate) fn message_of(extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend(long(&[0x13, 0x01]));
        body.extend([1, 0]);
        body.extend(long(&extensions.concat()));
        let length = (body.len() as u32).to_be_bytes();
        [&[CLIENT_HELLO, length[1], length[2], length[3]], &body[..]].concat()
    }

    /// In records of at most `most` bytes.
    pub(crate) fn records(message: &[u8], most: usize) -> Vec<u8> {
        message
            .chunks(most)
            .flat_map(|part| [&[HANDSHAKE, 3, 1], &long(part)[..]].concat())
            .collect()
    }

    pub(crate) fn hello_of(extensions: &[Vec<u8>]) -> Vec<u8> {
        records(&message_of(extensions), LONGEST_FRAGMENT)
    }

    #[test]
    fn a_hello_says_name_and_protocols() {
        let alpn = extension(16, &long(b"\x02h2\x08http/1.1"));
        let bytes = hello_of(&[named("api.example"), alpn]);
        let seen = parse(&bytes).expect("well-formed").expect("whole");
        assert_eq!(seen.length, bytes.len());
        assert_eq!(seen.hello.name.as_deref(), Some("api.example"));
        assert_eq!(seen.hello.protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(!seen.hello.encrypted);
    }

    #[test]
    fn a_hello_in_many_records_is_the_same() {
        let message = message_of(&[named("api.example")]);
        for most in [1, 3, 4, 5, 50, 1000] {
            let mut bytes = records(&message, most);
            let whole = bytes.len();
            bytes.extend([23, 3, 3, 0, 1, 0]);
            let seen = parse(&bytes).expect("well-formed").expect("whole");
            assert_eq!((seen.hello.name.as_deref(), seen.length), (Some("api.example"), whole));
        }
    }

    #[test]
    fn hidden_names_are_seen_to_be_hidden() {
        for kind in HIDING {
            let bytes = hello_of(&[named("front.example"), extension(kind, &[0; 40])]);
            assert!(parse(&bytes).expect("well-formed").expect("whole").hello.encrypted);
        }
    }

    #[test]
    fn what_two_servers_may_read_differently_is_malformed() {
        let check = |bytes: &[u8], why: &str| match parse(bytes) {
            Err(HelloError::Malformed(said)) => assert!(said.contains(why), "{said} / {why}"),
            other => panic!("{other:?} instead of {why}"),
        };
        let list = |names: &[u8]| extension(0, &long(names));
        check(&hello_of(&[named("a.example"), named("b.example")]), "twice");
        check(&hello_of(&[list(b"\0\0\x01a\0\0\x01b")]), "length");
        check(&hello_of(&[list(b"\x01\0\x01a")]), "no host name");
        check(&hello_of(&[list(b"\0\0\x03a\0b")]), "readable");
        check(&hello_of(&[named("a b")]), "readable");
        check(&hello_of(&[named("")]), "readable");
        check(&hello_of(&[extension(0, b"")]), "short");
        check(&hello_of(&[extension(0, &long(b"\0\0\x09a"))]), "short");
        check(&hello_of(&[extension(16, &long(b""))]), "empty");
        check(&hello_of(&[extension(16, &long(b"\0"))]), "without a name");

        let message = message_of(&[named("a.example")]);
        check(&records(&[&message[..], &message[..]].concat(), 4000), "another message");
        let interrupted = [&records(&message, 20)[..25], &[20, 3, 3, 0, 1, 1]].concat();
        check(&interrupted, "interrupts");
        check(&[22, 3, 1, 0, 0], "length");
        check(&[22, 3, 1, 0x40, 1], "length");
        check(&[22, 3, 1, 0, 4, 1, 1, 0, 1], "64 KiB");
        check(&[22, 3, 1, 0, 4, 2, 0, 0, 1], "no hello");
        check(&[22, 2], "interrupts");
        check(&records(&[&[1, 0, 0, 2], &[2, 0][..]].concat(), 100), "version");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hello_that_never_ends_is_given_up() {
        let (mut near, mut far) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut far, &[22, 3, 1]).await.expect("room");
        let read = read(&mut near, &mut BytesMut::new()).await;
        assert!(matches!(read, Err(HelloError::Unfinished)));
    }
}
