//! Confines. A printable [`Plan`] goes in, kernel means are applied, a report
//! of what was really enforced comes out.
//!
//! This crate knows no rules: it cannot tell a good command from a bad one. It
//! offers the supervisor three things: a boundary ([`launch`]), the trapped
//! calls of whatever runs inside it ([`notify`]), and a way to act on a caller's
//! own descriptors and memory without trusting either.
//!
//! INVARIANT: unsafe code is in files named `sys.rs` and nowhere else; each
//! wraps one kernel interface in functions that are safe to call. The
//! dependencies are `libc` and `thiserror`.

mod plan;
pub mod seatbelt;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub use linux::{
    launch::{LaunchError, Launched, Sockets, Stdio, Stream, launch},
    limits::{OOM_SCORE, try_cgroup},
    notify,
    support::{Feature, Need, Support, support},
    watch::{ChildEvent, Control},
};
#[cfg(target_os = "macos")]
pub use macos::{
    Launched, Stopped,
    launch::{LaunchError, launch},
};
pub use plan::{Access, Floor, Limits, Mount, Network, Plan, Tier};
