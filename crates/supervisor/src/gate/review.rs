//! Who decides before a person has to, and how a person is asked all the same.
//!
//! In this order: what a person permitted before, if this is no wider; a yes that a
//! person gave on appeal; the reviewer model, if the policy names one; a person.
//! Where one of them cannot say, the next is asked, and nobody's silence is a yes.
//!
//! INVARIANT: a question that only a person may answer reaches neither precedent
//! nor reviewer, and a reviewer's yes is for this one time.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use remit_approvals::keys::Piece;
use remit_approvals::{Ask, NotOpen, QuestionId, words};
use remit_audit::{Kind, event};
use remit_policy::{
    Answer, Attempt, Choice, Layer, Matter, Precedents, Question, ReviewSettings, Verdict,
};
use remit_triage::{Breaker, Decision, Facts, Key, NoAnswer, Opinion, Reviewer, Session};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::asking::nobody;
use super::{Gate, Recorded};
use crate::desk::Waiting;
use crate::process;
use crate::words::Heard;

/// Questions that a reviewer is asked at a time; others wait for their turn.
const AT_ONCE: usize = 4;

/// How much later than it was told to a reviewer is given up, whatever holds it.
const GRACE: Duration = Duration::from_secs(2);

/// Refused questions that are remembered for an appeal, and yeses that wait for
/// their attempt.
const MOST: usize = 64;

/// Longest reason of a reviewer that the agent is told, in bytes.
const REASON: usize = 600;

/// What there is between the policy and a person.
#[derive(Debug)]
pub(crate) struct Reviewing {
    session: OnceLock<(About, Handle)>,
    breaker: Mutex<Breaker>,
    precedents: Mutex<Precedents>,
    appeals: Mutex<Appeals>,
    turns: Semaphore,
    tally: Tally,
}

/// What a reviewer is told of a session.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) agent: &'static str,
    pub(crate) workspace: PathBuf,
    pub(crate) heard: Heard,
}

/// A question that a reviewer is asked, beside what waits for its answer.
#[derive(Debug)]
pub(super) struct Review {
    facts: Facts,
    refusable: Refusable,
}

/// What is needed to put a question again, to a person.
#[derive(Clone, Debug)]
struct Refusable {
    ask: Ask,
    matter: Matter,
    attempt: u64,
    process: event::Process,
}

/// What reviewers refused, and what a person made of it.
#[derive(Debug, Default)]
struct Appeals {
    refused: VecDeque<(QuestionId, Refusable)>,
    allowed: VecDeque<Allowed>,
}

/// A yes to one attempt that is yet to come.
#[derive(Debug)]
struct Allowed {
    id: QuestionId,
    matter: Matter,
    digest: String,
    by: String,
    people: BTreeSet<String>,
    note: Option<String>,
}

/// How often each tier decided.
#[derive(Debug, Default)]
struct Tally {
    rule: AtomicU64,
    precedent: AtomicU64,
    reviewer: AtomicU64,
    person: AtomicU64,
    nobody: AtomicU64,
}

/// Who settled a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decider {
    Reviewer,
    Person,
    Nobody,
}

impl Default for Reviewing {
    fn default() -> Self {
        Self {
            session: OnceLock::new(),
            breaker: Mutex::default(),
            precedents: Mutex::default(),
            appeals: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            tally: Tally::default(),
        }
    }
}

impl Reviewing {
    /// From now on there may be reviews and appeals.
    pub(crate) fn begin(&self, about: About, runtime: Handle) {
        // A session begins once.
        let _ = self.session.set((about, runtime));
    }

    /// Hears what the person typed for the program.
    pub(crate) fn heard(&self, pieces: &[Piece]) {
        if let Some((about, _)) = self.session.get() {
            about.heard.hear(pieces);
        }
    }

    /// How often each tier has decided.
    pub(crate) fn tiers(&self) -> Kind {
        let Tally { rule, precedent, reviewer, person, nobody } = &self.tally;
        let [rule, precedent, reviewer, person, nobody] =
            [rule, precedent, reviewer, person, nobody].map(|it| it.load(Ordering::Relaxed));
        Kind::Tiers { rule, precedent, reviewer, person, nobody }
    }

