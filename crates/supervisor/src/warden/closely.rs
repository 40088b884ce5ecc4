//! A program looked at more closely than its arguments: what else its file is, the
//! variables that matter, and all that a yes is bound to.

use std::io;
use std::path::Path;

use remit_audit::AppendError;
use remit_policy::{Exec, Verdict};
use remit_sandbox::notify::{self, Stop};
use rustix::fs::{Access, AtFlags, accessat};

use super::armed::Armed;
use super::{Then, Warden};
use crate::exec::{self, Bound, Claimed, Script, Streams, libc_errno as errno};
use crate::gate::{Judged, Recorded as _, Shown, is_answer};
use crate::process::Facts;
use crate::resolve::Place;

impl Warden {
    /// Tells what else the file is, and who is on the other ends of its pipes. What
    /// is first is what the person named, whatever else it is.
    pub(super) fn tell_more(&mut self, task: u32, claimed: &mut Claimed, is_first: bool) {
        let policy = self.gate.policy();
        let Claimed { exec, place, streams, .. } = claimed;
        let place = place.as_ref().filter(|_| !is_first);
        self.memory.tell(task, &policy, exec, place, streams);
    }

    /// Judges what a caller claims. Where a person decides or decided, the variables
    /// belong to it, and everything that a yes is bound to is looked at.
    ///
    /// `Err` is the number to answer with.
    pub(super) fn judge(
        &mut self,
        task: u32,
        environment: u64,
        claimed: &mut Claimed,
    ) -> Result<(Verdict<Exec>, Option<Bound>), i32> {
        let verdict = self.gate.judge(claimed.exec.clone());
        if is_by_rule(&verdict) {
            return Ok((verdict, None));
        }
        let Claimed { exec, place, called, .. } = claimed;
        exec.environment = exec::claimed_environment(&self.gate.policy(), task, environment)?;
        let place = place.as_ref().map(|place| (place, called.as_path()));
        let (verdict, bound) = self.judge_shown(task, exec, place);
        Ok((verdict, Some(bound)))
    }

    fn judge_shown(
        &mut self,
        task: u32,
        exec: &Exec,
        program: Option<(&Place, &Path)>,
    ) -> (Verdict<Exec>, Bound) {
        let bound = Bound::of(task, exec, program, &mut self.memory.contents);
        (self.gate.judge_bound(exec.clone(), &bound.lasting), bound)
    }

    /// Writes a verdict down and asks, with what it is bound to, if it says so.
    pub(super) fn conclude(
        &self,
        facts: &Facts,
        exec: &Exec,
        verdict: Verdict<Exec>,
        bound: Option<&Bound>,
    ) -> Result<Judged<Exec>, AppendError> {
        let shown = bound.map_or_else(Shown::default, |bound| Shown {
            details: bound.particulars(),
            digest: bound.digest.clone(),
            lasting: bound.lasting.clone(),
        });
        match verdict {
            Verdict::Ask(_) => {
                let origin = self.gate.lineage.of(facts);
                let facts = Facts { origin, ..facts.clone() };
                self.gate.conclude_shown(&facts, exec.detail(), verdict, shown)
            }
            Verdict::Refuse(refusal) => self.gate.refuse(facts, exec, refusal),
            verdict => self.gate.conclude(facts, exec.detail(), verdict),
        }
    }

    /// A program that started as it was judged, by its arguments. Its variables are
    /// certain only now.
    pub(super) fn with_its_variables(&mut self, task: u32, process: u32, armed: Armed) {
        let environment = match exec::environment(&self.gate.policy(), process) {
            Ok(environment) if environment.is_empty() => return self.release(process, &armed),
            Ok(environment) => environment,
            Err(error) => {
                let what = format!("run something with unreadable variables ({error})");
                return self.end_changed(process, &armed, &what);
            }
        };
        let exec = Exec { environment, ..armed.judged.clone() };
        let verdict = self.gate.judge(exec.clone());
        match verdict {
            Verdict::Allow(permit) if !is_answer(permit.basis()) => self.release(process, &armed),
            verdict => self.judge_started(task, process, armed, exec, None, verdict),
        }
    }

    /// An interpreter, or what an unresolvable path led to: judged as it stands.
    pub(super) fn another(
        &mut self,
        task: u32,
        process: u32,
        armed: Armed,
        mut exec: Exec,
        place: &Place,
    ) {
        if let Some(bound) = &armed.bound
            && let Err(difference) = self.keep_as_shown(process, &armed, bound)
        {
            return self.end_changed(process, &armed, &difference);
        }
        match exec::environment(&self.gate.policy(), process) {
            Ok(environment) => exec.environment = environment,
            Err(error) => {
                let what = format!("run something with unreadable variables ({error})");
                return self.end_changed(process, &armed, &what);
            }
        }
        let streams = Streams::of(process, &exec);
        self.memory.tell(process, &self.gate.policy(), &mut exec, Some(place), &streams);
        let verdict = self.gate.judge(exec.clone());
        let armed = Armed { streams, ..armed };
        self.judge_started(task, process, armed, exec, Some(place), verdict);
    }

