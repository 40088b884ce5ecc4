//! A start that must not happen: exit 125, the thing named, nothing left.

use std::fs;
use std::path::Path;

use crate::places;
use crate::run::{Output, Running};
use crate::scenario::Need::{Program, RootHarness};
use crate::world::World;

scenarios! { "bad_input":
    an_unknown_subcommand_is_named,
    a_command_is_required,
    malformed_rules_are_named_with_their_line,
    a_rule_whose_own_example_fails_does_not_load,
    unreadable_rules_do_not_mean_no_rules,
    malformed_settings_are_named_with_their_line,
    an_unknown_key_is_named,
    an_unknown_profile_is_named,
    a_missing_workspace_is_named,
    the_root_directory_is_no_workspace,
    the_home_directory_is_no_workspace,
    a_link_to_the_home_directory_is_no_workspace,
    a_host_without_user_namespaces_is_refused [Program("unshare")],
    a_full_disk_under_the_record_is_refused [RootHarness],
    a_state_directory_that_cannot_be_written_is_refused,
}

/// Whatever a failed start could leave behind.
fn traces(world: &World) -> (String, Vec<String>, Vec<String>) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut empty = Vec::new();
    find_empty(&world.home.join(".local"), &mut empty);
    (mounts, world.sessions(), empty)
}

fn find_empty(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    if entries.is_empty() {
        found.push(folder.display().to_string());
    }
    for entry in entries.iter().filter(|entry| entry.is_dir() && !entry.is_symlink()) {
        find_empty(entry, found);
    }
}

/// Runs a start that must be refused with every one of `named` on stderr.
#[track_caller]
fn check(world: &World, run: impl FnOnce() -> Output, named: &[&str]) {
    let before = traces(world);
    let output = run();
    assert_eq!(output.code, 125, "{output:?}");
    for part in named {
        assert!(output.err.contains(part), "`{part}` is not named: {output:?}");
    }
    assert!(!world.workspace.join("made").exists(), "the command did not run");
    let left = world.mine();
    assert!(left.is_empty(), "processes are left: {left:?}");
    assert_eq!(traces(world), before, "mounts, sessions or empty directories are left");
}

const MAKE: [&str; 4] = ["run", "--", "touch", "made"];

#[track_caller]
fn check_start(world: &World, named: &[&str]) {
    check(world, || world.remit(&MAKE), named);
}

fn an_unknown_subcommand_is_named(world: &World) {
    let output = world.remit(&["frobnicate"]).fails();
    assert!(output.err.contains("frobnicate"), "{output:?}");
    let output = world.remit(&["run", "--frobnicate", "--", "touch", "made"]).fails();
    assert!(output.err.contains("--frobnicate"), "{output:?}");
    assert!(!world.workspace.join("made").exists());
}

fn a_command_is_required(world: &World) {
    world.remit(&["run"]).fails();
    world.remit(&["run", "--"]).fails();
    assert!(world.sessions().is_empty());
}

fn malformed_rules_are_named_with_their_line(world: &World) {
    world.rules("\n\nprefix_rule(pattern = [\"git\", ]], decision = \"forbidden\")\n");
    check_start(world, &["default.rules", "3"]);
    world.rules("prefix_rule(pattern = [\"git\"], decision = \"forbiden\")\n");
    check_start(world, &["default.rules", "forbiden"]);
    world.rules("prefix_rul(pattern = [\"git\"])\n");
    check_start(world, &["default.rules", "prefix_rul"]);
    world.rules("prefix_rule(pattern = [], decision = \"allow\")\n");
    check_start(world, &["default.rules"]);
    world.rules("prefix_rule(pattern = [\"git\"], decision = \"forbidden\")\n");
    world.remit(&MAKE).succeeds();
}

fn a_rule_whose_own_example_fails_does_not_load(world: &World) {
    world.rules("prefix_rule(pattern = [\"git\", \"push\"], decision = \"forbidden\", match = [[\"git\", \"pull\"]])\n");
    check_start(world, &["default.rules", "git pull"]);
    world.rules("prefix_rule(pattern = [\"git\"], decision = \"forbidden\", not_match = [[\"git\", \"pull\"]])\n");
    check_start(world, &["default.rules", "git pull"]);
}

