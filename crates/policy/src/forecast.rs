//! What would be said to a command that is known only as words or as a text.
//!
//! The *kernel way* ([`Policy::exec`]) judges every program when it starts, by its
//! real arguments. The *string way* here has nothing but what somebody wrote: it
//! looks through wrappers and shell texts, judges all that it finds, and asks about
//! what it does not understand.
//!
//! INVARIANT: it is never weaker than the kernel way. What it allows starts only
//! what [`Policy::exec`] allows, as far as the commands themselves and not the
//! programs they run start it; what it understands without a [`Doubt`] is judged at
//! least as strictly as each of its parts.
//!
//! It does not look at files: a link, or another program found first by `PATH`, is
//! seen only by who asks ([`Policy::forecast_with`]).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attempt::{Exec, Stdin};
use crate::basis::Basis;
use crate::command::Commands;
use crate::grant::Grants;
use crate::knowledge::{Finding, is_telling};
use crate::policy::Policy;
use crate::shell::{self, Doubt, Input, Script};
use crate::verdict::{Permit, Question, Refusal, Verdict};
use crate::wrapper::{self, Hidden, Inner, Reader, Run};

/// What would be said, and to which parts.
#[derive(Debug)]
pub struct Forecast {
    /// The strictest verdict of all parts, about the whole.
    pub verdict: Verdict<Exec>,
    /// Everything that would start, as far as it is known, outer before inner.
    pub parts: Vec<Part>,
    /// What was not understood. Not empty only if the verdict is not to allow.
    pub doubts: Vec<Doubt>,
}

/// One command that would start, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub argv: Vec<OsString>,
    pub outcome: Outcome,
    pub basis: Basis,
}

/// A verdict without what it is about, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Allow,
    Ask,
    Refuse,
}

/// Where the program is that a command of this name runs in this directory: the
/// path that a shell finds, and the file that it leads to, links followed.
pub type Which<'a> = &'a dyn Fn(&OsStr, &Path) -> Option<(PathBuf, PathBuf)>;

impl Policy {
    /// Judges a command as words alone tell.
    pub fn forecast(&self, exec: Exec, grants: &Grants) -> Forecast {
        self.forecast_with(exec, grants, &|_, _| None)
    }

    /// Like [`forecast`](Self::forecast), with programs looked up.
    pub fn forecast_with(&self, exec: Exec, grants: &Grants, which: Which<'_>) -> Forecast {
        self.commands.forecast(exec, grants, which)
    }

    /// Judges the text of a shell that runs in this directory. The shell itself is
    /// not judged.
    pub fn forecast_text(&self, text: &str, cwd: &Path, grants: &Grants) -> Forecast {
        self.forecast_text_with(text, cwd, grants, &|_, _| None)
    }

    /// Like [`forecast_text`](Self::forecast_text), with programs looked up.
    pub fn forecast_text_with(
        &self,
        text: &str,
        cwd: &Path,
        grants: &Grants,
        which: Which<'_>,
    ) -> Forecast {
        let argv = ["sh", "-c", text].map(OsString::from).to_vec();
        let whole = Exec { path: "sh".into(), argv, cwd: cwd.into(), ..Exec::default() };
        let mut seen = Seen::new(&self.commands, grants, which);
        seen.script(&shell::read(text), &whole, 0);
        seen.concluded(whole)
    }
}

impl Commands {
    fn forecast(&self, exec: Exec, grants: &Grants, which: Which<'_>) -> Forecast {
        let mut seen = Seen::new(self, grants, which);
        seen.exec(exec.clone(), 0);
        seen.concluded(exec)
    }

    /// The verdict on a program about to start, and on what it runs without another
    /// `execve`: the strictest of them.
    pub(crate) fn exec(&self, exec: Exec, grants: &Grants) -> Verdict<Exec> {
        match wrapper::hidden(&exec) {
            None => self.alone(exec, grants),
            Some(inner) => self.seen_through(exec, inner, grants, 0),
        }
    }

