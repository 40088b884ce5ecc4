//! System calls, each behind a function that is safe to call.
//!
//! Everything here may run between `clone` and `execve`: nothing allocates,
//! locks or logs. Raw descriptors become [`OwnedFd`] in the line that receives
//! them. Failures are the kernel's number.

use std::ffi::CStr;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_long, c_uint, c_ulong, c_void};

/// An error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

pub(crate) type Sys<T> = Result<T, Errno>;

fn last() -> Errno {
    // Reads a thread-local number; allocates nothing.
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

fn check(result: c_long) -> Sys<c_long> {
    if result < 0 { Err(last()) } else { Ok(result) }
}

fn owned(result: c_long) -> Sys<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel just returned this descriptor to us and to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// What `clone3` gave: we are the parent with the child's pid, or the child.
pub(crate) enum Cloned {
    Parent(libc::pid_t),
    Child,
}

/// `clone3` with these flags and `SIGCHLD` on exit. Memory is copied, as by `fork`.
///
/// The child may only call functions of this file and others that keep to its
/// rule, because another thread of the parent may have held any lock.
pub(crate) fn clone(flags: u64) -> Sys<Cloned> {
    let args = [flags, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    // SAFETY: `args` is a clone_args of version 0 (eight u64); without CLONE_VM
    // the child has its own copy of this stack, so returning twice is sound.
    let result = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), mem::size_of_val(&args)) };
    let result = match check(result) {
        // A container's filter cannot look into its arguments and hides it.
        Err(Errno(libc::ENOSYS)) => {
            let flags = flags as c_ulong | libc::SIGCHLD as c_ulong;
            // SAFETY: integers and null pointers only; without CLONE_VM the child
            // has its own copy of this stack, and a null stack means to use it.
            check(unsafe { libc::syscall(libc::SYS_clone, flags, 0_u64, 0_u64, 0_u64, 0_u64) })
        }
        other => other,
    };
    match result? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(pid as libc::pid_t)),
    }
}

/// Ends the calling process without running anything of its own.
pub(crate) fn exit(code: c_int) -> ! {
    // SAFETY: `_exit` takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

pub(crate) fn getuid() -> (libc::uid_t, libc::gid_t) {
    // SAFETY: takes nothing, cannot fail.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: takes nothing, cannot fail.
    let gid = unsafe { libc::getegid() };
    (uid, gid)
}

pub(crate) fn open(path: &CStr, flags: c_int, mode: libc::mode_t) -> Sys<OwnedFd> {
    // SAFETY: `path` is a valid C string for the duration of the call.
    let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode as c_uint) };
    owned(fd.into())
}

/// Opens a place by a path that leads there without any link. A link that was
/// put on the way since the path was resolved fails with `ELOOP`.
pub(crate) fn open_exact(path: &CStr) -> Sys<OwnedFd> {
    /// SOURCE: linux/openat2.h, RESOLVE_NO_SYMLINKS.
    const NO_SYMLINKS: u64 = 4;
    let how = [(libc::O_PATH | libc::O_CLOEXEC) as u64, 0, NO_SYMLINKS];
    // SAFETY: `path` is a valid C string and `how` an open_how (three u64);
    // both outlive the call.
    owned(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            how.as_ptr(),
            mem::size_of_val(&how),
        )
    })
}

pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Sys<usize> {
    // SAFETY: the pointer and length are of one live slice.
    let n = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    check(n as c_long).map(|n| n as usize)
}

pub(crate) fn read(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Sys<usize> {
    // SAFETY: the pointer and length are of one live, writable slice.
    let n = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    check(n as c_long).map(|n| n as usize)
}

/// Opens, writes everything, closes.
pub(crate) fn write_file(path: &CStr, flags: c_int, mode: libc::mode_t, bytes: &[u8]) -> Sys<()> {
    let fd = open(path, flags | libc::O_WRONLY, mode)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = write(fd.as_fd(), rest)?;
        rest = rest.get(n..).unwrap_or_default();
    }
    Ok(())
}

pub(crate) fn mkdir(path: &CStr, mode: libc::mode_t) -> Sys<()> {
    // SAFETY: `path` is a valid C string for the duration of the call.
    let result = unsafe { libc::mkdir(path.as_ptr(), mode) };
    check(result.into()).map(drop)
}

