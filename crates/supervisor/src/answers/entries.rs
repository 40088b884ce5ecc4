//! What stands in the file of answers.

use std::ops::Range;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

/// One yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub number: u32,
    /// Its last day.
    pub until: Date,
    /// The project.
    pub workspace: PathBuf,
    /// The rule as it is written.
    pub rule: String,
    /// Its lines, from 0, the first of them included.
    lines: Range<usize>,
}

/// What its first line looks like.
const FORM: &str = "an answer begins with `# answer N until YEAR-MONTH-DAY in \"DIRECTORY\"`";

/// Reads the whole file. The error has the line, from 1.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if let Some(said) = line.strip_prefix("# answer ") {
            let length = lines[at..].iter().take_while(|line| !line.trim().is_empty()).count();
            let rule = lines[at + 1..at + length].iter().map(|line| format!("{line}\n")).collect();
            let (number, until, workspace) = head(said).ok_or((at + 1, FORM.to_owned()))?;
            if entries.iter().any(|entry| entry.number == number) {
                return Err((at + 1, format!("there is an answer {number} before it")));
            }
            entries.push(Entry { number, until, workspace, rule, lines: at..at + length });
            at += length;
            continue;
        }
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let why = format!("{FORM}; rules that hold everywhere belong in another file");
            return Err((at + 1, why));
        }
        at += 1;
    }
    Ok(entries)
}

fn head(said: &str) -> Option<(u32, Date, PathBuf)> {
    let (number, said) = said.split_once(" until ")?;
    let (until, place) = said.split_once(" in ")?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number = number.parse().ok().filter(|_| digits)?;
    let place: String = serde_json::from_str(place).ok()?;
    let place = PathBuf::from(place);
    Some((number, until.parse().ok()?, place)).filter(|(_, _, place)| place.is_absolute())
}

/// An entry as the file has it, with an empty line before it.
pub(super) fn written(number: u32, until: Date, workspace: &str, rule: &str) -> String {
    let place = serde_json::Value::from(workspace);
    format!("\n# answer {number} until {until} in {place}\n{rule}")
}

/// The text without the entries of these numbers.
pub(super) fn without(text: &str, numbers: &[u32]) -> String {
    let gone = parse(text).unwrap_or_default();
    let gone: Vec<_> = gone.into_iter().filter(|entry| numbers.contains(&entry.number)).collect();
    let kept = text.lines().enumerate().filter(|(at, line)| {
        let after = gone.iter().any(|entry| entry.lines.end == *at && line.trim().is_empty());
        !after && !gone.iter().any(|entry| entry.lines.contains(at))
    });
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

/// The text as it is policy for this project on this day: the other entries are
/// empty lines, so that every line keeps its number.
pub(crate) fn in_force(
    text: &str,
    workspace: &Path,
    today: Date,
) -> Result<String, (usize, String)> {
    let mut lines: Vec<&str> = text.lines().collect();
    for entry in parse(text)? {
        if entry.until < today || entry.workspace != workspace {
            lines[entry.lines].fill("");
        }
    }
    Ok(lines.into_iter().map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "prefix_rule(\n    pattern = [\"x\"],\n)\n";

    fn day(text: &str) -> Date {
        text.parse().expect("a day")
    }

    fn two() -> String {
        let first = written(1, day("2026-12-01"), "/home/a/one", RULE);
        let second = written(2, day("2026-12-31"), "/home/a/t \"w\"\u{1b}o", RULE);
        format!("# yours to read\n{first}{second}")
    }

    #[test]
    fn what_was_written_is_read_again() {
        let entries = parse(&two()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].number, entries[1].until), (2, day("2026-12-31")));
        assert_eq!(entries[1].workspace, Path::new("/home/a/t \"w\"\u{1b}o"));
        assert_eq!(entries[0].rule, RULE);
        assert_eq!(parse(&without(&two(), &[1])).unwrap()[0].number, 2);
        assert_eq!(without(&two(), &[1, 2]).trim(), "# yours to read");
    }

    #[test]
    fn an_answer_is_policy_in_its_project_until_its_day() {
        let check = |place: &str, today: &str, expected: bool| {
            let text = in_force(&two(), Path::new(place), day(today)).unwrap();
            assert_eq!(text.contains("prefix_rule"), expected, "{place} {today}");
            assert_eq!(text.lines().count(), two().lines().count());
        };
        check("/home/a/one", "2026-12-01", true);
        check("/home/a/one", "2026-12-02", false);
        check("/home/a/one/below", "2026-11-01", false);
        check("/home/a", "2026-11-01", false);
        check("/home/a/t \"w\"\u{1b}o", "2026-12-31", true);
    }

    #[test]
    fn a_rule_without_project_and_day_refuses() {
        for bad in [
            RULE,
            "# answer 1 in \"/w\"\nprefix_rule(pattern = [\"x\"])\n",
            "# answer 1 until 2026-13-01 in \"/w\"\n",
            "# answer 1 until 2026-12-01 in /w\n",
            "# answer 1 until 2026-12-01 in \"w\"\n",
            "# answer +1 until 2026-12-01 in \"/w\"\n",
            "# answer 1 until 2026-12-01 in \"/w\"\n\nprefix_rule(pattern = [\"x\"])\n",
            "# answer 1 until 2026-12-01 in \"/w\"\nx()\n\n# answer 1 until 2026-12-01 in \"/w\"\n",
        ] {
            assert!(in_force(bad, Path::new("/w"), day("2026-11-01")).is_err(), "{bad}");
        }
    }
}
