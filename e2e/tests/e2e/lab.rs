//! A network namespace in which the whole internet is our witness: every
//! address is local, every name server and every web server is ours, and a
//! capture sees every packet.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::places;
use crate::run::{Output, Running, eventually};
use crate::world::World;

/// The one name that the lab's name server knows.
pub const NAME: &str = "allowed.example";
/// Its address: a public one, since private ones are refused by themselves.
pub const ADDRESS: &str = "11.22.33.44";
/// Where the lab's name server is.
pub const RESOLVER: &str = "198.51.100.53";

/// The namespace, alive as long as this is. Needs root.
#[derive(Debug)]
pub struct Lab<'w> {
    world: &'w World,
    witness: Child,
    capture: Child,
    folder: PathBuf,
}

/// What of a lab differs from scenario to scenario.
#[derive(Clone, Copy, Debug)]
pub struct Design<'d> {
    /// Names and their addresses; one with several stands here several times.
    pub names: &'d [(&'d str, &'d str)],
    /// What the witness's web servers listen at.
    pub web: &'d [&'d str],
    /// Shown in the lab in the place of files and directories of the host.
    pub covers: &'d [(PathBuf, &'d str)],
}

/// `local default` makes every destination an address of this machine.
/// SOURCE: ip-route(8), type `local`.
const SETUP: &str = r#"
set -e
ip link set lo up
ip route add local default dev lo
ip -6 route add local default dev lo
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift
exec "$@"
"#;

impl<'w> Lab<'w> {
    pub fn new(world: &'w World) -> Self {
        Self::resolving(world, NAME, ADDRESS)
    }

    /// A lab whose name server knows another name.
    pub fn resolving(world: &'w World, name: &str, address: &str) -> Self {
        let names = [(name, address)];
        Self::designed(
            world,
            Design { names: &names, web: &["0.0.0.0:80", "[::]:8080"], covers: &[] },
        )
    }

    /// A lab with as many names and covered files as it takes.
    pub fn designed(world: &'w World, design: Design<'_>) -> Self {
        let folder = world.elsewhere().join("lab");
        // What a scenario puts there may be there already.
        fs::create_dir_all(&folder).expect("a directory");
        let resolver = folder.join("resolv.conf");
        fs::write(&resolver, format!("nameserver {RESOLVER}\n")).expect("a file");
        let mut witness = Command::new("unshare");
        witness.args(["--net", "--mount", "--", "sh", "-c", SETUP, "sh"]);
        for (text, place) in design.covers.iter().chain([&(resolver, "/etc/resolv.conf")]) {
            witness.arg(text).arg(place);
        }
        witness.arg("--").arg(places::helper("net-witness")).arg(folder.join("notes"));
        witness.args(["--dns", "0.0.0.0:53"]);
        witness.args(design.web.iter().flat_map(|address| ["--web", address]));
        for (name, address) in design.names {
            witness.arg("--name").arg(format!("{name}={address}"));
        }
        let mut witness =
            witness.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare");
        let mut ready = String::new();
        let _ = BufReader::new(witness.stdout.take().expect("a pipe")).read_line(&mut ready);
        assert_eq!(ready, "ready\n", "the witness listens");
        let complaints = folder.join("capture.err");
        let capture = Command::new("nsenter")
            .args(["--net", "--target", &witness.id().to_string(), "--"])
            .args([
                "tcpdump",
                "-i",
                "lo",
                "-n",
                "-U",
                "--immediate-mode",
                "-s",
                "256",
                "-Z",
                "root",
                "-w",
            ])
            .arg(folder.join("packets"))
            .stderr(File::create(&complaints).expect("a file"))
            .spawn()
            .expect("nsenter");
        let lab = Self { world, witness, capture, folder };
        eventually("the capture", Duration::from_secs(5), || {
            fs::read_to_string(&complaints).ok()?.contains("listening").then_some(())
        });
        lab
    }

    /// A program in the lab, as root, with the harness's own environment.
    pub fn enter(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.witness.id().to_string(), "--"]);
        command.arg(program);
        command
    }

    /// Runs a program in the lab as the world's account.
    #[track_caller]
    pub fn run(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Output {
        self.start(program, words).finish()
    }

    /// Starts a program in the lab as the world's account.
    #[track_caller]
    pub fn start(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Running {
        Running::start(self.command(program, words))
    }

    /// A program in the lab as the world's account, in a session of its own.
    pub fn command(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Command {
        let who = &self.world.who;
        let mut command = Command::new("setsid");
        // Root enters the namespaces; `setpriv` then becomes the account.
        let entered = self.enter("setpriv");
        command.arg(entered.get_program()).args(entered.get_args());
        command.args(["--reuid", &who.uid.to_string(), "--regid", &who.gid.to_string()]);
        command.args(["--clear-groups", "--", "sh", "-c", "cd \"$0\" && exec \"$@\""]);
        command.arg(&self.world.workspace).arg(program).args(words);
        self.world.dress(&mut command);
        command
    }

    /// Runs a shell script inside the boundary, in the lab.
    #[track_caller]
    pub fn inside(&self, script: &str) -> Output {
        self.run(places::remit(), &["run", "--", "sh", "-c", script])
    }

    /// The control: the same script in the lab without Remit.
    #[track_caller]
    pub fn outside(&self, script: &str) -> Output {
        self.run("sh", &["-c", script])
    }

    /// What the witness wrote down.
    pub fn notes(&self) -> String {
        fs::read_to_string(self.folder.join("notes")).unwrap_or_default()
    }

    /// Captures no more. For those who send so much that it would slow them down.
    pub fn look_away(&mut self) {
        let _ = self.capture.kill();
        let _ = self.capture.wait();
    }

    /// Whether a packet was captured that is not between addresses of a loopback.
    pub fn captured_abroad(&self) -> bool {
        !self.packets("not (net 127.0.0.0/8 or host ::1)").is_empty()
    }

    /// Where something was sent that began an exchange: `ADDRESS.PORT` of each
    /// TCP connection's first packet and of each datagram, as tcpdump writes them.
    /// Answers of the lab's name server and what stays on a loopback are not among them.
    pub fn destinations(&self) -> BTreeSet<String> {
        let first = "(tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn) or \
                     (ip6 proto 6 and ip6[53] & 0x12 == 0x02) or \
                     ((udp or icmp or icmp6) and not src port 53)";
        let packets = self.packets(&format!("({first}) and not (net 127.0.0.0/8 or host ::1)"));
        // `… IP 11.22.33.44.40000 > 11.22.33.44.80: Flags [S], …`
        let there = |line: &str| {
            let (_, after) = line.split_once(" > ")?;
            Some(after.split_once(": ")?.0.to_owned())
        };
        packets.lines().filter_map(there).collect()
    }

    fn packets(&self, filter: &str) -> String {
        let packets = Command::new("tcpdump")
            .args(["-n", "-r"])
            .arg(self.folder.join("packets"))
            .arg(filter)
            .output()
            .expect("tcpdump");
        String::from_utf8_lossy(&packets.stdout).into_owned()
    }

    /// How many bytes of packets were captured, beyond the file's own header.
    pub fn captured(&self) -> u64 {
        /// SOURCE: the pcap file format, global header.
        const HEADER: u64 = 24;
        fs::metadata(self.folder.join("packets"))
            .map_or(0, |file| file.len().saturating_sub(HEADER))
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        for child in [&mut self.capture, &mut self.witness] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
