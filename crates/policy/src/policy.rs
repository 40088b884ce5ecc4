//! The policy: texts of all layers in, one judge out.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::approvals::{ApprovalSettings, ApprovalsSaid};
use crate::attempt::{Attempt, Connect, Exec};
use crate::basis::{Basis, Layer};
use crate::command::Commands;
use crate::credentials::{self, Credential, CredentialSaid, CredentialSource};
use crate::data::{Cache, DataRules, DataSaid};
use crate::day::Day;
use crate::egress::{Egress, EgressSaid, ProxySettings};
use crate::environment::{self, Environment};
use crate::error::PolicyError;
use crate::filesystem::{self, FilesSaid, Filesystem, Place};
use crate::grant::{Choice, Grants};
use crate::host::Port;
use crate::knowledge::{self, Finding};
use crate::layers::{Decision, Force, Said, Settled, Voice};
use crate::limits::{Limits, LimitsSaid};
use crate::loading::Loaded;
use crate::network::presets::{self, preset};
use crate::network::scope::Scope;
use crate::network::{About, Network, Say};
use crate::pattern::HostPattern;
use crate::request::{Handling, Request};
use crate::review::{ReviewSaid, ReviewSettings};
use crate::rules::RulesSaid;
use crate::settings::{Stated, Sync};
use crate::statements::{self, Statement};
use crate::tiers::{Tier, Tiers};
use crate::tool::{ToolCall, Tools};
use crate::upload::Upload;
use crate::verdict::{Permit, Question, Refusal, Verdict};
use crate::writing::Git;

/// Everything that was said, checked and combined. Judging takes no lock,
/// performs no input or output and reads no clock.
#[derive(Debug)]
pub struct Policy {
    pub(crate) commands: Commands,
    tools: Tools,
    resting: usize,
    /// The day it was compiled for.
    today: Option<Day>,
    network: Network,
    egress: Egress,
    credentials: Vec<Credential>,
    filesystem: Filesystem,
    environment: Environment,
    tiers: Tiers,
    record: RecordSettings,
    approvals: ApprovalSettings,
    review: ReviewSettings,
    limits: Limits,
    place: Place,
    profile: String,
    canonical: String,
}

/// By which a connection to a server of the session's own is allowed.
pub const OWN_LOOPBACK: &str = "network: the session's own loopback";

/// What a policy text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// TOML.
    Settings,
    /// Starlark, a `.rules` file.
    Rules,
}

/// One policy text with its layer, as the supervisor loaded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    pub layer: Layer,
    pub kind: TextKind,
    /// The file as a person would name it, such as `~/.config/remit/settings.toml`.
    pub file: String,
    pub text: String,
}

/// What an agent cannot work without, added by its adapter at the built-in
/// layer. A `deny` or `hide` of any layer still takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentNeeds {
    /// The agent's name, such as `codex`.
    pub name: String,
    /// Its model hosts, as patterns of `network.allow`.
    pub hosts: Vec<String>,
    /// Its state directories: absolute, `~/…` or `./…`.
    pub write: Vec<PathBuf>,
    /// Variables it reads: `NAME` or `PREFIX_*`.
    pub environment: Vec<String>,
}

/// How the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    pub sync: Sync,
}

impl Policy {
    /// Checks and combines the texts of all layers.
    ///
    /// `profile` names a built-in profile or a `[profiles.NAME]` of one of the
    /// texts; without it, `default` holds. The order of `texts` does not matter
    /// between layers; within a layer the first statement of a single value holds.
    ///
    /// What day it is is not known here: what would allow until some day does not,
    /// and what restricts until some day does. See [`compile_on`](Self::compile_on).
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for the first thing wrong in any text, whether the chosen
    /// profile uses it or not. Callers refuse to start.
    pub fn compile(
        texts: &[PolicyText],
        profile: Option<&str>,
        agent: &AgentNeeds,
        place: &Place,
    ) -> Result<Policy, PolicyError> {
        Self::compile_for(texts, profile, agent, place, None)
    }

    /// The same on this day: a rule that holds until some day says nothing after it.
    /// Compile again when a day begins.
    pub fn compile_on(
        texts: &[PolicyText],
        profile: Option<&str>,
        agent: &AgentNeeds,
        place: &Place,
        today: Day,
    ) -> Result<Policy, PolicyError> {
        Self::compile_for(texts, profile, agent, place, Some(today))
    }

