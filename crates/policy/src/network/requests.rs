//! May this request be sent, and how is its connection to be treated?
//!
//! A permission of some requests permits their connection, or none of them could
//! be seen; then each request is judged, by every reading of it. Restrictions of
//! requests leave the connection alone and have it inspected. A person's yes to a
//! connection covers what is sent on it, but for what policy says about requests.

use std::collections::BTreeSet;

use crate::attempt::{Attempt as _, Connect};
use crate::basis::{Basis, Layer};
use crate::data::{Cache, Patterns, Web};
use crate::grant::Grants;
use crate::layers::{Decision, Force, rule};
use crate::network::scope::Read;
use crate::network::{Network, Say, Statement, canonical};
use crate::pattern::Hit;
use crate::request::{Handling, Request};
use crate::verdict::{Permit, Question, Refusal, Verdict};

/// Methods that only read, in the one way they are spelt.
///
/// SOURCE: RFC 9110 §9.2.1; TRACE echoes what was sent, and nobody needs it.
const READING: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// What decides about one request.
struct Decided {
    decision: Decision,
    basis: Basis,
}

impl Network {
    /// Judges a request on a connection that was permitted: by policy, or by a
    /// person, whose yes then covers what the policy does not single out.
    pub(crate) fn request(&self, attempt: Request, grants: &Grants) -> Verdict<Request> {
        let attempt = Request { connect: canonical(attempt.connect.clone()), ..attempt };
        let Decided { decision, basis } = self.decide(&attempt);
        match decision {
            Decision::Allow => Verdict::Allow(Permit::new(attempt, basis)),
            Decision::Ask if grants.cover(&attempt) => {
                Verdict::Allow(Permit::new(attempt, Basis::granted()))
            }
            Decision::Ask => Verdict::Ask(Question::new(attempt, basis)),
            Decision::Refuse => Verdict::Refuse(Refusal {
                attempt: attempt.summary(),
                instead: self.instead_of(&attempt, &basis),
                basis,
                note: None,
            }),
        }
    }

    /// See [`crate::Policy::is_settled_by_a_choice`].
    pub(crate) fn is_request_settled_by_a_choice(&self, attempt: &Request) -> bool {
        let connect = canonical(attempt.connect.clone());
        let Decided { decision, basis } = self.decide(&Request { connect, ..attempt.clone() });
        decision == Decision::Ask && basis == *self.default.basis()
    }

    /// How a permitted connection is to be treated.
    pub(crate) fn handling(&self, permitted: &Connect) -> Handling {
        let permitted = canonical(permitted.clone());
        let refused = self.judge(&permitted).decision() == Decision::Refuse;
        let (about, _) = self.decisions(&permitted);
        let restricted = about.iter().any(|(decision, statement)| {
            *decision != Decision::Allow && !statement.scope.is_about_connections()
        });
        let agents = needed(&about);
        let by_data = !agents && (self.data.web > Web::Full || self.data.cache == Cache::Only);
        let for_some = allows_some(&about) && !self.allows_all(&about);
        let requests_only = restricted || for_some || by_data || refused;
        let inspect = requests_only || self.inspects(&permitted);
        Handling {
            inspect,
            requests_only,
            opaque: !inspect && self.says(&permitted, Say::Opaque),
            ssh: self.ssh(&permitted),
            agents: self.is_agents(&permitted),
            search: self.data.patterns == Patterns::Ask && !self.is_agents(&permitted),
            cache: self.cache(&permitted),
        }
    }

    /// Whether whatever goes there is what the agent cannot work without. A need of
    /// some requests does not speak for the others.
    pub(crate) fn is_agents(&self, connect: &Connect) -> bool {
        let (about, _) = self.decisions(&canonical(connect.clone()));
        about.iter().any(|(decision, statement)| {
            *decision == Decision::Allow
                && statement.is_agents()
                && statement.scope.is_about_connections()
        })
    }

