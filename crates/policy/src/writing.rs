//! May this name be made, changed, or opened for writing?
//!
//! A program outside the boundary later trusts some names: what Git, an editor,
//! a shell or an agent reads and obeys. They are judged when they are tried and
//! not listed when the session starts, so a name that does not exist yet is
//! protected as well. Comparing is done on folded names (see [`fold`]), because
//! some file systems take `.GIT` for `.git`.
//!
//! It judges names alone: whoever asks resolves links first, and acts on the
//! very place whose path was judged.

mod config;
mod fold;
mod git;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::attempt::FileWrite;
use crate::basis::Basis;
use crate::filesystem::{Filesystem, PathRule, Unwritable};
use crate::paths::Spelling;
use crate::verdict::{Permit, Refusal, Verdict};

pub use fold::fold as fold_name;
pub use git::Git;

/// What is done to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file of that name is made, or opened for writing.
    Write,
    /// A directory of that name is made.
    MakeDirectory,
    /// A link of that name is made, which leads who knows where.
    MakeLink,
    /// A file is given that name.
    PutFile,
    /// A directory is given that name, with what is in it.
    PutDirectory { empty: bool },
    /// What has that name is given another, or a second one.
    Take,
    /// What has that name is removed: a file, a link or an empty directory. Asked
    /// only where no mount keeps what was there at the start.
    Remove,
    /// Mode, owner or times of what has that name are changed. Asked as `Remove`.
    Attributes,
}

/// A Git directory that is not in the workspace and belongs to it: a worktree's
/// repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitRoot {
    pub path: PathBuf,
    /// What the worktree has for itself in it, relative: `worktrees/NAME`.
    pub own: PathBuf,
}

/// The writable places of one session, as paths inside, links followed.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// The workspace, and what the policy makes writable beside it.
    pub projects: Vec<PathBuf>,
    /// The agent's own state.
    pub state: Vec<PathBuf>,
    /// What only this session has and nobody sees afterwards.
    pub private: Vec<PathBuf>,
    /// The workspace's repository, where it is elsewhere.
    pub git: Vec<GitRoot>,
}

/// Judges writing; made once for a session.
#[derive(Debug)]
pub struct Writing {
    roots: Roots,
    protected: Vec<Protected>,
    /// What stays as it is where it is there: in a project, and in a Git directory.
    shut: Vec<Protected>,
    shut_in_git: Vec<Protected>,
    git: Git,
    git_basis: Basis,
    outside: Basis,
    unwritable: Vec<Unwritable>,
}

#[derive(Debug)]
struct Protected {
    names: Vec<String>,
    basis: Basis,
}

impl Protected {
    fn of(rule: &PathRule) -> Self {
        let names = rule.path.iter().map(|name| fold::fold(name).into_owned()).collect();
        Self { names, basis: rule.basis.clone() }
    }
}

impl Writing {
    pub fn new(filesystem: &Filesystem, roots: Roots) -> Self {
        let in_git = filesystem.shut_in_git();
        Self {
            roots,
            protected: filesystem.protected.iter().map(Protected::of).collect(),
            shut: filesystem.shut().iter().map(Protected::of).collect(),
            shut_in_git: in_git
                .into_iter()
                .map(|path| Protected::of(&PathRule { path, basis: filesystem.git_basis.clone() }))
                .collect(),
            git: filesystem.git,
            git_basis: filesystem.git_basis.clone(),
            outside: filesystem.workspace_basis.clone(),
            unwritable: filesystem.unwritable.clone(),
        }
    }

