//! Carries. Every connection of the agent ends here, under the name it was
//! looked up by, and goes on only with a permit.
//!
//! Lookups are answered with synthetic addresses ([`Names`]), so no query leaves
//! the machine before a verdict. A captured connection arrives with the attempt
//! that was judged for it ([`Capture`]) and the [`Gate`] to ask about it; the proxy
//! knows neither rules nor the record.
#![forbid(unsafe_code)]

mod capture;
mod dial;
mod dns;
mod explain;
mod names;
mod serve;

pub use capture::{Admission, Capture, Captured};
pub use dns::{serve_datagrams, serve_streams};
pub use names::{Names, Ranges};
pub use serve::serve;

use std::net::IpAddr;

use remit_policy::{Connect, Refusal};

/// What the proxy asks and tells about one captured connection, of the one who
/// judges and records.
pub trait Gate: Send + Sync + 'static {
    /// Checks one address that a permitted name really has, or that was given
    /// literally, before it is dialled.
    fn address(&self, permitted: &Connect, answer: IpAddr) -> Result<(), Refusal>;

    /// The connection was refused here, after its permit: writes it down.
    fn refused(&self, refusal: &Refusal);

    /// The permitted connection could not be made.
    fn failed(&self, error: String);

    /// The connection ended.
    fn ended(&self, carried: Carried);
}

/// What a connection carried, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Bytes from the agent to the host.
    pub sent: u64,
    /// Bytes from the host to the agent.
    pub received: u64,
    pub reason: &'static str,
}
