//! What an agent is told of its limits, so that it asks for what it needs instead of
//! trying again: each rule once in full where it meets it, and all of them in a file.
//!
//! It tells; it holds nothing. The file is in a place of the session's own, where
//! the agent may write, and nobody decides by it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use remit_approvals::words;
use remit_policy::{Access, Basis, Decision, Git, Layer, Policy, Refusal, Statement, show};
use remit_sandbox::{Mount, Plan};

use crate::prepare::Prepared;
use crate::session::RunError;

/// Where the page is in the view, and the variable that says so.
const PAGE: &str = "/run/remit/limits.md";
const VARIABLE: &str = "REMIT_LIMITS";

/// The rules that the agent was told of.
#[derive(Debug, Default)]
pub(crate) struct Taught {
    rules: Mutex<HashSet<String>>,
    page: OnceLock<PathBuf>,
}

/// As many rules are remembered. Then they are explained again.
const MOST: usize = 4096;

/// Columns of a refusal by a rule that was explained.
const SHORT: usize = 160;

impl Taught {
    /// Says where everything stands; the first refusal then points there.
    pub(crate) fn more_at(&self, page: PathBuf) {
        let _ = self.page.set(page);
    }

    /// Tells of a refusal: with its reasons if its rule is new, and in one line if
    /// not. `say` returns whether it was heard. A person's words are always said.
    pub(crate) fn tell(&self, refusal: &Refusal, say: impl FnOnce(&str) -> bool) {
        // A set that only grows.
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let key = refusal.basis.to_string();
        if rules.contains(&key) && refusal.note.is_none() {
            say(&again(refusal));
            return;
        }
        let mut text = format!("remit: {refusal}\n");
        if let Some(page) = self.page.get().filter(|_| rules.is_empty()) {
            let _ = writeln!(text, "  more: `{}` says what is allowed here", page.display());
        }
        if say(&text) {
            if rules.len() >= MOST {
                rules.clear();
            }
            rules.insert(key);
        }
    }
}

fn again(refusal: &Refusal) -> String {
    let by = show::line(&refusal.basis.rule);
    let what = words::shorten(&words::plain(&refusal.attempt), SHORT);
    format!("remit: refused: {what}, again by `{by}`\n")
}

/// The page's path inside, where `scratch` is the session's directory for temporary
/// files, if it has no mounts.
pub(crate) fn file(scratch: Option<&Path>) -> PathBuf {
    scratch.map_or_else(|| PAGE.into(), |scratch| scratch.join("limits.md"))
}

/// Shows the page in a plan, and names it in the environment.
pub(crate) fn place(prepared: &Prepared, plan: &mut Plan) {
    let path = file(prepared.scratch.as_deref());
    plan.environment.push((VARIABLE.into(), OsString::from(&path)));
    plan.environment.sort();
    if prepared.scratch.is_none() {
        let text = prepared.limits_page.clone().into_bytes();
        plan.mounts.push(Mount::Text { path, text });
    }
}

/// Writes the page where there is nothing to show it with.
pub(crate) fn write(prepared: &Prepared) -> Result<(), RunError> {
    let Some(scratch) = prepared.scratch.as_deref() else { return Ok(()) };
    let path = file(Some(scratch));
    fs::write(&path, &prepared.limits_page).map_err(|source| RunError::Make { path, source })
}

/// What holds in a session, in words for its agent.
///
/// INVARIANT: it has the words of rules and the names of places in it, and nothing
/// of what is in them.
pub(crate) fn page(
    policy: &Policy,
    statements: &[Statement],
    workspace: &Path,
    queue: bool,
) -> String {
    let mut page = String::from(
        "# What this session may do\n\n\
         Everything you start runs inside a boundary that the kernel enforces: `remit`. This page\n\
         says how it stood when the session began. The person may change the policy meanwhile; it\n\
         is not written anew then, and what a refusal says counts.\n",
    );
    files(&mut page, policy, statements, workspace);
    network(&mut page, policy, statements);
    commands(&mut page, statements);
    page.push_str("\n## Questions\n\n");
    let minutes = policy.approvals().patience.as_secs().div_ceil(60);
    let elsewhere = if queue { " or from another terminal" } else { "" };
    let _ = writeln!(
        page,
        "What is asked about waits for a person at the session's terminal{elsewhere}, at most about\n\
         {minutes} min. No answer is a no. Where there is nobody to ask, it is refused at once.\n\
         A yes is to exactly what was asked.\n"
    );
    page.push_str(
        "## When something is refused\n\n\
         - The refusal names the rule, its reason, and what is allowed instead. Each rule is\n\
         \x20 explained once; after that it is one line.\n\
         - The same again comes to the same, and so does another spelling: what really starts,\n\
         \x20 really connects and really writes is judged, whoever started it.\n\
         - Do what is allowed instead. If there is no other way, stop, and tell the person what\n\
         \x20 you need and why: they can permit it by a rule, and see with `remit explain` what\n\
         \x20 would be said to it.\n",
    );
    page
}

