//! Making, moving and linking names for a caller.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use remit_policy::{Change, FileWrite, Verdict};
use remit_sandbox::notify::{
    AttributeChange, Attributes, DONT_FOLLOW, FileCall, Named, Target, Times, read_times,
};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, StatxFlags, fstat, linkat, mkdirat, openat,
    renameat_with, statx, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::attributes::Thing;
use super::caller::Caller;
use super::walk::{Link, Spot, path_of};
use super::{Done, Guard, NotDone};

/// A call with everything copied out of the caller: paths, and the directories
/// they start from.
#[derive(Debug)]
pub(super) enum Read {
    Open { at: From, flags: OFlags, mode: u32 },
    MakeDirectory { at: From, mode: u32 },
    Rename { from: From, to: From, flags: u32 },
    Link { from: From, to: From, flags: i32 },
    MakeLink { text: OsString, at: From },
    Truncate { at: From, length: i64 },
    Remove { at: From, flags: i32 },
    Change { what: Thing, change: AttributeChange, times: Option<Times> },
    Watch { instance: RawFd, what: Thing, mask: u32 },
}

/// A path and where it starts.
#[derive(Debug)]
pub(super) struct From {
    pub(super) base: Option<OwnedFd>,
    pub(super) path: OsString,
}

/// Copies what the call says. It counts only if the call still waits afterwards.
pub(super) fn read(caller: &Caller, call: FileCall) -> Result<Read, Errno> {
    let from = |Named { directory, path }| -> Result<From, Errno> {
        let path = caller.path(path)?;
        let relative = !path.as_encoded_bytes().starts_with(b"/");
        let base = if relative { Some(caller.directory(directory)?) } else { None };
        Ok(From { base, path })
    };
    Ok(match call {
        FileCall::Open { at, flags, mode } => {
            let flags = OFlags::from_bits_retain(flags as u32);
            Read::Open { at: from(at)?, flags, mode }
        }
        FileCall::MakeDirectory { at, mode } => Read::MakeDirectory { at: from(at)?, mode },
        FileCall::Rename { from: old, to, flags } => {
            Read::Rename { from: from(old)?, to: from(to)?, flags }
        }
        FileCall::Link { from: old, to, flags } => {
            Read::Link { from: from(old)?, to: from(to)?, flags }
        }
        FileCall::MakeLink { text, at } => {
            Read::MakeLink { text: caller.path(text)?, at: from(at)? }
        }
        FileCall::Truncate { at, length } => Read::Truncate { at: from(at)?, length },
        FileCall::Remove { at, flags } => Read::Remove { at: from(at)?, flags },
        FileCall::Attributes(Attributes { target, change }) => {
            let what = match target {
                Target::Descriptor(number) => {
                    let base = Some(caller.directory(Some(number))?);
                    Thing { at: From { base, path: OsString::new() }, follow: false }
                }
                Target::Path { at, follow } => {
                    let of_directory = at.directory.is_some();
                    let at = from(at)?;
                    if at.path.is_empty() && !of_directory {
                        return Err(Errno::NOENT);
                    }
                    Thing { at, follow }
                }
            };
            let times = match change {
                AttributeChange::Times(at) => read_times(caller.task, at)
                    .map_err(|why| Errno::from_raw_os_error(why.errno()))?,
                _ => None,
            };
            Read::Change { what, change, times }
        }
        FileCall::Watch { instance, at, mask } => {
            let at = from(at)?;
            if at.path.is_empty() {
                return Err(Errno::NOENT);
            }
            Read::Watch { instance, what: Thing { at, follow: mask & DONT_FOLLOW == 0 }, mask }
        }
    })
}

impl Guard {
    pub(super) fn act(&mut self, caller: &Caller, call: Read) -> Result<Done, NotDone> {
        match call {
            Read::Open { at, flags, mode } => self.open(caller, at, flags, mode),
            Read::MakeDirectory { at, mode } => self.make_directory(caller, &at, mode),
            Read::Rename { from, to, flags } => self.rename(caller, &from, &to, flags),
            Read::Link { from, to, flags } => self.link(caller, &from, &to, flags),
            Read::MakeLink { text, at } => self.make_link(caller, &text, &at),
            Read::Truncate { at, length } => self.truncate(caller, at, length),
            Read::Remove { at, flags } => self.remove(caller, &at, flags),
            Read::Change { what, change, times } => self.change(caller, what, change, times),
            Read::Watch { instance, what, mask } => self.watch(caller, instance, what, mask),
        }
    }

