//! Files by descriptors: one name in an open directory, or a path below one,
//! with no link followed on the way and no file system left.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// No link on the way, no way up, no other file system.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The directory at a path below another; that itself for the empty path.
pub(super) fn below(root: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(rustix::fs::openat2(root, path, DIRECTORY, Mode::empty(), WITHIN)?)
}

/// The directory that holds a path below another, and the path's last name.
pub(super) fn holder(root: impl AsFd, path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((below(root, path.parent().unwrap_or(Path::new("")))?, name))
}

/// A directory in another.
pub(super) fn directory(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat2(parent, name, DIRECTORY, Mode::empty(), WITHIN)?)
}

/// A regular file, for reading, with what the kernel says about it.
pub(super) fn file(parent: impl AsFd, name: &OsStr) -> io::Result<(File, Stat)> {
    // NONBLOCK, so that a pipe put in the file's place does not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let about = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok((file.into(), about))
}

/// What the kernel says about a name itself. None if nothing is there.
pub(super) fn about(parent: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(about) => Ok(Some(about)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The names in a directory, sorted.
pub(super) fn names(directory: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Gives ourselves all rights to a directory of ours that has fewer, and opens it.
pub(super) fn forced(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat2(&parent, name, flags, Mode::empty(), WITHIN)?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&place)?.st_mode & 0o7777);
    if !mode.contains(Mode::RWXU) {
        // The descriptor's own name, since a mode cannot be set by a mere place.
        let own = format!("/proc/self/fd/{}", place.as_raw_fd());
        rustix::fs::chmod(own, mode | Mode::RWXU)?;
    }
    directory(parent, name)
}

/// A name that nothing has, for a thing that is put in place when it is complete.
pub(super) fn draft() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!(".remit-{:016x}", u64::from_ne_bytes(random)))
}

/// The length of a mark that the kernel's overlay sets, with its first byte.
/// None where there is none.
pub(super) fn mark(file: impl AsFd, name: &str) -> io::Result<Option<(usize, u8)>> {
    let mut value = [0_u8; 8];
    match rustix::fs::fgetxattr(file, format!("user.overlay.{name}"), &mut value) {
        Ok(length) => Ok(Some((length, value[0]))),
        Err(Errno::RANGE) => Ok(Some((usize::MAX, 0))),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_and_no_way_leads_up() {
        let base = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(base.path().join("root/real/inner")).expect("directories");
        fs::write(base.path().join("root/real/file"), "x").expect("a file");
        symlink("real", base.path().join("root/link")).expect("a link");
        symlink("real/file", base.path().join("root/name")).expect("a link");
        let root = File::open(base.path().join("root")).expect("opened");
        let check = |path: &str, expected| {
            assert_eq!(below(&root, Path::new(path)).is_ok(), expected, "{path}");
        };
        check("", true);
        check("real/inner", true);
        check("link", false);
        check("link/inner", false);
        check("..", false);
        check("real/../..", false);
        check("/", false);
        assert!(directory(&root, OsStr::new("link")).is_err());
        assert!(directory(&root, OsStr::new("..")).is_err());
        assert!(forced(&root, OsStr::new("link")).is_err());
        assert!(file(&root, OsStr::new("name")).is_err());
        assert!(file(below(&root, Path::new("real")).expect("there"), OsStr::new("file")).is_ok());
    }
}