    /// Whether any statement could have TLS inspected.
    pub(crate) fn inspects_anything(&self) -> bool {
        let by_statement = |statement: &Statement| match statement.say {
            Say::Inspect | Say::Ssh => true,
            Say::Decide(_) => !statement.scope.is_about_connections(),
            _ => false,
        };
        self.data.web > Web::Full
            || self.data.cache == Cache::Only
            || self.statements.iter().any(by_statement)
    }

    /// The least cap of those on what goes to this host, and what set it.
    pub(crate) fn upload_caps(&self, connect: &Connect) -> Vec<(u64, &Basis)> {
        let connect = canonical(connect.clone());
        let mut caps = Vec::new();
        let mut consider = |hit: Hit| {
            let statement = &self.statements[hit.statement];
            if let Say::Upload(bytes) = statement.say
                && statement.scope.may_have_program(connect.program.as_deref())
            {
                caps.push((bytes, &statement.basis));
            }
        };
        self.visit(&connect, &mut consider);
        self.visit_carried(&connect, &mut consider);
        caps
    }

    /// The most binding statement that leads around a proxy.
    pub(crate) fn direct(&self, connect: &Connect) -> Option<Force> {
        let connect = canonical(connect.clone());
        let mut force = None;
        self.visit(&connect, |hit| {
            let statement = &self.statements[hit.statement];
            if statement.say == Say::Direct {
                force = force.max(Some(statement.force));
            }
        });
        force
    }

    /// How answers to requests on this connection are kept.
    pub(crate) fn cache(&self, connect: &Connect) -> Cache {
        let (about, _) = self.decisions(&canonical(connect.clone()));
        if needed(&about) { Cache::Off } else { self.data.cache }
    }

    fn decide(&self, attempt: &Request) -> Decided {
        let connection = self.judge(&attempt.connect);
        let answered = match connection.decision() {
            Decision::Refuse => {
                return Decided { decision: Decision::Refuse, basis: connection.into_basis() };
            }
            Decision::Ask => true,
            Decision::Allow => false,
        };
        let Some(read) = Read::of(attempt) else {
            let basis = Basis::built_in("network: a path that can be read in too many ways");
            return Decided { decision: Decision::Refuse, basis };
        };
        let (about, _) = self.decisions(&attempt.connect);
        if let Some(basis) = self.not_reading(&read, &about) {
            return Decided { decision: Decision::Refuse, basis: basis.clone() };
        }
        let restrictions = about.iter().filter(|(decision, statement)| {
            let scope = &statement.scope;
            let of_connections = scope.is_about_connections() && !answered;
            *decision != Decision::Allow
                && (of_connections || scope.is_about_requests() && scope.restricts(&read))
        });
        let restrictions: Vec<_> = restrictions.map(ruled).collect();
        if answered && !allows_some(&about) {
            return Self::on_an_answered_connection(&restrictions);
        }
        let permissions: Vec<_> =
            about.iter().filter(|(decision, _)| *decision == Decision::Allow).collect();
        let rulings = read.each().map(|reading| {
            let permits = |(_, statement): &&&(Decision, &Statement)| {
                statement.scope.permits(read.scheme, &reading)
            };
            let permitted = permissions.iter().filter(permits).map(|said| ruled(said));
            rule(&self.default, restrictions.iter().copied().chain(permitted))
        });
        let strictest = rulings.max_by_key(|ruling| ruling.decision);
        // A request has at least the reading that came.
        let ruling = strictest.unwrap_or_else(|| rule(&self.default, restrictions));
        Decided { decision: ruling.decision, basis: ruling.basis.clone() }
    }

    /// Whether somebody permits whatever these hosts are reached for.
    fn allows_all(&self, about: &[(Decision, &Statement)]) -> bool {
        let whole = about.iter().filter(|(decision, statement)| {
            *decision == Decision::Allow && statement.scope.is_about_connections()
        });
        rule(&self.default, whole.map(ruled)).decision == Decision::Allow
    }

