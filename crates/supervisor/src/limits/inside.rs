//! What the session's processes take, seen through the session's own `/proc`
//! and its directories in memory. Where it has none of its own, its processes are
//! those that descend from its process 1.
//!
//! What this does not see: files without a name that are under way between two
//! processes, and what the kernel keeps for pipes and sockets. A control group
//! sees both.

mod system_v;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fstatvfs, open, readlinkat, statat};

use system_v::SystemV;

/// The directories in memory that a session has for itself.
const IN_MEMORY: [&str; 4] = ["/run", "/tmp", "/var/tmp", "/dev/shm"];

/// How many descriptors of all processes are looked through, in a quarter of a
/// second or so. Without an end, a session could keep us busy while it grows.
const MOST_DESCRIPTORS: u64 = 100_000;

/// Room for where a descriptor leads.
const PATH_MAX: usize = 4096;

/// Open places of one session.
#[derive(Debug)]
pub(super) struct Inside {
    processes: Processes,
    directories: Vec<OwnedFd>,
    system_v: Option<SystemV>,
}

/// Where the session's processes are listed.
#[derive(Debug)]
enum Processes {
    /// In a `/proc` that shows no others.
    Own(OwnedFd),
    /// Among the host's: this one and what descends from it.
    Below(u32),
}

/// What was found at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processes and threads.
    pub(super) tasks: u64,
    /// Bytes, at most: what processes share is counted for each of them.
    pub(super) memory: u64,
    /// Descriptors of the process that has the most.
    pub(super) descriptors: u64,
    /// Whether one of the directories in memory has no room left.
    pub(super) is_full: bool,
}

impl Inside {
    /// Opens the places as the command's process sees them.
    pub(super) fn open(command: u32) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = PathBuf::from(format!("/proc/{command}/root"));
        let at = |path: &str| open(root.join(&path[1..]), flags, Mode::empty());
        let mut directories = Vec::new();
        for path in IN_MEMORY {
            // One that the session shares with the host is not its own to fill.
            let device = |path: &Path| path.metadata().map(|about| about.dev()).ok();
            let theirs = device(&root.join(&path[1..]));
            if theirs.is_some() && theirs != device(Path::new(path)) {
                directories.push(at(path)?);
            }
        }
        Ok(Self { processes: Processes::Own(at("/proc")?), directories, system_v: None })
    }

    /// A process of the host and what descends from it.
    pub(super) fn below(first: u32) -> Self {
        Self { processes: Processes::Below(first), directories: Vec::new(), system_v: None }
    }

    /// Looks at these tables as well: shared memory, message queues, semaphores.
    pub(super) fn with(self, tables: Option<[OwnedFd; 3]>) -> Self {
        Self { system_v: tables.map(SystemV::new), ..self }
    }

    /// A cheap look at every process.
    pub(super) fn look(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for process in self.processes()? {
            // It may have ended since it was listed.
            let Ok(status) = fs::read_to_string(process.join("status")) else { continue };
            usage.tasks += field(&status, "Threads:");
            usage.memory += resident(&status);
            // SOURCE: proc_pid_fd(5): since 6.2 the size is the number of entries.
            let open = fs::metadata(process.join("fd")).map_or(0, |about| about.size());
            usage.descriptors = usage.descriptors.max(open);
        }
        for directory in &self.directories {
            let about = fstatvfs(directory)?;
            usage.memory += (about.f_blocks - about.f_bfree) * about.f_frsize;
            usage.is_full |= about.f_bfree == 0 || about.f_ffree == 0;
        }
        let held = self.system_v()?;
        usage.memory += held.shared + held.queued;
        Ok(usage)
    }

    fn system_v(&self) -> io::Result<system_v::Held> {
        self.system_v.as_ref().map_or_else(|| Ok(system_v::Held::default()), SystemV::look)
    }

    /// Bytes of memory that are held by descriptors alone, in files without a name.
    /// An error if there are too many descriptors to look through in time.
    pub(super) fn nameless(&self) -> io::Result<u64> {
        let mut seen = HashSet::new();
        let (mut bytes, mut looked) = (0, 0);
        let too_many = || io::Error::other("the session has too many descriptors");
        for process in self.processes()? {
            let path = process.join("fd");
            let told = fs::metadata(&path).map_or(0, |about| about.size());
            looked += told;
            if looked > MOST_DESCRIPTORS {
                return Err(too_many());
            }
            // It may have ended since it was listed.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let Ok(held) = open(&path, flags, Mode::empty()) else { continue };
            let mut target = Vec::with_capacity(PATH_MAX);
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                looked += u64::from(told == 0);
                if looked > MOST_DESCRIPTORS {
                    return Err(too_many());
                }
                let name = entry.file_name();
                target.clear();
                let Ok(to) = readlinkat(&held, &name, target) else {
                    target = Vec::new();
                    continue;
                };
                if to.as_bytes().starts_with(b"/memfd:")
                    && let Ok(about) = statat(&held, &name, AtFlags::empty())
                    && seen.insert((about.st_dev, about.st_ino))
                {
                    bytes += u64::try_from(about.st_blocks).unwrap_or(0) * 512;
                }
                target = to.into_bytes();
            }
        }
        Ok(bytes)
    }

    /// Bytes of memory, exactly: what processes share is counted once. Walks
    /// every page table, so it is asked only when [`look`](Self::look) finds much.
    pub(super) fn weigh(&self) -> io::Result<u64> {
        let (mut own, mut mapped) = (0, 0);
        for process in self.processes()? {
            match fs::read_to_string(process.join("smaps_rollup")) {
                Ok(rollup) => {
                    own += kib(&rollup, "Pss_Anon:") + kib(&rollup, "SwapPss:");
                    mapped += kib(&rollup, "Pss_Shmem:");
                }
                // What does not let itself be weighed counts with all it has.
                Err(_) => {
                    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
                    own += resident(&status);
                }
            }
        }
        let held = self.system_v()?;
        own += held.queued;
        let mut stored = self.nameless()? + held.shared;
        for directory in &self.directories {
            let about = fstatvfs(directory)?;
            stored += (about.f_blocks - about.f_bfree) * about.f_frsize;
        }
        // Files in memory that are mapped as well are in both.
        Ok(own + mapped.max(stored))
    }

    fn processes(&self) -> io::Result<Vec<PathBuf>> {
        match &self.processes {
            Processes::Own(listing) => {
                let directory =
                    PathBuf::from(format!("/proc/self/fd/{}", listing.as_fd().as_raw_fd()));
                Ok(numbers(&directory)?.map(|pid| directory.join(pid.to_string())).collect())
            }
            Processes::Below(first) => {
                let known = descendants(*first)?;
                Ok(known.into_iter().map(|pid| PathBuf::from(format!("/proc/{pid}"))).collect())
            }
        }
    }
}

