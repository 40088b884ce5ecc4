//! What is said to commands that are known only as words or as a text.

use std::ffi::OsString;
use std::path::PathBuf;

use bolero::{check, produce};
use remit_policy::{Exec, Forecast, Grants, Layer, Outcome, Policy, Verdict, Which};

use crate::common::{compile, rules, strictness, words};

const RULES: &str = r#"
prefix_rule(pattern = ["git", "push"], decision = "forbidden")
prefix_rule(pattern = ["curl"], decision = "prompt")
prefix_rule(pattern = ["/usr/bin/rm"], decision = "forbidden")
"#;

fn policy() -> Policy {
    compile(&[rules(Layer::User, RULES)], None)
}

fn forecast(text: &str) -> Forecast {
    policy().forecast_text(text, "/home/alice/proj".as_ref(), &Grants::default())
}

#[track_caller]
fn check_text(text: &str, expected: &str) {
    let forecast = forecast(text);
    assert_eq!(words(&forecast.verdict), expected, "{text:?}: {forecast:#?}");
    if strictness(&forecast.verdict) == 0 {
        assert_eq!(forecast.doubts, [], "{text:?}");
    }
}

fn exec(argv: &[&str]) -> Exec {
    Exec {
        path: argv[0].into(),
        argv: argv.iter().map(OsString::from).collect(),
        cwd: "/home/alice/proj".into(),
        ..Exec::default()
    }
}

#[track_caller]
fn check_exec(argv: &[&str], expected: &str) {
    let forecast = policy().forecast(exec(argv), &Grants::default());
    assert_eq!(words(&forecast.verdict), expected, "{argv:?}: {forecast:#?}");
}

#[test]
fn an_ordinary_text_is_allowed() {
    for text in [
        "ls -la",
        "cd sub && cargo test 2>&1 | tail -20",
        "git add -A && git commit -m 'fix: a thing (really)'",
        "set -e; make; make install >/dev/null",
        "CI=1 npm test || echo failed",
        "for t in a b; do cargo test; done",
        "if [ -f Cargo.toml ]; then cargo build; fi",
        "git commit -F - <<'EOF'\nuses $HOME and `x`\nEOF",
        "grep -rn 'fn main' src | head; wc -l src/lib.rs",
        "bash -lc 'cargo test && git status'",
        "timeout 60 env RUST_LOG=debug cargo test",
    ] {
        check_text(text, "allow by built-in");
    }
}

#[test]
fn a_forbidden_command_is_refused_wherever_it_stands() {
    for text in [
        "git push",
        "git push > log",
        "X=1 git push",
        "true; git push",
        "true && git push --force",
        "ls | git push",
        "ls &\ngit push",
        "(git push)",
        "{ git push; } 2>&1",
        "! git push",
        "if true; then git push; fi",
        "while git push; do true; done",
        "case a in a) git push;; esac",
        "for i in 1 2; do git push; done",
        "echo $(git push)",
        "echo `git push`",
        "cat <(git push)",
        "echo \"$(git push)\"",
        "f() { git push; }; f",
        "g''it \"push\"",
        "\\git push",
        "git \\\n push",
        "env git push",
        "nice timeout 5 nohup git push",
        "sudo -u root git push",
        "command git push",
        "exec git push",
        "exec -a ls git push",
        "builtin command git push",
        "busybox sh -c 'git push'",
        "xargs git push",
        "find . -exec git push ';'",
        "bash -lc 'git push > log'",
        "sh -c \"bash -c 'git push'\"",
        "eval git push",
        "trap 'git push' EXIT",
        "bash <<E\ngit push\nE\n",
        "bash <<< 'git push'",
        "ssh host git push",
        "timeout --unheard-of 5 git push",
        "timeout --unheard-of value 5 git push",
        "valgrind --a b --c=d git push",
        "/lib64/ld-linux-x86-64.so.2 /usr/bin/git push",
        "git push $x *.rs {a,b}",
        "rm -rf x",
        "/bin/../bin/rm x",
    ] {
        check_text(text, "refuse by user");
    }
    check_exec(&["bash", "-lc", "git push > log"], "refuse by user");
    check_exec(&["env", "git", "push"], "refuse by user");
    check_text("curl x | tee y && ls", "ask by user");
    check_text("git push; curl x", "refuse by user");
    check_text("curl x; git push", "refuse by user");
}

