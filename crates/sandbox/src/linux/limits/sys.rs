//! System calls about limits and standing, each behind a function that is safe
//! to call. All may run between `clone` and `execve`.

use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use libc::{c_int, c_long};

use super::super::sys::{Cloned, Errno, Sys};

fn last() -> Errno {
    // Reads a thread-local number; allocates nothing.
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

fn check(result: c_long) -> Sys<c_long> {
    if result < 0 { Err(last()) } else { Ok(result) }
}

/// [`clone`](super::super::sys::clone) whose child begins in this control group.
pub(super) fn clone_into(flags: u64, cgroup: BorrowedFd<'_>) -> Sys<Cloned> {
    /// SOURCE: linux/sched.h, CLONE_INTO_CGROUP.
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let group = cgroup.as_raw_fd() as u64;
    let args = [flags | INTO_CGROUP, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0, 0, 0, group];
    // SAFETY: `args` is a clone_args of version 2 (eleven u64); without CLONE_VM
    // the child has its own copy of this stack, so returning twice is sound.
    let result = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), mem::size_of_val(&args)) };
    match check(result)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(pid as libc::pid_t)),
    }
}

/// Lowers both parts of a limit to `most`; what is lower already stays.
pub(super) fn lower_limit(resource: libc::__rlimit_resource_t, most: u64) -> Sys<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and outlives the call.
    check(unsafe { libc::getrlimit(resource, &mut limit) }.into())?;
    limit.rlim_cur = limit.rlim_cur.min(most);
    limit.rlim_max = limit.rlim_max.min(most);
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource, &limit) }.into()).map(drop)
}

/// Back to the ordinary scheduler and I/O class, if the caller is ahead of them.
pub(super) fn leave_real_time() -> Sys<()> {
    // SAFETY: takes an integer.
    let scheduler = check(unsafe { libc::sched_getscheduler(0) }.into())? as c_int;
    let scheduler = scheduler & !libc::SCHED_RESET_ON_FORK;
    if [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE].contains(&scheduler) {
        // SAFETY: all-zero is a valid sched_param.
        let ordinary: libc::sched_param = unsafe { mem::zeroed() };
        // SAFETY: `ordinary` outlives the call.
        check(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &ordinary) }.into())?;
    }
    /// SOURCE: linux/ioprio.h.
    const WHO_PROCESS: c_int = 1;
    const CLASS_SHIFT: c_long = 13;
    const REAL_TIME: c_long = 1;
    // SAFETY: takes integers.
    let priority = check(unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) })?;
    if priority >> CLASS_SHIFT == REAL_TIME {
        // SAFETY: takes integers; 0 is the class that follows the niceness.
        check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, 0) })?;
    }
    Ok(())
}

/// Back to an ordinary niceness, if the caller's is below it.
pub(super) fn leave_favoured_niceness() -> Sys<()> {
    // SAFETY: takes integers. The raw call returns 20 - niceness, so that an
    // error is told from every niceness.
    let favour = check(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) })?;
    if favour > 20 {
        // SAFETY: takes integers.
        check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) }.into())?;
    }
    Ok(())
}
