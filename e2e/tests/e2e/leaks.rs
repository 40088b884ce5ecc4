//! Ways to get bytes somewhere else than where the policy says: group F of the
//! catalogue of tricks, and its siblings. Each has a control that gets there.

pub mod insisting;
pub mod requests;

use std::time::Duration;

use crate::internet::attempt::{Attempt, client_hello, is_refused};
use crate::internet::{API, DENIED, GREETING, Internet};
use crate::run::eventually;
use crate::scenario::Need::{self, Program};
use crate::world::World;

const CURL: Need = Program("curl");

scenarios! { "leaks":
    tls_goes_to_the_host_that_was_asked_for [Need::Internet],
    web_ports_carry_what_they_are_for [Need::Internet],
    no_more_leaves_than_the_cap [Need::Internet, CURL],
    a_redirect_does_not_lead_out [Need::Internet, CURL],
    a_host_is_read_in_one_way [Need::Internet, CURL],
    a_name_that_leads_inside_is_refused [Need::Internet, CURL],
    a_host_that_does_not_prove_itself_is_not_inspected [Need::Internet, CURL],
    nothing_leaves_that_was_not_permitted [Need::Internet, CURL, Program("ping")],
    lookups_carry_nothing_out [Need::Internet],
    two_sessions_do_not_reach_each_other_or_the_host [Need::Internet, CURL],
}

/// The host that scenarios allow, on each port that something listens at.
const ALLOWED: &str = "[network]\nallow = [\"api.example\"]\n";
/// The same, and TLS to it is inspected.
const INSPECTED: &str = "[network]\nallow = [\"api.example\"]\ninspect = [\"api.example\"]\n";

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")
}

/// Domain fronting, hidden and missing names.
fn tls_goes_to_the_host_that_was_asked_for(world: &World) {
    let internet = Internet::new(world);
    let request = get(API, "/");
    let secure = |what| Attempt::secure(what, API, 443, &request);
    let hello =
        |what, name, encrypted| Attempt::plain(what, API, 443, client_hello(name, encrypted));
    let named = [
        secure("another host of the same server").naming(Some(DENIED)),
        secure("a name below").naming(Some("x.api.example")),
        secure("a name above").naming(Some("example")),
        secure("a name that ends so").naming(Some("xapi.example")),
        hello("another name, byte by byte", Some(DENIED), false),
        hello("a hidden name behind another", Some(DENIED), true),
        hello("a name with a dot at its end", Some("api.example."), false),
        hello("a name with a NUL", Some("api.example\0.denied.example"), false),
    ];
    let unnamed = [
        secure("no name").naming(None),
        hello("a hidden name", Some(API), true),
        hello("a hidden name and no other", None, true),
    ];
    let fine = [secure("its own name"), hello("its own, byte by byte", Some(API), false)];
    for settings in [ALLOWED, INSPECTED] {
        world.settings(settings);
        let outcomes = internet.try_inside(&fine);
        assert_eq!(outcomes[0], "HTTP/1.1 200 OK");
        assert!(["TLS", "error alert 40"].contains(&&*outcomes[1]), "{outcomes:?}");
        internet.refuses(&named, "\"opened\"");
        // Whatever is said in one go is answered to its first half.
        let two = hello("two hellos", Some(API), false).also(client_hello(Some(DENIED), false));
        let outcome = internet.try_inside(&[two]);
        assert!(internet.saw(&[DENIED]).is_empty(), "{outcome:?}");
    }
    // Where it is inspected, the way on is to the host that was asked for anyway.
    let outcomes = internet.try_inside(&unnamed[..1]);
    assert_eq!(outcomes, ["HTTP/1.1 200 OK"]);
    assert!(!internet.saw(&["\"sni\":\"api.example\""]).is_empty(), "{:?}", internet.seen());
    world.settings(ALLOWED);
    internet.refuses(&unnamed, "\"opened\"");
    world.record().has(&["refusal", "TLS", API]);
}

