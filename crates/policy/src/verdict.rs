//! The policy's answer to an attempt, and the only place where a yes is made.
//!
//! INVARIANT: no constructor of [`Permit`] is visible outside this crate, and
//! within it only the functions here and the judges in `command` and `network`
//! call them. A permit owns the attempt that was judged, so whoever enforces it
//! cannot act on anything else.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::approvals::AnswerLimits;
use crate::attempt::Attempt;
use crate::basis::{Basis, Layer};
use crate::grant::{Answer, Choice, Proposal};
use crate::knowledge::{Finding, Risk};

/// Proof that an attempt was judged and may happen. Spent on use.
#[must_use = "a permit that nobody spends lets nothing happen"]
#[derive(Debug)]
pub struct Permit<A> {
    attempt: A,
    basis: Basis,
    place: Option<Arc<str>>,
}

impl<A> Permit<A> {
    pub(crate) fn new(attempt: A, basis: Basis) -> Self {
        Self { attempt, basis, place: None }
    }

    /// Lets it happen under the profile of this name.
    pub(crate) fn placed(self, place: Option<Arc<str>>) -> Self {
        Self { place, ..self }
    }

    /// The profile that it happens under, if another than the session's.
    pub fn place(&self) -> Option<&Arc<str>> {
        self.place.as_ref()
    }

    /// What was judged.
    pub fn attempt(&self) -> &A {
        &self.attempt
    }

    /// What decided.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Spends the permit on doing what it allows.
    pub fn spend(self) -> A {
        self.attempt
    }
}

/// A no, which is an answer and not an error: the rule, the layer that set it,
/// and what would be allowed instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was tried, as [`Attempt::summary`] says it.
    pub attempt: String,
    pub basis: Basis,
    /// What would be allowed, for the agent to act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// A person's words to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl fmt::Display for Refusal {
    /// Up to four lines without a trailing newline, starting with `refused: `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}\n  by {}", self.attempt, self.basis)?;
        if let Some(why) = &self.basis.justification {
            write!(f, "\n  because: {}", crate::show::line(why))?;
        }
        if let Some(instead) = &self.instead {
            write!(f, "\n  allowed instead: {}", crate::show::line(instead))?;
        }
        if let Some(note) = &self.note {
            write!(f, "\n  note: {}", crate::show::line(note))?;
        }
        Ok(())
    }
}

/// Something the policy wants a person or reviewer to decide.
#[must_use = "a question that is dropped was never asked"]
#[derive(Debug)]
pub struct Question<A> {
    attempt: A,
    basis: Basis,
    place: Option<Arc<str>>,
    findings: Vec<Finding>,
    choices: Vec<Choice>,
    proposal: Option<Proposal>,
    people: u8,
    reason: bool,
}

impl<A: Attempt> Question<A> {
    pub(crate) fn new(attempt: A, basis: Basis) -> Self {
        let choices = attempt.choices();
        let (findings, proposal) = (Vec::new(), None);
        Self { attempt, basis, place: None, findings, choices, proposal, people: 1, reason: false }
    }

    /// The same, as far as limits on answers go. A proposal is offered before the
    /// noes.
    pub(crate) fn limited(mut self, limits: &AnswerLimits, proposal: Option<Proposal>) -> Self {
        self.choices = self.attempt.choices();
        self.choices.retain(|choice| !choice.is_yes() || limits.yeses.contains(choice));
        if proposal.is_some() {
            let noes = self.choices.iter().position(|choice| !choice.is_yes());
            self.choices.insert(noes.unwrap_or(self.choices.len()), Choice::Project);
        }
        self.people = limits.people_for(self.needs_a_person());
        self.reason = limits.reason;
        self.proposal = proposal;
        self
    }

    /// A yes lets it happen under the profile of this name.
    pub(crate) fn placed(self, place: Option<Arc<str>>) -> Self {
        Self { place, ..self }
    }

    pub(crate) fn with_findings(self, findings: Vec<Finding>) -> Self {
        Self { findings, ..self }
    }

    pub fn attempt(&self) -> &A {
        &self.attempt
    }

    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The profile that a yes lets it happen under, if another than the session's.
    pub fn place(&self) -> Option<&Arc<str>> {
        self.place.as_ref()
    }

    /// What is known about it, gravest first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether only a person may say yes: no reviewer, and no tier that answers by
    /// itself.
    pub fn needs_a_person(&self) -> bool {
        self.findings.iter().any(|finding| finding.risk == Risk::High)
    }

    /// Settles it without an answer of its own.
    pub(crate) fn permit(self, basis: Basis) -> Permit<A> {
        Permit::new(self.attempt, basis).placed(self.place)
    }

    /// What may be answered, in the order in which it is offered.
    pub fn choices(&self) -> Vec<Choice> {
        self.choices.clone()
    }

    /// The rule that a yes for this project writes, if that is offered.
    pub fn proposal(&self) -> Option<&Proposal> {
        self.proposal.as_ref()
    }

    /// How many different people must say yes.
    pub fn people(&self) -> u8 {
        self.people
    }

    /// Whether a yes needs words.
    pub fn needs_a_reason(&self) -> bool {
        self.reason
    }

    /// Turns an answer into a permit or a refusal. A choice that was not offered
    /// is a refusal: a yes is never taken for another yes. So is a yes of fewer
    /// people than it takes, and one without words where it needs them.
    ///
    /// The answer comes back through policy because a person cannot mint a
    /// permit either.
    pub fn settle(self, answer: &Answer) -> Result<Permit<A>, Refusal> {
        let offered = self.choices.contains(&answer.choice);
        let backed = self.people < 2 || answer.people.len() >= usize::from(self.people);
        let says_why = answer.note.as_ref().is_some_and(|note| !note.trim().is_empty());
        match answer.choice {
            Choice::Refuse | Choice::Stop => {
                let mut refusal = self.unanswered("another way that needs no approval");
                refusal.basis.rule = format!("{}, refused by {}", refusal.basis.rule, answer.by);
                refusal.note = answer.note.clone();
                Err(refusal)
            }
            choice if !offered => {
                let mut refusal = self.unanswered("to ask again; this answer does not fit it");
                refusal.basis.rule =
                    format!("{}, answered `{choice}` by {}", refusal.basis.rule, answer.by);
                Err(refusal)
            }
            choice if !backed => {
                let mut refusal = self.unanswered("to ask again; more people have to agree");
                refusal.basis.rule =
                    format!("{}, {choice} by {} alone", refusal.basis.rule, answer.by);
                Err(refusal)
            }
            choice if self.reason && !says_why => {
                let mut refusal = self.unanswered("to ask again; a yes needs a reason");
                refusal.basis.rule =
                    format!("{}, {choice} by {} without a reason", refusal.basis.rule, answer.by);
                Err(refusal)
            }
            choice => {
                let rule = format!("{choice} by {}", answer.by);
                let basis = Basis { rule, layer: Layer::Answer, origin: None, justification: None };
                Ok(Permit::new(self.attempt, basis).placed(self.place))
            }
        }
    }

    /// The refusal when nobody can or did answer. Silence is not consent.
    pub fn unanswered(self, instead: &str) -> Refusal {
        Refusal {
            attempt: self.attempt.summary(),
            basis: self.basis,
            instead: Some(instead.to_owned()),
            note: None,
        }
    }
}

/// The policy's answer to an attempt.
#[must_use = "an attempt without a verdict has not been judged"]
#[derive(Debug)]
pub enum Verdict<A> {
    Allow(Permit<A>),
    Ask(Question<A>),
    Refuse(Refusal),
}
