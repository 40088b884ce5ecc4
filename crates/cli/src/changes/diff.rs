//! The differences of a changed text file.

use std::io::{self, Write};
use std::time::Duration;

use remit_approvals::words;
use remit_supervisor::changes::{Change, LARGEST_TEXT, Review, Side, Thing};
use similar::TextDiff;

use super::show;
use crate::log::units;

/// How long the fewest lines are looked for before more will do.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn write(out: &mut impl Write, review: &Review, change: &Change) -> io::Result<()> {
    if !matches!(change.thing, Thing::File(_)) || change.barred.is_some() {
        return Ok(());
    }
    let told = match review.contents(change)? {
        [Side::TooLarge, _] | [_, Side::TooLarge] => {
            format!("    larger than {}, not compared here\n", units::bytes(LARGEST_TEXT))
        }
        [before, after] => match (text(before), text(after)) {
            (Some(before), Some(after)) => unified(&before, &after, &show::path(change)),
            _ => "    binary\n".to_owned(),
        },
    };
    out.write_all(told.as_bytes())
}

/// None for what is no text.
fn text(side: Side) -> Option<String> {
    match side {
        Side::Contents(bytes) if !bytes.contains(&0) => String::from_utf8(bytes).ok(),
        Side::Absent => Some(String::new()),
        Side::Contents(_) | Side::TooLarge => None,
    }
}

/// Escaped for a terminal, but for tabs.
fn unified(before: &str, after: &str, path: &str) -> String {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let mut told = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        if told.is_empty() {
            told = format!("--- a/{path}\n+++ b/{path}\n");
        }
        told.push_str(&format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line = change.value();
            told.push_str(&change.tag().to_string());
            let shown: Vec<_> =
                line.strip_suffix('\n').unwrap_or(line).split('\t').map(words::plain).collect();
            told.push_str(&shown.join("\t"));
            told.push('\n');
            if change.missing_newline() {
                told.push_str("\\ No newline at end of file\n");
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_names_its_lines_and_moves_no_cursor() {
        let told = unified("one\ntwo\n", "one\n\tt\u{1b}[2Jo\r\n", "a");
        assert_eq!(told, "--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-two\n+\tt\\u{1b}[2Jo\\u{d}\n");
        assert_eq!(unified("same\n", "same\n", "a"), "");
        assert!(unified("", "x", "a").ends_with("+x\n\\ No newline at end of file\n"));
    }

    #[test]
    fn what_is_no_text_is_named_as_such() {
        assert_eq!(text(Side::Contents(b"a\0b".to_vec())), None);
        assert_eq!(text(Side::Contents(b"\xff".to_vec())), None);
        assert_eq!(text(Side::Absent), Some(String::new()));
    }
}
