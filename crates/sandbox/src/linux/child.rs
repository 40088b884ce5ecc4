//! Entering the boundary: everything between `clone` and the command's first
//! instruction, and the small process 1 that stays with it.
//!
//! INVARIANT: nothing here allocates, locks or logs; whatever needs memory was
//! made ready in [`Entry`] by the parent. Every failure is reported with its
//! step and ends the process.

use std::ffi::{CStr, CString};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, IntoRawFd as _, OwnedFd, RawFd};

use super::floor::{self, Abi, Grant};
use super::launch::{Stdio, Stream};
use super::limits;
use super::message::{self, Message, Step};
use super::netlink;
use super::sys::{self, Cloned, Errno, NullTerminated, Sys};
use super::view::{self, Failure, Prepared};
use crate::plan::{Network, Tier};

/// Everything the child needs, in the kernel's own form.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) tier: Tier,
    pub(crate) steps: Vec<Prepared>,
    pub(crate) abi: Abi,
    pub(crate) grants: Vec<Grant>,
    pub(crate) network: Network,
    pub(crate) limits: limits::Prepared,
    pub(crate) uid_map: Vec<u8>,
    pub(crate) gid_map: Vec<u8>,
    pub(crate) filter: Vec<libc::sock_filter>,
    pub(crate) directory: CString,
    pub(crate) program: CString,
    pub(crate) argv: NullTerminated,
    pub(crate) environment: NullTerminated,
    /// What the descriptors 0, 1 and 2 become.
    pub(crate) stdio: Stdio,
    pub(crate) umask: libc::mode_t,
}

/// Where the messages to the supervisor go, in every process of ours inside.
const CONTROL: RawFd = 3;

/// The highest capability number that we drop from the bounding set; those a
/// kernel does not know answer `EINVAL` and end the loop.
const LAST_CAPABILITY: libc::c_ulong = 63;

/// Becomes process 1 of the session. Never returns.
pub(crate) fn run(mut entry: Entry, control: OwnedFd) -> ! {
    let Ok(control) = settle_descriptors(control) else { sys::exit(1) };
    let fail = |(step, index, errno): Failure| -> ! {
        let index = index as u32;
        let _ = Message::Failed { step, index, errno }.send(control.as_fd(), &[]);
        sys::exit(1)
    };
    match prepare(&mut entry, control.as_fd()) {
        Err(failure) => fail(failure),
        Ok(Inside { ruleset, terminal }) => match stay(entry.tier).and_then(|()| sys::clone(0)) {
            Err(errno) => fail((Step::Fork, 0, errno)),
            Ok(Cloned::Child) => {
                match command(&entry, ruleset.as_ref(), terminal.as_ref(), control.as_fd()) {
                    Ok(never) => match never {},
                    Err(failure) => fail(failure),
                }
            }
            Ok(Cloned::Parent(command)) => {
                drop(ruleset);
                attend(entry.tier, command, terminal.as_ref(), control.as_fd())
            }
        },
    }
}

/// Keeps 0, 1, 2 and the control socket (as 3), closes everything else.
fn settle_descriptors(control: OwnedFd) -> Sys<OwnedFd> {
    let number = control.into_raw_fd();
    if number != CONTROL {
        // The old number is closed with the rest below.
        sys::dup_onto(number, CONTROL)?;
    }
    sys::close_range(CONTROL as u32 + 1, u32::MAX)?;
    Ok(sys::adopt(CONTROL))
}

/// What is ready once the view stands.
struct Inside {
    /// Absent where there is no Landlock.
    ruleset: Option<OwnedFd>,
    /// The command's end of our terminal, if it gets one.
    terminal: Option<OwnedFd>,
}

fn prepare(entry: &mut Entry, control: BorrowedFd<'_>) -> Result<Inside, Failure> {
    let at = |step| move |errno| (step, 0, errno);
    die_with_parent(control).map_err(at(Step::Privileges))?;
    let own = entry.tier.has_namespaces();
    if own {
        map_user(entry).map_err(at(Step::MapUser))?;
    }
    entry.limits.apply().map_err(at(Step::Limits))?;
    if own {
        netlink::raise_loopback(&entry.network).map_err(at(Step::Loopback))?;
        spare_ports();
    }
    let listeners = listen(entry).map_err(at(Step::Listeners))?;
    sys::umask(0);
    if own {
        view::build(&mut entry.steps)?;
    }
    // Our own session: no controlling terminal of the host is left to type into.
    sys::new_session().map_err(at(Step::Terminal))?;
    let terminal = if entry.stdio.has_terminal() {
        let makers = if own { c"/dev/pts/ptmx" } else { c"/dev/ptmx" };
        let (master, ours) = sys::open_terminal(makers).map_err(at(Step::Terminal))?;
        sys::take_terminal(ours.as_fd()).map_err(at(Step::Terminal))?;
        Some((master, ours))
    } else {
        None
    };
    let ruleset = lay_floor(entry, terminal.as_ref().map(|(_, ours)| ours))?;
    shed_privileges(entry.tier).map_err(at(Step::Privileges))?;
    // Without namespaces those tables are the host's.
    let own = entry.tier.has_namespaces();
    let tables = if own { system_v().map_err(at(Step::Limits))? } else { None };
    hand_out(control, &listeners, terminal.as_ref().map(|(master, _)| master), tables.as_ref())
        .map_err(at(Step::Listeners))?;
    Ok(Inside { ruleset, terminal: terminal.map(|(_, ours)| ours) })
}

