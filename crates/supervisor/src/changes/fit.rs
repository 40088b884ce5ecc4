//! Whether a session can run on a copy-on-write view here.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use remit_policy::Filesystem;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Why a session cannot run on a copy-on-write view. It then does not run.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    #[error(
        "cannot run with --overlay: the workspace is read-only by {basis}, so there is nothing to keep; leave one of the two out"
    )]
    ReadOnly { basis: String },
    #[error(
        "cannot run with --overlay: `{}` is mounted inside the workspace and would not be part of the view; \
         unmount it, or run without --overlay",
        .0.display()
    )]
    Mounted(PathBuf),
    #[error("cannot read what is mounted, which --overlay has to know")]
    Mounts { source: io::Error },
    #[error("cannot make `{}`, where the session's changes would be kept", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error(
        "cannot run with --overlay: changes would be kept in `{}`, which is on a file system that {reason}; \
         keep your home, or ~/.local/state/remit, on another one (ext4, xfs, btrfs)",
        path.display()
    )]
    Unfit { path: PathBuf, reason: &'static str },
}

/// Refuses what contradicts a copy-on-write view of the workspace.
pub(crate) fn check(filesystem: &Filesystem, workspace: &Path) -> Result<(), OverlayError> {
    if filesystem.workspace == remit_policy::Access::Read {
        return Err(OverlayError::ReadOnly { basis: filesystem.workspace_basis.to_string() });
    }
    let table =
        fs::read("/proc/self/mountinfo").map_err(|source| OverlayError::Mounts { source })?;
    match mounted_below(&table, workspace) {
        Some(place) => Err(OverlayError::Mounted(place)),
        None => Ok(()),
    }
}

/// The first mount point inside a directory.
/// SOURCE: proc_pid_mountinfo(5): the fifth field, with space, tab, newline and
/// backslash as three octal digits.
fn mounted_below(table: &[u8], directory: &Path) -> Option<PathBuf> {
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(unescaped(field))))
    });
    let mut below = points.filter(|point| point.starts_with(directory) && point != directory);
    below.next()
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    plain
}

/// Why an overlay cannot keep changes there, in words that follow "a file
/// system that".
pub(super) fn unfit(upper: &Path) -> Option<&'static str> {
    /// SOURCE: linux/magic.h, OVERLAYFS_SUPER_MAGIC.
    const OVERLAYFS: u64 = 0x794c_7630;
    let about = rustix::fs::statfs(upper).ok()?;
    if about.f_type as u64 & 0xffff_ffff == OVERLAYFS {
        return Some("is an overlay itself");
    }
    let upper = File::open(upper).ok()?;
    let mark = "user.overlay.remit";
    match rustix::fs::fsetxattr(upper.as_fd(), mark, b"1", XattrFlags::CREATE) {
        Ok(()) => {
            let _ = rustix::fs::fremovexattr(upper.as_fd(), mark);
            None
        }
        Err(Errno::NOTSUP) => Some("keeps no user attributes (tmpfs does from Linux 6.6 on)"),
        // The mount itself will say what is wrong.
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_inside_is_seen_whatever_its_name() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/x rw\n\
            23 22 0:5 / /home/a/my\\040proj rw - tmpfs t rw\n\
            24 22 0:5 / /home/a/my\\040proj/data\\134x rw - tmpfs t rw\n";
        let below = |path: &str| mounted_below(table, Path::new(path));
        assert_eq!(below("/home/a/my proj"), Some("/home/a/my proj/data\\x".into()));
        assert_eq!(below("/home/a/my"), None);
        assert_eq!(below("/home/a/my proj/data\\x"), None);
    }
}
