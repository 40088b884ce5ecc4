use super::*;

fn exec(words: &[&str]) -> Exec {
    Exec {
        path: words[0].into(),
        argv: words.iter().map(OsString::from).collect(),
        cwd: "/w".into(),
        ..Exec::default()
    }
}

/// What a line of plain words runs, one a line; `text: …` for a shell's text, and
/// `?` at the end if there is a doubt.
#[track_caller]
fn check(line: &str, expected: &str) {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let words: Vec<String> = words.iter().map(|word| word.replace('_', " ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let inner = inner(&exec(&words));
    let mut found: Vec<String> = inner
        .runs
        .iter()
        .map(|run| match run {
            Run::Command(exec) => exec.argv.join(OsStr::new(" ")).into_string().expect("UTF-8"),
            Run::Text { text, .. } => format!("text: {}", text.to_string_lossy()),
        })
        .collect();
    if !inner.doubts.is_empty() {
        found.push("?".into());
    }
    assert_eq!(found.join(" | "), expected, "{line}: {:?}", inner.doubts);
}

#[test]
fn the_command_behind_a_wrapper_is_found() {
    check("ls -l", "");
    check("env git push", "git push");
    check("/usr/bin/env -i X=1 Y=2 git push", "git push");
    check("env -u X --chdir=/x -- git push", "git push");
    check("env -uX -C /x git push", "git push");
    check("env - git push", "git push");
    check("env -iuX git push", "git push");
    check("env", "");
    check("env -S git_push origin", "env git push origin");
    check("env -S X=1_git push", "env X=1 git push");
    check("env -Sgit\\_push", "env git\\ push | ?");
    check("nice -n 5 git push", "git push");
    check("nice -5 git push", "git push");
    check("nice -n5 nice git push", "nice git push");
    check("timeout -k 5 --signal=KILL 10s git push", "git push");
    check("timeout 10 git push", "git push");
    check("nohup git push", "git push");
    check("stdbuf -oL -e 0 git push", "git push");
    check("setsid -w git push", "git push");
    check("time -p git push", "git push");
    check("command -p git push", "git push");
    check("command -v git", "");
    check("gdb --version", "");
    check("exec -a x git push", "git push");
    check("sudo -u root -E X=1 git push", "git push");
    check("doas -u root git push", "git push");
    check("flock -n /lock git push", "git push");
    check("flock /lock -c git_push", "text: git push");
    check("chrt -f 10 git push", "git push");
    check("taskset -c 0-3 git push", "git push");
    check("strace -f -e trace=execve git push", "git push");
    check("linux64 -R git push", "git push");
    check("npx -y cowsay hi", "cowsay hi");
    check("npx -c git_push", "text: git push");
    check("npm exec -- git push", "git push");
    check("npm install x exec", "");
    check("poetry run git push", "git push");
    check("uv run --with x git push", "git push");
    check("bundle exec git push", "git push");
    check("watch -n 1 git push", "text: git push");
    check("busybox git push", "git push");
    check("/lib64/ld-linux-x86-64.so.2 --preload x /usr/bin/git push", "/usr/bin/git push");
    check("/lib/ld-musl-x86_64.so.1 git push", "git push");
}

#[test]
fn what_is_not_known_of_a_wrapper_is_doubted() {
    check("env --new-option git push", "git push | ?");
    check("timeout --sig=KILL 10 git push", "git push | ?");
    check("env PATH=. git push", "git push | ?");
    check("strace -o |id git push", "|id git push | ?");
    check("timeout 5 --weird git", "--weird git | ?");
    check("xargs -n1 git push", "git push | ?");
    check("xargs -I {} sh -c {}", "sh -c {} | ?");
    check("parallel git push ::: a", "text: git push ::: a | ?");
    check("ssh -p 22 host git push", "text: git push | ?");
    check("chroot /x git push", "git push | ?");
    check("su -c git_push root", "text: git push | ?");
    check("su - root -c git_push", "text: git push | ?");
    check("script -q -c git_push /dev/null", "text: git push | ?");
    check("find . -name x -exec git push ; -ok rm {} +", "git push | rm {} | ?");
    check("valgrind --tool=x git push", "git push | ?");
    check("sudo -s git push", "git push | ?");
    check("npm --weird exec git push", "git push | ?");
    let inner = inner(&exec(&["timeout", "--weird", "3", "git", "push"]));
    assert_eq!(inner.suspects, Some(1));
}

#[test]
fn shells_say_where_their_text_is() {
    check("bash -c git_push", "text: git push");
    check("/bin/bash -lc git_push a b", "text: git push");
    check("sh -ec -u git_push", "text: git push");
    check("bash -o pipefail -c git_push", "text: git push");
    check("bash -co pipefail git_push", "text: git push");
    check("bash --norc -c -- git_push", "text: git push");
    check("-bash -c git_push", "text: git push");
    check("bash +x -c git_push", "text: git push | ?");
    check("bash --rcfile x -c git_push", "text: git push | ?");
    check("bash -ic git_push", "text: git push | ?");
    check("fish -c git_push", "text: git push | ?");
    check("bash x.sh -c git_push", "");
    check("eval git push", "text: git push");
}

#[track_caller]
fn check_script(stdin: Stdin, words: &[&str], expected: Option<Reader>) {
    let exec = Exec { stdin, ..exec(words) };
    assert_eq!(reads_script(&exec), expected, "{words:?}");
}

#[test]
fn who_runs_what_it_reads_is_known() {
    for words in
        [&["sh"][..], &["bash", "-s", "a"], &["sh", "-"], &["bash", "/dev/stdin"], &["dash", "-e"]]
    {
        check_script(Stdin::Pipe, words, Some(Reader::Shell));
        check_script(Stdin::Nothing, words, None);
    }
    for words in [
        &["python3"][..],
        &["python3.11", "-u", "-"],
        &["perl"],
        &["make", "-f", "-"],
        &["make", "-f-"],
        &["psql", "--file=-"],
    ] {
        check_script(Stdin::Pipe, words, Some(Reader::Other));
    }
    for words in [
        &["python3", "x.py"][..],
        &["sh", "x"],
        &["sh", "-c", "x"],
        &["awk", "{print}"],
        &["make"],
        &["jq", "."],
    ] {
        check_script(Stdin::Pipe, words, None);
    }
}

#[test]
fn variables_and_directories_reach_the_command() {
    let inner = inner(&exec(&["env", "-C", "sub", "git", "push"]));
    let Some(Run::Command(git)) = inner.runs.first() else { panic!("{inner:?}") };
    assert_eq!(git.cwd, Path::new("/w/sub"));
    assert_eq!(
        innermost(&exec(&["sudo", "-u", "x", "env", "A=1", "curl", "y"])),
        Path::new("curl")
    );
}
