//! What a reviewer is told of an action, and whose words it may go by.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use remit_policy::{Case, Connect, Exec, Finding, Matter, Request, show};
use serde::Serialize;
use serde_json::{Value, json};

/// Longest single text of an action, in bytes; a longer one loses its middle.
const TEXT: usize = 4 * 1024;

/// All texts of an action together, in bytes. An action that has more is told in
/// part, and cannot be allowed.
const ALL: usize = 16 * 1024;

/// Everything about one question, as typed facts. All of it is data to the
/// reviewer; nothing in it authorises anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub(crate) told: Value,
    /// Whether nothing was left out for its length.
    pub(crate) in_full: bool,
}

/// What the reviewer is told of the session that the question is from.
#[derive(Clone, Copy, Debug)]
pub struct Session<'s> {
    /// The adapter's name, such as `codex`.
    pub agent: &'s str,
    pub profile: &'s str,
    pub workspace: &'s Path,
    /// The judged programs behind the process, nearest first.
    pub behind: Option<&'s str>,
    /// Whether this was asked before in the session.
    pub seen: &'s str,
}

/// Whose words something is, and so what they are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// The person's who started the session. They can authorise.
    Person,
    /// Pasted by that person, and written by anybody. They authorise only what the
    /// person's own words take up.
    Pasted,
    /// A file's of the project, which an agent or a stranger may have written. They
    /// explain; they authorise nothing.
    Project,
}

/// Words that the reviewer is given beside the facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Words {
    pub trust: Trust,
    /// Where they come from: `the command line`, `AGENTS.md`.
    pub source: String,
    pub text: String,
}

impl Facts {
    /// Tells what is asked. `mask` takes the session's secrets out of a text.
    pub fn of(matter: &Matter, session: Session<'_>, mask: &dyn Fn(&str) -> String) -> Self {
        let mut teller = Teller { mask, left: ALL, in_full: true };
        let (kind, action) = match &matter.case {
            Case::Exec(exec) => ("exec", teller.exec(exec)),
            Case::Connect(connect) => ("connect", teller.connect(connect)),
            Case::Request(request) => ("request", teller.request(request)),
        };
        let in_full = teller.in_full;
        // What follows explains the action and is not part of it.
        teller.left = ALL;
        let told = json!({
            "kind": kind,
            "action": action,
            "action_was_cut_short": !in_full,
            "asked_because": {
                "rule": teller.text(matter.basis.rule.as_bytes()),
                "rule_of": matter.basis.layer.to_string(),
                "justification": teller.maybe(matter.basis.justification.as_deref()),
            },
            "known": matter.findings.iter().map(|it| teller.finding(it)).collect::<Vec<_>>(),
            "runs_under_profile": matter.place.as_deref().unwrap_or(session.profile),
            "agent": session.agent,
            "workspace": teller.path(session.workspace),
            "behind": teller.maybe(session.behind),
            "seen": session.seen,
        });
        Self { told, in_full }
    }
}

/// Turns what an agent wrote into texts that hide nothing, as long as there is room.
struct Teller<'m> {
    mask: &'m dyn Fn(&str) -> String,
    left: usize,
    in_full: bool,
}

impl Teller<'_> {
    fn exec(&mut self, exec: &Exec) -> Value {
        let variables = exec.environment.iter().flat_map(|(name, value)| [name, value]);
        json!({
            "program": exec.program.as_deref().map(|it| self.path(it)),
            "called_as": self.path(&exec.path),
            "in_directory": self.path(&exec.cwd),
            "standard_input": format!("{:?}", exec.stdin).to_lowercase(),
            "fed_by": exec.fed_by.as_deref().map(|it| self.path(it)),
            "feeds": exec.feeds.as_deref().map(|it| self.path(it)),
            "variables_and_values": self.words(variables.map(OsString::as_os_str)),
            "copy_of": self.words(exec.copy_of.iter().map(|it| it.as_os_str())),
            "argv": self.words(exec.argv.iter().map(OsString::as_os_str)),
        })
    }

    /// As many as there is room for, then how many there are beside.
    fn words<'w>(&mut self, words: impl Iterator<Item = &'w OsStr>) -> Vec<String> {
        let mut told = Vec::new();
        let mut words = words.peekable();
        while self.left > 0
            && let Some(word) = words.next()
        {
            told.push(self.word(word));
        }
        let more = words.count();
        if more > 0 {
            self.in_full = false;
            told.push(format!("…({more} words not shown)…"));
        }
        told
    }

    fn connect(&mut self, connect: &Connect) -> Value {
        json!({
            "host": self.text(connect.host.to_string().as_bytes()),
            "port": u16::from(connect.port),
            "program": connect.program.as_deref().map(|path| self.path(path)),
        })
    }

    fn request(&mut self, request: &Request) -> Value {
        let mut told = self.connect(&request.connect);
        told["scheme"] = request.scheme.to_string().into();
        told["methods"] = request.methods().iter().map(|it| self.text(it.as_bytes())).collect();
        told["path"] = self.text(request.target.path().as_bytes()).into();
        told["query"] = self.maybe(request.target.query()).into();
        told
    }

    fn finding(&mut self, finding: &Finding) -> Value {
        json!({
            "class": self.text(finding.class.as_bytes()),
            "risk": finding.risk,
            "reason": self.text(finding.reason.as_bytes()),
            "undo": self.maybe(finding.undo.as_deref()),
        })
    }

    fn maybe(&mut self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.text(text.as_bytes()))
    }

    fn path(&mut self, path: &Path) -> String {
        self.word(path.as_os_str())
    }

    fn word(&mut self, word: &OsStr) -> String {
        self.text(word.as_bytes())
    }

    /// A text without secrets and without anything invisible. What is not UTF-8 is
    /// spelt `\x…`.
    fn text(&mut self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
        }
        let text = show::line(&(self.mask)(&text));
        let room = self.left.min(TEXT);
        // Even an empty word takes room, or there could be any number of them.
        self.left = self.left.saturating_sub(text.len().max(8));
        if text.len() <= room {
            return text;
        }
        self.in_full = false;
        shortened(&text, room)
    }
}

