//! `remit policy`: what is in force, what could be, and what would have been.
//!
//! Exit status: 0 if all went well; 1 for an error; of `replay --fail-on-change` 1
//! also if anything would have been decided differently.

mod learn;
mod recorded;
mod replay;
mod show;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use remit_approvals::words;
use remit_audit::{KeyError, ReadError, SessionId, VerifyError};
use remit_policy::{Layer, PolicyError};
use remit_supervisor::View;
use remit_supervisor::files::{LoadError, PlacesError};
use remit_supervisor::session::RunError;

use crate::log::{LATEST, LogError};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show every statement, what it decides, and where it came from
    Show {
        /// The workspace; the current directory if absent
        #[arg(short = 'C', long = "directory", value_name = "DIR")]
        directory: Option<PathBuf>,
        /// The policy profile
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// The agent that would run, such as `codex`: it has needs of its own
        #[arg(long, value_name = "NAME")]
        agent: Option<OsString>,
        /// Leave out what is built in
        #[arg(long)]
        own: bool,
        /// One JSON object per statement and line
        #[arg(long)]
        json: bool,
    },
    /// Propose the narrowest rules that would have answered what was asked
    Learn {
        /// Sessions, the beginnings of their names, or `latest`
        #[arg(default_value = LATEST, value_name = "SESSION")]
        sessions: Vec<String>,
        /// Write the rules to this file, which must not be there yet
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// Show what another policy would have decided in the past
    Replay {
        /// A directory such as `~/.config/remit`, or a `.rules` or `.toml` file
        policy: PathBuf,
        /// Sessions, the beginnings of their names, or `latest`
        #[arg(default_value = LATEST, value_name = "SESSION")]
        sessions: Vec<String>,
        /// In the place of what is in force now, instead of added to it
        #[arg(long)]
        instead: bool,
        /// Whose words it would be
        #[arg(long, value_enum, default_value_t)]
        layer: Whose,
        /// Exit with 1 if anything would have been decided differently
        #[arg(long)]
        fail_on_change: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum Whose {
    /// The person's, as in `~/.config/remit`.
    #[default]
    User,
    /// The administrator's, as in `/etc/remit`.
    System,
    /// A project's, which only narrows.
    Project,
}

impl From<Whose> for Layer {
    fn from(whose: Whose) -> Self {
        match whose {
            Whose::User => Self::User,
            Whose::System => Self::System,
            Whose::Project => Self::Project,
        }
    }
}

/// Why it cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyCliError {
    #[error(transparent)]
    Stand(#[from] RunError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Places(#[from] PlacesError),
    #[error(transparent)]
    Find(#[from] LogError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("the record of `{session}` is not what was written: {why}")]
    Bad { session: SessionId, why: String },
    #[error("`{session}` is the record of a review, which runs nothing")]
    NoRun { session: SessionId },
    #[error(
        "`{first}` and `{second}` differ in workspace, profile or agent; learn from one kind at a time"
    )]
    Mixed { first: SessionId, second: SessionId },
    #[error("cannot write the rules to `{}`, which must be a new file", words::plain(&path.to_string_lossy()))]
    Put { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output")]
    Write(#[from] io::Error),
}

pub(crate) fn run(command: PolicyCommand) -> Result<ExitCode, PolicyCliError> {
    match command {
        PolicyCommand::Show { directory, profile, agent, own, json } => {
            show::run(View { directory, profile, agent }, own, json)
        }
        PolicyCommand::Learn { sessions, write } => learn::run(&sessions, write),
        PolicyCommand::Replay { policy, sessions, instead, layer, fail_on_change, json } => {
            let other = replay::Other { policy, layer: layer.into(), instead };
            replay::run(&other, &sessions, fail_on_change, json)
        }
    }
}
