//! What the rule dialect says beyond Codex's.

use remit_policy::{
    AgentNeeds, Attempt as _, Change, Choice, Day, Exec, FileWrite, Grants, Layer, Place, Policy,
    Roots, Stdin, ToolCall, Verdict, Writing,
};

use crate::common::{check_exec, compile, exec, place, rules, settings, words};
use crate::loading::check_refused;

/// The user's rules where everything else is asked about.
fn asking(text: &str) -> Policy {
    let prompt = settings(Layer::User, "[commands]\ndefault = 'prompt'");
    compile(&[prompt, rules(Layer::User, text)], None)
}

#[test]
fn a_flag_is_forbidden_wherever_it_stands() {
    let policy = compile(
        &[rules(
            Layer::User,
            "command_rule('rm', all_flags=['-r', '-f'], decision='forbidden', justification='Use trash.',
                match=['rm -rf x', 'rm x -f -r', 'rm --recursive -fr'], not_match=['rm -r x', 'rm rf'])
command_rule('git', subcommand=['push'], any_flags=['-f', '--force'], decision='prompt',
                match=['git push --force', 'git -C x push -f', 'git push --forc'],
                not_match=['git push', 'git commit -m push -f'])"
                .replace("'rm --recursive -fr'", "'rm -v -fr x'")
                .as_str(),
        )],
        None,
    );
    check_exec(&policy, "/bin/rm /usr/bin/rm rm -rvf x", "refuse by user");
    check_exec(&policy, "/bin/rm /usr/bin/rm rm -r x", "allow by built-in");
    check_exec(&policy, "/tmp/x /usr/bin/rm x -- -rf", "refuse by user");
    check_exec(&policy, "/usr/bin/git - git -c a=b push --force-with-lease -f", "ask by user");
    check_exec(&policy, "/usr/bin/git - git push origin", "allow by built-in");
    check_exec(&policy, "/usr/bin/git - git --unknown x push --fo", "ask by user");
}

#[test]
fn what_permits_is_certain_of_the_command() {
    let policy = asking(
        "command_rule('git', subcommand=[['status', 'log']])
command_rule(['planner', 'shaper'], subcommand=['apply'], all_flags=['-dry'], cwd=['./**'])
command_rule('/home/alice/proj/run', place='inside')
command_rule('./tool')
command_rule('cargo', env=['RUSTC_WRAPPER=sccache'])",
    );
    check_exec(&policy, "/usr/bin/git - git status -s", "allow by user");
    check_exec(&policy, "/usr/bin/git - git --no-pager log", "allow by user");
    check_exec(&policy, "/usr/bin/git - git -C /x status", "ask by user");
    check_exec(&policy, "/usr/bin/git - git -c core.fsmonitor=x status", "ask by user");
    check_exec(&policy, "/usr/bin/shaper - shaper apply -dry", "allow by user");
    check_exec(&policy, "/usr/bin/shaper - shaper apply -out -dry", "ask by user");
    check_exec(&policy, "/usr/bin/shaper - shaper apply -- -dry", "ask by user");
    check_exec(&policy, "/usr/bin/shaper - shaper apply -dryer", "ask by user");
    check_exec(&policy, "run /home/alice/proj/run run", "allow by user");
    check_exec(&policy, "/home/alice/proj/tool - tool", "allow by user");
    check_exec(&policy, "/usr/bin/cargo - cargo build", "ask by user");
    let elsewhere =
        |cwd: &str| Exec { cwd: cwd.into(), ..exec("/usr/bin/shaper - shaper apply -dry") };
    let judged = |attempt| words(&policy.exec(attempt, &Grants::default()));
    assert_eq!(judged(elsewhere("/home/alice/proj/a")), "allow by user");
    assert_eq!(judged(elsewhere("/home/alice/project")), "ask by user");
    assert_eq!(judged(Exec { cwd: "/tmp".into(), ..exec("./tool - ./tool") }), "ask by user");
}

