//! What this host can enforce, found out by asking the kernel.

use super::sys::{self, Cloned, Errno};

/// One mechanism and whether the kernel offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// What the boundary uses it for.
    pub purpose: &'static str,
    pub available: bool,
    /// What was found: a version, or why not.
    pub found: String,
    /// How to get it, if it is missing.
    pub remedy: &'static str,
}

/// Everything a full boundary needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    pub features: Vec<Feature>,
}

impl Support {
    /// Whether the full boundary is possible.
    pub fn is_full(&self) -> bool {
        self.features.iter().all(|feature| feature.available)
    }
}

/// Asks the kernel for each mechanism by trying it.
pub fn support() -> Support {
    let abi = sys::landlock_abi();
    Support {
        features: vec![
            Feature {
                name: "user namespaces",
                purpose: "a view of files, processes and network of its own, without root",
                available: namespaces().is_ok(),
                found: namespaces().map_or_else(describe, |()| "created by trying".to_owned()),
                remedy: "On Ubuntu 24.04 and later install an AppArmor profile that lets `remit` \
                         create user namespaces, or set kernel.apparmor_restrict_unprivileged_userns=0. \
                         In a container allow `unshare` (Docker: a seccomp profile with CLONE_NEWUSER). \
                         Elsewhere raise user.max_user_namespaces.",
            },
            Feature {
                name: "Landlock",
                purpose: "a floor under the file boundary that holds without the mounts",
                available: abi >= LEAST_LANDLOCK,
                found: if abi == 0 { "none".to_owned() } else { format!("ABI {abi}") },
                remedy: "Boot a kernel of 6.12 or later with CONFIG_SECURITY_LANDLOCK and `landlock` \
                         in the `lsm=` list.",
            },
            Feature {
                name: "seccomp notification",
                purpose: "judging programs and connections before they happen",
                available: sys::seccomp_action_available(libc::SECCOMP_RET_USER_NOTIF),
                found: if sys::seccomp_action_available(libc::SECCOMP_RET_USER_NOTIF) {
                    "SECCOMP_RET_USER_NOTIF".to_owned()
                } else {
                    "none".to_owned()
                },
                remedy: "Boot a kernel of 5.19 or later with CONFIG_SECCOMP_FILTER.",
            },
        ],
    }
}

/// ABI 6 keeps signals and abstract sockets inside.
pub(crate) const LEAST_LANDLOCK: u32 = 6;

fn describe(errno: Errno) -> String {
    format!("refused: {}", std::io::Error::from(errno))
}

/// Creates every namespace the boundary uses, in a child that ends at once.
///
/// Mapping the user is part of it: AppArmor lets the namespaces be created but
/// takes every capability in them away.
fn namespaces() -> Result<(), Errno> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    match sys::clone(flags as u64)? {
        Cloned::Child => {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let tried = sys::mount(c"none", c"/", c"none", private, c"");
            sys::exit(tried.map_or_else(|errno| errno.0, |()| 0))
        }
        Cloned::Parent(pid) => match sys::wait(pid, 0) {
            Some(waited) if waited.status == 0 => Ok(()),
            Some(waited) => Err(Errno(libc::WEXITSTATUS(waited.status))),
            None => Err(Errno(libc::ECHILD)),
        },
    }
}