fn unreadable_rules_do_not_mean_no_rules(world: &World) {
    let rules = world.home.join(".config/remit/rules/default.rules");
    world.write(&rules, "\u{0}\u{1}");
    fs::write(&rules, [0xff, 0xfe, 0x00]).expect("not text");
    check_start(world, &["default.rules"]);
    fs::remove_file(&rules).expect("the file");
    fs::create_dir(&rules).expect("a directory in its place");
    check_start(world, &["default.rules"]);
    fs::remove_dir(&rules).expect("the directory");
    std::os::unix::fs::symlink("/nowhere-here", &rules).expect("a dangling link");
    check_start(world, &["default.rules"]);
    if world.who.uid != 0 {
        fs::remove_file(&rules).expect("the link");
        world.rules("");
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        fs::set_permissions(&rules, closed).expect("a closed file");
        check_start(world, &["default.rules"]);
    }
}

fn malformed_settings_are_named_with_their_line(world: &World) {
    world.settings("[network]\nallow = [\n");
    check_start(world, &["config.toml"]);
    world.settings("[network]\n\nallow = 3\n");
    check_start(world, &["config.toml", "3", "allow"]);
    world.settings("[network]\nallow = [\"a b\"]\n");
    check_start(world, &["config.toml", "a b"]);
}

fn an_unknown_key_is_named(world: &World) {
    world.settings("[network]\nallwo = []\n");
    check_start(world, &["config.toml", "allwo", "2"]);
    world.settings("[netwrok]\nallow = []\n");
    check_start(world, &["config.toml", "netwrok"]);
}

fn an_unknown_profile_is_named(world: &World) {
    check(
        world,
        || world.remit(&["run", "--profile", "nosuchprofile", "--", "touch", "made"]),
        &["nosuchprofile"],
    );
}

fn a_missing_workspace_is_named(world: &World) {
    check(
        world,
        || world.remit(&["run", "-C", "/nowhere-here", "--", "touch", "made"]),
        &["/nowhere-here"],
    );
    check(world, || world.remit(&["run", "-C", "README", "--", "touch", "made"]), &["README"]);
}

fn the_root_directory_is_no_workspace(world: &World) {
    check(world, || world.remit(&["run", "-C", "/", "--", "true"]), &["`/`"]);
    check(world, || world.remit(&["run", "-C", "/home/..", "--", "true"]), &["/"]);
}

fn the_home_directory_is_no_workspace(world: &World) {
    let home = world.home.display().to_string();
    check(world, || world.remit(&["run", "-C", &home, "--", "true"]), &[&home]);
    let above = world.home.parent().expect("a parent").display().to_string();
    check(world, || world.remit(&["run", "-C", &above, "--", "true"]), &[&above]);
}

fn a_link_to_the_home_directory_is_no_workspace(world: &World) {
    let link = world.elsewhere().join("link");
    std::os::unix::fs::symlink(&world.home, &link).expect("a link");
    let shown = link.display().to_string();
    check(world, || world.remit(&["run", "-C", &shown, "--", "true"]), &["workspace"]);
}

fn a_host_without_user_namespaces_is_refused(world: &World) {
    let remit = places::remit().display().to_string();
    // Inside a namespace of its own the limit is ours to set. An ordinary
    // account keeps its uid there, so Remit sees no root.
    let limit = "echo 0 > /proc/sys/user/max_user_namespaces";
    let script = format!(
        "{limit} && exec setpriv --bounding-set -all --inh-caps -all --ambient-caps -all {remit} run -- touch made"
    );
    let run = || {
        let words = ["--user", "--map-current-user", "--keep-caps", "sh", "-c", &script];
        Running::start(world.command("unshare", &words)).finish()
    };
    check(world, run, &["user namespace"]);
}

fn a_full_disk_under_the_record_is_refused(world: &World) {
    let state = world.state();
    world.write(&state.join("earlier"), "");
    let folder = state.display();
    let (uid, gid) = (world.who.uid, world.who.gid);
    let remit = places::remit();
    let script = format!(
        "mount -t tmpfs -o size=16k,uid={uid},gid={gid},mode=0700 none {folder} && cat /dev/zero > {folder}/full 2>/dev/null; \
         cd {} && exec setpriv --reuid {uid} --regid {gid} --clear-groups {} run -- touch made",
        world.workspace.display(),
        remit.display(),
    );
    let run = || {
        let mut command = std::process::Command::new("setsid");
        command.args(["unshare", "--mount", "sh", "-c", &script]);
        world.dress(&mut command);
        Running::start(command).finish()
    };
    check(world, run, &["remit"]);
}

fn a_state_directory_that_cannot_be_written_is_refused(world: &World) {
    world.write(&world.home.join(".local/state/remit"), "a file where a directory should be");
    check_start(world, &[".local/state/remit"]);
}
