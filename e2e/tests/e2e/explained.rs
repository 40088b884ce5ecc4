//! The policy told: to a person before and after, and to the agent inside.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::approvals::question;
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "explained":
    explain_says_what_a_session_then_does [Program("git")],
    explain_starts_and_changes_nothing,
    explain_sees_the_file_behind_a_name [Program("git")],
    a_wrong_policy_is_explained_by_its_error,
    show_names_every_statement_and_its_origin,
    what_was_answered_yes_is_learnt_and_then_runs_without_a_question,
    what_was_refused_is_not_learnt,
    nothing_is_learnt_from_a_record_that_was_changed,
    rules_are_never_written_over_a_file,
    replay_counts_what_another_policy_would_have_said,
    replay_of_the_same_policy_changes_nothing,
    a_refused_program_is_recorded_so_that_it_can_be_judged_anew,
    an_agent_reads_its_limits_inside,
    an_agent_reads_its_limits_without_mounts,
    the_limits_hold_no_secret,
    a_rule_is_explained_once_and_then_named,
}

const NO_PUSH: &str = "prefix_rule(pattern = [\"git\", \"push\"], decision = \"forbidden\", \
                       justification = \"releases are pushed by people\")\n";
const ASK: &str = "prefix_rule(pattern = [\"touch\"], decision = \"prompt\")\n";

fn explain_says_what_a_session_then_does(world: &World) {
    world.rules(&format!("{NO_PUSH}{ASK}"));
    let check = |words: &[&str], code: i32| {
        let output = world.remit(&[&["explain"], words].concat());
        assert_eq!(output.code, code, "{words:?}: {output:?}");
        output
    };
    check(&["exec", "--", "git", "push", "origin"], 11)
        .says("releases are pushed by people")
        .says("default.rules line 1");
    check(&["exec", "git", "status"], 0);
    check(&["exec", "touch", "x"], 10).says("prompt touch");
    check(&["connect", "unknown.example:443"], 10);
    check(&["request", "GET", "https://unknown.example/"], 10);
    check(&["read", "~/.ssh/id_ed25519"], 11).says("hide ~/.ssh");
    check(&["read", "README"], 0);
    check(&["write", "README"], 0);
    check(&["write", ".git/hooks/pre-commit"], 11);
    check(&["write", "/usr/bin/x"], 11);
    check(&["connect", "no destination"], 1);
    check(&["exec"], 2);
    check(&["exec", "no-such-program"], 0);
    for (script, works) in [
        ("git push", false),
        ("git status", true),
        ("touch x", false),
        ("cat ~/.ssh/id_ed25519", false),
        ("cat README", true),
        ("echo x >> README", true),
        ("echo x > .git/hooks/pre-commit", false),
        ("echo x > /usr/bin/remit-e2e-nothing", false),
    ] {
        assert_eq!(world.inside(script).code == 0, works, "{script}");
    }
}

fn explain_starts_and_changes_nothing(world: &World) {
    let output = world.remit(&["explain", "exec", "--", "touch", "one"]).succeeds();
    assert!(!world.workspace.join("one").exists(), "{output:?}");
    assert!(world.sessions().is_empty() && !world.state().exists());
    let json = world.remit(&["explain", "--json", "exec", "--", "touch", "one"]).succeeds().out;
    let told: Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(told["verdict"], "allow");
    assert_eq!(told["basis"]["layer"], "built-in");
    assert!(!json.contains('\u{1b}'));
}

fn explain_sees_the_file_behind_a_name(world: &World) {
    world.rules(NO_PUSH);
    world.outside("ln -s \"$(command -v git)\" other").succeeds();
    let output = world.remit(&["explain", "exec", "--", "./other", "push"]);
    assert_eq!(output.code, 11, "{output:?}");
}

fn a_wrong_policy_is_explained_by_its_error(world: &World) {
    world.rules("prefix_rule(pattern = [])\n");
    for words in [&["explain", "read", "x"][..], &["policy", "show"]] {
        let output = world.remit(words);
        assert_eq!(output.code, 1, "{output:?}");
        output.says("default.rules").says("line 1");
    }
}

fn show_names_every_statement_and_its_origin(world: &World) {
    world.rules(NO_PUSH);
    world.settings("[commands]\ndefault = \"prompt\"\n");
    let shown = world.remit(&["policy", "show"]).succeeds().out;
    let line = |rule: &str, origin: &str| {
        let found = shown.lines().find(|line| line.contains(rule) && line.contains(origin));
        found.unwrap_or_else(|| panic!("`{rule}` of `{origin}` in {shown}"));
    };
    line("forbidden git push", "default.rules line 1");
    line("commands.default = \"prompt\"", "config.toml line 2");
    line("commands.default = \"allow\"", "[gave way]");
    line("network.default = \"ask\"", "built-in");
    line("hide ~/.ssh", "built-in");
    line("limits.processes", "built-in");
    assert!(!shown.contains('\u{1b}'));
    let json = world.remit(&["policy", "show", "--json"]).succeeds().out;
    let statements: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let held = statements.iter().filter(|one| {
        one["holds"] == true
            && one["basis"]["rule"]
                .as_str()
                .is_some_and(|rule| rule.starts_with("commands.default"))
    });
    assert_eq!(held.count(), 1);
}

