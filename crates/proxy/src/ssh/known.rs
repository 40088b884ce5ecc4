//! The keys that hosts are known by, as OpenSSH writes them down.
//!
//! SOURCE: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use remit_policy::{Connect, Host};
use russh::keys::Algorithm;
use sha1::Sha1;

/// What the files say about one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    keys: Vec<Key>,
    /// Keys that nobody may be known by.
    revoked: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    algorithm: String,
    /// As on the wire, RFC 4253 §6.6.
    blob: Vec<u8>,
}

/// Whether a host is who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Familiar {
    Known,
    /// No file has a key of it.
    Unknown,
    /// The files have other keys of it.
    Changed,
    Revoked,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum KnownError {
    #[error("cannot read known hosts `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("known hosts `{path}` line {line}: a revoked key cannot be read")]
    Revoked { path: PathBuf, line: usize },
}

/// Reads what the files say about a host. One that does not exist says nothing.
pub(super) fn load(files: &[PathBuf], connect: &Connect) -> Result<Known, KnownError> {
    let mut known = Known::default();
    for path in files {
        match std::fs::read(path) {
            Ok(bytes) => known.read(path, &String::from_utf8_lossy(&bytes), &name(connect))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(KnownError::Read { path: path.clone(), source }),
        }
    }
    Ok(known)
}

impl Known {
    pub(super) fn check(&self, blob: &[u8]) -> Familiar {
        if self.revoked.iter().any(|revoked| revoked == blob) {
            return Familiar::Revoked;
        }
        if self.keys.iter().any(|key| key.blob == blob) {
            return Familiar::Known;
        }
        if self.keys.is_empty() { Familiar::Unknown } else { Familiar::Changed }
    }

    /// The algorithms to ask the host for: those of its known keys first, so
    /// that it shows the one we know.
    pub(super) fn order(&self, all: &[Algorithm]) -> Vec<Algorithm> {
        let is_known =
            |algorithm: &Algorithm| self.keys.iter().any(|key| key.algorithm == algorithm.as_str());
        let (mut first, rest): (Vec<_>, Vec<_>) = all.iter().cloned().partition(is_known);
        first.extend(rest);
        first
    }

    fn read(&mut self, path: &Path, text: &str, name: &str) -> Result<(), KnownError> {
        for (at, line) in text.lines().enumerate() {
            let mut fields = line.split_ascii_whitespace().peekable();
            let marker = fields.next_if(|field| field.starts_with('@'));
            let (Some(hosts), Some(algorithm), blob) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if hosts.starts_with('#') || !covers(hosts, name) {
                continue;
            }
            let blob = blob.and_then(|text| STANDARD.decode(text).ok());
            match (marker, blob) {
                (None, Some(blob)) => self.keys.push(Key { algorithm: algorithm.to_owned(), blob }),
                (Some("@revoked"), Some(blob)) => self.revoked.push(blob),
                (Some("@revoked"), None) => {
                    return Err(KnownError::Revoked { path: path.to_owned(), line: at + 1 });
                }
                // A key that cannot be read, or an authority, whose certificates we
                // do not ask for, makes nobody known.
                _ => {}
            }
        }
        Ok(())
    }
}

/// A host as the files name it.
fn name(connect: &Connect) -> String {
    let host = match &connect.host {
        Host::Name(name) => name.as_str().to_owned(),
        Host::Address(address) => address.to_string(),
    };
    match u16::from(connect.port) {
        22 => host,
        port => format!("[{host}]:{port}"),
    }
}

/// Whether a list of patterns covers a name. One negated pattern that matches
/// outweighs all others.
fn covers(patterns: &str, name: &str) -> bool {
    let mut covered = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, name) => return false,
            Some(_) => {}
            None => covered |= matches(pattern, name),
        }
    }
    covered
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("|1|") {
        Some(hashed) => is_hash(hashed, name).unwrap_or(false),
        None => glob(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
    }
}

