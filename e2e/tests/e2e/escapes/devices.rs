//! Mounts, namespaces and devices.

use std::fs;
use std::process::Command;

use super::attempts::{none_works, py};
use super::probe::{self, Answers, probe};
use crate::scenario::Need::{Program, RootHarness};
use crate::world::World;

scenarios! { "escapes":
    c15_raw_mount_calls_are_refused [Program("python3"), Program("unshare")],
    c17_no_flag_of_clone_makes_a_namespace [Program("python3")],
    c18_only_six_devices_are_there,
    c18_a_device_node_in_the_workspace_opens_nothing [RootHarness],
    c18_no_call_makes_a_device [RootHarness, Program("python3")],
}

/// All of the mount calls, with arguments that would work for who may mount.
const MOUNTS: &str = r#"
os.makedirs("point", exist_ok=True)
none = b"none"
attempt("tmpfs", lambda: call("mount", none, "point", "tmpfs", 0, 0))
attempt("bind", lambda: call("mount", "/usr", "point", 0, 0x1000, 0))
attempt("rbind", lambda: call("mount", "/", "point", 0, 0x5000, 0))
attempt("remount", lambda: call("mount", none, "point", 0, 0x1020, 0) if os.path.ismount("point") else call("mount", none, "/", 0, 0x1020, 0))
attempt("private", lambda: call("mount", none, "/", 0, 0x44000, 0))
attempt("proc", lambda: call("mount", none, "point", "proc", 0, 0))
attempt("overlay", lambda: call("mount", none, "point", "overlay", 0, "lowerdir=/usr:/etc"))
attempt("open_tree", lambda: call("open_tree", AT, "/usr", 1))
attempt("fsopen", lambda: call("fsopen", "tmpfs", 0))
attempt("fspick", lambda: call("fspick", AT, "/", 0))
attempt("mount_setattr", lambda: call("mount_setattr", AT, "/", 0, struct.pack("QQQQ", 0, 0, 0, 0), 32))
attempt("move_mount", lambda: call("move_mount", call("open_tree", AT, "/usr", 1), "", AT, "point", 4))
attempt("umount", lambda: call("umount2", "point", 2) if os.path.ismount("point") else call("umount2", ".git", 2))
attempt("chroot", lambda: call("chroot", "/usr"))
attempt("listmount", lambda: call("listmount", struct.pack("IIQQQ", 32, 0, 0xffffffffffffffff, 0, 0), ctypes.create_string_buffer(4096), 16, 0))
"#;

fn c15_raw_mount_calls_are_refused(world: &World) {
    probe::write(world, MOUNTS);
    let before = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let inside = world.inside_own_mounts("cat /proc/self/mounts > before; python3 -B probe.py; cmp /proc/self/mounts before && echo same yes >&2");
    assert!(inside.err.contains("same yes"), "the view is as before: {inside:?}");
    let control =
        world.outside("unshare --user --map-root-user --mount --pid --fork python3 -B probe.py");
    Answers::of(&inside, &control).are_refused().work_outside(&[
        "tmpfs",
        "rbind",
        "private",
        "open_tree",
        "fsopen",
        "mount_setattr",
        "move_mount",
        "chroot",
        "listmount",
    ]);
    assert_eq!(fs::read_to_string("/proc/self/mounts").expect("mounts"), before);
}

fn c17_no_flag_of_clone_makes_a_namespace(world: &World) {
    let code = r#"
FLAGS = {"user": 0x10000000, "mount": 0x00020000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000, "cgroup": 0x02000000, "time": 0x80}
def fork(flags):
    def deed():
        child = call("clone", flags | 17, 0, 0, 0, 0)
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
    return deed
def three(flags):
    def deed():
        child = call("clone3", struct.pack("QQQQQQQQ", flags, 0, 0, 0, 17, 0, 0, 0), 64)
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
    return deed
for name, flag in FLAGS.items():
    user = 0 if name == "user" else FLAGS["user"]
    attempt("unshare " + name, lambda: call("unshare", flag | user))
    if name != "time": attempt("clone " + name, fork(flag | user))
    attempt("clone3 " + name, three(flag | user))
attempt("unshare upper half", lambda: call("unshare", (1 << 32) | FLAGS["user"]))
attempt("clone upper half", fork((1 << 32) | FLAGS["user"]))
attempt("setns self", lambda: call("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), 0))
attempt("setns pidfd", lambda: call("setns", os.pidfd_open(os.getpid()), FLAGS["uts"]))
"#;
    let answers = probe(world, code, "");
    answers.are_refused();
    answers.work_outside(&[
        "unshare user",
        "clone user",
        "clone3 user",
        "unshare net",
        "clone net",
        "clone3 net",
        "unshare mount",
    ]);
}

fn c18_only_six_devices_are_there(world: &World) {
    let list = "for f in $(find /dev); do [ -L $f ] && continue; { [ -b $f ] || [ -c $f ]; } && case $f in /dev/pts/*) ;; *) echo $f;; esac; done | sort; true";
    let expected = "/dev/full\n/dev/null\n/dev/random\n/dev/tty\n/dev/urandom\n/dev/zero\n";
    assert_eq!(world.inside(list).succeeds().out, expected);
    assert!(world.outside(list).succeeds().out.lines().count() > 15, "the host has more");
    let names = "mem kmsg port kvm fuse uinput net/tun loop0 loop-control vda sda userfaultfd vsock tty0 console snapshot hwrng mapper/control cpu_dma_latency ttyS0 btrfs-control autofs";
    let open = format!(
        "for n in {names}; do for d in /dev /proc/self/root/dev /proc/1/root/dev; do (exec 3< $d/$n) 2>/dev/null && echo opened $d/$n; done; done; true"
    );
    world.inside(&open).succeeds().does_not_say("opened");
}

fn c18_a_device_node_in_the_workspace_opens_nothing(world: &World) {
    // Made by the host's root: a zero device, which does no harm, is as good as a disk.
    let node = world.workspace.join("node");
    let made = Command::new("mknod").arg("-m").arg("666").arg(&node).args(["c", "1", "5"]).status();
    assert!(made.is_ok_and(|status| status.success()));
    let read = "head -c 4 node | od -An -tx1";
    world.outside(read).succeeds().says("00 00 00 00");
    world.inside(read).does_not_say("00 00 00 00");
    world.inside("ln node other; head -c 4 other | od -An -tx1; mv node moved; head -c 4 moved | od -An -tx1; head -c 4 /proc/self/cwd/node | od -An -tx1").does_not_say("00 00 00 00");
}

fn c18_no_call_makes_a_device(world: &World) {
    if world.who.uid != 0 {
        // An ordinary account may make none but the empty one.
        let attempts = [py("node", r#"call("mknodat", AT, "node", stat.S_IFCHR | 0o666, 0)"#)];
        none_works(world, "", &attempts);
        return;
    }
    let mut attempts = Vec::new();
    for (kind, number) in
        [("S_IFCHR", "os.makedev(1, 5)"), ("S_IFBLK", "os.makedev(7, 0)"), ("S_IFCHR", "0")]
    {
        for (call, words) in [("mknod", ""), ("mknodat", "AT, ")] {
            let name = format!("{call}-{kind}-{}", number.len());
            attempts.push(py(
                &name,
                &format!(r#"call("{call}", {words}"{name}", stat.{kind} | 0o666, {number})"#),
            ));
        }
    }
    none_works(world, "", &attempts);
    world.inside("for d in /tmp /dev/shm /run /dev; do mknod $d/node c 1 5 && echo made; mknod $d/block b 7 0 && echo made; done; true").succeeds().does_not_say("made");
}
