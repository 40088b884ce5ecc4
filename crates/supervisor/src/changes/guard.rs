//! What of the changes needs a yes of its own: what is deleted, what is
//! protected, what Git later runs or is led by, and links that lead out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Component, Path};

use remit_audit::event::ChangeKind;
use remit_policy::{PathRule, Writing};

use super::change::{Change, Thing};
use crate::repository;

/// Adds to each change why a person is to say yes to it in particular.
///
/// `exists` says whether the workspace has a path, relative to it. What it has
/// and what it is to get count together: half of a repository may be either.
pub(super) fn warn(changes: &mut [Change], protected: &[PathRule], exists: impl Fn(&Path) -> bool) {
    let left = changes.iter().filter(|change| change.kind != ChangeKind::Deleted);
    let added: HashSet<String> = left.map(|change| folded(&change.path).join("/")).collect();
    let there = |path: &Path| added.contains(&folded(path).join("/")) || exists(path);
    let protected: Vec<Protected<'_>> = protected.iter().map(Protected::of).collect();
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
        warnings.extend(protection(change, &protected));
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

/// A protected name, folded.
struct Protected<'a> {
    names: Vec<Cow<'a, str>>,
    rule: &'a PathRule,
}

impl<'a> Protected<'a> {
    fn of(rule: &'a PathRule) -> Self {
        Self { names: folded(&rule.path), rule }
    }
}

fn protection(change: &Change, protected: &[Protected<'_>]) -> Option<String> {
    // A directory may be made or stay where a protected name is below it; that
    // name is then a change of its own. A file or a link there may lead to one
    // that is elsewhere.
    let holds = matches!(change.thing, Thing::Directory(_))
        && matches!(change.kind, ChangeKind::Added | ChangeKind::Modified);
    let names = folded(&change.path);
    let touches = |name: &&Protected<'_>| {
        names.starts_with(&name.names) || !holds && name.names.starts_with(&names)
    };
    let rule = protected.iter().find(touches)?.rule;
    let why = rule.basis.justification.as_deref().unwrap_or("the policy says so");
    Some(format!("`{}` is protected: {why}", rule.path.display()))
}

/// A path's names as policy compares them.
fn folded(path: &Path) -> Vec<Cow<'_, str>> {
    path.iter().map(Writing::fold_name).collect()
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
    let names = folded(path);
    match names.iter().position(|name| name == ".git") {
        None => false,
        Some(0) => {
            // Only as they are spelt: another spelling is not the workspace's own.
            let mut spelt = path.iter();
            let own = spelt.next().is_some_and(|name| name == ".git");
            let data = spelt.next().is_some_and(|name| GIT_DATA.iter().any(|data| name == *data));
            // Other repositories to take objects from.
            let elsewhere = names.get(1).is_some_and(|name| name == "objects")
                && names.get(2).is_some_and(|name| name == "info");
            !own || !data || elsewhere
        }
        // A repository inside the workspace, with a configuration of its own.
        Some(_) => true,
    }
}

/// Whether a path lies in a directory that Git would take for a repository
/// although it is not called `.git`.
fn in_bare_repository(path: &Path, there: &dyn Fn(&Path) -> bool) -> bool {
    path.ancestors()
        .skip(1)
        .filter(|above| *above != ".git")
        .any(|above| repository::is_repository(|name| there(&above.join(name))))
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
    use std::path::PathBuf;

    use remit_policy::Basis;

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
        check(".git/objects/INFO/alternates", true);
        check("git~1/config", true);
        check(".git ./index", true);
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

    /// Which paths need a yes, of changes that leave a thing at each.
    fn needing(left: &[(&str, Thing)], protected: &[&str], there: &[&str]) -> Vec<PathBuf> {
        let rule = |name: &&str| PathRule { path: name.into(), basis: Basis::built_in("r") };
        let protected: Vec<_> = protected.iter().map(rule).collect();
        let change = |(path, thing): &(&str, Thing)| Change {
            path: path.into(),
            kind: ChangeKind::Added,
            thing: thing.clone(),
            mode: None,
            warnings: Vec::new(),
            barred: None,
            conflict: false,
            host: None,
            permissions: 0o644,
        };
        let mut changes: Vec<_> = left.iter().map(change).collect();
        warn(&mut changes, &protected, |path| there.iter().any(|known| path == *known));
        let warned = changes.into_iter().filter(|change| !change.warnings.is_empty());
        warned.map(|change| change.path).collect()
    }

    #[test]
    fn a_protected_name_is_one_in_any_spelling() {
        let check = |path: &str, protected: &str, expected: bool| {
            let found = needing(&[(path, Thing::File(1))], &[protected], &[]);
            assert_eq!(!found.is_empty(), expected, "{path}");
        };
        check(".vscode/tasks.json", ".vscode", true);
        check(".VSCode", ".vscode", true);
        check(".vs\u{200b}code/x", ".vscode", true);
        check(".v\u{17f}code/tasks.json", ".vscode", true);
        check(".vscode2", ".vscode", false);
        check("a/.vscode", ".vscode", false);
        check(".envrc.", ".envrc", true);
        check(".envrc ", ".envrc", true);
        check(".envrc::$DATA", ".envrc", true);
        check(".envrc.example", ".envrc", false);
        check("git~1/config", ".envrc", true);
        check("gitlab/config", ".envrc", false);
    }

    #[test]
    fn what_is_above_a_protected_name_may_be_a_directory_and_nothing_else() {
        let link = || Thing::Link("elsewhere".into());
        let check = |path: &str, thing: Thing, expected: bool| {
            let found = needing(&[(path, thing)], &[".jj/repo/config.toml"], &[]);
            assert_eq!(!found.is_empty(), expected, "{path}");
        };
        for path in [".jj", ".jj/repo", ".JJ/repo", ".jj/repo/config.toml"] {
            check(path, Thing::File(1), true);
            check(path, link(), true);
        }
        check(".jj/repo", Thing::Directory(0), false);
        check(".jj/repo/config.toml", Thing::Directory(0), true);
        check(".jj/repo/op_store/x", Thing::File(1), false);
        check("jj", link(), false);
    }

    #[test]
    fn a_bare_repository_is_seen_by_what_it_holds() {
        let check = |left: &[&str], there: &[&str], expected: &[&str]| {
            let left: Vec<_> = left.iter().map(|path| (*path, Thing::File(1))).collect();
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(needing(&left, &[], there), expected, "{left:?} beside {there:?}");
        };
        let there = ["x/HEAD", "x/objects", "x/refs", "y/HEAD"];
        check(
            &["x/config", "x/hooks/post-checkout"],
            &there,
            &["x/config", "x/hooks/post-checkout"],
        );
        check(&["y/config"], &there, &[]);
        check(&["y/objects/a", "y/refs"], &there, &[]);
        check(&["y/objects", "y/refs"], &there, &["y/objects", "y/refs"]);
        check(&["y/commondir", "z/config"], &there, &["y/commondir"]);
        check(&["a/HEAD", "a/commondir"], &[], &["a/HEAD", "a/commondir"]);
        check(&["a/head", "a/CommonDir"], &[], &["a/head", "a/CommonDir"]);
        check(&["a/HEAD"], &["a/commondir"], &["a/HEAD"]);
        check(&["HEAD", "src/x"], &["objects", "refs"], &["HEAD", "src/x"]);
        check(&[".git/HEAD", ".git/index"], &[".git/objects", ".git/refs"], &[]);
        check(
            &[".git/refs/x/HEAD", ".git/refs/x/commondir"],
            &[],
            &[".git/refs/x/HEAD", ".git/refs/x/commondir"],
        );
    }
}
