//! One governed run, from launch to exit.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use remit_approvals::webhook::{Hook, WebhookError};
use remit_approvals::wire;
use remit_audit::{AppendError, CreateError, Kind, Record, SessionId, Status, Text, event};
use remit_policy::{PolicyError, Port, Refusal, Writing};
use remit_proxy::{Capture, Names, Ranges};
use remit_sandbox::notify;
use remit_sandbox::{ChildEvent, LaunchError, Launched, Sockets, Stdio, Tier};

use crate::changes::{Changed, Kept, OverlayError};
use crate::connect::Connector;
use crate::desk::{Desk, Questions};
use crate::files::{LoadError, PlacesError};
use crate::gate::{Connection, Gate, Keeper};
use crate::guard::{Guard, HostView};
use crate::journal::Journal;
use crate::limits::{Limited, Watch};
use crate::live::{self, Live};
use crate::made::Made;
use crate::means::{Means, MeansError};
use crate::plan;
use crate::prepare::Prepared;
use crate::publish::Published;
use crate::scratch::Scratch;
use crate::secrets::CredentialError;
use crate::stdio::{StreamError, Streams};
use crate::terminal::{Terminal, TerminalDesk};
use crate::tier::{self, NoTier};
use crate::warden::Warden;
use crate::workspace::WorkspaceError;

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
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("no command to run; give one after `--`")]
    NoCommand,
    #[error("cannot find the command `{}` in PATH", .0.display())]
    UnknownCommand(PathBuf),
    #[error("cannot run `{}`: it is not an executable file", .0.display())]
    NotExecutable(PathBuf),
    #[error(
        "cannot hide `{}`: it is not there yet, and the agent could make it in `{}`, which is writable; \
         make it first, or narrow `sandbox.write`",
        hidden.display(),
        root.display()
    )]
    Exposed { hidden: PathBuf, root: PathBuf },
    #[error(
        "cannot protect `{}`: it is a link, and a link in the workspace could be replaced; \
         put what it points to in its place",
        link.display()
    )]
    Unprotectable { link: PathBuf },
    #[error(
        "cannot make `{}` writable: an agent can have put the link `{}` on the way; name the directory it leads to",
        root.display(),
        link.display()
    )]
    Redirected { root: PathBuf, link: PathBuf },
    #[error("cannot make `{}` writable: {reason}; name a narrower directory", root.display())]
    TooMuch { root: PathBuf, reason: String },
    #[error(
        "cannot use policy `{}`: it lies in `{}`, which the agent may write to; keep it elsewhere",
        file.display(),
        root.display()
    )]
    PolicyInReach { file: PathBuf, root: PathBuf },
    #[error("cannot make `{}`, which the session needs", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot start the record in `{}`", path.display())]
    Record { path: PathBuf, source: CreateError },
    #[error("cannot write the record; make room on the disk that holds `{}`", path.display())]
    Write { path: PathBuf, source: AppendError },
    #[error(transparent)]
    NoTier(#[from] NoTier),
    #[error(
        "cannot hide `{}`, which is in `{}`, where the agent may write: the tier `no-namespaces` has no mounts; \
         move it, or get a better tier (`remit doctor` says how)",
        hidden.display(),
        root.display()
    )]
    Unhideable { hidden: PathBuf, root: PathBuf },
    #[error(
        "cannot run on a copy-on-write view (`--overlay`) in the tier `{tier}`, which has no mounts; \
         run without it, or get a better tier (`remit doctor` says how)"
    )]
    NoOverlay { tier: &'static str },
    #[error(
        "cannot build the boundary; `remit doctor` says what this host lacks and how to get it"
    )]
    Launch(#[source] LaunchError),
    #[error(
        "cannot start `{}` inside the boundary; `remit run --print-plan` shows what is visible there",
        program.display()
    )]
    NotStarted { program: PathBuf, source: io::Error },
    #[error("cannot enforce `limits.{limit}` here ({basis}): {why}")]
    Unenforceable { limit: &'static str, basis: String, why: String },
    #[error("the session was ended: it reached `limits.{limit}`, {most} ({basis})")]
    LimitReached { limit: &'static str, most: String, basis: String },
    #[error("{0}")]
    NotPublished(Refusal),
    #[error(
        "cannot publish ports (`--publish`) in the tier `{tier}`, where the session has no network of its own; \
         run without it, or get a better tier (`remit doctor` says how)"
    )]
    NoPublishing { tier: &'static str },
    #[error(
        "cannot listen at `127.0.0.1:{port}`, which `--publish` asks for; stop what listens there, or publish another port"
    )]
    Publish { port: Port, source: io::Error },
    #[error(transparent)]
    Means(#[from] MeansError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    #[error("the session was stopped by {by}, who answered so")]
    Stopped { by: String },
    #[error("cannot {doing}")]
    System { doing: &'static str, source: io::Error },
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
    let scratch = Scratch::make(&prepared)?;
    check_reach(&prepared)?;
    let published = Published::bind(&prepared.publish)?;
    let session = session_id().map_err(system("name the session"))?;
    let kept = prepared
        .overlay
        .then(|| Kept::make(&prepared.places.state, session, &prepared.workspace))
        .transpose()?;
    let mut plan = prepared.plan_on(kept.as_ref().map(Kept::layer));

    let means = Means::make(&prepared, &mut plan)?;

    let limited = Limited::establish(prepared.policy.limits(), &session.to_string(), plan.tier)?;
    limited.place(&mut plan);

    let mut streams = Streams::prepare()?;
    let terminal = person(streams.stdio)?;
    let mut launched = remit_sandbox::launch(&plan, streams.stdio)
        .map_err(|error| tier::explain(error, plan.tier, prepared.policy.tiers()))?;
    notify::give_up_privileges().map_err(system("give up privileges"))?;
    streams.carry().map_err(system("carry the standard streams"))?;
    allow_many_descriptors();
    // The command waits for the verdict on its own start, so nothing happens
    // before there is a record.
    let journal = Journal::new(create_record(&prepared, session)?);
    let applied = [launched.applied.clone(), limited.layers()].concat();
    let started = started(&prepared, plan.tier, &applied, terminal.is_some());
    let state = prepared.places.state.clone();
    let unwritten = |source| RunError::Write { path: state.clone(), source };
    journal.write(started).map_err(unwritten)?;
    made.keep();
    let turn = turn(&prepared.places.state)?;
    let roots = prepared.roots();
    let known = plan::known(prepared.policy.filesystem(), &roots);
    let writing = Writing::new(prepared.policy.filesystem(), prepared.judged(roots));
    let gate = Arc::new(Gate::new(
        prepared.policy,
        prepared.credentials,
        journal,
        Questions::new(prepared.queue, prepared.elsewhere),
        session.to_string(),
    ));
    let directory = session.directory(&prepared.places.state);
    let view = HostView::of(&plan, launched.terminal.as_ref())
        .map_err(system("look at the session's terminal"))?;
    let guard = Guard::new(Arc::clone(&gate), writing, known, view, turn);
    let keeper =
        Keeper { places: prepared.source.places.clone(), purpose: prepared.source.purpose.clone() };
    let mut live = Live::new(&gate, prepared.source, terminal.is_some());
    let mut watch = Watch::new(&limited, &gate, launched.system_v.take());
    for port in &published {
        port.record(&gate).map_err(unwritten)?;
    }
    let outside = Outside { terminal, published, directory, means, keeper };
    let eyes = Eyes { watch: &mut watch, live: &mut live };
    let served = serve(&gate, guard, launched, eyes, changes, outside);
    let outcome = served.and_then(|event| {
        let reached = watch.finish();
        let (status, changed) = close(&gate, event, plan.program, kept)?;
        if let Some(changed) = changed {
            changed.tell();
        }
        let stopped = gate.stopped().map(|by| RunError::Stopped { by: by.to_owned() });
        reached.or(stopped).map_or(Ok(status), Err)
    });
    streams.finish();
    live.tell();
    drop(scratch);
    outcome
}

/// Refuses what would let this session prepare the ground for the next.
fn check_reach(prepared: &Prepared) -> Result<(), RunError> {
    let (filesystem, workspace) = (prepared.policy.filesystem(), prepared.workspace.as_path());
    if let Some((root, link)) = plan::redirected(filesystem, workspace) {
        return Err(RunError::Redirected { root, link });
    }
    for root in plan::writable(filesystem, workspace) {
        let reason = crate::workspace::gives_too_much(&root, &prepared.places);
        if let Some(reason) = reason.filter(|_| root != workspace) {
            return Err(RunError::TooMuch { root, reason });
        }
    }
    if let Some((hidden, root)) = plan::exposed(filesystem, workspace) {
        return Err(RunError::Exposed { hidden, root });
    }
    if let Some(link) = plan::unprotectable(filesystem, &prepared.roots()) {
        return Err(RunError::Unprotectable { link });
    }
    if !prepared.tier.has_namespaces()
        && let Some((hidden, root)) = plan::hidden_in_reach(filesystem, &prepared.roots())
    {
        return Err(RunError::Unhideable { hidden, root });
    }
    for file in &prepared.policy_files {
        if let Some(root) = plan::in_reach(filesystem, workspace, file) {
            return Err(RunError::PolicyInReach { file: file.clone(), root });
        }
    }
    Ok(())
}

/// Every captured connection takes two descriptors of ours, and the usual limit
/// is low for the sake of programs that use `select`. The command, which is
/// already on its way, keeps the limit it was given.
fn allow_many_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the old limit there are fewer connections.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How many connections the descriptors are enough for: two for each, and some for
/// the record, programs that start and files that are opened for callers.
fn connections() -> usize {
    use rustix::process::{Resource, getrlimit};
    const OTHERS: u64 = 512;
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(OTHERS) / 2).unwrap_or(usize::MAX).max(16)
}

