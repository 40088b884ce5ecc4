//! May this host be reached?
//!
//! A connection is judged by the name that was looked up, or by the address if
//! it was given literally; then each address the name really has is judged again
//! before it is dialled. What is not public is refused unless the policy names
//! it: by its address or a range of its kind, as `localhost`, or, for the
//! answers of a name, by calling the name internal.

pub(crate) mod path;
pub(crate) mod presets;
pub(crate) mod programs;
pub(crate) mod requests;
pub(crate) mod scope;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::address::{self, Special};
use crate::attempt::{Attempt as _, Connect};
use crate::basis::{Basis, Layer};
use crate::data::DataRules;
use crate::grant::Grants;
use crate::host::Host;
use crate::layers::{Decision, Force, Ruling, Said, Settled, rule};
use crate::network::scope::Scope;
use crate::pattern::{Hit, HostPattern, Index};
use crate::verdict::{Permit, Question, Refusal, Verdict};

/// What a statement says about its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Decide(Decision),
    /// Their names may lead to private, shared and loopback addresses.
    Internal,
    /// TLS to them is ended here and begun anew.
    Inspect,
    /// They are not inspected for the sake of a statement that binds no more.
    PassThrough,
    /// What cannot be named passes.
    Opaque,
    /// They are dialled directly, not by way of a proxy.
    Direct,
    /// SSH to them may run certain commands only.
    Ssh,
    /// At most so many bytes go to them in a session.
    Upload(u64),
}

/// One statement about hosts.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) say: Say,
    pub(crate) hosts: HostPattern,
    pub(crate) scope: Scope,
}

impl About {
    /// A statement about everything that the hosts are reached for.
    pub(crate) fn whole(say: Say, hosts: HostPattern) -> Self {
        Self { say, hosts, scope: Scope::default() }
    }
}

/// The network side of a policy.
#[derive(Debug)]
pub(crate) struct Network {
    default: Settled<Decision>,
    pub(crate) data: DataRules,
    statements: Vec<Statement>,
    index: Index,
    /// The hosts whose SSH commands are judged, as OpenSSH lists known hosts.
    ssh_hosts: BTreeSet<String>,
    /// The first few hosts that are allowed, in words.
    offer: Option<String>,
}

#[derive(Debug)]
struct Statement {
    say: Say,
    scope: Scope,
    force: Force,
    basis: Basis,
}

impl Statement {
    /// Whether it is what the agent cannot work without.
    fn is_agents(&self) -> bool {
        self.force == Force::Requirement && self.basis.layer == Layer::BuiltIn
    }
}

impl Network {
    pub(crate) fn new(default: Settled<Decision>, data: DataRules, said: Vec<Said<About>>) -> Self {
        let mut index = Index::default();
        let mut statements = Vec::with_capacity(said.len());
        let offer = offer(&default, &said);
        let mut ssh_hosts = BTreeSet::new();
        for Said { value: About { say, hosts, scope }, force, basis } in said {
            ssh_hosts.extend(scope.ssh.as_ref().and_then(|_| hosts.known_hosts()));
            index.insert(&hosts, statements.len());
            statements.push(Statement { say, scope, force, basis });
        }
        Self { default, data, statements, index, ssh_hosts, offer }
    }

    pub(crate) fn ssh_hosts(&self) -> &BTreeSet<String> {
        &self.ssh_hosts
    }

    pub(crate) fn data(&self) -> &DataRules {
        &self.data
    }

    /// Adds what the paths of programs lead to; nothing is permitted for the sake of
    /// one that `is_writable` says the session could write.
    pub(crate) fn follow(
        &mut self,
        target: impl Fn(&Path) -> Option<PathBuf>,
        is_writable: impl Fn(&Path) -> bool,
    ) {
        for statement in &mut self.statements {
            let permits = statement.say == Say::Decide(Decision::Allow);
            let safe = |path: &Path| target(path).filter(|to| !permits || !is_writable(to));
            if let Some(programs) = &mut statement.scope.programs {
                programs.follow(safe);
            }
        }
    }

    pub(crate) fn connect(&self, attempt: Connect, grants: &Grants) -> Verdict<Connect> {
        let attempt = canonical(attempt);
        let judged = self.judge(&attempt);
        match judged.decision() {
            Decision::Allow => Verdict::Allow(Permit::new(attempt, judged.into_basis())),
            Decision::Ask if grants.cover(&attempt) => {
                Verdict::Allow(Permit::new(attempt, Basis::granted()))
            }
            Decision::Ask => Verdict::Ask(Question::new(attempt, judged.into_basis())),
            Decision::Refuse => Verdict::Refuse(Refusal {
                attempt: attempt.summary(),
                instead: self.instead(&judged),
                basis: judged.into_basis(),
                note: None,
            }),
        }
    }

