//! The place that a session's changes go to, from before its start to its end.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use remit_audit::{Kind, SessionId, Text};
use rustix::fs::FlockOperation;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::change::Moment;
use super::fit::{OverlayError, unfit};
use super::{remove, tree, within};

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
