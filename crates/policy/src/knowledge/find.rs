//! `find` that deletes.

use std::path::Path;

use super::targets::{self, Target};
use super::words::Word;
use crate::filesystem::Place;

/// Tests that single out files, rather than kinds of them.
const TESTS: [&[u8]; 16] = [
    b"-name",
    b"-iname",
    b"-path",
    b"-ipath",
    b"-wholename",
    b"-iwholename",
    b"-regex",
    b"-iregex",
    b"-newer",
    b"-mtime",
    b"-mmin",
    b"-atime",
    b"-amin",
    b"-ctime",
    b"-empty",
    b"-size",
];

/// What `-delete`, or a deleting `-exec`, would hit: a starting point that is not
/// to be deleted, or all of one because no test stands before it.
pub(super) fn deletes(words: &[Word<'_>], cwd: &Path, place: &Place) -> Option<Target> {
    let is_expression = |word: &&Word<'_>| {
        word.text.starts_with(b"-") && word.text.len() > 1
            || [&b"("[..], b"!", b","].contains(&word.text)
    };
    let settings = |word: &&Word<'_>| {
        [&b"-H"[..], b"-L", b"-P", b"--"].contains(&word.text) || word.text.starts_with(b"-O")
    };
    let start = words.iter().position(|word| !settings(&word)).unwrap_or(words.len());
    let length =
        words[start..].iter().position(|word| is_expression(&word)).unwrap_or(words.len() - start);
    let (points, expression) = words[start..].split_at(length);
    let at = expression.iter().enumerate().position(|(number, word)| {
        let next = expression.get(number + 1).map(|word| last_part(word.text));
        let runs = [&b"-exec"[..], b"-execdir", b"-ok", b"-okdir"].contains(&word.text);
        [&b"-delete"[..], b"-rm"].contains(&word.text)
            || (runs && next.is_some_and(|name| DELETERS.contains(&name)))
    })?;
    let before = &expression[..at];
    let points: Vec<&[u8]> = match points {
        [] => vec![b"."],
        points => points.iter().map(|word| word.text).collect(),
    };
    let loose =
        before.iter().any(|word| [&b"-o"[..], b"-or", b",", b"!", b"-not"].contains(&word.text));
    let tests = before.iter().enumerate().any(|(number, word)| {
        let value = before.get(number + 1).map_or(&b""[..], |word| word.text);
        TESTS.contains(&word.text) && (word.text == b"-empty" || !is_all(value))
    });
    points.iter().find_map(|point| match tests && !loose {
        true => targets::grave(&[point, &b"/single"[..]].concat(), cwd, place),
        false => targets::grave(point, cwd, place),
    })
}

const DELETERS: [&[u8]; 3] = [b"rm", b"shred", b"unlink"];

fn last_part(text: &[u8]) -> &[u8] {
    text.rsplit(|b| *b == b'/').next().unwrap_or(text)
}

/// A pattern that every name fits.
fn is_all(value: &[u8]) -> bool {
    value.iter().all(|b| b"*?./[]".contains(b))
}

#[cfg(test)]
mod tests {
    use super::super::table::Grammar;
    use super::super::words::Line;
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: bool) {
        let place = Place { home: "/home/alice".into(), workspace: "/home/alice/proj".into() };
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let grammar = Grammar { single: true, never_ends: true, ..Grammar::default() };
        let line_of = Line::parse(&words, grammar);
        let found = deletes(&line_of.words, Path::new("/home/alice/proj"), &place);
        assert_eq!(found.is_some(), expected, "find {line}");
    }

    #[test]
    fn what_is_singled_out_inside_the_workspace_may_go() {
        check(". -name *.pyc -delete", false);
        check(". -type d -name __pycache__ -exec rm -rf {} +", false);
        check("src -type f -empty -delete", false);
        check("target -delete", false);
        check("/tmp/x -delete", false);
        check(". -name *.pyc", false);
        check(". -delete", true);
        check("-delete", true);
        check("-- . -delete", true);
        check(". -type f -delete", true);
        check(". -delete -name *.pyc", true);
        check(". -name * -delete", true);
        check(". -name x -o -name y -delete", true);
        check(". ! -name x -delete", true);
        check(".git -name x -delete", true);
        check("/ -name *.log -delete", true);
        check("src ../other -name x -delete", true);
        check("/home/alice -exec /bin/rm {} ;", true);
    }
}