/// The ends of a text, and how many bytes of it are not shown.
pub(crate) fn shortened(text: &str, room: usize) -> String {
    let half = room / 2;
    let head = &text[..text.floor_char_boundary(half)];
    let tail = &text[text.ceil_char_boundary(text.len() - half)..];
    let hidden = text.len() - head.len() - tail.len();
    format!("{head}…({hidden} bytes not shown)…{tail}")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use remit_policy::{Basis, Grants, Layer, Place, Policy, PolicyText, TextKind, Verdict};

    use super::*;

    fn session() -> Session<'static> {
        Session {
            agent: "codex",
            profile: "default",
            workspace: Path::new("/w"),
            behind: Some("sh -c x < codex"),
            seen: "for the first time in this session",
        }
    }

    /// A question about a command, as the policy poses it.
    pub(crate) fn matter(argv: &[OsString]) -> Matter {
        let text = PolicyText {
            layer: Layer::User,
            kind: TextKind::Settings,
            file: "config.toml".to_owned(),
            text: "[commands]\ndefault = \"prompt\"\n".to_owned(),
        };
        let place = Place { home: "/home/a".into(), workspace: "/w".into() };
        let policy = Policy::compile(&[text], None, &Default::default(), &place).expect("a policy");
        let exec = Exec {
            path: "/usr/bin/tool".into(),
            program: Some("/usr/bin/tool".into()),
            argv: argv.to_vec(),
            cwd: "/w".into(),
            ..Exec::default()
        };
        match policy.exec(exec, &Grants::default()) {
            Verdict::Ask(question) => question.matter().expect("a matter"),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn facts(words: &[&str]) -> Facts {
        let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        Facts::of(&matter(&argv), session(), &str::to_owned)
    }

    #[test]
    fn nothing_invisible_and_no_secret_is_told() {
        let argv = [
            OsString::from("tool"),
            OsString::from("a\u{202e}b\u{1b}[2J\n"),
            OsString::from_vec(vec![b'x', 0xff]),
            OsString::from("key=hunter2"),
        ];
        let facts = Facts::of(&matter(&argv), session(), &|text| text.replace("hunter2", "****"));
        let expected = json!(["tool", r"a\u{202e}b\u{1b}[2J\u{a}", r"x\xff", "key=****"]);
        assert_eq!(facts.told["action"]["argv"], expected);
        assert!(facts.in_full);
        assert_eq!(facts.told["asked_because"]["rule_of"], "user");
        assert_eq!(facts.told["behind"], "sh -c x < codex");
    }

    #[test]
    fn what_is_too_long_keeps_its_ends_and_says_so() {
        let long = format!("head {} tail", "x".repeat(1 << 20));
        let told = facts(&["tool", &long]);
        assert!(!told.in_full);
        assert_eq!(told.told["action_was_cut_short"], true);
        let word = told.told["action"]["argv"][1].as_str().expect("a word");
        assert!(word.starts_with("head x") && word.ends_with("x tail"), "{word}");
        assert!(word.len() < TEXT + 64 && word.contains("bytes not shown"));
    }

    #[test]
    fn many_short_words_are_too_much_as_well() {
        let told = facts(&[""; 5000]);
        assert!(!told.in_full);
        let told = facts(&["a"; 1000]);
        assert!(told.in_full);
        let text = facts(&["abcdefghi"; 100_000]).told.to_string();
        assert!(text.len() < 2 * ALL, "{}", text.len());
    }

    #[test]
    fn a_request_is_told_with_all_its_methods_and_its_query() {
        let mut connect = Connect::parse("a.example:443").expect("a host");
        connect.program = Some("/usr/bin/curl".into());
        let request = Request {
            connect,
            scheme: remit_policy::Scheme::Https,
            method: remit_policy::Method::parse("POST").expect("a method"),
            target: remit_policy::Target::parse("/x?_method=DELETE&k=v").expect("a target"),
            overrides: Vec::new(),
        };
        let case = Case::Request(request);
        let matter = Matter { case, basis: Basis::built_in("a rule"), ..matter(&[]) };
        let told = Facts::of(&matter, session(), &str::to_owned).told;
        assert_eq!(told["kind"], "request");
        let expected = json!({
            "host": "a.example", "port": 443, "program": "/usr/bin/curl", "scheme": "https",
            "methods": ["DELETE", "POST"], "path": "/x", "query": "_method=DELETE&k=v",
        });
        assert_eq!(told["action"], expected);
    }
}
