//! Taking a caller's socket somewhere without waiting for it on the thread that
//! everybody waits for.

use std::net::{IpAddr, SocketAddr};
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
    /// An address in the only form that a TCP socket of its family takes.
    pub(super) fn internet(ipv6: bool, to: SocketAddr) -> Self {
        Self::Internet(match to.ip() {
            IpAddr::V4(v4) if ipv6 => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            _ => to,
        })
    }

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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::time::Instant;

    use rustix::net::{AddressFamily, SocketType, socket};

    use super::*;

    /// A socket as a caller has it, and as we take it from the caller.
    fn caller(family: AddressFamily) -> (OwnedFd, Socket) {
        let theirs = socket(family, SocketType::STREAM, None).expect("a socket");
        let ours = Socket::of(std::process::id(), theirs.as_raw_fd()).expect("the same socket");
        (theirs, ours)
    }

    #[test]
    fn a_socket_of_either_family_reaches_an_ipv4_server() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let to = listener.local_addr().expect("its address");
        for (family, ipv6) in [(AddressFamily::INET, false), (AddressFamily::INET6, true)] {
            let (theirs, ours) = caller(family);
            let errand = Errand::new(ours, Onward::internet(ipv6, to));
            let since = Instant::now();
            let number = loop {
                if let Some(number) = errand.attempt(since.elapsed()) {
                    break number;
                }
                assert!(since.elapsed() < Duration::from_secs(10), "never connected");
            };
            assert_eq!(number, 0, "{family:?}");
            let flags = fcntl_getfl(&theirs).expect("flags");
            assert!(!flags.contains(OFlags::NONBLOCK), "the caller's flags are as they were");
        }
    }

    #[test]
    fn a_server_whose_queue_is_full_holds_nobody_up() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        // SOURCE: listen(2), calling it again changes the length of the queue.
        rustix::net::listen(&listener, 0).expect("a queue of one");
        let to = listener.local_addr().expect("its address");
        let since = Instant::now();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let (theirs, ours) = caller(AddressFamily::INET);
            let errand = Errand::new(ours, Onward::internet(false, to));
            waiting.push((errand.attempt(Duration::ZERO), errand, theirs));
        }
        assert!(since.elapsed() < Duration::from_secs(1), "waited {:?}", since.elapsed());
        let (late, errand, theirs) = waiting.last().expect("the last");
        assert_eq!(*late, None, "it waits, elsewhere");
        // A caller that gives up after a while is told so.
        let limit = Some(Duration::from_millis(1));
        sockopt::set_socket_timeout(theirs, sockopt::Timeout::Send, limit).expect("a limit");
        assert!(errand.attempt(Duration::from_secs(1)).is_some_and(|number| number != 0));
    }
}
