//! The policy of a running session follows its files.
//!
//! A change takes effect once it has rested for a moment, so that a file that is
//! just being written is not taken for one whose statements are gone. What it
//! takes effect on: commands, the network, what credentials are bound to, how long
//! a question waits. The boundary itself stands as it was built, and the record is
//! kept as it was begun; there a change holds from the next session on.
//!
//! What cannot be read or does not hold together changes nothing: the policy until
//! then stays in force.

mod look;
mod standing;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use remit_audit::{Kind, Text};
use remit_policy::{AgentNeeds, Day, Place, Policy, PolicyError, PolicyText, Resource, Statement};
use remit_proxy::Names;
use sha2::{Digest as _, Sha256};

use crate::files::{self, Loaded, Places};
use crate::gate::Gate;
use crate::plan;
use crate::secrets::{self, Bindings};
use crate::session::RunError;
use look::Look;
pub(crate) use standing::Standing;

/// How often the files are looked at: about ten system calls. A change is read when
/// two looks in a row saw the same, so it takes effect within half a second.
const PAUSE: Duration = Duration::from_millis(250);

/// How many names may be looked up and not used before it is written down.
const MANY_NAMES: u64 = 1000;

/// What policy texts are compiled for. It stays the same for a session.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    pub(crate) profile: Option<String>,
    pub(crate) needs: AgentNeeds,
    pub(crate) place: Place,
    /// Names that Git runs programs from, as its settings say.
    pub(crate) hooks: Vec<PathBuf>,
}

impl Purpose {
    /// The policy that the texts amount to here.
    pub(crate) fn compile(&self, texts: &[PolicyText]) -> Result<Policy, PolicyError> {
        let Self { profile, needs, place, hooks } = self;
        let mut policy = Policy::compile_on(texts, profile.as_deref(), needs, place, today())?;
        policy.follow(place, |program| program.canonicalize().ok());
        for name in hooks {
            let reason = "Git runs these outside the boundary, as core.hooksPath says";
            policy.protect(name.clone(), reason);
        }
        Ok(policy)
    }
}

impl Purpose {
    /// Everything that the texts of this policy say here, and what of it is in force.
    pub(crate) fn statements(
        &self,
        policy: &Policy,
        texts: &[PolicyText],
    ) -> Result<Vec<Statement>, PolicyError> {
        policy.statements(texts, &self.needs, &self.place)
    }
}

/// The day it is, as the machine's clock has it. A clock before 1970 is on its
/// first day.
pub(crate) fn today() -> Day {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Day::of_seconds(since.map_or(0, |since| since.as_secs()))
}

/// What the policy hashes to: SHA-256 in lower-case hexadecimal.
pub(crate) fn digest(policy: &Policy) -> String {
    Sha256::digest(policy.canonical()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where policy comes from, and what is made of it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) places: Places,
    pub(crate) purpose: Purpose,
    /// As they were read for the policy that the session starts with.
    pub(crate) texts: Vec<PolicyText>,
    pub(crate) bindings: Bindings,
}

/// Follows the files of one session.
#[derive(Debug)]
pub(crate) struct Live {
    gate: Arc<Gate>,
    source: Source,
    /// The policy that the boundary was built by.
    start: Arc<Policy>,
    /// What was last said to hold from the next session on.
    later: Vec<&'static str>,
    /// Why the last change did not take effect.
    failed: Option<String>,
    /// Whether a person's terminal is taken; then words wait for the end.
    has_terminal: bool,
    unsaid: Vec<String>,
    has_many_names: bool,
}

impl Live {
    pub(crate) fn new(gate: &Arc<Gate>, source: Source, has_terminal: bool) -> Self {
        Self {
            gate: Arc::clone(gate),
            source,
            start: gate.policy(),
            later: Vec::new(),
            failed: None,
            has_terminal,
            unsaid: Vec::new(),
            has_many_names: false,
        }
    }

