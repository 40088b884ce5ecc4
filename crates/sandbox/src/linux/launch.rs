//! From a [`Plan`] to a running command inside the boundary.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use super::child::{self, Entry};
use super::floor::{Abi, Grant};
use super::message::{self, Message, Received, Step};
use super::support::LEAST_LANDLOCK;
use super::sys::{self, Cloned, Errno, NullTerminated};
use super::view::Prepared;
use super::watch::Control;
use super::{filter, limits, notify};
use crate::plan::{Mount, Plan};

/// What the command's standard descriptors are. None keeps a way to the host's
/// own mounts or network, unless the caller passes one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stdio(pub [Stream; 3]);

/// One standard descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Ours, as it is: a pipe, a connected local stream.
    Inherited,
    /// A terminal of the session's own.
    Terminal,
    /// The session's own `/dev/null`.
    Null,
}

impl Stdio {
    /// Whether the session has a terminal.
    pub fn has_terminal(&self) -> bool {
        self.0.contains(&Stream::Terminal)
    }
}

/// A command that waits inside the boundary for the verdict on its own start.
#[derive(Debug)]
pub struct Launched {
    /// The trapped calls of the session.
    pub notifications: notify::Listener,
    /// What becomes of the command. Dropping it ends the session.
    pub control: Control,
    pub sockets: Sockets,
    /// The master of the command's terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    /// What is in force, in words: `user, mount, … namespaces`, `Landlock ABI 7`, …
    pub applied: Vec<String>,
}

/// Sockets of the session's network namespace, served from outside. All are
/// non-blocking.
#[derive(Debug)]
pub struct Sockets {
    /// Captured IPv4 connections arrive here.
    pub stream4: OwnedFd,
    /// Captured IPv6 connections arrive here; absent without IPv6.
    pub stream6: Option<OwnedFd>,
    /// Lookups over UDP.
    pub names: OwnedFd,
    /// Lookups over TCP.
    pub names_stream: OwnedFd,
}

/// Why there is no session. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("`{0}` has a NUL byte in it")]
    Nul(String),
    #[error(
        "this kernel's Landlock is too old: ABI {found}, needed {LEAST_LANDLOCK} (0 means none)"
    )]
    Landlock { found: u32 },
    #[error("cannot create user namespaces and the others under them")]
    Namespaces { source: io::Error },
    #[error("cannot make the session's limits ready")]
    Limits { source: io::Error },
    #[error("cannot talk to the process inside")]
    Talk { source: io::Error },
    #[error("cannot {doing}{what}")]
    Enter { doing: &'static str, what: String, source: io::Error },
    #[error("the process inside ended before it was ready")]
    Ended,
}

const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// Builds the boundary and starts the command's process inside it.
///
/// The command's own `execve` is the first notification. The session ends when
/// the calling *thread* ends, so call it from one that lives as long as the
/// session does.
pub fn launch(plan: &Plan, stdio: Stdio) -> Result<Launched, LaunchError> {
    let abi = sys::landlock_abi();
    if abi < LEAST_LANDLOCK {
        return Err(LaunchError::Landlock { found: abi });
    }
    let entry = prepare(plan, stdio, Abi(abi))?;
    let talk = |errno: Errno| LaunchError::Talk { source: errno.into() };
    let (ours, theirs) = sys::message_pair().map_err(talk)?;
    let init = match entry.limits.clone(NAMESPACES) {
        Ok(Cloned::Child) => child::run(entry, theirs),
        Ok(Cloned::Parent(pid)) => pid,
        Err(errno) => {
            return Err(LaunchError::Namespaces { source: errno.into() });
        }
    };
    drop(theirs);
    let control = Control::new(init, ours);
    let (sockets, terminal) = ready(plan, &control)?;
    let notifications = filtered(plan, &control)?;
    let copied = |mount: &Mount| matches!(mount, Mount::Overlay { .. });
    let overlay = plan.mounts.iter().any(copied).then(|| "copy-on-write workspace".to_owned());
    let mut applied = vec![
        "user, mount, pid, net, ipc, uts and cgroup namespaces".to_owned(),
        format!("mount view of {} steps", plan.mounts.len()),
        format!("Landlock ABI {abi} with {} grants", plan.floor.len()),
        "seccomp with notification".to_owned(),
        "no capabilities, no_new_privs".to_owned(),
    ];
    applied.extend(overlay);
    Ok(Launched { notifications, control, sockets, terminal, applied })
}

