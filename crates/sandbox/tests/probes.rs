//! Kernel probes: programs that try something inside a bare boundary, and the
//! same without it as a control.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use remit_sandbox::notify::{self, Call, Change, Stop, Stopped};
use remit_sandbox::{
    Access, ChildEvent, Floor, Launched, Mount, Network, Plan, Stdio, Stream, Tier, launch,
};

const QUIET: Stdio = Stdio([Stream::Null, Stream::Inherited, Stream::Inherited]);

/// A boundary around `/bin/sh -c SCRIPT` with one writable directory.
fn plan(workspace: &Path, script: &str) -> Plan {
    let private = |path: &str, mode| Mount::Private { path: PathBuf::from(path), mode };
    Plan {
        tier: Tier::Full,
        mounts: vec![
            private("/run", 0o755),
            private("/tmp", 0o1777),
            Mount::Processes,
            Mount::Devices,
            Mount::Host { path: workspace.to_path_buf(), access: Access::Write },
        ],
        floor: vec![
            Floor::List("/".into()),
            Floor::Read("/usr".into()),
            Floor::Read("/bin".into()),
            Floor::Read("/lib".into()),
            Floor::Read("/lib64".into()),
            Floor::Read("/etc".into()),
            Floor::Read("/proc".into()),
            Floor::Device("/dev".into()),
            Floor::Write("/tmp".into()),
            Floor::Write(workspace.to_path_buf()),
        ],
        network: Network {
            gateway: [198, 18, 0, 1].into(),
            prefix: 15,
            gateway6: "fd72:656d:6974::1".parse().expect("an address"),
            prefix6: 64,
        },
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        directory: workspace.to_path_buf(),
        program: "/bin/sh".into(),
        argv: vec!["sh".into(), "-c".into(), script.into()],
    }
}

/// Runs a script inside; every program may start, every connect is refused.
fn inside(workspace: &Path, script: &str) -> ChildEvent {
    run(&plan(workspace, script))
}

fn run(plan: &Plan) -> ChildEvent {
    let changes = notify::changes().expect("a signal descriptor");
    let Launched { notifications, control, .. } = launch(plan, QUIET).expect("a boundary");
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&notifications, changes.as_fd()));
        let event = control.wait();
        drop(control);
        serving.join().expect("the serving thread");
        event
    })
}

fn serve(notifications: &notify::Listener, changes: std::os::fd::BorrowedFd<'_>) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    loop {
        let mut fds = [
            PollFd::new(notifications, PollFlags::IN),
            PollFd::from_borrowed_fd(changes, PollFlags::IN),
        ];
        // The harness's other threads do not block the signal, so it may be lost.
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 })).expect("poll");
        let [called, changed] = fds.map(|fd| fd.revents());
        {
            if changed.contains(PollFlags::IN) {
                notify::acknowledge(changes);
            }
            while let Some(change) = notify::next_change() {
                if let Change::Stopped { process, how, .. } = change {
                    assert!(matches!(how, Stopped::Replaced | Stopped::Failed(_)));
                    Stop::release(process);
                }
            }
        }
        if called.contains(PollFlags::IN) {
            let Ok(Some(call)) = notifications.receive() else {
                continue;
            };
            match call.call() {
                Call::Exec { .. } => {
                    let stop = Stop::arm(call.task).expect("seized");
                    let _ = notifications.proceed(&call, &stop);
                }
                _ => notifications.answer(&call, 13),
            }
        } else if called.contains(PollFlags::HUP) {
            return;
        }
    }
}

/// The script succeeds without the boundary and fails inside it.
fn check_held(what: &str, script: &str) {
    let control = tempfile::tempdir().expect("a directory");
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(control.path())
        .status()
        .expect("a shell");
    assert!(status.success(), "{what}: the control cannot do it either");
    let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
    assert_ne!(inside(workspace.path(), script), ChildEvent::Exited(0), "{what}");
}

