//! A person's look at what a session changed.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use remit_audit::event::ChangeKind;
use remit_audit::{SessionId, Text};
use remit_policy::{PathRule, Place, Policy};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::change::{Change, Moment, Thing};
use super::kept::{self, About};
use super::{ChangesError, contents, guard, remove, tree, within};
use crate::agents;
use crate::files::{self, Places};

/// The sessions that left changes, oldest first.
pub fn sessions(state: &Path) -> Result<Vec<SessionId>, ChangesError> {
    let path = state.join("changes");
    let failed = |source| ChangesError::List { path: path.clone(), source };
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<SessionId>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// The changes of one session beside its workspace.
#[derive(Debug)]
pub struct Review {
    pub session: SessionId,
    /// Links followed, as the session began.
    pub workspace: PathBuf,
    /// Whether the session still runs, or somebody else decides on the changes.
    pub in_use: bool,
    pub(super) state: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) upper: OwnedFd,
    pub(super) host: OwnedFd,
    about: About,
    protected: Vec<PathRule>,
    /// Held while a person decides.
    lock: Option<OwnedFd>,
}

/// Contents larger than this are not shown as text.
pub const LARGEST_TEXT: u64 = 1 << 20;

/// One side of a changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// No regular file is there.
    Absent,
    Contents(Vec<u8>),
    /// Larger than [`LARGEST_TEXT`].
    TooLarge,
}

impl Review {
    /// Opens the changes of a session to be looked at.
    ///
    /// # Errors
    ///
    /// [`ChangesError`]; among others if today's policy does not load, for it
    /// says what is protected.
    pub fn open(places: &Places, session: SessionId) -> Result<Self, ChangesError> {
        let directory = kept::place(&places.state, session);
        let unknown = |source| ChangesError::About { session, source };
        let about = About::load(&directory).map_err(unknown)?;
        let upper = kept::upper(&directory).map_err(unknown)?;
        let workspace = about.workspace();
        let host = open_workspace(&workspace)
            .map_err(|source| ChangesError::Workspace { path: workspace.clone(), source })?;
        let is_same = rustix::fs::fstat(&host).is_ok_and(|found| found.st_ino == about.inode);
        if !is_same {
            return Err(ChangesError::OtherWorkspace { session, path: workspace });
        }
        let in_use = kept::lock(&directory).is_err();
        Ok(Self {
            session,
            in_use,
            state: places.state.clone(),
            protected: protected(places, &workspace)?,
            workspace,
            directory,
            upper,
            host,
            about,
            lock: None,
        })
    }

    /// The same, to be decided on: nobody else does meanwhile.
    pub fn decide(places: &Places, session: SessionId) -> Result<Self, ChangesError> {
        let mut review = Self::open(places, session)?;
        // Somebody who only looks holds it for a moment.
        for _ in 0..10 {
            if let Ok(lock) = kept::lock(&review.directory) {
                review.lock = Some(lock);
                return Ok(review);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(ChangesError::InUse(session))
    }

    /// Everything that differs from the workspace as it is now, directories
    /// before what they hold.
    pub fn changes(&self) -> Result<Vec<Change>, ChangesError> {
        let session = self.session;
        let again =
            |fd: &OwnedFd| fd.try_clone().map_err(|source| ChangesError::About { session, source });
        let done =
            done(&self.directory).map_err(|source| ChangesError::About { session, source })?;
        let read = tree::read(again(&self.upper)?, again(&self.host)?, self.about.since, &done);
        let mut changes = read.map_err(|(path, source)| match source {
            Some(source) => ChangesError::Read { session, path, source },
            None => ChangesError::TooMany { session },
        })?;
        guard::warn(&mut changes, &self.protected, |path| {
            within::holder(&self.host, path)
                .and_then(|(holder, name)| within::about(&holder, name))
                .is_ok_and(|found| found.is_some())
        });
        Ok(changes)
    }

    /// A file before and after, for a change that is one of a file's contents.
    pub fn contents(&self, change: &Change) -> io::Result<[Side; 2]> {
        let before = match change.kind {
            ChangeKind::Added => Side::Absent,
            _ => side(&self.host, &change.path)?,
        };
        let after = match (change.kind, &change.thing, change.barred) {
            (ChangeKind::Deleted, ..) | (.., Some(_)) => Side::Absent,
            (_, Thing::File(_), None) => side(&self.upper, &change.path)?,
            _ => Side::Absent,
        };
        Ok([before, after])
    }

    pub(super) fn since(&self) -> Moment {
        self.about.since
    }

    /// Notes what was applied, so that it waits no longer.
    pub(super) fn note_done(&self, paths: &[PathBuf]) -> Result<(), ChangesError> {
        let session = self.session;
        let noted = || -> io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            let options = options.append(true).create(true).mode(0o600);
            let mut file = options.open(self.directory.join(DONE))?;
            let mut lines = Vec::new();
            for path in paths {
                serde_json::to_writer(&mut lines, &Text::from(path.as_path()))?;
                lines.push(b'\n');
            }
            file.write_all(&lines)?;
            file.sync_all()
        };
        noted().map_err(|source| ChangesError::About { session, source })
    }

    /// Removes everything that is kept, and the place itself.
    pub(super) fn clear(&self, progress: &mut dyn FnMut()) -> Result<(), ChangesError> {
        let session = self.session;
        let mut removed = || {
            let (parent, name) = (self.directory.parent(), self.directory.file_name());
            let (Some(parent), Some(name)) = (parent, name) else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            remove::tree(std::fs::File::open(parent)?, name, progress)
        };
        removed().map_err(|source| ChangesError::Remove { session, source })
    }
}

/// The paths that were applied, one JSON text a line. What an interrupted
/// application did not note is the same in the workspace, and so no change.
const DONE: &str = "applied";

fn done(directory: &Path) -> io::Result<HashSet<PathBuf>> {
    let text = match std::fs::read_to_string(directory.join(DONE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        Err(error) => return Err(error),
    };
    // A line that was cut short names nothing.
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let path = |line| Ok(serde_json::from_str::<Text>(line)?.as_os_str().into());
    whole.map(path).collect()
}

fn open_workspace(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), how)?)
}

/// What today's policy protects.
fn protected(places: &Places, workspace: &Path) -> Result<Vec<PathRule>, ChangesError> {
    let loaded = files::load(places, workspace)?;
    let place = Place { home: places.home.clone(), workspace: workspace.to_path_buf() };
    let policy = Policy::compile(&loaded.texts, None, &agents::none(), &place)?;
    Ok(policy.filesystem().protected.clone())
}

fn side(root: &OwnedFd, path: &Path) -> io::Result<Side> {
    let opened =
        within::holder(root.as_fd(), path).and_then(|(holder, name)| within::file(&holder, name));
    let (file, about) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Side::Absent),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(Side::Absent),
        // A link is no file.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(Side::Absent);
        }
        Err(error) => return Err(error),
    };
    if contents::length(&about) > LARGEST_TEXT {
        return Ok(Side::TooLarge);
    }
    let mut contents = Vec::new();
    file.take(LARGEST_TEXT + 1).read_to_end(&mut contents)?;
    Ok(if contents.len() as u64 > LARGEST_TEXT { Side::TooLarge } else { Side::Contents(contents) })
}
