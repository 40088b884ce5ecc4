//! Laws of combining layers, tried on policies made up at random.

use remit_policy::{
    Access, Change, Exec, FileWrite, Grants, Layer, Policy, PolicyText, Request, Resource, Roots,
    Stdin, ToolCall, Writing,
};

use crate::common::{compile, connect, exec, place, request, rules, settings, strictness};

/// A small deterministic generator (xorshift), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const PATTERNS: [&str; 10] = [
    "a.example",
    "**.a.example",
    "*.a.example",
    "b.example:443",
    "**.b.example:80",
    "10.0.0.5",
    "10.0.0.0/8",
    "localhost:80",
    "8.8.8.8",
    "64:ff9b::/96",
];
const HOSTS: [&str; 14] = [
    "a.example:443",
    "x.a.example:80",
    "b.example:443",
    "b.example:80",
    "x.b.example:80",
    "c.example:80",
    "10.0.0.5:80",
    "10.0.0.6:80",
    "localhost:80",
    "localhost:81",
    "8.8.8.8:80",
    "9.9.9.9:80",
    "[64:ff9b::808:808]:80",
    "api.model.example:443",
];
const COMMANDS: [&str; 7] = [
    "/usr/bin/git - git push",
    "/usr/bin/git - git push -f",
    "/usr/bin/git - git",
    "/bin/rm - rm x",
    "/tmp/git /tmp/git rm x",
    "/tmp/x /usr/bin/git x push",
    "/bin/ls - ls",
];
const PREFIXES: [&str; 6] = [
    "['git']",
    "['git', 'push']",
    "['/usr/bin/git', 'push']",
    "['rm']",
    "['ls']",
    "[['git', 'rm'], ['x', 'push']]",
];

const SHAPES: [&str; 8] = [
    "'git'",
    "'git', subcommand=['push']",
    "'git', any_flags=['-f', '--force']",
    "['git', 'rm'], all_flags=['-f'], cwd=['./**']",
    "'rm', cwd=['/srv']",
    "'git', env=['GIT_SSH']",
    "'git', env=['GIT_SSH=x'], any_flags=['-v']",
    "['x', 'rm'], stdin_is_script=True",
];
const TOOLS: [&str; 4] = ["'s', 't'", "'*', ['t', 'u*']", "'S', 'u'", "'s', '*'"];
const CALLS: [(&str, &str); 4] = [("s", "t"), ("S", "up"), ("x", "u"), ("x", "y")];
const FILES: [&str; 5] = [
    "'./a/**', 'write'",
    "['./**/*.pem', '/tmp/x'], 'write'",
    "'~/notes', ['read', 'write']",
    "'./**', 'write'",
    "'./*/k', 'write'",
];
const WRITES: [&str; 6] = ["a", "a/b", "k.pem", "c/k", "c", "d/e"];

const DATA: [(&str, &[&str]); 4] = [
    ("web", &["full", "read-only"]),
    ("cache", &["off", "fill", "only"]),
    ("upload", &["none", "1MiB", "1GiB"]),
    ("patterns", &["off", "ask"]),
];
const NARROWED: [(&str, &[&str]); 5] = [
    ("scheme", &["'http'", "'https'"]),
    ("methods", &["['GET']", "['POST', 'GET']", "['DELETE']"]),
    ("paths", &["['/a/**']", "['/a/b']", "['/**']", "['/*']"]),
    ("programs", &["['/usr/bin/git']", "['/usr/bin/curl', '/usr/bin/git']"]),
    ("upload", &["'1KiB'", "'1MiB'"]),
];
const REQUESTS: [&str; 10] = [
    "GET https://a.example/a/b",
    "POST https://a.example/a/b",
    "GET https://a.example/a/%2e%2e/b",
    "POST http://b.example:80/a",
    "GET https://x.b.example:80/a?_method=DELETE",
    "GET https://c.example:80/",
    "DELETE https://8.8.8.8:80/a/b",
    "GET https://[64:ff9b::808:808]:80/A//b",
    "POST http://localhost:80/a",
    "POST https://api.model.example/a",
];
const PROGRAMS: [Option<&str>; 3] = [None, Some("/usr/bin/git"), Some("/usr/bin/curl")];

/// One `[[network.rules]]`.
fn any_rule(dice: &mut Dice, decisions: &[&str]) -> String {
    let mut text = format!(
        "[[network.rules]]\nhost = '{}'\ndecision = '{}'\n",
        dice.pick(&PATTERNS),
        dice.pick(decisions)
    );
    for (key, values) in NARROWED {
        if dice.roll(3) == 0 {
            text += &format!("{key} = {}\n", dice.pick(values));
        }
    }
    text
}