pub(crate) fn unlink(path: &CStr) -> Sys<()> {
    // SAFETY: `path` is a valid C string for the duration of the call.
    let result = unsafe { libc::unlink(path.as_ptr()) };
    check(result.into()).map(drop)
}

pub(crate) fn symlink(target: &CStr, path: &CStr) -> Sys<()> {
    // SAFETY: both are valid C strings for the duration of the call.
    let result = unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) };
    check(result.into()).map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Sys<()> {
    // SAFETY: `path` is a valid C string for the duration of the call.
    let result = unsafe { libc::chdir(path.as_ptr()) };
    check(result.into()).map(drop)
}

pub(crate) fn fchdir(fd: BorrowedFd<'_>) -> Sys<()> {
    // SAFETY: takes an integer; the borrow keeps it open.
    let result = unsafe { libc::fchdir(fd.as_raw_fd()) };
    check(result.into()).map(drop)
}

pub(crate) fn umask(mask: libc::mode_t) {
    // SAFETY: takes an integer, cannot fail.
    unsafe { libc::umask(mask) };
}

/// The umask, read by setting it and setting it back.
pub(crate) fn current_umask() -> libc::mode_t {
    // SAFETY: takes an integer, cannot fail.
    let mask = unsafe { libc::umask(0o077) };
    umask(mask);
    mask
}

pub(crate) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: c_ulong,
    options: &CStr,
) -> Sys<()> {
    // SAFETY: all four are valid C strings for the duration of the call.
    let result = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    };
    check(result.into()).map(drop)
}

/// A detached copy of the mounts at a place, with everything mounted beneath.
pub(crate) fn open_tree(place: BorrowedFd<'_>) -> Sys<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | (libc::AT_RECURSIVE | libc::AT_EMPTY_PATH) as c_uint;
    // SAFETY: an empty C string, and the borrow keeps the place open.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags) })
}

/// Attaches a detached tree at a place.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Sys<()> {
    /// SOURCE: linux/mount.h, MOVE_MOUNT_F_EMPTY_PATH and MOVE_MOUNT_T_EMPTY_PATH.
    const BY_DESCRIPTORS: c_uint = 0x4 | 0x40;
    // SAFETY: both paths are empty C strings, the borrows keep both open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            BY_DESCRIPTORS,
        )
    };
    check(result).map(drop)
}

/// A file system of this kind, to be configured.
pub(crate) fn fsopen(kind: &CStr) -> Sys<OwnedFd> {
    /// SOURCE: linux/mount.h, FSOPEN_CLOEXEC.
    const CLOEXEC: c_uint = 1;
    // SAFETY: `kind` is a valid C string for the duration of the call.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) })
}

// SOURCE: linux/mount.h, enum fsconfig_command.
const FSCONFIG_SET_FLAG: c_uint = 0;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;

pub(crate) fn fsconfig_flag(context: BorrowedFd<'_>, key: &CStr) -> Sys<()> {
    fsconfig(context, FSCONFIG_SET_FLAG, Some(key), None)
}

pub(crate) fn fsconfig_string(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Sys<()> {
    fsconfig(context, FSCONFIG_SET_STRING, Some(key), Some(value))
}

pub(crate) fn fsconfig_create(context: BorrowedFd<'_>) -> Sys<()> {
    fsconfig(context, FSCONFIG_CMD_CREATE, None, None)
}

fn fsconfig(
    context: BorrowedFd<'_>,
    command: c_uint,
    key: Option<&CStr>,
    value: Option<&CStr>,
) -> Sys<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    let (fd, key, value) = (context.as_raw_fd(), pointer(key), pointer(value));
    // SAFETY: key and value are null or valid C strings for the duration of the
    // call; the commands of this file take a string, or nothing, as value.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, 0) }).map(drop)
}

/// A configured file system as a mount that is not attached yet.
pub(crate) fn fsmount(context: BorrowedFd<'_>, attributes: u64) -> Sys<OwnedFd> {
    /// SOURCE: linux/mount.h, FSMOUNT_CLOEXEC.
    const CLOEXEC: c_uint = 1;
    // SAFETY: takes integers; the borrow keeps the context open.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, attributes) })
}

