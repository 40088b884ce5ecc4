//! Reading what a session changed: the upper tree of the overlay beside the
//! workspace as it is now.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use remit_audit::event::ChangeKind;
use rustix::fs::{AtFlags, FileType, Stat, StatxFlags};
use rustix::io::Errno;

use super::change::{Change, Identity, Moment, Thing};
use super::contents::{length, same_contents, target, unfit};
use super::{contents, within};

/// More changes than this are not listed.
pub(super) const MOST: usize = 1_000_000;

/// Directories below directories. A path the kernel takes has room for more, and
/// no project needs them.
const DEEPEST: usize = 200;

/// Why the changes cannot be read: where, and the reason. None for too many.
pub(super) type ReadError = (PathBuf, Option<io::Error>);

/// Everything that differs and is not `done`, directories before what they hold.
pub(super) fn read(
    upper: OwnedFd,
    workspace: OwnedFd,
    since: Moment,
    done: &HashSet<PathBuf>,
) -> Result<Vec<Change>, ReadError> {
    let mut reader = Reader { since, done, changes: Vec::new() };
    reader.directory(&upper, Some(&workspace), Path::new(""), 0)?;
    Ok(reader.changes)
}

/// Whether something below a directory of the workspace was changed after that.
pub(super) fn is_touched_below(directory: &OwnedFd, since: Moment) -> io::Result<bool> {
    let reader = Reader { since, done: &HashSet::new(), changes: Vec::new() };
    let mut touched = false;
    reader.below(directory, &mut touched, 0)?;
    Ok(touched)
}

struct Reader<'a> {
    since: Moment,
    /// What was applied already. It stays in the upper tree: in an opaque
    /// directory its absence would be a deletion.
    done: &'a HashSet<PathBuf>,
    changes: Vec<Change>,
}

