//! May this tool of an MCP server be called?
//!
//! A tool runs where its server does. A server that the session starts itself is
//! contained by the boundary, whatever its tools do; what a remote one does is
//! done elsewhere, and only a rule about the call stands before it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::attempt::Attempt;
use crate::grant::{Choice, Grant, Grants};
use crate::layers::{Decision, Said, Settled, rule};
use crate::network::path::fits;
use crate::show;
use crate::verdict::{Permit, Question, Refusal, Verdict};

/// A call of a tool, as a client sends it to an MCP server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ToolCall {
    /// The server's name in the agent's settings.
    pub server: String,
    pub tool: String,
    /// The arguments by name: a text as it is, anything else as JSON without
    /// whitespace.
    pub arguments: BTreeMap<String, String>,
}

impl Attempt for ToolCall {
    fn summary(&self) -> String {
        format!("call `{}` of `{}`", show::line(&self.tool), show::line(&self.server))
    }

    fn grant(&self, choice: Choice) -> Option<Grant> {
        (choice == Choice::Session).then(|| Grant::Tool(self.clone()))
    }
}

/// Which calls a rule is about, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct ToolRule {
    pub(crate) decision: Decision,
    pub(crate) server: String,
    /// Names in which `*` is any text; never empty.
    pub(crate) tools: Vec<String>,
    /// Arguments that are given, each with what it may be; `*` is any text.
    pub(crate) arguments: BTreeMap<String, Vec<String>>,
}

impl ToolRule {
    /// Whether it is about this call. A restriction does not mind capitals: servers
    /// differ in whether they do.
    pub(crate) fn applies(&self, call: &ToolCall) -> bool {
        let given = |(name, wanted): (&String, &Vec<String>)| {
            call.arguments.get(name).is_some_and(|value| wanted.iter().any(|w| self.is(w, value)))
        };
        self.names(call) && self.arguments.iter().all(given)
    }

    /// The same whatever its arguments are.
    pub(crate) fn names(&self, call: &ToolCall) -> bool {
        self.is(&self.server, &call.server)
            && self.tools.iter().any(|tool| self.is(tool, &call.tool))
    }

    fn is(&self, wanted: &str, found: &str) -> bool {
        match self.decision {
            Decision::Allow => fits(wanted.as_bytes(), found.as_bytes()),
            Decision::Ask | Decision::Refuse => {
                fits(wanted.to_lowercase().as_bytes(), found.to_lowercase().as_bytes())
            }
        }
    }
}

impl fmt::Display for ToolRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tool {} {}", self.server, self.tools.join("|"))?;
        for (name, values) in &self.arguments {
            write!(f, " {name}={}", values.join("|"))?;
        }
        Ok(())
    }
}

/// The tool side of a policy.
#[derive(Debug)]
pub(crate) struct Tools {
    default: Settled<Decision>,
    /// By the server's name in small letters; under `*` those with a pattern.
    rules: HashMap<String, Vec<Said<ToolRule>>>,
}

const ANY: &str = "*";

impl Tools {
    pub(crate) fn new(default: Settled<Decision>, said: Vec<Said<ToolRule>>) -> Self {
        let mut rules = HashMap::<_, Vec<_>>::new();
        for rule in said {
            let server = &rule.value.server;
            let key = if server.contains('*') { ANY.to_owned() } else { server.to_lowercase() };
            rules.entry(key).or_default().push(rule);
        }
        Self { default, rules }
    }

    pub(crate) fn call(&self, attempt: ToolCall, grants: &Grants) -> Verdict<ToolCall> {
        let keys = [attempt.server.to_lowercase(), ANY.to_owned()];
        let about = keys.iter().filter_map(|key| self.rules.get(key)).flatten();
        let about = about.filter(|said| said.value.applies(&attempt));
        let ruling =
            rule(&self.default, about.map(|said| (said.value.decision, said.force, &said.basis)));
        match ruling.decision {
            Decision::Allow => Verdict::Allow(Permit::new(attempt, ruling.basis.clone())),
            Decision::Ask if grants.cover(&attempt) => {
                Verdict::Allow(Permit::new(attempt, crate::Basis::granted()))
            }
            Decision::Ask => Verdict::Ask(Question::new(attempt, ruling.basis.clone())),
            Decision::Refuse => Verdict::Refuse(Refusal {
                attempt: attempt.summary(),
                basis: ruling.basis.clone(),
                instead: (ruling.basis.justification.is_none())
                    .then(|| format!("other tools of `{}`", show::line(&attempt.server))),
                note: None,
            }),
        }
    }
}
