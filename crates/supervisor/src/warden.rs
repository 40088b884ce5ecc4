//! The thread in front of the notifications: it answers every trapped call of
//! the session, and is the tracer of every program that starts.
//!
//! When it ends, the listener closes and every waiting and later call fails.

mod armed;
mod closely;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use remit_approvals::QuestionId;
use remit_audit::{Kind, Text, Tried};
use remit_policy::{Basis, Exec, Permit, Refusal};
use remit_sandbox::notify::{self, Call, Change, FileCall, Listener, Notification, Stop, Stopped};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::calls::RefusedCalls;
use crate::connect::{Connector, Reply};
use crate::errands::{Errand, Errands};
use crate::exec::{self, Claimed, Memory, Started, libc_errno as errno};
use crate::gate::{Asked, Gate, Judged, Recorded as _};
use crate::guard::{Done, Guard, NotDone};
use crate::process::Facts;
use crate::resolve::Place;
use armed::{Armed, RecentlyRefused, Way};

/// The warden's state: what waits for its stop.
#[derive(Debug)]
pub(crate) struct Warden {
    listener: Arc<Listener>,
    changes: OwnedFd,
    gate: Arc<Gate>,
    connector: Connector,
    guard: Guard,
    errands: Errands,
    memory: Memory,
    /// By the task that called `execve`.
    armed: HashMap<u32, Armed>,
    refused: RecentlyRefused,
    calls: RefusedCalls,
    /// Calls whose questions are open.
    asked: Vec<(Notification, QuestionId)>,
    answered: Receiver<Answered>,
    answer: Sender<Answered>,
    bell: Arc<OwnedFd>,
}

/// What an asked question came to; `then` says for which call.
#[derive(Debug)]
struct Answered {
    then: Then,
    attempt: u64,
    facts: Facts,
    outcome: Result<Permit<Exec>, Refusal>,
}

#[derive(Debug)]
enum Then {
    /// Continue this `execve`, or fail it.
    Call { call: Notification, exec: Exec, way: Way },
    /// Release or end this process, which waits at its stop.
    Process { process: u32, task: u32 },
}

/// A safety net under the wake-up by signal. Nothing should ever wait for it.
const LONGEST_SLEEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

