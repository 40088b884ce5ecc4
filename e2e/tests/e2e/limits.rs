//! What a session may take of the machine.
//!
//! INVARIANT: every bomb is bounded by itself, so that a limit that fails costs
//! the test and not the machine.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::delegated::Delegated;
use crate::places;
use crate::run::{Output, Running};
use crate::scenario::Need::{DelegatedCgroup, Program, RootHarness};
use crate::world::World;

scenarios! { "limits":
    a_fork_bomb_stays_below_its_limit [Program("python3")],
    a_memory_bomb_is_ended_and_recorded,
    memory_in_files_without_a_name_counts [Program("python3")],
    memory_cannot_hide_behind_many_descriptors [Program("python3")],
    memory_shared_by_many_processes_counts_once [Program("python3")],
    a_limit_that_is_not_reached_leaves_no_word [Program("python3")],
    more_open_files_than_allowed_fail [Program("python3")],
    the_directories_in_memory_are_bounded_in_bytes_and_names,
    time_that_is_up_ends_the_session_and_says_so,
    a_command_may_save_its_work_when_time_is_up,
    a_command_that_ignores_the_end_of_its_time_is_ended,
    a_share_of_the_processors_is_enforced_or_refused,
    a_project_narrows_and_does_not_widen,
    what_makes_no_sense_refuses,
    the_record_says_how_each_limit_is_enforced,
    no_priority_is_inherited [RootHarness, Program("chrt"), Program("ionice")],
    a_delegated_group_holds_memory_and_processes [RootHarness, DelegatedCgroup, Program("python3")],
}

/// The one event that says a limit was reached.
#[track_caller]
fn reached(world: &World, limit: &str) -> Value {
    let record = world.record();
    let found = record.with(&["limit_reached", &format!("\"limit\":\"{limit}\"")]);
    assert_eq!(found.len(), 1, "one word about `{limit}`, not {found:?}");
    found[0]["event"]["limit_reached"].clone()
}

#[track_caller]
fn check_ended(world: &World, output: Output, limit: &str) {
    let output =
        output.fails().says(&format!("the session was ended: it reached `limits.{limit}`"));
    assert_eq!(output.code, 125, "{output:?}");
    assert_eq!(reached(world, limit)["ended"], true);
    assert!(world.record().with(&["session_ended"]).len() == 1, "the record has its last word");
}

/// Starts 300 processes that wait, and ends them a second later.
const FORKS: &str = "python3 -c \"
import os, time
children = []
said = 'all-started'
try:
    for _ in range(300):
        child = os.fork()
        if child == 0:
            time.sleep(9)
            os._exit(0)
        children.append(child)
except OSError as error:
    said = error
time.sleep(1)
print(said)
for child in children:
    os.kill(child, 9)
    os.wait()
\"";

fn a_fork_bomb_stays_below_its_limit(world: &World) {
    world.outside(FORKS).succeeds().says("all-started");
    world.settings("[limits]\nprocesses = 64\n");
    let output = world.inside(FORKS).does_not_say("all-started");
    let event = reached(world, "processes");
    assert_eq!(event["value"], 64);
    if event["ended"] == true {
        check_ended(world, output, "processes");
    } else {
        output.succeeds().says("Resource temporarily unavailable");
    }
}

/// Takes 600 MB and holds them for two seconds.
const TAKES_MEMORY: &str =
    "head -c 600000000 /dev/zero | tail -c 600000000 | (sleep 2; wc -c) | grep 600000000";

fn a_memory_bomb_is_ended_and_recorded(world: &World) {
    world.outside(TAKES_MEMORY).succeeds();
    world.settings("[limits]\nmemory = '200MiB'\n");
    check_ended(world, world.inside(TAKES_MEMORY), "memory");
    let in_files = "head -c 150000000 /dev/zero > /tmp/a && head -c 150000000 /dev/zero > /dev/shm/b && sleep 9";
    check_ended(world, world.inside(in_files), "memory");
}

