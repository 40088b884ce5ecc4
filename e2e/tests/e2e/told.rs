//! What nobody inside may do is refused in words that a person understands, once,
//! and written down.

use crate::run::Output;
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "told":
    namespaces_are_refused_with_a_reason [Program("unshare")],
    mounts_are_refused_with_a_reason [Program("mount")],
    tracers_are_refused_with_a_reason [Program("strace")],
    debuggers_are_refused_with_a_reason [Program("gdb")],
    another_sandbox_is_refused_with_a_reason [Program("bwrap")],
    packets_by_hand_are_refused_with_a_reason [Program("ping")],
    what_is_set_uid_is_told_that_it_gains_nothing [Program("su")],
    a_hidden_socket_is_refused_with_a_reason [Program("curl")],
    every_refused_call_has_its_words_and_its_event [Program("python3")],
    a_loop_is_told_once_and_recorded_each_time [Program("unshare")],
    an_ordinary_program_is_told_nothing [Program("python3")],
}

/// The words of a refusal, once.
#[track_caller]
fn told(output: Output, words: &str) -> Output {
    let refusal = format!("remit: refused: {words}");
    assert_eq!(output.err.matches(&refusal).count(), 1, "`{refusal}` once: {output:?}");
    assert!(output.err.contains("because: "), "{output:?}");
    output
}

#[track_caller]
fn recorded(world: &World, call: &str) {
    world.record().has(&["\"refusal\"", "\"what\":\"call\"", &format!("[\"{call}\"]")]);
}

/// A program that is asked about by its name may start here: it is what it calls
/// that is refused.
fn may_start(world: &World, program: &str) {
    world.rules(&format!("prefix_rule(pattern = [{program:?}], decision = \"allow\")\n"));
}

fn namespaces_are_refused_with_a_reason(world: &World) {
    may_start(world, "unshare");
    world.outside("unshare --user --map-root-user --mount true").succeeds().does_not_say("remit");
    let output = world.remit(&["run", "--", "unshare", "-Urm", "true"]).fails();
    told(output, "make or enter namespaces (`unshare`)").says("containers");
    recorded(world, "unshare");
}

fn mounts_are_refused_with_a_reason(world: &World) {
    // Its own words for an ordinary user come before any call.
    let script = "python3 -c 'import ctypes; ctypes.CDLL(None).mount(b\"x\", b\"/nowhere-here\", b\"tmpfs\", 0, 0)'";
    told(world.inside_own_mounts(script), "change what is mounted (`mount`)").says("sandbox.write");
    recorded(world, "mount");
    let output = world.inside_own_mounts("mount -t tmpfs x /nowhere-here").fails();
    output.says("remit: ");
}

fn tracers_are_refused_with_a_reason(world: &World) {
    world.outside("strace -o /dev/null true").succeeds();
    let output = world.remit(&["run", "--", "strace", "true"]).fails();
    told(output, "trace or read another process (`ptrace`)");
    recorded(world, "ptrace");
}

fn debuggers_are_refused_with_a_reason(world: &World) {
    may_start(world, "gdb");
    let script = "gdb --batch --nx --eval-command=run --args true 2>&1 1>/dev/null";
    world.outside(script).does_not_say("ptrace");
    let output = world.inside(&format!("{{ {script}; }} >&2"));
    told(output, "trace or read another process (`ptrace`)");
}

fn another_sandbox_is_refused_with_a_reason(world: &World) {
    may_start(world, "bwrap");
    let script = "bwrap --unshare-user --ro-bind / / true";
    world.outside(script).succeeds();
    told(world.inside(script).fails(), "make or enter namespaces (`clone`)");
}

fn packets_by_hand_are_refused_with_a_reason(world: &World) {
    told(world.inside("ping -c1 -W1 127.0.0.1").fails(), "make packets by hand (`socket`)");
    recorded(world, "socket");
}

fn what_is_set_uid_is_told_that_it_gains_nothing(world: &World) {
    world.outside("su --help").succeeds().does_not_say("remit");
    let output = world.inside("su --help; su --version").succeeds();
    assert_eq!(output.err.matches("is set-uid and gains nothing").count(), 1, "{output:?}");
}

