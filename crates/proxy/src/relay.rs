//! Bytes carried both ways without being looked at, through the kernel's pipes.
//!
//! An idle connection holds neither pipe nor buffer: a pipe is taken when there
//! is something to read and given back when all of it was passed on.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;

use crate::agent::Agent;
use crate::meter::Meter;

/// Bytes that a pipe holds, while few are busy and when many are. A quarter costs
/// a third more processor time, and an ordinary user may hold 64 MiB of pipes in
/// all, beyond which the kernel gives 8 KiB.
const PIPE: usize = 1024 * 1024;
const SMALLER: usize = 256 * 1024;

/// Pipes that may be large, and that wait for their next use. More than that many
/// busy connections make theirs anew.
const KEPT: usize = 24;

/// Pipes for the connections of a session.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    waiting: Mutex<Vec<Pipe>>,
    busy: AtomicUsize,
}

/// An empty pipe.
#[derive(Debug)]
struct Pipe {
    from: OwnedFd,
    to: OwnedFd,
}

/// A pipe in use, given back when it is dropped.
#[derive(Debug)]
struct Taken<'p> {
    pipe: Option<Pipe>,
    /// INVARIANT: what is given back is empty, or the next connection would carry
    /// bytes of this one.
    is_empty: bool,
    pipes: &'p Pipes,
}

impl Pipes {
    fn take(&self) -> io::Result<Taken<'_>> {
        let busy = self.busy.fetch_add(1, Relaxed);
        let mut taken = Taken { pipe: self.waiting().pop(), is_empty: true, pipes: self };
        if taken.pipe.is_none() {
            let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
            // Beyond the user's share of memory for pipes a smaller one has to do.
            let _ = fcntl_setpipe_size(&to, if busy < KEPT { PIPE } else { SMALLER });
            taken.pipe = Some(Pipe { from, to });
        }
        Ok(taken)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Pipe>> {
        // Every change is one push or pop.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    fn ends(&self) -> io::Result<&Pipe> {
        self.pipe.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.pipes.busy.fetch_sub(1, Relaxed);
        let Some(pipe) = self.pipe.take().filter(|_| self.is_empty) else { return };
        let mut waiting = self.pipes.waiting();
        if waiting.len() < KEPT {
            waiting.push(pipe);
        }
    }
}

/// Carries until both sides are done or one breaks off.
///
/// # Errors
///
/// What broke it off; a cap that is reached is told by [`Meter::is_spent`].
pub(crate) async fn relay(
    agent: Agent,
    mut host: TcpStream,
    pipes: &Pipes,
    meter: &Meter,
) -> io::Result<()> {
    let (agent, ahead) = agent.into_parts();
    if !ahead.is_empty() {
        meter.sends(ahead.len())?;
        host.write_all(&ahead).await?;
        drop(ahead);
    }
    let received = |bytes| {
        meter.receives(bytes);
        Ok(())
    };
    tokio::try_join!(
        pass(&agent, &host, pipes, |bytes| meter.sends(bytes)),
        pass(&host, &agent, pipes, received),
    )
    .map(drop)
}

/// One direction, with the end of the stream passed on.
async fn pass(
    from: &TcpStream,
    to: &TcpStream,
    pipes: &Pipes,
    count: impl Fn(usize) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut taken = pipes.take()?;
        loop {
            let fill = || shift(from, &taken.ends()?.to, PIPE);
            let filled = match from.try_io(Interest::READABLE, fill) {
                Ok(filled) => filled,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            if filled == 0 {
                // The other side may be gone already, which its own reader finds out.
                let _ = shutdown(to, Shutdown::Write);
                return Ok(());
            }
            taken.is_empty = false;
            count(filled)?;
            drain(taken.ends()?, filled, to).await?;
            taken.is_empty = true;
        }
    }
}

/// Empties what was filled into a pipe.
async fn drain(pipe: &Pipe, mut filled: usize, to: &TcpStream) -> io::Result<()> {
    while filled > 0 {
        match to.try_io(Interest::WRITABLE, || shift(&pipe.from, to, filled)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => filled -= written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn shift(
    from: impl std::os::fd::AsFd,
    to: impl std::os::fd::AsFd,
    most: usize,
) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::meter::Caps;
    use crate::shared::tests::shared;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
        (one.expect("a connection"), other.expect("its other end").0)
    }

    #[tokio::test]
    async fn both_ways_arrive_whole_and_each_end_is_passed_on() {
        let shared = shared();
        let (mut agent, inner) = pair().await;
        let (outer, mut host) = pair().await;
        let meter = Arc::new(Meter::new(Caps::default(), Arc::clone(&shared)));
        let ahead = Bytes::from_static(b"first ");
        let carried = Agent::new(inner, ahead, Arc::clone(&meter));
        let relaying = {
            let (shared, meter) = (Arc::clone(&shared), Arc::clone(&meter));
            tokio::spawn(async move { relay(carried, outer, &shared.pipes, &meter).await })
        };
        let long = vec![7; 3_000_000];
        let sent = long.clone();
        let talking = tokio::spawn(async move {
            agent.write_all(b"then").await.expect("written");
            agent.shutdown().await.expect("half closed");
            let mut heard = Vec::new();
            agent.read_to_end(&mut heard).await.expect("read");
            heard
        });
        let mut heard = Vec::new();
        host.read_to_end(&mut heard).await.expect("read");
        assert_eq!(heard, b"first then");
        host.write_all(&sent).await.expect("written");
        drop(host);
        assert!(talking.await.expect("no panic") == long);
        relaying.await.expect("no panic").expect("a clean end");
        assert_eq!(meter.read(), (10, 3_000_000));
    }

    #[tokio::test]
    async fn nothing_passes_beyond_a_cap() {
        let shared = shared();
        let (mut agent, inner) = pair().await;
        let (outer, mut host) = pair().await;
        let caps = Caps { session: Some(4), there: Vec::new() };
        let meter = Arc::new(Meter::new(caps, Arc::clone(&shared)));
        let carried = Agent::new(inner, Bytes::new(), Arc::clone(&meter));
        agent.write_all(b"12345").await.expect("written");
        let ended = relay(carried, outer, &shared.pipes, &meter).await.expect_err("a cap");
        assert!(Meter::is_spent(&ended));
        let mut heard = Vec::new();
        let _ = host.read_to_end(&mut heard).await;
        assert_eq!(heard, b"");
    }
}
