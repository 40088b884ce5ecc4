//! A program about to start: read, judged, continued, and compared with what
//! really started.

mod bound;
mod contents;
mod copies;
mod environment;
mod loader;
mod streams;

pub(crate) use bound::{Bound, Script};
pub(crate) use environment::Variables;
pub(crate) use streams::Streams;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_policy::{Exec, Policy, knowledge, show};
use remit_sandbox::notify::{self, Notification};

use crate::process::{self, Facts};
use crate::resolve::{self, Identity, Place};
use contents::Contents;
use copies::Copies;
use streams::Pipes;

/// An `execve` as its caller claims it.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) facts: Facts,
    pub(crate) exec: Exec,
    /// The file the path leads to now.
    pub(crate) place: Option<Place>,
    /// A path that leads there from the caller's directory.
    pub(crate) called: PathBuf,
    pub(crate) streams: Streams,
}

/// What is remembered from one program's start to the next.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) contents: Contents,
    copies: Copies,
    pipes: Pipes,
}

impl Memory {
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        Self { contents: Contents::default(), copies: Copies::new(policy), pipes: Pipes::default() }
    }

    /// Tells what else an attempt's file is, and who is on the other ends of its
    /// pipes. A dynamic loader is also what it loads.
    pub(crate) fn tell(
        &mut self,
        task: u32,
        policy: &Arc<Policy>,
        exec: &mut Exec,
        place: Option<&Place>,
        streams: &Streams,
    ) {
        if let Some(place) = place {
            // What the system keeps goes by its own name: some keep one file for many.
            if !exec.program.as_deref().is_some_and(knowledge::is_systems_own) {
                let own = exec.program.as_deref();
                let contents = &mut self.contents;
                exec.copy_of = self.copies.of(policy, place, own, &exec.path, contents);
            }
            let loaded = loader::loaded(exec).map(|path| (path, Place::of(task, path, None)));
            if let Some((path, Ok(loaded))) = loaded {
                let program = loaded.path();
                let own = program.as_deref();
                let copies = self.copies.of(policy, &loaded, own, path, &mut self.contents);
                exec.copy_of.extend(program.into_iter().chain(copies));
            }
        }
        self.pipes.tell(streams, exec);
    }

    /// Remembers a program that is let go.
    pub(crate) fn start(&mut self, streams: &Streams, exec: &Exec) {
        self.pipes.start(streams, exec);
    }
}

/// Reads what the caller claims to start. `Err` is the number to answer with,
/// where the kernel itself would have failed the call.
pub(crate) fn claimed(
    call: &Notification,
    path: u64,
    argv: u64,
    directory: Option<RawFd>,
) -> Result<Claimed, i32> {
    let task = call.task;
    let path =
        notify::read_path(task, path).map_err(notify::Unreadable::errno).map(PathBuf::from)?;
    let mut argv = notify::read_argv(task, argv).map_err(notify::Unreadable::errno)?;
    if argv.is_empty() {
        // SOURCE: execve(2), since Linux 5.18 an empty vector becomes one empty string.
        argv.push(OsString::new());
    }
    let facts = Facts::of(task).map_err(|_| libc_errno::ESRCH)?;
    let cwd = fs::read_link(format!("/proc/{task}/cwd")).unwrap_or_default();
    let place = match Place::of(task, &path, directory) {
        Ok(place) if place.is_executable() => Some(place),
        // Trying the directories of PATH fails like this many times a second:
        // nothing was attempted that could happen, so nothing is judged.
        Ok(_) => return Err(libc_errno::EACCES),
        Err(error) => match error.raw_os_error() {
            Some(
                code @ (libc_errno::ENOENT
                | libc_errno::ENOTDIR
                | libc_errno::EACCES
                | libc_errno::ELOOP
                | libc_errno::ENAMETOOLONG),
            ) if !cwd.join(&path).starts_with("/proc") => return Err(code),
            _ => None,
        },
    };
    let program = place.as_ref().and_then(Place::path);
    let called = match directory {
        Some(_) if path.is_relative() => program.clone().unwrap_or_default(),
        _ => path.clone(),
    };
    let by = Some(facts.program.clone());
    let exec = Exec { program, by, cwd, path, argv, ..Exec::default() };
    let streams = Streams::of(task, &exec);
    Ok(Claimed { facts, exec, place, called, streams })
}

/// The variables that matter, as the caller claims them.
pub(crate) fn claimed_environment(
    policy: &Policy,
    task: u32,
    address: u64,
) -> Result<Variables, i32> {
    environment::claimed(policy, task, address).map_err(notify::Unreadable::errno)
}

/// The variables that matter of a stopped process that has not run an instruction
/// of its new program.
pub(crate) fn environment(policy: &Policy, process: u32) -> io::Result<Variables> {
    environment::of(policy, process)
}

