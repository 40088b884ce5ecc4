//! Laws of plans, for directories and policies that nobody would make.

use std::os::unix::fs::symlink;

use bolero::{check, produce};
use remit_policy::{Basis, Change, FileWrite, Verdict, Writing};

use super::*;

const PLACES: [&str; 16] = [
    "w",
    "w/.git",
    "w/.git/hooks",
    "w/.git/config",
    "w/.envrc",
    "w/sub",
    "w/sub/.envrc",
    "w/sub/key",
    "home",
    "home/.ssh",
    "home/.ssh/id",
    "home/.config",
    "home/.config/gh",
    "more",
    "more/.envrc",
    "more/secret",
];

fn place(home: &Path, pick: u8) -> PathBuf {
    home.join(PLACES[usize::from(pick) % PLACES.len()])
}

/// Makes a directory, a file or a link; what does not fit is left.
fn make(home: &Path, kind: u8, at: u8, to: u8) {
    let path = place(home, at);
    let _ = match kind % 4 {
        0 => fs::create_dir_all(&path),
        1 => fs::write(&path, "x"),
        2 => symlink(place(home, to), &path),
        _ => fs::create_dir_all(path.parent().unwrap_or(home)),
    };
}

fn rules(paths: impl Iterator<Item = PathBuf>) -> Vec<PathRule> {
    let paths: BTreeSet<PathBuf> = paths.collect();
    let rule = |path| PathRule { path, basis: Basis::built_in("a rule") };
    paths.into_iter().map(rule).collect()
}

/// The step of the view that decides about a path: the last at or above it.
fn decides<'p>(plan: &'p Plan, path: &Path) -> Option<&'p Mount> {
    plan.mounts.iter().rev().find(|mount| match mount {
        Mount::Host { path: at, .. }
        | Mount::Overlay { path: at, .. }
        | Mount::Fixed { path: at, .. }
        | Mount::Private { path: at, .. }
        | Mount::Hidden { path: at, .. }
        | Mount::Text { path: at, .. } => path.starts_with(at),
        Mount::Processes => path.starts_with("/proc"),
        Mount::Devices => path.starts_with("/dev"),
    })
}

/// Whether the floor lets files at a path be opened.
fn is_granted(plan: &Plan, path: &Path) -> bool {
    plan.floor.iter().any(|grant| match grant {
        Floor::List(_) => false,
        Floor::Read(at) | Floor::Write(at) | Floor::Own(at) | Floor::Device(at) => {
            path.starts_with(at)
        }
    })
}

fn is_covered(plan: &Plan, path: &Path) -> bool {
    matches!(decides(plan, path), Some(Mount::Hidden { .. } | Mount::Private { .. }))
}

fn is_writable(plan: &Plan, path: &Path) -> bool {
    use Access::Write;
    matches!(
        decides(plan, path),
        Some(Mount::Host { access: Write, .. } | Mount::Fixed { access: Write, .. })
    )
}

type Input = (Vec<(u8, u8, u8)>, Vec<u8>, Vec<u8>, Vec<u8>, u8);

/// A made-up policy for made-up directories; `None` where no session starts.
fn planned(home: &Path, input: &Input) -> Option<(Filesystem, Roots, Plan)> {
    const PROTECTED: [&str; 4] = [".envrc", "sub/.envrc", "sub/key", "sub"];
    let (things, hidden, write, protected, git) = input;
    let workspace = home.join("w");
    fs::create_dir(&workspace).expect("a workspace");
    for (kind, at, to) in things {
        make(home, *kind, *at, *to);
    }
    let basis = Basis::built_in("a rule");
    let names = protected.iter().map(|pick| PROTECTED[usize::from(*pick) % PROTECTED.len()].into());
    let files = Filesystem {
        workspace: remit_policy::Access::Write,
        workspace_basis: basis.clone(),
        write: rules(write.iter().map(|pick| place(home, *pick))),
        hidden: rules(hidden.iter().map(|pick| place(home, *pick))),
        protected: rules(names),
        git: [Git::Manage, Git::Commit, Git::Read][usize::from(*git) % 3],
        git_basis: basis,
        unwritable: Vec::new(),
    };
    let roots = roots(&files, &workspace, &[], None);
    let is_refused = unprotectable(&files, &roots).is_some()
        || redirected(&files, &workspace).is_some()
        || exposed(&files, &workspace).is_some();
    let command = Command {
        program: "/bin/true".into(),
        argv: vec!["true".into()],
        directory: workspace.clone(),
        environment: Vec::new(),
    };
    let plan = || lower(&files, &workspace, &roots, None, command);
    (!is_refused).then(plan).map(|plan| (files, roots, plan))
}

fn hidden_is_shut(files: &Filesystem, plan: &Plan, workspace: &Path) {
    for rule in &files.hidden {
        let shown = || format!("{}:\n{files:#?}\n{plan}", rule.path.display());
        match rule.path.canonicalize() {
            Ok(target) => {
                let shut = is_covered(plan, &target) || !is_granted(plan, &target);
                assert!(shut, "hidden and open: {}", shown());
            }
            // A known gap: by way of a link, which may itself be in a writable root.
            Err(_) if rule.path.ancestors().any(is_link) => {}
            // In the workspace it is the agent's own to make.
            Err(_) if rule.path.starts_with(workspace) => {}
            Err(_) => assert!(!is_writable(plan, &rule.path), "hidden, can be made: {}", shown()),
        }
    }
}

fn protected_is_held(files: &Filesystem, roots: &Roots, plan: &Plan) {
    let writing = Writing::new(files, roots.clone());
    for root in &roots.projects {
        for rule in files.shut() {
            let path = root.join(&rule.path);
            let shown = || format!("{}:\n{files:#?}\n{plan}", path.display());
            if path.exists() {
                assert!(!is_writable(plan, &path), "protected, writable: {}", shown());
                continue;
            }
            let attempt = FileWrite { path: path.clone(), change: Change::MakeLink };
            let refused = matches!(writing.judge(attempt), Verdict::Refuse(_));
            assert!(refused, "protected, not judged: {}", shown());
        }
    }
}

#[test]
fn what_is_hidden_is_shut_and_what_is_protected_is_held() {
    // Not where the session has a private directory, if that can be helped.
    let program = std::env::current_exe().expect("a program");
    let beside = program.parent().expect("a directory");
    let picks = || produce::<Vec<u8>>().with().len(0..4_usize);
    let things = produce::<Vec<(u8, u8, u8)>>().with().len(0..14_usize);
    let input = (things, picks(), picks(), picks(), produce::<u8>());
    check!().with_iterations(300).with_generator(input).for_each(|input| {
        let home = tempfile::tempdir_in(beside).expect("a directory");
        let at = home.path().canonicalize().expect("a path");
        let Some((files, roots, plan)) = planned(&at, input) else { return };
        hidden_is_shut(&files, &plan, &at.join("w"));
        protected_is_held(&files, &roots, &plan);
    });
}
