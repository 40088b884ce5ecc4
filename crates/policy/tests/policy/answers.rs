//! Which answers there are, and what a yes for a project proposes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use remit_policy::{
    Answer, ApprovalSettings, Choice, Connect, Exec, Grants, Layer, Policy, Question, Stdin,
    Verdict,
};

use crate::common::{compile, request, rules, settings, try_compile};

fn compiled(texts: &[(Layer, &str)]) -> Policy {
    let texts: Vec<_> = texts.iter().map(|(layer, text)| settings(*layer, text)).collect();
    compile(&texts, None)
}

fn approvals(texts: &[(Layer, &str)]) -> ApprovalSettings {
    let whole = |text: &str| format!("[approvals]\n{text}\n");
    let texts: Vec<_> = texts.iter().map(|(layer, text)| (*layer, whole(text))).collect();
    let texts: Vec<_> = texts.iter().map(|(layer, text)| (*layer, text.as_str())).collect();
    compiled(&texts).approvals().clone()
}

fn run(argv: &[&str]) -> Exec {
    let path = PathBuf::from(argv[0]);
    Exec {
        program: Some(path.clone()),
        path,
        argv: argv.iter().map(OsString::from).collect(),
        cwd: "/home/alice/proj".into(),
        ..Exec::default()
    }
}

fn asked(policy: &Policy, exec: Exec) -> Question<Exec> {
    match policy.exec(exec, &Grants::default()) {
        Verdict::Ask(question) => policy.offer(question, false),
        other => panic!("not asked: {other:?}"),
    }
}

const PROMPT: &str = "[commands]\ndefault = \"prompt\"\n";

fn proposed(exec: Exec) -> Option<String> {
    let policy = compiled(&[(Layer::User, PROMPT)]);
    let question = asked(&policy, exec);
    assert_eq!(question.choices().contains(&Choice::Project), question.proposal().is_some());
    question.proposal().map(|proposal| proposal.sentence().to_owned())
}

#[test]
fn a_yes_for_a_project_is_to_the_very_words_unless_more_words_mean_no_more() {
    let check = |argv: &[&str], sentence: &str| {
        assert_eq!(proposed(run(argv)).as_deref(), Some(sentence));
    };
    check(
        &["/usr/bin/git", "push", "origin", "main"],
        "run exactly `/usr/bin/git push origin main`",
    );
    check(&["/usr/bin/npm", "run", "build"], "run exactly `/usr/bin/npm run build`");
    check(
        &["/opt/acme/bin/acme", "deploy", "it's"],
        r"run exactly `/opt/acme/bin/acme deploy 'it'\''s'`",
    );
    check(
        &["/usr/bin/cargo", "test", "-p", "x"],
        "run `/usr/bin/cargo test` with any further words",
    );
}

#[test]
fn there_is_no_yes_for_a_project_to_what_runs_whatever_it_is_told() {
    for argv in [
        &["/usr/bin/bash", "-c", "make"][..],
        &["/usr/bin/python3.12", "manage.py", "migrate"],
        &["/usr/bin/env", "make", "x"],
        &["/usr/bin/node", "x.js"],
        &["/usr/bin/npx", "vite"],
        &["/usr/bin/sudo", "make", "install"],
        &["/usr/bin/curl", "https://api.example/"],
        &["/usr/bin/rm", "-r", "build"],
        &["/usr/bin/find", ".", "-exec", "x", ";"],
        &["/usr/bin/timeout", "5", "make"],
        &["/lib64/ld-linux-x86-64.so.2", "/usr/bin/make", "x"],
        &["/usr/bin/busybox", "wget", "x"],
        &["/usr/bin/perl5.36.0", "x.pl"],
        // One word.
        &["/usr/bin/git"],
        &["/usr/bin/make"],
        &["/usr/bin/acme"],
        // Where and by what it acts is said first.
        &["/usr/bin/git", "-C", "/elsewhere", "push"],
        &["/usr/bin/git", "-c", "core.sshCommand=x", "push"],
        // Not the machine's own program, or not for long.
        &["/home/alice/proj/node_modules/.bin/vite", "build"],
        &["/tmp/acme", "deploy"],
        &["/proc/self/root/usr/bin/make", "all"],
        &["/proc/self/fd/3", "all"],
        &["/usr/../tmp/make", "all"],
        &["make", "all"],
        &["./make", "all"],
    ] {
        assert_eq!(proposed(run(argv)), None, "{argv:?}");
    }
}

