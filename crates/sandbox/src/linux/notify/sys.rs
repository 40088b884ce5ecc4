//! The kernel interfaces of trapped calls: notifications, the caller's memory
//! and descriptors, and stopping a task for a moment.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_long, c_ulong, c_void, pid_t};

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: c_long) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel just returned this descriptor to us and to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A trapped call as the kernel reports it.
pub(super) type RawNotification = libc::seccomp_notif;

/// SOURCE: linux/seccomp.h.
const SECCOMP_IOCTL_NOTIF_RECV: c_ulong = 0xc050_2100;
const SECCOMP_IOCTL_NOTIF_SEND: c_ulong = 0xc018_2101;
const SECCOMP_IOCTL_NOTIF_ID_VALID: c_ulong = 0x4008_2102;
const SECCOMP_IOCTL_NOTIF_SET_FLAGS: c_ulong = 0x4008_2104;
const SYNC_WAKE_UP: c_ulong = 1;

/// Receives the next notification; fails with `ENOENT` when its caller died
/// meanwhile, with `EAGAIN` or `EINTR` when there is none after all.
pub(super) fn receive(listener: BorrowedFd<'_>) -> io::Result<RawNotification> {
    // SAFETY: all-zero is a valid seccomp_notif, and what the kernel demands.
    let mut raw: RawNotification = unsafe { mem::zeroed() };
    // SAFETY: NOTIF_RECV writes one seccomp_notif.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV as _, &mut raw) };
    check(result.into()).map(|_| raw)
}

/// Lets the call go on in the kernel, with whatever is in memory by then.
pub(super) const CONTINUE: u32 = 1;

pub(super) fn send(
    listener: BorrowedFd<'_>,
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
) -> io::Result<()> {
    let response = libc::seccomp_notif_resp { id, val, error: -error, flags };
    // SAFETY: NOTIF_SEND reads one seccomp_notif_resp.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND as _, &response) };
    check(result.into()).map(drop)
}

/// SOURCE: linux/seccomp.h, struct seccomp_notif_addfd.
const SECCOMP_IOCTL_NOTIF_ADDFD: c_ulong = 0x4018_2103;

/// Gives the caller this open file as the result of its call.
pub(super) fn send_file(
    listener: BorrowedFd<'_>,
    id: u64,
    file: BorrowedFd<'_>,
    close_on_exec: bool,
) -> io::Result<()> {
    let addition = libc::seccomp_notif_addfd {
        id,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: file.as_raw_fd() as u32,
        newfd: 0,
        newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY: NOTIF_ADDFD reads one seccomp_notif_addfd; the borrow keeps the
    // file open until the kernel has taken its own reference.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_ADDFD as _, &addition) };
    check(result.into()).map(drop)
}

/// Whether the caller still waits for the answer to this notification.
pub(super) fn is_waiting(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: NOTIF_ID_VALID reads one u64.
    unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_ID_VALID as _, &id) == 0 }
}

/// Asks for hand-over on one core, which halves the wake-up. Linux 6.6; without
/// it everything works, slower.
pub(super) fn wake_synchronously(listener: BorrowedFd<'_>) {
    // SAFETY: NOTIF_SET_FLAGS takes an integer.
    unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SET_FLAGS as _, SYNC_WAKE_UP) };
}

/// Copies from another process's memory. Returns how many bytes, which is
/// fewer than asked where its memory ends.
pub(super) fn read_memory(pid: pid_t, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: into.len() };
    // SAFETY: `local` is one live, writable slice; `remote` is only a number to us.
    let got = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    check(got as c_long).map(|n| n as usize)
}

/// A descriptor for the task itself (Linux 6.9) or, before that, its process.
pub(super) fn pidfd(pid: pid_t) -> io::Result<OwnedFd> {
    /// SOURCE: linux/pidfd.h, PIDFD_THREAD.
    const THREAD: c_int = libc::O_EXCL;
    // SAFETY: takes integers only.
    match owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, THREAD) }) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // SAFETY: takes integers only.
            owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
        }
        other => other,
    }
}

