//! Breaking the glass: the limits on answers are lifted for a while, loudly.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remit_approvals::wire::BreakGlass;
use remit_audit::Kind;
use remit_policy::Choice;

use super::{Gate, now};
use crate::reviews::Review;

/// The glass of one session.
#[derive(Debug, Default)]
pub(super) struct Glass(Mutex<Option<Broken>>);

#[derive(Debug)]
struct Broken {
    review: String,
    until: Duration,
    yeses: u64,
}

/// Longest reason, in characters.
const LONGEST: usize = 500;

impl Gate {
    /// Lifts the limits on answers, once that is written down in the record and in
    /// a review that stays open. Returns when they hold again.
    ///
    /// # Errors
    ///
    /// Words for the person, if the policy does not permit it, for so long or at
    /// all; if there is no reason; or if it cannot be written down.
    pub(crate) fn break_glass(&self, wish: BreakGlass) -> Result<String, String> {
        let BreakGlass { by, person, length, reason } = wish;
        let Some(longest) = self.policy().approvals().break_glass else {
            return Err("`approvals.break_glass` is off".to_owned());
        };
        if length.is_zero() || length > longest {
            return Err(format!("`approvals.break_glass` permits 1 to {} s", longest.as_secs()));
        }
        let reason = reason.trim().to_owned();
        if reason.is_empty() || reason.chars().count() > LONGEST {
            return Err(format!("it takes a reason of 1 to {LONGEST} characters"));
        }
        let keeper = self.keeper.get().ok_or("the session has not started yet")?;
        let mut glass = self.glass();
        if glass.is_some() {
            return Err("it is broken already".to_owned());
        }
        let began = jiff::Timestamp::now();
        let until = (began + length).to_string();
        let review = keeper
            .reviews()
            .begin(Review::new(&self.session, &by, &person, &reason, began, &until))
            .map_err(|error| {
                self.degraded("the review of a broken glass", &error);
                format!("its review could not be written: {error}")
            })?;
        let event = Kind::BreakGlass {
            review: review.clone(),
            by: by.clone(),
            reason: reason.clone(),
            until: until.clone(),
        };
        self.write(event).map_err(|_| "it could not be written down; the session ends")?;
        *glass = Some(Broken { review, until: now() + length, yeses: 0 });
        drop(glass);
        self.questions.set_broken(true);
        let words = format!("the glass was broken by {by} until {until}: {reason}");
        self.questions.alarm("break-glass", &self.session, &words);
        Ok(until)
    }

    /// Whether the limits on answers are lifted for this answer. A yes is counted.
    pub(super) fn counts_in_broken_glass(&self, choice: Choice) -> bool {
        let mut glass = self.glass();
        let broken = glass.as_mut().filter(|broken| now() < broken.until);
        if let Some(broken) = broken {
            broken.yeses += u64::from(choice.is_yes());
            return true;
        }
        false
    }

    /// Makes the glass whole when its time has passed, or when the policy no longer
    /// permits that it is broken. Call it now and then.
    pub(crate) fn tend(&self) {
        let over = self.glass().as_ref().is_some_and(|broken| now() >= broken.until);
        if over || self.policy().approvals().break_glass.is_none() {
            self.make_whole();
        }
    }

    /// Makes the glass whole, if it is broken.
    pub(crate) fn make_whole(&self) {
        let Some(Broken { review, yeses, .. }) = self.glass().take() else { return };
        self.questions.set_broken(false);
        // A record that fails here ends the session.
        let _ = self.write(Kind::BreakGlassEnded { review: review.clone(), yeses });
        if let Some(keeper) = self.keeper.get()
            && let Err(error) = keeper.reviews().end(&review, jiff::Timestamp::now(), yeses)
        {
            self.degraded("the review of a broken glass", &error);
        }
        let words = format!("the glass is whole again; review it: remit approvals review {review}");
        self.questions.alarm("break-glass-ended", &self.session, &words);
    }

    fn glass(&self) -> MutexGuard<'_, Option<Broken>> {
        // Every change of it is one assignment.
        self.glass.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
