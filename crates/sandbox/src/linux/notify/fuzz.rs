//! Registers with anything in them.

use bolero::{check, produce};

use super::*;
use crate::linux::filter::{NOTIFIED, NOTIFIED_HERE};

/// Calls that the filter sends for some of their flags only.
#[cfg(target_arch = "x86_64")]
const BY_FLAGS: [i64; 2] = [libc::SYS_open, libc::SYS_openat];
#[cfg(not(target_arch = "x86_64"))]
const BY_FLAGS: [i64; 1] = [libc::SYS_openat];

fn sent() -> Vec<i64> {
    NOTIFIED.iter().chain(NOTIFIED_HERE).chain(&BY_FLAGS).copied().collect()
}

#[test]
fn every_call_that_is_sent_is_told_apart() {
    let sent = sent();
    let input = (produce::<u16>(), produce::<[u64; 6]>());
    check!().with_iterations(50_000).with_generator(input).for_each(|(number, arguments)| {
        let number = match number % 2 {
            0 => sent[usize::from(number / 2) % sent.len()],
            _ => i64::from(number % 512),
        };
        let call = |arguments| Notification { id: 1, task: 1, call: number, arguments }.call();
        let known = !matches!(call(*arguments), Call::Other(_));
        assert!(known || !sent.contains(&number), "call {number}");
        // The kernel takes the lower half of a descriptor, flags and mode.
        let upper = |at: usize| {
            let mut arguments = *arguments;
            arguments[at] ^= 0xdead_beef_0000_0000;
            format!("{:?}", call(arguments))
        };
        let plain = format!("{:?}", call(*arguments));
        let halves: &[usize] = match number {
            libc::SYS_openat => &[0, 2, 3],
            libc::SYS_mkdirat => &[0, 2],
            libc::SYS_renameat | libc::SYS_connect => &[0, 2],
            libc::SYS_renameat2 | libc::SYS_linkat | libc::SYS_execveat => &[0, 4],
            libc::SYS_symlinkat => &[1],
            _ => &[],
        };
        for at in halves {
            assert_eq!(upper(*at), plain, "call {number}, argument {at}");
        }
    });
}
