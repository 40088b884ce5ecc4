//! Who is at the other end of a socket, according to the kernel.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, geteuid};

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// With the place.
    pub(super) by: String,
    /// See [`local`].
    pub(super) person: String,
}

/// Names the peer, such as `alice at another terminal (pid 4711)`.
///
/// # Errors
///
/// If the peer is another user, or lives in other user or pid namespaces than
/// we do. The second is a second fence: a confined process cannot reach the
/// socket, and if it could, it would not be a person.
pub(super) fn identify(stream: &UnixStream) -> io::Result<Peer> {
    let peer = socket_peercred(stream)?;
    let denied = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if peer.uid != geteuid() {
        return denied("another user connected");
    }
    if is_elsewhere(Pid::as_raw(Some(peer.pid)))? {
        return denied("a confined process connected");
    }
    let (uid, pid) = (peer.uid.as_raw(), Pid::as_raw(Some(peer.pid)));
    let by = format!("{} at another terminal (pid {pid})", person(uid));
    Ok(Peer { by, person: local(uid) })
}

/// Whether a process lives in other namespaces than we do, by what everybody may
/// read: we have no right to look into a peer of root's that has capabilities.
///
/// That two user namespaces map the same users is possible, but nobody leaves a
/// pid namespace below ours.
fn is_elsewhere(process: i32) -> io::Result<bool> {
    let users = |of: &str| fs::read_to_string(format!("/proc/{of}/uid_map"));
    let process = process.to_string();
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    Ok(!is_of_our_numbers(&status) || users(&process)? != users("self")?)
}

/// SOURCE: proc_pid_status(5): NSpid has one number for each pid namespace, from
/// that of the reader's `/proc` down to the process's own.
fn is_of_our_numbers(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.is_some_and(|numbers| numbers.split_whitespace().count() == 1)
}

/// A local user's stable name, the same at every terminal and in a signed answer.
pub fn local(uid: u32) -> String {
    person(uid).to_lowercase()
}

/// A user's name as `/etc/passwd` has it, else `uid 1000`.
pub fn person(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    match name {
        Some(name) if !name.is_empty() => crate::words::plain(name),
        _ => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_pid_namespace_is_known_by_its_second_number() {
        assert!(is_of_our_numbers("Name:\tNSpid: 1 2\nNSpid:\t4711\n"));
        assert!(!is_of_our_numbers("Name:\tx\nNSpid:\t4711\t2\n"));
        assert!(!is_of_our_numbers("Name:\tx\n"));
        assert!(!is_elsewhere(std::process::id() as i32).expect("our own status"));
    }
}
