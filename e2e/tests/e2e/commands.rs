//! Rules about commands, judged where programs start.

use std::fs;

use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "commands":
    a_forbidden_push_is_refused_however_it_is_spelt [Program("git"), Program("make"), Program("python3")],
    a_refusal_names_rule_layer_line_and_reason [Program("git")],
    a_rule_refuses_a_program_by_any_of_its_paths [Program("git")],
    an_allowance_does_not_outrank_a_prohibition [Program("git")],
    a_prompt_without_a_terminal_is_refused,
    a_flag_is_forbidden_wherever_it_stands [Program("git"), Program("make")],
    a_file_that_a_rule_forbids_stays_as_it_is,
    a_permission_is_not_for_a_program_made_inside,
    a_check_tells_every_problem,
}

const NO_PUSH: &str = r#"
prefix_rule(
    pattern = ["git", "push"],
    decision = "forbidden",
    justification = "releases are pushed by people",
    match = [["git", "push"], ["git", "push", "origin"]],
    not_match = [["git", "status"], ["git", "pull"]],
)
"#;

/// Makes a remote inside the workspace, to which anyone could push.
fn remote(world: &World) {
    world.outside("git init -q --bare remote.git && git remote add origin ./remote.git && git config push.default current").succeeds();
    world.write(&world.workspace.join("Makefile"), "release:\n\tgit push origin main\n");
    let program = "import subprocess, sys\nsys.exit(subprocess.run(['git', 'push', 'origin', 'main']).returncode)\n";
    world.write(&world.workspace.join("push.py"), program);
}

fn pushed(world: &World) -> bool {
    let remote = world.workspace.join("remote.git");
    remote.join("refs/heads/main").exists()
        || fs::read_to_string(remote.join("packed-refs")).is_ok_and(|refs| refs.contains("main"))
}

fn a_forbidden_push_is_refused_however_it_is_spelt(world: &World) {
    remote(world);
    world.rules(NO_PUSH);
    for script in [
        "git push origin main > log",
        "X=1 git push origin main",
        "sh -c \"git  push origin main\"",
        "make release",
        "python3 push.py",
        "p=push; g=gi; ${g}t $p origin main",
        "echo origin main | xargs git push",
        "env git push origin main",
        "nohup git push origin main",
    ] {
        let output = world.inside(script).fails();
        assert!(!pushed(world), "`{script}`: {output:?}");
        world.record().has(&["refusal"]);
    }
    world.inside("git status && git log --oneline").succeeds().says("first");
    fs::remove_file(world.home.join(".config/remit/rules/default.rules")).expect("the rules");
    world.inside("make release").succeeds();
    assert!(pushed(world), "without the rule the push works");
}

fn a_refusal_names_rule_layer_line_and_reason(world: &World) {
    world.rules(NO_PUSH);
    let output = world.inside("git push").fails();
    for part in ["refused", "git push", "user", "default.rules", "releases are pushed by people"] {
        assert!(output.both().contains(part), "`{part}` is missing: {output:?}");
    }
    let record = world.record();
    let exec = record.has(&["exec", "git", "push", "default.rules"]);
    assert!(exec.to_string().contains("\"user\""), "the layer: {exec}");
    record.has(&["refusal", "git push"]);
}

fn a_rule_refuses_a_program_by_any_of_its_paths(world: &World) {
    remote(world);
    world.rules(NO_PUSH);
    for script in [
        "$(command -v git) push origin main",
        "/proc/self/root$(command -v git) push origin main",
        "ln -s $(command -v git) g && ./g push origin main",
        "/usr/bin/../bin/git push origin main",
    ] {
        world.inside(script);
        assert!(!pushed(world), "`{script}`");
    }
}

fn an_allowance_does_not_outrank_a_prohibition(world: &World) {
    remote(world);
    let allow = "prefix_rule(pattern = [\"git\"], decision = \"allow\")\n";
    world.rules(&format!("{allow}{NO_PUSH}{allow}"));
    world.inside("git push origin main").fails();
    assert!(!pushed(world));
}

