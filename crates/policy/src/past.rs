//! An attempt of the past, judged as if it were tried now.

use std::path::PathBuf;

use crate::attempt::{Attempt, Connect, Exec};
use crate::basis::{Basis, Layer};
use crate::grant::{Choice, Grant, Grants};
use crate::layers::Decision;
use crate::policy::Policy;
use crate::request::Request;
use crate::verdict::Verdict;

/// What was tried, as completely as its verdict can depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tried {
    Exec(Box<Exec>),
    Connect(Connect),
    /// A connection to a server of the session's own, on its own loopback.
    Inside(Connect),
    Request(Box<Request>),
}

/// What a policy says to it, before anybody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    pub decision: Decision,
    pub basis: Basis,
}

impl Ruled {
    /// Whether an earlier yes in the same session decided.
    pub fn is_granted(&self) -> bool {
        self.decision == Decision::Allow && self.basis.layer == Layer::Answer
    }
}

impl Tried {
    pub fn judge(&self, policy: &Policy, grants: &Grants) -> Ruled {
        match self.clone() {
            Self::Exec(exec) => ruled(policy.exec(*exec, grants)),
            Self::Connect(connect) => ruled(policy.connect(connect, grants)),
            Self::Inside(connect) => ruled(policy.connect_inside(connect)),
            Self::Request(request) => ruled(policy.request(*request, grants)),
        }
    }

    /// In words for a person, escaped for a terminal.
    pub fn summary(&self) -> String {
        self.attempt().summary()
    }

    /// What a yes of this choice covers beyond this one time.
    pub fn grant(&self, choice: Choice) -> Option<Grant> {
        self.attempt().grant(choice)
    }

    /// The program that tried it, or that was tried.
    pub fn program(&self) -> Option<&PathBuf> {
        match self {
            Self::Exec(exec) => exec.program.as_ref(),
            Self::Connect(connect) | Self::Inside(connect) => connect.program.as_ref(),
            Self::Request(request) => request.connect.program.as_ref(),
        }
    }

    fn attempt(&self) -> &dyn Attempt {
        match self {
            Self::Exec(exec) => exec.as_ref(),
            Self::Connect(connect) | Self::Inside(connect) => connect,
            Self::Request(request) => request.as_ref(),
        }
    }
}

/// A verdict as words that outlive its permit.
pub fn ruled<A: Attempt>(verdict: Verdict<A>) -> Ruled {
    match verdict {
        Verdict::Allow(permit) => {
            Ruled { decision: Decision::Allow, basis: permit.basis().clone() }
        }
        Verdict::Ask(question) => {
            Ruled { decision: Decision::Ask, basis: question.basis().clone() }
        }
        Verdict::Refuse(refusal) => Ruled { decision: Decision::Refuse, basis: refusal.basis },
    }
}
