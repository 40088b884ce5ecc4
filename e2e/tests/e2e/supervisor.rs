//! What a session can do to the supervisor that serves it, and to what the
//! supervisor leaves inside.

use std::fs;
use std::time::{Duration, Instant};

use crate::places;
use crate::run::Running;
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "supervisor":
    no_thread_of_it_has_a_capability [Program("python3")],
    calls_that_wait_cost_neither_threads_nor_time [Program("python3")],
    a_call_that_waits_is_answered_when_its_time_has_come [Program("python3")],
    a_limit_on_files_does_not_end_it [Program("python3")],
    words_for_a_person_keep_within_the_callers_limit [Program("unshare")],
    what_covers_hidden_places_cannot_be_changed,
}

/// The status of each thread of a process.
fn threads(process: i32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok()).collect()
}

/// Runs a script inside until it has made `ready` in the workspace.
fn started(world: &World, script: &str) -> Running {
    fs::write(world.workspace.join("script.py"), script).expect("a script");
    let running = world.start(&["run", "--", "python3", "script.py"]);
    let begun = Instant::now();
    while !world.workspace.join("ready").exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not get ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// Some threads wait for the other end of a pipe and some for a server that
/// takes nobody; then other calls are made, and timed.
const WAITERS: &str = r#"
import os, socket, sys, threading, time
os.mkfifo("/tmp/pipe")
server = socket.socket(socket.AF_UNIX)
server.bind("/tmp/server")
server.listen(0)
failed, opened = [], []
def wait_for_reader():
    try: opened.append(os.open("/tmp/pipe", os.O_WRONLY))
    except OSError as error: failed.append(error.errno)
def wait_for_server():
    try: socket.socket(socket.AF_UNIX).connect("/tmp/server")
    except OSError as error: failed.append(error.errno)
threading.stack_size(1 << 18)
for what in (wait_for_reader, wait_for_server):
    for _ in range(COUNT): threading.Thread(target=what, daemon=True).start()
time.sleep(1)
begun = time.time()
open("file", "w").close()
other = socket.socket(socket.AF_UNIX)
other.bind("/tmp/other")
other.listen(5)
client = socket.socket(socket.AF_UNIX)
client.connect("/tmp/other")
try: socket.getaddrinfo("unknown.example", 80)
except OSError: pass
took = time.time() - begun
open("ready", "w").close()
time.sleep(2)
print("failed", sorted(set(failed)), len(failed))
print("in time" if took < 2 else f"took {took}", flush=True)
os._exit(0)
"#;

fn no_thread_of_it_has_a_capability(world: &World) {
    let running = started(world, &WAITERS.replace("COUNT", "3"));
    let threads = threads(running.pid().as_raw_nonzero().get());
    assert!(threads.len() > 4, "{threads:?}");
    for status in threads {
        for set in ["CapPrm:\t", "CapEff:\t", "CapInh:\t", "CapAmb:\t"] {
            assert!(status.contains(&format!("{set}0000000000000000")), "{status}");
        }
    }
    running.finish().succeeds();
    if world.who.uid == 0 {
        let control = world.outside("cat /proc/self/status").succeeds();
        control.does_not_say("CapEff:\t0000000000000000");
    }
}

fn calls_that_wait_cost_neither_threads_nor_time(world: &World) {
    let running = started(world, &WAITERS.replace("COUNT", "200"));
    let threads = threads(running.pid().as_raw_nonzero().get());
    assert!(threads.len() < 20, "{} threads", threads.len());
    // 256 wait, and the others were told so. SOURCE: errno(3), EAGAIN is 11.
    running.finish().succeeds().says("in time").says("failed [11]");
}

/// A reader, a server with room and a server that goes away, each a moment late.
const LATE: &str = r#"
import os, socket, threading, time
os.mkfifo("/tmp/pipe")
server = socket.socket(socket.AF_UNIX)
server.bind("/tmp/server")
server.listen(0)
first = socket.socket(socket.AF_UNIX)
first.connect("/tmp/server")
said = []
def write():
    with open("/tmp/pipe", "w") as pipe: pipe.write("through the pipe")
def connect():
    client = socket.socket(socket.AF_UNIX)
    client.connect("/tmp/server")
    said.append(f"connected, blocking {client.getblocking()} {os.get_blocking(client.fileno())}")
def impatient():
    client = socket.socket(socket.AF_UNIX)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, (0).to_bytes(8, "little") + (200000).to_bytes(8, "little"))
    try: client.connect("/tmp/server")
    except OSError as error: said.append(f"impatient {error.errno}")
threads = [threading.Thread(target=what) for what in (write, impatient)]
for thread in threads: thread.start()
time.sleep(0.5)
threads.append(threading.Thread(target=connect))
threads[-1].start()
time.sleep(0.5)
said.append(open("/tmp/pipe").read())
server.accept()
server.accept()
for thread in threads: thread.join()
try: socket.create_connection(("127.0.0.1", 9))
except OSError as error: said.append(f"port 9 {error.errno}")
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
client.sendall(b"x")
said.append("tcp " + listener.accept()[0].recv(1).decode())
print("; ".join(sorted(said)))
"#;

fn a_call_that_waits_is_answered_when_its_time_has_come(world: &World) {
    fs::write(world.workspace.join("late.py"), LATE).expect("a script");
    let words = "connected, blocking True True; impatient 11";
    let control = world.outside("python3 late.py; rm -f /tmp/pipe /tmp/server").succeeds();
    control.says(words).says("tcp x; through the pipe");
    let output = world.inside("python3 late.py").succeeds();
    output.says(words).says("tcp x; through the pipe");
}

fn a_limit_on_files_does_not_end_it(world: &World) {
    let script = "import os, resource\n\
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n\
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n\
        open('big', 'w').close()\n\
        try: os.truncate('big', 1 << 30)\n\
        except OSError as error: print(error.errno)\n\
        print('still served', open('after', 'w').close(), flush=True)\n";
    fs::write(world.workspace.join("grow.py"), script).expect("a script");
    let limited = |program: &str| {
        let line = format!("ulimit -S -f 100000; exec {program} python3 grow.py");
        Running::start(world.command("sh", &["-c", &line])).finish().succeeds().says("still served")
    };
    limited("env");
    limited(&format!("{} run --", places::remit().display()));
}

fn words_for_a_person_keep_within_the_callers_limit(world: &World) {
    let script = |limit: &str| {
        format!(
            "(ulimit -f {limit}; head -c 512 /dev/zero >&2; unshare --user true) 2> err; wc -c < err; cat err"
        )
    };
    world.inside(&script("unlimited")).says("remit: refused");
    let output = world.inside(&script("1")).does_not_say("remit: refused");
    assert_eq!(output.out.lines().next().map(str::trim), Some("512"), "{output:?}");
}

fn what_covers_hidden_places_cannot_be_changed(world: &World) {
    let script = "echo fine > /run/mine && cat /run/mine; cd /run/remit || exit 1; \
        chmod 777 . void blank; touch mine; echo planted > blank; echo planted > void/id_ed25519; \
        rm -rf blank; rmdir void; cd /; mv /run/remit /run/other; rmdir /run/remit; \
        ls /run/remit; stat -c '%n %a' /run/remit/void /run/remit/blank ~/.ssh; cat ~/.ssh/id_ed25519";
    let output = world.inside(script).fails().says("fine").does_not_say("planted");
    for kept in ["/run/remit/void 0", "/run/remit/blank 0", ".ssh 0"] {
        assert!(output.out.contains(kept), "`{kept}`: {output:?}");
    }
    assert!(!output.out.contains("mine\n/"), "{output:?}");
}
