//! What a command inside may ask of the kernel. Each probe has a control: the
//! same call without Remit, which shows that the kernel would have done it.

use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "kernel":
    no_capabilities_no_new_privileges_and_a_filter,
    refused_calls_are_refused [Program("python3")],
    odd_sockets_are_refused [Program("python3")],
    a_user_namespace_cannot_be_made [Program("unshare")],
    nothing_can_be_mounted [Program("mount")],
    device_nodes_cannot_be_made,
    a_process_of_the_host_cannot_be_signalled,
    the_landlock_floor_cannot_be_missed,
}

fn no_capabilities_no_new_privileges_and_a_filter(world: &World) {
    let status = world.inside("cat /proc/self/status").succeeds().out;
    let value = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or_default().to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(set), "0000000000000000", "{set}");
    }
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(value("Seccomp:"), "2");
    let control = world.outside("cat /proc/self/status").succeeds();
    assert!(
        control.out.lines().any(|line| line == "Seccomp:\t0"),
        "the control runs without a filter"
    );
}

/// Prints `NAME ERRNO` for each call; 0 is success. Calls that could do harm
/// get arguments that the kernel turns down only after it agreed to look.
const CALLS: &str = r#"
import ctypes, os, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
number = lambda a, b: a if x86 else b
buffer = ctypes.create_string_buffer(4096)
calls = {
    "ptrace": (number(101, 117), 0, 0, 0, 0),
    "unshare": (number(272, 97), 0x10000000),
    "bpf": (number(321, 280), 9999, buffer, 64),
    "io_uring_setup": (425, 1, buffer),
    "keyctl": (number(250, 219), 0, -3 & 0xffffffff, 0),
    "add_key": (number(248, 217), b"user", b"e2e", b"x", 1, -2 & 0xffffffff),
    "perf_event_open": (number(298, 241), buffer, 0, -1, -1, 0),
    "userfaultfd": (number(323, 282), 1),
    "fsopen": (430, b"tmpfs", 0),
    "open_tree": (428, -100, b"/", 0),
    "open_by_handle_at": (number(304, 265), -100, buffer, 0),
    "process_vm_readv": (number(310, 270), os.getpid(), 0, 0, 0, 0, 0),
    "mount": (number(165, 40), b"none", b"/nowhere-here", b"tmpfs", 0, 0),
    "setns": (number(308, 268), 99, 0),
    "chroot": (number(161, 51), b"/nowhere-here"),
    "swapon": (number(167, 224), b"/nowhere-here", 0),
    "kexec_load": (number(246, 104), 0, 99, 0, 0),
    "init_module": (number(175, 105), 0, 0, b""),
}
for name, call in calls.items():
    child = os.fork()
    if child == 0:
        ctypes.set_errno(0)
        result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in call])
        print(name, 0 if result >= 0 else ctypes.get_errno(), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        print(name, "killed", flush=True)
"#;

fn refused_calls_are_refused(world: &World) {
    world.write(&world.workspace.join("calls.py"), CALLS);
    let answers = |text: &str| -> Vec<(String, String)> {
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
    };
    let inside = answers(&world.inside("python3 calls.py").succeeds().out);
    let outside = answers(&world.outside("python3 calls.py").succeeds().out);
    assert_eq!(inside.len(), outside.len());
    let refused = |answer: &str| ["1", "38"].contains(&answer); // EPERM, ENOSYS
    for ((name, inside), (_, outside)) in inside.iter().zip(&outside) {
        assert!(refused(inside), "`{name}` inside: errno {inside}; outside: {outside}");
    }
    // For an ordinary user the kernel itself refuses some; root sees them all.
    let shown = outside.iter().filter(|(_, answer)| !refused(answer)).count();
    let enough = if world.who.uid == 0 { 14 } else { 6 };
    assert!(shown >= enough, "the control should show more calls: {outside:?}");
}

const SOCKETS: &str = r#"
import socket
kinds = {"packet": (17, 3), "netlink-audit": (16, 3, 9), "vsock": (40, 1), "alg": (38, 5), "raw": (2, 3, 1), "bluetooth": (31, 3), "tipc": (30, 2), "xdp": (44, 3)}
for name, kind in kinds.items():
    try:
        socket.socket(*kind).close()
        print(name, "made")
    except OSError as error:
        print(name, error.errno)
socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()
print("ordinary made")
"#;

fn odd_sockets_are_refused(world: &World) {
    world.write(&world.workspace.join("sockets.py"), SOCKETS);
    let inside = world.inside("python3 sockets.py").succeeds().says("ordinary made");
    assert_eq!(inside.out.matches("made").count(), 1, "only ordinary sockets: {inside:?}");
    let outside = world.outside("python3 sockets.py").succeeds();
    assert!(
        outside.out.matches("made").count() >= 2,
        "the control makes odd ones too: {outside:?}"
    );
}

fn a_user_namespace_cannot_be_made(world: &World) {
    world.outside("unshare --user true").succeeds();
    for flags in ["--user", "--user --map-root-user --mount", "--user --net", "--user --pid --fork"]
    {
        world.inside(&format!("unshare {flags} true")).fails();
    }
}

fn nothing_can_be_mounted(world: &World) {
    // In mounts of its own, so that a failure harms nothing but the test.
    for script in [
        "mount -t tmpfs none .git",
        "mount --bind /usr .git",
        "mount -o remount,bind,rw .",
        "umount .git",
    ] {
        world.inside_own_mounts(script).fails();
    }
    let as_ones_own_root =
        "unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none .git'";
    world.outside(as_ones_own_root).succeeds();
    world.inside(as_ones_own_root).fails();
}

fn device_nodes_cannot_be_made(world: &World) {
    world.inside("mknod node c 1 3").fails();
    world.inside("mknod node b 8 0").fails();
    world.inside("echo ok > /dev/null && head -c 1 /dev/urandom > /dev/null && ! [ -e /dev/mem ] && ! [ -e /dev/kvm ]").succeeds();
    assert!(!world.workspace.join("node").exists());
}

fn a_process_of_the_host_cannot_be_signalled(world: &World) {
    let mark = world.mark();
    let mut sleeper = crate::run::Running::start(world.command("sleep", &[&mark]));
    let pid = sleeper.pid().as_raw_nonzero();
    world.inside(&format!("kill -9 {pid}")).fails();
    assert!(!sleeper.has_ended(), "the host's process lives on");
    world.outside(&format!("kill -9 {pid}")).succeeds();
    crate::run::eventually("its end", std::time::Duration::from_secs(2), || {
        sleeper.has_ended().then_some(())
    });
}

fn the_landlock_floor_cannot_be_missed(world: &World) {
    let session = world.inside("true").succeeds();
    drop(session);
    let record = world.record();
    let start = record.has(&["session_started"]).to_string().to_lowercase();
    for part in ["landlock", "seccomp"] {
        assert!(
            start.contains(part),
            "the record says what was enforced, `{part}` included: {start}"
        );
    }
}
