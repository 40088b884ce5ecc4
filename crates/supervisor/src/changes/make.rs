//! Making one change in the workspace: recorded, then made.
//!
//! A file is complete and has its permissions before it has its name, and what
//! has that name goes only if it is still what was compared.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use remit_audit::event::ChangeKind;
use remit_audit::{Digest, Kind, Record, Text};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::change::{Change, Identity, Thing};
use super::review::Review;
use super::{ChangesError, remove, tree, within};
use crate::journal::now;

/// Why a change was not made after all.
pub(super) enum Stop {
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

pub(super) struct Run<'a> {
    review: &'a Review,
    record: &'a mut Record,
    /// The number of the last one that was tried.
    attempt: u64,
    /// Permissions that directories get when everything in them is made.
    modes: Vec<(OwnedFd, u32)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(review: &'a Review, record: &'a mut Record) -> Self {
        Self { review, record, attempt: 0, modes: Vec::new() }
    }

    pub(super) fn session(&self) -> remit_audit::SessionId {
        self.record.session()
    }

    pub(super) fn make(&mut self, change: &Change, force: bool) -> Result<(), Stop> {
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

    /// Gives directories their permissions, the innermost first.
    pub(super) fn set_modes(&mut self) -> io::Result<()> {
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
