//! Which files may be read or written?
//!
//! The host is readable, the workspace writable if the profile says so, hidden
//! paths are absent, protected names are read-only. **Hidden always wins over
//! writable**: a policy in which the two meet does not load. Everything here is
//! arithmetic on names; links are for whoever lowers it to a plan.

use std::path::{Component, Path, PathBuf};

use crate::basis::Basis;
use crate::error::PolicyError;
use crate::layers::{Said, Settled};
use crate::paths::FilePattern;
use crate::writing::Git;

/// What the agent may do in the workspace, weakest restriction first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read and write, but for protected names and hidden paths.
    Write,
    /// Read, but for hidden paths.
    Read,
}

/// What of the host may be read, least restricted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reading {
    /// Whatever the person may read, but for Remit's own files and what a policy
    /// hides by name.
    Open,
    /// The same without the secrets that are hidden by default.
    Hide,
}

/// A path and why it is on its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    pub path: PathBuf,
    pub basis: Basis,
}

/// The file side of a policy, resolved against a [`Place`].
#[derive(Clone, Debug)]
pub struct Filesystem {
    pub workspace: Access,
    /// What decided `workspace`.
    pub workspace_basis: Basis,
    /// Absolute paths that are writable beside the workspace, in order, once each.
    pub write: Vec<PathRule>,
    /// Absolute paths that neither exist nor can be made to exist for the agent,
    /// in order, once each. They may be files or directories, or absent.
    pub hidden: Vec<PathRule>,
    /// Names relative to a writable root that stay as they are, whether they
    /// exist yet or not.
    pub protected: Vec<PathRule>,
    /// How much of Git the session may do.
    pub git: Git,
    /// What decided `git`.
    pub git_basis: Basis,
    /// What is not written although it lies in a writable place, by its path.
    pub unwritable: Vec<Unwritable>,
}

/// Paths that are not written, by a pattern, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritable {
    pub(crate) pattern: FilePattern,
    pub(crate) basis: Basis,
}

/// What a rule forbids about files.
#[derive(Clone, Debug)]
pub(crate) struct FileRule {
    pub(crate) pattern: FilePattern,
    /// Whether it hides them. What is hidden cannot be written either.
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl std::fmt::Display for FileRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let access = match (self.read, self.write) {
            (true, true) => "read and write",
            (true, false) => "read",
            (false, _) => "write",
        };
        write!(f, "file {access} {}", self.pattern)
    }
}

/// Facts about where we run, needed to expand `~` and relative paths. Both are
/// absolute and free of links and `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub home: PathBuf,
    pub workspace: PathBuf,
}

impl Place {
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        for (what, path) in [("home", &self.home), ("workspace", &self.workspace)] {
            if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
                let reason =
                    format!("the {what} `{}` is not an absolute path without `..`", path.display());
                return Err(PolicyError::Place { reason });
            }
        }
        Ok(())
    }

    /// The absolute path that a policy text means: `/…`, `~/…` (the home), or
    /// `./…` (the workspace). The error says what a path may look like.
    pub(crate) fn resolve(&self, text: &str) -> Result<PathBuf, String> {
        if text.chars().any(char::is_control) {
            return Err("a path has no control characters".to_owned());
        }
        if Path::new(text).components().any(|c| c == Component::ParentDir) {
            return Err("a path has no `..`".to_owned());
        }
        let below = |base: &Path, rest: &str| base.join(rest.trim_start_matches('/'));
        let path = if text == "~" {
            self.home.clone()
        } else if let Some(rest) = text.strip_prefix("~/") {
            below(&self.home, rest)
        } else if let Some(rest) = text.strip_prefix("./") {
            below(&self.workspace, rest)
        } else if text.starts_with('/') {
            PathBuf::from(text)
        } else {
            return Err("a path begins with `/`, `~/` or `./` (the workspace)".to_owned());
        };
        // Collects away doubled and trailing slashes and `.`.
        Ok(path.components().collect())
    }
}

