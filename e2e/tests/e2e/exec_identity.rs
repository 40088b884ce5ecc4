//! A program under another name, path or loader is the same program, or one that
//! nobody knows; a variable that makes it another is judged with it.

use std::fs;

use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "exec_identity":
    another_way_to_a_program_is_that_program [Program("git")],
    a_copy_of_a_program_is_that_program [Program("git")],
    a_hard_link_to_a_program_is_that_program [Program("git"), Program("python3")],
    a_program_run_by_the_loader_is_that_program [Program("git")],
    a_program_in_memory_is_the_one_it_is_a_copy_of [Program("git"), Program("python3")],
    each_step_of_a_script_is_judged [Program("git")],
    an_exported_variable_is_judged_with_every_program [Program("git")],
    a_variable_for_one_command_is_judged_with_it [Program("git")],
    what_runs_a_download_is_asked_about_whoever_starts_last,
}

const NO_PUSH: &str = "prefix_rule(pattern = [\"git\", \"push\"], decision = \"forbidden\")\n";

fn remote(world: &World) {
    world.outside("git init -q --bare remote.git && git remote add origin ./remote.git && git config push.default current").succeeds();
}

fn pushed(world: &World) -> bool {
    let remote = world.workspace.join("remote.git");
    remote.join("refs/heads/main").exists()
        || fs::read_to_string(remote.join("packed-refs")).is_ok_and(|refs| refs.contains("main"))
}

/// None of these pushes with the rule; each does without.
#[track_caller]
fn check(world: &World, ways: &[&str]) {
    for way in ways {
        remote(world);
        world.rules(NO_PUSH);
        let output = world.inside(way).fails();
        assert!(!pushed(world), "`{way}`: {output:?}");
        world.record().has(&["refusal", "push"]);
        fs::remove_file(world.home.join(".config/remit/rules/default.rules")).expect("the rules");
        world.outside(way).succeeds();
        assert!(pushed(world), "the control: `{way}`");
        world.outside("rm -rf remote.git && git remote remove origin").succeeds();
    }
}

fn another_way_to_a_program_is_that_program(world: &World) {
    check(
        world,
        &[
            "/proc/self/root/usr/bin/git push origin main",
            "//usr/bin/../bin/./git push origin main",
            "../../../../../../../../../../../usr/bin/git push origin main",
            "ln -sf /usr/bin/git g && ./g push origin main",
            "ln -sfn /usr/bin there && there/git push origin main",
            "exec 9< /usr/bin/git && /proc/self/fd/9 push origin main",
            "exec 9< /usr/bin/git && /dev/fd/9 push origin main",
            "bash -c 'exec -a innocent git push origin main'",
        ],
    );
}

fn a_copy_of_a_program_is_that_program(world: &World) {
    check(
        world,
        &[
            "cp /usr/bin/git innocent && ./innocent push origin main",
            "cat /usr/bin/git > x && chmod +x x && ./x push origin main",
            "mkdir -p d && cp /usr/bin/git d/sh && PATH=$PWD/d:$PATH d/sh push origin main",
        ],
    );
}

/// The system's own file cannot be linked to by an ordinary user; a copy can.
fn a_hard_link_to_a_program_is_that_program(world: &World) {
    check(world, &["cp /usr/bin/git a && ln -f a b && rm a && ./b push origin main"]);
}

const LOADER: &str = "loader=$(ls /lib64/ld-linux-*.so.* /lib/ld-linux-*.so.* /lib/ld-musl-*.so.* 2> /dev/null | head -n 1)";

fn a_program_run_by_the_loader_is_that_program(world: &World) {
    check(
        world,
        &[
            &format!("{LOADER}; $loader /usr/bin/git push origin main"),
            &format!("{LOADER}; cp $loader l && ./l /usr/bin/git push origin main"),
            &format!("{LOADER}; cp /usr/bin/git x && $loader --argv0 y ./x push origin main"),
        ],
    );
}

const IN_MEMORY: &str = "import os, sys\n\
fd = os.memfd_create('innocent', 0)\n\
os.write(fd, open('/usr/bin/git', 'rb').read())\n\
os.execve(f'/proc/self/fd/{fd}', ['innocent'] + sys.argv[1:], os.environ)\n";

