//! What the kernel is told, as data that can be printed before it is applied.

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// The whole boundary of one session.
///
/// Paths are absolute and free of links; the supervisor made them so on the
/// host, and inside they mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By which of the kernel's means the rest is enforced.
    pub tier: Tier,
    /// The mount view, applied in order. What is not mentioned is the host's,
    /// read-only.
    pub mounts: Vec<Mount>,
    /// The second, independent floor under the mount view. What is not granted
    /// here cannot be opened, whatever the mounts say.
    pub floor: Vec<Floor>,
    pub network: Network,
    pub limits: Limits,
    /// The whole environment of the command. Nothing else is passed.
    pub environment: Vec<(OsString, OsString)>,
    /// Where the command starts.
    pub directory: PathBuf,
    /// The program, as an absolute path inside.
    pub program: PathBuf,
    /// Its argument vector, `argv[0]` first.
    pub argv: Vec<OsString>,
}

/// Which of the kernel's means hold the boundary, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Namespaces, Landlock of ABI 6 or later, and the system call filter.
    Full,
    /// Namespaces and the filter; the floor has the rights of ABI 1 to 5, which
    /// keep in neither signals nor abstract sockets. The namespaces do.
    OldLandlock,
    /// Namespaces and the filter: the mount view holds alone.
    NoLandlock,
    /// Landlock of ABI 6 or later and the filter, in the host's own view of
    /// files, processes and network. No mounts of the plan are made.
    NoNamespaces,
}

impl Tier {
    pub const ALL: [Tier; 4] =
        [Tier::Full, Tier::OldLandlock, Tier::NoLandlock, Tier::NoNamespaces];

    /// The name it has everywhere: in settings, events and documents.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Full => "full",
            Tier::OldLandlock => "old-landlock",
            Tier::NoLandlock => "no-landlock",
            Tier::NoNamespaces => "no-namespaces",
        }
    }

    /// Whether the session has a view of files, processes and network of its own.
    pub fn has_namespaces(self) -> bool {
        self != Tier::NoNamespaces
    }

    /// Whether there is a floor under the file boundary.
    pub fn has_floor(self) -> bool {
        self != Tier::NoLandlock
    }
}

/// What may be done with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// One step in building the mount view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// The host's own file or directory, at the same place.
    Host { path: PathBuf, access: Access },
    /// A copy-on-write view of the host's own directory, at the same place: it
    /// is only read, and what is changed inside goes to `upper`. `work` is an
    /// empty directory beside `upper`, for the kernel.
    ///
    /// What the host has mounted inside the directory is not part of the view;
    /// the kernel refuses a directory with such mounts.
    Overlay { path: PathBuf, upper: PathBuf, work: PathBuf },
    /// What the steps before this one show at this place, fixed there with this
    /// access: a mount point cannot be moved away.
    Fixed { path: PathBuf, access: Access },
    /// An empty directory in memory, gone after the session.
    Private { path: PathBuf, mode: u32 },
    /// A process list that shows the session only.
    Processes,
    /// `/dev` with the harmless devices and terminals of its own.
    Devices,
    /// An empty thing of no permission over a directory or file.
    Hidden { path: PathBuf, directory: bool },
    /// A file with this text, which need not be UTF-8, read-only.
    Text { path: PathBuf, text: Vec<u8> },
}

/// One grant of the floor: this access to everything beneath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Directories may be listed, no file opened.
    List(PathBuf),
    /// Files may be read and executed.
    Read(PathBuf),
    /// Files may be read, executed and removed. They are made and opened for
    /// writing by whoever serves the notifications, who is not bound by the
    /// floor: what passes by that trap finds it shut here.
    Write(PathBuf),
    /// Everything but making devices, where nobody else looks.
    Own(PathBuf),
    /// Existing devices may be used.
    Device(PathBuf),
}

/// The network inside: a loopback of its own, the range that names are answered
/// with, and no way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Where captured connections and lookups arrive; inside the range below.
    pub gateway: Ipv4Addr,
    /// How many leading bits the IPv4 range of synthetic addresses has.
    pub prefix: u8,
    pub gateway6: Ipv6Addr,
    pub prefix6: u8,
}