/// Adds mount attributes (`MOUNT_ATTR_*`) to a tree, recursively.
pub(crate) fn mount_setattr(tree: BorrowedFd<'_>, set: u64) -> Sys<()> {
    let attributes = [set, 0, 0, 0];
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: `attributes` is a mount_attr (four u64) that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attributes.as_ptr(),
            mem::size_of_val(&attributes),
        )
    };
    check(result).map(drop)
}

/// Makes the current directory the root and puts the old root on top of it.
pub(crate) fn pivot_here() -> Sys<()> {
    // SAFETY: both are valid C strings for the duration of the call.
    let result = unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) };
    check(result).map(drop)
}

pub(crate) fn detach(path: &CStr) -> Sys<()> {
    // SAFETY: `path` is a valid C string for the duration of the call.
    let result = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    check(result.into()).map(drop)
}

pub(crate) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Sys<OwnedFd> {
    // SAFETY: takes integers only.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    owned(fd.into())
}

/// A connected pair of message sockets.
pub(crate) fn message_pair() -> Sys<(OwnedFd, OwnedFd)> {
    let mut fds: [c_int; 2] = [-1, -1];
    // SAFETY: `fds` has room for the two integers the kernel writes.
    let result = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC,
            0,
            fds.as_mut_ptr(),
        )
    };
    check(result.into())?;
    Ok((owned(fds[0].into())?, owned(fds[1].into())?))
}

pub(crate) fn bind4(fd: BorrowedFd<'_>, address: [u8; 4], port: u16) -> Sys<()> {
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address) },
        sin_zero: [0; 8],
    };
    // SAFETY: `name` is a sockaddr_in and the length says so.
    let result = unsafe {
        libc::bind(fd.as_raw_fd(), ptr::from_ref(&name).cast(), mem::size_of_val(&name) as u32)
    };
    check(result.into()).map(drop)
}

pub(crate) fn bind6(fd: BorrowedFd<'_>, address: [u8; 16], port: u16) -> Sys<()> {
    let name = libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: port.to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address },
        sin6_scope_id: 0,
    };
    // SAFETY: `name` is a sockaddr_in6 and the length says so.
    let result = unsafe {
        libc::bind(fd.as_raw_fd(), ptr::from_ref(&name).cast(), mem::size_of_val(&name) as u32)
    };
    check(result.into()).map(drop)
}

pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: c_int) -> Sys<()> {
    // SAFETY: takes integers; the borrow keeps the descriptor open.
    let result = unsafe { libc::listen(fd.as_raw_fd(), backlog) };
    check(result.into()).map(drop)
}

pub(crate) fn set_option(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> Sys<()> {
    // SAFETY: the value is one int and the length says so.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            mem::size_of::<c_int>() as u32,
        )
    };
    check(result.into()).map(drop)
}

/// Sends bytes and receives one reply into `reply`; for netlink.
pub(crate) fn exchange(fd: BorrowedFd<'_>, bytes: &[u8], reply: &mut [u8]) -> Sys<usize> {
    // SAFETY: pointer and length are of one live slice.
    let sent = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    check(sent as c_long)?;
    // SAFETY: pointer and length are of one live, writable slice.
    let got = unsafe { libc::recv(fd.as_raw_fd(), reply.as_mut_ptr().cast(), reply.len(), 0) };
    check(got as c_long).map(|n| n as usize)
}

/// How many descriptors one message can carry.
pub(crate) const MOST_FDS: usize = 8;

/// Room for the control data of [`MOST_FDS`] descriptors, aligned as the kernel wants.
#[repr(C, align(8))]
struct ControlSpace([u8; 64]);

