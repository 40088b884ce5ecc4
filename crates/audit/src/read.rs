//! Reads a record line by line, without holding more than it must.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::chain::{self, MAX_LINE};
use crate::event::Event;
use crate::files;

/// The events of a record in the order of the file, as far as they can be read.
/// A last line that is not complete is left out.
///
/// This shows what the file says and does not judge whether it was changed;
/// [`verify`](crate::verify()) does.
pub fn events(
    directory: &Path,
) -> Result<impl Iterator<Item = Result<Event, ReadError>> + use<>, ReadError> {
    let path = directory.join("record.jsonl");
    let mut from = open(&path).map_err(|source| ReadError::Read { path: path.clone(), source })?;
    let mut number = 0;
    let mut line = Vec::new();
    let mut over = false;
    Ok(std::iter::from_fn(move || {
        if over {
            return None;
        }
        number += 1;
        let event = match next(&mut from, &mut line, MAX_LINE) {
            Ok(Line::Whole) => chain::decode(&line).map_err(|source| ReadError::NotAnEvent {
                path: path.clone(),
                line: number,
                source,
            }),
            Ok(Line::End | Line::Torn) => {
                over = true;
                return None;
            }
            Ok(Line::TooLong) => Err(ReadError::TooLong { path: path.clone(), line: number }),
            Err(source) => Err(ReadError::Read { path: path.clone(), source }),
        };
        over = event.is_err();
        Some(event)
    }))
}

/// Why a record cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read record `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("record `{}` line {line} is not an event; `remit log verify` tells more", path.display())]
    NotAnEvent { path: PathBuf, line: u64, source: serde_json::Error },
    #[error("record `{}` line {line} is longer than any event; `remit log verify` tells more", path.display())]
    TooLong { path: PathBuf, line: u64 },
}

pub(crate) fn open(path: &Path) -> io::Result<BufReader<File>> {
    let file = files::open(rustix::fs::CWD, path)?;
    Ok(BufReader::with_capacity(128 << 10, File::from(file)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, now in the buffer without its newline.
    Whole,
    /// The file ends without a newline after the last line.
    Torn,
    TooLong,
    End,
}

/// Reads the next line of at most `longest` bytes, newline included.
pub(crate) fn next(
    from: &mut impl BufRead,
    line: &mut Vec<u8>,
    longest: usize,
) -> io::Result<Line> {
    line.clear();
    let read = from.take(longest as u64).read_until(b'\n', line)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Line::Whole);
    }
    Ok(match read {
        0 => Line::End,
        _ if read == longest => Line::TooLong,
        _ => Line::Torn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_a_newline_and_are_bounded() {
        let mut from = &b"ab\n\n1234\n123\n12345\nx"[..];
        let mut line = Vec::new();
        let mut check = |expected: Line, text: &[u8]| {
            assert_eq!(next(&mut from, &mut line, 5).expect("memory"), expected);
            assert_eq!(line, text);
        };
        check(Line::Whole, b"ab");
        check(Line::Whole, b"");
        check(Line::Whole, b"1234");
        check(Line::Whole, b"123");
        check(Line::TooLong, b"12345");
        check(Line::Whole, b"");
        check(Line::Torn, b"x");
    }
}
