//! A control group that is handed to an account, as `systemd --user` would.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::who::Who;

/// What a session's limits need of the version 2 hierarchy.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// A group of the account's own, with one in it to start from. Removed when dropped.
#[derive(Debug)]
pub struct Delegated(PathBuf);

impl Delegated {
    pub fn to(who: &Who) -> Self {
        let mount = mount().expect("checked before the scenario ran");
        let group = mount.join(format!("e2e-{}-{}", std::process::id(), who.name));
        fs::create_dir(&group).expect("a group");
        let this = Self(group);
        let all = CONTROLLERS.map(|controller| format!("+{controller}")).join(" ");
        fs::write(this.0.join("cgroup.subtree_control"), all).expect("controllers handed down");
        fs::create_dir(this.leaf()).expect("a group");
        // SOURCE: cgroups(7), "delegation": the directory and these files.
        for group in [&this.0, &this.leaf()] {
            for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
                chown(group.join(file), Some(who.uid), Some(who.gid)).expect("ownership");
            }
        }
        this
    }

    /// The group that a session's caller is in.
    pub fn leaf(&self) -> PathBuf {
        self.0.join("leaf")
    }

    /// The groups inside, sorted.
    pub fn children(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the group").flatten();
        let groups = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> =
            groups.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for child in self.children() {
            let _ = fs::remove_dir(self.0.join(child));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// Why no group can be handed out here, if so.
pub fn missing() -> Option<String> {
    let Some(mount) = mount() else {
        return Some("no version 2 hierarchy of control groups is mounted".into());
    };
    let handed_down = fs::read_to_string(mount.join("cgroup.subtree_control")).unwrap_or_default();
    let lacks: Vec<_> = CONTROLLERS
        .into_iter()
        .filter(|controller| !handed_down.split_whitespace().any(|c| c == *controller))
        .collect();
    (!lacks.is_empty()).then(|| {
        format!(
            "the version 2 hierarchy at `{}` does not hand down {}; \
             version 1 may hold them, or nobody enabled them in its cgroup.subtree_control",
            mount.display(),
            lacks.join(", ")
        )
    })
}

fn mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(|mount| Path::new(mount).to_path_buf())
}
