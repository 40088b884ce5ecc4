//! Trapped calls: receiving them, reading what the caller meant, acting for it.
//!
//! Three rules keep this free of races.
//! - What is read from the caller's memory is *claimed*: another thread may
//!   change it at once. It is good enough to judge and show, never to continue
//!   on by itself.
//! - `connect` is never continued. It is done here, on the caller's own socket,
//!   with the copy that was judged.
//! - `execve` is continued only while the task is seized ([`Stop`]), so that it
//!   stops before the first instruction of the new program. There the kernel's
//!   own copy of the arguments is compared with what was judged, and the process
//!   is ended if they differ.

mod attributes;
mod files;
mod memory;
mod socket;
mod stop;
mod sys;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use super::filter;
pub use attributes::{Attributes, Change as AttributeChange, Target};
pub use files::{DONT_FOLLOW, FileCall, Named};
pub use memory::{Times, Unreadable, read_argv, read_path, read_times};
pub use socket::{Destination, Socket, SocketKind, network_of, read_destination};
pub use stop::{Change, Stop, Stopped, acknowledge, changes, next_change};

/// The end of the filter where trapped calls arrive. When it closes, every
/// waiting and later call fails with `ENOSYS`.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A call that waits for an answer. Its caller cannot go on, but its memory,
/// descriptors and other threads can change.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    id: u64,
    /// The calling task, as the host numbers it. A thread, perhaps not the first.
    pub task: u32,
    /// The system call's number.
    call: i64,
    arguments: [u64; 6],
}

/// A trapped call with its arguments told apart. Addresses are the caller's.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// `directory` is set for `execveat` with a descriptor.
    Exec {
        path: u64,
        argv: u64,
        environment: u64,
        directory: Option<RawFd>,
        flags: i32,
    },
    Connect {
        socket: RawFd,
        address: u64,
        length: u32,
    },
    /// A name is made or changed, or a file opened for writing; in a tier where
    /// no read-only view holds it, also a name removed, or a mode changed.
    File(FileCall),
    /// The file mode mask of the caller becomes this.
    Mask(u32),
    /// A call that is refused whatever it says, by its name. It is only to be
    /// written down, told and answered.
    Refused(&'static str),
    /// Nothing that the filter should send here.
    Other(i64),
}

