//! Processes of the host and of the session.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::attempts::CALLS;
use super::probe::{self, Answers};
use crate::places;
use crate::run::{Running, eventually};
use crate::scenario::Need::{Program, RootHarness};
use crate::world::World;

scenarios! { "escapes":
    d01_no_call_signals_a_process_of_the_host [Program("python3")],
    d02_no_call_reads_or_writes_a_process_of_the_host [Program("python3")],
    d13_shared_memory_of_the_host_is_not_visible [Program("python3")],
    d17_no_process_inside_gains_anything [Program("python3")],
    d20_descriptors_of_no_kind_are_inherited [Program("python3")],
    d22_no_core_is_dumped [Program("python3")],
    d24_no_kind_of_daemon_outlives_the_run [Program("python3")],
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

fn d33_set_uid_programs_of_the_host_gain_nothing(world: &World) {
    // Whatever this host has of them. Each says who it is, or does not start.
    let script = "for p in su sudo mount umount passwd newgrp chsh gpasswd pkexec fusermount3 newuidmap crontab; do
        f=$(command -v $p) || continue; [ -u $f ] || continue; echo found $p
        ( $f --help & pid=$!; cat /proc/$pid/status; wait $pid ) </dev/null 2>/dev/null; done
        su -c 'echo became $(id -u)' nobody </dev/null; sudo -n sh -c 'echo became $(id -u)' </dev/null; true";
    let inside = world.inside(script).succeeds();
    assert!(inside.out.contains("found su"), "{inside:?}");
    assert!(!inside.out.contains("became"), "{inside:?}");
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
