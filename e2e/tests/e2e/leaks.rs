//! Ways to get bytes somewhere else than where the policy says: group F of the
//! catalogue of tricks, and its siblings. Each has a control that gets there.

pub mod insisting;

use std::time::Duration;

use serde_json::{Value, json};

use crate::internet::attempt::{Attempt, client_hello, is_refused};
use crate::internet::{API, DENIED, GREETING, Internet};
use crate::run::{Output, eventually};
use crate::scenario::Need::{self, Program};
use crate::world::World;

const CURL: Need = Program("curl");

scenarios! { "leaks":
    tls_goes_to_the_host_that_was_asked_for [Need::Internet],
    web_ports_carry_what_they_are_for [Need::Internet],
    a_request_is_read_in_one_way [Need::Internet],
    a_request_is_read_in_one_way_inside_tls [Need::Internet],
    a_request_is_for_the_host_of_its_connection [Need::Internet, CURL],
    a_path_is_judged_in_every_spelling [Need::Internet],
    a_request_is_one_however_it_begins [Need::Internet],
    each_request_of_a_connection_is_judged [Need::Internet],
    a_request_of_http_2_is_for_the_host_of_its_connection [Need::Internet],
    no_more_leaves_than_the_cap [Need::Internet, CURL],
    a_method_is_judged_by_what_it_may_become [Need::Internet],
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

/// Requests that two readers may read differently. The second half of each would be
/// a request of its own to one of them.
fn ambiguous() -> Vec<(&'static str, String)> {
    let after = "GET /smuggled HTTP/1.1\r\nhost: api.example\r\n\r\n";
    let post = |fields: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nhost: api.example\r\n{fields}\r\n{body}{after}")
    };
    let length = after.len();
    vec![
        ("both lengths", post("content-length: 0\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n")),
        ("both, turned round", post(&format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"), "0\r\n\r\n")),
        ("two lengths", post(&format!("content-length: 0\r\ncontent-length: {length}\r\n"), "")),
        ("two equal lengths", post("content-length: 0\r\ncontent-length: 0\r\n", "")),
        ("a list of lengths", post("content-length: 0, 0\r\n", "")),
        ("a length with a sign", post("content-length: +0\r\n", "")),
        ("a length in hexadecimal", post("content-length: 0x0\r\n", "")),
        ("a length with a space before the colon", post("content-length : 0\r\n", "")),
        ("a length under another name", post("content_length: 0\r\n", "")),
        ("an unknown coding", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n")),
        ("two codings", post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("a coding twice", post("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", "0\r\n\r\n")),
        ("a coding after a tab", post("transfer-encoding:\x0bchunked\r\n", "0\r\n\r\n")),
        ("a coding in HTTP/1.0", post("transfer-encoding: chunked\r\n", "0\r\n\r\n").replacen("1.1", "1.0", 1)),
        ("a chunk longer than can be", post("transfer-encoding: chunked\r\n", "fffffffffffffffff0\r\n\r\n")),
        ("a chunk with a sign", post("transfer-encoding: chunked\r\n", "+0\r\n\r\n")),
        ("a chunk that ends in a bare LF", post("transfer-encoding: chunked\r\n", "0\n\n")),
        ("a bare LF", "GET / HTTP/1.1\nhost: api.example\nx: y\n\nGET /smuggled HTTP/1.1\r\nhost: api.example\r\n\r\n".to_owned()),
        ("a bare CR", post("x: y\rcontent-length: 0\r\n", "")),
        ("a folded field", post("x: y\r\n content-length: 0\r\n", "")),
        ("a folded first field", format!("GET / HTTP/1.1\r\n x: y\r\nhost: api.example\r\n\r\n{after}")),
        ("a field without a colon", post("smuggled\r\n", "")),
        ("a NUL in a field", post("x: a\0b\r\n", "")),
        ("a field that is taken away", post("connection: host\r\n", "")),
        ("an upgrade to HTTP/2", post("connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", "")),
        ("two hosts", post("host: denied.example\r\n", "")),
        ("no host", format!("GET / HTTP/1.1\r\nx: y\r\n\r\n{after}")),
        ("a method of two words", format!("GET /smuggled GET / HTTP/1.1\r\nhost: api.example\r\n\r\n{after}")),
        ("a version to come", format!("GET /smuggled HTTP/1.2\r\nhost: api.example\r\n\r\n{after}")),
        ("a tunnel", format!("CONNECT denied.example:443 HTTP/1.1\r\nhost: denied.example:443\r\n\r\n{after}")),
        ("a tunnel to itself", format!("CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\n\r\n{after}")),
        ("an echo", format!("TRACE /smuggled HTTP/1.1\r\nhost: api.example\r\n\r\n{after}")),
    ]
}

fn a_request_is_read_in_one_way(world: &World) {
    let internet = Internet::new(world);
    world.settings(ALLOWED);
    let plain = |(what, text): (&str, String)| Attempt::plain(what, API, 8000, text);
    check_ambiguous(&internet, &ambiguous().into_iter().map(plain).collect::<Vec<_>>());
}

fn a_request_is_read_in_one_way_inside_tls(world: &World) {
    let internet = Internet::new(world);
    world.settings(INSPECTED);
    let secure = |(what, text): (&str, String)| Attempt::secure(what, API, 8443, text);
    check_ambiguous(&internet, &ambiguous().into_iter().map(secure).collect::<Vec<_>>());
}

#[track_caller]
fn check_ambiguous(internet: &Internet<'_>, attempts: &[Attempt]) {
    internet.forget();
    for (attempt, outcome) in attempts.iter().zip(internet.try_inside(attempts)) {
        assert!(is_refused(&outcome), "{}: {outcome}", attempt.what);
    }
    assert!(internet.saw(&["smuggled"]).is_empty(), "{:?}", internet.seen());
    internet.try_outside(attempts);
    let arrived = internet.saw(&["smuggled"]).len();
    assert!(arrived >= attempts.len(), "{arrived} of {}'s controls", attempts.len());
}

/// Coalescing, and every other way to say another host than the connection's.
fn a_request_is_for_the_host_of_its_connection(world: &World) {
    let internet = Internet::new(world);
    world.settings(INSPECTED);
    let field = |field: &str| format!("GET /x HTTP/1.1\r\nhost: api.example\r\n{field}\r\n\r\n");
    let texts = [
        ("another host", get(DENIED, "/x")),
        ("its own host on another port", get("api.example:8443", "/x").replace("8443", "81")),
        ("a whole address", get(API, "http://denied.example/x")),
        ("a whole address of a secure host", get(DENIED, "https://denied.example/x")),
        ("somebody at a host", get("api.example@denied.example", "/x")),
        ("a host and a NUL", get("api.example\0denied.example", "/x")),
        ("a host in percent", get("denied%2eexample", "/x")),
        ("two hosts in one", get("api.example, denied.example", "/x")),
        ("a host for those behind", field("x-forwarded-host: denied.example")),
        ("a host in a newer field", field("forwarded: host=denied.example")),
        ("a host in a field of its own", field("x-host: denied.example")),
        ("a path for those behind", field("x-original-url: /denied.example")),
        ("another path for those behind", field("x_rewrite_url: /denied.example")),
    ];
    let both = texts.iter().flat_map(|(what, text)| {
        [Attempt::plain(what, API, 80, text), Attempt::secure(what, API, 443, text)]
    });
    let attempts: Vec<_> = both.collect();
    for (attempt, outcome) in attempts.iter().zip(internet.try_inside(&attempts)) {
        assert!(outcome.starts_with("HTTP/1.1 4"), "{}: {outcome}", attempt.what);
    }
    assert!(internet.saw(&["method"]).is_empty(), "{:?}", internet.seen());
    internet.try_outside(&attempts);
    assert!(internet.saw(&["method", "denied"]).len() >= 14, "{:?}", internet.seen());
    // HTTP/2 says it in `:authority`.
    let curl = "curl -sS -m 10 --http2 -o /dev/null -w '%{http_version} %{http_code}\\n'";
    let script =
        format!("{curl} https://{API}/own; {curl} -H 'host: {DENIED}' https://{API}/other");
    internet.forget();
    let output = internet.inside(&script);
    assert_eq!(output.out, "2 200\n2 421\n", "{output:?}");
    assert!(internet.saw(&["/other"]).is_empty(), "{:?}", internet.seen());
    assert_eq!(internet.outside(&script).out, "2 200\n2 200\n");
}

const PATHS: &str = r#"
[network]
allow = ["api.example"]
[[network.rules]]
host = "api.example"
decision = "forbidden"
paths = ["/admin/**"]
"#;

fn a_path_is_judged_in_every_spelling(world: &World) {
    let internet = Internet::new(world);
    world.settings(PATHS);
    let spellings = [
        "/admin/x",
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/%2E./admin/x",
        "/public/%252e%252e/admin/x",
        "//admin/x",
        "///admin//x",
        "/./admin/x",
        "/%2e/admin/x",
        "/admin;x=y/x",
        "/;/admin/x",
        "/public/..;/admin/x",
        "/admin%2fx",
        "/%61dmin/x",
        "/%2561dmin/x",
        "/ADMIN/x",
        "/Admin/x",
        "/admin\\x",
        "/public\\..\\admin\\x",
        "/public/..%5cadmin/x",
        "/public/..%2fadmin/x",
        "/admin/x?public",
        "/admin/x%00",
        "/public/%c0%ae%c0%ae/admin/x",
        "/admin%u002fx",
    ];
    let attempts: Vec<_> = spellings
        .iter()
        .flat_map(|path| {
            let text = get(API, path);
            [Attempt::plain(path, API, 80, &text), Attempt::secure(path, API, 443, &text)]
        })
        .collect();
    let fine = [
        Attempt::secure("another path", API, 443, get(API, "/public/x")),
        Attempt::plain("a path that only begins so", API, 80, get(API, "/administrator")),
    ];
    assert_eq!(internet.try_inside(&fine), ["HTTP/1.1 200 OK"; 2]);
    internet.forget();
    for (attempt, outcome) in attempts.iter().zip(internet.try_inside(&attempts)) {
        assert!(outcome.starts_with("HTTP/1.1 4"), "{}: {outcome}", attempt.what);
    }
    assert!(internet.saw(&["method"]).is_empty(), "{:?}", internet.seen());
    world.record().has(&["refusal", "/admin/", API]);
    internet.try_outside(&attempts);
    assert!(internet.saw(&["method"]).len() >= attempts.len() - 4, "{:?}", internet.seen());
}

/// Where requests are judged, nothing passes that a server might take for one.
fn a_request_is_one_however_it_begins(world: &World) {
    let internet = Internet::new(world);
    let rest = "/admin/x HTTP/1.1\r\nhost: api.example\r\n\r\n";
    let attempts: Vec<_> = [
        ("an empty line first", format!("\r\nGET {rest}")),
        ("a bare empty line first", format!("\nGET {rest}")),
        ("a space first", format!(" GET {rest}")),
        ("small letters", format!("get {rest}")),
        ("a tab", format!("GET\t{rest}")),
        ("a long method", format!("{} {rest}", "G".repeat(40))),
        ("a method with a figure", format!("G3T {rest}")),
        ("a method with a mark", format!("!GET {rest}")),
        ("HTTP/2", format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{rest}")),
        ("another protocol first", format!("EHLO\r\nGET {rest}")),
        ("a record of TLS first", format!("\x16\x03GET {rest}")),
        ("a message of PostgreSQL first", format!("\0\0\0\x09\0\x03\0\0\0GET {rest}")),
        ("a version of SSH first", format!("SSH-2.0-x\r\nGET {rest}")),
    ]
    .map(|(what, text)| Attempt::plain(what, API, 8000, text))
    .into();
    let opaque = PATHS.replacen("allow", "opaque = [\"api.example\"]\nallow", 1);
    for settings in [PATHS, &opaque] {
        world.settings(settings);
        internet.refuses(&attempts, "/admin/x");
    }
    // On the web's own ports as well, whatever else may be spoken there.
    let plain = [
        Attempt::plain("a request", API, 80, format!("GET {rest}")),
        Attempt::plain("a request where TLS is spoken", API, 443, format!("GET {rest}")),
        Attempt::secure("a request in TLS", API, 443, format!("GET {rest}")),
    ];
    for outcome in internet.try_inside(&plain) {
        assert!(is_refused(&outcome), "{outcome}");
    }
    assert!(internet.saw(&["/admin/x"]).is_empty(), "{:?}", internet.seen());
}

/// One after the other, all at once, and side by side.
fn each_request_of_a_connection_is_judged(world: &World) {
    let internet = Internet::new(world);
    world.settings(PATHS);
    let three = [get(API, "/first"), get(API, "/admin/x"), get(API, "/after")].concat();
    let attempts = [
        Attempt::plain("in the clear", API, 80, &three),
        Attempt::secure("in TLS", API, 443, &three),
    ];
    assert_eq!(internet.try_inside(&attempts), ["HTTP/1.1 200 OK"; 2]);
    assert_eq!(internet.saw(&["/first"]).len(), 2, "{:?}", internet.seen());
    assert!(internet.saw(&["/admin"]).is_empty(), "{:?}", internet.seen());
    world.record().has(&["refusal", "/admin/x"]);
    internet.forget();
    let asked = json!([{ ":path": "/one" }, { ":path": "/admin/x" }, { ":path": "/two" }]);
    let expected = ["200", "403", "200"];
    assert_eq!(multiplexed(&internet, &asked, Internet::inside), expected);
    assert_eq!(internet.saw(&["method"]).len(), 2, "{:?}", internet.seen());
    assert_eq!(multiplexed(&internet, &asked, Internet::outside), ["200"; 3]);
}

/// Makes requests side by side on one connection of HTTP/2. Returns the status of
/// each, or the name of its error.
fn multiplexed<'w>(
    internet: &Internet<'w>,
    asked: &Value,
    run: impl Fn(&Internet<'w>, &str) -> Output,
) -> Vec<String> {
    internet.script("two.mjs", include_str!("leaks/two.mjs"));
    internet.script("two.json", &asked.to_string());
    let trust = "[ -n \"$NODE_EXTRA_CA_CERTS\" ] || NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt; export NODE_EXTRA_CA_CERTS;";
    let output = run(internet, &format!("{trust} node two.mjs two.json")).succeeds();
    output.out.lines().map(str::to_owned).collect()
}

fn a_request_of_http_2_is_for_the_host_of_its_connection(world: &World) {
    let internet = Internet::new(world);
    world.settings(INSPECTED);
    let asked = json!([
        { ":path": "/x", ":authority": DENIED },
        { ":path": "/x", ":authority": "api.example:80" },
        { ":path": "/x", ":authority": "api.example@denied.example" },
        { ":path": "/x", "host": DENIED },
        { ":path": "/x", ":authority": API, "host": DENIED },
        { ":path": "https://denied.example/x" },
        { ":path": "/x", ":scheme": "http" },
        { ":path": "/x", "x-forwarded-host": DENIED },
        { ":path": "/x", "x-original-url": "/denied.example" },
        { ":method": "CONNECT", ":authority": "denied.example:443" },
        { ":method": "TRACE", ":path": "/x" },
        { ":path": "*" },
        { ":path": "x" },
        { ":path": "/x", "te": "gzip" },
        { ":path": "/x y" },
        { ":path": "/x", "content-length": "5" },
    ]);
    let outcomes = multiplexed(&internet, &asked, Internet::inside);
    for (asked, status) in asked.as_array().expect("a list").iter().zip(&outcomes) {
        assert!(status.starts_with('4') || status.starts_with("error"), "{asked}: {status}");
    }
    // Not all of them because the first ended the connection.
    assert!(outcomes.iter().filter(|status| *status == "421").count() >= 4, "{outcomes:?}");
    assert!(internet.saw(&["method"]).is_empty(), "{:?}", internet.seen());
    multiplexed(&internet, &asked, Internet::outside);
    assert!(internet.saw(&["method"]).len() >= 6, "the control: {:?}", internet.seen());
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

fn a_method_is_judged_by_what_it_may_become(world: &World) {
    let internet = Internet::new(world);
    let rules = "[[network.rules]]\nhost = \"api.example\"\ndecision = \"allow\"\nmethods = [\"GET\", \"HEAD\"]\n";
    let refusing = "[network]\ndefault = \"refuse\"\n";
    let read_only = "[network]\nallow = [\"api.example\"]\nweb = \"read-only\"\n";
    let field = |field: &str| format!("GET /x HTTP/1.1\r\nhost: api.example\r\n{field}\r\n\r\n");
    let method = |method: &str| get(API, "/x").replacen("GET", method, 1);
    let texts = [
        ("another method", method("POST")),
        ("a rare method", method("PROPFIND")),
        ("a method in small letters", method("post")),
        ("a method of nobody's", method("GETX")),
        ("an override", field("x-http-method-override: DELETE")),
        ("another override", field("x-http-method: PUT")),
        ("a third override", field("x-method-override: PATCH")),
        ("an override in small letters", field("x-http-method-override: delete")),
        ("an override spelt as CGI does", field("x_http_method_override: DELETE")),
        ("an override in the query", get(API, "/x?_method=DELETE")),
        ("an override in the query, spelt", get(API, "/x?a=b&%5fmethod=DELETE")),
        (
            "a WebSocket",
            field(
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
            ),
        ),
    ];
    let attempts: Vec<_> = texts
        .iter()
        .flat_map(|(what, text)| {
            [Attempt::plain(what, API, 80, text), Attempt::secure(what, API, 443, text)]
        })
        .collect();
    for settings in [format!("{refusing}{rules}"), read_only.to_owned()] {
        world.settings(&settings);
        internet.forget();
        let fine = [
            Attempt::secure("what may be done", API, 443, get(API, "/fine")),
            Attempt::plain("the same in the clear", API, 80, get(API, "/fine")),
        ];
        assert_eq!(internet.try_inside(&fine), ["HTTP/1.1 200 OK"; 2], "{settings}");
        for (attempt, outcome) in attempts.iter().zip(internet.try_inside(&attempts)) {
            assert!(is_refused(&outcome), "{}: {outcome}", attempt.what);
        }
        assert!(internet.saw(&["/x"]).is_empty(), "{:?}", internet.seen());
        world.record().has(&["refusal", "PROPFIND"]);
    }
    internet.try_outside(&attempts);
    assert!(internet.saw(&["/x"]).len() >= attempts.len() - 4, "{:?}", internet.seen());
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
                 sleep 1; curl -sS -m 5 http://localhost:7070/README; touch up; sleep 9; true";
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
    first.finish().succeeds().says("hello");
    let served = std::fs::read_to_string(world.workspace.join("served")).unwrap_or_default();
    assert_eq!(served.matches("GET /README").count(), 1, "its own alone: {served}");
    internet.outside("curl -sS -g -m 3 http://127.0.0.1:80/").says(GREETING);
}