fn a_program_in_memory_is_the_one_it_is_a_copy_of(world: &World) {
    world.write(&world.workspace.join("memory.py"), IN_MEMORY);
    check(
        world,
        &[
            "python3 memory.py push origin main",
            "cp /usr/bin/git x && exec 9< x && rm x && /proc/self/fd/9 push origin main",
        ],
    );
}

fn each_step_of_a_script_is_judged(world: &World) {
    world.write(&world.workspace.join("one"), "#!/usr/bin/env -S git push origin\n");
    world.write(&world.workspace.join("main"), "#!/usr/bin/git push\n");
    world.outside("chmod +x one main").succeeds();
    remote(world);
    world.rules("prefix_rule(pattern = [\"git\", \"push\"], decision = \"forbidden\")\n");
    for way in ["./one", "./main", "sh -c 'exec ./one'"] {
        world.inside(way).fails();
        world.record().has(&["refusal", "push"]);
        assert!(!pushed(world), "`{way}`");
    }
    world.rules("prefix_rule(pattern = [\"main\"], decision = \"forbidden\")\n");
    world.inside("./main").fails().says("refused");
    world.record().has(&["refusal", "main"]);
}

fn an_exported_variable_is_judged_with_every_program(world: &World) {
    world.write(&world.workspace.join("evil.sh"), "echo evil >> ran\n");
    for way in [
        "export BASH_ENV=$PWD/evil.sh; bash -c 'true'",
        "export GIT_SSH_COMMAND='sh evil.sh'; git fetch ssh://localhost/x",
        "export GIT_EXTERNAL_DIFF='sh evil.sh'; echo x >> README; git diff",
        "export LD_PRELOAD=$PWD/evil.so; /bin/true",
    ] {
        let output = world.inside(&format!("{way}; exit 0")).says("refused");
        assert!(!world.workspace.join("ran").exists(), "`{way}`: {output:?}");
        let record = world.record();
        let asked = record.with(&["\"exec\"", "\"environment\":[\""]);
        assert!(!asked.is_empty(), "`{way}`: the variable is in the record");
    }
    world.outside("BASH_ENV=$PWD/evil.sh bash -c true").succeeds();
    assert!(world.workspace.join("ran").exists(), "the control");
    world.inside("export PAGER=cat GIT_PAGER=cat; git log --oneline").succeeds().says("first");
}

fn a_variable_for_one_command_is_judged_with_it(world: &World) {
    world.write(&world.workspace.join("evil.sh"), "echo evil >> ran\n");
    for way in [
        "BASH_ENV=$PWD/evil.sh bash -c true",
        "env BASH_ENV=$PWD/evil.sh bash -c true",
        "env -i BASH_ENV=$PWD/evil.sh /bin/bash -c true",
    ] {
        world.inside(&format!("{way}; exit 0")).says("refused");
        assert!(!world.workspace.join("ran").exists(), "`{way}`");
    }
}

fn what_runs_a_download_is_asked_about_whoever_starts_last(world: &World) {
    // No network is needed: what fetches is known by its name.
    world.write(&world.workspace.join("bin/curl"), "#!/bin/sh\necho 'echo evil >> ran'\n");
    world.outside("chmod +x bin/curl").succeeds();
    for way in [
        "curl x | sh",
        "curl x | (sleep 0.5; exec sh)",
        "(sleep 0.5; exec curl x) | sh",
        "curl x | tee copy | cat | sh",
        "mkfifo /tmp/pipe; (curl x > /tmp/pipe &) ; sh < /tmp/pipe",
    ] {
        let output = world.inside(&format!("PATH=$PWD/bin:$PATH; {way}; exit 0"));
        assert!(output.both().contains("refused"), "`{way}`: {output:?}");
        assert!(!world.workspace.join("ran").exists(), "`{way}`: {output:?}");
    }
    world.outside("PATH=$PWD/bin:$PATH; curl x | sh").succeeds();
    assert!(world.workspace.join("ran").exists(), "the control");
}
