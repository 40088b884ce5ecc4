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

mod sys;

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;

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
        directory: Option<RawFd>,
        flags: i32,
    },
    Connect {
        socket: RawFd,
        address: u64,
        length: u32,
    },
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
        let _ = sys::send(self.0.as_fd(), notification.id, errno, 0);
    }

    /// Lets an `execve` go on whose task is seized; see [`Stop`].
    pub fn proceed(&self, notification: &Notification, _stop: &Stop) -> io::Result<()> {
        sys::send(self.0.as_fd(), notification.id, 0, sys::CONTINUE)
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
        let [a, b, c, _, e, _] = self.arguments;
        match self.call {
            libc::SYS_execve => Call::Exec {
                path: a,
                argv: b,
                directory: None,
                flags: 0,
            },
            libc::SYS_execveat => Call::Exec {
                path: b,
                argv: c,
                directory: Some(a as RawFd).filter(|fd| *fd != libc::AT_FDCWD),
                flags: e as i32,
            },
            libc::SYS_connect => Call::Connect {
                socket: a as RawFd,
                address: b,
                length: c as u32,
            },
            other => Call::Other(other),
        }
    }

    /// A number for this notification, unique in its session.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// Why the caller's memory could not be read, as the kernel would have said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// `EFAULT`
    Fault,
    /// `ENAMETOOLONG`
    TooLong,
    /// `E2BIG`
    TooMuch,
}

impl Unreadable {
    /// The error number to answer with.
    pub fn errno(self) -> i32 {
        match self {
            Unreadable::Fault => libc::EFAULT,
            Unreadable::TooLong => libc::ENAMETOOLONG,
            Unreadable::TooMuch => libc::E2BIG,
        }
    }
}

/// The most bytes of one argument. SOURCE: linux/binfmts.h, MAX_ARG_STRLEN.
const LONGEST_ARGUMENT: usize = 32 * 4096;
/// The most bytes of all arguments together that we judge. The kernel's own
/// limit depends on the stack limit and is 2 MiB by default.
const MOST_ARGUMENT_BYTES: usize = 6 << 20;
const PAGE: usize = 4096;

/// Reads a path from the caller's memory.
pub fn read_path(task: u32, address: u64) -> Result<OsString, Unreadable> {
    read_string(task, address, libc::PATH_MAX as usize).map(OsString::from_vec)
}

/// Reads an argument vector from the caller's memory. A null vector is empty.
pub fn read_argv(task: u32, address: u64) -> Result<Vec<OsString>, Unreadable> {
    let mut argv = Vec::new();
    let mut total = 0;
    let mut pointers = Pointers {
        task,
        next: address,
        chunk: Vec::new(),
    };
    if address == 0 {
        return Ok(argv);
    }
    while let Some(pointer) = pointers.next()? {
        let word = read_string(task, pointer, LONGEST_ARGUMENT).map_err(|why| {
            if why == Unreadable::TooLong {
                Unreadable::TooMuch
            } else {
                why
            }
        })?;
        total += word.len() + 1 + size_of::<u64>();
        if total > MOST_ARGUMENT_BYTES {
            return Err(Unreadable::TooMuch);
        }
        argv.push(OsString::from_vec(word));
    }
    Ok(argv)
}

/// A null-terminated array of pointers, read in chunks that end at page bounds.
struct Pointers {
    task: u32,
    next: u64,
    chunk: Vec<u64>,
}

impl Pointers {
    fn next(&mut self) -> Result<Option<u64>, Unreadable> {
        if self.chunk.is_empty() {
            let room = PAGE - (self.next as usize % PAGE);
            // A pointer may straddle a page; then read just that one.
            let mut bytes = vec![0; if room < 8 { 8 } else { room.min(256) & !7 }];
            let got = sys::read_memory(self.task as i32, self.next, &mut bytes)
                .map_err(|_| Unreadable::Fault)?;
            if got < 8 {
                return Err(Unreadable::Fault);
            }
            self.next = self
                .next
                .checked_add((got & !7) as u64)
                .ok_or(Unreadable::Fault)?;
            let words = bytes[..got & !7].chunks_exact(8);
            self.chunk = words
                .rev()
                .map(|w| u64::from_ne_bytes(w.try_into().unwrap_or_default()))
                .collect();
        }
        Ok(self.chunk.pop().filter(|pointer| *pointer != 0))
    }
}

