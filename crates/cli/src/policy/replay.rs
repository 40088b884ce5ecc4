//! What another policy would have decided about what was tried.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use remit_approvals::words;
use remit_audit::{PublicKey, SessionId};
use remit_policy::past::Ruled;
use remit_policy::{Decision, Grants, Layer, PolicyText};
use remit_supervisor::{Places, Standpoint, files};
use serde_json::{Value, json};

use super::PolicyCliError;
use super::recorded::{self, Recorded, is_yes};
use crate::explain::word;
use crate::log::{self, Out};

/// The other policy.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) policy: PathBuf,
    pub(super) layer: Layer,
    /// Nothing of what is in force now stays beside it.
    pub(super) instead: bool,
}

/// Something that would have been decided differently.
#[derive(Debug)]
struct Change {
    session: SessionId,
    summary: String,
    then: Ruled,
    now: Ruled,
}

#[derive(Debug, Default)]
struct Found {
    same: u64,
    changes: Vec<Change>,
    left_out: BTreeMap<&'static str, u64>,
}

pub(super) fn run(
    other: &Other,
    sessions: &[String],
    fail_on_change: bool,
    json: bool,
) -> Result<ExitCode, PolicyCliError> {
    let texts = files::texts_at(&other.policy, other.layer)?;
    let state = Places::from_environment()?.state;
    let key = PublicKey::load(&state.join("key.pub"))?;
    let mut found = Found::default();
    for session in log::chosen(&state, sessions)? {
        let record = recorded::read(&state, session, &key)?;
        found.add(&record, &texts, other.instead)?;
    }
    let mut out = Out::new(io::stdout().lock());
    match json {
        true => writeln!(out, "{}", found.json())?,
        false => out.write_all(found.text().as_bytes())?,
    }
    out.flush()?;
    Ok(match fail_on_change && !found.changes.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

impl Found {
    /// Judges a session's attempts in their order, with the yeses that were given
    /// until then.
    fn add(
        &mut self,
        record: &Recorded,
        texts: &[PolicyText],
        instead: bool,
    ) -> Result<(), PolicyCliError> {
        let stand = Standpoint::take(record.view.clone())?;
        let mut all = texts.to_vec();
        if !instead {
            // Within a layer the first statement of a single value holds.
            all.extend_from_slice(stand.texts());
        }
        let policy = stand.compile(&all)?;
        let mut grants = Grants::default();
        for attempted in &record.attempts {
            let now = attempted.tried.judge(&policy, &grants);
            if now.decision == attempted.said.decision {
                self.same += 1;
            } else {
                self.changes.push(Change {
                    session: record.session,
                    summary: attempted.tried.summary(),
                    then: attempted.said.clone(),
                    now,
                });
            }
            if let Some(choice) = attempted.answer.filter(|choice| is_yes(*choice)) {
                attempted.tried.grant(choice).into_iter().for_each(|grant| grants.add(grant));
            }
        }
        for (why, number) in &record.left_out {
            *self.left_out.entry(why).or_default() += number;
        }
        Ok(())
    }

    fn newly(&self, decision: Decision) -> Vec<&Change> {
        self.changes.iter().filter(|change| change.now.decision == decision).collect()
    }

    fn text(&self) -> String {
        /// How many of each kind are shown.
        const EXAMPLES: usize = 5;
        let mut text = format!("same           {}\n", self.same);
        for decision in [Decision::Ask, Decision::Refuse, Decision::Allow] {
            let changes = self.newly(decision);
            let _ = writeln!(text, "{:<13}  {}", newly(decision), changes.len());
            let mut kinds: BTreeMap<(&str, &str, String), u64> = BTreeMap::new();
            for change in &changes {
                let by = change.now.basis.to_string();
                *kinds.entry((word(change.then.decision), &change.summary, by)).or_default() += 1;
            }
            for ((then, summary, by), times) in kinds.iter().take(EXAMPLES) {
                let times = if *times > 1 { format!("{times} × ") } else { String::new() };
                let line = format!("  {times}{summary}, was {then}, now by {by}");
                let _ = writeln!(text, "{}", words::plain(&line));
            }
            if kinds.len() > EXAMPLES {
                let _ =
                    writeln!(text, "  and {} more; --json has them all", kinds.len() - EXAMPLES);
            }
        }
        for (why, number) in &self.left_out {
            let _ = writeln!(text, "not judged     {number} {why}");
        }
        text
    }

    fn json(&self) -> Value {
        let ruled =
            |ruled: &Ruled| json!({ "verdict": word(ruled.decision), "basis": ruled.basis });
        let changes = self.changes.iter().map(|change| {
            json!({
                "session": change.session.to_string(),
                "attempt": change.summary,
                "then": ruled(&change.then),
                "now": ruled(&change.now),
            })
        });
        json!({
            "same": self.same,
            "newly_asked": self.newly(Decision::Ask).len(),
            "newly_refused": self.newly(Decision::Refuse).len(),
            "newly_allowed": self.newly(Decision::Allow).len(),
            "not_judged": self.left_out,
            "changes": changes.collect::<Vec<_>>(),
        })
    }
}

fn newly(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "newly allowed",
        Decision::Ask => "newly asked",
        Decision::Refuse => "newly refused",
    }
}
