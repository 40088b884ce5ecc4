//! Files outside, protected files, secrets, devices and mounts.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use super::attempts::{Attempt, Look, none_works, py, sh};
use super::probe::{self, Answers, probe};
use crate::places;
use crate::run::{Running, eventually};
use crate::scenario::Need::{Kernel, Program, RootHarness};
use crate::world::{SECRET, SECRETS, World};

scenarios! { "escapes":
    c03_no_call_links_a_file_from_outside [Program("python3")],
    c04_no_way_through_proc_leads_outside [Program("python3")],
    c07_a_descriptor_gains_no_right_to_write [Program("python3")],
    c08_the_parent_s_memory_cannot_be_read [Program("python3")],
    c09_a_protected_file_cannot_be_renamed_or_linked_over [Program("python3")],
    c09_a_protected_file_that_the_host_replaced_stays_protected,
    c10_the_parent_of_a_protected_file_cannot_be_moved_away [Program("python3")],
    c13_an_inherited_directory_leads_nowhere,
    c14_a_handle_opens_nothing [Program("python3")],
    c15_raw_mount_calls_are_refused [Program("python3"), Program("unshare")],
    c17_no_flag_of_clone_makes_a_namespace [Program("python3")],
    c18_only_six_devices_are_there,
    c18_a_device_node_in_the_workspace_opens_nothing [RootHarness],
    c18_no_call_makes_a_device [RootHarness, Program("python3")],
    c20_no_call_changes_contents_outside [Program("python3")],
    c21_no_call_changes_metadata_outside [Program("python3")],
    c21_metadata_of_a_protected_file_cannot_be_changed [Program("python3")],
    c22_variants_of_a_protected_name_cannot_be_made [Program("python3")],
    c22_a_folding_file_system_changes_nothing
        [RootHarness, Program("mkfs.ext4"), Kernel("/sys/fs/ext4/features/casefold", "case folding")],
    c23_no_call_reads_a_secret [Program("python3")],
    c23_a_secret_that_appears_later_cannot_be_read,
    c23_a_secret_that_is_renewed_cannot_be_read,
    c23_a_hidden_file_of_the_workspace_that_is_renewed_cannot_be_read,
    c26_nothing_left_behind_holds_up_a_host_tool [Program("git"), Program("python3")],
    e16_a_directory_that_the_host_moves_out_leads_nowhere,
}

/// A file of the home that is beside every workspace, and one that reads it.
const VICTIM: &str = "echo original > ../victim; chmod 640 ../victim";

