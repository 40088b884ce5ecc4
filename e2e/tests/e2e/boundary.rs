//! What a command inside may touch.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::places;
use crate::run::{LIMIT, Running};
use crate::scenario::Need::{Program, RootHarness};
use crate::world::{SECRET, SECRETS, World};

scenarios! { "boundary":
    writes_inside_the_workspace_and_nowhere_else,
    a_workspace_under_tmp_is_writable_too,
    the_directory_given_with_dash_c_is_the_workspace,
    secrets_cannot_be_read,
    secrets_cannot_be_read_by_a_detour,
    a_file_outside_cannot_be_changed_by_a_link,
    metadata_of_files_outside_cannot_be_changed,
    git_hooks_and_config_are_protected,
    git_itself_still_works [Program("git")],
    dot_git_cannot_be_moved_away,
    tmp_is_private,
    host_processes_are_not_visible,
    the_environment_is_clean,
    open_files_are_not_inherited [Program("python3")],
    the_exit_status_is_the_commands_own,
    a_daemon_does_not_outlive_the_run,
    a_plan_is_printed_and_nothing_runs,
    the_record_cannot_be_reached_from_inside,
    a_set_uid_program_gains_nothing [RootHarness, Program("cc")],
}

fn writes_inside_the_workspace_and_nowhere_else(world: &World) {
    let script = "echo hi > in-workspace; cat ~/.ssh/id_ed25519; echo x > ~/outside; exit 7";
    let output = world.inside(script).does_not_say(SECRET);
    assert_eq!(output.code, 7, "the status is the command's own: {output:?}");
    assert_eq!(
        fs::read_to_string(world.workspace.join("in-workspace")).ok().as_deref(),
        Some("hi\n")
    );
    assert!(!world.home.join("outside").exists());
    world.outside("echo x > ~/outside && cat ~/.ssh/id_ed25519").succeeds().says(SECRET);
}

fn a_workspace_under_tmp_is_writable_too(world: &World) {
    let workspace = world.workspace_under_tmp();
    let target = workspace.display().to_string();
    world
        .remit(&["run", "-C", &target, "--", "sh", "-c", "echo hi > made; cat README"])
        .succeeds()
        .says("hello");
    assert!(workspace.join("made").exists());
}

fn the_directory_given_with_dash_c_is_the_workspace(world: &World) {
    let other = world.workspace_under_tmp();
    let target = other.display().to_string();
    let first = world.workspace.display();
    let script = format!("pwd; echo x > {first}/from-elsewhere");
    world.remit(&["run", "-C", &target, "--", "sh", "-c", &script]).fails().says(&target);
    assert!(!world.workspace.join("from-elsewhere").exists());
}

fn secrets_cannot_be_read(world: &World) {
    for secret in SECRETS {
        world.inside(&format!("cat ~/{secret}")).fails().does_not_say(SECRET);
        world.outside(&format!("cat ~/{secret}")).succeeds().says(SECRET);
    }
}

fn secrets_cannot_be_read_by_a_detour(world: &World) {
    let secret = world.home.join(".ssh/id_ed25519");
    symlink(&secret, world.workspace.join("link")).expect("a link");
    symlink(world.home.join(".ssh"), world.workspace.join("folder")).expect("a link");
    let shown = secret.display();
    let detours = [
        "cat link".to_owned(),
        "cat folder/id_ed25519".to_owned(),
        "ln -s ~/.ssh mine && cat mine/id_ed25519".to_owned(),
        "ln ~/.ssh/id_ed25519 hard && cat hard".to_owned(),
        "cp -r ~/.ssh copy && cat copy/id_ed25519".to_owned(),
        "mv ~/.ssh moved && cat moved/id_ed25519".to_owned(),
        format!("cat /proc/self/root{shown}"),
        format!("cat /proc/1/root{shown}"),
        format!("cat /proc/$$/cwd/../.ssh/id_ed25519 {shown}"),
        "grep -r do-not-read ~/. 2>/dev/null; false".to_owned(),
    ];
    for detour in detours {
        world.inside(&detour).fails().does_not_say(SECRET);
    }
    world.outside("cat link folder/id_ed25519").succeeds().says(SECRET);
    world.outside("cat /proc/self/root$HOME/.ssh/id_ed25519").succeeds().says(SECRET);
}