/// A NUL-terminated string of at most `longest` bytes with its NUL.
fn read_string(task: u32, address: u64, longest: usize) -> Result<Vec<u8>, Unreadable> {
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < longest {
        let room = PAGE - (at as usize % PAGE);
        // Most strings are short; a long one doubles up to whole pages.
        let want = room.min(longest - text.len()).min(128.max(text.len()));
        let start = text.len();
        text.resize(start + want, 0);
        let got = sys::read_memory(task as i32, at, &mut text[start..]).unwrap_or(0);
        if got == 0 {
            return Err(Unreadable::Fault);
        }
        text.truncate(start + got);
        if let Some(end) = text[start..].iter().position(|byte| *byte == 0) {
            text.truncate(start + end);
            return Ok(text);
        }
        at = at.checked_add(got as u64).ok_or(Unreadable::Fault)?;
    }
    Err(Unreadable::TooLong)
}

/// Where a socket is asked to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Internet(SocketAddr),
    /// A path, as the caller spelt it.
    LocalPath(OsString),
    /// An abstract or unnamed local address, in the kernel's form.
    LocalAbstract(Vec<u8>),
    /// Dissolve the association.
    Nowhere,
    /// The kernel, over netlink: the only netlink peer there is to talk to.
    Kernel,
    /// Another family, or bytes that mean nothing.
    Unknown(u16),
}

/// Reads a socket address from the caller's memory, once.
///
/// IPv4 addresses mapped into IPv6 come out as IPv4.
pub fn read_destination(task: u32, address: u64, length: u32) -> Result<Destination, i32> {
    // SOURCE: linux/socket.h, struct sockaddr_storage.
    if !(2..=128).contains(&length) {
        return Err(libc::EINVAL);
    }
    let mut bytes = vec![0; length as usize];
    match sys::read_memory(task as i32, address, &mut bytes) {
        Ok(got) if got == bytes.len() => parse_destination(&bytes),
        _ => Err(libc::EFAULT),
    }
}

fn parse_destination(bytes: &[u8]) -> Result<Destination, i32> {
    let family = bytes.get(..2).ok_or(libc::EINVAL)?;
    let family = u16::from_ne_bytes([family[0], family[1]]);
    let port = || {
        bytes
            .get(2..4)
            .map(|port| u16::from_be_bytes([port[0], port[1]]))
    };
    match i32::from(family) {
        libc::AF_UNSPEC => Ok(Destination::Nowhere),
        libc::AF_INET => {
            // The kernel wants the whole sockaddr_in.
            let (Some(port), Some(address), true) = (port(), bytes.get(4..8), bytes.len() >= 16)
            else {
                return Err(libc::EINVAL);
            };
            let address = Ipv4Addr::new(address[0], address[1], address[2], address[3]);
            Ok(Destination::Internet((address, port).into()))
        }
        libc::AF_INET6 => {
            // SOURCE: net/ipv6, SIN6_LEN_RFC2133 is the least the kernel takes.
            let (Some(port), Some(address)) = (port(), bytes.get(8..24)) else {
                return Err(libc::EINVAL);
            };
            let octets: [u8; 16] = address.try_into().map_err(|_| libc::EINVAL)?;
            let address = Ipv6Addr::from(octets);
            let address = address
                .to_ipv4_mapped()
                .map_or(IpAddr::V6(address), IpAddr::V4);
            Ok(Destination::Internet((address, port).into()))
        }
        libc::AF_UNIX => Ok(parse_local(&bytes[2..])),
        libc::AF_NETLINK => match bytes.get(4..12) {
            Some([0, 0, 0, 0, 0, 0, 0, 0]) => Ok(Destination::Kernel),
            Some(_) => Ok(Destination::Unknown(family)),
            None => Err(libc::EINVAL),
        },
        _ => Ok(Destination::Unknown(family)),
    }
}

