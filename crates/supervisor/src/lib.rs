//! Joins the endpoint: one governed run from launch to exit.
//!
//! [`prepare`] decides everything and does nothing; [`run`] builds the boundary
//! and serves it. In between stands what was decided, to be looked at
//! (`remit run --print-plan`).
//!
//! The story of an attempt: [`warden`] receives a trapped call, [`exec`] or
//! [`connect`] reads what the caller claims, [`gate`] judges, asks and records,
//! and only then it happens, on the caller's own socket or under the warden's
//! eyes.
#![forbid(unsafe_code)]

mod agents;
pub mod answers;
mod calls;
pub mod changes;
mod connect;
mod desk;
pub mod doctor;
mod errands;
mod exec;
pub mod files;
mod gate;
mod guard;
mod journal;
mod limits;
mod lineage;
mod live;
mod made;
mod means;
mod mounts;
mod plan;
mod prepare;
mod process;
mod publish;
mod repository;
mod resolve;
pub mod reviews;
mod scratch;
pub mod secrets;
pub mod session;
mod shared;
mod signals;
mod standpoint;
mod stdio;
mod teach;
pub mod terminal;
mod tier;
#[allow(dead_code, reason = "called from `session`")]
mod trust;
mod warden;
mod words;
mod workspace;

pub use files::Places;
pub use prepare::{Prepared, Request, prepare};
pub use session::{REFUSED, RunError, run};
pub use standpoint::{Standpoint, View};
pub use stdio::StreamError;
pub use tier::NoTier;
pub use trust::TrustError;
pub use workspace::WorkspaceError;