impl Listener {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        sys::wake_synchronously(fd.as_fd());
        Self(fd)
    }

    /// The next trapped call; `None` when there is none after all, because its
    /// caller died meanwhile. Poll the descriptor first.
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        match sys::receive(self.0.as_fd()) {
            Ok(raw) => Ok(Some(Notification {
                id: raw.id,
                task: raw.pid,
                call: raw.data.nr.into(),
                arguments: raw.data.args,
            })),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::EINTR | libc::EAGAIN) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Answers that the call failed with this error number, or succeeded (0).
    ///
    /// That the caller is gone by now is no error.
    pub fn answer(&self, notification: &Notification, errno: i32) {
        let _ = sys::send(self.0.as_fd(), notification.id, 0, errno, 0);
    }

    /// Answers that the call succeeded and returned this number.
    pub fn answer_number(&self, notification: &Notification, value: i32) {
        let _ = sys::send(self.0.as_fd(), notification.id, value.into(), 0, 0);
    }

    /// Gives the caller this file as the result of its call, in a descriptor of
    /// its own. Fails with what the caller's limits say, such as `EMFILE`.
    pub fn answer_with(
        &self,
        notification: &Notification,
        file: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> io::Result<()> {
        sys::send_file(self.0.as_fd(), notification.id, file, close_on_exec)
    }

    /// Lets a call go on whose arguments are all in registers, where nobody can
    /// change them. Any other is refused.
    pub fn proceed_by_value(&self, notification: &Notification) {
        let flags = match notification.call() {
            Call::Mask(_) => sys::CONTINUE,
            _ => return self.answer(notification, libc::EPERM),
        };
        let _ = sys::send(self.0.as_fd(), notification.id, 0, 0, flags);
    }

    /// Lets an `execve` go on whose task is seized; see [`Stop`].
    pub fn proceed(&self, notification: &Notification, _stop: &Stop) -> io::Result<()> {
        sys::send(self.0.as_fd(), notification.id, 0, 0, sys::CONTINUE)
    }

    /// Whether the caller still waits, so that what was read was really its own
    /// and not of a later process with the same number.
    pub fn is_waiting(&self, notification: &Notification) -> bool {
        sys::is_waiting(self.0.as_fd(), notification.id)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Notification {
    /// The call with its arguments.
    pub fn call(&self) -> Call {
        let [a, b, c, d, e, _] = self.arguments;
        match self.call {
            libc::SYS_execve => {
                Call::Exec { path: a, argv: b, environment: c, directory: None, flags: 0 }
            }
            libc::SYS_execveat => Call::Exec {
                path: b,
                argv: c,
                environment: d,
                directory: Some(a as RawFd).filter(|fd| *fd != libc::AT_FDCWD),
                flags: e as i32,
            },
            libc::SYS_connect => Call::Connect { socket: a as RawFd, address: b, length: c as u32 },
            libc::SYS_umask => Call::Mask(a as u32 & 0o777),
            other => match refused(other) {
                Some(name) => Call::Refused(name),
                None => files::parse(other, self.arguments).map_or(Call::Other(other), Call::File),
            },
        }
    }

    /// A number for this notification, unique in its session.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// The names of all calls that arrive as [`Call::Refused`].
pub fn refused_calls() -> impl Iterator<Item = &'static str> {
    filter::told().map(|(_, name)| name)
}

fn refused(number: i64) -> Option<&'static str> {
    filter::told().find(|(call, _)| *call == number).map(|(_, name)| name)
}

/// Leaves the supervisor with what it needs to serve: no capability, and no
/// signal that ends it because a file would grow beyond a limit, or because
/// somebody opens a file that was just looked at.
///
/// Call it once the boundary is up and before any other thread is started:
/// threads inherit the first, and share the second. The session's processes are
/// there already and keep what they were given.
pub fn give_up_privileges() -> io::Result<()> {
    super::sys::drop_capabilities()?;
    sys::ignore_signal(libc::SIGXFSZ)?;
    sys::ignore_signal(libc::SIGIO)
}

/// Makes the calling thread act on files as a trapped caller would: without any
/// capability, and with a file mode mask of its own that takes nothing away.
///
/// Call it on the thread that performs [`FileCall`]s, and apply each caller's
/// own mask to the modes.
pub fn act_as_callers() -> io::Result<()> {
    super::sys::drop_capabilities()?;
    sys::clear_own_mask()
}

/// Whether anybody has this file open for writing, or mapped so, at this moment.
///
/// It is asked by taking a read lease and giving it back. That takes a file that
/// belongs to the calling user (`EACCES` otherwise), opened for reading.
/// SOURCE: fcntl(2), "Leases".
pub fn has_writers(file: BorrowedFd<'_>) -> io::Result<bool> {
    match sys::lease(file, libc::F_RDLCK) {
        Ok(()) => sys::lease(file, libc::F_UNLCK).map(|()| false),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Adds a watch to a caller's own inotify instance, by a descriptor of the place
/// to watch. Returns the watch's number.
pub fn watch(task: u32, instance: RawFd, place: BorrowedFd<'_>, mask: u32) -> io::Result<i32> {
    let pidfd = sys::pidfd(task as i32)?;
    let instance = sys::take_descriptor(pidfd.as_fd(), instance)?;
    // The descriptor's entry is itself a link, whatever it leads to.
    sys::add_watch(instance.as_fd(), place, mask & !libc::IN_DONT_FOLLOW)
}

/// Writes a line to the caller's standard error, if that can be done without
/// waiting and without drawing over a full-screen program.
///
/// Returns whether all of it was written. Words for a person only: the agent
/// may have put anything behind that number.
pub fn tell(task: u32, line: &str, terminal_is_free: bool) -> bool {
    let attempt = || -> io::Result<bool> {
        let pidfd = sys::pidfd(task as i32)?;
        let fd = sys::take_descriptor(pidfd.as_fd(), 2)?;
        if sys::is_terminal(fd.as_fd()) {
            let line = line.replace('\n', "\r\n");
            return Ok(terminal_is_free
                && sys::is_writable(fd.as_fd())
                && sys::write(fd.as_fd(), line.as_bytes())? == line.len());
        }
        if sys::is_regular_file(fd.as_fd())? {
            return append(task, fd.as_fd(), line.as_bytes());
        }
        Ok(sys::write_at_once(fd.as_fd(), line.as_bytes())? == line.len())
    };
    attempt().unwrap_or(false)
}

/// Adds to the end of the caller's file, never beyond what the caller itself may
/// write: our own limit is another.
fn append(task: u32, file: BorrowedFd<'_>, line: &[u8]) -> io::Result<bool> {
    let end = sys::file_size(file)?.saturating_add(line.len() as u64);
    Ok(end <= sys::longest_file(task as i32)? && sys::append(file, line)? == line.len())
}

#[cfg(test)]
mod fuzz;
