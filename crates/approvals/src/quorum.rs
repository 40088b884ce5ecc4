//! How many people must agree, and what they agreed to.

use std::collections::BTreeSet;

use remit_policy::{Answer, Choice};
use serde::{Deserialize, Serialize};

use crate::queue::{NotOpen, QuestionId};

/// What a question takes for a yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// What may be answered, as [`remit_policy::Question::choices`] says it.
    pub choices: Vec<Choice>,
    /// How many different people must say yes; at least 1.
    pub people: u8,
    /// Whether a yes needs words.
    pub reason: bool,
}

/// The yeses to one question so far, each by other people.
#[derive(Debug, Default)]
pub(crate) struct Quorum {
    yeses: Vec<Answer>,
}

/// What an answer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<W> {
    /// It closed the question. The answer is everybody's who agreed.
    Decided { waiter: W, answer: Answer },
    /// It is a yes, and so many more people must say one.
    Waits { more: u8 },
}

impl Quorum {
    /// Takes an answer that is on the terms: a no decides at once, a yes with
    /// enough others. None if more are needed.
    ///
    /// INVARIANT: what is decided covers no more than each of the yeses. Where they
    /// differ it is a yes for this once.
    pub(crate) fn hear(
        &mut self,
        id: QuestionId,
        answer: &Answer,
        terms: &Terms,
    ) -> Result<Option<Answer>, NotOpen> {
        let choice = answer.choice;
        if !choice.is_yes() || terms.people < 2 {
            return Ok(Some(answer.clone()));
        }
        let known = self.people();
        if answer.people.is_empty() || answer.people.iter().any(|name| known.contains(name)) {
            let more = terms.people.saturating_sub(count(&known));
            return Err(NotOpen::NeedsOthers { id, by: answer.by.clone(), more });
        }
        let mut yeses = self.yeses.clone();
        yeses.push(answer.clone());
        let agreed = yeses.iter().all(|yes| yes.choice == choice);
        if !agreed && !terms.choices.contains(&Choice::Once) {
            let offered = yeses[..1].iter().map(|yes| yes.choice).chain([Choice::Refuse]).collect();
            return Err(NotOpen::NotOffered { id, choice, offered });
        }
        self.yeses = yeses;
        let people = self.people();
        if count(&people) < terms.people {
            return Ok(None);
        }
        let words = |of: fn(&Answer) -> Option<&str>, between: &str| {
            self.yeses.iter().filter_map(of).collect::<Vec<_>>().join(between)
        };
        let by = words(|yes| Some(&yes.by), " and ");
        let note = words(|yes| yes.note.as_deref(), "; ");
        Ok(Some(Answer {
            choice: if agreed { choice } else { Choice::Once },
            by,
            people,
            note: Some(note).filter(|note| !note.is_empty()),
        }))
    }

    /// Who agreed so far, by the names in their answers.
    pub(crate) fn people(&self) -> BTreeSet<String> {
        self.yeses.iter().flat_map(|yes| yes.people.iter().cloned()).collect()
    }
}

pub(crate) fn count(people: &BTreeSet<String>) -> u8 {
    u8::try_from(people.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> QuestionId {
        QuestionId::try_from(1).expect("a number")
    }

    fn terms(people: u8, choices: &[Choice]) -> Terms {
        Terms { choices: choices.to_vec(), people, reason: false }
    }

    fn yes(choice: Choice, person: &str) -> Answer {
        Answer {
            choice,
            by: format!("{person} somewhere"),
            people: [person.to_owned()].into(),
            note: None,
        }
    }

    const ALL: [Choice; 3] = [Choice::Once, Choice::Session, Choice::Refuse];

    #[test]
    fn one_person_is_one_person_wherever_they_answer() {
        let mut quorum = Quorum::default();
        let terms = terms(2, &ALL);
        let at_home = yes(Choice::Once, "alice");
        assert_eq!(quorum.hear(id(), &at_home, &terms), Ok(None));
        let elsewhere = Answer { by: "alice at another terminal".to_owned(), ..at_home };
        let refused = quorum.hear(id(), &elsewhere, &terms).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "question 1 needs 1 more people, and has the yes of alice at another terminal"
        );
        let both = quorum.hear(id(), &yes(Choice::Once, "bob"), &terms).unwrap().unwrap();
        assert_eq!((both.by.as_str(), both.people.len()), ("alice somewhere and bob somewhere", 2));
    }

    #[test]
    fn an_answer_of_nobody_is_no_persons_yes_and_one_no_is_enough() {
        let mut quorum = Quorum::default();
        let nobody = Answer { people: BTreeSet::new(), ..yes(Choice::Once, "x") };
        assert!(quorum.hear(id(), &nobody, &terms(2, &ALL)).is_err());
        assert!(quorum.hear(id(), &nobody, &terms(1, &ALL)).unwrap().is_some());
        quorum.hear(id(), &yes(Choice::Once, "alice"), &terms(3, &ALL)).unwrap();
        let no = quorum.hear(id(), &yes(Choice::Refuse, "bob"), &terms(3, &ALL)).unwrap().unwrap();
        assert_eq!(no.choice, Choice::Refuse);
    }

    #[test]
    fn different_yeses_are_a_yes_for_this_once_or_none() {
        let hear = |choices: &[Choice], second| {
            let mut quorum = Quorum::default();
            quorum.hear(id(), &yes(Choice::Session, "alice"), &terms(2, choices)).unwrap();
            quorum.hear(id(), &yes(second, "bob"), &terms(2, choices)).map(|it| it.unwrap().choice)
        };
        assert_eq!(hear(&ALL, Choice::Session), Ok(Choice::Session));
        assert_eq!(hear(&ALL, Choice::Once), Ok(Choice::Once));
        let without = [Choice::Session, Choice::Host, Choice::Refuse];
        assert!(hear(&without, Choice::Host).is_err());
        assert_eq!(hear(&without, Choice::Session), Ok(Choice::Session));
    }
}
