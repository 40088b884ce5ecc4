//! What loads, and what a policy that does not load says about it.

use std::path::Path;
use std::time::Duration;

use remit_policy::{Access, Layer, Place, Policy, Resource, Sync};

use crate::common::{check_exec, check_host, codex, compile, place, rules, settings, try_compile};

/// Loads one text and compares how the refusal begins.
#[track_caller]
pub(crate) fn check_refused(text: remit_policy::PolicyText, expected: &str) {
    let shown = text.text.clone();
    match try_compile(&[text], None) {
        Ok(_) => panic!("loaded: {shown}"),
        Err(error) => {
            let error = error.to_string();
            assert!(error.starts_with(expected), "{shown}\n{error}\nnot\n{expected}");
        }
    }
}

#[test]
fn a_wrong_setting_names_file_line_and_key() {
    let check = |text: &str, expected: &str| {
        check_refused(
            settings(Layer::User, text),
            &format!("settings `user.toml` line {expected}"),
        );
    };
    check("\n[network]\ndney = []", "3: unknown key `network.dney`; did you mean `deny`?");
    check("[netwrok]\ndeny = []", "1: unknown key `netwrok`; did you mean `network`?");
    check("[network]\nhosts = []", "2: unknown key `network.hosts`");
    check(
        "[profiles.x.network]\nalow = []",
        "2: unknown key `profiles.x.network.alow`; did you mean `allow`?",
    );
    check("[network]\ndefault = 3", "2: `network.default`: ");
    check(
        "[network]\ndefault = 'allow'",
        "2: `network.default`: it is `ask` or `refuse`, not `allow`",
    );
    check("[network]\nallow = 'x.example'", "2: `network.allow`: ");
    check("[network]\nallow = [\n 'a.example',\n 3,\n]", "4: `network.allow`: ");
    check(
        "[network]\nallow = [\n 'a.example',\n 'b/c',\n]",
        "4: `network.allow`: `b/c` is not a host pattern: ",
    );
    check("[network]\nallow = ['*']", "2: `network.allow`: `*` covers too much");
    check("[network]\nallow = ['*.com']", "2: `network.allow`: `*.com` covers too much");
    check(
        "[network]\ninternal = ['**.internal']",
        "2: `network.internal`: `**.internal` covers too much",
    );
    check("[network]\nask = ['0.0.0.0/0']", "2: `network.ask`: `0.0.0.0/0` covers too much");
    check(
        "[commands]\ndefault = 'ask'",
        "2: `commands.default`: it is `allow` or `prompt` or `forbidden`",
    );
    check("[sandbox]\nworkspace = 'rw'", "2: `sandbox.workspace`: ");
    check("[sandbox]\nwrite = ['../x']", "2: `sandbox.write`: `../x`: a path has no `..`");
    check("[sandbox]\nwrite = ['x']", "2: `sandbox.write`: `x`: a path begins with");
    check(
        "[sandbox]\nwrite = ['~/.ssh']",
        "2: `sandbox.write \"~/.ssh\"`: `/home/alice/.ssh` is hidden by",
    );
    check("[sandbox]\nwrite = ['~/.ssh/x']", "2: `sandbox.write \"~/.ssh/x\"`: ");
    check(
        "[sandbox]\nwrite = ['~']",
        "2: `sandbox.write \"~\"`: `/home/alice` holds the whole home",
    );
    check("[sandbox]\nwrite = ['/']", "2: `sandbox.write \"/\"`: ");
    check(
        "[sandbox]\nhide = ['/opt/x']\nwrite = ['/opt/x/y']",
        "3: `sandbox.write \"/opt/x/y\"`: ",
    );
    check(
        "[sandbox]\nhide = ['/home']",
        "2: `sandbox.hide \"/home\"`: it would hide the workspace",
    );
    check(
        "[sandbox]\nenvironment = ['LD_PRELOAD']",
        "2: `sandbox.environment`: `LD_PRELOAD` never passes",
    );
    check("[sandbox]\nenvironment = ['*']", "2: `sandbox.environment`: a variable is written");
    check("[approvals]\npatience = '0s'", "2: `approvals.patience`: ");
    check("[approvals]\npatience = '5'", "2: `approvals.patience`: ");
    check("[approvals]\npatience = '99999999999999999999h'", "2: `approvals.patience`: ");
    check("[approvals]\npatience = '25h'", "2: `approvals.patience`: ");
    check("[record]\nsync = 'never'", "2: `record.sync`: ");
    check("[limits]\nmemmory = '1GiB'", "2: unknown key `limits.memmory`; did you mean `memory`?");
    check("[limits]\nmemory = '0GiB'", "2: `limits.memory`: `0GiB` is not between `16MiB` and");
    check("[limits]\nmemory = '8GB'", "2: `limits.memory`: `8GB` is not a size such as");
    check("[limits]\nmemory = '-8GiB'", "2: `limits.memory`: ");
    check("[limits]\nmemory = ' 8GiB'", "2: `limits.memory`: ");
    check("[limits]\nmemory = '99999999999999GiB'", "2: `limits.memory`: ");
    check("[limits]\nmemory = 8", "2: `limits.memory`: ");
    check("[limits]\ntmp = 'none'", "2: `limits.tmp`: `none` is not a size such as");
    check("[limits]\ntmp = '1KiB'", "2: `limits.tmp`: `1KiB` is not between `1MiB` and");
    check("[limits]\nfile_size = '0KiB'", "2: `limits.file_size`: ");
    check("[limits]\nprocesses = 0", "2: `limits.processes`: `0` is not between `8` and `4194304`");
    check("[limits]\nprocesses = -1", "2: `limits.processes`: `-1` is not between");
    check("[limits]\nprocesses = '64'", "2: `limits.processes`: ");
    check("[limits]\nopen_files = 3", "2: `limits.open_files`: `3` is not between `64` and");
    check("[limits]\ncpu = '0'", "2: `limits.cpu`: `0` is not between `0.05` and `4096.00`");
    check("[limits]\ncpu = '150%'", "2: `limits.cpu`: `150%` is not a number of cores such as");
    check("[limits]\ncpu = '1.505'", "2: `limits.cpu`: ");
    check("[limits]\ntime = '0s'", "2: `limits.time`: `0s` is not between `1s` and `720h`");
    check("[limits]\ntime = '2 h'", "2: `limits.time`: ");
    check("[profiles.x.limits]\nprocesses = 1", "2: `limits.processes`: ");
    check("extends = 'offline'", "1: `extends`: only a profile extends another");
    check("[profiles.offline]", "1: `profiles.offline`: that name is taken");
    check(
        "[profiles.x]\nextends = 'ofline'",
        "1: `profiles.x.extends`: no profile is called `ofline`; did you mean `offline`?",
    );
    check(
        "[profiles.x]\nextends = 'y'\n[profiles.y]\nextends = 'x'",
        "1: `profiles.x.extends`: `x` extends itself",
    );
    check("[profiles.x.profiles.y]", "1: `profiles.x.profiles`: ");
    check("[profiles.x.network]\nallow = ['*']", "2: `network.allow`: `*` covers too much");
    check("[network]\n[network]", "2: ");
    check("[network\n", "1: ");
    check("x", "1: ");
}