/// Error numbers, the same on every architecture we build for.
/// SOURCE: asm-generic/errno-base.h, asm-generic/errno.h.
pub(crate) mod libc_errno {
    pub(crate) const EPERM: i32 = 1;
    pub(crate) const ENOENT: i32 = 2;
    pub(crate) const ESRCH: i32 = 3;
    pub(crate) const EIO: i32 = 5;
    pub(crate) const EAGAIN: i32 = 11;
    pub(crate) const EACCES: i32 = 13;
    pub(crate) const ENOTDIR: i32 = 20;
    pub(crate) const ENAMETOOLONG: i32 = 36;
    pub(crate) const ELOOP: i32 = 40;
    pub(crate) const EAFNOSUPPORT: i32 = 97;
    pub(crate) const EADDRNOTAVAIL: i32 = 99;
    pub(crate) const EISCONN: i32 = 106;
    pub(crate) const ECONNREFUSED: i32 = 111;
    pub(crate) const EALREADY: i32 = 114;
    pub(crate) const EINPROGRESS: i32 = 115;
}

/// What really started, seen from a process that has not run an instruction of
/// it yet.
#[derive(Debug)]
pub(crate) enum Started {
    /// Exactly what was judged.
    AsJudged,
    /// The judged file named this interpreter (`#!`), which runs with the judged
    /// arguments at its end; or the judged path could not be resolved from
    /// outside, and this is what it led to. To be judged in its own right.
    Another(Exec, Place),
    /// Something else, in words that go on after "run ". It must not run.
    Changed(String),
}

/// Compares a stopped process with what was judged for it: which file runs, with
/// which arguments, in which directory.
///
/// `looked_at`: somebody said yes to this file, so not only which file it is
/// must agree, but also when it was last changed.
pub(crate) fn compare(
    process: u32,
    judged: &Exec,
    identity: Option<Identity>,
    looked_at: bool,
) -> io::Result<Started> {
    // The kernel's own copy of the arguments, on a stack that nobody shares.
    let actual = split(&process::read(&format!("/proc/{process}/cmdline"))?);
    let (running, program) = resolve::running(process)?;
    let state = running.identity();
    let shown =
        || format!("`{}` ({})", show::command(&actual), show::line(&program.to_string_lossy()));
    let cwd = fs::read_link(format!("/proc/{process}/cwd"))?;
    if cwd != judged.cwd {
        return Ok(Started::Changed(format!(
            "{} in `{}`",
            shown(),
            show::line(&cwd.to_string_lossy())
        )));
    }
    if identity.is_some_and(|then| then.is_same_file(&state)) && actual == judged.argv {
        let changed = looked_at && identity != Some(state);
        return Ok(if changed { Started::Changed(shown()) } else { Started::AsJudged });
    }
    let unresolved = identity.is_none() && actual == judged.argv;
    if unresolved || is_interpreted(&actual, judged) {
        let exec = Exec {
            path: program.clone(),
            program: Some(program),
            argv: actual,
            by: judged.by.clone(),
            cwd,
            ..Exec::default()
        };
        return Ok(Started::Another(exec, running));
    }
    Ok(Started::Changed(shown()))
}

/// SOURCE: execve(2), "Interpreter scripts": interpreter, at most one argument,
/// the script's path, then the arguments without the first.
fn is_interpreted(actual: &[OsString], judged: &Exec) -> bool {
    let rest = judged.argv.get(1..).unwrap_or_default();
    let Some(front) = actual.strip_suffix(rest) else {
        return false;
    };
    match front.split_last() {
        Some((script, interpreter)) => {
            !interpreter.is_empty() && (Path::new(script) == judged.path || is_descriptor(script))
        }
        None => false,
    }
}

/// How a script is named to its interpreter when it was started by descriptor.
fn is_descriptor(script: &OsString) -> bool {
    Path::new(script).starts_with("/dev/fd")
}

fn split(bytes: &[u8]) -> Vec<OsString> {
    bytes
        .strip_suffix(&[0])
        .unwrap_or(bytes)
        .split(|byte| *byte == 0)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn only_the_judged_arguments_at_the_end_are_an_interpreters() {
        let judged = Exec {
            path: "./run".into(),
            argv: words("run a b"),
            cwd: "/w".into(),
            ..Exec::default()
        };
        let check = |actual: &str, expected| {
            assert_eq!(is_interpreted(&words(actual), &judged), expected, "{actual}");
        };
        check("/bin/sh ./run a b", true);
        check("/usr/bin/env python ./run a b", true);
        check("/bin/sh ./other a b", false);
        check("/bin/sh ./run a c", false);
        check("/bin/sh ./run a b c", false);
        check("run a b", false);
        check("a b", false);
    }

    #[test]
    fn empty_arguments_survive() {
        assert_eq!(split(b"a\0\0b\0"), ["a", "", "b"].map(OsString::from));
        assert_eq!(split(b"a\0\0"), ["a", ""].map(OsString::from));
        assert_eq!(split(b"\0"), [""].map(OsString::from));
    }
}