/// A file in memory that has no name and is mapped nowhere.
const NAMELESS: &str = "python3 -c \"
import os, time
f = os.memfd_create('x')
for _ in range(400): os.write(f, bytes(1000000))
time.sleep(3)
print('held')
\"";

fn memory_in_files_without_a_name_counts(world: &World) {
    world.outside(NAMELESS).succeeds().says("held");
    world.settings("[limits]\nmemory = '200MiB'\n");
    check_ended(world, world.inside(NAMELESS), "memory");
}

/// 110,000 descriptors in as few processes as may hold them, for three seconds.
const DESCRIPTORS: &str = "python3 -c \"
import os, resource, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
each = min(hard - 100, 60000)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = [os.open('/dev/null', os.O_RDONLY) for _ in range(each)]
children = []
for _ in range(110000 // each + 1):
    child = os.fork()
    if child == 0:
        time.sleep(9)
        os._exit(0)
    children.append(child)
time.sleep(3)
print('held')
for child in children:
    os.kill(child, 9)
    os.wait()
\"";

fn memory_cannot_hide_behind_many_descriptors(world: &World) {
    world.outside(DESCRIPTORS).succeeds().says("held");
    world.settings("[limits]\nmemory = '2GiB'\n");
    let output = world.inside(DESCRIPTORS);
    let record = world.record();
    if record.with(&["session_started", "memory at most 2GiB: cgroup v2"]).is_empty() {
        output.fails().does_not_say("held");
        record.has(&["degraded", "limits.memory", "too many descriptors"]);
    } else {
        // The kernel counts such memory, wherever it is.
        output.succeeds().says("held");
    }
}

fn memory_shared_by_many_processes_counts_once(world: &World) {
    // 100 MB, seen by nine processes: 900 MB to who counts them one by one.
    let forks = "python3 -c \"
import os, time
held = bytearray(b'x') * 100000000
for _ in range(8):
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
for _ in range(8): os.wait()
print('all ended')
\"";
    world.settings("[limits]\nmemory = '300MiB'\n");
    world.inside(forks).succeeds().says("all ended");
    assert!(world.record().with(&["limit_reached"]).is_empty());
}

fn a_limit_that_is_not_reached_leaves_no_word(world: &World) {
    world.settings(
        "[limits]\nmemory = '1GiB'\nprocesses = 400\nopen_files = 256\ntmp = '64MiB'\ntime = '1h'\nfile_size = '1GiB'\n",
    );
    world.inside(FORKS).succeeds().says("all-started");
    world.inside("head -c 1000000 /dev/zero > /tmp/x && sleep 1").succeeds();
    assert!(world.record().with(&["limit_reached"]).is_empty());
}

fn more_open_files_than_allowed_fail(world: &World) {
    let opens = "python3 -c \"
import os, sys, time
try:
    held = [os.open('/dev/null', os.O_RDONLY) for _ in range(100)]
except OSError as error:
    print(error)
    time.sleep(1)
    sys.exit(1)
\"";
    world.outside(opens).succeeds();
    world.settings("[limits]\nopen_files = 64\n");
    world.inside(opens).fails().says("Too many open files");
    assert_eq!(reached(world, "open_files")["ended"], false);
    world.inside("ulimit -Hn 128").fails();
    world.settings("[limits]\nfile_size = '1MiB'\n");
    world.outside("head -c 2000000 /dev/zero > big").succeeds();
    world.inside("head -c 2000000 /dev/zero > big").fails();
    world.inside("head -c 1000000 /dev/zero > small").succeeds();
}

fn the_directories_in_memory_are_bounded_in_bytes_and_names(world: &World) {
    let folder = world.elsewhere().display();
    world.outside(&format!("head -c 4000000 /dev/zero > {folder}/x")).succeeds();
    world.settings("[limits]\ntmp = '2MiB'\n");
    for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run"] {
        let fills = format!("head -c 4000000 /dev/zero > {folder}/x || {{ sleep 1; exit 1; }}");
        world.inside(&fills).fails().says("No space left on device");
        assert_eq!(reached(world, "tmp")["ended"], false, "{folder}");
        world.inside(&format!("head -c 1000000 /dev/zero > {folder}/x")).succeeds();
    }
    let names = |folder: &str| {
        format!("i=0; while [ $i -lt 3000 ]; do : > {folder}/$i || exit 1; i=$((i+1)); done")
    };
    world.outside(&names(&folder.to_string())).succeeds();
    world.inside(&names("/tmp")).fails().says("No space left on device");
}

