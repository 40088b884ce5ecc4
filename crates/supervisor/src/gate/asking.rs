//! From a question to what came of it.

use std::sync::PoisonError;
use std::time::Instant;

use remit_approvals::{Ask, QuestionId, Terms, wire};
use remit_audit::{AppendError, Kind, Tried};
use remit_policy::{Answer, Attempt, Choice, Permit, Question, Refusal};

use super::review::{Decider, Review};
use super::{Gate, Judged, Recorded, Shown, label, now};
use crate::desk::{CannotAsk, Waiting};
use crate::process::Facts;

/// An attempt that waits for a person. Await [`Gate::settle`].
#[derive(Debug)]
pub(crate) struct Asked<A> {
    pub(crate) attempt: u64,
    question: Question<A>,
    facts: Facts,
    waiting: Waiting,
    /// Where a reviewer is asked first.
    review: Option<Review>,
    since: Instant,
    /// What a yes for longer than once is bound to.
    lasting: String,
}

impl<A> Asked<A> {
    /// The number of its question.
    pub(crate) fn id(&self) -> QuestionId {
        self.waiting.id
    }
}

impl Gate {
    pub(super) fn ask<A: Recorded>(
        &self,
        facts: &Facts,
        attempt: u64,
        question: Question<A>,
        Shown { details: further, digest, lasting }: Shown,
    ) -> Result<Judged<A>, AppendError> {
        let summary = question.attempt().summary();
        let mut details = question.attempt().particulars(facts);
        details.extend(further);
        let seen = self.seen(&summary);
        if matches!(A::TRIED, Tried::Connect | Tried::Request | Tried::Upload) {
            details.push(label("seen", seen));
        }
        for (_, value) in &mut details {
            *value = self.credentials.masked(value);
        }
        let policy = self.policy();
        let question = policy.offer(question, true);
        let in_break_glass = terms(&question);
        let question = policy.offer(question, false);
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
            terms: terms(&question),
            in_break_glass,
            findings: question.findings().to_vec(),
            needs_a_person: question.needs_a_person(),
            proposal: question.proposal().map(|it| self.credentials.masked(&it.rule())),
            digest,
            posed_at: now.to_string(),
            expires_at: (now + policy.approvals().patience).to_string(),
        };
        if let Some((id, answer)) = self.on_appeal(&question, &ask) {
            return self.allowed_on_appeal(facts, attempt, question, id, &answer);
        }
        let review = self.for_review(&question, facts, attempt, &ask, seen);
        let put = match &review {
            Some(_) => self.questions.hold(ask),
            None => self.questions.put(ask, policy.approvals().patience),
        };
        match put {
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
                    review,
                    since,
                    lasting,
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
                self.reviewing.settled(Decider::Nobody);
                self.record_refusal::<A>(facts, attempt, detail, &refusal)?;
                Ok(Judged::Refused { attempt, refusal })
            }
        }
    }

    /// Settles a question by what a person said on appeal, once that is written down.
    fn allowed_on_appeal<A: Recorded>(
        &self,
        facts: &Facts,
        attempt: u64,
        question: Question<A>,
        id: QuestionId,
        answer: &Answer,
    ) -> Result<Judged<A>, AppendError> {
        self.write(Kind::Answer {
            id: id.into(),
            attempt,
            choice: answer.choice,
            by: answer.by.clone(),
            note: answer.note.clone(),
            waited_ms: 0,
        })?;
        self.reviewing.settled(Decider::Person);
        let detail = question.attempt().detail();
        match question.settle(answer) {
            Ok(permit) => Ok(Judged::Permitted { attempt, permit }),
            Err(refusal) => {
                self.record_refusal::<A>(facts, attempt, detail, &refusal)?;
                Ok(Judged::Refused { attempt, refusal })
            }
        }
    }

    /// Waits for the answer and takes it back through the policy.
    ///
    /// Silence is a refusal, and so is an answer that cannot be written down. A
    /// policy that was changed to refuse it needs no answer. What an answer needs is
    /// what the policy in force says when it comes.
    pub(crate) async fn settle<A: Recorded>(&self, asked: Asked<A>) -> Result<Permit<A>, Refusal> {
        let Asked { attempt, question, facts, waiting, review, since, lasting } = asked;
        let Waiting { id, answer } = waiting;
        let patience = self.policy().approvals().patience;
        let answered = self.answered(id, answer, review);
        let ((answer, decider), refused) = tokio::select! {
            biased;
            refusal = self.refusing(question.attempt()) => {
                self.questions.withdraw(id);
                ((nobody("nobody (the policy was changed)"), Decider::Nobody), Some(refusal))
            }
            answered = tokio::time::timeout(patience, answered) => match answered {
                Ok(Ok(answered)) => (answered, None),
                Ok(Err(_)) => ((nobody("nobody (withdrawn)"), Decider::Nobody), None),
                Err(_) => {
                    self.questions.expire(id);
                    ((nobody("nobody (timed out)"), Decider::Nobody), None)
                }
            },
        };
        self.reviewing.settled(decider);
        let (detail, matter) = (question.attempt().detail(), question.matter());
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
        let policy = self.policy();
        let question = policy.offer(question, self.counts_in_broken_glass(answer.choice));
        let proposal = question.proposal().cloned();
        let outcome = match refused.map_or_else(|| question.settle(&answer), Err) {
            Ok(permit) => {
                if let Some(proposal) = proposal.filter(|_| answer.choice == Choice::Project) {
                    self.keep(attempt, permit.attempt(), &proposal, &answer);
                }
                if let Some(grant) = permit.attempt().grant(answer.choice) {
                    self.approve(lasting);
                    match policy.approvals().session_expiry {
                        Some(length) => self.grants().add_until(grant, now() + length),
                        None => self.grants().add(grant),
                    }
                }
                // What a yes with an end covers besides would need an end, too.
                if policy.approvals().session_expiry.is_none() {
                    self.remember(attempt, matter, &answer);
                }
                Ok(permit)
            }
            Err(refusal) => {
                // Refused either way; a record that fails here ends the session.
                let _ = self.record_refusal::<A>(&facts, attempt, detail, &refusal);
                Err(refusal)
            }
        };
        if answer.choice == Choice::Stop {
            self.stop(&answer.by);
        }
        outcome
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

    /// An answer of the webhook, by whom it counts as: where the policy does not let
    /// the webhook vouch for people, it is the person's whose session it is.
    pub(crate) fn vouched(&self, answer: Answer) -> Answer {
        let vouches = self.policy().approvals().webhook.as_ref().is_some_and(|it| it.vouches);
        match vouches {
            true => answer,
            false => {
                let local = wire::local(rustix::process::getuid().as_raw());
                Answer { people: [local].into(), ..answer }
            }
        }
    }

    /// Ends the session, because an answer says so.
    pub(crate) fn stop(&self, by: &str) {
        // The first who stops it is the one who did.
        let _ = self.stopped.set(by.to_owned());
        if let Some(control) = self.control.get() {
            control.end();
        }
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
}

/// How many different questions are remembered. A person answers fewer.
const MOST_ASKED: usize = 4096;

fn terms<A: Attempt>(question: &Question<A>) -> Terms {
    let (people, reason) = (question.people(), question.needs_a_reason());
    Terms { choices: question.choices(), people, reason }
}

pub(super) fn nobody(by: &str) -> Answer {
    Answer { choice: Choice::Refuse, by: by.to_owned(), people: [].into(), note: None }
}