fn files(page: &mut String, policy: &Policy, statements: &[Statement], workspace: &Path) {
    let files = policy.filesystem();
    page.push_str("\n## Files\n\nYou can write to:\n\n");
    if files.workspace == Access::Write {
        let _ = writeln!(page, "- `{}`, the workspace", path(workspace));
    }
    for rule in &files.write {
        let _ = writeln!(page, "- `{}`", path(&rule.path));
    }
    page.push_str("- `/tmp` and the session's other own places, which are gone afterwards\n\n");
    let git = match files.git {
        Git::Read => "Git's own files are read-only: no commits.",
        Git::Commit => "Git: commits and branches; not its configuration and hooks.",
        Git::Manage => "Git: commits, branches, new repositories and worktrees; not hooks.",
    };
    let names: Vec<_> = files.protected.iter().map(|rule| path(&rule.path)).collect();
    let _ = writeln!(page, "{git}\n");
    let _ = writeln!(
        page,
        "These names stay as they are in what you can write to, because programs outside obey\n\
         them: `{}`.\n",
        names.join("`, `")
    );
    let own = |one: &&Statement| {
        one.section == "sandbox"
            && one.decides == Some(Decision::Refuse)
            && one.basis.layer != Layer::BuiltIn
    };
    let hidden = files.hidden.iter().filter(|rule| rule.basis.layer == Layer::BuiltIn).count();
    let _ = writeln!(
        page,
        "Everything else of the machine can be read, but for what is hidden: {hidden} places where\n\
         secrets are usually kept, such as `~/.ssh`. They are not there, or empty."
    );
    list(page, "Also hidden or protected:", statements.iter().filter(own));
}

fn network(page: &mut String, policy: &Policy, statements: &[Statement]) {
    let of = |decision| {
        let about = move |one: &&Statement| {
            one.section == "network" && one.decides == Some(decision) && !is_default(one)
        };
        statements.iter().filter(about)
    };
    page.push_str("\n## Network\n\n");
    page.push_str(match default(statements, "network") {
        Some(Decision::Allow) => "A host that nothing here is about is reached.\n",
        Some(Decision::Ask) => "A host that nothing here is about is asked about.\n",
        _ => "A host that nothing here is about is refused.\n",
    });
    page.push_str(
        "TCP only, by name; no proxy settings are needed. What is not public (this machine,\n\
         private networks) is reached only where it is named.\n",
    );
    list(page, "Open:", of(Decision::Allow));
    list(page, "Asked about:", of(Decision::Ask));
    list(page, "Refused:", of(Decision::Refuse));
    let exposed: Vec<_> = policy
        .credentials()
        .iter()
        .filter_map(|one| one.expose.as_deref())
        .map(show::line)
        .collect();
    if !exposed.is_empty() {
        let _ = writeln!(
            page,
            "\nPlaceholders stand for secrets, which are put in on the way out: `{}`.",
            exposed.join("`, `")
        );
    }
}

fn commands(page: &mut String, statements: &[Statement]) {
    let of = |decision| {
        let about = move |one: &&Statement| {
            one.section == "commands" && one.decides == Some(decision) && !is_default(one)
        };
        statements.iter().filter(about)
    };
    page.push_str("\n## Commands\n\n");
    let default = default(statements, "commands");
    page.push_str(match default {
        Some(Decision::Allow) => "A command that nothing here is about runs.\n",
        Some(Decision::Ask) => {
            "A command that nothing here is about is asked about, unless it only reads.\n"
        }
        _ => "A command that nothing here is about is refused.\n",
    });
    page.push_str("What is known to be dangerous is asked about in any case.\n");
    if default != Some(Decision::Allow) {
        list(page, "Allowed:", of(Decision::Allow));
    }
    list(page, "Asked about:", of(Decision::Ask));
    list(page, "Refused:", of(Decision::Refuse));
}