fn time_that_is_up_ends_the_session_and_says_so(world: &World) {
    let slow = world.outside("sleep 3; echo done").succeeds().says("done");
    assert!(slow.took > Duration::from_secs(3));
    world.settings("[limits]\ntime = '1s'\n");
    let mark = world.mark();
    let output = world.inside(&format!("sleep {mark}")).says("1s");
    assert!(output.took < Duration::from_secs(6), "{output:?}");
    check_ended(world, output, "time");
    assert!(world.sleepers(&mark).is_empty(), "it outlived its session");
    // The same from inside the middle of a tree of processes.
    check_ended(world, world.inside("sh -c 'sleep 30 & wait'; echo never"), "time");
}

fn a_command_may_save_its_work_when_time_is_up(world: &World) {
    world.settings("[limits]\ntime = '1s'\n");
    let saves = "trap 'echo saved > work; exit 0' TERM; while :; do sleep 0.1; done";
    check_ended(world, world.inside(saves), "time");
    world.outside("grep saved work").succeeds();
    world.record().has(&["exit", "\"code\":0"]);
}

fn a_command_that_ignores_the_end_of_its_time_is_ended(world: &World) {
    world.settings("[limits]\ntime = '1s'\n");
    let output = world.inside("trap '' TERM; while :; do sleep 0.1; done");
    assert!(output.took > Duration::from_secs(5), "its grace: {output:?}");
    assert!(output.took < Duration::from_secs(12), "{output:?}");
    check_ended(world, output, "time");
}

fn a_share_of_the_processors_is_enforced_or_refused(world: &World) {
    world.settings("[limits]\ncpu = '0.5'\n");
    let enforced =
        !world.remit(&["doctor"]).both().contains("a policy that sets it refuses to start");
    let output = world.inside("echo started");
    if enforced {
        output.succeeds().says("started");
        world.record().has(&["session_started", "cpu at most 0.50: cgroup v2"]);
    } else {
        output.fails().says("cannot enforce `limits.cpu` here").does_not_say("started\n");
        assert!(world.sessions().is_empty(), "nothing was begun");
    }
}

fn a_project_narrows_and_does_not_widen(world: &World) {
    let project = |text: &str| world.write(&world.workspace.join(".remit/config.toml"), text);
    let processes = |world: &World| {
        world.inside("true").succeeds();
        world.record().has(&["session_started"]).to_string()
    };
    project("[limits]\nprocesses = 100000\nmemory = '900GiB'\n");
    assert!(processes(world).contains("processes at most 4096"), "the default holds");
    assert!(!processes(world).contains("memory at most 900GiB"), "the machine's size holds");
    project("[limits]\nprocesses = 100\nmemory = '100MiB'\n");
    assert!(processes(world).contains("processes at most 100:"));
    assert!(processes(world).contains("memory at most 100MiB:"));
    world.settings("[limits]\nprocesses = 50\n");
    assert!(processes(world).contains("processes at most 50:"));
}

fn what_makes_no_sense_refuses(world: &World) {
    world.settings("\n[limits]\nmemory = '0MiB'\n");
    world
        .inside("true")
        .fails()
        .says("config.toml` line 3: `limits.memory`: `0MiB` is not between");
    world.settings("[limits]\nprocesses = -1\n");
    world.inside("true").fails().says("line 2: `limits.processes`: ");
    world.settings("[limits]\nproceses = 64\n");
    world.inside("true").fails().says("unknown key `limits.proceses`; did you mean `processes`?");
    assert!(world.sessions().is_empty());
}

