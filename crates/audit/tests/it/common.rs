//! A small record to try things on.

use std::path::{Path, PathBuf};

use remit_audit::event::{Boundary, Circumstances, Machine, User};
use remit_audit::{
    At, Kind, Process, PublicKey, Record, Report, SessionId, Status, Sync, Text, Tried, Verdict,
};
use remit_policy::{Basis, Choice, Host, HostName, Port, Refusal};

pub(crate) const SESSION: &str = "20261121-041500-k3v9";

pub(crate) fn session() -> SessionId {
    SESSION.parse().expect("a session's name")
}

pub(crate) fn at(n: u64) -> At {
    At { wall_ns: 1_795_234_500_000_000_000 + n, mono_ns: 77_000_000_000 + n }
}

pub(crate) fn create(state: &Path) -> Record {
    Record::create(state, session(), Sync::Grouped).expect("a record is created")
}

pub(crate) fn directory(state: &Path) -> PathBuf {
    session().directory(state)
}

pub(crate) fn verify(state: &Path) -> Report {
    let key = PublicKey::load(&state.join("key.pub")).expect("the public key is there");
    remit_audit::verify(&directory(state), session(), &key).expect("the files can be read")
}

pub(crate) fn process() -> Process {
    Process {
        pid: 41,
        parent: 40,
        started: 9_000,
        program: Text::from("/usr/bin/sh"),
        origin: None,
    }
}

pub(crate) fn exec(argv: Vec<Text>) -> Kind {
    Kind::Exec {
        program: None,
        environment: vec![Text::from("PAGER=less")],
        circumstances: Circumstances {
            path: Some(Text::from("./git")),
            copy_of: vec![Text::from("/usr/bin/git")],
            stdin: remit_policy::Stdin::Pipe,
            fed_by: Some(Text::from("/usr/bin/cat")),
            feeds: None,
        },
        process: process(),
        argv,
        cwd: Text::from("/work"),
        verdict: Verdict::Allow,
        basis: Basis::built_in("commands.default = \"allow\""),
        attempt: 1,
    }
}

pub(crate) fn degraded() -> Kind {
    Kind::Degraded { what: "x".to_owned(), why: "y".to_owned() }
}

/// One of each kind but the last word.
pub(crate) fn kinds() -> Vec<Kind> {
    let basis = || Basis::built_in("network.default = \"ask\"");
    let refusal = Refusal {
        attempt: "connect to `paste.example:443`".to_owned(),
        basis: basis(),
        instead: None,
        note: None,
    };
    vec![
        Kind::SessionStarted {
            version: "0.1.0".to_owned(),
            policy_digest: "ab".repeat(32),
            profile: "default".to_owned(),
            agent: "codex".to_owned(),
            command: vec![Text::from("codex"), Text::from("exec")],
            workspace: Text::from("/work"),
            user: User { uid: 1000, name: "alice".to_owned() },
            host: Machine { kernel: "Linux 6.18.1".to_owned(), boot_id: "b".to_owned() },
            boundary: Boundary { tier: "full".to_owned(), layers: vec![Text::from("namespaces")] },
            terminal: true,
        },
        exec(vec![Text::from("git"), Text::from("status")]),
        Kind::Connect {
            process: process(),
            destination: "198.18.0.7:443".to_owned(),
            host: Host::Name(HostName::parse("paste.example").expect("a name")),
            port: Port::try_from(443).expect("a port"),
            verdict: Verdict::Ask,
            basis: basis(),
            attempt: 2,
        },
        Kind::Upload {
            process: process(),
            destination: "paste.example:443".to_owned(),
            method: Text::from("POST"),
            path: Text::from("/new"),
            looks_like: "a GitHub token".to_owned(),
            verdict: Verdict::Ask,
            basis: basis(),
            attempt: 2,
        },
        Kind::Question {
            findings: Vec::new(),
            id: 1,
            attempt: 2,
            process: process(),
            summary: "connect".to_owned(),
            basis: basis(),
        },
        Kind::Answer {
            id: 1,
            attempt: 2,
            choice: Choice::Refuse,
            by: "alice".to_owned(),
            note: Some("no".to_owned()),
            waited_ms: 4200,
        },
        Kind::Refusal {
            attempt: 2,
            process: process(),
            what: Tried::Connect,
            detail: vec![Text::from("paste.example:443")],
            refusal,
        },
        Kind::ConnectEnded { attempt: 3, sent: 1, received: 2, reason: "closed".to_owned() },
        Kind::Outcome { attempt: 4, error: "no such file".to_owned() },
        Kind::LimitReached {
            limit: "memory".to_owned(),
            value: 1 << 30,
            how: "cgroup v2".to_owned(),
            ended: true,
        },
        degraded(),
        Kind::Exit { status: Status::Code(0) },
    ]
}