    /// Looks until the other end of `stop` is dropped.
    pub(crate) fn watch(&mut self, names: &Names, stop: &Receiver<()>) {
        // The first look finds what changed since the texts were read.
        let (mut last, mut followed) = (None, None);
        while stop.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
            let look = self.look();
            let rests = last.as_ref() == Some(&look);
            if rests && followed.as_ref() != Some(&look) && self.follow() && self.look() == look {
                followed = Some(look.clone());
            }
            last = Some(look);
            self.gate.tend();
            self.count(names);
        }
    }

    /// Says what waited for the end of the session.
    pub(crate) fn tell(&mut self) {
        self.has_terminal = false;
        for words in std::mem::take(&mut self.unsaid) {
            self.say(words);
        }
    }

    /// The files, and the day, on which it depends which rules hold.
    fn look(&self) -> (Look, Day) {
        (Look::at(&self.source.places, &self.source.purpose.place.workspace), today())
    }

    /// Reads the files and puts what they amount to in force. Returns whether it
    /// would come to the same again: what could not be read may be readable soon.
    fn follow(&mut self) -> bool {
        let (loaded, policy) = match self.read() {
            Ok(read) => read,
            Err(error) => {
                let is_final = !matches!(error, RunError::Load(_));
                self.keep(&error);
                return is_final;
            }
        };
        self.failed = None;
        let before = self.gate.policy();
        if policy.canonical() != before.canonical()
            || policy.resting_rules() != before.resting_rules()
        {
            self.change(loaded.texts, policy);
        }
        true
    }

    fn read(&self) -> Result<(Loaded, Policy), RunError> {
        let Source { places, purpose, .. } = &self.source;
        let workspace = &purpose.place.workspace;
        let loaded = files::load(places, workspace)?;
        for file in &loaded.trusted {
            if let Some(root) = plan::in_reach(self.start.filesystem(), workspace, file) {
                return Err(RunError::PolicyInReach { file: file.clone(), root });
            }
        }
        let policy = purpose.compile(&loaded.texts)?;
        Ok((loaded, policy))
    }

    fn change(&mut self, texts: Vec<PolicyText>, policy: Policy) {
        let later = later(&self.start, &policy);
        let files = differing(&self.source.texts, &texts);
        let credentials = policy.credentials().to_vec();
        let sections = later.iter().map(|section| (*section).to_owned()).collect();
        if self.gate.change(policy, files, sections).is_err() {
            // The record ends the session; nothing was changed.
            return;
        }
        self.source.bindings.replace(credentials);
        self.source.texts = texts;
        if later != self.later && !later.is_empty() {
            self.say(format!(
                "the policy was changed; what it says about {} takes effect with the next session",
                later.join(", ")
            ));
        }
        self.later = later;
    }

    /// Says that a change does not take effect, once.
    fn keep(&mut self, error: &RunError) {
        let why = chain(error);
        if self.failed.as_ref() == Some(&why) {
            return;
        }
        // A record that fails here ends the session.
        let _ = self.gate.journal.write(Kind::Degraded {
            what: "the policy as it was changed".to_owned(),
            why: why.clone(),
        });
        self.say(format!("the policy was changed, and stays in force as it was: {why}"));
        self.failed = Some(why);
    }

    fn count(&mut self, names: &Names) {
        let looked_up = names.lookups();
        if !self.has_many_names && looked_up.distinct - looked_up.connected > MANY_NAMES {
            self.has_many_names = true;
            let _ = self.gate.journal.write(lookups(names));
        }
    }

    fn say(&mut self, words: String) {
        if self.has_terminal {
            self.unsaid.push(words);
        } else {
            let _ = writeln!(std::io::stderr().lock(), "remit: {words}");
        }
    }
}

/// The event that tells how many names were looked up.
pub(crate) fn lookups(names: &Names) -> Kind {
    let remit_proxy::Lookups { asked, distinct, connected } = names.lookups();
    Kind::Lookups { asked, distinct, connected }
}

/// The sections of a policy that a running session keeps as they were, and that
/// differ from those it started with.
fn later(start: &Policy, now: &Policy) -> Vec<&'static str> {
    let files = |policy: &Policy| {
        let files = policy.filesystem().clone();
        let paths = [files.write, files.hidden, files.protected]
            .map(|rules| rules.into_iter().map(|rule| rule.path).collect::<Vec<_>>());
        (files.workspace, files.git, paths, policy.tiers().allowed.clone())
    };
    let limits = |policy: &Policy| Resource::ALL.map(|it| policy.limits().of(it).most);
    let was_read = |it| start.credentials().iter().any(|read| secrets::is_same(read, it));
    let new_ssh = || now.ssh_hosts().iter().any(|host| !start.ssh_hosts().contains(host));
    let outlets = |policy: &Policy| {
        let approvals = policy.approvals();
        (approvals.webhook.clone(), approvals.notify)
    };
    let sections = [
        ("approvals.webhook and approvals.notify", outlets(start) != outlets(now)),
        ("sandbox", files(start) != files(now)),
        ("limits", limits(start) != limits(now)),
        ("sandbox.environment", start.environment() != now.environment()),
        ("record", start.record() != now.record()),
        ("credentials", !now.credentials().iter().all(was_read)),
        ("network.inspect", now.inspects_anything() && !start.inspects_anything()),
        ("network.ssh", new_ssh()),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
}

/// The files that only one side has, or that say something else.
fn differing(before: &[PolicyText], after: &[PolicyText]) -> Vec<Text> {
    let missing = |side: &[PolicyText], text: &&PolicyText| !side.contains(text);
    let gone = before.iter().filter(|text| missing(after, text));
    let new = after.iter().filter(|text| missing(before, text));
    let mut files: Vec<&str> = gone.chain(new).map(|text| text.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(Text::from).collect()
}

/// An error with everything that caused it.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests;
