//! The variables of a new program that change what it does.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use remit_policy::Policy;
use remit_sandbox::notify;

use crate::process;

/// Names and values, in order of their names. Of a name that is there twice both
/// are told: programs differ in which one they take.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// What the caller says that the new program will be given. Another thread may
/// change it at once.
pub(crate) fn claimed(
    policy: &Policy,
    task: u32,
    address: u64,
) -> Result<Variables, notify::Unreadable> {
    let entries = notify::read_argv(task, address)?;
    Ok(telling(policy, entries.iter().map(|entry| entry.as_bytes())))
}

/// What a stopped new program was given, by the kernel's own copy on its stack.
pub(crate) fn of(policy: &Policy, process: u32) -> io::Result<Variables> {
    let bytes = process::read(&format!("/proc/{process}/environ"))?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    Ok(telling(policy, bytes.split(|byte| *byte == 0)))
}

fn telling<'a>(policy: &Policy, entries: impl Iterator<Item = &'a [u8]>) -> Variables {
    let mut told: Variables = entries
        .filter_map(|entry| {
            let end = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
            let name = OsStr::from_bytes(&entry[..end]);
            let value = entry.get(end + 1..).unwrap_or_default();
            policy.minds(name).then(|| (name.to_owned(), OsString::from_vec(value.to_vec())))
        })
        .collect();
    told.sort_by(|(one, _), (other, _)| one.cmp(other));
    told
}
