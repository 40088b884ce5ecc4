//! One captured connection, from the listener to its end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use remit_policy::Refusal;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::capture::{Admission, Capture, Captured};
use crate::dial::{self, DialError};
use crate::{Carried, Gate, explain};

/// Accepts captured connections until the listener fails. Never ends by itself.
pub async fn serve<G: Gate>(listener: OwnedFd, capture: Arc<Capture<G>>) -> io::Error {
    let listener = match TcpListener::from_std(listener.into()) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let capture = Arc::clone(&capture);
                tokio::spawn(async move { carry(stream, canonical(peer), &capture).await });
            }
            Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => return error,
        }
    }
}

/// Too many open files, or a connection that ended before it was accepted.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing =
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::CONNABORTED, Errno::INTR];
    error
        .raw_os_error()
        .is_some_and(|code| passing.iter().any(|errno| errno.raw_os_error() == code))
}

/// A peer as both sides of the capture write it: mapped addresses as IPv4.
fn canonical(peer: SocketAddr) -> SocketAddr {
    let ip = match peer.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    SocketAddr::new(ip, peer.port())
}

async fn carry<G: Gate>(mut stream: TcpStream, peer: SocketAddr, capture: &Capture<G>) {
    let Some(Captured { gate, admission }) = capture.claim(peer).await else {
        return explain::cut(stream);
    };
    let permit = match settle(admission).await {
        Some(Ok(permit)) => permit,
        Some(Err(refusal)) => return explain::refuse(stream, &refusal).await,
        None => return explain::cut(stream),
    };
    let mut upstream = match dial::dial(&gate, permit).await {
        Ok(upstream) => upstream,
        Err(DialError::Refused(refusal)) => {
            gate.refused(&refusal);
            return explain::refuse(stream, &refusal).await;
        }
        Err(DialError::Failed { what, source }) => {
            let why = format!("{what}: {source}");
            gate.failed(why.clone());
            return explain::fail(stream, &why).await;
        }
    };
    let _ = stream.set_nodelay(true);
    let carried = match copy_bidirectional(&mut stream, &mut upstream).await {
        Ok((sent, received)) => Carried { sent, received, reason: "closed" },
        Err(_) => Carried { sent: 0, received: 0, reason: "broken off" },
    };
    gate.ended(carried);
}

/// The verdict, waited for if need be. `None` when nobody is left to give one.
async fn settle(
    admission: Admission,
) -> Option<Result<remit_policy::Permit<remit_policy::Connect>, Refusal>> {
    match admission {
        Admission::Permitted(permit) => Some(Ok(permit)),
        Admission::Refused(refusal) => Some(Err(refusal)),
        Admission::Pending(verdict) => verdict.await.ok(),
    }
}
