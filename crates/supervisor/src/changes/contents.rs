//! Contents of files and links, read with nothing taken on trust.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::fs::Stat;

use super::within;

/// A file whose length is at least this much and mostly holes is not copied.
pub(super) const SPARSE: u64 = 1 << 30;

/// Why a file is not to be applied, whatever a person says.
pub(super) fn unfit(file: &File, about: &Stat) -> io::Result<Option<&'static str>> {
    if about.st_mode & 0o6000 != 0 {
        return Ok(Some("it has a set-user-ID or set-group-ID bit"));
    }
    let allocated = u64::try_from(about.st_blocks).unwrap_or(0).saturating_mul(512);
    if length(about) >= SPARSE && allocated.saturating_mul(16) < length(about) {
        return Ok(Some("it is huge and mostly holes"));
    }
    // Marks of overlays that were mounted in another way than ours.
    for name in ["metacopy", "redirect"] {
        if within::mark(file, name)?.is_some() {
            return Ok(Some("its contents are elsewhere"));
        }
    }
    Ok(None)
}

pub(super) fn length(about: &Stat) -> u64 {
    u64::try_from(about.st_size).unwrap_or(0)
}

pub(super) fn target(parent: impl AsFd, name: &OsStr) -> io::Result<PathBuf> {
    let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// Whether the workspace's file of that name holds the same bytes.
pub(super) fn same_contents(mut ours: File, host: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let mut theirs = match within::file(host, name) {
        Ok((file, _)) => file,
        // What cannot be read cannot be said to be the same.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    };
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let length = fill(&mut ours, &mut a)?;
        if length != fill(&mut theirs, &mut b)? || a[..length] != b[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
