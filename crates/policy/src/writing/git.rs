//! What of a Git directory may be written.
//!
//! Git runs programs that its configuration, hooks and attributes name. Those
//! stay as they are, at any depth, while objects, references and the index may
//! be written, so that committing works.

use std::borrow::Cow;
use std::path::Path;

use super::Change;

/// How much of Git a session may do, least restricted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Git {
    /// Make repositories, worktrees and submodules. Git's configuration is
    /// written by Git's own way alone, and what it says is checked.
    Manage,
    /// Commit to repositories that are there.
    Commit,
    /// Nothing that Git keeps is written.
    Read,
}

/// Why a name is not to be changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) reason: &'static str,
    pub(super) instead: Option<String>,
}

const RUNS: &str = "Git runs what it names outside the boundary";
const POINTS: &str = "it can point Git at another configuration";
const MAKES: &str = "a repository made here is trusted by Git outside the boundary";
const HOOKS: &str = "Git runs these outside the boundary";

/// The objection to a change of this path, wherever a `.git` is on the way.
pub(super) fn objection(git: Git, path: &Path, change: Change) -> Option<Objection> {
    let names: Vec<_> = super::names(path).collect();
    let at = names.iter().position(|name| name == ".git")?;
    object(git, &names[at + 1..], change)
}

/// The objection to a change of what has this path below a Git directory.
pub(super) fn objection_within(git: Git, rest: &Path, change: Change) -> Option<Objection> {
    let names: Vec<_> = rest.iter().map(super::fold::fold).collect();
    object(git, &names, change)
}

pub(super) const NOT_SHARED: &str = "it belongs to the repository's other worktrees";

/// Whether a worktree has a say in what has this path below its repository.
pub(super) fn is_shared(root: &super::GitRoot, rest: &Path) -> bool {
    /// What all worktrees have in common and Git writes when one commits.
    const SHARED: [&str; 7] = ["objects", "refs", "logs", "rr-cache", "lfs", "info", "modules"];
    let Some(first) = rest.iter().next().map(super::fold::fold) else { return false };
    let files = ["packed-refs", "shallow", "gc."];
    (rest.starts_with(&root.own) && rest != root.own)
        || SHARED.contains(&&*first)
        || files.iter().any(|file| first.starts_with(file))
}

fn object(git: Git, inside: &[Cow<'_, str>], change: Change) -> Option<Objection> {
    let inside: Vec<&str> = inside.iter().map(|name| &**name).collect();
    let reason = match (git, inside.as_slice()) {
        (Git::Read, _) => "nothing that Git keeps is written",
        // Built here, it could be moved to where it is trusted.
        (_, inside) if inside.contains(&".git") => MAKES,
        (_, []) => repository(git, change)?,
        (_, inside) => within(git, inside, change)?,
    };
    let instead = match git {
        Git::Read => "`sandbox.git = \"commit\"`, by whoever said otherwise",
        Git::Commit if reason == MAKES || reason == POINTS || reason == RUNS => {
            "`sandbox.git = \"manage\"` in your own settings, which lets Git make repositories; or a directory in /tmp"
        }
        Git::Commit | Git::Manage => "leaving it to the person, outside this session",
    };
    Some(Objection { reason, instead: Some(instead.to_owned()) })
}

/// The directory that holds the `.git` in which this path lies, if it does.
pub(super) fn holder(path: &Path) -> Option<&Path> {
    path.ancestors()
        .filter(|above| above.file_name().is_some_and(|name| super::fold::fold(name) == ".git"))
        .last()
        .and_then(Path::parent)
}

/// Whether a path lies in what Git keeps for submodules.
pub(super) fn is_of_submodule(path: &Path) -> bool {
    let names: Vec<_> = super::names(path).collect();
    names.windows(2).any(|pair| pair[0] == ".git" && pair[1] == "modules")
}

/// Whether a path is that of a Git configuration, or may be.
pub(super) fn is_configuration(path: &Path) -> bool {
    let names: Vec<_> = super::names(path).collect();
    let last = names.last().map(|name| &**name);
    names.iter().any(|name| name == ".git") && last.is_some_and(is_config)
}

/// The name `.git` itself.
fn repository(git: Git, change: Change) -> Option<&'static str> {
    match (git, change) {
        (_, Change::MakeLink | Change::Take | Change::PutDirectory { empty: false }) => {
            Some(POINTS)
        }
        (_, Change::Remove | Change::Attributes) | (Git::Manage, _) => None,
        (_, Change::MakeDirectory | Change::PutDirectory { empty: true }) => Some(MAKES),
        (_, Change::Write | Change::PutFile) => Some(POINTS),
    }
}

