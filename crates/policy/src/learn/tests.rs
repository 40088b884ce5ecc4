use std::path::PathBuf;

use super::*;
use crate::basis::Layer;
use crate::policy::{AgentNeeds, PolicyText, TextKind};
use crate::request::{Method, Scheme, Target};

/// What the person has said so far.
const RULES: &str = r#"
prefix_rule(pattern = ["cargo", "push"], decision = "prompt")
prefix_rule(pattern = ["git", "push", "origin"], decision = "forbidden")
"#;

const SETTINGS: &str = "[commands]\ndefault = \"prompt\"\n[network]\ndefault = \"ask\"\n";

fn place() -> Place {
    Place { home: "/home/alice".into(), workspace: "/home/alice/proj".into() }
}

fn compile(proposed: &str, settings: &str, rules: &str) -> Result<Policy, PolicyError> {
    let text = |kind, file: &str, text: &str| PolicyText {
        layer: Layer::User,
        kind,
        file: file.to_owned(),
        text: text.to_owned(),
    };
    let texts = [
        text(TextKind::Settings, "config.toml", settings),
        text(TextKind::Rules, "own.rules", rules),
        text(TextKind::Rules, "learned.rules", proposed),
    ];
    Policy::compile(&texts, None, &AgentNeeds::default(), &place())
}

fn exec(line: &str) -> Tried {
    exec_of(&line.split(' ').collect::<Vec<_>>())
}

fn exec_of(argv: &[&str]) -> Tried {
    let path = match argv[0].strip_prefix("./") {
        Some(name) => PathBuf::from("/home/alice/proj").join(name),
        None => PathBuf::from("/usr/bin").join(argv[0]),
    };
    Tried::Exec(Box::new(Exec {
        program: Some(path.clone()),
        path,
        argv: argv.iter().map(Into::into).collect(),
        cwd: "/home/alice/proj".into(),
        ..Exec::default()
    }))
}

fn connect(there: &str) -> Tried {
    Tried::Connect(Connect::parse(there).expect("a destination"))
}

fn request(method: &str, there: &str, target: &str) -> Tried {
    Tried::Request(Box::new(Request {
        connect: Connect::parse(there).expect("a destination"),
        scheme: Scheme::Https,
        method: Method::parse(method).expect("a method"),
        target: Target::parse(target).expect("a target"),
        overrides: Vec::new(),
    }))
}

/// The proposal's text without comments, and what is left.
#[track_caller]
fn learn(past: &[(Tried, Came)]) -> (String, Proposal) {
    let proposal = propose(past, &place(), |text| compile(text, SETTINGS, "")).expect("a proposal");
    let rules = proposal.rules.iter().map(|rule| rule.text.as_str()).collect();
    (rules, proposal)
}

fn yeses(lines: &[&str]) -> Vec<(Tried, Came)> {
    lines.iter().map(|line| (exec(line), Came::Yes)).collect()
}

#[test]
fn one_yes_is_a_rule_about_that_command() {
    let (rules, proposal) = learn(&yeses(&["cargo test --all", "cargo test --all"]));
    let expected = "prefix_rule(\n    pattern = [\"/usr/bin/cargo\", \"test\", \"--all\"],\n    \
                    decision = \"allow\",\n    match = [[\"/usr/bin/cargo\", \"test\", \"--all\"]],\n)\n";
    assert_eq!(rules, expected);
    assert_eq!(proposal.rules[0].answers, 2);
    assert!(proposal.left.is_empty());
}

#[test]
fn several_that_differ_in_the_last_word_are_one_rule() {
    let (rules, proposal) = learn(&yeses(&["cargo test a", "cargo test b", "cargo test c"]));
    assert!(rules.contains("pattern = [\"/usr/bin/cargo\", \"test\"],"), "{rules}");
    assert_eq!((proposal.rules.len(), proposal.rules[0].answers), (1, 3));
}

