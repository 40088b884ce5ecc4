//! Two corpora, judged as the kernel would have them judged: each command of a
//! line is an `execve` of its own, and so is the shell that a line needs.
//!
//! The lines are taken apart here by the simplest means that fits them: quotes,
//! pipes, lists, assignments, redirections. What it means is for the judge.
#![allow(clippy::print_stdout, reason = "the numbers are for whoever runs it")]

use std::path::{Path, PathBuf};

use remit_policy::{Exec, Grants, Layer, Policy, Stdin, Verdict};

use crate::common::{place, settings};

const ORDINARY: &str = include_str!("../corpus/ordinary.txt");
const HARMFUL: &str = include_str!("../corpus/harmful.txt");

fn lines(corpus: &str) -> impl Iterator<Item = &str> {
    corpus.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn policy(text: &str) -> Policy {
    let texts = [settings(Layer::User, text)];
    Policy::compile(&texts, None, &crate::common::codex(), &place()).expect("it loads")
}

/// The strictest verdict on any command of a line, and the class that asks.
fn judge(policy: &Policy, line: &str) -> (&'static str, String) {
    let mut worst = ("allow", String::new());
    for exec in parts(line) {
        match policy.exec(exec, &Grants::default()) {
            Verdict::Allow(permit) => drop(permit.spend()),
            Verdict::Ask(question) => {
                let classes = question.findings().iter().map(|finding| finding.class.as_str());
                worst = ("ask", classes.collect::<Vec<_>>().join(" "));
            }
            Verdict::Refuse(_) => return ("refuse", String::new()),
        }
    }
    worst
}

#[test]
fn of_a_days_ordinary_commands_at_most_three_in_a_hundred_ask() {
    let by_default = policy("");
    let mut asked = Vec::new();
    let mut all = 0;
    for line in lines(ORDINARY) {
        all += 1;
        match judge(&by_default, line) {
            ("allow", _) => {}
            ("ask", why) => asked.push(format!("{line} ({why})")),
            (other, _) => panic!("{other}: {line}"),
        }
    }
    println!("{} of {all} ordinary commands ask:\n  {}", asked.len(), asked.join("\n  "));
    assert!(all >= 420, "{all} lines are no day");
    assert!(asked.len() * 100 <= all * 3, "{} of {all} ask: {asked:#?}", asked.len());
    assert!(!asked.is_empty(), "a corpus that holds a release asks at least once");
}

#[test]
fn no_harmful_command_is_allowed() {
    let by_default = policy("");
    let all = lines(HARMFUL).count();
    let allowed: Vec<_> =
        lines(HARMFUL).filter(|line| judge(&by_default, line).0 == "allow").collect();
    println!("{} of {all} harmful commands are allowed", allowed.len());
    assert!(all >= 230, "{all} lines are too few");
    assert!(allowed.is_empty(), "{allowed:#?}");
}

#[test]
fn where_commands_are_asked_about_those_that_only_read_are_not() {
    let prompting = policy("[commands]\ndefault = \"prompt\"\n");
    let all = lines(ORDINARY).count();
    let asked = lines(ORDINARY).filter(|line| judge(&prompting, line).0 != "allow").count();
    println!("{asked} of {all} ordinary commands ask where that is the default");
    for line in [
        "ls -la",
        "cat README.md",
        "git status --short",
        "git --no-pager log --oneline -10",
        "rg -n x src",
        "grep -rn x src",
        "find . -name '*.rs'",
        "sed -n '1,200p' src/app.py",
        "wc -l src/main.rs",
        "jq .x p.json",
        "git diff HEAD~1",
        "GIT_PAGER=cat git log -3",
        "awk '{print $1}' access.log",
    ] {
        let exec = parts(line).into_iter().last().expect("a command");
        let verdict = prompting.exec(exec, &Grants::default());
        assert!(matches!(verdict, Verdict::Allow(_)), "{line}");
    }
    for line in lines(HARMFUL) {
        assert_ne!(judge(&prompting, line).0, "allow", "{line}");
    }
    // What asks here and not by default is what builds, tests, writes or needs a shell.
    assert!(asked < all, "none of {all} only reads");
}

#[test]
fn a_finding_gives_way_to_a_rule_of_its_force_and_a_variable_to_none() {
    let rule = |words: &str| format!("prefix_rule(pattern={words}, decision='allow')\n");
    let compiled =
        |layer, words| crate::common::compile(&[crate::common::rules(layer, &rule(words))], None);
    let of_user = compiled(Layer::User, "['git']");
    let of_system = compiled(Layer::System, "['git']");
    for (policy, line, expected) in [
        (&of_user, "git reset --hard", "allow"),
        (&of_user, "git push --force", "ask"),
        (&of_system, "git push --force", "allow"),
        (&of_user, "GIT_SSH_COMMAND=./x git fetch", "ask"),
        (&of_system, "GIT_SSH_COMMAND=./x git fetch", "ask"),
        (&of_system, "GIT_PAGER=cat git fetch", "allow"),
    ] {
        assert_eq!(judge(policy, line).0, expected, "{line}");
    }
}

#[test]
fn the_programs_whose_copies_matter_are_those_that_are_asked_about() {
    let policy = crate::common::compile(
        &[crate::common::rules(
            Layer::User,
            "prefix_rule(pattern=[['mytool', '/opt/x/tool']], decision='prompt')",
        )],
        None,
    );
    let known = policy.known_programs();
    for path in [
        "/usr/bin/git",
        "/usr/bin/rm",
        "/usr/local/bin/kubectl",
        "/usr/sbin/iptables",
        "/usr/bin/mytool",
        "/opt/x/tool",
    ] {
        assert!(known.contains(Path::new(path)), "{path}");
    }
    for path in ["/usr/bin/ls", "/usr/bin/wc", "/opt/x/mytool"] {
        assert!(!known.contains(Path::new(path)), "{path}");
    }
    assert!(known.iter().all(|path| path.is_absolute()) && known.len() < 3000, "{}", known.len());
}

/// Each program that a line starts, as the kernel would see it.
fn parts(line: &str) -> Vec<Exec> {
    let (facts, line) = match line.strip_prefix('{').and_then(|rest| rest.split_once("} ")) {
        Some((facts, line)) => (facts, line),
        None => ("", line),
    };
    let tokens = tokens(line);
    let needs_shell = tokens.iter().any(|token| matches!(token, Token::Operator(_)))
        || line.contains(['$', '`', '*', '~', '<', '>']);
    let mut execs = Vec::new();
    if needs_shell {
        execs.push(exec(&["bash".into(), "-lc".into(), line.into()], facts));
    }
    for pipeline in tokens.split(|token| matches!(token, Token::Operator(op) if op != "|")) {
        let stages: Vec<_> = pipeline.split(|token| matches!(token, Token::Operator(_))).collect();
        let commands: Vec<_> = stages.iter().filter_map(|stage| command(stage, facts)).collect();
        let paths: Vec<_> = commands.iter().map(|exec| exec.path.clone()).collect();
        for (number, mut exec) in commands.into_iter().enumerate() {
            exec.fed_by = number.checked_sub(1).map(|before| paths[before].clone());
            exec.feeds = paths.get(number + 1).cloned();
            if exec.fed_by.is_some() {
                exec.stdin = Stdin::Pipe;
            }
            execs.extend(inner(&exec));
            execs.push(exec);
        }
    }
    execs
}

/// What a wrapper starts, which reaches the kernel as an `execve` of its own.
fn inner(outer: &Exec) -> Option<Exec> {
    let wrapped = match outer.argv.first()?.to_str()? {
        "env" | "nohup" | "time" | "sudo" => 1,
        "timeout" => 2,
        _ => return None,
    };
    let argv: Vec<_> = outer.argv.get(wrapped..)?.to_vec();
    let path = Path::new("/usr/bin").join(argv.first()?);
    Some(Exec { program: Some(path.clone()), path, argv, ..outer.clone() })
}

const RESERVED: [&str; 14] = [
    "if", "then", "fi", "while", "do", "done", "for", "!", "[", "export", "source", "eval", "cd",
    "history",
];

fn command(tokens: &[Token], facts: &str) -> Option<Exec> {
    let mut words: Vec<String> = tokens.iter().map(|token| token.text().to_owned()).collect();
    while words
        .first()
        .is_some_and(|word| ["if", "then", "while", "do", "!"].contains(&word.as_str()))
    {
        words.remove(0);
    }
    let is_assignment = |word: &String| {
        word.split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && !name.contains(['-', '/', '.', ':']))
    };
    let at = words.iter().position(|word| !is_assignment(word))?;
    let argv = words.split_off(at);
    if RESERVED.contains(&argv[0].as_str()) && argv[0] != "history" {
        return None;
    }
    let mut exec = exec(&argv, facts);
    exec.environment = words
        .iter()
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| remit_policy::is_telling(name.as_ref()))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    Some(exec)
}

