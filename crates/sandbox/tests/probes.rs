//! Kernel probes: programs that try something inside a bare boundary, and the
//! same without it as a control.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use remit_sandbox::notify::{self, Call, Change, FileCall, Stop, Stopped};
use remit_sandbox::{
    Access, ChildEvent, Floor, Launched, Limits, Mount, Network, Plan, Stdio, Stream, Tier, launch,
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
            Floor::Own("/tmp".into()),
            Floor::Write(workspace.to_path_buf()),
        ],
        network: Network {
            gateway: [198, 18, 0, 1].into(),
            prefix: 15,
            gateway6: "fd72:656d:6974::1".parse().expect("an address"),
            prefix6: 64,
        },
        limits: Limits::default(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        directory: workspace.to_path_buf(),
        program: "/bin/sh".into(),
        argv: vec!["sh".into(), "-c".into(), script.into()],
    }
}

/// Runs a script inside; every program may start, every connect is refused.
fn inside(workspace: &Path, script: &str) -> ChildEvent {
    inside_plan(&plan(workspace, script))
}

fn inside_plan(plan: &Plan) -> ChildEvent {
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
                Call::File(what) => make(notifications, &call, what),
                _ => notifications.answer(&call, 13),
            }
        } else if called.contains(PollFlags::HUP) {
            return;
        }
    }
}

/// Makes files where the caller wants them, and nothing else.
fn make(notifications: &notify::Listener, call: &notify::Notification, what: FileCall) {
    use rustix::fs::{Mode, OFlags, open, openat};
    let FileCall::Open { at, flags, .. } = what else {
        return notifications.answer(call, 1);
    };
    let path = notify::read_path(call.task, at.path).expect("a path");
    let cwd = open(format!("/proc/{}/cwd", call.task), OFlags::PATH, Mode::empty()).expect("cwd");
    let flags = OFlags::from_bits_retain(flags as u32);
    let root = format!("/proc/{}/root", call.task);
    let opened = match path.to_str().and_then(|path| path.strip_prefix('/')) {
        Some(rest) => open(format!("{root}/{rest}"), flags, Mode::RUSR | Mode::WUSR),
        None => openat(cwd, &path, flags, Mode::RUSR | Mode::WUSR),
    };
    match opened {
        Ok(file) => notifications.answer_with(call, file.as_fd(), false).expect("answered"),
        Err(errno) => notifications.answer(call, errno.raw_os_error()),
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
fn a_socket_that_is_handed_out_is_of_the_sessions_network() {
    let workspace = tempfile::tempdir().expect("a directory");
    let plan = plan(workspace.path(), "while ! [ -e done ]; do sleep 0.05; done");
    let changes = notify::changes().expect("a signal descriptor");
    let Launched { notifications, control, sockets, .. } =
        launch(&plan, QUIET).expect("a boundary");
    let networks = std::thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&notifications, changes.as_fd()));
        let waiting = scope.spawn(|| control.wait());
        let network = |socket: &OwnedFd| notify::network_of(socket.as_fd()).expect("a network");
        let given = [(); 3].map(|()| network(&control.socket().expect("a socket")));
        let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let networks = (given, network(&sockets.stream4), network(&host.into()));
        std::fs::write(workspace.path().join("done"), "").expect("a file");
        assert_eq!(waiting.join().expect("the end"), ChildEvent::Exited(0));
        control.end();
        serving.join().expect("the serving thread");
        networks
    });
    let (given, session, host) = networks;
    assert_eq!(given, [session; 3]);
    assert_ne!(session, host);
    assert!(control.socket().is_err(), "nobody is there to make one");
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
fn ports_of_closed_connections_are_used_again() {
    let workspace = tempfile::tempdir().expect("a directory");
    let script = "test \"$(cat /proc/sys/net/ipv4/tcp_tw_reuse)\" = 1";
    assert_eq!(inside(workspace.path(), script), ChildEvent::Exited(0));
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
    inside_plan(&plan)
}

#[test]
fn every_tier_runs_a_command_and_holds_the_rest_of_the_host() {
    let outside = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let (target, pipe) = (outside.path().join("written"), outside.path().join("pipe"));
    let write = format!("echo x > {}", target.display());
    // Not trapped in any tier: what serves the traps has no say in it.
    let make = format!("mkfifo {}", pipe.display());
    for tier in Tier::ALL {
        let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let run = |script: &str| inside_tier(tier, workspace.path(), script);
        assert_eq!(run("echo hi > file && exit 7"), ChildEvent::Exited(7), "{tier:?}");
        assert_ne!(run(&make), ChildEvent::Exited(0), "{tier:?}");
        if tier.has_namespaces() {
            // Elsewhere whoever opens files for the session has to judge.
            assert_ne!(run(&write), ChildEvent::Exited(0), "{tier:?}");
        }
        assert!(!target.exists() && !pipe.exists(), "{tier:?}");
        assert_eq!(run("kill -9 $$"), ChildEvent::Signalled(9), "{tier:?}");
        let supervisor = format!("kill -0 {}", std::process::id());
        assert_ne!(run(&supervisor), ChildEvent::Exited(0), "{tier:?}");
    }
    let both = format!("{write} && {make}");
    let control = std::process::Command::new("/bin/sh").args(["-c", &both]).status();
    assert!(control.is_ok_and(|status| status.success()) && target.exists() && pipe.exists());
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
fn limits_are_lowered_for_good_and_never_raised() {
    let check = |limits: Limits, script: &str, expected: i32| {
        let workspace = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let plan = Plan { limits, ..plan(workspace.path(), script) };
        assert_eq!(inside_plan(&plan), ChildEvent::Exited(expected), "{script}");
    };
    let limits = || Limits {
        open_files: Some(64),
        file_size: Some(1 << 20),
        tmp: Some(1 << 20),
        ..Limits::default()
    };
    check(limits(), "test $(ulimit -Hn) = 64 && test $(ulimit -Hf) = 2048", 0);
    check(limits(), "ulimit -Hn 65", 2);
    let all = "test $(cat /proc/self/oom_score_adj) -ge 500 && test $(ulimit -r) = 0";
    check(Limits::default(), all, 0);
    let fill =
        "head -c 2000000 /dev/zero > /tmp/x 2>/dev/null; test $(stat -c %s /tmp/x) = 1048576";
    check(Limits { file_size: None, ..limits() }, fill, 0);
    // The caller's own is lower than that.
    let before = "test $(ulimit -n) -le 1048576";
    check(Limits { open_files: Some(1 << 40), ..Limits::default() }, before, 0);
}

#[test]
fn a_group_that_is_not_there_is_no_place_to_begin() {
    let nowhere = Path::new("/sys/fs/cgroup/remit-there-is-no-such-group");
    assert!(remit_sandbox::try_cgroup(nowhere).is_err());
    let directory = tempfile::tempdir_in("/var/tmp").expect("a directory");
    assert!(remit_sandbox::try_cgroup(directory.path()).is_err(), "not a group at all");
}

#[test]
fn a_missing_directory_is_named() {
    let workspace = PathBuf::from("/var/tmp/remit-there-is-no-such-directory");
    let error = launch(&plan(&workspace, "true"), QUIET).expect_err("a refusal");
    assert!(error.to_string().contains("remit-there-is-no-such-directory"), "{error}");
}
