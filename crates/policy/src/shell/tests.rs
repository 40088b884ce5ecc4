use super::*;

/// The commands, words joined by `·`, if the text is understood.
fn understood(text: &str) -> Result<Vec<String>, Vec<Doubt>> {
    let script = read(text);
    match script.doubts.is_empty() {
        true => Ok(script.commands.iter().map(|simple| simple.argv.join("·")).collect()),
        false => Err(script.doubts),
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(understood(text).as_deref(), Ok(&expected.map_to_strings()[..]), "{text:?}");
}

trait Strings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl Strings for &[&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

/// There is a doubt, and these commands are found all the same.
#[track_caller]
fn doubted(text: &str, found: &[&str]) {
    let script = read(text);
    assert!(!script.doubts.is_empty(), "{text:?} is not doubted: {:?}", script.commands);
    let commands: Vec<String> =
        script.commands.iter().map(|simple| simple.argv.join("·")).collect();
    for command in found {
        assert!(commands.iter().any(|c| c == command), "{text:?}: {command:?} not in {commands:?}");
    }
}

#[test]
fn plain_commands_are_understood() {
    check("ls", &["ls"]);
    check("", &[]);
    check("# nothing", &[]);
    check(
        "git status; git log --oneline && cargo test || exit 1",
        &["git·status", "git·log·--oneline", "cargo·test", "exit·1"],
    );
    check("a\nb # c\n\n d & e |& f", &["a", "b", "d", "e", "f"]);
    check("git l''o\"g\" 'a b' \"c \\\" d\" e\\ f", &["git·log·a b·c \" d·e f"]);
    check(
        "git commit -m 'say \"hi\" & go; now > then'",
        &["git·commit·-m·say \"hi\" & go; now > then"],
    );
    check("git show HEAD^ HEAD~1 HEAD@", &["git·show·HEAD^·HEAD~1·HEAD@"]);
    check("grep -n foo a.rs 2>/dev/null | head -3 2>&1", &["grep·-n·foo·a.rs", "head·-3"]);
    check("cat < in.txt >/dev/null", &["cat"]);
    check("! grep -q x y", &["grep·-q·x·y"]);
    check("set -euo pipefail; make", &["set·-euo·pipefail", "make"]);
    check("X=1 Y='a b' cargo test", &["cargo·test"]);
    check("if test -f a; then b; elif c; then d; else e; fi", &["test·-f·a", "b", "c", "d", "e"]);
    check("while a; do b; done; until c\ndo d\ndone", &["a", "b", "c", "d"]);
    check("for i in 1 2 3; do git status; done", &["git·status"]);
    check("case x in a|b) c ;; (d) e;; esac", &["c", "e"]);
    check("{ a; b; } | (c; d)", &["a", "b", "c", "d"]);
    check("[ -f a ] && [[ -n b ]]", &["[·-f·a·]", "[[·-n·b·]]"]);
    check(
        "git commit -F - <<'EOF'\nsay $x `y` ; rm -rf /\nEOF\ngit push",
        &["git·commit·-F·-", "git·push"],
    );
    check("export CI=1 && cargo test", &["export·CI=1", "cargo·test"]);
    check("find . -name a -exec grep b {} +", &["find·.·-name·a·-exec·grep·b·{}·+"]);
    check("cp -t{} a", &["cp·-t{}·a"]);
    check("find . ! -name a", &["find·.·!·-name·a"]);
    check("make &>/dev/null; command -v git", &["make", "command·-v·git"]);
    check("git push # \\\n", &["git·push"]);
    check("git \\\n  push", &["git·push"]);
    check("# hidden \\\ngit push", &["git·push"]);
    check("echo a#b", &["echo·a#b"]);
}

#[test]
fn what_is_not_understood_is_doubted_and_its_commands_are_found() {
    for text in ["$x", "$IFS", "${x@P}", "${x:=v}", "${!x}", "ls $HOME", "ls \"$x\"", "a$"] {
        doubted(text, &[]);
    }
    doubted("echo $((a[$(id)]))", &["id"]);
    doubted("[[ -v 'a[$(id)]' ]]", &[]);
    doubted("[ -v 'a[$(id)]' ]", &[]);
    doubted("test 'a[$(id)]' -eq 1", &[]);
    doubted("printf -v 'a[$(id)]' x", &[]);
    doubted("echo $(git push)", &["git·push"]);
    doubted("echo `git push`", &["git·push"]);
    doubted("echo \"a $(git push) b\"", &["git·push"]);
    doubted("diff <(git push) >(git pull)", &["git·push", "git·pull"]);
    for text in [
        "ls *",
        "ls a?",
        "/???/i[d]",
        "ls {a,b}",
        "ls {{}",
        "ls {}}",
        "ls ~",
        "ls ~bob/x",
        "X=~/y ls",
    ] {
        doubted(text, &[]);
    }
    for text in ["$'\\x69\\x64'", "$\"id\"", "=id", "ls *(e:id:)", "!!", "!git"] {
        doubted(text, &[]);
    }
    for text in ["git push >f", "git push >|f", "git push >>f", "git push &>f", "git push <>f"] {
        doubted(text, &["git·push"]);
    }
    doubted("git push >!f", &["git·push"]);
    doubted("cat </dev/tcp/198.51.100.7/80", &["cat"]);
    for text in [
        "export PATH=x",
        "typeset x",
        "declare -x a",
        "alias ls=id",
        "trap id EXIT",
        "enable -f x y",
        "set -x",
        "set -- a",
        "shopt -s x",
        "source f",
        ". f",
        "eval id",
        "exec -a x id",
        "exec >f",
        "hash -p /x ls",
        "unset x",
        "readonly x",
        "read x",
        "coproc id",
        "pushd x",
        "cd",
        "cd -",
        "command cd x",
        "builtin eval id",
        "command . f",
        "let a=1",
        "PATH=. ls",
        "IFS=x",
        "LD_PRELOAD=x ls",
        "BASH_ENV=x sh f",
        "ls() { id; }",
        "function ls { id; }",
        "select x in a; do b; done",
        "noglob ls",
        "repeat 3 ls",
        "- ls",
        "> f",
        "< f",
        "time { ls; }",
        "time ! ls",
        "a=(b)",
        "a[0]=b",
        "a+=b",
        "((x))",
        "((x=1))",
        "for ((;;)); do a; done",
        "exit 'a[$(id)]'",
    ] {
        doubted(text, &[]);
    }
    for text in
        ["ls\rid", "ls\u{b}id", "ls\0id", "ls\u{85}id", "ls\u{a0}id", "ls\u{2003}id", "ls\u{c}"]
    {
        doubted(text, &[]);
    }
    for text in [
        "ls '", "ls \"", "ls \\", "ls |", "ls &&", "(ls", "ls)", "if ls", "ls <<E\n", "ls <",
        "; ls", "{ ls }",
    ] {
        doubted(text, &[]);
    }
    doubted("cat <<E\n$(git push)\nE\n", &["git·push"]);
    doubted("f() { git push; }", &["git·push"]);
    doubted("if [[ a ]] { git push }", &[]);
    doubted("git \\ push", &["git· push"]); // the two readers differ
    doubted("echo &>/dev/null git push", &[]);
    doubted("cd a &>/dev/null && git push", &["git·push"]);
    doubted("X+\\\n=y git push", &[]);
    doubted("ls --x=\\\n~/y", &[]);
    doubted("jobs -x git push", &[]);
    doubted("gi\\\nt push", &["git·push"]);
    doubted("[[ -f x && git push ]]", &[]);
    doubted("while a; do cd ..; done", &[]);
}

#[test]
fn pipelines_know_their_neighbours() {
    let script = read("curl x | tee f | { read y; sh; }; sh");
    let [curl, tee, reads, sh, last] = &script.commands[..5] else { panic!("{script:?}") };
    assert_eq!((curl.feeds.clone(), tee.fed_by.clone(), tee.feeds.clone()), (1..2, 0..1, 2..4));
    assert_eq!((reads.fed_by.clone(), sh.fed_by.clone(), last.fed_by.clone()), (1..2, 1..2, 0..0));
    assert_eq!((&sh.input, &last.input), (&Input::Pipe, &Input::Inherited));
    let script = read("cat <<'E' | sh\nid\nE\n");
    assert_eq!(script.commands[0].input, Input::Text("id\n".into()));
    assert_eq!(script.commands[1].fed_by, 0..1);
    assert_eq!(read("sh <<< id").commands[0].input, Input::Text("id\n".into()));
}

#[track_caller]
fn check_directories(text: &str, expected: &[&str]) {
    let script = read(text);
    assert_eq!(script.doubts, [], "{text}");
    let last = script.commands.last().expect("a command");
    let found: Vec<&str> = last.directories.iter().filter_map(|path| path.to_str()).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn directories_are_followed_by_name() {
    check_directories("cd a && x", &["a"]);
    check_directories("cd a; x", &["a", ""]);
    check_directories("cd a || x", &[""]);
    check_directories("cd a || exit 1; x", &["a", ""]);
    check_directories("cd /a/b && cd ../c && x", &["/a/c"]);
    check_directories("cd .. && x", &[".."]);
    check_directories("(cd a && y); x", &[""]);
    check_directories("{ cd a; } && x", &["a"]);
    check_directories("cd a && y & x", &[""]);
    check_directories("cd a | x", &[""]);
    check_directories("if cd a; then x; fi", &["a"]);
    check_directories("cd a && y; x", &["a", ""]);
    doubted("cd a; cd b; cd c; x", &["x"]);
}

#[test]
fn as_many_commands_as_there_are_are_read() {
    for joint in [" ; ", " && ", " | ", "\n", " & ", " || "] {
        let text = format!("{}git push", format!("true{joint}").repeat(5_000));
        let found = understood(&text).expect("understood");
        assert_eq!(found.len(), 5_001);
        assert_eq!(found.last().map(String::as_str), Some("git·push"));
    }
}

/// On a small stack, in time that grows with the length alone: some of these take
/// the parser minutes as a whole.
#[test]
fn what_is_nested_without_end_is_doubted() {
    let pieces = [
        "(",
        "{ ",
        "$(",
        "`",
        "\"$(",
        "${",
        "if ",
        "while ",
        "[[ ",
        "((",
        "$((",
        "<(",
        "<<a ",
        "a=(",
        "case x in (",
        "f() ",
        "<<",
        "a|",
        "! ",
        "time ",
        "{a,",
        "[",
        "${a:=",
        "for x in ",
        "<<-'",
    ];
    let read_all = move || {
        for piece in pieces {
            let text = piece.repeat(10_000 / piece.len());
            assert!(!read(&text).doubts.is_empty(), "{piece:?}");
        }
        assert!(!read(&"(".repeat(100_000)).doubts.is_empty());
        assert!(
            !read(&format!("{}git push{}", "(".repeat(100), ")".repeat(100))).doubts.is_empty()
        );
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(read_all);
    thread.expect("a thread").join().expect("no overflow and no panic");
}

#[test]
fn a_long_group_is_doubted_and_read_in_pieces() {
    doubted(&format!("if true; then {} git push; fi", "echo x;".repeat(4_000)), &["git·push"]);
    doubted(&format!("echo $x; {} git push", "echo x;".repeat(4_000)), &["git·push"]);
    doubted(&"a".repeat(LARGEST + 1), &[]);
}
