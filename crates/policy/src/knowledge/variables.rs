//! Variables that change what a program does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::table::{VARIABLE_BEGINNINGS, VARIABLES, Variable, is_one_of};
use super::words::is_any;
use super::{Finding, Risk, glob};
use crate::show;

/// What is known about a variable of this name.
pub(super) fn named(name: &OsStr) -> Option<&'static Variable> {
    let name = name.as_bytes();
    if let Ok(at) = VARIABLES.binary_search_by(|(known, _)| known.as_bytes().cmp(name)) {
        return Some(&VARIABLES[at].1);
    }
    let begins = VARIABLE_BEGINNINGS.iter().find(|(with, _)| name.starts_with(with.as_bytes()));
    begins.map(|(_, variable)| variable)
}

impl Variable {
    /// Whether, with this value, it changes what a program of these names does.
    pub(super) fn matters(&self, value: &OsStr, names: &[&[u8]]) -> bool {
        let value = value.as_bytes();
        let theirs =
            self.programs.is_empty() || names.iter().any(|name| is_one_of(name, self.programs));
        let harmless = || {
            let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.all(|word| is_any(word, self.harmless))
        };
        let bad = || self.bad.is_empty() || self.bad.iter().any(|wanted| glob(wanted, value));
        theirs && !harmless() && bad()
    }

    pub(super) fn finding(&self, name: &OsStr, value: &OsStr) -> Option<Finding> {
        let shown = |text: &OsStr| show::line(&text.to_string_lossy());
        self.asks.then(|| Finding {
            class: "environment-poisoning".to_owned(),
            risk: Risk::Medium,
            reason: format!("`{}={}` is set: {}", shown(name), shown(value), self.reason),
            undo: None,
        })
    }
}