    /// Judges one change of one name. `path` is absolute, as seen inside, and its
    /// directory is free of links.
    pub fn judge(&self, attempt: FileWrite) -> Verdict<FileWrite> {
        let (kind, rest) = match self.locate(&attempt.path) {
            Some(place) => place,
            None => return Verdict::Refuse(self.refuse_outside(&attempt)),
        };
        if attempt.change == Change::Remove && rest.as_os_str().is_empty() {
            // A root itself is not in a writable place.
            return Verdict::Refuse(self.refuse_outside(&attempt));
        }
        if let Some(basis) = self.forbids(&attempt) {
            return Verdict::Refuse(refusal(&attempt, basis.clone(), Some(PERSON.to_owned())));
        }
        if kind == Kind::Private {
            return permit(attempt, "private to the session");
        }
        if let Kind::Git(root) = kind
            && !git::is_shared(root, rest)
        {
            let basis =
                Basis { justification: Some(git::NOT_SHARED.to_owned()), ..self.git_basis.clone() };
            return Verdict::Refuse(refusal(&attempt, basis, None));
        }
        if matches!(attempt.change, Change::Remove | Change::Attributes) {
            return match self.keeps(kind, rest) {
                None => permit(attempt, "inside a writable root"),
                Some(basis) => Verdict::Refuse(refusal(&attempt, basis, Some(PERSON.to_owned()))),
            };
        }
        let objection = match kind {
            Kind::Git(_) => git::objection_within(self.git, rest, attempt.change),
            _ => git::objection(self.git, &attempt.path, attempt.change),
        };
        if let Some(why) = objection {
            let basis =
                Basis { justification: Some(why.reason.to_owned()), ..self.git_basis.clone() };
            return Verdict::Refuse(refusal(&attempt, basis, why.instead));
        }
        // In a root within another the names of both are protected.
        let projects = self.roots.projects.iter();
        let mut below = projects.filter_map(|root| attempt.path.strip_prefix(root).ok());
        if kind == Kind::Project
            && let Some(rule) = below.find_map(|rest| self.protects(rest, attempt.change))
        {
            return Verdict::Refuse(refusal(&attempt, rule.basis.clone(), Some(PERSON.to_owned())));
        }
        permit(attempt, "inside a writable root")
    }

    /// The rule about files that a change would break: at the path itself, or below
    /// it where the change may bring or take away what is below.
    fn forbids(&self, attempt: &FileWrite) -> Option<&Basis> {
        let path = &attempt.path;
        let breaks = |rule: &&Unwritable| {
            let (stem, at_any_depth) = rule.pattern.stem();
            let above =
                path.iter().count() <= stem.iter().count() && rule.pattern.reaches_below(path);
            // Directories that are moved about in a place that is meant as a whole
            // stay what the pattern is about.
            let whole = at_any_depth && self.is_root_or_above(&stem);
            let below = || match attempt.change {
                Change::Write | Change::MakeDirectory | Change::Attributes => false,
                Change::PutDirectory { empty: true } => false,
                Change::PutDirectory { empty: false } if !whole => rule.pattern.reaches_below(path),
                Change::PutDirectory { empty: false } => false,
                Change::MakeLink | Change::PutFile | Change::Take | Change::Remove => {
                    above && !whole
                }
            };
            rule.pattern.matches(path, Spelling::Folded) || below()
        };
        self.unwritable.iter().find(breaks).map(|rule| &rule.basis)
    }

    fn is_root_or_above(&self, path: &Path) -> bool {
        let Roots { projects, state, private, git } = &self.roots;
        let mut roots =
            projects.iter().chain(state).chain(private).chain(git.iter().map(|g| &g.path));
        roots.any(|root| root.starts_with(path))
    }

    /// Whether a file may be put at this path only after its contents were judged
    /// by [`judge_contents`](Self::judge_contents).
    pub fn minds_contents(&self, path: &Path) -> bool {
        self.git == Git::Manage
            && !matches!(self.locate(path), None | Some((Kind::Private, _)))
            && git::is_configuration(path)
    }

    /// Judges a file that is to replace another where contents matter. `old` is
    /// empty where nothing is replaced.
    pub fn judge_contents(&self, attempt: FileWrite, new: &[u8], old: &[u8]) -> Verdict<FileWrite> {
        // A submodule's worktree lies below the directory that holds `.git`.
        let path = attempt.path.clone();
        let is_inside = |value: &str| {
            let holder = git::holder(&path);
            let base = path.parent().map(|above| lexically_joined(above, Path::new(value)));
            matches!((holder, base), (Some(holder), Some(there)) if there != holder && there.starts_with(holder))
        };
        let of_submodule = git::is_of_submodule(&path);
        match config::check(new, old, if of_submodule { Some(&is_inside) } else { None }) {
            Ok(()) => self.judge(attempt),
            Err(why) => {
                let basis = Basis { justification: Some(why), ..self.git_basis.clone() };
                Verdict::Refuse(refusal(&attempt, basis, Some(PERSON.to_owned())))
            }
        }
    }

