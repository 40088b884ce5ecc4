//! Requests that mean one thing to whoever judges them and another to the host.

use serde_json::{Value, json};

use super::{ALLOWED, CURL, INSPECTED, get};
use crate::internet::attempt::{Attempt, is_refused};
use crate::internet::{API, DENIED, Internet};
use crate::run::Output;
use crate::scenario::Need;
use crate::world::World;

scenarios! { "requests":
    a_request_is_read_in_one_way [Need::Internet],
    a_request_is_read_in_one_way_inside_tls [Need::Internet],
    a_request_is_for_the_host_of_its_connection [Need::Internet, CURL],
    a_path_is_judged_in_every_spelling [Need::Internet],
    a_request_is_one_however_it_begins [Need::Internet],
    each_request_of_a_connection_is_judged [Need::Internet],
    a_request_of_http_2_is_for_the_host_of_its_connection [Need::Internet],
    a_method_is_judged_by_what_it_may_become [Need::Internet],
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
    internet.script("two.mjs", include_str!("two.mjs"));
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