fn any_settings(dice: &mut Dice, layer: Layer) -> PolicyText {
    let mut text = String::from("[network]\n");
    if dice.roll(3) == 0 {
        text += &format!("default = '{}'\n", dice.pick(&["ask", "refuse"]));
    }
    let keys: &[&str] = match layer {
        Layer::Project => &["ask", "deny"],
        _ => &["allow", "ask", "deny", "internal"],
    };
    for key in keys {
        let patterns: Vec<_> =
            (0..dice.roll(4)).map(|_| format!("'{}'", dice.pick(&PATTERNS))).collect();
        text += &format!("{key} = [{}]\n", patterns.join(", "));
    }
    let lists: &[&str] = match layer {
        Layer::Project => &["inspect"],
        _ => &["inspect", "pass_through", "opaque"],
    };
    for key in lists {
        if dice.roll(3) == 0 {
            text += &format!("{key} = ['{}']\n", dice.pick(&PATTERNS));
        }
    }
    for (key, values) in DATA {
        if dice.roll(4) == 0 {
            text += &format!("{key} = '{}'\n", dice.pick(values));
        }
    }
    for _ in 0..dice.roll(4) {
        let decisions: &[&str] = match layer {
            Layer::Project => &["prompt", "forbidden"],
            _ => &["allow", "allow", "prompt", "forbidden"],
        };
        text += &any_rule(dice, decisions);
    }
    if dice.roll(3) == 0 {
        text +=
            &format!("[commands]\ndefault = '{}'\n", dice.pick(&["allow", "prompt", "forbidden"]));
    }
    settings(layer, &text)
}

fn any_rules(dice: &mut Dice, layer: Layer, decisions: &[&str]) -> PolicyText {
    let rule = |dice: &mut Dice| {
        let decision = dice.pick(decisions);
        match dice.roll(6) {
            0 | 1 => format!("prefix_rule({}, '{decision}')\n", dice.pick(&PREFIXES)),
            2 | 3 => format!("command_rule({}, decision='{decision}')\n", dice.pick(&SHAPES)),
            4 => format!("tool_rule({}, '{decision}')\n", dice.pick(&TOOLS)),
            _ => format!("file_rule({}, 'forbidden')\n", dice.pick(&FILES)),
        }
    };
    let text: String = (0..dice.roll(4)).map(|_| rule(dice)).collect();
    rules(layer, &text)
}

fn any_policy(dice: &mut Dice) -> Vec<PolicyText> {
    let mut texts = Vec::new();
    for layer in [Layer::Project, Layer::User, Layer::System] {
        if dice.roll(2) == 0 {
            texts.push(any_settings(dice, layer));
        }
        if dice.roll(2) == 0 {
            texts.push(any_rules(dice, layer, &["allow", "prompt", "forbidden"]));
        }
    }
    texts
}

/// How strict a policy is about each host, each answer and each command.
fn verdicts(policy: &Policy) -> Vec<(String, u8)> {
    let none = Grants::default();
    let mut all = Vec::new();
    for host in HOSTS {
        all.push((host.to_owned(), strictness(&policy.connect(connect(host), &none))));
        for answer in ["8.8.8.8", "10.0.0.5", "127.0.0.1", "64:ff9b::808:808"] {
            let refused = policy.address(&connect(host), answer.parse().unwrap()).is_err();
            all.push((format!("{host} at {answer}"), u8::from(refused)));
        }
    }
    for text in REQUESTS {
        for program in PROGRAMS {
            let mut request = request(text);
            request.connect.program = program.map(Into::into);
            all.extend(carried(policy, request));
        }
    }
    let data = policy.data();
    all.push(("web".to_owned(), data.web as u8));
    all.push(("cache".to_owned(), data.cache as u8));
    all.push(("patterns".to_owned(), data.patterns as u8));
    all.push(("upload".to_owned(), tightness(data.upload)));
    for command in COMMANDS {
        all.push((command.to_owned(), strictness(&policy.exec(exec(command), &none))));
        let environment = vec![("GIT_SSH".into(), "x".into())];
        let attempt = Exec { environment, stdin: Stdin::Pipe, ..exec(command) };
        all.push((format!("{command} from a pipe"), strictness(&policy.exec(attempt, &none))));
    }
    for (server, tool) in CALLS {
        let call = ToolCall { server: server.into(), tool: tool.into(), ..ToolCall::default() };
        all.push((format!("{call:?}"), strictness(&policy.tool(call, &none))));
    }
    all.extend(written(policy));
    all
}

