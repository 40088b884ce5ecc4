//! May this command run?
//!
//! A rule names the beginning of an argument vector. It is judged at `execve`,
//! so it sees what every descendant really starts; the boundary contains what
//! the started program then does, which no rule about its name can.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::attempt::{Attempt as _, Exec};
use crate::basis::{Basis, Layer};
use crate::filesystem::Place;
use crate::grant::Grants;
use crate::knowledge;
use crate::layers::{Decision, Force, Ruling, Said, Settled, rule};
use crate::verdict::{Permit, Question, Refusal, Verdict};

/// The beginning of a command: one or more places, each with its alternatives.
/// The first is a program: a bare name, or a path. The others are arguments.
///
/// An exact one is about the whole command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Vec<String>>, bool);

impl Pattern {
    /// No pattern if a place, or the whole, is empty.
    pub(crate) fn new(places: Vec<Vec<String>>) -> Option<Self> {
        let full = !places.is_empty() && places.iter().all(|place| !place.is_empty());
        full.then_some(Self(places, false))
    }

    /// The same, about commands that have no words behind these.
    pub(crate) fn exact(self) -> Self {
        Self(self.0, true)
    }

    fn programs(&self) -> &[String] {
        &self.0[0]
    }

    /// Whether it is about this command, given as an argument vector alone.
    pub(crate) fn matches(&self, argv: &[String]) -> bool {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        let path = PathBuf::from(argv.first().cloned().unwrap_or_default());
        let exec = Exec { path, argv, cwd: PathBuf::from("/"), ..Exec::default() };
        let names = Names::of(&exec);
        let named = |program: &String| match program.contains('/') {
            true => names.paths().any(|path| path == Path::new(program)),
            false => names.any().any(|name| name == program.as_bytes()),
        };
        self.programs().iter().any(named) && self.arguments_match(&exec.argv)
    }

    /// Whether the places after the first match the arguments, byte for byte.
    fn arguments_match(&self, argv: &[OsString]) -> bool {
        let places = &self.0[1..];
        let arguments = argv.get(1..).unwrap_or_default();
        let fits = match self.1 {
            true => arguments.len() == places.len(),
            false => arguments.len() >= places.len(),
        };
        fits && places.iter().zip(arguments).all(|(alternatives, argument)| {
            alternatives.iter().any(|word| OsStr::new(word) == argument)
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, place) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            match place.as_slice() {
                [word] => write!(f, "{gap}{word}")?,
                words => write!(f, "{gap}[{}]", words.join("|"))?,
            }
        }
        if self.1 { f.write_str(" (exactly)") } else { Ok(()) }
    }
}

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
    known: BTreeSet<PathBuf>,
    rules: Vec<Rule>,
    names: HashMap<Vec<u8>, Bucket>,
    /// Keys compare by component, so `/usr//bin/./git` is `/usr/bin/git`.
    paths: HashMap<PathBuf, Bucket>,
    whereabouts: HashMap<String, Vec<Whereabouts>>,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    decision: Decision,
    force: Force,
    basis: Basis,
}

/// Rules about one program, by their first argument.
#[derive(Debug, Default)]
struct Bucket {
    bare: Vec<usize>,
    by_argument: HashMap<Vec<u8>, Vec<usize>>,
}

impl Commands {
    pub(crate) fn new(
        default: Settled<Decision>,
        said: Vec<Said<(Decision, Pattern)>>,
        whereabouts: Vec<Whereabouts>,
        place: Place,
    ) -> Self {
        let mut commands = Self {
            default,
            place,
            known: BTreeSet::new(),
            rules: Vec::with_capacity(said.len()),
            names: HashMap::new(),
            paths: HashMap::new(),
            whereabouts: HashMap::new(),
        };
        for Said { value: (decision, pattern), force, basis } in said {
            commands.insert(Rule { pattern, decision, force, basis });
        }
        for known in whereabouts {
            commands.whereabouts.entry(known.name.clone()).or_default().push(known);
        }
        commands
    }

    fn insert(&mut self, rule: Rule) {
        let number = self.rules.len();
        for program in rule.pattern.programs() {
            let bucket = match program.contains('/') {
                true => self.paths.entry(PathBuf::from(program)).or_default(),
                false => self.names.entry(program.clone().into_bytes()).or_default(),
            };
            match rule.pattern.0.get(1) {
                None => bucket.bare.push(number),
                Some(words) => {
                    for word in words {
                        bucket
                            .by_argument
                            .entry(word.clone().into_bytes())
                            .or_default()
                            .push(number);
                    }
                }
            }
        }
        self.rules.push(rule);
    }

    /// See [`crate::Policy::known_programs`].
    pub(crate) fn known_programs(&self) -> &BTreeSet<PathBuf> {
        &self.known
    }

