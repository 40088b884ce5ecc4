//! A path resolved as the caller would: from its root and its directory.
//!
//! The answer is for judging and showing. What runs is compared with it
//! afterwards; nothing is done on the strength of a name alone.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat};

/// A file inside the boundary, held open by its place and not its contents.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) fd: OwnedFd,
    about: Stat,
}

/// Which file it is, in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: i64,
    /// When its contents last changed, or are said to have.
    modified: (i64, u64),
    /// When anything of it last changed, in seconds and nanoseconds; only the
    /// kernel can set that.
    pub(crate) changed: (i64, u64),
}

impl Identity {
    fn of(about: &Stat) -> Self {
        Self {
            device: about.st_dev,
            inode: about.st_ino,
            size: about.st_size,
            modified: (about.st_mtime, about.st_mtime_nsec),
            changed: (about.st_ctime, about.st_ctime_nsec),
        }
    }

    /// Whether it is the same file, whatever became of its contents.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Place {
    /// Opens the place a path leads to for this task. `directory` is the
    /// descriptor a relative path starts from, if not the working directory.
    pub(crate) fn of(task: u32, path: &Path, directory: Option<RawFd>) -> io::Result<Self> {
        if let Some(own) = own_entry(task, path) {
            return Self::open(&own);
        }
        if path.as_os_str().is_empty() {
            // `fexecve`: the descriptor itself.
            let number = directory.ok_or(io::ErrorKind::NotFound)?;
            return Self::open(&PathBuf::from(format!("/proc/{task}/fd/{number}")));
        }
        let from = match directory {
            _ if path.is_absolute() => PathBuf::from("/"),
            Some(number) => std::fs::read_link(format!("/proc/{task}/fd/{number}"))?,
            None => std::fs::read_link(format!("/proc/{task}/cwd"))?,
        };
        let root = rustix::fs::open(format!("/proc/{task}/root"), FLAGS, Mode::empty())?;
        // Links, absolute ones too, are followed within the caller's root.
        let fd = openat2(&root, from.join(path), FLAGS, Mode::empty(), ResolveFlags::IN_ROOT)?;
        Self::about(fd)
    }

    fn open(path: &Path) -> io::Result<Self> {
        Self::about(rustix::fs::open(path, FLAGS, Mode::empty())?)
    }

    pub(crate) fn about(fd: OwnedFd) -> io::Result<Self> {
        let about = fstat(&fd)?;
        Ok(Self { fd, about })
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::of(&self.about)
    }

    /// The path as seen inside, links followed.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let own = format!("/proc/self/fd/{}", self.fd.as_fd().as_raw_fd());
        std::fs::read_link(own).ok().filter(|path| path.is_absolute())
    }

    /// The very file, opened to be read. Never waits: a pipe is not a file.
    pub(crate) fn reopen(&self) -> io::Result<std::fs::File> {
        if !self.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let own = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(rustix::fs::open(own, flags, Mode::empty())?.into())
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    pub(crate) fn is_socket(&self) -> bool {
        self.kind() == FileType::Socket
    }

    /// Whether the kernel would at least try to run it.
    pub(crate) fn is_executable(&self) -> bool {
        self.is_file() && self.about.st_mode & 0o111 != 0
    }

    /// Whether it runs as its owner where that is allowed.
    pub(crate) fn is_set_uid(&self) -> bool {
        Mode::from_raw_mode(self.about.st_mode).contains(Mode::SUID)
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.about.st_mode)
    }
}

const FLAGS: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// `/proc/self/…` and `/proc/thread-self/…` mean the caller, not us.
fn own_entry(task: u32, path: &Path) -> Option<PathBuf> {
    ["/proc/self", "/proc/thread-self", "/dev/fd"].into_iter().find_map(|prefix| {
        let rest = path.strip_prefix(prefix).ok()?;
        let base = format!("/proc/{task}");
        let base = if prefix == "/dev/fd" { format!("{base}/fd") } else { base };
        // Only a single link of the caller's: `exe`, `fd/N`. What lies beyond,
        // such as `root/…`, is resolved by the kernel when it runs.
        let mut parts = rest.components();
        let simple = match (parts.next(), parts.next(), parts.next()) {
            (Some(_), None, None) => true,
            (Some(first), Some(_), None) => first.as_os_str() == "fd",
            _ => false,
        };
        simple.then(|| Path::new(&base).join(rest))
    })
}

/// The file a process runs, and its path as seen inside.
pub(crate) fn running(process: u32) -> io::Result<(Place, PathBuf)> {
    let link = format!("/proc/{process}/exe");
    let place = Place::open(Path::new(&link))?;
    let path = readlinkat(rustix::fs::CWD, &link, Vec::new())?;
    Ok((place, PathBuf::from(OsStr::from_bytes(path.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_from_the_callers_root() {
        let us = std::process::id();
        let place = Place::of(us, Path::new("/bin/../bin/sh"), None).expect("a shell");
        assert!(place.is_executable());
        assert_eq!(place.path(), Path::new("/bin/sh").canonicalize().ok());
        let own = Place::of(us, Path::new("/proc/self/exe"), None).expect("ourselves");
        assert_eq!(own.path(), std::env::current_exe().ok());
        assert!(Place::of(us, Path::new("/no/such"), None).is_err());
    }
}
