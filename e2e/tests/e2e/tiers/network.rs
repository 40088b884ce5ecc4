//! What the network is like in every tier.

use super::*;

pub(super) fn nothing_leaves_unasked_in_any_tier(world: &World) {
    let udp = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('11.22.33.44', 9))";
    world.write(&world.workspace.join("udp.py"), udp);
    let scripts = [
        format!("curl -sS -m 20 http://{NAME}/"),
        "curl -sS -m 20 http://11.22.33.44/".to_owned(),
        "python3 udp.py".to_owned(),
        "python3 -c \"import socket; s = socket.socket(); s.settimeout(5); s.sendto(b'x', 0x20000000, ('11.22.33.44', 80))\""
            .to_owned(),
    ];
    for tier in TIERS {
        let lab = Lab::new(world);
        let inside = |script: &str| {
            let words = tier.words(world, &["run", "--", "sh", "-c", script]);
            let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            lab.run(&words[0], &rest)
        };
        tier.allow(world, "");
        for script in &scripts {
            inside(script).fails_or_is_refused();
        }
        assert_eq!((lab.notes(), lab.captured_abroad()), (String::new(), false), "{}", tier.name);
        tier.allow(world, &format!("[network]\nallow = ['{NAME}:80']"));
        inside(&scripts[0]).succeeds().says(remit_e2e::witness::GREETING.trim());
        assert!(lab.notes().contains(&format!("dns {NAME}")), "{}", lab.notes());
        fs::remove_dir_all(world.elsewhere().join("lab")).expect("the lab's directory");
    }
    let lab = Lab::new(world);
    lab.outside(&scripts[2]).succeeds();
    eventually("the control's packet", Duration::from_secs(2), || {
        lab.captured_abroad().then_some(())
    });
}

pub(super) fn loopback_is_refused_unless_named_in_every_tier(world: &World) {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = server.local_addr().expect("its address").port();
    let reached = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&reached);
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = stream.read(&mut [0; 512]);
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.0 200 OK\r\n\r\nfrom the host");
        }
    });
    let get = format!("curl -sS -m 10 http://127.0.0.1:{port}/");
    for tier in TIERS {
        tier.inside(world, &get).does_not_say("from the host");
        assert_eq!(reached.load(std::sync::atomic::Ordering::SeqCst), 0, "{}", tier.name);
    }
    let named = format!("[network]\nallow = ['127.0.0.1:{port}']");
    for tier in TIERS {
        tier.inside_with(world, &named, &get).succeeds().says("from the host");
    }
    world.outside(&get).succeeds().says("from the host");
}

/// Asks the session's resolver, says where it was found, and waits.
const RESOLVER: &str = r#"
import os, socket, sys, time
question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01x\x07example\0\0\x01\0\x01"
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8)
s.sendall(bytes([0, len(question)]) + question)
reply = s.makefile("rb").read(4)
print("answered" if reply[2:4] == b"\x12\x34" else "nothing", flush=True)
if len(sys.argv) > 3:
    with open("draft", "w") as out:
        out.write("%s %d" % s.getpeername()[:2])
    os.rename("draft", "found")
    while not os.path.exists("done"):
        time.sleep(0.02)
"#;

pub(super) fn a_stranger_gets_nothing_from_the_proxys_listeners(world: &World) {
    world.write(&world.workspace.join("resolver.py"), RESOLVER);
    LAST.allow(world, "");
    let words = ["run", "--", "python3", "resolver.py", "192.0.2.1", "53", "wait"];
    let session = LAST.start(world, &words);
    let found = eventually("the listener", Duration::from_secs(10), || {
        fs::read_to_string(world.workspace.join("found")).ok()
    });
    assert!(found.starts_with("127.0.0.1 "), "on the loopback alone: {found}");
    world.outside(&format!("python3 resolver.py {found}")).does_not_say("answered");
    world.write(&world.workspace.join("done"), "");
    session.finish().succeeds().says("answered");
}

pub(super) fn no_server_can_be_started_without_namespaces(world: &World) {
    let tries = [
        "socket.socket().bind(('127.0.0.1', 0))",
        "socket.socket().listen()",
        "socket.socket(socket.AF_UNIX).bind('here.sock')",
        "socket.socket(socket.AF_UNIX).bind(chr(0) + 'remit-e2e-name')",
    ];
    for attempt in tries {
        let script = format!("python3 -c \"import socket; {attempt}\"");
        LAST.inside(world, &script).fails().says("PermissionError");
        world.outside(&format!("cd $(mktemp -d) && {script}")).succeeds();
    }
}