    /// See [`crate::Policy::is_settled_by_a_choice`].
    pub(crate) fn is_connection_settled_by_a_choice(&self, attempt: &Connect) -> bool {
        let attempt = canonical(attempt.clone());
        let judged = self.judge(&attempt);
        judged.decision() == Decision::Ask && judged.ruling.by_default
    }

    /// Judges one address that a permitted connection would be dialled at.
    pub(crate) fn address(&self, permitted: &Connect, answer: IpAddr) -> Result<(), Refusal> {
        let permitted = canonical(permitted.clone());
        let there =
            Connect { host: Host::Address(address::canonical(answer)), ..permitted.clone() };
        let refuse = |basis: Basis, instead: Option<&str>| {
            Err(Refusal {
                attempt: match &permitted.host {
                    Host::Name(_) => format!("{} at `{there}`", permitted.summary()),
                    Host::Address(_) => there.summary(),
                },
                basis,
                instead: instead.map(str::to_owned),
                note: None,
            })
        };
        if matches!(permitted.host, Host::Address(_)) && permitted != there {
            return refuse(Basis::built_in("network: only the address that was judged"), None);
        }
        // Asked of the statements and not of the ruling, where a refusing default,
        // which is about names, could stand before a `deny` of this address.
        let literal = matches!(permitted.host, Host::Address(_));
        if let Some(basis) = self.denied(&there, literal) {
            return refuse(basis.clone(), None);
        }
        let judged = self.judge(&there);
        let Host::Address(answer) = there.host else {
            return Ok(());
        };
        let Some(kind) = address::special(answer) else {
            return Ok(());
        };
        let reachable = match &permitted.host {
            Host::Address(_) => judged.decision() != Decision::Refuse,
            Host::Name(_) if is_localhost(&permitted.host) => {
                kind == Special::Loopback && self.judge(&permitted).decision() != Decision::Refuse
            }
            Host::Name(_) => {
                // A name that somebody said yes to is not thereby one that leads inside.
                let standing = self.judge(&permitted).decision() == Decision::Allow;
                (standing && judged.decision() == Decision::Allow)
                    || (self.is_internal(&permitted) && may_be_internal(answer, kind))
            }
        };
        if reachable {
            return Ok(());
        }
        refuse(
            not_public(kind),
            Some("a host whose address is public, or one in `network.internal`"),
        )
    }

    /// A permission of some requests permits the connection, or none of them
    /// could be seen. A restriction of some leaves it to them.
    pub(crate) fn judge(&self, attempt: &Connect) -> Judged<'_> {
        let (about, inside) = self.decisions(attempt);
        let about = about.into_iter().filter(|(decision, statement)| {
            *decision == Decision::Allow || statement.scope.is_about_connections()
        });
        let ruling = rule(&self.default, about.map(|(decision, s)| (decision, s.force, &s.basis)));
        Judged { ruling, inside }
    }

    /// The statements that decide about this connection or requests on it, and
    /// what the host is for if it is not public and nothing names it. A restriction
    /// is about a program that is not known, a permission is not.
    fn decisions(&self, attempt: &Connect) -> (Vec<(Decision, &Statement)>, Option<Special>) {
        let program = attempt.program.as_deref();
        let special = match &attempt.host {
            Host::Address(address) => address::special(*address),
            Host::Name(_) => is_localhost(&attempt.host).then_some(Special::Loopback),
        };
        let mut about = Vec::new();
        let mut named = special.is_none();
        self.visit(attempt, |hit| {
            let statement = &self.statements[hit.statement];
            let Say::Decide(decision) = statement.say else {
                return;
            };
            let is_about = match decision {
                Decision::Allow => statement.scope.has_program(program),
                Decision::Ask | Decision::Refuse => statement.scope.may_have_program(program),
            };
            if !is_about {
                return;
            }
            let opens = decision == Decision::Allow
                || decision == Decision::Ask && statement.scope.is_about_connections();
            named |= hit.direct && opens && statement.force != Force::Allegation;
            if decision != Decision::Allow || special.is_none() || hit.direct {
                about.push((decision, statement));
            }
        });
        self.visit_carried(attempt, |hit| {
            let statement = &self.statements[hit.statement];
            match statement.say {
                Say::Decide(decision)
                    if decision != Decision::Allow && statement.scope.may_have_program(program) =>
                {
                    about.push((decision, statement));
                }
                _ => {}
            }
        });
        (about, special.filter(|_| !named))
    }

    fn is_internal(&self, attempt: &Connect) -> bool {
        self.says(attempt, Say::Internal)
    }

    fn says(&self, attempt: &Connect, say: Say) -> bool {
        let mut says = false;
        self.visit(attempt, |hit| says |= self.statements[hit.statement].say == say);
        says
    }

    /// What denies this address, or one that it carries. A statement that denies
    /// some requests denies it whole where a name led to it: requests are judged
    /// by the host that they are for, not by where it leads.
    fn denied(&self, attempt: &Connect, literal: bool) -> Option<&Basis> {
        let program = attempt.program.as_deref();
        let mut denied = None;
        let mut consider = |hit: Hit| {
            let statement = &self.statements[hit.statement];
            if statement.say == Say::Decide(Decision::Refuse)
                && statement.scope.may_have_program(program)
                && (statement.scope.is_about_connections() || !literal)
            {
                denied = Some(&statement.basis);
            }
        };
        self.visit(attempt, &mut consider);
        self.visit_carried(attempt, &mut consider);
        denied
    }

    fn visit(&self, attempt: &Connect, found: impl FnMut(Hit)) {
        self.index.visit(&attempt.host, attempt.port, found);
    }

    /// What is said about an address also restricts those that lead to it.
    fn visit_carried(&self, attempt: &Connect, mut found: impl FnMut(Hit)) {
        let Host::Address(address) = attempt.host else {
            return;
        };
        for carried in address::carried(address) {
            self.index.visit(&Host::Address(IpAddr::V4(carried)), attempt.port, &mut found);
        }
    }

    fn instead(&self, judged: &Judged<'_>) -> Option<String> {
        match (judged.inside, &self.offer) {
            (Some(_), _) => Some(
                "hosts whose addresses are public; this one only if `network.allow` names it"
                    .to_owned(),
            ),
            (None, Some(offer)) => Some(offer.clone()),
            (None, None) if judged.ruling.by_default => {
                Some("work without the network; no host is allowed".to_owned())
            }
            (None, None) => None,
        }
    }
}

