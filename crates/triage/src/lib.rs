//! Weighs. A reviewer model is put a question in typed facts and says what it
//! would answer; whoever asked decides what that is worth.
//!
//! What the agent wrote reaches the reviewer as data: escaped, fenced by a boundary
//! that nobody can know beforehand, and named as what it is. No model is a boundary,
//! so nothing here makes a permit, and whatever is not a plain and consistent
//! answer in time is none ([`NoAnswer`]); a person is asked then.
#![forbid(unsafe_code)]

mod breaker;
mod call;
mod facts;
mod opinion;
mod prompt;
mod reviewer;
mod wire;

pub use breaker::Breaker;
pub use facts::{Facts, Session, Trust, Words};
pub use opinion::{Authorization, Decision, Opinion, Outcome, Risk};
pub use reviewer::{Key, NoAnswer, Reviewer};
