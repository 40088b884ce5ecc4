//! Which requests may be sent, by which program, and what of a connection has to
//! be seen for that.

use std::path::PathBuf;

use crate::common::{check_host, check_request, compile, connect, request, rules, settings, words};
use remit_policy::{
    Answer, Attempt as _, Choice, Connect, Grants, Handling, Layer, Method, Policy, Verdict,
};

fn policy(text: &str) -> Policy {
    compile(&[settings(Layer::User, text)], None)
}

fn by(program: &str, host: &str) -> Connect {
    Connect { program: Some(PathBuf::from(program)), ..connect(host) }
}

/// How a connection is treated, in words.
fn handling(policy: &Policy, permitted: &Connect) -> String {
    let Handling { inspect, requests_only, opaque, ssh, .. } = policy.handling(permitted);
    let words = [(inspect, "inspect"), (requests_only, "requests"), (opaque, "opaque")];
    let mut said: Vec<_> =
        words.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).to_owned()).collect();
    said.extend(ssh.map(|commands| format!("ssh {}", Vec::from_iter(commands).join(" "))));
    said.join(", ")
}

#[track_caller]
fn check_handling(policy: &Policy, host: &str, expected: &str) {
    assert_eq!(handling(policy, &connect(host)), expected, "{host}");
}

const FORGE: &str = "
[[network.rules]]
host = 'forge.example'
decision = 'allow'
methods = ['GET', 'HEAD']

[[network.rules]]
host = 'forge.example'
decision = 'allow'
methods = ['POST']
paths = ['/*/*/git-upload-pack']

[[network.rules]]
host = 'forge.example'
decision = 'forbidden'
paths = ['/admin/**']
justification = 'Ask operations.'
";

#[test]
fn a_permission_of_some_requests_permits_the_connection_and_no_other_request() {
    let policy = policy(FORGE);
    check_host(&policy, "forge.example", "allow by user");
    check_handling(&policy, "forge.example", "inspect, requests");
    check_request(&policy, "GET https://forge.example/a/b", "allow by user");
    check_request(&policy, "get https://forge.example/a/b", "ask by built-in");
    check_request(&policy, "POST https://forge.example/a/b/git-upload-pack", "allow by user");
    check_request(&policy, "POST https://forge.example/a/b/git-receive-pack", "ask by built-in");
    check_request(&policy, "POST https://forge.example/a%2fb/git-upload-pack", "ask by built-in");
    check_request(&policy, "DELETE https://forge.example/a", "ask by built-in");
    check_request(&policy, "GET https://forge.example/admin/x", "refuse by user");
    check_request(&policy, "GET https://forge.example/a/../ADMIN;x=1/x", "refuse by user");
    check_host(&policy, "other.example", "ask by built-in");
    check_handling(&policy, "other.example", "");
}

#[test]
fn under_a_refusing_default_the_other_requests_are_refused() {
    let policy = policy(&format!("network.default = 'refuse'\n{FORGE}"));
    check_request(&policy, "GET https://forge.example/a", "allow by user");
    check_request(&policy, "PUT https://forge.example/a", "refuse by user");
    let Verdict::Refuse(refusal) =
        policy.request(request("PUT https://forge.example:443/a?key=secret"), &Grants::default())
    else {
        panic!("permitted");
    };
    assert_eq!(
        refusal.to_string(),
        "refused: request `PUT https://forge.example:443/a`\n  by `network.default = \"refuse\"` \
         (user, user.toml line 1)\n  allowed instead: of this host: GET,HEAD; POST \
         /*/*/git-upload-pack"
    );
}