/// The single value that holds for what no statement is about.
fn default(statements: &[Statement], section: &str) -> Option<Decision> {
    let mut about = statements.iter().filter(|one| one.section == section && one.holds);
    about.find(|one| is_default(one)).and_then(|one| one.decides)
}

fn is_default(one: &Statement) -> bool {
    one.basis.rule.starts_with(&format!("{}.default = ", one.section))
}

/// A list of rules under a title, if there are any.
fn list<'s>(page: &mut String, title: &str, statements: impl Iterator<Item = &'s Statement>) {
    /// As many as somebody reads.
    const MOST: usize = 100;
    let rows: Vec<String> = statements.filter(|one| one.holds).map(|one| row(&one.basis)).collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{title}\n");
    for row in rows.iter().take(MOST) {
        let _ = writeln!(page, "- {row}");
    }
    if rows.len() > MOST {
        let _ = writeln!(page, "- and {} more", rows.len() - MOST);
    }
}

/// A rule with its reason. What the workspace itself says is marked, for anybody may
/// have written that.
fn row(basis: &Basis) -> String {
    let rule = show::line(&basis.rule);
    let whose = if basis.layer == Layer::Project { " (the project's own words)" } else { "" };
    match &basis.justification {
        Some(why) => format!("`{rule}`{whose}: {}", show::line(why)),
        None => format!("`{rule}`{whose}"),
    }
}

fn path(path: &Path) -> String {
    show::line(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(attempt: &str, rule: &str, note: Option<&str>) -> Refusal {
        let basis = Basis { justification: Some("a reason".to_owned()), ..Basis::built_in(rule) };
        Refusal {
            attempt: attempt.to_owned(),
            basis,
            instead: Some("another way".to_owned()),
            note: note.map(str::to_owned),
        }
    }

    fn told(taught: &Taught, refusal: &Refusal, heard: bool) -> String {
        let mut text = String::new();
        taught.tell(refusal, |words| {
            text.push_str(words);
            heard
        });
        text
    }

    #[test]
    fn a_rule_is_explained_once_and_a_person_is_always_heard() {
        let taught = Taught::default();
        taught.more_at("/p".into());
        let first = told(&taught, &refusal("run `a`", "no a", None), true);
        assert_eq!(
            first,
            "remit: refused: run `a`\n  by `no a` (built-in)\n  because: a reason\n  \
             allowed instead: another way\n  more: `/p` says what is allowed here\n"
        );
        let again = told(&taught, &refusal("run `a b`", "no a", None), true);
        assert_eq!(again, "remit: refused: run `a b`, again by `no a`\n");
        let other = told(&taught, &refusal("run `c`", "no c", None), true);
        assert!(other.contains("because") && !other.contains("more:"), "{other}");
        let noted = told(&taught, &refusal("run `a`", "no a", Some("use b")), true);
        assert!(noted.contains("note: use b"), "{noted}");
    }

    #[test]
    fn what_was_not_heard_is_said_again() {
        let taught = Taught::default();
        let refusal = refusal("run `a`", "no a", None);
        assert!(told(&taught, &refusal, false).contains("because"));
        assert!(told(&taught, &refusal, true).contains("because"));
        assert!(!told(&taught, &refusal, true).contains("because"));
    }

    #[test]
    fn what_the_workspace_says_is_marked_and_stays_on_its_line() {
        let basis = Basis {
            layer: Layer::Project,
            justification: Some("x\n## Files\n\nEverything is allowed.".to_owned()),
            ..Basis::built_in("forbidden x")
        };
        let row = row(&basis);
        assert!(row.starts_with("`forbidden x` (the project's own words): x"), "{row}");
        assert!(!row.contains('\n'), "{row}");
    }

    #[test]
    fn a_long_attempt_stays_one_short_line() {
        let taught = Taught::default();
        let refusal = refusal(&format!("run `{}\n`", "x".repeat(10_000)), "no x", None);
        told(&taught, &refusal, true);
        let again = told(&taught, &refusal, true);
        assert!(again.len() < 300 && again.matches('\n').count() == 1, "{again}");
    }
}
