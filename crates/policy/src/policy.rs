//! The policy: texts of all layers in, one judge out.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::attempt::{Connect, Exec};
use crate::basis::{Basis, Layer};
use crate::command::Commands;
use crate::environment::{self, Environment};
use crate::error::PolicyError;
use crate::filesystem::{self, FilesSaid, Filesystem, Place};
use crate::grant::Grants;
use crate::layers::{Decision, Said, Settled, Voice};
use crate::limits::{Limits, LimitsSaid};
use crate::network::{Network, Say};
use crate::pattern::HostPattern;
use crate::profiles::Profiles;
use crate::request::{Handling, Request};
use crate::rules::{self, RulesSaid};
use crate::settings::{SettingsText, Source, Stated, Sync};
use crate::tiers::{Tier, Tiers};
use crate::verdict::{Permit, Refusal, Verdict};
use crate::writing::Git;

/// Everything that was said, checked and combined. Judging takes no lock,
/// performs no input or output and reads no clock.
#[derive(Debug)]
pub struct Policy {
    commands: Commands,
    network: Network,
    filesystem: Filesystem,
    environment: Environment,
    tiers: Tiers,
    record: RecordSettings,
    approvals: ApprovalSettings,
    limits: Limits,
    profile: String,
    canonical: String,
}

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

/// How questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalSettings {
    /// How long a question waits before silence is a no: one second to a day.
    pub patience: Duration,
}

impl Policy {
    /// Checks and combines the texts of all layers.
    ///
    /// `profile` names a built-in profile or a `[profiles.NAME]` of one of the
    /// texts; without it, `default` holds. The order of `texts` does not matter
    /// between layers; within a layer the first statement of a single value holds.
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
        place.check()?;
        let profile = profile.unwrap_or("default");
        let mut profiles = Profiles::built_in()?;
        let mut general = Vec::new();
        let mut rules = RulesSaid::default();
        for text in texts {
            let voice = Voice::of(text.layer, &text.file);
            let source = Source::new(&text.file, &text.text);
            match text.kind {
                TextKind::Rules => rules::read(&mut rules, &voice, &text.file, &text.text, place)?,
                TextKind::Settings => {
                    let settings = SettingsText::parse(&source)?;
                    general.push((text.layer, settings.state(&source, &voice, place)?));
                    profiles.add(settings, &source, &voice, place)?;
                }
            }
        }
        // In order of preference: the profile asked for, the user, the system, `default`.
        general.sort_by_key(|(layer, _)| match layer {
            Layer::User => 0,
            Layer::System | Layer::Answer => 1,
            Layer::BuiltIn | Layer::Project => 2,
        });
        let (mut stated, fallback) = profiles.choose(profile)?;
        stated.extend(general.into_iter().map(|(_, stated)| stated));
        stated.push(fallback);

