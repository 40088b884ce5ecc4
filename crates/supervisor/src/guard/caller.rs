//! Whoever made the call, as far as its call depends on it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{OwnedFd, RawFd};

use remit_sandbox::notify;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A task that waits for its call. It can be anybody by the next moment: what is
/// found out here counts only if its call is still waiting afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) task: u32,
}

impl Caller {
    pub(super) fn new(task: u32) -> Self {
        Self { task }
    }

    /// A path from its memory.
    pub(super) fn path(&self, address: u64) -> Result<OsString, Errno> {
        notify::read_path(self.task, address).map_err(|why| Errno::from_raw_os_error(why.errno()))
    }

    /// Its descriptor or, without one, its working directory.
    pub(super) fn directory(&self, number: Option<RawFd>) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = match number {
            None => format!("/proc/{}/cwd", self.task),
            Some(number) => format!("/proc/{}/fd/{number}", self.task),
        };
        rustix::fs::open(place, flags, Mode::empty()).map_err(|errno| {
            if errno == Errno::NOENT && number.is_some() { Errno::BADF } else { errno }
        })
    }

    /// The numbers of its process and of itself, as it knows them.
    pub(super) fn numbers(&self) -> Result<(u32, u32), Errno> {
        let status = self.status()?;
        let last = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().last()?.parse().ok()
        };
        Ok((last("NStgid:").ok_or(Errno::SRCH)?, last("NSpid:").ok_or(Errno::SRCH)?))
    }

    /// The number of its controlling terminal among the session's.
    pub(super) fn terminal(&self) -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.task)).ok()?;
        // Field 7, counted after the name. SOURCE: proc_pid_stat(5), tty_nr.
        let number: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(4)?.parse().ok()?;
        let number = number as u32;
        let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
        /// SOURCE: linux/major.h, UNIX98_PTY_SLAVE_MAJOR.
        const PTS: u32 = 136;
        (major == PTS).then_some(minor)
    }

    /// How long a file it may make, in bytes.
    pub(super) fn longest_file(&self) -> u64 {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.task)).unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max file size"));
        // `unlimited` is no number.
        let soft = line.and_then(|line| line.split_whitespace().next()).map(str::parse);
        soft.and_then(Result::ok).unwrap_or(u64::MAX)
    }

    fn status(&self) -> Result<String, Errno> {
        fs::read_to_string(format!("/proc/{}/status", self.task)).map_err(|_| Errno::SRCH)
    }

    fn process_and_mask(&self) -> Result<(u32, u32), Errno> {
        let status = self.status()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let process = field("Tgid:").and_then(|text| text.trim().parse().ok());
        let mask = field("Umask:").and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
        process.zip(mask).ok_or(Errno::SRCH)
    }
}

/// The file mode masks of callers, which the kernel tells only slowly.
///
/// A mask is asked for once a task, and followed from then on. Tasks that share
/// one without being of one process may be given the wrong one; a mask decides
/// over the mode of a new file and not over what may be written.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// Task to process and mask.
    known: HashMap<u32, (u32, u32)>,
}

impl Masks {
    const MOST: usize = 16_384;

    pub(super) fn of(&mut self, caller: &Caller) -> Result<u32, Errno> {
        if let Some((_, mask)) = self.known.get(&caller.task) {
            return Ok(*mask);
        }
        let (process, mask) = caller.process_and_mask()?;
        if self.known.len() >= Self::MOST {
            self.known.clear();
        }
        self.known.insert(caller.task, (process, mask));
        Ok(mask)
    }

    /// Every task of that process has a new mask.
    pub(super) fn set(&mut self, task: u32, mask: u32) {
        let Ok((process, _)) = Caller::new(task).process_and_mask() else { return };
        for (of, known) in self.known.values_mut() {
            if *of == process {
                *known = mask;
            }
        }
        self.known.insert(task, (process, mask));
    }

    pub(super) fn forget(&mut self, process: u32) {
        self.known.retain(|_, (of, _)| *of != process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_us_is_read() {
        let us = Caller::new(std::process::id());
        assert_eq!(us.numbers().map(|(process, _)| process), Ok(std::process::id()));
        assert!(us.directory(None).is_ok());
        assert_eq!(us.directory(Some(9999)).err(), Some(Errno::BADF));
        let mut masks = Masks::default();
        assert!(masks.of(&us).is_ok_and(|mask| mask <= 0o777));
        masks.set(us.task, 0o123);
        assert_eq!(masks.of(&us), Ok(0o123));
        masks.forget(us.task);
        assert_ne!(masks.of(&us), Ok(0o123));
    }
}
