//! Connections, bulk and requests, through the boundary and without it, to a
//! server on the host's loopback.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::contenders::Contender;
use super::numbers::{Ratio, median};
use super::place::Place;
use crate::process::run as show;
use crate::workspace::cargo;
use crate::{Failure, say};

/// Kind and clients of `net-load`, how much of it, words for the page, and the
/// least share of a plain run.
const LOADS: [(&str, u32, u64, &str, f64); 8] = [
    ("connections", 1, 4_000, "connections/s, one after the other", 0.38),
    ("connections", 16, 8_000, "connections/s, 16 at a time", 0.52),
    ("bulk", 1, 6_000_000_000, "bytes/s, one connection", 0.60),
    ("requests", 1, 20_000, "requests/s in the clear, 1 KiB answers", 0.40),
    ("tls", 1, 15_000, "requests/s, TLS inspected, 1 connection", 0.40),
    ("tls", 8, 30_000, "requests/s, TLS inspected, 8 connections", 0.22),
    ("handshakes", 1, 600, "new TLS connections/s, inspected", 0.35),
    ("pass", 1, 600, "new TLS connections/s, not inspected", 0.35),
];

/// The order in which the server says its ports.
const PORTS: [&str; 6] = ["connections", "bulk", "requests", "tls", "handshakes", "idle"];

/// Seconds of the supervisor's processor for 10^9 bytes.
const CPU: f64 = 0.25;

/// Clock ticks of `/proc/PID/stat` in a second. SOURCE: `getconf CLK_TCK`, 100 on
/// every machine that Linux runs on today.
const TICKS: f64 = 100.0;

/// Open at once. Each takes two descriptors of the supervisor's, of which an
/// ordinary user has 20,000 here.
const IDLE: u64 = 5_000;

/// KiB that one idle connection may take, and MiB that 10,000 may with everything.
const EACH: f64 = 12.0;

/// The section of the page.
pub(super) fn section(
    rounds: usize,
    target: &Path,
    place: &Place,
    remit: &Contender,
) -> Result<String, Failure> {
    show(&mut cargo(&["build", "--release", "--package=remit-e2e", "--bin=net-load"]))?;
    let load = place.reachable(&target.join("release/net-load"))?;
    let server = Server::start(place, &load)?;
    let mut ratios: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); LOADS.len()];
    let mut cpu = Vec::new();
    for round in 0..rounds {
        say(&format!("network: round {} of {rounds}", round + 1));
        for ((kind, clients, amount, ..), (plain, ours)) in LOADS.iter().zip(&mut ratios) {
            let inspected = if *kind == "pass" { "tls" } else { *kind };
            server.permit(place, inspected == *kind)?;
            let words = server.words(
                if *kind == "pass" { "handshakes" } else { kind },
                *clients,
                *amount,
            )?;
            let run = |ours: bool| server.drive(place, remit, &words, ours);
            let (first, second) = if round % 2 == 0 {
                (run(false)?, run(true)?)
            } else {
                let ours = run(true)?;
                (run(false)?, ours)
            };
            plain.push(first.figure);
            ours.push(second.figure);
            if *kind == "bulk" {
                cpu.push(second.seconds / (*amount as f64 / 1e9));
            }
        }
    }
    server.permit(place, true)?;
    let memory = server.idle(place, remit)?;
    fs::remove_dir_all(place.home.join(".config"))?;
    Ok(page(rounds, &ratios, median(cpu), memory))
}

/// What one run came to.
struct Driven {
    /// As the driver says it, per second.
    figure: f64,
    /// Processor time of the supervisor; of a plain run nothing.
    seconds: f64,
}

struct Server {
    child: Child,
    ports: Vec<String>,
    load: PathBuf,
    authority: PathBuf,
}