    /// Everything that is wrong with these texts: of a settings file the first
    /// mistake, of a rule file all that can be told from one reading, and if each
    /// text is right by itself, the first contradiction between them.
    pub fn problems(
        texts: &[PolicyText],
        profile: Option<&str>,
        agent: &AgentNeeds,
        place: &Place,
    ) -> Vec<PolicyError> {
        let problems = Loaded::read(texts, place, None).problems;
        if !problems.is_empty() {
            return problems;
        }
        Self::compile(texts, profile, agent, place).err().into_iter().collect()
    }

    fn compile_for(
        texts: &[PolicyText],
        profile: Option<&str>,
        agent: &AgentNeeds,
        place: &Place,
        today: Option<Day>,
    ) -> Result<Policy, PolicyError> {
        let profile = profile.unwrap_or("default");
        let said = Everything::gather(texts, profile, agent, place, today)?;
        said.settle(profile, canonical(texts, profile, agent), place, today)
    }

    /// Everything that the texts say which this policy was compiled of, and what of
    /// it is in force.
    ///
    /// # Errors
    ///
    /// As for [`compile`](Self::compile).
    pub fn statements(
        &self,
        texts: &[PolicyText],
        agent: &AgentNeeds,
        place: &Place,
    ) -> Result<Vec<Statement>, PolicyError> {
        let said = Everything::gather(texts, &self.profile, agent, place, self.today)?;
        Ok(statements::of(said, &self.filesystem))
    }

    /// Judges a program about to be started.
    pub fn exec(&self, attempt: Exec, grants: &Grants) -> Verdict<Exec> {
        self.commands.exec(attempt, grants)
    }

    /// Judges a call of a tool of an MCP server.
    pub fn tool(&self, attempt: ToolCall, grants: &Grants) -> Verdict<ToolCall> {
        self.tools.call(attempt, grants)
    }

    /// Whether a variable of this name belongs to the verdict on a program: it
    /// changes what some program does, or a rule names it.
    pub fn minds(&self, variable: &OsStr) -> bool {
        knowledge::is_telling(variable) || self.commands.minds(variable)
    }

    /// Every profile that a rule places commands in, once each. Each is there: a rule
    /// that names another does not load.
    pub fn placed_in(&self) -> BTreeSet<&str> {
        self.commands.places().map(|(place, _)| &**place).collect()
    }

    /// How many rules do not hold on the day for which this was compiled. When it
    /// differs from one day to the next, so does the policy.
    pub fn resting_rules(&self) -> usize {
        self.resting
    }

    /// What is known about a command, gravest first, whatever the verdict on it.
    pub fn findings(&self, attempt: &Exec) -> Vec<Finding> {
        self.commands.findings(attempt)
    }

    /// Says which answers a question takes: those that fit what is asked and that
    /// the policy has, and what a yes for this project would write. `broken`: the
    /// glass is, so that limits on answers are lifted.
    pub fn offer<A: Attempt>(&self, question: Question<A>, broken: bool) -> Question<A> {
        let limits = match broken {
            true => &self.approvals.in_break_glass,
            false => &self.approvals.limits,
        };
        let proposal = (!question.needs_a_person() && limits.yeses.contains(&Choice::Project))
            .then(|| question.attempt().proposal(self))
            .flatten();
        question.limited(limits, proposal)
    }

    /// Whether one more statement of the user's that allows it would let it happen
    /// without a question.
    pub(crate) fn is_settled_by_a_choice(&self, attempt: &Exec) -> bool {
        self.commands.is_settled_by_a_choice(attempt)
    }

    /// The same of a connection.
    pub(crate) fn is_connection_settled_by_a_choice(&self, attempt: &Connect) -> bool {
        self.network.is_connection_settled_by_a_choice(attempt)
    }

    /// The same of a request.
    pub(crate) fn is_request_settled_by_a_choice(&self, attempt: &Request) -> bool {
        self.network.is_request_settled_by_a_choice(attempt)
    }

    /// Whether the session can make or change what is there.
    pub(crate) fn can_write(&self, path: &Path) -> bool {
        self.filesystem.is_writable(path, &self.place)
    }

    /// The programs whose copies and other names the policy has to know: absolute
    /// paths of programs that rules or built-in knowledge are about, where they may
    /// or may not be on this machine.
    pub fn known_programs(&self) -> &BTreeSet<PathBuf> {
        self.commands.known_programs()
    }

    /// Judges a connection by the name that was looked up, or by the address if
    /// it was given literally. The attempt of the verdict is in canonical form:
    /// an IPv4 address written as IPv6 has become that IPv4 address.
    pub fn connect(&self, attempt: Connect, grants: &Grants) -> Verdict<Connect> {
        self.network.connect(attempt, grants)
    }

