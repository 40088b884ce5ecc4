//! Everything about a run, decided before anything is done.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use remit_approvals::webhook::Webhook;
use remit_approvals::wire;
use remit_policy::{Basis, Environment, Notify, Policy, Port, Roots};
use remit_proxy::Credentials;
use remit_sandbox::{Plan, Tier};

use crate::agents::{Adapter, Missing};
use crate::changes::{self, Layer};
use crate::desk::Elsewhere;
use crate::files::{self, Places};
use crate::limits;
use crate::live::Source;
use crate::plan::{self, Command};
use crate::publish;
use crate::secrets::Bindings;
use crate::session::RunError;
use crate::standpoint::{Standpoint, View};
use crate::{scratch, secrets, shared, teach, tier};

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
    /// Run on a copy-on-write view of the workspace.
    pub overlay: bool,
    /// Ports of the session's loopback that the host's leads to.
    pub publish: Vec<Port>,
}

/// A request with everything decided and nothing done yet.
#[derive(Debug)]
pub struct Prepared {
    pub places: Places,
    pub workspace: PathBuf,
    pub policy: Policy,
    /// The secrets that are put in on the way out.
    pub(crate) credentials: Arc<Credentials>,
    /// How the boundary will be held.
    pub(crate) tier: Tier,
    /// The session's own directory for temporary files, where the tier has no
    /// private `/tmp`.
    pub(crate) scratch: Option<PathBuf>,
    program: Command,
    /// Who hears of questions beside the terminals.
    pub(crate) elsewhere: Elsewhere,
    /// Where the policy came from.
    pub(crate) source: Source,
    /// The files that policy of the user and the system was read from.
    pub(crate) policy_files: Vec<PathBuf>,
    pub(crate) agent: Option<&'static Adapter>,
    /// Where the agent keeps its own state.
    state: Vec<PathBuf>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) queue: bool,
    pub(crate) overlay: bool,
    pub(crate) publish: BTreeMap<Port, Basis>,
    /// What the agent can read about its limits.
    pub(crate) limits_page: String,
    pub(crate) command: Vec<OsString>,
}

/// Decides everything about a run: policy, workspace, program, plan.
pub fn prepare(request: Request) -> Result<Prepared, RunError> {
    let first = request.command.first().ok_or(RunError::NoCommand)?;
    let view =
        View { directory: request.directory, profile: request.profile, agent: Some(first.clone()) };
    let Standpoint { places, workspace, policy, loaded, purpose, agent } = Standpoint::take(view)?;
    let files::Loaded { texts, trusted } = loaded;
    let state = purpose.needs.write.clone();
    let tier = tier::choose(policy.tiers())?;
    if request.overlay {
        if !tier.has_namespaces() {
            return Err(RunError::NoOverlay { tier: tier.name() });
        }
        changes::check(policy.filesystem(), &workspace)?;
    }
    let publish = publish::permitted(&policy, tier, &request.publish)?;
    let scratch = (!tier.has_namespaces()).then(scratch::name).transpose()?;
    let mut environment = environment(&policy, &places, agent);
    let bindings = Bindings::default();
    let credentials = secrets::load(policy.credentials(), &bindings)?;
    secrets::dress(&mut environment, &credentials);
    let elsewhere = elsewhere(&policy)?;
    if let Some(scratch) = &scratch {
        shared::dress(&mut environment, scratch);
    }
    let program = find(first, &workspace, &environment)?;
    let argv = agent.map_or_else(|| request.command.clone(), |agent| agent.argv(&request.command));
    let command = Command { program, argv, directory: workspace.clone(), environment };
    let missing: Vec<Missing> = agent
        .map(|agent| {
            agent
                .places(&places.home)
                .filter(|place| place.path.symlink_metadata().is_err())
                .collect()
        })
        .unwrap_or_default();
    let statements = purpose.statements(&policy, &texts)?;
    let limits_page = teach::page(&policy, &statements, &workspace, request.queue);
    Ok(Prepared {
        places: places.clone(),
        workspace,
        policy,
        credentials: Arc::new(credentials),
        tier,
        scratch,
        program: command,
        elsewhere,
        source: Source { places, purpose, texts, bindings },
        policy_files: trusted,
        agent,
        state,
        missing,
        queue: request.queue,
        overlay: request.overlay,
        publish,
        limits_page,
        command: request.command,
    })
}

impl Prepared {
    /// The published ports, as `--print-plan` shows them after the plan.
    pub fn published(&self) -> String {
        let lines = self.publish.iter().map(|(port, basis)| {
            format!("  127.0.0.1:{port} of the host leads to port {port} inside  (by {basis})\n")
        });
        let lines: String = lines.collect();
        if lines.is_empty() { lines } else { format!("published\n{lines}") }
    }
}

