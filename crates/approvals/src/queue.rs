//! The life of a question, from posed to answered, expired or withdrawn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use remit_policy::{Answer, Basis, Choice, Finding};
use serde::{Deserialize, Serialize};

use crate::quorum::{Heard, Quorum, Terms, count};
use crate::words;

/// Open questions at a time. Beyond that the caller refuses: an agent that
/// floods a person with questions must not wear them down.
const OPEN_LIMIT: usize = 64;

/// Closed questions that are remembered, to tell a late answer who was first.
const CLOSED_LIMIT: usize = 1024;

/// Longest text of a question, in bytes; longer ones lose their middle.
const TEXT_LIMIT: usize = 32 * 1024;

/// A question's number within its session, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct QuestionId(u32);

/// Questions are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("questions are numbered from 1")]
pub struct QuestionIdError;

impl TryFrom<u32> for QuestionId {
    type Error = QuestionIdError;

    fn try_from(number: u32) -> Result<Self, QuestionIdError> {
        if number == 0 {
            return Err(QuestionIdError);
        }
        Ok(Self(number))
    }
}

impl From<QuestionId> for u32 {
    fn from(id: QuestionId) -> u32 {
        id.0
    }
}

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is put to a person. Every text comes from the parsed attempt; none is
/// an agent's own description of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The session's id.
    pub session: String,
    /// `exec` or `connect`.
    pub kind: String,
    /// The attempt in words, as [`remit_policy::Attempt::summary`] says it.
    pub summary: String,
    /// Label and value, most telling first: program, cwd, host, process.
    pub details: Vec<(String, String)>,
    /// Why it is asked.
    pub basis: Basis,
    /// What may be answered, and what it takes.
    pub terms: Terms,
    /// The same while the glass is broken.
    pub in_break_glass: Terms,
    /// What is known about the attempt, gravest first.
    pub findings: Vec<Finding>,
    /// Whether only a person may say yes.
    pub needs_a_person: bool,
    /// The rule that a yes for this project would write, if that is offered.
    pub proposal: Option<String>,
    /// SHA-256 in hex of everything that the answer is bound to; empty where the
    /// summary says everything.
    pub digest: String,
    /// When it was asked, RFC 3339.
    pub posed_at: String,
    /// When silence becomes a no, RFC 3339.
    pub expires_at: String,
}

/// A question that has a number and waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posed {
    pub id: QuestionId,
    pub session: String,
    pub kind: String,
    pub summary: String,
    pub details: Vec<(String, String)>,
    pub basis: Basis,
    pub choices: Vec<Choice>,
    /// How many different people must say yes.
    pub people: u8,
    /// Whether a yes needs words.
    pub reason: bool,
    /// Who said yes so far, where more than one must.
    pub agreed: BTreeSet<String>,
    pub findings: Vec<Finding>,
    pub needs_a_person: bool,
    pub proposal: Option<String>,
    pub digest: String,
    pub posed_at: String,
    pub expires_at: String,
}

/// No more questions can be put now; the caller refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{open} questions already wait for an answer")]
pub struct Full {
    pub open: usize,
}

/// An answer came to a question that takes none, or not this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NotOpen {
    #[error("question {id} was already {choice} by {by}")]
    Answered { id: QuestionId, choice: Choice, by: String },
    #[error("question {id} cannot be {choice}; it can be {}", words(.offered))]
    NotOffered { id: QuestionId, choice: Choice, offered: Vec<Choice> },
    #[error("question {id} needs a reason with a yes; give one as a note")]
    NeedsReason { id: QuestionId },
    #[error("question {id} needs {more} more people, and has the yes of {by}")]
    NeedsOthers { id: QuestionId, by: String, more: u8 },
    #[error("question {id} expired before anyone answered")]
    Expired { id: QuestionId },
    #[error("question {id} was withdrawn before anyone answered")]
    Withdrawn { id: QuestionId },
    #[error(
        "question {id} cannot be appealed: no reviewer refused it, it was appealed before, or too \
         many questions are open"
    )]
    NotAppealed { id: QuestionId },
    #[error("there is no question {id}, or it closed long ago")]
    Unknown { id: QuestionId },
}

fn words(choices: &[Choice]) -> String {
    choices.iter().map(Choice::to_string).collect::<Vec<_>>().join(" or ")
}

/// The questions of one session. `W` is whoever waits for the answer; it comes
/// out exactly once.
#[derive(Debug)]
pub struct Queue<W> {
    last: u32,
    open: BTreeMap<QuestionId, Open<W>>,
    closed: VecDeque<NotOpen>,
    /// Whether the glass is broken.
    broken: bool,
}

