//! Where a command inside may connect to.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use remit_e2e::witness::GREETING;

use crate::lab::{ADDRESS, Lab, NAME};
use crate::places;
use crate::scenario::Need::{Program, RootHarness};
use crate::world::World;

scenarios! { "network":
    an_unknown_name_is_refused_at_once_and_nothing_leaves [RootHarness, Program("tcpdump"), Program("curl")],
    an_unknown_name_is_refused_with_its_rule [Program("curl")],
    an_allowed_name_is_reached_by_every_kind_of_program
        [RootHarness, Program("tcpdump"), Program("curl"), Program("nc"), Program("python3"), Program("busybox")],
    an_allowed_name_is_reached_by_node_fetch [RootHarness, Program("tcpdump"), Program("node")],
    an_allowed_name_is_reached_by_a_static_go_binary [RootHarness, Program("tcpdump"), Program("go")],
    an_allowed_name_does_not_allow_its_neighbours [RootHarness, Program("tcpdump"), Program("curl")],
    loopback_is_refused_unless_named [Program("curl"), Program("python3")],
    private_and_link_local_addresses_are_refused [Program("curl")],
    a_name_that_leads_to_a_private_address_is_refused [RootHarness, Program("tcpdump"), Program("curl")],
    datagrams_do_not_leave [RootHarness, Program("tcpdump"), Program("python3")],
    datagrams_do_not_reach_the_host [Program("python3")],
    another_resolver_is_not_reached [RootHarness, Program("tcpdump"), Program("python3")],
    there_is_one_interface_and_it_is_loopback,
    a_connection_is_in_the_record_with_its_process [Program("curl")],
}

pub(crate) fn allow(world: &World, hosts: &[String]) {
    let quoted: Vec<_> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
    world.settings(&format!("[network]\nallow = [{}]\n", quoted.join(", ")));
}

fn an_unknown_name_is_refused_at_once_and_nothing_leaves(world: &World) {
    let lab = Lab::new(world);
    let get = format!("curl -sS -m 20 http://unknown.example/ {ADDRESS}");
    let output = lab.inside(&get);
    assert!(!output.both().contains(GREETING), "{output:?}");
    assert_eq!(lab.notes(), "", "nothing reached the witness");
    assert_eq!(lab.captured(), 0, "not one packet, no question about the name either");
    lab.outside(&get).says(GREETING.trim());
    assert!(lab.notes().contains("dns unknown.example"), "the control asks: {}", lab.notes());
    crate::run::eventually("the control's packets", Duration::from_secs(2), || {
        (lab.captured() > 0).then_some(())
    });
}

fn an_unknown_name_is_refused_with_its_rule(world: &World) {
    let output =
        world.inside("curl -sS -m 20 -w '\\nseconds=%{time_total}\\n' http://unknown.example/");
    let seconds =
        output.out.lines().find_map(|line| line.strip_prefix("seconds=")?.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds < 1.0), "within a second: {output:?}");
    for part in ["refused", "unknown.example", "network.default"] {
        assert!(output.both().contains(part), "`{part}` is missing: {output:?}");
    }
    let record = world.record();
    record.has(&["connect", "unknown.example", "80"]);
    record.has(&["refusal", "unknown.example", "network.default"]);
}

fn check(world: &World, programs: &[(&str, String)]) {
    let lab = Lab::new(world);
    for (name, script) in programs {
        let refused = lab.inside(script);
        assert!(!refused.both().contains(GREETING.trim()), "{name} got out unasked: {refused:?}");
    }
    assert_eq!(lab.notes(), "", "nothing was asked or fetched");
    allow(world, &[format!("{NAME}:80")]);
    for (name, script) in programs {
        let output = lab.inside(script);
        assert!(
            output.both().contains(GREETING.trim()),
            "{name} should have got through: {output:?}"
        );
        world.record().has(&["connect", NAME, "allow"]);
    }
}

