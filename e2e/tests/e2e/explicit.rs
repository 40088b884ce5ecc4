//! Programs that insist on a proxy, and hosts that are reached by one only.

use remit_e2e::witness::GREETING;

use crate::lab::{ADDRESS, Lab, NAME};
use crate::network::allow;
use crate::places;
use crate::run::Output;
use crate::scenario::Need::{Program, RootHarness};
use crate::world::World;

scenarios! { "explicit":
    the_gateway_is_a_proxy_for_programs_that_insist [RootHarness, Program("tcpdump"), Program("curl")],
    what_a_proxy_is_asked_for_is_refused_with_its_rule [RootHarness, Program("tcpdump"), Program("curl")],
    the_hosts_loopback_is_not_reached_by_the_proxy [Program("curl"), Program("python3")],
    a_proxy_variable_leads_to_the_gateway [RootHarness, Program("tcpdump"), Program("curl")],
    hosts_are_reached_by_the_companys_proxy
        [RootHarness, Program("tcpdump"), Program("curl"), Program("python3")],
    a_proxy_that_wants_a_sign_in_says_so
        [RootHarness, Program("tcpdump"), Program("curl"), Program("python3")],
}

/// Each way in which curl asks a proxy.
const WAYS: [&str; 7] = [
    "-p -x http://198.18.0.1:3128",
    "-x http://198.18.0.1:3128",
    "-x http://ada:secret@198.18.0.1:8888",
    "-x http://[fd72:656d:6974::1]:3128",
    "--socks5-hostname 198.18.0.1:1080",
    "--socks5-hostname ada:secret@198.18.0.1:1080",
    "--socks4a 198.18.0.1:1080",
];

fn the_gateway_is_a_proxy_for_programs_that_insist(world: &World) {
    let lab = Lab::new(world);
    allow(world, &[format!("{NAME}:80")]);
    for way in WAYS {
        lab.inside(&format!("curl -sS -m 10 {way} http://{NAME}/")).says(GREETING.trim());
        world.record().has(&["connect", NAME, "allow", "curl"]);
    }
    assert_eq!(lab.notes().matches("http GET /").count(), WAYS.len(), "{}", lab.notes());
    // What is looked up inside is asked for by its synthetic address.
    lab.inside(&format!("curl -sS -m 10 --socks5 198.18.0.1:1080 http://{NAME}/"))
        .says(GREETING.trim());
}

fn what_a_proxy_is_asked_for_is_refused_with_its_rule(world: &World) {
    let lab = Lab::new(world);
    allow(world, &[format!("{NAME}:80")]);
    for way in WAYS {
        for url in [
            format!("http://{NAME}:8080/"),
            format!("http://x.{NAME}/"),
            format!("http://{ADDRESS}/"),
        ] {
            let output = lab.inside(&format!("curl -sS -m 10 -v {way} {url}"));
            assert!(!output.both().contains(GREETING.trim()), "{way} {url}: {output:?}");
            world.record().has(&["refusal", "curl"]);
            if way.contains("http") && !way.contains("-p") {
                output.says("x-remit: refused").says("refused: connect to");
            }
        }
    }
    assert_eq!(lab.notes(), "", "nothing was asked or fetched");
    assert_eq!(lab.captured(), 0, "not one packet");
}

fn the_hosts_loopback_is_not_reached_by_the_proxy(world: &World) {
    let server = "python3 -m http.server --bind 127.0.0.1 8123 & sleep 1";
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"] {
        let get = format!("curl -sS -m 10 -x http://198.18.0.1:3128 http://{host}:8123/");
        let output = world.inside(&format!("{server}; {get}"));
        output.says("refused: connect to");
    }
    world
        .inside("curl -sS -m 10 -x http://198.18.0.1:3128 http://127.0.0.1:8123/")
        .says("servers of the session itself, without a proxy");
}

