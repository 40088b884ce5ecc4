//! What a session makes on the host before it starts, and takes back if it does
//! not.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::agents::Missing;
use crate::session::RunError;

/// What was made on the host for the agent; taken back unless it is kept.
#[derive(Debug, Default)]
pub(crate) struct Made(Vec<PathBuf>);

impl Made {
    pub(crate) fn make(&mut self, missing: &[Missing]) -> Result<(), RunError> {
        for Missing { path, copy_of } in missing {
            let failed = |source| RunError::Make { path: path.clone(), source };
            match copy_of {
                None => self.directory(path)?,
                // Nothing to copy: the agent starts from nothing, as it would anyway.
                Some(from) if !from.is_file() => {}
                Some(from) => {
                    fs::copy(from, path).map_err(failed)?;
                    self.0.push(path.clone());
                }
            }
        }
        Ok(())
    }

    /// Makes a directory and those above it, for its owner alone.
    pub(crate) fn directory(&mut self, path: &Path) -> Result<(), RunError> {
        let absent: Vec<_> =
            path.ancestors().take_while(|above| above.symlink_metadata().is_err()).collect();
        for above in absent.into_iter().rev() {
            let failed = |source| RunError::Make { path: above.to_path_buf(), source };
            match fs::DirBuilder::new().mode(0o700).create(above) {
                Ok(()) => self.0.push(above.to_path_buf()),
                // Another session that starts at this moment made it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && is_directory(above) => {}
                Err(source) => return Err(failed(source)),
            }
        }
        Ok(())
    }

    pub(crate) fn keep(&mut self) {
        self.0.clear();
    }
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_dir())
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Only what is still as we made it: a directory that is empty.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}
