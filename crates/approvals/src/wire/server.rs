//! Answers on the approval socket.

use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use remit_policy::Answer;
use rustix::event::{PollFd, PollFlags, poll};

use super::peer::Peer;
use super::{BreakGlass, Desk, REQUEST_LIMIT, Reply, Request, peer, read_line, to_line};

/// Connections at a time; more are closed at once.
const CONNECTIONS: usize = 16;

/// How long one connection may last. Long enough for a program's request, too
/// short to occupy all connections for good.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running server; dropping it closes the socket and ends its thread.
/// The socket's file stays and is its creator's to remove.
#[derive(Debug)]
pub struct Server {
    /// Dropping this end tells the thread to end.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `desk` on a thread, with one short-lived thread per connection.
///
/// # Errors
///
/// If the thread or its stop signal cannot be made.
pub fn serve(listener: UnixListener, desk: Arc<dyn Desk>) -> io::Result<Server> {
    listener.set_nonblocking(true)?;
    let (stop, stopped) = UnixStream::pair()?;
    let accepting = thread::Builder::new().name("approvals".to_owned());
    let thread = accepting.spawn(move || accept(&listener, &stopped, &desk))?;
    Ok(Server { stop: Some(stop), thread: Some(thread) })
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &UnixListener, stopped: &UnixStream, desk: &Arc<dyn Desk>) {
    let busy = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => begin(stream, desk, &busy),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, most likely; do not spin while that lasts.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Counts one connection for as long as it lives.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(busy: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(busy));
        (busy.fetch_add(1, Ordering::SeqCst) < CONNECTIONS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn begin(stream: UnixStream, desk: &Arc<dyn Desk>, busy: &Arc<AtomicUsize>) {
    let Some(place) = Place::take(busy) else {
        return;
    };
    let desk = Arc::clone(desk);
    // Without a thread the connection closes, which the client reports.
    let _ = thread::Builder::new().name("approval".to_owned()).spawn(move || {
        let _place = place;
        // A connection that fails has only itself to tell, and it is gone.
        let _ = converse(&stream, desk.as_ref());
    });
}

fn converse(stream: &UnixStream, desk: &dyn Desk) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let by = peer::identify(stream)?;
    let deadline = Instant::now() + PATIENCE;
    let mut lines = BufReader::new(Until { stream, deadline });
    loop {
        let reply = match read_line(&mut lines, REQUEST_LIMIT) {
            Ok(None) => return Ok(()),
            Ok(Some(line)) => answer(&line, &by, desk),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let reason = error.to_string();
                (&*stream).write_all(&to_line(&Reply::Rejected { reason })?)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        (&*stream).write_all(&to_line(&reply)?)?;
    }
}

fn answer(line: &[u8], peer: &Peer, desk: &dyn Desk) -> Reply {
    let Peer { by, person } = peer.clone();
    match serde_json::from_slice(line) {
        Ok(Request::List {}) => Reply::Open { questions: desk.open() },
        Ok(Request::Answer { id, choice, note }) => {
            match desk.answer(id, Answer { choice, by, people: [person].into(), note }) {
                Ok(outcome) => Reply::Answered { id, outcome },
                Err(not_open) => Reply::NotOpen(not_open),
            }
        }
        Ok(Request::BreakGlass { seconds, reason }) => {
            let length = Duration::from_secs(seconds);
            match desk.break_glass(BreakGlass { by, person, length, reason }) {
                Ok(until) => Reply::Broken { until },
                Err(why) => Reply::NotBroken { why },
            }
        }
        Ok(Request::Appeal { id }) => match desk.appeal(id) {
            Ok(id) => Reply::Appealed { id },
            Err(not_open) => Reply::NotOpen(not_open),
        },
        Err(error) => Reply::Rejected { reason: error.to_string() },
    }
}

/// A stream that can be read until a moment, however slowly it drips.
struct Until<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        (&*self.stream).read(buffer)
    }
}
