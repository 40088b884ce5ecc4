//! The project's own chores.
//!
//! ```text
//! cargo xtask test [--filter F]     install what tests need, check, build, test
//! cargo xtask layers                compare ARCHITECTURE.md §4 with the crates
//! cargo xtask bench [--rounds N]    cold start beside its rivals, into docs/benchmarks.md
//! ```
#![forbid(unsafe_code)]

mod bench;
mod install;
mod layers;
mod process;
mod test;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

/// What goes wrong in a chore, in words for the person who started it.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test::run(None),
        ["test", "--filter", filter] => test::run(Some(filter)),
        ["layers"] => layers::run(),
        ["bench"] => bench::run(bench::ROUNDS),
        ["bench", "--rounds", rounds] => rounds.parse().map_err(Failure::from).and_then(bench::run),
        _ => Err("usage: cargo xtask test [--filter F] | layers | bench [--rounds N]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("failed: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Words for a person, on stderr.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "xtask: {words}");
}
