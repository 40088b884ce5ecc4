//! From answers to rules: the narrowest rules that would have answered what was
//! asked and was answered yes.
//!
//! INVARIANT: a proposal changes nothing else. A rule is kept only if, with it and
//! the rules kept before, every attempt of the record that was not answered yes is
//! judged as it was, and at least one question more would not have been asked. What
//! was refused once is never proposed.
//!
//! It proposes; a person reads, and decides. What it cannot see is what the record
//! does not hold: a rule names a beginning, and permits words that follow it and
//! never came.

mod broad;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::attempt::{Connect, Exec};
use crate::error::PolicyError;
use crate::filesystem::Place;
use crate::grant::Grants;
use crate::layers::Decision;
use crate::past::{Ruled, Tried};
use crate::policy::Policy;
use crate::request::Request;
use crate::show;

pub use broad::{runs_another, too_broad};

/// How an attempt of the past came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The policy allowed it by itself.
    Through,
    /// An earlier yes covered it.
    Covered,
    /// It was asked about, and answered yes.
    Yes,
    /// The policy, a person or nobody's answer refused it.
    No,
}

/// Rules, and what no rule was found for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    pub rules: Vec<Proposed>,
    pub left: Vec<Left>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// A call of the rule language.
    pub text: String,
    /// How many questions it would have answered.
    pub answers: usize,
    /// What these were about, each once.
    pub about: Vec<String>,
}

/// Something that was answered yes and will be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub what: String,
    pub why: String,
    /// How often it was asked.
    pub questions: usize,
}

/// Commands that differ in their last words are brought under one rule from this
/// many on.
const SEVERAL: usize = 3;

/// Proposes rules for what was answered yes. `compile` gives the policy that holds
/// with the text of some rules added to the person's own, and must succeed for "".
///
/// The same attempts in the same order come to the same proposal.
///
/// # Errors
///
/// If the policy does not hold together without any of them.
pub fn propose(
    past: &[(Tried, Came)],
    place: &Place,
    compile: impl Fn(&str) -> Result<Policy, PolicyError>,
) -> Result<Proposal, PolicyError> {
    let before = compile("")?;
    let mut seen = gather(past, &before);
    let mut candidates = Vec::new();
    for one in &mut seen {
        one.obstacle = one.obstacle(&before, place);
    }
    let open: Vec<&Tried> = seen
        .iter()
        .filter(|one| one.asked > 0 && one.obstacle.is_none())
        .map(|one| &one.tried)
        .collect();
    candidates.extend(commands(&open));
    candidates.extend(connections(&open));
    candidates.extend(requests(&open));
    Ok(keep(seen, candidates, compile))
}

/// One attempt with everything that became of it.
struct Seen {
    tried: Tried,
    /// How often it was asked about and answered yes.
    asked: usize,
    refused: bool,
    covered: bool,
    /// What the policy says to it without any proposal.
    before: Ruled,
    obstacle: Option<String>,
}

fn gather(past: &[(Tried, Came)], policy: &Policy) -> Vec<Seen> {
    let mut numbers: HashMap<&Tried, usize> = HashMap::new();
    let mut seen: Vec<Seen> = Vec::new();
    for (tried, came) in past {
        let number = *numbers.entry(tried).or_insert_with(|| {
            let before = tried.judge(policy, &Grants::default());
            let (asked, refused, covered) = (0, false, false);
            seen.push(Seen {
                tried: tried.clone(),
                asked,
                refused,
                covered,
                before,
                obstacle: None,
            });
            seen.len() - 1
        });
        let one = &mut seen[number];
        match came {
            Came::Through => {}
            Came::Covered => one.covered = true,
            Came::Yes => one.asked += 1,
            Came::No => one.refused = true,
        }
    }
    seen
}

impl Seen {
    /// Whether a rule may allow it.
    fn is_wanted(&self) -> bool {
        (self.asked > 0 || self.covered) && !self.refused
    }

    /// Why no rule is to be looked for, where that is clear beforehand.
    fn obstacle(&self, policy: &Policy, place: &Place) -> Option<String> {
        if self.refused {
            return Some("it was refused as well".to_owned());
        }
        match &self.tried {
            Tried::Exec(exec) => command_obstacle(exec, policy, place),
            Tried::Request(request) if request.methods().len() > 1 => {
                Some("it asks to be taken for another method".to_owned())
            }
            _ => None,
        }
    }
}

