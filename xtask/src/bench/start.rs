//! Cold start of `true`.

use std::process::Stdio;
use std::time::Instant;

use super::contenders::Contender;
use super::numbers::{Ratio, median, verdict};
use super::place::Place;
use crate::{Failure, say};

/// Rounds that are thrown away: caches fill, the processor wakes up.
const WARM_UP: usize = 5;

/// The section of the page.
pub(super) fn section(
    rounds: usize,
    place: &Place,
    contenders: &[Contender],
) -> Result<String, Failure> {
    let able = able(place, contenders)?;
    say(&format!("cold start: {rounds} rounds of {} contenders", able.len()));
    let mut times = vec![Vec::with_capacity(rounds); able.len()];
    for round in 0..WARM_UP + rounds {
        for step in 0..able.len() {
            // Nobody always comes after the same neighbour.
            let which = (step + round) % able.len();
            let time = time(place, able[which])?;
            if round >= WARM_UP {
                times[which].push(time);
            }
        }
    }
    Ok(page(&able, &times))
}

/// A rival that does not work here is named and left out; ours is an error.
fn able<'c>(place: &Place, contenders: &'c [Contender]) -> Result<Vec<&'c Contender>, Failure> {
    let mut able = Vec::new();
    for contender in contenders {
        match time(place, contender) {
            Ok(_) => able.push(contender),
            Err(failure) if able.len() < 2 => return Err(failure),
            Err(failure) => say(&format!("SKIPPED: {failure}")),
        }
    }
    Ok(able)
}

/// Milliseconds from before the start to after the end.
fn time(place: &Place, contender: &Contender) -> Result<f64, Failure> {
    let mut command = place.command(&contender.words(&["true".to_owned()]), &place.work());
    let start = Instant::now();
    let done = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let time = start.elapsed();
    if done.status.success() {
        return Ok(time.as_secs_f64() * 1000.0);
    }
    let words = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(format!("`{}` ended with {}: {words}", contender.name, done.status).into())
}

fn page(contenders: &[&Contender], times: &[Vec<f64>]) -> String {
    let base = &times[0];
    let mut added = Vec::new();
    let mut rows = String::new();
    for (contender, times) in contenders.iter().zip(times) {
        let more = median(times.iter().zip(base).map(|(time, base)| time - base).collect());
        let whole = median(times.clone());
        let ratio = Ratio::of(times, base).map_or_else(String::new, |ratio| ratio.to_string());
        rows += &format!(
            "| `{}` | {whole:.2} | {more:.2} | {ratio} | {} |\n",
            contender.name, contender.enforces
        );
        added.push(more);
    }
    let mut beside = String::new();
    for (contender, more) in contenders.iter().zip(&added).skip(2) {
        let goal = if contender.name.starts_with("codex") { 0.15 } else { 1.0 };
        let share = added[1] / more;
        beside += &format!(
            "- `remit run` adds {share:.2} times what `{}` adds; goal {goal:.2}: {}.\n",
            contender.name,
            verdict(share, goal)
        );
    }
    format!(
        "## Cold start of `true`\n\n\
         Wall time from before the start to after the end; {rounds} rounds after {WARM_UP} to warm up, every contender once a \
         round, in rotating order.\n\n\
         | | ms | added ms | ratio | enforces |\n|---|---|---|---|---|\n{rows}\n{beside}",
        rounds = base.len(),
    )
}
