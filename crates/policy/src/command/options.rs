//! How the arguments of a command are read by a rule that names flags and
//! subcommands.
//!
//! No rule can know how every program reads its arguments, so there are two ways
//! of reading. What restricts applies where it is **possible** that the program
//! takes an argument for the flag or the subcommand; what permits applies only
//! where it is **certain** in the usual conventions.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// How sure a rule has to be that it is about a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sure {
    /// For what permits.
    Certain,
    /// For what restricts.
    Possible,
}

/// A flag that a rule names: `-f`, `--force`, `-delete`, `--mode=hard`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    text: String,
    /// Without the dashes in front and the value behind.
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Flag {
    /// Parses a flag. The error says what a flag looks like.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || Err(format!("`{text}` is not a flag such as `-f`, `--force`, `-delete` or `--a=b`"));
        let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'));
        let Some(name) = name else { return wrong() };
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.as_bytes().to_vec())),
            None => (name, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:?#@".contains(c);
        if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
            return wrong();
        }
        Ok(Self { text: text.to_owned(), name: name.as_bytes().to_vec(), value })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn is_one_letter(&self) -> bool {
        self.name.len() == 1 && !self.text.starts_with("--")
    }

    /// Whether it is among these arguments. `named` are all flags of its rule.
    pub(super) fn is_among(&self, arguments: &[OsString], sure: Sure, named: &[Flag]) -> bool {
        match sure {
            Sure::Possible => (0..arguments.len()).any(|at| self.may_be_at(arguments, at)),
            Sure::Certain => {
                let end = arguments.iter().position(|word| word == "--");
                let arguments = &arguments[..end.unwrap_or(arguments.len())];
                (0..arguments.len()).any(|at| {
                    let takes_it = at.checked_sub(1).is_some_and(|before| {
                        takes_a_value(&arguments[before])
                            && !named.iter().any(|flag| flag.is(&arguments[before]))
                    });
                    !takes_it && self.is(&arguments[at])
                })
            }
        }
    }

    /// Whether this word is the flag, as the rule spells it.
    fn is(&self, word: &OsStr) -> bool {
        let word = word.as_bytes();
        match word.strip_prefix(self.text.as_bytes()) {
            Some(b"") => true,
            Some(rest) => self.value.is_none() && self.name.len() > 1 && rest[0] == b'=',
            None => false,
        }
    }

    /// Whether a program may take the word there for the flag: a letter among
    /// others, the beginning of a long name, one dash or two.
    fn may_be_at(&self, arguments: &[OsString], at: usize) -> bool {
        let Some(word) = arguments[at].as_bytes().strip_prefix(b"-") else { return false };
        let (long, word) = match word.strip_prefix(b"-") {
            Some(word) => (true, word),
            None => (false, word),
        };
        let equals = word.iter().position(|b| *b == b'=');
        let (name, value) = match equals {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let named = match self.is_one_letter() {
            true => !long && name.contains(&self.name[0]),
            false if name == self.name => true,
            false => long && !name.is_empty() && self.name.starts_with(name),
        };
        let following = || arguments.get(at + 1).map(|word| word.as_bytes());
        named
            && self.value.as_ref().is_none_or(|wanted| match value {
                Some(value) => value == wanted,
                // `-xVALUE`, or the word behind it.
                None => following() == Some(wanted) || (!long && name.ends_with(wanted)),
            })
    }
}

/// Whether the word behind may be this word's value.
fn takes_a_value(word: &OsStr) -> bool {
    let word = word.as_bytes();
    word.len() > 1 && word[0] == b'-' && !word.contains(&b'=')
}

/// Whether these words, each with its alternatives, are the command's subcommand.
///
/// Certain: they follow the program one after the other, with no option between
/// them but those that are known to take no value and to change nothing. Possible:
/// they stand in this order where the program may look for them.
pub(super) fn has_subcommand(
    programs: &[String],
    words: &[Vec<String>],
    arguments: &[OsString],
    sure: Sure,
) -> bool {
    let Some((first, others)) = words.split_first() else { return true };
    let is = |alternatives: &[String], word: &OsStr| {
        alternatives.iter().any(|wanted| OsStr::new(wanted) == word)
    };
    let row = row(programs);
    match sure {
        Sure::Certain => {
            let harmless = |word: &OsString| {
                row.is_some_and(|row| {
                    word.to_str().is_some_and(|word| row.harmless.contains(&word))
                })
            };
            let rest: Vec<_> = arguments.iter().skip_while(|word| harmless(word)).collect();
            rest.len() >= words.len()
                && words.iter().zip(rest).all(|(alternatives, word)| is(alternatives, word))
        }
        Sure::Possible => {
            // At each place of the first word the others may follow somewhere.
            first_words(row, arguments).into_iter().any(|at| {
                let mut rest = arguments[at + 1..].iter();
                is(first, &arguments[at])
                    && others.iter().all(|alternatives| rest.any(|word| is(alternatives, word)))
            })
        }
    }
}

