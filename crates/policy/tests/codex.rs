//! The same rules, judged by Codex itself and by us.
//!
//! Each argument vector is given to `codex execpolicy check`, one process each, and
//! to [`Policy::exec`]. Where both define the case they agree; what differs is
//! listed in `codex/differences.txt`, with what is behind it in
//! `docs/codex-rules.md`. Without the real program this is skipped, and says so.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the crate starts no programs; this test compares it with one"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use libtest_mimic::{Arguments, Trial};
use remit_policy::{
    AgentNeeds, Basis, Exec, Grants, Layer, Place, Policy, PolicyText, TextKind, Verdict,
};

const TEAM: &str = include_str!("codex/team.rules");
const WRAPPERS: &str = include_str!("codex/wrappers.txt");
const DIFFERENCES: &str = include_str!("codex/differences.txt");

/// A test that is given the path of the real program.
type Try = fn(&Path);

fn main() -> ExitCode {
    let codex = codex();
    let ignored = codex.is_none();
    if ignored {
        let agents = agents();
        let _ = writeln!(std::io::stderr(), "skipped: there is no Codex in `{}`", agents.display());
    }
    let trials: [(&str, Try); 2] = [
        ("rules_mean_what_they_mean_to_codex", rules_mean_what_they_mean_to_codex),
        ("what_a_wrapper_starts_is_judged", what_a_wrapper_starts_is_judged),
    ];
    let trials = trials.map(|(name, run)| {
        let codex = codex.clone();
        let run = move || {
            run(&codex.ok_or("the real program is not installed")?);
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn rules_mean_what_they_mean_to_codex(codex: &Path) {
    let cases: Vec<Vec<String>> = cases().into_iter().collect();
    assert!(cases.len() >= 500, "{} cases", cases.len());
    let policy = policy();
    let theirs = theirs(codex, &cases);
    let mut found = BTreeSet::new();
    for (argv, theirs) in cases.iter().zip(theirs) {
        let ours = ours(&policy, argv);
        if ours != theirs {
            found.insert(format!("{theirs} | {ours} | {}", argv.join(" ")));
        }
    }
    let listed: BTreeSet<String> = lines(DIFFERENCES).map(str::to_owned).collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "not listed: {new:#?}\nno longer so: {gone:#?}");
}

fn what_a_wrapper_starts_is_judged(codex: &Path) {
    let policy = policy();
    let rows: Vec<[&str; 4]> = lines(WRAPPERS)
        .map(|line| {
            let parts: Vec<_> = line.split(" | ").collect();
            let text = parts[2..parts.len() - 1].join(" | ");
            [parts[0], parts[1], Box::leak(text.into_boxed_str()), parts[parts.len() - 1]]
        })
        .collect();
    let wrapped: Vec<Vec<String>> = rows.iter().map(|[_, _, line, _]| words(line)).collect();
    for (row, theirs) in rows.iter().zip(theirs(codex, &wrapped)) {
        let [codexs, expected, line, started] = *row;
        assert_eq!(theirs, codexs, "Codex on `{line}`");
        let strictness = |decision: &&str| {
            ["none", "allow", "prompt", "forbidden"].iter().position(|word| word == decision)
        };
        let ours = started.split(" ;; ").map(|argv| ours(&policy, &words(argv)));
        assert_eq!(ours.max_by_key(strictness), Some(expected), "ours on `{line}`");
    }
}

/// The rule's decision by `codex execpolicy check`, or `none`.
fn theirs(codex: &Path, cases: &[Vec<String>]) -> Vec<&'static str> {
    let home = tempfile::tempdir().expect("a directory");
    let rules = home.path().join("team.rules");
    fs::write(&rules, TEAM).expect("the rules");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut said = Vec::new();
        while let Some((at, argv)) = next_of(&next, cases) {
            let output = Command::new(codex)
                .args(["execpolicy", "check", "--resolve-host-executables", "--rules"])
                .arg(&rules)
                .arg("--")
                .args(argv)
                .env_clear()
                .env("HOME", home.path())
                .stdin(Stdio::null())
                .output()
                .expect("Codex starts");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{argv:?}: {why}");
            let decision = match text.rsplit_once("\"decision\":") {
                // The last one is that of the whole.
                Some((_, rest)) => ["allow", "prompt", "forbidden"]
                    .into_iter()
                    .find(|word| rest.starts_with(&format!("\"{word}\"")))
                    .unwrap_or_else(|| panic!("{argv:?}: {text}")),
                None if text.contains("\"matchedRules\":[]") => "none",
                None => panic!("{argv:?}: {text}"),
            };
            said.push((at, decision));
        }
        said
    };
    let mut said: Vec<(usize, &str)> = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    said.sort_unstable();
    said.into_iter().map(|(_, decision)| decision).collect()
}

fn next_of<'c>(next: &AtomicUsize, cases: &'c [Vec<String>]) -> Option<(usize, &'c Vec<String>)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    cases.get(at).map(|argv| (at, argv))
}

