//! Laws of what is no wider.

use std::collections::BTreeMap;

use bolero::{check, produce};

use super::*;
use crate::request::{Method, Scheme, Target};

/// Words that commands are made of, so that two drawn ones are often alike.
const WORDS: [&str; 12] =
    ["a", "b", "-r", "-f", "--", "--x=1", "add", "install", "", "-", "./c", "a"];

const PROGRAMS: [&str; 6] = ["rm", "git", "pip", "cp", "mkdir", "touch"];

const PATHS: [&str; 10] =
    ["/", "/a", "/a/", "/a/b", "/a/b/c", "/a//b", "/a/../b", "/a?x", "/a/b?_method=PUT", "/a/%62"];

const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];

type Drawn = (u8, Vec<u8>, (bool, bool, bool), u8, u8);

fn exec((program, words, (cwd, variable, piped), ..): &Drawn) -> Exec {
    let program = PROGRAMS[usize::from(*program) % PROGRAMS.len()];
    let words = words.iter().take(6).map(|word| WORDS[usize::from(*word) % WORDS.len()]);
    let path = Path::new("/usr/bin").join(program);
    Exec {
        program: Some(path.clone()),
        path,
        argv: std::iter::once(program).chain(words).map(OsString::from).collect(),
        cwd: if *cwd { "/w".into() } else { "/w/a".into() },
        environment: variable.then(|| ("GIT_DIR".into(), "x".into())).into_iter().collect(),
        stdin: if *piped { crate::Stdin::Pipe } else { crate::Stdin::Nothing },
        ..Exec::default()
    }
}

fn request((_, _, (one, two, _), path, method): &Drawn) -> Request {
    let host = if *one { "a.example:443" } else { "b.example:443" };
    Request {
        connect: Connect::parse(host).expect("a host"),
        scheme: if *two { Scheme::Https } else { Scheme::Http },
        method: Method::parse(METHODS[usize::from(*method) % 3]).expect("a method"),
        target: Target::parse(PATHS[usize::from(*path) % PATHS.len()]).expect("a target"),
        overrides: Vec::new(),
    }
}

/// The same with those words left out whose bit is set, but for the first.
fn without(exec: &Exec, out: u8) -> Exec {
    let words = exec.argv.iter().enumerate();
    let kept = words.filter(|(at, _)| *at == 0 || out & (1 << (at - 1)) == 0);
    Exec { argv: kept.map(|(_, word)| word.clone()).collect(), ..exec.clone() }
}

/// Three commands, each perhaps a part of the one before, and three requests.
fn chains(drawn: &[Drawn; 3], out: [u8; 2]) -> [[Case; 3]; 2] {
    let first = exec(&drawn[0]);
    let second = without(&first, out[0]);
    let third = without(&second, out[1]);
    [[first, second, third].map(Case::Exec), drawn.each_ref().map(request).map(Case::Request)]
}

#[test]
fn everything_covers_itself_and_covering_passes_on() {
    check!().with_generator(produce::<([Drawn; 3], [u8; 2])>()).for_each(|(drawn, out)| {
        for [a, b, c] in chains(drawn, *out) {
            assert!(a.covers(&a));
            assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c), "{a:?}\n{b:?}\n{c:?}");
        }
    });
}

/// How often each word is there, and which are flags in their order.
fn words(exec: &Exec) -> (BTreeMap<&OsString, usize>, Vec<&OsString>) {
    let mut counts = BTreeMap::new();
    exec.argv.iter().for_each(|word| *counts.entry(word).or_default() += 1);
    (counts, exec.argv.iter().filter(|word| word.as_bytes().starts_with(b"-")).collect())
}

#[test]
fn what_is_covered_has_nothing_that_was_not_there() {
    // The second has words of the first left out, or is drawn by itself.
    check!().with_generator(produce::<(Drawn, Drawn, u8)>()).for_each(|(first, second, out)| {
        let a = exec(first);
        for b in [without(&a, *out), exec(second)] {
            if !Case::Exec(a.clone()).covers(&Case::Exec(b.clone())) {
                continue;
            }
            assert_eq!(Exec { argv: a.argv.clone(), ..b.clone() }, a, "all but the words");
            let ((of_a, flags), (of_b, others)) = (words(&a), words(&b));
            assert_eq!(flags, others, "every flag and no other");
            assert!(of_b.iter().all(|(word, count)| of_a.get(word) >= Some(count)));
            assert!(a == b || LISTINGS.iter().any(|it| a.argv[0] == it.program));
        }
        let (a, b) = (request(first), request(second));
        if Case::Request(a.clone()).covers(&Case::Request(b.clone())) {
            assert_eq!((&a.connect, a.scheme, a.methods()), (&b.connect, b.scheme, b.methods()));
            let (above, below) = (a.target.path(), b.target.path());
            assert!(a == b || below.starts_with(above) && !below.contains(".."));
        }
    });
}
