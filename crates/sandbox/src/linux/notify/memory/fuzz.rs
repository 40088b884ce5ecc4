//! Reading memory that ends anywhere and changes at any time.

use std::cell::Cell;
use std::os::unix::ffi::OsStrExt as _;

use bolero::{check, produce};

use super::*;

const PAGES: u64 = 2;
const SIZE: u64 = PAGES * PAGE as u64;

/// Two pages somewhere, filled with a pattern; a page may be missing.
struct Fake<'a> {
    base: u64,
    missing: u8,
    pattern: &'a [u8],
    /// By how much the pattern moves with every read.
    drift: usize,
    reads: Cell<usize>,
}

impl Fake<'_> {
    fn at(&self, address: u64) -> Option<u8> {
        let offset = address.checked_sub(self.base).filter(|offset| *offset < SIZE)?;
        let page = offset / PAGE as u64;
        let moved = offset as usize + self.reads.get() * self.drift;
        (self.missing & (1 << page) == 0).then(|| self.pattern[moved % self.pattern.len()])
    }
}

impl Memory for Fake<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> io::Result<usize> {
        let there = (0..into.len() as u64).map_while(|at| self.at(address.checked_add(at)?));
        let mut got = 0;
        for (slot, byte) in into.iter_mut().zip(there) {
            *slot = byte;
            got += 1;
        }
        self.reads.set(self.reads.get() + 1);
        if got == 0 && !into.is_empty() { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(got) }
    }
}

/// The same, byte by byte.
fn string(memory: &Fake<'_>, address: u64, longest: usize) -> Result<Vec<u8>, Unreadable> {
    let mut text = Vec::new();
    for at in 0..longest as u64 {
        match address.checked_add(at).and_then(|at| memory.at(at)).ok_or(Unreadable::Fault)? {
            0 => return Ok(text),
            byte => text.push(byte),
        }
    }
    Err(Unreadable::TooLong)
}

fn vector(memory: &Fake<'_>, mut address: u64) -> Result<Vec<Vec<u8>>, Unreadable> {
    let (mut argv, mut total) = (Vec::new(), 0);
    loop {
        let mut pointer = [0; 8];
        for (at, slot) in pointer.iter_mut().enumerate() {
            let byte = address.checked_add(at as u64).and_then(|at| memory.at(at));
            *slot = byte.ok_or(Unreadable::Fault)?;
        }
        let pointer = u64::from_ne_bytes(pointer);
        if pointer == 0 {
            return Ok(argv);
        }
        let word = string(memory, pointer, LONGEST_ARGUMENT)?;
        total += word.len() + 9;
        if total > MOST_ARGUMENT_BYTES {
            return Err(Unreadable::TooMuch);
        }
        argv.push(word);
        address += 8;
    }
}

/// Ordinary memory, and the last pages there are.
const BASES: [u64; 3] = [0x7000_0000, u64::MAX - SIZE + 1, PAGE as u64];

/// Eight bytes that may be text, the end of something, or an address.
fn word(base: u64, pick: u16) -> [u8; 8] {
    match pick >> 14 {
        0 => [0; 8],
        1 => [b'a' + (pick % 26) as u8; 8],
        2 => [b'x', b'y', 0, 0, 0, 0, 0, 0],
        _ => base.wrapping_add(u64::from(pick) % SIZE).to_ne_bytes(),
    }
}

type Input = (u8, u8, u16, u8, Vec<u16>);

fn tried(input: &Input, try_it: impl Fn(&Fake<'_>, u64)) {
    let (base, missing, offset, drift, words) = input;
    let base = BASES[usize::from(*base) % BASES.len()];
    let pattern: Vec<u8> = words.iter().flat_map(|pick| word(base, *pick)).chain([b'z']).collect();
    // One more byte shifts the pattern, so that nothing is aligned for ever.
    let drift = usize::from(*drift);
    let memory = Fake { base, missing: *missing, pattern: &pattern, drift, reads: Cell::new(0) };
    try_it(&memory, base.wrapping_add(u64::from(*offset) % SIZE));
}

fn input(drift: std::ops::Range<u8>) -> impl bolero::generator::ValueGenerator<Output = Input> {
    let words = produce::<Vec<u16>>().with().len(0..600_usize);
    (produce::<u8>(), produce::<u8>(), produce::<u16>(), drift, words)
}

#[test]
fn steady_memory_is_read_as_it_is() {
    check!().with_iterations(300).with_generator(input(0..1)).for_each(|input| {
        tried(input, |memory, address| {
            let longest = libc::PATH_MAX as usize;
            let found = path(memory, address).map(|path| path.as_bytes().to_vec());
            let expected = string(memory, address, longest);
            // At the very end of all addresses either is right.
            if memory.base != BASES[1] {
                assert_eq!(found, expected, "path at {address:#x}");
            }
            let found = argv(memory, address)
                .map(|argv| argv.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
            if memory.base != BASES[1] {
                assert_eq!(found, vector(memory, address), "argv at {address:#x}");
            }
        });
    });
}

#[test]
fn memory_that_changes_ends_nothing_but_the_call() {
    check!().with_iterations(300).with_generator(input(0..255)).for_each(|input| {
        tried(input, |memory, address| {
            if let Ok(path) = path(memory, address) {
                assert!(path.len() < libc::PATH_MAX as usize && !path.as_bytes().contains(&0));
            }
            if let Ok(argv) = argv(memory, address) {
                let total: usize = argv.iter().map(|word| word.len() + 9).sum();
                assert!(total <= MOST_ARGUMENT_BYTES);
                assert!(argv.iter().all(|word| !word.as_bytes().contains(&0)));
            }
        });
    });
}
