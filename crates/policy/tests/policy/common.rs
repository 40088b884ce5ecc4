//! A small world for the tests: alice, her workspace, and texts in layers.

use std::ffi::OsString;
use std::path::PathBuf;

use remit_policy::{
    AgentNeeds, Connect, Exec, Grants, Layer, Method, Place, Policy, PolicyError, PolicyText,
    Request, Scheme, Target, TextKind, Verdict,
};

pub(crate) fn place() -> Place {
    Place { home: "/home/alice".into(), workspace: "/home/alice/proj".into() }
}

pub(crate) fn codex() -> AgentNeeds {
    AgentNeeds {
        name: "codex".into(),
        hosts: vec!["api.model.example:443".into()],
        write: vec!["~/.codex".into()],
        environment: vec!["OPENAI_API_KEY".into()],
    }
}

pub(crate) fn settings(layer: Layer, text: &str) -> PolicyText {
    PolicyText { layer, kind: TextKind::Settings, file: format!("{layer}.toml"), text: text.into() }
}

pub(crate) fn rules(layer: Layer, text: &str) -> PolicyText {
    PolicyText { layer, kind: TextKind::Rules, file: format!("{layer}.rules"), text: text.into() }
}

pub(crate) fn try_compile(
    texts: &[PolicyText],
    profile: Option<&str>,
) -> Result<Policy, PolicyError> {
    Policy::compile(texts, profile, &codex(), &place())
}

#[track_caller]
pub(crate) fn compile(texts: &[PolicyText], profile: Option<&str>) -> Policy {
    try_compile(texts, profile).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
pub(crate) fn connect(text: &str) -> Connect {
    let with_port = if text.contains(':') { text.to_owned() } else { format!("{text}:443") };
    Connect::parse(&with_port).unwrap_or_else(|| panic!("`{text}` is not a host"))
}

/// `METHOD scheme://host:port/path`, by no program that is known.
#[track_caller]
pub(crate) fn request(text: &str) -> Request {
    let (method, url) = text.split_once(' ').expect("a method");
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let at = rest.find('/').expect("a path");
    Request {
        connect: connect(&rest[..at]),
        scheme: if scheme == "https" { Scheme::Https } else { Scheme::Http },
        method: Method::parse(method).expect("a method"),
        target: Target::parse(&rest[at..]).expect("a target"),
        overrides: Vec::new(),
    }
}

#[track_caller]
pub(crate) fn check_request(policy: &Policy, text: &str, expected: &str) {
    let verdict = policy.request(request(text), &Grants::default());
    assert!(words(&verdict).starts_with(expected), "{text}: {}, not {expected}", words(&verdict));
}

/// `path program argv…`; a program of `-` was not resolved.
pub(crate) fn exec(line: &str) -> Exec {
    let mut words = line.split(' ');
    let path = PathBuf::from(words.next().unwrap_or_default());
    let program = words.next().filter(|p| *p != "-").map(PathBuf::from);
    Exec {
        path,
        program,
        argv: words.map(OsString::from).collect(),
        cwd: "/home/alice/proj".into(),
        ..Exec::default()
    }
}

/// The verdict in words: `allow by user`, `ask by built-in`, `refuse by system`.
pub(crate) fn words<A: remit_policy::Attempt>(verdict: &Verdict<A>) -> String {
    match verdict {
        Verdict::Allow(permit) => format!("allow by {}", permit.basis().layer),
        Verdict::Ask(question) => format!("ask by {}", question.basis().layer),
        Verdict::Refuse(refusal) => format!("refuse by {}", refusal.basis.layer),
    }
}

/// How strict a verdict is: 0 allow, 1 ask, 2 refuse.
pub(crate) fn strictness<A>(verdict: &Verdict<A>) -> u8 {
    match verdict {
        Verdict::Allow(_) => 0,
        Verdict::Ask(_) => 1,
        Verdict::Refuse(_) => 2,
    }
}

#[track_caller]
pub(crate) fn check_host(policy: &Policy, host: &str, expected: &str) {
    let verdict = policy.connect(connect(host), &Grants::default());
    assert!(words(&verdict).starts_with(expected), "{host}: {}, not {expected}", words(&verdict));
}

#[track_caller]
pub(crate) fn check_exec(policy: &Policy, line: &str, expected: &str) {
    let verdict = policy.exec(exec(line), &Grants::default());
    assert!(words(&verdict).starts_with(expected), "{line}: {}, not {expected}", words(&verdict));
}
