//! One governed run, from launch to exit.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use remit_approvals::{NotOpen, Posed, QuestionId, wire};
use remit_audit::{AppendError, CreateError, Kind, Record, SessionId, Status, Text, event};
use remit_policy::{Answer, Policy, PolicyError};
use remit_proxy::{Capture, Names, Ranges};
use remit_sandbox::notify;
use remit_sandbox::{ChildEvent, Control, LaunchError, Launched, Plan, Sockets, Stdio};
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest as _, Sha256};

use crate::agents::{self, Adapter, Missing};
use crate::connect::{self, Connector};
use crate::desk::Questions;
use crate::files::{self, LoadError, Places, PlacesError};
use crate::gate::{Connection, Gate};
use crate::journal::Journal;
use crate::plan::{self, Command};
use crate::terminal::{Terminal, TerminalDesk};
use crate::warden::Warden;
use crate::workspace::{self, WorkspaceError};

/// What to run, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub command: Vec<OsString>,
    /// The workspace; the current directory if absent.
    pub directory: Option<PathBuf>,
    /// A profile's name; `default` if absent.
    pub profile: Option<String>,
    /// Without a terminal, questions wait for `remit approvals`.
    pub queue: bool,
}

/// Why there is no session. Nothing was started, nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Places(#[from] PlacesError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("no command to run; give one after `--`")]
    NoCommand,
    #[error("cannot find the command `{}` in PATH", .0.display())]
    UnknownCommand(PathBuf),
    #[error("cannot run `{}`: it is not an executable file", .0.display())]
    NotExecutable(PathBuf),
    #[error("cannot make `{}`, which the session needs", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot start the record in `{}`", path.display())]
    Record { path: PathBuf, source: CreateError },
    #[error("cannot write the record; make room on the disk that holds `{}`", path.display())]
    Write { path: PathBuf, source: AppendError },
    #[error(
        "cannot build the boundary; `remit doctor` says what this host lacks and how to get it"
    )]
    Launch(#[source] LaunchError),
    #[error("cannot {doing}")]
    System {
        doing: &'static str,
        source: io::Error,
    },
}

/// A request with everything decided and nothing done yet.
#[derive(Debug)]
pub struct Prepared {
    pub places: Places,
    pub workspace: PathBuf,
    pub policy: Policy,
    program: Command,
    agent: Option<&'static Adapter>,
    missing: Vec<Missing>,
    queue: bool,
    command: Vec<OsString>,
}

/// Decides everything about a run: policy, workspace, program, plan.
pub fn prepare(request: Request) -> Result<Prepared, RunError> {
    let places = Places::from_environment()?;
    let directory = request.directory.unwrap_or_else(|| PathBuf::from("."));
    let workspace = workspace::check(&directory, &places)?;
    let first = request.command.first().ok_or(RunError::NoCommand)?;
    let agent = agents::adapter(first);
    let texts = files::load(&places, &workspace)?;
    let needs = agent.map_or_else(agents::none, |agent| agent.needs(&places.home));
    let place = remit_policy::Place {
        home: places.home.clone(),
        workspace: workspace.clone(),
    };
    let policy = Policy::compile(&texts, request.profile.as_deref(), &needs, &place)?;
    let environment = environment(&policy, &places, agent);
    let program = find(first, &workspace, &environment)?;
    let argv = agent.map_or_else(
        || request.command.clone(),
        |agent| agent.argv(&request.command),
    );
    let command = Command {
        program,
        argv,
        directory: workspace.clone(),
        environment,
    };
    let missing: Vec<Missing> = agent
        .map(|agent| {
            agent
                .places(&places.home)
                .filter(|place| place.path.symlink_metadata().is_err())
                .collect()
        })
        .unwrap_or_default();
    Ok(Prepared {
        places,
        workspace,
        policy,
        program: command,
        agent,
        missing,
        queue: request.queue,
        command: request.command,
    })
}

