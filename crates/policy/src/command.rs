//! May this command run?
//!
//! A rule names the beginning of an argument vector. It is judged at `execve`,
//! so it sees what every descendant really starts; the boundary contains what
//! the started program then does, which no rule about its name can.
//!
//! What permits has to be sure of the command: of the program's name, which the
//! session cannot have made up, and of its arguments. What restricts applies where
//! it is possible.

mod names;
mod options;
mod prefix;
mod rule;
mod script;
mod shape;

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::attempt::{Attempt as _, Exec};
use crate::basis::{Basis, Layer};
use crate::filesystem::Place;
use crate::grant::Grants;
use crate::knowledge::{self, Finding};
use crate::layers::{Decision, Force, Ruling, Said, Settled, rule};
use crate::verdict::{Permit, Question, Refusal, Verdict};
use names::Names;
pub(crate) use options::{Flag, Sure};
pub(crate) use prefix::Prefix;
pub(crate) use rule::{CommandRule, Which};
pub(crate) use shape::{Shape, Variable};

/// Where the programs of a bare name really are: an `allow` rule about the name
/// is about these alone. It takes nothing from rules that prompt or forbid.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    pub(crate) name: String,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) layer: Layer,
}

/// The command side of a policy.
#[derive(Debug)]
pub(crate) struct Commands {
    default: Settled<Decision>,
    place: Place,
    /// What the session can make or change.
    writable: Vec<PathBuf>,
    known: BTreeSet<PathBuf>,
    rules: Vec<Said<CommandRule>>,
    names: HashMap<Vec<u8>, Bucket>,
    /// Keys compare by component, so `/usr//bin/./git` is `/usr/bin/git`.
    paths: HashMap<PathBuf, Bucket>,
    whereabouts: HashMap<String, Vec<Whereabouts>>,
}

/// Rules about one program, by their first argument where they name it.
#[derive(Debug, Default)]
struct Bucket {
    bare: Vec<usize>,
    by_argument: HashMap<Vec<u8>, Vec<usize>>,
}