fn a_proxy_variable_leads_to_the_gateway(world: &World) {
    let lab = Lab::new(world);
    let theirs = "http://ada:secret@10.9.9.9:3128";
    let remit = places::remit();
    let run = |lab: &Lab<'_>| {
        let script = format!(
            "http_proxy={theirs} {} run -- sh -c 'env; curl -sS -m 10 http://{NAME}/'",
            remit.display()
        );
        lab.outside(&script)
    };
    allow(world, &[format!("{NAME}:80")]);
    // It does not pass by itself.
    run(&lab).says(GREETING.trim()).does_not_say("http_proxy");
    world.settings(&format!(
        "sandbox.environment = [\"http_proxy\"]\n[network]\nallow = [\"{NAME}:80\"]\n"
    ));
    run(&lab)
        .says(GREETING.trim())
        .says("http_proxy=http://198.18.0.1:3128")
        .does_not_say("secret");
}

/// Runs curl inside a lab that has a company's proxy outside the boundary.
#[track_caller]
fn by_the_companys(world: &World, lab: &Lab<'_>, url: &str) -> (Output, String) {
    let (script, log) = (world.elsewhere().join("proxy.py"), world.workspace.join("proxy.log"));
    world.write(&script, include_str!("proxy.py"));
    let _ = std::fs::remove_file(&log);
    let output = lab.outside(&format!(
        "python3 {} 3128 {ADDRESS} {} </dev/null >/dev/null 2>&1 & proxy=$!; sleep 1; CORP='open sesame' {} run -- \
         curl -sS -m 20 {url}; kill $proxy",
        script.display(),
        log.display(),
        places::remit().display(),
    ));
    (output, std::fs::read_to_string(log).unwrap_or_default())
}

const COMPANY: &str = "proxy = \"http://127.0.0.1:3128\"\n";

fn hosts_are_reached_by_the_companys_proxy(world: &World) {
    let lab = Lab::new(world);
    let settings = format!(
        "[network]\nallow = [\"**.{NAME}:80\", \"inner.example:80\"]\n{COMPANY}\
         proxy_credential = \"corp\"\nno_proxy = [\"direct.{NAME}\"]\n\
         [credentials.corp]\nsource = {{ variable = \"CORP\" }}\nas = \"basic\"\nname = \"alice\"\n"
    );
    world.settings(&settings);
    let (output, log) = by_the_companys(world, &lab, &format!("http://{NAME}/"));
    output.says(GREETING.trim());
    assert_eq!(log, format!("CONNECT {NAME}:80 HTTP/1.1, alice\n"));
    assert!(!lab.notes().contains("dns"), "the proxy resolves: {}", lab.notes());
    let (output, log) = by_the_companys(world, &lab, "http://refused.example/");
    output.says("refused: connect to");
    assert_eq!(log, "", "nothing is asked of the proxy without a permit");
    let (output, log) = by_the_companys(world, &lab, &format!("http://direct.{NAME}/"));
    assert_eq!(log, "", "no_proxy leads around it: {output:?}");
    assert!(lab.notes().contains(&format!("dns direct.{NAME}")), "{}", lab.notes());
    let (output, log) =
        by_the_companys(world, &lab, "-x http://198.18.0.1:3128 http://inner.example/");
    output.says(GREETING.trim());
    assert_eq!(log, "CONNECT inner.example:80 HTTP/1.1, alice\n", "one proxy behind the other");
}

fn a_proxy_that_wants_a_sign_in_says_so(world: &World) {
    let lab = Lab::new(world);
    world.settings(&format!("[network]\nallow = [\"{NAME}:80\"]\n{COMPANY}"));
    let (output, log) = by_the_companys(world, &lab, &format!("http://{NAME}/"));
    output.says("network.proxy_credential").says("127.0.0.1:3128");
    assert_eq!(log, format!("CONNECT {NAME}:80 HTTP/1.1, a stranger\n"));
    assert_eq!(lab.notes(), "", "nothing else was tried");
}
