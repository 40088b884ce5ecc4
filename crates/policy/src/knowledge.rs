//! What is known about programs: which only read, which arguments stop them doing
//! only that, which are dangerous, and why. The facts are in `data/commands/`.
//!
//! It is for fewer and better questions. It contains nothing; that is the
//! boundary's work. It sees names and arguments: what a script or an interpreter
//! does after it started is judged when it starts something else.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::attempt::Exec;
use crate::basis::Basis;
use crate::filesystem::Place;
use crate::layers::Force;

mod find;
#[cfg(test)]
mod fuzz;
mod glob;
mod names;
mod pipes;
mod rows;
mod sed;
mod settings;
mod table;
mod targets;
#[cfg(test)]
mod tests;
mod variables;
mod words;

use glob::glob;
use names::View;
use table::About;
use words::Line;

/// How bad it would be, were it not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Worth saying, not worth asking.
    Low,
    /// Asked, unless a rule of the user's or the system's allows it.
    Medium,
    /// Asked of a person, unless a requirement of the system's allows it.
    High,
}

/// Something known about one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The risk class, in words joined by hyphens: `recursive-deletion`.
    pub class: String,
    pub risk: Risk,
    /// One sentence for a person.
    pub reason: String,
    /// Whether what it does can be taken back afterwards, and how; absent where
    /// nobody knows.
    pub undo: Option<String>,
}

impl Finding {
    /// Whether it is asked about although a statement of this force allows it in
    /// particular.
    pub(crate) fn asks_although(&self, allowed_by: Option<Force>) -> bool {
        match self.risk {
            Risk::Low => false,
            Risk::Medium => allowed_by < Some(Force::Choice),
            Risk::High => allowed_by < Some(Force::Requirement),
        }
    }

    pub(crate) fn basis(&self) -> Basis {
        let mut basis = Basis::built_in(format!("commands: {}", self.class));
        basis.justification = Some(self.reason.clone());
        basis
    }
}

/// What is known about an attempt, gravest first, each class once.
///
/// Takes time linear in the arguments.
pub(crate) fn findings(exec: &Exec, place: &Place) -> Vec<Finding> {
    let exec = &*settings::told(exec);
    let views = names::views(exec);
    let mut findings = Vec::new();
    let own_part = is_part_of_git(exec);
    for view in views.iter().filter(|view| !own_part && !view.only_informs()) {
        for about in view.names.iter().flat_map(|name| About::of(name)) {
            let line = Line::parse(&view.arguments, about.grammar());
            findings
                .extend(about.rows().filter_map(|row| rows::finding(row, &line, &exec.cwd, place)));
        }
        findings.extend(pipes::findings(exec, view));
    }
    let View { names, arguments } = &views[0];
    findings.extend(targets::secrets(names, arguments, &exec.cwd, place));
    let names: Vec<_> = views.iter().flat_map(|view| view.names.iter().copied()).collect();
    // What Git was started with has been judged; it hands that on, and adds its own.
    for (name, value) in exec.environment.iter().filter(|_| !own_part) {
        let variable = variables::named(name).filter(|variable| variable.matters(value, &names));
        findings.extend(variable.and_then(|variable| variable.finding(name, value)));
    }
    findings.extend(unknown_program(exec));
    rows::in_order(findings)
}

/// Whether it is known to change nothing, start nothing else and reach nothing,
/// with these arguments and variables.
///
/// What a program that only reads is told to start by its own settings, as Git's
/// are by a repository, is judged when it starts.
pub(crate) fn reads_only(exec: &Exec, place: &Place) -> bool {
    let exec = &*settings::told(exec);
    let Some(program) = &exec.program else { return false };
    if !is_system(&exec.path) || !is_system(program) || !exec.copy_of.is_empty() {
        return false;
    }
    let names = names::of(exec);
    let arguments: Vec<_> = exec.argv.iter().skip(1).map(|word| word.as_bytes()).collect();
    let reads = |name: &&[u8]| {
        About::of(name).any(|about| {
            let line = Line::parse(&arguments, about.grammar());
            about.reads().any(|row| rows::only_reads(row, &line))
        })
    };
    let changed = exec.environment.iter().any(|(name, value)| {
        variables::named(name).is_some_and(|variable| variable.matters(value, &names))
    });
    !exec.argv.is_empty()
        && !changed
        && names.iter().all(reads)
        && findings(exec, place).iter().all(|finding| finding.risk == Risk::Low)
}

