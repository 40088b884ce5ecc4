//! SSH that is passed on as it is: the host's key is seen as it goes by.
//!
//! What this does not do: the key is the one that the host *shows*. Whether it
//! has it, the client checks, by a signature that this does not look at.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{Fact, Gate};

/// Enough for every greeting, both lists of algorithms and the largest key,
/// and little enough for the buffers of two sockets.
const LONGEST: usize = 64 * 1024;

/// Carries both ways until the host has shown its key, or will not. What is left
/// is for the caller to carry: an end of either side is not passed on yet.
pub(crate) async fn watch(
    gate: &impl Gate,
    agent: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    gate.noted(Fact::Protocol { name: "ssh", inspected: false });
    let mut greeting = Greeting::default();
    let mut sent = 0;
    let (mut out, mut back) = (vec![0; 8 * 1024], vec![0; 8 * 1024]);
    while sent < LONGEST {
        tokio::select! {
            read = agent.read(&mut out) => match read? {
                0 => return Ok(()),
                length => {
                    host.write_all(&out[..length]).await?;
                    sent += length;
                }
            },
            read = host.read(&mut back) => {
                let length = read?;
                agent.write_all(&back[..length]).await?;
                match greeting.feed(&back[..length]) {
                    Seen::Key { algorithm, fingerprint } => {
                        gate.noted(Fact::SshHostKey { algorithm, fingerprint });
                        return Ok(());
                    }
                    Seen::Nothing => return Ok(()),
                    Seen::More if length == 0 => return Ok(()),
                    Seen::More => {}
                }
            }
        }
    }
    Ok(())
}

/// `SHA256:…`, as `ssh-keygen -l` writes it.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// What a host says before all is encrypted.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    /// Not understood yet.
    bytes: Vec<u8>,
    /// The line `SSH-…` went by; packets follow.
    identified: bool,
    seen: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    More,
    Key {
        algorithm: String,
        fingerprint: String,
    },
    /// This is not SSH, or shows no key that we understand.
    Nothing,
}

/// SOURCE: RFC 4250 §4.1.2; RFC 5656 §4 and RFC 8731; RFC 4419 §5.
const NEWKEYS: u8 = 21;
const REPLIES: [u8; 2] = [31, 33];

impl Greeting {
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Seen {
        self.seen += bytes.len();
        if self.seen > LONGEST {
            return Seen::Nothing;
        }
        self.bytes.extend_from_slice(bytes);
        while !self.identified {
            // SOURCE: RFC 4253 §4.2, other lines may come before the version.
            let Some(end) = self.bytes.iter().position(|&b| b == b'\n') else { return Seen::More };
            self.identified = self.bytes.starts_with(b"SSH-");
            self.bytes.drain(..=end);
        }
        loop {
            // SOURCE: RFC 4253 §6, length, length of the padding, payload, padding.
            let Some((head, rest)) = self.bytes.split_first_chunk::<5>() else { return Seen::More };
            let [a, b, c, d, padding] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(payload) = length.checked_sub(1 + usize::from(padding)) else {
                return Seen::Nothing;
            };
            if length > LONGEST {
                return Seen::Nothing;
            }
            let Some(packet) = rest.get(..length - 1) else { return Seen::More };
            match packet[..payload].split_first() {
                Some((&NEWKEYS, _)) => return Seen::Nothing,
                // 31 may also be a group for the exchange, whose prime is no key.
                Some((kind, reply)) if REPLIES.contains(kind) => {
                    if let Some(seen) = key(reply) {
                        return seen;
                    }
                }
                _ => {}
            }
            self.bytes.drain(..4 + length);
        }
    }
}

/// The key that a reply begins with.
fn key(reply: &[u8]) -> Option<Seen> {
    let blob = string(reply)?;
    let algorithm = std::str::from_utf8(string(blob)?).ok()?;
    // SOURCE: RFC 4251 §6, names of algorithms.
    let is_name = (1..=64).contains(&algorithm.len())
        && algorithm.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    let seen = Seen::Key { algorithm: algorithm.to_owned(), fingerprint: fingerprint(blob) };
    is_name.then_some(seen)
}

/// SOURCE: RFC 4251 §5, a string after its length.
fn string(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn packet(payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() + 1 + 4) as u32;
        [&length.to_be_bytes()[..], &[4], payload, &[0; 4]].concat()
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    pub(crate) fn shown(blob: &[u8]) -> Vec<u8> {
        [
            &b"hello\r\nSSH-2.0-x\r\n"[..],
            &packet(b"\x14lists"),
            &packet(&[&[31], &text(blob)[..]].concat()),
        ]
        .concat()
    }

    pub(crate) fn blob() -> Vec<u8> {
        [text(b"ssh-ed25519"), text(&[7; 32])].concat()
    }

    #[test]
    fn a_key_is_seen_however_it_is_cut() {
        let (bytes, blob) = (shown(&blob()), blob());
        let expected =
            Seen::Key { algorithm: "ssh-ed25519".into(), fingerprint: fingerprint(&blob) };
        for size in [1, 2, 7, bytes.len()] {
            let mut greeting = Greeting::default();
            let last = bytes.chunks(size).map(|piece| greeting.feed(piece)).last();
            assert_eq!(last, Some(expected.clone()), "in pieces of {size}");
        }
    }

    #[test]
    fn a_group_is_no_key() {
        let prime = text(&[&[0, 0xff][..], &[0xaa; 255]].concat());
        let group = packet(&[&[31], &prime[..], &text(&[2])[..]].concat());
        let reply = packet(&[&[33], &text(&blob())[..]].concat());
        let mut greeting = Greeting::default();
        assert_eq!(greeting.feed(b"SSH-2.0-x\n"), Seen::More);
        assert_eq!(greeting.feed(&group), Seen::More);
        assert!(matches!(greeting.feed(&reply), Seen::Key { .. }));
    }

    #[test]
    fn what_is_not_ssh_is_let_go() {
        let check = |bytes: &[u8]| assert_eq!(Greeting::default().feed(bytes), Seen::Nothing);
        check(b"SSH-2.0-x\n\0\0\0\0\0\0");
        check(b"SSH-2.0-x\n\xff\xff\xff\xff\x04\0");
        check(b"SSH-2.0-x\n\0\0\0\x03\x09\0\0");
        check(&[b"SSH-2.0-x\n", &packet(&[NEWKEYS])[..]].concat());
        check(&vec![b'x'; LONGEST + 1]);
    }
}
