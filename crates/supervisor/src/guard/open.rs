//! Opening a file for a caller: making it, cutting it, writing to it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use remit_policy::Change;
use remit_sandbox::notify::{Listener, Notification};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, ftruncate, openat};
use rustix::io::Errno;

use super::act::{self, From, own, place};
use super::caller::Caller;
use super::walk::{Link, MOST_LINKS, Spot, path_of};
use super::{Done, Guard, NotDone};

/// Flags that are about finding the file and not about the file once it is open.
const FINDING: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::NOFOLLOW);
/// What we add: no descriptor of ours outlives an exec, and no terminal of the
/// session becomes ours.
const OURS: OFlags = OFlags::CLOEXEC.union(OFlags::NOCTTY);
/// `O_TMPFILE` without the bit it shares with `O_DIRECTORY`.
const NAMELESS: OFlags =
    OFlags::from_bits_retain(OFlags::TMPFILE.bits() & !OFlags::DIRECTORY.bits());

/// A pipe with a name, which opens only when somebody opens its other end.
#[derive(Debug)]
pub(crate) struct Errand {
    pipe: OwnedFd,
    flags: OFlags,
    close_on_exec: bool,
    /// Held open by a reader that waits for the first writer.
    opened: Option<OwnedFd>,
}

/// What a path led to.
enum Found {
    /// The name is not there and may be made.
    Free(Spot),
    /// A thing, and its path where it has one.
    Thing { thing: OwnedFd, about: Stat, spot: Spot },
    /// A thing behind a link of `/proc`.
    Open(OwnedFd),
}

impl Guard {
    pub(super) fn open(
        &mut self,
        caller: &Caller,
        at: From,
        flags: OFlags,
        mode: u32,
    ) -> Result<Done, NotDone> {
        if flags.contains(NAMELESS) {
            return self.open_nameless(caller, &at, flags, mode);
        }
        match self.find(caller, at, flags)? {
            Found::Free(spot) => self.create(caller, &spot, flags, mode),
            Found::Open(thing) => {
                let about = fstat(&thing)?;
                match FileType::from_raw_mode(about.st_mode) {
                    // It would be opened for reading, past the floor.
                    FileType::Directory => return Err(Errno::ISDIR.into()),
                    FileType::BlockDevice => return Err(Errno::ACCESS.into()),
                    FileType::CharacterDevice => {
                        let path = path_of(thing.as_fd())?;
                        self.judge_device(caller, &path, &about)?;
                    }
                    _ => {
                        self.judge_held(caller, &thing, &about, Change::Write)?;
                        self.hand_off(caller, &path_of(thing.as_fd())?)?;
                    }
                }
                self.open_thing(caller, thing, &about, flags)
            }
            Found::Thing { thing, about, spot } => {
                match FileType::from_raw_mode(about.st_mode) {
                    FileType::Directory => return Err(Errno::ISDIR.into()),
                    _ if spot.slash => return Err(Errno::NOTDIR.into()),
                    FileType::BlockDevice => return Err(Errno::ACCESS.into()),
                    FileType::CharacterDevice => self.judge_device(caller, &spot.path, &about)?,
                    _ => self.judge_open(caller, &spot.path, &thing)?,
                }
                self.open_thing(caller, thing, &about, flags)
            }
        }
    }

    /// Follows the path to its end.
    fn find(&mut self, caller: &Caller, mut at: From, flags: OFlags) -> Result<Found, NotDone> {
        for _ in 0..=MOST_LINKS {
            let spot = self.spot(caller, &at)?;
            let thing = match place(&spot) {
                Ok(thing) => thing,
                Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {
                    return if spot.slash {
                        Err(Errno::ISDIR.into())
                    } else {
                        Ok(Found::Free(spot))
                    };
                }
                Err(errno) => return Err(errno.into()),
            };
            if flags.contains(OFlags::CREATE | OFlags::EXCL) {
                return Err(Errno::EXIST.into());
            }
            let about = fstat(&thing)?;
            if FileType::from_raw_mode(about.st_mode) != FileType::Symlink {
                return Ok(Found::Thing { thing, about, spot });
            }
            if flags.contains(OFlags::NOFOLLOW) {
                return Err(Errno::LOOP.into());
            }
            match self.walker(caller)?.follow(spot.directory.as_fd(), &spot.name, &thing)? {
                Link::Place(thing) => return Ok(Found::Open(thing)),
                Link::Text(path) => at = From { base: Some(spot.directory), path },
            }
        }
        Err(Errno::LOOP.into())
    }

