//! Making changes in the workspace itself, or throwing them away.
//!
//! Each is judged, recorded, and only then made; a file is complete before it
//! has its name. What was made is noted after it is on the disk; it waits no longer then.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use remit_approvals::wire;
use remit_audit::event::{ChangeKind, ReviewAction, User};
use remit_audit::{Digest, Kind, Record, SessionId, Sync, Text};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::review::Review;
use super::tree::{self, Change, Identity, Thing};
use super::{ChangesError, remove, within};
use crate::journal::now;
use crate::session::session_id;

/// What a person says to a change that needs a yes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Yes,
    No,
    /// There is nobody to ask.
    Unasked,
}

/// A change that was not made, and why.
#[derive(Clone, Debug)]
pub struct Left {
    pub change: Change,
    pub why: String,
}

/// What became of an application.
#[derive(Debug)]
pub struct Applied {
    pub done: Vec<PathBuf>,
    pub left: Vec<Left>,
    /// What went wrong at the first of `left`; nothing after it was tried.
    pub failed: Option<io::Error>,
    /// Where it is written down.
    pub record: SessionId,
    /// Whether nothing is kept any more.
    pub all: bool,
}

impl Review {
    /// Makes the changes at and below the given paths, or all, in the workspace.
    ///
    /// `force` overwrites what was changed in the workspace since the session
    /// began. `ask` is asked about each change with warnings; `progress` hears
    /// how many of how many are through.
    pub fn apply(
        &self,
        paths: &[PathBuf],
        force: bool,
        ask: &mut dyn FnMut(&Change) -> Choice,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Applied, ChangesError> {
        let all = self.changes()?;
        let chosen = self.chosen(&all, paths)?;
        let mut record = self.start_record(ReviewAction::Apply, Some(all.len()))?;
        let mut run = Run { review: self, record: &mut record, attempt: 0, modes: Vec::new() };
        let mut applied = Applied {
            done: Vec::new(),
            left: Vec::new(),
            failed: None,
            record: run.record.session(),
            all: false,
        };
        let total = chosen.len();
        for (number, change) in chosen.into_iter().enumerate() {
            progress(number, total);
            let why = match obstacle(&change, &applied, force, ask) {
                Some(why) => why,
                None => match run.make(&change, force) {
                    Ok(()) => {
                        applied.done.push(change.path);
                        continue;
                    }
                    Err(Stop::Record(error)) => return Err(error),
                    Err(Stop::Conflict) => conflict(),
                    Err(Stop::Failed(error)) => {
                        applied.failed = Some(error);
                        "it failed".to_owned()
                    }
                },
            };
            applied.left.push(Left { change, why });
        }
        progress(total, total);
        if let Err(error) = run.set_modes() {
            applied.failed.get_or_insert(error);
        }
        rustix::fs::syncfs(&self.host).map_err(|errno| ChangesError::Workspace {
            path: self.workspace.clone(),
            source: errno.into(),
        })?;
        record.end(now()).map_err(|source| ChangesError::Write { source })?;
        self.note_done(&applied.done)?;
        applied.all = self.changes().is_ok_and(|rest| rest.is_empty());
        if applied.all {
            self.clear(&mut || {})?;
        }
        Ok(applied)
    }

    /// Throws everything away that is kept. Returns where that is written down.
    pub fn discard(&self, progress: &mut dyn FnMut()) -> Result<SessionId, ChangesError> {
        // What cannot be read can still be dropped.
        let paths = self.changes().ok().map(|changes| changes.len());
        let mut record = self.start_record(ReviewAction::Drop, paths)?;
        record.end(now()).map_err(|source| ChangesError::Write { source })?;
        self.clear(progress)?;
        Ok(record.session())
    }

    /// The changes at and below the paths, with the directories they need.
    fn chosen(&self, all: &[Change], paths: &[PathBuf]) -> Result<Vec<Change>, ChangesError> {
        if paths.is_empty() {
            return Ok(all.to_vec());
        }
        for path in paths {
            let (session, path) = (self.session, path.clone());
            if !all.iter().any(|change| change.path.starts_with(&path)) {
                return Err(ChangesError::NoSuchChange { session, path });
            }
        }
        let is_chosen = |change: &Change| {
            let needed = change.kind != ChangeKind::Modified
                && paths.iter().any(|path| path.starts_with(&change.path));
            needed || paths.iter().any(|path| change.path.starts_with(path))
        };
        Ok(all.iter().filter(|change| is_chosen(change)).cloned().collect())
    }

    fn start_record(
        &self,
        action: ReviewAction,
        paths: Option<usize>,
    ) -> Result<Record, ChangesError> {
        let session = session_id().map_err(|source| ChangesError::Name { source })?;
        let mut record = Record::create(&self.state, session, Sync::Grouped)
            .map_err(|source| ChangesError::Record { source })?;
        let uid = rustix::process::getuid().as_raw();
        let started = Kind::ReviewStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            action,
            of: self.session,
            workspace: Text::from(self.workspace.as_path()),
            user: User { uid, name: wire::person(uid) },
            paths: paths.and_then(|paths| u64::try_from(paths).ok()),
        };
        record.append(now(), started).map_err(|source| ChangesError::Write { source })?;
        Ok(record)
    }
}

