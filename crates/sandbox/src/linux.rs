//! The boundary as Linux enforces it.

mod child;
mod filter;
mod floor;
pub(crate) mod launch;
pub(crate) mod limits;
mod message;
mod netlink;
pub mod notify;
pub(crate) mod support;
mod sys;
mod view;
pub(crate) mod watch;