    /// How a permitted connection is to be treated. Ask again after the policy changed.
    pub fn handling(&self, permitted: &Connect) -> Handling {
        self.network.handling(permitted)
    }

    /// Judges a request on a permitted connection. A yes of a person to the
    /// connection covers it, but for what the policy says about requests. The
    /// attempt of the verdict has its connection in canonical form.
    pub fn request(&self, attempt: Request, grants: &Grants) -> Verdict<Request> {
        self.network.request(attempt, grants)
    }

    /// Judges what looks like a secret in the body of a request that was permitted.
    pub fn upload(&self, attempt: Upload, grants: &Grants) -> Verdict<Upload> {
        self.network.upload(attempt, grants)
    }

    /// Whether TLS to some host may be inspected, so that the session needs an
    /// authority of its own.
    pub fn inspects_anything(&self) -> bool {
        self.network.inspects_anything()
    }

    /// The hosts whose SSH commands are judged, as OpenSSH's lists of known hosts
    /// write them. Where there are any, the session needs an SSH key of its own.
    pub fn ssh_hosts(&self) -> &BTreeSet<String> {
        self.network.ssh_hosts()
    }

    /// What may leave the session, whichever host it goes to.
    pub fn data(&self) -> &DataRules {
        self.network.data()
    }

    /// How answers on this connection are kept: as [`data`](Self::data) says, but
    /// not at all where the agent needs the host.
    pub fn cache(&self, connect: &Connect) -> Cache {
        self.network.cache(connect)
    }

    /// Bytes that may go in a session to all that each statement about this host
    /// is about, beside the cap on everything, and the statement.
    pub fn upload_caps(&self, connect: &Connect) -> Vec<(u64, &Basis)> {
        self.network.upload_caps(connect)
    }

    /// The proxy that connections leave by.
    pub fn proxy(&self) -> Option<&ProxySettings> {
        self.egress.proxy()
    }

    /// Whether this host is dialled directly: there is no proxy, `no_proxy` names
    /// the host and binds no less than the proxy, or it is on this machine.
    pub fn dials_directly(&self, connect: &Connect) -> bool {
        self.proxy().is_none()
            || connect.is_loopback()
            || self.network.direct(connect).is_some_and(|force| self.egress.yields_to(force))
    }

    /// The named secrets, in order of their names.
    pub fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// Whether this port may be opened on the host's loopback.
    ///
    /// # Errors
    ///
    /// The refusal, if no layer lists it.
    pub fn publishes(&self, port: Port) -> Result<&Basis, Refusal> {
        self.egress.publishes(port)
    }

    /// Verdict on a connection to a server that the session itself runs, on its
    /// own loopback. Nothing of it reaches the host, so it is allowed.
    pub fn connect_inside(&self, attempt: Connect) -> Verdict<Connect> {
        Verdict::Allow(Permit::new(attempt, Basis::built_in(OWN_LOOPBACK)))
    }

    /// Checks one answer of the real resolution of a permitted name, or the
    /// literal address itself, before it is dialled. Dial what was checked.
    ///
    /// # Errors
    ///
    /// The refusal, if the address is denied, or not public and not named.
    pub fn address(&self, permitted: &Connect, answer: IpAddr) -> Result<(), Refusal> {
        self.network.address(permitted, answer)
    }

    /// Lets statements about programs be about what their paths lead to as well,
    /// as `target` says: the machine's links are not for the policy to read.
    pub fn follow(&mut self, place: &Place, target: impl Fn(&Path) -> Option<PathBuf>) {
        let Self { network, filesystem, .. } = self;
        network.follow(target, |path| filesystem.is_writable(path, place));
    }

    /// Protects one more name below each writable root, for a reason found where
    /// the session is to run.
    pub fn protect(&mut self, name: PathBuf, reason: &str) {
        self.filesystem.protect(name, reason);
    }

    /// What may be read and written.
    pub fn filesystem(&self) -> &Filesystem {
        &self.filesystem
    }

    /// Which variables pass into the boundary.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Which tiers of the boundary may be used.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    pub fn record(&self) -> RecordSettings {
        self.record
    }

    /// How questions are asked, and what may be answered.
    pub fn approvals(&self) -> &ApprovalSettings {
        &self.approvals
    }

    /// Whether a reviewer model answers what a person would be asked.
    pub fn review(&self) -> &ReviewSettings {
        &self.review
    }

    /// What the session may take of the machine.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The name of the profile in force.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// A canonical text of everything that went in, to be hashed as the policy's
    /// digest: what is built in, the profile's name, what the agent needs, and
    /// every text with layer, kind, file and length. Two policies with the same
    /// text judge alike in the same [`Place`]; the place itself is not part of
    /// it, so that one policy has one digest on every machine and workspace.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// All statements of all layers, in order of preference.