    pub(super) fn spot(&self, caller: &Caller, at: &From) -> Result<Spot, NotDone> {
        Ok(self.walker(caller)?.spot(at.base.as_ref().map(|base| base.as_fd()), &at.path)?)
    }

    fn make_directory(&mut self, caller: &Caller, at: &From, mode: u32) -> Result<Done, NotDone> {
        let spot = self.spot(caller, at)?;
        if spot.is_directory_itself() {
            return Err(Errno::EXIST.into());
        }
        self.judge_new(caller, &spot, Change::MakeDirectory)?;
        let mode = Mode::from_bits_retain(mode & DIRECTORY_MODE & !self.masks.of(caller)?);
        mkdirat(&spot.directory, &spot.name, mode)?;
        self.hand_off(caller, &spot.path)?;
        Ok(Done::Plainly)
    }

    fn make_link(&mut self, caller: &Caller, text: &OsString, at: &From) -> Result<Done, NotDone> {
        let spot = self.spot(caller, at)?;
        if spot.is_directory_itself() {
            return Err(Errno::EXIST.into());
        }
        self.judge_new(caller, &spot, Change::MakeLink)?;
        symlinkat(text, &spot.directory, named(&spot))?;
        self.hand_off(caller, &spot.path)?;
        Ok(Done::Plainly)
    }

    /// Judges a name about to be made. That it is there already is said first, as
    /// the kernel would.
    fn judge_new(&mut self, caller: &Caller, spot: &Spot, change: Change) -> Result<(), NotDone> {
        let Err(refusal) = self.asks(&spot.path, change) else { return Ok(()) };
        if place(spot).is_ok() {
            return Err(Errno::EXIST.into());
        }
        Err(self.refused(caller, &spot.path, refusal))
    }