fn an_allowed_name_is_reached_by_every_kind_of_program(world: &World) {
    let python = "import socket,sys; s=socket.create_connection((sys.argv[1],80),timeout=10); s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.makefile().read())";
    let six = "import socket,sys; a=socket.getaddrinfo(sys.argv[1],80,socket.AF_INET6,socket.SOCK_STREAM)[0]; s=socket.socket(*a[:3]); s.settimeout(10); s.connect(a[4]); s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.makefile().read())";
    let nonblocking = "import asyncio,sys\nasync def go():\n r,w=await asyncio.wait_for(asyncio.open_connection(sys.argv[1],80),10)\n w.write(b'GET / HTTP/1.0\\r\\n\\r\\n')\n print((await r.read()).decode())\nasyncio.run(go())";
    world.write(&world.workspace.join("nonblocking.py"), nonblocking);
    let programs = [
        ("curl", format!("curl -sS -m 10 http://{NAME}/")),
        ("curl -4", format!("curl -4 -sS -m 10 http://{NAME}/")),
        ("nc", format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 10 nc {NAME} 80")),
        ("python", format!("python3 -c \"{python}\" {NAME}")),
        ("python with an IPv6 socket", format!("python3 -c \"{six}\" {NAME}")),
        ("python without blocking", format!("python3 nonblocking.py {NAME}")),
        ("busybox wget", format!("busybox wget -q -O - http://{NAME}/")),
        (
            "a proxy variable is not needed",
            format!("env -i PATH=$PATH curl -sS -m 10 http://{NAME}/"),
        ),
    ];
    check(world, &programs);
}

fn an_allowed_name_is_reached_by_node_fetch(world: &World) {
    let program = "fetch(`http://${process.argv[1]}/`).then(r => r.text()).then(console.log, e => { console.error(e); process.exit(1) })";
    check(world, &[("node", format!("node -e '{program}' {NAME}"))]);
}

fn an_allowed_name_is_reached_by_a_static_go_binary(world: &World) {
    let compiled = go_fetch();
    let tool = world.workspace.join("fetch");
    fs::copy(compiled, &tool).expect("a copy for the workspace");
    check(world, &[("go", format!("./fetch {NAME}"))]);
}

/// A static program that dials for itself and obeys no proxy variable.
fn go_fetch() -> PathBuf {
    const SOURCE: &str = r#"package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	c, err := net.DialTimeout("tcp", os.Args[1]+":80", 10*time.Second)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n")
	io.Copy(os.Stdout, c)
}
"#;
    let workshop = places::workshop();
    let binary = workshop.join("fetch");
    if !binary.exists() {
        let draft = tempfile::tempdir_in(&workshop).expect("a directory");
        let source = draft.path().join("fetch.go");
        fs::write(&source, SOURCE).expect("a source file");
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(draft.path().join("fetch")).arg(&source);
        go.env("CGO_ENABLED", "0")
            .env("GOCACHE", workshop.join("go-cache"))
            .env("GOFLAGS", "-mod=mod");
        assert!(go.status().is_ok_and(|status| status.success()), "go compiles");
        fs::rename(draft.path().join("fetch"), &binary).expect("the finished binary");
    }
    binary
}

fn an_allowed_name_does_not_allow_its_neighbours(world: &World) {
    let lab = Lab::new(world);
    allow(world, &[format!("{NAME}:80")]);
    for url in [
        format!("http://{NAME}:8080/"),
        format!("http://not{NAME}/"),
        format!("http://{NAME}.evil.example/"),
        format!("http://sub.{NAME}/"),
        format!("http://{ADDRESS}/"),
        "http://[::ffff:11.22.33.44]/".to_owned(),
    ] {
        let output = lab.inside(&format!("curl -sS -g -m 10 '{url}'"));
        assert!(!output.both().contains(GREETING.trim()), "`{url}`: {output:?}");
    }
    assert_eq!(lab.notes(), "", "nothing was asked or fetched");
    lab.inside(&format!("curl -sS -m 10 http://{}./", NAME.to_uppercase())).says(GREETING.trim());
}

fn loopback_is_refused_unless_named(world: &World) {
    let server = greeter();
    let port = server.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "127.1",
        "0x7f000001",
        "2130706433",
    ] {
        let output = world.inside(&format!("curl -sS -g -m 10 'http://{host}:{port}/'"));
        assert!(!output.both().contains(GREETING.trim()), "`{host}`: {output:?}");
    }
    let url = format!("curl -sS -m 10 http://127.0.0.1:{port}/");
    world.outside(&url).succeeds().says(GREETING.trim());
    world.inside(&url).says("refused");
    allow(world, &[format!("127.0.0.1:{port}")]);
    world.inside(&url).succeeds().says(GREETING.trim());
    let other = greeter().port();
    world
        .inside(&format!("curl -sS -m 10 http://127.0.0.1:{other}/"))
        .does_not_say(GREETING.trim());
}

