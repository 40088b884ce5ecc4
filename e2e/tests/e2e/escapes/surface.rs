//! Terminals, and what the kernel offers.

use std::fs;
use std::time::Duration;

use super::attempts::CALLS;
use super::probe::{self, probe};
use crate::run::{Running, eventually};
use crate::scenario::Need::Program;
use crate::screen::Screen;
use crate::world::World;

scenarios! { "escapes":
    d05_nothing_is_typed_into_the_terminal [Program("python3"), Program("tmux"), Program("bash")],
    d07_no_terminal_trick_is_allowed_in_any_spelling [Program("python3")],
    d08_another_terminal_cannot_be_written [Program("python3")],
    d10_no_ring_is_made [Program("python3")],
    d18_the_32_bit_entry_is_death [Program("cc")],
    d18_a_32_bit_program_does_not_run [Program("python3")],
    d19_unknown_calls_are_unknown [Program("python3")],
    d19_every_call_that_reaches_out_is_refused [Program("python3")],
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