fn a_hidden_socket_is_refused_with_a_reason(world: &World) {
    let script = "curl --silent --show-error --unix-socket /var/run/docker.sock http://docker/info";
    world.outside(script).does_not_say("remit");
    let output = told(world.inside(script).fails(), "connect to local socket");
    output.says("hide /run/docker.sock").says("whoever reaches it is root");
    world.record().has(&["refusal", "/var/run/docker.sock"]);
}

/// Prints `NAME ERRNO` for one call of each kind; the arguments are such that
/// none does anything even where it may be made.
const CALLS: &str = r#"
import ctypes, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
number = lambda a, b: a if platform.machine() == "x86_64" else b
buffer = ctypes.create_string_buffer(4096)
calls = {
    "unshare": (number(272, 97), 0x10000000),
    "setns": (number(308, 268), 99, 0),
    "mount": (number(165, 40), b"none", b"/nowhere-here", b"tmpfs", 0, 0),
    "umount2": (number(166, 39), b"/nowhere-here", 0),
    "chroot": (number(161, 51), b"/nowhere-here"),
    "open_tree": (428, -100, b"/nowhere-here", 0),
    "fsopen": (430, b"no-such-kind", 0),
    "ptrace": (number(101, 117), 99, 0, 0, 0),
    "process_vm_readv": (number(310, 270), os.getpid(), 0, 0, 0, 0, 1),
    "bpf": (number(321, 280), 9999, buffer, 64),
    "finit_module": (number(313, 273), 99, b"", 0),
    "keyctl": (number(250, 219), 9999, 0, 0),
    "add_key": (number(248, 217), b"no-such-kind", b"e2e", b"x", 1, 0),
    "swapon": (number(167, 224), b"/nowhere-here", 0),
    "sethostname": (number(170, 161), 0, -1),
}
for name, call in calls.items():
    ctypes.set_errno(0)
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in call])
    print(name, 0 if result >= 0 else ctypes.get_errno(), flush=True)
for name, kind in {"socket": (2, 3, 1), "socket packet": (17, 3, 0)}.items():
    try:
        socket.socket(*kind).close()
        print(name, 0)
    except OSError as error:
        print(name, error.errno)
"#;

fn every_refused_call_has_its_words_and_its_event(world: &World) {
    world.write(&world.workspace.join("calls.py"), CALLS);
    let outside = world.outside("unshare --user --map-root-user python3 calls.py").succeeds();
    let made = outside.out.lines().filter(|line| !line.ends_with(" 1")).count();
    assert!(made >= 8, "the kernel itself would not say EPERM to all: {}", outside.out);

    let inside = world.inside("python3 calls.py").succeeds();
    let record = world.record();
    assert_eq!(inside.out.lines().count(), outside.out.lines().count());
    for line in inside.out.lines() {
        let (name, errno) = line.rsplit_once(' ').expect("a name and a number");
        let call = name.split(' ').next().unwrap_or(name);
        assert_eq!(errno, "1", "{name}: {inside:?}");
        assert_eq!(inside.err.matches(&format!("(`{call}`)")).count(), 1, "{call}: {inside:?}");
        let events = record.with(&["\"what\":\"call\"", &format!("[\"{call}\"]")]);
        assert_eq!(events.len(), 1, "{call}: {events:#?}");
    }
}

fn a_loop_is_told_once_and_recorded_each_time(world: &World) {
    may_start(world, "unshare");
    let output = world.inside("for i in 1 2 3 4 5; do unshare --user true; done").fails();
    told(output, "make or enter namespaces (`unshare`)");
    assert_eq!(world.record().with(&["\"what\":\"call\"", "unshare"]).len(), 5);
}

fn an_ordinary_program_is_told_nothing(world: &World) {
    let script = "mount > /dev/null; python3 -c 'import threading, subprocess, socket; \
                  threading.Thread(target=print).start(); subprocess.run([\"true\"]); socket.socket()'";
    world.inside(script).succeeds().does_not_say("remit: ");
}
