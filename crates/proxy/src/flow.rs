//! One permitted connection: seen, dialled, carried.

mod ways;

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use remit_policy::{Attempt as _, Basis, Cache, Connect, Handling, Permit, Refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::agent::Agent;
use crate::dial::{self, DialError};
use crate::explain::{self, Heard};
use crate::meter::Meter;
use crate::relay::relay;
use crate::shared::Shared;
use crate::sniff::{self, Protocol};
use crate::{Carried, Gate};

/// A permitted connection on its way.
#[derive(Debug)]
pub(crate) struct Flow<G> {
    pub(crate) gate: G,
    /// What was permitted.
    pub(crate) connect: Connect,
    pub(crate) handling: Handling,
    pub(crate) shared: Arc<Shared>,
    pub(crate) meter: Arc<Meter>,
    /// What the program speaks, and its first bytes as long as it may have to be
    /// told something in answer.
    heard: Option<Heard>,
    /// Spent on dialling.
    permit: Option<Permit<Connect>>,
}

/// A connection whose first bytes were read.
struct Begun {
    stream: TcpStream,
    ahead: Bytes,
    /// Dialled already, where the host may have spoken first.
    upstream: Option<TcpStream>,
}

/// What comes after a look.
enum Next {
    Ended(&'static str),
    /// The rest is carried as it is.
    Carry(Agent, TcpStream),
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
        let mut handling = gate.handling(&connect);
        // What has to be judged does not pass unseen for looking like something else.
        handling.opaque &= !handling.requests_only && handling.ssh.is_none();
        let meter = Arc::new(Meter::new(gate.caps(&connect), Arc::clone(&shared)));
        Self { gate, connect, handling, shared, meter, heard: None, permit: Some(permit) }
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

    /// A refusal of this connection by a rule that is built in.
    pub(crate) fn refusal(&self, rule: &str, instead: &str) -> Refusal {
        Refusal {
            attempt: self.connect.summary(),
            basis: Basis::built_in(rule),
            instead: Some(instead.to_owned()),
            note: None,
        }
    }

    /// Whether the program has to speak before the host is dialled: because what
    /// it says decides, or because its port is known for that.
    fn hears_agent_first(&self) -> bool {
        let Handling { inspect, requests_only, opaque, ssh, cache, .. } = &self.handling;
        let decides = *inspect || *requests_only || ssh.is_some() || *cache == Cache::Only;
        decides || (!opaque && self.expected().is_some())
    }

    /// What is spoken on the port, where everybody knows that.
    fn expected(&self) -> Option<Protocol> {
        match u16::from(self.connect.port) {
            80 => Some(Protocol::Http),
            443 => Some(Protocol::Tls),
            _ => None,
        }
    }

    /// Refuses what is not spoken on this port, and what cannot be judged as the
    /// policy demands.
    fn check(&self, spoken: Protocol) -> Result<(), Refusal> {
        let Handling { inspect, requests_only, opaque, ssh, cache, .. } = &self.handling;
        let is_judged = match spoken {
            Protocol::Http | Protocol::Tls => true,
            Protocol::Ssh => ssh.is_some(),
            _ => false,
        };
        if *requests_only && !is_judged {
            return Err(self.refusal(
                "network: only requests that can be judged",
                "HTTP, alone or in TLS, to this host",
            ));
        }
        if *cache == Cache::Only && !matches!(spoken, Protocol::Http | Protocol::Tls) {
            return Err(self.refusal(
                "network: answers come from the cache alone",
                "HTTP, alone or in TLS, to this host",
            ));
        }
        if ssh.is_some() && !is_judged {
            return Err(self.refusal(
                "network: only SSH commands that can be judged",
                "SSH, or HTTP, to this host",
            ));
        }
        if *inspect && spoken == Protocol::Other {
            return Err(self.refusal(
                "network: an inspected host is spoken to in what can be inspected",
                "HTTP, alone or in TLS, or this host in `network.pass_through`",
            ));
        }
        match self.expected() {
            Some(expected) if spoken != expected && !opaque => Err(self.refusal(
                match expected {
                    Protocol::Http => "network: HTTP on port 80",
                    _ => "network: TLS on port 443",
                },
                "another port, or this host in `network.opaque`",
            )),
            _ => Ok(()),
        }
    }

    async fn run(&mut self, mut stream: TcpStream, ahead: Bytes) -> &'static str {
        let mut upstream = None;
        if ahead.is_empty() && !self.hears_agent_first() {
            let mut host = match self.dial().await {
                Ok(host) => host,
                Err(stop) => return self.stop(stream, stop).await,
            };
            if self.hear_host(&mut stream, &mut host).await.is_err() {
                return "broken off";
            }
            upstream = Some(host);
        }
        let (ahead, spoken) = match sniff::first(&mut stream, ahead).await {
            Ok((ahead, _)) if ahead.is_empty() => return "closed",
            Ok(first) => first,
            Err(_) => return "broken off",
        };
        let Some(spoken) = spoken.or(self.handling.opaque.then_some(Protocol::Other)) else {
            let refusal = self.refusal(
                "network: a program says at once what it speaks",
                "the same without a pause, or this host in `network.opaque`",
            );
            self.heard = Some((Protocol::Other, Bytes::new()));
            return self.stop(stream, Stop::Refused(refusal)).await;
        };
        self.heard = Some((spoken, ahead.clone()));
        if let Err(refusal) = self.check(spoken) {
            return self.stop(stream, Stop::Refused(refusal)).await;
        }
        // Boxed, so that a connection that is only carried takes little memory.
        let began = Begun { stream, ahead, upstream };
        let next = match spoken {
            Protocol::Http if !self.handling.opaque => Box::pin(self.http(began)).await,
            Protocol::Tls => Box::pin(self.tls(began)).await,
            Protocol::Ssh => Box::pin(self.ssh(began)).await,
            Protocol::PostgreSql => Box::pin(self.postgres(began)).await,
            _ => Box::pin(self.other(began)).await,
        };
        match next {
            Next::Ended(reason) => reason,
            Next::Carry(agent, upstream) => {
                self.heard = None;
                match relay(agent, upstream, &self.shared.pipes, &self.meter).await {
                    Ok(()) => "closed",
                    Err(_) => "broken off",
                }
            }
        }
    }

    /// The agent's side and the way to the host, which is dialled now if it was not.
    async fn both(&mut self, began: Begun) -> Result<(Agent, TcpStream), &'static str> {
        let Begun { stream, ahead, upstream } = began;
        let upstream = match upstream {
            Some(upstream) => upstream,
            None => match self.dial().await {
                Ok(upstream) => upstream,
                Err(stop) => return Err(self.stop(stream, stop).await),
            },
        };
        Ok((Agent::new(stream, ahead, Arc::clone(&self.meter)), upstream))
    }

    /// Passes on what the host says before the program does. What the program
    /// then says is looked at like any first bytes.
    async fn hear_host(&self, agent: &mut TcpStream, host: &mut TcpStream) -> io::Result<()> {
        let mut said = BytesMut::new();
        loop {
            tokio::select! {
                speaks = async { agent.peek(&mut [0]).await } => return speaks.map(drop),
                heard = host.read_buf(&mut said) => {
                    if heard? == 0 {
                        // The end is passed on once the program has spoken or ended.
                        return agent.shutdown().await;
                    }
                    self.meter.receives(said.len());
                    agent.write_all_buf(&mut said).await?;
                }
            }
        }
    }

    /// Writes down why it does not go on, and says so to the program.
    async fn stop(&self, stream: TcpStream, stop: Stop) -> &'static str {
        let reason = self.note(&stop);
        match &stop {
            Stop::Refused(refusal) => explain::refuse(stream, self.heard.clone(), refusal).await,
            Stop::Failed(why) => explain::fail(stream, self.heard.clone(), why).await,
        }
        reason
    }

    /// Writes down why it does not go on.
    fn note(&self, stop: &Stop) -> &'static str {
        match stop {
            Stop::Refused(refusal) => {
                self.gate.refused(refusal);
                "refused"
            }
            Stop::Failed(why) => {
                self.gate.failed(why.clone());
                "failed"
            }
        }
    }

    /// The refusal of more than a cap allows.
    pub(crate) fn capped(&self) -> Refusal {
        self.refusal("network: the upload cap is reached", "less, or a greater `network.upload`")
    }
}