    fn seen_through(
        &self,
        exec: Exec,
        inner: Inner,
        grants: &Grants,
        depth: usize,
    ) -> Verdict<Exec> {
        let mut seen = Seen::new(self, grants, &|_, _| None);
        seen.judged(&exec.argv, self.alone(exec.clone(), grants));
        seen.refuse_suspects(&exec, inner.suspects);
        seen.doubts.extend(inner.doubts);
        let applet = inner.hidden == Some(Hidden::Applet);
        for run in inner.runs {
            match run {
                Run::Text { text, by } => seen.text(&text, &by, 1),
                // A shell of its own may run everything within itself.
                Run::Command(inner) if applet => seen.exec(inner, 1),
                Run::Command(inner) => {
                    let argv = inner.argv.clone();
                    // What the loader's file is a copy of was said of what it loads.
                    let copies = exec.copy_of.iter().filter(|path| !wrapper::hides(path));
                    let inner = Exec { copy_of: copies.cloned().collect(), ..inner };
                    let verdict = match wrapper::hidden(&inner) {
                        None => self.alone(inner, grants),
                        Some(next) if depth < wrapper::DEEPEST => {
                            self.seen_through(inner, next, grants, depth + 1)
                        }
                        Some(_) => {
                            seen.doubt(&inner, TOO_DEEP);
                            self.alone(inner, grants)
                        }
                    };
                    seen.judged(&argv, verdict);
                }
            }
        }
        match seen.concluded(exec.clone()).verdict {
            // A yes to the whole was one to all within.
            Verdict::Ask(_) if grants.cover(&exec) => {
                Verdict::Allow(Permit::new(exec, Basis::granted()))
            }
            verdict => verdict,
        }
    }
}

const TOO_DEEP: &str = "too many commands stand in each other";

/// What was seen so far.
struct Seen<'a> {
    commands: &'a Commands,
    grants: &'a Grants,
    which: Which<'a>,
    /// The paths that rules know programs by, by their last part.
    paths: HashMap<&'a OsStr, Vec<&'a PathBuf>>,
    place: Option<Arc<str>>,
    parts: Vec<Part>,
    doubts: Vec<Doubt>,
    findings: Vec<Finding>,
    asked: Option<Basis>,
    refused: Option<Refusal>,
}

/// How many arguments of an unclear command are tried as a beginning of one.
const MOST_SUSPECTS: usize = 64;

/// From how many programs one is taken to be fed.
const MOST_FEEDERS: usize = 16;

impl<'a> Seen<'a> {
    fn new(commands: &'a Commands, grants: &'a Grants, which: Which<'a>) -> Self {
        let mut paths: HashMap<&OsStr, Vec<&PathBuf>> = HashMap::new();
        for path in commands.paths() {
            paths.entry(path.file_name().unwrap_or_default()).or_default().push(path);
        }
        Self {
            commands,
            grants,
            which,
            paths,
            place: None,
            parts: Vec::new(),
            doubts: Vec::new(),
            findings: Vec::new(),
            asked: None,
            refused: None,
        }
    }

    /// Judges a command and everything that it runs.
    fn exec(&mut self, mut exec: Exec, depth: usize) {
        if exec.program.is_none()
            && let Some((path, program)) = (self.which)(exec.path.as_os_str(), &exec.cwd)
        {
            exec = Exec { path, program: Some(program), ..exec };
        }
        self.judge(&exec);
        if wrapper::reads_script(&exec).is_some() {
            self.doubt(&exec, "what it runs is read from its standard input");
        }
        let inner = wrapper::inner(&exec);
        if depth >= wrapper::DEEPEST {
            if !inner.runs.is_empty() {
                self.doubt(&exec, TOO_DEEP);
            }
            return;
        }
        self.refuse_suspects(&exec, inner.suspects);
        self.doubts.extend(inner.doubts);
        for run in inner.runs {
            match run {
                Run::Command(inner) => {
                    if let Some(why) = shell::doubt_about_words(&inner.argv) {
                        self.doubt(&inner, why);
                    }
                    self.exec(inner, depth + 1);
                }
                Run::Text { text, by } => self.text(&text, &by, depth + 1),
            }
        }
    }

