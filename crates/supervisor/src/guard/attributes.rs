//! Removing names, changing a file's mode, owner and times, and watching for
//! changes, where no mounts hold them: done here for the caller, on the file
//! that it meant.

use std::os::fd::{AsFd as _, OwnedFd, RawFd};

use remit_policy::Change;
use remit_sandbox::notify::{self, AttributeChange, Times};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Stat, Timespec, Timestamps, chmodat, fstat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::act::{From, named, own, place};
use super::caller::Caller;
use super::walk::{Link, MOST_LINKS, path_of};
use super::{Done, Guard, NotDone};

/// A thing and whether a link at the end of its path is followed. An empty path
/// means what it starts from.
#[derive(Debug)]
pub(super) struct Thing {
    pub(super) at: From,
    pub(super) follow: bool,
}

/// Whether a mode lends the file's owner or group to whoever runs it. On a
/// directory set-gid is about what is made in it.
fn lends(mode: u32, about: &Stat) -> bool {
    let is_directory = FileType::from_raw_mode(about.st_mode) == FileType::Directory;
    mode & if is_directory { 0o4000 } else { 0o6000 } != 0
}

impl Guard {
    pub(super) fn remove(
        &mut self,
        caller: &Caller,
        at: &From,
        flags: i32,
    ) -> Result<Done, NotDone> {
        let flags = AtFlags::from_bits_retain(flags as u32);
        if !AtFlags::REMOVEDIR.contains(flags) {
            return Err(Errno::INVAL.into());
        }
        let spot = self.spot(caller, at)?;
        if spot.is_directory_itself() {
            let directory = flags.contains(AtFlags::REMOVEDIR);
            return Err(if directory { Errno::INVAL } else { Errno::ISDIR }.into());
        }
        // That it is not there can be asked for anyway, and is no news.
        place(&spot)?;
        self.judge(caller, &spot.path, Change::Remove)?;
        unlinkat(&spot.directory, named(&spot), flags)?;
        Ok(Done::Plainly)
    }

    pub(super) fn change(
        &mut self,
        caller: &Caller,
        what: Thing,
        change: AttributeChange,
        times: Option<Times>,
    ) -> Result<Done, NotDone> {
        let thing = self.thing(caller, what)?;
        let about = fstat(&thing)?;
        self.judge_held(caller, &thing, &about, Change::Attributes)?;
        apply(&thing, &about, change, times)?;
        Ok(Done::Plainly)
    }

    /// Watches a file or directory that may be read. Elsewhere a watch would tell
    /// the names of what is hidden.
    pub(super) fn watch(
        &self,
        caller: &Caller,
        instance: RawFd,
        what: Thing,
        mask: u32,
    ) -> Result<Done, NotDone> {
        let place = self.thing(caller, what)?;
        let path = path_of(place.as_fd())?;
        if !self.view.as_ref().is_some_and(|view| view.is_readable(&path)) {
            return Err(Errno::ACCESS.into());
        }
        let number = notify::watch(caller.task, instance, place.as_fd(), mask)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(Done::Number(number))
    }

    /// Follows a path to its end.
    fn thing(&self, caller: &Caller, Thing { mut at, follow }: Thing) -> Result<OwnedFd, NotDone> {
        if at.path.is_empty() {
            return Ok(at.base.ok_or(Errno::NOENT)?);
        }
        for _ in 0..=MOST_LINKS {
            let spot = self.spot(caller, &at)?;
            let thing = place(&spot)?;
            match FileType::from_raw_mode(fstat(&thing)?.st_mode) {
                FileType::Symlink if follow || spot.slash => {}
                FileType::Directory => return Ok(thing),
                _ if spot.slash => return Err(Errno::NOTDIR.into()),
                _ => return Ok(thing),
            }
            match self.walker(caller)?.follow(spot.directory.as_fd(), &spot.name, &thing)? {
                Link::Place(thing) => return Ok(thing),
                Link::Text(path) => at = From { base: Some(spot.directory), path },
            }
        }
        Err(Errno::LOOP.into())
    }
}

/// Changes what is the caller's own, whose user is ours, and lends nothing.
fn apply(
    thing: &OwnedFd,
    about: &Stat,
    change: AttributeChange,
    times: Option<Times>,
) -> Result<(), Errno> {
    let is_own = about.st_uid == rustix::process::geteuid().as_raw();
    let link = own(thing);
    match change {
        AttributeChange::Mode(mode) if is_own && !lends(mode, about) => {
            chmodat(CWD, link, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
        }
        AttributeChange::Owner { user, group } => {
            let is_same = |wanted: u32, now: u32| wanted == u32::MAX || wanted == now;
            let stays = is_same(user, about.st_uid) && is_same(group, about.st_gid);
            if stays { Ok(()) } else { Err(Errno::PERM) }
        }
        AttributeChange::Times(_) if is_own => {
            utimensat(CWD, link, &timestamps(times), AtFlags::empty())
        }
        _ => Err(Errno::PERM),
    }
}

fn timestamps(times: Option<Times>) -> Timestamps {
    let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
    let [access, change] = times.unwrap_or([(0, NOW), (0, NOW)]);
    Timestamps { last_access: time(access), last_modification: time(change) }
}

/// SOURCE: linux/stat.h, UTIME_NOW.
const NOW: i64 = (1 << 30) - 1;
