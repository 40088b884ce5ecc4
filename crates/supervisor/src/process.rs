//! Facts about a process of the session, as `/proc` tells them from outside.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use remit_audit::event;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

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
        let process = process_of(task)?;
        let (parent, started) = parent_and_start(process)?;
        Ok(Self {
            process,
            parent,
            started,
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

/// A process's parent, and when it started in clock ticks since boot.
pub(crate) fn parent_and_start(process: u32) -> io::Result<(u32, u64)> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    let parent = field_of(&stat, PARENT).and_then(|parent| u32::try_from(parent).ok());
    parent.zip(field_of(&stat, STARTED)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The process that a task belongs to. Most are the first of theirs, which the
/// kernel tells ten times faster than it writes a `status`.
fn process_of(task: u32) -> io::Result<u32> {
    // SOURCE: pidfd_open(2): without `PIDFD_THREAD`, only the first task of a
    // process can be opened.
    let first = Pid::from_raw(task.cast_signed());
    if first.is_some_and(|first| pidfd_open(first, PidfdFlags::empty()).is_ok()) {
        return Ok(task);
    }
    let status = fs::read_to_string(format!("/proc/{task}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let process = line.and_then(|line| line.trim().parse().ok());
    process.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The contents of a file of `/proc`, which tells no length before it is read.
pub(crate) fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let (mut bytes, mut length) = (vec![0; 4096], 0);
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Fields of `stat`, counted from 1. SOURCE: proc_pid_stat(5).
const PARENT: usize = 4;
const STARTED: usize = 22;

/// The name in field 2 is in parentheses and may contain anything, so fields are
/// counted after the last.
fn field_of(stat: &str, field: usize) -> Option<u64> {
    let rest = stat.rsplit_once(')')?.1;
    rest.split_ascii_whitespace().nth(field - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 12345 1000 10";
        assert_eq!(field_of(stat, STARTED), Some(12345));
        assert_eq!(field_of(stat, PARENT), Some(1));
    }

    #[test]
    fn our_own_facts_can_be_read() {
        let facts = Facts::of(std::process::id()).expect("facts");
        assert_eq!(facts.process, std::process::id());
        assert_eq!(facts.parent, std::os::unix::process::parent_id());
        assert!(facts.started > 0);
    }

    #[test]
    fn a_later_thread_belongs_to_its_process() {
        let us = Facts::of(std::process::id()).expect("facts");
        let thread = std::thread::spawn(|| {
            let own = fs::read_link("/proc/thread-self").expect("`PROCESS/task/TASK`");
            let task = own.file_name().and_then(|task| task.to_str()?.parse().ok());
            Facts::of(task.expect("a number"))
        });
        assert_eq!(thread.join().expect("a thread").expect("facts"), us);
    }

    #[test]
    fn long_files_are_read_whole() {
        let own = read("/proc/self/smaps").expect("a file");
        assert!(own.len() > 4096 && own.ends_with(b"\n"), "{} bytes", own.len());
        assert!(read("/proc/self/no-such").is_err());
    }
}