/// What was said about files, not yet reconciled.
#[derive(Debug)]
pub(crate) struct FilesSaid {
    pub(crate) workspace: Settled<Access>,
    pub(crate) write: Vec<Said<PathBuf>>,
    pub(crate) hide: Vec<Said<PathBuf>>,
    /// Names relative to a writable root.
    pub(crate) protect: Vec<Said<PathBuf>>,
    pub(crate) git: Settled<Git>,
    pub(crate) read: Settled<Reading>,
    pub(crate) rules: Vec<Said<FileRule>>,
    /// The agent's own write roots, which some default secrets are not hidden from.
    pub(crate) agent: Vec<PathBuf>,
}

impl Filesystem {
    /// Whether the session may make or change what is there.
    pub(crate) fn is_writable(&self, path: &Path, place: &Place) -> bool {
        self.writable(place).iter().any(|root| path.starts_with(root))
    }

    /// The directories in which the session may make or change something.
    pub(crate) fn writable(&self, place: &Place) -> Vec<PathBuf> {
        let own = OWN.iter().map(PathBuf::from);
        let workspace = (self.workspace == Access::Write).then(|| place.workspace.clone());
        let beside = self.write.iter().map(|root| root.path.clone());
        own.chain(workspace).chain(beside).collect()
    }

    /// Brings what was said together, or says which statements contradict.
    pub(crate) fn reconcile(mut said: FilesSaid, place: &Place) -> Result<Self, PolicyError> {
        let rules = std::mem::take(&mut said.rules);
        for rule in rules.iter().filter(|rule| rule.value.read) {
            let plain = rule.value.pattern.plain();
            let value = plain.expect("a pattern with wildcards does not hide");
            said.hide.push(Said { value, force: rule.force, basis: rule.basis.clone() });
        }
        let mut files = Self::without_rules(said, place)?;
        rules.into_iter().for_each(|rule| files.forbid(rule, place));
        files.protected = once_each(std::mem::take(&mut files.protected));
        Ok(files)
    }

    /// Takes writing away. What lies there at the start is protected as a name of
    /// the root that it is in as well, so that it cannot be removed.
    fn forbid(&mut self, rule: Said<FileRule>, place: &Place) {
        let Said { value: FileRule { pattern, write, .. }, basis, .. } = rule;
        if !write {
            return;
        }
        if let Some(path) = pattern.plain() {
            self.write.retain(|root| !root.path.starts_with(&path));
            if place.workspace.starts_with(&path) {
                (self.workspace, self.workspace_basis) = (Access::Read, basis.clone());
            }
            let roots = self.writable(place);
            let within = roots.iter().filter_map(|root| path.strip_prefix(root).ok());
            let names = within.filter(|name| name.components().next().is_some());
            self.protected
                .extend(names.map(|name| PathRule { path: name.into(), basis: basis.clone() }));
        }
        self.unwritable.push(Unwritable { pattern, basis });
    }

    fn without_rules(said: FilesSaid, place: &Place) -> Result<Self, PolicyError> {
        let mut hidden = default_hidden(place, &said.agent, said.read.value());
        hidden.extend(said.hide.into_iter().map(PathRule::from));
        if let Some(rule) = hidden.iter().find(|rule| place.workspace.starts_with(&rule.path)) {
            let workspace = place.workspace.display();
            return Err(PolicyError::about(
                &rule.basis,
                format!("it would hide the workspace `{workspace}`"),
            ));
        }
        let mut write = Vec::new();
        for root in said.write {
            let path = &root.value;
            if place.home.starts_with(path) {
                let reason =
                    format!("`{}` holds the whole home; name directories in it", path.display());
                return Err(PolicyError::about(&root.basis, reason));
            }
            if let Some(secret) = hidden.iter().find(|rule| path.starts_with(&rule.path)) {
                let reason =
                    format!("`{}` is hidden by {}; hidden wins", path.display(), secret.basis);
                return Err(PolicyError::about(&root.basis, reason));
            }
            // A read-only profile or system is not undone by the user's general list.
            if said.workspace.binding(Access::Read, root.force).is_none() {
                write.push(PathRule::from(root));
            }
        }
        Ok(Self {
            workspace: said.workspace.value(),
            workspace_basis: said.workspace.basis().clone(),
            write: once_each(write),
            hidden: once_each(hidden),
            protected: protected(said.protect),
            git: said.git.value(),
            git_basis: said.git.basis().clone(),
            unwritable: Vec::new(),
        })
    }
}

