//! One thing that a session changed.

use std::path::PathBuf;

use remit_audit::event::ChangeKind;
use rustix::fs::Stat;

/// One path that the session left different from what the workspace has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the workspace.
    pub path: PathBuf,
    pub kind: ChangeKind,
    /// What the session left there; what it took away, if it was deleted.
    pub thing: Thing,
    /// Permissions before and after, where both are there and differ.
    pub mode: Option<(u32, u32)>,
    /// Why a person is to say yes to this one in particular.
    pub warnings: Vec<String>,
    /// Why it is never applied.
    pub barred: Option<&'static str>,
    /// Whether the workspace's own was changed since the session began.
    pub conflict: bool,
    /// The workspace's own, as it was compared.
    pub(super) host: Option<Identity>,
    pub(super) permissions: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// With its length in bytes.
    File(u64),
    /// With the number of things below that go with it, where it was deleted.
    Directory(u64),
    /// With where it leads.
    Link(PathBuf),
    /// A pipe, a socket, a device.
    Special,
}

/// Which file it is, in which state; only the kernel can set the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

impl Identity {
    pub(super) fn of(about: &Stat) -> Self {
        Self {
            device: about.st_dev,
            inode: about.st_ino,
            size: about.st_size,
            changed: (about.st_ctime, about.st_ctime_nsec),
        }
    }
}

/// Seconds and nanoseconds of the clock that file times are taken from.
pub(super) type Moment = (i64, u64);