    pub(crate) fn exec(&self, attempt: Exec, grants: &Grants) -> Verdict<Exec> {
        let (ruling, spoken) = self.judge(&attempt);
        let findings = knowledge::findings(&attempt, &self.place);
        let doubt = findings.iter().find(|finding| finding.asks_although(spoken));
        match ruling.decision {
            Decision::Allow if doubt.is_none() => {
                Verdict::Allow(Permit::new(attempt, ruling.basis.clone()))
            }
            Decision::Ask
                if ruling.by_default && doubt.is_none() && knowledge::reads_only(&attempt) =>
            {
                Verdict::Allow(Permit::new(attempt, Basis::built_in("commands: it only reads")))
            }
            Decision::Allow | Decision::Ask if grants.cover(&attempt) => {
                Verdict::Allow(Permit::new(attempt, Basis::granted()))
            }
            Decision::Allow | Decision::Ask => {
                let basis = match (ruling.decision, doubt) {
                    (Decision::Allow, Some(doubt)) => doubt.basis(),
                    _ => ruling.basis.clone(),
                };
                let question = Question::new(attempt, basis).with_findings(findings);
                Verdict::Ask(question.placed(None))
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
        let (ruling, _) = self.judge(attempt);
        let findings = knowledge::findings(attempt, &self.place);
        // Beside a rule that asks, one that allows says nothing.
        let open = ruling.decision == Decision::Allow
            || ruling.decision == Decision::Ask && ruling.by_default;
        open && !findings.iter().any(|finding| finding.asks_although(Some(Force::Choice)))
    }

    /// What the rules say, and how strong the strongest statement is that allows it
    /// in particular.
    fn judge(&self, attempt: &Exec) -> (Ruling<'_>, Option<Force>) {
        let names = Names::of(attempt);
        let mut about = Vec::new();
        let mut consider = |bucket: Option<&Bucket>, forged: bool, name: &[u8]| {
            let Some(bucket) = bucket else { return };
            let first =
                attempt.argv.get(1).and_then(|word| bucket.by_argument.get(word.as_bytes()));
            for number in bucket.bare.iter().chain(first.into_iter().flatten()) {
                let rule = &self.rules[*number];
                let applies =
                    rule.decision != Decision::Allow || (!forged && self.is_where(name, attempt));
                if applies && rule.pattern.arguments_match(&attempt.argv) {
                    about.push((rule.decision, rule.force, &rule.basis));
                }
            }
        };
        for path in names.paths() {
            consider(self.paths.get(path), false, b"");
        }
        for name in names.file() {
            consider(self.names.get(name), false, name);
        }
        // The caller may put any text there: it can bring a rule upon itself, not a permission.
        if let Some(name) = names.claimed {
            consider(self.names.get(name), true, name);
        }
        let allows = about.iter().filter(|(decision, ..)| *decision == Decision::Allow);
        let spoken = allows.map(|(_, force, _)| *force).max();
        (rule(&self.default, about), spoken)
    }

    /// Whether what runs is where every layer that knows this name says it is.
    fn is_where(&self, name: &[u8], attempt: &Exec) -> bool {
        let known = std::str::from_utf8(name).ok().and_then(|name| self.whereabouts.get(name));
        let Some(known) = known else { return true };
        let runs = attempt.program.as_deref().unwrap_or(&attempt.path);
        let in_layer = |layer| {
            let mut of_layer = known.iter().filter(|w| w.layer == layer);
            of_layer.any(|w| w.paths.iter().any(|path| path == runs))
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
        let programs = by.pattern.programs().join("` or `");
        Some(match by.pattern.0.len() {
            1 => format!("a program other than `{programs}`"),
            _ => format!("other `{programs}` commands"),
        })
    }
}

/// The names under which a rule may know what is about to run.
struct Names<'a> {
    path: &'a Path,
    program: Option<&'a Path>,
    /// The path that a relative `path` stands for.
    absolute: Option<PathBuf>,
    /// The last part of `argv[0]`: what the program is told it is called.
    claimed: Option<&'a [u8]>,
}

impl<'a> Names<'a> {
    fn of(exec: &'a Exec) -> Self {
        Self {
            path: &exec.path,
            program: exec.program.as_deref(),
            absolute: (!exec.path.is_absolute()).then(|| exec.cwd.join(&exec.path)),
            claimed: exec.argv.first().map(|word| last_part(word.as_bytes())),
        }
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(self.path), self.program, self.absolute.as_deref()].into_iter().flatten()
    }

    /// The names of the file that runs, as called and as resolved.
    fn file(&self) -> impl Iterator<Item = &'a [u8]> {
        let called = last_part(self.path.as_os_str().as_bytes());
        let resolved = self.program.map(|path| last_part(path.as_os_str().as_bytes()));
        [Some(called), resolved.filter(|name| *name != called)].into_iter().flatten()
    }

    fn any(&self) -> impl Iterator<Item = &'a [u8]> {
        self.file().chain(self.claimed)
    }
}

/// What follows the last `/`, slashes at the end aside.
fn last_part(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let path = &path[..end];
    path.iter().rposition(|b| *b == b'/').map_or(path, |slash| &path[slash + 1..])
}