/// How strict a policy is about each change of some names, and about the secrets.
fn written(policy: &Policy) -> Vec<(String, u8)> {
    let files = policy.filesystem();
    let workspace = place().workspace;
    let projects = match files.workspace {
        Access::Write => vec![workspace.clone()],
        Access::Read => Vec::new(),
    };
    let writing = Writing::new(files, Roots { projects, ..Roots::default() });
    let changes = [Change::Write, Change::Take, Change::PutDirectory { empty: false }];
    let judged = WRITES.into_iter().flat_map(|name| {
        let path = workspace.join(name);
        changes.map(|change| FileWrite { path: path.clone(), change })
    });
    let hidden = files.hidden.iter().any(|rule| rule.path.ends_with("notes"));
    judged
        .map(|write| (format!("{write:?}"), strictness(&writing.judge(write))))
        .chain([("notes".to_owned(), u8::from(hidden))])
        .collect()
}

/// How strict a policy is about a request and the connection that it comes on.
/// What is refused cannot be treated any better.
fn carried(policy: &Policy, request: Request) -> [(String, u8); 5] {
    let none = Grants::default();
    let there = request.connect.clone();
    let name = format!("{request} by {:?}", there.program);
    let connected = strictness(&policy.connect(there.clone(), &none));
    let handling = policy.handling(&there);
    let cap = tightness(policy.upload_caps(&there).into_iter().map(|(cap, _)| cap).min());
    let refused = connected == 2;
    let judged = strictness(&policy.request(request, &none)).max(connected);
    [
        (format!("{name}, inspected"), u8::from(handling.inspect || refused)),
        (format!("{name}, requests only"), u8::from(handling.requests_only || refused)),
        (format!("{name}, not opaque"), u8::from(!handling.opaque || refused)),
        (format!("{name}, capped"), cap),
        (name, judged),
    ]
}

fn tightness(cap: Option<u64>) -> u8 {
    cap.map_or(0, |bytes| 64 - bytes.ilog2() as u8)
}

/// Adds what `more` makes to a few hundred policies; nothing may become weaker,
/// and something must become stricter at least once, or the law was not tried.
fn check_narrows(more: impl Fn(&mut Dice) -> PolicyText) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut bit = false;
    for _ in 0..150 {
        let mut texts = any_policy(&mut dice);
        let profile = [None, Some("offline")][dice.roll(2)];
        let before = verdicts(&compile(&texts, profile));
        texts.insert(dice.roll(texts.len() + 1), more(&mut dice));
        let after = verdicts(&compile(&texts, profile));
        for (before, after) in before.iter().zip(&after) {
            assert!(after.1 >= before.1, "{before:?} became {after:?} under {texts:#?}");
            bit |= after.1 > before.1;
        }
    }
    assert!(bit, "nothing became stricter");
}

#[test]
fn a_projects_text_never_allows_more() {
    check_narrows(|dice| any_settings(dice, Layer::Project));
    check_narrows(|dice| any_rules(dice, Layer::Project, &["allow", "prompt", "forbidden"]));
}

#[test]
fn a_deny_of_any_layer_never_allows_more() {
    check_narrows(|dice| {
        let layer = [Layer::Project, Layer::User, Layer::System][dice.roll(3)];
        settings(layer, &format!("[network]\ndeny = ['{}']", dice.pick(&PATTERNS)))
    });
}

#[test]
fn a_forbidding_rule_of_any_layer_never_allows_more() {
    check_narrows(|dice| {
        let layer = [Layer::Project, Layer::User, Layer::System][dice.roll(3)];
        any_rules(dice, layer, &["forbidden"])
    });
}

#[test]
fn a_prompting_rule_beside_an_allowing_default_never_allows_more() {
    let mut dice = Dice(5);
    let mut bit = false;
    for _ in 0..150 {
        let mut texts = any_policy(&mut dice);
        texts.retain(|text| !text.text.contains("[commands]"));
        let before = verdicts(&compile(&texts, None));
        let layer = [Layer::Project, Layer::User, Layer::System][dice.roll(3)];
        texts.push(any_rules(&mut dice, layer, &["prompt"]));
        let after = verdicts(&compile(&texts, None));
        for (before, after) in before.iter().zip(&after) {
            assert!(after.1 >= before.1, "{before:?} became {after:?} under {texts:#?}");
            bit |= after.1 > before.1;
        }
    }
    assert!(bit, "nothing became stricter");
}

