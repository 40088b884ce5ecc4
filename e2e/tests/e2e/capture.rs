//! How connections are caught, whose they are, and how the host comes in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use remit_e2e::witness::GREETING;

use crate::lab::{Lab, NAME};
use crate::network::{allow, greeter};
use crate::run::{Output, Running, eventually};
use crate::scenario::Need::{Program, RootHarness};
use crate::world::World;

scenarios! { "capture":
    every_way_to_connect_is_caught_or_closed [Program("python3")],
    the_sessions_own_servers_are_reached_by_every_spelling [Program("python3"), Program("curl")],
    java_reaches_names_and_the_sessions_own_servers
        [RootHarness, Program("java"), Program("tcpdump"), Program("python3"), Program("curl")],
    the_programs_behind_a_connection_are_in_the_record [Program("curl")],
    a_question_shows_the_programs_behind_it [Program("curl")],
    a_published_port_leads_inside_and_is_recorded [Program("python3")],
    a_published_port_is_closed_to_other_accounts [RootHarness, Program("python3"), Program("curl")],
    a_port_that_no_policy_names_is_not_published,
    a_port_in_use_is_not_published,
    two_sessions_do_not_reach_each_other [Program("python3"), Program("curl")],
}

fn every_way_to_connect_is_caught_or_closed(world: &World) {
    let port = greeter().port();
    world.write(&world.workspace.join("ways.py"), include_str!("capture.py"));
    let script = format!("python3 ways.py {port}");
    let told = |output: &Output, way: &str| {
        let line = output.out.lines().find_map(|line| line.strip_prefix(&format!("{way}: ")));
        line.unwrap_or_else(|| panic!("nothing about `{way}`: {output:?}")).to_owned()
    };
    let caught = [
        "plain",
        "watched_first",
        "by_mapped_address",
        "deferred",
        "bound_first",
        "handed_over",
        "with_a_limit",
    ];
    let unasked = world.inside(&script);
    assert!(!unasked.both().contains(GREETING.trim()), "nothing got out: {unasked:?}");
    allow(world, &[format!("127.0.0.1:{port}")]);
    let output = world.inside(&script).succeeds();
    for way in caught {
        assert_eq!(told(&output, way), GREETING.trim(), "{way}: {output:?}");
    }
    let connects = world.record().with(&["\"connect\"", &port.to_string()]).len();
    assert_eq!(connects, caught.len(), "each is in the record, once");
    // SOURCE: asm-generic/errno.h, EOPNOTSUPP, and EPERM or ENOSYS for the ring.
    for way in ["by_first_bytes", "by_message", "by_many_messages"] {
        assert_eq!(told(&output, way), "error 95", "{way}: {output:?}");
    }
    assert!(["error 1", "error 38"].contains(&told(&output, "by_ring").as_str()), "{output:?}");
}