#[derive(Default)]
pub(crate) struct Everything {
    pub(crate) workspace: Vec<Said<filesystem::Access>>,
    pub(crate) write: Vec<Said<PathBuf>>,
    pub(crate) hide: Vec<Said<PathBuf>>,
    pub(crate) protect: Vec<Said<PathBuf>>,
    pub(crate) git: Vec<Said<Git>>,
    pub(crate) read: Vec<Said<filesystem::Reading>>,
    pub(crate) agent_write: Vec<PathBuf>,
    pub(crate) environment: Vec<Said<String>>,
    pub(crate) tiers: Vec<Said<BTreeSet<Tier>>>,
    pub(crate) network: Vec<Said<Decision>>,
    pub(crate) hosts: Vec<Said<About>>,
    pub(crate) data: DataSaid,
    pub(crate) egress: EgressSaid,
    pub(crate) credentials: Vec<Said<CredentialSaid>>,
    pub(crate) commands: Vec<Said<Decision>>,
    pub(crate) tools: Vec<Said<Decision>>,
    pub(crate) approvals: ApprovalsSaid,
    pub(crate) review: ReviewSaid,
    pub(crate) sync: Vec<Said<Sync>>,
    pub(crate) limits: LimitsSaid,
    pub(crate) rules: RulesSaid,
}

impl Everything {
    /// Reads all texts and keeps what they say, of the profile asked for.
    fn gather(
        texts: &[PolicyText],
        profile: &str,
        agent: &AgentNeeds,
        place: &Place,
        today: Option<Day>,
    ) -> Result<Self, PolicyError> {
        let Loaded { profiles, general, rules, problems } = Loaded::read(texts, place, today);
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        // In order of preference: the profile asked for, the user, the system, `default`.
        let (mut stated, fallback) = profiles.choose(profile)?;
        stated.extend(general);
        stated.push(fallback);

        let mut said = Everything::default();
        said.add_agent(agent, place)?;
        said.rules = rules;
        stated.into_iter().for_each(|stated| said.add(stated));
        Ok(said)
    }

    fn add(&mut self, stated: Stated) {
        self.workspace.extend(stated.workspace);
        self.write.extend(stated.write);
        self.hide.extend(stated.hide);
        self.protect.extend(stated.protect);
        self.git.extend(stated.git);
        self.read.extend(stated.read);
        self.environment.extend(stated.environment);
        self.tiers.extend(stated.tiers);
        self.network.extend(stated.network.default);
        self.hosts.extend(stated.network.hosts);
        self.data.add(stated.network.data);
        self.egress.add(stated.network.egress);
        self.credentials.extend(stated.credentials);
        self.commands.extend(stated.commands);
        self.tools.extend(stated.tools);
        self.approvals.add(stated.approvals);
        self.review.add(stated.review);
        self.sync.extend(stated.sync);
        self.limits.add(stated.limits);
    }

    fn add_agent(&mut self, agent: &AgentNeeds, place: &Place) -> Result<(), PolicyError> {
        let voice = Voice::agent();
        let name = &agent.name;
        let wrong = |reason| PolicyError::Agent { agent: name.clone(), reason };
        for host in &agent.hosts {
            let needed = match preset(host) {
                Some(found) => found.map_err(wrong)?,
                None => vec![(one_host(host).map_err(wrong)?, Scope::default())],
            };
            for (hosts, scope) in needed {
                let about = About { say: Say::Decide(Decision::Allow), hosts, scope };
                self.hosts.push(voice.says(about, format!("{name} needs {host}"), 0));
            }
        }
        for path in &agent.write {
            let text =
                path.to_str().ok_or_else(|| wrong(format!("`{}` is not text", path.display())))?;
            let path =
                place.resolve(text).map_err(|reason| wrong(format!("`{text}`: {reason}")))?;
            self.agent_write.push(path.clone());
            self.write.push(voice.says(path, format!("{name} writes {text}"), 0));
        }
        for variable in &agent.environment {
            Environment::check(variable).map_err(wrong)?;
            self.environment.push(voice.says(
                variable.clone(),
                format!("{name} reads {variable}"),
                0,
            ));
        }
        Ok(())
    }

