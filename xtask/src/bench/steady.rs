//! Work inside one session. A script times its own steps, so that starting is
//! no part of them; every round each contender does all of it, in rotating order.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::contenders::Contender;
use super::numbers::{Ratio, median, verdict};
use super::place::Place;
use crate::process::{output, run as show, succeeds};
use crate::{Failure, say};

/// Name in the script, words for the page, and the most it may cost.
const STEPS: [(&str, &str, Option<f64>); 12] = [
    ("git-status", "5 × `git status`, 10,000 files", Some(1.03)),
    ("find", "3 × `find` with sizes, 10,000 files", Some(1.03)),
    ("grep", "3 × `grep -r`, 10,000 files", Some(1.03)),
    ("tar-copy", "copy 300 files with `tar \\| tar`", Some(1.03)),
    ("create-16", "create 30,000 files, Node, 16 at a time", Some(1.10)),
    ("create-1", "create 30,000 files, `tar x`", Some(1.10)),
    ("execs", "2,000 × `/bin/true` from a shell", Some(1.12)),
    ("make", "`make`, 21 C files", Some(1.03)),
    ("cargo", "`cargo build`, 12 crates", Some(1.03)),
    ("open-read-only", "open for reading, 8 deep, outside the workspace", Some(1.10)),
    ("open-workspace", "open for reading, 8 deep, in the workspace", Some(1.10)),
    ("open-write", "open for writing, 8 deep", None),
];

type Times = HashMap<String, f64>;

/// The section of the page. The contenders are plain, ours and bubblewrap.
pub(super) fn section(
    rounds: usize,
    place: &Place,
    contenders: &[Contender],
) -> Result<String, Failure> {
    furnish(place)?;
    let contenders = &contenders[..contenders.len().min(3)];
    let mut all = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        say(&format!("steady state: round {} of {rounds}", round + 1));
        for step in 0..contenders.len() {
            let which = (step + round) % contenders.len();
            all[which].push(job(place, &contenders[which])?);
        }
    }
    Ok(page(contenders, &all))
}

/// Makes what the script works on, and lets the account read a toolchain.
fn furnish(place: &Place) -> Result<(), Failure> {
    say("furnishing the workspace");
    let (work, read_only) = (place.work(), place.read_only());
    for (name, text) in [
        ("job.sh", include_str!("job.sh")),
        ("furnish.sh", include_str!("furnish.sh")),
        ("opens.c", include_str!("opens.c")),
    ] {
        fs::write(read_only.join(name), text)?;
    }
    fs::write(work.join("create.js"), include_str!("create.js"))?;
    let script = |name: &str| read_only.join(name).display().to_string();
    let words = ["bash".to_owned(), script("furnish.sh"), script("opens.c")];
    show(&mut place.command(&words, &work))?;
    let deep = read_only.join("1/2/3/4/5/6/7/8");
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("file"), "text")?;
    if let Err(reason) = toolchain(&read_only) {
        say(&format!("SKIPPED: no cargo build: {reason}"));
    }
    Ok(())
}

/// A copy of the compiler, because its own place may be closed to the account.
fn toolchain(into: &Path) -> Result<(), Failure> {
    let root = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let root = Path::new(root.trim());
    let rust = into.join("rust");
    fs::create_dir(&rust)?;
    for part in ["bin", "lib"] {
        let from = root.join(part);
        if !succeeds(Command::new("cp").arg("-r").arg(&from).arg(&rust)) {
            return Err(format!("cannot copy `{}`", from.display()).into());
        }
    }
    Ok(())
}

/// Milliseconds of each step.
fn job(place: &Place, contender: &Contender) -> Result<Times, Failure> {
    let (work, read_only) = (place.work(), place.read_only());
    let words = ["bash".to_owned()]
        .into_iter()
        .chain(
            [read_only.join("job.sh"), work.clone(), read_only]
                .map(|path| path.display().to_string()),
        )
        .collect::<Vec<_>>();
    let text = output(&mut place.command(&contender.words(&words), &work))?;
    let mut times = Times::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["step", name, time] => {
                times.insert(name.to_owned(), time.parse::<f64>()? / 1000.0);
            }
            ["failed", name] => {
                return Err(format!("`{name}` failed in `{}`", contender.name).into());
            }
            _ => {}
        }
    }
    Ok(times)
}

fn page(contenders: &[Contender], all: &[Vec<Times>]) -> String {
    let rows: String = STEPS.iter().filter_map(|step| row(step, all)).collect();
    let heads: String =
        contenders.iter().skip(1).map(|contender| format!(" `{}` × |", contender.name)).collect();
    let lines = "---|".repeat(contenders.len() + 3);
    format!(
        "## Work inside one session\n\n\
         {rounds} rounds; start-up excluded. Ratios to plain are medians (least–most) of what is paired within a round.\n\n\
         | | plain ms |{heads} goal | `remit run` |\n|{lines}\n{rows}",
        rounds = all[0].len(),
    )
}

fn row((name, words, goal): &(&str, &str, Option<f64>), all: &[Vec<Times>]) -> Option<String> {
    let times = |which: usize| -> Option<Vec<f64>> {
        all[which].iter().map(|round| round.get(*name).copied()).collect()
    };
    let base = times(0)?;
    let ratios: Vec<Option<Ratio>> =
        (1..all.len()).map(|which| Ratio::of(&times(which)?, &base)).collect();
    let cells: String = ratios
        .iter()
        .map(|ratio| ratio.map_or_else(|| " – |".to_owned(), |ratio| format!(" {ratio} |")))
        .collect();
    let said = match (ratios.first().copied().flatten(), goal) {
        (Some(ratio), Some(goal)) => format!(" ≤ {goal:.2} | {} |", verdict(ratio.middle, *goal)),
        _ => " none set | |".to_owned(),
    };
    Some(format!("| {words} | {:.0} |{cells}{said}\n", median(base)))
}