/// Whether `salt|hash` is of this name.
fn is_hash(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    Some(mac.chain_update(name).verify_slice(&hash).is_ok())
}

/// `*` is any bytes, `?` is one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how far the text was when it began.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, begun)) => {
                    (p, t) = (at + 1, begun + 1);
                    star = Some((at, begun + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "QUFBQQ=="; // AAAA
    const B: &str = "QkJCQg=="; // BBBB

    fn known(text: &str, host: &str) -> Known {
        let connect = Connect::parse(host).expect("a host and a port");
        let mut known = Known::default();
        known.read(Path::new("known_hosts"), text, &name(&connect)).expect("lines");
        known
    }

    fn check(text: &str, host: &str, expected: Familiar) {
        assert_eq!(known(text, host).check(b"AAAA"), expected, "{text} {host}");
    }

    #[test]
    fn a_host_is_known_by_its_key() {
        check(&format!("git.example ssh-ed25519 {A} me"), "git.example:22", Familiar::Known);
        check(&format!("GIT.example,h ssh-ed25519 {A}"), "git.example:22", Familiar::Known);
        check(&format!("git.example ssh-ed25519 {B}"), "git.example:22", Familiar::Changed);
        check(&format!("git.example x {B}\ngit.example y {A}"), "git.example:22", Familiar::Known);
        check(&format!("git.example ssh-ed25519 {A}"), "git.example:2222", Familiar::Unknown);
        check(&format!("[git.example]:2222 x {A}"), "git.example:2222", Familiar::Known);
        check(&format!("192.0.2.7 x {A}"), "192.0.2.7:22", Familiar::Known);
        check(&format!("[2001:db8::1]:23\tx\t{A}"), "[2001:db8::1]:23", Familiar::Known);
        check(&format!("*.example x {A}"), "git.example:22", Familiar::Known);
        check(&format!("*.example,!git.* x {A}"), "git.example:22", Familiar::Unknown);
        check(&format!("!git.example x {A}"), "other.example:22", Familiar::Unknown);
        check(&format!("#git.example x {A}\n\n x"), "git.example:22", Familiar::Unknown);
        check("git.example x !!!", "git.example:22", Familiar::Unknown);
        check("", "git.example:22", Familiar::Unknown);
    }

    #[test]
    fn a_revoked_key_is_nobodys() {
        let lines = format!("git.example x {A}\n@revoked * x {A}");
        check(&lines, "git.example:22", Familiar::Revoked);
        check(&format!("@revoked other.example x {A}"), "git.example:22", Familiar::Unknown);
        check(&format!("@cert-authority * x {A}"), "git.example:22", Familiar::Unknown);
        check(&format!("@odd git.example x {A}"), "git.example:22", Familiar::Unknown);
        let read = Known::default().read(Path::new("k"), "@revoked * x ?", "git.example");
        assert_eq!(
            read.map_err(|error| error.to_string()),
            Err("known hosts `k` line 1: a revoked key cannot be read".to_owned())
        );
    }

    #[test]
    fn a_hashed_name_is_the_same_name() {
        // Written by `ssh-keygen -H` for `git.example` and `[git.example]:2222`.
        let lines = include_str!("known_hosts.hashed");
        for (host, expected) in [
            ("git.example:22", Familiar::Changed),
            ("git.example:2222", Familiar::Changed),
            ("evil.example:22", Familiar::Unknown),
        ] {
            check(lines, host, expected);
        }
    }

    #[test]
    fn the_known_algorithm_is_asked_for_first() {
        let ecdsa = Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP256 };
        let all = [Algorithm::Ed25519, ecdsa.clone()];
        let order = |text: &str| known(text, "h:22").order(&all);
        assert_eq!(order(&format!("h ecdsa-sha2-nistp256 {A}"))[0], ecdsa);
        assert_eq!(order(&format!("h ssh-ed25519 {A}"))[0], Algorithm::Ed25519);
        assert_eq!(order(""), all);
    }
}