/// Serves the workspace inside, at a port and an address.
fn server(port: u16, at: &str) -> String {
    let local = if at == "::1" { "[::1]" } else { "127.0.0.1" };
    format!(
        "python3 -m http.server {port} --bind {at} >/dev/null 2>&1 & \
         for i in $(seq 100); do curl -s -g -o /dev/null http://{local}:{port}/ && break; sleep 0.05; done"
    )
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

fn the_sessions_own_servers_are_reached_by_every_spelling(world: &World) {
    for (at, spellings) in [
        ("0.0.0.0", &["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"][..]),
        ("::1", &["[::1]", "[::]", "localhost"]),
    ] {
        let port = free_port();
        let mut script = format!("{}\n", server(port, at));
        for host in spellings {
            script += &format!("echo '{host}:' $(curl -sS -g -m 10 http://{host}:{port}/README)\n");
        }
        let output = world.inside(&script);
        for host in spellings {
            assert!(output.out.contains(&format!("{host}: hello")), "{at} as {host}: {output:?}");
        }
    }
}

/// Java opens one socket for both families and gives it mapped addresses.
fn java_reaches_names_and_the_sessions_own_servers(world: &World) {
    const SOURCE: &str = r#"
import java.net.URI;
import java.net.http.*;

class Fetch {
    public static void main(String[] urls) throws Exception {
        var client = HttpClient.newHttpClient();
        for (var url : urls) {
            var request = HttpRequest.newBuilder(URI.create(url)).build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
    }
}
"#;
    world.write(&world.workspace.join("Fetch.java"), SOURCE);
    let lab = Lab::new(world);
    let fetch = format!("java Fetch.java http://{NAME}/");
    let refused = lab.inside(&fetch);
    assert!(!refused.both().contains(GREETING.trim()), "{refused:?}");
    assert_eq!(lab.notes(), "", "nothing was asked or fetched");
    allow(world, &[format!("{NAME}:80")]);
    lab.inside(&fetch).succeeds().says(GREETING.trim());
    let port = free_port();
    let script =
        format!("{}; java Fetch.java http://127.0.0.1:{port}/README", server(port, "127.0.0.1"));
    lab.inside(&script).succeeds().says("hello");
}

fn the_programs_behind_a_connection_are_in_the_record(world: &World) {
    let port = greeter().port();
    allow(world, &[format!("127.0.0.1:{port}")]);
    world.inside(&format!("sh -c 'curl -sS -m 10 http://127.0.0.1:{port}/; true'")).succeeds();
    let record = world.record();
    let connect = &record.has(&["\"connect\"", &port.to_string()])["event"]["connect"];
    let origin = &connect["process"]["origin"];
    let exec = |number: &serde_json::Value| {
        let found = record.events.iter().find(|event| event["event"]["exec"]["attempt"] == *number);
        let argv = &found.unwrap_or_else(|| panic!("no exec {number}: {connect}"))["event"]["exec"];
        argv["argv"].to_string()
    };
    assert!(exec(&origin["exec"]).contains("curl"), "{connect}");
    assert_eq!(origin["argv_digest"].as_str().map(str::len), Some(64), "{connect}");
    let above = origin["above"].as_array().expect("a list");
    assert_eq!(above.len(), 2, "the inner shell and the command: {connect}");
    assert!(above.iter().all(|number| exec(number).contains("\"sh\"")), "{connect}");
}

fn a_question_shows_the_programs_behind_it(world: &World) {
    world.settings("[network]\nask = [\"asked.example\"]\n");
    let script = "sh -c 'curl -sS -m 20 http://asked.example/; true'";
    let running = world.start(&["run", "--approvals", "queue", "--", "sh", "-c", script]);
    let listing = eventually("a question", Duration::from_secs(10), || {
        let listing = world.remit(&["approvals", "list", "--json"]).succeeds().out;
        listing.contains("asked.example").then_some(listing)
    });
    for part in ["asked.example", "80", "curl -sS -m 20", "< sh -c", "for the first time"] {
        assert!(listing.contains(part), "`{part}` is missing: {listing}");
    }
    drop(running);
}

/// Starts a session that serves its workspace at a port that is published.
fn publishing(world: &World, port: u16, at: &str) -> Running {
    world.settings(&format!("[network]\npublish = [{port}]\n"));
    let script =
        format!("{}; touch ready; while [ -e ready ]; do sleep 0.05; done", server(port, at));
    let number = port.to_string();
    let plan = world.remit(&["run", "--publish", &number, "--print-plan", "--", "true"]).succeeds();
    assert!(plan.out.contains(&format!("127.0.0.1:{port} of the host")), "{plan:?}");
    let running = world.start(&["run", "--publish", &number, "--", "sh", "-c", &script]);
    let ready = world.workspace.join("ready");
    eventually("the server", Duration::from_secs(20), || ready.exists().then_some(()));
    running
}

fn end(world: &World, running: Running) -> Output {
    std::fs::remove_file(world.workspace.join("ready")).expect("the mark");
    running.finish()
}

fn fetch(port: u16) -> String {
    let mut stream =
        TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    stream.write_all(b"GET /README HTTP/1.0\r\n\r\n").expect("a request");
    let mut answer = String::new();
    // Those who are turned away see the end, or a reset.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Fetches as the account of the world, for no other is let in.
fn fetch_as(world: &World, port: u16) -> Output {
    world.outside(&format!(
        "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/README', timeout=10).read().decode())\""
    ))
}

fn a_published_port_leads_inside_and_is_recorded(world: &World) {
    for at in ["127.0.0.1", "::1"] {
        let port = free_port();
        let running = publishing(world, port, at);
        for _ in 0..3 {
            fetch_as(world, port).succeeds().says("hello");
        }
        end(world, running).succeeds();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "it ends with the session");
        let record = world.record();
        let number = port.to_string();
        record.has(&["\"published\"", &number, "network.publish"]);
        assert_eq!(record.with(&["\"inbound\"", &number]).len(), 3);
        assert_eq!(record.with(&["\"connect_ended\"", "\"closed\""]).len(), 3);
        let told = world.remit(&["log", "timeline"]).succeeds();
        told.says(&format!("to port {port}"));
    }
}

fn a_published_port_is_closed_to_other_accounts(world: &World) {
    let port = free_port();
    let running = publishing(world, port, "127.0.0.1");
    fetch_as(world, port).succeeds().says("hello");
    // The harness is root; where the world is root's, somebody else comes.
    let answer = if world.who.uid == 0 {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", "curl", "-sS", "-m", "10"]);
        let output = command.arg(format!("http://127.0.0.1:{port}/README")).output();
        String::from_utf8_lossy(&output.expect("curl").stdout).into_owned()
    } else {
        fetch(port)
    };
    assert!(!answer.contains("hello"), "{answer}");
    fetch_as(world, port).succeeds().says("hello");
    end(world, running).succeeds();
    world.record().has(&["\"outcome\"", "another account"]);
}

fn a_port_that_no_policy_names_is_not_published(world: &World) {
    let port = free_port();
    let number = port.to_string();
    let words = ["run", "--publish", &number, "--", "touch", "ran"];
    let output = world.remit(&words);
    assert_eq!(output.code, 125, "{output:?}");
    output.says("network.publish").says(&number);
    assert!(!world.workspace.join("ran").exists());
    // A project cannot open a port.
    world.write(
        &world.workspace.join(".remit/config.toml"),
        &format!("[network]\npublish = [{port}]\n"),
    );
    assert_eq!(world.remit(&words).code, 125);
    assert!(!world.workspace.join("ran").exists());
    for wrong in ["0", "65536", "http", "-1"] {
        assert_eq!(world.remit(&["run", "--publish", wrong, "--", "true"]).code, 125, "{wrong}");
    }
}

fn a_port_in_use_is_not_published(world: &World) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let number = taken.local_addr().expect("its address").port().to_string();
    world.settings(&format!("[network]\npublish = [{number}]\n"));
    let output = world.remit(&["run", "--publish", &number, "--", "touch", "ran"]);
    assert_eq!(output.code, 125, "{output:?}");
    output.says(&format!("127.0.0.1:{number}")).says("stop what listens there");
    assert!(!world.workspace.join("ran").exists());
}

fn two_sessions_do_not_reach_each_other(world: &World) {
    let port = free_port();
    let running = publishing(world, port, "0.0.0.0");
    fetch_as(world, port).succeeds().says("hello");
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "198.18.0.1"] {
        let output = world.inside(&format!("curl -sS -g -m 10 http://{host}:{port}/README"));
        assert!(!output.both().contains("hello"), "`{host}`: {output:?}");
    }
    end(world, running).succeeds();
}