#[test]
fn a_wrong_statement_about_the_network_names_file_line_and_key() {
    let check = |text: &str, expected: &str| {
        check_refused(
            settings(Layer::User, text),
            &format!("settings `user.toml` line {expected}"),
        );
    };
    let key = |text: &str, expected: &str| {
        check(&format!("[network]\n{text}"), &format!("2: {expected}"))
    };
    key("inspects = []", "unknown key `network.inspects`; did you mean `inspect`?");
    key(
        "allow = ['preset:rsut']",
        "`network.allow`: no preset is called `rsut`; did you mean `rust`?",
    );
    key("allow = ['preset:']", "`network.allow`: no preset is called ``; there are ");
    key("inspect = ['preset:rust']", "`network.inspect`: a preset stands in");
    key("opaque = ['*']", "`network.opaque`: `*` covers too much");
    key("pass_through = ['*.com']", "`network.pass_through`: `*.com` covers too much");
    key("web = 'readonly'", "`network.web`: it is `full` or `read-only`, not `readonly`");
    key("cache = 'on'", "`network.cache`: it is `off` or `fill` or `only`");
    key("patterns = 'refuse'", "`network.patterns`: ");
    key("upload = '10MB'", "`network.upload`: `10MB` is not a size such as");
    key("upload = 10", "`network.upload`: ");
    key("publish = [0]", "`network.publish`: `0` is not a port from 1 to 65535");
    key("publish = [65536]", "`network.publish`: `65536` is not a port");
    key("publish = ['80']", "`network.publish`: ");
    for proxy in [
        "proxy.example:3128",
        "https://proxy.example:3128",
        "http://proxy.example",
        "http://proxy.example:0",
        "http://proxy.example:3128/x",
        "http://a b:1",
        "http://proxy.example\\u0000.evil:1",
        "socks5://proxy.example:1",
    ] {
        key(&format!("proxy = \"{proxy}\"").replace("\\\\", "\\"), "`network.proxy`: ");
    }
    key("proxy = 'http://u:secret@p.example:1'", "`network.proxy`: `http://…@…` holds a password");
    let rule = |text: &str, expected: &str| {
        check(&format!("[[network.rules]]\nhost = 'a.example'\n{text}"), expected);
    };
    rule("decison = 'allow'", "3: unknown key `network.rules.decison`; did you mean `decision`?");
    rule(
        "decision = 'deny'",
        "3: `network.rules.decision`: it is `allow` or `prompt` or `forbidden`",
    );
    rule("", "2: `network.rules.decision`: a rule has a `decision`, or an `upload`");
    rule(
        "decision = 'allow'\nmethods = ['get']",
        "4: `network.rules.methods`: `get` is written in capitals",
    );
    rule("decision = 'allow'\nmethods = ['G T']", "4: `network.rules.methods`: `G T`: ");
    rule(
        "decision = 'allow'\nmethods = []",
        "4: `network.rules.methods`: an empty list says nothing",
    );
    rule(
        "decision = 'allow'\npaths = ['a']",
        "4: `network.rules.paths`: `a` is not a path: it begins",
    );
    rule("decision = 'allow'\npaths = ['/a/../b']", "4: `network.rules.paths`: ");
    rule("decision = 'allow'\nscheme = 'ftp'", "4: `network.rules.scheme`: ");
    rule(
        "decision = 'allow'\nprograms = ['git']",
        "4: `network.rules.programs`: `git` is not an absolute path",
    );
    rule(
        "decision = 'allow'\nprograms = ['/tmp/git']",
        "2: `network.rules allow a.example by /tmp/git`: `/tmp/git` can be written in the session",
    );
    rule(
        "decision = 'allow'\nprograms = ['/home/alice/proj/x']",
        "2: `network.rules allow a.example by",
    );
    rule("decision = 'forbidden'\nssh = ['git-upload-pack']", "2: `network.rules.ssh`: ");
    rule("decision = 'allow'\nssh = ['a b']", "4: `network.rules.ssh`: `a b` is not the name");
    rule("decision = 'allow'\nupload = 'x'", "4: `network.rules.upload`: ");
    rule("upload = '1MiB'\npaths = ['/a']", "2: `network.rules.upload`: ");
    rule(
        "decision = 'allow'\njustification = ' '",
        "4: `network.rules.justification`: it is empty",
    );
    check("[[network.rules]]\ndecision = 'allow'", "1: ");
    check(
        "[[network.rules]]\nhost = '*'\ndecision = 'allow'",
        "2: `network.rules.host`: `*` covers too much",
    );
    check(
        "[[network.rules]]\nhost = 'preset:rust'\ndecision = 'allow'",
        "2: `network.rules.host`: ",
    );
    check("[profiles.x.network]\ncahce = 'off'", "2: unknown key `profiles.x.network.cahce`");
}