#[test]
fn a_method_that_stands_elsewhere_in_the_request_counts() {
    let policy = policy(FORGE);
    check_request(&policy, "GET https://forge.example/a?_method=DELETE", "ask by built-in");
    check_request(&policy, "GET https://forge.example/a?x=1;%5fMETHOD=%44ELETE", "ask by built-in");
    check_request(&policy, "GET https://forge.example/a?_method=GET", "allow by user");
    check_request(&policy, "GET https://forge.example/a?$httpMethod=PATCH", "ask by built-in");
    let mut overridden = request("GET https://forge.example:443/a");
    overridden.overrides = vec![Method::parse("DELETE").unwrap()];
    assert_eq!(words(&policy.request(overridden, &Grants::default())), "ask by built-in");
    let denies = compile(
        &[settings(
            Layer::User,
            "network.allow = ['forge.example']\n[[network.rules]]\nhost = 'forge.example'\n\
             decision = 'forbidden'\nmethods = ['DELETE']",
        )],
        None,
    );
    check_request(&denies, "DELETE https://forge.example/a", "refuse by user");
    check_request(&denies, "delete https://forge.example/a", "refuse by user");
    check_request(&denies, "POST https://forge.example/a?_method=delete", "refuse by user");
    check_request(&denies, "POST https://forge.example/a", "allow by user");
}

#[test]
fn a_restriction_of_requests_leaves_the_connection_and_has_it_inspected() {
    let policy = compile(
        &[
            settings(Layer::User, "network.allow = ['api.example', 'free.example']"),
            settings(
                Layer::Project,
                "[[network.rules]]\nhost = '*'\ndecision = 'prompt'\nmethods = ['POST']\n\
                 paths = ['/v1/**']",
            ),
        ],
        None,
    );
    check_host(&policy, "api.example", "allow by user");
    check_handling(&policy, "api.example", "inspect, requests");
    check_request(&policy, "POST https://api.example/v1/x", "ask by project");
    check_request(&policy, "POST https://api.example/v2/x", "allow by user");
    // A person said yes to the connection; the project's question remains.
    check_request(&policy, "POST https://unknown.example/v1", "ask by project");
    check_request(&policy, "GET https://unknown.example/v1", "allow by answer");
}

#[test]
fn a_scheme_is_judged_with_each_request() {
    let policy =
        policy("[[network.rules]]\nhost = 'api.example'\ndecision = 'allow'\nscheme = 'https'");
    check_handling(&policy, "api.example:80", "inspect, requests");
    check_request(&policy, "GET https://api.example/", "allow by user");
    check_request(&policy, "GET http://api.example:443/", "ask by built-in");
}

#[test]
fn only_the_program_that_is_named_may() {
    let policy = policy(
        "[[network.rules]]\nhost = 'forge.example'\ndecision = 'allow'\nprograms = ['/usr/bin/git']\n\
         [[network.rules]]\nhost = 'api.example'\ndecision = 'forbidden'\nprograms = ['/usr/bin/curl']",
    );
    let check = |connect: Connect, expected: &str| {
        let said = words(&policy.connect(connect.clone(), &Grants::default()));
        assert_eq!(said, expected, "{connect:?}");
    };
    check(by("/usr/bin/git", "forge.example"), "allow by user");
    check(by("/usr/lib/git-core/git-remote-http", "forge.example"), "allow by user");
    check(by("/usr/bin/curl", "forge.example"), "ask by built-in");
    check(by("/tmp/git", "forge.example"), "ask by built-in");
    check(connect("forge.example"), "ask by built-in");
    check(by("/usr/bin/curl", "api.example"), "refuse by user");
    check(connect("api.example"), "refuse by user");
    check(by("/usr/bin/git", "api.example"), "ask by built-in");
}

#[test]
fn reading_the_web_only_refuses_every_request_that_does_more_but_the_agents_own() {
    let policy = policy("network.web = 'read-only'\nnetwork.allow = ['docs.example']");
    check_handling(&policy, "docs.example", "inspect, requests");
    check_handling(&policy, "unknown.example", "inspect, requests");
    check_handling(&policy, "api.model.example", "");
    check_request(&policy, "GET https://docs.example/", "allow by user");
    check_request(&policy, "HEAD https://docs.example/", "allow by user");
    for other in ["POST", "PUT", "TRACE", "get", "PROPFIND"] {
        check_request(&policy, &format!("{other} https://docs.example/"), "refuse by user");
    }
    check_request(&policy, "GET https://docs.example/?_method=post", "refuse by user");
    check_request(&policy, "POST https://unknown.example/", "refuse by user");
    check_request(&policy, "POST https://api.model.example/", "allow by built-in");
    assert!(policy.inspects_anything());
}