fn web_ports_carry_what_they_are_for(world: &World) {
    let internet = Internet::new(world);
    let attempts = [
        Attempt::plain("a request where TLS is spoken", API, 443, get(API, "/")),
        Attempt::plain("anything where TLS is spoken", API, 443, "helo there\r\n\r\n"),
        Attempt::plain("SSH where TLS is spoken", API, 443, "SSH-2.0-x\r\n\r\n"),
        Attempt::plain("PostgreSQL where TLS is spoken", API, 443, b"\0\0\0\x08\x04\xd2\x16\x2f"),
        Attempt::plain("TLS of long ago", API, 443, b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10"),
        Attempt::plain("anything where HTTP is spoken", API, 80, "helo there\r\n\r\n"),
        Attempt::plain("TLS where HTTP is spoken", API, 80, client_hello(Some(API), false)),
        Attempt::plain("SSH where HTTP is spoken", API, 80, "SSH-2.0-x\r\n\r\n"),
        Attempt::plain("HTTP/2 without TLS", API, 80, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Attempt::plain("a line of HTTP/0.9", API, 80, "GET /\r\n\r\n"),
    ];
    for settings in [ALLOWED, INSPECTED] {
        world.settings(settings);
        let (requests, connections): (Vec<_>, Vec<_>) =
            attempts.iter().cloned().partition(|one| one.what.contains("HTTP/"));
        internet.refuses(&connections, "\"opened\"");
        for (attempt, outcome) in requests.iter().zip(internet.try_inside(&requests)) {
            assert!(is_refused(&outcome), "{}: {outcome}", attempt.what);
        }
    }
    world.settings("[network]\nallow = [\"api.example\"]\nopaque = [\"api.example\"]\n");
    internet.forget();
    internet.try_inside(&attempts[..1]);
    assert!(!internet.saw(&["https", "opened"]).is_empty(), "unless the policy says so");
}

/// Bytes that leave a session, by whatever protocol.
fn no_more_leaves_than_the_cap(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example\"]\nupload = \"1MiB\"\n");
    let post = |url: &str, kibibytes: u32| {
        format!(
            "head -c {kibibytes}K /dev/zero | curl -sS -m 10 -o /dev/null -w '%{{http_code}}' --data-binary @- {url}"
        )
    };
    let inspect = "inspect = [\"api.example\"]\n";
    for (url, more) in [
        ("https://api.example/x", ""),
        ("http://api.example/x", ""),
        ("https://api.example/x", inspect),
    ] {
        world.settings(&format!("[network]\nallow = [\"api.example\"]\nupload = \"1MiB\"\n{more}"));
        internet.inside(&post(url, 500)).succeeds().says("200");
        internet.forget();
        let output = internet.inside(&post(url, 3000));
        assert_ne!(output.out, "200", "{url} {more}: {output:?}");
        // Two that are small enough, and too much together.
        let output = internet.inside(&format!("{0}; echo; {0}; echo; {0}", post(url, 500)));
        assert_eq!(output.out.matches("200").count(), 2, "{url} {more}: {output:?}");
        world.record().has(&["refusal", "upload"]);
    }
    world.settings(ALLOWED);
    internet.inside(&post("https://api.example/x", 3000)).succeeds().says("200");
}

fn a_redirect_does_not_lead_out(world: &World) {
    let internet = Internet::new(world);
    let follow = format!("curl -sS -L -m 10 'https://{API}/redirect?to=https://{DENIED}/x'");
    for settings in [ALLOWED, INSPECTED] {
        world.settings(settings);
        internet.forget();
        internet.inside(&follow).does_not_say(GREETING);
        assert!(!internet.saw(&[API, "/redirect"]).is_empty(), "the first host was reached");
        assert!(internet.saw(&["\"host\":\"denied.example\""]).is_empty(), "{:?}", internet.seen());
    }
    internet.outside(&follow).succeeds().says(GREETING);
}

fn a_host_is_read_in_one_way(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example:80\"]\n");
    let curl = |url: &str| format!("curl -sS -g -m 10 '{url}' | head -1; ");
    let own = ["http://API.example/", "http://api.example./", "http://x@api.example/"];
    let output = internet.inside(&own.map(curl).concat()).succeeds();
    assert_eq!(
        output.out.lines().filter(|line| *line == GREETING).count(),
        own.len(),
        "{output:?}"
    );
    let others = [
        "http://api.example.denied.example/",
        "http://xapi.example/",
        "http://sub.api.example/",
        "http://api.example@denied.example/",
        "http://api.example%2edenied.example/",
        "http://denied.example#.api.example/",
        "http://denied.example?.api.example/",
        "http://denied.example\\.api.example/",
        "http://api%00.example/",
        "http://api.example:443/",
        "http://xn--api-.example/",
        "http://20.0.0.10/",
        "http://0x1400000a/",
        "http://335544330/",
        "http://020.0.0.012/",
        "http://[::ffff:20.0.0.10]/",
        "http://[64:ff9b::20.0.0.10]/",
    ];
    internet.forget();
    let output = internet.inside(&others.map(curl).concat());
    assert!(!output.out.contains(GREETING), "{output:?}");
    assert!(internet.seen().is_empty(), "{:?}", internet.seen());
    let output = internet.outside(&others.map(curl).concat());
    assert!(output.out.matches(GREETING).count() >= 6, "the control: {output:?}");
    // Hosts that no URL can say, in the words of the resolver.
    let names = [
        "api.example\0.denied.example",
        "api.example\r\nx",
        "api.example ",
        " api.example",
        "*.example",
        "api..example",
    ];
    let attempts = names.map(|name| Attempt::plain(name, name, 80, get(API, "/")));
    // Python itself refuses some; what it lets through, the resolver must not.
    internet.forget();
    let list = names.map(|name| format!("{name:?}").replace("\\0", "\\x00")).join(", ");
    let ask = format!(
        "import socket\nfor name in [{list}]:\n    try: print(socket.gethostbyname(name))\n    except Exception as error: print('error', type(error).__name__)\n"
    );
    internet.script("ask.py", &ask);
    let output = internet.inside("python3 ask.py").succeeds();
    assert_eq!(
        output.out.lines().filter(|line| line.starts_with("error")).count(),
        attempts.len(),
        "{output:?}"
    );
}