/// A server on the host's loopback that greets everyone.
pub(crate) fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{GREETING}",
                GREETING.len()
            );
        }
    });
    address
}

fn private_and_link_local_addresses_are_refused(world: &World) {
    for host in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[::1]",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let output = world.inside(&format!("curl -sS -g -m 10 'http://{host}/'"));
        assert!(output.took < Duration::from_secs(5), "`{host}` is refused, not lost: {output:?}");
        assert!(!world.record().with(&["refus"]).is_empty(), "`{host}` is refused in the record");
    }
}

fn a_name_that_leads_to_a_private_address_is_refused(world: &World) {
    let lab = Lab::resolving(world, "inward.example", "10.1.2.3");
    allow(world, &["inward.example:80".to_owned()]);
    let output = lab.inside("curl -sS -m 10 http://inward.example/");
    assert!(!output.both().contains(GREETING.trim()), "{output:?}");
    assert!(!lab.notes().contains("http"), "no connection was made: {}", lab.notes());
    assert!(
        lab.notes().contains("dns inward.example"),
        "the allowed name was looked up: {}",
        lab.notes()
    );
    lab.outside("curl -sS -m 10 http://inward.example/").says(GREETING.trim());
}

const SEND: &str = r#"
import socket, sys
for family, host in ((socket.AF_INET, "9.9.9.9"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    for port in (53, 443, int(sys.argv[1])):
        for connected in (False, True):
            try:
                s = socket.socket(family, socket.SOCK_DGRAM)
                question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05leak9\x07example\0\0\x01\0\x01"
                if connected:
                    s.connect((host, port)); s.send(question)
                else:
                    s.sendto(question, (host, port))
                s.sendmsg([question], [], 0, (host, port))
            except OSError as error:
                print(host, port, error)
"#;

fn datagrams_do_not_leave(world: &World) {
    world.write(&world.workspace.join("send.py"), SEND);
    let lab = Lab::new(world);
    lab.inside("python3 send.py 9");
    assert_eq!((lab.notes(), lab.captured()), (String::new(), 0));
    lab.outside("python3 send.py 9");
    crate::run::eventually("the control's packets", Duration::from_secs(2), || {
        (lab.captured() > 0 && lab.notes().contains("leak9")).then_some(())
    });
}

fn datagrams_do_not_reach_the_host(world: &World) {
    world.write(&world.workspace.join("send.py"), SEND);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
    let port = socket.local_addr().expect("its address").port();
    world.inside(&format!("python3 send.py {port}"));
    assert!(socket.recv(&mut [0; 100]).is_err(), "a datagram arrived");
    world.outside(&format!("python3 send.py {port}"));
    socket.recv(&mut [0; 100]).expect("the control's datagram");
}

fn another_resolver_is_not_reached(world: &World) {
    let ask = r#"
import socket
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind); s.settimeout(2)
    question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05leak9\x07example\0\0\x01\0\x01"
    try:
        s.connect(("8.8.8.8", 53))
        s.sendall(question if kind == socket.SOCK_DGRAM else bytes([0, len(question)]) + question)
        print("answer", s.recv(512))
    except OSError as error:
        print(error)
"#;
    world.write(&world.workspace.join("ask.py"), ask);
    let lab = Lab::new(world);
    lab.inside("python3 ask.py").does_not_say("answer b'\\x12");
    assert_eq!((lab.notes(), lab.captured()), (String::new(), 0));
    lab.outside("python3 ask.py").says("answer b'\\x12");
    assert!(lab.notes().contains("dns leak9.example"));
}

fn there_is_one_interface_and_it_is_loopback(world: &World) {
    let script = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
    let output = world.inside(script).succeeds();
    assert_eq!(output.out.trim(), "lo");
}

fn a_connection_is_in_the_record_with_its_process(world: &World) {
    let port = greeter().port();
    allow(world, &[format!("127.0.0.1:{port}")]);
    world.inside(&format!("curl -sS -m 10 http://127.0.0.1:{port}/")).succeeds();
    let record = world.record();
    let port = port.to_string();
    let connect = record.has(&["connect", &port, "allow", "user"]);
    assert!(connect.to_string().contains("pid"), "the process is named: {connect}");
}
