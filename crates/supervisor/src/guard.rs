//! The one who writes: every name that is made or changed inside, and every
//! file opened for writing, is judged here, and then made, changed or opened
//! here for the caller, who gets the result.
//!
//! Nothing is continued, so nothing the caller does to its memory meanwhile
//! matters. The directory a name lies in is opened first and stays open; what is
//! judged is the path of that open directory and the name, and what is done is
//! done to that very directory and name. One thread does all of it, so no name
//! moves between judging and doing unless a program of the host moves it.
//!
//! Two layers stand behind it: the view's read-only mounts hold here as well,
//! because files are opened through the session's own mounts; and the floor lets
//! the callers themselves make and write nothing in the workspace. In a tier
//! without a view of its own the floor is the only one, and what mounts do in the
//! others is done here ([`HostView`]).

mod act;
mod attributes;
mod caller;
mod git;
mod host_view;
mod open;
mod pins;
mod walk;

pub(crate) use open::Errand;

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use remit_audit::{Kind, Text, Tried};
use remit_policy::{Change, FileWrite, Refusal, Verdict, Writing};
use remit_sandbox::notify::{FileCall, Listener, Notification};
use rustix::fs::{Access, AtFlags, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::gate::Gate;
use crate::process::Facts;
use caller::{Caller, Masks};
pub(crate) use host_view::HostView;
use pins::Pins;
use walk::Walker;

/// Performs trapped file calls; see above. Belongs to one thread.
#[derive(Debug)]
pub(crate) struct Guard {
    gate: Arc<Gate>,
    writing: Writing,
    /// Files known under a name where they must not be written; another name of
    /// theirs does not help.
    known: HashSet<(u64, u64)>,
    /// Set where the session has no view of its own.
    view: Option<HostView>,
    /// The session's root directory, once anybody has asked for something.
    root: Option<OwnedFd>,
    masks: Masks,
    told: Told,
    /// Approved scripts that must stay as they are.
    pub(crate) pins: Pins,
    /// Held while something is judged and done, by one session of this person at a
    /// time: what one has judged, another could move.
    turn: File,
}

/// What has been written down already, so that a program that tries again and
/// again does not fill the record.
#[derive(Debug, Default)]
struct Told {
    refused: HashSet<u64>,
    handed: HashSet<u64>,
    /// Paths are kept as numbers that nobody inside can foresee.
    numbers: RandomState,
}

impl Told {
    /// As many different paths as are told apart. More are written down each
    /// time they are tried.
    const MOST: usize = 65_536;

    fn refusal_is_new(&mut self, path: &Path) -> bool {
        Self::is_new(&mut self.refused, self.numbers.hash_one(path))
    }

    fn handoff_is_new(&mut self, path: &Path) -> bool {
        Self::is_new(&mut self.handed, self.numbers.hash_one(path))
    }

    fn is_new(known: &mut HashSet<u64>, path: u64) -> bool {
        if known.len() >= Self::MOST { !known.contains(&path) } else { known.insert(path) }
    }
}

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Done {
    /// It was done.
    Plainly,
    /// The caller gets this file.
    File { file: OwnedFd, close_on_exec: bool },
    /// The caller gets this number.
    Number(i32),
    /// It would wait for another program; somebody else waits instead of us.
    Later(Errand),
}

/// Why it was not done.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// As the kernel would say it.
    Failed(Errno),
    /// The policy said no.
    Refused(Box<Refusal>),
    /// The policy said no to what the caller could not have done anywhere: the
    /// place is read-only to it, and the caller's own words say so best.
    Outside,
}

impl From<Errno> for NotDone {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl NotDone {
    pub(crate) fn errno(&self) -> i32 {
        match self {
            NotDone::Failed(errno) => errno.raw_os_error(),
            NotDone::Refused(_) => Errno::ACCESS.raw_os_error(),
            NotDone::Outside => Errno::ROFS.raw_os_error(),
        }
    }
}

impl Guard {
    /// `turn` is a file that all sessions of this person share.
    pub(crate) fn new(
        gate: Arc<Gate>,
        writing: Writing,
        known: HashSet<(u64, u64)>,
        view: Option<HostView>,
        turn: File,
    ) -> Self {
        let (masks, told, pins) = (Masks::default(), Told::default(), Pins::default());
        Self { gate, writing, known, view, root: None, masks, told, pins, turn }
    }

