//! From a [`Plan`] to a running command under Seatbelt.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use super::sys;
use crate::plan::Plan;
use crate::seatbelt::{self, Lack, ProfileError};

/// Apple's own. Never looked for in `PATH`, where an agent may have put another.
const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";

/// A command that runs under Seatbelt. Dropping it ends its process group.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    /// What is in force, in words.
    pub applied: Vec<String>,
    /// What is not, compared with Linux; the caller accepted each by name.
    pub lacks: BTreeSet<Lack>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    Exited(i32),
    Killed(i32),
}

/// Why there is no session. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A session weaker than the plan says is one that policy must name.
    #[error("on macOS {}, and policy does not accept that by name", listed(.0))]
    Lacks(BTreeSet<Lack>),
    #[error("cannot write the plan as a profile")]
    Profile(#[from] ProfileError),
    #[error("a terminal cannot be handed in; pass a pipe")]
    Terminal,
    #[error("cannot start `{SANDBOX_EXEC}`")]
    Start { source: io::Error },
}

/// Starts the plan's command under Seatbelt, with the supervisor's proxy at a
/// port of the loopback.
///
/// `accepted` is what policy allows to be missing, by name; if anything else
/// would be, there is no session. `stdio` are pipes or files of the caller's.
pub fn launch(
    plan: &Plan,
    proxy: u16,
    accepted: &BTreeSet<Lack>,
    stdio: [OwnedFd; 3],
) -> Result<Launched, LaunchError> {
    let lacks = seatbelt::lacks(plan);
    let missing: BTreeSet<Lack> = lacks.difference(accepted).copied().collect();
    if !missing.is_empty() {
        return Err(LaunchError::Lacks(missing));
    }
    if stdio.iter().any(|fd| fd.as_fd().is_terminal()) {
        return Err(LaunchError::Terminal);
    }
    let profile = seatbelt::profile(plan, proxy)?;
    let [input, output, error] = stdio.map(Stdio::from);
    let mut command = Command::new(SANDBOX_EXEC);
    command
        .args(arguments(plan, profile))
        .env_clear()
        .envs(plan.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&plan.directory)
        .stdin(input)
        .stdout(output)
        .stderr(error);
    sys::keep_apart(&mut command);
    let child = command.spawn().map_err(|source| LaunchError::Start { source })?;
    let rules = plan.floor.len() + plan.mounts.len();
    let applied = vec![format!("Seatbelt profile of {rules} places, deny by default")];
    Ok(Launched { child, applied, lacks })
}

/// `sandbox-exec` looks for options up to the first word that is none: the
/// program is an absolute path and cannot be one. It runs by its path, so
/// `argv[0]` is that path.
fn arguments(plan: &Plan, profile: String) -> Vec<OsString> {
    let mut arguments = vec![OsString::from("-p"), profile.into(), plan.program.clone().into()];
    arguments.extend(plan.argv.iter().skip(1).cloned());
    arguments
}

impl Launched {
    /// Waits for the command's end.
    pub fn wait(&mut self) -> io::Result<Stopped> {
        let status = self.child.wait()?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Stopped::Exited(code),
            (None, signal) => Stopped::Killed(signal.unwrap_or(sys::SIGKILL)),
        })
    }

    /// Ends the command and whatever stayed in its process group.
    pub fn end(&mut self) {
        if let Ok(leader) = i32::try_from(self.child.id()) {
            // The group may have ended by itself.
            let _ = sys::kill_group(leader, sys::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.end();
    }
}

fn listed(lacks: &BTreeSet<Lack>) -> String {
    lacks.iter().map(Lack::to_string).collect::<Vec<_>>().join(", ")
}