        let mut said = Everything::default();
        said.add_agent(agent, place)?;
        said.rules = rules;
        stated.into_iter().for_each(|stated| said.add(stated));
        said.settle(profile, canonical(texts, profile, agent), place)
    }

    /// Judges a program about to be started.
    pub fn exec(&self, attempt: Exec, grants: &Grants) -> Verdict<Exec> {
        self.commands.exec(attempt, grants)
    }

    /// Judges a connection by the name that was looked up, or by the address if
    /// it was given literally. The attempt of the verdict is in canonical form:
    /// an IPv4 address written as IPv6 has become that IPv4 address.
    pub fn connect(&self, attempt: Connect, grants: &Grants) -> Verdict<Connect> {
        self.network.connect(attempt, grants)
    }

    /// How a permitted connection is to be treated. Ask again after the policy changed.
    pub fn handling(&self, _permitted: &Connect) -> Handling {
        Handling::default()
    }

    /// Judges a request on a permitted connection. The permit says what to send:
    /// its target may be spelt more plainly than the one that came.
    pub fn request(&self, attempt: Request, _grants: &Grants) -> Verdict<Request> {
        Verdict::Allow(Permit::new(
            attempt,
            Basis::built_in("network: no statement about requests"),
        ))
    }

    /// Verdict on a connection to a server that the session itself runs, on its
    /// own loopback. Nothing of it reaches the host, so it is allowed.
    pub fn connect_inside(&self, attempt: Connect) -> Verdict<Connect> {
        Verdict::Allow(Permit::new(attempt, Basis::built_in("network: the session's own loopback")))
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

    pub fn approvals(&self) -> ApprovalSettings {
        self.approvals
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
struct Everything {
    workspace: Vec<Said<filesystem::Access>>,
    write: Vec<Said<PathBuf>>,
    hide: Vec<Said<PathBuf>>,
    protect: Vec<Said<PathBuf>>,
    git: Vec<Said<Git>>,
    read: Vec<Said<filesystem::Reading>>,
    agent_write: Vec<PathBuf>,
    environment: Vec<Said<String>>,
    tiers: Vec<Said<BTreeSet<Tier>>>,
    network: Vec<Said<Decision>>,
    hosts: Vec<Said<(Say, HostPattern)>>,
    commands: Vec<Said<Decision>>,
    patience: Vec<Said<Reverse<Duration>>>,
    sync: Vec<Said<Sync>>,
    limits: LimitsSaid,
    rules: RulesSaid,
}

impl Everything {
    fn add(&mut self, stated: Stated) {
        self.workspace.extend(stated.workspace);
        self.write.extend(stated.write);
        self.hide.extend(stated.hide);
        self.protect.extend(stated.protect);
        self.git.extend(stated.git);
        self.read.extend(stated.read);
        self.environment.extend(stated.environment);
        self.tiers.extend(stated.tiers);
        self.network.extend(stated.network);
        self.hosts.extend(stated.hosts);
        self.commands.extend(stated.commands);
        // Silence refuses, so the shorter wait is the stricter.
        let patience = stated.patience;
        self.patience.extend(patience.map(|said| Said {
            value: Reverse(said.value),
            force: said.force,
            basis: said.basis,
        }));
        self.sync.extend(stated.sync);
        self.limits.add(stated.limits);
    }

    fn add_agent(&mut self, agent: &AgentNeeds, place: &Place) -> Result<(), PolicyError> {
        let voice = Voice::agent();
        let name = &agent.name;
        let wrong = |reason| PolicyError::Agent { agent: name.clone(), reason };
        for host in &agent.hosts {
            let pattern = HostPattern::parse(host)
                .map_err(|reason| wrong(format!("`{host}` is not a host pattern: {reason}")))?;
            if pattern.is_broad() {
                return Err(wrong(format!("`{host}` covers too much")));
            }
            let say = Say::Decide(Decision::Allow);
            self.hosts.push(voice.says((say, pattern), format!("{name} needs {host}"), 0));
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
    ) -> Result<Policy, PolicyError> {
        let complete = "the built-in `default` profile states every single value";
        let mut hosts = self.hosts;
        hosts.extend(self.rules.hosts);
        let mut environment = Environment::built_in();
        for said in &self.environment {
            environment.pass(&said.value).expect("names were checked when they were stated");
        }
        let files = FilesSaid {
            workspace: Settled::new(self.workspace).expect(complete),
            write: self.write,
            hide: self.hide,
            protect: self.protect,
            git: Settled::new(self.git).expect(complete),
            read: Settled::new(self.read).expect(complete),
            agent: self.agent_write,
        };
        let commands = Settled::new(self.commands).expect(complete);
        Ok(Policy {
            commands: Commands::new(commands, self.rules.commands, self.rules.whereabouts),
            network: Network::new(Settled::new(self.network).expect(complete), hosts),
            filesystem: Filesystem::reconcile(files, place)?,
            environment,
            tiers: Tiers::settle(&self.tiers),
            record: RecordSettings { sync: Settled::new(self.sync).expect(complete).value() },
            approvals: ApprovalSettings {
                patience: Settled::new(self.patience).expect(complete).value().0,
            },
            limits: self.limits.settle(),
            profile: profile.to_owned(),
            canonical,
        })
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
    out
}