    /// Judges a stopped process that runs `exec`, of which nothing is claimed any
    /// more. `place`: its file, where that is not the one that was judged before.
    fn judge_started(
        &mut self,
        task: u32,
        process: u32,
        armed: Armed,
        exec: Exec,
        place: Option<&Place>,
        verdict: Verdict<Exec>,
    ) {
        let facts = armed.as_started(process);
        let (verdict, bound) = if is_by_rule(&verdict) {
            (verdict, None)
        } else {
            let running = Path::new("/proc/self/exe");
            let own = Place::of(process, running, None).ok();
            let place = place.or(own.as_ref()).map(|place| (place, running));
            let (verdict, bound) = self.judge_shown(process, &exec, place);
            (verdict, Some(bound))
        };
        match self.conclude(&facts, &exec, verdict, bound.as_ref()) {
            Ok(Judged::Permitted { attempt, permit }) => {
                let armed = Armed { attempt, judged: permit.spend(), bound, ..armed };
                self.release_as_shown(process, armed);
            }
            Ok(Judged::Refused { refusal, .. }) => self.end(process, &refusal),
            Ok(Judged::Asked(asked)) => {
                let (waits, question) = (Some(asked.attempt), Some(asked.id()));
                let armed = Armed { judged: exec, bound, asked: waits, question, ..armed };
                self.armed.insert(task, armed);
                self.wait_for(*asked, facts, Then::Process { process, task });
            }
            Err(_) => Stop::end(process),
        }
    }

    /// Lets a stopped process go if everything that was shown is as it was.
    pub(super) fn release_as_shown(&mut self, process: u32, armed: Armed) {
        if let Some(bound) = &armed.bound
            && let Err(difference) = self.keep_as_shown(process, &armed, bound)
        {
            return self.end_changed(process, &armed, &difference);
        }
        self.release(process, &armed);
    }

    fn release(&mut self, process: u32, armed: &Armed) {
        let facts = armed.as_started(process);
        self.memory.start(&armed.streams, &armed.judged);
        self.gate.lineage.runs(&facts, armed.attempt, &armed.judged.argv);
        Stop::release(process);
    }

    /// Makes sure that everything is as it was shown, and that the scripts stay so
    /// until they are read: first nobody can begin to change them, then nobody is
    /// changing them, then they say what was shown.
    fn keep_as_shown(&mut self, process: u32, armed: &Armed, bound: &Bound) -> Result<(), String> {
        let facts = armed.as_started(process);
        let kept = bound.scripts().try_for_each(|(path, script)| {
            self.keep(&facts, path, script)
                .map_err(|why| format!("run a script that cannot be kept as it is: {why}"))
        });
        let same = kept.and_then(|()| {
            match bound.difference(&self.gate.policy(), process, &mut self.memory.contents) {
                Ok(None) => Ok(()),
                Ok(Some(what)) => Err(format!("run it after {what}")),
                Err(error) => Err(format!("run something unreadable ({error})")),
            }
        });
        if same.is_err() {
            self.guard.pins.forget(process);
        }
        same
    }

    fn keep(&mut self, facts: &Facts, path: &Path, script: Script) -> Result<(), String> {
        self.guard.pins.add(facts, script).map_err(|error| error.to_string())?;
        let place = Place::of(facts.process, path, None).map_err(|error| error.to_string())?;
        match is_being_written(&place) {
            Ok(false) => Ok(()),
            Ok(true) => Err("another program has it open for writing".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether a rule alone decided, so that nobody's answer is bound to anything.
fn is_by_rule(verdict: &Verdict<Exec>) -> bool {
    match verdict {
        Verdict::Refuse(_) => true,
        Verdict::Ask(_) => false,
        Verdict::Allow(permit) => !is_answer(permit.basis()),
    }
}

/// Whether anybody can write to a file by what is open already.
///
/// Of a file that belongs to somebody else the kernel does not tell. It does not
/// matter where the callers, whose rights we have, may not write to it anyway.
fn is_being_written(place: &Place) -> io::Result<bool> {
    use std::os::fd::AsFd as _;
    match notify::has_writers(place.reopen()?.as_fd()) {
        Err(error) if error.raw_os_error() == Some(errno::EACCES) => {
            let writable = accessat(&place.fd, "", Access::WRITE_OK, AtFlags::EMPTY_PATH);
            match writable {
                Ok(()) => Err(error),
                Err(_) => Ok(false),
            }
        }
        told => told,
    }
}
