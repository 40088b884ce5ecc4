//! Reading a session's record from outside.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The events of one session, as `remit log show --json` prints them: an array,
/// or one object per line.
#[derive(Debug)]
pub struct Record {
    pub events: Vec<Value>,
}

impl Record {
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let events = match serde_json::from_str(text) {
            Ok(Value::Array(events)) => events,
            _ => text
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| {
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in `{line}`"))
                })
                .collect(),
        };
        Self { events }
    }

    /// Events whose JSON text contains every needle.
    pub fn with(&self, needles: &[&str]) -> Vec<&Value> {
        let holds = |event: &&Value| {
            let text = event.to_string();
            needles.iter().all(|needle| text.contains(needle))
        };
        self.events.iter().filter(holds).collect()
    }

    #[track_caller]
    pub fn has(&self, needles: &[&str]) -> &Value {
        let found = self.with(needles);
        let listing = || self.events.iter().map(|event| format!("{event}\n")).collect::<String>();
        found.first().unwrap_or_else(|| panic!("no event with {needles:?} in\n{}", listing()))
    }
}

/// The file of a session that holds its events, one per line.
#[track_caller]
pub fn file_of(session: &Path) -> PathBuf {
    let entries =
        fs::read_dir(session).expect("the session's directory").flatten().map(|entry| entry.path());
    let lines = |path: &PathBuf| {
        fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    };
    let longest = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .max_by_key(lines)
        .expect("a file of events");
    assert!(lines(&longest) >= 3, "`{}` should hold one event per line", longest.display());
    longest
}
