//! A laboratory with an internet in it: hosts that speak TLS under an authority of
//! their own, HTTP/1 and HTTP/2, WebSocket, server-sent events and gRPC, a proxy that
//! wants a password, Git and package registries. All write down what reached them.

pub mod attempt;
pub mod certificates;
pub mod furniture;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::lab::{Design, Lab};
use crate::run::Output;
use crate::scenario::Need::{self, Program, RootHarness};
use crate::world::World;

/// What it is made of.
pub const NEEDS: [Need; 5] =
    [RootHarness, Program("tcpdump"), Program("node"), Program("python3"), Program("openssl")];

/// A host that scenarios allow, and its addresses.
pub const API: &str = "api.example";
/// One that they deny, or say nothing about.
pub const DENIED: &str = "denied.example";

/// What the servers on ports 80 and 443 say where nothing else is asked for.
pub const GREETING: &str = "hello from the outside";

/// Every name there is. The public ones are real addresses of nobody we know; all
/// packets stay in the namespace.
const NAMES: [(&str, &str); 22] = [
    (API, "20.0.0.10"),
    (API, "2600:1f00::10"),
    // Shares its address and its certificate, as hosts of one provider do.
    (DENIED, "20.0.0.10"),
    ("other.example", "20.0.0.11"),
    ("untrusted.example", "20.0.0.12"),
    ("git.example", "20.0.0.20"),
    ("ssh.example", "20.0.0.21"),
    ("npm.example", "20.0.0.22"),
    ("pip.example", "20.0.0.23"),
    ("crates.example", "20.0.0.24"),
    ("apt.example", "20.0.0.25"),
    ("model.example", "20.0.0.26"),
    ("proxy.example", "20.0.0.27"),
    ("db.example", "20.0.0.28"),
    ("inward.example", "10.1.2.3"),
    ("mixed.example", "20.0.0.30"),
    ("mixed.example", "10.1.2.3"),
    ("loop.example", "127.0.0.1"),
    ("metadata.example", "169.254.169.254"),
    ("mapped.example", "::ffff:10.1.2.3"),
    ("translated.example", "64:ff9b::a01:203"),
    ("tunnel.example", "2002:a01:203::1"),
];

/// The laboratory, alive as long as this is.
#[derive(Debug)]
pub struct Internet<'w> {
    pub lab: Lab<'w>,
    world: &'w World,
    servers: Child,
    folder: PathBuf,
}

const SERVERS: &str = include_str!("internet/servers.mjs");

impl<'w> Internet<'w> {
    pub fn new(world: &'w World) -> Self {
        Self::with(world, |_| {})
    }

    /// With what `furnish` puts into the servers' directory first.
    pub fn with(world: &'w World, furnish: impl FnOnce(&Path)) -> Self {
        let folder = world.elsewhere().join("lab");
        fs::create_dir(&folder).expect("a directory");
        let names: std::collections::BTreeSet<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        let trusted = names.into_iter().filter(|name| *name != "untrusted.example");
        let lists = certificates::make(&folder, trusted);
        fs::write(folder.join("servers.mjs"), SERVERS).expect("a file");
        furnish(&folder);
        let covers = [(lists, "/etc/ssl/certs")];
        let lab = Lab::designed(world, Design { names: &NAMES, web: &[], covers: &covers });
        let servers = serve(lab.enter("node"), &folder);
        Self { lab, world, servers, folder }
    }

    /// Runs a shell script inside the boundary, in the laboratory.
    #[track_caller]
    pub fn inside(&self, script: &str) -> Output {
        self.lab.inside(script)
    }

    /// The control: the same script without Remit.
    #[track_caller]
    pub fn outside(&self, script: &str) -> Output {
        self.lab.outside(script)
    }

    /// What reached the servers since they were last forgotten.
    pub fn seen(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("seen")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// What reached them and holds every needle.
    pub fn saw(&self, needles: &[&str]) -> Vec<Value> {
        let mut seen = self.seen();
        seen.retain(|one| {
            let text = one.to_string();
            needles.iter().all(|needle| text.contains(needle))
        });
        seen
    }

    pub fn forget(&self) {
        let _ = fs::remove_file(self.folder.join("seen"));
    }

    /// The servers' directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file for the scripts of a scenario.
    pub fn script(&self, name: &str, text: &str) {
        self.world.write(&self.world.workspace.join(name), text);
    }
}

/// Starts the servers and waits until they listen.
fn serve(mut node: Command, folder: &Path) -> Child {
    let mut servers = node
        .arg(folder.join("servers.mjs"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nsenter");
    let mut ready = String::new();
    let _ = BufReader::new(servers.stdout.take().expect("a pipe")).read_line(&mut ready);
    assert_eq!(ready, "ready\n", "the servers listen");
    servers
}

impl Drop for Internet<'_> {
    fn drop(&mut self) {
        let _ = self.servers.kill();
        let _ = self.servers.wait();
    }
}