    /// What a person's yes to the connection does not cover.
    fn on_an_answered_connection(restrictions: &[(Decision, Force, &Basis)]) -> Decided {
        match restrictions.iter().max_by_key(|(decision, force, _)| (*decision, *force)) {
            Some((decision, _, basis)) => Decided { decision: *decision, basis: (*basis).clone() },
            None => {
                let basis = Basis {
                    layer: Layer::Answer,
                    ..Basis::built_in("allowed with its connection")
                };
                Decided { decision: Decision::Allow, basis }
            }
        }
    }

    /// The data rule that refuses a request which does more than read.
    fn not_reading(&self, read: &Read, about: &[(Decision, &Statement)]) -> Option<&Basis> {
        let reads = || read.methods.iter().all(|method| READING.contains(&method.as_str()));
        let agents = || {
            about.iter().any(|(decision, statement)| {
                *decision == Decision::Allow
                    && statement.is_agents()
                    && read.is_within(&statement.scope)
            })
        };
        (self.data.web == Web::ReadOnly && !reads() && !agents()).then_some(&self.data.web_basis)
    }

    /// Whether a statement has TLS inspected that no `pass_through` of the same
    /// force or more takes back.
    ///
    /// INVARIANT: a project's cannot be taken back; it is judged last.
    fn inspects(&self, permitted: &Connect) -> bool {
        let (mut inspect, mut pass, mut alleged) = (None, None, false);
        let mut consider = |hit: Hit| {
            let Statement { say, force, .. } = &self.statements[hit.statement];
            match say {
                Say::Inspect => {
                    alleged |= *force == Force::Allegation;
                    inspect = inspect.max(Some(*force));
                }
                Say::PassThrough => pass = pass.max(Some(*force)),
                _ => {}
            }
        };
        self.visit(permitted, &mut consider);
        alleged || inspect > pass
    }

    /// The commands that may be run over SSH, if any statement says so: those
    /// that anybody names, and of the system's statements one, if there are any.
    fn ssh(&self, permitted: &Connect) -> Option<BTreeSet<String>> {
        let program = permitted.program.as_deref();
        let (mut bounds, mut named) = (None::<BTreeSet<String>>, None::<BTreeSet<String>>);
        self.visit(permitted, |hit| {
            let statement = &self.statements[hit.statement];
            let Some(commands) = &statement.scope.ssh else { return };
            if statement.say != Say::Ssh || !statement.scope.may_have_program(program) {
                return;
            }
            let commands = commands.iter().filter(|_| statement.scope.has_program(program));
            let said: Vec<_> = commands.cloned().collect();
            if statement.force == Force::Requirement {
                bounds.get_or_insert_default().extend(said.clone());
            }
            named.get_or_insert_default().extend(said);
        });
        match bounds {
            Some(bounds) => named.map(|named| named.intersection(&bounds).cloned().collect()),
            None => named,
        }
    }

    fn instead_of(&self, attempt: &Request, basis: &Basis) -> Option<String> {
        if basis == &self.data.web_basis && self.data.web == Web::ReadOnly {
            return Some("requests that only read: GET, HEAD and OPTIONS".to_owned());
        }
        let (about, _) = self.decisions(&attempt.connect);
        let allowed: Vec<_> = about
            .iter()
            .filter(|(decision, s)| *decision == Decision::Allow && s.scope.is_about_requests())
            .map(|(_, statement)| statement.scope.to_string().trim().to_owned())
            .take(3)
            .collect();
        (!allowed.is_empty()).then(|| format!("of this host: {}", allowed.join("; ")))
    }
}

/// Whether somebody permits some of what these hosts are reached for, so that it
/// has to be seen.
fn allows_some(about: &[(Decision, &Statement)]) -> bool {
    about.iter().any(|(decision, statement)| {
        *decision == Decision::Allow && !statement.scope.is_about_connections()
    })
}

/// Whether the agent needs something of these hosts.
fn needed(about: &[(Decision, &Statement)]) -> bool {
    about.iter().any(|(decision, statement)| *decision == Decision::Allow && statement.is_agents())
}

fn ruled<'p>(&(decision, statement): &(Decision, &'p Statement)) -> (Decision, Force, &'p Basis) {
    (decision, statement.force, &statement.basis)
}
