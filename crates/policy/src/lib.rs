//! Decides. Layers, rule text and attempts go in; verdicts, permits and bases
//! come out.
//!
//! INVARIANT: this crate performs no input or output and reads no clock; its
//! `clippy.toml` bans both. Time, texts and paths arrive as arguments.
#![forbid(unsafe_code)]

mod address;
mod approvals;
pub mod attempt;
pub mod basis;
mod calls;
mod command;
mod credentials;
mod data;
mod day;
mod egress;
mod environment;
mod error;
mod filesystem;
mod forecast;
pub mod grant;
pub mod host;
pub mod knowledge;
mod layers;
pub mod learn;
mod limits;
mod loading;
mod network;
pub mod past;
mod paths;
mod pattern;
pub mod pipes;
mod policy;
mod precedent;
mod profiles;
pub mod request;
mod review;
mod rules;
mod settings;
pub mod shell;
pub mod show;
mod statements;
mod tiers;
mod tool;
mod upload;
pub mod verdict;
mod wrapper;
pub mod writing;

pub use approvals::{AnswerLimits, ApprovalSettings, Notify, Webhook};
pub use attempt::{Attempt, Connect, Exec, FileWrite, Stdin};
pub use basis::{Basis, Layer, Origin};
pub use calls::{calls_with_words, refused_call};
pub use credentials::{Credential, CredentialSource, CredentialUse};
pub use data::{Cache, DataRules, Patterns, Web};
pub use day::Day;
pub use egress::ProxySettings;
pub use environment::{DefaultVariable, Environment};
pub use error::PolicyError;
pub use filesystem::{Access, Filesystem, PathRule, Place, Unwritable};
pub use forecast::{Forecast, Outcome, Part, Which};
pub use grant::{Answer, Choice, Grant, Grants, Proposal};
pub use host::{Host, HostName, Port};
pub use knowledge::{Finding, Risk, is_telling};
pub use layers::Decision;
pub use limits::{Limit, Limits, Resource};
pub use policy::{AgentNeeds, OWN_LOOPBACK, Policy, PolicyText, RecordSettings, TextKind};
pub use precedent::{Case, Matter, Precedents};
pub use request::{Handling, Method, Request, RequestError, Scheme, Target};
pub use review::{ReviewFormat, ReviewSettings, ReviewUrl, Reviewer};
pub use settings::Sync;
pub use statements::Statement;
pub use tiers::{Tier, Tiers};
pub use tool::ToolCall;
pub use upload::Upload;
pub use verdict::{Permit, Question, Refusal, Verdict};
pub use writing::{Change, Git, GitRoot, Roots, Writing, fold_name};