fn parse_local(name: &[u8]) -> Destination {
    match name.first() {
        None | Some(0) => Destination::LocalAbstract(name.to_vec()),
        Some(_) => {
            let end = name
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(name.len());
            Destination::LocalPath(OsString::from_vec(name[..end].to_vec()))
        }
    }
}

/// The caller's own socket, by another descriptor.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// What kind of socket it is; from the socket, not from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    Tcp { ipv6: bool },
    Udp,
    Local,
    Netlink,
    Other,
}

impl Socket {
    /// Takes the descriptor that the caller named. Fails with what the kernel
    /// would have said: `EBADF`, `ENOTSOCK` (from [`Socket::kind`]).
    pub fn of(task: u32, number: RawFd) -> io::Result<Self> {
        let pidfd = sys::pidfd(task as i32)?;
        sys::take_descriptor(pidfd.as_fd(), number).map(Self)
    }

    pub fn kind(&self) -> io::Result<SocketKind> {
        let domain = sys::socket_property(self.0.as_fd(), libc::SO_DOMAIN)?;
        let kind = sys::socket_property(self.0.as_fd(), libc::SO_TYPE)?;
        Ok(match (domain, kind) {
            (libc::AF_INET, libc::SOCK_STREAM) => SocketKind::Tcp { ipv6: false },
            (libc::AF_INET6, libc::SOCK_STREAM) => SocketKind::Tcp { ipv6: true },
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) => SocketKind::Udp,
            (libc::AF_UNIX, _) => SocketKind::Local,
            (libc::AF_NETLINK, _) => SocketKind::Netlink,
            _ => SocketKind::Other,
        })
    }

    /// Connects the caller's socket, as if it had been asked to go there.
    ///
    /// `EINPROGRESS` is the normal answer for a socket that does not wait.
    pub fn connect(&self, to: SocketAddr) -> io::Result<()> {
        sys::connect(self.0.as_fd(), &encode(to))
    }

    /// Connects to a local socket by a descriptor of its file (`O_PATH`), so
    /// that no name is looked up again.
    pub fn connect_local(&self, place: BorrowedFd<'_>) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        address.extend(format!("/proc/self/fd/{}\0", place.as_raw_fd()).bytes());
        sys::connect(self.0.as_fd(), &address)
    }

    /// Connects to an abstract address of the socket's own network namespace.
    pub fn connect_abstract(&self, name: &[u8]) -> io::Result<()> {
        let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        address.extend(name);
        sys::connect(self.0.as_fd(), &address)
    }

    /// Dissolves the association.
    pub fn disconnect(&self) -> io::Result<()> {
        sys::connect(self.0.as_fd(), &[0; 16])
    }

    /// Connects a netlink socket to the kernel.
    pub fn connect_kernel(&self) -> io::Result<()> {
        let mut address = [0; 12];
        address[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
        sys::connect(self.0.as_fd(), &address)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn encode(address: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![0; 28];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&ip.octets());
            bytes.truncate(16);
        }
        IpAddr::V6(ip) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[8..24].copy_from_slice(&ip.octets());
        }
    }
    bytes
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
            return Ok(sys::write(fd.as_fd(), line.as_bytes())? == line.len());
        }
        Ok(sys::write_at_once(fd.as_fd(), line.as_bytes())? == line.len())
    };
    attempt().unwrap_or(false)
}

/// A task that will stop before its next instruction, because it is seized and
/// interrupted; used around a continued `execve`.
#[derive(Debug)]
pub struct Stop {
    task: u32,
}

/// How a seized task stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The new program is in place; none of it has run.
    Replaced,
    /// `execve` failed with this error number; the caller is what it was.
    Failed(i32),
}

/// A change in a task that the calling thread has seized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It waits at its stop; release or end it. `process` is its number now: a
    /// thread that replaced its process took over the process's number.
    Stopped { process: u32, how: Stopped },
    /// It is gone.
    Gone { process: u32 },
}

