//! Reads a wrapper's own arguments as its row says, up to where the command begins.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::{Inner, Row, Run, Runs, command_of, set};
use crate::attempt::Exec;
use crate::shell::{Doubt, is_obeyed_by_shells};

/// What the value of an option is.
#[derive(Clone, Copy)]
enum Value {
    Other,
    Text,
    Directory,
    Split,
    Variable(&'static str),
}

const UNKNOWN: &str = "what this argument means is not known";

/// Adds what this row says that the attempt runs.
pub(super) fn apply(row: &'static Row, exec: &Exec, inner: &mut Inner) {
    if inner.hidden.is_none() {
        inner.hidden = row.hidden;
    }
    let mut reader = Reading { row, by: exec.clone(), at: 1, inner };
    if !row.after.is_empty() && !reader.subcommand() {
        return;
    }
    let asks_about_it = |word: &OsString| matches!(word.as_bytes(), b"--help" | b"--version");
    if exec.argv.len() == 2 && asks_about_it(&exec.argv[1]) {
        return;
    }
    if let Some(why) = row.doubt {
        reader.doubt(0, why);
    }
    reader.options();
    match row.runs {
        Runs::Nothing => reader.rest_of_options(),
        Runs::Command => reader.command(),
        Runs::Joined => reader.joined(),
    }
}

struct Reading<'a> {
    row: &'static Row,
    /// The attempt, as the options change it.
    by: Exec,
    at: usize,
    inner: &'a mut Inner,
}

