//! Which hosts may be reached.

use crate::common::{check_host, codex, compile, connect, place, settings};
use remit_policy::{Connect, Grant, Grants, Layer, Policy, Verdict};

fn policy(text: &str) -> Policy {
    compile(&[settings(Layer::User, text)], None)
}

#[test]
fn an_unknown_name_is_asked_about_and_the_agents_own_host_is_not() {
    let policy = compile(&[], None);
    check_host(&policy, "api.model.example:443", "allow by built-in");
    check_host(&policy, "api.model.example:80", "ask by built-in");
    check_host(&policy, "unknown.example", "ask by built-in");
    check_host(&policy, "8.8.8.8", "ask by built-in");
}

#[test]
fn profiles_without_network_leave_the_agent_its_own_host_alone() {
    let user = settings(Layer::User, "[network]\nallow = ['forge.example']");
    for profile in ["offline", "read-only"] {
        let policy = compile(std::slice::from_ref(&user), Some(profile));
        check_host(&policy, "api.model.example:443", "allow by built-in");
        check_host(&policy, "unknown.example", "refuse by built-in");
        check_host(&policy, "forge.example", "refuse by built-in");
    }
    check_host(&compile(&[user], None), "forge.example", "allow by user");
}

#[test]
fn deny_outranks_ask_and_ask_outranks_allow_whoever_says_it() {
    let policy = compile(
        &[
            settings(
                Layer::User,
                "[network]\nallow = ['**.a.example', '**.b.example', 'c.example']",
            ),
            settings(Layer::System, "[network]\ndeny = ['x.a.example']\nask = ['*.b.example']"),
            settings(Layer::Project, "[network]\ndeny = ['c.example']\nask = ['y.a.example']"),
        ],
        None,
    );
    check_host(&policy, "a.example", "allow by user");
    check_host(&policy, "x.a.example", "refuse by system");
    check_host(&policy, "y.a.example", "ask by project");
    check_host(&policy, "b.example", "allow by user");
    check_host(&policy, "z.b.example", "ask by system");
    check_host(&policy, "c.example", "refuse by project");
    check_host(&policy, "nota.example", "ask by built-in");
}

#[test]
fn a_refusing_system_is_not_undone_by_the_user() {
    let policy = compile(
        &[
            settings(Layer::System, "[network]\ndefault = 'refuse'\nallow = ['ok.example']"),
            settings(
                Layer::User,
                "[network]\ndefault = 'ask'\nallow = ['forge.example']\nask = ['q.example']",
            ),
        ],
        None,
    );
    check_host(&policy, "ok.example", "allow by system");
    check_host(&policy, "forge.example", "refuse by system");
    check_host(&policy, "q.example", "refuse by system");
    check_host(&policy, "unknown.example", "refuse by system");
}

#[test]
fn a_project_ask_does_not_turn_a_refusal_into_a_question() {
    let policy = compile(
        &[
            settings(Layer::User, "[network]\ndefault = 'refuse'"),
            settings(Layer::Project, "[network]\nask = ['x.example', '10.0.0.5', 'localhost']"),
        ],
        None,
    );
    check_host(&policy, "x.example", "refuse by user");
    check_host(&policy, "10.0.0.5", "refuse by built-in");
    check_host(&policy, "localhost", "refuse by built-in");
}

#[test]
fn addresses_that_are_not_public_are_refused_unless_named() {
    let policy = policy(
        "[network]\nallow = ['10.0.0.5', '192.168.0.0/16:22', '172.0.0.0/8']\nask = ['10.0.0.6']",
    );
    check_host(&policy, "10.0.0.5:80", "allow by user");
    check_host(&policy, "[::ffff:10.0.0.5]:80", "allow by user");
    check_host(&policy, "[::10.0.0.5]:80", "refuse");
    check_host(&policy, "[64:ff9b::10.0.0.5]:80", "refuse");
    check_host(&policy, "10.0.0.6:80", "ask by user");
    check_host(&policy, "10.0.0.7:80", "refuse by built-in");
    check_host(&policy, "192.168.3.4:22", "allow by user");
    check_host(&policy, "192.168.3.4:23", "refuse by built-in");
    check_host(&policy, "172.16.0.1:80", "refuse by built-in");
    check_host(&policy, "169.254.169.254:80", "refuse by built-in");
    check_host(&policy, "127.0.0.1:80", "refuse by built-in");
    check_host(&policy, "[::1]:80", "refuse by built-in");
    check_host(&policy, "0.0.0.0:80", "refuse by built-in");
}

#[test]
fn even_the_systems_star_does_not_name_what_is_not_public() {
    let policy =
        compile(&[settings(Layer::System, "[network]\nallow = ['*', '0.0.0.0/0', '::/0']")], None);
    check_host(&policy, "anything.example", "allow by system");
    check_host(&policy, "8.8.8.8", "allow by system");
    check_host(&policy, "10.0.0.1", "refuse by built-in");
    check_host(&policy, "localhost", "refuse by built-in");
    check_host(&policy, "[fd00::1]:443", "refuse by built-in");
}

#[test]
fn a_denied_address_is_denied_inside_another() {
    let policy = policy("[network]\nallow = ['64:ff9b::/96']\ndeny = ['8.8.8.8']");
    check_host(&policy, "[64:ff9b::808:808]:443", "refuse by user");
    check_host(&policy, "[64:ff9b::808:404]:443", "allow by user");
}

#[test]
fn localhost_is_loopback_unless_named_exactly() {
    let named = policy("[network]\nallow = ['localhost:8080', '**.dev.localhost']");
    check_host(&named, "localhost:8080", "allow by user");
    check_host(&named, "LOCALHOST.:8080", "allow by user");
    check_host(&named, "localhost:8081", "refuse by built-in");
    check_host(&named, "x.dev.localhost:8080", "refuse by built-in");
}