    /// Judges a change below a directory that Git would take for a repository,
    /// whatever it is called.
    pub fn judge_in_git(&self, attempt: FileWrite, directory: &Path) -> Verdict<FileWrite> {
        if let Some(basis) = self.forbids(&attempt) {
            return Verdict::Refuse(refusal(&attempt, basis.clone(), Some(PERSON.to_owned())));
        }
        let rest = attempt.path.strip_prefix(directory).unwrap_or(&attempt.path);
        match git::objection_within(self.git, rest, attempt.change) {
            None => permit(attempt, "inside a writable root"),
            Some(why) => {
                let basis =
                    Basis { justification: Some(why.reason.to_owned()), ..self.git_basis.clone() };
                Verdict::Refuse(refusal(&attempt, basis, why.instead))
            }
        }
    }

    /// Whether a path lies in a project, where a directory that Git would take for
    /// a repository could be used by anybody.
    ///
    /// In an agent's own state it is used by that agent alone, whose settings and
    /// plug-ins, which lie there too, make it run whatever they name. OpenCode
    /// keeps a bare repository there for each project.
    pub fn is_in_project(&self, path: &Path) -> bool {
        matches!(self.locate(path), Some((Kind::Project, _)))
    }

    /// Judges that a directory with something in it leaves what Git keeps. Whatever
    /// was prepared there was judged as part of it, and not as what it becomes.
    pub fn judge_taken_out(&self, attempt: FileWrite, from: &Path) -> Verdict<FileWrite> {
        let (old, new) = (git::holder(from), git::holder(&attempt.path));
        let is_private = matches!(self.locate(&attempt.path), Some((Kind::Private, _)));
        if is_private || old == new || old.is_none() {
            return permit(attempt, "inside a writable root");
        }
        let reason = "what was prepared among Git's own files is not trusted elsewhere";
        let basis = Basis { justification: Some(reason.to_owned()), ..self.git_basis.clone() };
        Verdict::Refuse(refusal(&attempt, basis, None))
    }

    /// How much of Git the session may do.
    pub fn git(&self) -> Git {
        self.git
    }

    /// Whether a path lies in a place that may be written at all.
    pub fn is_within(&self, path: &Path) -> bool {
        self.locate(path).is_some()
    }

    /// Why a person should hear that this was written, though it may be: a program
    /// outside the boundary will run or obey it.
    pub fn handoff(&self, path: &Path) -> Option<&'static str> {
        let (kind, rest) = self.locate(path)?;
        match kind {
            Kind::Private | Kind::Git(_) => None,
            Kind::State => handoff_in_state(rest),
            Kind::Project => handoff_in_project(rest, &self.protected),
        }
    }

    /// Whether two paths lie in the same writable root. Between roots nothing is
    /// moved or linked: each is judged by rules of its own.
    pub fn are_in_one_root(&self, one: &Path, other: &Path) -> bool {
        let root = |path: &Path| Some(self.innermost(path)?.1);
        root(one).is_some_and(|found| root(other) == Some(found))
    }

    /// The innermost root that holds a path, and the way from there.
    fn locate<'p>(&self, path: &'p Path) -> Option<(Kind<'_>, &'p Path)> {
        self.innermost(path).map(|(kind, _, rest)| (kind, rest))
    }

    fn innermost<'p>(&self, path: &'p Path) -> Option<(Kind<'_>, &Path, &'p Path)> {
        let Roots { projects, state, private, git } = &self.roots;
        let all = [(Kind::Project, projects), (Kind::State, state), (Kind::Private, private)];
        all.into_iter()
            .flat_map(|(kind, roots)| roots.iter().map(move |root| (kind, root)))
            .chain(git.iter().map(|root| (Kind::Git(root), &root.path)))
            .filter_map(|(kind, root)| Some((kind, root.as_path(), path.strip_prefix(root).ok()?)))
            .max_by_key(|(_, root, _)| root.as_os_str().len())
    }

    /// What keeps a thing that is there as it is: neither removed nor changed. The
    /// directories above it cannot be removed while they hold it.
    fn keeps(&self, kind: Kind<'_>, rest: &Path) -> Option<Basis> {
        let rules = match kind {
            Kind::Project => &self.shut,
            Kind::Git(_) => &self.shut_in_git,
            Kind::State | Kind::Private => return None,
        };
        let names: Vec<_> = rest.iter().map(fold::fold).collect();
        // A worktree's `.git` is a file that says where the repository is.
        if kind == Kind::Project && self.git != Git::Manage && names[..] == [".git"] {
            return Some(self.git_basis.clone());
        }
        let is_kept = |rule: &&Protected| {
            names.len() >= rule.names.len() && rule.names.iter().zip(&names).all(|(a, b)| *a == **b)
        };
        rules.iter().find(is_kept).map(|rule| rule.basis.clone())
    }

    /// The rule that protects a path below a project's root.
    fn protects(&self, rest: &Path, change: Change) -> Option<&Protected> {
        let first = fold::fold(rest.iter().next()?);
        let mut rules = self.protected.iter().filter(|rule| rule.names[0] == first).peekable();
        rules.peek()?;
        let names: Vec<_> = rest.iter().map(fold::fold).collect();
        rules.find(|rule| {
            let shared = rule.names.iter().zip(&names).take_while(|(a, b)| *a == *b).count();
            let inside = shared == rule.names.len();
            // A directory put above a protected name would bring one along, and a
            // file or link could point to one.
            let is_directory =
                matches!(change, Change::MakeDirectory | Change::PutDirectory { empty: true });
            let above = shared == names.len() && !is_directory;
            inside || above
        })
    }

    fn refuse_outside(&self, attempt: &FileWrite) -> Refusal {
        let basis = match self.roots.projects.is_empty() {
            true => self.outside.clone(),
            false => Basis::built_in("nothing outside the workspace is written"),
        };
        refusal(attempt, basis, None)
    }
}

