//! Processes of the host, terminals, sockets, and what the kernel offers.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use super::attempts::CALLS;
use super::probe::{self, Answers, probe};
use crate::places;
use crate::run::{Running, eventually};
use crate::scenario::Need::{Program, RootHarness};
use crate::screen::Screen;
use crate::world::World;

scenarios! { "escapes":
    d01_no_call_signals_a_process_of_the_host [Program("python3")],
    d02_no_call_reads_or_writes_a_process_of_the_host [Program("python3")],
    d05_nothing_is_typed_into_the_terminal [Program("python3"), Program("tmux"), Program("bash")],
    d07_no_terminal_trick_is_allowed_in_any_spelling [Program("python3")],
    d08_another_terminal_cannot_be_written [Program("python3")],
    d10_no_ring_is_made [Program("python3")],
    d13_shared_memory_of_the_host_is_not_visible [Program("python3")],
    d17_no_process_inside_gains_anything [Program("python3")],
    d18_the_32_bit_entry_is_death [Program("cc")],
    d18_a_32_bit_program_does_not_run [Program("python3")],
    d19_unknown_calls_are_unknown [Program("python3")],
    d19_every_call_that_reaches_out_is_refused [Program("python3")],
    d20_descriptors_of_no_kind_are_inherited [Program("python3")],
    d22_no_core_is_dumped [Program("python3")],
    d24_no_kind_of_daemon_outlives_the_run [Program("python3")],
    d26_sockets_of_the_host_are_not_reached [Program("python3")],
    d30_datagrams_to_sockets_of_the_host_do_not_arrive [Program("python3")],
    d32_no_other_family_of_sockets_is_made [Program("python3")],
    d33_set_uid_programs_of_the_host_gain_nothing,
    d33_file_capabilities_and_set_gid_gain_nothing [RootHarness, Program("setcap")],
    d34_no_call_adjusts_a_process_of_the_host [Program("python3")],
}

/// A process of the host that writes down which signals it gets, and has a
/// buffer that may be looked for. Every signal above 33 is one attempt.
const VICTIM: &str = r#"
buffer = ctypes.create_string_buffer(b"original-marker")
libc.prctl(0x59616d61, -1, 0, 0, 0)
signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 65))
notes = open(sys.argv[1] + ".new", "w")
print(os.getpid(), threading.get_native_id(), ctypes.addressof(buffer), file=notes, flush=True)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    print("got", signal.sigwaitinfo(range(34, 65)).si_signo, buffer.value.decode(), file=notes, flush=True)
"#;

struct Victim {
    notes: PathBuf,
    words: String,
    _process: Running,
}

impl Victim {
    fn new(world: &World) -> Self {
        let notes = world.elsewhere().join("victim-notes");
        let script = world.elsewhere().join("victim.py");
        world.write(&script, &format!("{CALLS}\n{VICTIM}"));
        let words = [script.display().to_string(), notes.display().to_string()];
        let process = Running::start(world.command("python3", &["-B", &words[0], &words[1]]));
        let words = eventually("the victim", Duration::from_secs(10), || {
            fs::read_to_string(&notes).ok().filter(|text| text.ends_with('\n'))
        });
        Self { notes, words: words.trim().to_owned(), _process: process }
    }

    fn notes(&self) -> String {
        fs::read_to_string(&self.notes).expect("the victim's notes")
    }

    fn pid(&self) -> &str {
        self.words.split(' ').next().expect("a pid")
    }
}

fn d01_no_call_signals_a_process_of_the_host(world: &World) {
    let code = r#"
pid, tid, _ = map(int, sys.argv[1:])
info = lambda number: struct.pack("iiiiii", number, 0, -1, 0, os.getpid(), os.getuid()) + bytes(104)
def owner(number):
    a, b = socket.socketpair()
    fcntl.fcntl(a, 10, number)
    fcntl.fcntl(a, fcntl.F_SETOWN, pid)
    fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(b.fileno(), b"x")
def timer(number):
    libc.timer_create(0, struct.pack("qiii", 0, number, 4, tid) + bytes(44), ctypes.byref(ctypes.c_long()))
    raise OSError(1, "no way to tell")
attempt("kill", lambda: call("kill", pid, 35))
attempt("tkill", lambda: call("tkill", tid, 36))
attempt("tgkill", lambda: call("tgkill", pid, tid, 37))
attempt("rt_sigqueueinfo", lambda: call("rt_sigqueueinfo", pid, 38, info(38)))
attempt("rt_tgsigqueueinfo", lambda: call("rt_tgsigqueueinfo", pid, tid, 39, info(39)))
attempt("pidfd", lambda: call("pidfd_send_signal", call("pidfd_open", pid, 0), 40, 0, 0))
attempt("proc as pidfd", lambda: call("pidfd_send_signal", os.open(f"/proc/{pid}", os.O_DIRECTORY), 41, 0, 0))
attempt("group", lambda: call("kill", -os.getpgid(pid), 42))
attempt("owner", lambda: owner(43))
"#;
    let victim = Victim::new(world);
    probe::write(world, code);
    let script = format!("python3 -B probe.py {}", victim.words);
    let inside = world.inside(&script);
    assert!(!victim.notes().contains("got"), "{} {inside:?}", victim.notes());
    let outside = world.outside(&script);
    for number in 35..=43 {
        eventually(&format!("signal {number} of the control"), Duration::from_secs(5), || {
            victim.notes().contains(&format!("got {number} ")).then_some(())
        });
    }
    assert_eq!(victim.notes().matches("got").count(), 9);
    Answers::of(&inside, &outside).are_refused();
    // The whole account and the session's own group, by a signal that asks only.
    world.inside("kill -0 -1; kill -0 0; true").succeeds();
}