fn prepare(plan: &Plan, stdio: Stdio, abi: Abi) -> Result<Entry, LaunchError> {
    let (uid, gid) = sys::getuid();
    let mut environment = Vec::with_capacity(plan.environment.len());
    for (name, value) in &plan.environment {
        let mut pair = name.clone();
        pair.push("=");
        pair.push(value);
        environment.push(c_string(&pair)?);
    }
    Ok(Entry {
        steps: plan
            .mounts
            .iter()
            .map(|mount| {
                Prepared::new(mount, plan.limits.tmp)
                    .ok_or_else(|| LaunchError::Nul(mount.to_string()))
            })
            .collect::<Result<_, _>>()?,
        abi,
        grants: plan
            .floor
            .iter()
            .map(|floor| Ok(Grant::new(floor, c_string(floor.path().as_os_str())?)))
            .collect::<Result<_, LaunchError>>()?,
        network: plan.network,
        limits: limits::Prepared::new(&plan.limits)
            .map_err(|source| LaunchError::Limits { source })?,
        // The caller keeps its own number inside: mapped to 0, git would find
        // every file of its index changed, inside and afterwards outside.
        uid_map: format!("{uid} {uid} 1\n").into_bytes(),
        gid_map: format!("{gid} {gid} 1\n").into_bytes(),
        filter: filter::program(),
        directory: c_string(plan.directory.as_os_str())?,
        program: c_string(plan.program.as_os_str())?,
        argv: NullTerminated::new(
            plan.argv.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?,
        ),
        environment: NullTerminated::new(environment),
        stdio,
        umask: sys::current_umask(),
    })
}

fn c_string(text: &OsStr) -> Result<CString, LaunchError> {
    CString::new(text.as_bytes()).map_err(|_| LaunchError::Nul(text.to_string_lossy().into_owned()))
}

fn ready(plan: &Plan, control: &Control) -> Result<(Sockets, Option<OwnedFd>), LaunchError> {
    let Received { message, fds } = next(plan, control)?;
    let protocol = || LaunchError::Talk { source: io::ErrorKind::InvalidData.into() };
    let Message::Ready { ipv6, terminal } = message else {
        return Err(protocol());
    };
    let [Some(stream4), Some(names), Some(names_stream), stream6, master] = fds else {
        return Err(protocol());
    };
    let sockets = Sockets { stream4, stream6: stream6.filter(|_| ipv6), names, names_stream };
    Ok((sockets, master.filter(|_| terminal)))
}

fn filtered(plan: &Plan, control: &Control) -> Result<notify::Listener, LaunchError> {
    let Received { message, fds: [listener, ..] } = next(plan, control)?;
    match (message, listener) {
        (Message::Filtered, Some(listener)) => Ok(notify::Listener::new(listener)),
        _ => Err(LaunchError::Talk { source: io::ErrorKind::InvalidData.into() }),
    }
}

fn next(plan: &Plan, control: &Control) -> Result<Received, LaunchError> {
    let received = message::receive(control.as_fd())
        .map_err(|errno| LaunchError::Talk { source: errno.into() })?
        .ok_or(LaunchError::Ended)?;
    match received.message {
        Message::Failed { step, index, errno } => Err(failure(plan, step, index as usize, errno)),
        _ => Ok(received),
    }
}

/// Says which part of the plan a failed step was about.
fn failure(plan: &Plan, step: Step, index: usize, errno: Errno) -> LaunchError {
    let what = match step {
        Step::CopyView | Step::Overlay | Step::Mount => {
            plan.mounts.get(index).map(|mount| format!(" ({mount})"))
        }
        Step::Floor => plan.floor.get(index).map(|grant| format!(" ({grant})")),
        Step::Directory => Some(format!(" `{}`", plan.directory.display())),
        Step::Exec => Some(format!(" `{}`", plan.program.display())),
        _ => None,
    };
    LaunchError::Enter { doing: step.words(), what: what.unwrap_or_default(), source: errno.into() }
}

#[cfg(test)]
mod fuzz;