fn a_prompt_without_a_terminal_is_refused(world: &World) {
    world.rules("prefix_rule(pattern = [\"touch\", \"asked\"], decision = \"prompt\")\n");
    world.inside("touch unasked").succeeds();
    let output = world.inside("touch asked").fails().says("refused");
    assert!(output.took.as_secs() < 5, "nobody was waited for: {output:?}");
    assert!(!world.workspace.join("asked").exists());
}

fn a_flag_is_forbidden_wherever_it_stands(world: &World) {
    remote(world);
    world.rules(
        "command_rule('git', subcommand=['push'], any_flags=['-f', '--force'], decision='forbidden', \
         justification='others have it')\n",
    );
    world.write(&world.workspace.join("Makefile"), "release:\n\tgit -C . push origin main -qf\n");
    for script in [
        "git push --force origin main",
        "git -c a.b=c push origin main -qf",
        "git -C . push origin --forc main",
        "make release",
    ] {
        world.inside(script).fails().says("others have it");
        assert!(!pushed(world), "`{script}`");
    }
    world.inside("git push -q origin main").succeeds();
    assert!(pushed(world), "without the flag the push works");
}

fn a_file_that_a_rule_forbids_stays_as_it_is(world: &World) {
    let kept = world.workspace.join("deploy/key");
    world.write(&kept, "kept");
    world.write(&world.home.join("notes/n"), "private");
    world.rules(
        "file_rule('./deploy/**', 'write', 'forbidden')\nfile_rule('./**/*.lock', 'write', 'forbidden')\n\
         file_rule('~/notes', 'read', 'forbidden')\n",
    );
    for script in [
        "echo x > deploy/key",
        "echo x > deploy/new",
        "rm deploy/key",
        "mv deploy d && echo x > d/key && mv d deploy",
        "ln -s deploy l && echo x > l/key",
        "ln deploy/key k && echo x > k",
        "echo x > a.lock",
        "mkdir -p sub && echo x > t && mv t sub/a.lock",
        "cat ~/notes/n",
    ] {
        world.inside(script).fails().does_not_say("private");
        assert_eq!(fs::read_to_string(&kept).ok().as_deref(), Some("kept"), "`{script}`");
        assert!(!world.workspace.join("deploy/new").exists(), "`{script}`");
        assert!(!world.workspace.join("a.lock").exists(), "`{script}`");
    }
    world.inside("echo x > free && cat deploy/key").succeeds().says("kept");
}

fn a_permission_is_not_for_a_program_made_inside(world: &World) {
    world.settings("[commands]\ndefault = \"prompt\"\n");
    world.rules("prefix_rule([['sh', 'dash', 'bash', 'cp', 'ln', 'cat']])\nprefix_rule(['id'])\n");
    world.inside("id").succeeds();
    for script in [
        "cp /usr/bin/touch id; ./id made",
        "ln -s /usr/bin/touch id; ./id made",
        "ln -s /usr/bin/touch /tmp/id; PATH=/tmp:$PATH id made",
        "bash -c 'exec -a id touch made'",
    ] {
        world.inside(script).fails();
        assert!(!world.workspace.join("made").exists(), "`{script}`");
        let _ = fs::remove_file(world.workspace.join("id"));
    }
}

fn a_check_tells_every_problem(world: &World) {
    world.settings("[commands]\ndefault = \"promt\"\n");
    world.rules("prefix_rule([])\n\ncommand_rule('a', any_flags=['b'])\n");
    let output = world.remit(&["check"]);
    assert_eq!(output.code, 1, "{output:?}");
    for part in ["config.toml` line 2", "default.rules` line 1 column 1", "line 3 column 1"] {
        assert!(output.out.contains(part), "`{part}` is missing: {output:?}");
    }
    let told = world.remit(&["check", "--json"]).out;
    assert_eq!(told.matches("\"message\"").count(), 3, "{told}");
    world.settings("");
    world.rules("prefix_rule(['a'])\n");
    world.remit(&["check"]).succeeds().says("nothing wrong");
}