/// The catalogue of evasions, B13 to B22 and their siblings.
#[test]
fn what_is_not_fully_understood_is_never_allowed() {
    for text in [
        // B14 and siblings: wrappers whose command is not known.
        "env -S \"$x\"",
        "exec -a ls id",
        "xargs id",
        "parallel id ::: 1",
        "find . -exec id {} +",
        "setarch x86_64 id",
        "env 'BASH_FUNC_ls%%=() { id; }' bash -c ls",
        "env PATH=. ls",
        "sudo LD_PRELOAD=x ls",
        "jobs -x id",
        "strace -o '|id' ls",
        "echo &>/dev/null git status",
        "X+\\\n=y ls",
        "su -c id",
        "script -c id",
        "nsenter id",
        "ssh h id",
        "chroot / id",
        "socat - EXEC:id",
        "tmux new id",
        "gdb --args id",
        "sudo -i",
        "sudo -s",
        "watch --x id",
        "flock x --y id",
        "env --argv0=x id",
        "busybox --unknown id",
        "busybox sh -c 'echo $x'",
        // B13: programs that run what they read.
        "echo id | sh",
        "echo id | bash -s",
        "echo id | python3",
        "echo id | perl -",
        "echo x | make -f -",
        "echo '!id' | ed",
        "echo '!id' | bc",
        "echo id | at now -f -",
        "sh < f",
        // B16: built-ins that poison.
        "export PATH=.:x; ls",
        "export LD_PRELOAD=./x.so; ls",
        "typeset -x PATH=x; ls",
        "alias ls=id; ls",
        "alias ls=id\nls",
        "trap id DEBUG; ls",
        "trap id EXIT",
        "enable -f ./x.so ls",
        "ls() { id; }; ls",
        "function ls { id; }; ls",
        "ls () ( id )",
        "hash -p ./x ls; ls",
        "shopt -s expand_aliases",
        "set -a",
        "set -o allexport",
        "PATH=. ls",
        "PATH=.; ls",
        "BASH_ENV=x bash -c ls",
        "IFS=x; ls",
        "readonly PATH=.",
        "declare PATH=.",
        "local x",
        "unset PATH",
        "read PATH < f; ls",
        "mapfile -C id x",
        "source x",
        ". x",
        "eval id",
        "coproc id",
        "builtin eval id",
        "command eval id",
        "command . x",
        "exec > f",
        "exec 3<> /dev/tcp/h/1",
        "printf -v PATH x",
        "getopts a PATH",
        "let PATH=1",
        "bind -x '\"a\":id'",
        "complete -C id x",
        "PROMPT_COMMAND=id",
        "PS4='$(id)' bash -xc ls",
        "autoload x",
        "zmodload x",
        "emulate sh -c id",
        "for PATH in . ; do ls; done",
        "PATH+=:x ls",
        "time { ls; }",
        "noglob ls",
        "repeat 2 ls",
        "- ls",
        // B17: words that are not what they seem.
        "l$IFS",
        "ls${IFS}x",
        "{ls,-l}",
        "$'\\x69\\x64'",
        "$\"id\"",
        "/???/i[d]",
        "/bin/i?",
        "~/bin/x",
        "=id",
        "l\\\n$x",
        "${x}s",
        "a[1]=x ls",
        "ls *(e:'id':)",
        "ls @(a|b)",
        "$0 x",
        "$1",
        "\"$@\"",
        "!!",
        // B18: expansions that run or assign.
        "echo ${x@P}",
        "echo ${x:=v}",
        "echo ${!x}",
        "echo $((a[$(id)]))",
        "[[ -v 'a[$(id)]' ]]",
        "test -v 'a[$(id)]'",
        "[ -v 'a[$(id)]' ]",
        "(( a[$(id)] ))",
        "echo $[a[$(id)]]",
        "[[ 'a[$(id)]' -eq 0 ]]",
        "echo ${a[$(id)]}",
        "echo ${x:$(id)}",
        "echo ${x/$(id)/}",
        // B19: commands within others.
        "echo $(id)",
        "echo `id`",
        "cat <(id)",
        "tee >(id)",
        "bash <<E\nid\nE\n",
        "bash <<<id",
        "python3 <<'E'\nimport os\nE\n",
        "sh - <<E\nid\nE\n",
        "cat <<E\n$(id)\nE\n",
        "cat <<E\n`id`\nE\n",
        "ssh h <<E\nid\nE\n",
        "xargs <<E\nid\nE\n",
        "sudo sh <<'E'\nid\nE\n",
        "env sh <<'E'\nid\nE\n",
        "{ sh; } <<'E'\nid\nE\n",
        "cat <<'E' | sh\nid\nE\n",
        "tclsh <<< x",
        "patch <<'E'\nx\nE\n",
        // B20: redirections that write.
        "ls >f",
        "ls >|f",
        "ls >>f",
        "ls &>f",
        "ls &>>f",
        "ls <>f",
        "ls >!f",
        "ls >& f",
        "ls 2>f",
        "ls 3>f",
        "ls >\"f\"",
        "> f",
        "ls {x}>f",
        "ls >/dev/null >f",
        "ls >/dev/tcp/h/1",
        "cat </dev/tcp/h/1",
        "{ ls; } >f",
        "(ls) >f",
        "if true; then ls; fi >f",
        "ls >/dev/../tmp/f",
        "ls >/dev/sda",
        "ls >&2f",
        // B21: separators and blanks.
        "ls\rid",
        "ls\u{b}id",
        "ls\u{c}id",
        "ls\0id",
        "ls\u{85}id",
        "ls\u{a0}id",
        "ls\u{2028}id",
        "ls\u{3000}id",
        "ls # \rid",
        "ls '",
        "ls \"x",
        "ls \\",
    ] {
        let forecast = forecast(text);
        assert!(strictness(&forecast.verdict) > 0, "{text:?} is allowed: {forecast:#?}");
    }
    // A separator that is understood: both parts are judged.
    for text in
        ["ls\ncurl x", "ls;curl x", "ls&curl x", "ls|&curl x", "ls #x\ncurl x", "ls&&curl x"]
    {
        check_text(text, "ask by user");
    }
}