/// Sends `bytes` with descriptors. At most [`MOST_FDS`].
pub(crate) fn send_message(to: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> Sys<()> {
    if fds.len() > MOST_FDS {
        return Err(Errno(libc::EINVAL));
    }
    let mut space = ControlSpace([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr() as *mut c_void, iov_len: bytes.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let length = mem::size_of_val(fds);
        let header = mem::size_of::<libc::cmsghdr>();
        let data = libc::cmsghdr {
            cmsg_len: header + length,
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        };
        // SAFETY: 64 bytes hold a header (16) and MOST_FDS integers (32), and
        // ControlSpace is aligned for cmsghdr.
        unsafe { ptr::write(space.0.as_mut_ptr().cast(), data) };
        for (i, fd) in fds.iter().enumerate() {
            let at = header + i * mem::size_of::<RawFd>();
            space.0[at..at + 4].copy_from_slice(&fd.to_ne_bytes());
        }
        message.msg_control = space.0.as_mut_ptr().cast();
        message.msg_controllen = (header + length).next_multiple_of(8);
    }
    // SAFETY: every pointer in `message` is to a live local of the stated length.
    let sent = unsafe { libc::sendmsg(to.as_raw_fd(), &message, libc::MSG_NOSIGNAL) };
    check(sent as c_long).map(drop)
}

/// Receives one message and the descriptors it carries, in order.
///
/// Returns the number of bytes (0 when the other side is gone) and fills
/// `fds` from the front.
pub(crate) fn receive_message(
    from: BorrowedFd<'_>,
    bytes: &mut [u8],
    fds: &mut [Option<OwnedFd>; MOST_FDS],
    flags: c_int,
) -> Sys<usize> {
    let mut space = ControlSpace([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.0.as_mut_ptr().cast();
    message.msg_controllen = space.0.len();
    // SAFETY: every pointer in `message` is to a live local of the stated length.
    let got =
        unsafe { libc::recvmsg(from.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC | flags) };
    let got = check(got as c_long)?;
    let header = mem::size_of::<libc::cmsghdr>();
    if message.msg_controllen >= header {
        // SAFETY: the kernel wrote at least one whole header at the start of
        // `space`, which is aligned for it.
        let data: libc::cmsghdr = unsafe { ptr::read(space.0.as_ptr().cast()) };
        if data.cmsg_level == libc::SOL_SOCKET && data.cmsg_type == libc::SCM_RIGHTS {
            let count = (data.cmsg_len.saturating_sub(header)) / mem::size_of::<RawFd>();
            for (i, slot) in fds.iter_mut().enumerate().take(count) {
                let at = header + i * 4;
                let mut number = [0; 4];
                number.copy_from_slice(&space.0[at..at + 4]);
                *slot = Some(owned(c_long::from(RawFd::from_ne_bytes(number)))?);
            }
        }
    }
    Ok(got as usize)
}

pub(crate) fn prctl(option: c_int, a: c_ulong, b: c_ulong) -> Sys<c_long> {
    // SAFETY: only options whose arguments are integers are used in this crate.
    check(unsafe { libc::prctl(option, a, b, 0, 0) }.into())
}

/// Gives up every capability of the calling thread.
pub(crate) fn drop_capabilities() -> Sys<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    /// SOURCE: linux/capability.h, _LINUX_CAPABILITY_VERSION_3.
    const VERSION: u32 = 0x2008_0522;
    let header = Header { version: VERSION, pid: 0 };
    let nothing = [0_u32; 6];
    // SAFETY: version 3 reads a header and six u32; both outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &header, nothing.as_ptr()) };
    check(result).map(drop)
}

/// A new, empty session keyring, so that the user's own is out of reach.
pub(crate) fn join_new_keyring() -> Sys<()> {
    const JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, ptr::null::<c_void>(), 0, 0, 0)
    };
    check(result).map(drop)
}

pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> Sys<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource, &limit) }.into()).map(drop)
}

/// Marks every descriptor from `first` on to be closed by `execve`.
pub(crate) fn close_on_exec_from(first: c_uint) -> Sys<()> {
    /// SOURCE: linux/close_range.h, CLOSE_RANGE_CLOEXEC.
    const CLOEXEC: c_uint = 4;
    // SAFETY: takes integers only.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, CLOEXEC) }).map(drop)
}

/// Closes descriptors `first` to `last`, both included.
pub(crate) fn close_range(first: c_uint, last: c_uint) -> Sys<()> {
    // SAFETY: closes descriptors that nothing in the calling process uses any
    // more; callers are children that are about to exec or only wait.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Makes `to` another name of `from`, open across `execve`. For children that
/// are about to exec and lay out their descriptors by number.
pub(crate) fn dup_onto(from: RawFd, to: RawFd) -> Sys<()> {
    // SAFETY: takes integers; what `to` named before is not owned by anything
    // in the calling child.
    check(unsafe { libc::dup2(from, to) }.into()).map(drop)
}

/// Takes ownership of a descriptor that [`dup_onto`] just made.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller made `fd` with `dup_onto` and holds no other owner.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn getpid() -> libc::pid_t {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::getpid() }
}

