//! The Landlock floor: what may be opened, whatever the mounts say.
//!
//! Every right of the running ABI is handled, so what is not granted is denied.
//! Landlock does not cover `stat`, `chmod`, `utime` and their like; there the
//! read-only mounts hold alone.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use super::sys::{self, Errno, Sys};
use crate::plan::Floor;

// SOURCE: linux/landlock.h.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;
/// Making TCP connections without the supervisor. Handled and never granted.
const CONNECT_TCP: u64 = 1 << 1;
/// Abstract sockets and signals do not leave the domain.
const SCOPES: u64 = 0b11;

/// Rights that make sense for something that is not a directory.
const FILE_RIGHTS: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// The rights and sizes that one Landlock ABI knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abi(pub(crate) u32);

impl Abi {
    /// All file rights of this ABI.
    fn rights(self) -> u64 {
        let count = match self.0 {
            0 | 1 => 13,
            2 => 14,
            3 | 4 => 15,
            _ => 16,
        };
        (1 << count) - 1
    }

    fn ruleset(self) -> Sys<OwnedFd> {
        let (network, scopes) =
            (if self.0 >= 4 { CONNECT_TCP } else { 0 }, if self.0 >= 6 { SCOPES } else { 0 });
        let size = match self.0 {
            0 => return Err(Errno(libc::EOPNOTSUPP)),
            1..=3 => 8,
            4 | 5 => 16,
            _ => 24,
        };
        sys::landlock_ruleset([self.rights(), network, scopes], size)
    }
}

/// A grant with its path ready for the kernel.
#[derive(Debug)]
pub(crate) struct Grant {
    path: CString,
    access: u64,
}

impl Grant {
    pub(crate) fn new(floor: &Floor, path: CString) -> Self {
        let access = match floor {
            Floor::List(_) => READ_DIR,
            Floor::Read(_) => READ_DIR | READ_FILE | EXECUTE,
            Floor::Write(_) => READ_DIR | READ_FILE | EXECUTE | REMOVE_DIR | REMOVE_FILE,
            Floor::Own(_) => !(MAKE_CHAR | MAKE_BLOCK),
            Floor::Device(_) => READ_DIR | READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV,
        };
        Self { path, access }
    }

    #[cfg(test)]
    pub(crate) fn path(&self) -> &[u8] {
        self.path.to_bytes()
    }
}

/// Lays the floor for this process and its descendants to be: returns the
/// ruleset, not yet in force. On failure, the number of the grant.
///
/// A path that is not there is granted nothing, which is safe, and passed over.
pub(crate) fn lay(abi: Abi, grants: &[Grant]) -> Result<OwnedFd, (usize, Errno)> {
    let ruleset = abi.ruleset().map_err(|errno| (usize::MAX, errno))?;
    for (index, grant) in grants.iter().enumerate() {
        let place = match sys::open_exact(&grant.path) {
            Ok(place) => place,
            // Not there, not ours to see, or turned into a link meanwhile.
            Err(Errno(libc::ENOENT | libc::EACCES | libc::ELOOP)) => continue,
            Err(errno) => return Err((index, errno)),
        };
        let access = grant.access & abi.rights();
        let added = match sys::landlock_allow(ruleset.as_fd(), access, place.as_fd()) {
            // Not a directory: only rights that a file can have.
            Err(Errno(libc::EINVAL)) => {
                sys::landlock_allow(ruleset.as_fd(), access & FILE_RIGHTS, place.as_fd())
            }
            other => other,
        };
        added.map_err(|errno| (index, errno))?;
    }
    Ok(ruleset)
}
