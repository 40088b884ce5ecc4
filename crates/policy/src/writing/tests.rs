use super::*;
use crate::policy::{AgentNeeds, Policy, PolicyText, TextKind};
use crate::{Layer, Place};

pub(super) fn writing(settings: &str) -> Writing {
    let text = PolicyText {
        layer: Layer::User,
        kind: TextKind::Settings,
        file: "config.toml".to_owned(),
        text: settings.to_owned(),
    };
    let place = Place { home: "/home/ada".into(), workspace: "/home/ada/p".into() };
    let policy = Policy::compile(&[text], None, &AgentNeeds::default(), &place).expect("a policy");
    let roots = Roots {
        projects: vec!["/home/ada/p".into(), "/srv/more".into()],
        state: vec!["/home/ada/.codex".into()],
        private: vec!["/tmp".into()],
        git: vec![GitRoot { path: "/srv/repo.git".into(), own: "worktrees/p".into() }],
    };
    Writing::new(policy.filesystem(), roots)
}

/// What is said to a change: nothing, or the rule that refuses.
#[track_caller]
fn check(writing: &Writing, change: Change, path: &str, expected: Option<&str>) {
    let path = match path.strip_prefix('/') {
        Some(_) => path.into(),
        None => Path::new("/home/ada/p").join(path),
    };
    let said = match writing.judge(FileWrite { path: path.clone(), change }) {
        Verdict::Allow(_) => None,
        Verdict::Ask(_) => panic!("nobody is asked"),
        Verdict::Refuse(refusal) => Some(refusal.basis.rule),
    };
    assert_eq!(said.as_deref(), expected, "{change:?} {}", path.display());
}

#[test]
fn what_others_trust_is_not_written_whether_it_is_there_or_not() {
    let w = writing("");
    check(&w, Change::Write, "src/main.rs", None);
    check(&w, Change::Write, ".envrc", Some("protect .envrc"));
    check(&w, Change::PutFile, ".ENVRC", Some("protect .envrc"));
    check(&w, Change::MakeLink, ".mcp.json", Some("protect .mcp.json"));
    check(&w, Change::MakeDirectory, ".vscode", Some("protect .vscode"));
    check(&w, Change::Write, ".vscode/tasks.json", Some("protect .vscode"));
    check(&w, Change::Write, "/srv/more/.envrc", Some("protect .envrc"));
    check(&w, Change::Write, ".envrc.example", None);
    check(&w, Change::Write, "sub/.envrc", None);
    check(&w, Change::Write, "/tmp/.envrc", None);
    check(&w, Change::Write, "/home/ada/.codex/config.toml", None);
    check(&w, Change::Write, "/home/ada/.bashrc", Some("nothing outside the workspace is written"));
}

#[test]
fn other_tools_commit_and_are_not_led_elsewhere() {
    let w = writing("");
    for free in [
        ".hg/dirstate",
        ".hg/store/00changelog.i",
        ".hg/wlock",
        ".hg/last-message.txt",
        ".sl/treestate/x",
        ".sl/store/metalog/x",
        ".jj/repo/op_heads/heads/x",
        ".jj/repo/store/extra/x",
        ".jj/working_copy/checkout",
    ] {
        check(&w, Change::Write, free, None);
        check(&w, Change::PutFile, free, None);
        check(&w, Change::Take, free, None);
    }
    for shut in [
        ".hg/requires",
        ".hg/sharedpath",
        ".sl/requires",
        ".sl/sharedpath",
        ".jj/repo/store/git_target",
        ".jj/workspace-config.toml",
    ] {
        let rule = format!("protect {shut}");
        for change in [Change::Write, Change::PutFile, Change::MakeLink, Change::Take] {
            check(&w, change, shut, Some(&rule));
        }
    }
}

#[test]
fn nothing_is_brought_along_with_a_directory_or_a_link() {
    let w = writing("");
    let rule = Some("protect .claude/settings.json");
    check(&w, Change::MakeDirectory, ".claude", None);
    check(&w, Change::Write, ".claude/notes.md", None);
    check(&w, Change::Write, ".claude/settings.json", rule);
    check(&w, Change::PutDirectory { empty: true }, ".claude", None);
    let first = Some("protect .claude/agents");
    check(&w, Change::PutDirectory { empty: false }, ".claude", first);
    check(&w, Change::MakeLink, ".claude", first);
    check(&w, Change::Write, ".claude", first);
    check(&w, Change::Take, ".claude", first);
}

