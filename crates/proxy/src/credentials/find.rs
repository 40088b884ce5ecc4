//! Finds fixed texts in a stream, wherever it is cut.

use std::fmt;

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::Bytes;

/// Fixed texts, and what each means.
pub(super) struct Finder<M> {
    automaton: AhoCorasick,
    texts: Vec<Vec<u8>>,
    meanings: Vec<M>,
    /// Whether some text begins with this byte.
    begins: [bool; 256],
    longest: usize,
}

/// What a stream has shown and what of it waits.
#[derive(Default)]
pub(super) struct Stream {
    /// The last bytes, which may be the beginning of a text.
    waiting: Vec<u8>,
    /// How many of them were handed on already.
    gone: usize,
}

// The texts are secrets, and what waits may be one: neither is printed.

impl<M> fmt::Debug for Finder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} texts]", self.texts.len())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes waiting]", self.waiting.len())
    }
}

/// A beginning shorter than this is handed on at once, so that a message which
/// happens to end in it is not late. Of a text that is cut there, so many bytes
/// less one stay as they are.
const WAIT_FOR: usize = 4;

impl<M> Finder<M> {
    /// Nothing if there is nothing to find. Texts are not empty.
    pub(super) fn new(texts: Vec<(Vec<u8>, M)>) -> Option<Self> {
        let (texts, meanings): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        let longest = texts.iter().map(Vec::len).max()?;
        let mut begins = [false; 256];
        for text in &texts {
            begins[usize::from(*text.first()?)] = true;
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&texts)
            .expect("a session's secrets are fewer than an automaton can hold");
        Some(Self { automaton, texts, meanings, begins, longest })
    }

    /// The first text in `whole` that `matters`.
    pub(super) fn first<'a>(&'a self, whole: &[u8], matters: impl Fn(&M) -> bool) -> Option<&'a M> {
        // Texts may overlap, so one that does not matter must not hide one that does.
        let mut from = 0;
        while let Some(found) = self.automaton.find(&whole[from..]) {
            let meaning = &self.meanings[found.pattern().as_usize()];
            if matters(meaning) {
                return Some(meaning);
            }
            from += found.start() + 1;
        }
        None
    }

    /// Where the longest end of `bytes` begins that a text continues.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let first = bytes.len().saturating_sub(self.longest - 1);
        (first..bytes.len())
            .filter(|start| self.begins[usize::from(bytes[*start])])
            .find(|start| {
                let end = &bytes[*start..];
                self.texts.iter().any(|text| text.len() > end.len() && text.starts_with(end))
            })
            .unwrap_or(bytes.len())
    }
}

impl Finder<Vec<u8>> {
    /// Replaces every text in `whole` by the one that stands for it.
    pub(super) fn replace(&self, whole: &mut [u8]) {
        let found: Vec<_> = self.automaton.find_iter(&*whole).collect();
        for found in found {
            whole[found.range()].copy_from_slice(&self.meanings[found.pattern().as_usize()]);
        }
    }
}

impl Stream {
    /// Takes the next bytes, and gives those that nothing can change any more,
    /// with every text replaced by what `judge` gives for it, which is as long.
    ///
    /// At the `last` bytes all that waited comes out. After an error the stream
    /// must not go on.
    pub(super) fn pass<'a, M, E>(
        &mut self,
        finder: &'a Finder<M>,
        chunk: Bytes,
        last: bool,
        judge: impl Fn(&'a M) -> Result<Option<&'a [u8]>, E>,
    ) -> Result<Bytes, E> {
        let joined = self.join(chunk);
        let mut open = if last { joined.len() } else { finder.open_end(&joined) };
        let mut changed: Option<Vec<u8>> = None;
        for found in finder.automaton.find_iter(&joined) {
            // A longer text may yet begin here: what is held back is looked at again.
            if found.start() >= open {
                break;
            }
            open = open.max(found.end());
            if let Some(instead) = judge(&finder.meanings[found.pattern().as_usize()])? {
                let bytes = changed.get_or_insert_with(|| joined.to_vec());
                bytes[found.range()].copy_from_slice(instead);
            }
        }
        let gone = self.gone;
        self.waiting = joined[open..].to_vec();
        let seen = gone.saturating_sub(open);
        self.gone = if self.waiting.len() < WAIT_FOR { self.waiting.len() } else { seen };
        let until = open + self.gone;
        let out = changed.map_or(joined, Bytes::from);
        Ok(out.slice(gone.min(until)..until))
    }