impl Stop {
    /// Seizes a task that waits for the answer to its `execve`.
    ///
    /// All of a task's tracing must be done by one thread.
    pub fn arm(task: u32) -> io::Result<Self> {
        sys::seize(task as i32)?;
        sys::interrupt(task as i32)?;
        Ok(Self { task })
    }

    pub fn task(&self) -> u32 {
        self.task
    }

    /// Lets a task that stopped run on, no longer traced.
    pub fn release(process: u32) {
        // Fails only when the task is gone.
        let _ = sys::detach(process as i32, 0);
    }

    /// Ends a stopped task before it runs another instruction.
    pub fn end(process: u32) {
        sys::kill(process as i32);
    }
}

/// The next change among the tasks that the calling thread has seized, if any.
pub fn next_change() -> Option<Change> {
    loop {
        let (pid, status) = sys::changed()?;
        let process = pid as u32;
        if !libc::WIFSTOPPED(status) {
            return Some(Change::Gone { process });
        }
        // SOURCE: ptrace(2), PTRACE_EVENT_STOP.
        const EVENT_STOP: i32 = 128;
        if status >> 16 == EVENT_STOP {
            let how = match sys::returned(pid) {
                Ok(value) if value < 0 => Stopped::Failed(-value as i32),
                Ok(_) => Stopped::Replaced,
                Err(_) => continue,
            };
            return Some(Change::Stopped { process, how });
        }
        // Another stop, such as a signal's delivery or an exec's own event: let
        // it happen; ours comes before the next instruction all the same.
        let signal = libc::WSTOPSIG(status);
        let deliver = if signal == libc::SIGTRAP { 0 } else { signal };
        let _ = sys::proceed(pid, deliver);
    }
}

/// A descriptor that is readable when a seized task has changed. Blocks
/// `SIGCHLD` in the calling thread and the threads it starts; call it before
/// starting any.
pub fn changes() -> io::Result<OwnedFd> {
    sys::child_signals()
}

/// Forgets what a descriptor of [`changes`] has announced.
pub fn acknowledge(changes: BorrowedFd<'_>) {
    super::sys::drain(changes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Destination, i32> {
        parse_destination(bytes)
    }

    #[test]
    fn addresses_survive_the_way_through_the_kernels_form() {
        for text in [
            "127.0.0.1:80",
            "198.18.3.4:65535",
            "[::1]:443",
            "[fd00::1]:1",
        ] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(parsed(&encode(address)), Ok(Destination::Internet(address)));
        }
    }

    #[test]
    fn mapped_addresses_are_judged_as_what_they_reach() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("an address");
        let plain: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        assert_eq!(parsed(&encode(mapped)), Ok(Destination::Internet(plain)));
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        for family in 0..=64_u16 {
            for length in 0..=126 {
                for fill in [0, 1, 0xff] {
                    let mut bytes = family.to_ne_bytes().to_vec();
                    bytes.extend(vec![fill; length]);
                    let _ = parsed(&bytes);
                }
            }
        }
        assert_eq!(parsed(&[0]), Err(libc::EINVAL));
    }

    #[test]
    fn a_short_internet_address_is_invalid() {
        let whole = encode("1.2.3.4:5".parse().expect("an address"));
        for length in 2..16 {
            assert_eq!(parsed(&whole[..length]), Err(libc::EINVAL), "{length}");
        }
    }

    #[test]
    fn local_names_end_at_their_nul_and_abstract_ones_do_not() {
        let local = |name: &[u8]| {
            let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
            bytes.extend(name);
            parsed(&bytes)
        };
        assert_eq!(local(b"/a\0b"), Ok(Destination::LocalPath("/a".into())));
        assert_eq!(
            local(b"\0a\0b"),
            Ok(Destination::LocalAbstract(b"\0a\0b".to_vec()))
        );
        assert_eq!(local(b""), Ok(Destination::LocalAbstract(Vec::new())));
    }
}
