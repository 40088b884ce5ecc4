//! A yes for the project, written where the person can read it and take it back.

use std::error::Error;

use remit_audit::{Kind, Text};
use remit_policy::{Answer, Grants, Proposal, Verdict, show};

use super::{Gate, Recorded};
use crate::answers::{Answers, AnswersError, NewAnswer};
use crate::files::Places;
use crate::live::Purpose;
use crate::reviews::Reviews;

/// Where what outlives the session is written.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) places: Places,
    pub(crate) purpose: Purpose,
}

impl Keeper {
    pub(super) fn reviews(&self) -> Reviews {
        Reviews::of(&self.places)
    }
}

impl Gate {
    /// Writes the rule of a yes for the project. Where that fails, the yes counts
    /// for the session, and the person is told.
    pub(super) fn keep<A: Recorded>(
        &self,
        attempt: u64,
        tried: &A,
        proposal: &Proposal,
        answer: &Answer,
    ) {
        if let Err(error) = self.try_to_keep(attempt, tried, proposal, answer) {
            self.degraded("the yes for the project; it counts for this session", &error);
            self.questions.say(format!("your yes counts for this session only: {}", chain(&error)));
        }
    }

    fn try_to_keep<A: Recorded>(
        &self,
        attempt: u64,
        tried: &A,
        proposal: &Proposal,
        answer: &Answer,
    ) -> Result<(), AnswersError> {
        let keeper = self.keeper.get().ok_or(AnswersError::NoPlace)?;
        let today = jiff::Zoned::now().date();
        let length = self.policy().approvals().project_expiry;
        let days = i64::try_from(length.as_secs() / (24 * 60 * 60)).unwrap_or(1);
        let until = today.saturating_add(jiff::Span::new().days(days));
        let mut why = format!("answered by {} on {today} in session {}", answer.by, self.session);
        if let Some(note) = &answer.note {
            why.push_str(&format!(": {}", show::line(note)));
        }
        let answers = Answers::of(&keeper.places);
        let workspace = keeper.purpose.place.workspace.clone();
        let new = NewAnswer { workspace: workspace.clone(), until, rule: proposal.text(&why) };
        let number = answers.add(&new, today, |text| {
            // A rule that does not load would keep the next session from starting,
            // and one that settles nothing would be a promise broken.
            let texts = answers.beside_others(&keeper.places, &workspace, today, text)?;
            let policy = keeper.purpose.compile(&texts).map_err(AnswersError::Policy)?;
            match tried.clone().judge(&policy, &Grants::default()) {
                Verdict::Allow(_) => Ok(()),
                Verdict::Ask(_) | Verdict::Refuse(_) => Err(AnswersError::SettlesNothing),
            }
        })?;
        // A record that fails here ends the session.
        let _ = self.write(Kind::AnswerKept {
            attempt,
            file: Text::from(answers.path()),
            number,
            rule: proposal.rule(),
            until: until.to_string(),
        });
        Ok(())
    }

    /// Writes down what could not be done.
    pub(super) fn degraded(&self, what: &str, error: &dyn Error) {
        // A record that fails here ends the session.
        let _ = self.write(Kind::Degraded { what: what.to_owned(), why: chain(error) });
    }
}

/// An error with everything that caused it.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}
