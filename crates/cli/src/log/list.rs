//! The sessions, two lines each.

use std::io::Write;
use std::path::Path;

use jiff::tz::TimeZone;
use remit_approvals::words;
use remit_audit::event::ReviewAction;
use remit_audit::{Event, Kind, SessionId, Text, Verdict};
use remit_policy::show;
use serde_json::json;

use super::timeline::Page;
use super::{LogError, load, units};

/// Newest first.
pub(super) fn write(
    out: &mut impl Write,
    state: &Path,
    sessions: &[SessionId],
    page: &Page,
    json: bool,
) -> Result<(), LogError> {
    for session in sessions.iter().rev() {
        let summary = Summary::load(state, *session);
        if json {
            writeln!(out, "{}", summary.json())?;
        } else {
            out.write_all(summary.text(page).as_bytes())?;
        }
    }
    Ok(())
}

/// A session at a glance.
struct Summary {
    session: SessionId,
    /// UTC, nanoseconds since 1970; absent if it never came to start.
    started: Option<u64>,
    agent: String,
    command: Vec<Text>,
    workspace: Text,
    /// From the first event to the last, in nanoseconds.
    took: u64,
    execs: u64,
    connects: u64,
    refusals: u64,
    questions: u64,
    /// How often each tier decided, once the session has ended.
    tiers: Option<serde_json::Value>,
    state: &'static str,
}

impl Summary {
    fn load(state: &Path, session: SessionId) -> Self {
        let directory = session.directory(state);
        // Asked first: a session that ends in between is then called running,
        // which it was, and not dead.
        let open = remit_audit::is_open(&directory);
        let (events, problem) = match load(&directory) {
            Ok((events, problem)) => (events, problem.is_some()),
            Err(_) => (Vec::new(), true),
        };
        let mut summary = Self::of(session, &events);
        let ended =
            matches!(events.last().map(|event| &event.event), Some(Kind::SessionEnded { .. }));
        summary.state = match (problem, ended, open) {
            (true, _, _) => "damaged",
            (false, true, _) => "ended",
            (false, false, true) => "running",
            (false, false, false) => "died",
        };
        summary
    }

    fn of(session: SessionId, events: &[Event]) -> Self {
        let number =
            |of: fn(&Kind) -> bool| events.iter().filter(|event| of(&event.event)).count() as u64;
        let mut summary = Self {
            session,
            started: None,
            agent: String::new(),
            command: Vec::new(),
            workspace: Text::default(),
            took: match events {
                [first, .., last] => last.mono.saturating_sub(first.mono),
                _ => 0,
            },
            execs: number(
                |kind| matches!(kind, Kind::Exec { verdict, .. } if *verdict != Verdict::Refuse),
            ),
            connects: number(|kind| matches!(kind, Kind::Connect { .. })),
            refusals: number(|kind| matches!(kind, Kind::Refusal { .. })),
            questions: number(|kind| matches!(kind, Kind::Question { .. })),
            tiers: events.iter().rev().find_map(|event| tiers(&event.event)),
            state: "",
        };
        if let Some(first) = events.first()
            && let Kind::SessionStarted { agent, command, workspace, .. } = &first.event
        {
            summary.started = Some(first.time);
            summary.agent.clone_from(agent);
            summary.command.clone_from(command);
            summary.workspace.clone_from(workspace);
        }
        if let Some(first) = events.first()
            && let Kind::ReviewStarted { action, of, workspace, .. } = &first.event
        {
            let action = match action {
                ReviewAction::Apply => "apply",
                ReviewAction::Drop => "drop",
            };
            let words = ["remit", "changes", action, of.as_str()];
            summary.started = Some(first.time);
            summary.agent = "review".to_owned();
            summary.command = words.into_iter().map(Text::from).collect();
            summary.workspace.clone_from(workspace);
        }
        summary
    }