#[test]
fn a_project_text_that_would_allow_more_does_not_load() {
    let lists = [
        "network.allow",
        "network.internal",
        "network.pass_through",
        "network.opaque",
        "network.no_proxy",
        "network.publish",
        "sandbox.write",
        "sandbox.environment",
    ];
    let single = ["network.proxy", "network.proxy_credential"];
    for key in lists.into_iter().chain(single) {
        let (section, name) = key.split_once('.').unwrap();
        let value = if single.contains(&key) { "'http://p.example:1'" } else { "[]" };
        let text = format!("\n[{section}]\n{name} = {value}");
        check_refused(
            settings(Layer::Project, &text),
            &format!(
                "settings `project.toml` line 3: `{key}` would allow more, and a project can only narrow"
            ),
        );
    }
    check_refused(
        settings(Layer::Project, "\n[[network.rules]]\nhost = 'a.example'\ndecision = 'allow'"),
        "settings `project.toml` line 4: `network.rules.decision` would allow more",
    );
    check_refused(
        settings(Layer::Project, "[credentials.x]\nas = 'bearer'"),
        "settings `project.toml` line 1: `credentials.x` would allow more",
    );
    check_refused(
        settings(Layer::Project, "[profiles.x]"),
        "settings `project.toml` line 1: `profiles.x` would allow more",
    );
}

