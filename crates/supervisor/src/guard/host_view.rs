//! What holds where the session has no view of its own and sees the host's: what
//! mounts keep from it elsewhere is told apart here.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use remit_sandbox::{Floor, Plan};
use rustix::fs::{FileType, Stat};
use rustix::pty::ptsname;

use super::open::TTY;
use crate::shared::DEVICES;

/// The host's view, as far as a session may use it.
#[derive(Debug)]
pub(crate) struct HostView {
    /// Where the floor lets files be read or directories be listed.
    readable: Vec<PathBuf>,
    /// The numbers of the devices that are harmless to everybody.
    devices: Vec<u64>,
    /// The session's own terminal: file system, inode and device.
    terminal: Option<(u64, u64, u64)>,
}

impl HostView {
    /// None where the session has a view of its own. `master` is that of the
    /// session's terminal.
    pub(crate) fn of(plan: &Plan, master: Option<&OwnedFd>) -> io::Result<Option<Self>> {
        if plan.tier.has_namespaces() {
            return Ok(None);
        }
        let readable = plan.floor.iter().filter(|grant| !matches!(grant, Floor::Device(_)));
        let device = |path: &str| {
            let about = fs::metadata(path).ok()?;
            about.file_type().is_char_device().then(|| about.rdev())
        };
        let terminal = master.map(terminal).transpose()?;
        Ok(Some(Self {
            readable: readable.map(|grant| grant.path().to_path_buf()).collect(),
            devices: DEVICES.into_iter().filter_map(device).collect(),
            terminal,
        }))
    }

    pub(super) fn is_readable(&self, path: &Path) -> bool {
        self.readable.iter().any(|root| path.starts_with(root))
    }

    /// Whether a device may be opened. `/dev/tty` may: which terminal that is, is
    /// looked at again.
    pub(super) fn allows(&self, about: &Stat) -> bool {
        FileType::from_raw_mode(about.st_mode) == FileType::CharacterDevice
            && (self.devices.contains(&about.st_rdev)
                || about.st_rdev == TTY
                || self.is_own_terminal(about))
    }

    pub(super) fn is_own_terminal(&self, about: &Stat) -> bool {
        self.terminal == Some((about.st_dev, about.st_ino, about.st_rdev))
    }
}

fn terminal(master: &OwnedFd) -> io::Result<(u64, u64, u64)> {
    let path = ptsname(master, Vec::new())?.into_string().map_err(io::Error::other)?;
    let about = fs::metadata(path)?;
    Ok((about.dev(), about.ino(), about.rdev()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_sandbox::Tier;
    use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};

    fn plan(tier: Tier) -> Plan {
        Plan {
            tier,
            mounts: Vec::new(),
            floor: vec![Floor::Read("/usr".into()), Floor::Device("/dev/null".into())],
            network: crate::plan::NETWORK,
            limits: remit_sandbox::Limits::default(),
            environment: Vec::new(),
            directory: "/".into(),
            program: "/bin/true".into(),
            argv: Vec::new(),
        }
    }

    fn terminal() -> (OwnedFd, String) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("its name");
        (master, name.into_string().expect("a path"))
    }

    #[test]
    fn of_the_hosts_devices_only_harmless_ones_and_the_own_terminal_are_allowed() {
        let ((master, own), (_other, others)) = (terminal(), terminal());
        let view = HostView::of(&plan(Tier::NoNamespaces), Some(&master));
        let view = view.expect("a look").expect("the host's view");
        let allows = |path: &str| view.allows(&rustix::fs::stat(path).expect("a device"));
        for allowed in ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/tty", own.as_str()] {
            assert!(allows(allowed), "{allowed}");
        }
        for refused in [others.as_str(), "/dev/ptmx", "/etc/passwd", "/dev"] {
            assert!(!allows(refused), "{refused}");
        }
        assert!(view.is_readable("/usr/bin".as_ref()) && !view.is_readable("/dev/null".as_ref()));
        assert!(HostView::of(&plan(Tier::Full), Some(&master)).expect("a look").is_none());
    }
}