    /// What waited, and then the chunk.
    fn join(&mut self, chunk: Bytes) -> Bytes {
        if self.waiting.is_empty() {
            return chunk;
        }
        let mut joined = std::mem::take(&mut self.waiting);
        joined.extend_from_slice(&chunk);
        joined.into()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Texts, and what stands in for each.
    pub(in crate::credentials) fn finder(texts: &[(&str, &str)]) -> Finder<Vec<u8>> {
        let owned = |text: &str| text.as_bytes().to_vec();
        Finder::new(texts.iter().map(|(text, instead)| (owned(text), owned(instead))).collect())
            .unwrap()
    }

    /// What comes out of each piece, and at the end.
    fn passed(finder: &Finder<Vec<u8>>, pieces: &[&str]) -> Vec<String> {
        let mut stream = Stream::default();
        let mut outs = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let chunk = Bytes::copy_from_slice(piece.as_bytes());
            let last = number + 1 == pieces.len();
            let out = stream
                .pass(finder, chunk, last, |instead| Ok::<_, Infallible>(Some(instead)))
                .unwrap();
            outs.push(String::from_utf8(out.to_vec()).unwrap());
        }
        outs
    }

    #[test]
    fn a_text_is_replaced_in_one_piece_and_in_two() {
        let finder = finder(&[("SECRETS", "xxxxxxx")]);
        assert_eq!(passed(&finder, &["a SECRETS b"]), ["a xxxxxxx b"]);
        assert_eq!(passed(&finder, &["a SECRE", "TS b"]), ["a ", "xxxxxxx b"]);
        assert_eq!(passed(&finder, &["a SECRE", "T b"]), ["a ", "SECRET b"]);
        assert_eq!(passed(&finder, &["a SECRE"]), ["a SECRE"]);
        assert_eq!(passed(&finder, &["SECRETSSECRETS"]), ["xxxxxxxxxxxxxx"]);
    }

    #[test]
    fn a_short_beginning_does_not_wait_and_is_remembered() {
        let finder = finder(&[("SECRETS", "xxxxxxx")]);
        assert_eq!(passed(&finder, &["one S", "tep"]), ["one S", "tep"]);
        assert_eq!(passed(&finder, &["SEC", "RETS!"]), ["SEC", "xxxx!"]);
        assert_eq!(passed(&finder, &["S", "E", "C", "R", "E", "T", "S", "!"]).concat(), "SECxxxx!");
    }

    #[test]
    fn the_longer_of_two_texts_that_begin_alike_is_replaced_whole() {
        let finder = finder(&[("SECRET", "xxxxxx"), ("SECRET-LONGER", "yyyyyyyyyyyyy")]);
        assert_eq!(passed(&finder, &["SECRET", "-LONGER."]).concat(), "yyyyyyyyyyyyy.");
        assert_eq!(passed(&finder, &["SECRET", "-SHORT."]).concat(), "xxxxxx-SHORT.");
        assert_eq!(passed(&finder, &["SECRET"]).concat(), "xxxxxx");
    }

    #[test]
    fn a_text_that_matters_is_found_behind_one_that_does_not() {
        let finder = finder(&[("abcdef", "no"), ("defghi", "yes")]);
        let found = finder.first(b"abcdefghi", |meaning| meaning == b"yes");
        assert_eq!(found.unwrap(), b"yes");
        assert!(finder.first(b"abcde", |_| true).is_none());
    }
}
