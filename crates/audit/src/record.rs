//! Writes a record.
//!
//! An event is one `write`; from then on it survives our death. It survives a
//! power cut once a commit has synced it, and a checkpoint signs only what was
//! synced. The checkpoint itself reaches the disk with the system's next
//! writeback (at the end of the session: at once), so that a power cut can leave
//! the last events uncovered, never a checkpoint over events that are gone.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use crate::chain::{self, Digest, MAX_LINE};
use crate::checkpoint::Checkpoint;
use crate::event::{At, Event, Kind};
use crate::files::{self, Before};
use crate::key::{DeviceKey, KeyError};
use crate::session::SessionId;

/// What waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Answers, refusals and the end at once; the rest when the
    /// caller commits.
    Grouped,
    /// Every event at once.
    Always,
}

/// The record of one session, open for appending.
///
/// INVARIANT: after a failed or short write, a failed sync, or when somebody
/// else touched the files, every further append fails. Unrecorded means
/// unpermitted, so the session can do nothing more.
#[derive(Debug)]
pub struct Record {
    session: SessionId,
    sync: Sync,
    key: Arc<DeviceKey>,
    log: Log,
    checkpoints: Log,
    /// `sessions` and the session's own directory.
    directories: Arc<[OwnedFd; 2]>,
    /// Whether the directories have been synced.
    rooted: bool,
    phase: Phase,
    head: Digest,
    /// The head before the last event.
    before: Digest,
    events: u64,
    refusals: u64,
    questions: u64,
    /// How many events the last checkpoint covers.
    covered: u64,
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Ended,
    Failed,
}

/// A file that only we append to, and how long it must be by now.
#[derive(Debug)]
struct Log {
    file: Arc<OwnedFd>,
    length: u64,
}

/// Why a record cannot be started. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("cannot use `{}` to keep records in", path.display())]
    State { path: PathBuf, source: io::Error },
    #[error("cannot start a record in `{}`", path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error("there is a record of session `{session}` already; choose another name")]
    Exists { session: SessionId },
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why an event is not in the record, or is there but not known to be safe.
/// Whatever depended on it must not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the record of this session failed earlier and takes no more events; end the session")]
    Failed,
    #[error("the record of this session has ended and takes no more events")]
    Ended,
    #[error("an event of {length} bytes is longer than a record takes ({MAX_LINE})")]
    TooLong { length: usize },
    #[error(
        "cannot write event {seq} to the record; end the session and see whether the disk is full"
    )]
    Write { seq: u64, source: io::Error },
    #[error("cannot bring the record to the disk; end the session and check the disk")]
    Sync { source: io::Error },
    #[error(
        "cannot write a checkpoint of the record; end the session and see whether the disk is full"
    )]
    Checkpoint { source: io::Error },
    #[error("somebody else {what} of this session; end the session and find out who")]
    Disturbed { what: &'static str },
}

