//! An explanation, for a person and for a program.

use std::fmt;

use remit_approvals::words;
use remit_policy::attempt::Attempt;
use remit_policy::past::{Ruled, ruled};
use remit_policy::{Basis, Decision, Finding, Refusal, Risk, Verdict};
use serde_json::{Value, json};

/// What would be said to one attempt, and why.
#[derive(Debug)]
pub(super) struct Told {
    summary: String,
    pub(super) ruled: Ruled,
    instead: Option<String>,
    findings: Vec<Finding>,
    needs_a_person: bool,
    choices: Vec<String>,
    place: Option<String>,
    /// Label and value.
    facts: Vec<(&'static str, String)>,
    parts: Vec<Part>,
    /// What of a text was not understood, and why.
    doubts: Vec<(String, String)>,
    /// What would be said where the program really starts.
    at_start: Option<Ruled>,
}

/// One thing that it consists of.
#[derive(Debug)]
pub(super) struct Part {
    what: String,
    ruled: Ruled,
}

impl Part {
    pub(super) fn new(what: String, ruled: Ruled) -> Self {
        Self { what, ruled }
    }
}

impl Told {
    pub(super) fn of<A: Attempt>(verdict: Verdict<A>) -> Self {
        match verdict {
            Verdict::Refuse(refusal) => Self::refused(refusal),
            Verdict::Allow(permit) => {
                let place = permit.place().map(|place| place.to_string());
                let summary = permit.attempt().summary();
                let told = Self::plain(summary, ruled(Verdict::Allow(permit)));
                Self { place, ..told }
            }
            Verdict::Ask(question) => Self {
                findings: question.findings().to_vec(),
                needs_a_person: question.needs_a_person(),
                choices: question.choices().iter().map(ToString::to_string).collect(),
                place: question.place().map(|place| place.to_string()),
                ..Self::plain(
                    question.attempt().summary(),
                    Ruled { decision: Decision::Ask, basis: question.basis().clone() },
                )
            },
        }
    }

    pub(super) fn allowed(summary: String, basis: Basis) -> Self {
        Self::plain(summary, Ruled { decision: Decision::Allow, basis })
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        let Refusal { attempt, basis, instead, .. } = refusal;
        Self { instead, ..Self::plain(attempt, Ruled { decision: Decision::Refuse, basis }) }
    }

    fn plain(summary: String, ruled: Ruled) -> Self {
        Self {
            summary,
            ruled,
            instead: None,
            findings: Vec::new(),
            needs_a_person: false,
            choices: Vec::new(),
            place: None,
            facts: Vec::new(),
            parts: Vec::new(),
            doubts: Vec::new(),
            at_start: None,
        }
    }

    /// Something else decides than what the attempt itself is told.
    pub(super) fn decided_by(self, ruled: Ruled) -> Self {
        Self { ruled, instead: None, choices: Vec::new(), ..self }
    }

    pub(super) fn with(mut self, label: &'static str, value: Option<String>) -> Self {
        self.facts.extend(value.map(|value| (label, value)));
        self
    }

    pub(super) fn known(self, findings: Vec<Finding>) -> Self {
        Self { findings, ..self }
    }

    pub(super) fn in_parts(self, parts: Vec<Part>) -> Self {
        Self { parts, ..self }
    }

    pub(super) fn doubted(self, doubts: Vec<(String, String)>) -> Self {
        Self { doubts, ..self }
    }

    pub(super) fn at_start(self, ruled: Ruled) -> Self {
        Self { at_start: Some(ruled), ..self }
    }

    pub(super) fn decision(&self) -> Decision {
        self.ruled.decision
    }

    pub(super) fn json(&self) -> Value {
        let ruled =
            |ruled: &Ruled| json!({ "verdict": word(ruled.decision), "basis": ruled.basis });
        let parts = self.parts.iter().map(|part| {
            json!({ "what": part.what, "verdict": word(part.ruled.decision), "basis": part.ruled.basis })
        });
        let doubts = self.doubts.iter().map(|(what, why)| json!({ "what": what, "why": why }));
        let facts: serde_json::Map<_, _> = self
            .facts
            .iter()
            .map(|(label, value)| ((*label).to_owned(), Value::from(value.as_str())))
            .collect();
        json!({
            "attempt": self.summary,
            "verdict": word(self.ruled.decision),
            "basis": self.ruled.basis,
            "instead": self.instead,
            "findings": self.findings,
            "needs_a_person": self.needs_a_person,
            "answers": self.choices,
            "place": self.place,
            "facts": facts,
            "parts": parts.collect::<Vec<_>>(),
            "doubts": doubts.collect::<Vec<_>>(),
            "at_start": self.at_start.as_ref().map(ruled),
        })
    }
}

pub(crate) fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Ask => "ask",
        Decision::Refuse => "refuse",
    }
}

fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "low",
        Risk::Medium => "medium",
        Risk::High => "high",
    }
}

impl fmt::Display for Told {
    /// One line for each label and value, the attempt first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ruled = |ruled: &Ruled| format!("{}, by {}", word(ruled.decision), ruled.basis);
        let mut rows = vec![
            ("attempt", self.summary.clone()),
            ("verdict", word(self.ruled.decision).to_owned()),
            ("by", self.ruled.basis.to_string()),
        ];
        rows.extend(self.ruled.basis.justification.clone().map(|why| ("because", why)));
        rows.extend(self.instead.clone().map(|instead| ("instead", instead)));
        for Finding { class, risk, reason, undo } in &self.findings {
            rows.push(("risk", format!("{}, {class}: {reason}", self::risk(*risk))));
            rows.extend(undo.clone().map(|undo| ("undo", undo)));
        }
        if self.needs_a_person {
            rows.push(("who", "only a person may say yes".to_owned()));
        }
        if !self.choices.is_empty() {
            rows.push(("answers", self.choices.join(", ")));
        }
        rows.extend(self.place.iter().map(|place| ("place", format!("the profile `{place}`"))));
        rows.extend(self.facts.clone());
        rows.extend(self.at_start.as_ref().map(|said| ("at start", ruled(said))));
        rows.extend(self.parts.iter().map(|Part { what, ruled }| {
            ("part", format!("{:<6}  {what}  by {}", word(ruled.decision), ruled.basis))
        }));
        rows.extend(self.doubts.iter().map(|(what, why)| ("doubt", format!("{what}: {why}"))));
        for (label, value) in rows {
            writeln!(f, "{label:<9} {}", words::plain(&value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_one_line_whatever_its_value_says() {
        let basis =
            Basis { justification: Some("a\u{1b}[2J\nb".to_owned()), ..Basis::built_in("x") };
        let told = Told::allowed("run `ls`".to_owned(), basis).with("in", Some("/w".to_owned()));
        let expected = "attempt   run `ls`\nverdict   allow\nby        `x` (built-in)\n\
                        because   a\\u{1b}[2J\\u{a}b\nin        /w\n";
        assert_eq!(told.to_string(), expected);
        assert_eq!(told.json()["verdict"], "allow");
        assert_eq!(told.json()["facts"]["in"], "/w");
    }
}