#[test]
fn two_are_not_several_and_options_are_not_operands() {
    let check = |lines: &[&str], expected: usize| {
        let (rules, proposal) = learn(&yeses(lines));
        assert_eq!(proposal.rules.len(), expected, "{rules}");
    };
    check(&["cargo test a", "cargo test b"], 2);
    check(&["cargo test -a", "cargo test -b", "cargo test -c"], 3);
    // The beginning that they share is an option, and says not what is done.
    check(&["git -C x fetch", "git -C x pull", "git -C x merge"], 3);
    // What they share is the program alone.
    check(&["git fetch", "git pull", "git merge"], 3);
}

#[test]
fn what_was_refused_is_not_proposed_nor_covered() {
    let mut past = yeses(&["cargo test a", "cargo test b", "cargo test c", "git tag x"]);
    past.push((exec("cargo test d"), Came::No));
    past.push((exec("git tag x"), Came::No));
    let (rules, proposal) = learn(&past);
    assert_eq!(proposal.rules.len(), 3, "{rules}");
    assert!(!rules.contains("git"), "{rules}");
    assert_eq!(proposal.left[0].why, "it was refused as well");
    // A rule about a beginning would be about what follows as well.
    let mut past = yeses(&["git push origin"]);
    past.push((exec("git push origin v1"), Came::No));
    let (rules, proposal) = learn(&past);
    assert_eq!(rules, "");
    assert!(proposal.left[0].why.contains("v1"), "{:?}", proposal.left);
}

#[test]
fn what_no_rule_can_say_narrowly_is_left() {
    let check = |line: &str, why: &str| {
        let (rules, proposal) = learn(&yeses(&[line]));
        assert_eq!(rules, "", "{line}");
        assert!(proposal.left[0].why.contains(why), "{line}: {:?}", proposal.left);
    };
    check("bash -lc ls", "a shell");
    check("python3.12 build.py", "an interpreter");
    check("env git status", "starts the program");
    check("curl https://api.example", "what follows");
    check("git", "whatever its arguments");
    check("rm -rf build", "destroyed");
    check("npm run", "own file");
    check("./own test", "the session can write");
    let Tried::Exec(mut poisoned) = exec("git status") else { unreachable!() };
    poisoned.environment = vec![("GIT_SSH_COMMAND".into(), "x".into())];
    let (rules, proposal) = learn(&[(Tried::Exec(poisoned), Came::Yes)]);
    assert_eq!(rules, "");
    assert!(proposal.left[0].why.contains("GIT_SSH_COMMAND"));
}

#[test]
fn what_a_rule_cannot_answer_is_said_with_the_rule_that_asks() {
    let rules = "prefix_rule(pattern = [\"git\"], decision = \"prompt\")\n";
    let past = yeses(&["git status"]);
    let proposal = propose(&past, &place(), |text| compile(text, "", rules)).expect("a proposal");
    assert!(proposal.rules.is_empty());
    assert!(proposal.left[0].why.contains("own.rules line 1"), "{:?}", proposal.left);
}

#[test]
fn hosts_and_requests_are_named_with_port_method_and_path() {
    let asks = "network.rules = [{ host = \"api.example\", decision = \"allow\", methods = [\"GET\"] }]\n\
                network.default = \"ask\"\n";
    let past = [
        (connect("docs.example:443"), Came::Yes),
        (connect("[2606:4700::1]:8443"), Came::Yes),
        (connect("evil.example:443"), Came::No),
        (connect("api.example:443"), Came::Through),
        (request("POST", "api.example:443", "/v1/things"), Came::Yes),
        (request("DELETE", "api.example:443", "/v1/things"), Came::No),
    ];
    let proposal = propose(&past, &place(), |text| compile(text, asks, "")).expect("a proposal");
    let rules: String = proposal.rules.iter().map(|rule| rule.text.as_str()).collect();
    assert!(rules.contains("host = \"docs.example:443\", protocol = \"https\""), "{rules}");
    assert!(rules.contains("host = \"[2606:4700::1]:8443\", protocol = \"socks5_tcp\""), "{rules}");
    assert!(rules.contains("methods = [\"POST\"],\n    paths = [\"/v1/things\"],"), "{proposal}");
    assert!(!rules.contains("evil") && !rules.contains("DELETE"), "{rules}");
    // A path that reads as a pattern is about more than itself.
    let star = [
        (request("POST", "api.example:443", "/v1/*"), Came::Yes),
        (request("POST", "api.example:443", "/v1/other"), Came::No),
    ];
    let proposal = propose(&star, &place(), |text| compile(text, asks, "")).expect("a proposal");
    assert!(proposal.rules.is_empty(), "{proposal}");
}