impl Record {
    /// Starts the record of a session under `state`, making directories and the
    /// device's key where they are missing.
    pub fn create(state: &Path, session: SessionId, sync: Sync) -> Result<Self, CreateError> {
        let in_state = |source| CreateError::State { path: state.to_owned(), source };
        let top = files::state(state).map_err(in_state)?;
        let key = DeviceKey::load(top.as_fd(), state)?;
        let sessions =
            files::directory(top.as_fd(), "sessions", Before::Maybe).map_err(in_state)?;
        let own =
            files::directory(sessions.as_fd(), session.as_str(), Before::No).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::AlreadyExists => CreateError::Exists { session },
                    _ => CreateError::Files { path: session.directory(state), source },
                }
            })?;
        let start = || -> io::Result<(Log, Log)> {
            let mut checkpoints = Log::create(&own, "checkpoints")?;
            let empty = Checkpoint { session, events: 0, head: Digest::first(&session) };
            checkpoints.append(empty.sign(&key).as_bytes())?;
            let log = Log::create(&own, "record.jsonl")?;
            // For `is_open` alone, so nothing depends on getting it.
            let _ = rustix::fs::flock(&log.file, FlockOperation::NonBlockingLockExclusive);
            Ok((log, checkpoints))
        };
        let (log, checkpoints) = start().map_err(|source| {
            files::remove_session(&sessions, &own, session.as_str());
            CreateError::Files { path: session.directory(state), source }
        })?;
        Ok(Self {
            session,
            sync,
            key: Arc::new(key),
            log,
            checkpoints,
            directories: Arc::new([sessions, own]),
            rooted: false,
            phase: Phase::Open,
            head: Digest::first(&session),
            before: Digest::first(&session),
            events: 0,
            refusals: 0,
            questions: 0,
            covered: 0,
            line: Vec::with_capacity(4096),
        })
    }

    /// Writes an event down and returns its number.
    ///
    /// It waits for the disk if [`Kind::is_synced_at_once`] or [`Sync::Always`]
    /// says so.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; whatever depended on the event must not happen.
    pub fn append(&mut self, at: At, kind: Kind) -> Result<u64, AppendError> {
        self.ready()?;
        if self.phase == Phase::Ended {
            return Err(AppendError::Ended);
        }
        let at_once = self.sync == Sync::Always || kind.is_synced_at_once();
        let seq = self.events;
        let event = Event {
            seq,
            time: at.wall_ns,
            mono: at.mono_ns,
            session: self.session,
            prev: self.head,
            event: kind,
        };
        self.write(&event)?;
        match event.event {
            Kind::Refusal { .. } => self.refusals += 1,
            Kind::Question { .. } => self.questions += 1,
            Kind::SessionEnded { .. } => self.phase = Phase::Ended,
            _ => {}
        }
        if at_once {
            self.commit()?;
        }
        Ok(seq)
    }

    /// Writes the last word, [`Kind::SessionEnded`], with the record's own counts.
    pub fn end(&mut self, at: At) -> Result<u64, AppendError> {
        let (refusals, questions) = (self.refusals, self.questions);
        self.append(at, Kind::SessionEnded { events: self.events + 1, refusals, questions })
    }

    /// Takes everything back, for a session that did not come to start.
    pub fn discard(self) {
        let [sessions, own] = &*self.directories;
        files::remove_session(sessions, own, self.session.as_str());
    }

    /// Whether there are events that no checkpoint covers.
    pub fn dirty(&self) -> bool {
        self.covered < self.events
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Brings everything so far to the disk and signs it.
    pub fn commit(&mut self) -> Result<(), AppendError> {
        match self.begin_commit()? {
            Some(pending) => self.finish(pending.sync()),
            None => Ok(()),
        }
    }

    /// The first third of a commit, for a caller that shares the record: under
    /// the lock begin, without it [`Pending::sync`], under it
    /// [`finish`](Self::finish). Nobody then waits for the disk to append. None
    /// if there is nothing to commit. A commit that is dropped midway is as if it
    /// had not begun.
    pub fn begin_commit(&mut self) -> Result<Option<Pending>, AppendError> {
        self.ready()?;
        if !self.dirty() {
            return Ok(None);
        }
        if let Some(what) = self.log.disturbed(["removed the record", "changed the record"]) {
            return Err(self.fail(AppendError::Disturbed { what }));
        }
        let checkpoint = |events, head| Checkpoint { session: self.session, events, head };
        // Nothing will ever continue the last word, so a checkpoint before it
        // lets a change there be told from one in the events before.
        let before_the_last = self.phase == Phase::Ended && self.covered + 1 < self.events;
        Ok(Some(Pending {
            file: Arc::clone(&self.log.file),
            directories: (!self.rooted).then(|| Arc::clone(&self.directories)),
            key: Arc::clone(&self.key),
            earlier: before_the_last.then(|| checkpoint(self.events - 1, self.before)),
            checkpoint: checkpoint(self.events, self.head),
        }))
    }

    /// The last third of a commit: writes the checkpoint, or fails the record if
    /// the sync had failed.
    pub fn finish(&mut self, signed: Signed) -> Result<(), AppendError> {
        self.ready()?;
        let notes = signed.notes.map_err(|source| self.fail(AppendError::Sync { source }))?;
        if signed.events <= self.covered {
            return Ok(()); // Another commit overtook this one.
        }
        if let Some(what) =
            self.checkpoints.disturbed(["removed the checkpoints", "changed the checkpoints"])
        {
            return Err(self.fail(AppendError::Disturbed { what }));
        }
        let ended = self.phase == Phase::Ended;
        let written = self.checkpoints.append(notes.as_bytes()).and_then(|()| match ended {
            true => Ok(rustix::fs::fdatasync(&self.checkpoints.file)?),
            false => Ok(()),
        });
        written.map_err(|source| self.fail(AppendError::Checkpoint { source }))?;
        self.covered = signed.events;
        self.rooted = true;
        Ok(())
    }

    fn write(&mut self, event: &Event) -> Result<(), AppendError> {
        self.line.clear();
        // One huge command must not hold its memory for the whole session.
        self.line.shrink_to(64 << 10);
        chain::encode(event, &mut self.line);
        if self.line.len() > MAX_LINE {
            return Err(AppendError::TooLong { length: self.line.len() });
        }
        // Failed until the chain has taken the line in, so that a panic in
        // between leaves a record that refuses, not one that goes on wrongly.
        let phase = std::mem::replace(&mut self.phase, Phase::Failed);
        self.log
            .append(&self.line)
            .map_err(|source| AppendError::Write { seq: event.seq, source })?;
        self.before = self.head;
        self.head = Digest::of(&self.line[..self.line.len() - 1]);
        self.events += 1;
        self.phase = phase;
        Ok(())
    }

    fn ready(&self) -> Result<(), AppendError> {
        match self.phase {
            Phase::Failed => Err(AppendError::Failed),
            Phase::Open | Phase::Ended => Ok(()),
        }
    }

    fn fail(&mut self, error: AppendError) -> AppendError {
        self.phase = Phase::Failed;
        error
    }
}

