//! Every statement of every layer, what it decides, and where it came from.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use remit_approvals::words;
use remit_policy::{Basis, Layer, Statement};
use remit_supervisor::{Standpoint, View};
use serde_json::json;

use super::PolicyCliError;
use crate::explain::word;
use crate::log::Out;

pub(super) fn run(view: View, own: bool, json: bool) -> Result<ExitCode, PolicyCliError> {
    let stand = Standpoint::take(view)?;
    let statements = stand.statements()?;
    let shown: Vec<&Statement> =
        statements.iter().filter(|one| !own || one.basis.layer != Layer::BuiltIn).collect();
    let mut out = Out::new(io::stdout().lock());
    if json {
        for one in shown {
            writeln!(out, "{}", object(one))?;
        }
    } else {
        writeln!(out, "profile    {}", words::plain(stand.policy.profile()))?;
        writeln!(out, "workspace  {}", words::plain(&stand.workspace.to_string_lossy()))?;
        writeln!(out, "agent      {}", stand.agent())?;
        out.write_all(table(&shown).as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn object(one: &Statement) -> serde_json::Value {
    json!({
        "section": one.section,
        "decides": one.decides.map(word),
        "holds": one.holds,
        "basis": one.basis,
    })
}

/// Sections with their statements, the words in one column and their origin in the
/// next, as far as they fit.
fn table(statements: &[&Statement]) -> String {
    /// Longer words push their origin to the right.
    const WIDEST: usize = 52;
    let mut text = String::new();
    let mut section = "";
    let rules = statements.iter().map(|one| words::width(&words::plain(&one.basis.rule)));
    let column = rules.max().unwrap_or(0).min(WIDEST);
    for one in statements {
        if one.section != section {
            section = one.section;
            let _ = writeln!(text, "\n{section}");
        }
        let rule = words::plain(&one.basis.rule);
        let gap = " ".repeat(column.saturating_sub(words::width(&rule)));
        let mut line = format!("  {rule}{gap}  {}", origin(&one.basis));
        if !one.holds {
            line.push_str("  [gave way]");
        }
        if let Some(why) = &one.basis.justification {
            let _ = write!(line, "  # {}", words::plain(why));
        }
        let _ = writeln!(text, "{line}");
    }
    text
}

fn origin(basis: &Basis) -> String {
    match &basis.origin {
        Some(origin) => {
            format!("{}, {} line {}", basis.layer, words::plain(&origin.file), origin.line)
        }
        None => basis.layer.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_policy::{Decision, Origin};

    #[test]
    fn words_stand_beside_their_origin_and_what_gave_way_says_so() {
        let statement = |section, rule: &str, holds| Statement {
            section,
            decides: Some(Decision::Allow),
            basis: Basis {
                layer: Layer::User,
                origin: Some(Origin { file: "a.rules".to_owned(), line: 3 }),
                ..Basis::built_in(rule)
            },
            holds,
        };
        let all =
            [statement("commands", "allow git status", true), statement("network", "x", false)];
        let text = table(&all.iter().collect::<Vec<_>>());
        let expected = "\ncommands\n  allow git status  user, a.rules line 3\n\
                        \nnetwork\n  x                 user, a.rules line 3  [gave way]\n";
        assert_eq!(text, expected);
    }
}
