//! Looks at a running session until it ends, and ends it where a limit says so.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use remit_audit::Kind;
use remit_policy::Resource;
use remit_sandbox::Control;
use rustix::process::{Pid, Signal, kill_process_group};

use super::inside::{Inside, Usage};
use super::{Held, Limited, Means};
use crate::gate::Gate;
use crate::session::RunError;

/// How often the session is looked at. A process takes at most some hundred
/// MiB in that time; a look at a hundred processes takes about 2 ms.
const PAUSE: Duration = Duration::from_millis(200);

/// Every how many looks the descriptors of all processes are looked through.
const THOROUGH: u32 = 5;

/// How many looks in a row may fail, as they do while a session ends.
const MISSES: u32 = 5;

/// What the command has to save its work, between being asked to end and being
/// ended.
const GRACE: Duration = Duration::from_secs(5);

/// The eyes on one session.
#[derive(Debug)]
pub(crate) struct Watch<'s> {
    limited: &'s Limited,
    gate: &'s Gate,
    /// Until the session is looked at for the first time.
    system_v: Option<[OwnedFd; 3]>,
    told: Vec<Resource>,
    ended_for: Option<Resource>,
}

impl<'s> Watch<'s> {
    /// With the session's tables of System V objects, if there are any.
    pub(crate) fn new(
        limited: &'s Limited,
        gate: &'s Gate,
        system_v: Option<[OwnedFd; 3]>,
    ) -> Self {
        Self { limited, gate, system_v, told: Vec::new(), ended_for: None }
    }

    /// Looks until the other end of `stop` is dropped.
    pub(crate) fn run(&mut self, control: &Control, stop: &Receiver<()>) {
        let mut inside = None;
        let (mut looks, mut misses) = (0_u32, 0_u32);
        while stop.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
            self.keep_time(control);
            // Before there is a command there is nothing to look at.
            let Some(command) = self.gate.command.get() else { continue };
            looks = looks.wrapping_add(1);
            let looked = match &inside {
                None => {
                    let opened = match self.limited.tier.has_namespaces() {
                        true => Inside::open(*command),
                        false => Ok(Inside::below(control.init())),
                    };
                    opened.map(|opened| inside = Some(opened.with(self.system_v.take())))
                }
                Some(inside) => self.look(inside, looks % THOROUGH == 0, control),
            };
            match looked {
                Ok(()) => misses = 0,
                Err(error) => {
                    misses += 1;
                    if misses >= MISSES {
                        self.blind(&error, control);
                    }
                }
            }
        }
    }

    /// Time: the command is asked to end, and is ended if it does not.
    fn keep_time(&mut self, control: &Control) {
        let Some(limit) = self.limited.held(Resource::Time) else { return };
        let over = self.limited.begun.elapsed().checked_sub(Duration::from_secs(limit.most));
        let Some(over) = over else { return };
        if self.ended_for.is_none() {
            self.tell(limit, true);
            let command = self.gate.command.get().and_then(|pid| Pid::from_raw(*pid as i32));
            if let Some(command) = command {
                // One that is stopped hears it when it is continued.
                let _ = kill_process_group(command, Signal::TERM);
                let _ = kill_process_group(command, Signal::CONT);
            }
        }
        if over > GRACE {
            control.end();
        }
    }

    fn look(&mut self, inside: &Inside, thorough: bool, control: &Control) -> io::Result<()> {
        let usage = inside.look()?;
        let nameless = if thorough && self.counts(Resource::Memory) {
            inside.nameless().unwrap_or_else(|error| {
                self.blind(&error, control);
                0
            })
        } else {
            0
        };
        if let Some(limit) = self.limited.held(Resource::Memory)
            && limit.means == Means::Counted
            && usage.memory + nameless > limit.most
            && inside.weigh()? > limit.most
        {
            self.end_for(limit, control);
        }
        if let Some(limit) = self.limited.held(Resource::Processes) {
            match limit.means {
                Means::Counted if usage.tasks > limit.most => self.end_for(limit, control),
                _ if self.ran_out_of_processes(usage, limit) => self.tell(limit, false),
                _ => {}
            }
        }
        if let Some(limit) = self.limited.held(Resource::Tmp)
            && usage.is_full
        {
            self.tell(limit, false);
        }
        if let Some(limit) = self.limited.held(Resource::OpenFiles)
            && usage.descriptors >= limit.most
        {
            self.tell(limit, false);
        }
        Ok(())
    }

    fn counts(&self, resource: Resource) -> bool {
        self.limited.held(resource).is_some_and(|limit| limit.means == Means::Counted)
    }

    fn ran_out_of_processes(&self, usage: Usage, limit: &Held) -> bool {
        match (limit.means, &self.limited.cgroup) {
            (Means::Cgroup, Some(cgroup)) => cgroup.ran_out_of_processes(),
            (Means::Rlimit, _) => usage.tasks >= limit.most,
            _ => false,
        }
    }

    /// What can no longer be counted may not go on uncounted.
    fn blind(&mut self, error: &io::Error, control: &Control) {
        let counted = self.limited.held.iter().find(|held| held.means == Means::Counted);
        if let Some(limit) = counted.filter(|_| self.ended_for.is_none()) {
            let what = format!("limits.{}", limit.resource);
            let why = format!("its processes cannot be counted: {error}");
            let _ = self.gate.journal.write(Kind::Degraded { what, why });
            control.end();
        }
    }

    fn end_for(&mut self, limit: &Held, control: &Control) {
        self.tell(limit, true);
        control.end();
    }

    /// Writes down that a limit was reached, once for each.
    fn tell(&mut self, limit: &Held, ended: bool) {
        if ended && self.ended_for.is_none() {
            self.ended_for = Some(limit.resource);
        }
        if self.told.contains(&limit.resource) {
            return;
        }
        self.told.push(limit.resource);
        // If it cannot be written down, the session is about to end for that.
        let _ = self.gate.journal.write(Kind::LimitReached {
            limit: limit.resource.name().to_owned(),
            value: limit.most,
            how: limit.means.words().to_owned(),
            ended,
        });
    }

    /// What the kernel did, once the session is over, and why it was ended, if
    /// a limit ended it. Call it before the record's last word.
    pub(crate) fn finish(mut self) -> Option<RunError> {
        let limited = self.limited;
        if let Some(cgroup) = &limited.cgroup {
            if let Some(limit) =
                limited.held(Resource::Memory).filter(|_| cgroup.ran_out_of_memory())
            {
                self.tell(limit, true);
            }
            if let Some(limit) =
                limited.held(Resource::Processes).filter(|_| cgroup.ran_out_of_processes())
            {
                self.tell(limit, false);
            }
        }
        let limit = limited.held(self.ended_for?)?;
        Some(RunError::LimitReached {
            limit: limit.resource.name(),
            most: limit.resource.spell(limit.most),
            basis: limit.basis.to_string(),
        })
    }
}
