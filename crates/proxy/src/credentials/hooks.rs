//! What credentials do on one inspected connection.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use remit_policy::{Refusal, Request};

use super::find::{Finder, Stream};
use super::frames::Frames;
use super::slot::{self, Slot, decoded_bytes};
use super::{Credentials, Form, Meaning, What, aws};
use crate::http::hooks::{Course, Draft, Hooks, Incoming, Outgoing};
use crate::{Fact, Gate};

/// The credentials of the session, for one connection.
#[derive(Debug)]
pub(crate) struct PutIn<G> {
    gate: G,
    credentials: Arc<Credentials>,
    placeholders: Placeholders,
}

/// Where placeholders may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholders {
    /// In requests that their credential is bound to.
    WhereBound,
    /// In bodies as well, as what an agent has read is quoted to its model. They are
    /// worth nothing there, and without it a session would end with `env`.
    QuotedInBodies,
}

/// Looks through what is sent.
#[derive(Debug)]
pub(crate) struct Leaving {
    credentials: Arc<Credentials>,
    request: Request,
    /// The credentials that are bound to it, by their place.
    bound: Vec<usize>,
    placeholders: Placeholders,
    stream: Stream,
    /// It may ask for a WebSocket, and then what is sent is in frames.
    frames: Option<(Frames, Stream)>,
}

/// Puts placeholders where an answer repeats secrets.
#[derive(Debug)]
pub(crate) struct Coming {
    credentials: Arc<Credentials>,
    stream: Stream,
    /// The signature that was put in, which nobody inside may have either.
    signature: Option<(Finder<Vec<u8>>, Stream)>,
    /// A secret went out in the request, so the answer must be readable.
    must_read: bool,
    /// It is not, so zeros come in its place.
    withheld: bool,
}

/// What happened to a request's head.
struct Dressed {
    bound: Vec<usize>,
    /// Those that were put in.
    names: Vec<String>,
    signature: Option<aws::Signed>,
    must_read: bool,
}

impl<G: Gate> PutIn<G> {
    pub(crate) fn new(gate: G, credentials: Arc<Credentials>, placeholders: Placeholders) -> Self {
        Self { gate, credentials, placeholders }
    }
}

impl<G: Gate> Hooks for PutIn<G> {
    type Outgoing = Leaving;
    type Incoming = Coming;

    async fn request(
        &self,
        number: u64,
        request: &Request,
        draft: &mut Draft,
    ) -> Result<Course<Leaving, Coming>, Refusal> {
        let dressed = self.credentials.dress(request, draft)?;
        for name in dressed.names {
            self.gate.noted(Fact::Credential { name, request: number });
        }
        let signature = dressed.signature.and_then(|signed| {
            let texts = vec![(signed.outside.into_bytes(), signed.inside.into_bytes())];
            Finder::new(texts).map(|finder| (finder, Stream::default()))
        });
        let leaving = Leaving {
            credentials: Arc::clone(&self.credentials),
            request: request.clone(),
            bound: dressed.bound,
            placeholders: self.placeholders,
            stream: Stream::default(),
            // SOURCE: RFC 6455 §4.1, RFC 8441 §5.
            frames: draft
                .headers
                .contains_key(header::SEC_WEBSOCKET_VERSION)
                .then(Default::default),
        };
        let coming = Coming {
            credentials: Arc::clone(&self.credentials),
            stream: Stream::default(),
            signature,
            must_read: dressed.must_read,
            withheld: false,
        };
        Ok(Course::Send(leaving, coming))
    }
}

impl Credentials {
    /// Puts in what is bound to the request, and refuses what is not.
    ///
    /// INVARIANT: the request is looked through before a secret is in it, so what
    /// is found came from inside.
    fn dress(&self, request: &Request, draft: &mut Draft) -> Result<Dressed, Refusal> {
        let bound = self.bound(request);
        let chosen = self.choose(request, draft, &bound)?;
        for held in chosen.iter().map(|of| &self.held[*of]) {
            if !matches!(held.loaded.form, Form::Aws(_)) {
                Slot::of(&held.loaded.form).clear(draft);
            }
        }
        self.look_at_head(request, draft, &bound)?;
        let mut dressed = Dressed { bound, names: Vec::new(), signature: None, must_read: false };
        for held in chosen.iter().map(|of| &self.held[*of]) {
            let name = &held.loaded.name;
            if let (Form::Aws(inside), Form::Aws(outside)) = (&held.inside, &held.loaded.form) {
                let signed = aws::sign(request, draft, inside, outside).map_err(|why| {
                    let rule = format!("credential `{name}` signs only what can be signed anew");
                    let instead = format!(
                        "a request signed with the placeholder of `{name}`; this one is not, \
                         because {why}"
                    );
                    self.refusal(request, rule, instead)
                })?;
                if signed.is_none() {
                    continue;
                }
                dressed.signature = signed;
            } else {
                slot::fill(&held.loaded.form, draft);
                ask_for_plain(&mut draft.headers);
                dressed.must_read = true;
            }
            dressed.names.push(name.clone());
        }
        if dressed.must_read && request.method.as_str() == Method::TRACE.as_str() {
            let rule = "a credential is not put into `TRACE`, which sends it back".to_owned();
            return Err(self.refusal(request, rule, "another method".to_owned()));
        }
        Ok(dressed)
    }

