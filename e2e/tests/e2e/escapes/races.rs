//! Paths, addresses and programs that change while they are judged, and many
//! callers at once.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::attempts::{Attempt, Look, none_works, sh};
use crate::run::{Output, eventually};
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "escapes":
    e01_a_path_flipped_by_a_thread_makes_no_protected_name [Program("python3"), Program("cc")],
    e01_a_path_flipped_by_a_process_changes_nothing_outside [Program("python3"), Program("cc")],
    e01_a_directory_exchanged_for_a_link_leads_nowhere [Program("python3"), Program("cc")],
    e01_a_directory_filled_while_it_is_renamed_stays_empty [Program("python3"), Program("cc")],
    e02_an_address_flipped_during_connect_reaches_what_was_judged [Program("cc")],
    e03_a_program_exchanged_on_disk_is_what_was_judged [Program("cc")],
    e09_signals_neither_hang_nor_double_anything [Program("cc")],
    e09_signals_with_restart_neither_hang_nor_double_anything [Program("cc")],
    e11_the_supervisor_s_death_under_load_ends_everything [Program("cc")],
    e12_sixty_four_threads_get_nothing_through [Program("cc")],
}

/// Compiles a program of `programs/` in the workspace.
pub fn compile(world: &World, name: &str, source: &str) {
    world.write(&world.workspace.join(format!("{name}.c")), source);
    world.outside(&format!("cc -O1 -pthread -o {name} {name}.c && rm {name}.c")).succeeds();
}

/// Flips for this long at each deed.
const LONG: u32 = 220;

fn flips(world: &World, attempts: &[(&str, &str, &str, &str)]) {
    compile(world, "flip", include_str!("programs/flip.c"));
    let attempts: Vec<Attempt> = attempts
        .iter()
        .map(|(how, deed, other, touches)| {
            sh(*touches, format!("./flip {how} {deed} {other} {LONG}"))
        })
        .collect();
    let setup = "echo original > ../victim; echo original > ../vict; echo planted > spare; mkdir -p door; echo inner > door/vict; ln -s .. trap; mkdir sub; ln -s . sub/here";
    let inside = none_works(world, setup, &attempts);
    // Not vacuous: the innocent side succeeded often.
    let counts: Vec<u32> = inside
        .out
        .lines()
        .filter_map(|line| line.split("done ").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(counts.len(), attempts.len(), "{inside:?}");
    assert!(counts.iter().all(|count| *count >= 3), "each succeeds now and then: {inside:?}");
}

fn e01_a_path_flipped_by_a_thread_makes_no_protected_name(world: &World) {
    let deeds = ["open", "append", "mkdir", "rename", "rename2", "link", "symlink"];
    flips(world, &deeds.map(|deed| ("thread", deed, ".envrc", ".envrc")));
}

fn e01_a_path_flipped_by_a_process_changes_nothing_outside(world: &World) {
    let deeds = ["open", "append", "rename", "truncate", "chmod", "unlink", "take", "into"];
    flips(world, &deeds.map(|deed| ("process", deed, "../vict", "../vict")));
}

fn e01_a_directory_exchanged_for_a_link_leads_nowhere(world: &World) {
    // `door` is now a directory of the workspace, now a link to what is above.
    let deeds = ["open", "append", "rename", "truncate"];
    flips(world, &deeds.map(|deed| ("disk", deed, "vict", "../vict")));
}

fn e01_a_directory_filled_while_it_is_renamed_stays_empty(world: &World) {
    compile(world, "become", include_str!("programs/become.c"));
    let target = ".claude/settings.json";
    let inside = none_works(world, "", &[sh(target, "./become")]);
    let renamed = inside.out.split("renamed ").nth(1).and_then(|rest| rest.trim().parse().ok());
    assert!(renamed.is_some_and(|count: u32| count > 20), "{inside:?}");
}

/// A server on the host's loopback that counts who comes.
fn counter() -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("its address");
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (address, count)
}

fn e02_an_address_flipped_during_connect_reaches_what_was_judged(world: &World) {
    compile(world, "address", include_str!("programs/address.c"));
    let ((good, hits), (bad, leaks)) = (counter(), counter());
    world.settings(&format!(
        "[network]\ndefault = \"refuse\"\nallow = [\"127.0.0.1:{}\"]\n",
        good.port()
    ));
    let script = format!("./address {} {} 1500", good.port(), bad.port());
    let inside = world.inside(&script).succeeds();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(leaks.load(Ordering::Relaxed), 0, "{inside:?}");
    assert!(hits.load(Ordering::Relaxed) >= 5, "the allowed one is reached: {inside:?}");
    assert!(!inside.out.contains("failed 0"), "the other was tried: {inside:?}");
    let control = format!("./address {} {} 200", good.port(), bad.port());
    eventually("the control's connections", Duration::from_secs(20), || {
        world.outside(&control).succeeds();
        (leaks.load(Ordering::Relaxed) > 0).then_some(())
    });
}

/// `./start TIMES PATH` starts a program, while a thread exchanges two files.
const EXCHANGE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static char **names;
static volatile int stop;
static void *swap(void *unused) {
    while (!stop) { renameat2(AT_FDCWD, names[3], AT_FDCWD, names[4], RENAME_EXCHANGE); usleep(20); }
    return unused;
}
int main(int argc, char **argv) {
    names = argv;
    pthread_t thread;
    pthread_create(&thread, NULL, swap, NULL);
    for (int i = 0; i < atoi(argv[1]); i++) {
        if (fork() == 0) { char *words[] = {"said", NULL}; execve(argv[2], words, environ); _exit(0); }
        wait(NULL);
    }
    stop = 1;
    return 0;
}
"#;

