//! Programs whose arguments change while they are judged. What ran is seen from
//! outside, by what it printed.

use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "races":
    a_flipped_argument_never_runs_unjudged [Program("cc")],
    an_argument_flipped_across_vfork_never_runs_unjudged [Program("cc")],
    an_exec_by_a_second_thread_is_what_was_judged [Program("cc")],
    a_flipped_path_never_runs_unjudged [Program("cc")],
}

/// `./racer MODE TIMES` starts `./say WORD` again and again, while another
/// thread flips WORD (or the program's path) between `good` and `evil`.
const RACER: &str = r#"
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *word;
static int offset;
static volatile int stop;

static void *flip(void *unused) {
    volatile unsigned *at = (volatile unsigned *)(word + offset);
    unsigned good, evil;
    memcpy(&good, "good", 4);
    memcpy(&evil, "evil", 4);
    while (!stop) {
        *at = good;
        for (volatile int i = 0; i < 300; i++) {}
        *at = evil;
        for (volatile int i = 0; i < 300; i++) {}
    }
    return unused;
}

static void start(const char *mode) {
    if (!strcmp(mode, "path")) {
        char *argv[] = {"said", NULL};
        execve(word, argv, environ);
    } else {
        char *argv[] = {"say", word, NULL};
        execve("./say", argv, environ);
    }
    _exit(0);
}

static int start_vm(void *mode) {
    start(mode);
    return 0;
}

static void *start_in_thread(void *mode) {
    start(mode);
    return NULL;
}

int main(int argc, char **argv) {
    const char *mode = argv[1];
    int times = atoi(argv[2]);
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(word, !strcmp(mode, "path") ? "./good" : "good");
    offset = !strcmp(mode, "path") ? 2 : 0;
    pthread_t flipper;
    pthread_create(&flipper, NULL, flip, NULL);
    static char stack[65536];
    for (int i = 0; i < times; i++) {
        pid_t child;
        if (!strcmp(mode, "vfork")) {
            child = clone(start_vm, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)mode);
        } else if ((child = fork()) == 0) {
            if (!strcmp(mode, "thread")) {
                pthread_t runner;
                pthread_create(&runner, NULL, start_in_thread, (void *)mode);
                for (;;) pause();
            }
            start(mode);
        }
        waitpid(child, NULL, 0);
    }
    stop = 1;
    pthread_join(flipper, NULL);
    return 0;
}
"#;

/// A program that says its first argument, or its own name if it has none.
const SAY: &str = r#"
#include <stdio.h>
#include <sys/auxv.h>
int main(int argc, char **argv) {
    puts(argc > 1 ? argv[1] : (const char *)getauxval(AT_EXECFN));
    return 0;
}
"#;

const NO_EVIL: &str = r#"
prefix_rule(pattern = ["say", "evil"], decision = "forbidden")
prefix_rule(pattern = ["evil"], decision = "forbidden")
"#;

const TIMES: u32 = 150;

fn check(world: &World, mode: &str) {
    world.write(&world.workspace.join("racer.c"), RACER);
    world.write(&world.workspace.join("say.c"), SAY);
    world
        .outside(
            "cc -O1 -pthread -o racer racer.c && cc -o say say.c && cp say good && cp say evil",
        )
        .succeeds();
    let script = format!("./racer {mode} {TIMES}");
    let alone = world.outside(&script).succeeds();
    assert!(alone.out.contains("evil"), "the control runs the forbidden one: {alone:?}");
    world.rules(NO_EVIL);
    let governed = world.inside(&script).succeeds();
    assert!(governed.out.contains("good"), "the allowed one runs: {governed:?}");
    assert!(!governed.out.contains("evil"), "the forbidden one ran: {governed:?}");
    world.record().has(&["refusal", "evil"]);
    world.remit(&["log", "verify"]).succeeds();
}

fn a_flipped_argument_never_runs_unjudged(world: &World) {
    check(world, "fork");
}

fn an_argument_flipped_across_vfork_never_runs_unjudged(world: &World) {
    check(world, "vfork");
}

fn an_exec_by_a_second_thread_is_what_was_judged(world: &World) {
    check(world, "thread");
}

fn a_flipped_path_never_runs_unjudged(world: &World) {
    check(world, "path");
}
