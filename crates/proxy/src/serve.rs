//! One captured connection, from the listener to its end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use remit_policy::{Connect, Permit, Refusal};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::capture::{Admission, Capture, Captured};
use crate::dial::{self, DialError};
use crate::{Carried, Gate, dns, explain};

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

async fn carry<G: Gate>(mut stream: TcpStream, peer: SocketAddr, capture: &Capture<G>) {
    let Some(Captured { gate, admission }) = capture.claim(peer).await else {
        return explain::cut(stream);
    };
    let admission = match admission {
        Admission::Lookups(names) => return dns::answer_stream(stream, &names).await,
        verdict => verdict,
    };
    let permit = match settle(admission, &stream).await {
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
    gate.ended(relay(&mut stream, &mut upstream).await);
}

/// Carries bytes both ways until both sides are done or one breaks off.
async fn relay(agent: &mut TcpStream, host: &mut TcpStream) -> Carried {
    let (from_agent, to_agent) = agent.split();
    let (from_host, to_host) = host.split();
    let (sent, received) = (Counter::default(), Counter::default());
    let ended = tokio::try_join!(
        pass(sent.counting(from_agent), to_host),
        pass(received.counting(from_host), to_agent),
    );
    let reason = if ended.is_ok() { "closed" } else { "broken off" };
    Carried { sent: sent.0.load(Relaxed), received: received.0.load(Relaxed), reason }
}

/// One direction, with the end of the stream passed on.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// Bytes so far, known even when the carrying breaks off.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn counting<R>(&self, reader: R) -> Counted<'_, R> {
        Counted { reader, so_far: self }
    }
}

struct Counted<'a, R> {
    reader: R,
    so_far: &'a Counter,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<'_, R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.reader).poll_read(context, buffer);
        this.so_far.0.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        polled
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
        Admission::Lookups(_) => None,
    }
}

/// Ends when the program has closed its side without having said anything.
async fn hung_up(stream: &TcpStream) {
    if !matches!(stream.peek(&mut [0]).await, Ok(0) | Err(_)) {
        // It has spoken, so its end cannot be seen before its words are read.
        std::future::pending().await
    }
}
