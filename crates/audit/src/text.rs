//! Bytes of the outside world as JSON text, without loss.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// A path or an argument: bytes that are usually, not always, UTF-8.
///
/// Written down, a backslash becomes `\\` and a byte that is not part of valid
/// UTF-8 becomes `\x` and two lower-case hexadecimal digits. Everything else
/// stays. Each byte string has exactly one such form, and reading accepts no
/// other. (JSON then escapes the backslashes once more.)
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Vec<u8>);

impl Text {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The written form, before JSON.
    pub fn escaped(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.contains('\\') => Cow::Borrowed(text),
            _ => Cow::Owned(escape(&self.0)),
        }
    }

    /// Reads the written form back. None if it is not one.
    pub fn unescape(written: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(written.len());
        let mut rest = written;
        while let Some((plain, tail)) = rest.split_once('\\') {
            bytes.extend_from_slice(plain.as_bytes());
            if let Some(tail) = tail.strip_prefix('\\') {
                bytes.push(b'\\');
                rest = tail;
            } else {
                let digits = tail.strip_prefix('x')?.get(..2)?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[3..];
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        let text = Self(bytes);
        // `\x41`, `\xFF` or a valid character byte by byte would be second forms.
        (text.escaped() == written).then_some(text)
    }
}

fn escape(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut written = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for (n, part) in chunk.valid().split('\\').enumerate() {
            if n > 0 {
                written.push_str(r"\\");
            }
            written.push_str(part);
        }
        for byte in chunk.invalid() {
            let _ = write!(written, "\\x{byte:02x}");
        }
    }
    written
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_os_str(), f)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&OsStr> for Text {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<OsString> for Text {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl From<&Path> for Text {
    fn from(path: &Path) -> Self {
        path.as_os_str().into()
    }
}

impl From<Text> for OsString {
    fn from(text: Text) -> OsString {
        OsString::from_vec(text.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.escaped())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<'de, str>::deserialize(deserializer)?;
        Self::unescape(&written)
            .ok_or_else(|| D::Error::custom("a backslash must be `\\\\` or a byte like `\\xff`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], written: &str) {
        let text = Text(bytes.to_vec());
        assert_eq!(text.escaped(), written);
        assert_eq!(Text::unescape(written), Some(text));
    }

    #[test]
    fn every_byte_string_has_one_written_form() {
        check(b"", "");
        check(b"plain", "plain");
        check("grün\n\u{2028}".as_bytes(), "grün\n\u{2028}");
        check(br"a\b", r"a\\b");
        check(br"\xff", r"\\xff");
        check(b"\xff", r"\xff");
        check(b"a\xc3", r"a\xc3");
        check(b"\xed\xa0\x80\\", r"\xed\xa0\x80\\");
    }

    #[test]
    fn a_second_form_is_not_read() {
        for written in [r"\", r"\x", r"\xf", r"\xFF", r"\x41", r"\n", r"\xc3\xa4", r"\x+f", r"\xé"]
        {
            assert_eq!(Text::unescape(written), None, "{written}");
        }
    }

    #[test]
    fn any_two_bytes_survive_the_way_there_and_back() {
        for a in 0..=255 {
            for b in 0..=255 {
                let text = Text(vec![a, b]);
                assert_eq!(Text::unescape(&text.escaped()), Some(text));
            }
        }
    }
}
