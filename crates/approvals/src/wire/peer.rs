//! Who is at the other end of a socket, according to the kernel.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, geteuid};

/// Names the peer, such as `alice at another terminal (pid 4711)`.
///
/// # Errors
///
/// If the peer is another user, or lives in other user or pid namespaces than
/// we do. The second is a second fence: a confined process cannot reach the
/// socket, and if it could, it would not be a person.
pub(super) fn identify(stream: &UnixStream) -> io::Result<String> {
    let peer = socket_peercred(stream)?;
    let denied = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if peer.uid != geteuid() {
        return denied("another user connected");
    }
    for namespace in ["user", "pid"] {
        let theirs =
            fs::read_link(format!("/proc/{}/ns/{namespace}", Pid::as_raw(Some(peer.pid))))?;
        if theirs != fs::read_link(format!("/proc/self/ns/{namespace}"))? {
            return denied("a confined process connected");
        }
    }
    Ok(format!(
        "{} at another terminal (pid {})",
        person(peer.uid.as_raw()),
        Pid::as_raw(Some(peer.pid))
    ))
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