impl Reader<'_> {
    fn directory(
        &mut self,
        upper: &OwnedFd,
        host: Option<&OwnedFd>,
        path: &Path,
        depth: usize,
    ) -> Result<(), ReadError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, Some(error))
        };
        let names = within::names(upper).map_err(at(path))?;
        for name in &names {
            let path = path.join(name);
            match self.entry(upper, host, name, &path, depth) {
                Ok(()) => {}
                // Gone meanwhile: the session still runs.
                Err(Problem::Here(error))
                    if error.kind() == io::ErrorKind::NotFound
                        && matches!(within::about(upper, name), Ok(None)) => {}
                Err(Problem::Here(error)) => return Err((path, Some(error))),
                Err(Problem::Below(error)) => return Err(error),
            }
            if self.changes.len() > MOST {
                return Err((PathBuf::new(), None));
            }
        }
        // The rest of what the workspace has there was deleted with the
        // directory that this one was made in the place of.
        let opaque = within::mark(upper, "opaque").map_err(at(path))?;
        if let (Some(host), Some((1, b'y'))) = (host, opaque) {
            let kept: HashSet<OsString> = names.into_iter().collect();
            for name in within::names(host).map_err(at(path))? {
                let path = path.join(&name);
                if !kept.contains(&name) && !self.born(host, &name).map_err(at(&path))? {
                    self.deleted(host, &name, &path).map_err(at(&path))?;
                }
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        upper: &OwnedFd,
        host: Option<&OwnedFd>,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), Problem> {
        let Some(about) = within::about(upper, name)? else { return Ok(()) };
        let theirs = match host {
            Some(host) => within::about(host, name)?,
            None => None,
        };
        let whiteout = FileType::from_raw_mode(about.st_mode) == FileType::CharacterDevice
            && about.st_rdev == 0;
        match (FileType::from_raw_mode(about.st_mode), host) {
            (_, Some(host)) if whiteout => return Ok(self.deleted(host, name, path)?),
            (_, None) if whiteout => {}
            (FileType::RegularFile, _) => self.file(upper, host, name, path, theirs.as_ref())?,
            (FileType::Directory, _) => {
                let found = self.compared(path, &about, theirs.as_ref(), Thing::Directory(0));
                let inner = match within::directory(upper, name) {
                    Ok(_) if depth >= DEEPEST => {
                        self.bar(found, "it is nested too deeply");
                        return Ok(());
                    }
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        self.bar(found, "its permissions keep us from reading it");
                        return Ok(());
                    }
                    opened => opened?,
                };
                let both = host.filter(|_| found.kind == ChangeKind::Modified);
                let theirs = both.map(|host| within::directory(host, name)).transpose()?;
                if found.kind != ChangeKind::Modified || found.mode.is_some() {
                    let conflict = match found.kind {
                        // One that the session found, and that is gone meanwhile.
                        ChangeKind::Added => within::mark(&inner, "origin")?.is_some(),
                        // Its time tells of its entries, which are compared by
                        // themselves.
                        ChangeKind::Modified => false,
                        ChangeKind::Replaced | ChangeKind::Deleted => found.conflict,
                    };
                    self.push(Change { conflict, ..found });
                }
                self.directory(&inner, theirs.as_ref(), path, depth + 1)?;
            }
            (FileType::Symlink, _) => {
                let target = target(upper, name)?;
                let found =
                    self.compared(path, &about, theirs.as_ref(), Thing::Link(target.clone()));
                let same = match (&found.kind, host) {
                    (ChangeKind::Modified, Some(host)) => contents::target(host, name)? == target,
                    _ => false,
                };
                if !same {
                    // The permissions of a link mean nothing.
                    self.push(Change { mode: None, ..found });
                }
            }
            _ => {
                let found = self.compared(path, &about, theirs.as_ref(), Thing::Special);
                self.bar(found, "it is a pipe, a socket or a device");
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        upper: &OwnedFd,
        host: Option<&OwnedFd>,
        name: &OsStr,
        path: &Path,
        theirs: Option<&Stat>,
    ) -> Result<(), Problem> {
        let (file, about) = match within::file(upper, name) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let Some(about) = within::about(upper, name)? else { return Ok(()) };
                let found = self.compared(path, &about, theirs, Thing::File(length(&about)));
                self.bar(found, "its permissions keep us from reading it");
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // The other form of a deletion, which a kernel reads and does not write.
        if about.st_size == 0 && within::mark(&file, "whiteout")?.is_some() {
            return match host {
                Some(host) => Ok(self.deleted(host, name, path)?),
                None => Ok(()),
            };
        }
        let found = self.compared(path, &about, theirs, Thing::File(length(&about)));
        if let Some(reason) = unfit(&file, &about)? {
            self.bar(found, reason);
            return Ok(());
        }
        let same = match (&found.kind, host) {
            (ChangeKind::Modified, Some(host)) if found.mode.is_none() => {
                theirs.is_some_and(|theirs| theirs.st_size == about.st_size)
                    && same_contents(file, host, name)?
            }
            _ => false,
        };
        if !same {
            self.push(found);
        }
        Ok(())
    }

    /// What the session took away, if the workspace still has it.
    fn deleted(&mut self, host: &OwnedFd, name: &OsStr, path: &Path) -> io::Result<()> {
        if self.done.contains(path) {
            return Ok(());
        }
        let Some(about) = within::about(host, name)? else { return Ok(()) };
        let mut conflict = self.touched(&about);
        let thing = match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => {
                let inner = within::directory(host, name)?;
                Thing::Directory(self.below(&inner, &mut conflict, 0)?)
            }
            FileType::RegularFile => Thing::File(length(&about)),
            FileType::Symlink => Thing::Link(target(host, name)?),
            _ => Thing::Special,
        };
        self.changes.push(Change {
            path: path.to_owned(),
            kind: ChangeKind::Deleted,
            thing,
            mode: None,
            warnings: Vec::new(),
            barred: None,
            conflict,
            host: Some(Identity::of(&about)),
            permissions: 0,
        });
        Ok(())
    }

    /// How many things a directory of the workspace holds, and whether one was
    /// changed since the session began.
    fn below(&self, directory: &OwnedFd, touched: &mut bool, depth: usize) -> io::Result<u64> {
        let mut count = 0;
        for name in within::names(directory)? {
            let Some(about) = within::about(directory, &name)? else { continue };
            count += 1;
            *touched |= self.touched(&about);
            if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
                if depth >= DEEPEST {
                    // Not looked at is not known to be as it was.
                    *touched = true;
                    continue;
                }
                count += self.below(&within::directory(directory, &name)?, touched, depth + 1)?;
            }
        }
        Ok(count)
    }

    /// A change of a path, given what the session left and what the workspace has.
    fn compared(&self, path: &Path, about: &Stat, theirs: Option<&Stat>, thing: Thing) -> Change {
        let kind = |about: &Stat| FileType::from_raw_mode(about.st_mode);
        let permissions = about.st_mode & 0o777;
        Change {
            path: path.to_owned(),
            kind: match theirs {
                None => ChangeKind::Added,
                Some(theirs) if kind(theirs) == kind(about) => ChangeKind::Modified,
                Some(_) => ChangeKind::Replaced,
            },
            thing,
            mode: theirs
                .filter(|theirs| kind(theirs) == kind(about))
                .map(|theirs| (theirs.st_mode & 0o777, permissions))
                .filter(|(before, after)| before != after),
            warnings: Vec::new(),
            barred: None,
            conflict: theirs.is_some_and(|theirs| self.touched(theirs)),
            host: theirs.map(Identity::of),
            permissions,
        }
    }

    fn bar(&mut self, change: Change, reason: &'static str) {
        self.push(Change { barred: Some(reason), ..change });
    }

    fn push(&mut self, change: Change) {
        if !self.done.contains(&change.path) {
            self.changes.push(change);
        }
    }

    /// Whether something of the workspace was made after the session began, so
    /// that the session cannot have taken it away.
    fn born(&self, host: &OwnedFd, name: &OsStr) -> io::Result<bool> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let about = match rustix::fs::statx(host, name, flags, StatxFlags::BTIME) {
            Ok(about) => about,
            Err(Errno::NOENT) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        };
        let known = StatxFlags::from_bits_retain(about.stx_mask).contains(StatxFlags::BTIME);
        let time = (about.stx_btime.tv_sec, u64::from(about.stx_btime.tv_nsec));
        Ok(known && time >= self.since)
    }

    /// Whether something of the workspace was changed after the session began.
    fn touched(&self, about: &Stat) -> bool {
        let (seconds, nanoseconds) = (about.st_ctime, about.st_ctime_nsec);
        // A file system that keeps whole seconds, or every other, rounds down.
        let coarse = nanoseconds == 0 && seconds + 1 >= self.since.0;
        coarse || (seconds, nanoseconds) >= self.since
    }
}

/// Where it went wrong: at the path being read, or at one below that says so.
enum Problem {
    Here(io::Error),
    Below(ReadError),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Problem::Here(error)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        Problem::Below(error)
    }
}

#[cfg(test)]
mod tests;
