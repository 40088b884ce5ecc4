//! Arguments, read as the program would read them.
//!
//! Where a reading is unsure there are several, and whoever looks for something
//! finds it in any of them.

use super::glob;
use super::table::Grammar;

/// The arguments of one program, its own name left out.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) words: Vec<Word<'a>>,
    grammar: Grammar,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    pub(super) text: &'a [u8],
    role: Role,
    /// Stands before the first word that is certainly an operand.
    early: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// `--name`, `--name=value`; or `-name` where that is one option.
    Long,
    /// `-xyz`: one option each, up to the first that takes a value.
    Letters,
    /// The value of the option before it.
    Value,
    /// Neither; unless it is the value of an option nobody here knows.
    Operand { certain: bool },
}

/// Options of `git config` that take no value of their own.
///
/// SOURCE: git-config(1).
const PLAIN: [&str; 13] = [
    "--get",
    "--get-all",
    "--get-regexp",
    "--list",
    "--null",
    "--local",
    "--global",
    "--system",
    "--worktree",
    "--includes",
    "--no-includes",
    "--show-origin",
    "--show-scope",
];

impl<'a> Line<'a> {
    /// Takes time linear in the words.
    pub(super) fn parse(arguments: &[&'a [u8]], grammar: Grammar) -> Self {
        let mut words = Vec::with_capacity(arguments.len());
        let (mut early, mut ended, mut value_next, mut unsure) = (true, false, false, false);
        let mut operands = 0;
        for (number, text) in arguments.iter().copied().enumerate() {
            let role = match text {
                _ if value_next => Role::Value,
                _ if number == 0 && grammar.old && !text.starts_with(b"-") => Role::Letters,
                b"--" if !ended => {
                    ended = !grammar.never_ends;
                    Role::Value
                }
                [b'-', _, ..] if !ended && (grammar.single || text.starts_with(b"--")) => {
                    Role::Long
                }
                [b'-', _, ..] if !ended => Role::Letters,
                _ => Role::Operand { certain: !unsure },
            };
            let word = Word { text, role, early };
            let options =
                if early && !grammar.globals.is_empty() { grammar.globals } else { grammar.values };
            value_next = word.takes_next(options);
            let known = value_next || role == Role::Value || word.is_flag(&grammar);
            unsure = matches!(role, Role::Long | Role::Letters) && !known && !text.contains(&b'=');
            if role == (Role::Operand { certain: true }) && !is_any(text, grammar.skip) {
                early = false;
                operands += 1;
                ended |= grammar.ends_after.is_some_and(|most| operands >= most);
            }
            words.push(word);
        }
        Self { words, grammar }
    }

    /// Where the words behind a subcommand begin, if this is that subcommand.
    pub(super) fn behind(&self, subcommand: &[&[&str]]) -> Option<usize> {
        if subcommand.is_empty() {
            return Some(0);
        }
        // Bit n: the first n words of the subcommand may have been seen.
        let mut seen = 1_u32;
        for (number, word) in self.words.iter().enumerate() {
            let Role::Operand { certain } = word.role else { continue };
            if is_any(word.text, self.grammar.skip) {
                continue;
            }
            let next = (0..subcommand.len())
                .filter(|at| seen & (1 << at) != 0 && is_any(word.text, subcommand[*at]))
                .fold(0, |next, at| next | (1 << (at + 1)));
            seen = if certain { next } else { seen | next };
            if seen & (1 << subcommand.len()) != 0 {
                return Some(number + 1);
            }
            if seen == 0 {
                return None;
            }
        }
        None
    }

    /// Whether the words from this one on begin with options among which is this, in
    /// full, before any that takes a value or is not known.
    pub(super) fn begins_with(&self, from: usize, option: &str) -> bool {
        let words = self.words[from..].iter();
        let mut plain = words.take_while(|word| {
            word.role == Role::Long && PLAIN.iter().any(|known| word.text == known.as_bytes())
        });
        plain.any(|word| word.text == option.as_bytes())
    }

    /// For each place where one of these options is given, what may be its value.
    pub(super) fn values_of<'s>(
        &'s self,
        options: &'s [&'s str],
        early: bool,
    ) -> impl Iterator<Item = &'a [u8]> + 's {
        let words = self.words.iter().enumerate().filter(move |(_, word)| word.early || !early);
        words.flat_map(move |(number, word)| {
            let next = self.words.get(number + 1).map_or(&b""[..], |word| word.text);
            options.iter().filter_map(move |option| word.value_of(option, next, &self.grammar))
        })
    }

    /// The operands from this word on, those that may be values of an option
    /// among them.
    pub(super) fn operands(&self, from: usize) -> impl Iterator<Item = &'a [u8]> + '_ {
        let words = self.words[from..].iter();
        words.filter(|word| matches!(word.role, Role::Operand { .. })).map(|word| word.text)
    }

    /// Whether a word holds one of these texts, whatever its case and however
    /// wide its blanks.
    pub(super) fn says(&self, texts: &[&str]) -> bool {
        self.words.iter().any(|word| says(word.text, texts))
    }
}

