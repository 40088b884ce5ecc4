//! Which answers there are, who must give them, and how long they hold.
//!
//! Every limit is the strictest of what the system requires, what a project asks
//! for, and what the user chose. Breaking the glass lifts limits on answers for a
//! while, but only those that bind no more than whoever permits breaking it: the
//! user's own permission lifts nothing that the system requires.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::basis::Layer;
use crate::credentials::{Credential, CredentialUse};
use crate::error::PolicyError;
use crate::grant::Choice;
use crate::layers::{Force, Said, Settled};

/// How questions are asked, and what may be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalSettings {
    /// How long a question waits before silence is a no: one second to a day.
    pub patience: Duration,
    pub limits: AnswerLimits,
    /// The limits that are left while the glass is broken.
    pub in_break_glass: AnswerLimits,
    /// How long a yes for the session holds, if not until the session ends.
    pub session_expiry: Option<Duration>,
    /// How long a yes for a project holds: whole days.
    pub project_expiry: Duration,
    /// The longest that limits may be lifted for; none: they may not.
    pub break_glass: Option<Duration>,
    pub notify: Notify,
    pub webhook: Option<Webhook>,
}

/// What counts as an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// The yeses that exist. A no always does.
    pub yeses: BTreeSet<Choice>,
    /// Whether a yes needs words.
    pub reason: bool,
    /// How many different people must say yes: 1 to 5.
    pub people: u8,
    /// How many, where only people may say it. Counts where it is more.
    pub people_high: u8,
}

impl AnswerLimits {
    /// How many different people must say yes.
    pub fn people_for(&self, needs_a_person: bool) -> u8 {
        if needs_a_person { self.people.max(self.people_high) } else { self.people }
    }
}

/// Whether a desktop says that a question waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notify {
    Off,
    Desktop,
}

/// Where questions are sent, and answers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `https://…`, or `http://` to loopback.
    pub url: String,
    /// The credential whose secret signs what is sent and what comes back.
    pub credential: String,
    /// How long one request may take, an answer that is held open aside.
    pub timeout: Duration,
    /// Whether the names in its answers count as people of their own. Else
    /// whoever answers there counts as the person whose session it is: a webhook
    /// of the user's own is no second person where the system wants one.
    pub vouches: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct WebhookSaid {
    pub(crate) url: String,
    pub(crate) credential: String,
    pub(crate) timeout: Duration,
}

/// What was said about each, in order of preference.
#[derive(Debug, Default)]
pub(crate) struct ApprovalsSaid {
    pub(crate) patience: Vec<Said<Duration>>,
    pub(crate) answers: Vec<Said<BTreeSet<Choice>>>,
    pub(crate) reason: Vec<Said<bool>>,
    pub(crate) session_expiry: Vec<Said<Duration>>,
    pub(crate) project_expiry: Vec<Said<Duration>>,
    pub(crate) people: Vec<Said<u8>>,
    pub(crate) people_high: Vec<Said<u8>>,
    pub(crate) break_glass: Vec<Said<Duration>>,
    pub(crate) notify: Vec<Said<Notify>>,
    pub(crate) webhook: Vec<Said<WebhookSaid>>,
}

/// The built-in profile states every single value.
const COMPLETE: &str = "the built-in `default` profile states every single value";

impl ApprovalsSaid {
    pub(crate) fn add(&mut self, more: Self) {
        self.patience.extend(more.patience);
        self.answers.extend(more.answers);
        self.reason.extend(more.reason);
        self.session_expiry.extend(more.session_expiry);
        self.project_expiry.extend(more.project_expiry);
        self.people.extend(more.people);
        self.people_high.extend(more.people_high);
        self.break_glass.extend(more.break_glass);
        self.notify.extend(more.notify);
        self.webhook.extend(more.webhook);
    }