impl Reading<'_> {
    fn word(&self) -> Option<&OsString> {
        self.by.argv.get(self.at)
    }

    /// Skips to behind the word that makes it a wrapper. False if there is none.
    fn subcommand(&mut self) -> bool {
        let is_it = |word: &OsString| self.row.after.iter().any(|after| word == after);
        let Some(at) = self.by.argv.iter().skip(1).position(is_it) else { return false };
        let before = &self.by.argv[1..=at];
        let plain = |word: &OsString| !word.as_bytes().starts_with(b"-");
        if before.first().is_some_and(plain) {
            return false; // Another subcommand.
        }
        if !before.is_empty() {
            self.unclear(1);
        }
        self.at = at + 2;
        true
    }

    fn options(&mut self) {
        while let Some(word) = self.word() {
            let bytes = word.as_bytes();
            if bytes == b"--" {
                self.at += 1;
                return;
            }
            let is_flag = self.row.flags.iter().any(|flag| word == flag);
            if !is_flag && (!bytes.starts_with(b"-") || bytes == b"-") {
                return;
            }
            self.option();
        }
    }

    /// Takes one option and its value.
    fn option(&mut self) {
        let word = self.by.argv[self.at].clone();
        self.at += 1;
        let Some(text) = word.to_str() else { return self.unclear(self.at - 1) };
        let is_number = text[1..].bytes().all(|b| b.is_ascii_digit());
        if self.row.quits.contains(&text) {
            self.at = self.by.argv.len();
            return;
        }
        if self.row.flags.contains(&text) || (self.row.numbers && is_number) {
            return;
        }
        if let Some(value) = self.value(text) {
            let given = self.word().cloned();
            self.at += 1;
            return match given {
                Some(given) => self.take(value, given),
                None => self.unclear(self.at - 2),
            };
        }
        if let Some((name, given)) = text.split_once('=')
            && let Some(value) = self.value(name).filter(|_| name.starts_with("--"))
        {
            return self.take(value, given.into());
        }
        if text.starts_with("--") || !self.bundle(&text[1..]) {
            self.unclear(self.at - 1);
        }
    }

    /// Takes letters behind one `-`: flags, and at most one option with a value,
    /// which is the rest or the next word.
    fn bundle(&mut self, letters: &str) -> bool {
        for (i, letter) in letters.char_indices() {
            let name = format!("-{letter}");
            if self.row.flags.contains(&name.as_str()) {
                continue;
            }
            let Some(value) = self.value(&name) else { return false };
            let attached = &letters[i + letter.len_utf8()..];
            let given = match attached {
                "" => {
                    self.at += 1;
                    self.by.argv.get(self.at - 1).cloned()
                }
                attached => Some(attached.into()),
            };
            let Some(given) = given else { return false };
            self.take(value, given);
            return true;
        }
        true
    }

    fn value(&self, name: &str) -> Option<Value> {
        let row = self.row;
        let variable = row.variables.iter().find(|(option, _)| *option == name);
        match name {
            _ if row.values.contains(&name) => Some(Value::Other),
            _ if row.texts.contains(&name) => Some(Value::Text),
            _ if row.directories.contains(&name) => Some(Value::Directory),
            _ if row.splits.contains(&name) => Some(Value::Split),
            _ => variable.map(|(_, variable)| Value::Variable(variable)),
        }
    }

    fn take(&mut self, value: Value, given: OsString) {
        match value {
            Value::Other => {}
            Value::Text => self.inner.runs.push(Run::Text { text: given, by: self.by.clone() }),
            Value::Directory => self.by.cwd = self.by.cwd.join(given),
            Value::Variable(name) => set(&mut self.by, name.into(), given),
            Value::Split => self.split(&given),
        }
    }

    /// `env -S 'X=1 program argument' …`: the words take the option's place.
    fn split(&mut self, given: &OsString) {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./=:,@%+ ".contains(b);
        if !given.as_bytes().iter().all(plain) {
            self.doubt(self.at - 1, "how it is split is not known");
        }
        let words = given.as_bytes().split(|b| b.is_ascii_whitespace());
        let words =
            words.filter(|word| !word.is_empty()).map(|word| OsString::from_vec(word.into()));
        let rest = self.by.argv.get(self.at..).unwrap_or_default().iter().cloned();
        let start = self.by.argv[0].clone();
        let argv = std::iter::once(start).chain(words).chain(rest).collect();
        self.inner.runs.extend(command_of(&self.by, argv).map(Run::Command));
        self.at = self.by.argv.len();
    }

    fn command(&mut self) {
        for _ in 0..self.row.operands {
            self.at += 1;
            // As in `flock FILE -c TEXT`.
            if self.word().is_some_and(|word| self.row.texts.iter().any(|text| word == text)) {
                return self.option();
            }
        }
        while self.row.assignments
            && let Some(word) = self.word()
            && let Some(equals) =
                word.as_bytes().iter().position(|b| *b == b'=').filter(|at| *at > 0)
        {
            let (name, value) = word.as_bytes().split_at(equals);
            let (name, value) =
                (OsString::from_vec(name.into()), OsString::from_vec(value[1..].into()));
            if name.to_str().is_none_or(is_obeyed_by_shells) {
                self.doubt(self.at, "it changes which programs are found, or what they load");
            }
            self.at += 1;
            set(&mut self.by, name, value);
        }
        if self.word().is_some_and(|word| word.as_bytes().starts_with(b"-")) {
            self.unclear(self.at);
        }
        let argv = self.by.argv.get(self.at..).unwrap_or_default().to_vec();
        self.inner.runs.extend(command_of(&self.by, argv).map(Run::Command));
    }

    fn joined(&mut self) {
        self.at += self.row.operands;
        let words = self.by.argv.get(self.at..).unwrap_or_default();
        if !words.is_empty() {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let text = OsString::from_vec(words.join(&b' '));
            self.inner.runs.push(Run::Text { text, by: self.by.clone() });
        }
    }

    fn rest_of_options(&mut self) {
        while self.at < self.by.argv.len() {
            match self.by.argv[self.at].as_bytes().starts_with(b"-") {
                true => self.option(),
                false => self.at += 1,
            }
        }
    }

    fn unclear(&mut self, at: usize) {
        self.doubt(at, UNKNOWN);
        let first = self.inner.suspects.map_or(at, |suspects| suspects.min(at));
        self.inner.suspects = Some(first);
    }

    fn doubt(&mut self, at: usize, why: &'static str) {
        let what = self.by.argv.get(at).map(|word| word.to_string_lossy()).unwrap_or_default();
        self.inner.doubts.push(Doubt::new(&what, why));
        if self.row.flags.is_empty() && self.row.values.is_empty() {
            self.inner.suspects.get_or_insert(1);
        }
    }
}