/// The clean environment: what the policy lets pass, and what every program needs.
fn environment(
    policy: &Policy,
    places: &Places,
    agent: Option<&Adapter>,
) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| {
            name.to_str()
                .is_some_and(|name| policy.environment().passes(name))
        })
        .filter(|(name, _)| name != "HOME")
        .collect();
    variables.push(("HOME".into(), places.home.clone().into()));
    if !variables.iter().any(|(name, _)| name == "PATH") {
        variables.push(("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()));
    }
    for (name, value) in agent
        .map(|agent| agent.defaults(&places.home))
        .unwrap_or_default()
    {
        if !variables.iter().any(|(set, _)| *set == name) {
            variables.push((name, value));
        }
    }
    variables.sort();
    variables
}

/// The command's file, as the shell would find it.
fn find(
    command: &OsStr,
    workspace: &Path,
    environment: &[(OsString, OsString)],
) -> Result<PathBuf, RunError> {
    let named = Path::new(command);
    let is_program = |path: &Path| {
        path.metadata()
            .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    if named.components().count() > 1 || named.is_absolute() {
        let path = workspace.join(named);
        return match path.metadata() {
            Ok(_) if is_program(&path) => Ok(path),
            Ok(_) => Err(RunError::NotExecutable(named.to_path_buf())),
            Err(_) => Err(RunError::UnknownCommand(named.to_path_buf())),
        };
    }
    let path = environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, path)| path.clone());
    std::env::split_paths(&path.unwrap_or_default())
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(named))
        .find(|path| is_program(path))
        .ok_or_else(|| RunError::UnknownCommand(named.to_path_buf()))
}

/// Runs the prepared command to its end. Returns the command's own exit status,
/// or 125 if it was refused.
///
/// Call it on the main thread before any other thread is started: the session
/// ends with the calling thread, and signals are set up for all that follow.
pub fn run(prepared: Prepared) -> Result<ExitCode, RunError> {
    let system = |doing| move |source| RunError::System { doing, source };
    let changes = notify::changes().map_err(system("watch for programs that start"))?;
    let mut made = Made::default();
    made.make(&prepared.missing)?;
    // The record's place is there before the plan is made, so that it is hidden.
    made.directory(&prepared.places.state)?;
    let plan = prepared.plan();
    let session = session_id().map_err(system("name the session"))?;

    let terminal = person().filter(|person| person.stdio.terminal.contains(&true));
    let stdio = terminal
        .as_ref()
        .map_or_else(Stdio::default, |person| person.stdio);
    let launched = remit_sandbox::launch(&plan, stdio).map_err(RunError::Launch)?;
    // The command waits for the verdict on its own start, so nothing happens
    // before there is a record.
    let journal = Journal::new(create_record(&prepared, session)?);
    let started = started(&prepared, &launched.applied, terminal.is_some());
    journal.write(started).map_err(|source| RunError::Write {
        path: prepared.places.state.clone(),
        source,
    })?;
    made.keep();
    let gate = Arc::new(Gate::new(
        prepared.policy,
        journal,
        Questions::new(prepared.queue),
        session.to_string(),
    ));
    let directory = session.directory(&prepared.places.state);
    serve(
        &gate,
        launched,
        changes,
        terminal.map(|person| person.outer),
        &directory,
    )
}

impl Prepared {
    /// What the kernel is told, from what is on the host now. Changes nothing.
    pub fn plan(&self) -> Plan {
        plan::lower(
            self.policy.filesystem(),
            &self.workspace,
            self.program.clone(),
        )
    }
}

fn create_record(prepared: &Prepared, session: SessionId) -> Result<Record, RunError> {
    let state = &prepared.places.state;
    let sync = match prepared.policy.record().sync {
        remit_policy::Sync::Group => remit_audit::Sync::Grouped,
        remit_policy::Sync::Always => remit_audit::Sync::Always,
    };
    Record::create(state, session, sync).map_err(|source| RunError::Record {
        path: state.clone(),
        source,
    })
}

/// What was made on the host for the agent; taken back unless it is kept.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn make(&mut self, missing: &[Missing]) -> Result<(), RunError> {
        for Missing { path, copy_of } in missing {
            let failed = |source| RunError::Make {
                path: path.clone(),
                source,
            };
            match copy_of {
                None => self.directory(path)?,
                // Nothing to copy: the agent starts from nothing, as it would anyway.
                Some(from) if !from.is_file() => {}
                Some(from) => {
                    fs::copy(from, path).map_err(failed)?;
                    self.0.push(path.clone());
                }
            }
        }
        Ok(())
    }

    /// Makes a directory and those above it, for its owner alone.
    fn directory(&mut self, path: &Path) -> Result<(), RunError> {
        let absent: Vec<_> = path
            .ancestors()
            .take_while(|above| above.symlink_metadata().is_err())
            .collect();
        for above in absent.into_iter().rev() {
            let failed = |source| RunError::Make {
                path: above.to_path_buf(),
                source,
            };
            fs::DirBuilder::new()
                .mode(0o700)
                .create(above)
                .map_err(failed)?;
            self.0.push(above.to_path_buf());
        }
        Ok(())
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Only what is still as we made it: a directory that is empty.
            let _ = if path.is_dir() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            };
        }
    }
}