fn d02_no_call_reads_or_writes_a_process_of_the_host(world: &World) {
    let code = r#"
pid, tid, address = map(int, sys.argv[1:])
mine = ctypes.create_string_buffer(b"PLANTED-marker!")
vector = lambda at: struct.pack("QQ", at, 15)
here = vector(ctypes.addressof(mine))
def memory(flags):
    fd = os.open(f"/proc/{pid}/mem", flags)
    os.pread(fd, 15, address) if flags == os.O_RDONLY else os.pwrite(fd, b"PLANTED-marker!", address)
def traced(request):
    call("ptrace", request, pid, 0, 0)
    if request == 16: os.waitpid(pid, 0x40000000)
    call("ptrace", 17, pid, 0, 0) if request == 16 else None
attempt("attach", lambda: traced(16))
attempt("seize", lambda: traced(0x4206))
attempt("process_vm_readv", lambda: call("process_vm_readv", pid, here, 1, vector(address), 1, 0))
attempt("process_vm_writev", lambda: call("process_vm_writev", pid, here, 1, vector(address), 1, 0))
attempt("read mem", lambda: memory(os.O_RDONLY))
attempt("write mem", lambda: memory(os.O_WRONLY))
attempt("pidfd_open", lambda: call("pidfd_open", pid, 0))
attempt("pidfd_open thread", lambda: call("pidfd_open", tid, 0o200))
attempt("pidfd_getfd", lambda: call("pidfd_getfd", call("pidfd_open", pid, 0), 1, 0))
attempt("kcmp", lambda: call("kcmp", pid, pid, 0, 1, 2))
attempt("process_madvise", lambda: call("process_madvise", call("pidfd_open", pid, 0), vector(address & ~4095), 1, 20, 0))
attempt("robust list", lambda: call("get_robust_list", pid, ctypes.byref(ctypes.c_long()), ctypes.byref(ctypes.c_long())))
attempt("cmdline", lambda: open(f"/proc/{pid}/cmdline").read())
attempt("environ", lambda: open(f"/proc/{pid}/environ").read())
attempt("descriptors", lambda: os.listdir(f"/proc/{pid}/fd"))
attempt("cwd", lambda: os.chdir(f"/proc/{pid}/cwd"))
attempt("root", lambda: os.listdir(f"/proc/{pid}/root/"))
attempt("by thread", lambda: open(f"/proc/{tid}/task/{tid}/maps").read())
attempt("namespace", lambda: os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
"#;
    let victim = Victim::new(world);
    probe::write(world, code);
    let script = format!("python3 -B probe.py {}", victim.words);
    let inside = world.inside(&script);
    let wake = format!("kill -50 {}", victim.pid());
    world.outside(&wake).succeeds();
    eventually("the victim's memory", Duration::from_secs(5), || {
        victim.notes().contains("got 50 original-marker").then_some(())
    });
    let outside = world.outside(&script);
    Answers::of(&inside, &outside).are_refused().work_outside(&[
        "attach",
        "process_vm_readv",
        "process_vm_writev",
        "read mem",
        "write mem",
        "pidfd_open",
        "pidfd_getfd",
        "kcmp",
        "cmdline",
        "environ",
        "descriptors",
        "cwd",
        "root",
        "namespace",
    ]);
    world.outside(&wake).succeeds();
    eventually("what the control wrote", Duration::from_secs(5), || {
        victim.notes().contains("PLANTED").then_some(())
    });
}

/// Types `touch WORD` by every spelling of TIOCSTI.
const TYPE: &str = r#"
number = {"x86_64": 16}.get(platform.machine(), 29)
for request in (0x5412, 0x5412 | 1 << 32, 0x5412 | 0xffffffff << 32):
    for place in (0, "/dev/tty", "/proc/self/fd/0", "/dev/stdin"):
        fd = place if place == 0 else os.open(place, os.O_RDWR)
        for letter in "touch " + sys.argv[1] + "\n":
            try: call(number, fd, request, letter.encode())
            except OSError as error: refused = error
        print("tried", place, hex(request), flush=True)
"#;

fn d05_nothing_is_typed_into_the_terminal(world: &World) {
    probe::write(world, TYPE);
    let screen = Screen::new(world);
    screen.runs_inside("sh -c 'python3 -B probe.py planted; echo do\"\"ne'");
    screen.shows("\ndone");
    screen.runs("echo fin''ished");
    screen.shows("finished");
    assert!(!world.workspace.join("planted").exists(), "{}", screen.text());
    screen.clears();
    let injects = world.who.uid == 0
        || fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti")
            .is_ok_and(|text| text.trim() == "1");
    screen.runs("python3 -B probe.py control; echo do''ne");
    screen.shows("done");
    if injects {
        eventually("what the control types", Duration::from_secs(10), || {
            world.workspace.join("control").exists().then_some(())
        });
    }
}

fn d07_no_terminal_trick_is_allowed_in_any_spelling(world: &World) {
    // On a terminal of its own making, on which all of this is harmless.
    let code = r#"
import pty, termios
master, slave = pty.openpty()
number = {"x86_64": 16}.get(platform.machine(), 29)
tricks = {"TIOCSTI": (0x5412, b"x"), "TIOCLINUX": (0x541c, b"\2"), "TIOCSETD": (0x5423, b"\0\0\0\0"), "TIOCCONS": (0x541d, b"")}
for name, (request, word) in tricks.items():
    for way, upper in (("plain", 0), ("high bit", 1 << 32), ("all high bits", 0xffffffff << 32)):
        for end, fd in (("slave", slave), ("master", master)):
            attempt(f"{name} {way} {end}", lambda: call(number, fd, request | upper, word))
termios.tcgetattr(slave)
print("ordinary done")
"#;
    // TIOCCONS on the host would take its console: root's control is left out.
    let inside = {
        probe::write(world, code);
        world.inside("python3 -B probe.py").succeeds()
    };
    assert_eq!(inside.out.matches("EPERM").count(), 24, "{inside:?}");
    assert!(inside.out.contains("ordinary done"), "{inside:?}");
    let harmless = code.replace(", \"TIOCCONS\": (0x541d, b\"\")", "");
    probe::write(world, &harmless);
    let outside = world.outside("python3 -B probe.py").succeeds();
    assert!(
        outside.out.contains("TIOCSETD high bit slave done"),
        "the kernel ignores the upper half: {outside:?}"
    );
}

fn d08_another_terminal_cannot_be_written(world: &World) {
    // A terminal of the host that notes what is written to it.
    let watcher = r#"
import pty
master, slave = pty.openpty()
os.chmod(os.ttyname(slave), 0o666)
open(sys.argv[1] + ".new", "w").write(os.ttyname(slave) + "\n")
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    got = os.read(master, 100)
    open(sys.argv[1], "ab").write(got)
"#;
    let notes = world.elsewhere().join("terminal-notes");
    let script = world.elsewhere().join("watcher.py");
    world.write(&script, &format!("{CALLS}\n{watcher}"));
    let words = [script.display().to_string(), notes.display().to_string()];
    let _watcher = Running::start(world.command("python3", &["-B", &words[0], &words[1]]));
    let name =
        eventually("the terminal", Duration::from_secs(10), || fs::read_to_string(&notes).ok());
    let name = name.trim();
    let write = format!(
        "for t in {name} /proc/self/root{name} /dev/pts/* /dev/tty /dev/console; do echo planted > $t; done; ls /dev/pts; true"
    );
    let inside = world.inside(&write);
    assert!(!fs::read_to_string(&notes).expect("notes").contains("planted"), "{inside:?}");
    let without_terminal = inside.out.split_whitespace().filter(|entry| *entry != "ptmx").count();
    assert_eq!(without_terminal, 0, "its own view has no terminal: {inside:?}");
    world.inside("exec 3<> /dev/tty").fails();
    world.outside(&format!("echo planted > {name}")).succeeds();
    eventually("the control's line", Duration::from_secs(5), || {
        fs::read_to_string(&notes).ok()?.contains("planted").then_some(())
    });
}

fn d10_no_ring_is_made(world: &World) {
    let code = r#"
parameters = lambda: ctypes.create_string_buffer(120)
attempt("setup", lambda: call("io_uring_setup", 4, parameters()))
attempt("setup without array", lambda: call("io_uring_setup", 4, ctypes.create_string_buffer(struct.pack("III", 0, 0, 1 << 16) + bytes(108))))
attempt("probe", lambda: call("io_uring_register", call("io_uring_setup", 4, parameters()), 8, ctypes.create_string_buffer(4096), 100))
attempt("enter", lambda: call("io_uring_enter", call("io_uring_setup", 4, parameters()), 0, 0, 0, 0, 0))
attempt("enter nothing", lambda: call("io_uring_enter", -1, 0, 0, 0, 0, 0))
attempt("register nothing", lambda: call("io_uring_register", -1, 0, 0, 0))
"#;
    probe(world, code, "").are_refused().work_outside(&["setup", "probe", "enter"]);
}

fn d13_shared_memory_of_the_host_is_not_visible(world: &World) {
    let mark = format!("remit-e2e-{}-{}", std::process::id(), world.who.uid);
    let key = std::process::id() % 0x7fff_0000 + 1 + world.who.uid % 7;
    let make = r#"
key, name = int(sys.argv[1]), sys.argv[2]
attempt("shm", lambda: call("shmget", key, 4096, 0o1600))
attempt("sem", lambda: call("semget", key, 1, 0o1600))
attempt("msg", lambda: call("msgget", key, 0o1600))
attempt("mq", lambda: call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, 0))
attempt("file", lambda: open("/dev/shm/" + name, "x").close())
"#;
    let look = r#"
key, name = int(sys.argv[1]), sys.argv[2]
attempt("shm", lambda: call("shmat", call("shmget", key, 4096, 0), 0, 0))
attempt("sem", lambda: call("semget", key, 1, 0))
attempt("msg", lambda: call("msgget", key, 0))
attempt("mq", lambda: call("mq_open", name, os.O_RDWR, 0, 0))
attempt("file", lambda: open("/dev/shm/" + name).close())
attempt("tables", lambda: None if any(line.split()[:1] == [str(key)] for kind in ("shm", "sem", "msg") for line in open("/proc/sysvipc/" + kind)) else os.stat("/nowhere-here"))
"#;
    let remove = r#"
key, name = int(sys.argv[1]), sys.argv[2]
x86 = platform.machine() == "x86_64"
call(31 if x86 else 195, call("shmget", key, 4096, 0), 0, 0)
call(66 if x86 else 191, call("semget", key, 1, 0), 0, 0, 0)
call(71 if x86 else 187, call("msgget", key, 0), 0, 0)
call(241 if x86 else 181, name)
os.unlink("/dev/shm/" + name)
"#;
    let run = |code: &str, inside: bool| {
        probe::write(world, code);
        let script = format!("python3 -B probe.py {key} {mark}");
        if inside { world.inside(&script) } else { world.outside(&script) }
    };
    let made = run(make, false);
    let (inside, outside) = (run(look, true), run(look, false));
    // The other way round: the same names made inside are others.
    let inner = run(make, true);
    let removed = run(remove, false);
    assert_eq!(made.out.matches("done").count(), 5, "{made:?}");
    Answers::of(&inside, &outside).are_refused().work_outside(&[""]);
    // Message queues with names are on a file system that Landlock grants to nobody.
    assert!(inner.out.matches("done").count() >= 4, "a session has its own: {inner:?}");
    removed.succeeds();
}

