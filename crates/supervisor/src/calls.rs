//! What has been said and written down of calls that nobody inside may make, so
//! that a program which tries a thousand times is heard once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::Facts;

/// As many as are remembered. Then it is all forgotten and may be said again.
const MOST: usize = 4096;

/// How long the same program is not told the same again. Longer than a script's
/// loop, shorter than the way to an agent's next idea, whose output is another.
const QUIET: Duration = Duration::from_secs(10);

/// See above. Belongs to one thread.
#[derive(Debug, Default)]
pub(crate) struct RefusedCalls {
    recorded: HashSet<(u32, u64, PathBuf, &'static str)>,
    told: HashMap<(PathBuf, &'static str), Instant>,
}

impl RefusedCalls {
    /// Whether this process, as this program, has not tried this call before.
    pub(crate) fn is_new(&mut self, facts: &Facts, call: &'static str) -> bool {
        if self.recorded.len() >= MOST {
            self.recorded.clear();
        }
        self.recorded.insert((facts.process, facts.started, facts.program.clone(), call))
    }

    /// Whether a person has not just heard this of this program. Ask only if it
    /// will then be said.
    pub(crate) fn may_tell(&mut self, program: &Path, what: &'static str) -> bool {
        if self.told.len() >= MOST {
            self.told.clear();
        }
        let key = (program.to_path_buf(), what);
        if self.told.get(&key).is_some_and(|told| told.elapsed() < QUIET) {
            return false;
        }
        self.told.insert(key, Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_that_is_told_has_words_and_no_other_has() {
        let told: BTreeSet<_> = remit_sandbox::notify::refused_calls().collect();
        assert_eq!(told, remit_policy::calls_with_words().collect());
    }

    #[test]
    fn the_same_is_said_once_and_another_program_is_another() {
        let mut calls = RefusedCalls::default();
        let mut facts =
            Facts { process: 7, parent: 1, started: 9, program: "/bin/mount".into(), origin: None };
        assert!(calls.is_new(&facts, "mount"));
        assert!(!calls.is_new(&facts, "mount"));
        assert!(calls.is_new(&facts, "umount2"));
        facts.program = "/bin/umount".into();
        assert!(calls.is_new(&facts, "mount"));
        assert!(calls.may_tell(Path::new("/bin/mount"), "mount"));
        assert!(!calls.may_tell(Path::new("/bin/mount"), "mount"));
        assert!(calls.may_tell(Path::new("/bin/umount"), "mount"));
    }
}
