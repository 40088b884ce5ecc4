//! What Git will later execute, wherever in the workspace a repository is.

use std::fs;

use super::attempts::{Attempt, Look, none_plants, none_works, py, sh};
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "escapes":
    a02_hooks_cannot_be_planted_by_any_call [Program("git"), Program("python3")],
    a03_configuration_cannot_be_changed_by_any_call [Program("git"), Program("python3")],
    a02_a_repository_below_the_workspace_is_protected_too [Program("python3"), Program("git")],
    a04_a_repository_cannot_be_made [Program("git"), Program("python3")],
    a05_a_pointer_to_a_repository_cannot_be_changed [Program("git"), Program("python3")],
    a06_what_a_pointer_leads_to_cannot_be_changed [Program("python3"), Program("git")],
    a06_ordinary_work_is_not_hindered [Program("git")],
    a07_a_planted_repository_is_not_run_by_remit [Program("git")],
    git_nothing_prepared_among_git_s_own_files_leaves_them [Program("git")],
    c21_a_set_uid_file_cannot_be_left_behind [Program("python3")],
    e01_two_sessions_take_turns [Program("python3")],
    git_read_protects_all_of_it [Program("git")],
    git_manage_makes_repositories_and_no_programs [Program("git")],
}

fn a02_hooks_cannot_be_planted_by_any_call(world: &World) {
    let target = ".git/hooks/pre-commit";
    let attempts = [
        sh(target, "echo planted > .git/hooks/pre-commit"),
        sh(target, "cp spare .git/hooks/pre-commit"),
        sh(target, "mv spare .git/hooks/pre-commit"),
        sh(target, "ln spare .git/hooks/pre-commit"),
        sh(target, "ln -s ../../spare .git/hooks/pre-commit"),
        sh(target, "mv .git/hooks/pre-commit.sample .git/hooks/pre-commit"),
        sh(target, "mkdir .git/hooks/pre-commit"),
        sh(target, "cd .git/hooks && echo planted > pre-commit"),
        sh(target, "ln -s .git/hooks h && echo planted > h/pre-commit"),
        sh(target, "ln -s .git/hooks/pre-commit p && echo planted > p"),
        sh(target, "echo planted > .git/objects/../hooks/pre-commit"),
        sh(
            ".git/hooks",
            "chmod 777 .git/hooks; rm -rf .git/hooks; mv .git/hooks .git/was; mkdir .git/hooks",
        ),
        sh(".git/hooks", "mv hooked .git/hooks || { rm -rf .git/hooks; mv hooked .git/hooks; }"),
        sh(".git/hooks", "echo planted >> .git/hooks/pre-commit.sample"),
        py(
            target,
            r#"write_all(os.open("pre-commit", os.O_CREAT | os.O_WRONLY, 0o755, dir_fd=os.open(".git/hooks", os.O_PATH)))"#,
        ),
        py(
            target,
            r#"call("linkat", AT, f"/proc/self/fd/{os.open(chr(46), os.O_TMPFILE | os.O_RDWR)}", AT, ".git/hooks/pre-commit", 0x400)"#,
        ),
        py(".git/hooks", r#"call("renameat2", AT, "hooked", AT, ".git/hooks", 2)"#),
        py(
            ".git/hooks/update.sample",
            r#"call("renameat2", AT, "spare", AT, ".git/hooks/update.sample", 2)"#,
        ),
        py(target, r#"call("mknod", ".git/hooks/pre-commit", stat.S_IFREG | 0o755, 0)"#),
        py(target, r#"socket.socket(socket.AF_UNIX).bind(".git/hooks/pre-commit")"#),
    ];
    none_works(
        world,
        "echo planted > spare; chmod 755 spare; mkdir hooked; cp spare hooked/pre-commit",
        &attempts,
    );
}

fn a03_configuration_cannot_be_changed_by_any_call(world: &World) {
    let target = ".git/config";
    let attempts = [
        sh(target, "git config core.fsmonitor ./spare"),
        sh(target, "git config core.hooksPath ./hooked"),
        sh(target, "git config --local alias.status '!./spare'"),
        sh(target, "git config core.sshCommand ./spare"),
        sh(target, "git remote add origin ext::./spare"),
        sh(target, "echo planted >> .git/config"),
        sh(target, "mv spare .git/config"),
        sh(target, "rm -f .git/config; ln spare .git/config"),
        sh(target, "ln -sf ../spare .git/config"),
        sh(target, "cp spare .git/config.new && mv .git/config.new .git/config"),
        sh(target, "truncate -s 0 .git/config"),
        sh(target, "chmod 777 .git/config; touch -d 2001-01-01 .git/config"),
        sh(target, "exec 9< .git/config; echo planted >> /proc/self/fd/9"),
        sh(target, "sed -i s/core/CORE/ .git/config"),
        py(target, r#"call("renameat2", AT, "spare", AT, ".git/config", 2)"#),
        py(target, r#"call("renameat2", AT, ".git/config", AT, "stolen", 1)"#),
        py(target, r#"call("truncate", ".git/config", 3)"#),
        py(
            target,
            r#"fd = os.open(".git/config", os.O_RDONLY); write_all(os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_TRUNC))"#,
        ),
        sh(".git/config.worktree", "echo planted > .git/config.worktree"),
        sh(".git/config.worktree", "mv spare .git/config.worktree"),
        sh(".git/config.lock", "echo planted > .git/config.lock"),
        sh(".git/config.lock", "ln -s config .git/config.lock"),
        sh(".git/commondir", "echo ../evil > .git/commondir"),
        sh(".git/gitdir", "echo ../evil > .git/gitdir"),
        sh(
            ".git/info/attributes",
            "mkdir -p .git/info; echo '* filter=evil' > .git/info/attributes",
        ),
        sh(
            ".git/info/attributes",
            "mkdir info; echo planted > info/attributes; rm -rf .git/info; mv info .git/info",
        ),
        sh(".git/modules", "mkdir -p .git/modules/lib && echo planted > .git/modules/lib/config"),
        sh(".git/modules", "mkdir -p m/lib; echo planted > m/lib/config; mv m .git/modules"),
        sh(
            ".git/info/attributes",
            "mkdir info; echo planted > info/attributes; rm -rf .git/info; ln -s ../info .git/info",
        ),
        sh(
            ".git/modules/lib",
            "mkdir -p m/lib; echo planted > m/lib/config; ln -s ../m .git/modules",
        ),
        sh(
            ".git/worktrees/x",
            "mkdir -p w/x; echo planted > w/x/config.worktree; ln -s ../w .git/worktrees",
        ),
        sh(
            ".git/worktrees",
            "mkdir -p w/x; echo planted > w/x/config.worktree; mv w .git/worktrees",
        ),
    ];
    none_works(
        world,
        "printf '[core]\\n\\tfsmonitor = ./spare\\n' > spare; mkdir hooked",
        &attempts,
    );
}

/// A repository in a subdirectory, and a bare one by the name of `.git`.
fn a02_a_repository_below_the_workspace_is_protected_too(world: &World) {
    let attempts = [
        sh("sub/.git/hooks", "echo planted > sub/.git/hooks/pre-commit"),
        sh("sub/.git/hooks", "cd sub/.git/hooks && echo planted > post-checkout"),
        sh("sub/.git/hooks", "mv spare sub/.git/hooks/pre-push"),
        sh(
            "sub/.git/hooks",
            "rm -rf sub/.git/hooks; mkdir sub/.git/hooks; echo planted > sub/.git/hooks/x",
        ),
        sh("sub/.git/config", "git -C sub config core.fsmonitor ./evil"),
        sh("sub/.git/config", "echo planted >> sub/.git/config"),
        sh("sub/.git/config", "ln -sf /nowhere-here sub/.git/config"),
        sh("sub/.git/commondir", "echo ../../evil > sub/.git/commondir"),
        sh(
            "sub/.git/info/attributes",
            "mkdir -p sub/.git/info; echo planted > sub/.git/info/attributes",
        ),
        sh(
            "sub/.git/modules",
            "mkdir -p sub/.git/modules/a; echo planted > sub/.git/modules/a/config",
        ),
        sh("deep/er/.git/hooks", "echo planted > deep/er/.git/hooks/pre-commit"),
        sh("sub/.git/HEAD", "mv sub/.git sub/was && mkdir sub/.git"),
        sh("sub/.git/HEAD", "rm -rf sub/.git/HEAD; mv sub/.git elsewhere"),
        sh("sub/.git", "mv sub moved; mkdir -p sub/.git/hooks; echo planted > sub/.git/hooks/x"),
    ];
    none_plants(world, "git init -q sub; git init -q deep/er; echo planted > spare", &attempts);
}

fn a04_a_repository_cannot_be_made(world: &World) {
    let mut attempts = Vec::new();
    for place in ["new", "new/deep/er", "."] {
        let git = format!("{place}/.git");
        attempts.extend([
            sh(&git, format!("git init -q {place}")),
            sh(&git, format!("mkdir -p {git} && echo planted > {git}/config")),
            sh(&git, format!("mkdir -p {place}; echo 'gitdir: evil' > {git}")),
            sh(&git, format!("mkdir -p {place}; ln -s /nowhere-here {git}")),
            sh(&git, format!("mkdir -p {place}; cp -a bare {git}")),
            sh(&git, format!("mkdir -p {place}; mv bare {git}")),
            sh(&git, format!("mkdir -p {place}; ln pointer {git}")),
            sh(&git, format!("mkdir -p {place}; mv pointer {git}")),
            sh(&git, format!("mkdir -p {place}; mkfifo {git}")),
        ]);
    }
    attempts.push(sh("copy/.git", "git clone -q bare copy"));
    attempts.push(sh(
        "copy/.git",
        "mkdir /tmp/r$$ && git init -q /tmp/r$$/copy && cp -r /tmp/r$$/copy .",
    ));
    attempts.push(sh("copy/.git", "mkdir -p a/b && git init -q a/b/c; mv a/b/c copy; mv a copy"));
    attempts.push(py("new/.git", r#"os.makedirs("new", exist_ok=True); call("mkdirat", os.open("new", os.O_PATH), ".git", 0o755)"#));
    attempts.push(py(
        "new/.git",
        r#"os.makedirs("new", exist_ok=True); call("renameat2", AT, "bare", AT, "new/.git", 1)"#,
    ));
    attempts.push(py(
        "new/.git",
        r#"os.makedirs("new", exist_ok=True); call("symlink", "../bare", "new/.git")"#,
    ));
    let setup = "rm -rf .git; git init -q --bare bare; echo 'gitdir: bare' > pointer";
    none_works(world, setup, &attempts);
    for place in [".git", "new/.git", "new/deep/er/.git"] {
        let left = Look::at(&world.workspace.join(place));
        assert!(left.is_nothing(), "nothing is left behind at `{place}`: {left:?}");
    }
}

fn a05_a_pointer_to_a_repository_cannot_be_changed(world: &World) {
    let target = "tree/.git";
    let attempts = [
        sh(target, "echo 'gitdir: ../evil' > tree/.git"),
        sh(target, "echo 'gitdir: ../evil' >> tree/.git"),
        sh(target, "truncate -s 0 tree/.git"),
        sh(target, "rm -f tree/.git; echo 'gitdir: ../evil' > tree/.git"),
        sh(target, "mv pointer tree/.git"),
        sh(target, "ln -sf ../pointer tree/.git"),
        sh(target, "ln -f pointer tree/.git"),
        sh(target, "mv tree/.git tree/was; mkdir tree/.git"),
        sh(target, "exec 9< tree/.git; echo 'gitdir: evil' > /proc/self/fd/9"),
        sh(
            target,
            "git worktree move tree moved; git worktree repair tree; rm -rf tree; mkdir tree; echo planted > tree/.git",
        ),
        py(target, r#"call("renameat2", AT, "pointer", AT, "tree/.git", 2)"#),
        py(target, r#"call("truncate", "tree/.git", 0)"#),
    ];
    none_plants(world, "git worktree add -q tree; echo 'gitdir: evil' > pointer", &attempts);
}

fn a06_what_a_pointer_leads_to_cannot_be_changed(world: &World) {
    let mut attempts: Vec<Attempt> = Vec::new();
    let place = ".git/worktrees/tree";
    for name in ["commondir", "gitdir", "config.worktree", "config", "hooks/pre-commit"] {
        let target = format!("{place}/{name}");
        attempts.extend([
            sh(&target, format!("mkdir -p \"$(dirname {target})\"; echo planted > {target}")),
            sh(&target, format!("mkdir -p \"$(dirname {target})\"; mv -f spare {target}")),
            sh(&target, format!("mkdir -p \"$(dirname {target})\"; ln -sf /nowhere-here {target}")),
        ]);
    }
    for name in
        ["config", "hooks/pre-commit", "commondir", "info/attributes", "modules/inner/config"]
    {
        let target = format!(".git/modules/lib/{name}");
        let parent = format!("mkdir -p \"$(dirname {target})\"");
        attempts.push(sh(&target, format!("{parent}; echo planted > {target}")));
        attempts.push(sh(&target, format!("{parent}; mv -f spare {target}")));
    }
    attempts.push(sh(
        ".git/modules/lib/config",
        "rm -rf .git/modules/lib; mkdir .git/modules/lib; echo planted > .git/modules/lib/config",
    ));
    attempts.push(sh(".git/modules/lib/config", "mv .git/modules .git/was; mkdir -p .git/modules/lib; echo planted > .git/modules/lib/config"));
    attempts.push(sh(".git/worktrees/tree/commondir", "rm -rf .git/worktrees; mkdir -p .git/worktrees/tree; echo planted > .git/worktrees/tree/commondir"));
    attempts.push(sh(
        ".git/worktrees/evil/commondir",
        "mkdir -p .git/worktrees/evil; echo planted > .git/worktrees/evil/commondir",
    ));
    let setup = "git worktree add -q tree; echo planted > spare; mkdir -p .git/modules; git init -q --bare .git/modules/lib";
    none_plants(world, setup, &attempts);
}

/// The other side of protecting it: a day's work in the default policy.
fn a06_ordinary_work_is_not_hindered(world: &World) {
    world.outside("git branch other; git worktree add -q ../tree").succeeds();
    world.rules("prefix_rule(pattern = [\"git\", \"reset\"], decision = \"allow\")\n");
    let script = "set -e
        echo more >> README; git add README; git commit -qm second
        git checkout -q -b feature; echo x > new; git add new; git commit -qm third
        git tag v1; git stash list; git branch -d other; git merge -q main
        git rebase -q main; git log --oneline; git reset -q --hard HEAD~1; git checkout -q main
        echo draft >> README; git stash -q; git stash pop -q; git commit -qam fourth; git gc -q; git status --short";
    let inside = world.inside(script).succeeds();
    assert!(inside.out.contains("third"), "{inside:?}");
    world.outside("git fsck && git log --oneline").succeeds().says("fourth");
}

/// Whatever Git obeys is harmless as long as nothing of ours starts Git.
fn a07_a_planted_repository_is_not_run_by_remit(world: &World) {
    let plant = "set -e; mkdir -p evil/objects evil/refs; echo 'ref: refs/heads/main' > evil/HEAD
        printf '[core]\\n\\trepositoryformatversion = 0\\n\\tbare = false\\n\\tworktree = ..\\n\\tfsmonitor = \"touch %s/marker; false\"\\n' \"$PWD\" > evil/config";
    // It cannot be planted from inside at all; suppose that it was.
    world.inside(plant).fails();
    world.outside(&format!("rm -rf evil; {plant}")).succeeds();
    let marker = world.workspace.join("marker");
    let place = world.workspace.join("evil").display().to_string();
    world.remit(&["run", "-C", &place, "--", "true"]);
    world.inside("true").succeeds();
    world.remit(&["log", "list"]).succeeds();
    world.remit(&["doctor"]);
    assert!(!marker.exists(), "something of ours started Git in the planted repository");
    world.outside("cd evil && git status");
    assert!(marker.exists(), "the control obeys it");
}

fn git_nothing_prepared_among_git_s_own_files_leaves_them(world: &World) {
    let nested = "git init -q nest && git -C nest commit -q --allow-empty -m one";
    world.outside(nested).succeeds();
    let attempts = [
        (
            "whole",
            "cd nest/.git && mkdir -p x/.git/objects x/.git/refs && echo 'ref: refs/heads/main' > x/.git/HEAD && echo planted > x/.git/config && mv x ../../whole",
        ),
        (
            "bare",
            "cd nest/.git/objects && mkdir -p b/objects b/refs && echo planted > b/HEAD && echo planted > b/config && mv b ../../../bare",
        ),
        (
            "moved",
            "cd nest/.git && mkdir -p lfs/y && echo planted > lfs/y/file && mv lfs/y ../../moved",
        ),
    ];
    for (target, script) in attempts {
        let output = world.inside(script).fails();
        assert!(!world.workspace.join(target).exists(), "{target}: {output:?}");
        world.outside("rm -rf nest").succeeds();
        world.outside(nested).succeeds();
        world.outside(script).succeeds();
        assert!(world.workspace.join(target).exists(), "the control makes {target}");
    }
}

fn c21_a_set_uid_file_cannot_be_left_behind(world: &World) {
    let script = "cp /bin/true by-chmod; chmod 4755 by-chmod; chmod u+s by-chmod; \
        python3 -c 'import os; os.umask(0); os.close(os.open(\"by-mode\", os.O_CREAT | os.O_WRONLY, 0o6777)); fd = os.open(\"by-chmod\", os.O_RDONLY); os.fchmod(fd, 0o4755)'";
    let lends = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let about = fs::metadata(world.workspace.join(name)).expect("a file");
        about.permissions().mode() & 0o4000 != 0
    };
    world.inside(script);
    assert!(!lends("by-chmod") && !lends("by-mode"));
    world.outside(&format!("rm by-*; {script}")).succeeds();
    assert!(lends("by-chmod") && lends("by-mode"), "the control leaves both");
}

/// One of two that make the halves of a repository in turn, and stop when both
/// halves are there.
const HALF: &str = r#"
import os, sys, time
role = sys.argv[1]; end = time.time() + float(sys.argv[2])
os.makedirs("D/refs", exist_ok=True)
def whole(): return all(os.path.exists("D/" + name) for name in ("HEAD", "objects", "refs"))
while time.time() < end and not whole():
    tick = int(time.time() * 500)
    while int(time.time() * 500) == tick: pass
    try:
        if role == "A": os.close(os.open("D/HEAD", os.O_CREAT | os.O_WRONLY))
        else: os.mkdir("D/objects")
    except OSError: pass
    time.sleep(0.0005)
    if whole(): break
    try:
        if role == "A": os.unlink("D/HEAD")
        else: os.rmdir("D/objects")
    except OSError: pass
print("whole" if whole() else "never")
"#;

fn e01_two_sessions_take_turns(world: &World) {
    world.write(&world.workspace.join("half.py"), HALF);
    let other = world.start(&["run", "--", "python3", "half.py", "B", "3"]);
    let one = world.inside("python3 half.py A 3");
    let other = other.finish();
    for output in [&one, &other] {
        assert!(output.out.contains("never"), "{output:?}");
    }
    world.outside("rm -rf D; python3 half.py B 20 & python3 half.py A 20; wait").says("whole");
}

fn git_read_protects_all_of_it(world: &World) {
    world.settings("[sandbox]\ngit = \"read\"\n");
    let before = Look::at(&world.workspace.join(".git"));
    world.inside("git log --oneline && git status --short").succeeds().says("first");
    for attempt in [
        "echo more >> README; git commit -qam second",
        "git tag v1; git branch other; git update-ref refs/heads/x HEAD",
        "echo planted > .git/planted; echo planted > .git/objects/planted; rm -f .git/index .git/HEAD",
        "echo 'ref: refs/heads/evil' > .git/HEAD; mv .git was; mkdir -p .git/refs/heads/x",
    ] {
        let output = world.inside(attempt);
        assert_eq!(Look::at(&world.workspace.join(".git")), before, "`{attempt}`: {output:?}");
    }
    world.outside("git tag v1").succeeds();
    assert_ne!(Look::at(&world.workspace.join(".git")), before, "the control changes it");
}

fn git_manage_makes_repositories_and_no_programs(world: &World) {
    world.settings("[sandbox]\ngit = \"manage\"\n");
    let work = "set -e
        git init -q sub; echo x > sub/f; git -C sub add f; git -C sub commit -qm first
        git clone -q sub copy; git worktree add -q tree; git -C tree log --oneline
        git remote add origin https://example.invalid/x.git; git config user.email other@example.invalid
        git -c protocol.file.allow=always submodule add -q \"$PWD/sub\" lib; git commit -qm lib";
    let other = world.workspace_under_tmp();
    world.outside(&format!("cd {} && {work}", other.display())).succeeds();
    world.inside(work).succeeds();
    world
        .outside("git -C copy log --oneline && git fsck && test -e tree/.git && git remote -v")
        .succeeds()
        .says("example.invalid");
    let config = world.workspace.join(".git/config");
    let before = fs::read_to_string(&config).expect("a configuration");
    for attempt in [
        "git config core.fsmonitor ./evil",
        "git config core.hooksPath evil",
        "git config core.sshCommand ./evil",
        "git config core.pager ./evil",
        "git config core.editor ./evil",
        "git config alias.st '!./evil'",
        "git config filter.x.smudge ./evil",
        "git config diff.x.textconv ./evil",
        "git config diff.external ./evil",
        "git config merge.x.driver ./evil",
        "git config credential.helper '!./evil'",
        "git config credential.https://h.helper ./evil",
        "git config gpg.program ./evil",
        "git config include.path ../evil",
        "git config includeIf.gitdir:/.path ../evil",
        "git config remote.origin.uploadpack ./evil",
        "git config sequence.editor ./evil",
        "git config submodule.lib.update '!./evil'",
        "git config uploadpack.packObjectsHook ./evil",
        "git config url.ext::x.insteadOf https://",
        "echo '[core] fsmonitor = evil' >> .git/config",
        "printf '[CORE]\\nFsMonitor = evil\\n' > .git/config.lock; mv .git/config.lock .git/config",
        "echo planted > spare; mv spare .git/config",
        "echo planted > .git/hooks/pre-commit",
        "cp .git/hooks/update.sample .git/hooks/update; mv .git/hooks/update.sample .git/hooks/update",
    ] {
        let output = world.inside(&format!("{attempt}; rm -f .git/config.lock"));
        let now = fs::read_to_string(&config).ok();
        assert_eq!(now.as_ref(), Some(&before), "`{attempt}`: {output:?}");
        for hook in ["pre-commit", "update"] {
            assert!(
                !world.workspace.join(".git/hooks").join(hook).exists(),
                "`{attempt}`: {output:?}"
            );
        }
    }
    world.outside("git config core.fsmonitor ./evil").succeeds();
}
