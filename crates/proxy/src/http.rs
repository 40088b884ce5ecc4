//! Requests on a connection whose bytes are seen: each is read strictly, judged
//! by itself, and written anew from what was read.
//!
//! Nothing of the agent's own framing is passed on, so what we read is what the
//! host reads. Bodies are carried piece by piece and never collected.
//!
//! Both sides speak the same version: HTTP/1 with [`Inspected::one`], HTTP/2 with
//! [`Inspected::two`]. On TLS whoever ends it offers the agent what the host chose.

mod admit;
mod answer;
mod body;
mod framing;
mod head;
pub(crate) mod hooks;
mod one;
pub(crate) mod proxied;
mod reader;
mod strict;
mod two;

mod websocket;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub(crate) use strict::authority;

use remit_policy::{Connect, Method, Scheme};

use crate::Gate;
use strict::Malformed;

/// One permitted connection whose requests are judged.
#[derive(Debug)]
pub(crate) struct Inspected<G, H> {
    pub(crate) gate: G,
    /// What was permitted. Every request must be for this host and port.
    pub(crate) connect: Connect,
    /// How the host is spoken to.
    pub(crate) scheme: Scheme,
    pub(crate) hooks: H,
    /// Whether many connections are open, so that each has to do with little memory.
    pub(crate) is_crowded: bool,
}

impl<G: Gate, H> Inspected<G, H> {
    /// Refuses content of a request that reads, where requests are judged: it has no
    /// meaning, and some hosts take it for another request.
    ///
    /// SOURCE: RFC 9110 §9.3.1.
    fn takes_content(&self, method: &Method) -> Result<(), Malformed> {
        let reads = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
        match reads && self.gate.handling(&self.connect).requests_only {
            true => Err(Malformed::new("it has content, though it only asks to read")),
            false => Ok(()),
        }
    }
}