/// Whether a variable, of those that `counts` says, makes the program do other
/// things than its arguments say, so that a permission for the command is none for
/// this.
pub(crate) fn is_poisoned(exec: &Exec, counts: impl Fn(&OsStr) -> bool) -> bool {
    let exec = &*settings::told(exec);
    if exec.environment.is_empty() || is_part_of_git(exec) {
        return false;
    }
    let views = names::views(exec);
    let names: Vec<_> = views.iter().flat_map(|view| view.names.iter().copied()).collect();
    exec.environment.iter().filter(|(name, _)| counts(name)).any(|(name, value)| {
        variables::named(name).is_some_and(|variable| variable.matters(value, &names))
    })
}

/// Whether a variable of this name changes what some program does, so that it
/// belongs to the verdict.
pub fn is_telling(name: &OsStr) -> bool {
    variables::named(name).is_some()
}

/// Whether Git starts a part of its own, as `git stash` starts `git reset --hard`:
/// what it was told to do has been judged. What a shell starts for Git is not that.
fn is_part_of_git(exec: &Exec) -> bool {
    let is_in = |path: &Path, places: &[&str]| {
        path.parent().is_some_and(|parent| places.iter().any(|place| parent == Path::new(place)))
    };
    let by_git = exec.by.as_deref().is_some_and(|by| {
        let name = names::name_of(by);
        (name == b"git" && is_in(by, &SYSTEM)) || is_in(by, &GIT_CORE)
    });
    by_git && is_in(&exec.path, &GIT_CORE)
}

/// SOURCE: git(1), `--exec-path`; as distributions and Git's own Makefile have it.
const GIT_CORE: [&str; 4] = [
    "/usr/lib/git-core",
    "/usr/libexec/git-core",
    "/usr/local/lib/git-core",
    "/usr/local/libexec/git-core",
];

/// Where the programs may be that are asked about.
pub(crate) fn known_programs() -> BTreeSet<PathBuf> {
    let names = table::dangerous();
    names.flat_map(places_of).collect()
}

/// Where a system keeps a program of this name.
pub(crate) fn places_of(name: &str) -> impl Iterator<Item = PathBuf> + '_ {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
        .into_iter()
        .map(move |place| Path::new(place).join(name))
}

/// Whether the system keeps a program there, where no session writes.
fn is_system(path: &Path) -> bool {
    path.parent().is_some_and(|parent| SYSTEM.iter().any(|system| parent == Path::new(system)))
}

/// Whether a file is of those that the system keeps, whose names are its own: one
/// file may be many programs, and is then the one that it is called.
pub fn is_systems_own(path: &Path) -> bool {
    ["/usr", "/bin", "/sbin"].iter().any(|root| path.starts_with(root))
}

/// Directories that a session does not write to. `/bin` and `/sbin` lead to those
/// of `/usr`, or are the same.
const SYSTEM: [&str; 6] =
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// A program that is in no file, or is reached past the names that rules are about.
fn unknown_program(exec: &Exec) -> Option<Finding> {
    let paths = [Some(&exec.path), exec.program.as_ref()];
    let mut paths = paths.into_iter().flatten().map(|path| path.as_os_str().as_bytes());
    let is_descriptor = |path: &[u8]| {
        path.starts_with(b"/memfd:")
            || path.starts_with(b"/dev/fd/")
            || path.ends_with(b" (deleted)")
    };
    // Whatever stands between `/proc/` and these is a process.
    let by_process = |path: &[u8]| {
        path.starts_with(b"/proc/")
            && ["/root/", "/fd/", "/map_files/"]
                .iter()
                .any(|part| words::holds(path, part.as_bytes()))
    };
    paths.any(|path| is_descriptor(path) || by_process(path)).then(|| Finding {
        class: "unknown-program".to_owned(),
        risk: Risk::Medium,
        reason: "its program is in no file, or is called by a way around its name".to_owned(),
        undo: None,
    })
}