impl Server {
    fn start(place: &Place, load: &Path) -> Result<Self, Failure> {
        let folder = place.read_only();
        let mut child = Command::new(load)
            .arg("serve")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("a pipe")?).read_line(&mut line)?;
        let ports: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if ports.len() != PORTS.len() {
            return Err(format!("`net-load` said `{line}`").into());
        }
        let authority = folder.join("authority.pem");
        Ok(Self { child, ports, load: load.to_owned(), authority })
    }

    /// Lets the session reach the server, and inspects its TLS or not.
    fn permit(&self, place: &Place, inspect: bool) -> Result<(), Failure> {
        let settings = place.home.join(".config/remit");
        fs::create_dir_all(&settings)?;
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let (hosts, tls) = (hosts.join(", "), hosts[3..5].join(", "));
        let inspect = if inspect { tls } else { String::new() };
        let text = format!("[network]\nallow = [{hosts}]\ninspect = [{inspect}]\n");
        Ok(fs::write(settings.join("config.toml"), text)?)
    }

    fn words(&self, kind: &str, clients: u32, amount: u64) -> Result<Vec<String>, Failure> {
        let at = PORTS.iter().position(|name| *name == kind).ok_or("a load of the server's")?;
        let load = self.load.display();
        // Inside, the variable names the list that has the session's authority, too, or
        // nothing where none is needed.
        let authority = self.authority.display();
        let script = format!(
            "exec {load} drive {kind} {} {amount} {clients} \"${{SSL_CERT_FILE:-{authority}}}\"",
            self.ports[at]
        );
        Ok(vec!["sh".to_owned(), "-c".to_owned(), script])
    }

    fn command(&self, place: &Place, remit: Option<&Contender>, words: &[String]) -> Command {
        let words = remit.map_or_else(|| words.to_vec(), |remit| remit.words(words));
        let mut command = place.command(&words, &place.work());
        command.env("SSL_CERT_FILE", &self.authority).stdout(Stdio::piped());
        command
    }

    fn drive(
        &self,
        place: &Place,
        remit: &Contender,
        words: &[String],
        ours: bool,
    ) -> Result<Driven, Failure> {
        let mut child = self.command(place, ours.then_some(remit), words).spawn()?;
        let stat = format!("/proc/{}/stat", child.id());
        let mut seconds = 0.0;
        while ours && child.try_wait()?.is_none() {
            seconds = fs::read_to_string(&stat).ok().and_then(|stat| cpu(&stat)).unwrap_or(seconds);
            thread::sleep(Duration::from_millis(20));
        }
        let done = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        let figure = said.parse().map_err(|_| format!("`{}` said `{said}`", words[2]))?;
        Ok(Driven { figure, seconds })
    }

    /// KiB of the supervisor's own memory without and with idle connections.
    fn idle(&self, place: &Place, remit: &Contender) -> Result<(f64, f64), Failure> {
        say("network: idle connections");
        let mut taken = Vec::new();
        for amount in [1, IDLE] {
            let words = self.words("idle", 1, amount)?;
            let mut child = self.command(place, Some(remit), &words).spawn()?;
            let mut line = String::new();
            BufReader::new(child.stdout.take().ok_or("a pipe")?).read_line(&mut line)?;
            thread::sleep(Duration::from_secs(2));
            let memory = fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id()));
            child.kill()?;
            child.wait()?;
            if line.trim() != "open" {
                return Err(format!("{amount} connections were not opened: `{line}`").into());
            }
            let memory = memory?;
            let line =
                memory.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no `Pss`")?;
            taken.push(line.split_whitespace().next().ok_or("no number")?.parse()?);
        }
        Ok((taken[0], taken[1]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of processor time. SOURCE: proc_pid_stat(5), fields 14 and 15.
fn cpu(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (user, system): (f64, f64) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
    Some((user + system) / TICKS)
}

fn page(rounds: usize, ratios: &[(Vec<f64>, Vec<f64>)], cpu: f64, memory: (f64, f64)) -> String {
    let mut rows = String::new();
    for ((_, _, _, words, goal), (plain, ours)) in LOADS.iter().zip(ratios) {
        let ratio = Ratio::of(ours, plain).map_or_else(String::new, |ratio| ratio.to_string());
        let middle = Ratio::of(ours, plain).map_or(0.0, |ratio| ratio.middle);
        let met = if (middle * 100.0).round() >= goal * 100.0 { "met" } else { "**missed**" };
        rows += &format!(
            "| {words} | {:.0} | {ratio} | ≥ {goal:.2} | {met} |\n",
            median(plain.clone())
        );
    }
    let each = (memory.1 - memory.0) / (IDLE - 1) as f64;
    let at_most = |figure: f64, goal: f64| if figure <= goal { "met" } else { "**missed**" };
    format!(
        "## Network\n\n{rounds} rounds; a server and a client of one thread each, on the loopback. The second column is \
         what `remit run` leaves of the first: median (least–most) of what is paired within a round. Every connection is \
         judged and written down, every inspected request too.\n\n\
         | | plain | `remit run` × | goal | |\n|---|---|---|---|---|\n{rows}\n\
         - Bulk takes {cpu:.2} s of the supervisor's processor time for 10⁹ bytes; goal {CPU}: {}.\n\
         - {IDLE} idle connections take {:.1} MiB more than one, {each:.1} KiB each; goal {EACH}: {}.\n",
        at_most(cpu, CPU),
        (memory.1 - memory.0) / 1024.0,
        at_most(each, EACH),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_after_the_last_parenthesis() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu(stat).map(f64::to_bits), Some(2.0f64.to_bits()));
    }
}