fn d17_no_process_inside_gains_anything(world: &World) {
    let code = r#"
NO_NEW_PRIVS, SECCOMP, SECUREBITS, BOUNDING, AMBIENT, KEEP = 38, 22, 28, 24, 47, 8
attempt("take no_new_privs back", lambda: call("prctl", NO_NEW_PRIVS, 0, 0, 0, 0))
attempt("leave seccomp", lambda: call("prctl", SECCOMP, 0, 0, 0, 0))
attempt("raise an ambient capability", lambda: call("prctl", AMBIENT, 2, 21, 0, 0))
attempt("set secure bits", lambda: call("prctl", SECUREBITS, 0x2f, 0, 0, 0))
attempt("capset", lambda: call("capset", struct.pack("II", 0x20080522, 0), struct.pack("IIIIII", *[0xffffffff] * 6)))
attempt("setuid", lambda: os.setuid(0 if os.getuid() else 1))
attempt("setgid", lambda: os.setgid(0 if os.getgid() else 1))
attempt("setresuid", lambda: os.setresuid(65534, 65534, 65534))
attempt("setgroups", lambda: os.setgroups([0, 1, 2]))
attempt("map root", lambda: open("/proc/self/uid_map", "w").write("0 0 1"))
attempt("map group", lambda: open("/proc/self/gid_map", "w").write("0 0 1"))
attempt("allow setgroups", lambda: open("/proc/self/setgroups", "w").write("allow"))
attempt("raise the core limit", lambda: call("prlimit64", 0, 4, struct.pack("QQ", 1 << 20, 1 << 20), 0))
attempt("lower the oom score", lambda: open("/proc/self/oom_score_adj", "w").write("-900"))
attempt("realtime", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))
attempt("sysctl", lambda: open("/proc/sys/kernel/core_pattern", "r+").write("x"))
attempt("sysrq", lambda: open("/proc/sysrq-trigger", "w").close())
"#;
    probe::write(world, code);
    let inside = world.inside("python3 -B probe.py").succeeds();
    let refused = |line: &&str| !line.ends_with(" done") && !line.ends_with("killed");
    assert_eq!(inside.out.lines().filter(refused).count(), 17, "{inside:?}");
    // Of every process there is, process 1 and a set of descendants.
    let statuses = world
        .inside("(sleep 0.3 & exec setsid sh -c 'sleep 0.3' & cat /proc/[0-9]*/status; wait)")
        .succeeds();
    let values = |key: &str| -> Vec<String> {
        let lines = statuses.out.lines().filter(|line| line.starts_with(key));
        lines.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
    };
    assert!(values("Name:").len() >= 4, "{statuses:?}");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert!(values(set).iter().all(|value| value == "0000000000000000"), "{set} {statuses:?}");
    }
    assert!(values("NoNewPrivs:").iter().all(|value| value == "1"), "{statuses:?}");
    let unfiltered = values("Seccomp:").iter().filter(|value| *value != "2").count();
    assert!(unfiltered <= 1, "all but process 1 are filtered: {statuses:?}");
}

