//! Decides. Layers, rule text and attempts go in; verdicts, permits and bases
//! come out.
//!
//! INVARIANT: this crate performs no input or output and reads no clock; its
//! `clippy.toml` bans both. Time, texts and paths arrive as arguments.
#![forbid(unsafe_code)]

pub mod attempt;
pub mod basis;
pub mod grant;
pub mod host;
pub mod show;
pub mod verdict;

pub use attempt::{Attempt, Connect, Exec};
pub use basis::{Basis, Layer, Origin};
pub use grant::{Answer, Choice, Grant, Grants};
pub use host::{Host, HostName, Port};
pub use verdict::{Permit, Question, Refusal, Verdict};
