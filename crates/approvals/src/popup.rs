//! One question, drawn over whatever is on the screen, and the keys that
//! answer it. Pure: bytes and answers come out, keys and times go in.
//!
//! What it does not do: it cannot stop a program from having changed the
//! terminal's palette so that text is hard to see, or from drawing its own
//! imitation of a question. An imitation gets only keys that do nothing.

mod draw;

use std::time::{Duration, Instant};

use remit_policy::Choice;

use crate::keys::Key;
use crate::letters;
use crate::queue::Posed;

/// How long the keyboard must rest before a key counts.
///
/// Someone typing to the program when a question appears must not answer it
/// with the next letter. Every key within this time starts it again, so a
/// fast typist cannot type through it. Slower than the gaps of slow typing,
/// shorter than reading a question takes.
const REST: Duration = Duration::from_millis(500);

/// Longest note to the agent, in characters.
const NOTE_LIMIT: usize = 500;

/// A question on the screen.
#[derive(Debug)]
pub struct Popup {
    posed: Posed,
    waiting: usize,
    /// Keys count from here on.
    awake_at: Instant,
    /// The words being typed, and what they go with.
    note: Option<(Choice, String)>,
    /// What was pressed and waits to be confirmed: a yes to a high risk, or the end
    /// of the session.
    sure: Option<Choice>,
    /// Whether what was drawn last shows enough to say yes to.
    readable: bool,
}

/// What the person said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub choice: Choice,
    /// Words to the agent with a no, the reason with a yes.
    pub note: Option<String>,
}

/// A rectangle of the screen, in cells, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub left: u16,
    pub top: u16,
    pub width: u16,
    pub height: u16,
}

impl Popup {
    /// A question that appears at `now`; `waiting` more come after it.
    pub fn new(posed: Posed, waiting: usize, now: Instant) -> Self {
        Self { posed, waiting, awake_at: now + REST, note: None, sure: None, readable: false }
    }

    /// The question.
    pub fn posed(&self) -> &Posed {
        &self.posed
    }

    /// More questions came or went.
    pub fn set_waiting(&mut self, waiting: usize) {
        self.waiting = waiting;
    }

    /// Takes a key: those of [`letters`] where they are offered; `r` or Ctrl-C
    /// refuse, `n` takes a note, `x` refuses and stops the session. A yes that needs
    /// a reason asks for it first. In a note, Enter answers with it and Esc goes back.
    /// A yes to a high risk, and the end of the session, count once Enter confirms
    /// them.
    ///
    /// A yes needs a drawing that shows the question: in a window too small to
    /// read, and before the first [`Popup::draw`], only a refusal counts.
    pub fn key(&mut self, key: Key, now: Instant) -> Option<Answered> {
        if now < self.awake_at {
            self.awake_at = now + REST;
            return None;
        }
        let refused = |choice| Some(Answered { choice, note: None });
        if let Some((choice, note)) = &mut self.note {
            match key {
                Key::Enter => {
                    let (choice, note) = (*choice, note.trim().to_owned());
                    if choice.is_yes() && (note.is_empty() || !self.readable) {
                        return None;
                    }
                    return Some(Answered { choice, note: Some(note).filter(|it| !it.is_empty()) });
                }
                Key::CtrlC => return refused(Choice::Refuse),
                Key::Esc => self.note = None,
                Key::Backspace => drop(note.pop()),
                Key::Char(c) if note.chars().count() < NOTE_LIMIT => note.push(c),
                Key::Char(_) => {}
            }
            return None;
        }
        if let Some(choice) = self.sure.take() {
            let is_meant = key == Key::Enter && (self.readable || choice == Choice::Stop);
            return is_meant.then_some(Answered { choice, note: None });
        }
        match key {
            Key::Char('r') | Key::CtrlC => return refused(Choice::Refuse),
            Key::Char('n') => self.note = Some((Choice::Refuse, String::new())),
            Key::Char('x') if self.stops() => self.confirm(Choice::Stop, now),
            Key::Char(key) if self.readable => {
                let choice = letters::yes(key, &self.posed.choices)?;
                if self.posed.reason {
                    self.note = Some((choice, String::new()));
                } else if self.posed.needs_a_person {
                    self.confirm(choice, now);
                } else {
                    return Some(Answered { choice, note: None });
                }
            }
            _ => {}
        }
        None
    }

    /// Asks whether this is meant. The keyboard rests before the answer, so that no
    /// line of text, which ends with Enter, is one.
    fn confirm(&mut self, choice: Choice, now: Instant) {
        self.sure = Some(choice);
        self.awake_at = now + REST;
    }

    /// Whether the session may be stopped by the answer.
    fn stops(&self) -> bool {
        self.posed.choices.contains(&Choice::Stop)
    }

    /// The key and the words of each yes that is offered.
    fn yeses(&self) -> impl Iterator<Item = (char, &'static str)> {
        letters::yeses(&self.posed.choices).map(|(letter, words, _)| (letter, words))
    }

    /// Input that may not be a person's answer, such as keys that came in one
    /// burst: the keyboard must rest again.
    pub fn disturb(&mut self, now: Instant) {
        if self.note.is_none() {
            self.awake_at = self.awake_at.max(now + REST);
        }
    }

    /// Whether a note is being typed, where a burst of keys is just typing.
    pub fn noting(&self) -> bool {
        self.note.is_some()
    }

    /// When the keys wake, if that is still to come: draw again then.
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        (now < self.awake_at).then_some(self.awake_at)
    }
}

#[cfg(test)]
mod tests;
