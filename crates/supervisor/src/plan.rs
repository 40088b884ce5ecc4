//! Lowers the policy's words about files into the [`Plan`] the kernel is told.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use remit_policy::{Filesystem, PathRule};
use remit_sandbox::{Access, Floor, Mount, Network, Plan, Tier};

/// The network inside. 198.18.0.0/15 is for benchmarks and routed nowhere
/// (RFC 2544); the IPv6 range is a unique local one (RFC 4193) of our own.
pub(crate) const NETWORK: Network = Network {
    gateway: Ipv4Addr::new(198, 18, 0, 1),
    prefix: 15,
    gateway6: Ipv6Addr::new(0xfd72, 0x656d, 0x6974, 0, 0, 0, 0, 1),
    prefix6: 64,
};

/// Directories that every session has for itself, with their modes.
const PRIVATE: [(&str, u32); 3] = [("/run", 0o755), ("/tmp", 0o1777), ("/var/tmp", 0o1777)];

/// Everything of the host that the floor leaves out, because the view has its
/// own there.
pub(crate) const OWN: [&str; 6] = ["/run", "/tmp", "/var/tmp", "/dev", "/proc", "/sys"];

/// What is to run, already resolved.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    pub(crate) argv: Vec<OsString>,
    pub(crate) directory: PathBuf,
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// The plan for a workspace, its policy and a command. Reads the host's
/// directories to see what is there; changes nothing.
pub(crate) fn lower(filesystem: &Filesystem, workspace: &Path, mut command: Command) -> Plan {
    let named = resolved(&filesystem.hidden);
    let hidden = existing(&named);
    let writable = writable(filesystem, workspace);
    let mut mounts = Vec::new();
    for (path, mode) in PRIVATE {
        // A link leads to one that is made private by its own name, or not at all.
        if Path::new(path).symlink_metadata().is_ok_and(|about| about.is_dir()) {
            mounts.push(Mount::Private { path: path.into(), mode });
        }
    }
    mounts.extend([Mount::Processes, Mount::Devices]);
    if filesystem.workspace == remit_policy::Access::Read && is_under_own(workspace) {
        mounts.push(Mount::Host { path: workspace.into(), access: Access::Read });
    }
    let program = covered_program(&command.program, workspace);
    if let Some(program) = &program {
        mounts.push(Mount::Host { path: program.clone(), access: Access::Read });
        command.program = program.clone();
    }
    for path in &writable {
        mounts.push(Mount::Host { path: path.clone(), access: Access::Write });
    }
    if filesystem.workspace == remit_policy::Access::Write {
        mounts.extend(protected(filesystem, workspace));
    }
    for path in &hidden {
        let visible = !is_under_own(path) || writable.iter().any(|root| path.starts_with(root));
        if visible {
            mounts.push(Mount::Hidden { path: path.clone(), directory: path.is_dir() });
        }
    }
    mounts.extend(texts());
    Plan {
        tier: Tier::Full,
        mounts,
        floor: floor(&named, &writable, workspace, program),
        network: NETWORK,
        environment: command.environment,
        directory: command.directory,
        program: command.program,
        argv: command.argv,
    }
}

/// The command's own file, if it lies where the session has a private directory
/// instead: the person named it, so it alone is shown there.
pub(crate) fn covered_program(program: &Path, workspace: &Path) -> Option<PathBuf> {
    let file = program.canonicalize().ok()?;
    let covered = PRIVATE.iter().any(|(path, _)| file.starts_with(path));
    (covered && !file.starts_with(workspace)).then_some(file)
}

/// A protected name that is a link, or is reached by one, inside the workspace:
/// the link could be replaced, and a mount cannot hold a link.
pub(crate) fn unprotectable(filesystem: &Filesystem, workspace: &Path) -> Option<PathBuf> {
    if filesystem.workspace != remit_policy::Access::Write {
        return None;
    }
    filesystem.protected.iter().find_map(|rule| {
        let path = workspace.join(&rule.path);
        path.ancestors()
            .take_while(|above| *above != workspace)
            .find(|above| is_link(above))
            .map(Path::to_path_buf)
    })
}

