//! Everything that was said, and what of it is in force: the policy as a list, for
//! people who want to read it.
//!
//! INVARIANT: nothing that was said is missing. [`of`] takes all of [`Everything`]
//! apart by name, so that a new kind of statement does not compile before it has
//! its place here.

use std::cmp::Reverse;
use std::path::Path;

use crate::approvals::ApprovalsSaid;
use crate::basis::Basis;
use crate::filesystem::{Filesystem, PathRule};
use crate::layers::{Decision, Said, Settled};
use crate::network::Say;
use crate::policy::Everything;
use crate::review::ReviewSaid;

/// One statement of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is about, by the section that such settings are in: `network`.
    pub section: &'static str,
    /// What it says to what it is about; absent where it only sets something.
    pub decides: Option<Decision>,
    /// Its words, whose they are, and why.
    pub basis: Basis,
    /// Whether it is in force. A single value that gave way to another is not.
    /// Of statements that meet in one attempt the strictest decides; that does not
    /// show here.
    pub holds: bool,
}

/// Lists everything, section by section, single values before lists.
pub(crate) fn of(said: Everything, files: &Filesystem) -> Vec<Statement> {
    let Everything {
        workspace,
        write,
        hide: _,    // They are among those of `files`, with what is built in,
        protect: _, // and so are these.
        git,
        read,
        agent_write: _, // Among `write`, too.
        environment,
        tiers,
        network,
        hosts,
        data,
        egress,
        credentials,
        commands,
        tools,
        approvals,
        review,
        sync,
        limits,
        rules,
    } = said;
    let mut list = Vec::new();
    single(&mut list, "commands", commands, |decision| Some(*decision));
    each(&mut list, "commands", rules.commands, |rule| Some(rule.decision));
    single(&mut list, "tools", tools, |decision| Some(*decision));
    each(&mut list, "tools", rules.tools, |rule| Some(rule.decision));
    single(&mut list, "network", network, |decision| Some(*decision));
    single(&mut list, "network", data.web, |_| None);
    single(&mut list, "network", data.cache, |_| None);
    single(&mut list, "network", data.upload, |_| None);
    single(&mut list, "network", data.patterns, |_| None);
    each(&mut list, "network", egress.proxy, |_| None);
    each(&mut list, "network", egress.proxy_credential, |_| None);
    each(&mut list, "network", egress.publish, |_| None);
    each(&mut list, "network", hosts.into_iter().chain(rules.hosts), |about| match about.say {
        Say::Decide(decision) => Some(decision),
        _ => None,
    });
    each(&mut list, "credentials", credentials, |_| None);
    single(&mut list, "sandbox", workspace, |_| None);
    single(&mut list, "sandbox", git, |_| None);
    single(&mut list, "sandbox", read, |_| None);
    let tiers_in_force = tiers.iter().map(|tiers| tiers.basis.clone()).collect::<Vec<_>>();
    list.extend(tiers_in_force.into_iter().map(|basis| statement("sandbox", None, basis)));
    let writable = |path: &Path| files.write.iter().any(|rule| rule.path == path);
    list.extend(write.into_iter().map(|said| Statement {
        // A profile that only reads takes the person's own list back.
        holds: writable(&said.value),
        ..statement("sandbox", Some(Decision::Allow), said.basis)
    }));
    paths(&mut list, &files.hidden);
    paths(&mut list, &files.protected);
    each(&mut list, "sandbox", environment, |_| Some(Decision::Allow));
    of_approvals(&mut list, approvals);
    of_review(&mut list, review);
    single(&mut list, "record", sync, |_| None);
    for one in limits.0 {
        single(&mut list, "limits", one, |_| None);
    }
    list
}

fn of_approvals(list: &mut Vec<Statement>, said: ApprovalsSaid) {
    let ApprovalsSaid {
        patience,
        answers,
        reason,
        session_expiry,
        project_expiry,
        people,
        people_high,
        break_glass,
        notify,
        webhook,
    } = said;
    // Silence refuses, so the shorter is the stricter; and of yeses the shorter one.
    for shorter in [patience, session_expiry, project_expiry, break_glass] {
        single(list, "approvals", reversed(shorter), |_| None);
    }
    single(list, "approvals", reason, |_| None);
    single(list, "approvals", people, |_| None);
    single(list, "approvals", people_high, |_| None);
    each(list, "approvals", answers, |_| None);
    each(list, "approvals", notify, |_| None);
    each(list, "approvals", webhook, |_| None);
}

fn of_review(list: &mut Vec<Statement>, said: ReviewSaid) {
    let ReviewSaid { reviewer, timeout, attempts, breaker, guidance } = said;
    each(list, "review", reviewer, |_| None);
    single(list, "review", timeout, |_| None);
    single(list, "review", attempts, |_| None);
    single(list, "review", breaker, |_| None);
    each(list, "review", guidance, |_| None);
}

fn reversed<T>(said: Vec<Said<T>>) -> Vec<Said<Reverse<T>>> {
    let reverse =
        |said: Said<T>| Said { value: Reverse(said.value), force: said.force, basis: said.basis };
    said.into_iter().map(reverse).collect()
}

fn statement(section: &'static str, decides: Option<Decision>, basis: Basis) -> Statement {
    Statement { section, decides, basis, holds: true }
}

/// A single value: one statement of it holds.
fn single<T: Copy + Ord>(
    list: &mut Vec<Statement>,
    section: &'static str,
    said: Vec<Said<T>>,
    decides: impl Fn(&T) -> Option<Decision>,
) {
    let held = Settled::new(said.clone()).map(|settled| settled.basis().clone());
    list.extend(said.into_iter().map(|said| Statement {
        holds: held.as_ref() == Some(&said.basis),
        ..statement(section, decides(&said.value), said.basis)
    }));
}

fn each<T>(
    list: &mut Vec<Statement>,
    section: &'static str,
    said: impl IntoIterator<Item = Said<T>>,
    decides: impl Fn(&T) -> Option<Decision>,
) {
    let statements =
        said.into_iter().map(|said| statement(section, decides(&said.value), said.basis));
    list.extend(statements);
}

fn paths(list: &mut Vec<Statement>, rules: &[PathRule]) {
    list.extend(
        rules.iter().map(|rule| statement("sandbox", Some(Decision::Refuse), rule.basis.clone())),
    );
}