#[test]
fn a_permission_is_for_a_program_that_nobody_inside_made() {
    let policy = asking("prefix_rule(['ls'])\nprefix_rule(['cargo', 'test'])\nprefix_rule(['sh'])");
    check_exec(&policy, "/usr/bin/ls /usr/bin/ls ls -l", "allow by user");
    // Its own program of that name, a link of that name to another, and the other
    // way round, by `..`, through the kernel's links, and one that obeys `argv[0]`.
    check_exec(&policy, "/home/alice/proj/ls /home/alice/proj/ls ls", "ask by user");
    check_exec(&policy, "/home/alice/proj/ls /usr/bin/rm ls", "ask by user");
    check_exec(&policy, "/usr/bin/../../tmp/ls /usr/bin/rm ls", "ask by user");
    check_exec(&policy, "/proc/self/cwd/ls /usr/bin/rm ls", "ask by user");
    check_exec(&policy, "/home/alice/link/ls /usr/bin/rm ls", "ask by user");
    check_exec(&policy, "/bin/ls /usr/bin/busybox rm", "ask by user");
    check_exec(&policy, "/bin/ls /memfd:ls ls", "ask by user");
    check_exec(&policy, "/proc/self/fd/3 /memfd:ls ls", "ask by user");
    let copy = Exec { copy_of: vec!["/usr/bin/ls".into()], ..exec("/home/alice/x - x") };
    assert_eq!(words(&policy.exec(copy, &Grants::default())), "ask by user");
    // Links that the machine's or the home's owner made mean what they are called.
    check_exec(&policy, "/bin/sh /usr/bin/dash sh x", "allow by user");
    let cargo = "/home/alice/.cargo/bin/cargo /home/alice/.cargo/bin/rustup cargo test";
    check_exec(&policy, cargo, "allow by user");
    check_exec(&policy, "/tmp/link /usr/bin/ls /tmp/link", "allow by user");
}

#[test]
fn a_copy_is_what_it_is_a_copy_of() {
    let policy = compile(&[rules(Layer::User, "prefix_rule(['git', 'push'], 'forbidden')")], None);
    let copy = Exec { copy_of: vec!["/usr/bin/git".into()], ..exec("/tmp/x - x push") };
    assert_eq!(words(&policy.exec(copy, &Grants::default())), "refuse by user");
}

#[test]
fn an_exact_prefix_is_the_whole_command() {
    let policy = asking("prefix_rule(['git', 'status'], exact=True)");
    check_exec(&policy, "/usr/bin/git - git status", "allow by user");
    check_exec(&policy, "/usr/bin/git - git status x", "ask by user");
}

#[test]
fn a_variable_is_part_of_a_command() {
    let text = "command_rule('git', env=['GIT_SSH_COMMAND'], decision='forbidden')
command_rule('make', env=['CC=clang'])\nprefix_rule(['ls'])";
    let policy = asking(text);
    let with = |line: &str, name: &str, value: &str| {
        let environment = vec![(name.into(), value.into())];
        words(&policy.exec(Exec { environment, ..exec(line) }, &Grants::default()))
    };
    assert_eq!(with("/usr/bin/git - git pull", "GIT_SSH_COMMAND", "x"), "refuse by user");
    assert_eq!(with("/usr/bin/git - git pull", "GIT_SSH", "x"), "ask by user");
    assert_eq!(with("/usr/bin/make - make", "CC", "clang"), "allow by user");
    assert_eq!(with("/usr/bin/make - make", "CC", "x"), "ask by user");
    assert_eq!(with("/bin/ls - ls", "LD_PRELOAD", "x"), "ask by user");
    assert_eq!(with("/bin/ls - ls", "GIT_PAGER", "cat"), "allow by user");
    assert!(policy.minds("GIT_SSH_COMMAND".as_ref()) && policy.minds("CC".as_ref()));
    assert!(!policy.minds("GREETING".as_ref()));
}

