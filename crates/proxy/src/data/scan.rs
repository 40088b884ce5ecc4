//! Looks through a body piece by piece.

use std::fmt;

use bytes::Bytes;

use super::patterns::{First, first};

/// A body being looked through.
#[derive(Default)]
pub(super) struct Scan {
    /// The last bytes, which may be the beginning of a secret.
    waiting: Vec<u8>,
    /// How many of them were handed on already.
    gone: usize,
}

/// What waits may be a secret, and is not printed.
impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes waiting]", self.waiting.len())
    }
}

/// A beginning shorter than this is handed on at once, so that a message which
/// happens to end in it is not late. It is public: no part of a secret.
pub(super) const WAIT_FOR: usize = 4;

impl Scan {
    /// Takes the next bytes. Gives those that have been looked through, and the kinds
    /// of secrets that end in them, in order; `known` are passed over.
    ///
    /// INVARIANT: of a secret, [`WAIT_FOR`] less one bytes at most were given before
    /// its kind is.
    pub(super) fn pass(
        &mut self,
        piece: Bytes,
        last: bool,
        known: impl Fn(&[u8]) -> bool,
    ) -> (Bytes, Vec<&'static str>) {
        let joined = self.join(piece);
        let (mut found, mut looked) = (Vec::new(), 0);
        let open = loop {
            match first(&joined[looked..], last) {
                First::Open(open) => break looked + open,
                First::Found { what, from, until } => {
                    if !known(&joined[looked + from..looked + until]) {
                        found.push(what);
                    }
                    looked += until;
                }
            }
        };
        let gone = self.gone;
        self.waiting = joined[open..].to_vec();
        let short = self.waiting.len() < WAIT_FOR;
        self.gone = if short { self.waiting.len() } else { gone.saturating_sub(open) };
        let until = open + self.gone;
        (joined.slice(gone.min(until)..until), found)
    }

    /// What waited, and then the piece.
    fn join(&mut self, piece: Bytes) -> Bytes {
        if self.waiting.is_empty() {
            return piece;
        }
        let mut joined = std::mem::take(&mut self.waiting);
        joined.extend_from_slice(&piece);
        joined.into()
    }
}

#[cfg(test)]
mod tests {
    use bolero::{check, produce};

    use super::*;
    use crate::data::patterns::tests::examples;

    /// What comes out, and what is found with how much out before it.
    fn scanned(body: &[u8], cuts: &[u8]) -> (Vec<u8>, Vec<(&'static str, usize)>) {
        let (mut scan, mut out, mut found) = (Scan::default(), Vec::new(), Vec::new());
        let (mut rest, mut cuts) = (body, cuts.iter().cycle());
        loop {
            let cut = cuts.next().map_or(usize::MAX, |cut| usize::from(*cut) + 1);
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            rest = after;
            let last = rest.is_empty();
            let (bytes, kinds) = scan.pass(Bytes::copy_from_slice(piece), last, |_| false);
            found.extend(kinds.into_iter().map(|kind| (kind, out.len())));
            out.extend_from_slice(&bytes);
            if last {
                return (out, found);
            }
        }
    }

    /// Secrets, beginnings of them, and other bytes, in some order.
    fn body(recipe: &[(u8, u8)]) -> Vec<u8> {
        let examples = examples();
        let pieces = recipe.iter().map(|(which, how)| {
            let (_, secret) = &examples[usize::from(*which) % examples.len()];
            match how % 4 {
                0 => secret.as_bytes().to_vec(),
                1 => secret.as_bytes()[..usize::from(*how) % secret.len()].to_vec(),
                2 => format!(" {secret}\n").into_bytes(),
                _ => vec![*which; usize::from(*how) / 16],
            }
        });
        pieces.collect::<Vec<_>>().concat()
    }

    #[test]
    fn what_is_found_does_not_depend_on_where_a_body_is_cut() {
        check!().with_generator(produce::<(Vec<(u8, u8)>, Vec<u8>)>()).for_each(
            |(recipe, cuts)| {
                let body = body(recipe);
                let kinds = |(out, found): (Vec<u8>, Vec<(&'static str, usize)>)| {
                    assert_eq!(out, body, "all comes out in the end");
                    found.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
                };
                assert_eq!(kinds(scanned(&body, cuts)), kinds(scanned(&body, &[])));
            },
        );
    }

    #[test]
    fn nothing_of_a_secret_is_out_before_it_is_found() {
        check!().with_generator(produce::<(u8, u8, Vec<u8>)>()).for_each(
            |(which, before, cuts)| {
                let examples = examples();
                let (kind, secret) = &examples[usize::from(*which) % examples.len()];
                let before = usize::from(*before);
                let body = [vec![b' '; before], secret.clone().into_bytes()].concat();
                let (_, found) = scanned(&body, cuts);
                let (what, out) = found.first().expect("it is found");
                assert_eq!(what, kind);
                assert!(*out < before + WAIT_FOR, "{out} bytes were out, {before} came before it");
            },
        );
    }

    #[test]
    fn no_bytes_are_too_odd() {
        check!().with_generator(produce::<(Vec<u8>, Vec<u8>)>()).for_each(|(bytes, cuts)| {
            assert_eq!(scanned(bytes, cuts).0, *bytes);
        });
    }

    #[test]
    fn a_message_that_ends_like_a_beginning_is_not_late() {
        let mut scan = Scan::default();
        let (out, _) = scan.pass(Bytes::from_static(b"the plural of ghp s"), false, |_| false);
        assert_eq!(out, "the plural of ghp s");
    }

    #[test]
    fn what_is_known_is_passed_over() {
        let mut scan = Scan::default();
        let (kind, token) = &examples()[1];
        let body = Bytes::from(format!("{token} {token}"));
        let (_, found) =
            scan.pass(body.clone(), true, |secret| token.as_bytes().starts_with(secret));
        assert_eq!(found, [""; 0]);
        assert_eq!(Scan::default().pass(body, true, |_| false).1, [*kind, *kind]);
    }
}
