//! The directory that a session is about, checked before anything is built.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::Places;

/// Why a directory cannot be a workspace.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error("cannot use `{}` as the workspace; name an existing directory with -C", path.display())]
    Missing { path: PathBuf, source: io::Error },
    #[error("cannot use `{}` as the workspace: it is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error(
        "cannot use `{}` as the workspace: {reason}; run in a project directory, or name one with -C",
        path.display()
    )]
    TooWide { path: PathBuf, reason: String },
}

/// Directories of the system whose contents are no project's. Those beneath
/// `/tmp` and `/var/tmp` may be.
const SYSTEM: [&str; 16] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
];
const TOO_WIDE: [&str; 6] = ["/home", "/mnt", "/opt", "/srv", "/tmp", "/var/tmp"];

/// The workspace with links followed, if it is narrow enough to be written to.
pub(crate) fn check(directory: &Path, places: &Places) -> Result<PathBuf, WorkspaceError> {
    let missing = |source| WorkspaceError::Missing { path: directory.to_path_buf(), source };
    let path = directory.canonicalize().map_err(missing)?;
    if !path.is_dir() {
        return Err(WorkspaceError::NotADirectory(path));
    }
    match too_wide(&path, places) {
        Some(reason) => Err(WorkspaceError::TooWide { path, reason }),
        None => Ok(path),
    }
}

/// Why a directory that the agent may write to, other than the workspace, would
/// give it too much.
pub(crate) fn gives_too_much(path: &Path, places: &Places) -> Option<String> {
    if path.parent().is_none() {
        return Some("it is the whole file system".to_owned());
    }
    if places.home == path {
        return Some("it is your home directory".to_owned());
    }
    if places.home.starts_with(path) {
        return Some("your home directory is inside it".to_owned());
    }
    [&places.state, &places.config, &places.system].into_iter().find_map(|ours| {
        let meet = ours.starts_with(path) || path.starts_with(ours);
        meet.then(|| format!("Remit keeps its own files in `{}`", ours.display()))
    })
}

fn too_wide(path: &Path, places: &Places) -> Option<String> {
    if let Some(reason) = gives_too_much(path, places) {
        return Some(reason);
    }
    if let Some(system) = SYSTEM.iter().find(|system| path.starts_with(system)) {
        // A home below one of them is where its user's projects are.
        if !path.starts_with(&places.home) || places.home.parent().is_none() {
            return Some(format!("`{system}` belongs to the system"));
        }
    }
    if TOO_WIDE.iter().any(|wide| Path::new(wide) == path) {
        return Some("it holds more than one project".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_foreign_directories_are_no_workspace() {
        let places = Places {
            home: "/home/ada".into(),
            config: "/home/ada/.config/remit".into(),
            state: "/home/ada/.local/state/remit".into(),
            system: "/etc/remit".into(),
        };
        let check = |path: &str, fits: bool| {
            assert_eq!(too_wide(Path::new(path), &places).is_none(), fits, "{path}");
        };
        check("/", false);
        check("/home", false);
        check("/home/ada", false);
        check("/home/ada/.local", false);
        check("/home/ada/.local/state/remit/sessions", false);
        check("/usr/share", false);
        check("/tmp", false);
        check("/home/ada/work", true);
        check("/tmp/work", true);
        check("/home/ada/.local/share/work", true);
    }
}
