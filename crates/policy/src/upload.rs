//! What looks like a secret, about to leave in the body of a request.

use crate::attempt::Attempt;
use crate::basis::Basis;
use crate::data::Patterns;
use crate::grant::{Choice, Grant, Grants};
use crate::layers::Decision;
use crate::network::{Network, canonical};
use crate::request::Request;
use crate::verdict::{Permit, Question, Refusal, Verdict};

/// A body that goes on only with a permit, because of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The request, which was permitted.
    pub request: Request,
    /// What it looks like, such as `a GitHub token`: a kind, never what was found.
    pub what: &'static str,
}

impl Attempt for Upload {
    fn summary(&self) -> String {
        format!("send what looks like {} to `{}`", self.what, self.request.connect)
    }

    fn grant(&self, choice: Choice) -> Option<Grant> {
        (choice == Choice::Session).then(|| self.into())
    }
}

impl Network {
    /// Judges what was found in a body. A yes is to this kind and this host and port.
    pub(crate) fn upload(&self, attempt: Upload, grants: &Grants) -> Verdict<Upload> {
        let connect = canonical(attempt.request.connect.clone());
        let judged = self.judge(&connect);
        if judged.decision() == Decision::Refuse {
            return Verdict::Refuse(Refusal {
                attempt: attempt.summary(),
                basis: judged.into_basis(),
                instead: None,
                note: None,
            });
        }
        let basis = self.data.patterns_basis.clone();
        if self.is_agents(&connect) {
            let basis = Basis::built_in("network: what the agent tells its model is not searched");
            return Verdict::Allow(Permit::new(attempt, basis));
        }
        match self.data.patterns {
            Patterns::Off => Verdict::Allow(Permit::new(attempt, basis)),
            Patterns::Ask if grants.cover(&attempt) => {
                Verdict::Allow(Permit::new(attempt, Basis::granted()))
            }
            Patterns::Ask => Verdict::Ask(Question::new(attempt, basis)),
        }
    }
}
