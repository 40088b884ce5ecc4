//! What this host can enforce, found out by asking the kernel.

use super::sys::{self, Cloned, Errno};
use crate::plan::Tier;

/// One mechanism and whether the kernel offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    pub need: Need,
    pub name: &'static str,
    /// What the boundary uses it for.
    pub purpose: &'static str,
    /// Whether it is all that the full boundary needs of it.
    pub available: bool,
    /// What was found: a version, or why not.
    pub found: String,
    /// How to get it, if it is missing.
    pub remedy: &'static str,
}

/// A mechanism that a tier may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Namespaces,
    Landlock,
    Notification,
    Descriptors,
}

/// What was found on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    pub features: Vec<Feature>,
    landlock: u32,
}

impl Support {
    /// Whether the boundary of this tier can be built here.
    pub fn offers(&self, tier: Tier) -> bool {
        self.lacks(tier).next().is_none()
    }

    /// The strongest tier that can be built here.
    pub fn best(&self) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| self.offers(*tier))
    }

    /// What a tier needs and this host does not have.
    pub fn lacks(&self, tier: Tier) -> impl Iterator<Item = &Feature> {
        self.features.iter().filter(move |feature| match feature.need {
            Need::Namespaces => tier.has_namespaces() && !feature.available,
            Need::Landlock => self.landlock < least_landlock(tier),
            Need::Notification | Need::Descriptors => !feature.available,
        })
    }
}

/// The least Landlock ABI that a tier builds on. ABI 6 keeps signals and abstract
/// sockets inside.
pub(crate) fn least_landlock(tier: Tier) -> u32 {
    match tier {
        Tier::Full | Tier::NoNamespaces => 6,
        Tier::OldLandlock => 1,
        Tier::NoLandlock => 0,
    }
}

/// Asks the kernel for each mechanism by trying it.
pub fn support() -> Support {
    let landlock = sys::landlock_abi();
    let notification = sys::seccomp_action_available(libc::SECCOMP_RET_USER_NOTIF);
    let (namespaces, descriptors) = (namespaces(), sys::descriptors_can_be_taken());
    let features = vec![
        Feature {
            need: Need::Namespaces,
            name: "user namespaces",
            purpose: "a view of files, processes and network of its own, without root",
            available: namespaces.is_ok(),
            found: found(namespaces, "created by trying"),
            remedy: "On Ubuntu 24.04 and later install an AppArmor profile that lets `remit` \
                     create user namespaces, or set kernel.apparmor_restrict_unprivileged_userns=0. \
                     In a container allow `unshare` (Docker: a seccomp profile with CLONE_NEWUSER). \
                     Elsewhere raise user.max_user_namespaces.",
        },
        Feature {
            need: Need::Landlock,
            name: "Landlock",
            purpose: "a floor under the file boundary that holds without the mounts",
            available: landlock >= least_landlock(Tier::Full),
            found: if landlock == 0 { "none".to_owned() } else { format!("ABI {landlock}") },
            remedy: "Boot a kernel of 6.12 or later with CONFIG_SECURITY_LANDLOCK and `landlock` \
                     in the `lsm=` list.",
        },
        Feature {
            need: Need::Notification,
            name: "seccomp notification",
            purpose: "judging programs and connections before they happen",
            available: notification,
            found: if notification { "SECCOMP_RET_USER_NOTIF" } else { "none" }.to_owned(),
            remedy: "Boot a kernel of 5.19 or later with CONFIG_SECCOMP_FILTER.",
        },
        Feature {
            need: Need::Descriptors,
            name: "callers' descriptors",
            purpose: "connecting a program's own socket once that is permitted",
            available: descriptors.is_ok(),
            found: found(descriptors, "pidfd_getfd"),
            remedy: "In a container allow `pidfd_getfd` (Docker: --cap-add=SYS_PTRACE).",
        },
    ];
    Support { features, landlock }
}

fn found(tried: Result<(), Errno>, words: &str) -> String {
    tried.map_or_else(
        |errno| format!("refused: {}", std::io::Error::from(errno)),
        |()| words.to_owned(),
    )
}

/// Creates every namespace the boundary uses, in a child that ends at once.
///
/// A mount is part of it: AppArmor lets the namespaces be created but takes every
/// capability in them away.
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
            Some(waited) if libc::WIFEXITED(waited.status) => {
                Err(Errno(libc::WEXITSTATUS(waited.status)))
            }
            _ => Err(Errno(libc::ECHILD)),
        },
    }
}
