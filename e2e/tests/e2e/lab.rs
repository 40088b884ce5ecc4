//! A network namespace in which the whole internet is our witness: every
//! address is local, every name server and every web server is ours, and a
//! capture sees every packet.

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

/// The namespace, alive as long as this is. Needs root.
#[derive(Debug)]
pub struct Lab<'w> {
    world: &'w World,
    witness: Child,
    capture: Child,
    folder: PathBuf,
}

/// `local default` makes every destination an address of this machine.
/// SOURCE: ip-route(8), type `local`.
const SETUP: &str = r#"
set -e
ip link set lo up
ip route add local default dev lo
ip -6 route add local default dev lo
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
exec "$@"
"#;

impl<'w> Lab<'w> {
    pub fn new(world: &'w World) -> Self {
        Self::resolving(world, NAME, ADDRESS)
    }

    /// A lab whose name server knows another name.
    pub fn resolving(world: &'w World, name: &str, address: &str) -> Self {
        let folder = world.elsewhere().join("lab");
        fs::create_dir(&folder).expect("a directory");
        fs::write(folder.join("resolv.conf"), "nameserver 198.51.100.53\n").expect("a file");
        let mut witness = Command::new("unshare")
            .args(["--net", "--mount", "--", "sh", "-c", SETUP, "sh"])
            .arg(&folder)
            .arg(places::helper("net-witness"))
            .arg(folder.join("notes"))
            .args(["--dns", "0.0.0.0:53", "--web", "0.0.0.0:80", "--web", "[::]:8080"])
            .args(["--name", &format!("{name}={address}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut ready = String::new();
        let _ = BufReader::new(witness.stdout.take().expect("a pipe")).read_line(&mut ready);
        assert_eq!(ready, "ready\n", "the witness listens");
        let complaints = folder.join("capture.err");
        let capture = Command::new("nsenter")
            .args(["--net", "--target", &witness.id().to_string(), "--"])
            .args(["tcpdump", "-i", "lo", "-n", "-U", "--immediate-mode", "-Z", "root", "-w"])
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

    /// Runs a program in the lab as the world's account.
    #[track_caller]
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>, words: &[&str]) -> Output {
        let who = &self.world.who;
        let mut command = Command::new("setsid");
        // Root enters the namespaces; `setpriv` then becomes the account.
        command.args([
            "nsenter",
            "--net",
            "--mount",
            "--target",
            &self.witness.id().to_string(),
            "--",
        ]);
        command.args(["setpriv", "--reuid", &who.uid.to_string(), "--regid", &who.gid.to_string()]);
        command.args(["--clear-groups", "--", "sh", "-c", "cd \"$0\" && exec \"$@\""]);
        command.arg(&self.world.workspace).arg(program).args(words);
        self.world.dress(&mut command);
        Running::start(command).finish()
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

    /// Whether a packet was captured that is not between addresses of a loopback.
    pub fn captured_abroad(&self) -> bool {
        let packets = Command::new("tcpdump")
            .args(["-n", "-r"])
            .arg(self.folder.join("packets"))
            .args(["not", "(net 127.0.0.0/8 or host ::1)"])
            .output()
            .expect("tcpdump");
        !packets.stdout.is_empty()
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
