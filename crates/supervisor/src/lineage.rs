//! Which judged programs stand behind a process.
//!
//! A process runs what it, or the process it was forked from, last started. What
//! is known here was compared with the judged arguments when it started
//! ([`crate::exec::compare`]), so no program can give itself another past by
//! writing over its own command line.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_audit::event;
use sha2::{Digest as _, Sha256};

use crate::process::{Facts, parent_and_start};

/// The programs of one session that were let go.
#[derive(Debug, Default)]
pub(crate) struct Lineage(Mutex<HashMap<u32, Running>>);

#[derive(Debug)]
struct Running {
    /// Tells the process from a later one with the same number.
    started: u64,
    origin: Arc<Origin>,
}

/// A started program and those above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    program: Started,
    /// Nearest first, at most [`MOST_ABOVE`].
    above: Vec<Started>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Started {
    attempt: u64,
    /// SHA-256 of the arguments, each followed by a NUL.
    argv: [u8; 32],
    /// The arguments for a person, escaped and cut short.
    shown: String,
}

/// A chain of programs that is longer loses its middle: the nearest say what
/// happens, the last say on whose behalf.
const MOST_ABOVE: usize = 8;

/// How many parents are asked for a program; deeper nesting is not attributed.
const MOST_PARENTS: usize = 64;

/// How many processes are remembered before the gone ones are forgotten.
const MANY: usize = 4096;

/// Characters of one program's arguments in a question.
const SHOWN: usize = 60;

impl Lineage {
    /// Notes that a process runs what was judged in this attempt.
    pub(crate) fn runs(&self, facts: &Facts, attempt: u64, argv: &[OsString]) {
        let own = self.own(facts.process, facts.started);
        // A program that is replaced is not above the one that replaces it.
        let above = match own {
            Some(replaced) => replaced.above.clone(),
            None => self.above(facts).map_or_else(Vec::new, |parent| parent.below()),
        };
        let origin = Arc::new(Origin { program: Started::new(attempt, argv), above });
        let mut known = self.known();
        if known.len() >= MANY {
            known.retain(|process, _| Path::new(&format!("/proc/{process}")).exists());
        }
        known.insert(facts.process, Running { started: facts.started, origin });
    }

    /// What stands behind a process. `None` where its parents are gone and it
    /// started nothing itself.
    pub(crate) fn of(&self, facts: &Facts) -> Option<Arc<Origin>> {
        self.own(facts.process, facts.started).or_else(|| self.above(facts))
    }

    fn above(&self, facts: &Facts) -> Option<Arc<Origin>> {
        let mut parent = facts.parent;
        for _ in 0..MOST_PARENTS {
            let (above, started) = parent_and_start(parent).ok()?;
            if let Some(origin) = self.own(parent, started) {
                return Some(origin);
            }
            parent = above;
        }
        None
    }

    fn own(&self, process: u32, started: u64) -> Option<Arc<Origin>> {
        let known = self.known();
        let running = known.get(&process).filter(|running| running.started == started)?;
        Some(Arc::clone(&running.origin))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u32, Running>> {
        // Every change is one insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// What a program that this one starts has above it.
    fn below(&self) -> Vec<Started> {
        let mut above = Vec::with_capacity(MOST_ABOVE);
        above.push(self.program.clone());
        above.extend(self.above.iter().cloned());
        if above.len() > MOST_ABOVE {
            above.remove(MOST_ABOVE / 2);
        }
        above
    }

    pub(crate) fn event(&self) -> event::Origin {
        event::Origin {
            exec: self.program.attempt,
            argv_digest: self.program.argv.iter().map(|byte| format!("{byte:02x}")).collect(),
            above: self.above.iter().map(|started| started.attempt).collect(),
        }
    }
}

impl std::fmt::Display for Origin {
    /// `npm test < sh -c npm test < codex exec …`, nearest first.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.program.shown)?;
        self.above.iter().try_for_each(|started| write!(f, " < {}", started.shown))
    }
}

impl Started {
    fn new(attempt: u64, argv: &[OsString]) -> Self {
        let mut hash = Sha256::new();
        for word in argv {
            hash.update(word.as_bytes());
            hash.update([0]);
        }
        let mut shown = remit_policy::show::command(argv);
        if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
            shown.truncate(end);
            shown.push('…');
        }
        Self { attempt, argv: hash.finalize().into(), shown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    /// This test's own process, and it as its child would be.
    fn ourselves() -> (Facts, Facts) {
        let parent = Facts::of(std::process::id()).expect("facts");
        let child =
            Facts { process: u32::MAX, parent: parent.process, started: 1, ..parent.clone() };
        (parent, child)
    }

    fn attempts(origin: &Origin) -> (u64, Vec<u64>) {
        let event = origin.event();
        (event.exec, event.above)
    }

    #[test]
    fn a_forked_process_runs_what_its_parent_runs() {
        let (lineage, (parent, child)) = (Lineage::default(), ourselves());
        assert_eq!(lineage.of(&child), None);
        lineage.runs(&parent, 7, &words("sh -c x"));
        assert_eq!(lineage.of(&child).map(|origin| attempts(&origin)), Some((7, vec![])));
        lineage.runs(&child, 8, &words("curl x"));
        assert_eq!(lineage.of(&child).map(|origin| attempts(&origin)), Some((8, vec![7])));
        let shown = lineage.of(&child).map(|origin| origin.to_string());
        assert_eq!(shown.as_deref(), Some("curl x < sh -c x"));
    }

    #[test]
    fn a_replaced_program_is_not_above_the_next() {
        let (lineage, (parent, child)) = (Lineage::default(), ourselves());
        lineage.runs(&parent, 1, &words("sh"));
        for attempt in 2..100 {
            lineage.runs(&child, attempt, &words("env again"));
        }
        assert_eq!(lineage.of(&child).map(|origin| attempts(&origin)), Some((99, vec![1])));
    }

    #[test]
    fn another_process_with_the_number_has_no_part_in_it() {
        let (lineage, (parent, _)) = (Lineage::default(), ourselves());
        lineage.runs(&parent, 1, &words("sh"));
        let later = Facts { started: parent.started + 1, parent: 0, ..parent };
        assert_eq!(lineage.of(&later), None);
    }

    #[test]
    fn a_long_chain_keeps_its_ends() {
        let mut origin = Origin { program: Started::new(0, &words("agent")), above: Vec::new() };
        for attempt in 1..=1000 {
            let above = origin.below();
            origin = Origin { program: Started::new(attempt, &words("sh")), above };
        }
        let (exec, above) = attempts(&origin);
        assert_eq!((exec, above.len()), (1000, MOST_ABOVE));
        assert_eq!((above.first(), above.last()), (Some(&999), Some(&0)));
    }

    #[test]
    fn the_digest_tells_where_words_end() {
        let digest = |text: &str| Started::new(0, &words(text)).argv;
        assert_ne!(digest("a bc"), digest("ab c"));
        // printf 'a\0bc\0' | sha256sum
        let known: String = digest("a bc").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(known, "aa795aa4bbb6117911ef062e271bcb05ccfd58ea439da7d46a44e3a3fcefa790");
    }
}