impl Filesystem {
    pub(crate) fn protect(&mut self, name: PathBuf, reason: &str) {
        let rule = format!("protect {}", name.display());
        self.protected.push(built_in(name, rule, reason.to_owned()));
        self.protected = once_each(std::mem::take(&mut self.protected));
    }

    /// What Git obeys, as [`shut`](Self::shut) has it, relative to a Git directory.
    pub fn shut_in_git(&self) -> Vec<PathBuf> {
        let shut = self.shut();
        shut.iter()
            .filter_map(|rule| Some(rule.path.strip_prefix(".git").ok()?.to_path_buf()))
            .collect()
    }

    /// Names relative to a writable root that can be made read-only where they
    /// are there at the start: the protected ones, and what Git obeys.
    pub fn shut(&self) -> Vec<PathRule> {
        let git: &[&str] = match self.git {
            Git::Read => &[".git"],
            Git::Commit => &[
                ".git/hooks",
                ".git/config",
                ".git/config.worktree",
                ".git/commondir",
                ".git/info/attributes",
            ],
            Git::Manage => &[".git/hooks", ".git/info/attributes"],
        };
        let git =
            git.iter().map(|path| PathRule { path: path.into(), basis: self.git_basis.clone() });
        self.protected.iter().cloned().chain(git).collect()
    }
}

impl From<Said<PathBuf>> for PathRule {
    fn from(said: Said<PathBuf>) -> Self {
        Self { path: said.value, basis: said.basis }
    }
}

/// In order, and of several rules about one path the first.
fn once_each(mut rules: Vec<PathRule>) -> Vec<PathRule> {
    rules.sort_by(|a, b| a.path.cmp(&b.path));
    rules.dedup_by(|later, earlier| later.path == earlier.path);
    rules
}

/// The error at the place where the statement was made.
/// Places that only the session has, and that it writes to.
pub(crate) const OWN: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];

pub(crate) const HIDDEN: &str = include_str!("../data/hidden.toml");
pub(crate) const PROTECTED: &str = include_str!("../data/protected.toml");

include!(concat!(env!("OUT_DIR"), "/paths.rs"));

/// A row of `data/hidden.toml`.
pub(crate) struct HiddenRow {
    path: &'static str,
    reason: &'static str,
    unless: Option<Unless>,
    always: bool,
}

/// When a default secret is not hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unless {
    /// From the agent that writes there by adapter: it is that agent's own.
    Agent,
    /// If it holds the home or the workspace.
    Home,
}

/// A row of `data/protected.toml`.
pub(crate) struct ProtectedRow {
    path: &'static str,
    reason: &'static str,
}

fn default_hidden(place: &Place, agent: &[PathBuf], read: Reading) -> Vec<PathRule> {
    let mut rules = Vec::with_capacity(HIDDEN_ROWS.len());
    for row in HIDDEN_ROWS {
        let path =
            place.resolve(row.path).expect("built-in hidden paths are absolute or in the home");
        let exempt = match row.unless {
            Some(Unless::Agent) => agent.iter().any(|root| path.starts_with(root)),
            Some(Unless::Home) => {
                place.home.starts_with(&path) || place.workspace.starts_with(&path)
            }
            None => false,
        };
        if !exempt && (row.always || read == Reading::Hide) {
            rules.push(built_in(path, format!("hide {}", row.path), row.reason.to_owned()));
        }
    }
    rules
}