fn the_record_says_how_each_limit_is_enforced(world: &World) {
    world.settings("[limits]\nmemory = '3GiB'\ntime = '2h'\n");
    world.inside("true").succeeds();
    let record = world.record();
    for layer in [
        "memory at most 3GiB: ",
        "processes at most 4096: ",
        "open_files at most 65536: ",
        "time at most 2h: the supervisor's clock",
        "memory killer score at least 500",
    ] {
        record.has(&["session_started", layer]);
    }
    world.remit(&["doctor"]).says("limit of memory: ").says("limit of processes: ");
}

fn no_priority_is_inherited(world: &World) {
    let asks = "nice; ionice -p $$; chrt -p $$ | grep policy; cat /proc/self/oom_score_adj";
    let remit = places::remit().display().to_string();
    let favoured = |words: &[&str]| {
        let before = ["-n", "-5", "ionice", "-c", "1", "-n", "2", "chrt", "--rr", "5"];
        let command = world.command("nice", &[&before[..], words].concat());
        Running::start(command).finish()
    };
    if world.who.uid == 0 {
        favoured(&["sh", "-c", asks]).succeeds().says("realtime").says("SCHED_RR").says("-5\n");
        let inside = favoured(&[&remit, "run", "--", "sh", "-c", asks]).succeeds();
        assert_eq!(inside.out.lines().next(), Some("0"), "{inside:?}");
        inside.does_not_say("realtime").says("SCHED_OTHER").says("\n500\n");
    } else {
        world.outside("cat /proc/self/oom_score_adj").succeeds().does_not_say("500");
        world.inside(asks).succeeds().says("SCHED_OTHER").says("\n500\n");
        world.inside("echo 0 > /proc/self/oom_score_adj").fails();
    }
    // What the caller gave up stays given up.
    let yielding = world.command("nice", &["-n", "7", &remit, "run", "--", "nice"]);
    assert_eq!(Running::start(yielding).finish().succeeds().out.trim(), "7");
}

fn a_delegated_group_holds_memory_and_processes(world: &World) {
    let group = Delegated::to(&world.who);
    let inside = |script: &str| {
        let remit = places::remit().display().to_string();
        // Only root may move a process there from where the tests are.
        let enter = "until [ -e entered ]; do sleep 0.01; done; rm entered; exec \"$@\"";
        let words = ["-c", enter, "sh", &remit, "run", "--", "sh", "-c", script];
        let running = Running::start(world.command("sh", &words));
        let pid = running.pid().as_raw_nonzero().to_string();
        fs::write(group.leaf().join("cgroup.procs"), pid).expect("a move");
        world.write(&world.workspace.join("entered"), "");
        running.finish()
    };
    world.settings("[limits]\nmemory = '200MiB'\nprocesses = 64\n");
    inside("true").succeeds();
    world.record().has(&["session_started", "memory at most 200MiB: cgroup v2"]);
    world.record().has(&["session_started", "processes at most 64: cgroup v2"]);
    check_ended(world, inside(TAKES_MEMORY), "memory");
    check_ended(world, inside(NAMELESS), "memory");
    inside(FORKS).succeeds().says("Resource temporarily unavailable");
    assert_eq!(reached(world, "processes")["ended"], false);
    let busy = "python3 -c 'import time
end = time.time() + 3
while time.time() < end: pass
print(\"ran for\", int(time.process_time() * 10), \"tenths\")'";
    let ran = |output: Output| -> u32 {
        let output = output.succeeds();
        let words: Vec<_> = output.out.split_whitespace().collect();
        words[2].parse().expect("tenths of a second")
    };
    let freely = ran(world.outside(busy));
    world.settings("[limits]\ncpu = '0.1'\n");
    let limited = ran(inside(busy));
    assert!(freely > 12 && limited < 8, "{freely} tenths outside, {limited} inside");
    world.record().has(&["session_started", "cpu at most 0.10: cgroup v2"]);
    assert_eq!(group.children(), ["leaf"], "no session's group stays behind");
}
