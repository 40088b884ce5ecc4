//! The string way against real shells: random scripts are run, every program that
//! they really start is judged the kernel way, and the text must have been judged no
//! weaker.
//!
//! The programs are scripts that only write down how they were called, so that
//! nothing of this does anything.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "a test may run programs and say what it counted; the crate it tests does not"
)]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use remit_policy::{Exec, Grants, Layer, Policy};

use crate::common::{compile, rules, settings, strictness};

/// Programs that write down how they were called.
const NAMES: [&str; 7] = [FUNCTION, "git", "make", "ls", "curl", "rm", "npm"];

/// The one of them that scripts also define as a function.
const FUNCTION: &str = "tool";
const ARGUMENTS: [&str; 8] = ["push", "-rf", "status", "x", "--all", "a b", "*", "$x"];

/// Real programs that run others.
const WRAPPERS: [&str; 9] =
    ["env", "nice", "timeout", "nohup", "xargs", "find", "sh", "bash", "setsid"];

/// How long scripts are run. Long enough for some thousands on an idle machine.
const TIME: Duration = Duration::from_secs(8);

/// Below this the test says nothing.
const FEWEST: usize = 200;

#[test]
fn what_really_runs_in_bash_was_judged_no_weaker() {
    against("bash", 0x9e37_79b9_7f4a_7c15);
}

#[test]
fn what_really_runs_in_dash_was_judged_no_weaker() {
    against("dash", 0x2545_f491_4f6c_dd1d);
}

fn against(shell: &str, seed: u64) {
    let Some(shell) = which(shell) else {
        panic!("`{shell}` is not installed, and this test is about it");
    };
    let lab = Lab::new(&shell);
    let policies = policies(seed);
    let mut chance = Chance { state: seed, in_function: false };
    let (mut scripts, mut understood, mut allowed, mut programs) = (0, 0, 0, 0);
    let start = Instant::now();
    while start.elapsed() < TIME || understood < FEWEST {
        assert!(start.elapsed() < TIME * 8, "too slow to say anything: {understood} understood");
        let text = match scripts % 3 {
            0 => chance.script(3),
            _ => chance.tame(2),
        };
        let ran = lab.run(&text);
        scripts += 1;
        for policy in policies.iter().cycle().skip(scripts).take(2) {
            let forecast = policy.forecast_text(&text, &lab.work, &Grants::default());
            let said = strictness(&forecast.verdict);
            let clear = forecast.doubts.is_empty();
            understood += usize::from(clear && !ran.is_empty());
            allowed += usize::from(said == 0 && !ran.is_empty());
            for exec in &ran {
                let real = strictness(&policy.exec(exec.clone(), &Grants::default()));
                // Of what is in doubt it is said that a person decides.
                let enough = if clear { real } else { 1 };
                assert!(said >= enough, "{text:?} ran {exec:?}: {real}, but said {forecast:#?}");
            }
        }
        programs += ran.len();
    }
    let counts =
        format!("{scripts} scripts, {programs} programs, {understood} clear, {allowed} allowed");
    fs::remove_dir_all(lab.work.parent().expect("its place")).expect("removed");
    eprintln!("{}: {counts}", shell.display());
    assert!(understood >= FEWEST && allowed > FEWEST / 5 && programs > FEWEST, "{counts}");
}

