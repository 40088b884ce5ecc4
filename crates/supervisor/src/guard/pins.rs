//! Scripts that were approved and are about to be read. While the program that
//! reads one runs, nobody inside changes it or puts another in its place.

use std::path::{Path, PathBuf};

use remit_policy::{Basis, Change, Refusal, show};

use crate::exec::Script;
use crate::process::Facts;

/// The pinned scripts of a session.
#[derive(Debug, Default)]
pub(crate) struct Pins(Vec<Pin>);

#[derive(Debug)]
struct Pin {
    process: u32,
    started: u64,
    script: Script,
}

/// As many scripts wait to be read already as can be kept an eye on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} approved scripts run already", Pins::MOST)]
pub(crate) struct TooMany;

impl Pins {
    const MOST: usize = 256;

    /// Keeps a script as it is until this process has ended.
    pub(crate) fn add(&mut self, facts: &Facts, script: Script) -> Result<(), TooMany> {
        if self.0.len() >= Self::MOST {
            self.0.retain(Pin::is_alive);
        }
        if self.0.len() >= Self::MOST {
            return Err(TooMany);
        }
        self.0.push(Pin { process: facts.process, started: facts.started, script });
        Ok(())
    }

    /// Keeps nothing for this process any more.
    pub(crate) fn forget(&mut self, process: u32) {
        self.0.retain(|pin| pin.process != process);
    }

    /// The refusal of a change that would put another file in a script's place.
    pub(super) fn refuse_name(&self, path: &Path, change: Change) -> Option<Refusal> {
        // Mode, owner and times say nothing about what a script does.
        if self.0.is_empty() || change == Change::Attributes {
            return None;
        }
        let is_way = |pin: &&Pin| pin.script.names.iter().any(|name| name.starts_with(path));
        let pin = self.0.iter().find(|pin| is_way(pin) && pin.is_alive())?;
        Some(pin.refusal(path))
    }

    /// The refusal of writing to a script by whatever name.
    pub(super) fn refuse_file(&self, path: &Path, file: (u64, u64)) -> Option<Refusal> {
        let mut pins = self.0.iter();
        pins.find(|pin| pin.script.file == file && pin.is_alive()).map(|pin| pin.refusal(path))
    }
}

impl Pin {
    fn is_alive(&self) -> bool {
        Facts::of(self.process).is_ok_and(|facts| facts.started == self.started)
    }

    fn refusal(&self, path: &Path) -> Refusal {
        let quoted = |path: &Path| show::line(&path.to_string_lossy());
        let own = PathBuf::new();
        let script = self.script.names.last().unwrap_or(&own);
        Refusal {
            attempt: format!("change `{}`", quoted(path)),
            basis: Basis::built_in("an approved script stays as it was shown"),
            instead: Some(format!("changing it when `{}` has ended", quoted(script))),
            note: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        Script { file: (1, 2), names: vec!["/w/link".into(), "/w/scripts/run".into()] }
    }

    #[test]
    fn the_way_to_a_script_is_kept_while_its_process_lives() {
        let us = Facts::of(std::process::id()).expect("facts");
        let mut pins = Pins::default();
        pins.add(&us, script()).expect("room");
        let check = |path: &str, change, expected: bool| {
            assert_eq!(pins.refuse_name(Path::new(path), change).is_some(), expected, "{path}");
        };
        check("/w/scripts/run", Change::Write, true);
        check("/w/scripts/run", Change::PutFile, true);
        check("/w/scripts", Change::Take, true);
        check("/w", Change::Take, true);
        check("/w/link", Change::MakeLink, true);
        check("/w/scripts/run", Change::Attributes, false);
        check("/w/scripts/runs", Change::Write, false);
        check("/w/scripts/run/below", Change::Write, false);
        check("/w/other", Change::Write, false);
        assert!(pins.refuse_file(Path::new("/w/another-name"), (1, 2)).is_some());
        assert!(pins.refuse_file(Path::new("/w/another-name"), (1, 3)).is_none());
        pins.forget(us.process);
        assert!(pins.refuse_file(Path::new("/w/another-name"), (1, 2)).is_none());
    }

    #[test]
    fn a_later_process_with_the_number_keeps_nothing() {
        let us = Facts::of(std::process::id()).expect("facts");
        let earlier = Facts { started: us.started - 1, ..us };
        let mut pins = Pins::default();
        pins.add(&earlier, script()).expect("room");
        assert!(pins.refuse_file(Path::new("/w/another-name"), (1, 2)).is_none());
        assert!(pins.refuse_name(Path::new("/w/link"), Change::Write).is_none());
    }

    #[test]
    fn only_so_many_are_kept_and_the_dead_make_room() {
        let us = Facts::of(std::process::id()).expect("facts");
        let earlier = Facts { started: us.started - 1, ..us.clone() };
        let mut pins = Pins::default();
        for _ in 0..Pins::MOST {
            pins.add(&earlier, script()).expect("room");
        }
        for _ in 0..Pins::MOST {
            pins.add(&us, script()).expect("the dead make room");
        }
        assert_eq!(pins.add(&us, script()), Err(TooMany));
    }
}