#[test]
fn a_wrong_rule_names_file_line_and_column() {
    let check = |text: &str, expected: &str| {
        check_refused(rules(Layer::User, text), &format!("rules `user.rules` line {expected}"));
    };
    check(
        "\nprefix_rule(pattern=[])",
        "2 column 1: `pattern`, or a list of alternatives in it, is empty",
    );
    check("prefix_rule(pattern=['a', []])", "1 column 1: `pattern`, or a list");
    check("prefix_rule(pattern=[''])", "1 column 1: `pattern` begins with an empty program name");
    check(
        "prefix_rule(pattern=['a', 3])",
        "1 column 1: a place of `pattern` is a string or a list of strings, not `int`",
    );
    check(
        "prefix_rule(pattern=['a', ['b', 3]])",
        "1 column 1: an alternative of `pattern` is a string, not `int`",
    );
    check("prefix_rule(pattern='git')", "1 column 1: `pattern` is a list, not `string`");
    check(
        "prefix_rule(pattern=['a'], decision='deny')",
        "1 column 1: `decision` is `allow`, `prompt` or `forbidden`, not `deny`",
    );
    check("prefix_rule(pattern=['a'], decision=3)", "1 column ");
    check("prefix_rule(pattern=['a'], justification=' ')", "1 column 1: `justification` is empty");
    check("prefix_rule(patern=['a'])", "1 column 1: ");
    check("prefix_rule(pattern=['a'], unless='x')", "1 column 1: ");
    check("prefix_rule()", "1 column 1: ");
    check("x = 1\n\nprefix_rul(pattern=['a'])", "3 column 1: ");
    check(
        "prefix_rule(pattern=['git', 'push'],\n match=['git status'])",
        "1 column 1: `match` example `git status` is not matched by `git push`",
    );
    check(
        "prefix_rule(pattern=['git', ['a', 'b']], not_match=[['git', 'b', 'c']])",
        "1 column 1: `not_match` example `git b c` is matched by `git [a|b]`",
    );
    check(
        "prefix_rule(pattern=['a'], match=['a \"'])",
        "1 column 1: `match` example `a \"` ends within a quotation",
    );
    check("prefix_rule(pattern=['a'], match=[''])", "1 column 1: a `match` example is empty");
    check("prefix_rule(pattern=['a'], match='a')", "1 column 1: `match` is a list, not `string`");
    check(
        "prefix_rule(pattern=['a'], match=[3])",
        "1 column 1: a `match` example is a string or a list of strings",
    );
    check("prefix_rule(pattern=['a']\n", "");
    check("load('x.rules', 'y')", "1 column 1: ");
    check("network_rule('*.example', 'https', 'allow')", "1 column 1: `host` names one host");
    check(
        "network_rule('a.example', 'https', 'allow', methods=['get'])",
        "1 column 1: `methods`: `get` is written in capitals",
    );
    check(
        "network_rule('a.example', 'https', 'allow', paths=[])",
        "1 column 1: `paths` is empty; leave it out",
    );
    check(
        "network_rule('a.example', 'https', 'allow', programs=['git'])",
        "1 column 1: `programs`: `git` is not an absolute path",
    );
    check("network_rule('a.example', 'ftp', 'allow')", "1 column 1: `protocol` is ");
    check(
        "network_rule('a.example/x', 'https', 'allow')",
        "1 column 1: `a.example/x` is not a host: ",
    );
    check("network_rule('a.example', 'https')", "1 column 1: ");
    check(
        "host_executable('git', ['/usr/bin/hg'])",
        "1 column 1: path `/usr/bin/hg` does not end in `/git`",
    );
    check(
        "host_executable('git', ['bin/git'])",
        "1 column 1: `host_executable` git: a path begins with",
    );
    check("host_executable('a/b', [])", "1 column 1: `name` is the bare name of a program");
    check("fail('x')", "1 column 1: `fail` is not part of the rule language");
}