fn lay_floor(entry: &Entry, terminal: Option<&OwnedFd>) -> Result<Option<OwnedFd>, Failure> {
    if !entry.tier.has_floor() {
        return Ok(None);
    }
    let ruleset = floor::lay(entry.abi, entry.tier, &entry.grants)
        .map_err(|(index, errno)| (Step::Floor, index, errno))?;
    // Elsewhere `/dev` holds no terminals but the session's.
    if let (Some(terminal), Tier::NoNamespaces) = (terminal, entry.tier) {
        floor::allow_terminal(&ruleset, terminal.as_fd())
            .map_err(|errno| (Step::Floor, usize::MAX, errno))?;
    }
    Ok(Some(ruleset))
}

/// The kernel ends us when the supervisor's launching thread ends.
fn die_with_parent(control: BorrowedFd<'_>) -> Sys<()> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0)?;
    // It may have died before that took effect; then its end is closed.
    if sys::poll([control], 0)? == [true] { Err(Errno(libc::ESRCH)) } else { Ok(()) }
}

fn map_user(entry: &Entry) -> Sys<()> {
    sys::write_file(c"/proc/self/setgroups", 0, 0, b"deny")?;
    sys::write_file(c"/proc/self/uid_map", 0, 0, &entry.uid_map)?;
    sys::write_file(c"/proc/self/gid_map", 0, 0, &entry.gid_map)
}

/// Lets the ports of closed connections be used again after a second. All
/// captured connections go to one address and port, so a minute's worth of them
/// would use up what there is; the kernel does this by itself for 127.0.0.0/8
/// only. Without it the session is slower and no less safe.
/// SOURCE: Documentation/networking/ip-sysctl.rst, tcp_tw_reuse.
fn spare_ports() {
    let _ = sys::write_file(c"/proc/sys/net/ipv4/tcp_tw_reuse", 0, 0, b"1\n");
}

/// The sockets that are made here and served from outside.
struct Listeners {
    stream4: OwnedFd,
    /// Absent where the kernel has no IPv6.
    stream6: Option<OwnedFd>,
    /// For lookups, datagrams and streams; absent where the network is the
    /// host's own, and lookups are captured like any connection.
    names: Option<(OwnedFd, OwnedFd)>,
}

/// How many captured connections may wait to be accepted.
const BACKLOG: libc::c_int = 4096;
const NAMES_PORT: u16 = 53;

fn listen(entry: &Entry) -> Sys<Listeners> {
    let own = entry.tier.has_namespaces();
    let (address, address6) = if own {
        (entry.network.gateway.octets(), entry.network.gateway6.octets())
    } else {
        (Ipv4Addr::LOCALHOST.octets(), Ipv6Addr::LOCALHOST.octets())
    };
    let stream4 = sys::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    sys::bind4(stream4.as_fd(), address, 0)?;
    sys::listen(stream4.as_fd(), BACKLOG)?;
    let stream6 = listen6(address6).ok();
    let names = if own { Some(listen_for_names(&entry.network)?) } else { None };
    Ok(Listeners { stream4, stream6, names })
}

fn listen_for_names(network: &Network) -> Sys<(OwnedFd, OwnedFd)> {
    let address = network.gateway.octets();
    let datagrams = sys::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
    sys::bind4(datagrams.as_fd(), address, NAMES_PORT)?;
    let streams = sys::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    sys::bind4(streams.as_fd(), address, NAMES_PORT)?;
    sys::listen(streams.as_fd(), 64)?;
    Ok((datagrams, streams))
}