/// Runs one command under a policy that asks about every one, and answers.
fn answered(world: &World, command: &[&str], answer: &str) {
    let words = [&["run", "--approvals", "queue", "--"], command].concat();
    let running = world.start(&words);
    let id = question(world);
    world.remit(&["approvals", "answer", &id, answer]).succeeds();
    running.finish();
}

const PROMPT: &str = "[commands]\ndefault = \"prompt\"\n";

fn what_was_answered_yes_is_learnt_and_then_runs_without_a_question(world: &World) {
    world.settings(PROMPT);
    answered(world, &["mkdir", "one", "(x"], "--once");
    answered(world, &["cp", "README", "copy"], "--once");
    let sessions = world.sessions();
    let sessions: Vec<&str> = sessions.iter().map(String::as_str).collect();
    let rules = world.home.join("learned.rules");
    let rules = rules.display().to_string();
    let learn = [&["policy", "learn"], &sessions[..]].concat();
    let printed = world.remit(&learn).succeeds();
    assert!(printed.out.contains("\"one\", \"\\x28x\"]"), "{printed:?}");
    assert!(printed.out.contains("# Would have answered 1 question:"), "{printed:?}");
    assert!(!printed.out.contains("\"copy\"]"), "what follows `cp` is lost as well: {printed:?}");
    assert_eq!(world.remit(&learn).succeeds().out, printed.out, "the same each time");
    world.remit(&[&learn[..], &["--write", &rules]].concat()).succeeds().says("learned.rules");
    world.rules(&fs::read_to_string(&rules).expect("the rules"));
    world
        .remit(&["run", "--", "mkdir", "one", "(x"])
        .fails()
        .says("exists")
        .does_not_say("refused:");
    world.remit(&["run", "--", "mkdir", "two"]).fails().says("refused:");
}

fn what_was_refused_is_not_learnt(world: &World) {
    world.settings(PROMPT);
    answered(world, &["mkdir", "one"], "--refuse");
    let output = world.remit(&["policy", "learn"]).succeeds();
    output.does_not_say("prefix_rule").says("nothing was answered yes");
}

fn nothing_is_learnt_from_a_record_that_was_changed(world: &World) {
    world.settings(PROMPT);
    answered(world, &["mkdir", "one"], "--refuse");
    let session = world.state().join("sessions").join(&world.sessions()[0]);
    let record = session.join("record.jsonl");
    let text = fs::read_to_string(&record).expect("the record");
    assert!(text.contains("\"choice\":\"refuse\""));
    fs::write(&record, text.replace("\"choice\":\"refuse\"", "\"choice\":\"once\""))
        .expect("changed");
    world
        .remit(&["policy", "learn"])
        .fails()
        .says("is not what was written")
        .does_not_say("prefix_rule");
    let rules = world.home.join("other.rules");
    world.write(&rules, NO_PUSH);
    let replay = world.remit(&["policy", "replay", &rules.display().to_string()]);
    replay.fails().says("is not what was written");
}

fn rules_are_never_written_over_a_file(world: &World) {
    world.settings(PROMPT);
    answered(world, &["mkdir", "one"], "--once");
    let there = world.home.join("there.rules");
    world.write(&there, "# mine\n");
    world.remit(&["policy", "learn", "--write", &there.display().to_string()]).fails();
    assert_eq!(fs::read_to_string(&there).expect("a file"), "# mine\n");
    // Nor through a link that leads to where nothing is yet.
    let target = world.home.join("target.rules");
    let link = world.home.join("link.rules");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    world.remit(&["policy", "learn", "--write", &link.display().to_string()]).fails();
    assert!(!target.exists());
}

fn replay_counts_what_another_policy_would_have_said(world: &World) {
    world.rules(&ASK.replace("touch", "rmdir"));
    world.inside("touch one; touch two; rmdir none; mkdir three").succeeds();
    let other = world.home.join("other.rules");
    world.write(&other, "prefix_rule(pattern = [\"touch\"], decision = \"forbidden\")\n");
    let other = other.display().to_string();
    let replay = |words: &[&str]| {
        let output = world.remit(&[&["policy", "replay", &other, "--json"], words].concat());
        let found: Value =
            serde_json::from_str(&output.out).unwrap_or_else(|_| panic!("{output:?}"));
        (output.code, found)
    };
    let (code, found) = replay(&[]);
    assert_eq!(
        (code, &found["newly_refused"], &found["newly_asked"]),
        (0, &2.into(), &0.into()),
        "{found}"
    );
    let change = &found["changes"][0];
    assert_eq!(
        (&change["then"]["verdict"], &change["now"]["verdict"]),
        (&"allow".into(), &"refuse".into())
    );
    let (code, _) = replay(&["--fail-on-change"]);
    assert_eq!(code, 1);
    // Without what is in force now nobody asks about `rmdir`.
    let (_, found) = replay(&["--instead"]);
    assert_eq!(
        (&found["newly_refused"], &found["newly_allowed"]),
        (&2.into(), &1.into()),
        "{found}"
    );
    // What a project says only narrows.
    let (_, found) = replay(&["--instead", "--layer", "project"]);
    assert_eq!(found["newly_refused"], 2, "{found}");
    let plain = world.remit(&["policy", "replay", &other]).succeeds();
    plain.says("newly refused  2").says("touch one").says("was allow");
}

