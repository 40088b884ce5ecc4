//! What a reviewer says, and what that is worth.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a reviewer answers by schema. Anything beside or missing is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opinion {
    pub risk: Risk,
    pub authorization: Authorization,
    pub outcome: Outcome,
    /// One or a few sentences: what a person is shown and the record keeps.
    pub reason: String,
}

/// How bad it would be, were it not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

/// How surely the person asked for it, in the person's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authorization {
    Unknown,
    Low,
    Medium,
    High,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Allow,
    Deny,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High => "high",
            Risk::Critical => "critical",
        })
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Authorization::Unknown => "unknown",
            Authorization::Low => "low",
            Authorization::Medium => "medium",
            Authorization::High => "high",
        })
    }
}

/// What an opinion comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, this one time.
    Allow,
    Refuse,
}

/// Longest reason, in bytes.
const REASON: usize = 2000;

/// Why an opinion is none. It goes to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it is not of the form that was asked for")]
    Form,
    #[error("it gives no reason, or one that is too long")]
    Reason,
    #[error("it allows what it calls a critical risk")]
    Critical,
    #[error("it allows what it calls a high risk without a sure word of the person")]
    High,
    #[error("it allows what it was not shown in full")]
    Truncated,
}

impl Opinion {
    /// Parses the JSON object that was asked for and nothing else: no text around
    /// it, no field twice, none missing, none beside.
    pub(crate) fn parse(text: &str) -> Result<Self, Unusable> {
        let opinion: Self = serde_json::from_str(text).map_err(|_| Unusable::Form)?;
        match (1..=REASON).contains(&opinion.reason.trim().len()) {
            true => Ok(opinion),
            false => Err(Unusable::Reason),
        }
    }

    /// What it comes to by our own rule, which the reviewer was told and which does
    /// not depend on its having listened. `in_full`: nothing of the action was left
    /// out for its length.
    ///
    /// INVARIANT: a critical risk is never allowed, and a high one only with a
    /// medium or high authorisation.
    pub(crate) fn decides(&self, in_full: bool) -> Result<Decision, Unusable> {
        match (self.outcome, self.risk) {
            (Outcome::Deny, _) => Ok(Decision::Refuse),
            (Outcome::Allow, _) if !in_full => Err(Unusable::Truncated),
            (Outcome::Allow, Risk::Critical) => Err(Unusable::Critical),
            (Outcome::Allow, Risk::High) if self.authorization < Authorization::Medium => {
                Err(Unusable::High)
            }
            (Outcome::Allow, Risk::Low | Risk::Medium | Risk::High) => Ok(Decision::Allow),
        }
    }

    /// The schema that it is asked for by.
    pub(crate) fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["risk", "authorization", "outcome", "reason"],
            "properties": {
                "risk": { "type": "string", "enum": ["low", "medium", "high", "critical"] },
                "authorization": {
                    "type": "string",
                    "enum": ["unknown", "low", "medium", "high"],
                },
                "outcome": { "type": "string", "enum": ["allow", "deny"] },
                "reason": { "type": "string" },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(risk: &str, authorization: &str, outcome: &str) -> String {
        format!(
            r#"{{"risk":"{risk}","authorization":"{authorization}","outcome":"{outcome}","reason":"because"}}"#
        )
    }

    #[test]
    fn our_own_rule_holds_whatever_the_reviewer_says() {
        let check = |risk: &str, authorization: &str, outcome: &str, expected| {
            let opinion = Opinion::parse(&said(risk, authorization, outcome)).expect("an opinion");
            assert_eq!(opinion.decides(true), expected, "{opinion:?}");
        };
        let (allow, refuse) = (Ok(Decision::Allow), Ok(Decision::Refuse));
        for authorization in ["unknown", "low", "medium", "high"] {
            for risk in ["low", "medium", "high", "critical"] {
                check(risk, authorization, "deny", refuse);
            }
            check("low", authorization, "allow", allow);
            check("medium", authorization, "allow", allow);
            check("critical", authorization, "allow", Err(Unusable::Critical));
        }
        check("high", "unknown", "allow", Err(Unusable::High));
        check("high", "low", "allow", Err(Unusable::High));
        check("high", "medium", "allow", allow);
        check("high", "high", "allow", allow);
    }

    #[test]
    fn what_was_not_shown_in_full_is_not_allowed() {
        let opinion = Opinion::parse(&said("low", "high", "allow")).unwrap();
        assert_eq!(opinion.decides(false), Err(Unusable::Truncated));
        let opinion = Opinion::parse(&said("low", "high", "deny")).unwrap();
        assert_eq!(opinion.decides(false), Ok(Decision::Refuse));
    }

    #[test]
    fn whatever_is_not_exactly_the_form_is_no_opinion() {
        let good = said("low", "high", "allow");
        assert!(Opinion::parse(&good).is_ok());
        assert!(Opinion::parse(&format!(" {good}\n")).is_ok());
        let bad = |text: &str| assert!(Opinion::parse(text).is_err(), "{text}");
        for text in ["", "{}", "[]", "null", "allow", "\"allow\"", "true"] {
            bad(text);
        }
        bad(&format!("```json\n{good}\n```"));
        bad(&format!("Sure! {good}"));
        bad(&format!("{good}{good}"));
        bad(&format!("[{good}]"));
        bad(&good.replace("\"reason\":\"because\"", "\"reason\":\"\""));
        bad(&good.replace("\"reason\":\"because\"", "\"reason\":\"  \\n\""));
        bad(&good.replace("\"reason\":\"because\"", "\"reason\":null"));
        bad(&good.replace(",\"reason\":\"because\"", ""));
        bad(&good.replace("\"because\"", "\"because\",\"confidence\":1"));
        bad(&good.replace("\"because\"", "\"because\",\"outcome\":\"deny\""));
        bad(&good.replace("\"low\"", "\"none\""));
        bad(&good.replace("\"low\"", "\"LOW\""));
        bad(&good.replace("\"allow\"", "\"ALLOW\""));
        bad(&good.replace("\"allow\"", "\"approve\""));
        bad(&good.replace("\"allow\"", "true"));
        bad(&good.replace("\"high\"", "3"));
        bad(&good.replace("because", &"x".repeat(REASON + 1)));
    }
}