/// The file by which sessions of one person take turns at changing names.
fn turn(state: &Path) -> Result<fs::File, RunError> {
    let path = state.join("turn");
    let failed = |source| RunError::Make { path: path.clone(), source };
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)
}

fn create_record(prepared: &Prepared, session: SessionId) -> Result<Record, RunError> {
    let state = &prepared.places.state;
    let sync = match prepared.policy.record().sync {
        remit_policy::Sync::Group => remit_audit::Sync::Grouped,
        remit_policy::Sync::Always => remit_audit::Sync::Always,
    };
    Record::create(state, session, sync)
        .map_err(|source| RunError::Record { path: state.clone(), source })
}

/// The person's terminal, if one of our streams is one.
fn person(stdio: Stdio) -> Result<Option<OwnedFd>, RunError> {
    if !stdio.has_terminal() {
        return Ok(None);
    }
    // Without a controlling terminal the command would be given the person's
    // own, which is not ours to give.
    let system = |source| RunError::System {
        doing: "open /dev/tty, though a standard stream is a terminal; redirect it, or run without `setsid`",
        source,
    };
    let outer = fs::OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(system)?;
    Ok(Some(outer.into()))
}

/// `20261121-041500-123-k3v9qr`: sortable, readable, different each time.
pub(crate) fn session_id() -> io::Result<SessionId> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let tail: String =
        random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    let head = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S-%3f");
    format!("{head}-{tail}").parse().map_err(io::Error::other)
}