    /// # Errors
    ///
    /// [`PolicyError`] if the webhook's credential is not there, or is not one
    /// that is a plain secret.
    pub(crate) fn settle(
        mut self,
        credentials: &[Credential],
    ) -> Result<ApprovalSettings, PolicyError> {
        let webhook = self.webhook(credentials)?;
        let longest = shortest(&self.break_glass);
        // A zero is `off`.
        let permits = self.break_glass.iter().filter(|said| !said.value.is_zero());
        let lifts = permits.map(|said| said.force).max();
        let limits = self.limits(|_| true);
        let in_break_glass = match lifts {
            Some(lifts) if !longest.is_zero() => {
                self.limits(|force| force == Force::Fallback || force > lifts)
            }
            _ => limits.clone(),
        };
        let notify = Settled::new(std::mem::take(&mut self.notify)).expect(COMPLETE).value();
        Ok(ApprovalSettings {
            patience: shortest(&self.patience),
            // Breaking the glass has a reason of its own, and lasts.
            in_break_glass: AnswerLimits { reason: limits.reason, ..in_break_glass },
            limits,
            session_expiry: Some(shortest(&self.session_expiry)).filter(|it| *it != Duration::MAX),
            project_expiry: shortest(&self.project_expiry),
            break_glass: Some(longest).filter(|longest| !longest.is_zero()),
            notify,
            webhook,
        })
    }

    /// The limits by those statements whose force counts.
    fn limits(&self, counts: impl Fn(Force) -> bool) -> AnswerLimits {
        AnswerLimits {
            yeses: common(self.answers.iter().filter(|said| counts(said.force))),
            reason: greatest(self.reason.iter().filter(|said| counts(said.force))),
            people: greatest(self.people.iter().filter(|said| counts(said.force))),
            people_high: greatest(self.people_high.iter().filter(|said| counts(said.force))),
        }
    }

    /// The system's before anybody else's.
    fn webhook(&mut self, credentials: &[Credential]) -> Result<Option<Webhook>, PolicyError> {
        for said in &self.webhook {
            let name = &said.value.credential;
            let reason = match credentials.iter().find(|one| one.name == *name) {
                Some(Credential { uses: CredentialUse::Bearer, .. }) => continue,
                Some(_) => format!("a webhook signs with a `bearer` credential, not `{name}`"),
                None => format!("there is no `[credentials.{name}]`"),
            };
            return Err(PolicyError::about(&said.basis, reason));
        }
        let said = std::mem::take(&mut self.webhook);
        let chosen = said.iter().find(|said| said.basis.layer == Layer::System).or(said.first());
        let quorum = self.people.iter().chain(&self.people_high).filter(|said| said.value > 1);
        let wanted = quorum.map(|said| said.force).max();
        Ok(chosen.map(|Said { value: WebhookSaid { url, credential, timeout }, force, .. }| {
            Webhook {
                url: url.clone(),
                credential: credential.clone(),
                timeout: *timeout,
                vouches: Some(*force) >= wanted,
            }
        }))
    }
}

/// Silence refuses and what ends is asked again, so the shorter is the stricter.
fn shortest(said: &[Said<Duration>]) -> Duration {
    let reversed = said.iter().map(|said| Said {
        value: Reverse(said.value),
        force: said.force,
        basis: said.basis.clone(),
    });
    Settled::new(reversed.collect()).expect(COMPLETE).value().0
}

fn greatest<'s, T: Copy + Ord + 's>(said: impl Iterator<Item = &'s Said<T>>) -> T {
    Settled::new(said.cloned().collect()).expect(COMPLETE).value()
}

/// The first list that is not a project's, and of it what every list of the system
/// and the project has as well.
fn common<'s>(said: impl Iterator<Item = &'s Said<BTreeSet<Choice>>>) -> BTreeSet<Choice> {
    let said: Vec<_> = said.collect();
    let chosen = said.iter().find(|said| said.force != Force::Allegation).expect(COMPLETE);
    let binding = |said: &&&Said<BTreeSet<Choice>>| {
        matches!(said.force, Force::Requirement | Force::Allegation)
    };
    let mut yeses = chosen.value.clone();
    for bound in said.iter().filter(binding) {
        yeses.retain(|yes| bound.value.contains(yes));
    }
    yeses
}
