//! Under which names a program is known, and which program really reads the
//! arguments.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::table::{ASIDE, INTERPRETERS, is_one_of};
use crate::attempt::Exec;

/// One way to see what is about to run: a program and its arguments.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) names: Vec<&'a [u8]>,
    pub(super) arguments: Vec<&'a [u8]>,
}

impl View<'_> {
    /// Whether it is only asked what it is.
    pub(super) fn only_informs(&self) -> bool {
        matches!(self.arguments.as_slice(), [b"--help" | b"--version"])
    }
}

/// The program itself under all its names; and what it is a mere vessel for:
/// `git-push` is `git push`, `python -m twine` and `node …/npm-cli.js` are
/// `twine` and `npm`.
pub(super) fn views(exec: &Exec) -> Vec<View<'_>> {
    let names = of(exec);
    let arguments: Vec<_> = exec.argv.iter().skip(1).map(|word| word.as_bytes()).collect();
    let mut views = Vec::with_capacity(1);
    for name in &names {
        if let Some(subcommand) = name.strip_prefix(b"git-") {
            let arguments = std::iter::once(subcommand).chain(arguments.iter().copied());
            views.push(View { names: vec![b"git"], arguments: arguments.collect() });
        }
    }
    if names.iter().any(|name| is_one_of(name, INTERPRETERS)) {
        views.extend(carried(&arguments));
    }
    views.insert(0, View { names, arguments });
    views
}

/// The last parts of every path it goes by, once each. Several names of one file of
/// the system are several programs: `ex` is `vim`, and does other things.
pub(super) fn of(exec: &Exec) -> Vec<&[u8]> {
    let claimed = exec.argv.first().map(|word| Path::new(word.as_os_str()));
    let paths = [Some(exec.path.as_path()), exec.program.as_deref(), claimed];
    let is_systems = exec.program.as_deref().is_some_and(super::is_systems_own);
    let copies = exec.copy_of.iter().filter(|_| !is_systems).map(|path| path.as_path());
    let mut names: Vec<&[u8]> = Vec::with_capacity(2);
    for path in paths.into_iter().flatten().chain(copies) {
        let name = name_of(path);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

pub(super) fn name_of(path: &Path) -> &[u8] {
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    // SOURCE: proc_pid_exe(5); a login shell is called with a dash.
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    name.strip_prefix(b"-").unwrap_or(name)
}

/// The module or script that an interpreter is given.
fn carried<'a>(arguments: &[&'a [u8]]) -> Option<View<'a>> {
    let view = |name, rest: &[&'a [u8]]| View { names: vec![name], arguments: rest.to_vec() };
    let mut rest = arguments;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        match *word {
            // `-mtwine`; and `-m twine`, or `-Im twine`.
            [b'-', b'm', module @ ..] if !module.is_empty() => {
                return Some(view(top(module), rest));
            }
            [b'-', letters @ .., b'm'] if letters.iter().all(u8::is_ascii_alphabetic) => {
                let (module, rest) = rest.split_first()?;
                return Some(view(top(module), rest));
            }
            [b'-', ..] if is_one_of(word, ASIDE) => rest = rest.get(1..).unwrap_or_default(),
            [b'-', ..] => {}
            script => {
                let name = name_of(Path::new(OsStr::from_bytes(script)));
                return Some(view(stem(name), rest));
            }
        }
    }
    None
}

/// `pip._internal` is `pip`.
fn top(module: &[u8]) -> &[u8] {
    module.split(|b| *b == b'.').next().unwrap_or(module)
}

/// `npm-cli.js` is `npm`.
fn stem(name: &[u8]) -> &[u8] {
    const ENDINGS: [&[u8]; 7] = [b".js", b".cjs", b".mjs", b".py", b".pl", b".rb", b".php"];
    let plain = ENDINGS.iter().find_map(|ending| name.strip_suffix(*ending)).unwrap_or(name);
    plain.strip_suffix(b"-cli").unwrap_or(plain)
}