/// Signal dispositions back to default and nothing blocked.
pub(crate) fn reset_signals() {
    // SAFETY: all-zero is a valid sigaction: SIG_DFL, no flags, empty mask.
    let default: libc::sigaction = unsafe { mem::zeroed() };
    for signal in 1..=64 {
        // SAFETY: `default` outlives the call; numbers the kernel reserves fail.
        unsafe { libc::sigaction(signal, &default, ptr::null_mut()) };
    }
    // SAFETY: all-zero is a valid, empty signal set.
    let none: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `none` outlives the call; a null old set is allowed.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()) };
}

/// Blocks these signals in the calling thread and those it will create.
pub(crate) fn block_signals(signals: &[c_int]) -> Sys<()> {
    let set = signal_set(signals);
    // SAFETY: `set` outlives the call; a null old set is allowed.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(Errno(result)) }
}

/// Blocks every signal that can be blocked.
pub(crate) fn block_all_signals() -> Sys<()> {
    // SAFETY: all-zero is a valid, empty signal set.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is valid and writable.
    unsafe { libc::sigfillset(&mut set) };
    // SAFETY: `set` outlives the call; a null old set is allowed.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(Errno(result)) }
}

/// A descriptor that becomes readable when one of these blocked signals waits.
pub(crate) fn signal_fd(signals: &[c_int]) -> Sys<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: `set` outlives the call.
    let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    owned(fd.into())
}

fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: all-zero is a valid, empty signal set.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    for signal in signals {
        // SAFETY: `set` is valid; the signals are constants of this crate.
        unsafe { libc::sigaddset(&mut set, *signal) };
    }
    set
}

/// Reads and forgets what a signal descriptor or a like one holds.
pub(crate) fn drain(fd: BorrowedFd<'_>) {
    let mut buffer = [0_u8; 1024];
    // SAFETY: pointer and length are of one live, writable array.
    unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
}

/// Waits until one of `fds` can be read or has hung up. True where it has.
pub(crate) fn poll<const N: usize>(fds: [BorrowedFd<'_>; N], timeout_ms: c_int) -> Sys<[bool; N]> {
    let mut entries =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // SAFETY: `entries` has N elements and outlives the call.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), N as libc::nfds_t, timeout_ms) };
    match check(result.into()) {
        Ok(_) => Ok(entries.map(|entry| entry.revents != 0)),
        Err(Errno(libc::EINTR)) => Ok([false; N]),
        Err(errno) => Err(errno),
    }
}

/// What `waitpid` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) pid: libc::pid_t,
    pub(crate) status: c_int,
}

/// `waitpid`; `None` when nothing has changed (with `WNOHANG`) or there is nobody.
pub(crate) fn wait(pid: libc::pid_t, flags: c_int) -> Option<Waited> {
    let mut status = 0;
    // SAFETY: `status` is one writable int.
    let pid = unsafe { libc::waitpid(pid, &mut status, flags) };
    (pid > 0).then_some(Waited { pid, status })
}

/// Reaps one child that has ended. False when there are children and none has;
/// `ECHILD` when there are none.
pub(crate) fn reap() -> Sys<bool> {
    // SAFETY: a null status is allowed.
    let pid = unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
    check(pid.into()).map(|pid| pid > 0)
}

/// Waits until a child has ended, without reaping it.
pub(crate) fn wait_for_end(pid: libc::pid_t, flags: c_int) -> Sys<bool> {
    // SAFETY: all-zero is a valid siginfo.
    let mut about: libc::siginfo_t = unsafe { mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT | flags;
    // SAFETY: `about` is one writable siginfo.
    check(unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &mut about, flags) }.into())?;
    // SAFETY: `waitid` filled it in, or left it zero where nothing has changed.
    Ok(unsafe { about.si_pid() } == pid)
}

/// Descendants whose parent ends become children of the calling process.
pub(crate) fn become_subreaper() -> Sys<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map(drop)
}

/// No more is sent or received by either end.
pub(crate) fn shut(fd: BorrowedFd<'_>) -> Sys<()> {
    // SAFETY: takes integers; the borrow keeps the descriptor open.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) }.into()).map(drop)
}

/// Whether another process's descriptors can be taken, tried on ourselves.
pub(crate) fn descriptors_can_be_taken() -> Sys<()> {
    // SAFETY: takes integers only.
    let own = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, getpid(), 0) })?;
    let number = own.as_raw_fd();
    // SAFETY: takes integers; `own` is open.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, number, number, 0) }).map(drop)
}

