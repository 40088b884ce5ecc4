//! In which order judging, asking, recording and acting happen.
//!
//! INVARIANT: every attempt passes here exactly once, and its event is written
//! before its permit leaves. What cannot be written down is refused.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use remit_approvals::{Ask, QuestionId};
use remit_audit::{AppendError, Kind, Text, Tried, event};
use remit_policy::{
    Answer, Attempt, Basis, Choice, Connect, Exec, Grants, Handling, Host, Permit, Policy, Port,
    Question, Refusal, Request, Verdict,
};
use remit_proxy::{Answered, Caps, Carried, Credentials, Fact, Requested};

use crate::desk::{CannotAsk, Questions, Waiting};
use crate::journal::Journal;
use crate::lineage::Lineage;
use crate::process::Facts;

/// The one place through which everything goes.
#[derive(Debug)]
pub(crate) struct Gate {
    policy: Policy,
    /// The secrets that are put in on the way out.
    pub(crate) credentials: Arc<Credentials>,
    grants: Mutex<Grants>,
    pub(crate) journal: Journal,
    pub(crate) questions: Questions,
    session: String,
    /// The command's own process, once it has tried to start.
    pub(crate) command: OnceLock<u32>,
    /// What was started, and by whom.
    pub(crate) lineage: Lineage,
    /// What was asked about so far.
    asked: Mutex<HashSet<String>>,
}

/// What came of judging an attempt.
#[derive(Debug)]
pub(crate) enum Judged<A> {
    Permitted { attempt: u64, permit: Permit<A> },
    Refused { attempt: u64, refusal: Refusal },
    Asked(Box<Asked<A>>),
}

/// An attempt that waits for a person. Await [`Gate::settle`].
#[derive(Debug)]
pub(crate) struct Asked<A> {
    pub(crate) attempt: u64,
    question: Question<A>,
    facts: Facts,
    waiting: Waiting,
    since: Instant,
}

impl<A> Asked<A> {
    /// The number of its question.
    pub(crate) fn id(&self) -> QuestionId {
        self.waiting.id
    }
}

/// What the gate must know of an attempt besides its verdict.
pub(crate) trait Recorded: Attempt + Sized {
    const TRIED: Tried;

    fn judge(self, policy: &Policy, grants: &Grants) -> Verdict<Self>;

    /// The event of the attempt, with what the policy said.
    fn event(&self, facts: &Facts, verdict: event::Verdict, basis: Basis, attempt: u64) -> Kind;

    /// The attempt as words for a refusal's event.
    fn detail(&self) -> Vec<Text>;

    /// Label and value for a person, most telling first.
    fn particulars(&self, facts: &Facts) -> Vec<(String, String)>;
}

