//! Asks. A question is posed, a person answers it, or it expires; the first
//! answer wins and silence is not consent.
//!
//! [`queue`] holds the open questions, [`wire`] carries them to another
//! terminal, [`popup`] draws one and [`keys`] reads the person's answer.
#![forbid(unsafe_code)]

pub mod keys;
pub mod letters;
pub mod popup;
pub mod queue;
pub mod wire;
pub mod words;

pub use queue::{Ask, Full, NotOpen, Posed, QuestionId, Queue};
