//! What the workspace's repository says of itself: where a worktree keeps its
//! objects, and where hooks lie that are not in `.git/hooks`.
//!
//! All of it is an allegation. What it could make writable is checked from the
//! other side, and what it could make protected only narrows.

use std::fs;
use std::path::{Component, Path, PathBuf};

use remit_policy::GitRoot;

/// The Git directory that a worktree shares with others, if both sides say so.
///
/// `.git` of a worktree is a file that points to `REPOSITORY/worktrees/NAME`.
/// Anybody can write such a file; that the repository points back is what only
/// `git worktree add` in that repository did.
pub(crate) fn shared(workspace: &Path) -> Option<GitRoot> {
    let pointer = workspace.join(".git");
    if !pointer.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let own = pointed(&pointer, "gitdir: ", workspace)?;
    let back = pointed(&own.join("gitdir"), "", &own)?;
    if back != pointer.canonicalize().ok()? {
        return None;
    }
    let common = pointed(&own.join("commondir"), "", &own)?;
    let below = own.strip_prefix(&common).ok()?.to_path_buf();
    let is_usual = below.starts_with("worktrees") && below.components().count() == 2;
    let is_repository = common.join("objects").is_dir() && common.join("HEAD").is_file();
    (is_usual && is_repository).then_some(GitRoot { path: common, own: below })
}

/// The path in a file of one line, links followed.
fn pointed(file: &Path, prefix: &str, base: &Path) -> Option<PathBuf> {
    let about = file.symlink_metadata().ok()?;
    if !about.is_file() || about.len() > 8192 {
        return None;
    }
    let text = fs::read_to_string(file).ok()?;
    let path = text.strip_prefix(prefix)?.trim_end_matches('\n');
    base.join(path).canonicalize().ok()
}

/// Directories in the workspace that Git looks for hooks in, because some
/// configuration says so: relative to the workspace.
pub(crate) fn hooks(workspace: &Path, home: &Path) -> Vec<PathBuf> {
    let files = [
        workspace.join(".git/config"),
        home.join(".gitconfig"),
        home.join(".config/git/config"),
        PathBuf::from("/etc/gitconfig"),
    ];
    let texts =
        files.iter().filter(|file| file.is_file()).filter_map(|file| fs::read_to_string(file).ok());
    let named: Vec<String> = texts.flat_map(|text| hooks_paths(&text)).collect();
    named
        .iter()
        .filter_map(|path| {
            let path = workspace.join(path);
            let below = path.strip_prefix(workspace).ok()?;
            let plain = below
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            let below: PathBuf =
                below.components().filter(|part| *part != Component::CurDir).collect();
            (plain && !below.as_os_str().is_empty()).then_some(below)
        })
        .collect()
}

/// Every value of `core.hooksPath`, read generously: one too many protects more.
fn hooks_paths(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let line = line.rsplit(']').next()?.trim();
            let (name, value) = line.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case("hookspath");
            is_it.then(|| value.trim().trim_matches('"').to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(at: &Path, words: &[&str]) {
        let who = ["-c", "user.name=n", "-c", "user.email=e"];
        let status = Command::new("git").arg("-C").arg(at).args(who).args(words).status();
        assert!(status.is_ok_and(|status| status.success()), "git {words:?}");
    }

    #[test]
    fn a_worktree_shares_what_points_back_to_it() {
        let base = tempfile::tempdir().expect("a directory");
        let at = base.path().canonicalize().expect("a path");
        let main = at.join("main");
        fs::create_dir(&main).expect("a directory");
        git(&main, &["init", "-q"]);
        git(&main, &["commit", "-q", "--allow-empty", "-m", "one"]);
        git(&main, &["worktree", "add", "-q", "../tree"]);
        let root = shared(&at.join("tree")).expect("a shared directory");
        assert_eq!(
            (root.path.as_path(), root.own.as_path()),
            (main.join(".git").as_path(), Path::new("worktrees/tree"))
        );
        assert!(shared(&main).is_none());
        // A pointer that anybody could have written.
        let liar = at.join("liar");
        fs::create_dir(&liar).expect("a directory");
        fs::copy(at.join("tree/.git"), liar.join(".git")).expect("a copy");
        assert!(shared(&liar).is_none());
    }

    #[test]
    fn hooks_are_found_where_a_configuration_says() {
        let said =
            "[core]\n\tbare = false\n\thooksPath = .hooks\n[Core] HOOKSPATH=\"tools/hooks\"\n";
        assert_eq!(hooks_paths(said), [".hooks", "tools/hooks"]);
    }
}
