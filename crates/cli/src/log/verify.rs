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

#[cfg(test)]
mod tests {
    use super::*;
    use remit_audit::{At, Record, Sync};

    #[test]
    fn one_bad_record_is_enough_to_fail() {
        let state = tempfile::tempdir().expect("a directory");
        let sessions = ["a", "b"].map(|name| name.parse().expect("a name"));
        for session in sessions {
            let mut record =
                Record::create(state.path(), session, Sync::Grouped).expect("a record");
            record.end(At { wall_ns: 1, mono_ns: 1 }).expect("written");
        }
        let key = state.path().join("key.pub");
        let check = |json, expected: ExitCode, text: &str| {
            let mut out = Vec::new();
            let code = write(&mut out, state.path(), &sessions, &key, json).expect("verified");
            assert_eq!(String::from_utf8(out).expect("text"), text);
            assert_eq!(format!("{code:?}"), format!("{expected:?}"));
        };
        let intact = "intact: 1 event, all covered by 2 checkpoints";
        check(false, ExitCode::SUCCESS, &format!("a  {intact}\nb  {intact}\n"));
        std::fs::remove_file(state.path().join("sessions/a/record.jsonl")).expect("removed");
        check(
            false,
            ExitCode::FAILURE,
            &format!("a  bad: there is no `record.jsonl`\nb  {intact}\n"),
        );
        check(
            true,
            ExitCode::FAILURE,
            "{\"session\":\"a\",\"outcome\":\"bad\",\"bad\":{\"record\":null,\"line\":null,\"checkpoint\":null,\
             \"fault\":\"no_record\",\"message\":\"there is no `record.jsonl`\"},\"events\":0,\"covered\":0,\
             \"uncovered\":0,\"checkpoints\":0,\"ended\":false,\"incomplete_event\":false,\
             \"incomplete_checkpoint\":false}\n\
             {\"session\":\"b\",\"outcome\":\"intact\",\"bad\":null,\"events\":1,\"covered\":1,\
             \"uncovered\":0,\"checkpoints\":2,\"ended\":true,\"incomplete_event\":false,\
             \"incomplete_checkpoint\":false}\n",
        );
    }
}