    fn create(
        &mut self,
        caller: &Caller,
        spot: &Spot,
        flags: OFlags,
        mode: u32,
    ) -> Result<Done, NotDone> {
        self.judge(caller, &spot.path, Change::Write)?;
        let mode = Mode::from_bits_retain(mode & act::MODE & !self.masks.of(caller)?);
        // Only what is not there: a link that appears meanwhile is not followed.
        let how = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OURS;
        let file = openat(&spot.directory, &spot.name, how, mode)?;
        self.hand_off(caller, &spot.path)?;
        Ok(Done::File { file, close_on_exec: flags.contains(OFlags::CLOEXEC) })
    }

    /// Where the session has a view of its own, its devices are its own too.
    fn judge_device(&mut self, caller: &Caller, path: &Path, about: &Stat) -> Result<(), NotDone> {
        if self.view.as_ref().is_none_or(|view| view.allows(about)) {
            return Ok(());
        }
        self.judge(caller, path, Change::Write)?;
        Err(Errno::ACCESS.into())
    }

    /// Judges a change of what the caller has open already, by its path. What never
    /// had one (a pipe, a file in memory) is the caller's own; what has none any
    /// more is judged by where it was.
    pub(super) fn judge_held(
        &mut self,
        caller: &Caller,
        thing: &OwnedFd,
        about: &Stat,
        change: Change,
    ) -> Result<(), NotDone> {
        let path = path_of(thing.as_fd())?;
        if path.is_relative() {
            let kind = FileType::from_raw_mode(about.st_mode);
            let is_own = matches!(kind, FileType::Fifo | FileType::Socket);
            return if is_own { Ok(()) } else { Err(Errno::ACCESS.into()) };
        }
        if about.st_nlink == 0
            && (self.is_in_memory(&path, about)? || self.writing.is_within(&path))
        {
            return Ok(());
        }
        self.judge(caller, &path, change)?;
        self.refuse_known(caller, &path, thing)
    }

    /// Whether a file without a name is one of `memfd_create`. The kernel calls it
    /// as if it had lain in the root directory, on a file system of nobody's.
    fn is_in_memory(&self, path: &Path, about: &Stat) -> Result<bool, Errno> {
        let root = self.root.as_ref().ok_or(Errno::ACCESS)?;
        let is_called_so = path.as_os_str().as_encoded_bytes().starts_with(b"/memfd:");
        Ok(is_called_so && about.st_dev != fstat(root)?.st_dev)
    }

    fn judge_open(&mut self, caller: &Caller, path: &Path, thing: &OwnedFd) -> Result<(), NotDone> {
        self.judge(caller, path, Change::Write)?;
        self.refuse_known(caller, path, thing)?;
        self.hand_off(caller, path)
    }

    /// Refuses another name of a file that must not be written.
    pub(super) fn refuse_known(
        &mut self,
        caller: &Caller,
        path: &Path,
        thing: &OwnedFd,
    ) -> Result<(), NotDone> {
        let about = fstat(thing)?;
        if let Some(refusal) = self.pins.refuse_file(path, (about.st_dev, about.st_ino)) {
            return Err(self.refused(caller, path, Box::new(refusal)));
        }
        if about.st_nlink < 2 || !self.known.contains(&(about.st_dev, about.st_ino)) {
            return Ok(());
        }
        let refusal = remit_policy::Refusal {
            attempt: format!("write `{}`", remit_policy::show::line(&path.to_string_lossy())),
            basis: remit_policy::Basis::built_in("another name of a protected file"),
            instead: None,
            note: None,
        };
        Err(self.refused(caller, path, Box::new(refusal)))
    }

    /// Opens the very thing that was found and judged.
    fn open_thing(
        &self,
        caller: &Caller,
        thing: OwnedFd,
        about: &Stat,
        flags: OFlags,
    ) -> Result<Done, NotDone> {
        let close_on_exec = flags.contains(OFlags::CLOEXEC);
        let how = (flags - FINDING) | OURS;
        let open = |path: String| rustix::fs::open(path, how, Mode::empty());
        let file = match FileType::from_raw_mode(about.st_mode) {
            FileType::Fifo if !flags.contains(OFlags::NONBLOCK) => {
                return Ok(Done::Later(Errand {
                    pipe: thing,
                    flags: how,
                    close_on_exec,
                    opened: None,
                }));
            }
            // `/dev/tty` means the terminal of whoever opens it, and that is not us.
            FileType::CharacterDevice if about.st_rdev == TTY => self.open_terminal(caller, how)?,
            _ => open(own(&thing))?,
        };
        Ok(Done::File { file, close_on_exec })
    }

