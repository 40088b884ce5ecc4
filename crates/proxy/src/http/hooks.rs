//! What else may be done to the messages of an inspected connection, beyond
//! judging each request: secrets put in and masked, bodies looked through,
//! answers given from a cache.
//!
//! One [`Hooks`] serves one connection. For each permitted request it gives one
//! [`Outgoing`], which sees what is sent, and one [`Incoming`], which sees what
//! comes back; the two run at the same time.
//!
//! Framing (`content-length`, `transfer-encoding`, `connection`, `upgrade`, `host`,
//! `:authority`) is neither shown nor taken from a hook, and neither are the
//! method, the scheme and the path, which were judged.

use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use remit_policy::{Refusal, Request};

/// What is done on one connection.
pub(crate) trait Hooks: Send + Sync {
    type Outgoing: Outgoing;
    type Incoming: Incoming;

    /// A permitted request, before a byte of it goes upstream. `number` is its
    /// number in the record, `request` what was judged, with the query as the
    /// agent wrote it.
    ///
    /// # Errors
    ///
    /// A refusal is written down and told to the agent as 403 by the caller;
    /// nothing goes upstream.
    fn request(
        &self,
        number: u64,
        request: &Request,
        draft: &mut Draft,
    ) -> impl Future<Output = Result<Course<Self::Outgoing, Self::Incoming>, Refusal>> + Send;
}

/// What of a request may still be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The part of the target after the first `?`. What is put here is checked to
    /// be a query; what is not fails the request.
    pub(crate) query: Option<String>,
    /// End-to-end fields. Names that speak of framing are dropped when it is sent.
    pub(crate) headers: HeaderMap,
}

/// What becomes of a permitted request.
#[derive(Debug)]
pub(crate) enum Course<O, I> {
    /// It is sent upstream, looked at by these two.
    Send(O, I),
    /// It is answered from here and never sent.
    Answer(Response<Bytes>),
}

/// Sees the body of one request on its way out, and then what a WebSocket sends,
/// masked frames and all.
pub(crate) trait Outgoing: Send {
    /// The next piece; what is returned is sent in its place. It may hold bytes
    /// back and return them later, or none at all.
    ///
    /// INVARIANT: a body keeps its length in all. One that does not breaks the
    /// connection off.
    ///
    /// # Errors
    ///
    /// A refusal ends the request upstream before it is complete; the caller writes
    /// it down, and tells the agent if the answer has not begun.
    fn pass(&mut self, piece: Bytes) -> impl Future<Output = Result<Bytes, Refusal>> + Send;

    /// The body is complete: what was held back, and the trailers of HTTP/2.
    ///
    /// A refusal here leaves a body of a stated length whole at the host, unless
    /// some of it was held back.
    fn finish(
        &mut self,
        trailers: Option<&mut HeaderMap>,
    ) -> impl Future<Output = Result<Bytes, Refusal>> + Send;
}

/// Sees the answer to one request on its way in.
pub(crate) trait Incoming: Send {
    /// Said before the head of an answer whose body ends with its connection: cut
    /// short, it looks whole.
    fn endless(&mut self) {}

    /// The head of the final answer; 101 for a WebSocket. Interim answers are
    /// passed on without their fields, and not shown.
    fn head(&mut self, status: StatusCode, headers: &mut HeaderMap);

    /// The next piece of its body, or of what a WebSocket sends back, frames and
    /// all. Holding back is for what may be the beginning of a secret only, or
    /// events of a stream come late. The length is kept, as in [`Outgoing`].
    fn pass(&mut self, piece: Bytes) -> Bytes;

    /// The body is complete: what was held back, and the trailers of HTTP/2.
    fn finish(&mut self, trailers: Option<&mut HeaderMap>) -> Bytes;
}

/// Nothing else is done.
impl Hooks for () {
    type Outgoing = ();
    type Incoming = ();

    async fn request(
        &self,
        _number: u64,
        _request: &Request,
        _draft: &mut Draft,
    ) -> Result<Course<(), ()>, Refusal> {
        Ok(Course::Send((), ()))
    }
}

impl Outgoing for () {
    async fn pass(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        Ok(piece)
    }

    async fn finish(&mut self, _trailers: Option<&mut HeaderMap>) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }
}

impl Incoming for () {
    fn head(&mut self, _status: StatusCode, _headers: &mut HeaderMap) {}

    fn pass(&mut self, piece: Bytes) -> Bytes {
        piece
    }

    fn finish(&mut self, _trailers: Option<&mut HeaderMap>) -> Bytes {
        Bytes::new()
    }
}
