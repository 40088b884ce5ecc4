//! What the person handed us as standard input, output and error, made safe to
//! pass on.
//!
//! An open file or directory lies on the host's own mounts: whoever holds it can
//! change its mode, open it anew for writing, or go up from it, and the
//! read-only view does not stand in between. So files are carried through pipes,
//! and what cannot be carried is refused.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::{self, JoinHandle};

use remit_sandbox::{Stdio, Stream};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::net::{AddressFamily, SocketType, getpeername, sockopt};
use rustix::termios::isatty;

/// The streams of one session.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdio: Stdio,
    /// Input is carried as long as somebody reads, output to its last byte.
    output: Vec<JoinHandle<()>>,
    pending: Vec<(OwnedFd, OwnedFd, bool)>,
}

/// Why a descriptor cannot be passed on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(
        "cannot pass on {name}: it is {what}; redirect it from or to a file, a pipe or /dev/null"
    )]
    Unfit { name: &'static str, what: &'static str },
    #[error("cannot look at {name}")]
    Look { name: &'static str, source: io::Error },
    #[error("cannot put a pipe in place of {name}")]
    Replace { name: &'static str, source: io::Error },
}

const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];

/// What a descriptor is, as far as passing it on goes.
enum Kind {
    AsItIs,
    Terminal,
    Null,
    File,
    Unfit(&'static str),
}

impl Streams {
    /// Looks at descriptors 0, 1 and 2 and puts pipes in place of files. Call it
    /// before the boundary is built, and [`Streams::carry`] after.
    pub(crate) fn prepare() -> Result<Self, StreamError> {
        let mut streams =
            Self { stdio: Stdio([Stream::Inherited; 3]), output: Vec::new(), pending: Vec::new() };
        // Standard error that is the same file as output goes the same way, so
        // that their lines stay in order.
        let mut shared = None;
        for (number, name) in NAMES.into_iter().enumerate() {
            let fd = standard(number);
            let kind = kind(fd).map_err(|source| StreamError::Look { name, source })?;
            streams.stdio.0[number] = match kind {
                Kind::AsItIs => Stream::Inherited,
                Kind::Terminal => Stream::Terminal,
                Kind::Null => Stream::Null,
                Kind::Unfit(what) => return Err(StreamError::Unfit { name, what }),
                Kind::File => {
                    let replaced = match (number, &shared) {
                        (2, Some((file, pipe))) if same_file(fd, AsFd::as_fd(file)) => {
                            install(2, AsFd::as_fd(pipe))
                        }
                        _ => streams.replace(number, &mut shared),
                    };
                    replaced.map_err(|source| StreamError::Replace { name, source })?;
                    Stream::Inherited
                }
            };
        }
        Ok(streams)
    }

    fn replace(
        &mut self,
        number: usize,
        shared: &mut Option<(OwnedFd, OwnedFd)>,
    ) -> io::Result<()> {
        let file = standard(number).try_clone_to_owned()?;
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        if number == 0 {
            install(0, read.as_fd())?;
            self.pending.push((file, write, true));
        } else {
            install(number, write.as_fd())?;
            if number == 1 {
                *shared = Some((file.try_clone()?, write));
            }
            self.pending.push((read, file, false));
        }
        Ok(())
    }

    /// Starts carrying. Our own ends of what the command has are given up, so
    /// that it is seen when it is done.
    pub(crate) fn carry(&mut self) -> io::Result<()> {
        for (from, to, input) in self.pending.drain(..) {
            if !input {
                // From here on our own words go to the file itself.
                put_back(&from, &to)?;
            }
            let carried = thread::Builder::new().name("stream".to_owned()).spawn(move || {
                // A reader that has seen enough, or a disk that is full, ends it;
                // the command then hears so from its pipe.
                let _ = io::copy(&mut File::from(from), &mut File::from(to));
            })?;
            if !input {
                self.output.push(carried);
            }
        }
        Ok(())
    }

    /// Waits until all that was said is where it belongs.
    pub(crate) fn finish(mut self) {
        for carried in self.output.drain(..) {
            // It only copies; a panic in it was reported already.
            let _ = carried.join();
        }
    }
}

impl Drop for Streams {
    /// Nothing was started: what we have to say of it goes to the file.
    fn drop(&mut self) {
        for (from, to, input) in &self.pending {
            if !input {
                // Then it cannot be said; there is nowhere left to say that.
                let _ = put_back(from, to);
            }
        }
    }
}

/// Puts a file back where its pipe was put in its place.
fn put_back(pipe: &OwnedFd, file: &OwnedFd) -> io::Result<()> {
    for number in [1, 2] {
        // Both ends of a pipe are one inode.
        if same_file(standard(number), pipe.as_fd()) {
            install(number, file.as_fd())?;
        }
    }
    Ok(())
}

fn standard(number: usize) -> BorrowedFd<'static> {
    match number {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    }
}

fn install(number: usize, fd: BorrowedFd<'_>) -> io::Result<()> {
    match number {
        0 => rustix::stdio::dup2_stdin(fd)?,
        1 => rustix::stdio::dup2_stdout(fd)?,
        _ => rustix::stdio::dup2_stderr(fd)?,
    }
    Ok(())
}

fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    if fcntl_getfl(fd)?.contains(OFlags::PATH) {
        return Ok(Kind::Unfit("only a place, not an open file"));
    }
    let about = fstat(fd)?;
    Ok(match FileType::from_raw_mode(about.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Fifo => Kind::AsItIs,
        FileType::Directory => Kind::Unfit("a directory"),
        FileType::Socket if is_private_stream(fd) => Kind::AsItIs,
        FileType::Socket => Kind::Unfit("a socket that could be connected elsewhere"),
        FileType::CharacterDevice if isatty(fd) => Kind::Terminal,
        // SOURCE: Linux Documentation/admin-guide/devices.txt, 1:3 is /dev/null.
        FileType::CharacterDevice if about.st_rdev == rustix::fs::makedev(1, 3) => Kind::Null,
        _ => Kind::Unfit("a device"),
    })
}

/// A connected local stream, as `socketpair` makes it, has one other end for
/// good. Every other socket could be taken elsewhere.
fn is_private_stream(fd: BorrowedFd<'_>) -> bool {
    let stream = matches!(sockopt::socket_type(fd), Ok(SocketType::STREAM | SocketType::SEQPACKET));
    let local = matches!(sockopt::socket_domain(fd), Ok(AddressFamily::UNIX));
    stream && local && getpeername(fd).is_ok_and(|peer| peer.is_some())
}

fn same_file(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    match (fstat(a), fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}
