//! How sessions end in every tier, and what they leave behind.

use super::*;

/// Each generation starts the next and ends, so that no list of processes ever
/// names the one that is alive.
const CHAIN: &str = r#"
import os, sys
os.setsid()
while True:
    if os.fork():
        os._exit(0)
    sys.argv
"#;

pub(super) fn nothing_outlives_a_session_of_any_tier(world: &World) {
    world.write(&world.workspace.join("chain.py"), CHAIN);
    for tier in TIERS {
        let mark = world.mark();
        let script = format!(
            "setsid sleep {mark} >/dev/null 2>&1 </dev/null & (trap '' TERM HUP; sleep {mark} & sleep {mark}) & \
             python3 chain.py >/dev/null 2>&1 & sleep 0.3"
        );
        tier.inside(world, &script).succeeds();
        eventually("the daemons' end", Duration::from_secs(2), || {
            (world.sleepers(&mark).is_empty() && world.mine().is_empty()).then_some(())
        });
    }
    let mark = world.mark();
    world
        .outside(&format!("setsid sleep {mark} >/dev/null 2>&1 </dev/null & sleep 0.1"))
        .succeeds();
    let left = world.sleepers(&mark);
    assert!(!left.is_empty(), "without Remit the daemon stays");
    for pid in left {
        kill_process(pid, Signal::KILL).expect("the daemon is ours");
    }
}

/// Starts a session of two sleepers and returns when both are there.
fn sleeping(world: &World, tier: &Tier) -> (Running, String) {
    tier.allow(world, "");
    let mark = world.mark();
    let script = format!("setsid sleep {mark} & sleep {mark}");
    let running = tier.start(world, &["run", "--", "sh", "-c", &script]);
    eventually("both sleepers", Duration::from_secs(10), || {
        (world.sleepers(&mark).len() == 2).then_some(())
    });
    (running, mark)
}

pub(super) fn killing_the_supervisor_ends_a_session_of_any_tier(world: &World) {
    for tier in TIERS {
        let (running, mark) = sleeping(world, &tier);
        running.signal(Signal::KILL);
        eventually("the end of the session", Duration::from_secs(2), || {
            world.sleepers(&mark).is_empty().then_some(())
        });
        assert_eq!(running.finish().code, 137);
        let session = world.sessions().pop().expect("a session");
        world.remit(&["log", "verify", &session]).succeeds();
    }
    remove_left_behind(world);
}

/// A killed supervisor cannot remove its session's directory for temporary files.
fn remove_left_behind(world: &World) {
    for entry in fs::read_dir("/tmp").expect("/tmp").flatten() {
        let owner = entry.metadata().map(|about| std::os::unix::fs::MetadataExt::uid(&about));
        let name = entry.file_name().to_string_lossy().into_owned();
        let named = name.strip_prefix("remit-").is_some_and(|tail| {
            tail.len() == 16 && tail.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        // Only what is empty, so not that of a session which still runs.
        if named && owner.ok() == Some(world.who.uid) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

pub(super) fn killing_process_1_ends_a_session_of_any_tier(world: &World) {
    for tier in TIERS {
        let (running, mark) = sleeping(world, &tier);
        let supervisor = running.pid().as_raw_nonzero();
        let list = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = fs::read_to_string(list).expect("its children");
        let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let first = first.and_then(Pid::from_raw).expect("process 1 of the session");
        kill_process(first, Signal::KILL).expect("it is there");
        assert_eq!(running.finish().code, 125, "{}", tier.name);
        assert!(world.sleepers(&mark).is_empty(), "{}", tier.name);
    }
}