    /// Does what a caller asked for, if it may.
    pub(crate) fn serve(
        &mut self,
        listener: &Listener,
        call: &Notification,
        what: FileCall,
    ) -> Result<Done, NotDone> {
        if self.root.is_none() {
            let root = format!("/proc/{}/root", call.task);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(root, flags, Mode::empty())?;
            // It was the caller's only if the caller still waits.
            if !listener.is_waiting(call) {
                return Err(Errno::INTR.into());
            }
            self.root = Some(root);
        }
        let caller = Caller::new(call.task);
        let read = act::read(&caller, what)?;
        if !listener.is_waiting(call) {
            return Err(Errno::INTR.into());
        }
        flock(&self.turn, FlockOperation::LockExclusive)?;
        let done = self.act(&caller, read);
        flock(&self.turn, FlockOperation::Unlock)?;
        done
    }

    /// The caller's file mode mask becomes this.
    pub(crate) fn mask(&mut self, task: u32, mask: u32) {
        self.masks.set(task, mask);
    }

    /// The process with this number is another program now.
    pub(crate) fn forget(&mut self, process: u32) {
        self.masks.forget(process);
    }

    fn walker<'a>(&'a self, caller: &'a Caller) -> Result<Walker<'a>, NotDone> {
        let root = self.root.as_ref().ok_or(NotDone::Failed(Errno::ACCESS))?;
        Ok(Walker { root, caller, is_hosts: self.view.is_some() })
    }

    /// Judges one change of one name, without a word.
    fn asks(&self, path: &Path, change: Change) -> Result<(), Box<Refusal>> {
        if let Some(refusal) = self.pins.refuse_name(path, change) {
            return Err(Box::new(refusal));
        }
        let attempt = FileWrite { path: path.to_path_buf(), change };
        match self.writing.judge(attempt.clone()) {
            Verdict::Allow(permit) => {
                let _ = permit.spend();
                self.object_in_bare(&attempt)
            }
            Verdict::Refuse(refusal) => Err(Box::new(refusal)),
            Verdict::Ask(question) => Err(Box::new(question.unanswered("another name"))),
        }
    }

    /// Judges one change of one name, and writes a no down.
    fn judge(&mut self, caller: &Caller, path: &Path, change: Change) -> Result<(), NotDone> {
        self.asks(path, change).map_err(|refusal| self.refused(caller, path, refusal))
    }

    fn refused(&mut self, caller: &Caller, path: &Path, refusal: Box<Refusal>) -> NotDone {
        let outside = !self.writing.is_within(path);
        if outside && !self.could_have(path) {
            // The caller's own rights say no; that is nothing of ours.
            return NotDone::Failed(Errno::ACCESS);
        }
        if self.told.refusal_is_new(path) {
            let detail = vec![Text::from(path)];
            let written = self
                .facts(caller)
                .and_then(|facts| self.gate.record_refused(&facts, Tried::Write, detail, &refusal));
            if written.is_err() {
                return NotDone::Failed(Errno::IO);
            }
        }
        if outside { NotDone::Outside } else { NotDone::Refused(refusal) }
    }

    /// Whether the caller could change this path, or make it, were the view not
    /// read-only. We have its rights, no more.
    fn could_have(&self, path: &Path) -> bool {
        let Some(root) = &self.root else { return true };
        let inside = |path: &Path| {
            let path = path.strip_prefix("/").unwrap_or(path);
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            rustix::fs::accessat(root, path, Access::WRITE_OK, AtFlags::empty())
        };
        let said = match inside(path) {
            Err(Errno::NOENT) => path.parent().map_or(Ok(()), inside),
            other => other,
        };
        said != Err(Errno::ACCESS)
    }

    /// Writes down that something was written that a program outside will obey.
    fn hand_off(&mut self, caller: &Caller, path: &Path) -> Result<(), NotDone> {
        let Some(why) = self.writing.handoff(path) else { return Ok(()) };
        if !self.told.handoff_is_new(path) {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            let process = self.facts(caller)?.event();
            let path = Text::from(path);
            let event = Kind::Handoff { process, path, why: why.to_owned() };
            self.gate.journal.write(event).map_err(io::Error::other)
        };
        write().map_err(|_| NotDone::Failed(Errno::IO))
    }

    fn facts(&self, caller: &Caller) -> io::Result<Facts> {
        Facts::of(caller.task)
    }
}
