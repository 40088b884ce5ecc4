//! Taking a caller's socket somewhere without waiting for it on the thread that
//! everybody waits for.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use remit_sandbox::notify::Socket;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::sockopt;

use super::done;
use crate::exec::libc_errno as errno;

/// A connection that waits as long as its server lets it.
#[derive(Debug)]
pub(crate) struct Errand {
    socket: Socket,
    to: Onward,
}

/// Where a socket goes.
#[derive(Debug)]
pub(super) enum Onward {
    Internet(SocketAddr),
    /// A socket's file, held by descriptor.
    Local(OwnedFd),
    Abstract(Vec<u8>),
}

impl Errand {
    pub(super) fn new(socket: Socket, to: Onward) -> Self {
        Self { socket, to }
    }

    /// Tries to connect, without waiting. Returns the number to answer with, or
    /// none as long as a caller that has waited so long would wait.
    pub(crate) fn attempt(&self, waited: Duration) -> Option<i32> {
        self.to.attempt(&self.socket, waited)
    }
}

impl Onward {
    /// See [`Errand::attempt`].
    pub(super) fn attempt(&self, socket: &Socket, waited: Duration) -> Option<i32> {
        let flags = match fcntl_getfl(socket) {
            Ok(flags) => flags,
            Err(error) => return Some(error.raw_os_error()),
        };
        let patience = sockopt::socket_timeout(socket, sockopt::Timeout::Send);
        let waits = !flags.contains(OFlags::NONBLOCK);
        let goes_on = waits && !matches!(patience, Ok(Some(patience)) if waited >= patience);
        // The flag belongs to the caller's open socket, too; nothing else can be
        // done with a socket that is not connected.
        if waits && let Err(error) = fcntl_setfl(socket, flags | OFlags::NONBLOCK) {
            return Some(error.raw_os_error());
        }
        let mut number = self.try_now(socket);
        if waits && number == errno::EINPROGRESS {
            // A server of this machine has mostly answered by now, and asked
            // again the kernel says how far it is.
            number = self.try_now(socket);
        }
        if waits && let Err(error) = fcntl_setfl(socket, flags) {
            return Some(error.raw_os_error());
        }
        let under_way = [errno::EAGAIN, errno::EINPROGRESS, errno::EALREADY].contains(&number);
        (!goes_on || !under_way).then_some(number)
    }

    fn try_now(&self, socket: &Socket) -> i32 {
        done(match self {
            Onward::Internet(to) => socket.connect(*to),
            Onward::Local(place) => socket.connect_local(place.as_fd()),
            Onward::Abstract(name) => socket.connect_abstract(name),
        })
        .err()
        .unwrap_or(0)
    }
}
