//! A gate, an agent and a host, joined by memory.

mod one;
mod two;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use remit_policy::{
    AgentNeeds, Answer, Attempt as _, Basis, Choice, Connect, Grants, Handling, Host, Permit,
    Place, Policy, Port, Refusal, Request, Scheme, Upload, Verdict,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

use super::Inspected;
use super::hooks::{Course, Draft, Hooks, Incoming, Outgoing};
use crate::{Answered, Carried, Fact, Gate, Requested};

/// Refuses what is below `/denied`, never answers below `/asked`, and lets the rest
/// pass. Writes down what it hears.
#[derive(Clone)]
pub(super) struct Watched {
    policy: Arc<Policy>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    pub(super) fn new() -> Self {
        let place = Place { home: "/home/alice".into(), workspace: "/home/alice/w".into() };
        let policy = Policy::compile(&[], None, &AgentNeeds::default(), &place).expect("a policy");
        Self { policy: Arc::new(policy), seen: Arc::default() }
    }

    fn see(&self, what: String) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn permit(&self, request: Request) -> Result<Permit<Request>, Refusal> {
        let answer =
            Answer { choice: Choice::Once, by: "alice".into(), people: [].into(), note: None };
        match self.policy.request(request, &Grants::default()) {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Ask(question) => question.settle(&answer),
            Verdict::Refuse(refusal) => Err(refusal),
        }
    }
}

pub(super) fn refusal(attempt: String, rule: &str) -> Refusal {
    Refusal { attempt, basis: Basis::built_in(rule), instead: None, note: None }
}

impl Gate for Watched {
    fn address(&self, _permitted: &Connect, _answer: IpAddr) -> Result<(), Refusal> {
        Ok(())
    }

    fn way(&self, _: &Connect) -> crate::Way {
        crate::Way::Direct
    }

    fn caps(&self, _: &Connect) -> crate::Caps {
        crate::Caps::default()
    }

    fn handling(&self, _permitted: &Connect) -> Handling {
        // A host that is known to read what it is sent.
        Handling { inspect: true, agents: true, ..Handling::default() }
    }

    async fn connect(&self, host: Host, port: Port) -> Result<(Self, Permit<Connect>), Refusal> {
        Err(refusal(format!("connect to `{host}:{port}`"), "not on an inspected connection"))
    }

    async fn request(&self, request: Request) -> Result<Requested, Refusal> {
        let overrides: Vec<&str> = request.overrides.iter().map(|m| m.as_str()).collect();
        let words = match overrides.join("+") {
            none if none.is_empty() => request.summary(),
            some => format!("request `{request}` as {some}"),
        };
        self.see(words.clone());
        if request.target.path().starts_with("/denied") {
            return Err(refusal(words, "deny /denied"));
        }
        if request.target.path().starts_with("/asked") {
            std::future::pending::<()>().await;
        }
        Ok(Requested { number: self.seen().len() as u64, permit: self.permit(request)? })
    }

    async fn upload(&self, upload: Upload) -> Result<Permit<Upload>, Refusal> {
        self.see(upload.summary());
        let answer =
            Answer { choice: Choice::Refuse, by: "alice".into(), people: [].into(), note: None };
        match self.policy.upload(upload, &Grants::default()) {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Ask(question) => question.settle(&answer),
            Verdict::Refuse(refusal) => Err(refusal),
        }
    }

    fn answered(&self, _number: u64, answered: Answered) {
        let Answered { status, sent, received } = answered;
        let status = status.map_or("no answer".to_owned(), |status| status.to_string());
        self.see(format!("{status}, {sent} out, {received} in"));
    }

    fn noted(&self, fact: Fact) {
        self.see(format!("{fact:?}"));
    }

    fn refused(&self, refusal: &Refusal) {
        let why = refusal.basis.justification.as_deref().unwrap_or(&refusal.basis.rule);
        self.see(format!("refused: {why}"));
    }

    fn failed(&self, error: String) {
        self.see(format!("failed: {error}"));
    }

    fn ended(&self, carried: Carried) {
        self.see(format!("{carried:?}"));
    }

    async fn revoked(&self, _: &Connect) -> Refusal {
        std::future::pending().await
    }
}

/// Puts a secret into requests, refuses bodies that hold it, and masks it in answers.
pub(super) struct Secret;

const SECRET: &[u8] = b"hunter2";

impl Hooks for Secret {
    type Outgoing = Self;
    type Incoming = Self;

    async fn request(
        &self,
        _number: u64,
        request: &Request,
        draft: &mut Draft,
    ) -> Result<Course<Self, Self>, Refusal> {
        match request.target.path() {
            "/cached" => return Ok(Course::Answer(Response::new(Bytes::from_static(b"old")))),
            "/elsewhere" => return Err(refusal(request.summary(), "placeholder sent elsewhere")),
            "/broken" => draft.query = Some("a b".to_owned()),
            _ => draft.query = Some("key=hunter2".to_owned()),
        }
        draft.headers.insert("authorization", "Bearer hunter2".parse().expect("a value"));
        // Framing is not a hook's to say.
        draft.headers.insert("content-length", "999".parse().expect("a value"));
        draft.headers.insert("transfer-encoding", "chunked".parse().expect("a value"));
        Ok(Course::Send(Self, Self))
    }
}

impl Outgoing for Secret {
    async fn pass(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        if piece.windows(SECRET.len()).any(|window| window == SECRET) {
            return Err(refusal("send a body".to_owned(), "a secret in a body"));
        }
        Ok(piece)
    }

    async fn finish(&mut self, _trailers: Option<&mut HeaderMap>) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }
}

impl Incoming for Secret {
    fn head(&mut self, _status: StatusCode, headers: &mut HeaderMap) {
        headers.remove("x-echo");
    }

    fn pass(&mut self, piece: Bytes) -> Bytes {
        let text = String::from_utf8_lossy(&piece).replace("hunter2", "*******");
        Bytes::from(text)
    }

    fn finish(&mut self, trailers: Option<&mut HeaderMap>) -> Bytes {
        if let Some(trailers) = trailers {
            trailers.remove("x-echo");
        }
        Bytes::new()
    }
}

pub(super) fn inspected<H>(scheme: Scheme, hooks: H) -> Inspected<Watched, H> {
    let port = if scheme == Scheme::Http { "80" } else { "443" };
    let connect = Connect::parse(&format!("api.example:{port}")).expect("a host and a port");
    Inspected { gate: Watched::new(), connect, scheme, hooks, is_crowded: false }
}
