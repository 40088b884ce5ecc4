//! What crosses the boundary at the start, and what one session could prepare
//! for the next: files handed in, links planted, contents swapped.

use std::time::Duration;

use crate::places;
use crate::run::eventually;
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "handover":
    a_directory_is_not_handed_in,
    a_socket_that_could_go_elsewhere_is_not_handed_in [Program("python3")],
    a_file_handed_in_cannot_be_opened_anew_for_writing [Program("git")],
    a_file_handed_in_keeps_its_mode,
    output_to_a_file_is_whole_and_in_order,
    a_device_keeps_its_mode,
    a_protected_name_that_is_a_link_refuses_the_start [Program("git")],
    the_git_file_of_a_worktree_is_protected [Program("git")],
    a_writable_root_behind_a_planted_link_refuses_the_start,
    policy_inside_the_workspace_refuses_the_start,
    a_pipe_in_place_of_project_policy_does_not_hang,
    a_program_changed_after_the_yes_does_not_run,
    local_sockets_in_tmp_work [Program("python3")],
    a_server_inside_is_reached_and_named [Program("python3")],
    a_program_in_tmp_is_shown_there_alone,
    starting_from_many_threads_does_not_hang [Program("cc")],
}

/// Runs a governed script with a shell's redirections around `remit`.
fn redirected(world: &World, script: &str, redirections: &str) -> crate::run::Output {
    let remit = places::remit().display().to_string();
    world.outside(&format!("{remit} run -- sh -c '{script}' {redirections}"))
}

fn a_directory_is_not_handed_in(world: &World) {
    let output = redirected(world, "true", "< .");
    assert_eq!(output.code, 125, "{output:?}");
    assert!(
        output.err.contains("standard input") && output.err.contains("directory"),
        "{output:?}"
    );
}

fn a_socket_that_could_go_elsewhere_is_not_handed_in(world: &World) {
    let start = |family: &str, kind: &str| {
        let remit = places::remit().display().to_string();
        let program = format!(
            "import socket,subprocess,sys; s=socket.socket(socket.{family},socket.{kind}); \
             sys.exit(subprocess.run([\"{remit}\",\"run\",\"--\",\"true\"],stdin=s).returncode)"
        );
        world.outside(&format!("python3 -c '{program}'"))
    };
    for (family, kind) in
        [("AF_INET", "SOCK_DGRAM"), ("AF_INET", "SOCK_STREAM"), ("AF_UNIX", "SOCK_STREAM")]
    {
        let output = start(family, kind);
        assert_eq!(output.code, 125, "{family} {kind}: {output:?}");
        assert!(output.err.contains("socket"), "{output:?}");
    }
    let pair = format!(
        "import socket,subprocess,sys; a,b=socket.socketpair(); \
         sys.exit(subprocess.run([\"{}\",\"run\",\"--\",\"true\"],stdin=a).returncode)",
        places::remit().display()
    );
    world.outside(&format!("python3 -c '{pair}'")).succeeds();
}

fn a_file_handed_in_cannot_be_opened_anew_for_writing(world: &World) {
    let before = world.outside("cat .git/config").succeeds().out;
    let attack = "cat /dev/stdin > seen; echo evil >> /proc/self/fd/0; true";
    world.outside("cp .git/config copy; cat copy > /dev/null").succeeds();
    redirected(world, attack, "< .git/config").succeeds();
    assert_eq!(world.outside("cat .git/config").succeeds().out, before);
    assert_eq!(world.outside("cat seen").succeeds().out, before, "it could be read");
    world
        .outside("sh -c 'echo evil >> /proc/self/fd/0' < .git/config; grep -q evil .git/config")
        .succeeds();
}

fn a_file_handed_in_keeps_its_mode(world: &World) {
    world.outside("echo words > ~/outside; chmod 640 ~/outside").succeeds();
    let attack = "chmod 666 /proc/self/fd/0 /proc/self/fd/1; true";
    redirected(world, attack, "< ~/outside >> ~/outside").succeeds();
    world.outside("test $(stat -c %a ~/outside) = 640").succeeds();
}

fn output_to_a_file_is_whole_and_in_order(world: &World) {
    let script = "i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    redirected(world, script, "> both 2>&1").succeeds();
    let expected: String = (0..200).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(world.outside("cat both").succeeds().out, expected);
}

fn a_device_keeps_its_mode(world: &World) {
    // Only root owns it, so only root could.
    let before = world.outside("stat -c %a /dev/null").succeeds().out;
    redirected(world, "chmod 600 /dev/null /proc/self/fd/0; true", "< /dev/null").succeeds();
    assert_eq!(world.outside("stat -c %a /dev/null").succeeds().out, before);
}

fn a_protected_name_that_is_a_link_refuses_the_start(world: &World) {
    world.outside("mv .git/hooks githooks && ln -s ../githooks .git/hooks").succeeds();
    let output = world.inside("true").fails();
    assert_eq!(output.code, 125);
    assert!(output.err.contains(".git/hooks") && output.err.contains("link"), "{output:?}");
    world.outside("rm .git/hooks && mv githooks .git/hooks").succeeds();
    world.inside("true").succeeds();
}