fn a_name_that_leads_inside_is_refused(world: &World) {
    let internet = Internet::new(world);
    let names = ["inward", "mixed", "loop", "metadata", "mapped", "translated", "tunnel"];
    let allowed = names.map(|name| format!("\"{name}.example:80\"")).join(", ");
    let script: String =
        names.map(|name| format!("curl -sS -m 10 http://{name}.example/; echo; ")).concat();
    for internal in ["", "internal = [\"loop.example\"]\n"] {
        world.settings(&format!("[network]\nallow = [{allowed}]\n{internal}"));
        internet.forget();
        let output = internet.inside(&script);
        let hosts: Vec<_> =
            internet.saw(&["\"method\""]).iter().map(|one| one["host"].clone()).collect();
        if internal.is_empty() {
            assert!(internet.seen().is_empty(), "{:?}, {output:?}", internet.seen());
            for name in names {
                world.record().has(&["refusal", &format!("{name}.example")]);
            }
        } else {
            assert_eq!(hosts, ["loop.example"], "{output:?}");
        }
    }
    internet.outside(&script);
    assert!(internet.saw(&["\"method\""]).len() >= 6, "the control: {:?}", internet.seen());
}

fn a_host_that_does_not_prove_itself_is_not_inspected(world: &World) {
    let internet = Internet::new(world);
    world.settings(
        "[network]\nallow = [\"untrusted.example\", \"api.example\"]\ninspect = [\"**.example\"]\n",
    );
    let careless = "curl -k -sS -m 10 https://untrusted.example/x";
    // A program that does not care is not a reason for us not to.
    internet.inside(careless).does_not_say(GREETING).says("certificate");
    assert!(internet.saw(&["method"]).is_empty(), "{:?}", internet.seen());
    internet.inside(&format!("curl -sS -m 10 https://{API}/x")).succeeds().says(GREETING);
    internet.outside(careless).succeeds().says(GREETING);
}

/// What every program under the sun might try, and then what the wire says.
fn nothing_leaves_that_was_not_permitted(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example:443\", \"inward.example:443\"]\ninspect = [\"api.example\"]\n");
    let send = r#"
import socket
question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05leak9\x07example\0\0\x01\0\x01"
# The first byte of a long header of version 1.
quic = b"\xc0\0\0\0\x01\x08" + bytes(1200)
for family, host in ((socket.AF_INET, "20.0.0.10"), (socket.AF_INET, "198.51.100.53"), (socket.AF_INET6, "2600:1f00::10")):
    for port, what in ((53, question), (443, quic), (4500, b"x"), (5353, question)):
        try:
            socket.socket(family, socket.SOCK_DGRAM).sendto(what, (host, port))
        except OSError:
            pass
    for port in (53, 853, 22, 25, 8000):
        try:
            stream = socket.create_connection((host, port), timeout=3)
            stream.sendall(b"hello\r\n\r\n")
            stream.recv(1)
        except OSError:
            pass
for kind, protocol in ((socket.SOCK_RAW, 1), (socket.SOCK_DGRAM, 1), (socket.SOCK_RAW, 255), (socket.SOCK_SEQPACKET, 132)):
    try:
        socket.socket(socket.AF_INET, kind, protocol).sendto(b"\x08\0\xf7\xff\0\0\0\0", ("20.0.0.10", 9))
    except OSError:
        pass