    pub(super) fn settled(&self, decider: Decider) {
        let Tally { reviewer, person, nobody, .. } = &self.tally;
        let counter = match decider {
            Decider::Reviewer => reviewer,
            Decider::Person => person,
            Decider::Nobody => nobody,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn appeals(&self) -> MutexGuard<'_, Appeals> {
        lock(&self.appeals)
    }
}

// What a person permitted before.

impl Gate {
    /// Settles a question by what a person permitted before, and counts what needs
    /// no other.
    pub(super) fn by_precedent<A: Recorded>(&self, verdict: Verdict<A>) -> Verdict<A> {
        let verdict = match verdict {
            Verdict::Ask(question) => {
                match question.by_precedent(&lock(&self.reviewing.precedents)) {
                    Ok(permit) => Verdict::Allow(permit),
                    Err(question) => Verdict::Ask(question),
                }
            }
            judged => judged,
        };
        let Tally { rule, precedent, .. } = &self.reviewing.tally;
        let counter = match &verdict {
            Verdict::Allow(permit) if permit.basis().layer == Layer::Answer => precedent,
            Verdict::Allow(_) | Verdict::Refuse(_) => rule,
            Verdict::Ask(_) => return verdict,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        verdict
    }

    /// Remembers what a person permitted.
    pub(super) fn remember(&self, attempt: u64, matter: Option<Matter>, answer: &Answer) {
        if let Some(matter) = matter {
            lock(&self.reviewing.precedents).add(attempt, matter, answer);
        }
    }
}

// The reviewer.

impl Gate {
    /// What a reviewer is asked instead of a person, if this question is for one.
    pub(super) fn for_review<A: Recorded>(
        &self,
        question: &Question<A>,
        facts: &process::Facts,
        attempt: u64,
        ask: &Ask,
        seen: &str,
    ) -> Option<Review> {
        let policy = self.policy();
        let (about, _) = self.reviewing.session.get()?;
        let matter = question.matter()?;
        let is_for_one = policy.review().reviewer.is_some()
            && !question.needs_a_person()
            && question.choices().contains(&Choice::Once)
            && question.people() < 2
            && !lock(&self.reviewing.breaker).is_out();
        if !is_for_one {
            return None;
        }
        let origin = facts.origin.clone().or_else(|| self.lineage.of(facts));
        let behind = origin.map(|origin| origin.to_string());
        let session = Session {
            agent: about.agent,
            profile: policy.profile(),
            workspace: &about.workspace,
            behind: behind.as_deref(),
            seen,
        };
        let told = Facts::of(&matter, session, &|text| self.credentials.masked(text));
        let refusable = Refusable { ask: ask.clone(), matter, attempt, process: facts.event() };
        Some(Review { facts: told, refusable })
    }

    /// Waits for whoever answers first: the reviewer, where it is asked, or a person,
    /// who can answer all the while and is shown the question once the reviewer has
    /// not.
    ///
    /// # Errors
    ///
    /// If the question was withdrawn.
    pub(super) async fn answered(
        &self,
        id: QuestionId,
        mut answer: oneshot::Receiver<Answer>,
        review: Option<Review>,
    ) -> Result<(Answer, Decider), oneshot::error::RecvError> {
        let mut decider = Decider::Person;
        if let Some(review) = review {
            tokio::select! {
                biased;
                answered = &mut answer => return answered.map(|answer| (answer, Decider::Person)),
                settled = self.review(id, review) => decider = settled,
            }
        }
        answer.await.map(|answer| (answer, decider))
    }