/// The person's terminal, and which of our descriptors it is.
struct Person {
    outer: OwnedFd,
    stdio: Stdio,
}

fn person() -> Option<Person> {
    let is_terminal = [
        rustix::termios::isatty(rustix::stdio::stdin()),
        rustix::termios::isatty(rustix::stdio::stdout()),
        rustix::termios::isatty(rustix::stdio::stderr()),
    ];
    let outer = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .ok()?;
    Some(Person {
        outer: outer.into(),
        stdio: Stdio {
            terminal: is_terminal,
        },
    })
}

/// `20261121-041500-k3v9`: sortable, readable, different each time.
fn session_id() -> io::Result<SessionId> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let tail: String = random
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect();
    let head = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("{head}-{tail}").parse().map_err(io::Error::other)
}

fn started(prepared: &Prepared, applied: &[String], terminal: bool) -> Kind {
    let uid = rustix::process::getuid().as_raw();
    let kernel = rustix::system::uname();
    let kernel = format!(
        "{} {}",
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy()
    );
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digest = Sha256::digest(prepared.policy.canonical());
    Kind::SessionStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        profile: prepared.policy.profile().to_owned(),
        agent: prepared
            .agent
            .map_or("command", |agent| agent.name)
            .to_owned(),
        command: prepared
            .command
            .iter()
            .map(|word| Text::from(word.as_os_str()))
            .collect(),
        workspace: Text::from(prepared.workspace.as_path()),
        user: event::User {
            uid,
            name: wire::person(uid),
        },
        host: event::Machine {
            kernel,
            boot_id: boot_id.trim().to_owned(),
        },
        boundary: event::Boundary {
            tier: "full".to_owned(),
            layers: applied
                .iter()
                .map(|layer| Text::from(layer.as_str()))
                .collect(),
        },
        terminal,
    }
}

/// Serves the session until its command ends.
fn serve(
    gate: &Arc<Gate>,
    launched: Launched,
    changes: OwnedFd,
    outer: Option<OwnedFd>,
    directory: &Path,
) -> Result<ExitCode, RunError> {
    let system = |doing| move |source| RunError::System { doing, source };
    let Launched {
        notifications,
        control,
        sockets,
        terminal: master,
        ..
    } = launched;
    let control = Arc::new(control);
    let desk = Arc::new(Desk {
        gate: Arc::clone(gate),
        control: Arc::clone(&control),
        signalled: AtomicBool::new(false),
    });

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("proxy")
        .enable_all()
        .build()
        .map_err(system("start the proxy"))?;
    let connector = carry(gate, sockets, &control, &runtime).map_err(system("start the proxy"))?;
    let warden = Warden::new(notifications, changes, Arc::clone(gate), connector)
        .map_err(system("serve trapped calls"))?;

    let terminal = match (outer, master) {
        (Some(outer), Some(master)) => {
            let desk = Arc::clone(&desk) as Arc<dyn TerminalDesk>;
            let terminal =
                Terminal::start(outer, master, desk).map_err(system("take over the terminal"))?;
            gate.questions.attach(terminal.handle());
            Some(terminal)
        }
        _ => None,
    };
    let signals = if terminal.is_none() {
        Some(crate::signals::forward(Arc::clone(&desk)).map_err(system("watch for signals"))?)
    } else {
        None
    };
    // Asking from elsewhere is a convenience; without it questions still pop up.
    let socket = directory.join("approvals.sock");
    let approvals = bind_within(&socket)
        .and_then(|listener| wire::serve(listener, desk.clone() as Arc<dyn wire::Desk>));
    if let Err(error) = &approvals {
        let why = error.to_string();
        let _ = gate.journal.write(Kind::Degraded {
            what: "the approval socket".to_owned(),
            why,
        });
    }

    let (stop, stopped) = mpsc::channel();
    let event = thread::scope(|scope| {
        let ender = Arc::clone(&control);
        scope.spawn(move || gate.journal.keep_synced(&stopped, || ender.end()));
        scope.spawn(|| {
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| warden.serve()));
            if !matches!(served, Ok(Ok(()))) {
                // Nothing inside can start or connect any more.
                control.end();
            }
        });
        let event = loop {
            match control.wait() {
                ChildEvent::Stopped => {
                    if let Some(terminal) = &terminal {
                        terminal.handle().suspended();
                    }
                }
                other => break other,
            }
        };
        control.end();
        drop(stop);
        event
    });
    drop(terminal);
    drop(signals);
    drop(approvals);
    // A socket that stays behind answers nobody, and is passed over.
    let _ = fs::remove_file(socket);
    // What was permitted is finished or cut here; nothing outlives the session.
    runtime.shutdown_timeout(Duration::from_millis(200));
    close(gate, event)
}

