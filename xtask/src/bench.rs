//! Cold start beside its rivals, interleaved in one run: the machine's speed
//! drifts, so only what is paired within a round can be compared.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::install::{self, Account};
use crate::process::{find, is_root, output, run as show};
use crate::workspace::{Workspace, cargo};
use crate::{Failure, say};

pub(crate) const ROUNDS: usize = 100;
/// Rounds that are thrown away: caches fill, the processor wakes up.
const WARM_UP: usize = 5;

/// Measures, writes `docs/benchmarks.md` and prints it.
pub(crate) fn run(rounds: usize) -> Result<(), Failure> {
    if rounds == 0 {
        return Err("a benchmark has at least one round".into());
    }
    let workspace = Workspace::load()?;
    install::programs();
    install::agents(&workspace.target);
    show(&mut cargo(&["build", "--release", "--package=remit-cli"]))?;
    let place = Place::new(install::account()?)?;
    let contenders = contenders(&workspace, &place)?;
    say(&format!("{rounds} rounds of {} contenders", contenders.len()));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..WARM_UP + rounds {
        for step in 0..contenders.len() {
            // Nobody always comes after the same neighbour.
            let which = (step + round) % contenders.len();
            let time = place.time(&contenders[which])?;
            if round >= WARM_UP {
                times[which].push(time);
            }
        }
    }
    let page = page(&contenders, &times, load.trim(), &place);
    fs::write(workspace.root.join("docs/benchmarks.md"), &page)?;
    std::io::Write::write_all(&mut std::io::stdout(), page.as_bytes())?;
    Ok(())
}

/// One way to run `true`.
struct Contender {
    name: &'static str,
    words: Vec<String>,
    version: String,
    enforces: &'static str,
}

/// The first is the base of every comparison.
fn contenders(workspace: &Workspace, place: &Place) -> Result<Vec<Contender>, Failure> {
    let remit = place.reachable(&workspace.target.join("release/remit"))?;
    let mut all = vec![
        Contender {
            name: "true",
            words: vec!["true".into()],
            version: String::new(),
            enforces: "nothing",
        },
        Contender {
            name: "remit run",
            words: words(&remit, "run -- true"),
            version: place.version(&remit),
            enforces: "mounts, processes, network, Landlock, seccomp; every exec and connection judged and recorded",
        },
    ];
    if let Some(bwrap) = find("bwrap") {
        all.push(Contender {
            name: "bwrap --unshare-all",
            words: words(
                &bwrap,
                "--ro-bind / / --dev /dev --proc /proc --unshare-all --die-with-parent true",
            ),
            version: place.version(&bwrap),
            enforces: "mounts, processes, no network at all; nothing judged or recorded",
        });
    }
    if let Some(codex) = codex(&workspace.target) {
        let codex = place.reachable(&codex)?;
        all.push(Contender {
            name: "codex sandbox",
            words: words(&codex, "sandbox -- true"),
            version: place.version(&codex),
            enforces: "mounts, processes, no network, seccomp; nothing judged or recorded",
        });
    }
    // A rival that does not work here is named and left out; ours is an error.
    let mut able = Vec::new();
    for contender in all {
        match place.time(&contender) {
            Ok(_) => able.push(contender),
            Err(failure) if able.len() < 2 => return Err(failure),
            Err(failure) => say(&format!("SKIPPED: {failure}")),
        }
    }
    Ok(able)
}

fn words(program: &Path, rest: &str) -> Vec<String> {
    let program = program.display().to_string();
    std::iter::once(program).chain(rest.split(' ').map(str::to_owned)).collect()
}

/// The native binary within npm's platform package.
fn codex(target: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(target.join("agents/node_modules/@openai")).ok()?.flatten();
    let vendors = packages.filter_map(|package| fs::read_dir(package.path().join("vendor")).ok());
    vendors
        .flatten()
        .flatten()
        .map(|vendor| vendor.path().join("bin/codex"))
        .find(|path| path.is_file())
}