fn conflict() -> String {
    "it was changed in the workspace since the session began; --force overwrites that".to_owned()
}

/// Why a change is not to be made.
fn obstacle(
    change: &Change,
    so_far: &Applied,
    force: bool,
    ask: &mut dyn FnMut(&Change) -> Choice,
) -> Option<String> {
    if so_far.failed.is_some() {
        return Some("not tried, since one before it failed".to_owned());
    }
    if let Some(reason) = change.barred {
        return Some(format!("never applied: {reason}"));
    }
    let stands_in_it = |left: &Left| change.path.starts_with(&left.change.path);
    if so_far.left.iter().any(stands_in_it) {
        return Some("what it is in was not applied".to_owned());
    }
    if change.conflict && !force {
        return Some(conflict());
    }
    if change.warnings.is_empty() {
        return None;
    }
    match ask(change) {
        Choice::Yes => None,
        Choice::No => Some("you said no".to_owned()),
        Choice::Unasked => Some(format!("it needs --yes: {}", change.warnings.join("; "))),
    }
}

/// Why a change was not made after all.
enum Stop {
    /// It cannot be written down, so it must not happen.
    Record(ChangesError),
    /// The workspace's own is not what was compared.
    Conflict,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Failed(error)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Stop::Failed(errno.into())
    }
}

struct Run<'a> {
    review: &'a Review,
    record: &'a mut Record,
    attempt: u64,
    /// Permissions that directories get when everything in them is made.
    modes: Vec<(OwnedFd, u32)>,
}

