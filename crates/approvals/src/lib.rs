//! Asks. A question is posed, a person answers it, or it expires; the first
//! answer wins and silence is not consent.
//!
//! [`queue`] holds the open questions, [`wire`] carries them to another
//! terminal, [`popup`] draws one and [`keys`] reads the person's answer. [`quorum`]
//! counts who agreed; [`webhook`] and [`notification`] tell those who look elsewhere.
#![forbid(unsafe_code)]

pub mod keys;
pub mod letters;
pub mod notification;
pub mod popup;
pub mod queue;
pub mod quorum;
pub mod webhook;
pub mod wire;
pub mod words;

pub use queue::{Ask, Full, NotOpen, Posed, QuestionId, Queue};
pub use quorum::{Heard, Terms};
