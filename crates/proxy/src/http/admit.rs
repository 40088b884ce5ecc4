//! One request, from its words to its permit, its changes and its number.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU16, AtomicU64};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use remit_policy::{Basis, Method, Refusal, Request, Target};

use super::hooks::{Course, Draft, Hooks};
use super::strict::{self, Malformed};
use super::{Inspected, framing};
use crate::{Answered, Gate, Requested};

/// A request that may go on.
pub(super) enum Admitted<G: Gate, H: Hooks> {
    Send(Ready<G, H>),
    /// It was answered from here.
    Answer(Account<G>, Response<Bytes>),
}

/// A request ready to be sent.
pub(super) struct Ready<G: Gate, H: Hooks> {
    pub(super) account: Account<G>,
    pub(super) method: Method,
    /// The judged path, with the query as it is to be sent.
    pub(super) target: Target,
    /// End-to-end fields.
    pub(super) headers: HeaderMap,
    pub(super) outgoing: H::Outgoing,
    pub(super) incoming: H::Incoming,
}

/// Tells what came of a request when it is dropped, however that comes about.
pub(super) struct Account<G: Gate> {
    gate: G,
    number: u64,
    /// 0 while there is no answer.
    status: AtomicU16,
    sent: AtomicU64,
    received: AtomicU64,
}

impl<G: Gate> Account<G> {
    pub(super) fn answered(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Relaxed);
    }

    pub(super) fn begun(&self) -> bool {
        self.status.load(Relaxed) != 0
    }

    pub(super) fn sent(&self, piece: &Bytes) {
        self.sent.fetch_add(piece.len() as u64, Relaxed);
    }

    pub(super) fn received(&self, piece: &Bytes) {
        self.received.fetch_add(piece.len() as u64, Relaxed);
    }
}

impl<G: Gate> Drop for Account<G> {
    fn drop(&mut self) {
        let status = Some(self.status.load(Relaxed)).filter(|status| *status != 0);
        let (sent, received) = (self.sent.load(Relaxed), self.received.load(Relaxed));
        self.gate.answered(self.number, Answered { status, sent, received });
    }
}

impl<G: Gate, H: Hooks> Inspected<G, H> {
    /// The request that these words make, for the host of this connection.
    ///
    /// `tunnel`: it asks for a connection of its own (a WebSocket), whose bytes are no
    /// requests. To a rule about methods that is CONNECT as well as what it says.
    ///
    /// SOURCE: RFC 8441 §4 has CONNECT for a WebSocket over HTTP/2.
    pub(super) fn asked(
        &self,
        method: Method,
        target: &str,
        headers: &HeaderMap,
        tunnel: bool,
    ) -> Result<Request, Malformed> {
        let refused = |why| Malformed { status: StatusCode::METHOD_NOT_ALLOWED, why };
        match method.as_str() {
            "CONNECT" => return Err(refused("`CONNECT` inside a connection leads elsewhere")),
            "TRACE" => return Err(refused("`TRACE` has the host say back what was put in")),
            _ => {}
        }
        let target = Target::parse(target)
            .map_err(|_| Malformed::new("the target is not a path of visible ASCII"))?;
        if target.as_str() == "*" && method.as_str() != "OPTIONS" {
            return Err(Malformed::new("the target `*` is for `OPTIONS` only"));
        }
        let mut overrides = strict::overrides(headers)?;
        if tunnel {
            let connect = Method::parse("CONNECT");
            overrides.extend(connect);
        }
        let (connect, scheme) = (self.connect.clone(), self.scheme);
        Ok(Request { connect, scheme, method, target, overrides })
    }

    /// Judges a request and has the hooks see it. A refusal is written down already.
    pub(super) async fn admit(
        &self,
        request: Request,
        mut headers: HeaderMap,
    ) -> Result<Admitted<G, H>, Refusal> {
        let Requested { number, permit } = self.gate.request(request).await?;
        let account = Account {
            gate: self.gate.clone(),
            number,
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        };
        let request = permit.spend();
        framing::strip(&mut headers);
        let query = request.target.query().map(str::to_owned);
        let mut draft = Draft { query, headers };
        let course = self.hooks.request(number, &request, &mut draft).await;
        let course = course.inspect_err(|refusal| self.gate.refused(refusal))?;
        let target = changed(&request, draft.query.as_deref())
            .inspect_err(|refusal| self.gate.refused(refusal))?;
        framing::strip(&mut draft.headers);
        let (method, headers) = (request.method, draft.headers);
        Ok(match course {
            Course::Send(outgoing, incoming) => {
                Admitted::Send(Ready { account, method, target, headers, outgoing, incoming })
            }
            Course::Answer(response) => Admitted::Answer(account, response),
        })
    }

    /// Writes a request down that is refused for how it is written.
    pub(super) fn reject(&self, malformed: &Malformed) -> Refusal {
        let refusal = super::answer::malformed(&self.connect, malformed);
        self.gate.refused(&refusal);
        refusal
    }
}

/// The judged target with another query.
fn changed(request: &Request, query: Option<&str>) -> Result<Target, Refusal> {
    let path = request.target.path();
    let text = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
    Target::parse(&text).map_err(|error| {
        use remit_policy::Attempt as _;
        let mut basis = Basis::built_in("what is put into a query must be one");
        basis.justification = Some(error.to_string());
        Refusal { attempt: request.summary(), basis, instead: None, note: None }
    })
}
