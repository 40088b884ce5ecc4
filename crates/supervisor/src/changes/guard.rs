//! What of the changes needs a yes of its own: what is deleted, what is
//! protected, what Git later runs or is led by, and links that lead out.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use remit_audit::event::ChangeKind;
use remit_policy::PathRule;

use super::change::{Change, Thing};

/// Adds to each change why a person is to say yes to it in particular.
///
/// `exists` says whether the workspace has a path, relative to it.
pub(super) fn warn(changes: &mut [Change], protected: &[PathRule], exists: impl Fn(&Path) -> bool) {
    let added: HashSet<PathBuf> = changes
        .iter()
        .filter(|change| change.kind != ChangeKind::Deleted)
        .map(|change| change.path.clone())
        .collect();
    let there = |path: &Path| added.contains(path) || exists(path);
    for change in changes {
        let mut warnings = Vec::new();
        match (change.kind, &change.thing) {
            (ChangeKind::Deleted, Thing::Directory(below)) if *below > 0 => {
                warnings.push(format!("it deletes the directory and all {below} things below it"));
            }
            (ChangeKind::Deleted, _) => warnings.push("it deletes what is there".to_owned()),
            (ChangeKind::Replaced, _) => {
                warnings.push("it deletes what is there, which is of another kind".to_owned());
            }
            _ => {}
        }
        warnings.extend(protection(change, protected));
        if leads_git(&change.path) || in_bare_repository(&change.path, &there) {
            warnings.push("Git runs it, or is led by it to what it runs".to_owned());
        }
        if let (Thing::Link(target), false) = (&change.thing, change.kind == ChangeKind::Deleted)
            && leads_out(&change.path, target)
        {
            warnings.push("the link may lead out of the workspace".to_owned());
        }
        change.warnings = warnings;
    }
}

fn protection(change: &Change, protected: &[PathRule]) -> Option<String> {
    // A directory may be made or stay where a protected name is below it; that
    // name is then a change of its own.
    let holds = matches!(change.thing, Thing::Directory(_))
        && matches!(change.kind, ChangeKind::Added | ChangeKind::Modified);
    let rule = protected.iter().find(|rule| {
        begins_with(&change.path, &rule.path) || !holds && begins_with(&rule.path, &change.path)
    })?;
    let why = rule.basis.justification.as_deref().unwrap_or("the policy says so");
    Some(format!("`{}` is protected: {why}", rule.path.display()))
}

/// Whether a path is another or below it, on any file system: those that fold
/// case or pass over invisible characters included.
fn begins_with(path: &Path, prefix: &Path) -> bool {
    let mut names = path.components();
    prefix.components().all(|wanted| {
        names.next().is_some_and(|name| folded(name.as_os_str()) == folded(wanted.as_os_str()))
    })
}

fn folded(name: &OsStr) -> Vec<u8> {
    name.as_bytes().to_ascii_lowercase().into_iter().filter(u8::is_ascii).collect()
}

/// What in the workspace's own `.git` holds data and names no program.
const GIT_DATA: [&str; 17] = [
    "objects",
    "refs",
    "logs",
    "index",
    "HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "AUTO_MERGE",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "COMMIT_EDITMSG",
    "SQUASH_MSG",
    "packed-refs",
];

/// Whether a path is part of a repository and not known to be mere data.
fn leads_git(path: &Path) -> bool {
    let names: Vec<_> = path.components().map(|name| name.as_os_str()).collect();
    match names.iter().position(|name| folded(name) == b".git") {
        None => false,
        Some(0) => match &names[1..] {
            // Only as it is spelt: another spelling is not the workspace's own.
            [first, rest @ ..] if names[0] == ".git" => {
                let data = GIT_DATA.iter().any(|data| first == data);
                // Other repositories to take objects from.
                let elsewhere = *first == "objects" && rest.first().is_some_and(|n| *n == "info");
                !data || elsewhere
            }
            _ => true,
        },
        // A repository inside the workspace, with a configuration of its own.
        Some(_) => true,
    }
}

/// Whether a path lies in a directory that Git would take for a repository
/// although it is not called `.git`.
fn in_bare_repository(path: &Path, there: &dyn Fn(&Path) -> bool) -> bool {
    let own = Path::new(".git");
    path.ancestors()
        .skip(1)
        .filter(|above| !above.starts_with(own))
        .any(|above| ["HEAD", "objects", "refs"].iter().all(|part| there(&above.join(part))))
}

/// Whether a link at `path` could lead out of the workspace, by spelling.
fn leads_out(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() as i64 - 1;
    let mut went_down = false;
    target.components().any(|part| match part {
        Component::RootDir | Component::Prefix(_) => true,
        Component::ParentDir => {
            depth -= 1;
            // After a name, `..` leads to wherever a link of that name leads.
            depth < 0 || went_down
        }
        Component::Normal(_) => {
            depth += 1;
            went_down = true;
            false
        }
        Component::CurDir => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_data_is_free_and_what_leads_git_is_not() {
        let check =
            |path: &str, expected| assert_eq!(leads_git(Path::new(path)), expected, "{path}");
        check("src/main.rs", false);
        check(".gitignore", false);
        check(".git/objects/ab/cdef", false);
        check(".git/refs/heads/main", false);
        check(".git/index", false);
        check(".git/HEAD", false);
        check(".git", true);
        check(".git/config", true);
        check(".git/hooks/pre-commit", true);
        check(".git/info/attributes", true);
        check(".git/objects/info/alternates", true);
        check(".git/worktrees/x/gitdir", true);
        check(".git/something-new", true);
        check(".GIT/index", true);
        check(".g\u{200c}it/hooks/x", true);
        check("vendor/x/.git/objects/ab", true);
        check("vendor/x/.git", true);
    }

    #[test]
    fn a_link_stays_inside_by_spelling() {
        let check = |path: &str, target: &str, expected| {
            assert_eq!(leads_out(Path::new(path), Path::new(target)), expected, "{path} {target}");
        };
        check("a", "b", false);
        check("d/a", "../b", false);
        check("d/a", "./b/c", false);
        check("a", "../b", true);
        check("d/a", "../../b", true);
        check("a", "/etc/passwd", true);
        check("a", "b/../c", true);
        check("a", "", false);
    }

    #[test]
    fn a_protected_name_is_one_in_any_spelling() {
        let check = |path: &str, prefix: &str, expected| {
            assert_eq!(begins_with(Path::new(path), Path::new(prefix)), expected, "{path}");
        };
        check(".vscode/tasks.json", ".vscode", true);
        check(".VSCode", ".vscode", true);
        check(".vs\u{200b}code/x", ".vscode", true);
        check(".vscode2", ".vscode", false);
        check("a/.vscode", ".vscode", false);
    }

    #[test]
    fn a_bare_repository_is_seen_by_what_it_holds() {
        let there = |path: &Path| {
            ["x/HEAD", "x/objects", "x/refs", "y/HEAD"].iter().any(|known| path == Path::new(known))
        };
        assert!(in_bare_repository(Path::new("x/config"), &there));
        assert!(in_bare_repository(Path::new("x/hooks/post-checkout"), &there));
        assert!(!in_bare_repository(Path::new("y/config"), &there));
        assert!(!in_bare_repository(Path::new(".git/HEAD"), &|path| path.starts_with(".git")));
    }
}
