//! From a [`Plan`] to a running command inside the boundary.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use super::child::{self, Entry};
use super::floor::{Abi, Grant};
use super::message::{self, Message, Received, Step};
use super::support::least_landlock;
use super::sys::{self, Cloned, Errno, NullTerminated};
use super::view::Prepared;
use super::watch::{self, Control};
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
    /// The session's own `/proc/sysvipc/shm`, `msg` and `sem`, unless the kernel
    /// has no such things.
    pub system_v: Option<[OwnedFd; 3]>,
    /// What is in force, in words: `user, mount, … namespaces`, `Landlock ABI 7`, …
    pub applied: Vec<String>,
}

/// Sockets that the session's connections and lookups end at, served from outside. All are
/// non-blocking.
#[derive(Debug)]
pub struct Sockets {
    /// Captured IPv4 connections arrive here.
    pub stream4: OwnedFd,
    /// Captured IPv6 connections arrive here; absent without IPv6.
    pub stream6: Option<OwnedFd>,
    /// Lookups over UDP; absent where the network is the host's own.
    pub names: Option<OwnedFd>,
    /// Lookups over TCP; absent where the network is the host's own, and lookups
    /// arrive as captured connections.
    pub names_stream: Option<OwnedFd>,
}

/// Why there is no session. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("`{0}` has a NUL byte in it")]
    Nul(String),
    #[error("this kernel's Landlock is too old: ABI {found}, needed {least} (0 means none)")]
    Landlock { found: u32, least: u32 },
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
    let found = sys::landlock_abi();
    let least = least_landlock(plan.tier);
    if found < least {
        return Err(LaunchError::Landlock { found, least });
    }
    let abi = Abi(found).for_tier(plan.tier);
    let entry = prepare(plan, stdio, abi)?;
    let talk = |errno: Errno| LaunchError::Talk { source: errno.into() };
    let (ours, theirs) = sys::message_pair().map_err(talk)?;
    let own = plan.tier.has_namespaces();
    // What runs beside the session is not ours to end with it.
    let others = if own { Vec::new() } else { watch::children().collect() };
    if !own {
        // Orphans come to us if process 1 is ended by somebody else.
        sys::become_subreaper().map_err(talk)?;
    }
    let init = match entry.limits.clone(if own { NAMESPACES } else { 0 }) {
        Ok(Cloned::Child) => child::run(entry, theirs),
        Ok(Cloned::Parent(pid)) => pid,
        Err(errno) if own => return Err(LaunchError::Namespaces { source: errno.into() }),
        Err(errno) => return Err(talk(errno)),
    };
    drop(theirs);
    let control = Control::new(init, ours, plan.tier, others);
    let (sockets, terminal, system_v) = ready(plan, &control)?;
    let notifications = filtered(plan, &control)?;
    let applied = applied(plan, abi);
    Ok(Launched { notifications, control, sockets, terminal, system_v, applied })
}

/// What is in force, and what a lesser tier leaves open, in words.
fn applied(plan: &Plan, abi: Abi) -> Vec<String> {
    let mut applied = Vec::new();
    if plan.tier.has_namespaces() {
        applied.push("user, mount, pid, net, ipc, uts and cgroup namespaces".to_owned());
        applied.push(format!("mount view of {} steps", plan.mounts.len()));
    } else {
        applied.push(
            "no namespaces: the host's processes can be listed and its files' names and sizes asked for"
                .to_owned(),
        );
        applied.push("no servers, datagrams, local sockets or shared memory".to_owned());
        applied.push("removing, and changes of mode, owner and time, by the supervisor".to_owned());
    }
    applied.push(if plan.tier.has_floor() {
        format!("Landlock ABI {} with {} grants", abi.0, plan.floor.len())
    } else {
        "no Landlock: the mount view holds alone".to_owned()
    });
    applied.push("seccomp with notification".to_owned());
    applied.push("no capabilities, no_new_privs".to_owned());
    if plan.mounts.iter().any(|mount| matches!(mount, Mount::Overlay { .. })) {
        applied.push("copy-on-write workspace".to_owned());
    }
    applied
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
        tier: plan.tier,
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
            .map(|floor| Ok(Grant::new(floor, plan.tier, c_string(floor.path().as_os_str())?)))
            .collect::<Result<_, LaunchError>>()?,
        network: plan.network,
        limits: limits::Prepared::new(&plan.limits)
            .map_err(|source| LaunchError::Limits { source })?,
        // The caller keeps its own number inside: mapped to 0, git would find
        // every file of its index changed, inside and afterwards outside.
        uid_map: format!("{uid} {uid} 1\n").into_bytes(),
        gid_map: format!("{gid} {gid} 1\n").into_bytes(),
        filter: filter::program(plan.tier),
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

/// What process 1 hands out once the view stands.
type Ready = (Sockets, Option<OwnedFd>, Option<[OwnedFd; 3]>);

fn ready(plan: &Plan, control: &Control) -> Result<Ready, LaunchError> {
    let Received { message, fds } = next(plan, control)?;
    let protocol = || LaunchError::Talk { source: io::ErrorKind::InvalidData.into() };
    let Message::Ready { ipv6, terminal, system_v } = message else {
        return Err(protocol());
    };
    let [
        Some(stream4),
        Some(names),
        Some(names_stream),
        stream6,
        master,
        Some(shared),
        Some(messages),
        Some(semaphores),
    ] = fds
    else {
        return Err(protocol());
    };
    // Where names arrive as captured connections, the other two stand for nothing.
    let own = plan.tier.has_namespaces();
    let sockets = Sockets {
        stream4,
        stream6: stream6.filter(|_| ipv6),
        names: Some(names).filter(|_| own),
        names_stream: Some(names_stream).filter(|_| own),
    };
    let tables = system_v.then_some([shared, messages, semaphores]);
    Ok((sockets, master.filter(|_| terminal), tables))
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