    fn rename(
        &mut self,
        caller: &Caller,
        from: &From,
        to: &From,
        flags: u32,
    ) -> Result<Done, NotDone> {
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::INVAL.into());
        }
        let (old, new) = (self.spot(caller, from)?, self.spot(caller, to)?);
        if old.is_directory_itself() || new.is_directory_itself() {
            return Err(Errno::BUSY.into());
        }
        let moved = place(&old)?;
        refuse_mounted(&old, &moved)?;
        match place(&new) {
            Ok(there) => refuse_mounted(&new, &there)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        if (old.slash || new.slash) && !is_directory(&moved)? {
            return Err(Errno::NOTDIR.into());
        }
        self.judge(caller, &old.path, Change::Take)?;
        self.refuse_crossing(&old.path, &new.path)?;
        let brings = self.judge_put(caller, &old, &moved, &new.path)?;
        if flags.contains(RenameFlags::EXCHANGE) {
            let other = place(&new)?;
            self.judge(caller, &new.path, Change::Take)?;
            self.judge_put(caller, &new, &other, &old.path)?;
        }
        if self.minds_contents(&new.path) || self.minds_contents(&old.path) {
            return self.replace(caller, &old, &moved, &new, flags);
        }
        renameat_with(&old.directory, &old.name, &new.directory, &new.name, flags)?;
        self.hand_off(caller, &new.path)?;
        if brings == (Change::PutDirectory { empty: false }) {
            self.hand_off_below(caller, &new)?;
        }
        if flags.contains(RenameFlags::EXCHANGE) {
            self.hand_off(caller, &old.path)?;
            self.hand_off_below(caller, &old)?;
        }
        Ok(Done::Plainly)
    }

    /// Puts a file where its contents matter: what was judged is written to a new
    /// file, which nobody else has open, and that one is put there.
    fn replace(
        &mut self,
        caller: &Caller,
        old: &Spot,
        moved: &OwnedFd,
        new: &Spot,
        flags: RenameFlags,
    ) -> Result<Done, NotDone> {
        if !flags.is_empty() {
            return Err(Errno::INVAL.into());
        }
        let contents = contents(moved)?;
        let before = match place(new) {
            Ok(place) => self::contents(&place)?,
            Err(Errno::NOENT) => Vec::new(),
            Err(errno) => return Err(errno.into()),
        };
        let attempt = FileWrite { path: new.path.clone(), change: Change::PutFile };
        if let Verdict::Refuse(refusal) = self.writing.judge_contents(attempt, &contents, &before) {
            return Err(self.refused(caller, &new.path, Box::new(refusal)));
        }
        let mut stage = new.name.clone();
        stage.push(".remit");
        match unlinkat(&new.directory, &stage, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let how =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_bits_retain(fstat(moved)?.st_mode & 0o666);
        let staged = openat(&new.directory, &stage, how, mode)?;
        write_all(&staged, &contents)?;
        renameat_with(&new.directory, &stage, &new.directory, &new.name, RenameFlags::empty())?;
        unlinkat(&old.directory, &old.name, AtFlags::empty())?;
        Ok(Done::Plainly)
    }

    /// Where each writable root is a mount, the kernel links and moves nothing
    /// from one to another, nor from outside. What was made under the rules of one
    /// root would not hold those of the other, and what is hidden would be read.
    fn refuse_crossing(&self, one: &Path, other: &Path) -> Result<(), Errno> {
        let crosses = self.view.is_some() && !self.writing.are_in_one_root(one, other);
        if crosses { Err(Errno::XDEV) } else { Ok(()) }
    }

    /// Judges that what lies at one spot is given another path.
    fn judge_put(
        &mut self,
        caller: &Caller,
        at: &Spot,
        thing: &OwnedFd,
        to: &Path,
    ) -> Result<Change, NotDone> {
        let change = match FileType::from_raw_mode(fstat(thing)?.st_mode) {
            FileType::Directory if is_empty(at)? => Change::PutDirectory { empty: true },
            FileType::Directory => Change::PutDirectory { empty: false },
            FileType::Symlink => Change::MakeLink,
            _ => Change::PutFile,
        };
        self.judge(caller, to, change)?;
        if change == (Change::PutDirectory { empty: false }) {
            let attempt = FileWrite { path: to.to_path_buf(), change };
            if let Verdict::Refuse(refusal) = self.writing.judge_taken_out(attempt, &at.path) {
                return Err(self.refused(caller, to, Box::new(refusal)));
            }
        }
        Ok(change)
    }

    /// Writes down what a directory that was moved brought along, as far as a few
    /// levels go.
    fn hand_off_below(&mut self, caller: &Caller, spot: &Spot) -> Result<(), NotDone> {
        /// Enough for a virtual environment or a configuration directory; a big
        /// tree must not hold up everybody else.
        const MOST: usize = 4096;
        const DEEPEST: usize = 4;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut seen = 0;
        let mut waiting = Vec::new();
        if let Ok(opened) = openat(&spot.directory, &spot.name, flags, Mode::empty()) {
            waiting.push((opened, spot.path.clone(), 1));
        }
        while let Some((opened, path, depth)) = waiting.pop() {
            for entry in Dir::read_from(&opened)?.flatten() {
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name == "." || name == ".." {
                    continue;
                }
                seen += 1;
                if seen > MOST {
                    return Ok(());
                }
                let below = path.join(name);
                self.hand_off(caller, &below)?;
                let may_hold = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
                if may_hold
                    && depth < DEEPEST
                    && let Ok(further) = openat(&opened, name, flags, Mode::empty())
                {
                    waiting.push((further, below, depth + 1));
                }
            }
        }
        Ok(())
    }

    fn link(
        &mut self,
        caller: &Caller,
        from: &From,
        to: &From,
        flags: i32,
    ) -> Result<Done, NotDone> {
        let flags = AtFlags::from_bits_retain(flags as u32);
        if !(AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
            return Err(Errno::INVAL.into());
        }
        let old = self.linked(caller, from, flags)?;
        let new = self.spot(caller, to)?;
        if new.is_directory_itself() {
            return Err(Errno::EXIST.into());
        }
        let about = fstat(&old)?;
        if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
            return Err(Errno::PERM.into());
        }
        let known = path_of(old.as_fd())?;
        if self.writing.is_within(&known) {
            self.judge(caller, &known, Change::Take)?;
        }
        self.refuse_crossing(&known, &new.path)?;
        self.refuse_known(caller, &known, &old)?;
        let change = match FileType::from_raw_mode(about.st_mode) {
            FileType::Symlink => Change::MakeLink,
            // A second name would change with the first, after it was judged.
            _ if self.minds_contents(&new.path) => Change::MakeLink,
            _ => Change::PutFile,
        };
        self.judge_new(caller, &new, change)?;
        linkat(rustix::fs::CWD, own(&old), &new.directory, named(&new), AtFlags::SYMLINK_FOLLOW)?;
        self.hand_off(caller, &new.path)?;
        Ok(Done::Plainly)
    }

    /// What is to get a second name.
    fn linked(&self, caller: &Caller, from: &From, flags: AtFlags) -> Result<OwnedFd, NotDone> {
        let spot = self.spot(caller, from)?;
        let found = place(&spot)?;
        let is_link = FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Symlink;
        if !is_link || !flags.contains(AtFlags::SYMLINK_FOLLOW) {
            return Ok(found);
        }
        match self.walker(caller)?.follow(spot.directory.as_fd(), &spot.name, &found)? {
            Link::Place(place) => Ok(place),
            Link::Text(path) => {
                let further = From { base: Some(spot.directory), path };
                let spot = self.spot(caller, &further)?;
                Ok(place(&spot)?)
            }
        }
    }
}

