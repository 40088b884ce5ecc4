//! Building the mount view in a new mount namespace.
//!
//! The host's tree is copied and made read-only; the places that are to be
//! writable are copied apart, before the old root is left; then the steps of
//! the plan are laid over it in order. All copies are `nosuid` and, except for
//! the few devices, `nodev`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

use super::message::Step;
use super::sys::{self, Errno, Sys};
use crate::plan::{Access, Mount};

// SOURCE: linux/mount.h.
const RDONLY: u64 = 1;
const NOSUID: u64 = 2;
const NODEV: u64 = 4;
const NOEXEC: u64 = 8;

/// Where small files of ours live inside; in a private directory of the view.
const STAGE: &CStr = c"/run/remit";
const VOID: &CStr = c"/run/remit/void";
const BLANK: &CStr = c"/run/remit/blank";
const TEXT: &CStr = c"/run/remit/text";

/// One step with everything it needs already in the kernel's form.
#[derive(Debug)]
pub(crate) enum Prepared {
    Host { path: CString, access: Access, directory: bool, tree: Option<OwnedFd> },
    Overlay { path: CString, upper: CString, work: CString, tree: Option<OwnedFd> },
    Fixed { path: CString, access: Access },
    Private { path: CString, options: CString },
    Processes,
    Devices { shared_memory: CString },
    Hidden { path: CString, directory: bool },
    Text { path: CString, text: Vec<u8> },
}

impl Prepared {
    /// Does all that allocates. `None` for a path with a NUL in it. A directory
    /// in memory holds at most `room` bytes.
    pub(crate) fn new(mount: &Mount, room: Option<u64>) -> Option<Self> {
        let c = |path: &std::path::Path| CString::new(path.as_os_str().as_bytes()).ok();
        Some(match mount {
            Mount::Host { path, access } => Prepared::Host {
                path: c(path)?,
                access: *access,
                directory: path.is_dir(),
                tree: None,
            },
            Mount::Private { path, mode } => {
                Prepared::Private { path: c(path)?, options: in_memory(*mode, room)? }
            }
            Mount::Overlay { path, upper, work } => {
                Prepared::Overlay { path: c(path)?, upper: c(upper)?, work: c(work)?, tree: None }
            }
            Mount::Fixed { path, access } => Prepared::Fixed { path: c(path)?, access: *access },
            Mount::Processes => Prepared::Processes,
            Mount::Devices => Prepared::Devices { shared_memory: in_memory(0o1777, room)? },
            Mount::Hidden { path, directory } => {
                Prepared::Hidden { path: c(path)?, directory: *directory }
            }
            Mount::Text { path, text } => Prepared::Text { path: c(path)?, text: text.clone() },
        })
    }
}

impl Prepared {
    /// Whether this step makes the directory that the stage is in.
    fn has_stage(&self) -> bool {
        matches!(self, Prepared::Private { path, .. } if path.as_c_str() == c"/run")
    }
}

/// The options of a directory in memory. Without `room` the kernel's own limit
/// holds, half of the machine's memory.
fn in_memory(mode: u32, room: Option<u64>) -> Option<CString> {
    let room = room.map(|bytes| {
        // As many names as pages, which is also what the kernel gives; an empty
        // file takes memory too.
        format!(",size={bytes},nr_inodes={}", (bytes / 4096).max(1024))
    });
    CString::new(format!("mode={mode:o}{}", room.unwrap_or_default())).ok()
}

/// What failed: the step, which mount, the kernel's number.
pub(crate) type Failure = (Step, usize, Errno);

/// The host's device nodes that are harmless to everybody.
const DEVICES: [(&CStr, &CStr); 6] = [
    (c"/dev/null", c"/dev/null"),
    (c"/dev/zero", c"/dev/zero"),
    (c"/dev/full", c"/dev/full"),
    (c"/dev/random", c"/dev/random"),
    (c"/dev/urandom", c"/dev/urandom"),
    (c"/dev/tty", c"/dev/tty"),
];

const DEVICE_LINKS: [(&CStr, &CStr); 5] = [
    (c"pts/ptmx", c"/dev/ptmx"),
    (c"/proc/self/fd", c"/dev/fd"),
    (c"/proc/self/fd/0", c"/dev/stdin"),
    (c"/proc/self/fd/1", c"/dev/stdout"),
    (c"/proc/self/fd/2", c"/dev/stderr"),
];

