//! What was asked and answered before, out of the records of running sessions.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use remit_audit::Kind;
use remit_policy::Choice;

/// How many are shown, newest first.
const MOST: usize = 200;

/// A question that has its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) session: String,
    pub(super) number: u32,
    pub(super) summary: String,
    pub(super) rule: String,
    pub(super) choice: Choice,
    pub(super) by: String,
    pub(super) note: Option<String>,
    pub(super) waited_ms: u64,
}

/// What the records said when they were last read.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By record: its length in bytes and what it held. A record only grows.
    read: HashMap<PathBuf, (u64, Vec<Closed>)>,
}

impl History {
    /// What the records of the sessions that are running hold. What cannot be read
    /// is left out: `remit log verify` is there to say why.
    pub(super) fn read(&mut self, state: &Path) -> Vec<Closed> {
        let sockets = super::super::sessions(state).unwrap_or_default();
        let mut all = Vec::new();
        for directory in sockets.iter().filter_map(|socket| socket.parent()) {
            let length = std::fs::metadata(directory.join("record.jsonl")).map_or(0, |is| is.len());
            let known = self.read.get(directory).filter(|(read, _)| *read == length);
            let closed = match known {
                Some((_, closed)) => closed.clone(),
                None => closed_in(directory),
            };
            all.extend(closed.iter().cloned());
            self.read.insert(directory.to_owned(), (length, closed));
        }
        let surplus = all.len().saturating_sub(MOST);
        all.drain(..surplus);
        all.reverse();
        all
    }
}

fn closed_in(directory: &Path) -> Vec<Closed> {
    let session = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Ok(events) = remit_audit::events(directory) else { return Vec::new() };
    let mut asked = HashMap::new();
    let mut closed = Vec::new();
    for event in events.map_while(Result::ok) {
        match event.event {
            Kind::Question { id, summary, basis, .. } => {
                asked.insert(id, (summary, basis.to_string()));
            }
            Kind::Answer { id, choice, by, note, waited_ms, .. } => {
                let Some((summary, rule)) = asked.remove(&id) else { continue };
                let session = session.clone();
                let number = id;
                closed.push(Closed { session, number, summary, rule, choice, by, note, waited_ms });
            }
            _ => {}
        }
    }
    closed
}
