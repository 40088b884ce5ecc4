//! The sessions that left changes, a line each.

use std::io::Write;

use remit_approvals::words;
use remit_audit::{SessionId, Text};
use remit_supervisor::Places;
use remit_supervisor::changes::Review;
use serde_json::json;

use super::CommandError;
use crate::log::units;

/// Newest first.
pub(super) fn write(
    out: &mut impl Write,
    places: &Places,
    sessions: &[SessionId],
    json: bool,
) -> Result<(), CommandError> {
    for session in sessions.iter().rev() {
        let review = Review::open(places, *session);
        let counted = review.and_then(|review| Ok((review.changes()?.len() as u64, review)));
        let line = match (counted, json) {
            (Ok((paths, review)), false) => {
                let state = if review.in_use { "running" } else { "waiting" };
                let workspace = words::plain(&review.workspace.to_string_lossy());
                format!("{session}  {state}  {:>12}  {workspace}", units::count(paths, "change"))
            }
            (Ok((paths, review)), true) => json!({
                "session": session,
                "state": if review.in_use { "running" } else { "waiting" },
                "changes": paths,
                "workspace": Text::from(review.workspace.as_path()),
            })
            .to_string(),
            // Listed all the same, so that it can be dropped.
            (Err(error), false) => format!("{session}  unreadable: {error}"),
            (Err(error), true) => {
                json!({ "session": session, "state": "unreadable", "error": error.to_string() })
                    .to_string()
            }
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}
