//! What a shell text would start, as far as a text can say.
//!
//! Two readers look at every text: a strict one of our own that knows a small
//! part of the language exactly ([`lexer`], [`parser`]), and the tree-sitter
//! grammar of Bash ([`tree`]) that knows most of it roughly. What the strict one
//! does not know is a [`Doubt`], and so is every difference between the two.
//! The rough one finds commands within what is doubted, so that a rule can still
//! forbid them.
//!
//! INVARIANT: a text without doubts starts the commands that are listed and no
//! others, in every one of sh, dash, bash, ksh and zsh that is given it by `-c` and
//! has its usual options. Where these would read it differently there is a doubt.
//!
//! Not said here: what listed programs start themselves, what the start-up files of
//! a shell do, where `cd` leads through links or by `CDPATH`, and what an
//! interactive shell makes of it, for which a comment may be none.

mod lexer;
mod names;
mod parser;
mod tree;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

pub use names::is_obeyed_by_shells;
pub(crate) use parser::join;

/// A text that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// In the order in which they stand in the text, those in substitutions last.
    pub commands: Vec<Simple>,
    /// Variables that it sets for what follows, with the values that are known.
    pub variables: Vec<(String, String)>,
    pub doubts: Vec<Doubt>,
}

/// One simple command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    /// The words after quote removal. A word that is in doubt stands as it was
    /// written.
    pub argv: Vec<String>,
    /// The variables set for this command alone.
    pub assignments: Vec<(String, String)>,
    /// The directories that it may run in, each absolute or below the one that the
    /// text is run in, which is the empty path. Never empty.
    pub directories: Arc<[PathBuf]>,
    pub input: Input,
    /// The commands of the stage before it in its pipeline, as places in
    /// [`Script::commands`].
    pub fed_by: Range<usize>,
    /// The commands of the stage after it.
    pub feeds: Range<usize>,
}

/// What a command reads on standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// Whatever the shell has.
    #[default]
    Inherited,
    Nothing,
    File,
    Pipe,
    /// A here-document or here-string.
    Text(String),
}

/// Something in a text that was not fully understood.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Doubt {
    /// The piece of text, at most [`LONGEST`] characters of it.
    pub what: String,
    /// What is not known about it, as a clause for a person.
    pub why: &'static str,
}

/// How much of a piece of text a doubt quotes, in characters.
const LONGEST: usize = 80;

/// What a text may be in size, in bytes, before it is doubted unread. Above what
/// one argument of a program can be (128 KiB on Linux).
const LARGEST: usize = 256 << 10;

impl Doubt {
    pub(crate) fn new(what: &str, why: &'static str) -> Self {
        let cut = what.char_indices().nth(LONGEST).map_or(what.len(), |(at, _)| at);
        Self { what: what[..cut].to_owned(), why }
    }
}

/// Reads a text as a shell would that is given it by `-c`.
pub fn read(text: &str) -> Script {
    if text.len() > LARGEST {
        let doubts = vec![Doubt::new(text, "it is too long to be read")];
        return Script { doubts, ..Script::default() };
    }
    let (mut script, cuts) = match lexer::tokens(text) {
        Ok(tokens) => parser::parse(text, &tokens),
        Err(doubt) => (Script { doubts: vec![doubt], ..Script::default() }, Vec::new()),
    };
    script.doubts.extend(odd_characters(text));
    let rough = tree::read(text, &cuts);
    let understood = script.doubts.is_empty();
    if understood {
        script.doubts.extend(rough.doubts);
    }
    let differ = add_missing(&mut script.commands, rough.commands);
    if differ && understood && script.doubts.is_empty() {
        script.doubts.push(Doubt::new(text, "it can be read in more than one way"));
    }
    script
}

/// Why these words, as a command of a shell, may do more than they say.
pub(crate) fn doubt_about_words(argv: &[OsString]) -> Option<&'static str> {
    let words: Vec<String> = argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    names::doubt_about(&words)
}

/// Adds the commands that only the rough reader found. Whether the two differ in
/// any; built-ins that the grammar does not call commands aside.
fn add_missing(ours: &mut Vec<Simple>, theirs: Vec<Simple>) -> bool {
    let known: HashSet<Vec<&str>> = ours.iter().map(compared).collect();
    let found: HashSet<Vec<&str>> = theirs.iter().map(compared).collect();
    let unseen = ours.iter().any(|simple| {
        !found.contains(&compared(simple)) && !names::is_not_a_command(&simple.argv[0])
    });
    let missing = theirs.iter().any(|simple| !known.contains(&compared(simple)));
    if missing {
        // All of them, so that what is piped where stays known.
        append(ours, theirs);
    }
    unseen || missing
}

/// The words by which the two readers are compared. The grammar loses a `-` before
/// a here-document, as in `git commit -F - <<END`.
fn compared(simple: &Simple) -> Vec<&str> {
    simple.argv.iter().map(String::as_str).filter(|word| *word != "-").collect()
}

fn append(commands: &mut Vec<Simple>, more: Vec<Simple>) {
    let base = commands.len();
    let moved = |range: Range<usize>| range.start + base..range.end + base;
    commands.extend(more.into_iter().map(|simple| Simple {
        fed_by: moved(simple.fed_by),
        feeds: moved(simple.feeds),
        ..simple
    }));
}

/// Notes that one stage of a pipeline writes into what the next one reads. Inner
/// pipelines come first and keep what they have.
fn feed(commands: &mut [Simple], writers: &Range<usize>, readers: &Range<usize>) {
    for simple in &mut commands[readers.clone()] {
        // Some shells give a command both the pipe and the file that it is told to read.
        if matches!(simple.input, Input::Inherited | Input::Nothing) {
            simple.input = Input::Pipe;
        }
        if simple.fed_by.is_empty() {
            simple.fed_by = writers.clone();
        }
    }
    for simple in &mut commands[writers.clone()] {
        if simple.feeds.is_empty() {
            simple.feeds = readers.clone();
        }
    }
}

/// Characters that one shell takes for a blank or the end, and another does not.
fn odd_characters(text: &str) -> Option<Doubt> {
    let odd = |c: &char| !matches!(c, ' ' | '\t' | '\n') && (c.is_control() || c.is_whitespace());
    let c = text.chars().find(odd)?;
    Some(Doubt::new(&c.to_string(), "shells do not agree on what this character is"))
}
