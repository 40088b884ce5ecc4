//! Programs that run another one that is named among their arguments: `env`,
//! `timeout`, `find -exec`, `sh -c`, `ld.so`, …
//!
//! Most of them call `execve`, and what they run is judged again there. The rest
//! ([`Hidden`]) have to be seen through when they start themselves.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::attempt::{Exec, Stdin};
use crate::shell::Doubt;

mod options;
mod shells;

#[cfg(test)]
mod tests;

pub(crate) use shells::{Reader, reads_script};

include!(concat!(env!("OUT_DIR"), "/wrappers.rs"));

/// What an attempt would run besides its own program.
#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) runs: Vec<Run>,
    pub(crate) doubts: Vec<Doubt>,
    /// From which argument on any may be the beginning of a command, where it is
    /// not known which is.
    pub(crate) suspects: Option<usize>,
    /// Whether no later verdict is about what it runs.
    pub(crate) hidden: Option<Hidden>,
}

#[derive(Debug)]
pub(crate) enum Run {
    Command(Exec),
    /// A text for a shell that is started as `by` says: its directory, variables
    /// and input.
    Text {
        text: OsString,
        by: Exec,
    },
}

/// How a program runs another one without `execve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// It maps the program and jumps into it.
    Program,
    /// It has the program within itself.
    Applet,
}

#[derive(Debug)]
struct Row {
    flags: &'static [&'static str],
    values: &'static [&'static str],
    texts: &'static [&'static str],
    directories: &'static [&'static str],
    splits: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    quits: &'static [&'static str],
    numbers: bool,
    after: &'static [&'static str],
    operands: usize,
    assignments: bool,
    runs: Runs,
    doubt: Option<&'static str>,
    hidden: Option<Hidden>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    Command,
    Joined,
    Nothing,
}

/// What an attempt runs besides its own program, as far as its arguments say.
pub(crate) fn inner(exec: &Exec) -> Inner {
    let mut inner = Inner::default();
    let known = names(exec);
    for row in rows(&known) {
        options::apply(row, exec, &mut inner);
    }
    if known.iter().any(|name| matches!(*name, b"find" | b"gfind" | b"bfs")) {
        found(exec, &mut inner);
    }
    shells::texts(exec, &known, &mut inner);
    inner
}

/// Like [`inner`], for programs that no later verdict is about what they run; one
/// look at the names for all others.
pub(crate) fn hidden(exec: &Exec) -> Option<Inner> {
    let known = names(exec);
    let hides = rows(&known).iter().any(|row| row.hidden.is_some());
    hides.then(|| inner(exec)).filter(|inner| inner.hidden.is_some())
}

/// Whether a program of this name runs another one without an `execve`.
pub(crate) fn hides(path: &Path) -> bool {
    rows(&[last_part(path.as_os_str())]).iter().any(|row| row.hidden.is_some())
}

/// The rows about a program of one of these names, each once.
fn rows(names: &[&[u8]]) -> Vec<&'static Row> {
    let mut numbers = Vec::new();
    for name in names {
        let from = NAMES.partition_point(|(known, _)| known.as_bytes() < *name);
        let exact = NAMES[from..].iter().take_while(|(known, _)| known.as_bytes() == *name);
        let begun =
            BEGINNINGS.iter().filter(|(beginning, _)| name.starts_with(beginning.as_bytes()));
        numbers.extend(exact.chain(begun).map(|(_, number)| *number));
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|number| &ROWS[number]).collect()
}

/// Whether this is a program that passes on what it reads, and runs none of it.
pub(crate) fn is_reader(exec: &Exec) -> bool {
    let last = last_part(exec.path.as_os_str());
    READERS.iter().any(|name| name.as_bytes() == last)
}

/// The program at the end of a chain of wrappers, by the name it is called by.
pub(crate) fn innermost(exec: &Exec) -> PathBuf {
    let mut exec = exec.clone();
    for _ in 0..DEEPEST {
        match inner(&exec).runs.pop() {
            Some(Run::Command(next)) => exec = next,
            _ => break,
        }
    }
    exec.program.unwrap_or(exec.path)
}

/// How many wrappers in each other are looked through.
pub(crate) const DEEPEST: usize = 24;

/// The commands of `find … -exec … ;`. The names of found files are put in, and
/// they are known only when it runs.
fn found(exec: &Exec, inner: &mut Inner) {
    let mut words = exec.argv.iter().skip(1).enumerate();
    while let Some((at, word)) = words.next() {
        if !matches!(word.as_bytes(), b"-exec" | b"-execdir" | b"-ok" | b"-okdir") {
            continue;
        }
        let end = |(_, word): &(usize, &OsString)| !matches!(word.as_bytes(), b";" | b"+");
        let command: Vec<OsString> =
            words.by_ref().take_while(end).map(|(_, word)| word.clone()).collect();
        let what = exec.argv[at + 1].to_string_lossy();
        inner.doubts.push(Doubt::new(&what, "the names of found files are put in when it runs"));
        inner.runs.extend(command_of(exec, command).map(Run::Command));
    }
}

/// An attempt to run these words as the one before was tried. None for no words.
fn command_of(by: &Exec, argv: Vec<OsString>) -> Option<Exec> {
    let path = PathBuf::from(argv.first()?);
    Some(Exec { path, program: None, argv, copy_of: Vec::new(), ..by.clone() })
}

/// Gives it a variable; the last value of a name counts. All names are kept here;
/// who judges it knows which of them matter.
pub(crate) fn set(exec: &mut Exec, name: OsString, value: OsString) {
    exec.environment.retain(|(known, _)| *known != name);
    let at = exec.environment.partition_point(|(known, _)| *known < name);
    exec.environment.insert(at, (name, value));
}

/// Every name under which a program may be known.
fn names(exec: &Exec) -> Vec<&[u8]> {
    let paths = [Some(exec.path.as_path()), exec.program.as_deref()];
    let paths = paths.into_iter().flatten().chain(exec.copy_of.iter().map(PathBuf::as_path));
    let claimed = exec.argv.first().map(|word| last_part(word));
    let mut names: Vec<&[u8]> =
        paths.map(|path: &Path| last_part(path.as_os_str())).chain(claimed).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a name is this one, or begins as it says before a `*`.
fn is_called(name: &[u8], pattern: &str) -> bool {
    // A shell at login is told so by a `-` before its name.
    let name = name.strip_prefix(b"-").filter(|rest| !rest.is_empty()).unwrap_or(name);
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

fn last_part(path: &OsStr) -> &[u8] {
    let path = path.as_bytes();
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    path[..end].rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// Whether nobody can put a script there.
fn gives_nothing(stdin: Stdin) -> bool {
    matches!(stdin, Stdin::Nothing | Stdin::Terminal)
}