impl Run<'_> {
    fn make(&mut self, change: &Change, force: bool) -> Result<(), Stop> {
        self.attempt += 1;
        let made = self.make_recorded(change, force);
        let error = match &made {
            Ok(()) | Err(Stop::Record(_)) => return made,
            Err(Stop::Conflict) => "the workspace's own was changed meanwhile".to_owned(),
            Err(Stop::Failed(error)) => error.to_string(),
        };
        self.write(Kind::Outcome { attempt: self.attempt, error })?;
        made
    }

    fn make_recorded(&mut self, change: &Change, force: bool) -> Result<(), Stop> {
        let (holder, name) = within::holder(&self.review.host, &change.path)?;
        let expected = change.host.filter(|_| !force);
        match (change.kind, &change.thing) {
            (ChangeKind::Deleted, _) => {
                self.tell(change, None)?;
                self.unchanged(change, &holder, name, expected)?;
                remove::tree(&holder, name, &mut || {})?;
            }
            (ChangeKind::Modified, Thing::Directory(_)) => {
                self.tell(change, None)?;
                self.modes.push((within::directory(&holder, name)?, change.permissions));
            }
            (_, Thing::Directory(_)) => {
                self.tell(change, None)?;
                // Its permissions come last: they may forbid what is to be put in it.
                let draft = within::draft()?;
                rustix::fs::mkdirat(&holder, &draft, Mode::RWXU)?;
                let made = within::directory(&holder, OsStr::new(&draft))?;
                self.place(change, &holder, &draft, name, expected, AtFlags::REMOVEDIR)?;
                self.modes.push((made, change.permissions));
            }
            (_, Thing::Link(target)) => {
                self.tell(change, None)?;
                let draft = within::draft()?;
                rustix::fs::symlinkat(target, &holder, &draft)?;
                self.place(change, &holder, &draft, name, expected, AtFlags::empty())?;
            }
            (_, Thing::File(_)) => {
                let (draft, digest) = self.copy(change, &holder, name)?;
                let told = self.tell(change, Some(digest));
                if told.is_err() {
                    let _ = rustix::fs::unlinkat(&holder, &draft, AtFlags::empty());
                }
                told?;
                self.place(change, &holder, &draft, name, expected, AtFlags::empty())?;
            }
            // Barred, and never chosen.
            (_, Thing::Special) => return Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
        Ok(())
    }

    fn tell(&mut self, change: &Change, sha256: Option<Digest>) -> Result<(), Stop> {
        self.write(Kind::ChangeApplied {
            path: Text::from(change.path.as_path()),
            change: change.kind,
            sha256,
            warned: change.warnings.clone(),
            attempt: self.attempt,
        })
    }

    fn write(&mut self, kind: Kind) -> Result<(), Stop> {
        let written = self.record.append(now(), kind);
        written.map(drop).map_err(|source| Stop::Record(ChangesError::Write { source }))
    }

    /// A complete copy of the file the session left, under another name in the
    /// directory it will be in, with the digest of its contents.
    fn copy(
        &self,
        change: &Change,
        holder: &OwnedFd,
        name: &OsStr,
    ) -> Result<(String, Digest), Stop> {
        let (from, kept) = within::holder(&self.review.upper, &change.path)?;
        let (mut from, about) = within::file(&from, kept)?;
        let draft = within::draft()?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::openat(holder, &draft, flags, Mode::RUSR | Mode::WUSR)?;
        let copied =
            copy_contents(&mut from, &mut File::from(to.try_clone()?)).and_then(|digest| {
                // Whose it is stays as it was, as far as we may say so.
                if let Some(theirs) = within::about(holder, name)?
                    && (theirs.st_uid, theirs.st_gid) != (about.st_uid, about.st_gid)
                {
                    let owner = rustix::fs::Uid::from_raw(theirs.st_uid);
                    let group = rustix::fs::Gid::from_raw(theirs.st_gid);
                    let _ = rustix::fs::fchown(&to, Some(owner), Some(group));
                }
                rustix::fs::fchmod(&to, Mode::from_raw_mode(about.st_mode & 0o777))?;
                Ok(digest)
            });
        match copied {
            Ok(digest) => Ok((draft, digest)),
            Err(error) => {
                let _ = rustix::fs::unlinkat(holder, &draft, AtFlags::empty());
                Err(error.into())
            }
        }
    }

    /// Gives a draft its name. What has that name goes only if it is still what
    /// was compared; a thing of another kind is set aside until the new one is there.
    fn place(
        &self,
        change: &Change,
        holder: &OwnedFd,
        draft: &str,
        name: &OsStr,
        expected: Option<Identity>,
        draft_kind: AtFlags,
    ) -> Result<(), Stop> {
        let placed = || -> Result<(), Stop> {
            self.unchanged(change, holder, name, expected)?;
            match change.kind {
                ChangeKind::Modified => Ok(rustix::fs::renameat(holder, draft, holder, name)?),
                ChangeKind::Replaced => {
                    let aside = within::draft()?;
                    rustix::fs::renameat(holder, name, holder, &aside)?;
                    if let Err(stop) = put(holder, draft, name) {
                        let _ = put(holder, &aside, name);
                        return Err(stop);
                    }
                    Ok(remove::tree(holder, OsStr::new(&aside), &mut || {})?)
                }
                _ => put(holder, draft, name),
            }
        };
        placed().inspect_err(|_| {
            let _ = rustix::fs::unlinkat(holder, draft, draft_kind);
        })
    }

    /// Whether the workspace's own is still what was compared, where that
    /// matters. A person may have taken long to say yes.
    fn unchanged(
        &self,
        change: &Change,
        holder: &OwnedFd,
        name: &OsStr,
        expected: Option<Identity>,
    ) -> Result<(), Stop> {
        let Some(expected) = expected else { return Ok(()) };
        let about = within::about(holder, name)?.ok_or(Stop::Conflict)?;
        if Identity::of(&about) != expected {
            return Err(Stop::Conflict);
        }
        let goes = matches!(change.kind, ChangeKind::Deleted | ChangeKind::Replaced);
        if goes && FileType::from_raw_mode(about.st_mode) == FileType::Directory {
            let directory = within::directory(holder, name)?;
            if tree::is_touched_below(&directory, self.review.since())? {
                return Err(Stop::Conflict);
            }
        }
        Ok(())
    }

    fn set_modes(&mut self) -> io::Result<()> {
        for (directory, permissions) in self.modes.drain(..).rev() {
            // A set-group-ID directory stays one: its things belong to its group.
            let bits = rustix::fs::fstat(&directory)?.st_mode & 0o7000;
            rustix::fs::fchmod(&directory, Mode::from_raw_mode(bits | permissions))?;
        }
        Ok(())
    }
}

/// Gives a thing a name that nothing has yet.
fn put(holder: &OwnedFd, from: impl rustix::path::Arg + Copy, name: &OsStr) -> Result<(), Stop> {
    match rustix::fs::renameat_with(holder, from, holder, name, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(Stop::Conflict),
        // A file system that cannot promise it: look, then rename.
        Err(Errno::INVAL) => match within::about(holder, name)? {
            None => Ok(rustix::fs::renameat(holder, from, holder, name)?),
            Some(_) => Err(Stop::Conflict),
        },
        Err(errno) => Err(errno.into()),
    }
}

fn copy_contents(from: &mut File, to: &mut File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&buffer[..n]);
                to.write_all(&buffer[..n])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Digest::from_hash(hash.finalize().into()))
}
