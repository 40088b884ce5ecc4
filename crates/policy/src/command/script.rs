//! Does an interpreter read its script from standard input?

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use super::names::Names;
use crate::attempt::{Exec, Stdin};

/// Whether what this program runs comes from its standard input. `None` where that
/// is not known: of interpreters that are not listed here, when they have options.
pub(super) fn is_on_stdin(exec: &Exec) -> Option<bool> {
    let arguments = exec.argv.get(1..).unwrap_or_default();
    match (asks_for_stdin(Family::of(exec), arguments), exec.stdin) {
        (Some(false), _) | (_, Stdin::Nothing | Stdin::Terminal) => Some(false),
        (None, _) | (_, Stdin::Unknown) => None,
        (Some(true), Stdin::File | Stdin::Pipe | Stdin::Socket) => Some(true),
    }
}

/// How an interpreter reads its options.
///
/// SOURCE: bash(1), dash(1), zshmisc(1), python(1), perlrun(1), ruby(1), node(1).
struct Family {
    /// Letters with which a text, a module or a file is given instead.
    given: &'static [u8],
    /// Letters with a value, in the same word or the next.
    valued: &'static [u8],
    long_valued: &'static [&'static [u8]],
    long_given: &'static [&'static [u8]],
    /// Letters that say: on standard input.
    stdin: &'static [u8],
}

const SHELL: Family = Family {
    given: b"c",
    valued: b"oO",
    long_valued: &[b"--rcfile", b"--init-file"],
    long_given: &[],
    stdin: b"s",
};
const PYTHON: Family = Family {
    given: b"cm",
    valued: b"WX",
    long_valued: &[b"--check-hash-based-pycs"],
    long_given: &[],
    stdin: b"",
};
const OTHER: Family = Family {
    given: b"eE",
    valued: b"rIMmC",
    long_valued: &[b"--require", b"--import", b"--loader", b"--conditions"],
    long_given: &[b"--eval", b"--print"],
    stdin: b"",
};

impl Family {
    fn of(exec: &Exec) -> Option<Self> {
        let names: Vec<_> = Names::of(exec).any().map(bare).collect();
        let is =
            |known: &[&str]| names.iter().any(|name| known.iter().any(|k| k.as_bytes() == *name));
        if is(&["sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "mksh"]) {
            Some(SHELL)
        } else if is(&["python", "pypy"]) {
            Some(PYTHON)
        } else if is(&["perl", "ruby", "node", "nodejs"]) {
            Some(OTHER)
        } else {
            None
        }
    }
}

/// `python` of `python3.12`, `bash` of `-bash`.
fn bare(name: &[u8]) -> &[u8] {
    let name = name.strip_prefix(b"-").unwrap_or(name);
    let version = |b: &u8| !(b.is_ascii_digit() || *b == b'.');
    &name[..name.iter().rposition(version).map_or(0, |last| last + 1)]
}

/// What the arguments say: the script is on standard input, or it is elsewhere.
fn asks_for_stdin(family: Option<Family>, arguments: &[OsString]) -> Option<bool> {
    let mut words = arguments.iter().map(|word| word.as_bytes());
    while let Some(word) = words.next() {
        match word {
            b"-" => return Some(true),
            b"--" => return Some(words.next().is_none_or(names_stdin)),
            word if !word.starts_with(b"-") && !word.starts_with(b"+") => {
                return Some(names_stdin(word));
            }
            _ => {}
        }
        let family = family.as_ref()?;
        if word.starts_with(b"--") {
            if family.long_given.iter().any(|given| word.starts_with(given)) {
                return Some(false);
            }
            if family.long_valued.contains(&word) {
                words.next();
            }
            continue;
        }
        for (at, letter) in word.iter().enumerate().skip(1) {
            if family.given.contains(letter) {
                return Some(false);
            }
            if family.stdin.contains(letter) {
                return Some(true);
            }
            if family.valued.contains(letter) {
                if at + 1 == word.len() {
                    words.next();
                }
                break;
            }
        }
    }
    Some(true)
}

fn names_stdin(word: &[u8]) -> bool {
    matches!(word, b"-" | b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0")
        || (word.starts_with(b"/proc/") && word.ends_with(b"/fd/0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, stdin: Stdin, expected: Option<bool>) {
        let argv: Vec<_> = line.split(' ').map(OsString::from).collect();
        let path = argv[0].clone().into();
        let exec = Exec { path, argv, stdin, ..Exec::default() };
        assert_eq!(is_on_stdin(&exec), expected, "{line} {stdin:?}");
    }

    #[test]
    fn a_script_is_on_standard_input_or_given() {
        check("sh", Stdin::Pipe, Some(true));
        check("sh", Stdin::File, Some(true));
        check("sh", Stdin::Terminal, Some(false));
        check("sh", Stdin::Nothing, Some(false));
        check("sh", Stdin::Unknown, None);
        check("sh -s arg", Stdin::Pipe, Some(true));
        check("bash -e", Stdin::Pipe, Some(true));
        check("bash -eo pipefail", Stdin::Pipe, Some(true));
        check("bash -o errexit", Stdin::Pipe, Some(true));
        check("/usr/bin/python3.12 -", Stdin::Pipe, Some(true));
        check("python3 -I -W error", Stdin::Socket, Some(true));
        check("bash /dev/stdin x", Stdin::Pipe, Some(true));
        check("bash -- x.sh", Stdin::Pipe, Some(false));
        check("bash --", Stdin::Pipe, Some(true));
        check("sh -lc ls", Stdin::Pipe, Some(false));
        check("python3 -m json.tool", Stdin::Pipe, Some(false));
        check("perl -ne print", Stdin::Pipe, Some(false));
        check("node x.js", Stdin::Pipe, Some(false));
        check("node --require x", Stdin::Pipe, Some(true));
        check("odd", Stdin::Pipe, Some(true));
        check("odd x", Stdin::Pipe, Some(false));
        check("odd -x", Stdin::Pipe, None);
    }
}