"#;
    internet.script("send.py", send);
    let script = "python3 send.py; ping -c 1 -W 1 20.0.0.10; \
        curl -sS -m 5 -H 'accept: application/dns-json' 'https://other.example/dns-query?name=leak.example'; \
        curl -sS -m 5 https://inward.example/; curl -sS -m 5 https://mixed.example/; \
        curl -sS -m 5 http://api.example/; curl -sS -m 5 https://denied.example/; \
        curl -sS -m 5 https://api.example/; curl -sS -m 5 https://nowhere.api.example/; true";
    internet.inside(script).succeeds().says(GREETING);
    let permitted = ["198.51.100.53.53", "20.0.0.10.443", "2600:1f00::10.443"];
    let left = eventually("the capture", Duration::from_secs(3), || {
        Some(internet.lab.destinations()).filter(|left| left.len() >= 2)
    });
    let odd: Vec<_> = left.iter().filter(|there| !permitted.contains(&there.as_str())).collect();
    assert!(odd.is_empty(), "packets to {odd:?}");
    let notes = internet.lab.notes();
    let asked = notes.lines().filter_map(|line| line.strip_prefix("dns ")?.split(' ').next());
    let odd: Vec<_> =
        asked.filter(|name| !["api.example", "inward.example"].contains(name)).collect();
    assert!(odd.is_empty(), "questions about {odd:?}");
    internet.outside(script);
    let control = internet.lab.destinations();
    assert!(control.len() > permitted.len() + 10, "the control: {control:?}");
}

/// Names below an allowed domain, record types that hold much, and reverse lookups.
fn lookups_carry_nothing_out(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"**.api.example\"]\n");
    let ask = r#"
import os, socket, struct
def ask(name, kind):
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0" + struct.pack(">HH", kind, 1)
    with open("/etc/resolv.conf") as file:
        server = [line.split()[1] for line in file if line.startswith("nameserver")][0]
    s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    try:
        s.sendto(question, (server, 53))
        print(kind, s.recv(1000)[3] & 15)
    except OSError as error:
        print(kind, error)
for kind in (1, 28, 16, 10, 65, 64, 15, 2, 6, 255, 252, 12, 99, 65399):
    ask(os.urandom(30).hex().encode() + b"." + os.urandom(20).hex().encode() + b".api.example", kind)
    ask(b"denied.example", kind)
ask(b"10.0.0.20.in-addr.arpa", 12)
"#;
    internet.script("ask.py", ask);
    internet.inside("python3 ask.py").succeeds();
    assert_eq!(internet.lab.notes(), "", "no question went on");
    assert!(internet.lab.destinations().is_empty());
    internet.outside("python3 ask.py");
    assert!(internet.lab.notes().lines().count() > 20, "the control asks");
}

/// Two agents beside each other, and what listens on the host.
fn two_sessions_do_not_reach_each_other_or_the_host(world: &World) {
    let internet = Internet::new(world);
    world.settings(ALLOWED);
    let serve = "python3 -m http.server 7070 --bind :: > served 2>&1 & \
                 sleep 1; curl -sS -m 5 http://localhost:7070/README; touch up; while [ ! -e enough ]; do sleep 0.1; done";
    let remit = crate::places::remit();
    let first = internet.lab.start(&remit, &["run", "--", "sh", "-c", serve]);
    eventually("the first session's server", Duration::from_secs(15), || {
        world.workspace.join("up").exists().then_some(())
    });
    let addresses = "for at in 127.0.0.1:7070 localhost:7070 [::1]:7070 0.0.0.0:7070 \
                     127.0.0.1:80 localhost:80 [::1]:80 127.0.0.1:3128 \
                     $(sed -n 's/nameserver //p' /etc/resolv.conf):7070; do \
                     curl -sS -g -m 3 http://$at/README; done; \
                     curl -sS -m 3 http://$(hostname):7070/; ls /proc | grep -c '^[0-9]'";
    internet.forget();
    internet.inside(addresses).does_not_say("hello");
    assert!(internet.seen().is_empty(), "the host's services: {:?}", internet.seen());
    std::fs::write(world.workspace.join("enough"), "").expect("a file");
    first.finish().succeeds().says("hello");
    let served = std::fs::read_to_string(world.workspace.join("served")).unwrap_or_default();
    assert_eq!(served.matches("GET /README").count(), 1, "its own alone: {served}");
    internet.outside("curl -sS -g -m 3 http://127.0.0.1:80/").says(GREETING);
}
