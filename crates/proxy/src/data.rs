//! What is done to the requests of one connection: answered from the cache, dressed
//! with credentials, looked through, kept; in this order.
//!
//! What is looked through is what the program wrote: secrets that are put in stand
//! in heads, and only bodies are searched.

mod patterns;
mod scan;
mod search;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use remit_policy::{Cache, Handling, Refusal, Request};

use crate::Gate;
use crate::cache::{Answers, Filling, Wanted};
use crate::credentials::{Coming, Credentials, Leaving, Placeholders, PutIn};
use crate::http::hooks::{Course, Draft, Hooks, Incoming, Outgoing};
use search::Search;

/// What the policy has done on one connection.
#[derive(Debug)]
pub(crate) struct Watch<G> {
    gate: G,
    credentials: Arc<Credentials>,
    put_in: PutIn<G>,
    search: bool,
    keep: Keep,
}

/// What is done with answers.
#[derive(Debug)]
enum Keep {
    Nothing,
    Fill(Arc<Answers>),
    /// Without a cache there is no answer.
    Only(Option<Arc<Answers>>),
}

/// What the program sends.
#[derive(Debug)]
pub(crate) struct Sent<G> {
    leaving: Leaving,
    search: Option<Search<G>>,
    has_body: Arc<AtomicBool>,
}

/// What the host answers.
#[derive(Debug)]
pub(crate) struct Back {
    coming: Coming,
    /// Until it is known whether the answer may be kept.
    wanted: Option<Wanted>,
    filling: Option<Filling>,
    /// An answer to a request with a body is an answer to that body.
    has_body: Arc<AtomicBool>,
}

impl<G: Gate> Watch<G> {
    pub(crate) fn new(
        gate: G,
        handling: &Handling,
        credentials: Arc<Credentials>,
        answers: Option<Arc<Answers>>,
    ) -> Self {
        let placeholders = match handling.agents {
            true => Placeholders::QuotedInBodies,
            false => Placeholders::WhereBound,
        };
        let put_in = PutIn::new(gate.clone(), Arc::clone(&credentials), placeholders);
        let keep = match handling.cache {
            Cache::Off => Keep::Nothing,
            Cache::Fill => answers.map_or(Keep::Nothing, Keep::Fill),
            Cache::Only => Keep::Only(answers),
        };
        Self { gate, credentials, put_in, search: handling.search, keep }
    }
}

impl<G: Gate> Hooks for Watch<G> {
    type Outgoing = Sent<G>;
    type Incoming = Back;

    async fn request(
        &self,
        number: u64,
        request: &Request,
        draft: &mut Draft,
    ) -> Result<Course<Sent<G>, Back>, Refusal> {
        let wanted = match &self.keep {
            Keep::Nothing => None,
            Keep::Fill(answers) => Wanted::of(answers, request, &draft.headers),
            Keep::Only(answers) => {
                let kept = answers.as_ref().and_then(|it| it.find(request, &draft.headers));
                return Ok(Course::Answer(kept.unwrap_or_else(|| {
                    let refusal = crate::cache::refusal(&self.credentials, request);
                    self.gate.refused(&refusal);
                    crate::cache::not_kept(&refusal)
                })));
            }
        };
        let search = self.search.then(|| {
            let (gate, credentials) = (self.gate.clone(), Arc::clone(&self.credentials));
            Search::new(gate, request.clone(), credentials, &draft.headers)
        });
        let (leaving, coming) = match self.put_in.request(number, request, draft).await? {
            Course::Send(leaving, coming) => (leaving, coming),
            Course::Answer(response) => return Ok(Course::Answer(response)),
        };
        let wanted = wanted.filter(|_| !coming.answers_a_credential());
        let has_body = Arc::<AtomicBool>::default();
        let sent = Sent { leaving, search, has_body: Arc::clone(&has_body) };
        Ok(Course::Send(sent, Back { coming, wanted, filling: None, has_body }))
    }
}

impl<G: Gate> Outgoing for Sent<G> {
    async fn pass(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        if !piece.is_empty() {
            self.has_body.store(true, Relaxed);
        }
        let piece = self.leaving.pass(piece).await?;
        match &mut self.search {
            Some(search) => search.pass(piece, false).await,
            None => Ok(piece),
        }
    }

    async fn finish(&mut self, trailers: Option<&mut HeaderMap>) -> Result<Bytes, Refusal> {
        let rest = self.leaving.finish(trailers).await?;
        match &mut self.search {
            Some(search) => search.pass(rest, true).await,
            None => Ok(rest),
        }
    }
}

impl Incoming for Back {
    fn endless(&mut self) {
        // What breaks off would be taken for the whole.
        self.wanted = None;
    }

    fn head(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        self.coming.head(status, headers);
        let wanted = self.wanted.take();
        self.filling = wanted.and_then(|wanted| wanted.begin(status, headers));
    }

    fn pass(&mut self, piece: Bytes) -> Bytes {
        let piece = self.coming.pass(piece);
        self.keep(&piece);
        piece
    }

    fn finish(&mut self, trailers: Option<&mut HeaderMap>) -> Bytes {
        let rest = self.coming.finish(trailers);
        self.keep(&rest);
        if let Some(filling) = self.filling.take()
            && !self.has_body.load(Relaxed)
        {
            filling.finish();
        }
        rest
    }
}

impl Back {
    fn keep(&mut self, piece: &[u8]) {
        if let Some(filling) = self.filling.take() {
            self.filling = filling.add(piece);
        }
    }
}