fn exec(argv: &[String], facts: &str) -> Exec {
    let fact = |name: &str| {
        let at = facts.find(&format!("{name}="))? + name.len() + 1;
        let rest = &facts[at..];
        let end = [" path=", " program=", " copy=", " cwd="]
            .iter()
            .filter_map(|next| rest.find(next))
            .min();
        Some(PathBuf::from(&rest[..end.unwrap_or(rest.len())]))
    };
    let path = fact("path").unwrap_or_else(|| match argv[0].contains('/') {
        true => PathBuf::from(&argv[0]),
        false => Path::new("/usr/bin").join(&argv[0]),
    });
    Exec {
        program: fact("program").or_else(|| Some(path.clone())),
        path,
        argv: argv.iter().map(Into::into).collect(),
        cwd: fact("cwd").unwrap_or_else(|| place().workspace),
        copy_of: fact("copy").into_iter().collect(),
        stdin: Stdin::Nothing,
        ..Exec::default()
    }
}

#[derive(Debug)]
enum Token {
    Word(String),
    Operator(String),
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Operator(text) => text,
        }
    }
}

/// Words without their quotes, and the operators between commands. Redirections
/// are left out; a process substitution becomes the descriptor it would be.
fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    let mut skip_target = false;
    let flush = |word: &mut Option<String>, tokens: &mut Vec<Token>, skip: &mut bool| {
        if let Some(text) = word.take() {
            match std::mem::take(skip) {
                true => {}
                false => tokens.push(Token::Word(text)),
            }
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '\'' => word.get_or_insert_default().extend(chars.by_ref().take_while(|c| *c != '\'')),
            '"' => word.get_or_insert_default().extend(chars.by_ref().take_while(|c| *c != '"')),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            ' ' => flush(&mut word, &mut tokens, &mut skip_target),
            '<' if chars.peek() == Some(&'(') => {
                chars.by_ref().find(|c| *c == ')');
                word.get_or_insert_default().push_str("/dev/fd/63");
            }
            '$' if chars.peek() == Some(&'(') => {
                let inner: String = chars.by_ref().take_while(|c| *c != ')').collect();
                word.get_or_insert_default().push_str(&format!("${inner})"));
            }
            '<' | '>' => {
                let number =
                    word.as_ref().is_some_and(|text| text.chars().all(|c| c.is_ascii_digit()));
                if number {
                    word = None;
                }
                flush(&mut word, &mut tokens, &mut skip_target);
                while matches!(chars.peek(), Some('>' | '&' | ' ')) {
                    chars.next();
                }
                skip_target = true;
            }
            '&' if word.is_none() && tokens.is_empty() => {}
            '|' | ';' | '&' => {
                flush(&mut word, &mut tokens, &mut skip_target);
                let mut operator = c.to_string();
                while let Some(next) = chars.next_if(|next| *next == c || *next == '&') {
                    operator.push(next);
                }
                let operator = if operator == "|&" { "|".to_owned() } else { operator };
                tokens.push(Token::Operator(operator));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    flush(&mut word, &mut tokens, &mut skip_target);
    // `find … {} ;` has no other command behind it.
    if matches!(tokens.last(), Some(Token::Operator(last)) if last == ";") {
        tokens.pop();
    }
    tokens
}
