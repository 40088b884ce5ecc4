//! Making changes in the workspace itself, or throwing them away.
//!
//! Each is judged, recorded, and only then made; a file is complete before it
//! has its name. What was made is noted after it is on the disk; it waits no longer then.

use std::io;
use std::path::PathBuf;

use remit_approvals::wire;
use remit_audit::event::{ChangeKind, ReviewAction, User};
use remit_audit::{Kind, Record, SessionId, Sync, Text};

use super::ChangesError;
use super::change::Change;
use super::make::{Run, Stop};
use super::review::Review;
use crate::journal::now;
use crate::session::session_id;

/// What a person says to a change that needs a yes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Yes,
    No,
    /// There is nobody to ask.
    Unasked,
}

/// A change that was not made, and why.
#[derive(Clone, Debug)]
pub struct Left {
    pub change: Change,
    pub why: String,
}

/// What became of an application.
#[derive(Debug)]
pub struct Applied {
    pub done: Vec<PathBuf>,
    pub left: Vec<Left>,
    /// What went wrong at the first of `left`; nothing after it was tried.
    pub failed: Option<io::Error>,
    /// Where it is written down.
    pub record: SessionId,
    /// Whether nothing is kept any more.
    pub all: bool,
}

impl Review {
    /// Makes the changes at and below the given paths, or all, in the workspace.
    ///
    /// `force` overwrites what was changed in the workspace since the session
    /// began. `ask` is asked about each change with warnings; `progress` hears
    /// how many of how many are through.
    pub fn apply(
        &self,
        paths: &[PathBuf],
        force: bool,
        ask: &mut dyn FnMut(&Change) -> Choice,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Applied, ChangesError> {
        let all = self.changes()?;
        let chosen = self.chosen(&all, paths)?;
        let mut record = self.start_record(ReviewAction::Apply, Some(all.len()))?;
        let mut run = Run::new(self, &mut record);
        let mut applied = Applied {
            done: Vec::new(),
            left: Vec::new(),
            failed: None,
            record: run.session(),
            all: false,
        };
        let total = chosen.len();
        for (number, change) in chosen.into_iter().enumerate() {
            progress(number, total);
            let why = match obstacle(&change, &applied, force, ask) {
                Some(why) => why,
                None => match run.make(&change, force) {
                    Ok(()) => {
                        applied.done.push(change.path);
                        continue;
                    }
                    Err(Stop::Record(error)) => return Err(error),
                    Err(Stop::Conflict) => conflict(),
                    Err(Stop::Failed(error)) => {
                        applied.failed = Some(error);
                        "it failed".to_owned()
                    }
                },
            };
            applied.left.push(Left { change, why });
        }
        progress(total, total);
        if let Err(error) = run.set_modes() {
            applied.failed.get_or_insert(error);
        }
        rustix::fs::syncfs(&self.host).map_err(|errno| ChangesError::Workspace {
            path: self.workspace.clone(),
            source: errno.into(),
        })?;
        record.end(now()).map_err(|source| ChangesError::Write { source })?;
        self.note_done(&applied.done)?;
        applied.all = self.changes().is_ok_and(|rest| rest.is_empty());
        if applied.all {
            self.clear(&mut || {})?;
        }
        Ok(applied)
    }

    /// Throws everything away that is kept. Returns where that is written down.
    pub fn discard(&self, progress: &mut dyn FnMut()) -> Result<SessionId, ChangesError> {
        // What cannot be read can still be dropped.
        let paths = self.changes().ok().map(|changes| changes.len());
        let mut record = self.start_record(ReviewAction::Drop, paths)?;
        record.end(now()).map_err(|source| ChangesError::Write { source })?;
        self.clear(progress)?;
        Ok(record.session())
    }

    /// The changes at and below the paths, with the directories they need.
    fn chosen(&self, all: &[Change], paths: &[PathBuf]) -> Result<Vec<Change>, ChangesError> {
        if paths.is_empty() {
            return Ok(all.to_vec());
        }
        for path in paths {
            let (session, path) = (self.session, path.clone());
            if !all.iter().any(|change| change.path.starts_with(&path)) {
                return Err(ChangesError::NoSuchChange { session, path });
            }
        }
        let is_chosen = |change: &Change| {
            let needed = change.kind != ChangeKind::Modified
                && paths.iter().any(|path| path.starts_with(&change.path));
            needed || paths.iter().any(|path| change.path.starts_with(path))
        };
        Ok(all.iter().filter(|change| is_chosen(change)).cloned().collect())
    }

    fn start_record(
        &self,
        action: ReviewAction,
        paths: Option<usize>,
    ) -> Result<Record, ChangesError> {
        let session = session_id().map_err(|source| ChangesError::Name { source })?;
        let mut record = Record::create(&self.state, session, Sync::Grouped)
            .map_err(|source| ChangesError::Record { source })?;
        let uid = rustix::process::getuid().as_raw();
        let started = Kind::ReviewStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            action,
            of: self.session,
            workspace: Text::from(self.workspace.as_path()),
            user: User { uid, name: wire::person(uid) },
            paths: paths.and_then(|paths| u64::try_from(paths).ok()),
        };
        record.append(now(), started).map_err(|source| ChangesError::Write { source })?;
        Ok(record)
    }
}

fn conflict() -> String {
    "it was changed in the workspace since the session began; --force overwrites that".to_owned()
}

/// Why a change is not to be made.
fn obstacle(
    change: &Change,
    so_far: &Applied,
    force: bool,
    ask: &mut dyn FnMut(&Change) -> Choice,
) -> Option<String> {
    if so_far.failed.is_some() {
        return Some("not tried, since one before it failed".to_owned());
    }
    if let Some(reason) = change.barred {
        return Some(format!("never applied: {reason}"));
    }
    let stands_in_it = |left: &Left| change.path.starts_with(&left.change.path);
    if so_far.left.iter().any(stands_in_it) {
        return Some("what it is in was not applied".to_owned());
    }
    if change.conflict && !force {
        return Some(conflict());
    }
    if change.warnings.is_empty() {
        return None;
    }
    match ask(change) {
        Choice::Yes => None,
        Choice::No => Some("you said no".to_owned()),
        Choice::Unasked => Some(format!("it needs --yes: {}", change.warnings.join("; "))),
    }
}
