//! The beginning of a command, as Codex's `prefix_rule` names it.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// The beginning of a command: one or more places, each with its alternatives.
/// The first is a program: a bare name, or a path. The others are arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    places: Vec<Vec<String>>,
    /// Whether no argument follows.
    exact: bool,
}

impl Prefix {
    /// None if a place, or the whole, is empty.
    pub(crate) fn new(places: Vec<Vec<String>>) -> Option<Self> {
        let full = !places.is_empty() && places.iter().all(|place| !place.is_empty());
        full.then_some(Self { places, exact: false })
    }

    /// The same, about commands that have no words behind these.
    pub(crate) fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    pub(crate) fn programs(&self) -> &[String] {
        &self.places[0]
    }

    /// Whether it is about everything that its programs do.
    pub(super) fn is_whole_program(&self) -> bool {
        self.places.len() == 1 && !self.exact
    }

    /// What the first argument may be; nothing if it may be anything.
    pub(crate) fn first_argument(&self) -> Option<&[String]> {
        self.places.get(1).map(Vec::as_slice)
    }

    /// Whether the places after the first match the arguments, byte for byte.
    pub(crate) fn arguments_match(&self, arguments: &[OsString]) -> bool {
        let places = &self.places[1..];
        arguments.len() >= places.len()
            && (!self.exact || arguments.len() == places.len())
            && places.iter().zip(arguments).all(|(alternatives, argument)| {
                alternatives.iter().any(|word| OsStr::new(word) == argument)
            })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&alternatives(&self.places))?;
        if self.exact { f.write_str(" (exactly)") } else { Ok(()) }
    }
}

/// Words with their alternatives: `git [push|fetch]`.
pub(super) fn alternatives(places: &[Vec<String>]) -> String {
    let place = |words: &Vec<String>| match words.as_slice() {
        [word] => word.clone(),
        words => format!("[{}]", words.join("|")),
    };
    places.iter().map(place).collect::<Vec<_>>().join(" ")
}
