//! What is written down. A record is evidence: one struct, written once, never
//! rephrased.
//!
//! On disk an event is one line of JSON in ASCII with its fields in the order
//! given here, `{"seq":0,"time":…,"mono":…,"session":…,"prev":…,"event":{"exit":
//! {…}}}`. There are no floating-point numbers and no maps. Unknown fields and
//! unknown kinds are not read.

use remit_policy::{Basis, Choice, Finding, Host, Port, Refusal, Stdin};
use serde::{Deserialize, Serialize};

use crate::chain::Digest;
use crate::session::SessionId;
use crate::text::Text;

/// One event with what ties it to its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Position in the record, from 0.
    pub seq: u64,
    /// UTC, nanoseconds since 1970. It may run backwards; `seq` and `mono` do not.
    pub time: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub mono: u64,
    pub session: SessionId,
    /// See [`crate::chain`].
    pub prev: Digest,
    pub event: Kind,
}

/// When something happened, as the caller's clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// UTC, nanoseconds since 1970.
    pub wall_ns: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub mono_ns: u64,
}

/// What happened.
///
/// `attempt` numbers what the agent tried within the session, whatever it was;
/// events with the same number are about the same try. When a refusal follows,
/// by rule or by answer, it is a [`Kind::Refusal`] with that number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    SessionStarted {
        /// This program's version.
        version: String,
        /// What the policy in force hashes to.
        policy_digest: String,
        profile: String,
        /// The adapter in use, such as `codex`; `command` where none is.
        agent: String,
        command: Vec<Text>,
        workspace: Text,
        user: User,
        host: Machine,
        boundary: Boundary,
        /// Whether a person sits at a terminal of this session.
        terminal: bool,
    },
    /// A program about to be started.
    Exec {
        process: Process,
        /// The file that is to run, links followed; absent where only the kernel knew.
        program: Option<Text>,
        argv: Vec<Text>,
        cwd: Text,
        /// Variables that change what programs do, as `NAME=value`.
        environment: Vec<Text>,
        #[serde(default, skip_serializing_if = "Circumstances::are_plain")]
        circumstances: Circumstances,
        verdict: Verdict,
        basis: Basis,
        attempt: u64,
    },
    /// A TCP connection about to be made.
    Connect {
        process: Process,
        /// Host and port in one, as they were judged.
        destination: String,
        host: Host,
        port: Port,
        verdict: Verdict,
        basis: Basis,
        attempt: u64,
    },
    /// A request of HTTP about to be passed on.
    Request {
        process: Process,
        /// Host and port of the connection it came on.
        destination: String,
        scheme: String,
        method: Text,
        /// Without the query.
        path: Text,
        /// Methods that it asks to be taken for instead, by its headers or its query.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        also: Vec<Text>,
        verdict: Verdict,
        basis: Basis,
        attempt: u64,
    },
    RequestEnded {
        attempt: u64,
        /// Absent when no answer came.
        status: Option<u16>,
        /// Bytes of its body.
        sent: u64,
        /// Bytes of the answer's body.
        received: u64,
    },
    /// What looks like a secret in the body of a permitted request.
    Upload {
        process: Process,
        /// Host and port of the connection it came on.
        destination: String,
        method: Text,
        /// Without the query.
        path: Text,
        /// The kind of secret; never what was found.
        looks_like: String,
        verdict: Verdict,
        basis: Basis,
        attempt: u64,
    },
    /// Something that was seen of a connection.
    ConnectFact { attempt: u64, fact: Fact },
    /// A port of the host's loopback leads to the same port of the session's, for
    /// programs of the same person.
    Published { port: Port, basis: Basis },
    /// Somebody on the host came to a published port. How it ended is a
    /// [`Kind::ConnectEnded`] or, if nobody listens inside, a [`Kind::Outcome`].
    Inbound {
        attempt: u64,
        port: Port,
        /// The port it came from, on the host's loopback.
        from: u16,
    },
    ConnectEnded {
        attempt: u64,
        /// Bytes from the agent to the host.
        sent: u64,
        /// Bytes from the host to the agent.
        received: u64,
        reason: String,
    },
    Question {
        /// The number it has in the queue, from 1.
        id: u32,
        attempt: u64,
        process: Process,
        summary: String,
        basis: Basis,
        /// What is known about it, gravest first.
        findings: Vec<Finding>,
    },
    /// What came back to a question. Silence is a refusal by
    /// `nobody (timed out)`.
    Answer {
        id: u32,
        attempt: u64,
        choice: Choice,
        by: String,
        note: Option<String>,
        waited_ms: u64,
    },
    /// A yes to a question that more people have to say yes to.
    Agreed {
        id: u32,
        choice: Choice,
        by: String,
        note: Option<String>,
        /// How many more it takes.
        more: u8,
    },
    /// An answer to a question that takes none any more. It changed nothing.
    LateAnswer {
        id: u32,
        choice: Choice,
        by: String,
        note: Option<String>,
        /// What became of the question.
        why: String,
    },
    /// Something came from elsewhere that is no answer to the question. It changed
    /// nothing.
    IgnoredAnswer { id: u32, from: String, why: String },
    /// A yes for the project was written to the person's own rules.
    AnswerKept {
        attempt: u64,
        file: Text,
        /// Its number in the file.
        number: u32,
        rule: String,
        /// The last day on which it holds, as `2026-12-31`.
        until: String,
    },
    /// The limits on answers are lifted for a while. It has to be reviewed.
    BreakGlass {
        /// The review's id.
        review: String,
        by: String,
        reason: String,
        /// RFC 3339.
        until: String,
    },
    /// They hold again.
    BreakGlassEnded {
        review: String,
        /// Yeses that were said in the meantime.
        yeses: u64,
    },
    Refusal {
        attempt: u64,
        process: Process,
        what: Tried,
        /// The argument vector, or one element with the destination, path or call.
        detail: Vec<Text>,
        refusal: Refusal,
    },
    /// A file was written, or made, that a program outside the boundary will run
    /// or obey. Once for each path.
    Handoff { process: Process, path: Text, why: String },
    /// What was permitted and then failed: an exec in the kernel, a dial.
    Outcome { attempt: u64, error: String },
    /// The session reached what it may take of the machine.
    LimitReached {
        /// The key below `limits` in the policy, such as `memory`.
        limit: String,
        /// In bytes, processes, descriptors or seconds.
        value: u64,
        /// Who noticed, and by which means it is enforced.
        how: String,
        /// Whether the session was ended for it.
        ended: bool,
    },
    /// The policy was changed. What the agent tries from here on is judged by the
    /// new one; connections that it no longer permits are closed.
    PolicyChanged {
        /// What the policy until now hashes to, as in [`Kind::SessionStarted`].
        from: String,
        /// What the new one does.
        to: String,
        /// The files that are there, gone, or changed since.
        files: Vec<Text>,
        /// Sections of which the change holds from the next session on.
        later: Vec<String>,
    },
    /// The names that were looked up so far: once when very many were asked and not
    /// used, and at the end of a session that looked up any.
    Lookups {
        /// Questions about addresses.
        asked: u64,
        /// Names that were asked about, each counted once.
        distinct: u64,
        /// How many of them anybody tried to connect to.
        connected: u64,
    },
    /// A safeguard that is not in force.
    Degraded { what: String, why: String },
    /// The command of the session ended.
    Exit { status: Status },
    /// What a session on a copy-on-write view changed waits for a person.
    ChangesKept {
        /// How many; absent where they could not be counted.
        paths: Option<u64>,
        /// Where they are kept.
        directory: Text,
    },
    /// A person decides on what a session changed. It stands first in a record
    /// of its own, since the session's is closed.
    ReviewStarted {
        /// This program's version.
        version: String,
        action: ReviewAction,
        /// Whose changes they are.
        of: SessionId,
        workspace: Text,
        user: User,
        /// How many changes wait; absent where they could not be counted.
        paths: Option<u64>,
    },
    /// A change about to be made in the workspace itself.
    ChangeApplied {
        /// Relative to the workspace.
        path: Text,
        change: ChangeKind,
        /// SHA-256 of the file as it will be; absent where it will be no file.
        sha256: Option<Digest>,
        /// What a person was told before saying yes to it in particular.
        warned: Vec<String>,
        attempt: u64,
    },
    /// How often each tier decided about what the agent tried.
    Tiers {
        /// Rules, defaults and what is known, without a question.
        rule: u64,
        /// A yes that a person gave before, to the same or to more.
        precedent: u64,
        reviewer: u64,
        person: u64,
        /// Questions that nobody answered, which refuses.
        nobody: u64,
    },
    /// The last word of a record.
    SessionEnded {
        /// How many events there are, this one included.
        events: u64,
        refusals: u64,
        questions: u64,
    },
}