/// A commit that waits for the disk.
#[must_use = "a commit that is not synced and finished did not happen"]
#[derive(Debug)]
pub struct Pending {
    file: Arc<OwnedFd>,
    directories: Option<Arc<[OwnedFd; 2]>>,
    key: Arc<DeviceKey>,
    earlier: Option<Checkpoint>,
    checkpoint: Checkpoint,
}

impl Pending {
    /// Waits for the disk, then signs. The result, good or bad, belongs into
    /// [`Record::finish`].
    pub fn sync(self) -> Signed {
        let synced = || -> io::Result<()> {
            rustix::fs::fdatasync(&self.file)?;
            for directory in self.directories.iter().flat_map(|both| both.iter()) {
                rustix::fs::fsync(directory)?;
            }
            Ok(())
        };
        let notes = || {
            let both = self.earlier.iter().chain([&self.checkpoint]);
            both.map(|checkpoint| checkpoint.sign(&self.key)).collect()
        };
        Signed { events: self.checkpoint.events, notes: synced().map(|()| notes()) }
    }
}

/// A commit that has been to the disk.
#[must_use = "a commit that is not finished did not happen"]
#[derive(Debug)]
pub struct Signed {
    events: u64,
    notes: io::Result<String>,
}

impl Log {
    fn create(directory: &OwnedFd, name: &str) -> io::Result<Self> {
        let file = Arc::new(files::create(directory.as_fd(), name)?);
        Ok(Self { file, length: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        files::write_once(&self.file, bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// What somebody else did to the file, in the words for having removed and
    /// having changed it. A file that cannot be looked at counts as changed.
    fn disturbed(&self, [removed, changed]: [&'static str; 2]) -> Option<&'static str> {
        match rustix::fs::fstat(&self.file) {
            Ok(stat) if stat.st_nlink == 0 => Some(removed),
            Ok(stat) if u64::try_from(stat.st_size) == Ok(self.length) => None,
            _ => Some(changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};

    const AT: At = At { wall_ns: 1, mono_ns: 2 };

    fn degraded() -> Kind {
        Kind::Degraded { what: "udp".to_owned(), why: "a test".to_owned() }
    }

    fn record(state: &tempfile::TempDir) -> Record {
        Record::create(state.path(), "s".parse().expect("a name"), Sync::Grouped).expect("a record")
    }

    #[test]
    fn after_a_failed_write_nothing_is_taken_any_more() {
        let state = tempfile::tempdir().expect("a directory");
        let mut record = record(&state);
        let real = Arc::clone(&record.log.file);
        // SOURCE: full(4): writing to it fails with ENOSPC.
        let full = rustix::fs::open("/dev/full", OFlags::WRONLY, Mode::empty()).expect("/dev/full");
        record.log.file = Arc::new(full);
        assert!(matches!(record.append(AT, degraded()), Err(AppendError::Write { seq: 0, .. })));
        record.log.file = real;
        assert!(matches!(record.append(AT, degraded()), Err(AppendError::Failed)));
        assert!(matches!(record.end(AT), Err(AppendError::Failed)));
        assert!(matches!(record.commit(), Err(AppendError::Failed)));
    }

    #[test]
    fn a_failed_sync_fails_the_record_although_nobody_held_it() {
        let state = tempfile::tempdir().expect("a directory");
        let mut record = record(&state);
        record.append(AT, degraded()).expect("written");
        let mut pending = record.begin_commit().expect("healthy").expect("dirty");
        // A pipe cannot be synced (EINVAL).
        pending.file = Arc::new(std::io::pipe().expect("a pipe").1.into());
        assert!(matches!(record.finish(pending.sync()), Err(AppendError::Sync { .. })));
        assert!(matches!(record.append(AT, degraded()), Err(AppendError::Failed)));
    }

    #[test]
    fn a_commit_that_was_overtaken_signs_nothing() {
        let state = tempfile::tempdir().expect("a directory");
        let mut record = record(&state);
        record.append(AT, degraded()).expect("written");
        let slow = record.begin_commit().expect("healthy").expect("dirty").sync();
        record.append(AT, degraded()).expect("written");
        record.commit().expect("committed");
        let length = record.checkpoints.length;
        record.finish(slow).expect("overtaken");
        assert_eq!((record.checkpoints.length, record.dirty()), (length, false));
    }

    #[test]
    fn a_record_that_somebody_removed_or_changed_takes_nothing_more() {
        for (file, disturb) in [
            ("record.jsonl", (|path| std::fs::remove_file(path)) as fn(&Path) -> io::Result<()>),
            ("record.jsonl", |path| std::fs::write(path, "x")),
            ("checkpoints", |path| std::fs::remove_file(path)),
            ("checkpoints", |path| std::fs::write(path, "")),
        ] {
            let state = tempfile::tempdir().expect("a directory");
            let mut record = record(&state);
            record.append(AT, degraded()).expect("written");
            disturb(&state.path().join("sessions/s").join(file)).expect("disturbed");
            assert!(matches!(record.commit(), Err(AppendError::Disturbed { .. })), "{file}");
            assert!(matches!(record.append(AT, degraded()), Err(AppendError::Failed)));
        }
    }
}