fn replay_of_the_same_policy_changes_nothing(world: &World) {
    world.rules(ASK);
    let script =
        "touch one && touch one; git status; echo x | cat; ./nothing; curl -s http://192.0.2.1/";
    let running = world.start(&["run", "--approvals", "queue", "--", "sh", "-c", script]);
    world.remit(&["approvals", "answer", &question(world), "--session"]).succeeds();
    running.finish();
    let config = world.home.join(".config/remit").display().to_string();
    let output =
        world.remit(&["policy", "replay", &config, "--instead", "--json", "--fail-on-change"]);
    let found: Value = serde_json::from_str(&output.out).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(output.code, 0, "{found}");
    assert!(found["same"].as_u64().is_some_and(|same| same >= 4), "{found}");
}

fn a_refused_program_is_recorded_so_that_it_can_be_judged_anew(world: &World) {
    world.rules(NO_PUSH);
    world.inside("/usr/bin/env -- \"$(command -v git)\" push").fails();
    let record = world.record();
    let exec = record.has(&["\"exec\":{", "\"push\"", "\"verdict\":\"refuse\""]);
    assert_eq!(exec["event"]["exec"]["cwd"], world.workspace.display().to_string().as_str());
    record.has(&["\"refusal\":{", "\"push\""]);
    let open = world.home.join("open.rules");
    world.write(&open, "prefix_rule(pattern = [\"git\"], decision = \"allow\")\n");
    let output = world
        .remit(&["policy", "replay", &open.display().to_string(), "--instead", "--json"])
        .succeeds();
    let found: Value = serde_json::from_str(&output.out).expect("an object");
    assert_eq!(found["newly_allowed"], 1, "{found}");
}

fn an_agent_reads_its_limits_inside(world: &World) {
    world.rules(&format!("{NO_PUSH}{ASK}"));
    world.settings("[network]\nallow = [\"docs.example\"]\n[sandbox]\nhide = [\"./private\"]\n");
    world.write(&world.workspace.join("private/notes"), "x");
    let page = world.inside("cat \"$REMIT_LIMITS\"").succeeds().out;
    for part in [
        &world.workspace.display().to_string(),
        "`forbidden git push`: releases are pushed by people",
        "`prompt touch`",
        "docs.example",
        "./private",
        "asked about",
        "A command that nothing here is about runs.",
        "remit explain",
    ] {
        assert!(page.contains(part), "`{part}` in {page}");
    }
    let read_only =
        world.remit(&["run", "--profile", "read-only", "--", "sh", "-c", "cat $REMIT_LIMITS"]);
    let page = read_only.succeeds().out;
    assert!(!page.contains("the workspace\n"), "{page}");
    let offline =
        world.remit(&["run", "--profile", "offline", "--", "sh", "-c", "cat $REMIT_LIMITS"]);
    assert!(offline.succeeds().out.contains("nothing here is about is refused"));
}

fn an_agent_reads_its_limits_without_mounts(world: &World) {
    world.rules(NO_PUSH);
    world.settings("[sandbox]\ntiers = [\"no-namespaces\"]\n");
    let page = world.inside("cat \"$REMIT_LIMITS\"").succeeds().out;
    assert!(page.contains("`forbidden git push`: releases are pushed by people"), "{page}");
}

fn the_limits_hold_no_secret(world: &World) {
    let secret = "sk-e2e-do-not-tell";
    let kept = world.home.join("kept-token");
    world.write(&kept, secret);
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).expect("its mode");
    world.settings(&format!(
        "[credentials.forge]\nsource = {{ file = \"{}\" }}\nas = \"bearer\"\nexpose = \"FORGE_TOKEN\"\nhosts = [\"forge.example\"]\n",
        kept.display()
    ));
    world.write(&world.home.join(".ssh/id_ed25519"), secret);
    let page = world.inside("cat $REMIT_LIMITS").succeeds().out;
    assert!(page.contains("FORGE_TOKEN"), "{page}");
    assert!(!page.contains(secret) && !page.contains("kept-token"), "{page}");
}

fn a_rule_is_explained_once_and_then_named(world: &World) {
    world.rules(&format!("{NO_PUSH}{ASK}"));
    let output = world.inside("git push; git push origin; sh -c 'git push'; touch x").fails();
    let count = |part: &str| output.err.matches(part).count();
    assert_eq!(count("because: releases are pushed by people"), 1, "{output:?}");
    assert_eq!(count("again by `forbidden git push`"), 2, "{output:?}");
    assert_eq!(count("limits.md"), 1, "{output:?}");
    assert_eq!(count("refused: run `touch x`\n"), 1, "another rule has its own words: {output:?}");
}