    fn text(&self, page: &Page) -> String {
        let argv: Vec<_> = self.command.iter().cloned().map(Into::into).collect();
        let when =
            self.started.map_or_else(|| "never started".to_owned(), |time| local(time, &page.zone));
        let first = format!("{}  {when}  {}  ", self.session, self.state);
        let room = page.width.saturating_sub(words::width(&first));
        let command = units::shorten(&words::plain(&show::command(&argv)), room.max(12));
        let second = format!(
            "    {}, {}, {}, {} in {}",
            units::count(self.execs, "exec"),
            units::count(self.connects, "connect"),
            units::count(self.refusals, "refusal"),
            units::count(self.questions, "question"),
            units::duration(self.took),
        );
        let place = words::plain(&self.workspace.escaped());
        let room = page.width.saturating_sub(words::width(&second) + 5);
        let place = units::shorten(&place, room.max(12));
        format!(
            "{}\n{}\n",
            format!("{first}{command}").trim_end(),
            format!("{second}  {place}").trim_end()
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "session": self.session,
            "started": self.started,
            "agent": self.agent,
            "command": self.command,
            "workspace": self.workspace,
            "took_ns": self.took,
            "execs": self.execs,
            "connects": self.connects,
            "refusals": self.refusals,
            "questions": self.questions,
            "tiers": self.tiers,
            "state": self.state,
        })
    }
}

fn tiers(event: &Kind) -> Option<serde_json::Value> {
    let Kind::Tiers { rule, precedent, reviewer, person, nobody } = event else { return None };
    Some(json!({
        "rule": rule,
        "precedent": precedent,
        "reviewer": reviewer,
        "person": person,
        "nobody": nobody,
    }))
}

/// Such as `21 Nov 2026 04:15`.
fn local(time: u64, zone: &TimeZone) -> String {
    jiff::Timestamp::from_nanosecond(time.into()).map_or_else(
        |_| time.to_string(),
        |time| time.to_zoned(zone.clone()).strftime("%-d %b %Y %H:%M").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::timeline::Colours;
    use remit_audit::{At, Record, Sync};

    const AT: At = At { wall_ns: 1_795_234_500_000_000_000, mono_ns: 7 };

    fn text(state: &Path, width: usize) -> String {
        let page = Page { width, colours: Colours::Off, zone: TimeZone::UTC };
        let mut out = Vec::new();
        let sessions = remit_audit::sessions(state).expect("listed");
        write(&mut out, state, &sessions, &page, false).expect("memory");
        String::from_utf8(out).expect("text")
    }

    fn record(state: &Path, session: &str) -> Record {
        let session = session.parse().expect("a name");
        Record::create(state, session, Sync::Grouped).expect("a record")
    }

    #[test]
    fn a_session_is_running_then_ended_or_died_and_never_hides_damage() {
        let state = tempfile::tempdir().expect("a directory");
        let mut first = record(state.path(), "a");
        first
            .append(AT, Kind::Degraded { what: String::new(), why: String::new() })
            .expect("written");
        first.end(At { mono_ns: 4_200_000_007, ..AT }).expect("written");
        drop(first);
        let second = record(state.path(), "b");
        let expected = "b  never started  running\n    0 execs, 0 connects, 0 refusals, 0 questions in 0ms\n\
                        a  never started  ended\n    0 execs, 0 connects, 0 refusals, 0 questions in 4.2s\n";
        assert_eq!(text(state.path(), 80), expected);
        drop(second);
        assert!(text(state.path(), 80).starts_with("b  never started  died\n"));
        std::fs::write(state.path().join("sessions/b/record.jsonl"), "{}\n").expect("damaged");
        assert!(text(state.path(), 80).starts_with("b  never started  damaged\n"));
    }

    #[test]
    fn json_is_one_object_per_session() {
        let state = tempfile::tempdir().expect("a directory");
        drop(record(state.path(), "a"));
        let mut out = Vec::new();
        let page = Page { width: 80, colours: Colours::Off, zone: TimeZone::UTC };
        write(&mut out, state.path(), &["a".parse().expect("a name")], &page, true)
            .expect("memory");
        let value: serde_json::Value = serde_json::from_slice(&out).expect("one object");
        assert_eq!(
            (&value["session"], &value["state"], &value["execs"]),
            (&json!("a"), &json!("died"), &json!(0))
        );
    }
}
