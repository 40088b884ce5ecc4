//! What a session on a copy-on-write view of its workspace changed: kept for a
//! person, shown, applied path by path, or dropped.
//!
//! ```text
//! <state>/changes/<session>/about.json   of which workspace, since when
//! <state>/changes/<session>/lock         held while the session runs or a person decides
//! <state>/changes/<session>/upper        what was changed, as the kernel's overlay keeps it
//! <state>/changes/<session>/work         the kernel's own
//! ```
//!
//! INVARIANT: the tree below `upper` was written by the agent. It is only ever
//! walked by descriptors, one name at a time, and no link in it is followed; nor
//! is one in the workspace.
//!
//! It stands apart from the session's record, so that no file of an agent's lies
//! in a directory that is evidence.

mod apply;
mod change;
mod contents;
mod fit;
mod guard;
mod kept;
mod make;
mod remove;
mod review;
mod tree;
mod within;

use std::io;
use std::path::PathBuf;

use remit_audit::{AppendError, CreateError, SessionId};
use remit_policy::PolicyError;

use crate::files::LoadError;

pub use apply::{Applied, Choice, Left};
pub use change::{Change, Thing};
pub use fit::OverlayError;
pub(crate) use fit::check;
pub(crate) use kept::{Changed, Kept, Layer};
pub use remit_audit::event::ChangeKind;
pub use review::{LARGEST_TEXT, Review, Side, sessions};

/// Why changes cannot be shown, applied or dropped. Nothing was done, unless it
/// is said what.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    #[error("cannot list the kept changes in `{}`", path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("cannot read what is known about the changes of session `{session}`")]
    About { session: SessionId, source: io::Error },
    #[error("cannot read the changes of session `{session}` at `{}`", path.display())]
    Read { session: SessionId, path: PathBuf, source: io::Error },
    #[error(
        "session `{session}` changed more than {} paths, which is too much to review; drop them",
        tree::MOST
    )]
    TooMany { session: SessionId },
    #[error("cannot open the workspace `{}`", path.display())]
    Workspace { path: PathBuf, source: io::Error },
    #[error(
        "`{}` is another directory than the one session `{session}` ran on; put that one back in its place",
        path.display()
    )]
    OtherWorkspace { session: SessionId, path: PathBuf },
    #[error("session `{0}` still runs, or somebody else decides on its changes; wait for the end")]
    InUse(SessionId),
    #[error("session `{session}` changed nothing at `{}`; `remit changes show {session}` lists what it did", path.display())]
    NoSuchChange { session: SessionId, path: PathBuf },
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("cannot name the record of this review")]
    Name { source: io::Error },
    #[error("cannot start the record of this review")]
    Record { source: CreateError },
    #[error("cannot write the record of this review; what was applied so far stays applied")]
    Write { source: AppendError },
    #[error("cannot remove the changes of session `{session}`; what is left of them stays")]
    Remove { session: SessionId, source: io::Error },
}