    fn text(&mut self, text: &OsStr, by: &Exec, depth: usize) {
        match text.to_str() {
            Some(text) => self.script(&shell::read(text), by, depth),
            None => {
                let text = text.to_string_lossy();
                self.doubts.push(Doubt::new(&text, "it is not UTF-8"));
                self.script(&shell::read(&text), by, depth);
            }
        }
    }

    /// Judges the commands of a text that runs where, and as, this attempt does.
    fn script(&mut self, script: &Script, by: &Exec, depth: usize) {
        self.doubts.extend(script.doubts.iter().cloned());
        let mut shell = Exec { copy_of: Vec::new(), program: None, ..by.clone() };
        for (name, value) in &script.variables {
            if self.minds(OsStr::new(name)) {
                self.doubts.push(Doubt::new(name, "it changes what later commands do"));
                wrapper::set(&mut shell, name.into(), value.into());
            }
        }
        let names: Vec<PathBuf> = script.commands.iter().map(innermost).collect();
        for (number, simple) in script.commands.iter().enumerate() {
            let mut exec = Exec {
                path: PathBuf::from(&simple.argv[0]),
                argv: simple.argv.iter().map(OsString::from).collect(),
                feeds: names.get(simple.feeds.start).filter(|_| !simple.feeds.is_empty()).cloned(),
                ..shell.clone()
            };
            exec.feeds = exec.feeds.or_else(|| by.feeds.clone());
            for (name, value) in &simple.assignments {
                wrapper::set(&mut exec, name.into(), value.into());
            }
            self.input(&mut exec, simple, depth);
            for directory in simple.directories.iter() {
                let cwd = match directory.as_os_str().is_empty() {
                    true => by.cwd.clone(),
                    false => shell::join(&by.cwd, directory),
                };
                let exec = Exec { cwd, ..exec.clone() };
                for fed_by in self.feeders(script, number, &names) {
                    let fed_by = fed_by.or_else(|| by.fed_by.clone());
                    self.exec(Exec { fed_by, ..exec.clone() }, depth);
                }
            }
        }
    }

    /// Whether a verdict may depend on this variable, so that [`Exec::environment`]
    /// has it.
    fn minds(&self, variable: &OsStr) -> bool {
        is_telling(variable) || self.commands.minds(variable)
    }

    /// Sets what a command reads, and judges that if it is a text that it may run.
    fn input(&mut self, exec: &mut Exec, simple: &shell::Simple, depth: usize) {
        exec.stdin = match &simple.input {
            Input::Inherited => exec.stdin,
            Input::Nothing => Stdin::Nothing,
            Input::File | Input::Text(_) => Stdin::File,
            Input::Pipe => Stdin::Pipe,
        };
        let Input::Text(text) = &simple.input else { return };
        if !wrapper::is_reader(exec) {
            self.doubts
                .push(Doubt::new(&simple.argv.join(" "), "it may run the text that it reads"));
        }
        if wrapper::reads_script(exec) == Some(Reader::Shell) && depth < wrapper::DEEPEST {
            self.script(&shell::read(text), exec, depth + 1);
        }
    }

    /// The programs that a command may be fed by: the one right before it in its
    /// pipeline, and for one that runs what it reads all before it, as those in
    /// between may pass on what they read.
    fn feeders(
        &mut self,
        script: &Script,
        number: usize,
        names: &[PathBuf],
    ) -> Vec<Option<PathBuf>> {
        let simple = &script.commands[number];
        let mut found: Vec<Option<PathBuf>> = Vec::new();
        let mut stage = simple.fed_by.clone();
        while !stage.is_empty() {
            for name in &names[stage.clone()] {
                if found.len() == MOST_FEEDERS {
                    self.doubts
                        .push(Doubt::new(&simple.argv.join(" "), "too many commands feed it"));
                    return found;
                }
                if !found.iter().flatten().any(|known| known == name) {
                    found.push(Some(name.clone()));
                }
            }
            let first = stage.start;
            if first >= number {
                break;
            }
            stage = script.commands[first].fed_by.clone();
        }
        match found.is_empty() {
            true => vec![None],
            false => found,
        }
    }

