//! The plan for a session without namespaces, which shares the host's view: no
//! mounts, and a floor that decides what the session's processes open. They make,
//! write and remove nothing themselves but in the session's own directory; the
//! guard does, and holds the protected names.
//!
//! A hidden path in a writable place could be read there, since the floor grants a
//! directory with everything beneath. It refuses the start (`check_reach`).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use remit_policy::{Environment, Filesystem, Roots};
use remit_sandbox::{Floor, Limits, Plan, Tier};

use crate::mounts;
use crate::plan::{self, Command, NETWORK, OWN};

/// Devices that are harmless to everybody. The terminals beside them are other
/// people's, and the person's own.
pub(crate) const DEVICES: [&str; 6] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// The plan for a workspace, its policy and a command, with the session's own
/// directory for temporary files. Changes nothing.
pub(crate) fn lower(
    filesystem: &Filesystem,
    workspace: &Path,
    roots: &Roots,
    mut command: Command,
    scratch: &Path,
) -> Plan {
    let hidden = plan::resolved(&filesystem.hidden);
    let mut left_out: BTreeSet<PathBuf> =
        hidden.into_iter().filter(|path| !plan::is_out_of_reach(path)).collect();
    left_out.extend(OWN.iter().map(PathBuf::from));
    left_out.extend(mounts::of_other_namespaces());
    // No listing from the top, as in other tiers: it would reach into what is
    // hidden, for nothing covers it here.
    let mut floor = Vec::new();
    plan::grant_around(Path::new("/"), &left_out, &mut floor);
    floor.push(Floor::Read("/proc".into()));
    // The kernel's debugging and its like are mounted in there.
    let sys = Path::new("/sys");
    if left_out.iter().any(|path| path != sys && path.starts_with(sys)) {
        plan::grant_around(sys, &left_out, &mut floor);
    } else {
        floor.push(Floor::Read(sys.into()));
    }
    floor.extend(DEVICES.map(|path| Floor::Device(path.into())));
    // It is often a link into `/run`.
    floor.extend(fs::canonicalize("/etc/resolv.conf").ok().map(Floor::Read));
    if plan::is_under_own(workspace) {
        floor.push(Floor::Read(workspace.into()));
    }
    if let Some(program) = plan::covered_program(&command.program, workspace) {
        command.program.clone_from(&program);
        floor.push(Floor::Read(program));
    }
    floor.extend(plan::writable(filesystem, workspace).into_iter().map(Floor::Write));
    floor.extend(roots.git.iter().map(|root| Floor::Write(root.path.clone())));
    floor.push(Floor::Own(scratch.into()));
    Plan {
        tier: Tier::NoNamespaces,
        mounts: Vec::new(),
        floor,
        network: NETWORK,
        limits: Limits::default(),
        environment: command.environment,
        directory: command.directory,
        program: command.program,
        argv: command.argv,
    }
}

/// Sets what programs have to know: where temporary files go, and that names are
/// looked up over TCP, for datagrams are refused.
pub(crate) fn dress(environment: &mut Vec<(OsString, OsString)>, scratch: &Path) {
    // What tools are told to keep in `/tmp` elsewhere.
    for default in Environment::defaults() {
        let Ok(rest) = Path::new(&default.value).strip_prefix("/tmp") else { continue };
        for (name, value) in environment.iter_mut() {
            if *name == *default.name && *value == *default.value {
                *value = scratch.join(rest).into();
            }
        }
    }
    let places = ["TMPDIR", "TEMP", "TMP"].map(|name| (name, scratch.as_os_str()));
    // SOURCE: resolv.conf(5), RES_OPTIONS and `use-vc`.
    for (name, value) in places.into_iter().chain([("RES_OPTIONS", "use-vc".as_ref())]) {
        environment.retain(|(set, _)| set != name);
        environment.push((name.into(), value.into()));
    }
    environment.sort();
}
