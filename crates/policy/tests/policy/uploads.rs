//! What looks like a secret in a body.

use remit_policy::{Answer, Attempt as _, Cache, Choice, Grants, Layer, Policy, Upload, Verdict};

use crate::common::{compile, connect, request, settings, words};

fn token(to: &str) -> Upload {
    Upload { request: request(&format!("POST {to}/upload")), what: "a GitHub token" }
}

#[track_caller]
fn check(policy: &Policy, grants: &Grants, attempt: Upload, expected: &str) {
    let (summary, verdict) = (attempt.summary(), policy.upload(attempt, grants));
    assert!(words(&verdict).starts_with(expected), "{summary}: {}", words(&verdict));
}

const ALLOW: &str = "[network]\nallow = ['forge.example', 'other.example']\n";

#[test]
fn what_looks_like_a_secret_is_a_question_unless_the_policy_says_otherwise() {
    let none = Grants::default();
    let asks = compile(&[settings(Layer::User, ALLOW)], None);
    check(&asks, &none, token("https://forge.example:443"), "ask by built-in");
    check(&asks, &none, token("https://api.model.example:443"), "allow by built-in");
    let off = format!("{ALLOW}patterns = 'off'\n");
    let off = compile(&[settings(Layer::User, &off)], None);
    check(&off, &none, token("https://forge.example:443"), "allow by user");
    let denied = format!("{ALLOW}patterns = 'off'\ndeny = ['forge.example']\n");
    let denied = compile(&[settings(Layer::User, &denied)], None);
    check(&denied, &none, token("https://forge.example:443"), "refuse by user");
}

#[test]
fn a_yes_for_the_session_is_to_this_kind_and_this_host_and_port() {
    let policy = compile(&[settings(Layer::User, ALLOW)], None);
    let mut grants = Grants::default();
    let Verdict::Ask(question) = policy.upload(token("https://forge.example:443"), &grants) else {
        panic!("it asks")
    };
    assert_eq!(question.choices(), [Choice::Once, Choice::Session, Choice::Refuse, Choice::Stop]);
    let answer =
        Answer { choice: Choice::Session, by: "alice".into(), people: [].into(), note: None };
    let permit = question.settle(&answer).expect("a yes");
    grants.add(permit.attempt().grant(Choice::Session).expect("a grant"));
    check(&policy, &grants, token("https://forge.example:443"), "allow");
    check(&policy, &grants, token("https://forge.example:8443"), "ask");
    check(&policy, &grants, token("https://other.example:443"), "ask");
    let key = Upload { what: "a private key", ..token("https://forge.example:443") };
    check(&policy, &grants, key, "ask");
}

#[test]
fn what_the_agent_needs_is_neither_searched_nor_kept() {
    let text = format!("{ALLOW}cache = 'only'\n");
    let policy = compile(&[settings(Layer::User, &text)], None);
    let model = policy.handling(&connect("api.model.example"));
    assert_eq!((model.agents, model.search, model.cache), (true, false, Cache::Off));
    let forge = policy.handling(&connect("forge.example"));
    assert_eq!((forge.agents, forge.search, forge.cache), (false, true, Cache::Only));
    let other_port = policy.handling(&connect("api.model.example:8443"));
    assert_eq!((other_port.agents, other_port.search), (false, true));
}
