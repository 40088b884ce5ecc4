//! In which order judging, asking, recording and acting happen.
//!
//! INVARIANT: every attempt passes here exactly once, and its event is written
//! before its permit leaves. What cannot be written down is refused.

mod connection;
mod in_force;
mod masked;
mod program;
mod uploads;
mod way;

pub(crate) use connection::Connection;
pub(crate) use program::{Shown, is_answer};

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use remit_approvals::{Ask, QuestionId};
use remit_audit::{AppendError, Kind, Text, Tried, event};
use remit_policy::{
    Answer, Attempt, Basis, Choice, Connect, Grants, Permit, Policy, Question, Refusal, Request,
    Verdict,
};
use remit_proxy::Credentials;
use tokio::sync::watch;

use crate::desk::{CannotAsk, Questions, Waiting};
use crate::journal::Journal;
use crate::lineage::Lineage;
use crate::process::Facts;

/// The one place through which everything goes.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The policy in force; whoever has to know hears of changes.
    policy: watch::Sender<Arc<Policy>>,
    /// The policy that the boundary was built by.
    start: Arc<Policy>,
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
    /// Digests of what a yes was given to for longer than once.
    approved: Mutex<HashSet<String>>,
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
    /// What a yes is bound to, as [`Ask::digest`].
    digest: String,
}

impl<A> Asked<A> {
    /// The number of its question.
    pub(crate) fn id(&self) -> QuestionId {
        self.waiting.id
    }
}

/// What the gate must know of an attempt besides its verdict.
pub(crate) trait Recorded: Attempt + Clone + Sync {
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
        let start = Arc::new(policy);
        Self {
            policy: watch::Sender::new(Arc::clone(&start)),
            start,
            credentials,
            grants: Mutex::default(),
            journal,
            questions,
            session,
            command: OnceLock::new(),
            lineage: Lineage::default(),
            asked: Mutex::default(),
            approved: Mutex::default(),
        }
    }

    /// What the policy says to an attempt, given the yeses so far. The verdict goes
    /// to [`Gate::conclude`].
    pub(crate) fn judge<A: Recorded>(&self, tried: A) -> Verdict<A> {
        tried.judge(&self.policy(), &self.grants())
    }

    /// Writes down a verdict, and asks if it says so.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: it could not be written down; refuse.
    pub(crate) fn conclude<A: Recorded>(
        &self,
        facts: &Facts,
        detail: Vec<Text>,
        verdict: Verdict<A>,
    ) -> Result<Judged<A>, AppendError> {
        self.conclude_shown(facts, detail, verdict, Shown::default())
    }

    /// The same, and shows more than the attempt itself says if somebody is asked.
    pub(crate) fn conclude_shown<A: Recorded>(
        &self,
        facts: &Facts,
        detail: Vec<Text>,
        verdict: Verdict<A>,
        shown: Shown,
    ) -> Result<Judged<A>, AppendError> {
        let attempt = self.journal.attempt();
        let said = event::Verdict::from(&verdict);
        match verdict {
            Verdict::Allow(permit) => {
                let basis = permit.basis().clone();
                self.write(permit.attempt().event(facts, said, basis, attempt))?;
                Ok(Judged::Permitted { attempt, permit })
            }
            Verdict::Refuse(refusal) => {
                self.record_refusal::<A>(facts, attempt, detail, &refusal)?;
                Ok(Judged::Refused { attempt, refusal })
            }
            Verdict::Ask(question) => {
                let basis = question.basis().clone();
                self.write(question.attempt().event(facts, said, basis, attempt))?;
                self.ask(facts, attempt, question, shown)
            }
        }
    }

    fn ask<A: Recorded>(
        &self,
        facts: &Facts,
        attempt: u64,
        question: Question<A>,
        Shown { details: further, digest }: Shown,
    ) -> Result<Judged<A>, AppendError> {
        let summary = question.attempt().summary();
        let mut details = question.attempt().particulars(facts);
        details.extend(further);
        if matches!(A::TRIED, Tried::Connect | Tried::Request | Tried::Upload) {
            details.push(label("seen", self.seen(&summary)));
        }
        for (_, value) in &mut details {
            *value = self.credentials.masked(value);
        }
        let now = jiff::Timestamp::now();
        let ask = Ask {
            session: self.session.clone(),
            kind: match A::TRIED {
                Tried::Exec => "exec".to_owned(),
                Tried::Connect => "connect".to_owned(),
                Tried::Request => "request".to_owned(),
                Tried::Upload => "upload".to_owned(),
                Tried::Write => "write".to_owned(),
                Tried::Call => "call".to_owned(),
            },
            summary: self.credentials.masked(&summary),
            details,
            basis: question.basis().clone(),
            choices: question.choices(),
            findings: question.findings().to_vec(),
            needs_a_person: question.needs_a_person(),
            proposal: None,
            digest: digest.clone(),
            posed_at: now.to_string(),
            expires_at: (now + self.policy().approvals().patience).to_string(),
        };
        match self.questions.put(ask) {
            Ok(waiting) => {
                self.write(Kind::Question {
                    id: waiting.id.into(),
                    attempt,
                    process: facts.event(),
                    summary,
                    basis: question.basis().clone(),
                    findings: question.findings().to_vec(),
                })?;
                let since = Instant::now();
                Ok(Judged::Asked(Box::new(Asked {
                    attempt,
                    question,
                    facts: facts.clone(),
                    waiting,
                    since,
                    digest,
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
    /// Silence is a refusal, and so is an answer that cannot be written down. A
    /// policy that was changed to refuse it needs no answer.
    pub(crate) async fn settle<A: Recorded>(&self, asked: Asked<A>) -> Result<Permit<A>, Refusal> {
        let Asked { attempt, question, facts, waiting, since, digest } = asked;
        let Waiting { id, answer } = waiting;
        let patience = self.policy().approvals().patience;
        let (answer, refused) = tokio::select! {
            biased;
            refusal = self.refusing(question.attempt()) => {
                self.questions.withdraw(id);
                (nobody("nobody (the policy was changed)"), Some(refusal))
            }
            answer = tokio::time::timeout(patience, answer) => match answer {
                Ok(Ok(answer)) => (answer, None),
                Ok(Err(_)) => (nobody("nobody (withdrawn)"), None),
                Err(_) => {
                    self.questions.expire(id);
                    (nobody("nobody (timed out)"), None)
                }
            },
        };
        let detail = question.attempt().detail();
        let written = self.write(Kind::Answer {
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
        match refused.map_or_else(|| question.settle(&answer), Err) {
            Ok(permit) => {
                if let Some(grant) = permit.attempt().grant(answer.choice) {
                    self.grants().add(grant);
                    self.approve(digest);
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

    /// The same, unless the one who asked is `gone` first, who needs no answer any
    /// more. That is written down, too.
    pub(crate) async fn settle_unless<A: Recorded>(
        &self,
        asked: Asked<A>,
        gone: impl Future<Output = ()>,
    ) -> Result<Permit<A>, Refusal> {
        let id = asked.id();
        let outcome = self.settle(asked);
        tokio::pin!(outcome);
        tokio::select! {
            outcome = &mut outcome => outcome,
            () = gone => {
                self.questions.withdraw(id);
                outcome.await
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
        self.write(Kind::Refusal {
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
        self.write(event).map_err(std::io::Error::other)
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