    fn open_terminal(&self, caller: &Caller, how: OFlags) -> Result<OwnedFd, Errno> {
        let root = self.root.as_ref().ok_or(Errno::NXIO)?;
        let number = caller.terminal().ok_or(Errno::NXIO)?;
        let path = format!("dev/pts/{number}");
        let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = openat(root, path, place, Mode::empty())?;
        let about = fstat(&place)?;
        if self.view.as_ref().is_some_and(|view| !view.is_own_terminal(&about)) {
            return Err(Errno::NXIO);
        }
        rustix::fs::open(own(&place), how, Mode::empty())
    }

    /// A file without a name, in the directory that the path leads to.
    fn open_nameless(
        &mut self,
        caller: &Caller,
        at: &From,
        flags: OFlags,
        mode: u32,
    ) -> Result<Done, NotDone> {
        let base = at.base.as_ref().map(|base| base.as_fd());
        let directory = self.walker(caller)?.directory(base, &at.path)?;
        let path = path_of(directory.as_fd())?;
        self.judge(caller, &path.join("a file without a name"), Change::Write)?;
        let mode = Mode::from_bits_retain(mode & act::MODE & !self.masks.of(caller)?);
        let file =
            openat(&directory, ".", (flags - FINDING) | OURS | (flags & OFlags::EXCL), mode)?;
        Ok(Done::File { file, close_on_exec: flags.contains(OFlags::CLOEXEC) })
    }

    pub(super) fn truncate(
        &mut self,
        caller: &Caller,
        at: From,
        length: i64,
    ) -> Result<Done, NotDone> {
        let length = u64::try_from(length).map_err(|_| Errno::INVAL)?;
        match self.open(caller, at, OFlags::WRONLY | OFlags::NONBLOCK, 0)? {
            Done::File { file, .. } => {
                // Our own limit is not the caller's.
                if length > caller.longest_file() && length > fstat(&file)?.st_size as u64 {
                    return Err(Errno::FBIG.into());
                }
                ftruncate(file, length)?;
                Ok(Done::Plainly)
            }
            _ => Err(Errno::INVAL.into()),
        }
    }
}

/// The device `/dev/tty`. SOURCE: admin-guide/devices.txt, 5 char 0.
pub(super) const TTY: u64 = 5 << 8;

impl Errand {
    /// Tries to open the pipe and answers the call unless it has to go on
    /// waiting. Returns whether it was answered.
    ///
    /// It never waits: a thread that waits in the kernel would be a writer for
    /// readers to wait for after its caller has died.
    pub(crate) fn attempt(&mut self, listener: &Listener, call: &Notification) -> bool {
        match self.open() {
            Ok(Some(file)) => {
                if let Err(error) = listener.answer_with(call, file.as_fd(), self.close_on_exec) {
                    let number = error.raw_os_error().unwrap_or_else(|| Errno::IO.raw_os_error());
                    listener.answer(call, number);
                }
                true
            }
            Ok(None) => false,
            Err(errno) => {
                listener.answer(call, errno.raw_os_error());
                true
            }
        }
    }

    fn open(&mut self) -> Result<Option<OwnedFd>, Errno> {
        let file = match self.opened.take() {
            Some(file) => file,
            None => {
                let how = self.flags | OFlags::NONBLOCK;
                match rustix::fs::open(act::own(&self.pipe), how, Mode::empty()) {
                    Ok(file) => file,
                    Err(Errno::NXIO) => return Ok(None),
                    Err(errno) => return Err(errno),
                }
            }
        };
        if self.flags & OFlags::RWMODE == OFlags::RDONLY && !has_news(&file)? {
            self.opened = Some(file);
            return Ok(None);
        }
        rustix::fs::fcntl_setfl(&file, self.flags - OFlags::NONBLOCK)?;
        Ok(Some(file))
    }
}

/// Whether somebody has written to a pipe, or has been there and gone. A reader
/// that opened it waits for that.
fn has_news(pipe: &OwnedFd) -> Result<bool, Errno> {
    let mut entry = [PollFd::new(pipe, PollFlags::IN)];
    poll(&mut entry, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map(|ready| ready > 0)
}
