//! Lowers the policy's words about files into the [`Plan`] the kernel is told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use remit_policy::{Filesystem, Git, PathRule, Roots};
use remit_sandbox::{Access, Floor, Limits, Mount, Network, Plan, Tier};

use crate::changes::Layer;
use crate::{mounts, repository};

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
///
/// With `layer`, the workspace is shown copy-on-write and what is changed goes there.
pub(crate) fn lower(
    filesystem: &Filesystem,
    workspace: &Path,
    roots: &Roots,
    layer: Option<&Layer>,
    mut command: Command,
) -> Plan {
    let named = resolved(&filesystem.hidden);
    let hidden = existing(&named);
    let mut writable = writable(filesystem, workspace);
    writable.extend(roots.git.iter().map(|root| root.path.clone()));
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
    mounts.extend(writable.iter().filter_map(|path| match layer {
        Some(Layer { upper, work }) if path == workspace => {
            Some(Mount::Overlay { path: path.clone(), upper: upper.clone(), work: work.clone() })
        }
        // Inside the view it is writable as it is, and must not lead past it.
        Some(_) if path.starts_with(workspace) => None,
        _ => Some(Mount::Host { path: path.clone(), access: Access::Write }),
    }));
    for root in &roots.projects {
        let is_in_view = layer.is_some() && root.starts_with(workspace);
        let names = protected(filesystem, root).into_iter();
        mounts.extend(names.map(|mount| if is_in_view { within_the_view(mount) } else { mount }));
    }
    for root in &roots.git {
        mounts.extend(protected_in_git(filesystem, &root.path));
    }
    for path in mounts::of_other_namespaces() {
        mounts.push(Mount::Hidden { path, directory: true });
    }
    for path in &hidden {
        // Where the session has a directory of its own, it is not seen, but for
        // writable roots above it and inside it.
        let meets = |root: &PathBuf| path.starts_with(root) || root.starts_with(path);
        let visible = !is_under_own(path) || writable.iter().any(meets);
        if visible {
            mounts.push(Mount::Hidden { path: path.clone(), directory: path.is_dir() });
        }
    }
    mounts.extend(texts());
    Plan {
        tier: Tier::Full,
        mounts,
        floor: floor(&named, &writable, workspace, program)
            .into_iter()
            // A copy is nobody's to trip over.
            .chain(layer.map(|_| Floor::Own(workspace.into())))
            .collect(),
        network: NETWORK,
        limits: Limits::default(),
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

/// A protected name that is a link, or is reached by one, inside a writable
/// root: the link could be replaced, and a mount cannot hold a link.
pub(crate) fn unprotectable(filesystem: &Filesystem, roots: &Roots) -> Option<PathBuf> {
    let shut = filesystem.shut();
    roots.projects.iter().find_map(|root| {
        shut.iter().find_map(|rule| {
            let path = root.join(&rule.path);
            path.ancestors()
                .take_while(|above| above != root)
                .find(|above| is_link(above))
                .map(Path::to_path_buf)
        })
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
    roots: &Roots,
) -> Option<(PathBuf, PathBuf)> {
    let git = roots.git.iter().map(|root| &root.path);
    let roots: Vec<_> = roots.projects.iter().chain(&roots.state).chain(git).collect();
    existing(&resolved(&filesystem.hidden)).into_iter().find_map(|path| {
        let root = roots.iter().find(|root| path.starts_with(root))?;
        Some((path.clone(), root.to_path_buf()))
    })
}

/// The paths with links followed as far as they lead, so that what is covered
/// is the thing and not its name.
pub(crate) fn resolved(rules: &[PathRule]) -> BTreeSet<PathBuf> {
    let mut known = HashMap::new();
    let named: BTreeSet<PathBuf> =
        rules.iter().map(|rule| resolve(&rule.path, &mut known)).collect();
    let aliases = mounts::aliases(named.iter());
    named.into_iter().chain(aliases).collect()
}

/// Follows links. Most paths share their directories, so those are followed once.
fn resolve(path: &Path, known: &mut HashMap<PathBuf, PathBuf>) -> PathBuf {
    if let Some(resolved) = known.get(path) {
        return resolved.clone();
    }
    let resolved = match (path.parent(), path.file_name(), path.symlink_metadata()) {
        (_, _, Ok(about)) if about.is_symlink() => {
            // Where it leads nowhere yet, what it says is what would be read.
            path.canonicalize().unwrap_or_else(|_| {
                let says = fs::read_link(path).unwrap_or_default();
                lexically_clean(&path.parent().unwrap_or(path).join(says))
            })
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

/// The writable places by kind. `state` are the agent's own, as its adapter
/// names them. `scratch` is the only private one where it is set.
pub(crate) fn roots(
    filesystem: &Filesystem,
    workspace: &Path,
    state: &[PathBuf],
    scratch: Option<&Path>,
) -> Roots {
    let state: Vec<PathBuf> = state.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let all = writable(filesystem, workspace);
    // A root that is mounted once more within a root has its names there as well.
    let again: Vec<PathBuf> = mounts::aliases(all.iter())
        .into_iter()
        .filter(|alias| all.iter().any(|root| alias.starts_with(root)))
        .collect();
    let (state, mut projects): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|root| root != workspace && state.contains(root));
    projects.extend(again);
    let git = if filesystem.workspace == remit_policy::Access::Write && filesystem.git != Git::Read
    {
        repository::shared(workspace)
            .into_iter()
            .filter(|root| !is_hidden(filesystem, &root.path))
            .collect()
    } else {
        Vec::new()
    };
    let private = match scratch {
        Some(scratch) => vec![scratch.to_path_buf()],
        None => PRIVATE.iter().map(|(path, _)| path.into()).chain(["/dev/shm".into()]).collect(),
    };
    Roots { projects, state, private, git }
}

fn is_hidden(filesystem: &Filesystem, path: &Path) -> bool {
    filesystem.hidden.iter().any(|rule| path.starts_with(&rule.path))
}

/// Files that have another name beside the one by which they are hidden or
/// protected: device and inode.
pub(crate) fn known(filesystem: &Filesystem, roots: &Roots) -> HashSet<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let shut = filesystem.shut();
    let protected =
        roots.projects.iter().flat_map(|root| shut.iter().map(|rule| root.join(&rule.path)));
    let hidden = filesystem.hidden.iter().map(|rule| rule.path.clone());
    protected
        .chain(hidden)
        .filter_map(|path| path.metadata().ok())
        .filter(|about| about.is_file() && about.nlink() > 1)
        .map(|about| (about.dev(), about.ino()))
        .collect()
}

/// Names inside a writable root that stay read-only.
///
/// The directory that holds one is mounted over itself first: a mount point
/// cannot be renamed, so it cannot be moved away and rebuilt.
fn protected(filesystem: &Filesystem, root: &Path) -> Vec<Mount> {
    let mut holders = BTreeSet::new();
    let mut shut = BTreeSet::new();
    // In a worktree `.git` is a file that points to the repository; pointing it
    // elsewhere would point to other hooks.
    let git = root.join(".git");
    if filesystem.git != Git::Manage && git.symlink_metadata().is_ok_and(|about| about.is_file()) {
        shut.insert(git);
    }
    for rule in &filesystem.shut() {
        let path = root.join(&rule.path);
        // Links were refused before; see `unprotectable`.
        let Ok(target) = path.canonicalize() else { continue };
        holders.extend(
            target.ancestors().skip(1).take_while(|above| *above != root).map(Path::to_path_buf),
        );
        shut.insert(target);
    }
    let holders = holders.into_iter().map(|path| Mount::Host { path, access: Access::Write });
    let shut = shut.into_iter().map(|path| Mount::Host { path, access: Access::Read });
    holders.chain(shut).collect()
}

/// The same in a Git directory of its own.
fn protected_in_git(filesystem: &Filesystem, directory: &Path) -> Vec<Mount> {
    let there = |name: &PathBuf| {
        let path = directory.join(name);
        // A link there would be followed to what is read-only anyway.
        path.symlink_metadata().ok().filter(|about| !about.is_symlink()).map(|_| path)
    };
    let shut = filesystem.shut_in_git();
    shut.iter().filter_map(there).map(|path| Mount::Host { path, access: Access::Read }).collect()
}

/// The same mount of what the view shows, instead of the host's own beneath it.
fn within_the_view(mount: Mount) -> Mount {
    match mount {
        Mount::Host { path, access } => Mount::Fixed { path, access },
        other => other,
    }
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
            Some(Mount::Text { path: lexically_clean(&path), text: text.into_bytes() })
        })
        .collect()
}

/// Without `.` and `..`, by spelling alone.
/// The path with links followed, whether its end is there or not.
pub(crate) fn without_links(path: &Path) -> PathBuf {
    let there = path.canonicalize().ok();
    there.unwrap_or_else(|| resolve(&lexically_clean(path), &mut HashMap::new()))
}

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
    for (path, _) in PRIVATE {
        // What is granted here is granted in a workspace below it, too.
        let holds_one = writable.iter().any(|root| root.starts_with(path));
        let grant = if holds_one { Floor::Write } else { Floor::Own };
        grants.push(grant(path.into()));
    }
    grants.push(Floor::Own("/dev/shm".into()));
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
mod fuzz;

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