fn started(prepared: &Prepared, tier: Tier, applied: &[String], terminal: bool) -> Kind {
    let uid = rustix::process::getuid().as_raw();
    let kernel = rustix::system::uname();
    let kernel =
        format!("{} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy());
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Kind::SessionStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_digest: live::digest(&prepared.policy),
        profile: prepared.policy.profile().to_owned(),
        agent: prepared.agent.map_or("command", |agent| agent.name).to_owned(),
        command: prepared.command.iter().map(|word| Text::from(word.as_os_str())).collect(),
        workspace: Text::from(prepared.workspace.as_path()),
        user: event::User { uid, name: wire::person(uid) },
        host: event::Machine { kernel, boot_id: boot_id.trim().to_owned() },
        boundary: event::Boundary {
            tier: tier.name().to_owned(),
            layers: applied
                .iter()
                .map(String::as_str)
                .chain(tier::gap(tier))
                .map(Text::from)
                .collect(),
        },
        terminal,
    }
}

/// What of the host belongs to a session.
struct Outside {
    /// The person's terminal, if there is one.
    terminal: Option<OwnedFd>,
    published: Vec<Published>,
    /// The session's own, below the state directory.
    directory: PathBuf,
    means: Means,
    /// Where what outlives it is written.
    keeper: Keeper,
}

/// Who looks at what while the session runs.
struct Eyes<'e, 's> {
    watch: &'e mut Watch<'s>,
    live: &'e mut Live,
}