#[test]
fn the_text_loads_is_the_same_each_time_and_says_what_it_is_for() {
    let past = yeses(&["cargo test a", "deploy f(x) \"q\"", "bash x"]);
    let (_, first) = learn(&past);
    let (_, again) = learn(&past);
    assert_eq!(first, again);
    let text = first.to_string();
    compile(&text, SETTINGS, RULES).expect("it loads");
    assert!(text.starts_with("# Would have answered 1 question:\n#   run `cargo test a`\n"));
    assert!(text.contains("# No rule is proposed for these"), "{text}");
}

#[test]
fn nothing_that_was_tried_writes_a_line_of_the_file() {
    let hostile = "x\nprefix_rule(pattern=[\"rm\"])\n#";
    let (_, proposal) = learn(&[
        (exec_of(&["deploy", "to", hostile]), Came::Yes),
        (exec_of(&["rm", hostile]), Came::Yes),
    ]);
    let text = proposal.to_string();
    assert!(
        !text.lines().any(|line| line.contains("\"rm\"")
            && !line.contains("deploy")
            && !line.starts_with('#')),
        "{text}"
    );
    let policy = compile(&text, SETTINGS, "").expect("it loads");
    let ruled = exec("rm x").judge(&policy, &Grants::default());
    assert_eq!(ruled.decision, Decision::Ask, "{text}");
    assert_eq!(proposal.rules.len(), 1, "{text}");
}

/// The law: with the proposal, what was answered yes and is covered runs, and
/// nothing else is judged in another way.
#[test]
fn a_proposal_answers_what_was_answered_and_changes_nothing_else() {
    bolero::check!().with_type::<Vec<(u8, [u8; 3], u8)>>().for_each(|noise| {
        let past: Vec<(Tried, Came)> = noise.iter().take(24).map(|one| attempt(*one)).collect();
        let before = compile("", SETTINGS, RULES).expect("a policy");
        let proposal =
            propose(&past, &place(), |text| compile(text, SETTINGS, RULES)).expect("a proposal");
        let after = compile(&proposal.to_string(), SETTINGS, RULES).expect("it loads");
        let mut answered = 0;
        for (tried, came) in &past {
            let now = tried.judge(&after, &Grants::default()).decision;
            let then = tried.judge(&before, &Grants::default()).decision;
            let twin = |other: Came| past.iter().any(|(t, c)| t == tried && *c == other);
            let wanted = (twin(Came::Yes) || twin(Came::Covered)) && !twin(Came::No);
            assert!(now == then || wanted && now == Decision::Allow, "{tried:?} {proposal}");
            answered += usize::from(*came == Came::Yes && now != then);
        }
        assert_eq!(answered, proposal.rules.iter().map(|rule| rule.answers).sum::<usize>());
    });
}

fn attempt((kind, words, came): (u8, [u8; 3], u8)) -> (Tried, Came) {
    let pick = |from: &[&'static str], n: u8| from[usize::from(n) % from.len()];
    let argv = [
        pick(&["git", "cargo", "deploy", "bash", "./own", "ls"], words[0]),
        pick(&["push", "test", "-C", "--force"], words[1]),
        pick(&["origin", "a", "b", "c", "-x", "(", "origin forbidden"], words[2]),
    ];
    let hosts = ["a.example:443", "b.example:80", "127.0.0.1:9", "[::1]:9", "a.example:22"];
    let tried = match kind % 4 {
        0 => connect(pick(&hosts, words[0])),
        1 => request(
            pick(&["GET", "POST"], words[0]),
            pick(&hosts, words[1]),
            pick(&["/a", "/a/*", "/b"], words[2]),
        ),
        _ => exec(&argv.join(" ")),
    };
    let ways = [Came::Through, Came::Covered, Came::Yes, Came::Yes, Came::No];
    (tried, ways[usize::from(came) % ways.len()])
}