fn a_file_outside_cannot_be_changed_by_a_link(world: &World) {
    let victim = world.home.join("victim");
    world.write(&victim, "original");
    symlink(&victim, world.workspace.join("link")).expect("a link");
    let shown = victim.display();
    for attempt in [
        "echo changed > link".to_owned(),
        "ln ~/victim hard && echo changed > hard".to_owned(),
        format!("echo changed > /proc/self/root{shown}"),
        "truncate -s 0 ~/victim".to_owned(),
        "rm -f ~/victim".to_owned(),
        "mv ~/victim stolen".to_owned(),
        "mv README ~/victim".to_owned(),
    ] {
        world.inside(&attempt).fails();
        assert_eq!(
            fs::read_to_string(&victim).ok().as_deref(),
            Some("original"),
            "after `{attempt}`"
        );
    }
    world.outside("echo changed > link").succeeds();
}

fn metadata_of_files_outside_cannot_be_changed(world: &World) {
    // Landlock does not cover these; the read-only mount must.
    let victim = world.home.join("victim");
    world.write(&victim, "original");
    for attempt in ["chmod 777 ~/victim", "touch -d 2001-01-01 ~/victim"] {
        world.inside(attempt).fails();
        world.outside(attempt).succeeds();
    }
}

fn git_hooks_and_config_are_protected(world: &World) {
    let config = world.workspace.join(".git/config");
    let before = fs::read_to_string(&config).expect("a configuration");
    for attempt in [
        "echo 'echo pwned' > .git/hooks/pre-commit",
        "mkdir -p .git/hooks/deep",
        "echo '[core] fsmonitor = ./evil' >> .git/config",
        "git config core.fsmonitor ./evil",
        "rm -f .git/config && echo x > .git/config",
        "mv .git/hooks .git/was && mkdir .git/hooks && echo x > .git/hooks/pre-commit",
        "ln -sf /workspace/x .git/hooks",
    ] {
        world.inside(attempt);
        let hooks = world.workspace.join(".git/hooks");
        assert!(
            !hooks.join("pre-commit").exists() && !hooks.join("deep").exists(),
            "after `{attempt}`"
        );
        assert!(!hooks.is_symlink() && hooks.is_dir(), "after `{attempt}`");
        assert_eq!(fs::read_to_string(&config).ok().as_ref(), Some(&before), "after `{attempt}`");
    }
    world.outside("echo x > .git/hooks/pre-commit && git config core.fsmonitor x").succeeds();
}

fn git_itself_still_works(world: &World) {
    let script = "echo more >> README && git add README && git commit -qm second && git log --oneline && git status";
    world.inside(script).succeeds().says("second").says("clean");
    world.outside("git log --oneline && git fsck").succeeds().says("second");
}

fn dot_git_cannot_be_moved_away(world: &World) {
    world.inside("mv .git was; mkdir -p .git/hooks && echo x > .git/hooks/pre-commit");
    assert!(world.workspace.join(".git/HEAD").exists(), "the repository is still in place");
    assert!(!world.workspace.join(".git/hooks/pre-commit").exists());
    world.outside("mv .git was").succeeds();
}

fn tmp_is_private(world: &World) {
    let host = world.elsewhere().join("host-file");
    world.write(&host, "from the host");
    let shown = host.display();
    let mark = world.mark();
    world
        .inside(&format!("echo mine > /tmp/{mark} && cat /tmp/{mark} && ! cat {shown}"))
        .succeeds()
        .says("mine");
    let leaked = std::fs::remove_file(std::path::Path::new("/tmp").join(&mark)).is_ok();
    assert!(!leaked, "a file made inside is on the host");
    world.outside(&format!("cat {shown}")).succeeds().says("from the host");
}

fn host_processes_are_not_visible(world: &World) {
    let mark = world.mark();
    let _sleeper = Running::start(world.command("sleep", &[&mark]));
    let listing = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'";
    let inside =
        world.inside(&format!("{listing} | grep -x '{}' || echo none", mark.replace('.', "[.]")));
    inside.succeeds().says("none");
    world.outside(&format!("{listing} | grep -x '{mark}'")).succeeds().says(&mark);
    let many = world.inside("ls -d /proc/[0-9]* | wc -l").succeeds();
    let count: usize = many.out.trim().parse().expect("a number");
    assert!(count <= 6, "a handful of processes, not {count}");
}

