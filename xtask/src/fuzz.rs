//! The laws in modules called `fuzz`, tried for longer than the tests try them.

use crate::Failure;
use crate::process::run as show;
use crate::workspace::cargo;

pub(crate) const SECONDS: u64 = 60;

const PACKAGES: [&str; 4] = ["policy", "sandbox", "proxy", "supervisor"];

/// Tries every target whose name contains `target` for so many seconds, several
/// at once. A failure shows the input, made as small as possible, and the seed.
///
/// Inputs are drawn at random; `cargo bolero test --package remit-policy NAME`
/// looks for new paths in the code instead, where that program and a nightly
/// compiler are installed.
pub(crate) fn run(target: Option<&str>, seconds: u64) -> Result<(), Failure> {
    let mut cargo = cargo(&["test", "--lib", "--tests", "--no-fail-fast"]);
    cargo.args(PACKAGES.map(|name| format!("--package=remit-{name}")));
    cargo.args(["--", "--nocapture"]).arg(target.unwrap_or("fuzz::"));
    // Both, because a target has a number of its own for the short run.
    cargo.env("BOLERO_RANDOM_TEST_TIME_MS", (seconds * 1000).to_string());
    cargo.env("BOLERO_RANDOM_ITERATIONS", usize::MAX.to_string());
    show(&mut cargo)
}