/// How a connection is decided: by what was said about it, unless it leads
/// inside and nothing names it.
pub(crate) struct Judged<'p> {
    ruling: Ruling<'p>,
    inside: Option<Special>,
}

impl Judged<'_> {
    pub(crate) fn decision(&self) -> Decision {
        if self.inside.is_some() { Decision::Refuse } else { self.ruling.decision }
    }

    /// A refusal that somebody wrote about this very host outranks the general one.
    fn refusing_statement(&self) -> Option<&Basis> {
        let stated = self.ruling.decision == Decision::Refuse && !self.ruling.by_default;
        stated.then_some(self.ruling.basis)
    }

    pub(crate) fn into_basis(self) -> Basis {
        match self.inside {
            Some(kind) if self.refusing_statement().is_none() => not_public(kind),
            _ => self.ruling.basis.clone(),
        }
    }
}

fn not_public(kind: Special) -> Basis {
    Basis::built_in(format!("network: {kind}"))
}

pub(crate) fn canonical(attempt: Connect) -> Connect {
    match attempt.host {
        Host::Address(address) => {
            Connect { host: Host::Address(address::canonical(address)), ..attempt }
        }
        Host::Name(_) => attempt,
    }
}

/// Whether what goes there does not leave the machine.
pub(crate) fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(_) => is_localhost(host),
        Host::Address(address) => address::special(*address) == Some(Special::Loopback),
    }
}

/// SOURCE: RFC 6761 §6.3: `localhost` and all below it are loopback.
fn is_localhost(host: &Host) -> bool {
    let Host::Name(name) = host else { return false };
    name.as_str().rsplit('.').next() == Some("localhost")
}

/// An internal name leads to where services are. It does not lead to the
/// metadata service of a cloud (link-local), nor through a tunnel.
fn may_be_internal(address: IpAddr, kind: Special) -> bool {
    matches!(kind, Special::Private | Special::Shared | Special::Loopback)
        && address::carried(address).is_empty()
}

/// The first few hosts that a permitting statement names and that are judged so.
fn offer(default: &Settled<Decision>, said: &[Said<About>]) -> Option<String> {
    const SHOWN: usize = 4;
    let mut allowed: Vec<_> = said
        .iter()
        .filter(|s| s.value.say == Say::Decide(Decision::Allow) && s.force != Force::Allegation)
        .filter(|s| default.binding(Decision::Refuse, s.force).is_none())
        .collect();
    // Strangers to the agent first: it knows its own hosts.
    allowed.sort_by_key(|s| s.basis.origin.is_none());
    let hosts: Vec<_> =
        allowed.iter().take(SHOWN).map(|s| format!("`{}`", s.value.hosts)).collect();
    let more = match allowed.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!hosts.is_empty()).then(|| format!("hosts in `network.allow`: {}{more}", hosts.join(", ")))
}
