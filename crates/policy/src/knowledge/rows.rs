//! Whether a row is about a command.

use std::cmp::Reverse;
use std::path::Path;

use super::Finding;
use super::find;
use super::sed;
use super::table::{Check, Reads, Row};
use super::targets::{self, Target};
use super::words::{Line, is_any, says};
use crate::filesystem::Place;

/// What a row says about this command, if it is about it.
pub(super) fn finding(row: &Row, line: &Line<'_>, cwd: &Path, place: &Place) -> Option<Finding> {
    let behind = line.behind(row.subcommand)?;
    let has = |options: &[&str]| {
        let mut values = line.values_of(options, row.globals);
        options.is_empty() || values.any(|value| !is_any(value, row.harmless))
    };
    let mut operands = line.operands(behind);
    // Only before operands, where nothing that follows can be their value.
    let other = |option: &&str| line.begins_with(behind, option);
    let about = !row.unless.iter().any(other)
        && has(row.options)
        && has(row.also)
        && (row.operands.is_empty() || operands.any(|word| is_any(word, row.operands)))
        && (row.says.is_empty() || line.says(row.says));
    if !about {
        return None;
    }
    let target = match row.check {
        None => Target::default(),
        Some(Check::Deletion) => targets::deleted(line.operands(behind), cwd, place)?,
        Some(Check::History) => targets::history(line.operands(behind), cwd, place)?,
        Some(Check::Find) => find::deletes(&line.words, cwd, place)?,
        Some(Check::Sed) => sed::runs(line).then(Target::default)?,
        Some(Check::Abroad) => {
            targets::abroad(line.values_of(row.options, row.globals), cwd, place)?
        }
    };
    Some(Finding {
        class: row.class.to_owned(),
        risk: row.risk,
        reason: row.reason.replace("{where}", &target.words),
        undo: row.undo.map(str::to_owned),
    })
}

/// Whether a row says that this command only reads.
pub(super) fn only_reads(row: &Reads, line: &Line<'_>) -> bool {
    let Some(behind) = line.behind(row.subcommand) else { return false };
    if !row.only.is_empty() {
        return matches!(line.words.as_slice(), [word] if is_any(word.text, row.only));
    }
    // Nothing is known of options before a subcommand but what the row names.
    let mut front = line.words[..behind].iter();
    let plain = front.all(|word| !word.text.starts_with(b"-") || is_any(word.text, PLAIN));
    let stops = |option: &&str| line.words.iter().any(|word| word.could_be(option));
    plain
        && !row.stop.iter().any(stops)
        && !line.words.iter().any(|word| says(word.text, row.without))
        && (row.forms.is_empty() || line.operands(behind).all(|word| is_any(word, row.forms)))
        && (!row.script || sed::only_prints(line))
        && row.operands.is_none_or(|most| line.operands(behind).count() <= most)
}

/// Options before a subcommand of `git` that change nothing but how it prints.
const PLAIN: &[&str] = &["--no-pager", "--no-optional-locks", "--literal-pathspecs"];

/// The gravest first. Of two that are of one class, or say the same, the graver.
pub(super) fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| Reverse(finding.risk));
    let mut once = Vec::<Finding>::with_capacity(findings.len());
    for finding in findings {
        let same = |other: &Finding| other.class == finding.class || other.reason == finding.reason;
        if !once.iter().any(same) {
            once.push(finding);
        }
    }
    once
}
