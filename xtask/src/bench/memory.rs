//! What the supervisor's process takes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::contenders::Contender;
use super::numbers::verdict;
use super::place::Place;
use crate::{Failure, say};

/// As many as a process may have descriptors for, where nobody said otherwise.
const CONNECTIONS: usize = 1_000;

/// Opens connections, says so, and keeps them.
const CLIENT: &str = "
import socket, sys, time
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))
    held[-1].sendall(b'x')
print('open', flush=True)
time.sleep(60)
";

/// KiB: what is in memory, and of that its own share.
struct Taken {
    resident: f64,
    share: f64,
}

/// The section of the page.
pub(super) fn section(place: &Place, remit: &Contender) -> Result<String, Failure> {
    say("memory");
    let mut command = place.command(&remit.words(&["sleep".into(), "60".into()]), &place.work());
    let idle = measure(&mut command, false)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let settings = place.home.join(".config/remit");
    fs::create_dir_all(&settings)?;
    fs::write(
        settings.join("config.toml"),
        format!("[network]\nallow = [\"127.0.0.1:{port}\"]\n"),
    )?;
    // Ends with the program; nothing more is asked of it.
    thread::spawn(move || listener.incoming().flatten().collect::<Vec<_>>());
    let words = ["python3", "-c", CLIENT, &port.to_string(), &CONNECTIONS.to_string()];
    let words = words.map(str::to_owned);
    let busy = measure(&mut place.command(&remit.words(&words), &place.work()), true)?;
    fs::remove_dir_all(place.home.join(".config"))?;
    let per_connection = (busy.share - idle.share) / CONNECTIONS as f64;
    let mib = |kib: f64| kib / 1024.0;
    Ok(format!(
        "## Memory of the `remit` process\n\n\
         | | resident MiB | proportional share MiB | goal | |\n|---|---|---|---|---|\n\
         | the session sleeps | {:.1} | {:.1} | ≤ 15 resident | {} |\n\
         | {CONNECTIONS} connections open to a listener on the host's loopback | {:.1} | {:.1} | ≤ 12 KiB for one | {per_connection:.1} KiB: {} |\n",
        mib(idle.resident),
        mib(idle.share),
        verdict(mib(idle.resident), 15.0),
        mib(busy.resident),
        mib(busy.share),
        verdict(per_connection, 12.0),
    ))
}

fn measure(command: &mut Command, says_when: bool) -> Result<Taken, Failure> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let taken = watch(&mut child, says_when);
    child.kill()?;
    child.wait()?;
    taken
}

fn watch(child: &mut Child, says_when: bool) -> Result<Taken, Failure> {
    if says_when {
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("a pipe")?).read_line(&mut line)?;
        if line.trim() != "open" {
            return Err("the connections were not opened".into());
        }
    }
    thread::sleep(Duration::from_secs(2));
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id()))
        .map_err(|error| format!("cannot see the supervisor's memory: {error}"))?;
    let field = |name: &str| -> Result<f64, Failure> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or_else(|| format!("no `{name}`"))?.parse()?)
    };
    Ok(Taken { resident: field("Rss:")?, share: field("Pss:")? })
}