fn c03_no_call_links_a_file_from_outside(world: &World) {
    let attempts = [
        py("../victim", r#"call("link", "../victim", "hard"); open("hard", "w").write("planted")"#),
        py(
            "../victim",
            r#"call("linkat", AT, "../victim", os.open(".", os.O_PATH), "hard2", 0); open("hard2", "w").write("planted")"#,
        ),
        py(
            "../victim",
            r#"fd = os.open("../victim", os.O_RDONLY); call("linkat", AT, f"/proc/self/fd/{fd}", AT, "hard3", 0x400); open("hard3", "w").write("planted")"#,
        ),
        py(
            "../victim",
            r#"fd = os.open("../victim", os.O_PATH); call("linkat", fd, "", AT, "hard4", 0x1000); open("hard4", "w").write("planted")"#,
        ),
        sh("../victim", "cp -l ../victim hard5 && echo planted > hard5"),
        sh("../victim", "mv ../victim taken && echo planted > taken"),
        py("../victim", r#"call("renameat2", AT, "README", AT, "../victim", 2)"#),
        sh("../planted", "ln README ../planted"),
        sh("../planted", "mv README ../planted"),
        sh("../planted", "ln -s README ../planted"),
    ];
    none_works(world, VICTIM, &attempts);
    for name in ["hard", "hard2", "hard3", "hard4", "hard5"] {
        assert!(!world.workspace.join(name).exists(), "`{name}` was made");
    }
}

fn c04_no_way_through_proc_leads_outside(world: &World) {
    let ways = [
        "/proc/self/cwd/../victim",
        "/proc/$$/cwd/../victim",
        "/proc/thread-self/cwd/../victim",
        "/proc/self/root/$OUT/victim",
        "/proc/thread-self/root/$OUT/victim",
        "/proc/$$/task/$$/root/$OUT/victim",
        "/proc/self/root/proc/self/root/$OUT/victim",
        "/proc/self/fd/9/../victim",
        "/dev/fd/9/../victim",
        "/proc/self/fd/8",
        "/dev/fd/8",
        "d/../../victim",
        "up/victim",
        "itself",
    ];
    let attempts = ways.map(|way| {
        let does = format!("OUT=$(cd ..; pwd); exec 9< . 8< ../victim; echo planted > {way}");
        sh("../victim", does)
    });
    none_works(
        world,
        &format!("{VICTIM}; mkdir d; ln -s .. up; ln -s ../victim itself"),
        &attempts,
    );
    // Process 1 stands for the host's process that started the session.
    for way in ["/proc/1/root", "/proc/1/cwd", "/proc/1/fd/3"] {
        world.inside(&format!("ls {way}/ && echo through")).fails().does_not_say("through");
    }
}

fn c07_a_descriptor_gains_no_right_to_write(world: &World) {
    let open = r#"fd = os.open("../victim", os.O_RDONLY)"#;
    let attempts = [
        py(
            "../victim",
            &format!(r#"{open}; write_all(os.open(f"/proc/self/fd/{{fd}}", os.O_RDWR))"#),
        ),
        py(
            "../victim",
            &format!(r#"{open}; write_all(os.open(f"/dev/fd/{{fd}}", os.O_WRONLY | os.O_TRUNC))"#),
        ),
        py(
            "../victim",
            &format!(
                r#"{open}; write_all(os.open(f"/proc/thread-self/fd/{{fd}}", os.O_WRONLY | os.O_APPEND))"#
            ),
        ),
        py(
            "../victim",
            r#"fd = os.open("../victim", os.O_PATH); write_all(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY))"#,
        ),
        py("../victim", &format!(r#"{open}; os.truncate(f"/proc/self/fd/{{fd}}", 0)"#)),
        py("../victim", &format!(r#"{open}; os.chmod(f"/proc/self/fd/{{fd}}", 0o777)"#)),
        py("../victim", &format!(r#"{open}; os.fchmod(fd, 0o777)"#)),
        py(
            "../victim",
            r#"a, b = socket.socketpair(); socket.send_fds(a, [b"x"], [os.open("../victim", os.O_RDONLY)]); fd = socket.recv_fds(b, 1, 1)[1][0]; write_all(os.open(f"/proc/self/fd/{fd}", os.O_RDWR))"#,
        ),
        py(
            ".git/config",
            r#"fd = os.open(".git/config", os.O_RDONLY); write_all(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND))"#,
        ),
        py(
            ".git/config",
            r#"fd = os.open(".git/config", os.O_PATH); os.truncate(f"/proc/self/fd/{fd}", 3)"#,
        ),
    ];
    none_works(world, VICTIM, &attempts);
}

fn c08_the_parent_s_memory_cannot_be_read(world: &World) {
    probe::write(
        world,
        r#"
who = int(sys.argv[1]) if sys.argv[1] != "parent" else os.getppid()
for name in ("environ", "auxv", "maps", "mem", "stack", "syscall", "io", "fd", "cwd", "exe", "root", "smaps", "map_files", "ns/net"):
    path = f"/proc/{who}/{name}"
    def read():
        if os.path.isdir(path) and not os.path.islink(path): os.stat(path + "/" + os.listdir(path)[0])
        elif os.path.islink(path): os.readlink(path)
        else:
            with open(path, "rb") as file:
                if name == "mem": file.seek(int(sys.argv[2], 16))
                file.read(16)
    attempt(name, read)
"#,
    );
    // Outside, the parent is a shell of the same account.
    let base = "$(cut -d- -f1 /proc/$$/maps | head -1)";
    let control = world.outside(&format!("python3 -B probe.py parent {base}; true"));
    let inside = world.inside("python3 -B probe.py 1 1000");
    let answers = Answers::of(&inside, &control);
    answers
        .are_refused()
        .work_outside(&["environ", "auxv", "maps", "mem", "fd", "cwd", "exe", "root"]);
    // What the supervisor was given is in no environment that can be read.
    let look = "cat /proc/[0-9]*/environ /proc/[0-9]*/task/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c given-71f0; true";
    let run = |program: &str, words: &[&str]| {
        let mut command = world.command(program, words);
        command.env("REMIT_TEST_SECRET", "given-71f0");
        Running::start(command).finish()
    };
    let remit = places::remit().display().to_string();
    assert_eq!(run(&remit, &["run", "--", "sh", "-c", look]).out.trim(), "0");
    assert_ne!(run("sh", &["-c", look]).out.trim(), "0", "the control finds it");
}

/// Files that are protected and there from the start.
const KEPT: &str = "mkdir .claude .github .vscode; echo kept > .envrc; echo kept > .claude/settings.json
    mkdir .github/hooks; echo kept > .github/hooks/h; echo kept > .vscode/tasks.json; echo planted > spare; mkdir dir; echo planted > dir/settings.json";

fn c09_a_protected_file_cannot_be_renamed_or_linked_over(world: &World) {
    let mut attempts = Vec::new();
    for name in [".envrc", ".claude/settings.json", ".github/hooks/h", ".vscode/tasks.json"] {
        attempts.extend([
            sh(name, format!("echo planted > {name}")),
            sh(name, format!("mv -f spare {name}")),
            sh(name, format!("mv {name} away")),
            sh(name, format!("rm -f {name}")),
            sh(name, format!("rm -f {name}; ln spare {name}")),
            sh(name, format!("ln -sf \"$PWD/spare\" {name}")),
            sh(name, format!("truncate -s 1 {name}")),
            sh(name, format!("cp --remove-destination spare {name}")),
            sh(name, format!("ln {name} other && echo planted > other")),
            sh(name, format!("chmod 777 {name}; touch -d 2001-01-01 {name}; exec 3<>{name} && echo planted >&3")),
            py(name, &format!(r#"call("renameat2", AT, "spare", AT, "{name}", 2)"#)),
            py(name, &format!(r#"call("renameat2", AT, "{name}", AT, "new", 5)"#)),
            py(name, &format!(r#"fd = os.open("spare", os.O_RDONLY); os.unlink("{name}"); call("linkat", AT, f"/proc/self/fd/{{fd}}", AT, "{name}", 0x400)"#)),
        ]);
    }
    // RENAME_WHITEOUT needs rights that an ordinary account has not.
    if world.who.uid != 0 {
        attempts.retain(|each| !each.does.contains("\"new\", 5"));
    }
    none_works(world, KEPT, &attempts);
}

fn c09_a_protected_file_that_the_host_replaced_stays_protected(world: &World) {
    // Git on the host rewrites its configuration by renaming a new file over it.
    world.outside(KEPT).succeeds();
    let script = "echo > ready; while ! [ -e go ]; do sleep 0.02; done
        for f in .git/config .envrc .claude/settings.json; do echo planted >> $f; echo planted > spare; mv -f spare $f; done; true";
    let replace = "git config user.name Other; for f in .envrc .claude/settings.json; do echo new > $f.new; mv $f.new $f; done; rm -f ready";
    let attack = |start: &dyn Fn() -> Running| {
        let running = start();
        eventually("the session", Duration::from_secs(10), || {
            world.workspace.join("ready").exists().then_some(())
        });
        world.outside(replace).succeeds();
        let names = [".git/config", ".envrc", ".claude/settings.json"];
        let look = || names.map(|name| Look::at(&world.workspace.join(name)));
        let before = look();
        world.outside("touch go").succeeds();
        let output = running.finish();
        world.outside("rm go").succeeds();
        let after = look();
        let pairs = before.iter().zip(&after).zip(names);
        let changes: Vec<_> =
            pairs.flat_map(|((before, after), name)| before.changes(after, name)).collect();
        (changes, output)
    };
    let (changed, output) = attack(&|| world.start(&["run", "--", "sh", "-c", script]));
    let (control, _) = attack(&|| Running::start(world.command("sh", &["-c", script])));
    assert_eq!(control.len(), 3, "the control changes all: {control:?}");
    assert!(changed.is_empty(), "the host sees: {changed:#?} {output:?}");
}

fn c10_the_parent_of_a_protected_file_cannot_be_moved_away(world: &World) {
    let mut attempts: Vec<Attempt> = Vec::new();
    for (parent, name) in [
        (".claude", "settings.json"),
        (".github", "hooks"),
        (".git", "config"),
        (".git/info", "attributes"),
    ] {
        let target = format!("{parent}/{name}");
        attempts.extend([
            sh(&target, format!("mv {parent} was && mkdir -p {target}")),
            sh(&target, format!("rm -rf {parent}; mkdir -p {target}")),
            sh(&target, format!("mv {parent} was; mv dir {parent}")),
            sh(&target, format!("mv {parent} was; ln -s dir {parent}")),
            py(&target, &format!(r#"call("renameat2", AT, "dir", AT, "{parent}", 2)"#)),
        ]);
    }
    attempts.push(sh(
        "../project/.envrc",
        "cd .. && mv project elsewhere && mkdir project && echo planted > project/.envrc",
    ));
    attempts.push(sh(
        "../project/.claude/settings.json",
        "cd .. && mv project/.claude claude && mkdir project/.claude",
    ));
    none_works(
        world,
        &format!("{KEPT}; mkdir -p .git/info; echo kept > .git/info/attributes"),
        &attempts,
    );
}

fn c13_an_inherited_directory_leads_nowhere(world: &World) {
    let remit = places::remit().display().to_string();
    world.outside("echo original > ../victim").succeeds();
    let look = "for n in 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$n ] && echo open-$n; cat /proc/self/fd/$n/../victim; echo planted > /proc/self/fd/$n/../victim; done; true";
    let open = "exec 3< . 4< .. 5< / 6<> ../victim 7< ~/.ssh; exec";
    let inside = world.outside(&format!("{open} {remit} run -- sh -c '{look}' 2>&1"));
    inside.does_not_say("open-").does_not_say("original");
    assert_eq!(fs::read_to_string(world.home.join("victim")).ok().as_deref(), Some("original\n"));
    world.outside(&format!("{open} sh -c '{look}' 2>&1")).says("open-7").says("original");
    assert_eq!(fs::read_to_string(world.home.join("victim")).ok().as_deref(), Some("planted\n"));
}

fn c14_a_handle_opens_nothing(world: &World) {
    let secret = world.home.join(".ssh/id_ed25519").display().to_string();
    let make = format!(
        "import os\nhandle = ctypes.create_string_buffer(struct.pack(\"Ii\", 128, 0) + bytes(128))\nmount = ctypes.c_int()\n\
         try:\n  call(\"name_to_handle_at\", AT, \"{secret}\", handle, ctypes.byref(mount), 0)\n  open(\"handle\", \"wb\").write(handle.raw)\n  print(\"made\")\nexcept OSError as error:\n  print(error)\n"
    );
    probe::write(world, &make);
    world.inside("python3 -B probe.py").succeeds().does_not_say("made");
    world.outside("python3 -B probe.py").succeeds().says("made");
    probe::write(
        world,
        r#"
handle = ctypes.create_string_buffer(open("handle", "rb").read())
for place in (".", "/", "/proc/self/root", "/tmp"):
    for flags in (os.O_RDONLY, os.O_PATH, os.O_WRONLY):
        try:
            fd = call("open_by_handle_at", os.open(place, os.O_RDONLY), handle, flags)
            print("opened", os.read(fd, 100))
        except OSError as error:
            print(place, error)
"#,
    );
    world.inside("python3 -B probe.py").succeeds().does_not_say("opened").does_not_say(SECRET);
    if world.who.uid == 0 {
        // Only root may use handles at all.
        world.outside("python3 -B probe.py").succeeds().says(SECRET);
    }
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

/// Contents of a file of the home, and of the workspace's `.git/config`.
fn c20_no_call_changes_contents_outside(world: &World) {
    let mut attempts = Vec::new();
    for name in ["../victim", ".git/config"] {
        let deeds = [
            r#"call("truncate", "NAME", 0)"#,
            r#"call("open", "NAME", os.O_RDONLY | os.O_TRUNC, 0)"#,
            r#"call("open", "NAME", os.O_WRONLY | os.O_TRUNC, 0)"#,
            r#"call("openat", AT, "NAME", os.O_RDWR | os.O_TRUNC, 0)"#,
            r#"call("creat", "NAME", 0o644)"#,
            r#"call("ftruncate", os.open("NAME", os.O_RDWR), 0)"#,
            r#"call("fallocate", os.open("NAME", os.O_RDWR), 3, 0, 4)"#,
            r#"os.write(os.open("NAME", os.O_WRONLY | os.O_APPEND), b"planted")"#,
            r#"os.pwrite(os.open("NAME", os.O_WRONLY), b"planted", 0)"#,
            r#"call("copy_file_range", os.open("README", os.O_RDONLY), 0, os.open("NAME", os.O_WRONLY), 0, 5, 0)"#,
            r#"os.sendfile(os.open("NAME", os.O_WRONLY), os.open("README", os.O_RDONLY), 0, 5)"#,
            r#"mmap.mmap(os.open("NAME", os.O_RDWR), 4)[0:4] = b"plan""#,
            r#"r, w = os.pipe(); os.write(w, b"planted"); os.splice(r, os.open("NAME", os.O_WRONLY), 7)"#,
            r#"call("unlinkat", AT, "NAME", 0)"#,
            r#"call("renameat2", AT, "README", AT, "NAME", 0)"#,
        ];
        attempts.extend(deeds.map(|deed| py(name, &deed.replace("NAME", name))));
        attempts.extend([
            sh(name, format!("truncate -s 0 {name}")),
            sh(name, format!(": > {name}")),
            sh(name, format!("dd if=README of={name} conv=notrunc")),
            sh(name, format!("rm -f {name}")),
        ]);
    }
    none_works(world, VICTIM, &attempts);
}

fn metadata(name: &str) -> Vec<Attempt> {
    let deeds = [
        r#"call("chmod", "NAME", 0o777)"#,
        r#"call("fchmodat", AT, "NAME", 0o777)"#,
        r#"call("fchmodat2", AT, "NAME", 0o777, 0)"#,
        r#"call("fchmodat2", os.open("NAME", os.O_RDONLY), "", 0o777, 0x1000)"#,
        r#"call("fchmod", os.open("NAME", os.O_RDONLY), 0o777)"#,
        r#"fd = os.open("NAME", os.O_PATH); os.chmod(f"/proc/self/fd/{fd}", 0o777)"#,
    ];
    deeds.map(|deed| py(name, &deed.replace("NAME", name))).into()
}

/// Calls whose traces `Look` does not see: times, owners, attributes, flags.
const UNSEEN: &str = r#"
name = sys.argv[1]
me = os.stat(".")
def flags(change):
    fd = os.open(name, os.O_RDONLY)
    was = struct.unpack("i", fcntl.ioctl(fd, 0x80086601, b"\0" * 4))[0]
    fcntl.ioctl(fd, 0x40086602, struct.pack("i", was ^ change))
attempt("utimensat", lambda: call("utimensat", AT, name, struct.pack("qqqq", 1, 0, 1, 0), 0))
attempt("utimensat now", lambda: call("utimensat", AT, name, 0, 0))
attempt("futimens", lambda: call("utimensat", os.open(name, os.O_RDONLY), 0, struct.pack("qqqq", 2, 0, 2, 0), 0))
attempt("chown", lambda: call("chown", name, me.st_uid, me.st_gid))
attempt("fchown", lambda: call("fchown", os.open(name, os.O_RDONLY), me.st_uid, me.st_gid))
attempt("fchownat", lambda: call("fchownat", os.open(name, os.O_PATH), "", me.st_uid, me.st_gid, 0x1000))
attempt("setxattr", lambda: call("setxattr", name, "user.planted", b"planted", 7, 0))
attempt("lsetxattr", lambda: call("lsetxattr", name, "user.planted2", b"planted", 7, 0))
attempt("fsetxattr", lambda: call("fsetxattr", os.open(name, os.O_RDONLY), "user.planted3", b"planted", 7, 0))
attempt("removexattr", lambda: call("removexattr", name, "user.was"))
attempt("nodump flag", lambda: flags(0x40))
attempt("file_setattr", lambda: call("file_setattr", AT, name, struct.pack("QIIIIII", 0, 0, 0, 0, 0, 0, 0)[:24], 24, 0))
attempt("lease", lambda: fcntl.fcntl(os.open(name, os.O_RDONLY), 1024, 0))
"#;

fn unseen(world: &World, name: &str) {
    let path = world.workspace.join(name);
    let mark = format!("import os; os.setxattr(\"{}\", \"user.was\", b\"x\")", path.display());
    world.outside(&format!("python3 -c '{mark}'")).succeeds();
    let state = || {
        let about = fs::metadata(&path).expect("the file");
        let names = world.outside(&format!("python3 -c 'import os; print(sorted(os.listxattr(\"{}\")))'; lsattr {} 2>/dev/null", path.display(), path.display())).out;
        (
            about.mtime_nsec(),
            about.mtime(),
            about.ctime(),
            about.ctime_nsec(),
            about.permissions().mode(),
            names,
        )
    };
    probe::write(world, UNSEEN);
    let before = state();
    let inside = world.inside(&format!("python3 -B probe.py {name}"));
    assert_eq!(state(), before, "{inside:?}");
    let outside = world.outside(&format!("python3 -B probe.py {name}"));
    assert_ne!(state(), before, "the control changes it");
    Answers::of(&inside, &outside).are_refused().work_outside(&[
        "utimensat",
        "utimensat now",
        "futimens",
        "chown",
        "fchown",
        "fchownat",
        "setxattr",
        "fsetxattr",
        "removexattr",
        "nodump flag",
        "lease",
    ]);
}

fn c21_no_call_changes_metadata_outside(world: &World) {
    none_works(world, VICTIM, &metadata("../victim"));
    unseen(world, "../victim");
}

fn c21_metadata_of_a_protected_file_cannot_be_changed(world: &World) {
    none_works(world, VICTIM, &metadata(".git/config"));
    unseen(world, ".git/config");
}

/// Spellings that some file system, or some program on it, takes for the name.
const VARIANTS: [&str; 22] = [
    ".ENVRC",
    ".Envrc",
    ".eNvRc",
    ".Git",
    ".GIT",
    ".giT/hooks",
    ".g\u{200c}it",
    ".\u{200d}git",
    ".git\u{200c}",
    ".gi\u{feff}t",
    ".e\u{200b}nvrc",
    ".envrc\u{200d}",
    "git~1",
    "GIT~1",
    "Git~1",
    ".VSCODE",
    ".v\u{17f}code",
    ".hus\u{212a}y",
    ".MCP.json",
    "MISE.toml",
    ".Claude/Settings.JSON",
    ".g\u{131}t",
];

fn c22_variants_of_a_protected_name_cannot_be_made(world: &World) {
    // A dotless i folds to no other letter: the last one is another name.
    let (other, variants) = VARIANTS.split_last().expect("variants");
    let attempts = variants.iter().map(|name| {
        let make =
            name.rsplit_once('/').map_or(String::new(), |(parent, _)| format!("mkdir {parent}; "));
        sh(
            *name,
            format!(
                "{make}echo planted > {name}; mkdir {name}; mv spare {name} || ln -s README {name}"
            ),
        )
    });
    none_works(world, "echo planted > spare", &attempts.collect::<Vec<_>>());
    world.inside(&format!("echo fine > {other}")).succeeds();
}

/// On a file system where `.GIT` is `.git`.
fn c22_a_folding_file_system_changes_nothing(world: &World) {
    let image = world.elsewhere().join("image");
    let place = world.home.join("folding");
    let script = format!(
        "set -e; truncate -s 16M {image}; mkfs.ext4 -q -O casefold {image}; mkdir -p {place}
         mount -o loop {image} {place}; mkdir {place}/p; chattr +F {place}/p; chown {uid}:{gid} {place}/p
         cd {place}/p; setpriv --reuid {uid} --regid {gid} --clear-groups sh -c 'git init -q; echo kept > .envrc; $0 run -C . -- sh -c \"$1\" || true' {remit} \"$1\"
         cat .envrc .git/config; ls -A .git/hooks .; echo planted > .ENVRC && cat .envrc",
        image = image.display(),
        place = place.display(),
        uid = world.who.uid,
        gid = world.who.gid,
        remit = places::remit().display(),
    );
    let attack = "echo planted-inside > .ENVRC; echo planted-inside >> .GIT/CONFIG; echo planted-inside > .Git/Hooks/pre-commit; mkdir .VSCODE; echo planted-inside > .Mcp.Json; mv .GIT was";
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--",
        "setsid",
        "sh",
        "-c",
        &script,
        "sh",
        attack,
    ]);
    world.dress(&mut command);
    let output = Running::start(command).finish().succeeds();
    let seen = output.out.to_lowercase();
    for planted in ["planted-inside", "pre-commit\n", ".vscode", ".mcp.json"] {
        assert!(!seen.contains(planted), "{planted}: {output:?}");
    }
    assert!(seen.contains("kept") && seen.ends_with("planted\n"), "it folds: {output:?}");
}

fn c23_no_call_reads_a_secret(world: &World) {
    let code = r#"
for path in sys.argv[1:]:
    base, name = os.path.split(path)
    ways = {
        "open": lambda: os.read(os.open(path, os.O_RDONLY), 100),
        "rdwr": lambda: os.read(os.open(path, os.O_RDWR), 100),
        "by directory": lambda: os.read(os.open(name, os.O_RDONLY, dir_fd=os.open(base, os.O_RDONLY)), 100),
        "by place": lambda: os.read(os.open(name, os.O_RDONLY, dir_fd=os.open(base, os.O_PATH)), 100),
        "by path descriptor": lambda: os.read(os.open("/proc/self/fd/%d" % os.open(path, os.O_PATH), os.O_RDONLY), 100),
        "chdir": lambda: (os.chdir(base), os.read(os.open(name, os.O_RDONLY), 100))[1],
        "upward": lambda: os.read(os.open(base + "/../" + os.path.basename(base) + "/" + name, os.O_RDONLY), 100),
        "map": lambda: mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:],
        "sendfile": lambda: os.sendfile(1, os.open(path, os.O_RDONLY), 0, 100),
        "link": lambda: (os.link(path, "hard" + name), os.read(os.open("hard" + name, os.O_RDONLY), 100))[1],
        "rename": lambda: (os.rename(path, "taken"), os.rename("taken", path)),
        "exec": lambda: os.execv(path, ["x"]),
    }
    for way, deed in ways.items():
        def say(): 
            got = deed()
            if got and b"do-not" + b"-read" in bytes(got if not isinstance(got, int) else b""): print("GOT", way, path)
        attempt(way, say)
"#;
    let paths: Vec<_> =
        SECRETS.iter().map(|name| world.home.join(name).display().to_string()).collect();
    probe::write(world, code);
    let script = format!("python3 -B probe.py {}", paths.join(" "));
    let inside = world.inside(&script).does_not_say("GOT").does_not_say(SECRET);
    assert!(inside.out.lines().count() >= 12 * SECRETS.len(), "{inside:?}");
    let tools = "tar -cf t.tar -C ~/ .ssh .aws .netrc 2>/dev/null; cat t.tar; cp -r ~/.aws aws; cat aws/*; cp -a ~/. all 2>/dev/null; cat all/.netrc; . ~/.netrc; LD_PRELOAD=~/.netrc ls; diff ~/.netrc README; git hash-object -w --stdin < ~/.netrc; git diff --no-index README ~/.netrc; python3 -c 'import os; exec(open(os.path.expanduser(\"~/.netrc\")).read())'";
    world.inside(tools).does_not_say("do-not-read");
    let found = world.outside(&format!(
        "grep -rl do-not-read {} | grep -v /home/[.] | grep -c project; true",
        world.home.display()
    ));
    assert_eq!(found.out.trim(), "0", "nothing was carried into the workspace: {found:?}");
    let control = world.outside(&script);
    assert_eq!(control.out.matches("GOT").count(), 9 * SECRETS.len(), "{control:?}");
    world.outside("tar -cf t.tar -C ~/ .ssh .aws .netrc; cat t.tar").says(SECRET);
}

/// Starts a session that waits for `go`, changes the host meanwhile, and
/// returns what the session then says.
fn meanwhile(world: &World, host: &str, then: &str) -> [crate::run::Output; 2] {
    let script = format!("echo > ready; while ! [ -e go ]; do sleep 0.02; done; {then}")
        .replace("~/", &format!("{}/", world.home.display()));
    let run = |running: Running| {
        eventually("the session", Duration::from_secs(10), || {
            world.workspace.join("ready").exists().then_some(())
        });
        world.outside(host).succeeds();
        world.outside("rm ready; touch go").succeeds();
        let output = running.finish();
        world.outside("rm go").succeeds();
        output
    };
    [
        run(world.start(&["run", "--", "sh", "-c", &script])),
        run(Running::start(world.command("sh", &["-c", &script]))),
    ]
}

fn c23_a_secret_that_appears_later_cannot_be_read(world: &World) {
    let make = format!(
        "mkdir -p ~/.kube ~/.azure ~/.config/hub ~/.ssh/new; for f in ~/.kube/config ~/.azure/t ~/.config/hub/h ~/.ssh/new/key ~/.vault-token; do echo {SECRET} > $f; done"
    );
    let [inside, control] = meanwhile(
        world,
        &make,
        "cat ~/.kube/config ~/.azure/t ~/.config/hub/h ~/.ssh/new/key ~/.vault-token; true",
    );
    inside.succeeds().does_not_say(SECRET);
    assert_eq!(control.out.matches(SECRET).count(), 5, "{control:?}");
}

fn c23_a_secret_that_is_renewed_cannot_be_read(world: &World) {
    // A file renamed over another takes away what was mounted there.
    let renew = format!(
        "for f in .netrc .git-credentials .aws/credentials .docker/config.json; do echo {SECRET} > ~/$f.new; mv ~/$f.new ~/$f; done; mv ~/.aws ~/.aws-old; mkdir ~/.aws; echo {SECRET} > ~/.aws/credentials"
    );
    let read = "cat ~/.netrc ~/.git-credentials ~/.aws/credentials ~/.docker/config.json; true";
    let [inside, control] = meanwhile(world, &renew, read);
    inside.succeeds().does_not_say(SECRET);
    assert_eq!(control.out.matches(SECRET).count(), 4, "{control:?}");
}

fn c23_a_hidden_file_of_the_workspace_that_is_renewed_cannot_be_read(world: &World) {
    world.settings("[sandbox]\nhide = [\"./secrets\", \"./token\"]\n");
    let write = format!(
        "mkdir -p secrets; echo {SECRET} > secrets/key; echo {SECRET} > token.new; mv token.new token"
    );
    world.outside(&write).succeeds();
    let renew = format!(
        "{write}; mv secrets old-secrets && mkdir secrets && echo {SECRET} > secrets/key; rm -rf old-secrets"
    );
    let [inside, control] = meanwhile(world, &renew, "cat secrets/key token; true");
    inside.succeeds().does_not_say(SECRET);
    assert_eq!(control.out.matches(SECRET).count(), 2, "{control:?}");
}

fn c26_nothing_left_behind_holds_up_a_host_tool(world: &World) {
    let attempts = [
        sh("pipe", "mkfifo pipe"),
        py("socket", r#"socket.socket(socket.AF_UNIX).bind("socket")"#),
        py("packet", r#"socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).bind("packet")"#),
        py("datagram", r#"socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind("datagram")"#),
        py("node", r#"call("mknodat", AT, "node", stat.S_IFSOCK | 0o666, 0)"#),
        py("moved", r#"os.mkfifo("first"); os.rename("first", "moved")"#),
        py("linked", r#"os.mkfifo("second"); os.link("second", "linked")"#),
        sh(".git/MERGE_MSG", "mkfifo .git/MERGE_MSG"),
        sh(".git/refs/heads/pipe", "mkfifo .git/refs/heads/pipe"),
        sh("README", "rm README; mkfifo README"),
    ];
    none_works(world, "", &attempts);
    // What can be left: files that say they are enormous, deep and many.
    let leave = "truncate -s 1T huge; mkdir deep; cd deep; i=0; while [ $i -lt 200 ]; do mkdir d && cd d; i=$((i+1)); done; true";
    world.inside(&format!("git checkout -q -- README; {leave}"));
    let host = world.outside("timeout 5 git status --short && timeout 5 grep -c hello README && timeout 5 cat README").succeeds();
    assert!(host.took < Duration::from_secs(5));
    let again = world.inside("true").succeeds();
    assert!(again.took < Duration::from_secs(5), "the next session starts: {again:?}");
    world.outside("mkfifo pipe; timeout 1 cat pipe").fails();
}

fn e16_a_directory_that_the_host_moves_out_leads_nowhere(world: &World) {
    // Landlock was once wrong about it (CVE-2025-68736).
    world.outside("mkdir -p sub/deep; echo original > ../victim").succeeds();
    let then = "cd sub/deep && echo > ../../ready; while ! [ -e ../../go ] && ! [ -e ../../project/go ]; do sleep 0.02; done
        echo planted > ../../victim; echo planted > ../../.bashrc; cat ../../.netrc; rm -f ../../.netrc; true";
    let attack = |running: Running| {
        eventually("the session", Duration::from_secs(10), || {
            world.workspace.join("ready").exists().then_some(())
        });
        world.outside("mv sub ../sub && touch go ../go").succeeds();
        let output = running.finish();
        world.outside("mv ../sub sub; rm -f go ../go ready").succeeds();
        output
    };
    let victim = || fs::read_to_string(world.home.join("victim")).unwrap_or_default();
    let then_inside = then.replace("-e ../../project/go", "-e /nowhere-here");
    // Inside, the way up is gone, so a clock has to do.
    let inside = attack(world.start(&[
        "run",
        "--",
        "sh",
        "-c",
        &then_inside.replace(
            "while ! [ -e ../../go ]",
            "i=0; while [ $((i+=1)) -lt 100 ] && ! [ -e ../../go ]",
        ),
    ]));
    inside.does_not_say(SECRET);
    assert_eq!(victim(), "original\n");
    assert!(!world.home.join(".bashrc").exists() && world.home.join(".netrc").exists());
    attack(Running::start(world.command("sh", &["-c", then]))).says(SECRET);
    assert_eq!(victim(), "planted\n");
}