fn command_obstacle(exec: &Exec, policy: &Policy, place: &Place) -> Option<String> {
    let Some(program) = &exec.program else {
        return Some("which file ran is not known".to_owned());
    };
    if !exec.environment.is_empty() {
        let names = exec.environment.iter().map(|(name, _)| show::line(&name.to_string_lossy()));
        let names = names.collect::<Vec<_>>().join("`, `");
        return Some(format!("variables that change what it does were set: `{names}`"));
    }
    if policy.filesystem().is_writable(program, place) {
        return Some(
            "the session can write the program, so it is whatever the session makes of it"
                .to_owned(),
        );
    }
    let Some(words) = words(exec) else {
        return Some("not all of its words are text".to_owned());
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    too_broad(&words).map(str::to_owned)
}

/// The program's path and the arguments, as the words of a rule.
fn words(exec: &Exec) -> Option<Vec<String>> {
    let program = exec.program.as_ref()?.to_str().filter(|path| path.starts_with('/'))?;
    let arguments = exec.argv.get(1..).unwrap_or_default().iter();
    let arguments = arguments.map(|word| word.to_str().map(str::to_owned));
    std::iter::once(Some(program.to_owned())).chain(arguments).collect()
}

/// Rules about beginnings that several commands share, then about each command.
fn commands(open: &[&Tried]) -> Vec<String> {
    let all: BTreeSet<Vec<String>> = open
        .iter()
        .filter_map(|tried| match tried {
            Tried::Exec(exec) => words(exec),
            _ => None,
        })
        .collect();
    let mut shared = BTreeMap::new();
    let mut programs: BTreeMap<&str, BTreeSet<&[String]>> = BTreeMap::new();
    for argv in &all {
        programs.entry(&argv[0]).or_default().insert(argv);
    }
    programs.into_values().for_each(|of| share(&of, 1, &mut shared));
    let general = shared.iter().map(|(beginning, example)| text::command(beginning, example));
    let each = all.iter().map(|argv| text::command(argv, argv));
    general.chain(each).collect()
}

/// Finds the longest beginnings that several commands share, of which all agree in
/// the first `length` words, with an example of each.
fn share<'a>(
    argvs: &BTreeSet<&'a [String]>,
    length: usize,
    found: &mut BTreeMap<&'a [String], &'a [String]>,
) {
    let mut groups: BTreeMap<Option<&String>, BTreeSet<&[String]>> = BTreeMap::new();
    for argv in argvs {
        groups.entry(argv.get(length)).or_default().insert(argv);
    }
    let (deeper, rest): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(word, of)| word.is_some() && of.len() >= SEVERAL);
    for (_, of) in deeper {
        share(&of, length + 1, found);
    }
    let rest: BTreeSet<&[String]> = rest.into_iter().flat_map(|(_, of)| of).collect();
    let Some(example) = rest.iter().next() else { return };
    let beginning = &example[..length];
    // Where options differ they are not the same deed on another thing, and where
    // the first word is an option nothing says which deed it is.
    let operands = rest.iter().all(|argv| argv[length..].iter().all(|word| !word.starts_with('-')));
    let names_a_deed = beginning.get(1).is_some_and(|word| !word.starts_with('-'));
    let plain: Vec<&str> = beginning.iter().map(String::as_str).collect();
    if rest.len() >= SEVERAL && operands && names_a_deed && too_broad(&plain).is_none() {
        found.insert(beginning, example);
    }
}

fn connections(open: &[&Tried]) -> Vec<String> {
    let hosts: BTreeSet<(String, u16)> = open
        .iter()
        .filter_map(|tried| match tried {
            Tried::Connect(connect) => Some((connect.to_string(), u16::from(connect.port))),
            _ => None,
        })
        .collect();
    hosts.iter().map(|(there, port)| text::host(there, *port)).collect()
}

/// One rule for each path, with the methods that were permitted there.
fn requests(open: &[&Tried]) -> Vec<String> {
    let mut paths: BTreeMap<(String, u16, &str), BTreeSet<&str>> = BTreeMap::new();
    for tried in open {
        let Tried::Request(request) = tried else { continue };
        let Request { connect, method, target, .. } = request.as_ref();
        let Connect { port, .. } = connect;
        let place = (connect.to_string(), u16::from(*port), target.path());
        paths.entry(place).or_default().insert(method.as_str());
    }
    paths
        .iter()
        .map(|((there, port, path), methods)| text::request(there, *port, path, methods))
        .collect()
}

/// Keeps, in order, each candidate that answers a question more and changes nothing
/// else.
fn keep(
    seen: Vec<Seen>,
    candidates: Vec<String>,
    compile: impl Fn(&str) -> Result<Policy, PolicyError>,
) -> Proposal {
    let mut proposal = Proposal::default();
    let mut kept = String::new();
    let mut now: Vec<Decision> = seen.iter().map(|one| one.before.decision).collect();
    // Why the last candidate that reached an attempt was not kept.
    let mut why: HashMap<usize, String> = HashMap::new();
    for text in candidates {
        let with = format!("{kept}{text}");
        let policy = match compile(&with) {
            Ok(policy) => policy,
            // Such as a word that the rule language has no room for.
            Err(_) => continue,
        };
        let then: Vec<Decision> =
            seen.iter().map(|one| one.tried.judge(&policy, &Grants::default()).decision).collect();
        let answered: Vec<usize> = (0..seen.len())
            .filter(|i| seen[*i].asked > 0 && then[*i] == Decision::Allow && now[*i] != then[*i])
            .collect();
        let changed = (0..seen.len()).find(|i| {
            then[*i] != seen[*i].before.decision
                && !(seen[*i].is_wanted() && then[*i] == Decision::Allow)
        });
        if let Some(other) = changed {
            let reason = format!(
                "the narrowest rule would also be about what was not permitted: {}",
                seen[other].tried.summary()
            );
            answered.iter().for_each(|i| drop(why.insert(*i, reason.clone())));
            continue;
        }
        if answered.is_empty() {
            continue;
        }
        proposal.rules.push(Proposed {
            text,
            answers: answered.iter().map(|i| seen[*i].asked).sum(),
            about: answered.iter().map(|i| seen[*i].tried.summary()).collect(),
        });
        (kept, now) = (with, then);
    }
    for (i, one) in seen.into_iter().enumerate() {
        if one.asked == 0 || now[i] == Decision::Allow {
            continue;
        }
        let standing = || format!("no rule of yours outweighs {}", one.before.basis);
        let why = one.obstacle.clone().or_else(|| why.remove(&i)).unwrap_or_else(standing);
        proposal.left.push(Left { what: one.tried.summary(), why, questions: one.asked });
    }
    proposal
}

#[cfg(test)]
mod tests;
