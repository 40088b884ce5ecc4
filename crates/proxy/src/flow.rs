//! One permitted connection: seen, dialled, carried.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use remit_policy::{Connect, Handling, Permit, Refusal};
use tokio::net::TcpStream;

use crate::agent::{Agent, Counts};
use crate::dial::{self, DialError};
use crate::relay::relay;
use crate::shared::Shared;
use crate::{Carried, Gate, explain};

/// A permitted connection on its way.
#[derive(Debug)]
pub(crate) struct Flow<G> {
    pub(crate) gate: G,
    /// What was permitted.
    pub(crate) connect: Connect,
    pub(crate) handling: Handling,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counts: Arc<Counts>,
    /// Spent on dialling.
    permit: Option<Permit<Connect>>,
}

/// Why a permitted connection does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It turned out to be what the policy refuses. Not written down yet.
    Refused(Refusal),
    /// It could not be made, or broke. Not written down yet.
    Failed(String),
}

impl<G: Gate> Flow<G> {
    pub(crate) fn new(gate: G, permit: Permit<Connect>, shared: Arc<Shared>) -> Self {
        let connect = permit.attempt().clone();
        let handling = gate.handling(&connect);
        let counts = Arc::default();
        Self { gate, connect, handling, shared, counts, permit: Some(permit) }
    }

    /// The way to the host, once.
    pub(crate) async fn dial(&mut self) -> Result<TcpStream, Stop> {
        let permit =
            self.permit.take().ok_or_else(|| Stop::Failed("the permit is spent".into()))?;
        match dial::dial(&self.gate, permit).await {
            Ok(upstream) => Ok(upstream),
            Err(DialError::Refused(refusal)) => Err(Stop::Refused(refusal)),
            Err(DialError::Failed { what, source }) => {
                Err(Stop::Failed(format!("{what}: {source}")))
            }
        }
    }

    pub(crate) fn carried(&self, reason: &'static str) -> Carried {
        let (sent, received) = (self.counts.sent.load(Relaxed), self.counts.received.load(Relaxed));
        Carried { sent, received, reason }
    }
}

/// Carries a permitted connection to its end.
pub(crate) async fn carry<G: Gate>(
    stream: TcpStream,
    gate: G,
    permit: Permit<Connect>,
    shared: Arc<Shared>,
) {
    let mut flow = Flow::new(gate, permit, shared);
    let upstream = match flow.dial().await {
        Ok(upstream) => upstream,
        Err(Stop::Refused(refusal)) => {
            flow.gate.refused(&refusal);
            return explain::refuse(stream, &refusal).await;
        }
        Err(Stop::Failed(why)) => {
            flow.gate.failed(why.clone());
            return explain::fail(stream, &why).await;
        }
    };
    let _ = stream.set_nodelay(true);
    let agent =
        Agent::new(stream, Bytes::new(), Arc::clone(&flow.counts), Arc::clone(&flow.shared));
    let reason = relay(agent, upstream, &flow.counts).await;
    flow.gate.ended(flow.carried(reason));
}