#[test]
fn a_rule_file_cannot_keep_the_machine_busy() {
    let check = |text: &str, expected: &str| {
        check_refused(
            rules(Layer::Project, text),
            &format!("rules `project.rules` line {expected}"),
        );
    };
    check("for i in range(10**9):\n  pass", "1 column ");
    check("for i in range(1000000000):\n  pass", "1 column 10: `range` has at most 10000 numbers");
    check("x = range(-2147483648, 2147483647)", "1 column 5: `range` has at most");
    check("[0 for a in range(9999) for b in range(9999)]", "");
    check("def f(n):\n  for a in range(9999):\n    for b in range(9999):\n      pass\nf(1)", "");
    check("def f():\n  f()\nf()", "");
    check("x = 'a' * 1000000000", "1 column 5: this operator is not part of the rule language");
    check("x = [0] * 1000000000", "1 column 5: this operator");
    check("x = 1\nif True:\n  x *= 9", "3 column 3: an assignment with this operator");
    check("x = 1 << 1000000000", "1 column 5: this operator");
    check("x = '%s' % 'a'", "1 column 5: this operator");
    check("x = ','.join(['a'])", "1 column 9: `.join` is not part");
    check("x = str(1)", "1 column 5: `str` is not part of the rule language");
    check("x = sorted([1])", "1 column 5: `sorted` is not part");
    check("x = 'aaaaaaaa'\nfor i in range(64):\n  x += x", "");
    check("x = [1]\nfor i in range(64):\n  x = x + x", "");
    check("x = [1]\nfor i in range(64):\n  x.extend(x)", "");
    check(
        &format!("x = {}1{}", "[".repeat(5000), "]".repeat(5000)),
        "1 column 1: the expression has too many brackets",
    );
    check(
        &format!("x = {}1", "-".repeat(50_000)),
        "1 column 1: the expression has too many operators",
    );
    check(
        &format!("x = {}True", "not ".repeat(50_000)),
        "1 column 1: the expression has too many operators",
    );
    check(&format!("x = (1{})", "\n + 1".repeat(50_000)), "");
    check(&"#".repeat(5 << 20), "1 column 1: the file is longer than");
}