#[test]
fn a_command_runs_and_its_status_comes_out() {
    let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
    assert_eq!(inside(workspace.path(), "exit 7"), ChildEvent::Exited(7));
    assert_eq!(inside(workspace.path(), "kill -9 $$"), ChildEvent::Signalled(9));
}

#[test]
fn the_workspace_is_the_hosts_and_writable() {
    let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let script = "echo hi > file && cat file && ls /proc >/dev/null";
    assert_eq!(inside(workspace.path(), script), ChildEvent::Exited(0));
    let written = std::fs::read_to_string(workspace.path().join("file")).expect("the file");
    assert_eq!(written, "hi\n");
}

#[test]
fn the_rest_of_the_host_is_not_writable() {
    check_held(
        "outside",
        "echo x > /var/tmp/remit-probe-outside && rm /var/tmp/remit-probe-outside",
    );
}

#[test]
fn no_host_process_is_visible() {
    let script = format!("test -d /proc/{}", std::process::id());
    let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
    assert_eq!(inside(workspace.path(), &script), ChildEvent::Exited(1));
}

#[test]
fn privileges_are_gone() {
    let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let script = "grep -q 'NoNewPrivs:.1' /proc/self/status && grep -q 'Seccomp:.2' /proc/self/status \
                  && test $(grep -c 'Cap...:.0000000000000000' /proc/self/status) = 5";
    assert_eq!(inside(workspace.path(), script), ChildEvent::Exited(0));
}

/// The same boundary in another tier. Without namespaces nothing is private, so
/// no temporary directory is granted.
fn inside_tier(tier: Tier, workspace: &Path, script: &str) -> ChildEvent {
    let mut plan = plan(workspace, script);
    plan.tier = tier;
    if !tier.has_namespaces() {
        plan.mounts.clear();
        plan.floor.retain(|grant| !matches!(grant, Floor::List(_)) && grant.path() != "/tmp");
    }
    run(&plan)
}

#[test]
fn every_tier_runs_a_command_and_holds_the_rest_of_the_host() {
    let outside = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let target = outside.path().join("written");
    let write = format!("echo x > {}", target.display());
    for tier in Tier::ALL {
        let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let run = |script: &str| inside_tier(tier, workspace.path(), script);
        assert_eq!(run("echo hi > file && exit 7"), ChildEvent::Exited(7), "{tier:?}");
        assert_ne!(run(&write), ChildEvent::Exited(0), "{tier:?}");
        assert!(!target.exists(), "{tier:?}");
        assert_eq!(run("kill -9 $$"), ChildEvent::Signalled(9), "{tier:?}");
        let supervisor = format!("kill -0 {}", std::process::id());
        assert_ne!(run(&supervisor), ChildEvent::Exited(0), "{tier:?}");
    }
    let control = std::process::Command::new("/bin/sh").args(["-c", &write]).status();
    assert!(control.is_ok_and(|status| status.success()) && target.exists());
}

#[test]
fn every_tier_ends_what_its_command_leaves_behind() {
    for tier in Tier::ALL {
        let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
        // Whoever lives holds the lock.
        let script = "for i in 1 2 3 4 5 6 7 8; do setsid flock lock sleep 300 & done; sleep 0.2";
        assert_eq!(inside_tier(tier, workspace.path(), script), ChildEvent::Exited(0), "{tier:?}");
        let free = std::process::Command::new("flock")
            .args(["-n", "lock", "true"])
            .current_dir(workspace.path())
            .status();
        assert!(free.is_ok_and(|status| status.success()), "{tier:?}: somebody lives on");
    }
}

#[test]
fn a_missing_directory_is_named() {
    let workspace = PathBuf::from("/var/tmp/remit-there-is-no-such-directory");
    let error = launch(&plan(&workspace, "true"), QUIET).expect_err("a refusal");
    assert!(error.to_string().contains("remit-there-is-no-such-directory"), "{error}");
}