/// How a rule knows the program.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// By a path.
    At(&'a Path),
    /// By a name.
    As(&'a [u8]),
}

impl Commands {
    pub(crate) fn new(
        default: Settled<Decision>,
        said: Vec<Said<CommandRule>>,
        whereabouts: Vec<Whereabouts>,
        writable: Vec<PathBuf>,
        place: Place,
    ) -> Self {
        let mut commands = Self {
            default,
            place,
            writable,
            known: knowledge::known_programs(),
            rules: Vec::with_capacity(said.len()),
            names: HashMap::new(),
            paths: HashMap::new(),
            whereabouts: HashMap::new(),
        };
        said.into_iter().for_each(|rule| commands.insert(rule));
        for known in whereabouts {
            commands.whereabouts.entry(known.name.clone()).or_default().push(known);
        }
        commands
    }

    fn insert(&mut self, rule: Said<CommandRule>) {
        let number = self.rules.len();
        let which = &rule.value.which;
        let first = match which {
            Which::Prefix(prefix) => prefix.first_argument(),
            Which::Shape(_) => None,
        };
        let into = |bucket: &mut Bucket| match first {
            None => bucket.bare.push(number),
            Some(words) => words.iter().for_each(|word| {
                bucket.by_argument.entry(word.clone().into_bytes()).or_default().push(number);
            }),
        };
        for program in which.programs() {
            match program.starts_with('/') {
                true => drop(self.known.insert(PathBuf::from(program))),
                false => self.known.extend(knowledge::places_of(program)),
            }
            if program.contains('/') {
                // As it may be called, and where that is.
                let called = PathBuf::from(program);
                let at = self.place.workspace.join(&called);
                into(self.paths.entry(called).or_default());
                into(self.paths.entry(at).or_default());
            } else {
                into(self.names.entry(program.clone().into_bytes()).or_default());
            }
        }
        self.rules.push(rule);
    }

    /// Every profile that a rule places commands in, and the rule.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Arc<str>, &Basis)> {
        self.rules.iter().filter_map(|rule| Some((rule.value.place.as_ref()?, &rule.basis)))
    }

    /// Whether a rule depends on whether this variable is set.
    pub(crate) fn minds(&self, variable: &OsStr) -> bool {
        self.rules.iter().any(|rule| rule.value.which.names(variable))
    }

    /// See [`crate::Policy::findings`].
    pub(crate) fn findings(&self, attempt: &Exec) -> Vec<Finding> {
        knowledge::findings(attempt, &self.place)
    }

    /// See [`crate::Policy::known_programs`].
    pub(crate) fn known_programs(&self) -> &BTreeSet<PathBuf> {
        &self.known
    }

    /// The paths that rules know programs by.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.keys()
    }

    /// The verdict on this program, whatever it may run by itself.
    pub(crate) fn alone(&self, attempt: Exec, grants: &Grants) -> Verdict<Exec> {
        let Judged { ruling, spoken, place } = self.judge(&attempt);
        let findings = knowledge::findings(&attempt, &self.place);
        let doubt = findings.iter().find(|finding| finding.asks_although(spoken));
        match ruling.decision {
            Decision::Allow if doubt.is_none() => {
                Verdict::Allow(Permit::new(attempt, ruling.basis.clone()).placed(place))
            }
            Decision::Ask
                if ruling.by_default
                    && doubt.is_none()
                    && knowledge::reads_only(&attempt, &self.place) =>
            {
                Verdict::Allow(Permit::new(attempt, Basis::built_in("commands: it only reads")))
            }
            Decision::Allow | Decision::Ask if grants.cover(&attempt) => {
                Verdict::Allow(Permit::new(attempt, Basis::granted()).placed(place))
            }
            Decision::Allow | Decision::Ask => {
                let basis = match (ruling.decision, doubt) {
                    (Decision::Allow, Some(doubt)) => doubt.basis(),
                    _ => ruling.basis.clone(),
                };
                let question = Question::new(attempt, basis).with_findings(findings);
                Verdict::Ask(question.placed(place))
            }
            Decision::Refuse => Verdict::Refuse(Refusal {
                attempt: attempt.summary(),
                basis: ruling.basis.clone(),
                instead: self.instead(&ruling),
                note: None,
            }),
        }
    }

    /// See [`crate::Policy::is_settled_by_a_choice`].
    pub(crate) fn is_settled_by_a_choice(&self, attempt: &Exec) -> bool {
        let Judged { ruling, .. } = self.judge(attempt);
        let findings = knowledge::findings(attempt, &self.place);
        // Beside a rule that asks, one that allows says nothing.
        let open = ruling.decision == Decision::Allow
            || ruling.decision == Decision::Ask && ruling.by_default;
        open && !findings.iter().any(|finding| finding.asks_although(Some(Force::Choice)))
    }

    /// What the rules say, how strong the strongest statement is that allows it in
    /// particular, and where it would run.
    fn judge(&self, attempt: &Exec) -> Judged<'_> {
        let about = self.about(attempt);
        let allows = about.iter().filter(|said| said.value.decision == Decision::Allow);
        let spoken = allows.map(|said| said.force).max();
        let place = place(&about);
        let statements = about.iter().map(|said| (said.value.decision, said.force, &said.basis));
        Judged { ruling: rule(&self.default, statements), spoken, place }
    }

    /// The rules that are about this attempt, each once.
    fn about(&self, attempt: &Exec) -> Vec<&Said<CommandRule>> {
        let names = Names::of(attempt);
        let mut numbers = BTreeSet::new();
        let mut consider = |bucket: Option<&Bucket>, known: Known<'_>| {
            let Some(bucket) = bucket else { return };
            let first =
                attempt.argv.get(1).and_then(|word| bucket.by_argument.get(word.as_bytes()));
            for number in bucket.bare.iter().chain(first.into_iter().flatten()) {
                let rule = &self.rules[*number].value;
                let is_known = || match rule.sure() {
                    Sure::Certain => self.is_surely(known, &names),
                    Sure::Possible => true,
                };
                if rule.applies(attempt) && is_known() {
                    numbers.insert(*number);
                }
            }
        };
        for path in names.paths() {
            consider(self.paths.get(path), Known::At(path));
        }
        for name in names.any() {
            consider(self.names.get(name), Known::As(name));
        }
        numbers.into_iter().map(|number| &self.rules[number]).collect()
    }

    /// Whether what a rule permits by this path or name is meant for what runs.
    ///
    /// INVARIANT: neither a copy, nor `argv[0]`, nor anything that the session can
    /// write is permitted by a name. What is named by its path was meant by whoever
    /// wrote the rule, wherever it lies.
    fn is_surely(&self, known: Known<'_>, names: &Names<'_>) -> bool {
        match known {
            Known::At(path) => names.is_at(&self.place.workspace.join(path)),
            Known::As(name) => {
                names.goes_by(name, &self.place, |path| self.is_writable(path))
                    && self.is_where(name, names)
            }
        }
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.writable.iter().any(|root| path.starts_with(root))
    }

    /// Whether what runs is where every layer that knows this name says it is.
    fn is_where(&self, name: &[u8], names: &Names<'_>) -> bool {
        let known = std::str::from_utf8(name).ok().and_then(|name| self.whereabouts.get(name));
        let Some(known) = known else { return true };
        let in_layer = |layer| {
            let mut of_layer = known.iter().filter(|w| w.layer == layer);
            of_layer.any(|w| w.paths.iter().any(|path| path == names.runs()))
        };
        known.iter().all(|w| in_layer(w.layer))
    }

    fn instead(&self, ruling: &Ruling<'_>) -> Option<String> {
        if ruling.basis.justification.is_some() {
            return None;
        }
        if ruling.by_default {
            return Some("commands that a rule allows".to_owned());
        }
        let by = self.rules.iter().find(|rule| std::ptr::eq(&rule.basis, ruling.basis))?;
        let which = &by.value.which;
        let programs = which.programs().join("` or `");
        Some(match which.is_whole_program() && by.value.directories.is_empty() {
            true => format!("a program other than `{programs}`"),
            false => format!("other `{programs}` commands"),
        })
    }
}

/// What came of judging one attempt by rules.
struct Judged<'p> {
    ruling: Ruling<'p>,
    spoken: Option<Force>,
    place: Option<Arc<str>>,
}

/// The profile that an attempt runs under, of all rules about it.
///
/// The strongest layer that allows or prompts decides alone, so that nobody below
/// moves what the system has placed; a project is the weakest and names no place.
/// Where its rules do not agree, or one of them names none, it is the session's own.
fn place(about: &[&Said<CommandRule>]) -> Option<Arc<str>> {
    let speak = |said: &&&Said<CommandRule>| said.value.decision != Decision::Refuse;
    let strongest = about.iter().filter(speak).map(|said| said.force).max()?;
    let mut places =
        about.iter().filter(speak).filter(|s| s.force == strongest).map(|s| &s.value.place);
    let first = places.next()?;
    places.all(|place| place == first).then(|| first.clone())?
}