#[derive(Debug)]
struct Open<W> {
    posed: Posed,
    terms: Terms,
    in_break_glass: Terms,
    quorum: Quorum,
    waiter: W,
}

impl<W> Open<W> {
    fn terms(&self, broken: bool) -> &Terms {
        if broken { &self.in_break_glass } else { &self.terms }
    }

    /// Shows what holds now.
    fn show(&mut self, broken: bool) {
        let Terms { choices, people, reason } = self.terms(broken).clone();
        let agreed = self.quorum.people();
        self.posed = Posed { choices, people, reason, agreed, ..self.posed.clone() };
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { last: 0, open: BTreeMap::new(), closed: VecDeque::new(), broken: false }
    }
}

impl<W> Queue<W> {
    /// Puts a question. Texts longer than 32 KiB lose their middle, with a count.
    ///
    /// # Errors
    ///
    /// [`Full`] with 64 open questions. Callers refuse.
    pub fn pose(&mut self, ask: Ask, waiter: W) -> Result<QuestionId, Full> {
        let full = Full { open: self.open.len() };
        if self.open.len() >= OPEN_LIMIT {
            return Err(full);
        }
        self.last = self.last.checked_add(1).ok_or(full)?;
        let id = QuestionId(self.last);
        let Ask { session, kind, summary, details, basis, terms, in_break_glass, .. } = ask;
        let Ask { findings, needs_a_person, proposal, digest, posed_at, expires_at, .. } = ask;
        let Terms { choices, people, reason } = terms.clone();
        let text = |text| words::bound(text, TEXT_LIMIT);
        let details =
            details.into_iter().map(|(label, value)| (text(label), text(value))).collect();
        let summary = text(summary);
        let posed = Posed {
            id,
            session,
            kind,
            summary,
            details,
            basis,
            choices,
            people,
            reason,
            agreed: BTreeSet::new(),
            findings,
            needs_a_person,
            proposal,
            digest,
            posed_at,
            expires_at,
        };
        let quorum = Quorum::default();
        let mut open = Open { posed, terms, in_break_glass, quorum, waiter };
        open.show(self.broken);
        self.open.insert(id, open);
        Ok(id)
    }

    /// Hears an answer. A no closes the question; a yes does when enough different
    /// people have said one.
    ///
    /// # Errors
    ///
    /// [`NotOpen`] if it was closed before, for the first answer stands. Also if the
    /// choice is not offered, or a yes lacks its reason or has the same person's
    /// before it, which leaves the question open.
    pub fn answer(&mut self, id: QuestionId, answer: &Answer) -> Result<Heard<W>, NotOpen> {
        let broken = self.broken;
        let Some(open) = self.open.get_mut(&id) else { return Err(self.why_not(id)) };
        let terms = open.terms(broken).clone();
        let choice = answer.choice;
        if !terms.choices.contains(&choice) {
            return Err(NotOpen::NotOffered { id, choice, offered: terms.choices });
        }
        let says_why = answer.note.as_ref().is_some_and(|note| !note.trim().is_empty());
        if choice.is_yes() && terms.reason && !says_why {
            return Err(NotOpen::NeedsReason { id });
        }
        let Some(answer) = open.quorum.hear(id, answer, &terms)? else {
            open.show(broken);
            return Ok(Heard::Waits { more: terms.people - count(&open.quorum.people()) });
        };
        let (choice, by) = (answer.choice, answer.by.clone());
        match self.close(NotOpen::Answered { id, choice, by }) {
            Some(waiter) => Ok(Heard::Decided { waiter, answer }),
            None => Err(self.why_not(id)),
        }
    }

    /// Breaks the glass, or makes it whole: from now on other terms hold, for what
    /// is open as well.
    pub fn set_broken(&mut self, broken: bool) {
        self.broken = broken;
        self.open.values_mut().for_each(|open| open.show(broken));
    }

    /// Closes a question that nobody answered in time. None if it was closed.
    pub fn expire(&mut self, id: QuestionId) -> Option<W> {
        self.close(NotOpen::Expired { id })
    }

    /// Closes a question that no longer needs an answer, such as one whose
    /// process is gone. None if it was closed.
    pub fn withdraw(&mut self, id: QuestionId) -> Option<W> {
        self.close(NotOpen::Withdrawn { id })
    }