    fn bound(&self, request: &Request) -> Vec<usize> {
        let applies = |of: &usize| self.held[*of].loaded.bound.applies(request);
        (0..self.held.len()).filter(applies).collect()
    }

    /// One credential for each place: the only one that is bound, or the one whose
    /// placeholder the program put there.
    fn choose(
        &self,
        request: &Request,
        draft: &Draft,
        bound: &[usize],
    ) -> Result<Vec<usize>, Refusal> {
        let slot = |of: usize| Slot::of(&self.held[of].loaded.form);
        let mut chosen = Vec::new();
        for of in bound.iter().copied() {
            let rivals: Vec<_> = bound.iter().filter(|it| slot(**it) == slot(of)).collect();
            if rivals.len() == 1 {
                chosen.push(of);
                continue;
            }
            let named: Vec<_> = rivals.iter().filter(|it| self.is_named(draft, ***it)).collect();
            match named[..] {
                [one] if **one == of => chosen.push(of),
                [_] => {}
                _ => {
                    let names: Vec<_> = rivals
                        .iter()
                        .map(|it| format!("`{}`", self.held[**it].loaded.name))
                        .collect();
                    let names = names.join(" and ");
                    let rule = format!("credentials {names} are bound to the same request");
                    let instead = "a request with the placeholder of one of them".to_owned();
                    return Err(self.refusal(request, rule, instead));
                }
            }
        }
        Ok(chosen)
    }

    /// Whether the program put this credential's placeholder into its place.
    fn is_named(&self, draft: &Draft, of: usize) -> bool {
        let held = &self.held[of];
        let Some(finder) = &self.outgoing else { return false };
        let is_its = |meaning: &Meaning| meaning.what == What::Placeholder && meaning.is_of(of);
        let is_basic = matches!(held.loaded.form, Form::Basic { .. });
        Slot::of(&held.loaded.form).contents(draft).iter().any(|value| {
            // The same secret may be bound as `bearer` and as `basic`.
            let scheme = value.get(..6).is_some_and(|it| it.eq_ignore_ascii_case(b"basic "));
            let fits = scheme == is_basic || matches!(held.loaded.form, Form::Query { .. });
            fits && finder.first(value, is_its).is_some()
        })
    }

    fn look_at_head(
        &self,
        request: &Request,
        draft: &Draft,
        bound: &[usize],
    ) -> Result<(), Refusal> {
        let query = draft.query.as_deref().unwrap_or_default();
        self.look(request, request.method.as_str().as_bytes(), bound)?;
        self.look(request, request.target.path().as_bytes(), bound)?;
        self.look(request, query.as_bytes(), bound)?;
        self.look_at_fields(request, &draft.headers, bound)
    }

    fn look_at_fields(
        &self,
        request: &Request,
        fields: &HeaderMap,
        bound: &[usize],
    ) -> Result<(), Refusal> {
        for (name, value) in fields {
            self.look(request, name.as_str().as_bytes(), bound)?;
            self.look(request, value.as_bytes(), bound)?;
        }
        Ok(())
    }

    /// Looks at a text as it is, and as it is with escapes undone, again and again.
    fn look(&self, request: &Request, text: &[u8], bound: &[usize]) -> Result<(), Refusal> {
        /// More would let a long text cost much; nobody escapes so often.
        const TIMES: usize = 8;
        let Some(finder) = &self.outgoing else { return Ok(()) };
        let mut text = text.to_vec();
        for _ in 0..TIMES {
            if let Some(found) = finder.first(&text, |meaning| meaning.is_misplaced(bound)) {
                return Err(self.misplaced(request, found));
            }
            let plainer = decoded_bytes(&text);
            if plainer.len() == text.len() {
                return Ok(());
            }
            text = plainer;
        }
        let rule = format!("what is escaped more than {TIMES} times cannot be looked through");
        Err(self.refusal(request, rule, "a request that is escaped once".to_owned()))
    }
}

