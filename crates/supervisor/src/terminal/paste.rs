//! Keeps a paste a paste.
//!
//! A terminal puts marks around what is pasted, so that a program can tell it
//! from typing. Text from anywhere may contain the mark that ends a paste, and
//! what comes after it would be typed. Good terminals take it out; not all do.
//! A mark is taken for the end only if another paste begins after it or the
//! terminal then rests: the rest of a paste comes at once. Any other loses its
//! `ESC`; taken out whole, it could leave a mark behind.
//!
//! What it does not do: a terminal that sends a paste with pauses in it is
//! believed about the end before the pause.

use std::time::{Duration, Instant};

const BEGIN: &[u8] = b"\x1b[200~";
const END: &[u8] = b"\x1b[201~";

/// How long the terminal rests after a paste. Shorter than anybody notices.
const REST: Duration = Duration::from_millis(20);

/// Input that is held until it is known whether the paste has ended.
const HELD: usize = 64 * 1024;

/// What passes between the terminal and whoever reads its input.
#[derive(Debug, Default)]
pub(super) struct Pastes {
    state: State,
    /// How many bytes of the awaited mark the input ends with.
    matched: usize,
    /// What came after a mark that may be the end, which is held itself.
    held: Vec<u8>,
    /// When something last came.
    last: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Typing,
    Pasting,
    /// After a mark that may be the end.
    Ended,
}

impl Pastes {
    /// Takes input and returns what can be passed on now.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) -> Vec<u8> {
        let mut out = self.flush(now);
        self.last = Some(now);
        for byte in bytes {
            self.take(*byte, &mut out);
        }
        out
    }

    /// What can be passed on if the terminal has rested.
    pub(super) fn flush(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        if self.rests_at().is_some_and(|at| at <= now) {
            match self.state {
                State::Typing => {}
                State::Pasting => {
                    out.extend(&END[..self.matched]);
                    self.matched = 0;
                }
                State::Ended => {
                    out.extend(END);
                    out.append(&mut self.held);
                    self.state = State::Typing;
                    self.matched = 0;
                }
            }
        }
        out
    }

    /// When the terminal will have rested, if something is held until then.
    pub(super) fn rests_at(&self) -> Option<Instant> {
        let holds = match self.state {
            State::Typing => false,
            State::Pasting => self.matched > 0,
            State::Ended => true,
        };
        self.last.filter(|_| holds).map(|last| last + REST)
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.state {
            State::Typing => {
                out.push(byte);
                if self.matches(byte, BEGIN) {
                    self.state = State::Pasting;
                }
            }
            State::Pasting => {
                let before = self.matched;
                if self.matches(byte, END) {
                    self.state = State::Ended;
                } else if self.matched != before + 1 {
                    out.extend(&END[..before]);
                    if self.matched == 0 {
                        out.push(byte);
                    }
                }
            }
            State::Ended => self.take_after(byte, out),
        }
    }

    fn take_after(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        if self.held.ends_with(BEGIN) {
            // The paste had ended; this is the next one.
            out.extend(END);
            out.append(&mut self.held);
            self.state = State::Pasting;
        } else if self.held.ends_with(END) {
            // It had not: the mark before was part of it.
            self.held.truncate(self.held.len() - END.len());
            out.extend(&END[1..]);
            out.append(&mut self.held);
        } else if self.held.len() == HELD {
            // Nobody types so much without a rest: so it had not.
            out.extend(&END[1..]);
            self.state = State::Pasting;
            for byte in std::mem::take(&mut self.held) {
                self.take(byte, out);
            }
        }
    }

    /// Whether this byte completes the mark.
    fn matches(&mut self, byte: u8, mark: &[u8]) -> bool {
        // The first byte of a mark is nowhere else in it.
        self.matched = match byte {
            _ if byte == mark[self.matched] => self.matched + 1,
            0x1b => 1,
            _ => 0,
        };
        let complete = self.matched == mark.len();
        if complete {
            self.matched = 0;
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of input that comes in one go, at every split, and of what
    /// comes after a rest.
    #[track_caller]
    fn check(at_once: &str, later: &str, expected: &str) {
        let now = Instant::now();
        for split in 0..=at_once.len() {
            let (left, right) = at_once.as_bytes().split_at(split);
            let mut pastes = Pastes::default();
            let mut out = pastes.push(left, now);
            out.extend(pastes.push(right, now));
            out.extend(pastes.push(later.as_bytes(), now + REST));
            out.extend(pastes.flush(now + 3 * REST));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "split at {split}");
            assert_eq!(pastes.rests_at(), None);
        }
    }

    #[test]
    fn what_is_pasted_cannot_end_the_paste() {
        check("ls\r\x1b[A\x1b", "\x1b[201~", "ls\r\x1b[A\x1b\x1b[201~");
        check("\x1b[200~text\x1b[201~", "", "\x1b[200~text\x1b[201~");
        check("\x1b[200~text\x1b[201~", "\r", "\x1b[200~text\x1b[201~\r");
        check("\x1b[200~text\x1b[201~\r", "x", "\x1b[200~text\x1b[201~\rx");
        check("\x1b[200~a\x1b[201~rm\r\x1b[201~", "\r", "\x1b[200~a[201~rm\r\x1b[201~\r");
        check("\x1b[200~a\x1b[201~\x1b[201~b\x1b[201~", "", "\x1b[200~a[201~[201~b\x1b[201~");
        let nested = "\x1b[200~a\x1b[20\x1b[201~1~b\x1b[201~";
        check(nested, "", "\x1b[200~a\x1b[20[201~1~b\x1b[201~");
        check(
            "\x1b[200~a\x1b[201~\x1b[200~b\x1b[201~",
            "c",
            "\x1b[200~a\x1b[201~\x1b[200~b\x1b[201~c",
        );
        check("\x1b[200~a", "b\x1b[201~", "\x1b[200~ab\x1b[201~");
        check("\x1b[200~a\x1b\x1b[20\x1b[3~", "", "\x1b[200~a\x1b\x1b[20\x1b[3~");
    }

    #[test]
    fn a_long_rest_of_a_paste_is_pasted() {
        let long = "x".repeat(3 * HELD / 2);
        let mut pastes = Pastes::default();
        let now = Instant::now();
        let pasted = format!("\x1b[200~a\x1b[201~{long}\x1b[201~");
        let mut out = pastes.push(pasted.as_bytes(), now);
        out.extend(pastes.flush(now + REST));
        assert!(out == format!("\x1b[200~a[201~{long}\x1b[201~").as_bytes());
    }
}