impl Warden {
    pub(crate) fn new(
        listener: Listener,
        changes: OwnedFd,
        gate: Arc<Gate>,
        connector: Connector,
        guard: Guard,
    ) -> io::Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (answer, answered) = channel();
        let armed = HashMap::new();
        let listener = Arc::new(listener);
        Ok(Self {
            errands: Errands::new(Arc::clone(&listener)),
            memory: Memory::new(gate.policy()),
            listener,
            changes,
            gate,
            connector,
            guard,
            armed,
            refused: RecentlyRefused::default(),
            calls: RefusedCalls::default(),
            asked: Vec::new(),
            answered,
            answer,
            bell,
        })
    }

    /// Serves until nobody is left to serve. Call it on the thread that shall be
    /// the tracer.
    ///
    /// # Errors
    ///
    /// If it cannot go on although the session does: the session must end.
    pub(crate) fn serve(mut self) -> io::Result<()> {
        notify::act_as_callers()?;
        loop {
            let mut fds = [
                PollFd::new(&*self.listener, PollFlags::IN),
                PollFd::new(&self.changes, PollFlags::IN),
                PollFd::new(&*self.bell, PollFlags::IN),
            ];
            if let Err(error) = poll(&mut fds, Some(&LONGEST_SLEEP))
                && error != rustix::io::Errno::INTR
            {
                return Err(error.into());
            }
            let [called, changed, rung] = fds.map(|fd| fd.revents());
            if changed.contains(PollFlags::IN) {
                notify::acknowledge(self.changes.as_fd());
            }
            // Those that were ended must be waited for too, or their parents
            // would never hear of it.
            while let Some(change) = notify::next_change() {
                self.change(change);
            }
            if rung.contains(PollFlags::IN) {
                let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
            }
            while let Ok(answered) = self.answered.try_recv() {
                self.answered(answered);
            }
            self.withdraw_orphans();
            if called.contains(PollFlags::IN) {
                if let Some(call) = self.listener.receive()? {
                    self.call(&call);
                }
            } else if called.contains(PollFlags::HUP) {
                return Ok(());
            }
        }
    }

    fn call(&mut self, call: &Notification) {
        match call.call() {
            Call::Exec { path, argv, environment, directory, .. } => {
                self.exec(call, [path, argv, environment], directory)
            }
            Call::Connect { socket, address, length } => {
                let waiting = || self.listener.is_waiting(call);
                match self.connector.connect(waiting, call, socket, address, length) {
                    Reply::Now(number) => self.listener.answer(call, number),
                    Reply::Later(errand) => self.errands.take(call, Errand::Connect(errand)),
                }
            }
            Call::File(what) => self.file(call, what),
            Call::Mask(mask) => {
                self.guard.mask(call.task, mask);
                self.listener.proceed_by_value(call);
            }
            Call::Refused(name) => self.refused_call(call, name),
            Call::Other(_) => self.listener.answer(call, errno::EPERM),
        }
    }

    /// A call that nobody inside may make: said, written down, and not made.
    fn refused_call(&mut self, call: &Notification, name: &'static str) {
        let Ok(facts) = Facts::of(call.task) else {
            return self.listener.answer(call, errno::EPERM);
        };
        if !self.listener.is_waiting(call) {
            return;
        }
        let refusal = remit_policy::refused_call(name);
        if self.calls.is_new(&facts, name) {
            let detail = vec![Text::from(name)];
            if self.gate.record_refused(&facts, Tried::Call, detail, &refusal).is_err() {
                return self.listener.answer(call, errno::EIO);
            }
        }
        if self.calls.may_tell(&facts.program, name) {
            self.tell(call.task, &refusal);
        }
        self.listener.answer(call, errno::EPERM);
    }

    fn file(&mut self, call: &Notification, what: FileCall) {
        match self.guard.serve(&self.listener, call, what) {
            Ok(Done::Plainly) => self.listener.answer(call, 0),
            Ok(Done::Number(number)) => self.listener.answer_number(call, number),
            Ok(Done::File { file, close_on_exec }) => {
                let given = self.listener.answer_with(call, file.as_fd(), close_on_exec);
                if let Err(error) = given {
                    self.listener.answer(call, error.raw_os_error().unwrap_or(errno::EIO));
                }
            }
            Ok(Done::Later(errand)) => self.errands.take(call, Errand::Open(errand)),
            Err(no) => {
                if let NotDone::Refused(refusal) = &no {
                    self.tell(call.task, refusal);
                }
                self.listener.answer(call, no.errno());
            }
        }
    }

    /// `addresses`: of the path, the arguments and the variables.
    fn exec(&mut self, call: &Notification, addresses: [u64; 3], directory: Option<i32>) {
        let [path, argv, environment] = addresses;
        let mut claimed = match exec::claimed(call, path, argv, directory) {
            Ok(claimed) => claimed,
            Err(number) => return self.listener.answer(call, number),
        };
        let is_first = self.gate.command.set(claimed.facts.process).is_ok();
        self.tell_more(call.task, &mut claimed, is_first);
        let verdict = self.judge(call.task, environment, &mut claimed);
        if !self.listener.is_waiting(call) {
            return;
        }
        let (verdict, bound) = match verdict {
            Ok(judged) => judged,
            Err(number) => return self.listener.answer(call, number),
        };
        let Claimed { facts, exec, place, streams, .. } = claimed;
        let identity = place.as_ref().map(Place::identity);
        if self.refused.holds(&facts, &exec, identity) {
            return self.listener.answer(call, errno::EACCES);
        }
        let set_uid = place.as_ref().is_some_and(Place::is_set_uid);
        match self.conclude(&facts, &exec, verdict, bound.as_ref()) {
            Ok(Judged::Permitted { attempt, permit }) => {
                // Without arguments it mostly only shows something, as `mount`.
                if set_uid && exec.argv.len() > 1 {
                    self.tell_set_uid(call.task, &exec);
                }
                let way = Way { identity, streams, bound };
                self.proceed(call, Armed::new(attempt, facts, permit.spend(), way));
            }
            Ok(Judged::Refused { refusal, .. }) => {
                // Another file of that name further on in PATH is another
                // attempt, but no news.
                if !self.refused.holds_like(&facts, &exec) {
                    self.tell(call.task, &refusal);
                }
                self.refused.remember(&facts, exec, identity);
                self.listener.answer(call, errno::EACCES);
            }
            Ok(Judged::Asked(asked)) => {
                let way = Way { identity, streams, bound };
                self.wait_for(*asked, facts, Then::Call { call: *call, exec, way })
            }
            Err(_) => self.listener.answer(call, errno::EIO),
        }
    }

    /// Seizes the task, so that it stops before the first instruction of the new
    /// program, and lets the call go.
    fn proceed(&mut self, call: &Notification, armed: Armed) {
        let attempt = armed.attempt;
        let process = armed.facts.process;
        if self.armed.values().any(|other| other.facts.process == process) {
            // Another thread of it is on its way to become a new program, and
            // ends this one if it gets there. Seizing both could wait for ever:
            // the kernel holds a lock for the first that seizing takes.
            return self.listener.answer(call, errno::EAGAIN);
        }
        let gone = match Stop::arm(call.task) {
            Ok(stop) => {
                // The other end of its pipe may be judged before it has started.
                self.memory.start(&armed.streams, &armed.judged);
                self.armed.insert(call.task, armed);
                self.listener.proceed(call, &stop).err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = gone {
            self.listener.answer(call, errno::EPERM);
            self.note(attempt, &format!("it could not be watched while it starts: {error}"));
        }
    }

    /// Takes back the questions of programs that have died meanwhile.
    fn withdraw_orphans(&mut self) {
        let (listener, gate) = (&self.listener, &self.gate);
        self.asked.retain(|(call, id)| {
            let waits = listener.is_waiting(call);
            if !waits {
                gate.questions.withdraw(*id);
            }
            waits
        });
    }

    fn wait_for(&mut self, asked: Asked<Exec>, facts: Facts, then: Then) {
        if let Then::Call { call, .. } = &then {
            self.asked.push((*call, asked.id()));
        }
        let (gate, answer, bell) =
            (Arc::clone(&self.gate), self.answer.clone(), Arc::clone(&self.bell));
        self.connector.runtime.spawn(async move {
            let attempt = asked.attempt;
            let outcome = gate.settle(asked).await;
            // Without a warden there is no session left to answer.
            let _ = answer.send(Answered { then, attempt, facts, outcome });
            let _ = rustix::io::write(&*bell, &1_u64.to_ne_bytes());
        });
    }

    fn answered(&mut self, answered: Answered) {
        let Answered { then, attempt, facts, outcome } = answered;
        match (then, outcome) {
            (Then::Call { call, way, .. }, Ok(permit)) => {
                if self.listener.is_waiting(&call) {
                    self.proceed(&call, Armed::new(attempt, facts, permit.spend(), way));
                }
            }
            (Then::Call { call, exec, way }, Err(refusal)) => {
                self.refused.remember(&facts, exec, way.identity);
                self.tell(call.task, &refusal);
                self.listener.answer(&call, errno::EACCES);
            }
            (Then::Process { process, task }, outcome) => {
                // Only the process that was asked about: it has been stopped, and
                // traced by us, all the while, or its number means another now.
                let waits = self.armed.get(&task).is_some_and(|armed| armed.asked == Some(attempt));
                if !waits {
                    return;
                }
                let Some(armed) = self.armed.remove(&task) else {
                    return;
                };
                match outcome {
                    Ok(permit) => {
                        let armed = Armed { attempt, judged: permit.spend(), ..armed };
                        self.release_as_shown(process, armed);
                    }
                    Err(refusal) => self.end(process, &refusal),
                }
            }
        }
    }

    /// A seized task stopped or died.
    fn change(&mut self, change: Change) {
        match change {
            Change::Gone { process } => {
                let mut gone = self.armed.remove(&process);
                if gone.is_none() {
                    // A thread that took over its process's number.
                    let task = self.task_of(process);
                    gone = task.and_then(|task| self.armed.remove(&task));
                }
                if let Some(id) = gone.and_then(|armed| armed.question) {
                    self.gate.questions.withdraw(id);
                }
            }
            Change::Stopped { process, task, how: Stopped::Failed(number) } => {
                if let Some(armed) = self.armed.remove(&task) {
                    let error = io::Error::from_raw_os_error(number);
                    self.note(armed.attempt, &error.to_string());
                }
                Stop::release(process);
            }
            Change::Stopped { process, task, how: Stopped::Replaced } => {
                self.guard.forget(process);
                // Its other threads are gone, and with them what they had tried.
                self.armed.retain(|other, armed| *other == task || armed.facts.process != process);
                if self.armed.contains_key(&task) {
                    self.replaced(task, process);
                } else {
                    // Nothing was judged for it.
                    Stop::end(process);
                }
            }
        }
    }

    fn task_of(&self, process: u32) -> Option<u32> {
        let mut tasks = self.armed.iter();
        tasks.find(|(_, armed)| armed.facts.process == process).map(|(task, _)| *task)
    }

    fn replaced(&mut self, task: u32, process: u32) {
        let Some(armed) = self.armed.remove(&task) else {
            return;
        };
        let looked_at = armed.bound.is_some();
        match exec::compare(process, &armed.judged, armed.identity, looked_at) {
            Ok(Started::AsJudged) if looked_at => self.release_as_shown(process, armed),
            Ok(Started::AsJudged) => self.with_its_variables(task, process, armed),
            Ok(Started::Another(exec, place)) => self.another(task, process, armed, exec, &place),
            Ok(Started::Changed(actual)) => {
                self.end_changed(process, &armed, &format!("run {actual}"));
            }
            Err(error) => {
                self.end_changed(process, &armed, &format!("run something unreadable ({error})"));
            }
        }
    }

    /// What started is not what was judged: it never runs.
    fn end_changed(&self, process: u32, armed: &Armed, actual: &str) {
        let refusal = Refusal {
            attempt: actual.to_owned(),
            basis: Basis::built_in("what runs must be what was judged"),
            instead: Some("starting a program that nobody changes meanwhile".to_owned()),
            note: None,
        };
        let detail = armed.judged.detail();
        let written =
            self.gate.record_refusal::<Exec>(&armed.facts, armed.attempt, detail, &refusal);
        // Ended either way; a record that fails ends the session as well.
        let _ = written;
        self.end(process, &refusal);
    }

    fn end(&self, process: u32, refusal: &Refusal) {
        self.tell(process, refusal);
        Stop::end(process);
    }

    fn tell(&self, task: u32, refusal: &Refusal) {
        let free = !self.gate.questions.screen_is_taken();
        self.gate.taught.tell(refusal, |words| notify::tell(task, words, free));
    }

    /// Its own words would be about a wrong password or a missing right.
    fn tell_set_uid(&mut self, task: u32, exec: &Exec) {
        let program = exec.program.as_deref().unwrap_or(&exec.path);
        if self.calls.may_tell(program, "set-uid") {
            let name = remit_policy::show::line(&program.to_string_lossy());
            let line = format!(
                "remit: `{name}` is set-uid and gains nothing by it in here: it runs as you; what needs more is done outside\n"
            );
            notify::tell(task, &line, !self.gate.questions.screen_is_taken());
        }
    }

    fn note(&self, attempt: u64, error: &str) {
        // A record that fails ends the session; nothing hangs on this event.
        let _ = self.gate.journal.write(Kind::Outcome { attempt, error: error.to_owned() });
    }
}
