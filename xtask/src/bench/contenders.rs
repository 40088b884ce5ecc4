//! The ways to run a command that are compared.

use std::fs;
use std::path::{Path, PathBuf};

use super::place::{Place, words};
use crate::Failure;
use crate::process::find;

/// One way to run a command.
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// What comes before the command.
    pub(super) before: Vec<String>,
    pub(super) version: String,
    pub(super) enforces: &'static str,
}

impl Contender {
    pub(super) fn words(&self, command: &[String]) -> Vec<String> {
        [&self.before[..], command].concat()
    }
}

/// The first is the base of every comparison, the second is ours.
pub(super) fn contenders(target: &Path, place: &Place) -> Result<Vec<Contender>, Failure> {
    let remit = place.reachable(&target.join("release/remit"))?;
    let mut all = vec![
        Contender {
            name: "plain",
            before: Vec::new(),
            version: String::new(),
            enforces: "nothing",
        },
        Contender {
            name: "remit run",
            before: words(&remit, "run --"),
            version: place.version(&remit),
            enforces: "mounts, processes, network, Landlock, seccomp; every exec, connection and new name judged, execs and connections recorded",
        },
    ];
    if let Some(bwrap) = find("bwrap") {
        let work = place.work();
        let work = work.display();
        let options = format!(
            "--ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /var/tmp --tmpfs /run --bind {work} {work} --unshare-all --die-with-parent --"
        );
        all.push(Contender {
            name: "bwrap --unshare-all",
            before: words(&bwrap, &options),
            version: place.version(&bwrap),
            enforces: "mounts, processes, no network at all; nothing judged or recorded",
        });
    }
    if let Some(codex) = codex(target) {
        let codex = place.reachable(&codex)?;
        all.push(Contender {
            name: "codex sandbox",
            before: words(&codex, "sandbox --"),
            version: place.version(&codex),
            enforces: "mounts, processes, no network, seccomp; nothing judged or recorded",
        });
    }
    Ok(all)
}

/// The native binary within npm's platform package.
fn codex(target: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(target.join("agents/node_modules/@openai")).ok()?.flatten();
    let vendors = packages.filter_map(|package| fs::read_dir(package.path().join("vendor")).ok());
    vendors
        .flatten()
        .flatten()
        .map(|vendor| vendor.path().join("bin/codex"))
        .find(|path| path.is_file())
}