/// What the session may take of the machine, as far as the kernel is told when
/// it starts. Limits of the caller's own that are lower stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Processes and threads, counted in the session's user namespace. Root is
    /// exempt from it by the kernel.
    pub processes: Option<u64>,
    /// Descriptors of one process.
    pub open_files: Option<u64>,
    /// Bytes of one file that is written to.
    pub file_size: Option<u64>,
    /// Bytes of each directory in memory: the private ones and `/dev/shm`.
    pub tmp: Option<u64>,
    /// The control group that process 1 begins in: a directory of the version 2
    /// hierarchy. What it limits was written there before.
    pub cgroup: Option<PathBuf>,
}

impl Floor {
    /// Where the grant begins.
    pub fn path(&self) -> &Path {
        match self {
            Floor::List(path)
            | Floor::Read(path)
            | Floor::Write(path)
            | Floor::Own(path)
            | Floor::Device(path) => path,
        }
    }
}

impl fmt::Display for Plan {
    /// One step a line, in the order of application.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tier")?;
        writeln!(f, "  {}", self.tier.name())?;
        writeln!(f, "view (mounts, in order)")?;
        if self.tier.has_namespaces() {
            writeln!(f, "  read    /  (the host, recursively)")?;
        } else {
            writeln!(f, "  none: the host's own")?;
        }
        for mount in &self.mounts {
            writeln!(f, "  {mount}")?;
        }
        writeln!(f, "floor (Landlock)")?;
        if !self.tier.has_floor() {
            writeln!(f, "  none: the view holds alone")?;
        }
        for grant in self.floor.iter().filter(|_| self.tier.has_floor()) {
            writeln!(f, "  {grant}")?;
        }
        let Network { gateway, prefix, gateway6, prefix6 } = self.network;
        writeln!(f, "network")?;
        if self.tier.has_namespaces() {
            writeln!(f, "  loopback of its own, no route out")?;
            writeln!(
                f,
                "  captured connections and lookups end at {gateway}/{prefix}, {gateway6}/{prefix6}"
            )?;
        } else {
            writeln!(f, "  the host's own; no datagrams, no servers, no local sockets")?;
            writeln!(f, "  names stand for {gateway}/{prefix}, {gateway6}/{prefix6}")?;
        }
        write!(f, "{}", self.limits)?;
        writeln!(f, "environment")?;
        for (name, _) in &self.environment {
            writeln!(f, "  {}", name.to_string_lossy())?;
        }
        writeln!(f, "command")?;
        writeln!(f, "  {} in {}", self.program.display(), self.directory.display())
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            ("processes and threads", self.processes),
            ("open files of a process", self.open_files),
            ("bytes of a file", self.file_size),
            ("bytes of each private directory", self.tmp),
        ];
        writeln!(f, "limits")?;
        for (what, most) in limits {
            if let Some(most) = most {
                writeln!(f, "  {most} {what}")?;
            }
        }
        match &self.cgroup {
            Some(cgroup) => writeln!(f, "  those of {}", cgroup.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mount::Host { path, access: Access::Read } => write!(f, "read    {}", path.display()),
            Mount::Host { path, access: Access::Write } => write!(f, "write   {}", path.display()),
            Mount::Overlay { path, upper, .. } => {
                write!(f, "overlay {}  (changes go to {})", path.display(), upper.display())
            }
            Mount::Fixed { path, access: Access::Read } => write!(f, "read    {}", path.display()),
            Mount::Fixed { path, access: Access::Write } => write!(f, "write   {}", path.display()),
            Mount::Private { path, .. } => write!(f, "private {}", path.display()),
            Mount::Processes => write!(f, "private /proc  (this session's processes, read-only)"),
            Mount::Devices => {
                write!(f, "private /dev  (null, zero, full, random, urandom, tty, pts, shm)")
            }
            Mount::Hidden { path, .. } => write!(f, "hide    {}", path.display()),
            Mount::Text { path, .. } => write!(f, "text    {}", path.display()),
        }
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, path) = match self {
            Floor::List(path) => ("list   ", path),
            Floor::Read(path) => ("read   ", path),
            Floor::Write(path) => ("write  ", path),
            Floor::Own(path) => ("own    ", path),
            Floor::Device(path) => ("device ", path),
        };
        write!(f, "{what} {}", path.display())
    }
}