/// Asks for an answer that can be looked through: whole, and not compressed. Parts
/// of an answer could each repeat a part of a secret.
fn ask_for_plain(headers: &mut HeaderMap) {
    const COMPRESSED: [&str; 3] = ["grpc-accept-encoding", "sec-websocket-extensions", "a-im"];
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in [header::RANGE, header::IF_RANGE] {
        headers.remove(name);
    }
    for name in COMPRESSED {
        headers.remove(name);
    }
}

impl Outgoing for Leaving {
    async fn pass(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        self.see(piece, false)
    }

    async fn finish(&mut self, trailers: Option<&mut HeaderMap>) -> Result<Bytes, Refusal> {
        if let Some(trailers) = trailers {
            self.credentials.look_at_fields(&self.request, trailers, &self.bound)?;
        }
        self.see(Bytes::new(), true)
    }
}

impl Leaving {
    fn see(&mut self, piece: Bytes, last: bool) -> Result<Bytes, Refusal> {
        let Some(finder) = &self.credentials.outgoing else { return Ok(piece) };
        let quoted = self.placeholders == Placeholders::QuotedInBodies;
        let may = |meaning: &Meaning| {
            quoted && meaning.what == What::Placeholder || !meaning.is_misplaced(&self.bound)
        };
        let judge = |meaning| if may(meaning) { Ok(None) } else { Err(meaning) };
        // The bytes are looked at as they are, too: any request can have the field.
        let framed = self.frames.as_mut().map_or(Ok(()), |(frames, stream)| {
            let payload = frames.payload(&piece).into();
            stream.pass(finder, payload, last, judge).map(drop)
        });
        let seen = framed.and_then(|()| self.stream.pass(finder, piece, last, judge));
        seen.map_err(|found| self.credentials.misplaced(&self.request, found))
    }
}

impl Incoming for Coming {
    fn head(&mut self, _status: StatusCode, headers: &mut HeaderMap) {
        if self.must_read && is_unreadable(headers) {
            self.withheld = true;
            headers.remove(header::CONTENT_ENCODING);
            let why = "withheld; compressed or in part, though a credential was put in";
            headers.insert(HeaderName::from_static("x-remit"), HeaderValue::from_static(why));
        }
        self.mask_fields(headers);
    }

    fn pass(&mut self, piece: Bytes) -> Bytes {
        self.see(piece, false)
    }

    fn finish(&mut self, trailers: Option<&mut HeaderMap>) -> Bytes {
        if let Some(trailers) = trailers {
            self.mask_fields(trailers);
        }
        self.see(Bytes::new(), true)
    }
}

/// Whether the body is other than the plain bytes of the whole answer.
fn is_unreadable(headers: &HeaderMap) -> bool {
    let encoded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let compressed = |name: &str, plain: &[u8]| {
        headers.get_all(name).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(plain))
    };
    encoded
        || compressed("grpc-encoding", b"identity")
        || compressed("sec-websocket-extensions", b"")
        || headers.contains_key(header::CONTENT_RANGE)
        || headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/byteranges"))
}

impl Coming {
    /// Whether the request had a credential put in.
    pub(crate) fn answers_a_credential(&self) -> bool {
        self.must_read || self.signature.is_some()
    }

    fn see(&mut self, piece: Bytes, last: bool) -> Bytes {
        if self.withheld {
            return Bytes::from(vec![0; piece.len()]);
        }
        let mut piece = piece;
        if let Some((finder, stream)) = &mut self.signature {
            piece = masked(finder, stream, piece, last);
        }
        match &self.credentials.echoes {
            Some(finder) => masked(finder, &mut self.stream, piece, last),
            None => piece,
        }
    }

    fn mask_fields(&self, fields: &mut HeaderMap) {
        let finders = self.signature.iter().map(|(finder, _)| finder);
        for finder in finders.chain(&self.credentials.echoes) {
            for value in fields.values_mut() {
                let mut after = value.as_bytes().to_vec();
                finder.replace(&mut after);
                if after != value.as_bytes() {
                    *value = HeaderValue::from_bytes(&after)
                        .expect("a placeholder fits where its secret did");
                }
            }
        }
    }
}

fn masked(finder: &Finder<Vec<u8>>, stream: &mut Stream, piece: Bytes, last: bool) -> Bytes {
    let instead = |text| Ok::<_, Infallible>(Some(Vec::as_slice(text)));
    let Ok(bytes) = stream.pass(finder, piece, last, instead);
    bytes
}

#[cfg(test)]
mod tests;
