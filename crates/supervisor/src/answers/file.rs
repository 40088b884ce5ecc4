//! Reading and changing the file, one at a time and all or nothing.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::AnswersError;

/// What a new file begins with.
const HEAD: &str = "# Your yeses for projects, written by `remit`. Take one back with\n\
    # `remit approvals forget N`, or remove it here. Rules of your own belong in\n\
    # another file.\n";

/// A text larger than this is no policy.
const LARGEST: u64 = 1 << 20;

/// Empty if it is not there.
pub(super) fn read(path: &Path) -> Result<String, AnswersError> {
    match read_at_once(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|source| failed("read", path, source)),
    }
}

fn read_at_once(path: &Path) -> io::Result<String> {
    // What is no file, such as a pipe, must not hold us up.
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.len() > LARGEST {
        let why = "it is not a regular file of at most 1 MiB";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    io::read_to_string(file)
}

/// Puts another text in its place. Nobody else changes it meanwhile; a crash leaves
/// the one or the other.
pub(super) fn change<T>(
    path: &Path,
    change: impl FnOnce(&str) -> Result<(String, T), AnswersError>,
) -> Result<T, AnswersError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let in_it = |doing| move |source| failed(doing, directory, source);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).map_err(in_it("make"))?;
    let held = fs::File::open(directory).map_err(in_it("open"))?;
    flock(&held, FlockOperation::LockExclusive).map_err(|errno| in_it("lock")(errno.into()))?;
    let text = read(path)?;
    let text = if text.is_empty() { HEAD } else { &text };
    let (text, made) = change(text)?;
    let write = |source| failed("write", path, source);
    let new = path.with_extension("rules.new");
    // One of ours that was interrupted; we hold the lock.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(error)),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&new).map_err(write)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(write)?;
    fs::rename(&new, path).and_then(|()| held.sync_all()).map_err(write)?;
    Ok(made)
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> AnswersError {
    AnswersError::File { doing, path: path.to_path_buf(), source }
}
