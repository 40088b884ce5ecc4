//! A [`Plan`] as a Seatbelt profile, the language of macOS's own sandbox.
//!
//! Text in, text out: it compiles and is tested on every platform. Nothing of
//! what it says has been tried on a Mac yet; `docs/macos.md` keeps count.
//!
//! In a profile the last rule that matches decides. So grants come first, in
//! the order of the plan, and what is hidden is denied last. Everything that no
//! rule names is denied.

#[cfg(test)]
mod fuzz;
mod quote;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::plan::{Access, Floor, Limits, Mount, Plan};
use quote::quoted;

/// Services that a program may look up by name, and why. Everything else that
/// listens on a Mach port (keychains, clipboards, launch services) is denied.
const SERVICES: [(&str, &str); 3] = [
    ("com.apple.system.opendirectoryd.libinfo", "account names"),
    ("com.apple.system.opendirectoryd.membership", "group membership"),
    ("com.apple.system.logger", "syslog"),
];

/// What the kernel tells about the machine. Not `kern.procargs2`, which tells
/// the arguments and variables of the person's other programs.
const SYSCTLS: [&str; 6] = ["hw.", "kern.os", "machdep.cpu.", "vm.", "sysctl.", "user."];
const SYSCTL_NAMES: [&str; 8] = [
    "kern.argmax",
    "kern.hostname",
    "kern.maxfilesperproc",
    "kern.maxproc",
    "kern.ngroups",
    "kern.secure_kernel",
    "kern.usrstack64",
    "kern.version",
];

/// Devices that a program may read and write.
const DEVICES: [&str; 6] =
    ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];

/// Another name for everything on the data volume. The kernel is believed to
/// report the usual names; should it report this one, nothing is granted.
const DATA_VOLUME: &str = "/System/Volumes/Data";

/// Something of a plan, or of the boundary on Linux, that Seatbelt cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// No program is judged before it starts.
    Programs,
    /// Names are not judged when they are made: protected are those that the plan
    /// names.
    Names,
    /// Connections are not captured: only the proxy's port can be reached, and
    /// only by programs that are told of it. Lookups are not answered.
    Capture,
    /// The host's processes can be seen, if not signalled.
    Processes,
    /// A program that leaves the session's process group may outlive it.
    Lifetime,
    /// Private directories are closed instead of empty.
    Private,
    /// Files with a text of ours have the host's text.
    Texts,
    /// There is no copy-on-write view: the workspace is read-only instead.
    Overlay,
    /// Limits of the plan are not set.
    Limits,
}

/// Why there is no profile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A profile is text of one line a rule. No real path has such a character.
    #[error("the path {0:?} has a control character or is not UTF-8, so no profile can name it")]
    Unspeakable(PathBuf),
    #[error("the path {0:?} is not absolute and free of `.` and `..`")]
    NotPlain(PathBuf),
}

/// What of this plan, and of what [`launch`](crate) does with it on Linux, would
/// be missing.
pub fn lacks(plan: &Plan) -> BTreeSet<Lack> {
    let mut lacks = BTreeSet::from([
        Lack::Programs,
        Lack::Names,
        Lack::Capture,
        Lack::Processes,
        Lack::Lifetime,
    ]);
    if plan.limits != Limits::default() {
        lacks.insert(Lack::Limits);
    }
    lacks.extend(plan.mounts.iter().filter_map(|mount| match mount {
        Mount::Private { .. } => Some(Lack::Private),
        Mount::Text { .. } => Some(Lack::Texts),
        Mount::Overlay { .. } => Some(Lack::Overlay),
        _ => None,
    }));
    lacks
}

/// The profile for a plan, with the supervisor's proxy at a port of the host's
/// loopback.
///
/// # Errors
///
/// If a path of the plan cannot be written down exactly.
pub fn profile(plan: &Plan, proxy: u16) -> Result<String, ProfileError> {
    let mut profile = Profile(String::from(HEAD));
    profile.base(proxy);
    profile.floor(&plan.floor)?;
    profile.view(plan)?;
    profile.hidden(plan)?;
    Ok(profile.0)
}

const HEAD: &str = "(version 1)\n(deny default)\n";

struct Profile(String);

impl Profile {
    /// What every session has.
    fn base(&mut self, proxy: u16) {
        self.comment("processes");
        self.line("(allow process-fork)");
        self.line("(allow signal (target same-sandbox))");
        self.line("(allow process-info* (target same-sandbox))");
        self.comment("the machine");
        for prefix in SYSCTLS {
            self.line(format_args!("(allow sysctl-read (sysctl-name-prefix \"{prefix}\"))"));
        }
        for name in SYSCTL_NAMES {
            self.line(format_args!("(allow sysctl-read (sysctl-name \"{name}\"))"));
        }
        self.comment("services");
        for (name, why) in SERVICES {
            self.line(format_args!("(allow mach-lookup (global-name \"{name}\")) ; {why}"));
        }
        self.comment("devices and terminals of the session's own");
        for device in DEVICES {
            let operations = "file-read-data file-read-metadata file-write-data";
            self.line(format_args!("(allow {operations} (literal \"{device}\"))"));
        }
        self.line("(allow pseudo-tty)");
        self.line("(allow file-ioctl (literal \"/dev/tty\") (literal \"/dev/ptmx\"))");
        self.line(format_args!(
            "(allow file-read* file-write-data file-ioctl (require-all (regex #\"^/dev/ttys[0-9]+$\") (extension \"com.apple.sandbox.pty\")))"
        ));
        self.comment("network: the supervisor's proxy, nothing else");
        self.line(format_args!("(allow network-outbound (remote ip \"localhost:{proxy}\"))"));
    }

