//! The tables of `data/commands/`, and which of their rows are about a name.

use super::Risk;

type Strings = &'static [&'static str];

/// How a program reads its arguments. What is not said here is guessed, and a
/// guess goes to the finding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grammar {
    /// Options before the subcommand whose value is the next word. A program
    /// without any takes `values` there as well.
    pub(super) globals: Strings,
    /// Options whose value is the next word, or the rest of their bundle.
    pub(super) values: Strings,
    /// Options without a value. They are no abbreviation of another option, and
    /// the word that follows them is no value of theirs.
    pub(super) flags: Strings,
    /// Operands that are no subcommand, as globs.
    pub(super) skip: Strings,
    /// `-name` is one option and not a bundle of letters.
    pub(super) single: bool,
    /// The first word is a bundle of letters although it has no dash.
    pub(super) old: bool,
    /// Options are options after `--` too.
    pub(super) never_ends: bool,
    /// After so many operands the options are those of another command.
    pub(super) ends_after: Option<usize>,
}

/// A row of what is worth saying. All conditions hold at once; of a list, one.
#[derive(Debug)]
pub(super) struct Row {
    /// The words of the subcommand, each with its alternatives, as globs.
    pub(super) subcommand: &'static [Strings],
    /// Its options stand before the subcommand.
    pub(super) globals: bool,
    /// `-x`, `--name`, `-name`, or with a glob for the value: `-X=DELETE`.
    pub(super) options: Strings,
    /// Values of them that say nothing, as globs.
    pub(super) harmless: Strings,
    /// Options that make it another thing altogether: `--get` of `git config`.
    pub(super) unless: Strings,
    pub(super) also: Strings,
    /// Globs for an operand behind the subcommand.
    pub(super) operands: Strings,
    /// Text within any word, in lower case.
    pub(super) says: Strings,
    pub(super) check: Option<Check>,
    pub(super) class: &'static str,
    pub(super) risk: Risk,
    /// `{where}` stands for what a [`Check`] found.
    pub(super) reason: &'static str,
    pub(super) undo: Option<&'static str>,
}

/// A condition that is no matter of words alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// An operand is outside the workspace, the workspace itself, or in a repository.
    Deletion,
    /// `find` deletes there, or deletes whatever it meets.
    Find,
    /// A script for `sed` runs something.
    Sed,
    /// The value of an option of `options` is a directory outside the workspace.
    Abroad,
    /// An operand is a repository's history, in the workspace.
    History,
}

/// A row of what only reads.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) subcommand: &'static [Strings],
    /// Options that stop it reading only.
    pub(super) stop: Strings,
    /// If there are any: the one argument that it may have.
    pub(super) only: Strings,
    /// Text that no word may hold, in lower case.
    pub(super) without: Strings,
    /// How many operands it may have, at most.
    pub(super) operands: Option<usize>,
    /// If there are any, globs: what its operands look like.
    pub(super) forms: Strings,
    /// It is `sed`, and its script only prints lines by number.
    pub(super) script: bool,
}

/// A variable that changes what a program does.
#[derive(Debug)]
pub(super) struct Variable {
    /// The programs it matters to. None: all.
    pub(super) programs: Strings,
    /// Globs: a value whose every word is one of them does no harm.
    pub(super) harmless: Strings,
    /// If there are any, globs: only a value that is one of them does harm.
    pub(super) bad: Strings,
    /// Whether it is asked about. If not, it only takes away that a program is
    /// known to read only.
    pub(super) asks: bool,
    pub(super) reason: &'static str,
}

/// Paths of what somebody could log in with.
#[derive(Debug)]
pub(super) struct Secret {
    /// `~/…` or `/…`, and what is below them; `**/NAME`: the last part, as a glob.
    pub(super) paths: Strings,
    /// Globs for the last part.
    pub(super) except: Strings,
    /// The programs whose reading counts. None: all but `users`.
    pub(super) readers: Strings,
    pub(super) users: Strings,
    pub(super) risk: Risk,
    pub(super) reason: &'static str,
}

/// What is about one program, by number of row.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    grammar: Option<usize>,
    rows: &'static [usize],
    reads: &'static [usize],
}

impl About {
    /// What is known under this name, and under what it is the beginning of:
    /// `mkfs.ext4`, or the version at its end: `python3.11`.
    pub(super) fn of(name: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let plain = without_version(name);
        let exact = named(name).or_else(|| named(plain));
        let begins = BY_BEGINNING.iter().filter(|(with, _)| name.starts_with(with.as_bytes()));
        exact.into_iter().chain(begins.map(|(_, about)| *about))
    }

    pub(super) fn grammar(&self) -> Grammar {
        self.grammar.map(|number| GRAMMARS[number]).unwrap_or_default()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Row> + use<> {
        self.rows.iter().map(|number| &ROWS[*number])
    }

    pub(super) fn reads(&self) -> impl Iterator<Item = &'static Reads> + use<> {
        self.reads.iter().map(|number| &READS[*number])
    }
}

fn named(name: &[u8]) -> Option<About> {
    let at = BY_NAME.binary_search_by(|(known, _)| known.as_bytes().cmp(name)).ok()?;
    Some(BY_NAME[at].1)
}

/// `python3.11` is `python`, `gcc-13` is `gcc`.
pub(super) fn without_version(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|b| !b.is_ascii_digit() && *b != b'.').map_or(0, |at| at + 1);
    let plain = name[..end].strip_suffix(b"-").unwrap_or(&name[..end]);
    if plain.is_empty() { name } else { plain }
}

/// Whether a program of this name is in a list of names.
pub(super) fn is_one_of(name: &[u8], list: &[&str]) -> bool {
    let plain = without_version(name);
    list.iter().any(|known| known.as_bytes() == name || known.as_bytes() == plain)
}

/// Names of the programs that are asked about.
pub(super) fn dangerous() -> impl Iterator<Item = &'static str> {
    let asks = |about: &About| about.rows().any(|row| row.risk > Risk::Low);
    BY_NAME.iter().filter(move |(_, about)| asks(about)).map(|(name, _)| *name)
}

include!(concat!(env!("OUT_DIR"), "/commands.rs"));
