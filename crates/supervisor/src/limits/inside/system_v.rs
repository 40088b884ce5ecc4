//! Memory that System V objects hold, which outlives the processes that made them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::OwnedFd;

/// The session's own tables, as `/proc/sysvipc` shows them.
#[derive(Debug)]
pub(super) struct SystemV {
    shared: File,
    messages: File,
    semaphores: File,
}

/// Bytes that are held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Shared memory, attached or not.
    pub(super) shared: u64,
    /// Messages and semaphores, in the kernel's own memory.
    pub(super) queued: u64,
}

/// What one semaphore takes. SOURCE: ipc/sem.c, struct sem, one cache line.
const SEMAPHORE: u64 = 64;

impl SystemV {
    /// Takes the tables of shared memory, messages and semaphores, in this order.
    pub(super) fn new([shared, messages, semaphores]: [OwnedFd; 3]) -> Self {
        Self { shared: shared.into(), messages: messages.into(), semaphores: semaphores.into() }
    }

    pub(super) fn look(&self) -> io::Result<Held> {
        let shared = text(&self.shared)?;
        let semaphores = sum(&text(&self.semaphores)?, "nsems") * SEMAPHORE;
        Ok(Held {
            shared: sum(&shared, "rss") + sum(&shared, "swap"),
            queued: sum(&text(&self.messages)?, "cbytes") + semaphores,
        })
    }
}

fn text(mut table: &File) -> io::Result<String> {
    let mut text = String::new();
    table.rewind()?;
    table.read_to_string(&mut text)?;
    Ok(text)
}

/// The sum of one column, by its name in the first line.
fn sum(table: &str, column: &str) -> u64 {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let Some(at) = head.split_whitespace().position(|name| name == column) else { return 0 };
    let values = lines.filter_map(|line| line.split_whitespace().nth(at)?.parse::<u64>().ok());
    values.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let table = "  key shmid rss swap\n 0 1 4096 10\n 0 2 8192 20\n";
        assert_eq!((sum(table, "rss"), sum(table, "swap"), sum(table, "size")), (12288, 30, 0));
        assert_eq!(sum("", "rss"), 0);
    }
}
