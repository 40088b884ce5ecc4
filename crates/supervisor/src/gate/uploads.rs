//! What looks like a secret in a body, as the gate sees it.

use remit_audit::{Kind, Text, Tried, event};
use remit_policy::{Attempt as _, Basis, Grants, Policy, Upload, Verdict};

use super::{Recorded, label};
use crate::process::Facts;

impl Recorded for Upload {
    const TRIED: Tried = Tried::Upload;

    fn judge(self, policy: &Policy, grants: &Grants) -> Verdict<Self> {
        policy.upload(self, grants)
    }

    fn event(&self, facts: &Facts, verdict: event::Verdict, basis: Basis, attempt: u64) -> Kind {
        Kind::Upload {
            process: facts.event(),
            destination: self.request.connect.to_string(),
            method: Text::from(self.request.method.as_str()),
            path: Text::from(self.request.target.path()),
            looks_like: self.what.to_owned(),
            verdict,
            basis,
            attempt,
        }
    }

    fn detail(&self) -> Vec<Text> {
        vec![Text::from(format!("{} in {}", self.what, self.request.summary()).as_str())]
    }

    fn particulars(&self, facts: &Facts) -> Vec<(String, String)> {
        let mut told = vec![label("in", "the body of this request")];
        told.extend(self.request.particulars(facts));
        told
    }
}