/// Who hears of questions beside the terminals, as the policy says.
fn elsewhere(policy: &Policy) -> Result<Elsewhere, RunError> {
    let approvals = policy.approvals();
    let webhook = approvals.webhook.as_ref().map(|webhook| {
        let secret = secrets::own(policy.credentials(), &webhook.credential)?;
        let requester = wire::person(rustix::process::getuid().as_raw());
        let made = Webhook::new(&webhook.url, &secret, webhook.timeout, requester)?;
        Ok::<_, RunError>(Arc::new(made))
    });
    let desktop = approvals.notify == Notify::Desktop;
    Ok(Elsewhere { webhook: webhook.transpose()?, desktop })
}

/// Variables that name a proxy, in any case. They do not pass unless the policy
/// lists them, and are not needed: connections are captured.
const PROXIES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// The clean environment: what the policy lets pass, and what every program needs.
pub(crate) fn environment(
    policy: &Policy,
    places: &Places,
    agent: Option<&Adapter>,
) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| policy.environment().passes(name)))
        .filter(|(name, _)| name != "HOME")
        .collect();
    for (name, value) in &mut variables {
        if PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy)) {
            // The person's own is not reachable inside; ours judges, and goes on to it.
            *value = format!("http://{}:3128", crate::plan::NETWORK.gateway).into();
        }
    }
    variables.push(("HOME".into(), places.home.clone().into()));
    if !variables.iter().any(|(name, _)| name == "PATH") {
        variables.push(("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()));
    }
    let agents = agent.map(|agent| agent.defaults(&places.home)).unwrap_or_default();
    for (name, value) in agents.into_iter().chain(tools_defaults(policy, places)) {
        if !variables.iter().any(|(set, _)| *set == name) {
            variables.push((name, value));
        }
    }
    variables.sort();
    variables
}

/// Variables for tools that cannot write where they would.
fn tools_defaults<'a>(
    policy: &'a Policy,
    places: &'a Places,
) -> impl Iterator<Item = (OsString, OsString)> + 'a {
    let is_writable =
        |path: &Path| policy.filesystem().write.iter().any(|root| path.starts_with(&root.path));
    Environment::defaults()
        .iter()
        .filter(move |variable| {
            let place = variable.instead_of.trim_start_matches("~/");
            !is_writable(&places.home.join(place))
        })
        .map(|variable| (OsString::from(variable.name), OsString::from(variable.value)))
}

/// The command's file, as the shell would find it.
pub(crate) fn find(
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
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
    std::env::split_paths(&path.unwrap_or_default())
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(named))
        .find(|path| is_program(path))
        .ok_or_else(|| RunError::UnknownCommand(named.to_path_buf()))
}

impl Prepared {
    /// The writable places, from what is on the host now.
    pub(crate) fn roots(&self) -> Roots {
        let scratch = self.scratch.as_deref();
        let roots = plan::roots(self.policy.filesystem(), &self.workspace, &self.state, scratch);
        // A repository elsewhere would be written past the view of the workspace.
        if self.overlay { Roots { git: Vec::new(), ..roots } } else { roots }
    }

    /// The same as they are judged: a copy is private until somebody applies it,
    /// and then its names are judged.
    pub(crate) fn judged(&self, roots: Roots) -> Roots {
        if !self.overlay {
            return roots;
        }
        let Roots { projects, state, mut private, git } = roots;
        let (copied, projects) =
            projects.into_iter().partition(|root| root.starts_with(&self.workspace));
        private.extend::<Vec<_>>(copied);
        Roots { projects, state, private, git }
    }

    /// What the kernel is told, from what is on the host now. Changes nothing.
    pub fn plan(&self) -> Plan {
        let unnamed = self.overlay.then(|| Layer::unnamed(&self.places.state));
        self.plan_on(unnamed.as_ref())
    }

    /// The same, with the place that changes go to.
    pub(crate) fn plan_on(&self, layer: Option<&Layer>) -> Plan {
        let (files, roots) = (self.policy.filesystem(), self.roots());
        let command = self.program.clone();
        let mut plan = match &self.scratch {
            Some(scratch) => shared::lower(files, &self.workspace, &roots, command, scratch),
            None => Plan {
                tier: self.tier,
                ..plan::lower(files, &self.workspace, &roots, layer, command)
            },
        };
        limits::lower(self.policy.limits(), &mut plan);
        teach::place(self, &mut plan);
        plan
    }

    /// What the person has to know about a boundary that is less than full.
    pub fn caution(&self) -> Option<&'static str> {
        tier::caution(self.tier)
    }
}