fn protected(said: Vec<Said<PathBuf>>) -> Vec<PathRule> {
    let mut rules = default_protected();
    rules.extend(said.into_iter().map(PathRule::from));
    once_each(rules)
}

/// A name to protect: relative to the root, below the root itself, no globs.
pub(crate) fn protected_name(text: &str) -> Result<PathBuf, String> {
    let text = text.strip_prefix("./").unwrap_or(text);
    let path = Path::new(text);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if text.is_empty() || !plain || text.chars().any(char::is_control) {
        return Err("a protected name is relative, such as `deploy/keys`, without `..`".to_owned());
    }
    Ok(path.components().collect())
}

fn default_protected() -> Vec<PathRule> {
    let rules = PROTECTED_ROWS.iter().map(|row| {
        let rule = format!("protect {}", row.path);
        built_in(row.path.into(), rule, row.reason.to_owned())
    });
    once_each(rules.collect())
}

fn built_in(path: PathBuf, rule: String, reason: String) -> PathRule {
    PathRule { path, basis: Basis { justification: Some(reason), ..Basis::built_in(rule) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { home: "/home/alice".into(), workspace: "/home/alice/proj".into() }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = place().resolve(text).ok();
        assert_eq!(found.as_deref(), expected.map(Path::new), "`{text}`");
    }

    #[test]
    fn a_path_is_absolute_or_below_the_home_or_the_workspace() {
        check("/opt//x/./y/", Some("/opt/x/y"));
        check("~", Some("/home/alice"));
        check("~/.cache", Some("/home/alice/.cache"));
        check("~//.cache/", Some("/home/alice/.cache"));
        check("./secrets", Some("/home/alice/proj/secrets"));
        check(".//etc", Some("/home/alice/proj/etc"));
        check("", None);
        check("secrets", None);
        check("~bob/x", None);
        check("/a/../b", None);
        check("~/../bob", None);
        check("/a\0b", None);
        check("/a\nb", None);
    }

    #[test]
    fn the_superusers_home_is_hidden_from_everybody_else() {
        let is_hidden = |home: &str, workspace: &str| {
            let place = Place { home: home.into(), workspace: workspace.into() };
            default_hidden(&place, &[], Reading::Hide)
                .iter()
                .any(|rule| rule.path == Path::new("/root"))
        };
        assert!(is_hidden("/home/alice", "/home/alice/proj"));
        assert!(!is_hidden("/root", "/srv/work"));
        assert!(!is_hidden("/home/alice", "/root/work"));
        assert!(is_hidden("/rootless", "/srv/work"));
    }

    #[test]
    fn an_agent_sees_its_own_sign_in_and_no_other_agents() {
        let hidden = default_hidden(&place(), &["/home/alice/.codex".into()], Reading::Hide);
        let is_hidden = |path: &str| hidden.iter().any(|rule| rule.path == Path::new(path));
        assert!(!is_hidden("/home/alice/.codex/auth.json"));
        assert!(is_hidden("/home/alice/.claude/.credentials.json"));
        assert!(is_hidden("/home/alice/.ssh"));
    }

    #[test]
    fn an_open_host_keeps_what_is_ours_hidden() {
        let hidden = default_hidden(&place(), &[], Reading::Open);
        let is_hidden = |path: &str| hidden.iter().any(|rule| rule.path == Path::new(path));
        assert!(is_hidden("/home/alice/.local/state/remit"));
        assert!(is_hidden("/home/alice/.config/remit"));
        assert!(!is_hidden("/home/alice/.ssh"));
    }

    #[test]
    fn every_protected_name_is_relative_and_plain() {
        for rule in default_protected() {
            assert!(rule.path.components().all(|c| matches!(c, Component::Normal(_))), "{rule:?}");
        }
    }
}
