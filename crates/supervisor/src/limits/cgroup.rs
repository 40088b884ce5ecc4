//! A control group for one session, where the host has delegated a place for it.
//!
//! Only the version 2 hierarchy counts; version 1 has no safe delegation and is
//! treated as absent. We make a group beside our own (a group with processes in
//! it may have no limited children), begin the session in it and remove it. We
//! change nothing about groups that are not ours: a controller that is not
//! handed down to the place is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, access};

/// What a group can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Processes,
    Cpu,
}

impl Controller {
    pub(super) fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Processes => "pids",
            Controller::Cpu => "cpu",
        }
    }
}

/// A group of the host in which we may make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    directory: PathBuf,
    pub(super) controllers: Vec<Controller>,
}

/// A session's own group. Dropping it ends what is left in it and removes it.
#[derive(Debug)]
pub(super) struct Cgroup {
    directory: PathBuf,
    controllers: Vec<Controller>,
}

impl Cgroup {
    /// Makes the group with its limits. The error is why there is none, in words.
    pub(super) fn create(session: &str, limits: &[(Controller, u64)]) -> Result<Self, String> {
        let wanted: Vec<_> = limits.iter().map(|(which, _)| *which).collect();
        let place = find(&wanted)?;
        remove_stale(&place.directory);
        let directory = place.directory.join(format!("remit-{session}"));
        let at = |doing: &str, error: io::Error| format!("cannot {doing}: {error}");
        fs::create_dir(&directory).map_err(|error| at("make a group", error))?;
        let group = Self { directory, controllers: place.controllers };
        for (which, most) in limits.iter().filter(|(which, _)| group.controls(*which)) {
            group.set(*which, *most).map_err(|error| at("set its limits", error))?;
        }
        let begins = remit_sandbox::try_cgroup(&group.directory);
        begins.map_err(|error| at("begin a process in it", error))?;
        Ok(group)
    }

    fn set(&self, which: Controller, most: u64) -> io::Result<()> {
        match which {
            Controller::Memory => {
                self.write("memory.max", &most.to_string())?;
                // With swap the limit would be twice what was said. The file is
                // not there on kernels that do not account for swap.
                match self.write("memory.swap.max", "0") {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                }
                // Ending a process here and there leaves a session that lies
                // about its results; all or none.
                self.write("memory.oom.group", "1")
            }
            Controller::Processes => self.write("pids.max", &most.to_string()),
            // Hundredths of a core in a period of 100 ms.
            Controller::Cpu => self.write("cpu.max", &format!("{} 100000", most * 1000)),
        }
    }

    pub(super) fn controls(&self, which: Controller) -> bool {
        self.controllers.contains(&which)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the kernel ended the session for its memory.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        self.count("memory.events", "oom_kill") > 0
    }

    /// Whether a process or thread was not started because of the limit.
    pub(super) fn ran_out_of_processes(&self) -> bool {
        self.count("pids.events", "max") > 0
    }

    fn count(&self, file: &str, key: &str) -> u64 {
        let text = fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter(|(name, _)| *name == key)
            .find_map(|(_, count)| count.parse().ok())
            .unwrap_or(0)
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        // Not `fs::write`, which would make a file that the kernel does not have.
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new().write(true).open(self.directory.join(file))?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Everything in it ended with process 1; this is for what we did not foresee.
        let _ = self.write("cgroup.kill", "1");
        for _ in 0..100 {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.raw_os_error() == Some(libc_ebusy()) => {
                    thread::sleep(Duration::from_millis(5));
                }
                // An empty group that stays behind holds nothing; the next
                // session removes it.
                _ => return,
            }
        }
    }
}

fn libc_ebusy() -> i32 {
    rustix::io::Errno::BUSY.raw_os_error()
}

/// Removes groups that supervisors which were killed left behind. One that has
/// processes cannot be removed; one that is new may be about to get some.
fn remove_stale(place: &Path) {
    const OLD: Duration = Duration::from_secs(600);
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with("remit-");
        let made = entry.metadata().and_then(|about| about.modified());
        let old = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > OLD));
        if ours && old {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The place that has the most of the wanted controllers, nearest to our own
/// group. The error is why there is none, in words.
pub(super) fn find(wanted: &[Controller]) -> Result<Place, String> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let (mount, own) = locate(&own, &mounts).ok_or("no version 2 hierarchy is mounted")?;
    let places = candidates(&own, &mount).map(|directory| {
        let handed_down =
            fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
        let has = |which: &&Controller| handed_down.split_whitespace().any(|c| c == which.name());
        let controllers = wanted.iter().filter(has).copied().collect();
        Place { directory: directory.to_path_buf(), controllers }
    });
    let mut best: Option<Place> = None;
    for place in places {
        if best.as_ref().is_none_or(|best| place.controllers.len() > best.controllers.len()) {
            best = Some(place);
        }
    }
    let best =
        best.ok_or_else(|| format!("no group around `{}` is ours to write", own.display()))?;
    if best.controllers.is_empty() {
        return Err(format!(
            "`{}` hands down no controller that is needed",
            best.directory.display()
        ));
    }
    Ok(best)
}

/// Groups that we may make others in, nearest first. A process may be moved
/// only below a common group that its mover may write, so the way up ends at
/// the first one that is not ours.
fn candidates<'a>(own: &'a Path, mount: &'a Path) -> impl Iterator<Item = &'a Path> {
    // The root of the hierarchy alone may have processes and limited children.
    // SOURCE: cgroups(7), "no internal processes"; it alone has no cgroup.events.
    let is_root = own == mount && !own.join("cgroup.events").exists();
    own.ancestors()
        .skip(usize::from(!is_root))
        .take_while(move |directory| directory.starts_with(mount))
        .take_while(|directory| {
            access(*directory, Access::WRITE_OK).is_ok()
                && access(directory.join("cgroup.procs"), Access::WRITE_OK).is_ok()
        })
}

/// Where the version 2 hierarchy is mounted, and our own group there.
fn locate(own: &str, mounts: &str) -> Option<(PathBuf, PathBuf)> {
    // SOURCE: cgroups(7): the version 2 line is the one with number 0 and no names.
    let own = Path::new(own.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // What is mounted from within a group shows only what is below it.
        let below = own.strip_prefix(root).ok()?;
        let inside = !own.components().any(|part| part == std::path::Component::ParentDir);
        let is_v2 = kind.starts_with("cgroup2 ");
        // Collecting parts leaves no trailing slash where nothing is below.
        (is_v2 && inside)
            .then(|| (PathBuf::from(point), Path::new(point).join(below).components().collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_group_is_found_under_its_mount() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let located = |own: &str, mounts: &str| locate(own, mounts);
        let pair = |mount: &str, own: &str| Some((PathBuf::from(mount), PathBuf::from(own)));
        assert_eq!(
            located("0::/user.slice/app.slice/x.scope\n", mounts),
            pair("/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/app.slice/x.scope")
        );
        let hybrid = "4:memory:/a\n1:name=systemd:/b\n0::/c\n";
        let both =
            format!("29 23 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n{mounts}");
        assert_eq!(located(hybrid, &both), pair("/sys/fs/cgroup", "/sys/fs/cgroup/c"));
        let part = "30 23 0:26 /docker/7 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(located("0::/docker/7/x", part), pair("/sys/fs/cgroup", "/sys/fs/cgroup/x"));
        assert_eq!(located("0::/elsewhere", part), None);
        assert_eq!(located("0::/../elsewhere", mounts), None);
        assert_eq!(located("1:memory:/a\n", mounts), None);
    }
}