fn which(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

fn policies(seed: u64) -> Vec<Policy> {
    let mut chance = Chance { state: seed, in_function: false };
    let policy = |_| {
        let mut text = String::new();
        for _ in 0..6 {
            let program = chance.of(&NAMES);
            let decision = chance.of(&["forbidden", "prompt", "allow"]);
            let pattern = match chance.below(2) {
                0 => format!("[{program:?}]"),
                _ => format!("[{program:?}, {:?}]", chance.of(&ARGUMENTS[..4])),
            };
            text += &format!("prefix_rule(pattern = {pattern}, decision = {decision:?})\n");
        }
        compile(&[settings(Layer::User, ""), rules(Layer::User, &text)], None)
    };
    (0..6).map(policy).collect()
}

/// A directory with programs that write down how they were called.
struct Lab {
    shell: PathBuf,
    programs: PathBuf,
    work: PathBuf,
    log: PathBuf,
}

impl Lab {
    fn new(shell: &Path) -> Self {
        let name = shell.file_name().expect("a name").to_string_lossy();
        let name = format!("real-shell-{}-{}", name, std::process::id());
        let lab = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let (programs, work, log) = (lab.join("bin"), lab.join("work"), lab.join("log"));
        fs::create_dir_all(&programs).expect("a directory");
        fs::create_dir_all(work.join("sub")).expect("a directory");
        let writer = lab.join("writer");
        // One write, so that records of programs that run at once do not mix.
        let text =
            format!("#!/bin/sh\nprintf '%s\\0' \"$0\" \"$@\" '\n' >>'{}'\nexit 0\n", log.display());
        fs::write(&writer, text).expect("written");
        fs::set_permissions(&writer, fs::Permissions::from_mode(0o755)).expect("set");
        for name in NAMES {
            fs::copy(&writer, programs.join(name)).expect("copied");
        }
        for name in WRAPPERS {
            let real = which(name).unwrap_or_else(|| panic!("`{name}` is not installed"));
            symlink(real, programs.join(name)).expect("linked");
        }
        Self { shell: shell.into(), programs, work, log }
    }

    /// What a script starts, wrappers aside.
    fn run(&self, text: &str) -> Vec<Exec> {
        let _ = fs::remove_file(&self.log);
        // Waits for everything that holds its output, so for what it left behind.
        let done = Command::new("/usr/bin/timeout")
            .args(["-s", "KILL", "3"])
            .arg(&self.shell)
            .args(["-c", text])
            .current_dir(&self.work)
            .env_clear()
            .env("PATH", &self.programs)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        drop(done);
        let log = fs::read(&self.log).unwrap_or_default();
        let mut ran = Vec::new();
        let mut argv: Vec<OsString> = Vec::new();
        for word in log.split(|b| *b == 0) {
            if word != b"\n" {
                argv.push(OsString::from_vec(word.into()));
                continue;
            }
            let path = PathBuf::from(&argv[0]);
            argv[0] = path.file_name().expect("a name").into();
            let program = Some(path.clone());
            let argv = std::mem::take(&mut argv);
            ran.push(Exec { path, program, argv, cwd: self.work.clone(), ..Exec::default() });
        }
        ran
    }
}

/// Pseudo-random choices, the same every time.
struct Chance {
    state: u64,
    in_function: bool,
}

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        // SOURCE: Marsaglia, "Xorshift RNGs" (2003).
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % end
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn script(&mut self, depth: usize) -> String {
        let mut text = self.statement(depth);
        for _ in 0..self.below(4) {
            text +=
                self.of(&["; ", " && ", " || ", "\n", " | ", " & ", ";", "\n\n", " |\n", " # x\n"]);
            text += &self.statement(depth);
        }
        text
    }

    /// A script of what is understood, mostly.
    fn tame(&mut self, depth: usize) -> String {
        let mut text = String::new();
        for number in 0..=self.below(3) {
            if number > 0 {
                text += self.of(&["; ", " && ", " || ", "\n", " | ", " & ", " |\n", " # x\n"]);
            }
            let inner = |chance: &mut Self| chance.tame(depth - 1);
            text += &match self.below(if depth > 0 { 22 } else { 10 }) {
                0 => format!("X=1 {} {}", self.program(), self.of(&ARGUMENTS[..5])),
                1 => format!("'{}' \"{}\"", self.program(), self.of(&ARGUMENTS[..6])),
                2 => {
                    format!("{} \\\n {} 2>&1 >/dev/null", self.program(), self.of(&ARGUMENTS[..5]))
                }
                3 => format!("env A=1 nice -n 1 {} {}", self.program(), self.of(&ARGUMENTS[..5])),
                10 => format!("({})", inner(self)),
                11 => format!("{{ {}; }}", inner(self)),
                12 => format!("if {}; then {}\nelse {}\nfi", inner(self), inner(self), inner(self)),
                13 => format!("for i in 1 2; do {}\ndone", inner(self)),
                14 => format!("case x in (y) git;; x|z) {}\n;; esac", inner(self)),
                15 => format!("sh -c {}", quote(&inner(self))),
                16 => format!("cd {} && {}", self.of(&["sub", ".", "missing"]), self.program()),
                17 => format!("cat <<'E'\n{}\nE\n", inner(self)),
                18 => format!("set -eu; {}", inner(self)),
                19 => format!("timeout -k1 9 bash -ec {}", quote(&inner(self))),
                _ => format!("{} {}", self.program(), self.of(&ARGUMENTS[..5])),
            };
        }
        text
    }

    fn statement(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.command(0);
        }
        let inner = |chance: &mut Self| chance.script(depth - 1);
        match self.below(26) {
            0 => format!("({})", inner(self)),
            1 => format!("{{ {}; }}", inner(self)),
            2 => format!("if {}; then {}\nelse {}\nfi", self.command(0), inner(self), inner(self)),
            3 => format!("for i in 1 {}; do {}\ndone", self.word(), inner(self)),
            4 => format!("while false; do {}\ndone", inner(self)),
            5 => format!("case x in (y) git;; x|z) {}\n;; esac", inner(self)),
            6 => {
                // Not called by itself, so that every script ends.
                let outer = std::mem::replace(&mut self.in_function, true);
                let body = self.script(depth - 1);
                self.in_function = outer;
                format!("{FUNCTION}() {{ {body}\n}}; {}", self.command(0))
            }
            7 => format!("alias {FUNCTION}='{}'", self.of(&NAMES[1..])),
            8 => format!("eval {}", quote(&inner(self))),
            9 => format!("! {}", self.command(0)),
            10 => format!("x={}; {}", self.word(), self.command(0)),
            11 => format!("cat <<{e}\n{}\nE\n", inner(self), e = self.of(&["E", "'E'", "\\E"])),
            12 => format!("sh <<'E'\n{}\nE\n", inner(self)),
            13 => format!("trap {} EXIT", quote(&inner(self))),
            14 => format!("cd {} && {}", self.of(&["sub", ".", "missing"]), inner(self)),
            15 => format!("[ -f {} ] && {}", self.of(&["sub", "x"]), inner(self)),
            16 => format!("set -{}; {}", self.of(&["e", "u", "f", "x"]), inner(self)),
            _ => self.command(depth),
        }
    }

    fn command(&mut self, depth: usize) -> String {
        let mut text = String::new();
        if self.below(6) == 0 {
            text += self.of(&["X=1 ", "X='a b' ", "Y= ", "X=$x "]);
        }
        text += &match self.below(if depth > 0 { 22 } else { 14 }) {
            0 => self.wrapped("env ", &["", "-i PATH=\"$PATH\" ", "A=1 ", "-u X ", "-- ", "-S "]),
            1 => self.wrapped("nice ", &["", "-n 1 ", "-n1 ", "--adjustment=1 "]),
            2 => self.wrapped("timeout ", &["9 ", "-s KILL 9 ", "-k1 9 ", "--signal=KILL 9 "]),
            3 => self.wrapped(
                "",
                &["command ", "exec ", "command -p ", "nohup ", "setsid -w ", "builtin command "],
            ),
            4 => self.wrapped("echo push | xargs ", &["", "-n1 ", "-I{} "]),
            5 => format!("find . -maxdepth 0 -exec {} {} ';'", self.name(), self.word()),
            6 => format!("{}\\\n {}", self.name(), self.word()),
            14 | 15 => format!(
                "{} -c {}",
                self.of(&["sh", "bash", "bash -e", "env sh"]),
                quote(&self.script(depth - 1))
            ),
            16 => format!("echo {}$({}){}", self.of(&["", "\""]), self.script(depth - 1), ""),
            17 => format!("echo `{}`", self.plain()),
            18 => format!("cat <({})", self.script(depth - 1)),
            19 => format!("echo \"{}\"", self.word()),
            _ => self.plain(),
        };
        if self.below(4) == 0 {
            text += self.of(&[
                " >/dev/null",
                " 2>&1",
                " > f",
                " >> f",
                " </dev/null",
                " 2>/dev/null",
                " >&2",
                " &> f",
                " <<< git",
                " >| f",
            ]);
        }
        text
    }

    fn wrapped(&mut self, start: &str, options: &[&str]) -> String {
        format!("{start}{}{}", self.of(options), self.plain())
    }

    fn plain(&mut self) -> String {
        let mut text = self.name();
        for _ in 0..self.below(3) {
            text += self.of(&[" ", "  ", "\t", " \\\n"]);
            text += &self.word();
        }
        text
    }

    fn program(&mut self) -> &'static str {
        let names = &NAMES[usize::from(self.in_function)..];
        names[self.below(names.len())]
    }

    /// A program's name, in one of the ways to spell it.
    fn name(&mut self) -> String {
        let name = self.program();
        let (first, rest) = name.split_at(1);
        match self.below(12) {
            0 => format!("'{name}'"),
            1 => format!("\\{name}"),
            2 => format!("{first}''{rest}"),
            3 => format!("\"{first}\"{rest}"),
            4 => format!("{first}\\\n{rest}"),
            5 => format!("${{z}}{name}"),
            6 => format!("$'{name}'"),
            7 => format!("{first}\\{rest}"),
            _ => name.to_owned(),
        }
    }

    fn word(&mut self) -> String {
        let word = self.of(&ARGUMENTS[..5]);
        match self.below(14) {
            0 => format!("'{word}'"),
            1 => format!("\"{word}\""),
            2 => format!("\\{word}"),
            3 => self
                .of(&[
                    "'a b'", "\"a b\"", "a\\ b", "\\ x", "''", "\"$x\"", "$x", "*", "{a,b}", "~",
                    "a#b", "#",
                ])
                .to_owned(),
            4 => self
                .of(&[
                    "'*'", "\\$x", "\"\\$x\"", "x=y", "--a=b", "'\n'x", "a'\"'b", "-", "--", "%1",
                    "@", "^", "é",
                ])
                .to_owned(),
            5 => self
                .of(&[
                    "if",
                    "}",
                    "{",
                    "!",
                    "do",
                    "[",
                    "]",
                    "=",
                    "a=~",
                    "x:y",
                    "${x:-push}",
                    "$((1+1))",
                ])
                .to_owned(),
            _ => word.to_owned(),
        }
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
