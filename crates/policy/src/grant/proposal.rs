//! The rule that a yes for this project writes.
//!
//! It is the narrowest that is of use: one command with just these words, one host
//! and port, one path by one method. Of a program that runs whatever it is told
//! there is none; see `data/answers.toml`. Nor is there one where a rule could not
//! settle it, since the stricter statement holds.
//!
//! What it does not do: a rule is about names and words. What the program then
//! reads, such as a script in the workspace, may be another the next time; the
//! boundary holds it either way, and programs are judged by their own words.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use super::escaped::{list, string};
use crate::attempt::{Connect, Exec};
use crate::host::{Host, Port};
use crate::policy::Policy;
use crate::request::{Request, Scheme};
use crate::show;

/// A rule that a person can be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    call: &'static str,
    arguments: Vec<(&'static str, String)>,
    sentence: String,
}

impl Proposal {
    /// The rule on one line, as a person is shown it.
    pub fn rule(&self) -> String {
        let arguments = self.arguments.iter().map(|(name, value)| format!("{name} = {value}"));
        format!("{}({})", self.call, arguments.collect::<Vec<_>>().join(", "))
    }

    /// What it allows, in words for a person, escaped for a terminal.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }

    /// The rule as a file holds it, one argument a line, with who answered when in
    /// which session as its reason. Ends with a line end; has no empty line.
    pub fn text(&self, justification: &str) -> String {
        let justification = ("justification", string(justification));
        let mut text = format!("{}(\n", self.call);
        for (name, value) in self.arguments.iter().chain([&justification]) {
            text.push_str(&format!("    {name} = {value},\n"));
        }
        text + ")\n"
    }
}

pub(crate) const TEXT: &str = include_str!("../../data/answers.toml");

include!(concat!(env!("OUT_DIR"), "/answers.rs"));

/// A row of `data/answers.toml`, as are the next.
struct Free {
    command: &'static [&'static str],
}

struct Words {
    programs: &'static [&'static str],
    words: usize,
}

/// None for what runs whatever it is told, under any of its names; for programs
/// that the session can change; where variables, or what is piped in, say what it
/// does; and for words that no rule file can spell.
pub(crate) fn of_exec(exec: &Exec, policy: &Policy) -> Option<Proposal> {
    if !policy.is_settled_by_a_choice(exec) {
        return None;
    }
    let plain = exec.environment.is_empty() && exec.fed_by.is_none();
    let program = exec.program.as_deref().filter(|_| plain)?;
    // By its path, since a file of the same name could be made by the session. As
    // it was called, since one file may be many programs.
    let called = exec.path.as_path();
    let [first, arguments @ ..] = exec.argv.as_slice() else { return None };
    let name = called.file_name()?;
    let honest = Path::new(first).file_name() == Some(name);
    if !honest || !is_fixed(called) || [called, program].iter().any(|it| policy.can_write(it)) {
        return None;
    }
    let names = [called, program].into_iter().chain(exec.copy_of.iter().map(|it| it.as_path()));
    let names: Vec<&str> = names.map(|path| path.file_name()?.to_str()).collect::<Option<_>>()?;
    let tells_by_words = |name: &str| WORDS_ROWS.iter().any(|row| row.programs.contains(&name));
    let runs_anything =
        |name: &str| !tells_by_words(name) && crate::learn::runs_another(name).is_some();
    if names.iter().any(|name| runs_anything(bare(name))) {
        return None;
    }
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|word| std::str::from_utf8(word.as_bytes()).ok())
        .collect::<Option<_>>()?;
    let least =
        WORDS_ROWS.iter().filter(|row| names.iter().any(|it| row.programs.contains(&bare(it))));
    // Options in front of the words say where and by what the program acts.
    let leading = arguments.iter().take_while(|word| !word.starts_with('-')).count();
    let is_told = match least.map(|row| row.words).max() {
        Some(least) => leading >= least,
        None => !arguments.is_empty(),
    };
    if !is_told {
        return None;
    }
    let path = called.to_str()?;
    let whole: Vec<&str> = std::iter::once(path).chain(arguments).collect();
    let free = FREE_ROWS.iter().find(|row| {
        let [program, words @ ..] = row.command else { return false };
        names[0] == *program && whole[1..].starts_with(words)
    });
    let pattern = match free {
        Some(row) => &whole[..row.command.len()],
        None => &whole[..],
    };
    let shown = show::command(&pattern.iter().map(Into::into).collect::<Vec<_>>());
    let (exact, sentence) = match free {
        Some(_) => ("False", format!("run `{shown}` with any further words")),
        None => ("True", format!("run exactly `{shown}`")),
    };
    let arguments = vec![
        ("pattern", list(pattern.iter().copied())),
        ("exact", exact.to_owned()),
        ("decision", string("allow")),
        ("match", format!("[{}]", list(whole.iter().copied()))),
    ];
    Some(Proposal { call: "prefix_rule", arguments, sentence })
}

/// One name and port, whichever program asks.
pub(crate) fn of_connect(connect: &Connect, policy: &Policy) -> Option<Proposal> {
    if !policy.is_connection_settled_by_a_choice(connect) {
        return None;
    }
    let there = destination(connect)?;
    let arguments = vec![
        ("host", string(&there)),
        ("protocol", string("https")),
        ("decision", string("allow")),
    ];
    let sentence = format!("connect to `{}`", show::line(&there));
    Some(Proposal { call: "network_rule", arguments, sentence })
}

/// One path by one method.
pub(crate) fn of_request(request: &Request, policy: &Policy) -> Option<Proposal> {
    if !policy.is_request_settled_by_a_choice(request) {
        return None;
    }
    let there = destination(&request.connect)?;
    let methods = request.methods();
    let path = request.target.path();
    // Patterns are written plainly; what they cannot say is asked again.
    let plain = !path.contains(['*', '%', '\\', ';']) && path.starts_with('/');
    if methods.len() != 1 || !plain {
        return None;
    }
    let protocol = match request.scheme {
        Scheme::Https => "https",
        Scheme::Http => "http",
    };
    let arguments = vec![
        ("host", string(&there)),
        ("protocol", string(protocol)),
        ("decision", string("allow")),
        ("methods", list(methods.iter().map(String::as_str))),
        ("paths", list([path])),
    ];
    let method = request.method.as_str();
    let sentence = format!("send `{method}` to `{}`", show::line(&format!("{there}{path}")));
    Some(Proposal { call: "network_rule", arguments, sentence })
}

/// A name with its port. Addresses change hands, and names of one label mean
/// another machine in another network.
fn destination(connect: &Connect) -> Option<String> {
    match &connect.host {
        Host::Name(name) if name.as_str().contains('.') => {
            let port: Port = connect.port;
            Some(format!("{name}:{port}"))
        }
        Host::Name(_) | Host::Address(_) => None,
    }
}

/// Absolute, plain, and no name that means something else for each process.
fn is_fixed(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !["/proc", "/sys", "/dev"].iter().any(|own| path.starts_with(own))
}

/// A program's name without a version or an ending: `python` of `python3.12`.
fn bare(name: &str) -> &str {
    let name = name.strip_suffix(".exe").unwrap_or(name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    if bare.is_empty() { name } else { bare }
}