impl<'a> Word<'a> {
    /// Whether the next word is its value.
    fn takes_next(&self, values: &[&str]) -> bool {
        match self.role {
            Role::Long => {
                let name = name_of(self.text);
                !self.text.contains(&b'=')
                    && values.iter().any(|option| name == name_of(option.as_bytes()))
            }
            Role::Letters => {
                let letters = letters_of(self.text);
                let taking = letters.iter().position(|letter| is_letter(*letter, values));
                taking.is_some_and(|at| at + 1 == letters.len())
            }
            Role::Value | Role::Operand { .. } => false,
        }
    }

    fn is_flag(&self, grammar: &Grammar) -> bool {
        match self.role {
            Role::Long => grammar.flags.iter().any(|flag| flag.as_bytes() == self.text),
            Role::Letters => {
                let known =
                    |letter| is_letter(letter, grammar.flags) || is_letter(letter, grammar.values);
                letters_of(self.text).iter().all(|letter| known(*letter))
            }
            Role::Value | Role::Operand { .. } => false,
        }
    }

    /// What may be the value of this option, if it is given here and its value is
    /// one that it asks for: `-x`, `--name`, `-name`, `-X=GLOB`.
    fn value_of(&self, option: &str, next: &'a [u8], grammar: &Grammar) -> Option<&'a [u8]> {
        let (name, wanted) = match option.split_once('=') {
            Some((name, wanted)) => (name, Some(wanted)),
            None => (option, None),
        };
        let fits =
            |value: &'a [u8]| wanted.is_none_or(|wanted| glob(wanted, value)).then_some(value);
        match self.role {
            Role::Long => {
                let given = name_of(self.text);
                let is_it = match (grammar.single, name.strip_prefix("--")) {
                    (true, _) => given == name_of(name.as_bytes()),
                    // SOURCE: getopt_long(3): a long option may be cut short.
                    (false, Some(long)) => {
                        let cut = long.as_bytes().starts_with(given) && !given.is_empty();
                        given == long.as_bytes() || (cut && !self.is_flag(grammar))
                    }
                    (false, None) => false,
                };
                let inline =
                    self.text.iter().position(|b| *b == b'=').map(|at| &self.text[at + 1..]);
                if is_it { fits(inline.unwrap_or(next)) } else { None }
            }
            Role::Letters => {
                let [b'-', wanted_letter] = name.as_bytes() else { return None };
                let letters = letters_of(self.text);
                let end = letters.iter().position(|letter| is_letter(*letter, grammar.values));
                // The values of letters without a dash follow one after the other.
                let end =
                    end.filter(|_| self.text.starts_with(b"-")).map_or(letters.len(), |at| at + 1);
                let at = letters[..end].iter().position(|letter| letter == wanted_letter)?;
                let rest = &letters[at + 1..];
                let inline = rest.strip_prefix(b"=").unwrap_or(rest);
                let dashed = self.text.starts_with(b"-");
                if inline.is_empty() || !dashed { fits(next) } else { fits(inline) }
            }
            Role::Value | Role::Operand { .. } => None,
        }
    }

    /// Whether it is this option, whatever else it may be: a word that begins with a dash, value or
    /// operand as it may be, is taken for an option with all its letters.
    pub(super) fn could_be(&self, option: &str) -> bool {
        let text = self.text;
        if !text.starts_with(b"-") && self.role != Role::Letters {
            return false;
        }
        let given = name_of(text);
        if let Some(long) = option.strip_prefix("--") {
            return text.starts_with(b"--")
                && !given.is_empty()
                && long.as_bytes().starts_with(given);
        }
        match option.as_bytes() {
            [b'-', letter] => !text.starts_with(b"--") && letters_of(text).contains(letter),
            _ => given == name_of(option.as_bytes()),
        }
    }
}

/// The name of a long option, its dashes and value aside.
fn name_of(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    text.iter().position(|b| *b == b'=').map_or(text, |at| &text[..at])
}

fn letters_of(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"-").unwrap_or(text)
}

/// Whether a letter is among options, of which only those of one letter count.
fn is_letter(letter: u8, options: &[&str]) -> bool {
    options.iter().any(|option| option.as_bytes() == [b'-', letter])
}

pub(super) fn is_any(text: &[u8], globs: &[&str]) -> bool {
    globs.iter().any(|wanted| glob(wanted, text))
}

/// Whether a text holds one of these, whatever its case and however wide its blanks.
pub(super) fn says(text: &[u8], wanted: &[&str]) -> bool {
    if wanted.is_empty() {
        return false;
    }
    let mut flat = Vec::with_capacity(text.len());
    for byte in text {
        let byte = if byte.is_ascii_whitespace() { b' ' } else { byte.to_ascii_lowercase() };
        if byte != b' ' || flat.last() != Some(&b' ') {
            flat.push(byte);
        }
    }
    wanted.iter().any(|wanted| holds(&flat, wanted.as_bytes()))
}

pub(super) fn holds(text: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else { return true };
    let starts = text.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.into_iter().any(|(at, _)| text[at..].starts_with(wanted))
}