fn e03_a_program_exchanged_on_disk_is_what_was_judged(world: &World) {
    compile(world, "start", EXCHANGE);
    let say = |word: &str| {
        format!("#include <stdio.h>\nint main(void) {{ puts(\"{word}\"); return 0; }}\n")
    };
    compile(world, "good", &say("innocent"));
    compile(world, "evil", &say("forbidden"));
    world.outside("mkdir one two; cp good one/good; cp evil two/evil; ln -s one/good link; ln -s two/evil knil; cp good one/said; cp evil two/said; mkdir now then; cp good now/good; cp evil then/evil; ln -s good now/said; ln -s evil then/said").succeeds();
    world.rules("prefix_rule(pattern = [\"evil\"], decision = \"forbidden\")\n");
    // A link that leads to one, then to the other; a directory on the way.
    for (path, one, two) in [("./link", "link", "knil"), ("now/said", "now", "then")] {
        let script = format!("./start 150 {path} {one} {two}");
        let inside = world.inside(&script).succeeds();
        assert!(inside.out.contains("innocent"), "{inside:?}");
        assert!(!inside.out.contains("forbidden"), "`{path}`: the forbidden one ran: {inside:?}");
        let control = world.outside(&script).succeeds();
        assert!(
            control.out.contains("innocent") && control.out.contains("forbidden"),
            "{control:?}"
        );
    }
}

fn signals(world: &World, restart: &str) {
    compile(world, "signals", include_str!("programs/signals.c"));
    let (address, hits) = counter();
    world.settings(&format!("[network]\nallow = [\"127.0.0.1:{}\"]\n", address.port()));
    let script = format!("mkdir -p run && cd run && ../signals {restart} {}", address.port());
    let clean = |output: &Output| {
        let wanted = output.out.contains("twice 0 wrong 0");
        let signals = output
            .out
            .split("signals ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        assert!(wanted && signals.is_some_and(|count| count > 10), "{output:?}");
    };
    clean(&world.inside(&script).succeeds());
    let made = fs::read_dir(world.workspace.join("run")).expect("the directory").count();
    assert_eq!(made, 150 * 4 + 30, "each effect came once");
    eventually("the connections", Duration::from_secs(5), || {
        (hits.load(Ordering::Relaxed) >= 30).then_some(())
    });
    assert_eq!(hits.load(Ordering::Relaxed), 30, "no connection came twice");
    clean(&world.outside(&script.replace("run", "control")).succeeds());
}

fn e09_signals_neither_hang_nor_double_anything(world: &World) {
    signals(world, "no");
}

fn e09_signals_with_restart_neither_hang_nor_double_anything(world: &World) {
    signals(world, "restart");
}

/// What a storm needs: two programs, one of them forbidden, and two servers.
fn storm(world: &World) -> (String, Arc<AtomicU32>) {
    compile(world, "storm", include_str!("programs/storm.c"));
    let ((good, _), (bad, leaks)) = (counter(), counter());
    world.outside("cp /bin/true fine; cp /bin/true evil; echo original > ../victim").succeeds();
    world.settings(&format!(
        "[network]\ndefault = \"refuse\"\nallow = [\"127.0.0.1:{}\"]\n",
        good.port()
    ));
    world.rules("prefix_rule(pattern = [\"evil\"], decision = \"forbidden\")\n");
    (format!("{} {}", good.port(), bad.port()), leaks)
}

fn nothing_forbidden(world: &World, leaks: &AtomicU32, output: &Output) {
    for name in [".envrc", ".vscode", ".mcp.json"] {
        assert!(Look::at(&world.workspace.join(name)).is_nothing(), "`{name}`: {}", output.out);
    }
    assert_eq!(fs::read_to_string(world.home.join("victim")).ok().as_deref(), Some("original\n"));
    assert_eq!(leaks.load(Ordering::Relaxed), 0, "the refused server was reached");
}

fn e12_sixty_four_threads_get_nothing_through(world: &World) {
    let (ports, leaks) = storm(world);
    // The supervisor lives if what comes after is still decided.
    let after = "echo fine > after && ./fine && ! ./evil && echo alive";
    let inside = world.inside(&format!("./storm 64 2 {ports} 2>/dev/null; {after}"));
    let number = |key: &str| {
        inside
            .out
            .split(key)
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u32>().ok())
    };
    for key in ["made ", "started ", "reached "] {
        assert!(number(key).is_some_and(|count| count > 10), "{key}{inside:?}");
    }
    nothing_forbidden(world, &leaks, &inside);
    assert_eq!((number("forbidden "), number("odd ")), (Some(0), Some(0)), "{}", inside.out);
    assert!(inside.out.contains("alive"), "{}", inside.out);
    world.remit(&["log", "verify"]).succeeds();
    let control = world.outside(&format!("./storm 4 0 {ports}")).succeeds();
    assert!(!control.out.contains("forbidden 0"), "{control:?}");
}

fn e11_the_supervisor_s_death_under_load_ends_everything(world: &World) {
    let (ports, leaks) = storm(world);
    let mark = world.mark();
    let running =
        world.start(&["run", "--", "sh", "-c", &format!("sleep {mark} & ./storm 16 20 {ports}")]);
    eventually("the storm", Duration::from_secs(10), || {
        fs::read_dir(&world.workspace)
            .ok()?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("storm-"))
            .then_some(())
    });
    running.signal(Signal::KILL);
    eventually("the end of all", Duration::from_secs(5), || {
        (world.sleepers(&mark).is_empty() && world.mine().is_empty()).then_some(())
    });
    let output = running.finish();
    nothing_forbidden(world, &leaks, &output);
    world.remit(&["log", "verify"]).succeeds();
}