/// A writable root that is named by way of a link which an agent could have put
/// there, with that link.
pub(crate) fn redirected(filesystem: &Filesystem, workspace: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut reach = writable(filesystem, workspace);
    reach.insert(workspace.to_path_buf());
    filesystem.write.iter().find_map(|rule| {
        let links = rule.path.ancestors().filter(|above| is_link(above));
        let mut planted = links.filter(|link| {
            let holder = link.parent().and_then(|holder| holder.canonicalize().ok());
            holder.is_some_and(|holder| reach.iter().any(|root| holder.starts_with(root)))
        });
        planted.next().map(|link| (rule.path.clone(), link.to_path_buf()))
    })
}

/// The writable root, if any, that a file lies in.
pub(crate) fn in_reach(filesystem: &Filesystem, workspace: &Path, file: &Path) -> Option<PathBuf> {
    let file = file.canonicalize().ok()?;
    writable(filesystem, workspace).into_iter().find(|root| file.starts_with(root))
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_symlink())
}

/// A hidden path that the agent could make, because it is not there and what
/// it would be in is writable, with that root. The workspace is not such a root:
/// what the agent makes in it is its own.
pub(crate) fn exposed(filesystem: &Filesystem, workspace: &Path) -> Option<(PathBuf, PathBuf)> {
    let roots = writable(filesystem, workspace);
    resolved(&filesystem.hidden).into_iter().filter(|path| !path.exists()).find_map(|path| {
        let root = roots.iter().find(|root| path.starts_with(root) && *root != workspace)?;
        Some((path.clone(), root.clone()))
    })
}

/// A hidden path that is there, in a place that is writable, with that place.
/// Only a mount can hold it.
pub(crate) fn hidden_in_reach(
    filesystem: &Filesystem,
    workspace: &Path,
) -> Option<(PathBuf, PathBuf)> {
    let roots = writable(filesystem, workspace);
    existing(&resolved(&filesystem.hidden)).into_iter().find_map(|path| {
        let root = roots.iter().find(|root| path.starts_with(root))?;
        Some((path.clone(), root.clone()))
    })
}

/// The paths with links followed as far as they lead, so that what is covered
/// is the thing and not its name.
pub(crate) fn resolved(rules: &[PathRule]) -> BTreeSet<PathBuf> {
    let mut known = HashMap::new();
    rules.iter().map(|rule| resolve(&rule.path, &mut known)).collect()
}

/// Follows links. Most paths share their directories, so those are followed once.
fn resolve(path: &Path, known: &mut HashMap<PathBuf, PathBuf>) -> PathBuf {
    if let Some(resolved) = known.get(path) {
        return resolved.clone();
    }
    let resolved = match (path.parent(), path.file_name(), path.symlink_metadata()) {
        (_, _, Ok(about)) if about.is_symlink() => {
            path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
        }
        (Some(parent), Some(name), _) => resolve(parent, known).join(name),
        _ => path.to_path_buf(),
    };
    known.insert(path.to_path_buf(), resolved.clone());
    resolved
}

/// Those that are there. One inside another is covered with it.
pub(crate) fn existing(all: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let outermost = |path: &&PathBuf| !path.ancestors().skip(1).any(|above| all.contains(above));
    all.iter().filter(|path| path.exists()).filter(outermost).cloned().collect()
}

pub(crate) fn writable(filesystem: &Filesystem, workspace: &Path) -> BTreeSet<PathBuf> {
    let mut roots: BTreeSet<PathBuf> =
        filesystem.write.iter().filter_map(|rule| rule.path.canonicalize().ok()).collect();
    if filesystem.workspace == remit_policy::Access::Write {
        roots.insert(workspace.to_path_buf());
    }
    roots
}

/// Names inside the workspace that stay read-only.
///
/// The directory that holds one is mounted over itself first: a mount point
/// cannot be renamed, so it cannot be moved away and rebuilt.
fn protected(filesystem: &Filesystem, workspace: &Path) -> Vec<Mount> {
    let mut holders = BTreeSet::new();
    let mut shut = BTreeSet::new();
    // In a worktree `.git` is a file that points to the repository; pointing it
    // elsewhere would point to other hooks.
    let git = workspace.join(".git");
    if git.symlink_metadata().is_ok_and(|about| about.is_file()) {
        shut.insert(git);
    }
    for rule in &filesystem.protected {
        let path = workspace.join(&rule.path);
        // Links were refused before; see `unprotectable`.
        let Ok(target) = path.canonicalize() else { continue };
        holders.extend(
            target
                .ancestors()
                .skip(1)
                .take_while(|above| *above != workspace)
                .map(Path::to_path_buf),
        );
        shut.insert(target);
    }
    let holders = holders.into_iter().map(|path| Mount::Host { path, access: Access::Write });
    let shut = shut.into_iter().map(|path| Mount::Host { path, access: Access::Read });
    holders.chain(shut).collect()
}