/// The rule's decision by us, or `none` where a default decides.
fn ours(policy: &Policy, argv: &[String]) -> &'static str {
    let path = match argv[0].contains('/') {
        true => PathBuf::from(&argv[0]),
        false => Path::new("/usr/bin").join(&argv[0]),
    };
    let cwd = PathBuf::from("/home/alice/proj");
    let program = Some(cwd.join(&path).components().collect());
    let argv = argv.iter().map(OsString::from).collect();
    let exec = Exec { path, program, argv, cwd, ..Exec::default() };
    let of_a_rule =
        |basis: &Basis| basis.origin.as_ref().is_some_and(|origin| origin.file == "team.rules");
    match policy.exec(exec, &Grants::default()) {
        Verdict::Allow(permit) if of_a_rule(permit.basis()) => "allow",
        Verdict::Ask(question) if of_a_rule(question.basis()) => "prompt",
        Verdict::Refuse(refusal) if of_a_rule(&refusal.basis) => "forbidden",
        _ => "none",
    }
}

fn policy() -> Policy {
    let text = |kind, file: &str, text: &str| PolicyText {
        layer: Layer::System,
        kind,
        file: file.to_owned(),
        text: text.to_owned(),
    };
    let texts = [
        text(TextKind::Settings, "config.toml", "[commands]\ndefault = 'prompt'"),
        text(TextKind::Rules, "team.rules", TEAM),
    ];
    let place = Place { home: "/home/alice".into(), workspace: "/home/alice/proj".into() };
    Policy::compile(&texts, None, &AgentNeeds::default(), &place).expect("the rules load")
}

/// Every program with every ending, and what somebody wrote by hand.
fn cases() -> BTreeSet<Vec<String>> {
    const PROGRAMS: &str = "git gh ls cat rm npm pnpm yarn cargo kubectl python3 docker podman \
        ./gradlew /usr/bin/make make /usr/bin/git /opt/homebrew/bin/git /usr/local/bin/git \
        /usr/bin/rm /bin/ls gitk lsof bash echo";
    const ENDINGS: [&str; 24] = [
        "",
        "push",
        "push --force",
        "push -f origin main",
        "push origin --force",
        "fetch",
        "reset --hard",
        "reset --keep",
        "-C x push",
        "status -s",
        "log",
        "pr view 7",
        "pr list",
        "-rf x",
        "-r -f x",
        "install",
        "run test",
        "run test -- -v",
        "publish",
        "test",
        "delete pod x",
        "-m pytest",
        "rm x",
        "''",
    ];
    const BY_HAND: &str = "gh pr --repo a/b view 7\ngh pr view --json title\ngit 'push '\ngit PUSH\n\
        GIT push\ngit --no-pager push\ngit push=--force\ngit push '' --force\ngit '' push\n\
        'git push'\n' git' push\ngit 'push\n--force'\ngit 'reset --hard'\ngit reset --har\n\
        rm -- -rf\nrm -rfv x\nrm --recursive --force x\nnpm --prefix x publish\nnpm run tests\n\
        npm run 'test lint'\nyarn add left-pad\npnpm i\ncargo +nightly publish\ncargo t\n\
        cargo build --release\ncargo clippy -- -D warnings\nkubectl -n a delete pod\n\
        kubectl logs -f x\npython3 -m json.tool x\npython3 -mpytest\npython3 -c 'import os'\n\
        python -m pytest\ndocker system prune -af\ndocker ps\npodman rmi x\n./gradlew test --info\n\
        gradlew test\n../gradlew test\n././gradlew test\n/usr/bin/make test\n/usr//bin/make test\n\
        /bin/make test\nmake test\necho ''\necho\necho x\nls é\nls '\u{202e}x'\ncat /etc/passwd\n\
        /usr/bin/cat x\n/usr/bin/env git push\n/usr/bin/../bin/git push\n/tmp/git push";
    let by_hand = BY_HAND.replace("push\n--force'", "push --force'");
    let product = PROGRAMS.split_whitespace().flat_map(|program| {
        ENDINGS.iter().map(move |ending| words(&format!("{program} {ending}")))
    });
    product.chain(by_hand.lines().map(words)).collect()
}

/// The words of a line in which `'…'` and `"…"` hold words together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, ' ') => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// Where npm put the agents: `REMIT_AGENTS`, or `agents` in the build's directory.
fn agents() -> PathBuf {
    let this = env::current_exe().expect("this program's path");
    let target = this.ancestors().nth(3).expect("a build directory").to_owned();
    env::var_os("REMIT_AGENTS").map_or_else(|| target.join("agents"), PathBuf::from)
}

fn codex() -> Option<PathBuf> {
    let scope = fs::read_dir(agents().join("node_modules/@openai")).ok()?;
    let vendors =
        scope.flatten().filter_map(|package| fs::read_dir(package.path().join("vendor")).ok());
    let binaries = vendors.flatten().flatten().map(|vendor| vendor.path().join("bin/codex"));
    binaries.into_iter().find(|path| path.is_file())
}
