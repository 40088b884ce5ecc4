//! A program about to start: read, judged, continued, and compared with what
//! really started.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use remit_policy::Exec;
use remit_sandbox::notify::{self, Notification};

use crate::process::Facts;
use crate::resolve::{self, Identity, Place};

/// An `execve` as its caller claims it.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) facts: Facts,
    pub(crate) exec: Exec,
    /// The file the path leads to now.
    pub(crate) identity: Option<Identity>,
    /// Whether it would run as its owner, were that possible inside.
    pub(crate) set_uid: bool,
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
            ) if !path.starts_with("/proc") => return Err(code),
            _ => None,
        },
    };
    let exec = Exec {
        program: place.as_ref().and_then(Place::path),
        by: Some(facts.program.clone()),
        cwd: fs::read_link(format!("/proc/{task}/cwd")).unwrap_or_default(),
        path,
        argv,
        ..Exec::default()
    };
    let set_uid = place.as_ref().is_some_and(Place::is_set_uid);
    Ok(Claimed { facts, exec, identity: place.map(|place| place.identity()), set_uid })
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
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// Exactly what was judged.
    AsJudged,
    /// The judged file named this interpreter (`#!`), which runs with the judged
    /// arguments at its end; or the judged path could not be resolved from
    /// outside, and this is what it led to. To be judged in its own right.
    Another(Exec),
    /// Something else. It must not run.
    Changed { actual: Vec<OsString>, program: PathBuf },
}

/// Compares a stopped process with what was judged for it.
///
/// `looked_at`: somebody said yes to this file, so not only which file it is
/// must agree, but also when it was last changed. (A script is read by its
/// interpreter later; what is changed after this moment is not seen.)
pub(crate) fn compare(
    process: u32,
    judged: &Exec,
    identity: Option<Identity>,
    looked_at: bool,
) -> io::Result<Started> {
    // The kernel's own copy of the arguments, on a stack that nobody shares.
    let actual = split(&fs::read(format!("/proc/{process}/cmdline"))?);
    let (running, program) = resolve::running(process)?;
    let changed = |now: &Identity| {
        identity.is_some_and(|then| looked_at && then.is_same_file(now) && then != *now)
    };
    if identity.is_some_and(|then| then.is_same_file(&running)) && actual == judged.argv {
        return Ok(match changed(&running) {
            false => Started::AsJudged,
            true => Started::Changed { actual, program },
        });
    }
    let unresolved = identity.is_none() && actual == judged.argv;
    if unresolved || is_interpreted(&actual, judged) {
        let script = Place::of(process, &judged.path, None).ok().map(|place| place.identity());
        if script.is_some_and(|script| changed(&script)) {
            return Ok(Started::Changed { actual, program });
        }
        let exec = Exec {
            path: program.clone(),
            program: Some(program),
            argv: actual,
            by: judged.by.clone(),
            cwd: judged.cwd.clone(),
            ..Exec::default()
        };
        return Ok(Started::Another(exec));
    }
    Ok(Started::Changed { actual, program })
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