impl Kind {
    /// Whether it has to be on the disk before the program goes on.
    pub fn is_synced_at_once(&self) -> bool {
        match self {
            Kind::Answer { .. }
            | Kind::BreakGlass { .. }
            | Kind::BreakGlassEnded { .. }
            | Kind::LimitReached { .. }
            | Kind::PolicyChanged { .. }
            | Kind::SessionEnded { .. } => true,
            // A program that tries many names must not wait for a disk each time,
            // nor everybody else for one that tries many calls.
            Kind::Refusal { what, .. } => !matches!(what, Tried::Write | Tried::Call),
            _ => false,
        }
    }

    /// The name it has on disk.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::SessionStarted { .. } => "session_started",
            Kind::Exec { .. } => "exec",
            Kind::Connect { .. } => "connect",
            Kind::Request { .. } => "request",
            Kind::RequestEnded { .. } => "request_ended",
            Kind::Upload { .. } => "upload",
            Kind::ConnectFact { .. } => "connect_fact",
            Kind::Published { .. } => "published",
            Kind::Inbound { .. } => "inbound",
            Kind::ConnectEnded { .. } => "connect_ended",
            Kind::Question { .. } => "question",
            Kind::Answer { .. } => "answer",
            Kind::Agreed { .. } => "agreed",
            Kind::LateAnswer { .. } => "late_answer",
            Kind::IgnoredAnswer { .. } => "ignored_answer",
            Kind::AnswerKept { .. } => "answer_kept",
            Kind::BreakGlass { .. } => "break_glass",
            Kind::BreakGlassEnded { .. } => "break_glass_ended",
            Kind::Refusal { .. } => "refusal",
            Kind::Handoff { .. } => "handoff",
            Kind::Outcome { .. } => "outcome",
            Kind::LimitReached { .. } => "limit_reached",
            Kind::PolicyChanged { .. } => "policy_changed",
            Kind::Lookups { .. } => "lookups",
            Kind::Degraded { .. } => "degraded",
            Kind::Exit { .. } => "exit",
            Kind::ChangesKept { .. } => "changes_kept",
            Kind::ReviewStarted { .. } => "review_started",
            Kind::ChangeApplied { .. } => "change_applied",
            Kind::Tiers { .. } => "tiers",
            Kind::SessionEnded { .. } => "session_ended",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub uid: u32,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Name and release, such as `Linux 6.18.1`.
    pub kernel: String,
    /// Tells processes of one run of the machine from those of another.
    pub boot_id: String,
}

