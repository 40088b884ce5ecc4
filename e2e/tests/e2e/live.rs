//! A policy that changes while a session runs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use remit_e2e::witness::GREETING;

use crate::network::{allow, greeter};
use crate::run::{Running, eventually};
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "live":
    a_deny_closes_an_open_connection_within_a_second [Program("python3")],
    an_allow_lets_the_next_connection_through_without_a_question [Program("curl")],
    a_broken_file_changes_nothing_and_is_told [Program("curl")],
    a_person_outside_takes_a_projects_narrowing_back [Program("curl")],
    nobody_inside_changes_a_file_that_is_followed,
    a_port_that_is_no_longer_published_is_closed [Program("python3")],
}

/// How long a change may take, on a machine that does other things as well.
const SOON: Duration = Duration::from_secs(1);

/// Connects, says so by a file, and stays until it is cut.
const HOLD: &str = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"hello\n"); s.recv(5)
open("open", "w").close()
try:
    while s.recv(100): pass
except OSError: pass
open("cut", "w").close()
"#;

/// A server that answers with five bytes and then says nothing more.
fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 100]);
                let _ = stream.write_all(b"hello");
                // Until the other side ends it.
                let _ = stream.read(&mut [0; 100]);
            });
        }
    });
    port
}

fn wait_for(path: &Path, patience: Duration) {
    eventually(&path.display().to_string(), patience, || path.exists().then_some(()));
}

/// Starts a session in which a script is run.
fn start(world: &World, script: &str) -> Running {
    world.start(&["run", "--", "sh", "-c", script])
}

/// Asks for a page every now and then until it comes, for five seconds.
fn until_it_comes(port: u16) -> String {
    format!(
        "for i in $(seq 50); do curl -sS -m 5 -f http://127.0.0.1:{port}/ && exit 0; touch tried; sleep 0.1; done; exit 1"
    )
}

fn a_deny_closes_an_open_connection_within_a_second(world: &World) {
    let (port, other) = (silent(), silent());
    world.write(&world.workspace.join("hold.py"), HOLD);
    allow(world, &[format!("127.0.0.1:{port}"), format!("127.0.0.1:{other}")]);
    let script =
        format!("python3 hold.py {port}; mkdir o; cd o; timeout 2 python3 ../hold.py {other}; ls");
    let running = start(world, &script);
    wait_for(&world.workspace.join("open"), Duration::from_secs(20));
    world.settings(&format!(
        "[network]\nallow = [\"127.0.0.1:{port}\", \"127.0.0.1:{other}\"]\ndeny = [\"127.0.0.1:{port}\"]\n"
    ));
    wait_for(&world.workspace.join("cut"), SOON);
    let output = running.finish().succeeds();
    assert_eq!(output.out.trim(), "open", "the other one stays: {output:?}");
    let record = world.record();
    record.has(&["\"policy_changed\"", "config.toml"]);
    record.has(&["\"refusal\"", "network.deny", &port.to_string()]);
    record.has(&["\"connect_ended\"", "revoked"]);
    world.remit(&["log", "timeline"]).succeeds().says("the policy was changed");
    world.remit(&["log", "verify"]).succeeds();
}

fn an_allow_lets_the_next_connection_through_without_a_question(world: &World) {
    let port = greeter().port();
    let running = start(world, &until_it_comes(port));
    wait_for(&world.workspace.join("tried"), Duration::from_secs(20));
    allow(world, &[format!("127.0.0.1:{port}")]);
    running.finish().succeeds().says(GREETING.trim());
    let record = world.record();
    record.has(&["\"policy_changed\""]);
    record.has(&["\"connect\"", "allow", &port.to_string()]);
    assert!(record.with(&["\"question\""]).is_empty(), "nobody was asked");
}

fn a_broken_file_changes_nothing_and_is_told(world: &World) {
    let port = greeter().port();
    allow(world, &[format!("127.0.0.1:{port}")]);
    let script = format!(
        "touch ready; while [ ! -e go ]; do sleep 0.05; done; curl -sS -m 5 http://127.0.0.1:{port}/"
    );
    let running = start(world, &script);
    wait_for(&world.workspace.join("ready"), Duration::from_secs(20));
    world.settings("[network]\nalow = []\n");
    thread::sleep(2 * SOON);
    world.write(&world.workspace.join("go"), "");
    let output = running.finish().succeeds().says(GREETING.trim());
    assert!(output.err.contains("stays in force"), "{output:?}");
    let record = world.record();
    record.has(&["\"degraded\"", "config.toml", "alow"]);
    assert!(record.with(&["\"policy_changed\""]).is_empty(), "it did not change");
}

fn a_person_outside_takes_a_projects_narrowing_back(world: &World) {
    let port = greeter().port();
    allow(world, &[format!("127.0.0.1:{port}")]);
    let project = world.workspace.join(".remit/config.toml");
    world.write(&project, &format!("[network]\ndeny = [\"127.0.0.1:{port}\"]\n"));
    let running = start(world, &format!("rm -rf .remit; {}", until_it_comes(port)));
    wait_for(&world.workspace.join("tried"), Duration::from_secs(20));
    thread::sleep(SOON);
    assert!(project.exists(), "the agent could not");
    fs::remove_file(&project).expect("the person can");
    running.finish().succeeds().says(GREETING.trim());
    world.record().has(&["\"policy_changed\"", ".remit"]);
}

/// `/etc/remit` is left alone here: were the boundary to fail, it would be changed.
fn nobody_inside_changes_a_file_that_is_followed(world: &World) {
    let port = greeter().port();
    world.settings("[network]\ndefault = \"refuse\"\n");
    let script = format!(
        "for d in ~/.config/remit .remit; do
            mkdir -p $d/rules $d.new
            echo '[network]' > $d/config.toml
            echo 'allow = [\"127.0.0.1:{port}\"]' >> $d/config.toml
            cp README $d.new/config.toml; mv $d.new $d; ln -s $PWD/README $d/config.toml
            ln -sfn $PWD $d; mv $d $d.old; rm -rf $d; touch $d/rules/more.rules
        done
        mv ~/.config ~/.other; sleep 1.5; ls -A . ~/.config/remit"
    );
    let output = world.inside(&script);
    assert!(!output.out.contains(".remit\n"), "{output:?}");
    let settings = fs::read_to_string(world.home.join(".config/remit/config.toml"));
    assert_eq!(settings.expect("the settings"), "[network]\ndefault = \"refuse\"\n");
    assert!(!world.workspace.join(".remit").exists());
    assert!(world.record().with(&["\"policy_changed\""]).is_empty());
}

fn a_port_that_is_no_longer_published_is_closed(world: &World) {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one").port();
    world.settings(&format!("[network]\npublish = [{port}]\n"));
    let serve = r#"
import socket, sys
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
open("listening", "w").close()
s, _ = l.accept()
s.recv(5); s.sendall(b"hello")
while s.recv(100): pass
"#;
    world.write(&world.workspace.join("serve.py"), serve);
    world.write(&world.workspace.join("hold.py"), HOLD);
    let number = port.to_string();
    let words = ["run", "--publish", &number, "--", "python3", "serve.py", &number];
    let running = world.start(&words);
    wait_for(&world.workspace.join("listening"), Duration::from_secs(20));
    let outside = Running::start(world.command("python3", &["hold.py", &number]));
    wait_for(&world.workspace.join("open"), Duration::from_secs(10));
    world.settings("");
    wait_for(&world.workspace.join("cut"), SOON);
    outside.finish().succeeds();
    running.finish();
    world.record().has(&["\"connect_ended\"", "revoked"]);
}