#[test]
fn what_else_decides_what_a_program_does_takes_the_yes_for_a_project_away() {
    let make = || run(&["/usr/bin/make", "all"]);
    assert!(proposed(make()).is_some());
    let python = || Some(PathBuf::from("/usr/bin/python3"));
    let others = [
        Exec { environment: vec![("MAKEFLAGS".into(), "--eval=x".into())], ..make() },
        Exec { stdin: Stdin::Pipe, fed_by: Some("/usr/bin/cat".into()), ..make() },
        Exec { program: Some("/home/alice/proj/make".into()), ..make() },
        Exec { program: python(), ..make() },
        Exec { copy_of: python().into_iter().collect(), ..make() },
        Exec { program: None, ..make() },
        Exec { argv: vec!["remake".into(), "all".into()], ..make() },
        Exec { argv: vec![], ..make() },
    ];
    for exec in others {
        assert_eq!(proposed(exec.clone()), None, "{exec:?}");
    }
    use std::os::unix::ffi::OsStringExt as _;
    let odd = Exec { argv: vec!["make".into(), OsString::from_vec(vec![0xff])], ..make() };
    assert_eq!(proposed(odd), None);
}

#[test]
fn a_rule_that_asks_takes_no_yes_for_a_project() {
    let rules = rules(Layer::User, "prefix_rule(pattern = [\"make\"], decision = \"prompt\")");
    let policy = compile(&[rules], None);
    let question = asked(&policy, run(&["/usr/bin/make", "all"]));
    assert_eq!(question.proposal(), None, "the stricter rule would still ask");
}

/// Whether what was proposed allows these words, once it is written.
fn allows(proposed: &str, argv: &[&str]) -> bool {
    let texts = [settings(Layer::User, PROMPT), rules(Layer::User, proposed)];
    let policy = try_compile(&texts, None).unwrap_or_else(|error| panic!("{error}:\n{proposed}"));
    matches!(policy.exec(run(argv), &Grants::default()), Verdict::Allow(_))
}

#[test]
fn what_is_written_allows_what_was_asked_and_no_more() {
    let policy = compiled(&[(Layer::User, PROMPT)]);
    let text = |argv: &[&str]| {
        let question = asked(&policy, run(argv));
        let proposal = question.proposal().expect("a proposal").clone();
        let text = proposal.text("answered by \"a\"\\ \n\u{1b}[2J\u{1f600} on 2026-11-21");
        assert!(text.lines().all(|line| !line.trim().is_empty() && line.is_ascii()), "{text}");
        text
    };
    let odd = ["/usr/bin/git", "push", "a\"b\\", "\u{1b}]0;x\u{7}", "\u{1f600}\n)"];
    assert!(allows(&text(&odd), &odd));
    let push = text(&["/usr/bin/git", "push", "origin", "main"]);
    assert!(allows(&push, &["/usr/bin/git", "push", "origin", "main"]));
    for other in [
        &["/usr/bin/git", "push", "origin", "main", "--force"][..],
        &["/usr/bin/git", "push", "origin"],
        &["/usr/bin/git", "push", "origin", "other"],
        &["/home/alice/proj/git", "push", "origin", "main"],
        &["git", "push", "origin", "main"],
    ] {
        assert!(!allows(&push, other), "{other:?}");
    }
    let test = text(&["/usr/bin/cargo", "test", "-p", "x"]);
    assert!(allows(&test, &["/usr/bin/cargo", "test"]));
    assert!(!allows(&test, &["/usr/bin/cargo", "publish"]));
}

