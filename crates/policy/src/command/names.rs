//! Under which names a rule may know what is about to run.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::attempt::Exec;
use crate::filesystem::Place;

/// The names of one attempt.
pub(super) struct Names<'a> {
    exec: &'a Exec,
    /// The path as called, from the root.
    called: PathBuf,
    /// The last part of `argv[0]`: what the program is told it is called.
    pub(super) claimed: Option<&'a [u8]>,
}

/// Places of programs that were installed by the machine's owner. Links there are
/// theirs, and mean that the program goes by that name.
const INSTALLED: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/nix", "/snap", "/run/current-system"];

impl<'a> Names<'a> {
    pub(super) fn of(exec: &'a Exec) -> Self {
        Self {
            exec,
            called: exec.cwd.join(&exec.path),
            claimed: exec.argv.first().map(|word| last_part(word.as_bytes())),
        }
    }

    /// Every path that this is: as called, as resolved, and what it is a copy of.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = [Some(self.exec.path.as_path()), self.exec.program.as_deref()];
        let copies = self.exec.copy_of.iter().map(PathBuf::as_path);
        own.into_iter().flatten().chain([self.called.as_path()]).chain(copies)
    }

    /// The names of the file, as called and as resolved.
    pub(super) fn file(&self) -> impl Iterator<Item = &'a [u8]> {
        let called = name(&self.exec.path);
        let resolved = self.exec.program.as_deref().map(name);
        [Some(called), resolved.filter(|name| *name != called)].into_iter().flatten()
    }

    /// Every name by which a restriction may know it: the file's, those of what it
    /// is a copy of, and what the caller calls it.
    pub(super) fn any(&self) -> impl Iterator<Item = &'a [u8]> {
        self.file().chain(self.exec.copy_of.iter().map(|path| name(path))).chain(self.claimed)
    }

    /// Where what runs is.
    pub(super) fn runs(&self) -> &Path {
        self.exec.program.as_deref().unwrap_or(&self.called)
    }

    /// Whether this path is the very one that is called, or what runs.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.called == path || self.exec.program.as_deref() == Some(path)
    }

    /// Whether the program goes by this name, so that what is permitted by the name
    /// is meant for it. `is_writable` says what the session can make or change.
    ///
    /// INVARIANT: nothing that the session can choose makes this true of a program
    /// of another name: neither a link of its own, nor `argv[0]`.
    pub(super) fn goes_by(
        &self,
        wanted: &[u8],
        place: &Place,
        is_writable: impl Fn(&Path) -> bool,
    ) -> bool {
        if is_writable(self.runs()) || !is_plain(self.runs()) {
            return false;
        }
        // A program with many names obeys the one that it is told.
        let told = self.claimed.is_none_or(|claimed| {
            self.file().any(|name| name == claimed.strip_prefix(b"-").unwrap_or(claimed))
        });
        let resolved = self.exec.program.as_deref().map(name) == Some(wanted);
        let called = || {
            name(&self.called) == wanted
                && is_plain(&self.called)
                && !is_writable(&self.called)
                && (INSTALLED.iter().any(|root| self.called.starts_with(root))
                    || self.is_of_one_tool(&place.home))
        };
        told && (resolved || called())
    }

    /// Whether path and program lie together in one directory of the home, such as
    /// `~/.cargo/bin/cargo`, a link to `~/.cargo/bin/rustup`.
    fn is_of_one_tool(&self, home: &Path) -> bool {
        let first = |path: &Path| {
            Some(path.strip_prefix(home).ok()?.components().next()?.as_os_str().to_owned())
        };
        first(&self.called).is_some_and(|tool| first(self.runs()) == Some(tool))
    }
}

/// Whether a path has no `..`, does not lead through a directory that the kernel
/// makes up for each process, and is no name that the kernel makes up for a file
/// without one.
///
/// SOURCE: memfd_create(2), proc_pid_exe(5).
fn is_plain(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    path.is_absolute()
        && !bytes.starts_with(b"/memfd:")
        && !bytes.ends_with(b" (deleted)")
        && path.components().all(|part| part != Component::ParentDir)
        && !["/proc", "/dev", "/sys"].iter().any(|made_up| path.starts_with(made_up))
}

fn name(path: &Path) -> &[u8] {
    last_part(path.as_os_str().as_bytes())
}

/// What follows the last `/`, slashes at the end aside.
fn last_part(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let path = &path[..end];
    path.iter().rposition(|b| *b == b'/').map_or(path, |slash| &path[slash + 1..])
}