#[test]
fn inspection_is_taken_back_by_no_weaker_statement() {
    let check = |texts: &[(Layer, &str)], expected: bool| {
        let texts: Vec<_> = texts.iter().map(|(layer, text)| settings(*layer, text)).collect();
        let policy = compile(&texts, None);
        assert_eq!(policy.handling(&connect("api.example")).inspect, expected, "{texts:#?}");
    };
    let inspect = "network.inspect = ['*']";
    let pass = "network.pass_through = ['api.example']";
    check(&[(Layer::User, inspect)], true);
    check(&[(Layer::User, inspect), (Layer::System, pass)], false);
    check(&[(Layer::System, inspect), (Layer::User, pass)], true);
    check(&[(Layer::Project, inspect), (Layer::User, pass)], true);
    check(&[(Layer::User, pass)], false);
    let both = format!("{inspect}\n{pass}");
    check(&[(Layer::User, &both)], false);
    // What needs its requests seen is inspected in any case.
    let all = format!("{both}\nnetwork.web = 'read-only'");
    check(&[(Layer::User, &all)], true);
}

#[test]
fn opaque_is_what_nobody_inspects() {
    let texts = "network.opaque = ['a.example', 'b.example']\nnetwork.inspect = ['b.example']";
    let policy = policy(texts);
    check_handling(&policy, "a.example", "opaque");
    check_handling(&policy, "b.example", "inspect");
}

#[test]
fn over_ssh_only_the_commands_run_that_are_named() {
    let rule = |commands: &str| {
        format!(
            "[[network.rules]]\nhost = 'forge.example'\ndecision = 'allow'\nssh = [{commands}]\n"
        )
    };
    let fetch = rule("'git-upload-pack'");
    let user = policy(&fetch);
    check_host(&user, "forge.example:22", "allow by user");
    check_handling(&user, "forge.example:22", "inspect, requests, ssh git-upload-pack");
    check_request(&user, "GET https://forge.example/", "ask by built-in");
    let both = compile(
        &[
            settings(Layer::System, &fetch),
            settings(
                Layer::User,
                &format!("network.allow = ['forge.example']\n{}", rule("'git-receive-pack'")),
            ),
        ],
        None,
    );
    check_handling(&both, "forge.example:22", "ssh git-upload-pack");
    let open = compile(&[settings(Layer::User, "network.allow = ['forge.example']")], None);
    check_handling(&open, "forge.example:22", "");
}

#[test]
fn a_preset_of_requests_reads_and_does_not_write() {
    let policy = policy("network.allow = ['preset:github-read']");
    let host = "github.com";
    check_request(&policy, &format!("GET https://{host}/a/b"), "allow by user");
    let post = |service: &str| format!("POST https://{host}/a/b.git/{service}");
    check_request(&policy, &post("git-upload-pack"), "allow by user");
    check_request(&policy, &post("git-receive-pack"), "ask by built-in");
    let denied = compile(
        &[
            settings(Layer::User, "network.allow = ['preset:github-read']"),
            settings(Layer::System, "network.deny = ['preset:github-read']"),
        ],
        None,
    );
    check_host(&denied, &format!("{host}:443"), "refuse by system");
    check_host(&denied, &format!("{host}:22"), "refuse by system");
}