/// A copy of another process's descriptor: the same open file or socket.
pub(super) fn take_descriptor(pidfd: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes integers; the borrow keeps the pidfd open.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })
}

/// Watches what an `O_PATH` descriptor refers to.
pub(super) fn add_watch(
    instance: BorrowedFd<'_>,
    place: BorrowedFd<'_>,
    mask: u32,
) -> io::Result<c_int> {
    let path = format!("/proc/self/fd/{}\0", place.as_raw_fd());
    // SAFETY: `path` ends with a NUL and outlives the call; the borrows keep both
    // descriptors open.
    let number =
        unsafe { libc::inotify_add_watch(instance.as_raw_fd(), path.as_ptr().cast(), mask) };
    check(number.into()).map(|number| number as c_int)
}

/// `connect` with an address in the kernel's form.
pub(super) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length are of one live slice; the kernel checks both.
    let result = unsafe {
        libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t)
    };
    check(result.into()).map(drop)
}

/// One of the socket's integer properties (`SO_DOMAIN`, `SO_TYPE`, …).
pub(super) fn socket_property(socket: BorrowedFd<'_>, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = mem::size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the value is one writable int and the length says so.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            ptr::from_mut(&mut value).cast(),
            &mut length,
        )
    };
    check(result.into()).map(|_| value)
}

/// Tells the socket's network namespace from every other of this boot.
pub(super) fn network_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = mem::size_of::<u64>() as libc::socklen_t;
    // SAFETY: the value is one writable u64 and the length says so.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            ptr::from_mut(&mut cookie).cast(),
            &mut length,
        )
    };
    check(result.into()).map(|_| cookie)
}

fn ptrace(request: libc::c_uint, pid: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: only requests whose arguments are integers, or point to a local
    // that outlives the call, go through here.
    check(unsafe { libc::ptrace(request, pid, address, data) })
}

/// Becomes the tracer of a task without stopping it. It stops when its program
/// is replaced, and dies if we do.
pub(super) fn seize(task: pid_t) -> io::Result<()> {
    let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACEEXEC;
    ptrace(libc::PTRACE_SEIZE, task, 0, options as usize).map(drop)
}

/// The number that a task stopped by `execve` had before it took over its
/// process's number.
pub(super) fn former_number(process: pid_t) -> io::Result<pid_t> {
    let mut number: c_ulong = 0;
    ptrace(libc::PTRACE_GETEVENTMSG, process, 0, ptr::from_mut(&mut number) as usize)?;
    Ok(number as pid_t)
}

/// Stops a seized task before its next instruction.
pub(super) fn interrupt(task: pid_t) -> io::Result<()> {
    ptrace(libc::PTRACE_INTERRUPT, task, 0, 0).map(drop)
}

/// Lets a stopped task go, with this signal delivered (0 for none).
pub(super) fn detach(task: pid_t, signal: c_int) -> io::Result<()> {
    ptrace(libc::PTRACE_DETACH, task, 0, signal as usize).map(drop)
}

/// Lets a stopped task go on, traced, with this signal delivered (0 for none).
pub(super) fn proceed(task: pid_t, signal: c_int) -> io::Result<()> {
    ptrace(libc::PTRACE_CONT, task, 0, signal as usize).map(drop)
}

/// What the stopped task's last system call returned.
pub(super) fn returned(task: pid_t) -> io::Result<i64> {
    const NT_PRSTATUS: usize = 1;
    // SAFETY: all-zero is a valid set of registers.
    let mut registers: libc::user_regs_struct = unsafe { mem::zeroed() };
    let part = libc::iovec {
        iov_base: ptr::from_mut(&mut registers).cast(),
        iov_len: mem::size_of_val(&registers),
    };
    ptrace(libc::PTRACE_GETREGSET, task, NT_PRSTATUS, ptr::from_ref(&part) as usize)?;
    #[cfg(target_arch = "x86_64")]
    return Ok(registers.rax as i64);
    #[cfg(target_arch = "aarch64")]
    return Ok(registers.regs[0] as i64);
}