#[test]
fn rules_written_for_codex_load_unchanged() {
    let policy = compile(&[rules(Layer::System, include_str!("../../examples/acme.rules"))], None);
    check_exec(&policy, "/usr/bin/gh - gh pr list", "allow by system");
    check_exec(&policy, "/usr/bin/glab - glab pr merge 7", "ask by system");
    check_exec(&policy, "/opt/git - git push", "refuse by system");
    check_host(&policy, "paste.example:8443", "refuse by system");
    let more = "verbs = ['view']\nverbs.append('list')\nfor tool in ['gh', 'glab']:\n  for verb in verbs:\n    \
                prefix_rule([tool, f'{verb}'], 'prompt')\ndef no(name):\n  prefix_rule([name], 'forbidden')\nno('rm')\n\
                prefix_rule(pattern = ['x'], decision = None, justification = None, match = None)\n\
                network_rule('udp.example', 'socks5_udp', 'allow')\nnetwork_rule('ok.example', 'https', 'allow')";
    let policy = compile(&[rules(Layer::User, more)], None);
    check_exec(&policy, "/usr/bin/glab - glab view", "ask by user");
    check_exec(&policy, "/bin/rm - rm", "refuse by user");
    check_host(&policy, "udp.example", "ask by built-in");
    check_host(&policy, "ok.example", "allow by user");
}

#[test]
fn the_default_profile_writes_the_workspace_and_hides_secrets() {
    let policy = compile(&[], None);
    let files = policy.filesystem();
    assert_eq!((policy.profile(), files.workspace), ("default", Access::Write));
    assert_eq!(files.write.len(), 1);
    assert_eq!(files.write[0].path, Path::new("/home/alice/.codex"));
    for hidden in ["/home/alice/.ssh", "/home/alice/.config/remit", "/etc/shadow", "/root"] {
        let rule = files.hidden.iter().find(|rule| rule.path == Path::new(hidden));
        assert!(rule.is_some_and(|rule| rule.basis.justification.is_some()), "{hidden}");
    }
    for protected in [".git/hooks", ".git/config", ".remit", ".mcp.json", ".envrc"] {
        let shut = files.shut();
        assert!(shut.iter().any(|rule| rule.path == Path::new(protected)), "{protected}");
    }
    assert!(policy.environment().passes("OPENAI_API_KEY"));
    assert!(!policy.environment().passes("ANTHROPIC_API_KEY"));
    assert_eq!(policy.record().sync, Sync::Group);
    assert_eq!(policy.approvals().patience, Duration::from_secs(300));
}

#[test]
fn the_user_chooses_among_strictnesses_down_to_the_systems() {
    let check = |system: &str, user: &str, project: &str, expected: (Access, Sync, u64)| {
        let texts = [
            settings(Layer::System, system),
            settings(Layer::User, user),
            settings(Layer::Project, project),
        ];
        let policy = compile(&texts, None);
        let found = (
            policy.filesystem().workspace,
            policy.record().sync,
            policy.approvals().patience.as_secs(),
        );
        assert_eq!(found, expected, "{system} {user} {project}");
    };
    use Access::{Read, Write};
    let read = "sandbox.workspace = 'read'\nrecord.sync = 'always'\napprovals.patience = '1m'";
    let write = "sandbox.workspace = 'write'\nrecord.sync = 'group'\napprovals.patience = '30m'";
    check("", "", "", (Write, Sync::Group, 300));
    check("", read, "", (Read, Sync::Always, 60));
    check("", write, "", (Write, Sync::Group, 1800));
    check(read, write, "", (Read, Sync::Always, 60));
    check(write, read, "", (Read, Sync::Always, 60));
    check(write, "", "", (Write, Sync::Group, 1800));
    check("", write, read, (Read, Sync::Always, 60));
    check(read, read, write, (Read, Sync::Always, 60));
}

