//! In which order judging, asking, recording and acting happen.
//!
//! INVARIANT: every attempt passes here exactly once, and its event is written
//! before its permit leaves. What cannot be written down is refused.

mod asking;
mod connection;
mod glass;
mod in_force;
mod kept;
mod masked;
mod program;
mod review;
mod uploads;
mod way;

pub(crate) use asking::Asked;
pub(crate) use connection::Connection;
pub(crate) use kept::Keeper;
pub(crate) use program::{Shown, is_answer};
pub(crate) use review::About;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use remit_audit::{AppendError, Kind, Text, Tried, event};
use remit_policy::{Attempt, Basis, Connect, Grants, Permit, Policy, Refusal, Request, Verdict};
use remit_proxy::Credentials;
use remit_sandbox::Control;
use tokio::sync::watch;

use crate::desk::Questions;
use crate::journal::{self, Journal};
use crate::lineage::Lineage;
use crate::process::Facts;
use crate::teach::Taught;
use review::Reviewing;

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
    /// What the agent was told so far.
    pub(crate) taught: Taught,
    /// Where yeses for the project are written.
    keeper: OnceLock<Keeper>,
    glass: glass::Glass,
    /// What ends the session.
    control: OnceLock<Arc<Control>>,
    /// Who stopped the session by an answer.
    stopped: OnceLock<String>,
    /// Who decides before a person has to.
    pub(crate) reviewing: Reviewing,
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
            taught: Taught::default(),
            keeper: OnceLock::new(),
            glass: glass::Glass::default(),
            control: OnceLock::new(),
            stopped: OnceLock::new(),
            reviewing: Reviewing::default(),
            approved: Mutex::default(),
        }
    }

    /// From now on yeses for the project are written down there, and an answer can
    /// end the session.
    pub(crate) fn serve(&self, keeper: Keeper, control: Arc<Control>) {
        // There is one of each in a session; a second is not taken.
        let _ = self.keeper.set(keeper);
        let _ = self.control.set(control);
    }

    /// Who ended the session by an answer, if anybody did.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
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
        let verdict = self.by_precedent(verdict);
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

    /// The yeses that hold now.
    fn grants(&self) -> MutexGuard<'_, Grants> {
        // Every change of it is one call.
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.expire(now());
        grants
    }
}

/// Time that does not run backwards, since the machine was started.
fn now() -> Duration {
    Duration::from_nanos(journal::now().mono_ns)
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
            also: {
                let mut others = self.methods();
                others.remove(self.method.as_str());
                others.into_iter().map(Text::from).collect()
            },
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
