//! One captured connection, from the listener to its end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use remit_policy::{Basis, Connect, Permit, Refusal};
use tokio::net::{TcpListener, TcpStream};

use crate::capture::{Admission, Capture, Captured};
use crate::shared::Shared;
use crate::{Gate, dns, explain, explicit, flow};

/// Accepts captured connections until the listener fails. Never ends by itself.
pub async fn serve<G: Gate>(
    listener: OwnedFd,
    capture: Arc<Capture<G>>,
    shared: Arc<Shared>,
) -> io::Error {
    let listener = match TcpListener::from_std(listener.into()) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (capture, shared) = (Arc::clone(&capture), Arc::clone(&shared));
                tokio::spawn(async move { carry(stream, canonical(peer), &capture, shared).await });
            }
            Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => return error,
        }
    }
}

/// Too many open files, or a connection that ended before it was accepted.
pub(crate) fn is_passing(error: &io::Error) -> bool {
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

async fn carry<G: Gate>(
    stream: TcpStream,
    peer: SocketAddr,
    capture: &Capture<G>,
    shared: Arc<Shared>,
) {
    let Some(Captured { gate, admission }) = capture.claim(peer).await else {
        return explain::cut(stream);
    };
    let Some(_place) = shared.enter() else {
        gate.refused(&too_many(&shared));
        return explain::cut(stream);
    };
    let admission = match admission {
        Admission::Lookups(names) => return dns::answer_stream(stream, &names).await,
        Admission::Explicit => return explicit::serve(stream, gate, shared).await,
        verdict => verdict,
    };
    let permit = match settle(admission, &stream).await {
        Some(Ok(permit)) => permit,
        Some(Err(refusal)) => return explain::refuse(stream, None, &refusal).await,
        None => return explain::cut(stream),
    };
    flow::carry(stream, Bytes::new(), gate, permit, shared).await;
}

/// So that descriptors are left for everything else that the session needs.
fn too_many(shared: &Shared) -> Refusal {
    Refusal {
        attempt: "one more connection".to_owned(),
        basis: Basis::built_in(format!("network: at most {} connections at a time", shared.most())),
        instead: Some(
            "the same when others have ended, or more descriptors (`ulimit -n`)".to_owned(),
        ),
        note: None,
    }
}

/// The verdict, waited for if need be. `None` when nobody is left to give one,
/// or to hear it: a program that hangs up meanwhile withdraws its question.
async fn settle(
    admission: Admission,
    stream: &TcpStream,
) -> Option<Result<Permit<Connect>, Refusal>> {
    match admission {
        Admission::Permitted(permit) => Some(Ok(permit)),
        Admission::Refused(refusal) => Some(Err(refusal)),
        Admission::Pending(verdict) => tokio::select! {
            verdict = verdict => verdict.ok(),
            () = hung_up(stream) => None,
        },
        // Carried elsewhere; nobody gives a verdict on it.
        Admission::Lookups(_) | Admission::Explicit => None,
    }
}

/// Ends when the program has closed its side without having said anything.
async fn hung_up(stream: &TcpStream) {
    if !matches!(stream.peek(&mut [0]).await, Ok(0) | Err(_)) {
        // It has spoken, so its end cannot be seen before its words are read.
        std::future::pending().await
    }
}