    /// What may be listed, read and run. Writing is granted by the view.
    fn floor(&mut self, floor: &[Floor]) -> Result<(), ProfileError> {
        self.comment("floor");
        let mut above = BTreeSet::new();
        for grant in floor {
            let path = quoted(grant.path())?;
            match grant {
                Floor::List(_) => self.line(format_args!(
                    "(allow file-read-data file-read-metadata (require-all (subpath {path}) (vnode-type DIRECTORY)))"
                )),
                Floor::Read(_) | Floor::Write(_) | Floor::Own(_) => self.line(format_args!(
                    "(allow file-read* file-map-executable process-exec* (subpath {path}))"
                )),
                // Those of the base; a host's other devices are not its programs'.
                Floor::Device(_) => {}
            }
            above.extend(grant.path().ancestors().skip(1));
        }
        self.comment("names on the way there");
        for path in above {
            let path = quoted(path)?;
            self.line(format_args!("(allow file-read-metadata (literal {path}))"));
        }
        Ok(())
    }

    /// The mount view, as far as names can stand for mounts.
    fn view(&mut self, plan: &Plan) -> Result<(), ProfileError> {
        self.comment("view");
        for mount in &plan.mounts {
            match mount {
                Mount::Host { path, access: Access::Write }
                | Mount::Fixed { path, access: Access::Write }
                    if grants_writing(plan, path) =>
                {
                    let path = quoted(path)?;
                    self.line(format_args!("(allow file-read* file-write* (subpath {path}))"));
                }
                Mount::Host { path, .. }
                | Mount::Fixed { path, .. }
                | Mount::Overlay { path, .. } => {
                    let read = grants_reading(plan, path);
                    let name = quoted(path)?;
                    if read {
                        self.line(format_args!("(allow file-read* (subpath {name}))"));
                    }
                    self.line(format_args!("(deny file-write* (subpath {name}))"));
                    self.pin(plan, path)?;
                }
                Mount::Private { path, .. } => self.close(path)?,
                // The host's `/dev` as the base has it; there is no `/proc`.
                Mount::Processes | Mount::Devices => {}
                // Denied at the very end.
                Mount::Hidden { .. } => {}
                // The host's text stays, read-only.
                Mount::Text { .. } => {}
            }
        }
        Ok(())
    }

    /// Denies what is hidden, whatever came before.
    fn hidden(&mut self, plan: &Plan) -> Result<(), ProfileError> {
        self.comment("hidden");
        for mount in &plan.mounts {
            if let Mount::Hidden { path, .. } = mount {
                self.close(path)?;
                self.pin(plan, path)?;
            }
        }
        self.close(Path::new(DATA_VOLUME))
    }

    fn close(&mut self, path: &Path) -> Result<(), ProfileError> {
        let path = quoted(path)?;
        self.line(format_args!(
            "(deny file-read* file-write* file-map-executable process-exec* (subpath {path}))"
        ));
        Ok(())
    }

    /// A rule holds a name, and a directory above it that is renamed takes the
    /// file out of the rule's reach: so those within writable roots stay.
    fn pin(&mut self, plan: &Plan, path: &Path) -> Result<(), ProfileError> {
        for above in path.ancestors().skip(1).filter(|above| grants_writing(plan, above)) {
            let above = quoted(above)?;
            self.line(format_args!("(deny file-write-unlink (literal {above}))"));
        }
        Ok(())
    }

    fn comment(&mut self, text: &str) {
        self.line(format_args!("; {text}"));
    }

    fn line(&mut self, text: impl fmt::Display) {
        // A String takes everything.
        let _ = writeln!(self.0, "{text}");
    }
}

/// Both layers must grant writing, as on Linux: the floor here, the view there.
fn grants_writing(plan: &Plan, path: &Path) -> bool {
    plan.floor.iter().any(
        |grant| matches!(grant, Floor::Write(root) | Floor::Own(root) if path.starts_with(root)),
    )
}

fn grants_reading(plan: &Plan, path: &Path) -> bool {
    let reads = |grant: &Floor| matches!(grant, Floor::Read(root) | Floor::Write(root) | Floor::Own(root) if path.starts_with(root));
    plan.floor.iter().any(reads)
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::Programs => "no program is judged before it starts",
            Lack::Names => "names are not judged when they are made",
            Lack::Overlay => "there is no copy-on-write view",
            Lack::Limits => "limits are not set",
            Lack::Capture => "connections are not captured and lookups not answered",
            Lack::Processes => "the host's processes can be seen",
            Lack::Lifetime => "a program may outlive the session",
            Lack::Private => "there are no private temporary directories",
            Lack::Texts => "the host's resolver settings are visible",
        })
    }
}