/// The bits of a mode that a file may be made with. A set-uid or set-gid file
/// would give the person's rights to whoever runs it on the host.
pub(super) const MODE: u32 = 0o1777;
/// The same for a directory, where set-gid is about what is made in it.
const DIRECTORY_MODE: u32 = 0o3777;

/// Opens what has the name now, without following it.
pub(super) fn place(spot: &Spot) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&spot.directory, &spot.name, flags, Mode::empty())
}

/// A mount point of the session keeps its name. The kernel minds only those of
/// whoever asks, and that is us: renaming one from here would take the mount, and
/// what it hides or protects, away.
fn refuse_mounted(spot: &Spot, thing: &OwnedFd) -> Result<(), Errno> {
    if mount_of(thing)? == mount_of(&spot.directory)? { Ok(()) } else { Err(Errno::BUSY) }
}

/// The number of the mount that something open was reached by. Without one
/// (before Linux 5.8) nothing can be told apart, and nothing is moved.
fn mount_of(place: &OwnedFd) -> Result<u64, Errno> {
    let about = statx(place, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let known = about.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    if known { Ok(about.stx_mnt_id) } else { Err(Errno::OPNOTSUPP) }
}

/// The name as it was given: a slash behind it makes the kernel say what is wrong.
pub(super) fn named(spot: &Spot) -> OsString {
    let mut name = spot.name.clone();
    if spot.slash {
        name.push("/");
    }
    name
}

/// Our own name for something open, by which the very thing is reached.
pub(super) fn own(place: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", place.as_raw_fd())
}

/// The contents of a small file, by whatever name it was found.
pub(super) fn contents(place: &OwnedFd) -> Result<Vec<u8>, Errno> {
    /// More than any configuration that a person wrote.
    const MOST: u64 = 1 << 20;
    let about = fstat(place)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let file = rustix::fs::open(own(place), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    let read = std::fs::File::from(file).take(MOST + 1).read_to_end(&mut bytes);
    match read {
        Ok(count) if count as u64 <= MOST => Ok(bytes),
        Ok(_) => Err(Errno::FBIG),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = rustix::io::write(file, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

fn is_directory(place: &OwnedFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(fstat(place)?.st_mode) == FileType::Directory)
}

fn is_empty(spot: &Spot) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = openat(&spot.directory, &spot.name, flags, Mode::empty()) else {
        // What cannot be read may hold anything.
        return Ok(false);
    };
    for entry in Dir::new(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
