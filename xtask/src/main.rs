//! The project's own chores.
//!
//! ```text
//! cargo xtask test [--filter F]     install what tests need, check, build, test
//! cargo xtask layers                compare ARCHITECTURE.md §4 with the crates
//! cargo xtask fuzz [TARGET] [SECS]  try the laws of parsers and plans for longer
//! cargo xtask bench [--rounds N]    speed and cost beside rivals, into docs/benchmarks.md
//! cargo xtask bench exec            of that page the section on starting programs
//! cargo xtask bench network         of that page the section on the network
//! ```
#![forbid(unsafe_code)]

mod bench;
mod fuzz;
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
        ["fuzz"] => fuzz::run(None, fuzz::SECONDS),
        ["fuzz", target] => match target.parse() {
            Ok(seconds) => fuzz::run(None, seconds),
            Err(_) => fuzz::run(Some(target), fuzz::SECONDS),
        },
        ["fuzz", target, seconds] => {
            seconds.parse().map_err(Failure::from).and_then(|n| fuzz::run(Some(target), n))
        }
        ["bench"] => bench::run(bench::ROUNDS),
        ["bench", "--rounds", rounds] => rounds.parse().map_err(Failure::from).and_then(bench::run),
        ["bench", "exec"] => bench::run_exec(bench::EXEC_ROUNDS),
        ["bench", "network"] => bench::run_network(bench::NETWORK_ROUNDS),
        _ => Err("usage: cargo xtask test [--filter F] | layers | fuzz [TARGET] [SECONDS] | bench [--rounds N | exec | network]".into()),
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
