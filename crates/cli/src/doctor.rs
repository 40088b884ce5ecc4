//! What this host enforces, what is missing, and how to get it.

use std::convert::Infallible;
use std::io::Write as _;
use std::process::ExitCode;

use remit_supervisor::doctor::{Finding, examine};
use serde_json::json;

/// Exit 0 if a full boundary is possible here, 1 if not.
pub(crate) fn run(as_json: bool) -> Result<ExitCode, Infallible> {
    let findings = examine();
    let full = findings.iter().all(|finding| finding.ok);
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough is no error.
    let _ = if as_json {
        let list: Vec<_> = findings
            .iter()
            .map(|Finding { name, purpose, ok, found, remedy }| {
                json!({"name": name, "purpose": purpose, "ok": ok, "found": found,
                       "remedy": if *ok { None } else { Some(remedy) }})
            })
            .collect();
        let tier = if full { "full" } else { "none" };
        writeln!(out, "{}", json!({"tier": tier, "full": full, "findings": list}))
    } else {
        write!(out, "{}", text(&findings, full))
    };
    Ok(if full { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(findings: &[Finding], full: bool) -> String {
    let mut text = String::new();
    for Finding { name, purpose, ok, found, remedy } in findings {
        let mark = if *ok { "ok     " } else { "MISSING" };
        text.push_str(&format!("{mark}  {name}: {found}\n         for {purpose}\n"));
        if !ok {
            text.push_str(&format!("         to get it: {remedy}\n"));
        }
    }
    text.push_str(if full {
        "\ntier: full. Every layer of the boundary can be put in force here.\n"
    } else {
        "\ntier: none. `remit run` refuses to start here until the above is mended.\n"
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_its_remedy() {
        let finding = |ok| Finding {
            name: "fire".to_owned(),
            purpose: "warmth".to_owned(),
            ok,
            found: "none".to_owned(),
            remedy: "light one".to_owned(),
        };
        let bad = text(&[finding(false)], false);
        assert!(
            bad.contains("MISSING  fire")
                && bad.contains("light one")
                && bad.contains("tier: none")
        );
        assert!(!text(&[finding(true)], true).contains("light one"));
    }
}
