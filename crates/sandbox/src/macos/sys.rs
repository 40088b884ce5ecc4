//! The calls that the standard library does not have.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

pub(super) const SIGKILL: i32 = libc::SIGKILL;

/// Starts the command in a session of its own, away from the person's terminal,
/// with no descriptor but the standard ones.
pub(super) fn keep_apart(command: &mut Command) {
    // SAFETY: between fork and exec the closure only makes system calls that
    // are safe there; it allocates nothing, as an error number is no allocation.
    unsafe {
        command.pre_exec(|| {
            own_session()?;
            close_on_exec();
            Ok(())
        });
    }
}

fn own_session() -> io::Result<()> {
    // SAFETY: setsid takes nothing and touches no memory of ours.
    let session = unsafe { libc::setsid() };
    if session < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Marks rather than closes: one of them tells our parent whether exec worked.
fn close_on_exec() {
    // SAFETY: getdtablesize takes nothing and touches no memory of ours.
    let end = unsafe { libc::getdtablesize() };
    for fd in 3..end {
        // SAFETY: F_SETFD takes an integer and touches no memory of ours; a
        // number that is no descriptor is an error, which is no loss.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Sends a signal to a process group.
pub(super) fn kill_group(leader: i32, signal: i32) -> io::Result<()> {
    // SAFETY: killpg takes two integers and touches no memory of ours.
    let status = unsafe { libc::killpg(leader, signal) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