    /// Has the reviewer answer, or shows the question to the person. Says whose answer
    /// comes.
    async fn review(&self, id: QuestionId, review: Review) -> Decider {
        let Review { facts, refusable } = review;
        let settings = self.policy().review().clone();
        let Some(named) = &settings.reviewer else {
            return self.to_a_person(id);
        };
        let by = format!("reviewer {}", named.model);
        let outcome = self.ask_reviewer(&settings, facts).await;
        let trouble = |breaker: &mut Breaker| match &outcome {
            Ok((decision, _)) => breaker.answered(*decision == Decision::Refuse, settings.breaker),
            Err(_) => breaker.unanswered(settings.breaker),
        };
        let out = trouble(&mut lock(&self.reviewing.breaker));
        if let Err(why) = &outcome {
            self.unreviewed(&by, format!("question {id}: {why}"));
        }
        if let Some(why) = out {
            self.unreviewed(&by, format!("{why}; a person is asked for the rest of this session"));
        }
        let Ok((decision, opinion)) = outcome else {
            return self.to_a_person(id);
        };
        let answer = self.answer_of(decision, &opinion, by, id);
        if decision == Decision::Refuse {
            let mut appeals = self.reviewing.appeals();
            if appeals.refused.len() == MOST {
                appeals.refused.pop_front();
            }
            appeals.refused.push_back((id, refusable));
        }
        match self.questions.hear(id, &answer) {
            Ok(_) => Decider::Reviewer,
            // This answer is not one of those there are, or not enough.
            Err(why) if why.is_still_open() => self.to_a_person(id),
            // A person was faster.
            Err(_) => Decider::Person,
        }
    }

    async fn ask_reviewer(
        &self,
        settings: &ReviewSettings,
        facts: Facts,
    ) -> Result<(Decision, Opinion), NoAnswer> {
        let no = |why: &str| NoAnswer::Call(why.to_owned());
        let policy = self.policy();
        // A person needs the larger part of the time that a question waits.
        let timeout = settings.timeout.min(policy.approvals().patience / 2);
        let settings = ReviewSettings { timeout, ..settings.clone() };
        let named = settings.reviewer.as_ref().ok_or_else(|| no("there is none any more"))?;
        let key = match &named.credential {
            None => None,
            Some(name) => {
                let header = self.credentials.header(name);
                let (name, value) = header
                    .ok_or_else(|| no("its credential was not there when the session started"))?;
                Some(Key::new(name, value))
            }
        };
        let proxy = policy.proxy().filter(|_| !policy.dials_directly(&named.url.connect()));
        if proxy.is_some_and(|proxy| proxy.credential.is_some()) {
            return Err(no("the proxy on the way to it wants a credential, which it is not told"));
        }
        let proxy = proxy.map(|proxy| format!("http://{}:{}", proxy.host, proxy.port));
        let reviewer = Reviewer::new(&settings, key, proxy).ok_or_else(|| no("there is none"))?;
        let (about, _) =
            self.reviewing.session.get().ok_or_else(|| no("the session has not begun"))?;
        let mut words = about.heard.words();
        for word in &mut words {
            word.text = self.credentials.masked(&word.text);
        }
        let mut boundary = [0; 16];
        getrandom::fill(&mut boundary).map_err(|_| no("the kernel gives no randomness"))?;
        let boundary: String = boundary.iter().map(|byte| format!("{byte:02x}")).collect();
        let asked = async {
            let _turn = self.reviewing.turns.acquire().await;
            let work = move || reviewer.review(&facts, &words, &boundary);
            tokio::task::spawn_blocking(work).await
        };
        match tokio::time::timeout(timeout + GRACE, asked).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(no("asking it failed")),
            Err(_) => Err(no("it did not answer in time")),
        }
    }

    /// Shows a question to the person; where there is none, nobody's answer is no.
    fn to_a_person(&self, id: QuestionId) -> Decider {
        if self.questions.has_person() {
            self.questions.show(id, self.policy().approvals().patience);
            return Decider::Person;
        }
        let by = "nobody (the reviewer could not say, and no person can be asked)";
        // If a person has answered from elsewhere, that stands.
        match self.questions.hear(id, &nobody(by)) {
            Ok(_) => Decider::Nobody,
            Err(_) => Decider::Person,
        }
    }

    fn answer_of(
        &self,
        decision: Decision,
        opinion: &Opinion,
        by: String,
        id: QuestionId,
    ) -> Answer {
        let reason = self.credentials.masked(opinion.reason.trim());
        let reason = words::bound(remit_policy::show::line(&reason), REASON);
        let weighed = format!("risk {}, authorization {}", opinion.risk, opinion.authorization);
        let (choice, note) = match decision {
            Decision::Allow => (Choice::Once, format!("{weighed}: {reason}")),
            Decision::Refuse => {
                let session = &self.session;
                let how = format!(
                    "do not look for a way round; the person can allow it with \
                     `remit approvals appeal {session}/{id}`, and then the same can be tried again"
                );
                (Choice::Refuse, format!("{weighed}: {reason} ({how})"))
            }
        };
        Answer { choice, by, people: [].into(), note: Some(note) }
    }