/// The row of all these programs, if they have one in common.
fn row(programs: &[String]) -> Option<&'static Row> {
    ROWS.iter().find(|row| {
        programs.iter().all(|program| {
            let name = program.rsplit('/').next().unwrap_or(program);
            row.programs.contains(&name)
        })
    })
}

/// Where the program may find its subcommand: at one place if everything before
/// it is known, else anywhere behind what is not.
fn first_words(row: Option<&Row>, arguments: &[OsString]) -> Vec<usize> {
    let mut at = 0;
    while let Some(word) = arguments.get(at) {
        let bytes = word.as_bytes();
        if bytes == b"--" || bytes.starts_with(b"+") {
            at += 1;
        } else if !bytes.starts_with(b"-") || bytes == b"-" {
            return vec![at];
        } else if bytes.starts_with(b"--") && bytes.contains(&b'=') {
            at += 1;
        } else if row.is_some_and(|row| row.valued.iter().any(|name| word == name)) {
            at += 2;
        } else if row
            .is_some_and(|row| row.alone.iter().chain(row.harmless).any(|name| word == name))
        {
            at += 1;
        } else {
            return (at..arguments.len()).collect();
        }
    }
    Vec::new()
}

/// The options that a program takes before its subcommand.
struct Row {
    programs: &'static [&'static str],
    /// With a value in the next word.
    valued: &'static [&'static str],
    /// Without one.
    alone: &'static [&'static str],
    /// Without one, and without a change in what the subcommand does.
    harmless: &'static [&'static str],
}

/// SOURCE: git(1), docker(1), kubectl options, cargo(1), npm-config(7),
/// aws(1), systemctl(1), as of 2025. An option that is missing here is looked
/// through, so a row only makes a restriction precise.
const ROWS: &[Row] = &[
    Row {
        programs: &["git"],
        valued: &["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env"],
        alone: &["-p", "--paginate", "--bare", "--no-replace-objects", "--no-lazy-fetch"],
        harmless: &["--no-pager", "-P", "--no-optional-locks", "--no-advice"],
    },
    Row {
        programs: &["docker"],
        valued: &["-c", "--context", "-H", "--host", "--config", "-l", "--log-level"],
        alone: &["-D", "--debug", "--tls", "--tlsverify"],
        harmless: &[],
    },
    Row {
        programs: &["podman"],
        valued: &["-c", "--connection", "--url", "--log-level"],
        alone: &["-r", "--remote"],
        harmless: &[],
    },
    Row {
        programs: &["kubectl", "oc"],
        valued: &[
            "-n",
            "--namespace",
            "--context",
            "--cluster",
            "--kubeconfig",
            "-s",
            "--server",
            "--user",
            "--token",
            "--as",
            "--as-group",
            "--request-timeout",
            "-v",
        ],
        alone: &["--insecure-skip-tls-verify"],
        harmless: &[],
    },
    Row {
        programs: &["cargo"],
        valued: &["--color", "--config", "-C", "-Z"],
        alone: &[],
        harmless: &["-v", "-vv", "-q", "--verbose", "--quiet", "--locked", "--offline", "--frozen"],
    },
    Row { programs: &["npm"], valued: &["--prefix", "-C"], alone: &["-g"], harmless: &["-s"] },
    Row { programs: &["pnpm"], valued: &["-C", "--dir", "-F"], alone: &["-r"], harmless: &["-s"] },
    Row { programs: &["yarn"], valued: &["--cwd"], alone: &[], harmless: &["-s"] },
    Row {
        programs: &["aws"],
        valued: &["--profile", "--region", "--output", "--endpoint-url", "--query", "--color"],
        alone: &["--debug", "--no-verify-ssl", "--no-sign-request", "--no-cli-pager"],
        harmless: &[],
    },
    Row {
        programs: &["systemctl"],
        valued: &["-H", "--host", "-M", "--machine", "--root", "-t", "--type", "-p", "--property"],
        alone: &["--user", "--system", "-q", "--quiet", "--now", "-f", "--force"],
        harmless: &["--no-pager"],
    },
];

#[cfg(test)]
mod tests;
