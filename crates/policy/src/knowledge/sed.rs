//! Scripts for `sed`, read far enough to see whether they run something.
//!
//! SOURCE: sed(1) and the GNU sed manual, sections 2 to 4.

use super::words::Line;

/// Whether one of its scripts runs a command, or cannot be read.
pub(super) fn runs(line: &Line<'_>) -> bool {
    scripts(line).any(|script| read(script).unwrap_or(true))
}

/// Whether its scripts print or leave out lines by their numbers, and do nothing else.
pub(super) fn only_prints(line: &Line<'_>) -> bool {
    scripts(line).all(|script| script.iter().all(|b| b"0123456789,$;pdq=! ".contains(b)))
}

/// What it is given with `-e`; without one before it, the first operand.
fn scripts<'s, 'a>(line: &'s Line<'a>) -> impl Iterator<Item = &'a [u8]> + 's {
    const GIVEN: [&str; 4] = ["-e", "-f", "--expression", "--file"];
    let first = line.operands(0).next();
    let before = line.words.iter().take_while(|word| Some(word.text) != first);
    let elsewhere = before.into_iter().any(|word| GIVEN.iter().any(|option| word.could_be(option)));
    line.values_of(&["-e", "--expression"], false).chain(first.filter(|_| !elsewhere))
}

/// Whether a script runs a command. None if it cannot be read.
fn read(script: &[u8]) -> Option<bool> {
    let mut rest = script;
    loop {
        rest = past(rest, |b| b.is_ascii_whitespace() || b";{}".contains(&b));
        if rest.is_empty() {
            return Some(false);
        }
        rest = address(rest)?;
        let (command, after) = rest.split_first()?;
        rest = match command {
            b'e' => return Some(true),
            b's' => {
                let (delimiter, after) = after.split_first()?;
                let after = delimited(delimited(after, *delimiter)?, *delimiter)?;
                let flags = after.len() - past(after, |b| b"gpiImMe0123456789".contains(&b)).len();
                let (flags, after) = after.split_at(flags);
                if flags.contains(&b'e') {
                    return Some(true);
                }
                if after.first() == Some(&b'w') { line_end(after) } else { end(after)? }
            }
            b'y' => {
                let (delimiter, after) = after.split_first()?;
                end(delimited(delimited(after, *delimiter)?, *delimiter)?)?
            }
            b'a' | b'i' | b'c' => text_end(after),
            b'r' | b'R' | b'w' | b'W' | b'#' => line_end(after),
            b'b' | b't' | b'T' | b':' | b'v' => {
                past(after, |b| b != b'\n' && b != b';' && b != b'}')
            }
            b'q' | b'Q' | b'l' | b'L' => end(past(after, |b| b.is_ascii_digit() || b == b' '))?,
            b'd' | b'D' | b'g' | b'G' | b'h' | b'H' | b'n' | b'N' | b'p' | b'P' | b'x' | b'z'
            | b'=' | b'F' => end(after)?,
            b'{' | b'}' => after,
            _ => return None,
        };
    }
}

/// What follows the addresses of a command.
fn address(script: &[u8]) -> Option<&[u8]> {
    let mut rest = script;
    loop {
        rest = match rest {
            [b'/', after @ ..] => past(delimited(after, b'/')?, |b| b == b'I' || b == b'M'),
            [b'\\', delimiter, after @ ..] => {
                past(delimited(after, *delimiter)?, |b| b == b'I' || b == b'M')
            }
            [b'0'..=b'9' | b'$' | b',' | b'+' | b'~' | b'!' | b' ' | b'\t', after @ ..] => after,
            _ => return Some(rest),
        };
    }
}

/// What follows the next delimiter that no backslash takes its meaning from.
fn delimited(script: &[u8], delimiter: u8) -> Option<&[u8]> {
    let mut escaped = false;
    let at = script.iter().position(|b| {
        let ends = *b == delimiter && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    })?;
    Some(&script[at + 1..])
}

/// The end of a command, which nothing but another command may follow.
fn end(script: &[u8]) -> Option<&[u8]> {
    let rest = past(script, |b| b == b' ' || b == b'\t');
    matches!(rest.first(), None | Some(b';' | b'\n' | b'}' | b'#')).then_some(rest)
}

fn line_end(script: &[u8]) -> &[u8] {
    past(script, |b| b != b'\n')
}

/// The end of a text, whose lines end in backslashes but for the last.
fn text_end(script: &[u8]) -> &[u8] {
    let mut escaped = false;
    past(script, |b| {
        let goes_on = b != b'\n' || escaped;
        escaped = b == b'\\' && !escaped;
        goes_on
    })
}

fn past(text: &[u8], mut passes: impl FnMut(u8) -> bool) -> &[u8] {
    let at = text.iter().position(|b| !passes(*b)).unwrap_or(text.len());
    &text[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_runs_something_is_told_from_one_that_edits() {
        let check =
            |script: &str, expected| assert_eq!(read(script.as_bytes()), expected, "{script}");
        for script in [
            "1,50p",
            "s/a/b/g",
            "s|a/b|c\\|d|",
            "/x/,/y/d",
            "$!N;P;D",
            "s/e/x/;s/x/e/",
            "/e/d",
            "y/e/f/",
            "1a e",
            "a\\\nid\\\ne\np",
            ":a;N;$!ba;s/\\n/ /g",
            "/a/{s/b/c/;p}",
            "\\,e,Id",
            "2q",
            "1~2p",
            "s/x/y/w e",
            "# e",
            "",
            "0,/x/s//y/",
        ] {
            check(script, Some(false));
        }
        for script in [
            "e",
            "1e id",
            "s/.*/id/e",
            "s/a/b/ge",
            "/x/e",
            "p;e",
            "$!e id",
            "{e}",
            "a x\ne",
            "s,a,b,;1!e",
        ] {
            check(script, Some(true));
        }
        for script in ["s/a", "s/a/b/k", "?", "pe", "y/a"] {
            check(script, None);
        }
    }
}
