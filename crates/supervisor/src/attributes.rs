//! Changes of a file's mode, owner and times, and watches for changes, where
//! neither mounts nor Landlock hold them: made here, on the file that the caller
//! meant, if it lies in a place that is granted.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};

use remit_sandbox::notify::{self, AttributeChange, Attributes, Target, Times};
use remit_sandbox::{Floor, Plan};
use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps, chmodat, utimensat};

use crate::exec::libc_errno as errno;
use crate::resolve::Place;

/// The places of the floor, for what the floor itself does not hold.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    /// Where a file's attributes may be changed.
    write: Vec<PathBuf>,
    /// Where changes may be watched: these, and all of the above.
    read: Vec<PathBuf>,
}

/// Bits that lend the file's owner or group to whoever runs it.
const LENDING: u32 = 0o6000;

impl Granted {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut granted = Self::default();
        for grant in &plan.floor {
            match grant {
                Floor::Write(root) => granted.write.push(root.clone()),
                Floor::Read(root) | Floor::List(root) => granted.read.push(root.clone()),
                Floor::Device(_) => {}
            }
        }
        granted
    }

    /// Watches a file or directory that may be read, for the caller. Elsewhere a
    /// watch would tell the names of what is hidden. Returns the watch's number,
    /// or as an error the number to answer with.
    pub(crate) fn watch(
        &self,
        still_waiting: impl Fn() -> bool,
        task: u32,
        instance: RawFd,
        path: u64,
        mask: u32,
    ) -> Result<i32, i32> {
        let follow = mask & notify::DONT_FOLLOW == 0;
        let place = find(task, Target::Path { path, directory: None, follow })?;
        if !still_waiting() {
            return Err(errno::ESRCH);
        }
        let allowed = self.read.iter().chain(&self.write);
        if !is_within(&place, allowed) {
            return Err(errno::EACCES);
        }
        notify::watch(task, instance, place.fd.as_fd(), mask).map_err(|error| number(&error))
    }

    /// Makes the change, or not. Returns the number to answer with.
    ///
    /// The path is read and resolved once; what is checked is the file that was
    /// found, and the change is made to that, whatever the path means by then.
    pub(crate) fn change(
        &self,
        still_waiting: impl Fn() -> bool,
        task: u32,
        asked: Attributes,
    ) -> i32 {
        let attempt = || -> Result<(), i32> {
            let place = find(task, asked.target)?;
            let times = match asked.change {
                AttributeChange::Times(at) => {
                    notify::read_times(task, at).map_err(notify::Unreadable::errno)?
                }
                _ => None,
            };
            if !still_waiting() {
                return Err(errno::ESRCH);
            }
            if !is_within(&place, self.write.iter()) {
                return Err(errno::EPERM);
            }
            apply(&place, asked.change, times)
        };
        attempt().err().unwrap_or(0)
    }
}

fn is_within<'r>(place: &Place, mut roots: impl Iterator<Item = &'r PathBuf>) -> bool {
    place.path().is_some_and(|path| roots.any(|root| path.starts_with(root)))
}

fn find(task: u32, target: Target) -> Result<Place, i32> {
    let found = match target {
        Target::Descriptor(number) => Place::of_descriptor(task, number).map_err(|error| {
            // A descriptor that is not open has no entry there.
            match error.kind() {
                io::ErrorKind::NotFound => io::Error::from_raw_os_error(errno::EBADF),
                _ => error,
            }
        }),
        Target::Path { path, directory, follow } => {
            let path =
                PathBuf::from(notify::read_path(task, path).map_err(notify::Unreadable::errno)?);
            if path.as_os_str().is_empty() && directory.is_none() {
                return Err(errno::ENOENT);
            }
            match follow {
                true => Place::of(task, &path, directory),
                false => Place::of_link(task, &path, directory),
            }
        }
    };
    found.map_err(|error| number(&error))
}

/// The caller has no capabilities, which we may have: it changes what is its
/// own, and lends nothing that is not lent already.
fn apply(place: &Place, change: AttributeChange, times: Option<Times>) -> Result<(), i32> {
    let about = place.about_it();
    let own = about.st_uid == rustix::process::geteuid().as_raw();
    let link = format!("/proc/self/fd/{}", place.fd.as_raw_fd());
    let link = Path::new(&link);
    let done = match change {
        AttributeChange::Mode(mode) => {
            if !own || mode & LENDING & !about.st_mode != 0 {
                return Err(errno::EPERM);
            }
            chmodat(CWD, link, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
        }
        AttributeChange::Owner { user, group } => {
            let same = |wanted: u32, now: u32| wanted == u32::MAX || wanted == now;
            if same(user, about.st_uid) && same(group, about.st_gid) {
                return Ok(());
            }
            return Err(errno::EPERM);
        }
        AttributeChange::Times(_) => {
            if !own {
                return Err(errno::EPERM);
            }
            utimensat(CWD, link, &timestamps(times), AtFlags::empty())
        }
    };
    done.map_err(|error| error.raw_os_error())
}

fn timestamps(times: Option<Times>) -> Timestamps {
    let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
    let [access, change] = times.unwrap_or([(0, NOW), (0, NOW)]);
    Timestamps { last_access: time(access), last_modification: time(change) }
}

/// SOURCE: linux/stat.h, UTIME_NOW.
const NOW: i64 = (1 << 30) - 1;

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(errno::EIO)
}
