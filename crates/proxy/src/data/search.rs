//! Asks before what looks like a secret leaves in a body.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header};
use remit_policy::{Refusal, Request, Upload};

use super::scan::Scan;
use crate::Gate;
use crate::credentials::Credentials;
use crate::credentials::frames::Frames;

/// The body of one request, being looked through. Compressed bodies are looked
/// through as they are, which finds nothing.
#[derive(Debug)]
pub(super) struct Search<G> {
    gate: G,
    request: Request,
    credentials: Arc<Credentials>,
    scan: Scan,
    /// It may ask for a WebSocket, and then what is sent is in frames.
    frames: Option<(Frames, Scan)>,
    /// What somebody said yes to.
    permitted: Vec<&'static str>,
}

impl<G: Gate> Search<G> {
    pub(super) fn new(
        gate: G,
        request: Request,
        credentials: Arc<Credentials>,
        headers: &HeaderMap,
    ) -> Self {
        // SOURCE: RFC 6455 §4.1, RFC 8441 §5.
        let is_framed = headers.contains_key(header::SEC_WEBSOCKET_VERSION);
        let frames = is_framed.then(Default::default);
        let scan = Scan::default();
        Self { gate, request, credentials, scan, frames, permitted: Vec::new() }
    }

    /// Holds the piece back while somebody is asked. Of a WebSocket's message,
    /// earlier pieces have gone by then.
    pub(super) async fn pass(&mut self, piece: Bytes, last: bool) -> Result<Bytes, Refusal> {
        let credentials = &self.credentials;
        // A placeholder has the look of what it stands for. Where it may go is not
        // for this to say.
        let known = |secret: &[u8]| credentials.is_placeholder(secret);
        let mut found = match &mut self.frames {
            Some((frames, scan)) => scan.pass(frames.payload(&piece).into(), last, known).1,
            None => Vec::new(),
        };
        let (looked_through, more) = self.scan.pass(piece, last, known);
        found.extend(more);
        for what in found {
            if !self.permitted.contains(&what) {
                let upload = Upload { request: self.request.clone(), what };
                let _ = self.gate.upload(upload).await?.spend();
                self.permitted.push(what);
            }
        }
        Ok(looked_through)
    }
}
