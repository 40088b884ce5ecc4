//! What a session changed, a line each.

use std::io::Write;

use remit_approvals::words;
use remit_audit::Text;
use remit_supervisor::changes::{Change, ChangeKind, Review, Thing};
use serde_json::json;

use super::{CommandError, diff};
use crate::log::units;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    List,
    /// With the differences of text files.
    Diff,
    /// One object per change and line.
    Json,
}

pub(super) fn write(out: &mut impl Write, review: &Review, form: Form) -> Result<(), CommandError> {
    let changes = review.changes()?;
    for change in &changes {
        match form {
            Form::Json => writeln!(out, "{}", as_json(change))?,
            Form::List | Form::Diff => writeln!(out, "{}", line(change))?,
        }
        if form == Form::Diff {
            diff::write(out, review, change)?;
        }
    }
    if form != Form::Json {
        out.flush()?;
        crate::say::line(&summary(review, &changes));
    }
    Ok(())
}

/// `M  src/main.rs  (1.2 kB)`, then what is to be known before a yes.
pub(super) fn line(change: &Change) -> String {
    let mut notes = Vec::new();
    match &change.thing {
        Thing::File(size) => notes.push(units::bytes(*size)),
        Thing::Directory(0) | Thing::Special => {}
        Thing::Directory(below) => notes.push(units::count(*below, "thing") + " below"),
        Thing::Link(target) => notes.push(format!("link to {}", target.to_string_lossy())),
    }
    if let Some((before, after)) = change.mode {
        notes.push(format!("mode {before:03o} to {after:03o}"));
    }
    if change.conflict {
        notes.push("conflict: changed in the workspace since the session began".to_owned());
    }
    match change.barred {
        Some(reason) => notes.push(format!("never applied: {reason}")),
        None => {
            notes.extend(change.warnings.iter().map(|warning| format!("needs a yes: {warning}")));
        }
    }
    let notes: Vec<_> = notes.iter().map(|note| words::plain(note)).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("  ({})", notes.join("; ")) };
    format!("{}  {}{notes}", letter(change.kind), path(change))
}

pub(super) fn path(change: &Change) -> String {
    let mut path = words::plain(&Text::from(change.path.as_path()).escaped());
    if matches!(change.thing, Thing::Directory(_)) {
        path.push('/');
    }
    path
}

fn letter(kind: ChangeKind) -> char {
    match kind {
        ChangeKind::Added => 'A',
        ChangeKind::Modified => 'M',
        ChangeKind::Deleted => 'D',
        ChangeKind::Replaced => 'T',
    }
}

fn as_json(change: &Change) -> serde_json::Value {
    let (kind, size, below, target) = match &change.thing {
        Thing::File(size) => ("file", Some(*size), None, None),
        Thing::Directory(below) => ("directory", None, Some(*below), None),
        Thing::Link(target) => ("link", None, None, Some(Text::from(target.as_path()))),
        Thing::Special => ("special", None, None, None),
    };
    let octal = |mode: u32| format!("{mode:03o}");
    json!({
        "path": Text::from(change.path.as_path()),
        "change": change.kind,
        "thing": kind,
        "size": size,
        "below": below,
        "target": target,
        "mode_before": change.mode.map(|(before, _)| octal(before)),
        "mode_after": change.mode.map(|(_, after)| octal(after)),
        "conflict": change.conflict,
        "warnings": change.warnings,
        "barred": change.barred,
    })
}

fn summary(review: &Review, changes: &[Change]) -> String {
    let session = review.session;
    let count = units::count(changes.len() as u64, "change");
    if changes.is_empty() {
        return format!("{count}: the workspace is as the session left it");
    }
    if review.in_use {
        return format!("{count} so far; the session still runs");
    }
    format!(
        "{count} to {}; `remit changes apply {session} [PATH...]` makes them there, `remit changes drop {session}` throws them away",
        words::plain(&review.workspace.to_string_lossy())
    )
}