fn the_git_file_of_a_worktree_is_protected(world: &World) {
    world.outside("git worktree add -q ../tree && cp ../tree/.git ../control").succeeds();
    let remit = places::remit().display().to_string();
    let attack = "rm -f .git; echo gitdir: evil > .git; mv .git away; true";
    world.outside(&format!("cd ../tree && {remit} run -- sh -c '{attack}'")).succeeds();
    world.outside("cmp ../tree/.git ../control").succeeds();
}

fn a_writable_root_behind_a_planted_link_refuses_the_start(world: &World) {
    world.outside("mkdir cache").succeeds();
    world.inside("rmdir cache && ln -s ~ cache").succeeds();
    world.settings(&format!("[sandbox]\nwrite = [\"{}/cache\"]\n", world.workspace.display()));
    let output = world.inside("echo x > ~/.bashrc").fails();
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.err.contains("cache") && output.err.contains("link"), "{output:?}");
}

fn policy_inside_the_workspace_refuses_the_start(world: &World) {
    world.rules("prefix_rule(pattern = [\"id\"], decision = \"forbidden\")\n");
    world.outside("mv ~/.config/remit/rules/default.rules . && ln -s $PWD/default.rules ~/.config/remit/rules/").succeeds();
    let output = world.inside("true").fails();
    assert_eq!(output.code, 125);
    assert!(output.err.contains("default.rules"), "{output:?}");
}

fn a_pipe_in_place_of_project_policy_does_not_hang(world: &World) {
    world.outside("mkdir -p .remit && mkfifo .remit/config.toml").succeeds();
    let output = world.inside("true").fails();
    assert_eq!(output.code, 125);
    assert!(output.err.contains(".remit/config.toml"), "{output:?}");
}

fn a_program_changed_after_the_yes_does_not_run(world: &World) {
    world.rules("prefix_rule(pattern = [\"asked\"], decision = \"prompt\")\n");
    world.outside("cp /bin/true asked && cp /bin/echo other").succeeds();
    let running =
        world.start(&["run", "--approvals", "queue", "--", "sh", "-c", "./asked evil; true"]);
    eventually("the question", Duration::from_secs(10), || {
        world.remit(&["approvals", "list"]).out.contains("asked evil").then_some(())
    });
    world.outside("cat other > asked").succeeds();
    world.remit(&["approvals", "answer", "1", "--once"]).succeeds();
    let output = running.finish();
    assert!(!output.out.contains("evil"), "what nobody saw has run: {output:?}");
    world.record().has(&["refusal", "what was judged"]);
    world.outside("./asked evil | grep -q evil").succeeds();
}

fn local_sockets_in_tmp_work(world: &World) {
    let program = "import socket,threading\ns=socket.socket(socket.AF_UNIX); s.bind(\"/tmp/s\"); s.listen()\nthreading.Thread(target=lambda: s.accept()[0].sendall(b\"hello\")).start()\nc=socket.socket(socket.AF_UNIX); c.connect(\"/tmp/s\"); print(c.recv(9))\n";
    world.write(&world.workspace.join("local.py"), program);
    world.inside("python3 local.py").succeeds().says("hello");
}

fn a_server_inside_is_reached_and_named(world: &World) {
    let program = "import socket,threading\ns=socket.socket(); s.bind((\"127.0.0.1\",0)); s.listen()\nthreading.Thread(target=lambda: s.accept()[0].sendall(b\"hello\")).start()\nc=socket.create_connection(s.getsockname()); print(c.recv(9))\n";
    world.write(&world.workspace.join("served.py"), program);
    world.inside("python3 served.py").succeeds().says("hello");
    world.record().has(&["connect", "127.0.0.1", "own loopback"]);
}

fn a_program_in_tmp_is_shown_there_alone(world: &World) {
    let directory = format!("/tmp/{}", world.mark());
    let script = format!(
        "mkdir {directory} && cp /bin/ls {directory}/program && echo x > {directory}/other"
    );
    world.outside(&script).succeeds();
    let seen = world.remit(&["run", "--", &format!("{directory}/program"), &directory]);
    world.outside(&format!("rm -r {directory}")).succeeds();
    assert_eq!(seen.succeeds().out, "program\n");
}

/// Thirty-two threads that all start a program at once, while the first exits.
const STORM: &str = r#"
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *start(void *unused) { execl("/bin/true", "true", NULL); return unused; }
int main(int argc, char **argv) {
    for (int i = 0; i < 60; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            for (int j = 0; j < 32; j++) pthread_create(&thread, NULL, start, NULL);
            pthread_exit(NULL);
        }
        waitpid(child, NULL, 0);
    }
    return 0;
}
"#;

fn starting_from_many_threads_does_not_hang(world: &World) {
    world.write(&world.workspace.join("storm.c"), STORM);
    world.outside("cc -pthread -o storm storm.c && ./storm").succeeds();
    world.inside("./storm && echo done").succeeds().says("done");
}
