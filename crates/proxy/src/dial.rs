//! The only place where bytes leave the machine.
//!
//! INVARIANT: an upstream socket is opened here, for a spent permit, to an
//! address that was checked or to the proxy that the person set; nowhere else
//! in the program.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderValue;
use remit_policy::{Connect, Host, Permit, Refusal};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::{Gate, Way, hosts, route};

/// Why there is no upstream connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name leads to an address that may not be reached.
    Refused(Refusal),
    /// It does not exist, does not answer or does not listen.
    Failed { what: String, source: io::Error },
}

/// How long one address may take to answer. Shorter than the two minutes after
/// which a kernel gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an address is tried alone.
/// SOURCE: RFC 8305 §5, the Connection Attempt Delay.
const HEAD_START: Duration = Duration::from_millis(250);

/// How long the system's resolver may take.
const LOOKUP: Duration = Duration::from_secs(20);

/// Connects to the host of a permit, on the way that the policy has for it.
pub(crate) async fn dial(
    gate: &impl Gate,
    permit: Permit<Connect>,
) -> Result<TcpStream, DialError> {
    let connect = permit.spend();
    let stream = match gate.way(&connect) {
        Way::Direct => directly(gate, &connect).await?,
        Way::Proxy { host, port, authorization } => {
            let proxy = Connect { host, port, program: None };
            by_proxy(gate, &connect, &proxy, authorization.as_ref()).await?
        }
    };
    // Interactive protocols suffer from Nagle's wait; bulk does not care.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Resolves the host, checks every answer, dials the first that answers.
///
/// One answer that may not be reached refuses them all: a name with a public
/// and a private address is how rebinding looks.
async fn directly(gate: &impl Gate, connect: &Connect) -> Result<TcpStream, DialError> {
    let addresses = resolve(connect).await?;
    for address in &addresses {
        gate.address(connect, address.ip()).map_err(DialError::Refused)?;
    }
    fastest(alternating(addresses)).await.map_err(|source| DialError::Failed {
        what: format!("cannot connect to `{connect}`"),
        source,
    })
}

/// Dials the proxy, wherever the person has it, and has it connect to the host.
///
/// An address that was given literally is checked; what a name leads to is known
/// to the proxy alone.
async fn by_proxy(
    gate: &impl Gate,
    connect: &Connect,
    proxy: &Connect,
    authorization: Option<&HeaderValue>,
) -> Result<TcpStream, DialError> {
    if let Host::Address(address) = connect.host {
        gate.address(connect, address).map_err(DialError::Refused)?;
    }
    let addresses = resolve(proxy).await?;
    let mut stream = fastest(alternating(addresses)).await.map_err(|source| DialError::Failed {
        what: format!("cannot connect to the proxy `{proxy}`"),
        source,
    })?;
    match route::connect(&mut stream, connect, authorization).await {
        Ok(()) => Ok(stream),
        Err(error) => Err(DialError::Failed {
            what: format!("cannot connect to `{connect}` by the proxy `{proxy}`"),
            source: io::Error::other(error),
        }),
    }
}

/// A name with a dot is looked up as it is. One without is the machine's own
/// business, its search domains included.
async fn resolve(connect: &Connect) -> Result<Vec<SocketAddr>, DialError> {
    let port = u16::from(connect.port);
    let name = match &connect.host {
        Host::Address(address) => return Ok(vec![(*address, port).into()]),
        Host::Name(name) => name,
    };
    let failed = |source| DialError::Failed { what: format!("cannot resolve `{name}`"), source };
    let answers = async {
        if !name.as_str().contains('.') {
            // The machine's own rules say what a name of one label means.
            return Ok(lookup_host((name.as_str(), port)).await?.collect());
        }
        let listed = hosts::addresses(name.clone()).await?;
        if !listed.is_empty() {
            return Ok(listed.into_iter().map(|address| (address, port).into()).collect());
        }
        // Absolute, or the resolver might go on with a search domain behind it and
        // answer for a name that was not judged.
        // SOURCE: resolv.conf(5), `search` and `ndots`; hostname(7), the trailing dot.
        Ok(lookup_host((format!("{name}."), port)).await?.collect())
    };
    match timeout(LOOKUP, answers).await {
        Ok(answers) => answers.map_err(failed),
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

/// The families in turn, beginning with the one that the resolver prefers.
/// SOURCE: RFC 8305 §4.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        let (next, after) = (one.next(), other.next());
        if next.is_none() && after.is_none() {
            return ordered;
        }
        ordered.extend(next.into_iter().chain(after));
    }
}

/// The first address that answers; each gets a head start before the next.
async fn fastest(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = addresses[..] {
        return one(only).await;
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut waiting = addresses.into_iter();
    let mut tries = JoinSet::new();
    loop {
        match waiting.next() {
            Some(address) => drop(tries.spawn(one(address))),
            None if tries.is_empty() => return Err(last),
            None => {}
        }
        tokio::select! {
            Some(tried) = tries.join_next() => match tried.map_err(io::Error::other)? {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

async fn one(address: SocketAddr) -> io::Result<TcpStream> {
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_families_take_turns() {
        let answers = ["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1", "192.0.2.2:1"].map(at);
        let expected = ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1"].map(at);
        assert_eq!(alternating(answers.to_vec()), expected);
        assert_eq!(alternating(answers[2..].to_vec()), answers[2..]);
    }

    #[tokio::test]
    async fn an_address_that_does_not_listen_does_not_stop_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let there = listener.local_addr().expect("its address");
        let closed = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            gone.local_addr().expect("its address")
        };
        let stream = fastest(vec![closed, there]).await.expect("the second answers");
        assert_eq!(stream.peer_addr().expect("a peer"), there);
        assert!(fastest(vec![closed]).await.is_err());
    }
}
