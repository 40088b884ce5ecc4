//! Everything that must hold before a change is taken, from a bare machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::process::{find, output, run as show};
use crate::workspace::{Workspace, cargo};
use crate::{Failure, install, layers, say};

/// Installs, checks, builds and tests; goes on after a failure, so that one
/// run tells everything. `filter` selects tests whose name contains it.
pub(crate) fn run(filter: Option<&str>) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    say("looking for what the tests need");
    let mut skipped = install::programs();
    skipped.extend(install::agents(&workspace.target));
    if let Err(reason) = install::account() {
        skipped.push(format!("what needs an ordinary account: {reason}"));
    }
    let mut tally = Tally::default();
    tally.step("format", show(&mut cargo(&["fmt", "--all", "--check"])));
    tally.step("layers", layers::run());
    tally.step("lints", show(&mut cargo(&LINTS)));
    if find("cargo-deny").is_some() {
        tally.step("licences and advisories", show(&mut cargo(&["deny", "check"])));
    } else {
        skipped.push("licences and advisories: `cargo deny` is not installed".to_owned());
    }
    // The end-to-end tests start these; Cargo builds no other package's binary.
    tally.step("build", show(&mut cargo(&BINARIES)));
    tests(filter, &mut tally);
    skipped.extend(end_to_end_skips()?);
    report(&skipped, &tally)
}

const LINTS: [&str; 6] = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
const BINARIES: [&str; 4] = ["build", "--package=remit-cli", "--package=remit-e2e", "--bins"];

/// How it went. Steps and tests count alike.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    skipped: u64,
    failed: Vec<String>,
}

impl Tally {
    fn step(&mut self, name: &str, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(failure) => {
                say(&format!("{name} failed: {failure}"));
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Reads a line of a test runner's output.
    ///
    /// Nextest ends with `Summary [ 9.1s] 120 tests run: 118 passed, 2 skipped`;
    /// libtest ends each program with `test result: ok. 5 passed; 0 failed; …`.
    fn read(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("Summary [") || line.starts_with("test result: ") {
            let words: Vec<&str> = line.split([' ', ',', ';', '(', ')']).collect();
            for pair in words.windows(2) {
                match (pair[0].parse::<u64>(), pair[1]) {
                    (Ok(count), "passed") => self.passed += count,
                    (Ok(count), "skipped" | "ignored") => self.skipped += count,
                    _ => {}
                }
            }
        } else if let Some(name) = failure(line) {
            // Nextest says it twice: when it happens and at the end.
            if !self.failed.iter().any(|known| known == name) {
                self.failed.push(name.to_owned());
            }
        }
    }
}

/// The test that a line says has failed.
fn failure(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("test ") {
        return rest.strip_suffix("FAILED").map(|name| name.trim_end_matches([' ', '.']));
    }
    let bad = ["FAIL [", "TIMEOUT [", "ABORT [", "SIGSEGV ["];
    let rest = bad.iter().find_map(|word| line.strip_prefix(word))?;
    let (_, name) = rest.split_once(']')?;
    // Between the duration and the name may stand `( 12/192)`.
    Some(name.rsplit_once(") ").map_or(name, |(_, name)| name).trim())
}

/// Runs all tests, by nextest where it is installed and by Cargo alone elsewhere.
fn tests(filter: Option<&str>, tally: &mut Tally) {
    let nextest =
        "nextest run --workspace --no-fail-fast --no-tests=pass --status-level=slow --color=never";
    // Nextest does not run the examples in documentation.
    let examples = "test --workspace --doc --no-fail-fast --color=never";
    let alone = "test --workspace --no-fail-fast --color=never";
    let runs = if find("cargo-nextest").is_some() { vec![nextest, examples] } else { vec![alone] };
    for words in runs {
        let known = tally.failed.len();
        let mut command = cargo(&words.split(' ').collect::<Vec<_>>());
        let outcome = watch(command.args(filter), |line| tally.read(line));
        if let Err(failure) = outcome {
            say(&format!("`cargo {words}`: {failure}"));
            if tally.failed.len() == known {
                tally.failed.push(format!("cargo {words}"));
            }
        }
    }
}

/// Runs a program and shows its output while `read` reads along.
fn watch(command: &mut Command, mut read: impl FnMut(&str)) -> Result<(), Failure> {
    // One pipe for both streams keeps their lines in order.
    let (pipe, end) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(end.try_clone()?).stderr(end);
    let mut child = command.spawn()?;
    // The command's own copies of the writing end would keep the pipe open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let _ = std::io::stderr().write_all(&line);
        read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(status.to_string().into()) }
}

/// What the end-to-end tests cannot do here, with reasons.
fn end_to_end_skips() -> Result<Vec<String>, Failure> {
    let words = "test --quiet --package remit-e2e --test e2e -- --list-skips";
    let listing = output(&mut cargo(&words.split(' ').collect::<Vec<_>>()))?;
    Ok(listing.lines().map(str::to_owned).collect())
}

fn report(skipped: &[String], tally: &Tally) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nskipped here:{}", if skipped.is_empty() { " nothing" } else { "" })?;
    for reason in skipped {
        writeln!(out, "  {reason}")?;
    }
    for name in &tally.failed {
        writeln!(out, "failed: {name}")?;
    }
    let word = if tally.failed.is_empty() { "ok" } else { "FAILED" };
    let Tally { passed, skipped, failed } = tally;
    let failed = failed.len();
    writeln!(out, "\ntest result: {word}. {passed} passed; {failed} failed; {skipped} ignored")?;
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of the checks and tests").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, passed: u64, skipped: u64, failed: &[&str]) {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        let failed = failed.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(tally, Tally { passed, skipped, failed });
    }

    #[test]
    fn nextest_is_understood() {
        let text = "\
        FAIL [   0.119s] (  5/120) remit-e2e::e2e user::a::b
     Summary [   9.105s] 120 tests run: 118 passed (1 slow), 2 failed, 3 skipped
        FAIL [   0.119s] (  5/120) remit-e2e::e2e user::a::b
     TIMEOUT [  60.001s] remit-audit chain::slow";
        check(text, 118, 3, &["remit-e2e::e2e user::a::b", "remit-audit chain::slow"]);
    }

    #[test]
    fn libtest_is_understood_across_programs() {
        let text = "\
test tests::one ... FAILED
test user::boundary::two         ... FAILED
test tests::three ... ok
test result: FAILED. 5 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured";
        check(text, 7, 1, &["tests::one", "user::boundary::two"]);
    }
}
