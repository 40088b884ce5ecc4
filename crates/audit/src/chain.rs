//! The bytes of a record and how each line is tied to the one before.
//!
//! The link of a line is SHA-256 over its exact bytes without the newline. A
//! line's `prev` is the link of the line before it; the first line's `prev` is
//! SHA-256 over `remit.dev/record/v1`, a newline and the session's name. Since
//! `prev` is among the bytes that are hashed, the link of the last line, the
//! **head**, commits to every byte of every line. The head of a record without
//! lines is its first `prev`.

use std::fmt;
use std::io;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::session::SessionId;

/// The longest line, in bytes with its newline, that is written or read. The
/// kernel takes at most 6 MiB of arguments, and a byte takes at most 6 here.
pub const MAX_LINE: usize = 64 << 20;

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// The `prev` of a session's first line.
    pub fn first(session: &SessionId) -> Self {
        let hash = Sha256::new_with_prefix("remit.dev/record/v1\n");
        Self(hash.chain_update(session.as_str()).finalize().into())
    }

    /// The link of a line, given without its newline.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }

    /// One that was computed elsewhere, such as a file's.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let digits: &[u8; 64] = text.try_into().ok()?;
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(bytes))
    }

    fn hex(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        digits
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.hex()).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.hex()).expect("hexadecimal digits are ASCII"))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 lower-case hexadecimal digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
        Digest::parse(text.as_bytes())
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// Appends an event's line, newline included, to `line`.
pub fn encode(event: &Event, line: &mut Vec<u8>) {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *line, Ascii);
    event
        .serialize(&mut serializer)
        .expect("an event is strings and integers, and memory takes every byte");
    line.push(b'\n');
}

/// Reads a line, given without its newline.
pub fn decode(line: &[u8]) -> Result<Event, serde_json::Error> {
    // JSON would allow it; a line of ours never has it.
    if !is_printable(line) {
        return Err(serde_json::Error::custom("it holds a byte that is not printable ASCII"));
    }
    serde_json::from_slice(line)
}

/// JSON in printable ASCII only, so that no reader finds a line break or a
/// terminal command in it: U+0085 and U+2028 end lines for some, U+009B starts
/// a command for others.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if is_printable(fragment.as_bytes()) {
            return writer.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                writer.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

fn is_printable(bytes: &[u8]) -> bool {
    // Without an early exit, so that it is done many bytes at a time.
    bytes.iter().fold(true, |all, b| all & matches!(b, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    #[test]
    fn a_line_is_these_bytes() {
        let session: SessionId = "s".parse().expect("a name");
        let event = Event {
            seq: 3,
            time: 5,
            mono: 7,
            session,
            prev: Digest([0xab; 32]),
            event: Kind::Degraded {
                what: "a\u{7f}\u{9b}\u{2028}😀\n\"".to_owned(),
                why: String::new(),
            },
        };
        let mut line = Vec::new();
        encode(&event, &mut line);
        let expected = format!(
            "{{\"seq\":3,\"time\":5,\"mono\":7,\"session\":\"s\",\"prev\":\"{}\",\"event\":{{\"degraded\":{{\"what\":\
             \"a\\u007f\\u009b\\u2028\\ud83d\\ude00\\n\\\"\",\"why\":\"\"}}}}}}\n",
            "ab".repeat(32)
        );
        assert_eq!(String::from_utf8(line.clone()).expect("ASCII"), expected);
        assert_eq!(decode(&line[..line.len() - 1]).expect("a line of ours"), event);
    }

    #[test]
    fn an_unknown_field_or_kind_is_not_an_event() {
        let head = format!(
            "\"seq\":0,\"time\":0,\"mono\":0,\"session\":\"s\",\"prev\":\"{}\"",
            "00".repeat(32)
        );
        let check = |line: String, good: bool| {
            assert_eq!(decode(line.as_bytes()).is_ok(), good, "{line}");
        };
        let exit = "\"event\":{\"exit\":{\"status\":{\"code\":0}}}";
        check(format!("{{{head},{exit}}}"), true);
        check(format!("{{{head},{exit},\"more\":1}}"), false);
        check(format!("{{{head},{exit},{exit}}}"), false);
        check(format!("{{{head},{exit}}} x"), false);
        check(format!("{{{head},{exit}}}\r"), false);
        check(
            format!("{{{head},\"event\":{{\"exit\":{{\"status\":{{\"code\":0}},\"x\":1}}}}}}"),
            false,
        );
        check(format!("{{{head},\"event\":{{\"slept\":{{}}}}}}"), false);
        check(format!("{{{}}}", head), false);
        check(format!("{{{},{exit}}}", head.replace("00", "AA")), false);
    }

    #[test]
    fn the_first_link_is_over_the_domain_and_the_session() {
        let session: SessionId = "abc".parse().expect("a name");
        assert_eq!(Digest::first(&session), Digest::of(b"remit.dev/record/v1\nabc"));
    }
}
