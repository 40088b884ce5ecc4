//! What holds for every command there could be.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;

use bolero::{check, produce};

use super::tests::{exec, place};
use super::*;

/// What dangerous and harmless commands are made of.
const WORDS: [&str; 40] = [
    "git",
    "rm",
    "sort",
    "sed",
    "python3",
    "kubectl",
    "find",
    "tar",
    "docker",
    "-rf",
    "-C",
    "--",
    "-c",
    "--force",
    "--forc",
    "push",
    "delete",
    "publish",
    ".",
    "..",
    "/",
    "/*",
    "~",
    ".git",
    "target",
    "-o",
    "-m",
    "-e",
    "1e id",
    "s/a/b/",
    "-exec",
    "-delete",
    "-name",
    "*",
    "core.pager=x",
    "+main",
    ":x",
    "-",
    "--output=f",
    "~/.ssh/id_rsa",
];

/// What an argument may be that is added behind.
const MORE: [&str; 12] = [
    "x",
    "-x",
    "-v",
    "--verbose",
    "--dry-run",
    "--help",
    "--unheard-of",
    "-n",
    "./a",
    "--x=y",
    "",
    "-",
];

const HARMFUL: &str = include_str!("../../tests/corpus/harmful.txt");

fn bytes(words: &[Vec<u8>]) -> Vec<OsString> {
    words.iter().cloned().map(OsString::from_vec).collect()
}

fn asks(exec: &Exec) -> Option<Risk> {
    let first = findings(exec, &place()).into_iter().next()?;
    (first.risk > Risk::Low).then_some(first.risk)
}

fn lawful(exec: &Exec) {
    let found = findings(exec, &place());
    assert!(found.is_sorted_by(|a, b| a.risk >= b.risk), "{found:?}");
    assert!(found.iter().all(|finding| !finding.reason.contains("{where}")), "{found:?}");
    if reads_only(exec, &place()) {
        assert!(found.iter().all(|finding| finding.risk == Risk::Low), "{exec:?} {found:?}");
    }
}

#[test]
fn what_only_reads_is_never_asked_about_whatever_the_bytes() {
    let words = produce::<Vec<Vec<u8>>>().with().len(0..6usize);
    check!()
        .with_iterations(1500)
        .with_generator((words, 0..WORDS.len(), 0..WORDS.len()))
        .for_each(|(words, program, word)| {
            let mut argv = bytes(words);
            argv.insert(0, WORDS[*program].into());
            argv.insert(1, WORDS[*word].into());
            lawful(&Exec { argv, ..exec(WORDS[*program]) });
        });
    let words = produce::<Vec<usize>>().with().len(0..8usize);
    check!().with_iterations(3000).with_generator(words).for_each(|words: &Vec<usize>| {
        let words: Vec<_> = words.iter().map(|word| WORDS[word % WORDS.len()]).collect();
        lawful(&exec(&words.join(" ")));
    });
    check!().with_iterations(1000).with_type().for_each(|(name, value): &(Vec<u8>, Vec<u8>)| {
        let environment =
            vec![(OsString::from_vec(name.clone()), OsString::from_vec(value.clone()))];
        lawful(&Exec { environment, ..exec("git log") });
        for known in ["GIT_PAGER", "NODE_OPTIONS", "LD_PRELOAD"] {
            let environment = vec![(known.into(), OsString::from_vec(value.clone()))];
            lawful(&Exec { environment, ..exec("git log") });
        }
    });
}

/// `sed x -e y` takes another word for its script than `sed x`, and `x -- y` no
/// options any more: these are other commands, and no addition. A program that is
/// given `--help` and nothing else only says what it is.
#[test]
fn an_argument_added_behind_never_takes_a_question_away() {
    let dangerous: Vec<_> = HARMFUL
        .lines()
        .filter(|line| !line.starts_with(['#', '{']) && !line.is_empty() && !line.contains('|'))
        .filter(|line| asks(&exec(line)).is_some())
        .collect();
    assert!(dangerous.len() > 300, "{} commands are too few", dangerous.len());
    let more = produce::<Vec<usize>>().with().len(1..4usize);
    check!().with_iterations(3000).with_generator((0..dangerous.len(), more)).for_each(
        |(line, more)| {
            let line = dangerous[*line];
            let mut added = exec(line);
            added.argv.extend(more.iter().map(|word| OsString::from(MORE[word % MORE.len()])));
            if added.argv[1..] == ["--help"] {
                return;
            }
            assert!(asks(&added) >= asks(&exec(line)), "{line}: {:?}", added.argv);
        },
    );
}

/// A quadratic reading would take minutes.
#[test]
fn tens_of_thousands_of_arguments_are_read_at_once() {
    for program in ["git", "find", "python3", "sed", "docker"] {
        for word in ["-x", "x", "--long", "../.ssh/x", "-exec"] {
            let mut many = exec(program);
            many.argv.extend(std::iter::repeat_n(OsString::from(word), 20_000));
            let _ = findings(&many, &place());
        }
    }
}

#[test]
fn names_of_any_bytes_are_telling_or_not() {
    check!().with_iterations(1000).with_type().for_each(|name: &Vec<u8>| {
        let name = OsString::from_vec(name.clone());
        let _ = is_telling(&name);
        assert!(is_telling(OsStr::new("LD_PRELOAD")));
    });
}
