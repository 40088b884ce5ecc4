//! The supervisor's end of the control socket: what becomes of the command.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::message::{self, Message, Step};
use super::sys;

/// The session's process 1 and the line to it. Dropping it ends the session.
#[derive(Debug)]
pub struct Control {
    init: libc::pid_t,
    line: OwnedFd,
}

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
    pub(crate) fn new(init: libc::pid_t, line: OwnedFd) -> Self {
        Self { init, line }
    }

    /// The host's number of the session's process 1.
    pub fn init(&self) -> u32 {
        self.init as u32
    }

    /// Waits for the next event.
    pub fn wait(&self) -> ChildEvent {
        loop {
            let Ok(Some(received)) = message::receive(self.line.as_fd()) else {
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
                _ => {}
            }
        }
    }

    /// Puts the stopped command in its terminal's foreground and continues it.
    pub fn resume(&self) -> io::Result<()> {
        Ok(Message::Continue.send(self.line.as_fd(), &[])?)
    }

    /// Ends every process of the session, now.
    pub fn end(&self) {
        // Fails only when it is gone already.
        let _ = sys::kill(self.init, libc::SIGKILL);
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
        sys::wait(self.init, 0);
    }
}
