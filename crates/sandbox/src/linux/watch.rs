//! The supervisor's end of the control socket: what becomes of the command.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::message::{self, Message, Step};
use super::sys;
use crate::plan::Tier;

/// The session's process 1 and the line to it. Dropping it ends the session.
#[derive(Debug)]
pub struct Control {
    init: libc::pid_t,
    line: OwnedFd,
    tier: Tier,
    /// Children that we had before, by what ran here before us.
    others: Vec<libc::pid_t>,
    /// Where [`Control::wait`] puts the sockets that process 1 hands out, and
    /// where they are fetched, by one at a time.
    made: Sender<io::Result<OwnedFd>>,
    sockets: Mutex<Receiver<io::Result<OwnedFd>>>,
}

/// How long process 1, which does nothing else, may take to make a socket.
const PATIENCE: Duration = Duration::from_secs(5);

/// What process 1 tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEvent {
    /// The command's process group was stopped by job control.
    Stopped,
    /// The command exited with this code.
    Exited(i32),
    /// The command was ended by this signal.
    Signalled(i32),
    /// The command could not be started: the kernel's error number.
    NotStarted(i32),
    /// Process 1 is gone without a word, and the session with it.
    Lost,
}

impl Control {
    pub(crate) fn new(
        init: libc::pid_t,
        line: OwnedFd,
        tier: Tier,
        others: Vec<libc::pid_t>,
    ) -> Self {
        let (made, sockets) = channel();
        Self { init, line, tier, others, made, sockets: Mutex::new(sockets) }
    }

    /// The host's number of the session's process 1.
    pub fn init(&self) -> u32 {
        self.init as u32
    }

    /// By which of the kernel's means the session is held.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Waits for the next event.
    pub fn wait(&self) -> ChildEvent {
        loop {
            let Ok(Some(received)) = message::receive(self.line.as_fd()) else {
                if !self.tier.has_namespaces() {
                    // It ends last, after everything inside.
                    let _ = sys::wait_for_end(self.init, 0);
                }
                return ChildEvent::Lost;
            };
            match received.message {
                Message::Stopped => return ChildEvent::Stopped,
                Message::Ended { status } if libc::WIFEXITED(status) => {
                    return ChildEvent::Exited(libc::WEXITSTATUS(status));
                }
                Message::Ended { status } => return ChildEvent::Signalled(libc::WTERMSIG(status)),
                Message::Failed { step: Step::Exec, errno, .. } => {
                    return ChildEvent::NotStarted(errno.0);
                }
                Message::Socket { errno } => {
                    let [socket, ..] = received.fds;
                    let made = socket.ok_or_else(|| match errno {
                        // We have no descriptor left to take it by.
                        0 => io::Error::from_raw_os_error(libc::EMFILE),
                        errno => io::Error::from_raw_os_error(errno),
                    });
                    // The other end lives as long as this one.
                    let _ = self.made.send(made);
                }
                _ => {}
            }
        }
    }

    /// Puts the stopped command in its terminal's foreground and continues it.
    pub fn resume(&self) -> io::Result<()> {
        Ok(Message::Continue.send(self.line.as_fd(), &[])?)
    }

    /// A new TCP socket of the session's own network, connected to nothing,
    /// which does not wait. It speaks IPv6 and, by mapped addresses, IPv4; or
    /// only IPv4, where the kernel has no other.
    ///
    /// Some other thread must be in [`Control::wait`].
    ///
    /// # Errors
    ///
    /// `Unsupported` where the session has no network of its own, `TimedOut` if
    /// nobody waits or the session is at its end.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        if !self.tier.has_namespaces() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        Message::MakeSocket.send(self.line.as_fd(), &[])?;
        sockets.recv_timeout(PATIENCE).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Ends every process of the session, now.
    pub fn end(&self) {
        if self.tier.has_namespaces() {
            // Fails only when it is gone already.
            let _ = sys::kill(self.init, libc::SIGKILL);
            return;
        }
        // Process 1 ends the others when it hears the end of the line, and then
        // itself. Ended first, it would leave them to us.
        let _ = sys::shut(self.line.as_fd());
        if !matches!(sys::wait_for_end(self.init, libc::WNOHANG), Ok(false)) {
            self.end_orphans();
        }
    }

    /// Ends what process 1 left behind because somebody else ended it. Orphans
    /// come to us. Children that we had before the session are nobody's business
    /// here; they are not reaped, so their numbers stay theirs. We start none
    /// while a session runs.
    fn end_orphans(&self) {
        let is_orphan = |pid: &libc::pid_t| *pid != self.init && !self.others.contains(pid);
        loop {
            let orphans: Vec<_> = children().filter(is_orphan).collect();
            if orphans.is_empty() {
                return;
            }
            for pid in orphans {
                let _ = sys::kill(pid, libc::SIGKILL);
                sys::wait(pid, libc::WNOHANG | libc::__WALL);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The children of every thread of this process.
pub(super) fn children() -> impl Iterator<Item = libc::pid_t> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| {
        list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
    })
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
        if !self.tier.has_namespaces() {
            let _ = sys::wait_for_end(self.init, 0);
            self.end_orphans();
        }
        sys::wait(self.init, 0);
    }
}