const ENTRY: &str = r#"
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <errno.h>
static long old(long number) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
    return result;
}
static void child(const char *name, long number, int way) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        long result = way ? old(number) : syscall(number);
        if (!way && result == -1) result = -errno;
        printf("%s %ld\n", name, result);
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("%s killed-%d\n", name, WTERMSIG(status));
}
int main(void) {
    child("getpid-by-int80", 20, 1);
    child("mount-by-int80", 21, 1);
    child("unshare-by-int80", 310, 1);
    child("x32-getpid", 0x40000000 + 39, 0);
    child("x32-execve", 0x40000000 + 520, 0);
    child("x32-ptrace", 0x40000000 + 521, 0);
    child("negative", -1, 0);
    child("above-32-bits", 0x100000000 + 39, 0);
    return 0;
}
"#;

fn d18_the_32_bit_entry_is_death(world: &World) {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    world.write(&world.workspace.join("entry.c"), ENTRY);
    world.outside("cc -o entry entry.c").succeeds();
    let inside = world.inside("./entry; echo alive").succeeds().says("alive");
    for name in ["getpid", "mount", "unshare"] {
        assert!(inside.out.contains(&format!("{name}-by-int80 killed-31")), "{inside:?}");
    }
    for name in ["x32-getpid", "x32-execve", "x32-ptrace", "negative"] {
        assert!(inside.out.contains(&format!("{name} -38")), "{inside:?}");
    }
    let outside = world.outside("./entry").succeeds();
    assert!(
        !outside.out.contains("getpid-by-int80 killed"),
        "the kernel has the entry: {outside:?}"
    );
}