/// What was really enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    pub tier: String,
    pub layers: Vec<Text>,
}

/// A process as it was when it tried. `pid` and `started` together name it once
/// per boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// As the host numbers it.
    pub pid: u32,
    pub parent: u32,
    /// Clock ticks since boot, `/proc/<pid>/stat` field 22.
    pub started: u64,
    /// The file it runs, before the exec where that is what it tries.
    pub program: Text,
    /// Told of what reaches for the network, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What else a verdict on a program may depend on, so that it can be judged anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Circumstances {
    /// As the caller spelt it, where that is not the file that is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Text>,
    /// Programs that the file is another name or a copy of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy_of: Vec<Text>,
    /// What it reads on standard input, where that is known.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub stdin: Stdin,
    /// The programs at the other ends of the pipes it reads and writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fed_by: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feeds: Option<Text>,
}

impl Circumstances {
    /// Whether there is nothing to say.
    pub fn are_plain(&self) -> bool {
        *self == Self::default()
    }
}

fn is_unknown(stdin: &Stdin) -> bool {
    *stdin == Stdin::Unknown
}

/// The judged programs behind a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The attempt by which what the process runs was started, by itself or by
    /// the one it was forked from.
    pub exec: u64,
    /// SHA-256 of its arguments as they were judged, each followed by a NUL, in
    /// lower-case hexadecimal.
    pub argv_digest: String,
    /// The attempts of the programs it was started under, nearest first. Of a
    /// chain of more than eight the middle is left out.
    pub above: Vec<u64>,
}

/// What was seen of a connection that its name does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact {
    /// What is spoken, and whether it was ended here to judge requests.
    Protocol {
        name: String,
        inspected: bool,
    },
    SshHostKey {
        algorithm: String,
        fingerprint: String,
    },
    SshCommand {
        user: Text,
        command: Text,
    },
    Database {
        user: Text,
        database: Text,
    },
    /// A named secret was put into the request of this number.
    Credential {
        name: String,
        request: u64,
    },
}

/// What a person does with the changes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewAction {
    /// Some or all are made in the workspace.
    Apply,
    /// All that wait are thrown away.
    Drop,
}

/// In what way a path was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    /// Its contents, where its link leads, or its permissions.
    Modified,
    Deleted,
    /// Something of another kind stands in its place, such as a link for a file.
    Replaced,
}

/// What the policy said, before any answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Allow,
    Ask,
    Refuse,
}

impl<A> From<&remit_policy::Verdict<A>> for Verdict {
    fn from(verdict: &remit_policy::Verdict<A>) -> Self {
        match verdict {
            remit_policy::Verdict::Allow(_) => Self::Allow,
            remit_policy::Verdict::Ask(_) => Self::Ask,
            remit_policy::Verdict::Refuse(_) => Self::Refuse,
        }
    }
}

/// Which sort of attempt was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tried {
    Exec,
    Connect,
    Request,
    /// What looks like a secret, in a body.
    Upload,
    /// A name to be made or changed, or a file to be opened for writing.
    Write,
    /// A system call that nobody inside may make. Once for each program that is
    /// started and each call.
    Call,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Code(i32),
    Signal(i32),
}
