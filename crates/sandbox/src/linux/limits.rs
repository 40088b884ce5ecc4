//! What a session may take of the machine, and what it does not inherit of the
//! caller's standing with the scheduler and the kernel's memory killer.
//!
//! Applied once, in process 1, before anything is forked from it: every process
//! of the session inherits it, and none has the privilege to raise it again.
//! Limits are only lowered: a stricter one of the caller's stays. Affinity is
//! the caller's choice of cores and stays.

mod sys;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::sys::{Cloned, Errno, Sys, open_exact, write_file};
use crate::plan::Limits;

/// How readily the kernel ends the session's processes when the machine runs
/// out of memory: before whatever takes less than half of it. The session runs
/// unattended and can be started again; the person's desktop cannot.
///
/// The caller's own value stays where it is higher. Nothing inside can lower
/// it, because the session's `/proc` is read-only.
pub const OOM_SCORE: i32 = 500;

/// The limits in the kernel's form.
#[derive(Debug)]
pub(crate) struct Prepared {
    limits: Vec<(libc::__rlimit_resource_t, u64)>,
    /// What to write, where the caller's own value is lower.
    oom_score: Option<Vec<u8>>,
    cgroup: Option<OwnedFd>,
}

impl Prepared {
    /// Does all that allocates, and opens the control group.
    pub(crate) fn new(plan: &Limits) -> io::Result<Self> {
        let mut limits = vec![
            // No process of the session runs ahead of the person's own.
            (libc::RLIMIT_NICE, 0),
            (libc::RLIMIT_RTPRIO, 0),
        ];
        limits.extend(plan.processes.map(|most| (libc::RLIMIT_NPROC, most)));
        limits.extend(plan.open_files.map(|most| (libc::RLIMIT_NOFILE, most)));
        limits.extend(plan.file_size.map(|most| (libc::RLIMIT_FSIZE, most)));
        let own = fs::read_to_string("/proc/self/oom_score_adj")?;
        let own: i32 = own.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let oom_score = (own < OOM_SCORE).then(|| OOM_SCORE.to_string().into_bytes());
        let cgroup = plan.cgroup.as_deref().map(open).transpose()?;
        Ok(Self { limits, oom_score, cgroup })
    }

    /// Clones process 1, into its control group where it has one: it and all
    /// that it forks are counted from the first instruction on.
    pub(crate) fn clone(&self, flags: u64) -> Sys<Cloned> {
        match &self.cgroup {
            Some(cgroup) => sys::clone_into(flags, cgroup.as_fd()),
            None => super::sys::clone(flags),
        }
    }

    /// Puts everything in force for the calling process. Nothing allocates.
    pub(crate) fn apply(&self) -> Sys<()> {
        if let Some(score) = &self.oom_score {
            write_file(c"/proc/self/oom_score_adj", 0, 0, score)?;
        }
        sys::leave_real_time()?;
        sys::leave_favoured_niceness()?;
        for (resource, most) in &self.limits {
            sys::lower_limit(*resource, *most)?;
        }
        Ok(())
    }
}

fn open(cgroup: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(cgroup.as_os_str().as_bytes())?;
    Ok(open_exact(&path)?)
}

/// Whether a process of ours can begin in this control group, found out by
/// starting one that ends at once.
pub fn try_cgroup(cgroup: &Path) -> io::Result<()> {
    let cgroup = open(cgroup)?;
    match sys::clone_into(0, cgroup.as_fd()) {
        Ok(Cloned::Child) => super::sys::exit(0),
        Ok(Cloned::Parent(pid)) => {
            super::sys::wait(pid, 0);
            Ok(())
        }
        Err(Errno(number)) => Err(io::Error::from_raw_os_error(number)),
    }
}
