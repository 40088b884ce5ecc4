//! From a path to the directory that its last name lies in, as the caller would
//! get there: from its root and its directory, by its own `/proc/self`.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;

use super::caller::Caller;

/// A name and the open directory it lies in.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) directory: OwnedFd,
    /// One name without a slash; `.` where the path led to a directory by itself
    /// (`/`, `.`, `..`).
    pub(super) name: OsString,
    /// The path of both, as seen inside, free of links but for the name.
    pub(super) path: PathBuf,
    /// The path ended in a slash, which only a directory may.
    pub(super) slash: bool,
}

impl Spot {
    pub(super) fn is_directory_itself(&self) -> bool {
        self.name == "."
    }
}

/// Where a link leads that the kernel does not follow for us.
pub(super) enum Link {
    Text(OsString),
    /// A link of `/proc` to an open thing.
    Place(OwnedFd),
}

/// How many links one path may have. SOURCE: linux/namei.h, MAXSYMLINKS.
pub(super) const MOST_LINKS: usize = 40;

const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Walks for one caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walker<'a> {
    pub(super) root: &'a OwnedFd,
    pub(super) caller: &'a Caller,
    /// The root is the host's, where `/proc/self` is us for the kernel and not the
    /// caller.
    pub(super) is_hosts: bool,
}

impl Walker<'_> {
    /// Finds the directory of the path's last name. The name itself need not be
    /// there, and is not followed if it is a link.
    pub(super) fn spot(&self, base: Option<BorrowedFd<'_>>, path: &OsStr) -> Result<Spot, Errno> {
        let bytes = path.as_bytes();
        if bytes.is_empty() {
            return Err(Errno::NOENT);
        }
        let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let (trimmed, slash) = (&bytes[..end], end < bytes.len());
        let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (above, name) = trimmed.split_at(start);
        let (above, name) = match name {
            b"" | b"." | b".." => (bytes, &b"."[..]),
            name => (above, name),
        };
        let directory = self.directory(base, OsStr::from_bytes(above))?;
        let mut path = path_of(directory.as_fd())?;
        if name != b"." {
            path.push(OsStr::from_bytes(name));
        }
        Ok(Spot { directory, name: OsStr::from_bytes(name).to_owned(), path, slash })
    }

    /// Opens the directory a path leads to, links followed. An empty path is the
    /// base itself.
    pub(super) fn directory(
        &self,
        base: Option<BorrowedFd<'_>>,
        path: &OsStr,
    ) -> Result<OwnedFd, Errno> {
        let absolute = path.as_bytes().first() == Some(&b'/');
        let base = if absolute { self.root.as_fd() } else { base.ok_or(Errno::BADF)? };
        if path.is_empty() {
            return openat(base, ".", PLACE | OFlags::DIRECTORY, Mode::empty());
        }
        // The kernel walks in one go where nothing depends on who walks: links
        // below the root when it is the start, none at all otherwise.
        let how = match (absolute, self.is_hosts) {
            (true, false) => ResolveFlags::IN_ROOT,
            (true, true) => ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
            (false, _) => ResolveFlags::NO_SYMLINKS,
        };
        let flags = PLACE | OFlags::DIRECTORY;
        match openat2(base, path.as_bytes(), flags, Mode::empty(), how) {
            Ok(directory) => Ok(directory),
            Err(Errno::LOOP | Errno::AGAIN | Errno::XDEV) => self.by_steps(base, path),
            // `/proc/self` leads nowhere for one who is not inside.
            Err(Errno::NOENT) if names_processes(path) => self.by_steps(base, path),
            Err(errno) => Err(errno),
        }
    }

    /// The same, name by name.
    fn by_steps(&self, base: BorrowedFd<'_>, path: &OsStr) -> Result<OwnedFd, Errno> {
        let mut at = openat(base, ".", PLACE | OFlags::DIRECTORY, Mode::empty())?;
        let mut rest = steps(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                if !self.is_root(&at)? {
                    at = openat(&at, "..", PLACE | OFlags::DIRECTORY, Mode::empty())?;
                }
                continue;
            }
            let next = openat(&at, &name, PLACE | OFlags::NOFOLLOW, Mode::empty())?;
            match FileType::from_raw_mode(fstat(&next)?.st_mode) {
                FileType::Directory => at = next,
                FileType::Symlink => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP);
                    }
                    match self.follow(at.as_fd(), &name, &next)? {
                        Link::Place(place) => at = place,
                        Link::Text(text) => {
                            if text.as_bytes().first() == Some(&b'/') {
                                at = openat(
                                    self.root,
                                    ".",
                                    PLACE | OFlags::DIRECTORY,
                                    Mode::empty(),
                                )?;
                            }
                            for name in steps(&text).into_iter().rev() {
                                rest.push_front(name);
                            }
                        }
                    }
                }
                _ => return Err(Errno::NOTDIR),
            }
        }
        let kind = FileType::from_raw_mode(fstat(&at)?.st_mode);
        if kind == FileType::Directory { Ok(at) } else { Err(Errno::NOTDIR) }
    }

    /// What a link says, or for one of `/proc` where it leads, if that is the
    /// caller's own to know.
    pub(super) fn follow(
        &self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        link: &OwnedFd,
    ) -> Result<Link, Errno> {
        if !is_of_proc(link)? {
            let text = readlinkat(link, "", Vec::new())?;
            return Ok(Link::Text(OsString::from_vec(text.into_bytes())));
        }
        let (process, task) = self.caller.numbers()?;
        let holder = path_of(directory)?;
        if holder == Path::new("/proc") {
            return match name.as_bytes() {
                b"self" => Ok(Link::Text(process.to_string().into())),
                b"thread-self" => Ok(Link::Text(format!("{process}/task/{task}").into())),
                _ => {
                    let text = readlinkat(link, "", Vec::new())?;
                    Ok(Link::Text(OsString::from_vec(text.into_bytes())))
                }
            };
        }
        if !holder.starts_with(format!("/proc/{process}")) {
            return Err(Errno::ACCESS);
        }
        openat(directory, name, PLACE, Mode::empty()).map(Link::Place)
    }

    fn is_root(&self, directory: &OwnedFd) -> Result<bool, Errno> {
        let (a, b) = (fstat(directory)?, fstat(self.root)?);
        Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }
}