/// `yes` if the answer of a permitted name may be dialled.
#[track_caller]
fn check_answer(policy: &Policy, host: &str, answer: &str, expected: &str) {
    let found = match policy.address(&connect(host), answer.parse().unwrap()) {
        Ok(()) => "yes".to_owned(),
        Err(refusal) => refusal.basis.rule,
    };
    assert_eq!(found, expected, "{host} at {answer}");
}

#[test]
fn every_answer_is_checked_before_it_is_dialled() {
    let policy = policy(
        "[network]
        allow = ['good.example', 'db.corp.example', '10.0.0.5', 'localhost:8080']
        ask = ['q.corp.example']
        deny = ['9.9.9.9', '10.6.0.0/16']
        internal = ['*.corp.example']",
    );
    check_answer(&policy, "good.example", "8.8.8.8", "yes");
    check_answer(&policy, "good.example", "2606:4700::1111", "yes");
    check_answer(&policy, "good.example", "9.9.9.9", "network.deny \"9.9.9.9\"");
    check_answer(&policy, "good.example", "::ffff:9.9.9.9", "network.deny \"9.9.9.9\"");
    check_answer(&policy, "good.example", "64:ff9b::909:909", "network.deny \"9.9.9.9\"");
    check_answer(&policy, "good.example", "10.0.0.9", "network: private addresses");
    check_answer(&policy, "good.example", "127.0.0.1", "network: loopback addresses");
    check_answer(&policy, "good.example", "10.0.0.5", "yes");
    check_answer(&policy, "unknown.example", "10.0.0.5", "network: private addresses");
    check_answer(&policy, "unknown.example", "8.8.8.8", "yes");
    check_answer(&policy, "db.corp.example", "10.0.0.9", "yes");
    check_answer(&policy, "db.corp.example", "fd00::9", "yes");
    check_answer(&policy, "db.corp.example", "10.6.0.9", "network.deny \"10.6.0.0/16\"");
    check_answer(&policy, "db.corp.example", "169.254.169.254", "network: link-local addresses");
    check_answer(&policy, "db.corp.example", "64:ff9b::10.0.0.9", "network: private addresses");
    check_answer(&policy, "q.corp.example", "10.0.0.9", "yes");
    check_answer(&policy, "localhost:8080", "127.0.0.1", "yes");
    check_answer(&policy, "localhost:8080", "::1", "yes");
    check_answer(&policy, "localhost:8080", "10.0.0.9", "network: private addresses");
    check_answer(&policy, "localhost:8081", "127.0.0.1", "network: loopback addresses");
    check_answer(&policy, "10.0.0.5:80", "10.0.0.5", "yes");
    check_answer(&policy, "10.0.0.5:80", "::ffff:10.0.0.5", "yes");
    check_answer(&policy, "10.0.0.5:80", "8.8.8.8", "network: only the address that was judged");
    check_answer(&policy, "8.8.8.8:53", "8.8.8.8", "yes");
}

#[test]
fn a_yes_for_the_session_covers_the_same_host_and_port_and_never_a_denied_one() {
    let policy = policy("[network]\ndeny = ['evil.example']");
    let mut grants = Grants::default();
    for host in ["unknown.example:443", "evil.example:443", "9.9.9.9:53"] {
        grants.add(Grant::from(&connect(host)));
    }
    let check = |host: &str, expected: &str| {
        assert_eq!(
            crate::common::words(&policy.connect(connect(host), &grants)),
            expected,
            "{host}"
        );
    };
    check("unknown.example:443", "allow by answer");
    check("unknown.example:80", "ask by built-in");
    check("sub.unknown.example:443", "ask by built-in");
    check("[::ffff:9.9.9.9]:53", "allow by answer");
    check("evil.example:443", "refuse by user");
}

#[test]
fn a_refusal_names_rule_layer_line_and_what_is_allowed_instead() {
    let user =
        "[network]\ndefault = 'refuse'\nallow = [\n  'forge.example',\n]\ndeny = ['paste.example']";
    let policy = policy(user);
    let shown = |host| match policy.connect(connect(host), &Grants::default()) {
        Verdict::Refuse(refusal) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        shown("unknown.example:443"),
        "refused: connect to `unknown.example:443`\n  by `network.default = \"refuse\"` (user, user.toml line 2)\n  \
         allowed instead: hosts in `network.allow`: `forge.example`, `api.model.example:443`"
    );
    assert!(
        shown("paste.example:443")
            .contains("by `network.deny \"paste.example\"` (user, user.toml line 6)")
    );
    assert!(shown("10.0.0.1:443").contains("by `network: private addresses` (built-in)"));
}

#[test]
fn an_attempt_in_ipv6_dress_is_judged_and_permitted_as_what_it_is() {
    let policy = policy("[network]\nallow = ['10.0.0.5']");
    match policy.connect(connect("[::ffff:10.0.0.5]:80"), &Grants::default()) {
        Verdict::Allow(permit) => assert_eq!(permit.spend(), connect("10.0.0.5:80")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_agent_needs_may_not_be_everything() {
    let mut agent = codex();
    agent.hosts = vec!["*".into()];
    let error = Policy::compile(&[], None, &agent, &place()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "what agent `codex` needs does not fit the policy: `*` covers too much"
    );
}

#[test]
fn an_attempt_is_parsed_only_with_host_and_port() {
    for bad in [
        "",
        "a.example",
        "a.example:",
        "a.example:0",
        ":80",
        "[10.0.0.1]:80",
        "::1:80",
        "a b:80",
        "127.1:80",
    ] {
        assert!(Connect::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(connect("[::1]:80").to_string(), "[::1]:80");
}
