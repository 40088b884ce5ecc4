//! What the two sides of the boundary say to each other while it is built and
//! while it stands: one small record a message, descriptors beside it.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use super::sys::{self, Errno, MOST_FDS, Sys};

/// A step of entering the boundary, for the report of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    MapUser = 1,
    Loopback,
    Listeners,
    Propagation,
    CopyView,
    EnterView,
    Mount,
    Terminal,
    Floor,
    Privileges,
    Fork,
    Filter,
    Directory,
    Exec,
    Limits,
    Overlay,
}

const STEPS: [Step; 16] = [
    Step::MapUser,
    Step::Loopback,
    Step::Listeners,
    Step::Propagation,
    Step::CopyView,
    Step::EnterView,
    Step::Mount,
    Step::Terminal,
    Step::Floor,
    Step::Privileges,
    Step::Fork,
    Step::Filter,
    Step::Directory,
    Step::Exec,
    Step::Limits,
    Step::Overlay,
];

impl Step {
    /// What was being done, to be read after "cannot".
    pub(crate) fn words(self) -> &'static str {
        match self {
            Step::MapUser => "map the user into a namespace",
            Step::Loopback => "raise the loopback of the network namespace",
            Step::Listeners => "listen for captured connections",
            Step::Propagation => "make the mount view private",
            Step::CopyView => "copy a part of the mount view",
            Step::EnterView => "enter the new root",
            Step::Mount => "mount",
            Step::Terminal => "open a terminal",
            Step::Floor => "lay the Landlock floor",
            Step::Privileges => "give up privileges",
            Step::Fork => "start the command's process",
            Step::Filter => "install the system call filter",
            Step::Directory => "enter the working directory",
            Step::Exec => "start the program",
            Step::Limits => "set limits",
            Step::Overlay => {
                "mount a copy-on-write view, which takes Linux 5.11, nothing mounted inside the workspace, \
                 and a state directory on a file system that keeps user attributes"
            }
        }
    }
}

/// A message from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The view stands. Attached: the IPv4 stream listener, the name service's
    /// datagram and stream sockets, the IPv6 stream listener, the terminal's
    /// master, the three tables of System V objects; what has a flag stands for
    /// nothing where that is off.
    Ready { ipv6: bool, terminal: bool, system_v: bool },
    /// The filter is in place; its listener is attached. The next thing the
    /// sender does is the command's own `execve`.
    Filtered,
    /// Entering failed at this step; `index` says which mount or grant.
    Failed { step: Step, index: u32, errno: Errno },
    /// The command's process group was stopped by job control.
    Stopped,
    /// The command ended, with this `waitpid` status.
    Ended { status: i32 },
    /// To inside: put the command's process group in the foreground and continue it.
    Continue,
    /// To inside: make a socket of the session's network.
    MakeSocket,
    /// The socket is attached; or there is none, with the kernel's number why.
    Socket { errno: i32 },
}

const LENGTH: usize = 16;

impl Message {
    pub(crate) fn send(self, to: BorrowedFd<'_>, fds: &[RawFd]) -> Sys<()> {
        sys::send_message(to, &self.encode(), fds)
    }

    fn encode(self) -> [u8; LENGTH] {
        let (tag, step, index, number) = match self {
            Message::Ready { ipv6, terminal, system_v } => {
                (1, u8::from(system_v), u32::from(ipv6), i32::from(terminal))
            }
            Message::Filtered => (2, 0, 0, 0),
            Message::Failed { step, index, errno } => (3, step as u8, index, errno.0),
            Message::Stopped => (4, 0, 0, 0),
            Message::Ended { status } => (5, 0, 0, status),
            Message::Continue => (6, 0, 0, 0),
            Message::MakeSocket => (7, 0, 0, 0),
            Message::Socket { errno } => (8, 0, 0, errno),
        };
        let mut bytes = [0; LENGTH];
        bytes[0] = tag;
        bytes[1] = step;
        bytes[4..8].copy_from_slice(&index.to_ne_bytes());
        bytes[8..12].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let index = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let number = i32::from_ne_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        Some(match bytes[0] {
            1 => {
                Message::Ready { ipv6: index == 1, terminal: number == 1, system_v: bytes[1] == 1 }
            }
            2 => Message::Filtered,
            3 => {
                let step = *STEPS.iter().find(|step| **step as u8 == bytes[1])?;
                Message::Failed { step, index, errno: Errno(number) }
            }
            4 => Message::Stopped,
            5 => Message::Ended { status: number },
            6 => Message::Continue,
            7 => Message::MakeSocket,
            8 => Message::Socket { errno: number },
            _ => return None,
        })
    }
}

/// A received message with its descriptors.
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) fds: [Option<OwnedFd>; MOST_FDS],
}

/// Waits for a message. `None` when the other side is gone.
pub(crate) fn receive(from: BorrowedFd<'_>) -> Sys<Option<Received>> {
    let mut bytes = [0; LENGTH];
    let mut fds = [const { None }; MOST_FDS];
    loop {
        match sys::receive_message(from, &mut bytes, &mut fds, 0) {
            Ok(0) | Err(Errno(libc::ECONNRESET)) => return Ok(None),
            Ok(LENGTH) => {
                let message = Message::decode(&bytes).ok_or(Errno(libc::EPROTO))?;
                return Ok(Some(Received { message, fds }));
            }
            Ok(_) => return Err(Errno(libc::EPROTO)),
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
}