    /// The open questions, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Posed> {
        self.open.values().map(|open| &open.posed)
    }

    /// The open question with this number.
    pub fn get(&self, id: QuestionId) -> Option<&Posed> {
        self.open.get(&id).map(|open| &open.posed)
    }

    fn close(&mut self, end: NotOpen) -> Option<W> {
        let Open { waiter, .. } = self.open.remove(&end.id())?;
        if self.closed.len() == CLOSED_LIMIT {
            self.closed.pop_front();
        }
        self.closed.push_back(end);
        Some(waiter)
    }

    fn why_not(&self, id: QuestionId) -> NotOpen {
        self.closed.iter().find(|end| end.id() == id).cloned().unwrap_or(NotOpen::Unknown { id })
    }
}

impl NotOpen {
    /// Whether the question is still open, and would take another answer.
    pub fn is_still_open(&self) -> bool {
        matches!(
            self,
            NotOpen::NotOffered { .. } | NotOpen::NeedsReason { .. } | NotOpen::NeedsOthers { .. }
        )
    }

    /// The question that took no answer.
    pub fn id(&self) -> QuestionId {
        match self {
            NotOpen::Answered { id, .. }
            | NotOpen::NotOffered { id, .. }
            | NotOpen::NeedsReason { id }
            | NotOpen::NeedsOthers { id, .. }
            | NotOpen::Expired { id }
            | NotOpen::Withdrawn { id }
            | NotOpen::NotAppealed { id }
            | NotOpen::Unknown { id } => *id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(summary: &str) -> Ask {
        Ask {
            session: "s1".to_owned(),
            kind: "exec".to_owned(),
            summary: summary.to_owned(),
            details: vec![("cwd".to_owned(), "/w".to_owned())],
            basis: Basis::built_in("test"),
            terms: terms(&[Choice::Once, Choice::Session, Choice::Refuse], 1),
            in_break_glass: terms(&[Choice::Once, Choice::Session, Choice::Refuse], 1),
            findings: Vec::new(),
            needs_a_person: false,
            proposal: None,
            digest: String::new(),
            expires_at: "2026-01-01T00:05:00Z".to_owned(),
            posed_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn terms(choices: &[Choice], people: u8) -> Terms {
        Terms { choices: choices.to_vec(), people, reason: false }
    }

    fn answer(choice: Choice, by: &str) -> Answer {
        let people = [by.to_owned()].into();
        Answer { choice, by: by.to_owned(), people, note: None }
    }

    /// Who waited, if the answer closed the question.
    fn decided<W>(heard: Result<Heard<W>, NotOpen>) -> Option<W> {
        match heard {
            Ok(Heard::Decided { waiter, .. }) => Some(waiter),
            _ => None,
        }
    }

    #[test]
    fn a_yes_without_the_reason_it_needs_leaves_the_question_open() {
        let mut queue = Queue::default();
        let mut strict = ask("x");
        strict.terms.reason = true;
        let id = queue.pose(strict, 1).unwrap();
        let yes = answer(Choice::Once, "alice");
        let blank = Answer { note: Some("  ".to_owned()), ..yes.clone() };
        for without in [&yes, &blank] {
            assert_eq!(queue.answer(id, without), Err(NotOpen::NeedsReason { id }));
        }
        let with = Answer { note: Some("the release".to_owned()), ..yes };
        assert_eq!(decided(queue.answer(id, &with)), Some(1));
        let mut strict = ask("x");
        strict.terms.reason = true;
        let id = queue.pose(strict, 2).unwrap();
        assert_eq!(decided(queue.answer(id, &answer(Choice::Refuse, "alice"))), Some(2));
    }

    #[test]
    fn a_broken_glass_changes_the_terms_of_what_is_open_and_back() {
        let mut queue = Queue::default();
        let strict = || Ask { terms: terms(&[Choice::Once, Choice::Refuse], 2), ..ask("x") };
        let (first, second) = (queue.pose(strict(), 1).unwrap(), queue.pose(strict(), 2).unwrap());
        let alice = answer(Choice::Session, "alice");
        assert!(queue.answer(first, &alice).is_err_and(|why| why.is_still_open()));
        let once = answer(Choice::Once, "alice");
        assert_eq!(queue.answer(first, &once), Ok(Heard::Waits { more: 1 }));
        assert_eq!(queue.get(first).unwrap().agreed, ["alice".to_owned()].into());
        queue.set_broken(true);
        assert_eq!(decided(queue.answer(first, &alice)), Some(1));
        let third = queue.pose(strict(), 3).unwrap();
        assert_eq!(queue.get(third).unwrap().people, 1);
        queue.set_broken(false);
        for id in [second, third] {
            assert_eq!(queue.get(id).unwrap().people, 2);
            assert_eq!(queue.answer(id, &once), Ok(Heard::Waits { more: 1 }));
        }
    }

    #[test]
    fn an_answer_that_is_not_offered_leaves_the_question_open() {
        let mut queue = Queue::default();
        let id = queue.pose(ask("x"), "waiter").unwrap();
        let refused = queue.answer(id, &answer(Choice::Domain, "alice")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "question 1 cannot be allowed for this domain; it can be allowed once or allowed for \
             this session or refused"
        );
        assert_eq!(queue.open().count(), 1);
        assert_eq!(decided(queue.answer(id, &answer(Choice::Once, "alice"))), Some("waiter"));
    }

    #[test]
    fn the_first_answer_wins_and_later_ones_hear_who_it_was() {
        let mut queue = Queue::default();
        let id = queue.pose(ask("a"), "waiter").unwrap();
        assert_eq!(decided(queue.answer(id, &answer(Choice::Refuse, "alice"))), Some("waiter"));
        let late = queue.answer(id, &answer(Choice::Once, "bob")).unwrap_err();
        assert_eq!(late.to_string(), "question 1 was already refused by alice");
        assert_eq!(queue.expire(id), None);
        assert_eq!(queue.withdraw(id), None);
    }

    #[test]
    fn every_waiter_comes_out_exactly_once_whatever_closes_first() {
        type Close = fn(&mut Queue<u32>, QuestionId) -> Option<u32>;
        let ways: [Close; 3] = [
            |queue, id| decided(queue.answer(id, &answer(Choice::Once, "x"))),
            |queue, id| queue.expire(id),
            |queue, id| queue.withdraw(id),
        ];
        for first in ways {
            for second in ways {
                let mut queue = Queue::default();
                let id = queue.pose(ask("a"), 7).unwrap();
                assert_eq!(first(&mut queue, id), Some(7));
                assert_eq!(second(&mut queue, id), None);
                assert_eq!(queue.open().count(), 0);
            }
        }
    }

    #[test]
    fn a_late_answer_after_expiry_or_withdrawal_never_counts() {
        let mut queue = Queue::default();
        let expired = queue.pose(ask("a"), ()).unwrap();
        let withdrawn = queue.pose(ask("b"), ()).unwrap();
        queue.expire(expired);
        queue.withdraw(withdrawn);
        let yes = answer(Choice::Once, "bob");
        assert_eq!(queue.answer(expired, &yes), Err(NotOpen::Expired { id: expired }));
        assert_eq!(queue.answer(withdrawn, &yes), Err(NotOpen::Withdrawn { id: withdrawn }));
        let never = QuestionId(99);
        assert_eq!(queue.answer(never, &yes), Err(NotOpen::Unknown { id: never }));
    }

    #[test]
    fn a_flood_is_bounded_and_none_of_it_is_approved() {
        let mut queue = Queue::default();
        let posed = (0..100).filter(|n| queue.pose(ask("flood"), *n).is_ok()).count();
        assert_eq!(posed, OPEN_LIMIT);
        assert_eq!(queue.open().count(), OPEN_LIMIT);
        assert_eq!(queue.pose(ask("one more"), 0), Err(Full { open: OPEN_LIMIT }));
        queue.expire(QuestionId(1));
        assert_eq!(queue.pose(ask("room again"), 0), Ok(QuestionId(65)));
    }

    #[test]
    fn open_questions_come_oldest_first_and_numbers_are_never_reused() {
        let mut queue = Queue::default();
        for _ in 0..3 {
            queue.pose(ask("x"), ()).unwrap();
        }
        queue.withdraw(QuestionId(2));
        queue.pose(ask("y"), ()).unwrap();
        let ids: Vec<u32> = queue.open().map(|posed| posed.id.into()).collect();
        assert_eq!(ids, [1, 3, 4]);
    }

    #[test]
    fn numbers_that_run_out_are_a_full_queue() {
        let mut queue = Queue { last: u32::MAX, ..Queue::default() };
        assert_eq!(queue.pose(ask("x"), ()), Err(Full { open: 0 }));
    }

    #[test]
    fn a_huge_text_keeps_its_ends() {
        let mut queue = Queue::default();
        let id = queue.pose(ask(&format!("run `a{}z`", "x".repeat(1 << 20))), ()).unwrap();
        let summary = &queue.get(id).unwrap().summary;
        assert!(summary.len() < TEXT_LIMIT + 64);
        assert!(summary.starts_with("run `ax") && summary.ends_with("xz`"), "{summary}");
    }
}
