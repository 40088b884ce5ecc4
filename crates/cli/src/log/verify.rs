//! Says of each session whether its record is what was written.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use remit_approvals::words;
use remit_audit::{Outcome, PublicKey, SessionId};

use super::LogError;

/// Exit status 1 if any record is bad.
pub(super) fn write(
    out: &mut impl Write,
    state: &Path,
    sessions: &[SessionId],
    key: &Path,
    json: bool,
) -> Result<ExitCode, LogError> {
    let mut status = ExitCode::SUCCESS;
    if sessions.is_empty() {
        return Ok(status);
    }
    let key = PublicKey::load(key)?;
    for session in sessions {
        let report = remit_audit::verify(&session.directory(state), *session, &key)?;
        if report.outcome == Outcome::Bad {
            status = ExitCode::FAILURE;
        }
        if json {
            let report = serde_json::to_string(&report).expect("a report is strings and numbers");
            writeln!(out, "{report}")?;
        } else {
            writeln!(out, "{session}  {}", words::plain(&report.to_string()))?;
        }
    }
    out.flush()?;
    Ok(status)
}