/// Serves the session until its command ends.
fn serve(
    gate: &Arc<Gate>,
    guard: Guard,
    launched: Launched,
    eyes: Eyes<'_, '_>,
    changes: OwnedFd,
    outside: Outside,
) -> Result<ChildEvent, RunError> {
    let system = |doing| move |source| RunError::System { doing, source };
    let Launched { notifications, control, sockets, terminal: master, .. } = launched;
    let Outside { terminal: outer, published, directory, means, keeper } = outside;
    let control = Arc::new(control);
    gate.serve(keeper, Arc::clone(&control));
    let desk = Arc::new(Desk::new(Arc::clone(gate), Arc::clone(&control)));
    gate.questions.listen(Arc::clone(&desk) as Arc<dyn Hook>);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("proxy")
        .enable_all()
        .build()
        .map_err(system("start the proxy"))?;
    let connector =
        carry(gate, sockets, control.tier(), &runtime, means).map_err(system("start the proxy"))?;
    let names = Arc::clone(&connector.names);
    let warden = Warden::new(notifications, changes, Arc::clone(gate), connector, guard)
        .map_err(system("serve trapped calls"))?;

    for port in published {
        runtime.spawn(port.serve(Arc::clone(gate), Arc::clone(&control)));
    }

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
        let _ = gate.journal.write(Kind::Degraded { what: "the approval socket".to_owned(), why });
    }

    let (stop, stopped) = mpsc::channel();
    let (unwatch, unwatched) = mpsc::channel();
    let (unfollow, unfollowed) = mpsc::channel();
    let Eyes { watch, live } = eyes;
    let event = thread::scope(|scope| {
        let ender = Arc::clone(&control);
        scope.spawn(move || gate.journal.keep_synced(&stopped, || ender.end()));
        let watched = &control;
        scope.spawn(move || {
            let look = std::panic::AssertUnwindSafe(|| watch.run(watched, &unwatched));
            if std::panic::catch_unwind(look).is_err() {
                // Nobody counts and keeps time any more.
                watched.end();
            }
        });
        let (looked_up, following) = (&names, &control);
        scope.spawn(move || {
            let look = std::panic::AssertUnwindSafe(|| live.watch(looked_up, &unfollowed));
            if std::panic::catch_unwind(look).is_err() {
                // Nobody hears of a stricter policy any more.
                following.end();
            }
        });
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
        gate.make_whole();
        drop((stop, unwatch, unfollow));
        event
    });
    drop(terminal);
    drop(signals);
    drop(approvals);
    // A socket that stays behind answers nobody, and is passed over.
    let _ = fs::remove_file(socket);
    // What was permitted is finished or cut here; nothing outlives the session.
    runtime.shutdown_timeout(Duration::from_millis(200));
    if names.lookups().asked > 0 {
        // A record that fails here fails at the last word, too.
        let _ = gate.journal.write(live::lookups(&names));
    }
    Ok(event)
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
    tier: Tier,
    runtime: &tokio::runtime::Runtime,
    means: Means,
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
    let shared = remit_proxy::Shared::new(Arc::clone(&names));
    let shared =
        Arc::new(means.share(shared.at_most(connections()).holding(Arc::clone(&gate.credentials))));
    let connector = Connector {
        gate: Arc::clone(gate),
        names: Arc::clone(&names),
        capture: Arc::clone(&capture),
        listener4: address(&sockets.stream4)?,
        listener6: sockets.stream6.as_ref().map(address).transpose()?,
        runtime: runtime.handle().clone(),
        network: notify::network_of(sockets.stream4.as_fd())?,
        is_apart: tier.has_namespaces(),
        private_devices: OnceLock::new(),
        told: Mutex::default(),
    };
    for listener in [Some(sockets.stream4), sockets.stream6].into_iter().flatten() {
        runtime.spawn(remit_proxy::serve(listener, Arc::clone(&capture), Arc::clone(&shared)));
    }
    if let Some(datagrams) = sockets.names {
        runtime.spawn(remit_proxy::serve_datagrams(datagrams, Arc::clone(&names)));
    }
    if let Some(streams) = sockets.names_stream {
        runtime.spawn(remit_proxy::serve_streams(streams, names));
    }
    Ok(connector)
}

/// Writes the end down and says how the command ended.
fn close(
    gate: &Gate,
    event: ChildEvent,
    program: PathBuf,
    kept: Option<Kept>,
) -> Result<(ExitCode, Option<Changed>), RunError> {
    let (status, code) = match event {
        ChildEvent::Exited(code) => (Status::Code(code), code),
        ChildEvent::Signalled(signal) => (Status::Signal(signal), 128 + signal),
        // Refused, lost, or ended by us: the command has no status of its own.
        ChildEvent::NotStarted(_) | ChildEvent::Lost | ChildEvent::Stopped => {
            (Status::Code(REFUSED), REFUSED)
        }
    };
    let changed = kept.and_then(Kept::close);
    let written = gate
        .journal
        .write(Kind::Exit { status })
        .and_then(|()| changed.iter().try_for_each(|changed| gate.journal.write(changed.event())))
        .and_then(|()| gate.journal.end());
    written.map_err(|source| RunError::Write {
        path: PathBuf::from("~/.local/state/remit"),
        source,
    })?;
    match event {
        ChildEvent::NotStarted(errno) => {
            let source = io::Error::from_raw_os_error(errno);
            Err(RunError::NotStarted { program, source })
        }
        _ => Ok((ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)), changed)),
    }
}

/// The exit status of a run that was refused or did not start.
pub const REFUSED: i32 = 125;