fn the_environment_is_clean(world: &World) {
    let leaks = [
        "FOO_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "LD_PRELOAD_HINT",
        "SSH_AUTH_SOCK",
        "DBUS_SESSION_BUS_ADDRESS",
    ];
    let run = |program: &std::ffi::OsStr, words: &[&str]| {
        let mut command = world.command(program, words);
        command.envs(leaks.map(|name| (name, "leak-51ab")));
        Running::start(command).finish().succeeds()
    };
    let inside = run(places::remit().as_os_str(), &["run", "--", "env"]).does_not_say("leak-51ab");
    for kept in ["PATH=", "HOME=", "TERM=xterm-256color"] {
        assert!(inside.out.contains(kept), "`{kept}` should stay: {inside:?}");
    }
    run("env".as_ref(), &[]).says("leak-51ab");
}

fn open_files_are_not_inherited(world: &World) {
    let secret = world.home.join(".ssh/id_ed25519").display().to_string();
    let remit = places::remit().display().to_string();
    let look = "for n in 3 4 5 6 7 8 9 30; do [ -e /proc/self/fd/$n ] && echo open-$n; done; cat <&7; true";
    let open = format!("exec 7<{secret}; exec");
    let outside = world.outside(&format!("{open} sh -c '{look}'")).succeeds();
    outside.says("open-7").says(SECRET);
    let inside = world.outside(&format!("{open} {remit} run -- sh -c '{look}' 2>&1"));
    inside.does_not_say("open-").does_not_say(SECRET);
}

fn the_exit_status_is_the_commands_own(world: &World) {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let output = world.inside(script);
        assert_eq!(output.code, code, "`{script}`: {output:?}");
        assert!(output.took < LIMIT);
    }
    let missing = world.remit(&["run", "--", "no-such-program-5c1"]);
    assert!([125, 127].contains(&missing.code), "{missing:?}");
    missing.says("no-such-program-5c1");
}

fn a_daemon_does_not_outlive_the_run(world: &World) {
    let mark = world.mark();
    world.inside(&format!("setsid sleep {mark} >/dev/null 2>&1 </dev/null & sleep 0.1")).succeeds();
    crate::run::eventually("the daemon's end", Duration::from_secs(1), || {
        world.sleepers(&mark).is_empty().then_some(())
    });
    world
        .outside(&format!("setsid sleep {mark} >/dev/null 2>&1 </dev/null & sleep 0.1"))
        .succeeds();
    let left = world.sleepers(&mark);
    assert!(!left.is_empty(), "without Remit the daemon stays");
    for pid in left {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)
            .expect("the daemon is ours");
    }
}

fn a_plan_is_printed_and_nothing_runs(world: &World) {
    let plan = world.remit(&["run", "--print-plan", "--", "sh", "-c", "echo x > made"]).succeeds();
    assert!(
        plan.out.contains(&*world.workspace.to_string_lossy()),
        "the plan names the workspace: {plan:?}"
    );
    assert!(plan.out.contains(".ssh"), "the plan names what is hidden: {plan:?}");
    assert!(!world.workspace.join("made").exists());
}

fn the_record_cannot_be_reached_from_inside(world: &World) {
    let state = world.state().display().to_string();
    let script = format!(
        "ls {state}/sessions; echo x > {state}/sessions/x; echo x > {state}/x; find {state} -type f"
    );
    let output = world.inside(&script);
    let id = world.sessions().pop().expect("a session");
    assert!(!output.both().contains(&id), "{output:?}");
    assert!(!world.state().join("x").exists() && !world.state().join("sessions/x").exists());
    world.remit(&["log", "verify", &id]).succeeds();
}

fn a_set_uid_program_gains_nothing(world: &World) {
    let source = world.elsewhere().join("uid.c");
    let binary = world.workspace.join("set-uid");
    fs::write(
        &source,
        "#include <stdio.h>\n#include <unistd.h>\nint main(){printf(\"euid=%d\\n\",geteuid());}\n",
    )
    .expect("a file");
    let words = [source.as_os_str(), "-o".as_ref(), binary.as_os_str()];
    assert!(
        std::process::Command::new("cc").args(words).status().is_ok_and(|status| status.success())
    );
    // Owned by the account's opposite, so that the effective uid would change.
    let owner = if world.who.uid == 0 { 65534 } else { 0 };
    std::os::unix::fs::chown(&binary, Some(owner), Some(owner)).expect("ownership");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    fs::set_permissions(&binary, mode).expect("permissions");
    world.outside("./set-uid").says(&format!("euid={owner}\n"));
    world.inside("./set-uid").does_not_say(&format!("euid={owner}\n"));
}