fn within(git: Git, inside: &[&str], change: Change) -> Option<&'static str> {
    match inside {
        ["modules", rest @ ..] => submodule(git, rest, change),
        ["worktrees", rest @ ..] => worktree(git, rest, change),
        inside => own(git, inside, change),
    }
}

/// What lies directly in a Git directory.
fn own(git: Git, inside: &[&str], change: Change) -> Option<&'static str> {
    match inside {
        ["hooks", rest @ ..] => hook(git, rest, change),
        [name, ..] if is_config(name) => config(git, name, change),
        ["info", name, ..] if name.starts_with("attributes") => Some(RUNS),
        ["info"] if brings_along(change) => Some(RUNS),
        ["branches" | "remotes", _, ..] => Some("an old kind of configuration"),
        // Git on the host would write where the link leads.
        [name] if change == Change::MakeLink => {
            (git != Git::Manage || !is_probe(name)).then_some(POINTS)
        }
        _ if change == Change::MakeLink => Some(POINTS),
        ["commondir" | "gitdir", ..] => Some(POINTS),
        [name] if !makes_directory(change) || is_usual_directory(name) => None,
        [name, _, ..] if is_usual_directory(name) => None,
        _ => Some(MAKES),
    }
}

fn makes_directory(change: Change) -> bool {
    matches!(change, Change::MakeDirectory | Change::PutDirectory { .. })
}

/// Directories that Git, or a program that many use with it, keeps in a Git
/// directory. In any other a repository could be prepared unseen.
fn is_usual_directory(name: &str) -> bool {
    const USUAL: [&str; 22] = [
        "annex",
        "branches",
        "branchless",
        "filter-repo",
        "gitbutler",
        "hooks",
        "info",
        "lfs",
        "logs",
        "lost-found",
        "notes_merge_worktree",
        "objects",
        "rebase-apply",
        "rebase-merge",
        "refs",
        "reftable",
        "remotes",
        "rr-cache",
        "sequencer",
        "stgit",
        "subtree-cache",
        "svn",
    ];
    USUAL.contains(&name)
}

/// The link by which `git init` finds out whether there can be links.
/// SOURCE: git, builtin/init-db.c: `tXXXXXX`.
fn is_probe(name: &str) -> bool {
    name.len() == 7 && name.starts_with('t')
}

fn hook(git: Git, rest: &[&str], change: Change) -> Option<&'static str> {
    let harmless = match rest {
        [] => change == Change::MakeDirectory,
        // Git passes by what ends so.
        [name] => name.ends_with(".sample") && change == Change::Write,
        _ => false,
    };
    (git != Git::Manage || !harmless).then_some(HOOKS)
}

fn is_config(name: &str) -> bool {
    let name = name.strip_suffix(".lock").unwrap_or(name);
    matches!(name, "config" | "config.worktree")
}

/// Git writes `config.lock` and renames it; whoever performs that renaming
/// checks what is in it.
fn config(git: Git, name: &str, change: Change) -> Option<&'static str> {
    let by_git = match change {
        Change::Write | Change::Take => name.ends_with(".lock"),
        Change::PutFile => !name.ends_with(".lock"),
        _ => false,
    };
    (git != Git::Manage || !by_git).then_some(RUNS)
}

/// A submodule's name may have slashes, so its Git directory cannot be told
/// from the names alone. What is obeyed is protected wherever it might be.
fn submodule(git: Git, rest: &[&str], change: Change) -> Option<&'static str> {
    if brings_along(change) {
        let probes = change == Change::MakeLink && rest.last().is_some_and(|name| is_probe(name));
        return (git != Git::Manage || !probes).then_some(RUNS);
    }
    if let Some(at) = rest.iter().position(|name| *name == "hooks") {
        return hook(git, &rest[at + 1..], change);
    }
    match rest {
        [.., "info", name] => own(git, &["info", name], change),
        // Its own directories cannot be told from its name's.
        [.., _] if change == Change::MakeDirectory => None,
        [.., last] => own(git, &[last], change),
        [] => (git != Git::Manage).then_some(MAKES),
    }
}

fn worktree(git: Git, rest: &[&str], change: Change) -> Option<&'static str> {
    match rest {
        [] | [_] => (git != Git::Manage || brings_along(change)).then_some(MAKES),
        // What Git writes when it makes a worktree.
        [_, "commondir" | "gitdir"] if git == Git::Manage && change == Change::Write => None,
        [_, inside @ ..] => own(git, inside, change),
    }
}

/// Whether more than the name itself comes to be there.
fn brings_along(change: Change) -> bool {
    matches!(change, Change::MakeLink | Change::PutDirectory { empty: false })
}
