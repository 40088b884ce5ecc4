//! Reading what a caller's registers point to. All of it is claimed: its other
//! threads may change it at once.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;

use super::sys;

/// Where a caller's addresses lead.
pub(super) trait Memory {
    /// Copies what is there and tells how many bytes there were: fewer where it
    /// ends.
    fn read(&self, address: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// The memory of a task, which changes while it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task(pub(super) u32);

impl Memory for Task {
    fn read(&self, address: u64, into: &mut [u8]) -> io::Result<usize> {
        sys::read_memory(self.0 as i32, address, into)
    }
}

/// Why the caller's memory could not be read, as the kernel would have said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// `EFAULT`
    Fault,
    /// `ENAMETOOLONG`
    TooLong,
    /// `E2BIG`
    TooMuch,
}

impl Unreadable {
    /// The error number to answer with.
    pub fn errno(self) -> i32 {
        match self {
            Unreadable::Fault => libc::EFAULT,
            Unreadable::TooLong => libc::ENAMETOOLONG,
            Unreadable::TooMuch => libc::E2BIG,
        }
    }
}

/// The most bytes of one argument. SOURCE: linux/binfmts.h, MAX_ARG_STRLEN.
const LONGEST_ARGUMENT: usize = 32 * 4096;
/// The most bytes of all arguments together that we judge. The kernel's own
/// limit depends on the stack limit and is 2 MiB by default.
const MOST_ARGUMENT_BYTES: usize = 6 << 20;
const PAGE: usize = 4096;

/// Reads a path from the caller's memory.
pub fn read_path(task: u32, address: u64) -> Result<OsString, Unreadable> {
    path(&Task(task), address)
}

/// Reads an argument vector from the caller's memory. A null vector is empty.
pub fn read_argv(task: u32, address: u64) -> Result<Vec<OsString>, Unreadable> {
    argv(&Task(task), address)
}

fn path(memory: &impl Memory, address: u64) -> Result<OsString, Unreadable> {
    read_string(memory, address, libc::PATH_MAX as usize).map(OsString::from_vec)
}

fn argv(memory: &impl Memory, address: u64) -> Result<Vec<OsString>, Unreadable> {
    let mut argv = Vec::new();
    let mut total = 0;
    let mut pointers = Pointers { memory, next: address, chunk: Vec::new() };
    if address == 0 {
        return Ok(argv);
    }
    while let Some(pointer) = pointers.next()? {
        let word = read_string(memory, pointer, LONGEST_ARGUMENT)
            .map_err(|why| if why == Unreadable::TooLong { Unreadable::TooMuch } else { why })?;
        total += word.len() + 1 + size_of::<u64>();
        if total > MOST_ARGUMENT_BYTES {
            return Err(Unreadable::TooMuch);
        }
        argv.push(OsString::from_vec(word));
    }
    Ok(argv)
}

/// Two times, of last access and of last change, as seconds and nanoseconds.
pub type Times = [(i64, i64); 2];

/// Reads the times that `utimensat` is given. A null address means now, and is
/// `None`.
pub fn read_times(task: u32, address: u64) -> Result<Option<Times>, Unreadable> {
    if address == 0 {
        return Ok(None);
    }
    let mut bytes = [0; 32];
    match sys::read_memory(task as i32, address, &mut bytes) {
        Ok(32) => {}
        _ => return Err(Unreadable::Fault),
    }
    let number = |at: usize| i64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    Ok(Some([(number(0), number(8)), (number(16), number(24))]))
}

/// A null-terminated array of pointers, read in chunks that end at page bounds.
struct Pointers<'m, M> {
    memory: &'m M,
    next: u64,
    chunk: Vec<u64>,
}

impl<M: Memory> Pointers<'_, M> {
    fn next(&mut self) -> Result<Option<u64>, Unreadable> {
        if self.chunk.is_empty() {
            let room = PAGE - (self.next as usize % PAGE);
            // A pointer may straddle a page; then read just that one.
            let mut bytes = vec![0; if room < 8 { 8 } else { room.min(256) & !7 }];
            let got = self.memory.read(self.next, &mut bytes).map_err(|_| Unreadable::Fault)?;
            if got < 8 {
                return Err(Unreadable::Fault);
            }
            self.next = self.next.checked_add((got & !7) as u64).ok_or(Unreadable::Fault)?;
            let words = bytes[..got & !7].chunks_exact(8);
            self.chunk =
                words.rev().map(|w| u64::from_ne_bytes(w.try_into().unwrap_or_default())).collect();
        }
        Ok(self.chunk.pop().filter(|pointer| *pointer != 0))
    }
}

/// A NUL-terminated string of at most `longest` bytes with its NUL.
fn read_string(memory: &impl Memory, address: u64, longest: usize) -> Result<Vec<u8>, Unreadable> {
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < longest {
        let room = PAGE - (at as usize % PAGE);
        // Most strings are short; a long one doubles up to whole pages.
        let want = room.min(longest - text.len()).min(128.max(text.len()));
        let start = text.len();
        text.resize(start + want, 0);
        let got = memory.read(at, &mut text[start..]).unwrap_or(0);
        if got == 0 {
            return Err(Unreadable::Fault);
        }
        text.truncate(start + got);
        if let Some(end) = text[start..].iter().position(|byte| *byte == 0) {
            text.truncate(start + end);
            return Ok(text);
        }
        at = at.checked_add(got as u64).ok_or(Unreadable::Fault)?;
    }
    Err(Unreadable::TooLong)
}

#[cfg(test)]
mod fuzz;
