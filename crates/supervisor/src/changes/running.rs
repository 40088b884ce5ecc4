//! Whether a session runs where changes are about to be made.

use std::io;
use std::path::Path;

use remit_audit::{Kind, SessionId};

/// A session that runs in this workspace, in one above it or in one inside it.
///
/// One that runs and has not written down yet where counts as well: it is about
/// to begin. What this does not see: a session that begins later, one of another
/// person's, and one that a `sandbox.write` leads here from elsewhere.
pub(super) fn session_at(state: &Path, workspace: &Path) -> io::Result<Option<SessionId>> {
    let sessions = remit_audit::sessions(state)?;
    let runs_here = |session: &SessionId| {
        let directory = session.directory(state);
        remit_audit::is_open(&directory) && may_run_at(&directory, workspace)
    };
    Ok(sessions.into_iter().rev().find(runs_here))
}

/// Whether a record says that its session runs there, or does not say where.
fn may_run_at(directory: &Path, workspace: &Path) -> bool {
    let first = remit_audit::events(directory).ok().and_then(|mut events| events.next());
    match first.and_then(Result::ok).map(|event| event.event) {
        Some(Kind::SessionStarted { workspace: theirs, .. }) => {
            let theirs = Path::new(theirs.as_os_str());
            theirs.starts_with(workspace) || workspace.starts_with(theirs)
        }
        // A person decides on changes; no agent runs.
        Some(Kind::ReviewStarted { .. }) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_audit::event::{ReviewAction, User};
    use remit_audit::{Record, Sync, Text};

    use crate::journal::now;

    #[test]
    fn a_session_that_has_not_said_where_it_runs_counts_and_a_review_does_not() {
        let state = tempfile::tempdir().expect("a directory");
        let session: SessionId = "s".parse().expect("a name");
        let here = |expected| {
            let found = session_at(state.path(), Path::new("/p")).expect("listed");
            assert_eq!(found, expected);
        };
        here(None);
        let mut record = Record::create(state.path(), session, Sync::Grouped).expect("a record");
        here(Some(session));
        let started = Kind::ReviewStarted {
            version: String::new(),
            action: ReviewAction::Apply,
            of: session,
            workspace: Text::from("/p"),
            user: User { uid: 0, name: String::new() },
            paths: None,
        };
        record.append(now(), started).expect("written");
        here(None);
        drop(record);
        here(None);
    }
}