/// What to do instead of changing what a person's programs trust.
const PERSON: &str = "leaving it to the person, outside this session";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Project,
    State,
    Private,
    Git(&'a GitRoot),
}

fn permit(attempt: FileWrite, rule: &str) -> Verdict<FileWrite> {
    Verdict::Allow(Permit::new(attempt, Basis::built_in(rule)))
}

fn refusal(attempt: &FileWrite, basis: Basis, instead: Option<String>) -> Refusal {
    use crate::attempt::Attempt as _;
    Refusal { attempt: attempt.summary(), basis, instead, note: None }
}

/// Files of an agent's own state that it obeys the next time, with Remit or
/// without.
fn handoff_in_state(rest: &Path) -> Option<&'static str> {
    const OBEYED: [&str; 9] = [
        "settings.json",
        "settings.local.json",
        "config.toml",
        "hooks.json",
        "hooks",
        "opencode.json",
        "opencode.jsonc",
        "agents.md",
        "claude.md",
    ];
    let first = fold::fold(rest.iter().next()?);
    OBEYED.contains(&&*first).then_some("the agent obeys it the next time, without Remit too")
}

fn handoff_in_project(rest: &Path, protected: &[Protected]) -> Option<&'static str> {
    let names: Vec<_> = rest.iter().map(fold::fold).collect();
    let (last, above) = names.split_last()?;
    let holder = above.last().map(|name| &**name);
    if matches!(holder, Some("bin" | "scripts")) && is_interpreter(last) {
        return Some("an interpreter that editors and shells run");
    }
    if matches!(holder, Some("rebase-merge" | "rebase-apply")) && last == "git-rebase-todo" {
        return Some("Git runs the `exec` lines in it when a rebase goes on");
    }
    // A protected name in a subdirectory: obeyed by whoever opens that one.
    (1..names.len()).find_map(|start| {
        let tail = &names[start..];
        let is_one = |rule: &Protected| {
            tail.len() >= rule.names.len() && rule.names.iter().zip(tail).all(|(a, b)| *a == **b)
        };
        (!below_git(&names[..start]) && protected.iter().any(is_one))
            .then_some("a program trusts it in the directory that it is in")
    })
}

fn below_git(names: &[std::borrow::Cow<'_, str>]) -> bool {
    names.iter().any(|name| name == ".git")
}

fn is_interpreter(name: &str) -> bool {
    ["python", "node", "ruby", "perl", "php", "bash", "sh", "pip", "activate"].iter().any(|known| {
        name.strip_prefix(known).is_some_and(|rest| {
            rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').is_empty()
        })
    })
}

/// A path joined to another, `.` and `..` taken out by spelling alone.
fn lexically_joined(base: &Path, path: &Path) -> PathBuf {
    let mut joined = if path.is_absolute() { PathBuf::from("/") } else { base.to_path_buf() };
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                joined.pop();
            }
            std::path::Component::Normal(name) => joined.push(name),
            _ => {}
        }
    }
    joined
}

/// A path's names, folded, from the root of the file system.
fn names(path: &Path) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    path.iter().skip(1).map(|name: &OsStr| fold::fold(name))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
