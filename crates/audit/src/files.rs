//! Directories and files of a record: private, never through a symbolic link.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the state directory, making it and its parents (0700) where missing.
/// It must be ours, and nobody else may write to it.
pub(crate) fn state(path: &Path) -> io::Result<OwnedFd> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let directory = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
    let stat = rustix::fs::fstat(&directory)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(denied("the directory belongs to another user"));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(denied("others may write to the directory; `chmod go-w` it"));
    }
    Ok(directory)
}

/// Whether a directory may have been there before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Maybe,
    No,
}

/// Makes and opens a directory (0700) in another.
pub(crate) fn directory(parent: BorrowedFd<'_>, name: &str, before: Before) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Err(Errno::EXIST) if before == Before::Maybe => {}
        made => made?,
    }
    Ok(rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?)
}

/// Makes a new file (0600) that is only ever appended to.
pub(crate) fn create(directory: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?)
}

/// Opens a regular file for reading.
pub(crate) fn open(directory: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
    // NONBLOCK, so that a pipe put in the file's place does not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Writes everything with one system call, or fails.
pub(crate) fn write_once(file: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let written = rustix::io::retry_on_intr(|| rustix::io::write(file, bytes))?;
    if written < bytes.len() {
        let short =
            format!("only {written} of {} bytes were written; the disk may be full", bytes.len());
        return Err(io::Error::new(io::ErrorKind::StorageFull, short));
    }
    Ok(())
}

/// Puts a complete file in place unless one of that name is there already;
/// whoever comes first wins. Nobody ever sees half of it.
pub(crate) fn publish(directory: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = format!("{name}.new-{:016x}", u64::from_ne_bytes(random()?));
    let file = create(directory, &draft)?;
    let placed =
        write_once(&file, bytes).and_then(|()| Ok(rustix::fs::fsync(&file)?)).and_then(|()| {
            match rustix::fs::linkat(directory, &*draft, directory, name, AtFlags::empty()) {
                Err(Errno::EXIST) => Ok(()),
                linked => Ok(linked?),
            }
        });
    rustix::fs::unlinkat(directory, &*draft, AtFlags::empty())?;
    placed?;
    Ok(rustix::fs::fsync(directory)?)
}

/// From the kernel.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Removes what a session left, as far as that goes.
pub(crate) fn remove_session(sessions: &OwnedFd, session: &OwnedFd, name: &str) {
    let _ = rustix::fs::unlinkat(session, "record.jsonl", AtFlags::empty());
    let _ = rustix::fs::unlinkat(session, "checkpoints", AtFlags::empty());
    let _ = rustix::fs::unlinkat(sessions.as_fd(), name, AtFlags::REMOVEDIR);
}

fn denied(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}
