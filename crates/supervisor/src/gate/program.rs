//! Programs at the gate: what is shown of one, and what a yes to it is bound to.

use std::ffi::OsString;
use std::sync::{MutexGuard, PoisonError};

use remit_audit::{AppendError, Kind, Text, Tried, event};
use remit_policy::{Basis, Exec, Grants, Layer, Policy, Refusal, Stdin, Verdict, show};

use super::{Gate, HashSet, Judged, Recorded, by, label};
use crate::process::Facts;

/// What a question shows besides what its attempt says.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Label and value.
    pub(crate) details: Vec<(String, String)>,
    /// SHA-256 in hex of everything that a yes is bound to; empty where the
    /// attempt says everything.
    pub(crate) digest: String,
    /// The same of what a yes for longer than once is bound to.
    pub(crate) lasting: String,
}

impl Gate {
    /// Judges a program whose surroundings have this digest.
    ///
    /// A yes for longer than once covers the same in the same surroundings: with
    /// other variables, another script or another file it is asked about anew.
    pub(crate) fn judge_bound(&self, exec: Exec, digest: &str) -> Verdict<Exec> {
        let policy = self.policy();
        match exec.clone().judge(&policy, &self.grants()) {
            Verdict::Allow(permit) if is_answer(permit.basis()) && !self.approved(digest) => {
                exec.judge(&policy, &Grants::default())
            }
            verdict => verdict,
        }
    }

    /// Writes down a program that a rule refuses. Of what was refused, too, the
    /// record says all that the verdict was about.
    pub(crate) fn refuse(
        &self,
        facts: &Facts,
        exec: &Exec,
        refusal: Refusal,
    ) -> Result<Judged<Exec>, AppendError> {
        let attempt = self.journal.attempt();
        let basis = refusal.basis.clone();
        self.write(exec.event(facts, event::Verdict::Refuse, basis, attempt))?;
        self.record_refusal::<Exec>(facts, attempt, exec.detail(), &refusal)?;
        Ok(Judged::Refused { attempt, refusal })
    }

    pub(super) fn approve(&self, digest: String) {
        if !digest.is_empty() {
            self.digests().insert(digest);
        }
    }

    fn approved(&self, digest: &str) -> bool {
        self.digests().contains(digest)
    }

    fn digests(&self) -> MutexGuard<'_, HashSet<String>> {
        // A set that only grows.
        self.approved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a person's answer decided, and not a rule.
pub(crate) fn is_answer(basis: &Basis) -> bool {
    basis.layer == Layer::Answer
}

impl Recorded for Exec {
    const TRIED: Tried = Tried::Exec;

    fn judge(self, policy: &Policy, grants: &Grants) -> Verdict<Self> {
        policy.exec(self, grants)
    }

    fn event(&self, facts: &Facts, verdict: event::Verdict, basis: Basis, attempt: u64) -> Kind {
        Kind::Exec {
            process: facts.event(),
            program: self.program.as_deref().map(Text::from),
            argv: self.detail(),
            cwd: Text::from(self.cwd.as_path()),
            environment: self
                .environment
                .iter()
                .map(|pair| Text::from(assignment(pair).as_os_str()))
                .collect(),
            circumstances: event::Circumstances {
                path: (self.program.as_ref() != Some(&self.path))
                    .then(|| Text::from(self.path.as_path())),
                copy_of: self.copy_of.iter().map(|path| Text::from(path.as_path())).collect(),
                stdin: self.stdin,
                fed_by: self.fed_by.as_deref().map(Text::from),
                feeds: self.feeds.as_deref().map(Text::from),
            },
            verdict,
            basis,
            attempt,
        }
    }

    fn detail(&self) -> Vec<Text> {
        self.argv.iter().map(|word| Text::from(word.as_os_str())).collect()
    }

    fn particulars(&self, facts: &Facts) -> Vec<(String, String)> {
        let program = self.program.as_deref().unwrap_or(&self.path);
        let mut told = vec![label("program", program.to_string_lossy())];
        if !self.copy_of.is_empty() {
            let same: Vec<_> = self.copy_of.iter().map(|path| path.to_string_lossy()).collect();
            told.push(label("same as", same.join(", ")));
        }
        told.push(label("in", self.cwd.to_string_lossy()));
        told.extend(by(facts));
        if !self.environment.is_empty() {
            let shown = |pair| format!("`{}`", show::line(&assignment(pair).to_string_lossy()));
            let variables: Vec<_> = self.environment.iter().map(shown).collect();
            told.push(label("variables", variables.join(", ")));
        }
        if let Some(writer) = &self.fed_by {
            told.push(label("reads from", writer.to_string_lossy()));
        } else if let Some(input) = input(self.stdin) {
            told.push(label("reads", input));
        }
        if let Some(reader) = &self.feeds {
            told.push(label("writes to", reader.to_string_lossy()));
        }
        told
    }
}

fn assignment((name, value): &(OsString, OsString)) -> OsString {
    let mut text = name.clone();
    text.push("=");
    text.push(value);
    text
}

/// What is on standard input, where that is worth a line.
fn input(stdin: Stdin) -> Option<&'static str> {
    match stdin {
        Stdin::Unknown | Stdin::Nothing | Stdin::Terminal => None,
        Stdin::File => Some("a file"),
        Stdin::Pipe => Some("a pipe"),
        Stdin::Socket => Some("a socket"),
    }
}
