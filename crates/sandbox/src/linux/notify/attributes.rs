//! Calls that change a file's mode, owner or times, told apart.

use std::os::fd::RawFd;

use super::files::Named;

/// A change and the file it is asked for. Addresses are the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub target: Target,
    pub change: Change,
}

/// Which file is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Descriptor(RawFd),
    /// `follow` says whether a link at the path's end is followed. An empty path
    /// means what it starts from.
    Path {
        at: Named,
        follow: bool,
    },
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Mode(u32),
    /// `u32::MAX` leaves one of them as it is.
    Owner {
        user: u32,
        group: u32,
    },
    /// Where the two times are; 0 means now. Read them with
    /// [`read_times`](super::read_times).
    Times(u64),
}

impl Attributes {
    /// The call with this number and these arguments, if it is one of them.
    /// SOURCE: chmod(2), chown(2), utimensat(2), fchmodat2 of Linux 6.6.
    pub(super) fn of(call: i64, arguments: [u64; 6]) -> Option<Self> {
        let [a, b, c, d, e, _] = arguments;
        let owner =
            |user: u64, group: u64| Change::Owner { user: user as u32, group: group as u32 };
        let (target, change) = match call {
            libc::SYS_fchmod => (Target::Descriptor(a as RawFd), Change::Mode(b as u32)),
            libc::SYS_fchmodat => (at(a, b, 0), Change::Mode(c as u32)),
            libc::SYS_fchmodat2 => (at(a, b, d), Change::Mode(c as u32)),
            libc::SYS_fchown => (Target::Descriptor(a as RawFd), owner(b, c)),
            libc::SYS_fchownat => (at(a, b, e), owner(c, d)),
            // SOURCE: utimensat(2), "C library/kernel ABI differences".
            libc::SYS_utimensat if b == 0 => (Target::Descriptor(a as RawFd), Change::Times(c)),
            libc::SYS_utimensat => (at(a, b, d), Change::Times(c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => (at(HERE, a, 0), Change::Mode(b as u32)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => (at(HERE, a, 0), owner(b, c)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown => (at(HERE, a, libc::AT_SYMLINK_NOFOLLOW as u64), owner(b, c)),
            _ => return None,
        };
        Some(Self { target, change })
    }
}

#[cfg(target_arch = "x86_64")]
const HERE: u64 = libc::AT_FDCWD as u64;

fn at(directory: u64, path: u64, flags: u64) -> Target {
    let directory = Some(directory as RawFd).filter(|fd| *fd != libc::AT_FDCWD);
    Target::Path {
        at: Named { directory, path },
        follow: flags & libc::AT_SYMLINK_NOFOLLOW as u64 == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart_with_their_own_order_of_arguments() {
        let path = |directory, follow| Target::Path { at: Named { directory, path: 7 }, follow };
        let nofollow = libc::AT_SYMLINK_NOFOLLOW as u64;
        let here = libc::AT_FDCWD as u64;
        let check = |call, arguments, target, change| {
            assert_eq!(Attributes::of(call, arguments), Some(Attributes { target, change }));
        };
        check(libc::SYS_fchmod, [3, 0o644, 0, 0, 0, 0], Target::Descriptor(3), Change::Mode(0o644));
        check(libc::SYS_fchmodat, [here, 7, 0o755, 9, 0, 0], path(None, true), Change::Mode(0o755));
        check(
            libc::SYS_fchownat,
            [4, 7, 1, 2, nofollow, 0],
            path(Some(4), false),
            Change::Owner { user: 1, group: 2 },
        );
        check(libc::SYS_utimensat, [5, 0, 9, 0, 0, 0], Target::Descriptor(5), Change::Times(9));
        check(libc::SYS_utimensat, [here, 7, 0, 0, 0, 0], path(None, true), Change::Times(0));
        assert_eq!(Attributes::of(libc::SYS_openat, [0; 6]), None);
    }
}
