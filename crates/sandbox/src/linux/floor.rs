//! The Landlock floor: what may be opened, whatever the mounts say.
//!
//! Every right of the running ABI is handled, so what is not granted is denied.
//! Landlock does not cover `stat`, `chmod`, `utime` and their like; there the
//! read-only mounts hold alone.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::sys::{self, Errno, Sys};
use crate::plan::{Floor, Tier};

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
/// Serving on a TCP port. Never granted where the network is the host's own.
const BIND_TCP: u64 = 1;
/// Abstract sockets and signals do not leave the domain.
const SCOPES: u64 = 0b11;

/// Rights that make sense for something that is not a directory.
const FILE_RIGHTS: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// The last ABI that keeps neither signals nor abstract sockets inside.
const OLD: u32 = 5;

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

    /// The ABI that a tier builds on, out of what the kernel has.
    pub(crate) fn for_tier(self, tier: Tier) -> Self {
        match tier {
            // What the record calls old is old, also where a newer one is there.
            Tier::OldLandlock => Self(self.0.min(OLD)),
            _ => self,
        }
    }

    fn ruleset(self, tier: Tier) -> Sys<OwnedFd> {
        let tcp = if tier.has_namespaces() { CONNECT_TCP } else { CONNECT_TCP | BIND_TCP };
        let (network, scopes) =
            (if self.0 >= 4 { tcp } else { 0 }, if self.0 >= 6 { SCOPES } else { 0 });
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
    pub(crate) fn new(floor: &Floor, tier: Tier, path: CString) -> Self {
        let access = match floor {
            Floor::List(_) => READ_DIR,
            Floor::Read(_) => READ_DIR | READ_FILE | EXECUTE,
            // Where no mount holds protected names, removing is trapped as well.
            Floor::Write(_) if !tier.has_namespaces() => READ_DIR | READ_FILE | EXECUTE,
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
pub(crate) fn lay(abi: Abi, tier: Tier, grants: &[Grant]) -> Result<OwnedFd, (usize, Errno)> {
    let ruleset = abi.ruleset(tier).map_err(|errno| (usize::MAX, errno))?;
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

/// Grants one terminal that is held open, and none of its neighbours.
pub(crate) fn allow_terminal(ruleset: &OwnedFd, terminal: BorrowedFd<'_>) -> Sys<()> {
    let access = READ_FILE | WRITE_FILE | IOCTL_DEV;
    sys::landlock_allow(ruleset.as_fd(), access, terminal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::sys::Cloned;

    /// In a child under a floor of this ABI: whether each path can be opened.
    fn opens(abi: Abi, tier: Tier, grants: &[Grant], paths: &[&std::ffi::CStr]) -> Vec<bool> {
        let ruleset = lay(abi, tier, grants).expect("a floor");
        match sys::clone(0).expect("a child") {
            Cloned::Child => {
                let entered = sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
                    .and_then(|_| sys::landlock_restrict(ruleset.as_fd()));
                if entered.is_err() {
                    sys::exit(255);
                }
                let bits = paths.iter().enumerate().fold(0, |bits, (i, path)| {
                    bits | i32::from(sys::open(path, libc::O_RDONLY, 0).is_ok()) << i
                });
                sys::exit(bits)
            }
            Cloned::Parent(pid) => {
                let status = sys::wait(pid, 0).expect("its end").status;
                let bits = libc::WEXITSTATUS(status);
                assert!(libc::WIFEXITED(status) && bits != 255, "the child entered the floor");
                (0..paths.len()).map(|i| bits & 1 << i != 0).collect()
            }
        }
    }

    #[test]
    fn a_floor_of_every_abi_up_to_the_kernels_holds_what_is_not_granted() {
        let real = sys::landlock_abi();
        assert!(real >= 1, "this kernel has no Landlock, so this test means nothing");
        let paths = [c"/usr/bin/env", c"/etc/passwd"];
        for abi in 1..=real {
            for tier in [Tier::Full, Tier::OldLandlock, Tier::NoNamespaces] {
                let grants = [Grant::new(&Floor::Read("/usr".into()), tier, c"/usr".into())];
                let found = opens(Abi(abi), tier, &grants, &paths);
                assert_eq!(found, [true, false], "ABI {abi}, {tier:?}");
            }
        }
        let unconfined = paths.map(|path| sys::open(path, libc::O_RDONLY, 0).is_ok());
        assert_eq!(unconfined, [true, true]);
    }

    #[test]
    fn the_old_tier_never_builds_on_a_new_abi() {
        for (found, used) in [(1, 1), (4, 4), (5, 5), (6, 5), (9, 5)] {
            assert_eq!(Abi(found).for_tier(Tier::OldLandlock).0, used);
            assert_eq!(Abi(found).for_tier(Tier::Full).0, found);
        }
    }
}
