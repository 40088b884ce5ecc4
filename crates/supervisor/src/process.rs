//! Facts about a process of the session, as `/proc` tells them from outside.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use remit_audit::event;

use crate::lineage::Origin;

/// A task's process, told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The process the task belongs to, as the host numbers it.
    pub(crate) process: u32,
    pub(crate) parent: u32,
    /// Clock ticks since boot.
    pub(crate) started: u64,
    /// What it runs now, as seen inside.
    pub(crate) program: PathBuf,
    /// The judged programs behind it; looked up for what reaches for the network.
    pub(crate) origin: Option<Arc<Origin>>,
}

impl Facts {
    /// Reads the facts of a task. Check afterwards that its call still waits, or
    /// they may be those of a later task with the same number.
    pub(crate) fn of(task: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{task}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        let missing = || io::Error::from(io::ErrorKind::InvalidData);
        let process = field("Tgid:").ok_or_else(missing)?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        Ok(Self {
            process,
            parent: field("PPid:").ok_or_else(missing)?,
            started: start_time(&stat).ok_or_else(missing)?,
            program: fs::read_link(format!("/proc/{task}/exe")).unwrap_or_default(),
            origin: None,
        })
    }

    pub(crate) fn event(&self) -> event::Process {
        event::Process {
            pid: self.process,
            parent: self.parent,
            started: self.started,
            program: self.program.as_path().into(),
            origin: self.origin.as_ref().map(|origin| origin.event()),
        }
    }
}

/// Field 22 of `stat`. SOURCE: proc_pid_stat(5). The name in field 2 is in
/// parentheses and may contain anything, so fields are counted after the last.
fn start_time(stat: &str) -> Option<u64> {
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 12345 1000 10";
        assert_eq!(start_time(stat), Some(12345));
    }

    #[test]
    fn our_own_facts_can_be_read() {
        let facts = Facts::of(std::process::id()).expect("facts");
        assert_eq!(facts.process, std::process::id());
        assert!(facts.started > 0);
    }
}