#[test]
fn a_script_on_standard_input_can_be_forbidden() {
    let text = "command_rule(['sh', 'bash', 'python3'], stdin_is_script=True, decision='forbidden')
command_rule('dash', stdin_is_script=False)";
    let policy = asking(text);
    let with = |line: &str, stdin: Stdin| {
        words(&policy.exec(Exec { stdin, ..exec(line) }, &Grants::default()))
    };
    assert_eq!(with("/bin/sh - sh", Stdin::Pipe), "refuse by user");
    assert_eq!(with("/bin/bash - bash -e", Stdin::File), "refuse by user");
    assert_eq!(with("/bin/sh - sh", Stdin::Unknown), "refuse by user");
    assert_eq!(with("/bin/sh - sh x.sh", Stdin::Pipe), "ask by user");
    assert_eq!(with("/bin/sh - sh", Stdin::Terminal), "ask by user");
    assert_eq!(with("/bin/dash - dash x.sh", Stdin::Pipe), "allow by user");
    assert_eq!(with("/bin/dash - dash", Stdin::Unknown), "ask by user");
}

fn placed(policy: &Policy, line: &str) -> Option<String> {
    match policy.exec(exec(line), &Grants::default()) {
        Verdict::Allow(permit) => permit.place().map(|place| place.to_string()),
        Verdict::Ask(question) => {
            let answer = remit_policy::Answer {
                choice: Choice::Once,
                by: "alice".into(),
                people: Default::default(),
                note: None,
            };
            let permit = question.settle(&answer).expect("a yes");
            permit.place().map(|place| place.to_string())
        }
        Verdict::Refuse(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn a_command_runs_where_its_rules_agree() {
    let forge = settings(Layer::User, "[profiles.forge.network]\nallow = ['forge.example']");
    let system = rules(Layer::System, "prefix_rule(['curl'], place='offline')");
    let user = rules(
        Layer::User,
        "prefix_rule(['git', 'push'], place='forge')
prefix_rule(['git', 'push', 'x'], 'prompt', place='offline')
prefix_rule(['git', 'push', 'y'], 'prompt')
prefix_rule(['hg'], 'prompt', place='forge')
prefix_rule(['curl'], 'prompt', place='forge')
prefix_rule(['ls'], place='inside')",
    );
    let project = rules(Layer::Project, "prefix_rule(['hg'], 'prompt')");
    let policy = compile(&[user, system, project, forge], None);
    assert_eq!(placed(&policy, "/usr/bin/git - git push").as_deref(), Some("forge"));
    assert_eq!(placed(&policy, "/usr/bin/git - git push x"), None);
    assert_eq!(placed(&policy, "/usr/bin/git - git push y"), None);
    assert_eq!(placed(&policy, "/usr/bin/git - git pull"), None);
    assert_eq!(placed(&policy, "/usr/bin/hg - hg").as_deref(), Some("forge"));
    assert_eq!(placed(&policy, "/usr/bin/curl - curl").as_deref(), Some("offline"));
    assert_eq!(placed(&policy, "/bin/ls - ls"), None);
    assert_eq!(Vec::from_iter(policy.placed_in()), ["forge", "offline"]);
}

#[test]
fn a_rule_holds_until_its_day_is_over() {
    let text = "prefix_rule(['ls'], until='2027-01-31')
prefix_rule(['rm'], 'forbidden', until='2027-01-31')
network_rule('a.example', 'https', 'allow', until='2027-01-31')
tool_rule('s', 't', 'prompt', until='2027-01-31')";
    let texts = [settings(Layer::User, "[commands]\ndefault = 'prompt'"), rules(Layer::User, text)];
    let on = |day: u64| {
        let day = Day::of_seconds(day * 86_400);
        Policy::compile_on(&texts, None, &AgentNeeds::default(), &place(), day).expect("it loads")
    };
    let (last, after) = (on(20_849), on(20_850));
    check_exec(&last, "/bin/ls - ls", "allow by user");
    check_exec(&last, "/bin/rm - rm", "refuse by user");
    crate::common::check_host(&last, "a.example", "allow by user");
    assert_eq!(last.resting_rules(), 0);
    check_exec(&after, "/bin/ls - ls", "ask by user");
    check_exec(&after, "/bin/rm - rm", "ask by user");
    crate::common::check_host(&after, "a.example", "ask by built-in");
    assert_eq!(after.resting_rules(), 4);
    // Without a day, what allows does not and what restricts does.
    let never = compile(&texts, None);
    check_exec(&never, "/bin/ls - ls", "ask by user");
    check_exec(&never, "/bin/rm - rm", "refuse by user");
    crate::common::check_host(&never, "a.example", "ask by built-in");
    assert_eq!(last.canonical(), after.canonical());
}

fn writing(policy: &Policy) -> Writing {
    let Place { workspace, .. } = place();
    let roots =
        Roots { projects: vec![workspace], private: vec!["/tmp".into()], ..Roots::default() };
    Writing::new(policy.filesystem(), roots)
}

#[test]
fn a_file_is_not_written_where_a_rule_forbids_it() {
    let text = "file_rule('./deploy/**', 'write', 'forbidden', 'Released by the pipeline.',
    match=['./deploy/x', './deploy'], not_match=['./src', './deployed'])
file_rule(['./**/*.lock', '/tmp/out/*'], ['write'], 'forbidden')
file_rule('./a/*/key', 'write', 'forbidden')";
    let policy = compile(&[rules(Layer::Project, text)], None);
    let writing = writing(&policy);
    let check = |path: &str, change: Change, expected: &str| {
        let judged = writing.judge(FileWrite { path: path.into(), change });
        assert_eq!(words(&judged), expected, "{path} {change:?}");
    };
    let (refused, allowed) = ("refuse by project", "allow by built-in");
    let full = Change::PutDirectory { empty: false };
    check("/home/alice/proj/deploy/x", Change::Write, refused);
    check("/home/alice/proj/DEPLOY/x", Change::Write, refused);
    check("/home/alice/proj/deploy", Change::Take, refused);
    check("/home/alice/proj/deploy", Change::MakeLink, refused);
    check("/home/alice/proj/deploy", full, refused);
    check("/home/alice/proj/src/x", Change::Write, allowed);
    check("/home/alice/proj/x/y/a.lock", Change::PutFile, refused);
    check("/home/alice/proj/x/y/a.lock", Change::Remove, refused);
    check("/home/alice/proj/x/y", full, allowed);
    check("/home/alice/proj/x/y", Change::Take, allowed);
    check("/tmp/out/x", Change::Write, refused);
    check("/tmp/outer", Change::Write, allowed);
    check("/home/alice/proj/a/b/key", Change::Write, refused);
    // A directory made elsewhere would bring a key with it.
    check("/home/alice/proj/a/b", full, refused);
    check("/home/alice/proj/a/b", Change::MakeDirectory, allowed);
    let shut = policy.filesystem().shut();
    assert!(shut.iter().any(|rule| rule.path.as_os_str() == "deploy"), "{shut:#?}");
}

#[test]
fn what_a_rule_hides_is_hidden_and_what_covers_a_root_closes_it() {
    let text = "file_rule(['~/notes', './secret/**'], 'read', 'forbidden', match=['~/notes/x'])
file_rule('~/.cargo/**', 'write', 'forbidden')";
    let wide = settings(Layer::User, "[sandbox]\nwrite = ['~/.cargo/registry', '~/x']");
    let policy = compile(&[wide.clone(), rules(Layer::User, text)], None);
    let files = policy.filesystem();
    let is_hidden = |path: &str| files.hidden.iter().any(|rule| rule.path.as_os_str() == path);
    assert!(is_hidden("/home/alice/notes") && is_hidden("/home/alice/proj/secret"));
    let written: Vec<_> = files.write.iter().map(|rule| rule.path.display().to_string()).collect();
    assert_eq!(written, ["/home/alice/.codex", "/home/alice/x"]);
    let all = rules(Layer::Project, "file_rule('./**', 'write', 'forbidden')");
    let policy = compile(&[all], None);
    assert_eq!(policy.filesystem().workspace, remit_policy::Access::Read);
}

#[test]
fn a_tool_is_judged_by_server_name_and_arguments() {
    let text = "tool_rule('forge', ['delete_*', 'merge'], 'forbidden', 'Somebody does it by hand.',
    match=['forge delete_repo', ['FORGE', 'Merge']], not_match=['forge list', 'other merge'])
tool_rule('forge', 'create_issue', 'allow', arguments={'repo': ['acme/*', 'me/x']})
tool_rule('*', 'run', 'prompt')";
    let texts = |default: &str| {
        let default = format!("[tools]\ndefault = '{default}'");
        [settings(Layer::User, &default), rules(Layer::User, text)]
    };
    let policy = compile(&texts("prompt"), None);
    let call = |server: &str, tool: &str, repo: Option<&str>| ToolCall {
        server: server.into(),
        tool: tool.into(),
        arguments: repo.map(|repo| ("repo".to_owned(), repo.to_owned())).into_iter().collect(),
    };
    let judged = |call| words(&policy.tool(call, &Grants::default()));
    assert_eq!(judged(call("forge", "delete_repo", None)), "refuse by user");
    assert_eq!(judged(call("Forge", "DELETE_repo", None)), "refuse by user");
    assert_eq!(judged(call("forge", "create_issue", Some("acme/app"))), "allow by user");
    assert_eq!(judged(call("forge", "create_issue", Some("other/app"))), "ask by user");
    assert_eq!(judged(call("forge", "create_issue", None)), "ask by user");
    assert_eq!(judged(call("Forge", "create_issue", Some("acme/app"))), "ask by user");
    assert_eq!(judged(call("x", "run", None)), "ask by user");
    let mut grants = Grants::default();
    grants.add(call("x", "run", None).grant(Choice::Session).expect("a grant"));
    assert_eq!(words(&policy.tool(call("x", "run", None), &grants)), "allow by answer");
    assert_eq!(words(&policy.tool(call("x", "run", Some("y")), &grants)), "ask by user");
    let open = compile(&[rules(Layer::User, text)], None);
    let any = call("y", "z", None);
    assert_eq!(words(&open.tool(any.clone(), &Grants::default())), "allow by built-in");
    let refused = open.tool(call("forge", "merge", None), &Grants::default());
    let Verdict::Refuse(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(
        refusal.to_string(),
        "refused: call `merge` of `forge`\n  by `forbidden tool forge delete_*|merge` \
         (user, user.rules line 1)\n  because: Somebody does it by hand."
    );
    let shut = compile(&[settings(Layer::Project, "[tools]\ndefault = 'forbidden'")], None);
    assert_eq!(words(&shut.tool(any, &Grants::default())), "refuse by project");
}

#[test]
fn a_wrong_rule_of_ours_names_file_line_and_column() {
    let check = |text: &str, expected: &str| {
        check_refused(
            rules(Layer::User, text),
            &format!("rules `user.rules` line 1 column 1: {expected}"),
        );
    };
    check("command_rule([])", "`program`, or a name in it, is empty");
    check("command_rule('x/y')", "`program`: `x/y`: a path begins with `/`, `~/` or `./`");
    check("command_rule('x', any_flags=['f'])", "`any_flags`: `f` is not a flag");
    check("command_rule('x', any_flags=[])", "`any_flags` is empty; leave it out");
    check("command_rule('x', subcommand=[])", "`subcommand`, or a word in it, is empty");
    check("command_rule('x', subcommand=['-f'])", "`subcommand` has words, and `-f` is a flag");
    check("command_rule('x', cwd=['src'])", "`cwd`: `src`: a path begins with");
    check("command_rule('x', env=['=x'])", "`env`: `=x` is neither `NAME` nor");
    check("command_rule('x', until='soon')", "`until`: `soon` is not a day such as");
    check(
        "command_rule('x', place='nowhere')",
        "`place` is `inside` or a profile, and none is called `nowhere`; there are `default`, `offline`, `read-only`",
    );
    check("prefix_rule(['x'], 'forbidden', place='offline')", "what is forbidden has no `place`");
    check(
        "command_rule('rm', all_flags=['-r'], match=['rm x'])",
        "`match` example `rm x` is not matched by `rm -r`",
    );
    check(
        "command_rule('rm', any_flags=['-r'], decision='prompt', not_match=['rm -fr'])",
        "`not_match` example `rm -fr` is matched by `rm with -r`",
    );
    check("file_rule('./x', 'write', 'allow')", "a file rule only forbids; what may be written");
    check("file_rule('./x', 'write', 'prompt')", "files are opened too often to be asked about");
    check("file_rule('./x', 'run', 'forbidden')", "`access` is `read` or `write`, not `run`");
    check("file_rule('./*/x', 'read', 'forbidden')", "`./*/x`: hiding is done by path");
    check("file_rule('x', 'write', 'forbidden')", "`paths`: `x`: a path begins with");
    check(
        "file_rule('./x', 'write', 'forbidden', match=['./y'])",
        "`match` example `./y` is not matched by `file ./x`",
    );
    check("tool_rule('', 'x', 'allow')", "`server` is empty");
    check("tool_rule('s', [], 'allow')", "`tool`, or a name in it, is empty");
    check("tool_rule('s', 't', 'allow', arguments={})", "`arguments` is empty");
    check(
        "tool_rule('s', 't', 'allow', arguments={'a': []})",
        "`arguments.a`, or a name in it, is empty",
    );
    check(
        "tool_rule('s', 't', 'allow', match=['s'])",
        "`match` example `s` is not matched by `tool s t`",
    );
    check_refused(
        rules(
            Layer::Project,
            "\n command_rule('x', place='offline')".trim_start_matches('\n').trim_start(),
        ),
        "rules `project.rules` line 1 column 1: a project does not choose under which profile",
    );
}

#[test]
fn every_problem_of_every_file_is_told() {
    let texts = [
        settings(Layer::User, "[network]\nallw = []"),
        rules(
            Layer::User,
            "prefix_rule([])\nprefix_rule(['a'])\nfile_rule('x', 'write', 'deny')\n\nx = 1 + 'a'",
        ),
        rules(Layer::System, "prefix_rule(['a'], match=['b'])"),
    ];
    let problems = Policy::problems(&texts, None, &AgentNeeds::default(), &place());
    let places: Vec<_> = problems
        .iter()
        .map(|problem| {
            let (file, line, column) = problem.place();
            (file.unwrap_or("?").to_owned(), line, column)
        })
        .collect();
    let at = |file: &str, line, column| (file.to_owned(), Some(line), column);
    assert_eq!(
        places,
        [
            at("user.toml", 2, None),
            at("user.rules", 1, Some(1)),
            at("user.rules", 3, Some(1)),
            at("user.rules", 5, Some(5)),
            at("system.rules", 1, Some(1)),
        ],
        "{problems:#?}"
    );
    let fine = [rules(Layer::User, "prefix_rule(['a'])")];
    assert!(Policy::problems(&fine, None, &AgentNeeds::default(), &place()).is_empty());
    let unknown = Policy::problems(&fine, Some("none"), &AgentNeeds::default(), &place());
    assert_eq!(unknown.len(), 1);
}

#[test]
fn ten_thousand_rules_are_found_by_their_program() {
    let rule = |n: usize| {
        format!(
            "command_rule('tool{n}', any_flags=['-x'], decision='forbidden')\nprefix_rule(['p{n}', 'a'])\n"
        )
    };
    let text: String = (0..5_000).map(rule).collect();
    let policy = asking(&text);
    // Were each looked at for each, this would be a hundred million.
    for n in 0..10_000 {
        let expected = if n < 5_000 { "refuse by user" } else { "ask by user" };
        check_exec(&policy, &format!("/usr/bin/tool{n} - tool{n} -yx"), expected);
    }
    check_exec(&policy, "/usr/bin/p4999 - p4999 a", "allow by user");
}
