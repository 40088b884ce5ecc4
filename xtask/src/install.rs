//! What the tests need from the machine, by name. Only what is missing is
//! installed; what cannot be is said loudly and its tests are skipped.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::process::{find, is_root, run, succeeds};
use crate::{Failure, say};

/// A program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 30] = [
    ("bwrap", "bubblewrap"),       // the rival beside which the start is measured
    ("busybox", "busybox-static"), // a static program that resolves names by itself
    ("cargo", "cargo"),            // a toolchain that every account can run
    ("cc", "gcc"),                 // what `make` and `cargo` call
    ("chromium", "chromium"),      // a browser without a window
    ("curl", "curl"),              // connections as agents make them
    ("git", "git"),                // the repository in every workspace
    ("go", "golang-go"),           // static binaries that obey no proxy variable
    ("gettext", "gettext-base"),   // a program that only prints, and is nobody's to know
    ("gdb", "gdb"),                // a debugger, which is refused
    ("htop", "htop"),              // a full-screen program that reads processes
    ("ip", "iproute2"),            // the tests' own network
    ("javac", "openjdk-17-jdk-headless"), // another TLS, with another list
    ("make", "make"),              // commands run by commands
    ("nc", "netcat-openbsd"),      // connections without HTTP
    ("node", "nodejs"),            // `fetch`
    ("npm", "npm"),                // the agents themselves
    ("openssl", "openssl"),        // the tests' own authority, named as programs look for it
    ("pg_ctlcluster", "postgresql"), // a database's server
    ("ping", "iputils-ping"),      // packets by hand, which are refused
    ("pip3", "python3-pip"),       // packages over TLS
    ("psql", "postgresql-client"), // and its client
    ("pytest", "python3-pytest"),  // a test runner
    ("python3", "python3"),        // system calls and sockets by hand
    ("ssh", "openssh-client"),     // Git by another way
    ("sshd", "openssh-server"),    // and its server
    ("strace", "strace"),          // a tracer, which is refused
    ("tcpdump", "tcpdump"),        // what left, if anything
    ("tmux", "tmux"),              // a terminal that can be looked at
    ("vim", "vim"),                // a full-screen program that redraws
];

/// The agents, as npm knows them; the second is the newest that Node 20 takes.
const AGENTS: [(&str, &str); 4] = [
    ("@openai/codex", "0.169.0"),
    ("@anthropic-ai/claude-code", "2.1.197"),
    ("@google/gemini-cli", "0.61.0"),
    ("opencode-ai", "1.18.33"),
];

/// Where the tests look for programs: the system's path, not the developer's,
/// whose toolchains other accounts cannot run.
const SYSTEM: [&str; 6] =
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

fn is_installed(program: &str) -> bool {
    SYSTEM.iter().any(|folder| Path::new(folder).join(program).is_file())
}

/// The ordinary account that root borrows.
const ORDINARY: &str = "remit-test";

/// Installs Debian packages. Returns what is still missing, one line each.
pub(crate) fn programs() -> Vec<String> {
    let missing = || PROGRAMS.iter().filter(|(program, _)| !is_installed(program));
    let packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
    if !packages.is_empty()
        && let Err(reason) = debian(&packages)
    {
        say(&format!("SKIPPED: cannot install {}: {reason}", packages.join(" ")));
    }
    missing()
        .map(|(program, package)| format!("what needs `{program}`, from Debian's `{package}`"))
        .collect()
}

fn debian(packages: &[&str]) -> Result<(), Failure> {
    find("apt-get").ok_or("this is no Debian or Ubuntu; install them by its own means")?;
    let become_root: &[&str] = if is_root() {
        &[]
    } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
        &["sudo", "-n"]
    } else {
        return Err("not root, and `sudo` would ask for a password".into());
    };
    let apt = |words: &[&str]| {
        let all =
            [become_root, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"], words]
                .concat();
        run(Command::new(all[0]).args(&all[1..]))
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Installs the agents below `target`. Returns what is still missing.
pub(crate) fn agents(target: &Path) -> Vec<String> {
    let folder = target.join("agents");
    let is_there = |name: &str, version: &str| {
        let text = fs::read(folder.join("node_modules").join(name).join("package.json"))
            .unwrap_or_default();
        serde_json::from_slice(&text)
            .is_ok_and(|manifest: serde_json::Value| manifest["version"] == version)
    };
    let missing = || AGENTS.iter().filter(|(name, version)| !is_there(name, version));
    if missing().next().is_some()
        && let Err(reason) = npm(&folder)
    {
        say(&format!("SKIPPED: cannot install the agents: {reason}"));
    }
    missing()
        .map(|(name, version)| format!("what needs the agent `{name}` {version}, from npm"))
        .collect()
}

/// Installs without running anything that a package brings: the agents' native
/// binaries lie in platform packages and need no set-up.
fn npm(folder: &Path) -> Result<(), Failure> {
    find("npm").ok_or("there is no `npm`")?;
    fs::create_dir_all(folder)?;
    // A manifest here keeps npm from looking for one further up.
    fs::write(folder.join("package.json"), "{ \"private\": true }\n")?;
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args([
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    run(npm.args(AGENTS.map(|(name, version)| format!("{name}@{version}"))))
}

/// An account that tests run as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: String,
    pub(crate) home: String,
}

/// Makes the ordinary account if we are root; otherwise it is our own.
pub(crate) fn account() -> Result<Account, Failure> {
    if !is_root() {
        let uid = fs::metadata("/proc/self")?.uid().to_string();
        return account_with(2, &uid).ok_or_else(|| format!("uid {uid} has no account").into());
    }
    if account_with(0, ORDINARY).is_none() {
        run(Command::new("useradd").args([
            "--create-home",
            "--user-group",
            "--shell",
            "/bin/sh",
            ORDINARY,
        ]))?;
    }
    account_with(0, ORDINARY)
        .ok_or_else(|| format!("`useradd` made no account `{ORDINARY}`").into())
}

/// The account with this value in a field of passwd(5), counted from 0.
fn account_with(field: usize, value: &str) -> Option<Account> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else {
            return None;
        };
        if fields[field] != value {
            return None;
        }
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        Some(Account { uid, gid, name: name.to_owned(), home: home.to_owned() })
    })
}