#[test]
fn a_host_is_proposed_with_its_port_and_a_request_with_method_and_path() {
    let policy = compiled(&[]);
    let check = |to: &str, expected: Option<&str>| {
        let Verdict::Ask(question) =
            policy.connect(Connect::parse(to).expect("a host"), &Grants::default())
        else {
            assert_eq!(expected, None, "{to} is not asked about");
            return;
        };
        let question = policy.offer(question, false);
        let text = question.proposal().map(|proposal| proposal.text("because"));
        assert_eq!(question.proposal().map(|it| it.sentence()), expected, "{to}");
        if let Some(text) = text {
            let after = compile(&[rules(Layer::User, &text)], None);
            let again = |to: &str| {
                let attempt = Connect::parse(to).expect("a host");
                matches!(after.connect(attempt, &Grants::default()), Verdict::Allow(_))
            };
            assert!(again(to) && !again("api.example.com:8443") && !again("www.example.com:443"));
        }
    };
    check("api.example.com:443", Some("connect to `api.example.com:443`"));
    check("intranet:443", None);
    check("93.184.215.14:443", None);
    check("localhost:443", None);
    let some = "network_rule(host = \"api.example.com:443\", protocol = \"https\", decision = \"allow\", \
                methods = [\"GET\"])";
    let texts = [rules(Layer::User, some)];
    let policy = compile(&texts, None);
    let request = |method: &str, target: &str| {
        request(&format!("{method} https://api.example.com:443{target}"))
    };
    let asked = |target: &str| match policy.request(request("POST", target), &Grants::default()) {
        Verdict::Ask(question) => policy.offer(question, false).proposal().cloned(),
        other => panic!("not asked: {other:?}"),
    };
    let proposal = asked("/v1/items?x=y").expect("a proposal");
    assert_eq!(proposal.sentence(), "send `POST` to `api.example.com:443/v1/items`");
    let after = [rules(Layer::User, some), rules(Layer::User, &proposal.text("because"))];
    let after = compile(&after, None);
    let allowed = |method: &str, target: &str| {
        matches!(after.request(request(method, target), &Grants::default()), Verdict::Allow(_))
    };
    assert!(allowed("POST", "/v1/items") && allowed("GET", "/other"));
    assert!(!allowed("PUT", "/v1/items") && !allowed("POST", "/v1/items/2"));
    for odd in ["/v1/*", "/v1/%2e%2e/x", "/v1/items?_method=DELETE"] {
        assert_eq!(asked(odd), None, "{odd}");
    }
}