#[test]
fn a_profile_extends_another_and_is_read_only_if_that_is() {
    let user = settings(
        Layer::User,
        "sandbox.write = ['/opt/cache']\nsandbox.workspace = 'write'
        [profiles.review]\nextends = 'read-only'\nnetwork.allow = ['forge.example']\nsandbox.write = ['/opt/notes']",
    );
    let policy = compile(std::slice::from_ref(&user), Some("review"));
    assert_eq!(policy.filesystem().workspace, Access::Read);
    let roots: Vec<_> =
        policy.filesystem().write.iter().map(|rule| rule.path.to_str().unwrap()).collect();
    assert_eq!(roots, ["/home/alice/.codex", "/opt/notes"]);
    check_host(&policy, "forge.example", "allow by user");
    check_host(&policy, "other.example", "refuse by built-in");
    check_host(&compile(std::slice::from_ref(&user), None), "forge.example", "ask by built-in");
    let error = try_compile(&[user], Some("reviw")).unwrap_err().to_string();
    assert_eq!(
        error,
        "no profile is called `reviw`; there are `default`, `offline`, `read-only`, `review`"
    );
}

#[test]
fn a_workspace_among_secrets_does_not_start() {
    for workspace in ["/home/alice/.ssh", "/home/alice/.aws/x", "/etc/ssh/y", "relative", "/a/../b"]
    {
        let place = Place { workspace: workspace.into(), ..place() };
        assert!(Policy::compile(&[], None, &codex(), &place).is_err(), "{workspace}");
    }
}

#[test]
fn the_canonical_text_tells_policies_apart_and_the_same_ones_not() {
    let text = |texts: &[remit_policy::PolicyText], profile| {
        compile(texts, profile).canonical().to_owned()
    };
    let user = settings(Layer::User, "[network]\ndeny = ['x.example']");
    let base = text(std::slice::from_ref(&user), None);
    assert_eq!(base, text(std::slice::from_ref(&user), Some("default")));
    let elsewhere = Place { home: "/home/bob".into(), workspace: "/srv".into() };
    let moved = Policy::compile(std::slice::from_ref(&user), None, &codex(), &elsewhere).unwrap();
    assert_eq!(base, moved.canonical());
    let others = [
        text(&[], None),
        text(std::slice::from_ref(&user), Some("offline")),
        text(&[settings(Layer::System, &user.text)], None),
        text(&[settings(Layer::User, "[network]\ndeny = ['y.example']")], None),
        text(&[user.clone(), user], None),
    ];
    assert!(others.iter().all(|other| *other != base));
}

#[test]
fn the_default_limits_are_those_of_the_built_in_profile_and_the_host() {
    let policy = compile(&[], None);
    let most = |resource| policy.limits().of(resource).most;
    assert_eq!(most(Resource::Processes), Some(4096));
    assert_eq!(most(Resource::OpenFiles), Some(65536));
    for resource in [Resource::Memory, Resource::Tmp, Resource::Cpu, Resource::Time] {
        assert_eq!(most(resource), None, "{resource}");
    }
    for resource in Resource::ALL {
        let limit = policy.limits().of(resource);
        assert!(limit.by_default && !limit.is_asked_for(), "{resource}");
    }
}

#[test]
fn a_limit_that_somebody_wrote_is_told_from_a_default() {
    let check = |layer, text: &str, resource, expected: (Option<u64>, bool, bool)| {
        let policy = compile(&[settings(layer, text)], None);
        let limit = policy.limits().of(resource);
        assert_eq!((limit.most, limit.by_default, limit.is_asked_for()), expected, "{text}");
    };
    use Layer::{Project, System, User};
    check(User, "limits.cpu = '1.5'", Resource::Cpu, (Some(150), false, true));
    check(User, "limits.memory = 'none'", Resource::Memory, (None, false, false));
    check(System, "limits.time = '2h'", Resource::Time, (Some(7200), false, true));
    // A project narrows what the host's size allows, and never replaces it.
    check(Project, "limits.memory = '1GiB'", Resource::Memory, (Some(1 << 30), true, true));
    check(Project, "limits.memory = 'none'", Resource::Memory, (None, true, false));
    check(Project, "limits.processes = 8192", Resource::Processes, (Some(4096), true, false));
    check(User, "limits.processes = 8192", Resource::Processes, (Some(8192), false, true));
}