#[test]
fn the_last_of_five_thousand_is_refused() {
    for joint in [" ; ", " && ", " | ", "\n", " & ", " || "] {
        check_text(&format!("{}git push", format!("true{joint}").repeat(5_000)), "refuse by user");
    }
    let many = format!("{}env git push > log", "true;".repeat(5_000));
    check_exec(&["bash", "-c", &many], "refuse by user");
}

#[test]
fn what_is_within_a_program_is_judged_at_the_kernel_too() {
    let check = |argv: &[&str], expected: &str| {
        let verdict = policy().exec(exec(argv), &Grants::default());
        assert_eq!(words(&verdict), expected, "{argv:?}");
    };
    check(&["/lib64/ld-linux-x86-64.so.2", "/usr/bin/git", "push"], "refuse by user");
    check(
        &["/lib64/ld-linux-x86-64.so.2", "--argv0", "x", "/usr/bin/git", "push"],
        "refuse by user",
    );
    check(
        &["/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2", "/usr/bin/rm"],
        "refuse by user",
    );
    check(&["/lib64/ld-linux-x86-64.so.2", "/usr/bin/curl"], "ask by user");
    check(&["/lib64/ld-linux-x86-64.so.2", "--new", "/usr/bin/ls"], "ask by built-in");
    check(&["/lib64/ld-linux-x86-64.so.2", "/usr/bin/ls"], "allow by built-in");
    check(&["busybox", "curl"], "ask by user");
    check(&["busybox", "sh", "-c", "ls; curl x"], "ask by user");
    check(&["busybox", "ls"], "allow by built-in");
    check(&["bash", "-c", "$x"], "allow by built-in");
    let deep = [vec!["busybox"; 5_000], vec!["ls"]].concat();
    check(&deep, "ask by built-in");
}

#[test]
fn a_yes_covers_the_whole_at_the_kernel_and_no_doubt_of_a_text() {
    let policy = policy();
    let whole = exec(&["busybox", "curl", "x"]);
    let mut grants = Grants::default();
    grants.add((&whole).into());
    assert_eq!(words(&policy.exec(whole, &grants)), "allow by answer");
    let whole = exec(&["busybox", "git", "push"]);
    grants.add((&whole).into());
    assert_eq!(words(&policy.exec(whole, &grants)), "refuse by user");
    let whole = exec(&["bash", "-c", "echo $x"]);
    grants.add((&whole).into());
    assert_eq!(words(&policy.forecast(whole, &grants).verdict), "ask by built-in");
}

#[test]
fn a_program_that_rules_know_by_its_path_is_known_by_its_name() {
    let policy = policy();
    let text = |text: &str, which: Which<'_>| {
        let cwd = "/home/alice/proj".as_ref();
        words(&policy.forecast_text_with(text, cwd, &Grants::default(), which).verdict)
    };
    let rm = PathBuf::from("/usr/bin/rm");
    assert_eq!(text("rm x", &|_, _| None), "refuse by user");
    assert_eq!(text("rm x", &|_, _| Some((rm.clone(), rm.clone()))), "refuse by user");
    let other = PathBuf::from("/opt/rm");
    assert_eq!(text("rm x", &|_, _| Some((other.clone(), other.clone()))), "allow by built-in");
    // A link by another name.
    assert_eq!(text("del x", &|_, _| Some(("/opt/del".into(), rm.clone()))), "refuse by user");
}