/// Carries a permitted connection to its end. `ahead` was read from it already.
pub(crate) async fn carry<G: Gate>(
    stream: TcpStream,
    ahead: Bytes,
    gate: G,
    permit: Permit<Connect>,
    shared: Arc<Shared>,
) {
    let _ = stream.set_nodelay(true);
    let mut flow = Flow::new(gate, permit, shared);
    let (gate, connect) = (flow.gate.clone(), flow.connect.clone());
    let _kept = flow.shared.names.keep(&connect.host);
    let meter = Arc::clone(&flow.meter);
    let mut end = End { gate: gate.clone(), meter, reason: "the session ended" };
    let reason = tokio::select! {
        biased;
        refusal = gate.revoked(&connect) => {
            gate.refused(&refusal);
            "revoked"
        }
        reason = flow.run(stream, ahead) => reason,
    };
    // Whoever carries sees an error like any other, or a program that has gone away.
    end.reason = match reason {
        "refused" | "revoked" => reason,
        _ if flow.meter.was_stopped() => {
            gate.refused(&flow.capped());
            "refused"
        }
        _ => reason,
    };
}

/// Tells how a connection ended when it is dropped, however that comes about.
struct End<G: Gate> {
    gate: G,
    meter: Arc<Meter>,
    reason: &'static str,
}

impl<G: Gate> Drop for End<G> {
    fn drop(&mut self) {
        let (sent, received) = self.meter.read();
        self.gate.ended(Carried { sent, received, reason: self.reason });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use crate::witness::{Witness, pair};

    #[tokio::test(start_paused = true)]
    async fn who_pauses_before_saying_what_it_speaks_is_refused() {
        for first in [&b"G"[..], b"SS", b"\0\0", b"\r\n"] {
            let host = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let mut flow = Witness::default().flow(host.local_addr().expect("its address"));
            let (mut agent, ours) = pair().await;
            agent.write_all(first).await.expect("says");
            assert_eq!(flow.run(ours, Bytes::new()).await, "refused", "{first:?}");
            let (mut dialled, _) = host.accept().await.expect("a connection");
            let mut heard = Vec::new();
            let _ = dialled.read_to_end(&mut heard).await;
            assert_eq!(heard, b"", "{first:?}");
        }
    }

    #[tokio::test]
    async fn what_has_to_be_judged_is_never_opaque() {
        let server = "127.0.0.1:9".parse().expect("an address");
        let mut gate = Witness::of_ssh(&["git-upload-pack"]);
        gate.handling.opaque = true;
        assert!(!gate.flow(server).handling.opaque, "SSH commands are judged");
        let mut gate = Witness::default();
        gate.handling.opaque = true;
        assert!(gate.flow(server).handling.opaque);
        gate.handling.requests_only = true;
        assert!(!gate.flow(server).handling.opaque, "requests are judged");
    }
}