fn d18_a_32_bit_program_does_not_run(world: &World) {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    // The smallest: one segment; open(".envrc", O_CREAT), then exit(42).
    let make = r#"
code = b"\xb8\x08\0\0\0\xbb" + struct.pack("I", 0x8048000 + 52 + 32 + 29) + b"\xb9\xa4\1\0\0\xcd\x80\xb8\1\0\0\0\xbb\x2a\0\0\0\xcd\x80"
code = code.ljust(29, b"\x90") + b"planted\0"
size = 52 + 32 + len(code)
head = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("HHIIIIIHHHHHH", 2, 3, 1, 0x8048000 + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
open("old", "wb").write(head + struct.pack("IIIIIIII", 1, 0, 0x8048000, 0x8048000, size, size, 5, 4096) + code)
os.chmod("old", 0o755)
"#;
    probe::write(world, make);
    world.outside("python3 -B probe.py").succeeds();
    let inside = world.inside("./old");
    assert!(inside.code != 42 && !world.workspace.join("planted").exists(), "{inside:?}");
    let outside = world.outside("./old");
    assert!(outside.code == 42 && world.workspace.join("planted").exists(), "{outside:?}");
}

fn d19_unknown_calls_are_unknown(world: &World) {
    // Numbers that nobody has given out yet, or that are newer than this table.
    let code = r#"
# 335 and 336 are for the kernel's own trampolines and are never filtered.
unknown = list(range(337, 424)) + list(range(470, 560)) + [1000, 1023, 4096, 65535, 0x3fffffff, 0x7fffffff, -2, -4096]
newer = {"map_shadow_stack": 453, "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461,
         "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469, "clone3": 435}
old = {"afs": 183, "tuxcall": 184, "security": 185, "create_module": 174, "get_kernel_syms": 177, "query_module": 178, "getpmsg": 181, "putpmsg": 182, "vserver": 236, "epoll_ctl_old": 214}
if not X86: unknown, old = unknown[90:], {}
for name, number in [(str(number), number) for number in unknown] + list(newer.items()) + list(old.items()):
    try: call(number, -1, -1, -1, -1, -1, -1); print(name, "done")
    except OSError as error: print(name, errno.errorcode.get(error.errno, error.errno))
"#;
    let answers = probe(world, code, "");
    let known: Vec<_> = answers.0.iter().filter(|each| each.inside != "ENOSYS").collect();
    assert!(known.is_empty(), "{known:?}");
    assert_ne!(
        answers.get("listmount").outside,
        "ENOSYS",
        "the kernel has calls that we do not pass on"
    );
}

fn d19_every_call_that_reaches_out_is_refused(world: &World) {
    // Arguments are nonsense, so that a failure does no harm; there is no
    // control for those that even nonsense could make do something.
    let code = r#"
both = {"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440), "pidfd_getfd": (438, 438),
 "kcmp": (312, 272), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
 "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "setns": (308, 268),
 "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
 "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
 "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "quotactl_fd": (443, 443), "lookup_dcookie": (212, 18), "move_pages": (279, 239),
 "process_mrelease": (448, 448), "io_uring_setup": (425, 425)}
here_only = {"kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
 "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
 "syslog": (103, 116), "quotactl": (179, 60), "migrate_pages": (256, 238), "vhangup": (153, 58)}
if X86: here_only.update({"iopl": (172, 0), "ioperm": (173, 0), "modify_ldt": (154, 0), "uselib": (134, 0), "_sysctl": (156, 0)})
inside = len(sys.argv) > 1
for name, numbers in list(both.items()) + (list(here_only.items()) if inside else []):
    attempt(name, lambda: call(numbers[0 if X86 else 1], -1, -1, -1, -1, -1, -1))
"#;
    probe::write(world, code);
    let inside = world.inside("python3 -B probe.py inside").succeeds();
    let odd: Vec<_> = inside
        .out
        .lines()
        .filter(|line| !line.ends_with(" EPERM") && !line.ends_with(" ENOSYS"))
        .collect();
    assert!(odd.is_empty() && inside.out.lines().count() >= 52, "{inside:?}");
    let outside = world.outside("python3 -B probe.py").succeeds();
    let other = outside
        .out
        .lines()
        .filter(|line| !line.ends_with(" EPERM") && !line.ends_with(" ENOSYS"))
        .count();
    assert!(other >= 15, "the kernel would have looked: {outside:?}");
}

fn d20_descriptors_of_no_kind_are_inherited(world: &World) {
    let open = r#"
import subprocess, socket as s, select
a, b = s.socketpair()
listener = s.socket(); listener.bind(("127.0.0.1", 0)); listener.listen()
things = [os.open("/", os.O_RDONLY), os.open("/", os.O_PATH), os.open("README", os.O_RDWR), a.fileno(), b.fileno(), listener.fileno(), os.memfd_create("x", 0),
          os.pidfd_open(os.getpid()), select.epoll().fileno(), os.eventfd(0, 0), *os.pipe(), os.open("/proc/self/ns/net", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)]
for number, fd in enumerate(things): os.dup2(fd, 100 + number, True)
os.dup2(0, 1000, True) if __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE)[0] > 1000 else None
print(subprocess.run(sys.argv[1:], close_fds=False, stdin=subprocess.DEVNULL, capture_output=True, text=True))
"#;
    probe::write(world, open);
    let look = "'for f in /proc/self/fd/*; do echo fd-${f##*/}; done'";
    let remit = places::remit().display().to_string();
    let inside =
        world.outside(&format!("python3 -B probe.py {remit} run -- sh -c {look}")).succeeds();
    let numbers: Vec<u32> = inside
        .out
        .split("fd-")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect();
    // The shell has the directory itself open while it looks.
    assert!(numbers.len() <= 4 && numbers.iter().all(|number| *number < 100), "{inside:?}");
    let outside = world.outside(&format!("python3 -B probe.py sh -c {look}")).succeeds();
    assert!(outside.out.contains("fd-100") && outside.out.contains("fd-112"), "{outside:?}");
}

fn d22_no_core_is_dumped(world: &World) {
    let limit = world.inside("grep 'Max core file size' /proc/self/limits").succeeds();
    let words: Vec<_> = limit.out.split_whitespace().collect();
    // 0 would be ignored by a core pattern that is a pipe; 1 byte is not.
    assert_eq!(words[4..6], ["1", "1"], "{limit:?}");
    world.inside("ulimit -c unlimited || ulimit -c 100").fails();
    let crash =
        "ulimit -c unlimited 2>/dev/null; mkdir -p cores; cd cores; sh -c 'kill -SEGV $$'; ls";
    let inside = world.inside(crash);
    assert!(!inside.out.contains("core"), "{inside:?}");
    if fs::read_to_string("/proc/sys/kernel/core_pattern").is_ok_and(|text| text.trim() == "core") {
        world.outside(crash).says("core");
    }
}

fn d24_no_kind_of_daemon_outlives_the_run(world: &World) {
    let mark = world.mark();
    // In turn: forked twice with everything closed; deaf to signals; stopped;
    // holding the output; a thread group whose first thread has left; by vfork.
    let code = r#"
mark = sys.argv[1]
sleep = lambda: os.execlp("sleep", "sleep", mark)
def daemon(prepare):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/"); os.umask(0)
            prepare()
            sleep()
        os._exit(0)
    os.wait()
def closed():
    os.closerange(0, 100)
def deaf():
    for number in range(1, 65):
        if number not in (9, 19, 32, 33): signal.signal(number, signal.SIG_IGN)
def stopped():
    if os.fork() == 0:
        time.sleep(0.05); os.kill(os.getppid(), signal.SIGSTOP); os._exit(0)
def nothing(): pass
for prepare in (closed, deaf, stopped, nothing): daemon(prepare)
time.sleep(0.3)
"#;
    probe::write(world, code);
    let script = format!("python3 -B probe.py {mark}");
    let output = world.inside(&script).succeeds();
    assert!(output.took < Duration::from_secs(20), "the run ends although its output is held open");
    eventually("the end of all daemons", Duration::from_secs(5), || {
        world.sleepers(&mark).is_empty().then_some(())
    });
    let left = || world.sleepers(&mark);
    let mut control = Running::start(world.command("python3", &["-B", "probe.py", &mark]));
    eventually("the control's end", Duration::from_secs(10), || control.has_ended().then_some(()));
    assert!(left().len() >= 3, "without Remit they stay");
    for pid in left() {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Servers of the host at the places and of the kinds that desktops use. Each
/// line of the notes is one that was reached.
const SERVERS: &str = r#"
base, mark = sys.argv[1], sys.argv[2]
notes = open(os.path.join(base, "reached"), "a")
kept = []
def serve(name, address, kind):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(address)
    if kind != socket.SOCK_DGRAM: s.listen()
    def loop():
        while True:
            if kind == socket.SOCK_DGRAM: s.recv(100)
            else: kept.append(s.accept())
            print(name, file=notes, flush=True)
    threading.Thread(target=loop, daemon=True).start()
home = os.environ["HOME"]
for kind, word in ((socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "packet"), (socket.SOCK_DGRAM, "datagram")):
    os.makedirs(home + "/.cache/bus", exist_ok=True)
    serve("home-" + word, f"{home}/.cache/bus/{word}", kind)
    serve("tmp-" + word, f"{base}/{word}", kind)
    serve("workspace-" + word, f"{word}.sock", kind)
    serve("abstract-" + word, f"\0{mark}-{word}", kind)
open(os.path.join(base, "ready"), "w")
time.sleep(60)
"#;

const CLIENTS: &str = r#"
base, mark = sys.argv[1], sys.argv[2]
home = os.environ["HOME"]
def connect(address, kind):
    def deed():
        s = socket.socket(socket.AF_UNIX, kind)
        s.setblocking(False)
        s.connect(address() if callable(address) else address)
        s.send(b"x")
    return deed
def send(address, kind):
    def deed():
        s = socket.socket(socket.AF_UNIX, kind)
        if kind == socket.SOCK_DGRAM: s.sendto(b"x", address)
        else: s.connect(address)
    return deed
def message(address, kind):
    def deed():
        socket.socket(socket.AF_UNIX, kind).sendmsg([b"x"], [], 0, address)
    return deed
def many(address):
    def deed():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = ctypes.create_string_buffer(struct.pack("H", 1) + (address.encode() if isinstance(address, str) else address) + b"\0")
        data = ctypes.create_string_buffer(b"x")
        vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(data), 1))
        length = len(name) - 1 if not address.startswith("\0") else 2 + len(address)
        header = struct.pack("QIIQQQQIIII", ctypes.addressof(name), length, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0, 0, 0)
        call("sendmmsg", s.fileno(), ctypes.create_string_buffer(header), 1, 0)
    return deed
def inside_of(directory, name):
    def where():
        os.chdir(directory)
        return name
    return where
kinds = ((socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "packet"), (socket.SOCK_DGRAM, "datagram"))
for kind, word in kinds:
    places = {"home": f"{home}/.cache/bus/{word}", "tmp": f"{base}/{word}", "workspace": f"{word}.sock", "abstract": f"\0{mark}-{word}"}
    for place, address in places.items():
        attempt(f"{place} {word} connect", connect(address, kind))
        if kind == socket.SOCK_DGRAM:
            attempt(f"{place} {word} sendto", send(address, kind))
            attempt(f"{place} {word} sendmsg", message(address, kind))
            attempt(f"{place} {word} sendmmsg", many(address))
    os.path.lexists("l-" + word) or os.symlink(places["home"], "l-" + word)
    attempt(f"link {word}", connect("l-" + word, kind))
    attempt(f"proc {word}", connect(f"/proc/self/root{home}/.cache/bus/{word}", kind))
    attempt(f"relative {word}", connect(inside_of(home + "/.cache/bus", word), kind))
    attempt(f"descriptor {word}", connect(lambda: "/proc/self/fd/%d" % os.open(places["home"], os.O_PATH), kind))
    def hard():
        os.link(f"{word}.sock", f"{word}.hard")
        connect(f"{word}.hard", kind)()
    attempt(f"hard link {word}", hard)
"#;

/// Runs the servers, the clients inside and then outside.
fn against_servers(world: &World, kinds: &[&str]) {
    let mark = format!("remit-{}", world.mark());
    let base = world.elsewhere().display().to_string();
    let servers = world.elsewhere().join("servers.py");
    world.write(&servers, &format!("{CALLS}\n{SERVERS}"));
    let _servers = Running::start(
        world.command("python3", &["-B", &servers.display().to_string(), &base, &mark]),
    );
    eventually("the servers", Duration::from_secs(10), || {
        world.elsewhere().join("ready").exists().then_some(())
    });
    let reached = || fs::read_to_string(world.elsewhere().join("reached")).unwrap_or_default();
    let reached = |kind: &str| reached().lines().filter(|line| line.ends_with(kind)).count();
    probe::write(world, CLIENTS);
    let script = format!("python3 -B probe.py {base} {mark}");
    let inside = world.inside(&script);
    let hits: Vec<_> = kinds.iter().map(|kind| reached(kind)).collect();
    world.outside("rm -f *.hard l-*").succeeds();
    let outside = world.outside(&script);
    for kind in kinds {
        let least = if *kind == "datagram" { 20 } else { 8 };
        eventually("the control's connections", Duration::from_secs(5), || {
            (reached(kind) >= least).then_some(())
        });
    }
    assert!(hits.iter().all(|hits| *hits == 0), "reached: {hits:?} {inside:?}");
    let mut answers = Answers::of(&inside, &outside);
    answers.0.retain(|each| kinds.iter().any(|kind| each.name.contains(kind)));
    answers.are_refused().work_outside(&[""]);
}

fn d26_sockets_of_the_host_are_not_reached(world: &World) {
    against_servers(world, &["stream", "packet"]);
    // Where the real ones are: nothing is there to be seen.
    let names = "/run/dbus/system_bus_socket /run/user/*/bus /run/user/*/systemd/private /run/user/*/wayland-0 /run/user/*/pipewire-0 /run/docker.sock /var/run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock /tmp/.X11-unix/X0 /run/systemd/private /run/systemd/notify /dev/log";
    let list = format!("for f in {names}; do [ -e \"$f\" ] && echo found $f; done; true");
    world.inside(&list).succeeds().does_not_say("found");
}

fn d30_datagrams_to_sockets_of_the_host_do_not_arrive(world: &World) {
    against_servers(world, &["datagram"]);
    // One that the session's own programs could be taken for.
    let path = world.workspace.join("log.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
    let send = "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b\"x\", \"log.sock\")";
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("open to all");
    world.inside(&format!("python3 -c '{send}'")).fails();
    assert!(socket.recv(&mut [0; 10]).is_err(), "a datagram arrived");
    world.outside(&format!("python3 -c '{send}'")).succeeds();
    socket.recv(&mut [0; 10]).expect("the control's datagram");
}

fn d32_no_other_family_of_sockets_is_made(world: &World) {
    let code = r#"
allowed = {(1, kind, protocol) for kind in (1, 2, 3, 5) for protocol in (0, 1)} | {(family, kind, protocol) for family in (2, 10) for kind, protocol in ((1, 0), (2, 0), (1, 6), (2, 17))} | {(16, 3, 0), (16, 2, 0)}
made = []
for family in list(range(0, 60)) + [0x10001, 0xffff]:
    for kind in (1, 2, 3, 4, 5, 6, 10):
        protocols = range(0, 24) if family == 16 else (0, 1, 6, 17, 33, 58, 89, 115, 132, 136, 255, 262) if family in (2, 10) else (0, 1, 3, 768)
        for protocol in protocols:
            for flags in (0, 0o2000000):
                try:
                    socket.socket(family, kind | flags, protocol).close()
                    made.append((family, kind, protocol))
                except OSError: pass
                try:
                    if family == 1: continue
                    for s in socket.socketpair(family, kind | flags, protocol): s.close()
                    made.append(("pair", family, kind))
                except OSError: pass
odd = sorted({str(each) for each in made if each not in allowed})
print(len(set(made)), "odd:", *odd)
"#;
    probe::write(world, code);
    let inside = world.inside("python3 -B probe.py").succeeds();
    assert!(inside.out.trim().ends_with("odd:"), "{inside:?}");
    let made: u32 =
        inside.out.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    assert!(made >= 11, "ordinary ones are made: {inside:?}");
    let outside = world.outside("python3 -B probe.py").succeeds();
    assert!(outside.out.contains("(16, 3, 9)"), "the control makes others: {outside:?}");
}

fn d33_set_uid_programs_of_the_host_gain_nothing(world: &World) {
    // Whatever this host has of them. Each says who it is, or does not start.
    let script = "for p in su sudo mount umount passwd newgrp chsh gpasswd pkexec fusermount3 newuidmap crontab; do
        f=$(command -v $p) || continue; [ -u $f ] || continue; echo found $p
        ( $f --help & pid=$!; cat /proc/$pid/status; wait $pid ) </dev/null 2>/dev/null; done
        su -c 'echo became $(id -u)' nobody </dev/null; sudo -n sh -c 'echo became $(id -u)' </dev/null; true";
    let inside = world.inside(script).succeeds();
    inside.says("found su").does_not_say("became");
    let status = world.inside("cp /bin/cat spare; for p in /bin/su ./spare; do $p /proc/self/status 2>/dev/null | grep -E '^(Uid|CapEff)'; done; true").succeeds();
    assert!(status.out.contains("CapEff:\t0000000000000000"), "{status:?}");
    if world.who.uid == 0 {
        world.outside("su -s /bin/sh -c 'echo became $(id -u)' nobody </dev/null").says("became");
    }
}

fn d33_file_capabilities_and_set_gid_gain_nothing(world: &World) {
    let host = "set -e; cp /bin/cat capable; setcap cap_net_raw,cap_dac_override+ep capable; cp /usr/bin/id group; chgrp 65534 group; chmod 2755 group";
    let prepared =
        std::process::Command::new("sh").args(["-c", host]).current_dir(&world.workspace).status();
    assert!(prepared.is_ok_and(|status| status.success()));
    let look = "./capable /proc/self/status | grep CapEff; ./group";
    let inside = world.inside(look).succeeds();
    assert!(inside.out.contains("CapEff:\t0000000000000000"), "{inside:?}");
    assert!(!inside.out.contains("egid="), "{inside:?}");
    let outside = world.outside(look).succeeds();
    assert!(
        !outside.out.contains("CapEff:\t0000000000000000") && outside.out.contains("egid="),
        "{outside:?}"
    );
    // Nor can one be made inside, by who could make it outside.
    if world.who.uid == 0 {
        let code = r#"open("made", "w").close(); os.setxattr("made", "security.capability", struct.pack("IIIII", 0x2000001, 1 << 13, 0, 0, 0))"#;
        probe::write(world, code);
        world.inside("python3 -B probe.py").fails();
        world.outside("rm -f made; python3 -B probe.py").succeeds();
    }
}

fn d34_no_call_adjusts_a_process_of_the_host(world: &World) {
    let victim = Victim::new(world);
    let pid = victim.pid().to_owned();
    let code = r#"
pid, tid, _ = map(int, sys.argv[1:])
attempt("prlimit set", lambda: call("prlimit64", pid, 7, struct.pack("QQ", 200, 300), 0))
attempt("prlimit get", lambda: call("prlimit64", pid, 7, 0, ctypes.create_string_buffer(16)))
attempt("setpriority", lambda: call("setpriority", 0, pid, 7))
attempt("setpriority group", lambda: call("setpriority", 1, os.getpgid(pid), 8))
attempt("setscheduler", lambda: call("sched_setscheduler", pid, 3, struct.pack("i", 0)))
attempt("setattr", lambda: call("sched_setattr", pid, struct.pack("IIQiIQQQ", 48, 3, 0, 9, 0, 0, 0, 0), 0))
attempt("setaffinity", lambda: call("sched_setaffinity", tid, 8, struct.pack("Q", 1)))
attempt("ioprio", lambda: call("ioprio_set", 1, pid, 3 << 13))
attempt("move_pages", lambda: call("move_pages", pid, 0, 0, 0, 0, 0))
attempt("migrate_pages", lambda: call("migrate_pages", pid, 64, struct.pack("Q", 1), struct.pack("Q", 1)))
attempt("oom score", lambda: open(f"/proc/{pid}/oom_score_adj", "w").write("900"))
attempt("setpgid", lambda: os.setpgid(pid, pid) if len(sys.argv) > 9 else call("prlimit64", pid, 3, 0, ctypes.create_string_buffer(16)))
"#;
    let state = || {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let fields: Vec<_> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Priority, niceness, policy. SOURCE: proc_pid_stat(5), fields 18, 19 and 41.
        (read("limits"), [fields[15], fields[16], fields[38]].join(" "), read("oom_score_adj"))
    };
    let before = state();
    probe::write(world, code);
    let script = format!("python3 -B probe.py {}", victim.words);
    let inside = world.inside(&script);
    assert_eq!(state(), before, "{inside:?}");
    let outside = world.outside(&script);
    let (limits, priority, score) = state();
    assert!(limits != before.0 && priority != before.1 && score != before.2, "{outside:?}");
    Answers::of(&inside, &outside).are_refused().work_outside(&[
        "prlimit set",
        "setpriority",
        "setscheduler",
        "setattr",
        "setaffinity",
        "ioprio",
        "oom score",
    ]);
}
