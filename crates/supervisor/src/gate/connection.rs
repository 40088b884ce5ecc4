//! What the proxy asks and tells of a connection, and how it comes to the gate.

use std::net::IpAddr;
use std::sync::Arc;

use remit_audit::{Kind, Text, event};
use remit_policy::{
    Attempt as _, Basis, Connect, Handling, Host, Permit, Port, Refusal, Request, Upload, Verdict,
};
use remit_proxy::{Answered, Caps, Carried, Fact, Requested, Way};
use tokio::sync::oneshot;

use super::{Gate, Judged, Recorded};
use crate::live::Standing;
use crate::process::Facts;

/// One captured connection, as the proxy sees the gate.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) gate: Arc<Gate>,
    pub(crate) attempt: u64,
    pub(crate) facts: Facts,
    pub(crate) standing: Arc<Standing>,
}

impl Connection {
    /// Writes down what is said to something tried on this connection, asking if need
    /// be. If this is dropped meanwhile, the question is withdrawn.
    async fn admitted<A>(
        &self,
        summary: String,
        detail: Vec<Text>,
        verdict: Verdict<A>,
    ) -> Result<(u64, Permit<A>), Refusal>
    where
        A: Recorded + Send + 'static,
    {
        let unwritten = || Refusal {
            attempt: summary,
            basis: Basis::built_in("evidence: what cannot be written down is refused"),
            instead: None,
            note: None,
        };
        match self.gate.conclude(&self.facts, detail, verdict) {
            Ok(Judged::Permitted { attempt, permit }) => Ok((attempt, permit)),
            Ok(Judged::Refused { refusal, .. }) => Err(refusal),
            Ok(Judged::Asked(asked)) => {
                let attempt = asked.attempt;
                let (mut verdict, pending) = oneshot::channel();
                let gate = Arc::clone(&self.gate);
                tokio::spawn(async move {
                    let outcome = gate.settle_unless(*asked, verdict.closed()).await;
                    let _ = verdict.send(outcome);
                });
                let outcome = pending.await.unwrap_or_else(|_| Err(unwritten()));
                outcome.map(|permit| (attempt, permit))
            }
            Err(_) => Err(unwritten()),
        }
    }
}

// A record that fails in one of these ends the session; nothing was permitted
// on the strength of it.
impl remit_proxy::Gate for Connection {
    fn address(&self, permitted: &Connect, answer: IpAddr) -> Result<(), Refusal> {
        self.standing.address(&self.gate, permitted, answer)
    }

    fn way(&self, permitted: &Connect) -> Way {
        self.gate.way(permitted)
    }

    fn handling(&self, permitted: &Connect) -> Handling {
        self.standing.terms(&self.gate, permitted).handling.clone()
    }

    fn caps(&self, permitted: &Connect) -> Caps {
        self.standing.terms(&self.gate, permitted).caps.clone()
    }

    async fn connect(&self, host: Host, port: Port) -> Result<(Self, Permit<Connect>), Refusal> {
        let tried = Connect { host, port, program: Some(self.facts.program.clone()) };
        let (summary, detail) = (tried.summary(), tried.detail());
        let standing = Arc::new(Standing::new(self.gate.policy()));
        let verdict = self.gate.judge_proxied(tried);
        let (attempt, permit) = self.admitted(summary, detail, verdict).await?;
        standing.permitted(&permit);
        Ok((Self { attempt, standing, ..self.clone() }, permit))
    }

    async fn request(&self, request: Request) -> Result<Requested, Refusal> {
        let (summary, detail) = (request.summary(), request.detail());
        // Before the verdict, so that no change of the policy falls in between.
        let since = self.gate.policy();
        let verdict = self.gate.judge(request);
        let (number, permit) = self.admitted(summary, detail.clone(), verdict).await?;
        if let Err(refusal) = self.standing.begins(&self.gate, &since, number, &permit) {
            let _ = self.gate.record_refusal::<Request>(&self.facts, number, detail, &refusal);
            return Err(refusal);
        }
        Ok(Requested { number, permit })
    }

    fn answered(&self, number: u64, answered: Answered) {
        self.standing.answered(number);
        let Answered { status, sent, received } = answered;
        let _ = self.gate.write(Kind::RequestEnded { attempt: number, status, sent, received });
    }

    fn noted(&self, fact: Fact) {
        let _ = self.gate.write(Kind::ConnectFact { attempt: self.attempt, fact: seen(fact) });
    }

    async fn revoked(&self, permitted: &Connect) -> Refusal {
        self.standing.revoked(&self.gate, permitted).await
    }

    async fn upload(&self, upload: Upload) -> Result<Permit<Upload>, Refusal> {
        let (summary, detail) = (upload.summary(), upload.detail());
        let verdict = self.gate.judge(upload);
        self.admitted(summary, detail, verdict).await.map(|(_, permit)| permit)
    }

    fn refused(&self, refusal: &Refusal) {
        let detail = vec![Text::from(refusal.attempt.as_str())];
        let _ = self.gate.record_refusal::<Connect>(&self.facts, self.attempt, detail, refusal);
    }

    fn failed(&self, error: String) {
        let _ = self.gate.write(Kind::Outcome { attempt: self.attempt, error });
    }

    fn ended(&self, carried: Carried) {
        let Carried { sent, received, reason } = carried;
        let (attempt, reason) = (self.attempt, reason.to_owned());
        let _ = self.gate.write(Kind::ConnectEnded { attempt, sent, received, reason });
    }
}

fn seen(fact: Fact) -> event::Fact {
    match fact {
        Fact::Protocol { name, inspected } => {
            event::Fact::Protocol { name: name.to_owned(), inspected }
        }
        Fact::SshHostKey { algorithm, fingerprint } => {
            event::Fact::SshHostKey { algorithm, fingerprint }
        }
        Fact::SshCommand { user, command } => event::Fact::SshCommand {
            user: Text::from(user.as_str()),
            command: Text::from(command.as_str()),
        },
        Fact::Database { user, database } => event::Fact::Database {
            user: Text::from(user.as_str()),
            database: Text::from(database.as_str()),
        },
        Fact::Credential { name, request } => event::Fact::Credential { name, request },
    }
}