/// The processes that a `/proc` lists.
fn numbers(directory: &Path) -> io::Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir(directory)?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// A process and what descends from it. An orphan is some process's child again
/// at once, so one whose parent ended while we looked is asked a second time.
fn descendants(first: u32) -> io::Result<Vec<u32>> {
    let listed: Vec<u32> = numbers(Path::new("/proc"))?.collect();
    let mut parents: HashMap<u32, u32> =
        listed.into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let orphans = parents.iter().filter(|(_, parent)| !parents.contains_key(parent));
    let orphans: Vec<u32> = orphans.map(|(pid, _)| *pid).collect();
    parents.extend(orphans.into_iter().filter_map(|pid| Some((pid, parent(pid)?))));
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, parent) in parents {
        children.entry(parent).or_default().push(pid);
    }
    let (mut found, mut next) = (vec![first], 0);
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

/// SOURCE: proc_pid_stat(5): the parent is the second field after the name, which
/// is in parentheses and may have some itself.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes that a process has in memory or swap and that are not the page cache's.
fn resident(status: &str) -> u64 {
    kib(status, "RssAnon:") + kib(status, "RssShmem:") + kib(status, "VmSwap:")
}

fn kib(text: &str, name: &str) -> u64 {
    field(text, name) << 10
}

/// The number after a name at the beginning of a line; 0 where there is none,
/// as with a process that has ended and was not reaped.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_their_names() {
        let status = "Name:\tRssAnon: 7\nRssAnon:\t   1024 kB\nRssShmem:\t 1 kB\nThreads:\t12\n";
        assert_eq!(resident(status), (1024 << 10) + (1 << 10));
        assert_eq!(field(status, "Threads:"), 12);
        assert_eq!(field(status, "VmSwap:"), 0);
    }

    #[test]
    fn only_what_descends_from_a_process_is_counted_with_it() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 60 & sleep 60 & wait"])
            .spawn()
            .expect("a shell");
        let inside = Inside::below(child.id());
        let tasks = || inside.look().expect("a look").tasks;
        let soon = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while tasks() < 3 && std::time::Instant::now() < soon {
            std::thread::yield_now();
        }
        assert_eq!(tasks(), 3, "the shell and its two");
        for pid in descendants(child.id()).expect("a list").into_iter().skip(1) {
            let pid = rustix::process::Pid::from_raw(pid as i32).expect("a number");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ours");
        }
        child.wait().expect("its end");
        assert_eq!(tasks(), 0);
    }

    #[test]
    fn what_this_machine_runs_can_be_looked_at() {
        let inside = Inside::open(std::process::id()).expect("our own view");
        assert!(inside.directories.is_empty(), "ours are the host's");
        let usage = inside.look().expect("a look");
        assert!(usage.tasks > 0 && usage.memory > 1 << 20, "{usage:?}");
    }
}
