//! Stopping a task before the first instruction of a new program.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::sys;

/// A task that will stop before its next instruction, because it is seized and
/// interrupted; used around a continued `execve`.
#[derive(Debug)]
pub struct Stop {
    task: u32,
}

/// How a seized task stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The new program is in place; none of it has run.
    Replaced,
    /// `execve` failed with this error number; the caller is what it was.
    Failed(i32),
}

/// A change in a task that the calling thread has seized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It waits at its stop; release or end it. `process` is its number now and
    /// `task` the one it called with: a thread that replaces its process takes
    /// over the process's number.
    Stopped { process: u32, task: u32, how: Stopped },
    /// It is gone.
    Gone { process: u32 },
}

impl Stop {
    /// Seizes a task that waits for the answer to its `execve`.
    ///
    /// Two stops are asked for: one when the program is replaced, which no
    /// thread can be without, and one when the call returns, for where it fails.
    /// The second alone is lost when a thread other than the first replaces its
    /// process.
    ///
    /// All of a task's tracing must be done by one thread.
    pub fn arm(task: u32) -> io::Result<Self> {
        sys::seize(task as i32)?;
        sys::interrupt(task as i32)?;
        Ok(Self { task })
    }

    pub fn task(&self) -> u32 {
        self.task
    }

    /// Lets a task that stopped run on, no longer traced.
    pub fn release(process: u32) {
        // Fails only when the task is gone.
        let _ = sys::detach(process as i32, 0);
    }

    /// Ends a stopped task before it runs another instruction.
    pub fn end(process: u32) {
        sys::kill(process as i32);
    }
}

/// The next change among the tasks that the calling thread has seized, if any.
pub fn next_change() -> Option<Change> {
    loop {
        let (pid, status) = sys::changed()?;
        let process = pid as u32;
        if !libc::WIFSTOPPED(status) {
            return Some(Change::Gone { process });
        }
        // SOURCE: ptrace(2), PTRACE_EVENT_STOP: what `interrupt` asked for.
        const EVENT_STOP: i32 = 128;
        match status >> 16 {
            libc::PTRACE_EVENT_EXEC => {
                let Ok(task) = sys::former_number(pid) else { continue };
                let how = Stopped::Replaced;
                return Some(Change::Stopped { process, task: task as u32, how });
            }
            EVENT_STOP => {
                let how = match sys::returned(pid) {
                    Ok(value) if value < 0 => Stopped::Failed(-value as i32),
                    Ok(_) => Stopped::Replaced,
                    Err(_) => continue,
                };
                return Some(Change::Stopped { process, task: process, how });
            }
            _ => {}
        }
        // Another stop, such as a signal's delivery or an exec's own event: let
        // it happen; ours comes before the next instruction all the same.
        let signal = libc::WSTOPSIG(status);
        let deliver = if signal == libc::SIGTRAP { 0 } else { signal };
        let _ = sys::proceed(pid, deliver);
    }
}

/// A descriptor that is readable when a seized task has changed. Blocks
/// `SIGCHLD` in the calling thread and the threads it starts; call it before
/// starting any.
pub fn changes() -> io::Result<OwnedFd> {
    sys::child_signals()
}

/// Forgets what a descriptor of [`changes`] has announced.
pub fn acknowledge(changes: BorrowedFd<'_>) {
    crate::linux::sys::drain(changes);
}
