//! What passes here, as Git itself reads it.
#![expect(clippy::disallowed_types, reason = "a test asks git what it reads")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use bolero::{check, produce};

use super::*;

/// What configurations are made of, and what makes two readers disagree.
const PIECES: [&str; 64] = [
    "[core]\n",
    "[remote \"o\"]\n",
    "[submodule \"s\"]\n",
    "[branch \"b\"]\n",
    "[user]\n",
    "[pull]\n",
    "[extensions]\n",
    "[alias]\n",
    "[include]\n",
    "[merge]\n",
    "[submodule]\n",
    "[",
    "]",
    "[core",
    "\"]",
    " \"",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    " = ",
    "=",
    "\"",
    "\"\"",
    "\\",
    "\\\n",
    "\\\"",
    "#",
    ";",
    "\0",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    ".",
    "-",
    "bare = false",
    "worktree = ../../../x",
    "pager",
    "fsmonitor = x",
    "hookspath",
    "url = https://a/b",
    "url = ",
    "ext::sh -c x",
    ":",
    "fetch = +refs/*:refs/*",
    "path = x",
    "update = checkout",
    "update = !x",
    "rebase = true",
    "name = A",
    "merge = refs/heads/m",
    "active",
    "worktreeconfig = true",
    "x = y",
    "!x",
    "::",
    "st = !x",
    "tool = x",
];

/// What Git makes of a configuration: section, subsection, name, value. `None`
/// where it refuses to read it.
fn as_git_reads(text: &[u8]) -> Option<Vec<(String, String, String, String)>> {
    let mut git = Command::new("git");
    git.args(["config", "--file", "-", "--list", "--null"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut git = git.spawn().expect("git is installed");
    git.stdin.take().expect("a pipe").write_all(text).expect("git reads");
    let done = git.wait_with_output().expect("git ends");
    if !done.status.success() {
        return None;
    }
    let entries = done.stdout.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    Some(
        entries
            .map(|entry| {
                let entry = String::from_utf8_lossy(entry);
                let (key, value) = entry.split_once('\n').unwrap_or((&entry, "true"));
                let (section, rest) = key.split_once('.').expect("a key has a section");
                let (sub, name) = rest.rsplit_once('.').unwrap_or(("", rest));
                [section, sub, name, value].map(str::to_owned).into()
            })
            .collect(),
    )
}

#[track_caller]
fn compare(text: &[u8]) {
    if check(text, b"", None).is_err() {
        return;
    }
    for (section, sub, name, value) in as_git_reads(text).unwrap_or_default() {
        let setting: Setting<'_> = (section, &sub, name, &value);
        assert!(is_harmless(&setting), "{}: git reads {setting:?}", text.escape_ascii());
    }
}

#[test]
fn git_reads_nothing_that_was_not_checked() {
    let lines = produce::<Vec<u8>>().with().len(0..24_usize);
    check!().with_iterations(2_000).with_generator(lines).for_each(|picks| {
        let text: String =
            picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]).collect();
        compare(text.as_bytes());
    });
}

/// One value in a setting that may be there: quotes, comments, continuations.
#[test]
fn git_reads_no_value_that_was_not_checked() {
    const PLACES: [&str; 5] = [
        "[remote \"o\"]\n\turl = ",
        "[submodule \"o\"]\n\tupdate = ",
        "[core]\n\tworktree = ",
        "[user]\n\tname = ",
        "[branch \"b\"]\n\tremote = ",
    ];
    let value = produce::<Vec<u8>>().with().len(0..8_usize);
    let input = (produce::<u8>(), value);
    check!().with_iterations(600).with_generator(input).for_each(|(place, picks)| {
        let place = PLACES[usize::from(*place) % PLACES.len()];
        let value: String =
            picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]).collect();
        compare(format!("{place}{value}\n").as_bytes());
    });
}

/// The harness finds what it is there to find.
#[test]
fn git_is_really_asked() {
    let read = as_git_reads(b"[core]\n\tpager = x\n").expect("git reads it");
    let expected = ["core", "", "pager", "x"].map(str::to_owned).into();
    assert_eq!(read, [expected]);
}
