//! The session's own directory for temporary files, where there is no private
//! `/tmp`.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::prepare::Prepared;
use crate::session::RunError;

/// A directory of the owner's alone, removed with everything in it when dropped.
/// Drop it after the session has ended, so that nothing inside is changed
/// meanwhile. A supervisor that is killed leaves it behind.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

/// A new name that nobody can guess.
pub(crate) fn name() -> Result<PathBuf, RunError> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|error| RunError::System {
        doing: "name the session's directory for temporary files",
        source: io::Error::other(error),
    })?;
    let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Path::new("/tmp").join(format!("remit-{tail}")))
}

impl Scratch {
    /// Makes the directory, if this session gets one. Fails if the name is taken.
    pub(crate) fn make(prepared: &Prepared) -> Result<Option<Self>, RunError> {
        let Some(path) = prepared.scratch.clone() else { return Ok(None) };
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Some(Self(path))),
            Err(source) => Err(RunError::Make { path, source }),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if fs::remove_dir_all(&self.0).is_err() {
            // A directory in it may be closed to its owner.
            open_up(&self.0);
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        // Not through links: their type is that of a link.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_is_removed_too_and_what_a_link_leads_to_is_not() {
        let outside = tempfile::tempdir().expect("a directory");
        let kept = outside.path().join("kept");
        fs::write(&kept, "x").expect("a file");
        let path = outside.path().join("scratch");
        let closed = path.join("closed/deeper");
        fs::create_dir_all(&closed).expect("directories");
        std::os::unix::fs::symlink(&kept, path.join("link")).expect("a link");
        std::os::unix::fs::symlink(outside.path(), closed.join("up")).expect("a link");
        fs::set_permissions(path.join("closed"), fs::Permissions::from_mode(0o000))
            .expect("closed");
        drop(Scratch(path.clone()));
        assert!(!path.exists() && kept.exists());
    }
}