/// Builds the view and makes it this process's root.
pub(crate) fn build(steps: &mut [Prepared]) -> Result<(), Failure> {
    let at = |step| move |errno| (step, 0, errno);
    let private = libc::MS_REC | libc::MS_PRIVATE;
    sys::mount(c"none", c"/", c"none", private, c"").map_err(at(Step::Propagation))?;

    let root = copy(c"/", RDONLY | NOSUID | NODEV).map_err(at(Step::CopyView))?;
    let mut devices = [const { None }; DEVICES.len()];
    for (slot, (source, _)) in devices.iter_mut().zip(DEVICES) {
        // Read-only does not keep a device from being written to, but its owner
        // from changing its mode.
        *slot = Some(copy(source, RDONLY | NOSUID | NOEXEC).map_err(at(Step::CopyView))?);
    }
    for (index, step) in steps.iter_mut().enumerate() {
        match step {
            Prepared::Host { path, access, tree, .. } => {
                let copied = copy(path, attributes(*access));
                *tree = Some(copied.map_err(|errno| (Step::CopyView, index, errno))?);
            }
            Prepared::Overlay { path, upper, work, tree } => {
                let mounted = overlay(path, upper, work);
                *tree = Some(mounted.map_err(|errno| (Step::Overlay, index, errno))?);
            }
            _ => {}
        }
    }
    enter(root).map_err(at(Step::EnterView))?;
    for (index, step) in steps.iter().enumerate() {
        lay(step, &devices).map_err(|errno| (Step::Mount, index, errno))?;
    }
    if steps.iter().any(Prepared::has_stage) {
        seal_stage().map_err(at(Step::EnterView))?;
    }
    Ok(())
}

fn attributes(access: Access) -> u64 {
    let set = if access == Access::Read { RDONLY } else { 0 };
    set | NOSUID | NODEV
}

/// A copy-on-write view, not attached yet.
///
/// `userxattr` is what lets it be mounted without root; the kernel then follows
/// none of the marks that would lead out of the lower directory.
fn overlay(lower: &CStr, upper: &CStr, work: &CStr) -> Sys<OwnedFd> {
    let context = sys::fsopen(c"overlay")?;
    sys::fsconfig_string(context.as_fd(), c"source", c"remit")?;
    sys::fsconfig_flag(context.as_fd(), c"userxattr")?;
    // Named by descriptors: in a path, `:`, `,` and `\` would mean something.
    // Older kernels look at the names only when the file system is created.
    let places = [sys::open_exact(lower)?, sys::open_exact(upper)?, sys::open_exact(work)?];
    for (key, place) in [c"lowerdir", c"upperdir", c"workdir"].into_iter().zip(&places) {
        let mut name = [0; DESCRIPTOR_PATH];
        let name = descriptor_path(place.as_raw_fd(), &mut name)?;
        sys::fsconfig_string(context.as_fd(), key, name)?;
    }
    sys::fsconfig_create(context.as_fd())?;
    sys::fsmount(context.as_fd(), NOSUID | NODEV)
}

/// Room for `/proc/self/fd/`, ten digits and the NUL.
const DESCRIPTOR_PATH: usize = 25;

/// The path of an own descriptor, put together without allocating.
fn descriptor_path(number: RawFd, room: &mut [u8; DESCRIPTOR_PATH]) -> Sys<&CStr> {
    const PREFIX: &[u8] = b"/proc/self/fd/";
    room[..PREFIX.len()].copy_from_slice(PREFIX);
    let mut digits = [0_u8; 10];
    let mut first = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let end = PREFIX.len() + digits.len() - first;
    room[PREFIX.len()..end].copy_from_slice(&digits[first..]);
    room[end] = 0;
    CStr::from_bytes_until_nul(room).map_err(|_| Errno(libc::EINVAL))
}

fn copy(path: &CStr, attributes: u64) -> Sys<OwnedFd> {
    let place = sys::open_exact(path)?;
    let tree = sys::open_tree(place.as_fd())?;
    sys::mount_setattr(tree.as_fd(), attributes)?;
    Ok(tree)
}

/// Attaches a copy at a path that leads there without links.
fn put(tree: &OwnedFd, path: &CStr) -> Sys<()> {
    let place = sys::open_exact(path)?;
    sys::move_mount(tree.as_fd(), place.as_fd())
}

/// Attaches the new root somewhere, steps into it and lets the old one go.
fn enter(root: OwnedFd) -> Sys<()> {
    put(&root, c"/proc")?;
    sys::fchdir(root.as_fd())?;
    sys::pivot_here()?;
    sys::detach(c".")?;
    sys::chdir(c"/")
}

