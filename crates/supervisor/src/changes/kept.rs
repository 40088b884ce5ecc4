//! The place that a session's changes go to, from before its start to its end.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use remit_audit::{Kind, SessionId, Text};
use remit_policy::Filesystem;
use rustix::fs::{FlockOperation, XattrFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::tree::Moment;
use super::{remove, tree, within};

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

/// The two directories that the kernel wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
}

impl Layer {
    fn of(directory: &Path) -> Self {
        Self { upper: directory.join("upper"), work: directory.join("work") }
    }

    /// For a plan that is only shown.
    pub(crate) fn unnamed(state: &Path) -> Self {
        Self::of(&state.join("changes").join("SESSION"))
    }
}

/// Where the changes of a session are.
pub(super) fn place(state: &Path, session: SessionId) -> PathBuf {
    state.join("changes").join(session.as_str())
}

/// What a review has to know about the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// Of this form. Another one is not read.
    version: One,
    pub(super) workspace: Text,
    /// The workspace's own number, so that another directory in its place is seen.
    pub(super) inode: u64,
    /// Before it, everything in the workspace was as the session found it.
    pub(super) since: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum One {
    #[serde(rename = "1")]
    One,
}

impl About {
    fn of(workspace: &Path) -> io::Result<Self> {
        // The clock that file times are taken from: nothing that is changed from
        // now on has an earlier one.
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Ok(Self {
            version: One::One,
            workspace: workspace.into(),
            inode: workspace.metadata()?.ino(),
            since: (now.tv_sec, u64::try_from(now.tv_nsec).unwrap_or(0)),
        })
    }

    pub(super) fn load(directory: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(directory.join("about.json"))?)?)
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.workspace.as_os_str().into()
    }
}

/// The changes of the running session. Dropping it removes the place if nothing
/// is in it, as after a failed start.
#[derive(Debug)]
pub(crate) struct Kept {
    session: SessionId,
    directory: PathBuf,
    layer: Layer,
    about: About,
    /// Held as long as the session runs.
    _lock: OwnedFd,
}

impl Kept {
    /// Makes the place, for its owner alone, and sees whether an overlay can
    /// write there.
    pub(crate) fn make(
        state: &Path,
        session: SessionId,
        workspace: &Path,
    ) -> Result<Self, OverlayError> {
        let directory = place(state, session);
        let made = || -> io::Result<Self> {
            let all = state.join("changes");
            let private = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
            match private(&all) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            private(&directory)?;
            let lock = lock(&directory)?;
            let layer = Layer::of(&directory);
            private(&layer.upper)?;
            private(&layer.work)?;
            let about = About::of(workspace)?;
            // What the upper directory itself is, the workspace is inside.
            let mode = workspace.metadata()?.permissions().mode() & 0o777;
            fs::set_permissions(&layer.upper, Permissions::from_mode(mode))?;
            let flags = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
            let mut file = flags.open(directory.join("about.json"))?;
            file.write_all(&serde_json::to_vec(&about)?)?;
            Ok(Self { session, directory: directory.clone(), layer, about, _lock: lock })
        };
        // The drop of what was made takes it back.
        let kept = made().map_err(|source| {
            clear(&directory);
            OverlayError::Make { path: directory.clone(), source }
        })?;
        match unfit(&kept.layer.upper) {
            Some(reason) => Err(OverlayError::Unfit { path: kept.directory.clone(), reason }),
            None => Ok(kept),
        }
    }

    pub(crate) fn layer(&self) -> &Layer {
        &self.layer
    }

    /// What is left when the session has ended. None if nothing was changed.
    pub(crate) fn close(self) -> Option<Changed> {
        let paths = self.count();
        match paths {
            Some(0) => {
                clear(&self.directory);
                None
            }
            paths => {
                Some(Changed { session: self.session, directory: self.directory.clone(), paths })
            }
        }
    }

    /// How many paths differ. None if that cannot be told.
    fn count(&self) -> Option<u64> {
        let upper = File::open(&self.layer.upper).ok()?;
        let workspace = File::open(self.about.workspace()).ok()?;
        let changes =
            tree::read(upper.into(), workspace.into(), self.about.since, &HashSet::new()).ok()?;
        u64::try_from(changes.len()).ok()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let is_empty =
            fs::read_dir(&self.layer.upper).is_ok_and(|mut names| names.next().is_none());
        if is_empty {
            clear(&self.directory);
        }
    }
}

/// Removes a session's place, as far as that goes.
fn clear(directory: &Path) {
    if let (Some(parent), Some(name)) = (directory.parent(), directory.file_name())
        && let Ok(parent) = File::open(parent)
    {
        let _ = remove::tree(&parent, name, &mut || {});
    }
}

/// Keeps everybody else from deciding on these changes; ends with the holder.
pub(super) fn lock(directory: &Path) -> io::Result<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(directory.join("lock"))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file.into())
}

/// Why an overlay cannot keep changes there, in words that follow "a file
/// system that".
fn unfit(upper: &Path) -> Option<&'static str> {
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

/// What a session left for a person to decide on.
#[derive(Debug)]
pub(crate) struct Changed {
    session: SessionId,
    directory: PathBuf,
    paths: Option<u64>,
}

impl Changed {
    pub(crate) fn event(&self) -> Kind {
        Kind::ChangesKept { paths: self.paths, directory: self.directory.as_path().into() }
    }

    /// One line to the person. That nobody reads it is no error.
    pub(crate) fn tell(&self) {
        let what = match self.paths {
            Some(1) => "1 path was changed".to_owned(),
            Some(paths) => format!("{paths} paths were changed"),
            None => "paths were changed, which could not be counted,".to_owned(),
        };
        let session = self.session;
        let line =
            format!("remit: {what} in the copy only; review with `remit changes show {session}`\n");
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// A directory of ours in the state, opened for a review.
pub(super) fn upper(directory: &Path) -> io::Result<OwnedFd> {
    within::directory(File::open(directory)?, std::ffi::OsStr::new("upper"))
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

    #[test]
    fn a_place_without_changes_goes_with_its_session() {
        let state = tempfile::tempdir().expect("a directory");
        let workspace = tempfile::tempdir().expect("a directory");
        let session: SessionId = "s".parse().expect("a name");
        let kept = Kept::make(state.path(), session, workspace.path()).expect("made");
        let directory = place(state.path(), session);
        assert!(lock(&directory).is_err(), "held by the session");
        assert_eq!(About::load(&directory).expect("read"), kept.about);
        fs::write(kept.layer.upper.join("made"), "x").expect("a file");
        let changed = kept.close().expect("one change");
        assert_eq!(changed.paths, Some(1));
        assert!(lock(&directory).is_ok());
        let other: SessionId = "t".parse().expect("a name");
        drop(Kept::make(state.path(), other, workspace.path()).expect("made"));
        assert!(!place(state.path(), other).exists());
    }
}
