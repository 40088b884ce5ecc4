//! Remembers. One line per event, each tied to the one before by its hash, and
//! signed checkpoints over them, so that a reader who trusts nobody can tell
//! whether something was changed.
//!
//! ```text
//! <state>/key, key.pub                       this device's signing key
//! <state>/sessions/<session>/record.jsonl    the events, [`event`]
//! <state>/sessions/<session>/checkpoints     signed notes, [`checkpoint`]
//! ```
//!
//! [`Record`] writes, [`verify()`] judges, [`read::events`] reads. The crate
//! reads no clock: time comes in with [`At`].
//!
//! What it does not do: whoever holds `key` can write a new record and sign it.
//! A checkpoint that was sent elsewhere in time tells the two apart; on the
//! device alone nothing can.
#![forbid(unsafe_code)]

pub mod chain;
pub mod checkpoint;
pub mod event;
mod files;
pub mod key;
pub mod read;
pub mod record;
pub mod report;
pub mod session;
pub mod text;
pub mod verify;

pub use chain::{Digest, MAX_LINE};
pub use checkpoint::Checkpoint;
pub use event::{At, Event, Kind, Process, Status, Tried, Verdict};
pub use key::{DeviceKey, KeyError, PublicKey};
pub use read::{ReadError, events};
pub use record::{AppendError, CreateError, Pending, Record, Signed, Sync};
pub use report::{Bad, Fault, Outcome, Report};
pub use session::{SessionId, is_open, sessions};
pub use text::Text;
pub use verify::{VerifyError, verify};
