//! As whom a scenario runs.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// The ordinary account that root borrows.
pub const ORDINARY: &str = "remit-test";

/// An account that runs Remit.
#[derive(Clone, Debug)]
pub struct Who {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    /// The account's real home; every world is a directory below it.
    pub home: PathBuf,
}

/// An account that a scenario should have, and why it cannot.
#[derive(Clone, Debug)]
pub struct Absent {
    pub label: &'static str,
    pub reason: String,
}

impl Who {
    /// An ordinary user, then root.
    pub fn everyone() -> [Result<Self, Absent>; 2] {
        let me = rustix::process::geteuid();
        if !me.is_root() {
            let reason = "the tests do not run as root".to_owned();
            let user = by(|fields| fields[2].parse() == Ok(me.as_raw()));
            let user =
                user.ok_or(Absent { label: "user", reason: "the uid has no account".into() });
            return [user, Err(Absent { label: "root", reason })];
        }
        let reason = format!("no account `{ORDINARY}`; `cargo xtask test` creates it");
        let user = by(|fields| fields[0] == ORDINARY).ok_or(Absent { label: "user", reason });
        let root = by(|fields| fields[2] == "0");
        [user, root.ok_or(Absent { label: "root", reason: "uid 0 has no account".into() })]
    }

    pub fn label(&self) -> &'static str {
        if self.uid == 0 { "root" } else { "user" }
    }

    /// Makes a command run as this account. The standard library drops
    /// supplementary groups when root changes the uid.
    pub fn assume(&self, command: &mut Command) {
        if self.uid != rustix::process::geteuid().as_raw() {
            command.uid(self.uid).gid(self.gid);
        }
    }
}

fn by(matches: impl Fn(&[&str]) -> bool) -> Option<Who> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.len() < 7 || !matches(&fields) {
            return None;
        }
        Some(Who {
            uid: fields[2].parse().ok()?,
            gid: fields[3].parse().ok()?,
            name: fields[0].to_owned(),
            home: PathBuf::from(fields[5]),
        })
    })
}
