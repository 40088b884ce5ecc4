//! Paths of requests: patterns, and the ways in which a server may read a path.
//!
//! Between us and what acts on a request stand parsers that we do not know. Some
//! decode twice, some take `%2f` or `\` for `/`, some resolve `..` before they
//! decode. So a path is judged by all of its **readings**: a restriction applies
//! if any of them matches, a permission only if all of them do.
//!
//! Not read: formats and extensions (`/x.json` for `/x`), what a redirect or an
//! alias of the server's own leads to, and letters that only look alike.

use std::collections::BTreeSet;
use std::fmt;

/// Which paths a statement is about: `/repos/*/issues` (`*` within one segment),
/// `/repos/**` (it and all below it), `/exactly/this`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    text: String,
    /// In small letters, with and without what is left away at its end.
    folded: [String; 2],
}

impl PathPattern {
    /// Parses a pattern. It is written plainly, in visible ASCII, so that what is
    /// read is what is meant. The error says what a pattern looks like.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{text}` is not a path: {why}"));
        if !text.starts_with('/') {
            return wrong("it begins with `/`");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['?', '#', '%', '\\', ';'])
        {
            return wrong(
                "it is written in visible ASCII, without `%`, `\\`, `;`, `?` and `#`; \
                 the query is not part of it",
            );
        }
        let segments: Vec<_> = text[1..].split('/').collect();
        let (last, before) = segments.split_last().unwrap_or((&"", &[]));
        if before.contains(&"") || segments.iter().any(|s| matches!(*s, "." | "..")) {
            return wrong("it has no empty, `.` or `..` segment");
        }
        if before.iter().any(|s| s.contains("**")) || (last.contains("**") && *last != "**") {
            return wrong("`**` stands only at the end, as `/**`");
        }
        let folded = text.to_ascii_lowercase();
        let bare = String::from_utf8_lossy(trimmed(folded.as_bytes())).into_owned();
        Ok(Self { text: text.to_owned(), folded: [folded, bare] })
    }
}

/// Whether a path is what a pattern says, byte for byte.
fn matches(pattern: &str, path: &[u8]) -> bool {
    let mut wanted = pattern.as_bytes()[1..].split(|b| *b == b'/').peekable();
    let mut found = path.strip_prefix(b"/").unwrap_or(path).split(|b| *b == b'/');
    while let Some(pattern) = wanted.next() {
        if pattern == b"**" {
            return true;
        }
        let Some(segment) = found.next() else { return false };
        if !fits(pattern, segment) {
            return false;
        }
        if wanted.peek() == Some(&b"**".as_slice()) {
            return true;
        }
    }
    found.next().is_none()
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a segment fits a pattern in which each `*` is any text.
pub(crate) fn fits(pattern: &[u8], segment: &[u8]) -> bool {
    let mut pieces = pattern.split(|b| *b == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = segment.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.windows(piece.len().max(1)).position(|window| window == piece) {
            _ if piece.is_empty() => {}
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Bytes of a path that is read in all ways. Servers take no longer ones.
const LONGEST: usize = 8 * 1024;

/// How many readings a path may have before it is refused as unreadable. A path
/// of an honest client has one or two.
const READINGS: usize = 128;

/// A path as servers may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readings(BTreeSet<Vec<u8>>);

impl Readings {
    /// All readings of the path of a request target. None if there are too many,
    /// which takes a path made for it.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path.len() > LONGEST {
            return None;
        }
        // `*`, the server itself, is a path of one segment.
        let literal = if path == "*" { b"/*".to_vec() } else { path.as_bytes().to_vec() };
        let mut found = BTreeSet::from([literal.clone()]);
        let mut open = vec![literal];
        while let Some(path) = open.pop() {
            for rewrite in REWRITES {
                let read = rewrite(&path);
                if !found.contains(&read) {
                    found.insert(read.clone());
                    open.push(read);
                }
            }
            if found.len() > READINGS {
                return None;
            }
        }
        Some(Self(found))
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether any reading, in any case and with or without slashes, dots and
    /// blanks at its end, is what the restriction is about.
    pub(crate) fn any_is_one_of(&self, patterns: &[PathPattern]) -> bool {
        self.each().any(|path| {
            let path = path.to_ascii_lowercase();
            let bare = trimmed(&path);
            let folded = patterns.iter().flat_map(|pattern| &pattern.folded);
            folded.into_iter().any(|p| matches(p, &path) || matches(p, bare))
        })
    }
}

/// Whether one reading is what a permission is about.
pub(crate) fn is_one_of(patterns: &[PathPattern], reading: &[u8]) -> bool {
    patterns.iter().any(|pattern| matches(&pattern.text, reading))
}

/// Without slashes, dots and blanks at the end, which many servers ignore.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| !b"/. ".contains(b)).map_or(0, |at| at + 1);
    &path[..end.max(1).min(path.len())]
}

/// One step that some server takes.
type Rewrite = fn(&[u8]) -> Vec<u8>;

/// In any order, as often as they change something.
const REWRITES: [Rewrite; 9] = [
    decoded,
    decoded_but_slashes,
    slashed,
    collapsed,
    resolved,
    without_parameters,
    without_authority,
    cut,
    narrowed,
];

/// SOURCE: RFC 3986 §2.1; and `%u002f`, as some servers of Microsoft's read it.
fn decoded(path: &[u8]) -> Vec<u8> {
    decode(path, |_| true)
}

fn decoded_but_slashes(path: &[u8]) -> Vec<u8> {
    decode(path, |byte| byte != b'/' && byte != b'\\')
}

fn decode(path: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let (digits, skip) = match after {
            [b'u' | b'U', b'0', b'0', high, low, ..] => ([*high, *low], 5),
            [high, low, ..] => ([*high, *low], 2),
            _ => ([0; 2], 0),
        };
        let value = (byte == b'%').then(|| hex(digits)).flatten().filter(|byte| wanted(*byte));
        out.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[skip..] } else { after };
    }
    out
}

fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn slashed(path: &[u8]) -> Vec<u8> {
    path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect()
}

fn collapsed(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|next, before| *next == b'/' && *before == b'/');
    out
}

/// SOURCE: RFC 3986 §5.2.4.
fn resolved(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut open = false;
    for segment in path.strip_prefix(b"/").unwrap_or(path).split(|b| *b == b'/') {
        open = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    if open {
        segments.push(b"");
    }
    [b"/".as_slice(), &segments.join(&b'/')].concat()
}

/// SOURCE: RFC 3986 §3.3: `;` begins parameters of a segment.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let bare = |segment: &[u8]| segment.split(|b| *b == b';').next().unwrap_or_default().to_vec();
    path.split(|b| *b == b'/').map(bare).collect::<Vec<_>>().join(&b'/')
}

/// The path of a target that begins like a reference to another host, as a server
/// reads it that resolves the target against its own address.
///
/// SOURCE: RFC 3986 §4.2, network-path references; and the URL Standard, "special
/// authority ignore slashes state", for more slashes than two.
fn without_authority(path: &[u8]) -> Vec<u8> {
    if !path.starts_with(b"//") {
        return path.to_vec();
    }
    let bare = path.iter().position(|b| *b != b'/').map_or(&[][..], |at| &path[at..]);
    let path = bare.iter().position(|b| *b == b'/').map_or(&b"/"[..], |at| &bare[at..]);
    path.to_vec()
}

/// What is left of it where NUL ends a text, or a decoded `?` or `#` the path.
fn cut(path: &[u8]) -> Vec<u8> {
    path.split(|b| matches!(b, 0 | b'?' | b'#')).next().unwrap_or_default().to_vec()
}

/// ASCII in two bytes, which UTF-8 forbids and some decoders read; letters of
/// double width, and two that are ASCII in small; and no control characters,
/// which some readers drop.
///
/// SOURCE: Unicode, U+FF01 to U+FF5E, U+017F and U+212A.
fn narrowed(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let (read, taken) = match (byte, after) {
            (0xc0 | 0xc1, [low @ 0x80..=0xbf, ..]) => (Some((byte & 1) << 6 | (low & 0x3f)), 1),
            (0xef, [0xbc, low @ 0x81..=0xbf, ..]) => (Some(low - 0x60), 2),
            (0xef, [0xbd, low @ 0x80..=0x9e, ..]) => (Some(low - 0x20), 2),
            (0xc5, [0xbf, ..]) => (Some(b's'), 1),
            (0xe2, [0x84, 0xaa, ..]) => (Some(b'k'), 2),
            (1..=0x1f | 0x7f, _) => (None, 0),
            _ => (Some(byte), 0),
        };
        out.extend(read);
        rest = &after[taken..];
    }
    out
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