    /// Judges one program. Where a name may be that of a program which rules know by
    /// its path, it is judged as that as well, for what they forbid or ask.
    fn judge(&mut self, exec: &Exec) {
        let mut exec = exec.clone();
        exec.environment.retain(|(name, _)| self.minds(name));
        self.judged(&exec.argv, self.commands.alone(exec.clone(), self.grants));
        if exec.program.is_some() {
            return;
        }
        let name = exec.path.file_name().unwrap_or_default();
        for path in self.paths.get(name).cloned().unwrap_or_default() {
            let exec = Exec { program: Some(path.clone()), ..exec.clone() };
            let verdict = self.commands.alone(exec.clone(), self.grants);
            if !matches!(verdict, Verdict::Allow(_)) {
                self.judged(&exec.argv, verdict);
            }
        }
    }

    fn judged(&mut self, argv: &[OsString], verdict: Verdict<Exec>) {
        let (outcome, basis) = match verdict {
            Verdict::Allow(permit) => {
                if self.parts.is_empty() {
                    self.place = permit.place().cloned();
                }
                (Outcome::Allow, permit.basis().clone())
            }
            Verdict::Ask(question) => {
                for finding in question.findings() {
                    if !self.findings.contains(finding) {
                        self.findings.push(finding.clone());
                    }
                }
                self.asked.get_or_insert_with(|| question.basis().clone());
                (Outcome::Ask, question.basis().clone())
            }
            Verdict::Refuse(refusal) => {
                let basis = refusal.basis.clone();
                self.refused.get_or_insert(refusal);
                (Outcome::Refuse, basis)
            }
        };
        self.parts.push(Part { argv: argv.to_vec(), outcome, basis });
    }

    /// Refuses if any of the words from here on begins a command that is refused.
    fn refuse_suspects(&mut self, exec: &Exec, suspects: Option<usize>) {
        let Some(first) = suspects else { return };
        for at in (first..exec.argv.len()).take(MOST_SUSPECTS) {
            let argv = exec.argv[at..].to_vec();
            let path = PathBuf::from(&argv[0]);
            let exec = Exec { path, argv, program: None, copy_of: Vec::new(), ..exec.clone() };
            let verdict = self.commands.alone(exec.clone(), self.grants);
            if matches!(verdict, Verdict::Refuse(_)) {
                self.judged(&exec.argv, verdict);
            }
        }
    }

    fn doubt(&mut self, exec: &Exec, why: &'static str) {
        let words: Vec<_> = exec.argv.iter().map(|word| word.to_string_lossy()).collect();
        self.doubts.push(Doubt::new(&words.join(" "), why));
    }

    fn concluded(mut self, whole: Exec) -> Forecast {
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.risk));
        let doubt = self.doubts.first().map(doubted);
        let allowed = self.parts.first().map(|part| part.basis.clone());
        let verdict = match (self.refused, self.asked.or(doubt)) {
            (Some(refusal), _) => Verdict::Refuse(refusal),
            (None, Some(basis)) => {
                let question = Question::new(whole, basis).with_findings(self.findings);
                Verdict::Ask(question.placed(self.place))
            }
            (None, None) => {
                let nothing = || Basis::built_in("commands: it starts nothing");
                let permit = Permit::new(whole, allowed.unwrap_or_else(nothing));
                Verdict::Allow(permit.placed(self.place))
            }
        };
        Forecast { verdict, parts: self.parts, doubts: self.doubts }
    }
}

/// Why there is a question about what was not understood.
fn doubted(doubt: &Doubt) -> Basis {
    let mut basis = Basis::built_in("commands: not fully understood");
    basis.justification = Some(format!("`{}`: {}", doubt.what, doubt.why));
    basis
}

/// The name of the program that a command runs behind all wrappers.
fn innermost(simple: &shell::Simple) -> PathBuf {
    let argv: Vec<OsString> = simple.argv.iter().map(OsString::from).collect();
    wrapper::innermost(&Exec { path: PathBuf::from(&simple.argv[0]), argv, ..Exec::default() })
}
