//! Decides. Layers, rule text and attempts go in; verdicts, permits and bases
//! come out.
//!
//! INVARIANT: this crate performs no input or output and reads no clock; its
//! `clippy.toml` bans both. Time, texts and paths arrive as arguments.
#![forbid(unsafe_code)]

mod address;
pub mod attempt;
pub mod basis;
mod calls;
mod command;
mod credentials;
mod data;
mod egress;
mod environment;
mod error;
mod filesystem;
mod forecast;
pub mod grant;
pub mod host;
pub mod knowledge;
mod layers;
mod limits;
mod network;
mod pattern;
mod policy;
mod profiles;
pub mod request;
mod rules;
mod settings;
pub mod shell;
pub mod show;
mod tiers;
mod upload;
pub mod verdict;
mod wrapper;
pub mod writing;

pub use attempt::{Attempt, Connect, Exec, FileWrite, Stdin};
pub use basis::{Basis, Layer, Origin};
pub use calls::{calls_with_words, refused_call};
pub use credentials::{Credential, CredentialSource, CredentialUse};
pub use data::{Cache, DataRules, Patterns, Web};
pub use egress::ProxySettings;
pub use environment::{DefaultVariable, Environment};
pub use error::PolicyError;
pub use filesystem::{Access, Filesystem, PathRule, Place};
pub use forecast::{Forecast, Outcome, Part, Which};
pub use grant::{Answer, Choice, Grant, Grants};
pub use host::{Host, HostName, Port};
pub use knowledge::{Finding, Risk, is_telling};
pub use limits::{Limit, Limits, Resource};
pub use policy::{AgentNeeds, ApprovalSettings, Policy, PolicyText, RecordSettings, TextKind};
pub use request::{Handling, Method, Request, RequestError, Scheme, Target};
pub use settings::Sync;
pub use tiers::{Tier, Tiers};
pub use upload::Upload;
pub use verdict::{Permit, Question, Refusal, Verdict};
pub use writing::{Change, Git, GitRoot, Roots, Writing, fold_name};