/// Where and as whom the contenders run: an ordinary account with an empty
/// home below its own, and a workspace in it.
struct Place {
    account: Account,
    home: PathBuf,
}

impl Place {
    fn new(account: Account) -> Result<Self, Failure> {
        let home = Path::new(&account.home).join(format!("remit-bench-{}", std::process::id()));
        let place = Self { account, home };
        for folder in [place.home.clone(), place.home.join("work"), place.home.join(".codex")] {
            fs::create_dir(&folder)?;
            chown(&folder, Some(place.account.uid), Some(place.account.gid))?;
        }
        Ok(place)
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.home.join("work")).env_clear();
        command
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("USER", &self.account.name);
        command.stdin(Stdio::null());
        if is_root() {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
    }

    /// From before the start to after the end.
    fn time(&self, contender: &Contender) -> Result<Duration, Failure> {
        let mut command = self.command(&contender.words);
        let start = Instant::now();
        let done = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
        let time = start.elapsed();
        if done.status.success() {
            return Ok(time);
        }
        let words = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        Err(format!("`{}` ended with {}: {words}", contender.name, done.status).into())
    }

    /// What a program says of itself, asked as the account.
    fn version(&self, program: &Path) -> String {
        let asked = output(&mut self.command(&words(program, "--version")));
        asked.map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
    }

    /// The same program where the account may run it: there, or a copy.
    fn reachable(&self, program: &Path) -> Result<PathBuf, Failure> {
        let shown = program.display().to_string();
        let mut test = self.command(&["test".to_owned(), "-x".to_owned(), shown.clone()]);
        if test.status().is_ok_and(|status| status.success()) {
            return Ok(program.to_owned());
        }
        let name = program.file_name().ok_or("a program has a name")?;
        let copy = self.home.join(name);
        fs::copy(program, &copy).map_err(|error| format!("cannot copy `{shown}`: {error}"))?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        Ok(copy)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn page(contenders: &[Contender], times: &[Vec<Duration>], load: &str, place: &Place) -> String {
    let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
    let base: Vec<f64> = times[0].iter().map(milliseconds).collect();
    let mut added = Vec::new();
    let mut rows = String::new();
    for (contender, times) in contenders.iter().zip(times) {
        let times: Vec<f64> = times.iter().map(milliseconds).collect();
        let pairs = || times.iter().zip(&base);
        let more = median(pairs().map(|(time, base)| time - base).collect());
        let ratio = median(pairs().map(|(time, base)| time / base).collect());
        let whole = median(times.clone());
        rows += &format!(
            "| `{}` | {whole:.2} | {more:.2} | {ratio:.2} | {} |\n",
            contender.name, contender.enforces
        );
        added.push(more);
    }
    let mut beside = String::new();
    for (contender, more) in contenders.iter().zip(&added).skip(2) {
        beside += &format!(
            "- `remit run` adds {:.2} times what `{}` adds.\n",
            added[1] / more,
            contender.name
        );
    }
    let versions: Vec<_> = contenders.iter().map(|contender| contender.version.as_str()).collect();
    let versions: Vec<_> = versions.into_iter().filter(|version| !version.is_empty()).collect();
    let first_line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let date = output(Command::new("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let who = if place.account.uid == 0 { "root" } else { "an ordinary user" };
    format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench` on {date}; kernel {kernel}, {cores} cores, load before the run {load}; \
         {versions}.\n\n\
         ## Cold start of `true`\n\n\
         Wall time from before the start to after the end, as {who}, {rounds} rounds after {WARM_UP} to warm up. \
         Each round runs every contender once, in rotating order; `added` and `ratio` are medians of what is paired \
         within a round, because the machine's speed drifts and only that can be compared.\n\n\
         | | ms | added ms | ratio | enforces |\n|---|---|---|---|---|\n{rows}\n{beside}",
        date = date.trim(),
        kernel = first_line("/proc/sys/kernel/osrelease"),
        versions = versions.join(", "),
        rounds = base.len(),
    )
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5f64.to_bits());
    }
}