    fn settle(
        self,
        profile: &str,
        canonical: String,
        place: &Place,
        today: Option<Day>,
    ) -> Result<Policy, PolicyError> {
        let complete = "the built-in `default` profile states every single value";
        let mut hosts = self.hosts;
        hosts.extend(self.rules.hosts);
        let mut environment = Environment::built_in();
        for said in &self.environment {
            environment.pass(&said.value).expect("names were checked when they were stated");
        }
        let credentials = credentials::settle(self.credentials)?;
        let mut hide = self.hide;
        for credential in &credentials {
            credential.variables().for_each(|name| environment.withhold(name));
            // What a secret is put into must be seen, so nothing of the user's
            // takes this inspection back.
            let said =
                |value| Said { value, force: Force::Requirement, basis: credential.basis.clone() };
            let inspect = |host: &HostPattern| About::whole(Say::Inspect, host.clone());
            hosts.extend(credential.hosts().iter().map(|host| said(inspect(host))));
            if let CredentialSource::File(path) = &credential.source {
                let basis = credential.basis.clone();
                hide.push(Said { value: path.clone(), force: Force::Requirement, basis });
            }
        }
        let files = FilesSaid {
            workspace: Settled::new(self.workspace).expect(complete),
            write: self.write,
            hide,
            protect: self.protect,
            git: Settled::new(self.git).expect(complete),
            read: Settled::new(self.read).expect(complete),
            agent: self.agent_write,
            rules: self.rules.files,
        };
        let tools = Settled::new(self.tools).expect(complete);
        let approvals = self.approvals.settle(&credentials)?;
        let commands = Settled::new(self.commands).expect(complete);
        let filesystem = Filesystem::reconcile(files, place)?;
        check_programs(&hosts, &filesystem, place)?;
        let default = Settled::new(self.network).expect(complete);
        Ok(Policy {
            commands: Commands::new(
                commands,
                self.rules.commands,
                self.rules.whereabouts,
                filesystem.writable(place),
                place.clone(),
            ),
            tools: Tools::new(tools, self.rules.tools),
            resting: self.rules.resting,
            today,
            network: Network::new(default, self.data.settle(), hosts),
            egress: self.egress.settle(&credentials)?,
            review: self.review.settle(&credentials)?,
            credentials,
            filesystem,
            environment,
            tiers: Tiers::settle(&self.tiers),
            record: RecordSettings { sync: Settled::new(self.sync).expect(complete).value() },
            approvals,
            limits: self.limits.settle(),
            place: place.clone(),
            profile: profile.to_owned(),
            canonical,
        })
    }
}

/// A program that the session can write is whatever the session makes of it, so
/// nothing is permitted for its sake.
fn check_programs(
    hosts: &[Said<About>],
    filesystem: &Filesystem,
    place: &Place,
) -> Result<(), PolicyError> {
    for said in hosts.iter().filter(|said| said.value.say == Say::Decide(Decision::Allow)) {
        let programs = said.value.scope.programs.iter().flat_map(|programs| programs.paths());
        for path in programs {
            if filesystem.is_writable(path, place) {
                let reason = format!(
                    "`{}` can be written in the session, so every program could become it",
                    path.display()
                );
                return Err(PolicyError::about(&said.basis, reason));
            }
        }
    }
    Ok(())
}

fn one_host(text: &str) -> Result<HostPattern, String> {
    let pattern = HostPattern::parse(text)
        .map_err(|reason| format!("`{text}` is not a host pattern: {reason}"))?;
    match pattern.is_broad() {
        true => Err(format!("`{text}` covers too much")),
        false => Ok(pattern),
    }
}

/// Each part is preceded by its length, so no two inputs share a text.
fn canonical(texts: &[PolicyText], profile: &str, agent: &AgentNeeds) -> String {
    let mut out = String::from("remit policy 1\n");
    let mut part = |name: &str, text: &str| {
        let _ = writeln!(out, "{name} {}\n{text}", text.len());
    };
    part("profile", profile);
    part("agent", &agent.name);
    agent.hosts.iter().for_each(|host| part("agent host", host));
    agent.write.iter().for_each(|path| part("agent write", &path.to_string_lossy()));
    agent.environment.iter().for_each(|name| part("agent environment", name));
    for text in texts {
        let kind = match text.kind {
            TextKind::Settings => "settings",
            TextKind::Rules => "rules",
        };
        part(&format!("{} {kind} file", text.layer), &text.file);
        part(&format!("{} {kind} text", text.layer), &text.text);
    }
    for (name, text) in crate::profiles::BUILT_IN {
        part(&format!("built-in profile {name}"), text);
    }
    part("built-in hidden", filesystem::HIDDEN);
    part("built-in protected", filesystem::PROTECTED);
    part("built-in environment", environment::PASS);
    part("built-in presets", presets::TEXT);
    part("built-in programs", crate::network::programs::TEXT);
    part("built-in answers", crate::grant::PROPOSALS);
    out
}