impl Gate {
    pub(crate) fn new(
        policy: Policy,
        credentials: Arc<Credentials>,
        journal: Journal,
        questions: Questions,
        session: String,
    ) -> Self {
        Self {
            policy,
            credentials,
            grants: Mutex::default(),
            journal,
            questions,
            session,
            command: OnceLock::new(),
            lineage: Lineage::default(),
            asked: Mutex::default(),
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What the policy says to an attempt, given the yeses so far. The verdict goes
    /// to [`Gate::conclude`].
    pub(crate) fn judge<A: Recorded>(&self, tried: A) -> Verdict<A> {
        tried.judge(&self.policy, &self.grants())
    }

    /// Judges an attempt, writes it down, and asks if the policy wants that.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: it could not be written down; refuse.
    pub(crate) fn admit<A: Recorded>(
        &self,
        facts: &Facts,
        tried: A,
    ) -> Result<Judged<A>, AppendError> {
        let detail = tried.detail();
        let verdict = self.judge(tried);
        self.conclude(facts, detail, verdict)
    }

    /// Writes down a verdict that was already given, and asks if it says so.
    pub(crate) fn conclude<A: Recorded>(
        &self,
        facts: &Facts,
        detail: Vec<Text>,
        verdict: Verdict<A>,
    ) -> Result<Judged<A>, AppendError> {
        let attempt = self.journal.attempt();
        let said = event::Verdict::from(&verdict);
        match verdict {
            Verdict::Allow(permit) => {
                let basis = permit.basis().clone();
                self.journal.write(permit.attempt().event(facts, said, basis, attempt))?;
                Ok(Judged::Permitted { attempt, permit })
            }
            Verdict::Refuse(refusal) => {
                self.record_refusal::<A>(facts, attempt, detail, &refusal)?;
                Ok(Judged::Refused { attempt, refusal })
            }
            Verdict::Ask(question) => {
                let basis = question.basis().clone();
                self.journal.write(question.attempt().event(facts, said, basis, attempt))?;
                self.ask(facts, attempt, question)
            }
        }
    }

    fn ask<A: Recorded>(
        &self,
        facts: &Facts,
        attempt: u64,
        question: Question<A>,
    ) -> Result<Judged<A>, AppendError> {
        let summary = question.attempt().summary();
        let mut details = question.attempt().particulars(facts);
        if matches!(A::TRIED, Tried::Connect | Tried::Request) {
            details.push(label("seen", self.seen(&summary)));
        }
        let ask = Ask {
            session: self.session.clone(),
            kind: match A::TRIED {
                Tried::Exec => "exec".to_owned(),
                Tried::Connect => "connect".to_owned(),
                Tried::Request => "request".to_owned(),
                Tried::Write => "write".to_owned(),
                Tried::Call => "call".to_owned(),
            },
            summary: summary.clone(),
            details,
            basis: question.basis().clone(),
            choices: question.choices(),
            posed_at: jiff::Timestamp::now().to_string(),
        };
        match self.questions.put(ask) {
            Ok(waiting) => {
                self.journal.write(Kind::Question {
                    id: waiting.id.into(),
                    attempt,
                    process: facts.event(),
                    summary,
                    basis: question.basis().clone(),
                })?;
                let since = Instant::now();
                Ok(Judged::Asked(Box::new(Asked {
                    attempt,
                    question,
                    facts: facts.clone(),
                    waiting,
                    since,
                })))
            }
            Err(why) => {
                let detail = question.attempt().detail();
                let refusal = question.unanswered(match why {
                    CannotAsk::Nobody => {
                        "this needs approval and nobody can be asked; run in a terminal or with --approvals queue"
                    }
                    CannotAsk::TooMany => {
                        "this needs approval and too many questions wait already; try again later"
                    }
                });
                self.record_refusal::<A>(facts, attempt, detail, &refusal)?;
                Ok(Judged::Refused { attempt, refusal })
            }
        }
    }

    /// Waits for the answer and takes it back through the policy.
    ///
    /// Silence is a refusal, and so is an answer that cannot be written down.
    pub(crate) async fn settle<A: Recorded>(&self, asked: Asked<A>) -> Result<Permit<A>, Refusal> {
        let Asked { attempt, question, facts, waiting, since } = asked;
        let Waiting { id, answer } = waiting;
        let patience = self.policy.approvals().patience;
        let answer = match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => nobody("nobody (withdrawn)"),
            Err(_) => {
                self.questions.expire(id);
                nobody("nobody (timed out)")
            }
        };
        let detail = question.attempt().detail();
        let written = self.journal.write(Kind::Answer {
            id: id.into(),
            attempt,
            choice: answer.choice,
            by: answer.by.clone(),
            note: answer.note.clone(),
            waited_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if written.is_err() {
            return Err(
                question.unanswered("the answer could not be written down; the session ends")
            );
        }
        match question.settle(&answer) {
            Ok(permit) => {
                if let Some(grant) = permit.attempt().grant(answer.choice) {
                    self.grants().add(grant);
                }
                Ok(permit)
            }
            Err(refusal) => {
                // Refused either way; a record that fails here ends the session.
                let _ = self.record_refusal::<A>(&facts, attempt, detail, &refusal);
                Err(refusal)
            }
        }
    }

    /// Writes down a refusal that came after, or without, a verdict of the policy.
    pub(crate) fn record_refusal<A: Recorded>(
        &self,
        facts: &Facts,
        attempt: u64,
        detail: Vec<Text>,
        refusal: &Refusal,
    ) -> Result<(), AppendError> {
        let refusal = refusal.clone();
        self.journal.write(Kind::Refusal {
            attempt,
            process: facts.event(),
            what: A::TRIED,
            detail,
            refusal,
        })
    }

    /// Writes down what was refused without a permit that could have been: a name
    /// that was not written, made or moved, or a call that nobody may make.
    pub(crate) fn record_refused(
        &self,
        facts: &Facts,
        what: Tried,
        detail: Vec<Text>,
        refusal: &Refusal,
    ) -> std::io::Result<()> {
        let event = Kind::Refusal {
            attempt: self.journal.attempt(),
            process: facts.event(),
            what,
            detail,
            refusal: refusal.clone(),
        };
        self.journal.write(event).map_err(std::io::Error::other)
    }

    /// Whether this session has asked the same before, in words.
    fn seen(&self, summary: &str) -> &'static str {
        // A set that only grows.
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.contains(summary) {
            return "asked before in this session";
        }
        if asked.len() >= MOST_ASKED {
            return "too much was asked in this session to tell";
        }
        asked.insert(summary.to_owned());
        "for the first time in this session"
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        // A set that only grows.
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many different questions are remembered. A person answers fewer.
const MOST_ASKED: usize = 4096;

fn nobody(by: &str) -> Answer {
    Answer { choice: Choice::Refuse, by: by.to_owned(), note: None }
}

impl Recorded for Exec {
    const TRIED: Tried = Tried::Exec;

    fn judge(self, policy: &Policy, grants: &Grants) -> Verdict<Self> {
        policy.exec(self, grants)
    }

    fn event(&self, facts: &Facts, verdict: event::Verdict, basis: Basis, attempt: u64) -> Kind {
        let cwd = Text::from(self.cwd.as_path());
        Kind::Exec { process: facts.event(), argv: self.detail(), cwd, verdict, basis, attempt }
    }

    fn detail(&self) -> Vec<Text> {
        self.argv.iter().map(|word| Text::from(word.as_os_str())).collect()
    }

    fn particulars(&self, facts: &Facts) -> Vec<(String, String)> {
        let program = self.program.as_deref().unwrap_or(&self.path);
        vec![
            label("program", program.to_string_lossy()),
            label("in", self.cwd.to_string_lossy()),
            label("by", format!("{} (process {})", facts.program.to_string_lossy(), facts.process)),
        ]
    }
}

impl Recorded for Connect {
    const TRIED: Tried = Tried::Connect;

    fn judge(self, policy: &Policy, grants: &Grants) -> Verdict<Self> {
        policy.connect(self, grants)
    }

    fn event(&self, facts: &Facts, verdict: event::Verdict, basis: Basis, attempt: u64) -> Kind {
        Kind::Connect {
            process: facts.event(),
            destination: self.to_string(),
            host: self.host.clone(),
            port: self.port,
            verdict,
            basis,
            attempt,
        }
    }

    fn detail(&self) -> Vec<Text> {
        vec![Text::from(self.to_string().as_str())]
    }

    fn particulars(&self, facts: &Facts) -> Vec<(String, String)> {
        let mut told =
            vec![label("host", self.host.to_string()), label("port", self.port.to_string())];
        told.extend(by(facts));
        told.extend(self.domain().map(|domain| label("domain", domain.as_str())));
        told
    }
}

impl Recorded for Request {
    const TRIED: Tried = Tried::Request;

    fn judge(self, policy: &Policy, grants: &Grants) -> Verdict<Self> {
        policy.request(self, grants)
    }

    fn event(&self, facts: &Facts, verdict: event::Verdict, basis: Basis, attempt: u64) -> Kind {
        Kind::Request {
            process: facts.event(),
            destination: self.connect.to_string(),
            scheme: self.scheme.to_string(),
            method: Text::from(self.method.as_str()),
            path: Text::from(self.target.path()),
            verdict,
            basis,
            attempt,
        }
    }

    fn detail(&self) -> Vec<Text> {
        vec![Text::from(self.to_string().as_str())]
    }

    fn particulars(&self, facts: &Facts) -> Vec<(String, String)> {
        let mut told = vec![
            label("method", self.method.as_str()),
            label("host", self.connect.to_string()),
            label("path", self.target.path()),
        ];
        told.extend(by(facts));
        told
    }
}

/// The process that reaches for the network, and the programs it runs under.
fn by(facts: &Facts) -> impl Iterator<Item = (String, String)> {
    let process = format!("{} (process {})", facts.program.to_string_lossy(), facts.process);
    let behind = facts.origin.as_ref().map(|origin| label("behind", origin.to_string()));
    std::iter::once(label("by", process)).chain(behind)
}

fn label(label: &str, value: impl Into<String>) -> (String, String) {
    (label.to_owned(), value.into())
}

/// One captured connection, as the proxy sees the gate.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) gate: Arc<Gate>,
    pub(crate) attempt: u64,
    pub(crate) facts: Facts,
}

impl Connection {
    /// Judges what was tried on this connection, asking if need be.
    async fn admitted<A: Recorded>(&self, tried: A) -> Result<(u64, Permit<A>), Refusal> {
        let summary = tried.summary();
        let judged = self.gate.admit(&self.facts, tried).map_err(|_| Refusal {
            attempt: summary,
            basis: Basis::built_in("evidence: what cannot be written down is refused"),
            instead: None,
            note: None,
        })?;
        match judged {
            Judged::Permitted { attempt, permit } => Ok((attempt, permit)),
            Judged::Refused { refusal, .. } => Err(refusal),
            Judged::Asked(asked) => {
                let attempt = asked.attempt;
                self.gate.settle(*asked).await.map(|permit| (attempt, permit))
            }
        }
    }
}

// A record that fails in one of these ends the session; nothing was permitted
// on the strength of it.
impl remit_proxy::Gate for Connection {
    fn address(&self, permitted: &Connect, answer: IpAddr) -> Result<(), Refusal> {
        self.gate.policy.address(permitted, answer)
    }

    fn handling(&self, permitted: &Connect) -> Handling {
        self.gate.policy.handling(permitted)
    }

    fn caps(&self, permitted: &Connect) -> Caps {
        let policy = self.gate.policy();
        let caps = policy.upload_caps(permitted).into_iter();
        let there = caps.map(|(bytes, basis)| (format!("{} {}", basis.layer, basis.rule), bytes));
        Caps { session: policy.data().upload, there: there.collect() }
    }

    async fn connect(&self, host: Host, port: Port) -> Result<(Self, Permit<Connect>), Refusal> {
        let tried = Connect { host, port, program: Some(self.facts.program.clone()) };
        let (attempt, permit) = self.admitted(tried).await?;
        Ok((Self { attempt, ..self.clone() }, permit))
    }

    async fn request(&self, request: Request) -> Result<Requested, Refusal> {
        let (number, permit) = self.admitted(request).await?;
        Ok(Requested { number, permit })
    }

    fn answered(&self, number: u64, answered: Answered) {
        let Answered { status, sent, received } = answered;
        let _ =
            self.gate.journal.write(Kind::RequestEnded { attempt: number, status, sent, received });
    }

    fn noted(&self, fact: Fact) {
        let _ =
            self.gate.journal.write(Kind::ConnectFact { attempt: self.attempt, fact: seen(fact) });
    }

    async fn revoked(&self) -> Refusal {
        std::future::pending().await
    }

    fn refused(&self, refusal: &Refusal) {
        let detail = vec![Text::from(refusal.attempt.as_str())];
        let _ = self.gate.record_refusal::<Connect>(&self.facts, self.attempt, detail, refusal);
    }

    fn failed(&self, error: String) {
        let _ = self.gate.journal.write(Kind::Outcome { attempt: self.attempt, error });
    }

    fn ended(&self, carried: Carried) {
        let Carried { sent, received, reason } = carried;
        let (attempt, reason) = (self.attempt, reason.to_owned());
        let _ = self.gate.journal.write(Kind::ConnectEnded { attempt, sent, received, reason });
    }
}

fn seen(fact: Fact) -> event::Fact {
    match fact {
        Fact::Protocol { name, inspected } => {
            event::Fact::Protocol { name: name.to_owned(), inspected }
        }
        Fact::SshHostKey { algorithm, fingerprint } => {
            event::Fact::SshHostKey { algorithm, fingerprint }
        }
        Fact::SshCommand(command) => {
            event::Fact::SshCommand { command: Text::from(command.as_str()) }
        }
        Fact::Database { user, database } => event::Fact::Database {
            user: Text::from(user.as_str()),
            database: Text::from(database.as_str()),
        },
        Fact::Credential { name, request } => event::Fact::Credential { name, request },
    }
}