fn lay(step: &Prepared, devices: &[Option<OwnedFd>]) -> Sys<()> {
    let shut = libc::MS_NOSUID | libc::MS_NODEV;
    match step {
        Prepared::Host { path, directory, tree, .. } => {
            let tree = tree.as_ref().ok_or(Errno(libc::EBADF))?;
            attach(tree, path, *directory)
        }
        Prepared::Overlay { path, tree, .. } => {
            let tree = tree.as_ref().ok_or(Errno(libc::EBADF))?;
            attach(tree, path, true)
        }
        Prepared::Fixed { path, access } => put(&copy(path, attributes(*access))?, path),
        Prepared::Private { path, options } => {
            make_way(path, true)?;
            sys::mount(c"tmpfs", path, c"tmpfs", shut, options)?;
            if step.has_stage() { stage() } else { Ok(()) }
        }
        Prepared::Processes => {
            let flags = shut | libc::MS_NOEXEC | libc::MS_RDONLY;
            sys::mount(c"proc", c"/proc", c"proc", flags, c"")
        }
        Prepared::Devices { shared_memory } => make_devices(devices, shared_memory),
        Prepared::Hidden { path, directory } => {
            let nothing = if *directory { VOID } else { BLANK };
            let tree = copy(nothing, RDONLY | NOSUID | NODEV | NOEXEC)?;
            put(&tree, path)
        }
        Prepared::Text { path, text } => {
            // One name, reused: the mount keeps each file after its name is gone.
            let flags = libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
            remove(TEXT);
            sys::write_file(TEXT, flags, 0o444, text)?;
            attach(&copy(TEXT, RDONLY | NOSUID | NODEV | NOEXEC)?, path, false)
        }
    }
}

fn remove(path: &CStr) {
    // Not being there is what is wanted.
    let _ = sys::unlink(path);
}

/// The empty things that hidden places are covered with.
fn stage() -> Sys<()> {
    sys::mkdir(STAGE, 0o755)?;
    sys::mkdir(VOID, 0o000)?;
    sys::write_file(BLANK, libc::O_CREAT | libc::O_EXCL, 0o000, b"")
}

/// Makes the stage read-only once nothing more is built from it. What covers a
/// hidden place is the same file and directory, so whoever could write here
/// could put words of its own in their place. A directory that something is
/// mounted on can be neither removed nor renamed.
fn seal_stage() -> Sys<()> {
    remove(TEXT);
    put(&copy(STAGE, RDONLY | NOSUID | NODEV | NOEXEC)?, STAGE)
}

/// Attaches a copy at its place, making the place first where the view has a
/// private directory there.
fn attach(tree: &OwnedFd, path: &CStr, directory: bool) -> Sys<()> {
    match put(tree, path) {
        Err(Errno(libc::ENOENT)) => {
            make_way(path, directory)?;
            put(tree, path)
        }
        other => other,
    }
}

/// Makes the directories down to `path`, and `path` itself as a directory or an
/// empty file. What exists already stays. Fails on the host's read-only tree.
fn make_way(path: &CStr, directory: bool) -> Sys<()> {
    let mut buffer = [0_u8; libc::PATH_MAX as usize];
    let bytes = path.to_bytes_with_nul();
    buffer.get_mut(..bytes.len()).ok_or(Errno(libc::ENAMETOOLONG))?.copy_from_slice(bytes);
    for at in 1..bytes.len() - 1 {
        if buffer[at] == b'/' {
            buffer[at] = 0;
            make_directory(&buffer[..=at])?;
            buffer[at] = b'/';
        }
    }
    if directory {
        make_directory(&buffer[..bytes.len()])
    } else {
        sys::write_file(path, libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, 0o600, b"")
    }
}

fn make_directory(path_with_nul: &[u8]) -> Sys<()> {
    let path = CStr::from_bytes_with_nul(path_with_nul).map_err(|_| Errno(libc::EINVAL))?;
    match sys::mkdir(path, 0o755) {
        Err(Errno(libc::EEXIST | libc::EROFS)) => Ok(()),
        other => other,
    }
}

fn make_devices(devices: &[Option<OwnedFd>], shared_memory: &CStr) -> Sys<()> {
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    sys::mount(c"tmpfs", c"/dev", c"tmpfs", flags | libc::MS_STRICTATIME, c"mode=755,size=64k")?;
    for (tree, (_, target)) in devices.iter().zip(DEVICES) {
        let tree = tree.as_ref().ok_or(Errno(libc::EBADF))?;
        attach(tree, target, false)?;
    }
    for (target, path) in DEVICE_LINKS {
        sys::symlink(target, path)?;
    }
    sys::mkdir(c"/dev/pts", 0o755)?;
    let options = c"newinstance,ptmxmode=0666,mode=600";
    sys::mount(c"devpts", c"/dev/pts", c"devpts", flags, options)?;
    sys::mkdir(c"/dev/shm", 0o1777)?;
    sys::mount(c"tmpfs", c"/dev/shm", c"tmpfs", flags | libc::MS_NODEV, shared_memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_named_by_its_number() {
        let check = |number, expected: &CStr| {
            assert_eq!(descriptor_path(number, &mut [0xff; DESCRIPTOR_PATH]), Ok(expected));
        };
        check(0, c"/proc/self/fd/0");
        check(7, c"/proc/self/fd/7");
        check(1024, c"/proc/self/fd/1024");
        check(RawFd::MAX, c"/proc/self/fd/2147483647");
    }
}