#[test]
fn committing_writes_what_git_keeps_and_nothing_that_it_obeys() {
    let w = writing("");
    let rule = Some(r#"sandbox.git = "commit""#);
    for free in
        ["index.lock", "HEAD", "objects/ab/cd", "refs/heads/config", "logs/HEAD", "info/exclude"]
    {
        check(&w, Change::Write, &format!(".git/{free}"), None);
        check(&w, Change::Write, &format!("deep/er/.git/{free}"), None);
    }
    for shut in [
        "hooks/pre-commit",
        "hooks/x.sample",
        "config",
        "config.lock",
        "config.worktree",
        "commondir",
        "gitdir",
        "info/attributes",
        "modules/a/b/config",
        "modules/a/hooks/post-checkout",
        "modules/a/info/attributes",
        "worktrees/w/gitdir",
        "worktrees/w/commondir",
        "worktrees/w/config.worktree",
    ] {
        for git in [".git", ".GIT", "deep/er/.git", ".g\u{200c}it"] {
            for change in [Change::Write, Change::PutFile, Change::MakeLink, Change::Take] {
                check(&w, change, &format!("{git}/{shut}"), rule);
            }
        }
    }
    check(&w, Change::Write, ".git/modules/a/b/index", None);
    check(&w, Change::Write, ".git/modules/a/refs/heads/x", None);
    check(&w, Change::Write, ".git/worktrees/w/index", None);
    check(&w, Change::MakeDirectory, ".git/worktrees/new", rule);
    check(&w, Change::MakeLink, ".git/logs/HEAD", rule);
    check(&w, Change::MakeLink, ".git/modules", rule);
    check(&w, Change::MakeDirectory, ".git/modules", rule);
    for prepared in
        [".git/x/HEAD", ".git/objects/x/.git/config", ".git/.git/HEAD", "a/.git/lfs/.GIT"]
    {
        check(&w, Change::Write, prepared, rule);
        check(&w, Change::MakeDirectory, prepared, rule);
    }
    check(&w, Change::MakeDirectory, ".git/x", rule);
    check(&w, Change::Write, ".git/x", None);
}

#[test]
fn no_repository_is_made_unless_policy_says_so() {
    let commit = writing("");
    let manage = writing("[sandbox]\ngit = \"manage\"");
    let read = writing("[sandbox]\ngit = \"read\"");
    for (change, path, by_manage) in [
        (Change::MakeDirectory, "new/.git", None),
        (Change::Write, "tree/.git", None),
        (Change::Write, "new/.git/config.lock", None),
        (Change::PutFile, "new/.git/config", None),
        (Change::MakeDirectory, "new/.git/hooks", None),
        (Change::Write, "new/.git/hooks/pre-push.sample", None),
        (Change::MakeDirectory, ".git/worktrees/w", None),
        (Change::Write, ".git/worktrees/w/commondir", None),
        (Change::Write, "new/.git/commondir", Some(())),
        (Change::PutFile, ".git/worktrees/w/commondir", Some(())),
        (Change::Write, "new/.git/config", Some(())),
        (Change::Write, "new/.git/hooks/pre-push", Some(())),
        (Change::PutFile, "new/.git/hooks/pre-push", Some(())),
        (Change::PutDirectory { empty: false }, "new/.git", Some(())),
        (Change::MakeLink, "new/.git", Some(())),
        (Change::MakeLink, "new/.git/hooks", Some(())),
        (Change::PutDirectory { empty: false }, "new/.git/hooks", Some(())),
        (Change::Write, "new/.git/info/attributes", Some(())),
    ] {
        check(&commit, change, path, Some(r#"sandbox.git = "commit""#));
        check(&read, change, path, Some(r#"sandbox.git = "read""#));
        check(&manage, change, path, by_manage.map(|()| r#"sandbox.git = "manage""#));
    }
    check(&read, Change::Write, ".git/index.lock", Some(r#"sandbox.git = "read""#));
}

#[test]
fn a_worktree_writes_what_is_its_own_and_what_all_share() {
    let w = writing("");
    let rule = Some(r#"sandbox.git = "commit""#);
    for free in [
        "objects/ab/cd",
        "refs/heads/x",
        "packed-refs.lock",
        "worktrees/p/index",
        "worktrees/p/HEAD",
    ] {
        check(&w, Change::Write, &format!("/srv/repo.git/{free}"), None);
    }
    for shut in [
        "HEAD",
        "index",
        "config",
        "hooks/x",
        "worktrees/q/HEAD",
        "worktrees/p/gitdir",
        "info/attributes",
        "",
    ] {
        check(&w, Change::Write, &format!("/srv/repo.git/{shut}"), rule);
    }
}

#[test]
fn a_project_may_protect_more() {
    let w = writing("[sandbox]\nprotect = [\"deploy/keys\", \"./Makefile\"]");
    check(&w, Change::Write, "deploy/keys/a", Some(r#"sandbox.protect "deploy/keys""#));
    check(&w, Change::Write, "Makefile", Some(r#"sandbox.protect "./Makefile""#));
    check(&w, Change::Write, "deploy/other", None);
}

#[test]
fn what_will_be_run_outside_is_told() {
    let w = writing("");
    let told = |path: &str| w.handoff(Path::new(path)).is_some();
    assert!(told("/home/ada/p/venv/bin/python3"));
    assert!(told("/home/ada/p/sub/.vscode/tasks.json"));
    assert!(told("/home/ada/p/.git/rebase-merge/git-rebase-todo"));
    assert!(told("/home/ada/.codex/config.toml"));
    assert!(!told("/home/ada/p/src/main.rs"));
    assert!(!told("/tmp/venv/bin/python3"));
    assert!(!told("/home/ada/p/bin/tool"));
}

#[test]
fn what_is_there_and_trusted_is_neither_removed_nor_changed() {
    let w = writing("");
    let git = Some(r#"sandbox.git = "commit""#);
    for change in [Change::Remove, Change::Attributes] {
        check(&w, change, "src/main.rs", None);
        check(&w, change, ".envrc", Some("protect .envrc"));
        check(&w, change, ".ENVRC", Some("protect .envrc"));
        check(&w, change, ".vscode/tasks.json", Some("protect .vscode"));
        check(&w, change, "/srv/more/.envrc", Some("protect .envrc"));
        check(&w, change, "sub/.envrc", None);
        // A directory above one is not removed while it holds it.
        check(&w, change, ".claude", None);
        check(&w, change, ".claude/settings.json", Some("protect .claude/settings.json"));
        check(&w, change, ".git", git);
        for shut in ["config", "hooks", "hooks/pre-commit", "info/attributes", "commondir"] {
            check(&w, change, &format!(".git/{shut}"), git);
            check(&w, change, &format!("deep/.git/{shut}"), None);
        }
        for free in ["index.lock", "config.lock", "objects/ab/cd", "refs/heads/x"] {
            check(&w, change, &format!(".git/{free}"), None);
        }
        check(&w, change, "/srv/repo.git/objects/ab/cd", None);
        check(&w, change, "/srv/repo.git/info/attributes", git);
        check(&w, change, "/srv/repo.git/worktrees/other/HEAD", git);
        check(&w, change, "/home/ada/.codex/config.toml", None);
        check(&w, change, "/home/ada/.bashrc", Some("nothing outside the workspace is written"));
        check(&w, change, "/tmp/.envrc", None);
    }
    let outside = Some("nothing outside the workspace is written");
    for root in ["/home/ada/p", "/srv/more", "/home/ada/.codex", "/tmp"] {
        check(&w, Change::Remove, root, outside);
        check(&w, Change::Attributes, root, None);
    }
    check(
        &writing("sandbox.git = 'read'"),
        Change::Remove,
        ".git/index.lock",
        Some(r#"sandbox.git = "read""#),
    );
    check(&writing("sandbox.git = 'manage'"), Change::Remove, ".git/config", None);
    check(
        &writing("sandbox.git = 'manage'"),
        Change::Remove,
        ".git/hooks/x",
        Some(r#"sandbox.git = "manage""#),
    );
}

#[test]
fn nothing_is_moved_from_one_root_to_another() {
    let w = writing("");
    let check = |one: &str, other: &str, expected| {
        assert_eq!(w.are_in_one_root(one.as_ref(), other.as_ref()), expected, "{one} {other}");
    };
    check("/home/ada/p/a", "/home/ada/p/b/c", true);
    check("/home/ada/p/a", "/srv/more/a", false);
    check("/home/ada/p/a", "/tmp/a", false);
    check("/etc/a", "/etc/b", false);
}