#[test]
fn limits_on_answers_are_the_strictest_of_those_that_bind() {
    use Layer::{Project, System, User};
    let yeses = |texts: &[(Layer, &str)]| {
        let yeses = approvals(texts).limits.yeses;
        yeses.iter().map(|yes| format!("{yes:?}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(yeses(&[]), "Once Session Host Domain Project");
    assert_eq!(yeses(&[(User, "answers = [\"once\", \"session\"]")]), "Once Session");
    let both = [
        (User, "answers = [\"once\", \"session\"]"),
        (System, "answers = [\"session\", \"host\"]"),
    ];
    assert_eq!(yeses(&both), "Session");
    assert_eq!(yeses(&[(Project, "answers = [\"once\"]"), (User, "answers = [\"session\"]")]), "");
    let all = approvals(&[
        (User, "people = 1\nreason = false\nsession_expiry = \"2h\"\nproject_expiry = \"90d\""),
        (System, "people = 2\nreason = true\nsession_expiry = \"4h\"\nproject_expiry = \"7d\""),
        (Project, "people_high = 3\nsession_expiry = \"1h\""),
    ]);
    assert_eq!((all.limits.people_for(false), all.limits.people_for(true)), (2, 3));
    assert!(all.limits.reason);
    assert_eq!(all.session_expiry, Some(Duration::from_secs(3600)));
    assert_eq!(all.project_expiry, Duration::from_secs(7 * 86400));
}

#[test]
fn a_broken_glass_lifts_no_limit_that_binds_more_than_who_permits_it() {
    use Layer::{Project, System, User};
    let check = |texts: &[(Layer, &str)], longest: Option<u64>, people: u8| {
        let all = approvals(texts);
        assert_eq!(all.break_glass.map(|it| it.as_secs()), longest, "{texts:?}");
        assert_eq!(all.in_break_glass.people, people, "{texts:?}");
    };
    check(&[], None, 1);
    check(&[(User, "people = 2\nbreak_glass = \"15m\"")], Some(900), 1);
    check(&[(System, "people = 2"), (User, "break_glass = \"15m\"")], Some(900), 2);
    check(&[(System, "people = 2\nbreak_glass = \"10m\""), (User, "people = 3")], Some(600), 1);
    let both = [(System, "people = 2\nbreak_glass = \"10m\""), (User, "break_glass = \"5m\"")];
    check(&both, Some(300), 1);
    let off = [(System, "people = 2\nbreak_glass = \"off\""), (User, "break_glass = \"5m\"")];
    check(&off, None, 2);
    check(&[(Project, "break_glass = \"15m\"\npeople = 2")], None, 2);
    check(
        &[(Project, "break_glass = \"off\""), (User, "people = 2\nbreak_glass = \"15m\"")],
        None,
        2,
    );
}

#[test]
fn a_webhook_of_the_users_own_is_no_second_person_for_the_system() {
    let key = "[credentials.key]\nsource = { file = \"~/key\" }\nas = \"bearer\"\n";
    let hook = format!(
        "{key}[approvals.webhook]\nurl = \"https://hooks.example/x\"\ncredential = \"key\"\n"
    );
    let people = "[approvals]\npeople = 2\n";
    let vouches = |texts: &[(Layer, &str)]| {
        compiled(texts).approvals().webhook.as_ref().map(|webhook| webhook.vouches)
    };
    use Layer::{Project, System, User};
    assert_eq!(vouches(&[(User, &hook)]), Some(true));
    assert_eq!(vouches(&[(User, &hook), (System, people)]), Some(false));
    assert_eq!(vouches(&[(System, &hook), (System, people)]), Some(true));
    assert_eq!(vouches(&[(User, &format!("{people}{hook}"))]), Some(true));
    let project = try_compile(&[settings(Project, &hook)], None);
    assert!(project.is_err(), "a project sends no questions anywhere");
    let unnamed = hook.replace("credential = \"key\"", "credential = \"other\"");
    assert!(try_compile(&[settings(User, &unnamed)], None).is_err());
}

#[test]
fn an_answer_within_no_limit_permits_nothing() {
    let text = "[commands]\ndefault = \"prompt\"\n[approvals]\npeople = 2\nreason = true\n\
                answers = [\"once\", \"project\"]\n";
    let policy = compiled(&[(Layer::User, text)]);
    let answer = |choice, people: &[&str], note: Option<&str>| Answer {
        choice,
        by: people.join(" and "),
        people: people.iter().map(|name| (*name).to_owned()).collect(),
        note: note.map(str::to_owned),
    };
    let settle =
        |answer: &Answer| asked(&policy, run(&["/usr/bin/make", "all"])).settle(answer).is_ok();
    let both = ["alice", "bob"];
    assert!(settle(&answer(Choice::Once, &both, Some("release"))));
    assert!(settle(&answer(Choice::Project, &both, Some("release"))));
    assert!(!settle(&answer(Choice::Session, &both, Some("release"))));
    assert!(!settle(&answer(Choice::Once, &["alice"], Some("release"))));
    assert!(!settle(&answer(Choice::Once, &["alice", "alice"], Some("release"))));
    assert!(!settle(&answer(Choice::Once, &both, None)));
    assert!(!settle(&answer(Choice::Once, &both, Some(" "))));
    let offered = asked(&policy, run(&["/usr/bin/make", "all"])).choices();
    assert_eq!(offered, [Choice::Once, Choice::Project, Choice::Refuse, Choice::Stop]);
    let shell = asked(&policy, run(&["/usr/bin/bash", "x"])).choices();
    assert_eq!(shell, [Choice::Once, Choice::Refuse, Choice::Stop]);
}