    fn unreviewed(&self, what: &str, why: String) {
        // A record that fails here ends the session.
        let _ = self.write(Kind::Degraded { what: what.to_owned(), why });
    }
}

// Appeals.

impl Gate {
    /// Puts a question that the reviewer refused to a person. A yes is for the next
    /// attempt that is exactly the same, once.
    pub(crate) fn appeal(self: &Arc<Self>, id: QuestionId) -> Result<QuestionId, NotOpen> {
        let not_appealed = || NotOpen::NotAppealed { id };
        let (_, runtime) = self.reviewing.session.get().ok_or_else(not_appealed)?;
        let refusable = {
            let mut appeals = self.reviewing.appeals();
            let at = appeals.refused.iter().position(|(refused, _)| *refused == id);
            at.and_then(|at| appeals.refused.remove(at)).ok_or_else(not_appealed)?.1
        };
        let now = jiff::Timestamp::now();
        let mut ask = refusable.ask.clone();
        for terms in [&mut ask.terms, &mut ask.in_break_glass] {
            terms.choices.retain(|choice| matches!(choice, Choice::Once | Choice::Refuse));
        }
        ask.details.push(("appeal".to_owned(), format!("question {id}, which a reviewer refused")));
        ask.posed_at = now.to_string();
        ask.expires_at = (now + self.policy().approvals().patience).to_string();
        let waiting = self.questions.hold(ask).map_err(|_| {
            self.reviewing.appeals().refused.push_back((id, refusable.clone()));
            not_appealed()
        })?;
        let posed = waiting.id;
        let asked = self.write(Kind::Question {
            id: posed.into(),
            attempt: refusable.attempt,
            process: refusable.process.clone(),
            summary: refusable.ask.summary.clone(),
            basis: refusable.matter.basis.clone(),
            findings: refusable.matter.findings.clone(),
        });
        if asked.is_err() {
            self.questions.withdraw(posed);
            return Err(not_appealed());
        }
        self.questions.show(posed, self.policy().approvals().patience);
        let gate = Arc::clone(self);
        runtime.spawn(async move { gate.heard_on_appeal(waiting, refusable).await });
        Ok(posed)
    }

    async fn heard_on_appeal(&self, waiting: Waiting, refusable: Refusable) {
        let (since, Waiting { id, answer }) = (Instant::now(), waiting);
        let patience = self.policy().approvals().patience;
        let (answer, decider) = match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => (answer, Decider::Person),
            Ok(Err(_)) => (nobody("nobody (withdrawn)"), Decider::Nobody),
            Err(_) => {
                self.questions.expire(id);
                (nobody("nobody (timed out)"), Decider::Nobody)
            }
        };
        self.reviewing.settled(decider);
        let Refusable { ask, matter, attempt, .. } = refusable;
        let waited_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Answer { choice, by, people, note } = answer;
        let event = Kind::Answer {
            id: id.into(),
            attempt,
            choice,
            by: by.clone(),
            note: note.clone(),
            waited_ms,
        };
        if self.write(event).is_err() || choice != Choice::Once {
            return;
        }
        let mut appeals = self.reviewing.appeals();
        if appeals.allowed.len() < MOST {
            appeals.allowed.push_back(Allowed { id, matter, digest: ask.digest, by, people, note });
        }
    }

    /// What a person said on appeal to exactly this question, under which number. It
    /// is said once.
    pub(super) fn on_appeal<A: Attempt>(
        &self,
        question: &Question<A>,
        ask: &Ask,
    ) -> Option<(QuestionId, Answer)> {
        let matter = question.matter()?;
        let mut appeals = self.reviewing.appeals();
        let same = |it: &Allowed| it.matter == matter && it.digest == ask.digest;
        let at = appeals.allowed.iter().position(same)?;
        let Allowed { id, by, people, note, .. } = appeals.allowed.remove(at)?;
        let note = note.or_else(|| Some("on appeal, for this attempt".to_owned()));
        Some((id, Answer { choice: Choice::Once, by, people, note }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