/// A change in a task that the calling thread traces, if there is one.
pub(super) fn changed() -> Option<(pid_t, c_int)> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: `status` is one writable int.
    let pid = unsafe { libc::waitpid(-1, &mut status, flags) };
    (pid > 0).then_some((pid, status))
}

pub(super) fn kill(pid: pid_t) {
    // SAFETY: takes integers only. Failure means it is gone, which is wanted.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Gives the calling thread a file mode mask of its own, which is nothing.
///
/// A container may refuse `unshare` whatever is asked of it. Then the mask is
/// cleared for all threads.
///
/// INVARIANT: every file and directory that this program makes is given a mode
/// that needs no mask.
pub(super) fn clear_own_mask() -> io::Result<()> {
    // SAFETY: takes an integer; only this thread's root, directory and mask stop
    // being shared with the others'.
    match check(unsafe { libc::unshare(libc::CLONE_FS) }.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => return Err(error),
        _ => {}
    }
    // SAFETY: takes an integer.
    unsafe { libc::umask(0) };
    Ok(())
}

/// Writes without ever waiting; what does not fit is not written.
pub(super) fn write_at_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr() as *mut c_void, iov_len: bytes.len() };
    // SAFETY: `part` is one live slice; offset -1 means the current position.
    let sent = unsafe { libc::pwritev2(fd.as_raw_fd(), &part, 1, -1, libc::RWF_NOWAIT) };
    check(sent as c_long).map(|n| n as usize)
}

/// Whether a write of up to `PIPE_BUF` bytes would not wait.
pub(super) fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry that outlives the call.
    let ready = unsafe { libc::poll(&mut entry, 1, 0) };
    ready == 1 && entry.revents == libc::POLLOUT
}

/// Whether the descriptor is a terminal.
pub(super) fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: takes an integer; the borrow keeps it open.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}

/// Whether the descriptor is a file on a disk, where a write waits for nobody.
pub(super) fn is_regular_file(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(status(fd)?.st_mode & libc::S_IFMT == libc::S_IFREG)
}

pub(super) fn file_size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(status(fd)?.st_size).unwrap_or(0))
}

fn status(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    // SAFETY: all-zero is a valid stat.
    let mut about: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `about` is one writable stat.
    check(unsafe { libc::fstat(fd.as_raw_fd(), &mut about) }.into())?;
    Ok(about)
}

/// How long a file the task may make, in bytes.
pub(super) fn longest_file(task: pid_t) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a null new limit changes nothing; `limit` is one writable rlimit.
    let result = unsafe { libc::prlimit(task, libc::RLIMIT_FSIZE, ptr::null(), &mut limit) };
    check(result.into()).map(|_| limit.rlim_cur)
}

/// What this signal tells of, such as growing a file beyond our limit, ends
/// nothing from now on.
pub(super) fn ignore_signal(signal: c_int) -> io::Result<()> {
    // SAFETY: ignoring a signal runs no code of ours.
    let former = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if former == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes a lease of this kind on a file, or gives it back.
pub(super) fn lease(file: BorrowedFd<'_>, kind: c_int) -> io::Result<()> {
    // SAFETY: F_SETLEASE takes an integer; the borrow keeps the file open.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) }.into()).map(drop)
}

/// Writes at the end of a file, wherever the descriptor stands, and leaves it there.
pub(super) fn append(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr() as *mut c_void, iov_len: bytes.len() };
    // SAFETY: `part` is one live slice; offset -1 has the descriptor's position moved.
    let sent = unsafe { libc::pwritev2(fd.as_raw_fd(), &part, 1, -1, libc::RWF_APPEND) };
    check(sent as c_long).map(|n| n as usize)
}

pub(super) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are of one live slice.
    let sent = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    check(sent as c_long).map(|n| n as usize)
}

/// Blocks `SIGCHLD` in the calling thread and those it starts, and returns a
/// descriptor that becomes readable when one waits.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    super::super::sys::block_signals(&[libc::SIGCHLD])?;
    Ok(super::super::sys::signal_fd(&[libc::SIGCHLD])?)
}
