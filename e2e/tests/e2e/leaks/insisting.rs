//! The same ways out for programs that insist on a proxy: the words of HTTP and SOCKS
//! open nothing that a connection of one's own would not.

use serde_json::{Value, json};

use crate::internet::{API, DENIED, GREETING, Internet};
use crate::scenario::Need::{self, Program};
use crate::world::World;

scenarios! { "insisting":
    every_form_reaches_what_is_allowed [Need::Internet, Program("curl")],
    no_form_reaches_what_is_not [Need::Internet],
    other_commands_of_socks_are_refused [Need::Internet],
    a_tunnel_carries_what_its_port_is_for [Need::Internet],
    a_tunnel_leads_to_no_other [Need::Internet],
    tunnels_are_inspected_as_anything_else [Need::Internet, Program("curl")],
}

fn hex(bytes: impl AsRef<[u8]>) -> Value {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn connect(authority: &str) -> Value {
    hex(format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n"))
}

fn get(url: &str, host: &str) -> Value {
    hex(format!("GET {url} HTTP/1.1\r\nhost: {host}\r\n\r\n"))
}

/// SOURCE: RFC 1928 §3: version 5, one way to sign in, which is none.
fn greeting() -> Value {
    hex([5, 1, 0])
}

/// SOURCE: RFC 1928 §4. `kind` 1 is IPv4, 3 a name, 4 IPv6; command 1 is to connect.
fn socks(command: u8, kind: u8, host: &[u8], port: u16) -> Value {
    let length = if kind == 3 { vec![host.len() as u8] } else { Vec::new() };
    hex([&[5, command, 0, kind], &length[..], host, &port.to_be_bytes()].concat())
}

fn by_name(host: impl AsRef<[u8]>, port: u16) -> Value {
    json!([greeting(), socks(1, 3, host.as_ref(), port)])
}

#[track_caller]
fn tried(internet: &Internet<'_>, attempts: &[Value]) -> Vec<String> {
    internet.script("tunnel.py", include_str!("tunnel.py"));
    internet.script("tunnel.json", &Value::Array(attempts.to_vec()).to_string());
    let output = internet.inside("python3 tunnel.py tunnel.json").succeeds();
    let outcomes: Vec<String> = output.out.lines().map(str::to_owned).collect();
    assert_eq!(outcomes.len(), attempts.len(), "{output:?}");
    outcomes
}

/// Nothing is opened, and nobody is asked about a name.
#[track_caller]
fn refused(internet: &Internet<'_>, attempts: &[Value]) {
    internet.forget();
    for (attempt, outcome) in attempts.iter().zip(tried(internet, attempts)) {
        // `0500`: SOCKS says yes.
        let (_, last) = outcome.rsplit_once(", ").unwrap_or(("", &outcome));
        assert!(
            !last.contains(" 200")
                && (last != "0500" || attempt.as_array().is_some_and(|steps| steps.len() == 1)),
            "{attempt}: {outcome}"
        );
    }
    assert!(internet.seen().is_empty(), "{:?}", internet.seen());
    assert_eq!(internet.lab.notes(), "", "no question went on");
    let left = internet.lab.destinations();
    assert!(left.is_empty(), "packets to {left:?}");
}

const ALLOWED: &str = "[network]\nallow = [\"api.example\"]\n";

fn every_form_reaches_what_is_allowed(world: &World) {
    let internet = Internet::new(world);
    let forms = [
        "-x http://198.18.0.1:3128",
        "-x http://user:password@198.18.0.1:3128",
        "-x http://198.18.0.1:3128 -p",
        "-x socks5h://198.18.0.1:1080",
        "-x socks5://198.18.0.1:1080",
        "-x socks5h://user:password@198.18.0.1:1080",
        "-x socks4a://198.18.0.1:1080",
    ];
    for settings in ["", ALLOWED] {
        world.settings(settings);
        internet.forget();
        for url in ["http://api.example/", "https://api.example/"] {
            let script = forms.map(|form| format!("curl -sS -m 10 {form} {url}; echo; ")).concat();
            let output = internet.inside(&script);
            let through = output.out.lines().filter(|line| *line == GREETING).count();
            let expected = if settings.is_empty() { 0 } else { forms.len() };
            assert_eq!(through, expected, "{url} under `{settings}`: {output:?}");
        }
        if settings.is_empty() {
            assert!(internet.seen().is_empty(), "{:?}", internet.seen());
            world.record().has(&["refusal", "api.example:443"]);
        }
    }
}

fn no_form_reaches_what_is_not(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example:443\", \"api.example:80\"]\n");
    let hosts = [
        "127.0.0.1",
        "[::1]",
        "0.0.0.0",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "metadata.google.internal",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        DENIED,
        "api.example.denied.example",
        "xapi.example",
        "api.example@denied.example",
        "api.example:80@denied.example",
        "denied.example#.api.example",
        "denied.example?.api.example",
        "denied.example/.api.example",
        "denied.example\\.api.example",
        "api.example\0.denied.example",
        "denied.example\0.api.example",
        "denied.example%00.api.example",
        "denied%2eexample",
        "api.example\r\nhost: denied.example",
        "api.example\n",
        " api.example",
        "api.example ",
        "api..example",
        "-.example",
        "*.example",
        "",
        "20.0.0.10",
        "[::ffff:20.0.0.10]",
        "335544330",
    ];
    let mut attempts = Vec::new();
    for host in hosts {
        attempts.push(json!([connect(&format!("{host}:443"))]));
        attempts.push(json!([get(&format!("http://{host}/"), host)]));
        attempts.push(by_name(host.trim_matches(['[', ']']), 80));
    }
    attempts.extend([
        // Another port than those that are allowed, and none at all.
        json!([connect("api.example:22")]),
        json!([connect("api.example:0")]),
        json!([connect("api.example:65536")]),
        json!([connect("api.example:443:22")]),
        json!([connect("api.example")]),
        json!([connect("https://api.example:443")]),
        json!([get("ftp://api.example/", API)]),
        json!([get("http://denied.example/", API)]),
        json!([get("http://api.example:22/", API)]),
        json!([hex("GET http://denied.example/ HTTP/1.1\r\nhost: api.example\r\nhost: denied.example\r\n\r\n")]),
        json!([hex("CONNECT denied.example:443 HTTP/1.0\n\n")]),
        json!([greeting(), socks(1, 1, &[127, 0, 0, 1], 80)]),
        json!([greeting(), socks(1, 1, &[20, 0, 0, 10], 80)]),
        json!([greeting(), socks(1, 4, &[[0; 15].as_slice(), &[1]].concat(), 80)]),
        by_name(API, 22),
        by_name([b'a'; 255], 80),
        // SOURCE: SOCKS 4A: an address that cannot be, a user, a name.
        json!([hex([&[4, 1, 0, 80, 0, 0, 0, 1, 0], "denied.example\0".as_bytes()].concat())]),
        json!([hex([4, 1, 0, 80, 127, 0, 0, 1, 0])]),
    ]);
    refused(&internet, &attempts);
    let outcomes = tried(&internet, &[json!([connect("api.example:443")]), by_name(API, 80)]);
    assert!(outcomes[0].contains(" 200") && outcomes[1].ends_with("0500"), "{outcomes:?}");
}

fn other_commands_of_socks_are_refused(world: &World) {
    let internet = Internet::new(world);
    world.settings(ALLOWED);
    let command = |number| json!([greeting(), socks(number, 3, API.as_bytes(), 80)]);
    let kind = |kind| json!([greeting(), socks(1, kind, API.as_bytes(), 80)]);
    let attempts = [
        command(2), // to be connected to
        command(3), // datagrams
        command(0),
        command(0xf0),
        kind(0),
        kind(2),
        kind(5),
        // No way to sign in that is known.
        json!([hex([5, 1, 1]), socks(1, 3, API.as_bytes(), 80)]),
        json!([hex([5, 0]), socks(1, 3, API.as_bytes(), 80)]),
    ];
    refused(&internet, &attempts);
}

fn a_tunnel_carries_what_its_port_is_for(world: &World) {
    let internet = Internet::new(world);
    world.settings(ALLOWED);
    let tunnels = |port: u16| {
        [
            vec![connect(&format!("{API}:{port}"))],
            vec![greeting(), socks(1, 3, API.as_bytes(), port)],
        ]
    };
    let mut attempts = Vec::new();
    for (port, then) in [
        (443, hex("helo there\r\n\r\n")),
        (443, hex("GET / HTTP/1.1\r\nhost: api.example\r\n\r\n")),
        (443, hex("SSH-2.0-x\r\n")),
        (443, json!({ "tls": DENIED })),
        (443, json!({ "tls": null })),
        (80, hex("helo there\r\n\r\n")),
        (80, get("/", DENIED)),
        (
            80,
            hex(
                "GET / HTTP/1.1\r\nhost: api.example\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n",
            ),
        ),
    ] {
        for tunnel in tunnels(port) {
            attempts.push(Value::Array([tunnel, vec![then.clone()]].concat()));
        }
    }
    internet.forget();
    for (attempt, outcome) in attempts.iter().zip(tried(&internet, &attempts)) {
        let (_, last) = outcome.rsplit_once(", ").expect("two steps or more");
        assert!(!last.contains(" 200") && last != "TLS", "{attempt}: {outcome}");
    }
    assert!(internet.saw(&["method"]).is_empty(), "{:?}", internet.seen());
    assert!(internet.saw(&["https"]).is_empty(), "{:?}", internet.seen());
}

/// Proxies behind proxies, the one inside included.
fn a_tunnel_leads_to_no_other(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example\", \"proxy.example\"]\n");
    let elsewhere = || connect(&format!("{DENIED}:443"));
    let attempts = [
        json!([connect("api.example:80"), elsewhere()]),
        json!([connect("api.example:80"), get("http://denied.example/", DENIED)]),
        json!([connect("proxy.example:3128"), elsewhere()]),
        json!([connect("198.18.0.1:3128"), elsewhere()]),
        json!([connect("[fd72:656d:6974::1]:3128"), elsewhere()]),
        json!([greeting(), socks(1, 1, &[198, 18, 0, 1], 3128), elsewhere()]),
        json!([greeting(), socks(1, 3, b"api.example", 80), elsewhere()]),
        // A second request on the first one's connection.
        json!([get("http://api.example/", API), get("http://denied.example/", DENIED)]),
        json!([get("http://api.example/", API), elsewhere()]),
    ];
    internet.forget();
    for (attempt, outcome) in attempts.iter().zip(tried(&internet, &attempts)) {
        let (_, last) = outcome.rsplit_once(", ").unwrap_or(("", &outcome));
        assert!(!last.contains(" 200"), "{attempt}: {outcome}");
    }
    assert!(internet.saw(&[DENIED]).is_empty(), "{:?}", internet.seen());
    assert!(!internet.lab.notes().contains(DENIED), "{}", internet.lab.notes());
}

fn tunnels_are_inspected_as_anything_else(world: &World) {
    let internet = Internet::new(world);
    world.settings(
        "[network]\nallow = [\"api.example\"]\n[[network.rules]]\nhost = \"api.example\"\n\
         decision = \"forbidden\"\npaths = [\"/admin/**\"]\n",
    );
    for form in [
        "-x http://198.18.0.1:3128",
        "-x http://198.18.0.1:3128 -p",
        "-x socks5h://198.18.0.1:1080",
    ] {
        for scheme in ["http", "https"] {
            let curl = format!("curl -sS -m 10 --path-as-is {form} {scheme}://api.example");
            internet.inside(&format!("{curl}/public")).succeeds().says(GREETING);
            internet.forget();
            internet
                .inside(&format!("{curl}/public/../admin/x"))
                .says("refused")
                .does_not_say(GREETING);
            assert!(internet.saw(&["method"]).is_empty(), "{form} {scheme}: {:?}", internet.seen());
        }
    }
}