/// Binds a socket by a descriptor of its directory, for a socket's path may have
/// no more than 107 bytes.
fn bind_within(path: &Path) -> io::Result<UnixListener> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let held = fs::File::open(directory)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    UnixListener::bind(Path::new(&format!("/proc/self/fd/{}", held.as_raw_fd())).join(name))
}

/// Starts everything that carries names and connections.
fn carry(
    gate: &Arc<Gate>,
    sockets: Sockets,
    control: &Control,
    runtime: &tokio::runtime::Runtime,
) -> io::Result<Connector> {
    let address = |socket: &OwnedFd| -> io::Result<SocketAddr> {
        SocketAddr::try_from(rustix::net::getsockname(socket)?).map_err(io::Error::other)
    };
    let names = Arc::new(Names::new(Ranges {
        gateway: plan::NETWORK.gateway,
        prefix: plan::NETWORK.prefix,
        gateway6: plan::NETWORK.gateway6,
    }));
    let capture = Arc::new(Capture::<Connection>::default());
    let connector = Connector {
        gate: Arc::clone(gate),
        names: Arc::clone(&names),
        capture: Arc::clone(&capture),
        listener4: address(&sockets.stream4)?,
        listener6: sockets.stream6.as_ref().map(address).transpose()?,
        runtime: runtime.handle().clone(),
        init: control.init(),
        private_devices: connect::private_devices(control.init()),
        told: Mutex::default(),
    };
    for listener in [Some(sockets.stream4), sockets.stream6]
        .into_iter()
        .flatten()
    {
        runtime.spawn(remit_proxy::serve(listener, Arc::clone(&capture)));
    }
    runtime.spawn(remit_proxy::serve_datagrams(
        sockets.names,
        Arc::clone(&names),
    ));
    runtime.spawn(remit_proxy::serve_streams(sockets.names_stream, names));
    Ok(connector)
}

/// Writes the end down and says how the command ended.
fn close(gate: &Gate, event: ChildEvent) -> Result<ExitCode, RunError> {
    let (status, code) = match event {
        ChildEvent::Exited(code) => (Status::Code(code), code),
        ChildEvent::Signalled(signal) => (Status::Signal(signal), 128 + signal),
        // Refused, lost, or ended by us: the command has no status of its own.
        ChildEvent::NotStarted(_) | ChildEvent::Lost | ChildEvent::Stopped => {
            (Status::Code(REFUSED), REFUSED)
        }
    };
    let written = gate
        .journal
        .write(Kind::Exit { status })
        .and_then(|()| gate.journal.end());
    written.map_err(|source| RunError::Write {
        path: PathBuf::from("~/.local/state/remit"),
        source,
    })?;
    Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)))
}

/// The exit status of a run that was refused or did not start.
pub const REFUSED: i32 = 125;

/// Where answers and signals arrive.
#[derive(Debug)]
pub(crate) struct Desk {
    gate: Arc<Gate>,
    control: Arc<Control>,
    /// Whether a signal was passed on already; the next one ends the session.
    signalled: AtomicBool,
}

impl Desk {
    /// Passes a signal on to the command's process group; the second one ends
    /// the session, as does the first before there is a command.
    pub(crate) fn signal(&self, signal: i32) {
        let again = self.signalled.swap(true, Ordering::Relaxed);
        let group = self
            .gate
            .command
            .get()
            .and_then(|process| Pid::from_raw(*process as i32));
        let passed = match (group, Signal::from_named_raw(signal)) {
            (Some(group), Some(signal)) if !again => kill_process_group(group, signal).is_ok(),
            _ => false,
        };
        if !passed {
            self.control.end();
        }
    }
}

impl TerminalDesk for Desk {
    fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen> {
        self.gate.questions.answer(id, answer)
    }

    fn resume(&self) {
        // Fails only when the session is over.
        let _ = self.control.resume();
    }

    fn signalled(&self, signal: i32) {
        self.signal(signal);
    }
}

impl wire::Desk for Desk {
    fn open(&self) -> Vec<Posed> {
        self.gate.questions.open()
    }

    fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen> {
        self.gate.questions.answer(id, answer)
    }
}
