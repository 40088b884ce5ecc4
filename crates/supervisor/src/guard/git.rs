//! Git directories that are not called `.git`: bare repositories, and what
//! somebody prepares to become one.
//!
//! Git takes any directory for a repository that has `HEAD`, `objects` and
//! `refs`, or `HEAD` and `commondir`. In one that is there, what Git obeys stays
//! as it is, as in a `.git`. The name that would complete one is refused where
//! repositories may not be made; where they may, what lies there already has to
//! be harmless.
//! SOURCE: git, setup.c, is_git_directory.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

use remit_policy::{Attempt as _, Change, FileWrite, Git, Refusal, Verdict};
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

use super::Guard;
use super::act::contents;

/// Names that matter only in a Git directory.
const OBEYED: [&str; 8] = [
    "hooks",
    "config",
    "config.lock",
    "config.worktree",
    "info",
    "commondir",
    "modules",
    "worktrees",
];

impl Guard {
    /// The objection to a change in what is, or would become, a Git directory
    /// under another name.
    pub(super) fn object_in_bare(&self, attempt: &FileWrite) -> Result<(), Box<Refusal>> {
        if matches!(attempt.change, Change::Remove | Change::Attributes) {
            return Ok(());
        }
        let path = &attempt.path;
        let Some(name) = path.file_name() else { return Ok(()) };
        if !self.writing.is_in_project(path) {
            return Ok(());
        }
        if let Some(at) = path.iter().position(|name| folded(name) == ".git") {
            return self.object_in_git(attempt, at);
        }
        if self.writing.git() == Git::Read
            && let Some(directory) = path
                .ancestors()
                .skip(1)
                .find(|above| self.writing.is_in_project(above) && self.is_repository(above))
        {
            return refusal_of(self.writing.judge_in_git(attempt.clone(), directory));
        }
        if let Some(holder) = path.parent()
            && self.would_complete(holder, name)
        {
            // In the words for what it would become, but about what was tried.
            let summary = attempt.summary();
            self.refuse_completed(holder)
                .map_err(|refusal| Box::new(Refusal { attempt: summary, ..*refusal }))?;
        }
        let Some(first) = path.iter().position(|name| OBEYED.contains(&&*folded(name))) else {
            return Ok(());
        };
        // The directory above the first such name, or above any further one.
        for directory in path.ancestors().skip(1).filter(|above| above.iter().count() >= first) {
            if self.is_repository(directory) {
                return refusal_of(self.writing.judge_in_git(attempt.clone(), directory));
            }
        }
        Ok(())
    }

    /// Whether a file's contents have to be judged before it is put at this path.
    pub(super) fn minds_contents(&self, path: &Path) -> bool {
        let is_configuration = || {
            let name = path.file_name().map(folded).unwrap_or_default();
            matches!(&*name, "config" | "config.worktree")
        };
        self.writing.minds_contents(path)
            || (self.writing.git() == Git::Manage
                && self.writing.is_in_project(path)
                && is_configuration()
                && path.parent().is_some_and(|holder| self.is_repository(holder)))
    }

    /// Nothing in a `.git` becomes another repository, but those that Git keeps
    /// for submodules and worktrees.
    fn object_in_git(&self, attempt: &FileWrite, at: usize) -> Result<(), Box<Refusal>> {
        let path = &attempt.path;
        let inside: Vec<_> = path.iter().skip(at + 1).map(folded).collect();
        let [first, .., last] = inside.as_slice() else { return Ok(()) };
        if matches!(&**first, "modules" | "worktrees") {
            return Ok(());
        }
        match path.parent() {
            Some(holder) if self.would_complete(holder, OsStr::new(&**last)) => {
                let nested = FileWrite { path: holder.join(".git"), change: Change::MakeDirectory };
                refusal_of(self.writing.judge(nested))
                    .map_err(|refusal| Box::new(Refusal { attempt: attempt.summary(), ..*refusal }))
            }
            _ => Ok(()),
        }
    }

    fn would_complete(&self, holder: &Path, name: &OsStr) -> bool {
        let has = |name: &str| self.is_there(&holder.join(name));
        match &*folded(name) {
            "head" => has("commondir") || (has("objects") && has("refs")),
            "objects" => has("HEAD") && has("refs"),
            "refs" => has("HEAD") && has("objects"),
            "commondir" => has("HEAD"),
            _ => false,
        }
    }

    /// Refuses that a repository comes to be, unless that is allowed and nothing in
    /// it is obeyed.
    fn refuse_completed(&self, holder: &Path) -> Result<(), Box<Refusal>> {
        if self.is_repository(holder) {
            return Ok(());
        }
        let as_made = FileWrite { path: holder.join(".git"), change: Change::MakeDirectory };
        refusal_of(self.writing.judge(as_made))?;
        let config = holder.join("config");
        let text = self.read(&config).unwrap_or_default();
        let as_put = FileWrite { path: config, change: Change::PutFile };
        refusal_of(self.writing.judge_contents(as_put, &text, b""))?;
        let odd = ["hooks", "info/attributes", "config.worktree", "commondir"];
        let found = odd.iter().find(|name| {
            self.is_there(&holder.join(name)) && !self.has_samples_only(&holder.join(name))
        });
        match found {
            None => Ok(()),
            Some(name) => {
                let path = holder.join(".git").join(name).join("one");
                refusal_of(self.writing.judge(FileWrite { path, change: Change::PutFile }))
            }
        }
    }

    fn is_repository(&self, directory: &Path) -> bool {
        let has = |name: &str| self.is_there(&directory.join(name));
        has("HEAD") && (has("commondir") || (has("objects") && has("refs")))
    }

    fn has_samples_only(&self, directory: &Path) -> bool {
        let Some(root) = &self.root else { return false };
        let path = directory.strip_prefix("/").unwrap_or(directory);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(opened) = openat(root, path, flags, Mode::empty()) else { return false };
        let Ok(entries) = rustix::fs::Dir::new(opened) else { return false };
        entries.into_iter().all(|entry| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name().to_bytes();
                matches!(name, b"." | b"..") || name.ends_with(b".sample")
            })
        })
    }

    fn is_there(&self, path: &Path) -> bool {
        let Some(root) = &self.root else { return true };
        let path = path.strip_prefix("/").unwrap_or(path);
        // Whatever else is wrong with it, it is not absent.
        statat(root, path, AtFlags::SYMLINK_NOFOLLOW).err() != Some(rustix::io::Errno::NOENT)
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let root = self.root.as_ref()?;
        let path = path.strip_prefix("/").unwrap_or(path);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        contents(&openat(root, path, flags, Mode::empty()).ok()?).ok()
    }
}

/// As a file system that ignores case would have it.
fn folded(name: &OsStr) -> Cow<'_, str> {
    remit_policy::fold_name(name)
}

fn refusal_of<A: remit_policy::Attempt>(verdict: Verdict<A>) -> Result<(), Box<Refusal>> {
    match verdict {
        Verdict::Allow(permit) => {
            let _ = permit.spend();
            Ok(())
        }
        Verdict::Refuse(refusal) => Err(Box::new(refusal)),
        Verdict::Ask(question) => Err(Box::new(question.unanswered("another name"))),
    }
}
