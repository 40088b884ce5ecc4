//! A real PostgreSQL on the host's loopback, for as long as a scenario needs it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::lab::Lab;
use crate::run::{LIMIT, Running, eventually};
use crate::who::Who;
use crate::world::World;

/// A server that ends with it.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    server: Running,
    _data: TempDir,
}

/// The directory of the server's programs, which Debian keeps off the path.
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .collect();
    found.sort();
    found.pop()
}

impl Postgres {
    /// Starts a server with an empty data directory that trusts everybody.
    #[track_caller]
    pub fn start(world: &World) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        Self::serve(world, "127.0.0.1", port, None)
    }

    /// Starts one in a laboratory, at all of its addresses, on PostgreSQL's own port.
    #[track_caller]
    pub fn within(world: &World, lab: &Lab<'_>) -> Self {
        Self::serve(world, "*", 5432, Some(lab))
    }

    #[track_caller]
    fn serve(world: &World, address: &str, port: u16, lab: Option<&Lab<'_>>) -> Self {
        let programs = programs().expect("the scenario needs it");
        let data =
            tempfile::Builder::new().prefix("remit-pg-").tempdir_in("/tmp").expect("a place");
        // It does not run as root.
        let [user, _] = Who::everyone();
        let who = if world.who.uid == 0 { user.expect("an account") } else { world.who.clone() };
        chown(data.path(), Some(who.uid), Some(who.gid)).expect("ownership");
        let command = |program: &str, words: &[&str], lab: Option<&Lab<'_>>| {
            let mut command = Command::new("setsid");
            if let Some(lab) = lab {
                let entered = lab.enter("setpriv");
                command.arg(entered.get_program()).args(entered.get_args());
                command.args(["--reuid", &who.uid.to_string(), "--regid", &who.gid.to_string()]);
                command.args(["--clear-groups", "--"]);
            } else {
                who.assume(&mut command);
            }
            command.arg(programs.join(program)).args(words).current_dir(data.path());
            command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C")]);
            command
        };
        let folder = data.path().join("data");
        let name = folder.display().to_string();
        let words = ["-D", &name, "-U", "postgres", "-A", "trust", "--no-sync"];
        Running::start(command("initdb", &words, None)).finish().succeeds();
        if lab.is_some() {
            fs::write(folder.join("pg_hba.conf"), "host all all all trust\n").expect("a file");
        }
        let number = port.to_string();
        let listen = ["-D", &name, "-p", &number, "-h", address, "-k", "", "-F"];
        let mut server = Running::start(command("postgres", &listen, lab));
        eventually("PostgreSQL", LIMIT, || {
            assert!(!server.has_ended(), "the server ended");
            fs::read_to_string(folder.join("postmaster.pid")).ok()?.contains("ready").then_some(())
        });
        Self { port, server, _data: data }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Postgres {
    /// In its own way, so that no shared memory stays behind.
    fn drop(&mut self) {
        self.server.signal(Signal::INT);
        let started = std::time::Instant::now();
        while !self.server.has_ended() && started.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
