//! A signed statement of how far a record has come: the number of its events
//! and its head.
//!
//! A checkpoint is a C2SP signed note, followed by an empty line so that many
//! can stand in one file:
//!
//! ```text
//! remit.dev/record/20261121-041500-k3v9
//! 12
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — remit <base64 of key id and Ed25519 signature>
//!
//! ```
//!
//! SOURCE: <https://c2sp.org/signed-note>; the text has the shape of
//! <https://c2sp.org/tlog-checkpoint>, its hash is the head of a chain.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::chain::Digest;
use crate::key::{BadSignature, DeviceKey, NAME, PublicKey};
use crate::session::SessionId;

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub session: SessionId,
    /// How many events it covers: those numbered below this.
    pub events: u64,
    /// The head after them.
    pub head: Digest,
}

impl Checkpoint {
    /// The note with its closing empty line.
    pub fn sign(&self, key: &DeviceKey) -> String {
        let text = format!(
            "{}\n{}\n{}\n",
            origin(&self.session),
            self.events,
            STANDARD.encode(self.head.as_bytes())
        );
        let signature = key.sign(text.as_bytes());
        format!("{text}\n— {NAME} {signature}\n\n")
    }
}

fn origin(session: &SessionId) -> String {
    format!("remit.dev/record/{session}")
}

/// What stands next in a file of checkpoints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Note(Checkpoint),
    /// The file ends here.
    End,
    /// The file ends in the middle of what could have become a note.
    Torn,
    Bad(Flaw),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Malformed,
    OtherSession,
    OtherKey,
    Signature,
}

/// A note is six lines and far below this.
const LONGEST: u64 = 512;

/// Reads one note, and believes it only if `key` signed it for `session`.
pub(crate) fn read(
    from: &mut impl BufRead,
    session: &SessionId,
    key: &PublicKey,
) -> io::Result<Next> {
    let mut bytes = Vec::with_capacity(256);
    let mut lines = 0;
    let mut limited = from.take(LONGEST);
    while lines < 6 && limited.read_until(b'\n', &mut bytes)? > 0 && bytes.ends_with(b"\n") {
        lines += 1;
    }
    Ok(if bytes.is_empty() {
        Next::End
    } else if lines == 6 {
        judge(&bytes, session, key).map_or_else(Next::Bad, Next::Note)
    } else if limited.limit() > 0 && could_become_a_note(&bytes, session) {
        Next::Torn
    } else {
        Next::Bad(Flaw::Malformed)
    })
}

fn judge(note: &[u8], session: &SessionId, key: &PublicKey) -> Result<Checkpoint, Flaw> {
    let lines: Vec<&[u8]> = note.split(|b| *b == b'\n').collect();
    let [first, count, head, b"", signature, b"", b""] = lines[..] else {
        return Err(Flaw::Malformed);
    };
    let signature =
        signature.strip_prefix(format!("— {NAME} ").as_bytes()).ok_or(Flaw::Malformed)?;
    let signed = first.len() + count.len() + head.len() + 3;
    key.check(&note[..signed], signature).map_err(|bad| match bad {
        BadSignature::Malformed => Flaw::Malformed,
        BadSignature::OtherKey => Flaw::OtherKey,
        BadSignature::Wrong => Flaw::Signature,
    })?;
    if first != origin(session).as_bytes() {
        return Err(Flaw::OtherSession);
    }
    let number: u64 =
        str::from_utf8(count).ok().and_then(|n| n.parse().ok()).ok_or(Flaw::Malformed)?;
    let head = STANDARD.decode(head).ok().and_then(|bytes| bytes.try_into().ok());
    let head = Digest(head.ok_or(Flaw::Malformed)?);
    Ok(Checkpoint { session: *session, events: number, head })
}

/// Whether more bytes could make a note of this: it is what a write leaves that
/// did not finish. A changed note is as long as it was, so it is no such thing.
fn could_become_a_note(tail: &[u8], session: &SessionId) -> bool {
    let origin = origin(session);
    let signer = format!("— {NAME} ");
    let lines: Vec<&[u8]> = tail.split(|b| *b == b'\n').collect();
    lines.iter().enumerate().all(|(n, line)| {
        let whole = n + 1 < lines.len();
        let base64 = |text: &[u8], length: usize| {
            let letters = text.iter().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b));
            letters && if whole { text.len() == length } else { text.len() <= length }
        };
        match n {
            0 if whole => *line == origin.as_bytes(),
            0 => origin.as_bytes().starts_with(line),
            1 => line.len() <= 20 && line.iter().all(u8::is_ascii_digit),
            2 => base64(line, 44),
            4 => match line.strip_prefix(signer.as_bytes()) {
                Some(signature) => base64(signature, 92),
                None => !whole && signer.as_bytes().starts_with(line),
            },
            _ => line.is_empty(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionId {
        "20261121-041500-k3v9".parse().expect("a name")
    }

    fn note(key: &DeviceKey) -> String {
        Checkpoint { session: session(), events: 12, head: Digest([9; 32]) }.sign(key)
    }

    fn next(bytes: &[u8], key: &DeviceKey) -> Next {
        read(&mut &*bytes, &session(), key.public()).expect("memory reads")
    }

    #[test]
    fn a_note_reads_back_and_the_next_one_follows() {
        let key = DeviceKey::from_seed(&[1; 32]);
        let two = note(&key).repeat(2);
        let mut from = two.as_bytes();
        let expected = Checkpoint { session: session(), events: 12, head: Digest([9; 32]) };
        for _ in 0..2 {
            assert_eq!(
                read(&mut from, &session(), key.public()).expect("memory"),
                Next::Note(expected)
            );
        }
        assert_eq!(read(&mut from, &session(), key.public()).expect("memory"), Next::End);
        assert!(note(&key).starts_with("remit.dev/record/20261121-041500-k3v9\n12\nCQkJ"));
    }

    #[test]
    fn every_beginning_of_a_note_is_torn_and_no_changed_note_is() {
        let key = DeviceKey::from_seed(&[1; 32]);
        let note = note(&key).into_bytes();
        for length in 1..note.len() {
            assert_eq!(next(&note[..length], &key), Next::Torn, "{length}");
        }
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert!(matches!(next(&changed, &key), Next::Bad(_)), "byte {at}");
        }
    }

    #[test]
    fn another_key_and_another_session_are_told_apart() {
        let (ours, theirs) = (DeviceKey::from_seed(&[1; 32]), DeviceKey::from_seed(&[2; 32]));
        assert_eq!(next(note(&theirs).as_bytes(), &ours), Next::Bad(Flaw::OtherKey));
        let other = Checkpoint {
            session: "other".parse().expect("a name"),
            events: 1,
            head: Digest([9; 32]),
        };
        assert_eq!(next(other.sign(&ours).as_bytes(), &ours), Next::Bad(Flaw::OtherSession));
        assert_eq!(next(&[b'x'; 4096], &ours), Next::Bad(Flaw::Malformed));
    }
}