fn steps(path: &OsStr) -> VecDeque<OsString> {
    let names = path.as_bytes().split(|byte| *byte == b'/');
    names
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect()
}

/// Whether a path may go by way of `/proc`, perhaps by a link in `/dev`.
fn names_processes(path: &OsStr) -> bool {
    let has = |text: &[u8]| path.as_bytes().windows(text.len()).any(|part| part == text);
    has(b"proc") || has(b"dev") || has(b"self") || has(b"fd")
}

/// The path of an open place, as seen inside.
pub(super) fn path_of(place: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    let own = format!("/proc/self/fd/{}", place.as_raw_fd());
    let path = readlinkat(rustix::fs::CWD, own, Vec::with_capacity(128))?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

/// SOURCE: linux/magic.h, PROC_SUPER_MAGIC.
const PROC: u64 = 0x9fa0;

fn is_of_proc(place: &OwnedFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstatfs(place)?.f_type as u64 == PROC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Walks as ourselves: the path, the name and whether it ended in a slash.
    #[track_caller]
    fn check(base: &Path, path: &str, expected: Result<(&str, &str), Errno>) {
        let caller = Caller::new(std::process::id());
        let open = |path: &Path| rustix::fs::open(path, PLACE, Mode::empty()).expect("a directory");
        let (root, base) = (open(Path::new("/")), open(base));
        for is_hosts in [false, true] {
            let walker = Walker { root: &root, caller: &caller, is_hosts };
            let found = walker.spot(Some(base.as_fd()), path.as_ref());
            let found = found.map(|spot| (spot.path, spot.name));
            let expected = expected.map(|(path, name)| (path.into(), name.into()));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_path_leads_where_it_would_lead_the_caller() {
        let base = tempfile::tempdir().expect("a directory");
        let at = base.path().canonicalize().expect("a path");
        std::fs::create_dir_all(at.join("a/b")).expect("a directory");
        std::fs::write(at.join("file"), "").expect("a file");
        symlink("a", at.join("link")).expect("a link");
        symlink(&at, at.join("a/back")).expect("a link");
        symlink("loop", at.join("loop")).expect("a link");
        let inside = |rest: &str| at.join(rest).to_string_lossy().into_owned();
        check(&at, "new", Ok((&inside("new"), "new")));
        check(&at, "a/new", Ok((&inside("a/new"), "new")));
        check(&at, "./a//b/../new", Ok((&inside("a/new"), "new")));
        check(&at, "link/b/new/", Ok((&inside("a/b/new"), "new")));
        check(&at, "link/back/link/new", Ok((&inside("a/new"), "new")));
        check(&at, &inside("link/new"), Ok((&inside("a/new"), "new")));
        check(&at, "link/..", Ok((&inside(""), ".")));
        check(&at, "/", Ok(("/", ".")));
        check(&at, "../../../../../../../../../../new", Ok(("/new", "new")));
        check(&at, "", Err(Errno::NOENT));
        check(&at, "none/new", Err(Errno::NOENT));
        check(&at, "file/new", Err(Errno::NOTDIR));
        check(&at, "loop/new", Err(Errno::LOOP));
        let ours = format!("/proc/{}/fd/7", std::process::id());
        check(&at, "/proc/self/fd/7", Ok((&ours, "7")));
        check(&at, "/dev/fd/7", Ok((&ours, "7")));
        check(&at, "/proc/self/root/new", Ok(("/new", "new")));
        check(&at, "/proc/1/cwd/new", Err(Errno::ACCESS));
    }
}