#[test]
fn a_forbidding_network_rule_of_any_layer_never_allows_more() {
    check_narrows(|dice| {
        let layer = [Layer::Project, Layer::User, Layer::System][dice.roll(3)];
        settings(layer, &any_rule(dice, &["forbidden"]))
    });
}

#[test]
fn an_inspection_or_a_cap_of_any_layer_never_allows_more() {
    check_narrows(|dice| {
        let layer = [Layer::Project, Layer::User, Layer::System][dice.roll(3)];
        let pattern = dice.pick(&PATTERNS);
        let rule = format!("[[network.rules]]\nhost = '{pattern}'\nupload = '1KiB'");
        let inspect = format!("network.inspect = ['{pattern}']");
        settings(layer, dice.pick(&[&rule, &inspect]))
    });
}

#[test]
fn a_stricter_value_of_the_systems_never_allows_more() {
    check_narrows(|dice| {
        settings(
            Layer::System,
            dice.pick(&[
                "network.default = 'refuse'",
                "network.default = 'ask'",
                "network.web = 'read-only'",
                "network.cache = 'only'",
                "network.upload = '1MiB'",
                "network.patterns = 'ask'",
                "commands.default = 'forbidden'",
                "commands.default = 'prompt'",
                "commands.default = 'allow'",
            ]),
        )
    });
}

#[test]
fn the_order_of_texts_of_different_layers_does_not_matter() {
    let mut dice = Dice(7);
    for _ in 0..100 {
        let texts = any_policy(&mut dice);
        let backwards: Vec<_> = texts.iter().rev().cloned().collect();
        assert_eq!(
            verdicts(&compile(&texts, None)),
            verdicts(&compile(&backwards, None)),
            "{texts:#?}"
        );
    }
}

const LIMITS: [(&str, &[&str]); 7] = [
    ("memory", &["'64MiB'", "'1GiB'", "'900GiB'", "'none'"]),
    ("tmp", &["'1MiB'", "'1GiB'", "'64GiB'"]),
    ("file_size", &["'1KiB'", "'1GiB'", "'none'"]),
    ("processes", &["8", "64", "4096", "100000"]),
    ("open_files", &["64", "1024", "1000000"]),
    ("cpu", &["'0.5'", "'2'", "'64'", "'none'"]),
    ("time", &["'1s'", "'5m'", "'48h'", "'none'"]),
];

fn any_limit(dice: &mut Dice, layer: Layer) -> PolicyText {
    let (key, values) = LIMITS[dice.roll(LIMITS.len())];
    settings(layer, &format!("limits.{key} = {}", dice.pick(values)))
}

/// Every limit as a number; none is the greatest. What is only limited by
/// default counts as its own value: the host's size comes on top.
fn limits(policy: &Policy) -> Vec<u64> {
    let of = |resource| policy.limits().of(resource).most.unwrap_or(u64::MAX);
    Resource::ALL.into_iter().map(of).collect()
}

fn any_limits(dice: &mut Dice) -> Vec<PolicyText> {
    let layers = [Layer::Project, Layer::User, Layer::System];
    (0..dice.roll(6))
        .map(|_| {
            let layer = layers[dice.roll(3)];
            any_limit(dice, layer)
        })
        .collect()
}

#[test]
fn a_projects_limit_never_raises_one() {
    let mut dice = Dice(11);
    let mut bit = false;
    for _ in 0..400 {
        let mut texts = any_limits(&mut dice);
        let before = compile(&texts, None);
        texts.push(any_limit(&mut dice, Layer::Project));
        let after = compile(&texts, None);
        for (before, after) in limits(&before).iter().zip(limits(&after)) {
            assert!(after <= *before, "{texts:#?}");
            bit |= after < *before;
        }
        for resource in Resource::ALL {
            let by_default = |policy: &Policy| policy.limits().of(resource).by_default;
            assert_eq!(by_default(&before), by_default(&after), "{texts:#?}");
        }
    }
    assert!(bit, "nothing became stricter");
}

#[test]
fn no_layer_lifts_a_limit_of_the_systems() {
    let mut dice = Dice(13);
    for _ in 0..400 {
        let system = any_limit(&mut dice, Layer::System);
        let alone = limits(&compile(std::slice::from_ref(&system), None));
        let built_in = limits(&compile(&[], None));
        let mut texts = vec![system];
        let others = any_limits(&mut dice).into_iter().filter(|text| text.layer != Layer::System);
        texts.extend(others);
        let together = limits(&compile(&texts, None));
        for ((alone, built_in), together) in alone.iter().zip(built_in).zip(together) {
            // Where the system is silent, the user chooses.
            assert!(together <= *alone || *alone == built_in, "{texts:#?}");
        }
    }
}