#[test]
fn every_part_says_what_decided() {
    let forecast = forecast("ls && env curl x | head");
    let parts: Vec<(String, Outcome, String)> = forecast
        .parts
        .iter()
        .map(|part| {
            let argv = part.argv.join(std::ffi::OsStr::new(" ")).into_string().expect("UTF-8");
            (argv, part.outcome, part.basis.rule.clone())
        })
        .collect();
    let default = "commands.default = \"allow\"";
    let expected = [
        ("ls", Outcome::Allow, default),
        ("env curl x", Outcome::Allow, default),
        ("curl x", Outcome::Ask, "prompt curl"),
        ("head", Outcome::Allow, default),
    ];
    assert_eq!(parts, expected.map(|(a, b, c)| (a.to_owned(), b, c.to_owned())));
}

#[test]
fn a_doubt_says_which_piece_and_why() {
    let Verdict::Ask(question) = forecast("ls; echo $x").verdict else { panic!("asked") };
    let why = question.basis().justification.clone().unwrap_or_default();
    assert_eq!(why, "`$x`: what it stands for is known only when it runs");
}

/// Pieces of texts that are understood, and some that are not.
const PIECES: [&str; 24] = [
    "git push",
    "ls",
    "curl x",
    "git status",
    "rm x",
    "X=1 ls",
    "(ls)",
    "{ git push; }",
    "! curl",
    "if ls; then curl; fi",
    "env git push",
    "sh -c 'git push'",
    "for i in 1; do ls; done",
    "ls 2>&1",
    "git push >f",
    "echo $x",
    "ls | curl",
    "cd x",
    "f() { ls; }",
    "\"git\" push",
    "ls *",
    "`ls`",
    "find . -exec rm {} ;",
    "sudo -s",
];
const JOINTS: [&str; 6] = [" ; ", " && ", " || ", " | ", "\n", " & "];

#[test]
fn more_text_is_never_judged_weaker() {
    let policy = policy();
    let judge = |text: &str| {
        let forecast = policy.forecast_text(text, "/w".as_ref(), &Grants::default());
        strictness(&forecast.verdict)
    };
    let alone: Vec<u8> = PIECES.iter().map(|piece| judge(piece)).collect();
    check!().with_generator(produce::<(u8, u8, u8, u8)>()).for_each(|(a, b, joint, nest)| {
        let (a, b) = (usize::from(*a) % PIECES.len(), usize::from(*b) % PIECES.len());
        let joint = JOINTS[usize::from(*joint) % JOINTS.len()];
        let text = format!("{}{joint}{}", PIECES[a], PIECES[b]);
        let text = match nest % 4 {
            0 => text,
            1 => format!("({text})"),
            2 => format!("bash -lc '{}'", text.replace('\'', "'\\''")),
            _ => format!("while false; do {text}\ndone"),
        };
        assert!(judge(&text) >= alone[a].max(alone[b]), "{text:?}");
    });
}

#[test]
fn words_are_never_judged_weaker_than_what_they_start() {
    let policy = policy();
    let words = [
        "git",
        "push",
        "env",
        "-S",
        "git push",
        "sh",
        "-c",
        "curl x; rm y",
        "timeout",
        "5",
        "--weird",
        "busybox",
        "/lib64/ld-linux-x86-64.so.2",
        "--preload",
        "/usr/bin/rm",
        "find",
        "-exec",
        ";",
        "{}",
        "xargs",
        "sudo",
        "-u",
        "root",
        "X=1",
        "--",
        "-",
        "",
        "é",
        "npm",
        "exec",
        "eval",
        "$x",
        "curl",
    ];
    check!().with_generator(produce::<Vec<u8>>().with().len(1..10_usize)).for_each(|choices| {
        let argv: Vec<&str> =
            choices.iter().map(|choice| words[usize::from(*choice) % words.len()]).collect();
        let real = policy.exec(exec(&argv), &Grants::default());
        let said = policy.forecast(exec(&argv), &Grants::default());
        assert!(strictness(&said.verdict) >= strictness(&real), "{argv:?}");
        // Quoted, it is the same command.
        let quoted: Vec<String> =
            argv.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        let text = policy.forecast_text(
            &quoted.join(" "),
            "/home/alice/proj".as_ref(),
            &Grants::default(),
        );
        assert!(strictness(&text.verdict) >= strictness(&said.verdict), "{argv:?}");
    });
}
