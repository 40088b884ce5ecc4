//! The only place where bytes leave the machine.
//!
//! INVARIANT: an upstream socket is opened here, for a spent permit, to an
//! address that was checked; nowhere else in the program.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use remit_policy::{Connect, Host, Permit, Refusal};
use tokio::net::{TcpStream, lookup_host};

use crate::Gate;

/// Why there is no upstream connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name leads to an address that may not be reached.
    Refused(Refusal),
    /// It does not exist, does not answer or does not listen.
    Failed { what: String, source: io::Error },
}

/// How long one address may take to answer. Shorter than the two minutes after
/// which a kernel gives up, so that the next address gets its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Resolves the host of a permit, checks every answer, dials the first that
/// answers.
///
/// One answer that may not be reached refuses them all: a name with a public
/// and a private address is how rebinding looks.
pub(crate) async fn dial(
    gate: &impl Gate,
    permit: Permit<Connect>,
) -> Result<TcpStream, DialError> {
    let connect = permit.spend();
    let addresses = resolve(&connect).await?;
    for address in &addresses {
        gate.address(&connect, address.ip()).map_err(DialError::Refused)?;
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Interactive protocols suffer from Nagle's wait; bulk does not care.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(DialError::Failed { what: format!("cannot connect to `{connect}`"), source: last })
}

async fn resolve(connect: &Connect) -> Result<Vec<SocketAddr>, DialError> {
    let port = u16::from(connect.port);
    match &connect.host {
        Host::Address(address) => Ok(vec![(*address, port).into()]),
        Host::Name(name) => {
            let answers = lookup_host((name.as_str(), port)).await.map_err(|source| {
                DialError::Failed { what: format!("cannot resolve `{name}`"), source }
            })?;
            Ok(answers.collect())
        }
    }
}
