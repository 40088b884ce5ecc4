//! The directory of kept answers: one file for each, named by what it answers.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, renameat, statat};
use sha2::{Digest as _, Sha256};

use super::entry::Entry;

/// The answers that this person's sessions kept.
#[derive(Debug)]
pub struct Answers {
    directory: OwnedFd,
    /// Bytes that may be added until the directory is looked through again.
    room: AtomicU64,
    /// Numbers the files that are being written.
    next: AtomicU64,
}

/// Why answers cannot be kept. The session does not start.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    #[error("cannot keep answers in `{}`", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("answers in `{}` could be changed by others; make it yours with mode 700", .0.display())]
    Open(PathBuf),
}

/// An answer being written. Dropped unfinished, it was never there.
#[derive(Debug)]
pub(crate) struct Filling {
    answers: Arc<Answers>,
    file: File,
    /// The names that it has and gets.
    draft: String,
    name: String,
    digest: Sha256,
    /// Bytes of the body that may still come.
    left: usize,
}

/// The longest body that is kept.
const LONGEST: usize = 16 << 20;
/// Of the head of an entry; heads of HTTP are shorter.
const LONGEST_HEAD: usize = 256 << 10;
/// All answers together, and how much of it is left when the oldest have gone.
const MOST: u64 = 1 << 30;
const LEFT: u64 = MOST / 10 * 9;
/// Sessions look again after so much, for others add to it as well.
const LOOK_AGAIN: u64 = 32 << 20;

/// A file that is being written.
const DRAFT: &str = "draft-";
/// Seconds after which nobody writes it any more.
const ABANDONED: u64 = 24 * 60 * 60;

impl Answers {
    /// Opens the directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// See [`AnswersError`].
    pub fn open(path: &Path) -> Result<Self, AnswersError> {
        let failed = |error: rustix::io::Errno| AnswersError::Directory {
            path: path.to_owned(),
            source: error.into(),
        };
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let about = fstat(&directory).map_err(failed)?;
        if !is_ours(&about) || about.st_mode & 0o077 != 0 {
            return Err(AnswersError::Open(path.to_owned()));
        }
        let answers = Self { directory, room: AtomicU64::new(0), next: AtomicU64::new(0) };
        answers.make_room().map_err(failed)?;
        Ok(answers)
    }

    /// The answer under this key, if it is there whole.
    pub(super) fn read(&self, key: &str) -> Option<(Entry, Bytes)> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.directory, name_of(key), flags, Mode::empty()).ok()?;
        let about = fstat(&file).ok()?;
        let is_file = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
        let most = (LONGEST_HEAD + LONGEST) as u64;
        if !(is_file && is_ours(&about) && about.st_size.unsigned_abs() <= most) {
            return None;
        }
        let mut bytes = Vec::new();
        File::from(file).take(most).read_to_end(&mut bytes).ok()?;
        let (entry, body) = Entry::read(&bytes.into())?;
        (entry.key == key).then_some((entry, body))
    }

    /// Begins to write an answer down. `None` if that is not possible.
    pub(super) fn begin(self: &Arc<Self>, entry: &Entry) -> Option<Filling> {
        let head = entry.write();
        if head.len() > LONGEST_HEAD / 2 {
            return None;
        }
        let (now, next) = (super::now(), self.next.fetch_add(1, Relaxed));
        let draft = format!("{DRAFT}{now}-{}-{next}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(&self.directory, &draft, flags | OFlags::CLOEXEC, mode).ok()?;
        let mut filling = Filling {
            answers: Arc::clone(self),
            file: file.into(),
            draft,
            name: name_of(&entry.key),
            digest: Sha256::new(),
            left: LONGEST,
        };
        filling.write(&head).ok()?;
        Some(filling)
    }

    /// Takes the oldest out if there are too many, and what was abandoned.
    fn make_room(&self) -> rustix::io::Result<()> {
        let mut all = Vec::new();
        for found in Dir::read_from(&self.directory)? {
            let name = found?.file_name().to_owned();
            // What another session takes out meanwhile is not there.
            let Ok(about) = statat(&self.directory, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(about.st_mode) == FileType::RegularFile {
                let written = u64::try_from(about.st_mtime).unwrap_or_default();
                all.push((written, about.st_size.unsigned_abs(), name));
            }
        }
        all.sort();
        let mut total: u64 = all.iter().map(|(_, size, _)| size).sum();
        let too_much = total > MOST - LOOK_AGAIN;
        let now = super::now();
        for (written, size, name) in all {
            let is_draft = name.to_bytes().starts_with(DRAFT.as_bytes());
            let is_abandoned = is_draft && written.saturating_add(ABANDONED) < now;
            let is_surplus = !is_draft && too_much && total > LEFT;
            if (is_abandoned || is_surplus)
                && rustix::fs::unlinkat(&self.directory, &name, AtFlags::empty()).is_ok()
            {
                total -= size;
            }
        }
        self.room.store(LOOK_AGAIN.min(MOST.saturating_sub(total)), Relaxed);
        Ok(())
    }

    fn takes(&self, bytes: u64) {
        let taken = self.room.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(bytes));
        if taken.is_err() {
            // Answers that cannot be counted now are counted with the next one.
            let _ = self.make_room();
        }
    }
}

impl Filling {
    /// Adds to the body. `None` if it is too long, or cannot be written.
    pub(crate) fn add(mut self, piece: &[u8]) -> Option<Self> {
        self.left = self.left.checked_sub(piece.len())?;
        self.write(piece).ok()?;
        Some(self)
    }

    /// The body is complete. What cannot be kept is fetched once more another time.
    pub(crate) fn finish(mut self) {
        let seal = self.digest.clone().finalize();
        if self.file.write_all(&seal).is_err() {
            return;
        }
        self.answers.takes((LONGEST - self.left) as u64);
        let directory = &self.answers.directory;
        let _ = renameat(directory, &self.draft, directory, &self.name);
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        // Once it has its name, there is no draft.
        let _ = rustix::fs::unlinkat(&self.answers.directory, &self.draft, AtFlags::empty());
    }
}

fn is_ours(about: &Stat) -> bool {
    about.st_uid == rustix::process::geteuid().as_raw()
}

/// SHA-256 of a key, in hexadecimal.
fn name_of(key: &str) -> String {
    let mut name = String::new();
    for byte in Sha256::digest(key) {
        write!(name, "{byte:02x}").expect("a text takes what is written to it");
    }
    name
}
