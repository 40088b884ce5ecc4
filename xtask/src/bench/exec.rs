//! Starting programs inside one session, beside doing so without one and beside
//! writing them down with `strace`.

use super::contenders::Contender;
use super::numbers::{Ratio, median, verdict};
use super::place::{Place, words};
use crate::process::{find, output};
use crate::{Failure, say};

/// Times itself, so that starting and ending the session is no part of it; once
/// for nothing, so that caches are full.
const LOOP: &str = "run() { for ((i = 0; i < 400; i++)); do /usr/bin/true; done; }\n\
    run\n\
    begin=${EPOCHREALTIME/./}\n\
    run\n\
    end=${EPOCHREALTIME/./}\n\
    echo $((end - begin))";

/// Programs started in one round.
const STARTS: f64 = 400.0;

/// What starting `true` may cost beside doing so without a session.
const GOAL: f64 = 1.12;

/// The section of the page. Of the contenders the first two, and what only
/// watches: the kernel stops every program that starts, for `strace` to note it.
pub(super) fn section(
    rounds: usize,
    place: &Place,
    contenders: &[Contender],
) -> Result<String, Failure> {
    let mut ways: Vec<(&str, Vec<String>)> =
        contenders.iter().take(2).map(|one| (one.name, one.before.clone())).collect();
    match find("strace") {
        Some(strace) => {
            let options = "-f -e trace=execve --seccomp-bpf -o /dev/null";
            ways.push(("strace -f -e execve --seccomp-bpf", words(&strace, options)));
        }
        None => say("SKIPPED: no program `strace`"),
    }
    let mut times = vec![Vec::with_capacity(rounds); ways.len()];
    for round in 0..rounds {
        say(&format!("starting programs: round {} of {rounds}", round + 1));
        for step in 0..ways.len() {
            // Nobody always comes after the same neighbour.
            let which = (step + round) % ways.len();
            times[which].push(time(place, &ways[which].1)?);
        }
    }
    Ok(page(&ways, &times))
}

/// Microseconds of one start.
fn time(place: &Place, before: &[String]) -> Result<f64, Failure> {
    let script = ["bash", "-c", LOOP].map(str::to_owned);
    let text = output(&mut place.command(&[before, &script].concat(), &place.work()))?;
    let time: f64 = text.lines().last().unwrap_or_default().trim().parse()?;
    Ok(time / STARTS)
}

fn page(ways: &[(&str, Vec<String>)], times: &[Vec<f64>]) -> String {
    let rows: String = ways
        .iter()
        .zip(times)
        .enumerate()
        .map(|(which, ((name, _), own))| {
            let ratio = Ratio::of(own, &times[0]);
            let cell = ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string());
            let goal = match (which, ratio) {
                (1, Some(ratio)) => format!("≤ {GOAL:.2} | {}", verdict(ratio.middle, GOAL)),
                _ => " | ".to_owned(),
            };
            format!("| `{name}` | {:.0} | {cell} | {goal} |\n", median(own.clone()))
        })
        .collect();
    format!(
        "## Starting programs inside one session\n\n\
         {rounds} rounds of 400 × `/usr/bin/true` from bash. `strace` writes down and judges nothing; `remit run` judges, compares and records each.\n\n\
         | | µs per start | × plain, paired | goal | |\n|---|---|---|---|---|\n{rows}",
        rounds = times[0].len(),
    )
}