pub(crate) fn is_under_own(path: &Path) -> bool {
    OWN.iter().any(|own| path.starts_with(own))
}

/// The files that make names be looked up with us.
fn texts() -> Vec<Mount> {
    let resolver = format!(
        "# Lookups end at the session's own resolver.\nnameserver {}\noptions edns0\n",
        NETWORK.gateway
    );
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hosts = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{}\n",
        host.trim()
    );
    [("/etc/resolv.conf", resolver), ("/etc/hosts", hosts)]
        .into_iter()
        .filter_map(|(path, text)| {
            // Where it is a link into a private directory, its target is made there.
            let path = match fs::canonicalize(path) {
                Ok(path) => path,
                Err(_) => fs::read_link(path).ok().map(|to| Path::new("/etc").join(to))?,
            };
            Some(Mount::Text { path: lexically_clean(&path), text })
        })
        .collect()
}

/// Without `.` and `..`, by spelling alone.
fn lexically_clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    clean
}

/// The grants of the floor: everything but what is hidden, by listing around it,
/// whether it is there already or not.
fn floor(
    hidden: &BTreeSet<PathBuf>,
    writable: &BTreeSet<PathBuf>,
    workspace: &Path,
    program: Option<PathBuf>,
) -> Vec<Floor> {
    let mut left_out: BTreeSet<PathBuf> =
        hidden.iter().filter(|path| !is_out_of_reach(path)).cloned().collect();
    left_out.extend(OWN.iter().map(PathBuf::from));
    let mut grants = vec![Floor::List("/".into())];
    grant_around(Path::new("/"), &left_out, &mut grants);
    grants.extend(["/proc", "/sys"].map(|path| Floor::Read(path.into())));
    grants.push(Floor::Device("/dev".into()));
    grants.extend(PRIVATE.map(|(path, _)| Floor::Write(path.into())));
    grants.push(Floor::Write("/dev/shm".into()));
    if is_under_own(workspace) {
        grants.push(Floor::Read(workspace.into()));
    }
    grants.extend(program.map(Floor::Read));
    grants.extend(writable.iter().cloned().map(Floor::Write));
    grants
}

/// Whether the caller may not read a path anyway, by its owner and mode. Inside
/// it has no more rights than outside, so the floor need not go around it.
pub(crate) fn is_out_of_reach(path: &Path) -> bool {
    // As root, the capability that reads everything is not there inside.
    !rustix::process::geteuid().is_root()
        && rustix::fs::access(path, rustix::fs::Access::READ_OK) == Err(rustix::io::Errno::ACCESS)
}

/// Grants reading of a directory's children, going down only where something
/// beneath is left out. What appears later in a directory gone down into is not
/// granted.
pub(crate) fn grant_around(
    directory: &Path,
    left_out: &BTreeSet<PathBuf>,
    grants: &mut Vec<Floor>,
) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut children: Vec<_> = entries.flatten().collect();
    children.sort_by_key(fs::DirEntry::file_name);
    for child in children {
        let path = child.path();
        // A link grants nothing by itself; its target is granted where it is.
        if left_out.contains(&path) || child.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        let next = left_out.range(path.clone()..).next();
        if next.is_some_and(|beneath| beneath.starts_with(&path)) {
            grant_around(&path, left_out, grants);
        } else {
            grants.push(Floor::Read(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_lists_around_what_is_hidden() {
        let home = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let at = |name: &str| home.path().join(name);
        for directory in [".ssh", ".config/gh", ".config/git", "work"] {
            fs::create_dir_all(at(directory)).expect("a directory");
        }
        let left_out = BTreeSet::from([at(".ssh"), at(".config/gh")]);
        let mut grants = Vec::new();
        grant_around(home.path(), &left_out, &mut grants);
        assert_eq!(grants, [Floor::Read(at(".config/git")), Floor::Read(at("work"))]);
    }

    #[test]
    fn spelling_alone_cleans_a_path() {
        assert_eq!(lexically_clean(Path::new("/etc/../run/x/./y")), Path::new("/run/x/y"));
        assert_eq!(lexically_clean(Path::new("/../a")), Path::new("/a"));
    }
}