pub(crate) fn kill(pid: libc::pid_t, signal: c_int) -> Sys<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

pub(crate) fn set_process_group(pid: libc::pid_t, group: libc::pid_t) -> Sys<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::setpgid(pid, group) }.into()).map(drop)
}

pub(crate) fn new_session() -> Sys<()> {
    // SAFETY: takes nothing.
    check(unsafe { libc::setsid() }.into()).map(drop)
}

/// Makes this terminal the controlling one of the calling session's leader.
pub(crate) fn take_terminal(fd: BorrowedFd<'_>) -> Sys<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// Puts a process group in the terminal's foreground.
pub(crate) fn set_foreground(fd: BorrowedFd<'_>, group: libc::pid_t) -> Sys<()> {
    // SAFETY: takes integers; the borrow keeps the descriptor open.
    check(unsafe { libc::tcsetpgrp(fd.as_raw_fd(), group) }.into()).map(drop)
}

/// Opens the master of a new terminal of the instance at `/dev/pts`, and its
/// other end.
pub(crate) fn open_terminal(ptmx: &CStr) -> Sys<(OwnedFd, OwnedFd)> {
    let master = open(ptmx, libc::O_RDWR | libc::O_NOCTTY, 0)?;
    let unlock: c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &unlock) }.into())?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags and returns a new descriptor.
    let other = owned(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }.into())?;
    Ok((master, other))
}

/// Replaces the calling process. Returns only on failure.
///
/// # Panics
///
/// Never; but `argv` and `environment` must end with a null pointer, which
/// [`super::child::Strings`] guarantees.
pub(crate) fn exec(program: &CStr, argv: &NullTerminated, environment: &NullTerminated) -> Errno {
    // SAFETY: both arrays end with null and point to C strings that live as
    // long as the borrows.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    last()
}

/// An array of C strings as `execve` wants it: the last pointer is null.
#[derive(Debug)]
pub(crate) struct NullTerminated {
    /// Owns what `pointers` points to.
    _strings: Vec<std::ffi::CString>,
    pointers: Vec<*const libc::c_char>,
}

impl NullTerminated {
    pub(crate) fn new(strings: Vec<std::ffi::CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }

    fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// The Landlock ABI of the running kernel; 0 when it has none.
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: c_uint = 1;
    // SAFETY: a null ruleset with the version flag only asks for a number.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<c_void>(), 0, VERSION)
    };
    u32::try_from(result).unwrap_or(0)
}

/// A ruleset that handles these rights: file system, network, scopes.
pub(crate) fn landlock_ruleset(attributes: [u64; 3], size: usize) -> Sys<OwnedFd> {
    let size = size.min(mem::size_of_val(&attributes));
    // SAFETY: `attributes` has at least `size` bytes and outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), size, 0) })
}

/// Allows `access` beneath the file or directory `beneath` refers to.
pub(crate) fn landlock_allow(
    ruleset: BorrowedFd<'_>,
    access: u64,
    beneath: BorrowedFd<'_>,
) -> Sys<()> {
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        parent: c_int,
    }
    const PATH_BENEATH: c_uint = 1;
    let rule = PathBeneath { access, parent: beneath.as_raw_fd() };
    // SAFETY: `rule` is a landlock_path_beneath_attr and outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, &rule, 0)
    };
    check(result).map(drop)
}

pub(crate) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> Sys<()> {
    // SAFETY: takes integers; the borrow keeps the ruleset open.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
        .map(drop)
}

/// Installs a filter with a listener whose receivers cannot be interrupted by
/// signals that do not kill.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> Sys<OwnedFd> {
    /// SOURCE: linux/seccomp.h, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
    const WAIT_KILLABLE: c_ulong = 1 << 5;
    let fprog = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr() as *mut libc::sock_filter,
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as c_ulong | WAIT_KILLABLE;
    // SAFETY: `fprog` points to a live slice of the stated length; the kernel
    // copies it and checks every jump.
    owned(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &fprog) })
}

/// Whether the kernel knows this seccomp action.
pub(crate) fn seccomp_action_available(action: u32) -> bool {
    // SAFETY: the action is one u32 that outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &action) };
    result == 0
}