fn listen6(address: [u8; 16]) -> Sys<OwnedFd> {
    let stream = sys::socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    sys::set_option(stream.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    sys::bind6(stream.as_fd(), address, 0)?;
    sys::listen(stream.as_fd(), BACKLOG)?;
    Ok(stream)
}

/// The tables of the session's shared memory, message queues and semaphores.
/// They are of the IPC namespace of whoever opens them. Absent where the kernel
/// has none of these things.
fn system_v() -> Sys<Option<[OwnedFd; 3]>> {
    let table = |path| sys::open(path, libc::O_RDONLY, 0);
    match table(c"/proc/sysvipc/shm") {
        Err(Errno(libc::ENOENT)) => Ok(None),
        shared => Ok(Some([shared?, table(c"/proc/sysvipc/msg")?, table(c"/proc/sysvipc/sem")?])),
    }
}

/// Sends these out; our own copies of the sockets close when this returns.
fn hand_out(
    control: BorrowedFd<'_>,
    sockets: &Listeners,
    master: Option<&OwnedFd>,
    tables: Option<&[OwnedFd; 3]>,
) -> Sys<()> {
    // Absent ones are told by sending an end of nothing: the control socket.
    let or_control = |fd: Option<&OwnedFd>| fd.map_or(control.as_raw_fd(), |fd| fd.as_raw_fd());
    let fds = [
        sockets.stream4.as_raw_fd(),
        or_control(sockets.names.as_ref().map(|(datagrams, _)| datagrams)),
        or_control(sockets.names.as_ref().map(|(_, streams)| streams)),
        or_control(sockets.stream6.as_ref()),
        or_control(master),
        or_control(tables.map(|[shared, _, _]| shared)),
        or_control(tables.map(|[_, messages, _]| messages)),
        or_control(tables.map(|[_, _, semaphores]| semaphores)),
    ];
    Message::Ready {
        ipv6: sockets.stream6.is_some(),
        terminal: master.is_some(),
        system_v: tables.is_some(),
    }
    .send(control, &fds)
}

fn shed_privileges(tier: Tier) -> Sys<()> {
    // Kernels without keyrings have none to leave. A container's own filter may
    // refuse keys to all of us, and ours refuses them to the command anyway.
    match sys::join_new_keyring() {
        Err(Errno(libc::ENOSYS)) | Ok(()) => {}
        Err(Errno(libc::EPERM)) if !tier.has_namespaces() => {}
        Err(errno) => return Err(errno),
    }
    for capability in 0..=LAST_CAPABILITY {
        match sys::prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Err(Errno(libc::EINVAL)) => break,
            // An ordinary user may not drop from a set that `no_new_privs` makes
            // useless.
            Err(Errno(libc::EPERM)) if !tier.has_namespaces() => break,
            other => other.map(drop)?,
        }
    }
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
    // A limit of 0 is ignored where cores go to a program; 1 byte is not.
    // SOURCE: fs/coredump.c.
    sys::set_limit(libc::RLIMIT_CORE, 1)
}

enum Never {}

/// The command's process: last steps, then the command itself.
fn command(
    entry: &Entry,
    ruleset: Option<&OwnedFd>,
    terminal: Option<&OwnedFd>,
    control: BorrowedFd<'_>,
) -> Result<Never, Failure> {
    let at = |step| move |errno| (step, 0, errno);
    sys::block_signals(&[libc::SIGTTOU]).map_err(at(Step::Terminal))?;
    sys::set_process_group(0, 0).map_err(at(Step::Terminal))?;
    if let Some(terminal) = terminal {
        sys::set_foreground(terminal.as_fd(), sys::getpid()).map_err(at(Step::Terminal))?;
    }
    lay_out_streams(entry.stdio, terminal).map_err(at(Step::Terminal))?;
    if let Some(ruleset) = ruleset {
        sys::landlock_restrict(ruleset.as_fd()).map_err(at(Step::Floor))?;
    }
    sys::drop_capabilities().map_err(at(Step::Privileges))?;
    sys::chdir(&entry.directory).map_err(at(Step::Directory))?;
    sys::close_on_exec_from(CONTROL as u32).map_err(at(Step::Privileges))?;
    sys::umask(entry.umask);
    sys::reset_signals();
    let listener = sys::install_filter(&entry.filter).map_err(at(Step::Filter))?;
    Message::Filtered.send(control, &[listener.as_raw_fd()]).map_err(at(Step::Filter))?;
    drop(listener);
    Err((Step::Exec, 0, sys::exec(&entry.program, &entry.argv, &entry.environment)))
}

/// Puts the session's own things where the standard descriptors say so.
fn lay_out_streams(stdio: Stdio, terminal: Option<&OwnedFd>) -> Sys<()> {
    for (number, stream) in (0..).zip(stdio.0) {
        match stream {
            Stream::Inherited => {}
            Stream::Terminal => {
                let terminal = terminal.ok_or(Errno(libc::ENOTTY))?;
                sys::dup_onto(terminal.as_raw_fd(), number)?;
            }
            Stream::Null => {
                let null = sys::open(c"/dev/null", libc::O_RDWR, 0)?;
                sys::dup_onto(null.as_raw_fd(), number)?;
            }
        }
    }
    Ok(())
}

