//! Speed and cost beside rivals, interleaved in one run: the machine's speed
//! drifts, so only what is paired within a round can be compared.

mod contenders;
mod exec;
mod memory;
mod network;
mod numbers;
mod place;
mod start;
mod steady;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use contenders::{Contender, contenders};
use place::Place;

use crate::install;
use crate::process::{is_root, output, run as show, succeeds};
use crate::workspace::{Workspace, cargo};
use crate::{Failure, say};

pub(crate) const ROUNDS: usize = 100;
/// Of the longer work, one for so many cold starts.
const SHARE: usize = 15;

/// Of starting programs, measured alone.
pub(crate) const EXEC_ROUNDS: usize = 21;

/// Of each kind of traffic.
pub(crate) const NETWORK_ROUNDS: usize = 7;

/// Says to a second start that everything is made ready and a file system in
/// memory lies over the account's home.
const WITHIN: &str = "REMIT_BENCH_WITHIN";

/// Measures, writes `docs/benchmarks.md` and prints it.
pub(crate) fn run(rounds: usize) -> Result<(), Failure> {
    if rounds == 0 {
        return Err("a benchmark has at least one round".into());
    }
    let workspace = Workspace::load()?;
    let account = install::account()?;
    if std::env::var_os(WITHIN).is_none() {
        install::programs();
        install::agents(&workspace.target);
        show(&mut cargo(&["build", "--release", "--package=remit-cli"]))?;
        if let Some(mut again) = in_memory(&account.home, rounds)? {
            return show(&mut again);
        }
        say("not root: files lie on whatever file system the home is on");
    }
    let load = load();
    let place = Place::new(account)?;
    let contenders = contenders(&workspace.target, &place)?;
    let mut page = vec![
        start::section(rounds, &place, &contenders)?,
        exec::section(rounds.div_ceil(SHARE), &place, &contenders)?,
        steady::section(rounds.div_ceil(SHARE), &place, &contenders)?,
        network::section(NETWORK_ROUNDS, &workspace.target, &place, &contenders[1])?,
    ];
    // A page without it says so; the rest still counts.
    page.push(memory::section(&place, &contenders[1]).unwrap_or_else(|reason| {
        say(&format!("SKIPPED: memory: {reason}"));
        format!("## Memory of the `remit` process\n\nNot measured: {reason}.\n")
    }));
    let page = format!("{}{}", head(&contenders, &load, &place), page.join("\n"));
    fs::write(workspace.root.join("docs/benchmarks.md"), &page)?;
    std::io::stdout().write_all(page.as_bytes())?;
    Ok(())
}

/// Measures starting programs alone and puts that section into the page.
pub(crate) fn run_exec(rounds: usize) -> Result<(), Failure> {
    run_one(|_, place, contenders| exec::section(rounds, place, contenders))
}

/// Measures the network alone and puts that section into the page.
pub(crate) fn run_network(rounds: usize) -> Result<(), Failure> {
    run_one(|target, place, contenders| network::section(rounds, target, place, &contenders[1]))
}

fn run_one(
    measure: impl FnOnce(&Path, &Place, &[Contender]) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    show(&mut cargo(&["build", "--release", "--package=remit-cli"]))?;
    let place = Place::new(install::account()?)?;
    let contenders = contenders(&workspace.target, &place)?;
    let section = measure(&workspace.target, &place, &contenders)?;
    let path = workspace.root.join("docs/benchmarks.md");
    fs::write(&path, with_section(&fs::read_to_string(&path)?, &section))?;
    std::io::stdout().write_all(section.as_bytes())?;
    Ok(())
}

/// A page with one section replaced, or added at the end.
fn with_section(page: &str, section: &str) -> String {
    let title = section.lines().next().unwrap_or_default();
    let Some(begin) = page.find(&format!("{title}\n")) else {
        return format!("{}\n\n{section}", page.trim_end());
    };
    let end = page[begin + 1..].find("\n## ").map_or(page.len(), |at| begin + 1 + at + 1);
    let rest = &page[end..];
    let gap = if rest.is_empty() { "" } else { "\n" };
    format!("{}{section}{gap}{rest}", &page[..begin])
}

/// The same again in a mount namespace of its own with the home in memory, where
/// we are root: on a disk the differences drown.
fn in_memory(home: &str, rounds: usize) -> Result<Option<Command>, Failure> {
    let tries = ["--mount", "--propagation=private", "true"];
    if !is_root() || !succeeds(Command::new("unshare").args(tries)) {
        return Ok(None);
    }
    // Whose the home is is asked before it is covered.
    const SCRIPT: &str = "owner=$(stat -c %u:%g \"$1\") && \
        mount -t tmpfs -o mode=755,size=8g bench \"$1\" && chown \"$owner\" \"$1\" && \
        exec \"$0\" bench --rounds \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "sh", "-c", SCRIPT]);
    command.arg(std::env::current_exe()?).args([home, &rounds.to_string()]);
    command.env(WITHIN, "1");
    Ok(Some(command))
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

fn head(contenders: &[Contender], before: &str, place: &Place) -> String {
    let versions: Vec<_> = contenders.iter().map(|contender| contender.version.as_str()).collect();
    let versions: Vec<_> = versions.into_iter().filter(|version| !version.is_empty()).collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = output(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let who = if place.account.uid == 0 { "root" } else { "an ordinary user" };
    let files = if std::env::var_os(WITHIN).is_some() { "in memory (tmpfs)" } else { "on disk" };
    format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench` on {date}; kernel {kernel}, {cores} cores; {versions}. Load average before the run \
         {before}, after it {after}. Everything runs as {who}, with files {files}. The machine's speed drifts, so only what \
         is paired within a round can be compared: ratios, not times.\n\n",
        date = date.trim(),
        kernel = kernel.trim(),
        versions = versions.join(", "),
        after = load(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_its_older_self() {
        let page = "# Page\n\n## One\n\n1\n\n## Two\n\n2\n";
        assert_eq!(with_section(page, "## One\n\n3\n"), "# Page\n\n## One\n\n3\n\n## Two\n\n2\n");
        assert_eq!(with_section(page, "## Two\n\n3\n"), "# Page\n\n## One\n\n1\n\n## Two\n\n3\n");
        assert_eq!(with_section(page, "## Six\n\n6\n"), format!("{page}\n## Six\n\n6\n"));
    }
}
