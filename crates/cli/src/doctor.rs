//! What this host enforces, what is missing, and how to get it.

use std::convert::Infallible;
use std::io::Write as _;
use std::process::ExitCode;

use remit_supervisor::doctor::{Examination, Finding, TierFinding, examine};
use serde_json::json;

/// Exit 0 if a session would start here, 1 if not.
pub(crate) fn run(as_json: bool) -> Result<ExitCode, Infallible> {
    let found = examine();
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough is no error.
    let _ =
        if as_json { writeln!(out, "{}", data(&found)) } else { write!(out, "{}", text(&found)) };
    let starts = found.is_sound() && found.chosen().is_some();
    Ok(if starts { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `tier` is what this host gives, `chosen` what a session would have.
fn data(found: &Examination) -> serde_json::Value {
    let findings: Vec<_> = found
        .findings
        .iter()
        .map(|Finding { name, purpose, ok, found, remedy }| {
            json!({"name": name, "purpose": purpose, "ok": ok, "found": found,
                   "remedy": if *ok { None } else { Some(remedy) }})
        })
        .collect();
    let tiers: Vec<_> = found
        .tiers
        .iter()
        .map(|TierFinding { name, lacks, allowed }| {
            json!({"name": name, "possible": lacks.is_empty(), "lacks": lacks, "allowed": allowed})
        })
        .collect();
    let sound = |tier: Option<&'static str>| tier.filter(|_| found.is_sound());
    let full = found.findings.iter().all(|finding| finding.ok);
    json!({"tier": sound(found.best()).unwrap_or("none"), "full": full,
           "chosen": sound(found.chosen()), "tiers": tiers, "findings": findings})
}

fn text(found: &Examination) -> String {
    let mut text = String::new();
    for Finding { name, purpose, ok, found, remedy } in &found.findings {
        let mark = if *ok { "ok     " } else { "MISSING" };
        text.push_str(&format!("{mark}  {name}: {found}\n         for {purpose}\n"));
        if !ok {
            // Lines to paste stand alone, as they are.
            let (words, lines) = remedy.split_once('\n').unwrap_or((remedy, ""));
            text.push_str(&format!("         to get it: {words}\n"));
            if !lines.is_empty() {
                text.push_str(&format!("\n{lines}\n\n"));
            }
        }
    }
    text.push('\n');
    text.push_str(&verdict(found));
    text
}

/// Which tier this host gives, why not a better one, and what to do about it.
fn verdict(found: &Examination) -> String {
    let Some(best) = found.best().filter(|_| found.is_sound()) else {
        return "tier: none. `remit run` refuses to start here until the above is mended.\n"
            .to_owned();
    };
    let mut text = if best == "full" {
        "tier: full. Every layer of the boundary can be put in force here.\n".to_owned()
    } else {
        format!("tier: {best}. It is the strongest that can be built here.\n")
    };
    for tier in found.tiers.iter().take_while(|tier| tier.name != best) {
        text.push_str(&format!("      not {}: no {}\n", tier.name, tier.lacks.join(", no ")));
    }
    text.push_str(&match found.chosen() {
        Some(chosen) if chosen == best => String::new(),
        Some(chosen) => {
            format!("A session would be of tier `{chosen}`, as `sandbox.tiers` says.\n")
        }
        None => format!(
            "`remit run` refuses to start here: `sandbox.tiers` does not name `{best}`. \
             Mend the above, or name it in your settings.\n"
        ),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, ok: bool) -> Finding {
        Finding {
            name: name.to_owned(),
            purpose: "warmth".to_owned(),
            ok,
            found: "none".to_owned(),
            remedy: "light one\nstrike a match".to_owned(),
        }
    }

    fn tier(name: &'static str, lacks: &[&str], allowed: bool) -> TierFinding {
        TierFinding { name, lacks: lacks.iter().map(|lack| (*lack).to_owned()).collect(), allowed }
    }

    fn check(fire: bool, tiers: Vec<TierFinding>, parts: &[&str]) {
        let found = Examination { findings: vec![finding("fire", fire)], tiers };
        let text = text(&found);
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing:\n{text}");
        }
        assert_eq!(text.contains("light one"), !fire);
    }

    #[test]
    fn what_is_missing_comes_with_its_remedy() {
        let full = || vec![tier("full", &[], true)];
        check(false, full(), &["MISSING  fire", "light one\n\nstrike a match\n", "tier: none"]);
        check(true, full(), &["tier: full. Every layer"]);
    }

    #[test]
    fn a_lesser_tier_comes_with_why_it_is_not_a_better_one() {
        let tiers = |allowed| {
            vec![tier("full", &["user namespaces (refused)"], true), tier("less", &[], allowed)]
        };
        let why = ["tier: less", "not full: no user namespaces (refused)"];
        check(true, tiers(true), &why);
        check(true, tiers(false), &[why[0], why[1], "does not name `less`"]);
    }
}