/// Makes ready to outlive everything inside, where no pid namespace ends it with
/// us: orphans come to us, no signal ends us before we have ended them, and the
/// supervisor's end is heard as the end of the control socket.
fn stay(tier: Tier) -> Sys<()> {
    if tier.has_namespaces() {
        return Ok(());
    }
    sys::become_subreaper()?;
    sys::open(CHILDREN, libc::O_RDONLY, 0)?;
    // The command's process unblocks them all again.
    sys::block_all_signals()?;
    sys::prctl(libc::PR_SET_PDEATHSIG, 0, 0).map(drop)
}

/// Process 1 from now on: reaps, passes job control on, and ends with the command.
fn attend(
    tier: Tier,
    command: libc::pid_t,
    terminal: Option<&OwnedFd>,
    control: BorrowedFd<'_>,
) -> ! {
    let Ok(children) = retire(command) else { leave(tier, 1) };
    loop {
        let Ok([told, child]) = sys::poll([control, children.as_fd()], -1) else { leave(tier, 1) };
        if child {
            sys::drain(children.as_fd());
            if reap(command, control) {
                leave(tier, 0);
            }
        }
        if told {
            match message::receive(control).map(|received| received.map(|it| it.message)) {
                Ok(Some(Message::Continue)) => {
                    if let Some(terminal) = terminal {
                        let _ = sys::set_foreground(terminal.as_fd(), command);
                    }
                    let _ = sys::kill(-command, libc::SIGCONT);
                }
                Ok(Some(Message::MakeSocket)) if tier.has_namespaces() => give_socket(control),
                // The supervisor is gone, or speaks nonsense: the session ends.
                _ => leave(tier, 1),
            }
        }
    }
}

/// Hands out a socket by which the supervisor reaches a server of the session.
/// It speaks both IPv6 and IPv4, where the kernel has IPv6.
fn give_socket(control: BorrowedFd<'_>) {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
    let made =
        sys::socket(libc::AF_INET6, kind, 0).or_else(|_| sys::socket(libc::AF_INET, kind, 0));
    // Where the answer cannot be sent nobody is left to wait for it.
    let _ = match made {
        Ok(socket) => Message::Socket { errno: 0 }.send(control, &[socket.as_raw_fd()]),
        Err(Errno(errno)) => Message::Socket { errno }.send(control, &[]),
    };
}

/// Ends the session, and this process last. In a pid namespace the kernel ends
/// everything else with it.
fn leave(tier: Tier, code: libc::c_int) -> ! {
    if !tier.has_namespaces() {
        end_descendants();
    }
    sys::exit(code)
}

/// Our children, one number after another. A child is not reaped between being
/// listed and being signalled, so the number is still its own.
const CHILDREN: &CStr = c"/proc/thread-self/children";

/// Ends every descendant. Those whose parent ends become our children, so ending
/// our children until there are none ends them all.
fn end_descendants() {
    loop {
        if let Ok(list) = sys::open(CHILDREN, libc::O_RDONLY, 0) {
            end_listed(&list);
        }
        match sys::reap() {
            // Nobody is left.
            Err(Errno(libc::ECHILD)) => return,
            // Dying, or held by its tracer for a moment.
            Ok(false) => drop(sys::poll([], 1)),
            _ => {}
        }
    }
}

fn end_listed(list: &OwnedFd) {
    let mut buffer = [0; 1024];
    let mut number: libc::pid_t = 0;
    while let Ok(length @ 1..) = sys::read(list.as_fd(), &mut buffer) {
        for byte in buffer.get(..length).unwrap_or_default() {
            if byte.is_ascii_digit() {
                number = number.wrapping_mul(10).wrapping_add(libc::pid_t::from(byte - b'0'));
            } else {
                if number > 1 {
                    let _ = sys::kill(number, libc::SIGKILL);
                }
                number = 0;
            }
        }
    }
}

/// Gives up what process 1 no longer needs. Returns the descriptor that tells
/// of children.
fn retire(command: libc::pid_t) -> Sys<OwnedFd> {
    sys::drop_capabilities()?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    sys::close_range(0, 2)?;
    sys::block_signals(&[libc::SIGCHLD, libc::SIGTTOU])?;
    // Both sides set it, so that it is set whoever runs first.
    let _ = sys::set_process_group(command, command);
    sys::signal_fd(&[libc::SIGCHLD])
}

/// Takes note of children that stopped or ended. Whether the command has ended.
fn reap(command: libc::pid_t, control: BorrowedFd<'_>) -> bool {
    while let Some(waited) = sys::wait(-1, libc::WNOHANG | libc::WUNTRACED) {
        if waited.pid != command {
            continue;
        }
        if libc::WIFSTOPPED(waited.status) {
            let _ = Message::Stopped.send(control, &[]);
        } else {
            let _ = Message::Ended { status: waited.status }.send(control, &[]);
            return true;
        }
    }
    false
}