#[test]
fn a_denied_request_to_an_address_denies_what_a_name_leads_to_there() {
    let policy = policy(
        "network.allow = ['good.example', '9.9.9.9']\n[[network.rules]]\nhost = '9.9.9.9'\n\
         decision = 'forbidden'\nmethods = ['POST']",
    );
    let there = "9.9.9.9".parse().unwrap();
    assert!(policy.address(&connect("good.example"), there).is_err());
    assert!(policy.address(&connect("9.9.9.9"), there).is_ok());
    check_request(&policy, "POST https://9.9.9.9/", "refuse by user");
    check_request(&policy, "POST https://[::ffff:9.9.9.9]:443/", "refuse by user");
    check_request(&policy, "GET https://9.9.9.9/", "allow by user");
}

#[test]
fn rule_files_narrow_by_methods_paths_and_programs() {
    let policy = compile(
        &[rules(
            Layer::User,
            "network_rule('a.example', 'https', 'allow', methods = ['GET'], paths = ['/v1/**'])\n\
             network_rule('b.example', 'https', 'allow', programs = ['/usr/bin/git'])",
        )],
        None,
    );
    check_request(&policy, "GET https://a.example/v1/x", "allow by user");
    check_request(&policy, "GET https://a.example/v2", "ask by built-in");
    check_host(&policy, "b.example", "ask by built-in");
    let git = by("/usr/bin/git", "b.example");
    assert_eq!(words(&policy.connect(git, &Grants::default())), "allow by user");
}

#[test]
fn a_yes_covers_what_it_says_and_no_more() {
    let policy = policy("network.deny = ['no.example.com']");
    let asked = |host: &str, grants: &Grants| words(&policy.connect(connect(host), grants));
    let given = |host: &str, choice: Choice| {
        let mut grants = Grants::default();
        grants.add(connect(host).grant(choice).expect("a grant"));
        grants
    };
    let host = given("api.example.com:443", Choice::Host);
    assert_eq!(asked("api.example.com:80", &host), "allow by answer");
    assert_eq!(asked("x.api.example.com:80", &host), "ask by built-in");
    let domain = given("api.example.com:443", Choice::Domain);
    for covered in ["example.com:22", "x.y.example.com:80", "api.example.com:443"] {
        assert_eq!(asked(covered, &domain), "allow by answer", "{covered}");
    }
    for other in ["example.org:443", "badexample.com:443", "8.8.8.8:443"] {
        assert_eq!(asked(other, &domain), "ask by built-in", "{other}");
    }
    assert_eq!(asked("no.example.com:443", &domain), "refuse by user");
    let session = given("api.example.com:443", Choice::Session);
    assert_eq!(asked("api.example.com:80", &session), "ask by built-in");
    let tricky = request("POST https://api.example.com:443/a");
    let mut grants = Grants::default();
    grants.add(tricky.grant(Choice::Session).expect("a grant"));
    assert!(grants.cover(&tricky));
    assert!(!grants.cover(&request("POST https://api.example.com:443/a?_method=DELETE")));
    assert!(!grants.cover(&request("POST http://api.example.com:443/a")));
    assert!(!grants.cover(&request("POST https://api.example.com:443/b")));
}

#[test]
fn a_choice_that_was_not_offered_is_a_no() {
    let policy = policy("");
    let answer = |choice| Answer { choice, by: "alice".to_owned(), people: [].into(), note: None };
    let settled = |host: &str, choice| match policy.connect(connect(host), &Grants::default()) {
        Verdict::Ask(question) => question.settle(&answer(choice)).is_ok(),
        other => panic!("{other:?}"),
    };
    for choice in [Choice::Once, Choice::Session, Choice::Host, Choice::Domain] {
        assert!(settled("api.example.com:443", choice), "{choice:?}");
    }
    assert!(!settled("api.example.com:443", Choice::Refuse));
    assert!(settled("8.8.8.8:443", Choice::Host) && !settled("8.8.8.8:443", Choice::Domain));
    assert!(!settled("github.io:443", Choice::Domain));
    let post = request("POST https://api.example:443/");
    assert!(!post.choices().contains(&Choice::Host) && post.grant(Choice::Host).is_none());
}
