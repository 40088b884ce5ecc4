//! The key that signs this device's checkpoints.
//!
//! Both halves are kept as the text that C2SP note tools read:
//!
//! ```text
//! key      PRIVATE+KEY+remit+<key id>+<base64 of 0x01 and the seed>
//! key.pub  remit+<key id>+<base64 of 0x01 and the public key>
//! ```
//!
//! SOURCE: <https://c2sp.org/signed-note> for names and key ids,
//! `golang.org/x/mod/sumdb/note` for the text form.

use std::fmt;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::files;

/// The name under which every device signs; its key tells them apart.
pub(crate) const NAME: &str = "remit";

/// The type byte of plain Ed25519 signatures over a note.
const ED25519: u8 = 1;

/// Signs checkpoints.
pub struct DeviceKey {
    key: SigningKey,
    public: PublicKey,
}

/// Tells whether a checkpoint was signed by a certain device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: [u8; 4],
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read key `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot create key `{}`", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("key `{}` can be read by others; `chmod 600` it, or move it away to get a new one", path.display())]
    Exposed { path: PathBuf },
    #[error("`{}` is not a key of ours; move it away to get a new one", path.display())]
    Malformed { path: PathBuf },
    #[error("public key `{}` does not belong to the key beside it; move it away, keeping it to verify old records", path.display())]
    Mismatch { path: PathBuf },
}

impl DeviceKey {
    /// Loads `<state>/key`, making it on first use, and makes `key.pub` where it
    /// is missing. `state` must exist.
    pub(crate) fn load(state: BorrowedFd<'_>, at: &Path) -> Result<Self, KeyError> {
        let path = at.join("key");
        let text = match read(state, Path::new("key"), Secrecy::Private) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                create(state).map_err(|source| KeyError::Create { path: path.clone(), source })?;
                read(state, Path::new("key"), Secrecy::Private)
            }
            read => read,
        };
        let text = text.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied if source.get_ref().is_some() => {
                KeyError::Exposed { path: path.clone() }
            }
            _ => KeyError::Read { path: path.clone(), source },
        })?;
        let key = Self::parse(&text).ok_or(KeyError::Malformed { path })?;

        let path = at.join("key.pub");
        let public = match read(state, Path::new("key.pub"), Secrecy::Public) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                let text = format!("{}\n", key.public);
                files::publish(state, "key.pub", text.as_bytes())
                    .map_err(|source| KeyError::Create { path: path.clone(), source })?;
                text
            }
            read => read.map_err(|source| KeyError::Read { path: path.clone(), source })?,
        };
        if PublicKey::parse(&public).as_ref() != Some(&key.public) {
            return Err(KeyError::Mismatch { path });
        }
        Ok(key)
    }

    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = PublicKey::new(key.verifying_key());
        Self { key, public }
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Key id and signature in base64, as they stand in a note.
    pub(crate) fn sign(&self, text: &[u8]) -> String {
        let mut bytes = [0; 68];
        bytes[..4].copy_from_slice(&self.public.id);
        bytes[4..].copy_from_slice(&self.key.sign(text).to_bytes());
        STANDARD.encode(bytes)
    }

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_suffix('\n')?.strip_prefix("PRIVATE+KEY+")?;
        let (id, seed) = parts(rest)?;
        let key = Self::from_seed(&seed);
        (key.public.id == id).then_some(key)
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({}, [secret])", self.public)
    }
}

/// What is wrong with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadSignature {
    /// It is not 68 bytes in base64.
    Malformed,
    /// Another key made it.
    OtherKey,
    /// It does not fit the text.
    Wrong,
}

impl PublicKey {
    fn new(key: VerifyingKey) -> Self {
        let hash = Sha256::new_with_prefix(NAME)
            .chain_update([b'\n', ED25519])
            .chain_update(key.as_bytes())
            .finalize();
        Self { key, id: [hash[0], hash[1], hash[2], hash[3]] }
    }

    /// Loads a public key file, such as `<state>/key.pub`.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read(rustix::fs::CWD, path, Secrecy::Public)
            .map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).ok_or_else(|| KeyError::Malformed { path: path.to_owned() })
    }

    /// Reads the text form, with or without its newline.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, bytes) = parts(text.strip_suffix('\n').unwrap_or(text))?;
        let key = Self::new(VerifyingKey::from_bytes(&bytes).ok()?);
        (key.id == id).then_some(key)
    }

    pub(crate) fn check(&self, text: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let bytes = STANDARD.decode(signature).map_err(|_| BadSignature::Malformed)?;
        let bytes: [u8; 68] = bytes.try_into().map_err(|_| BadSignature::Malformed)?;
        let (id, signature) = bytes.split_first_chunk::<4>().expect("68 bytes hold 4");
        if *id != self.id {
            return Err(BadSignature::OtherKey);
        }
        let signature = Signature::from_slice(signature).map_err(|_| BadSignature::Malformed)?;
        self.key.verify_strict(text, &signature).map_err(|_| BadSignature::Wrong)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.id, self.key.as_bytes()))
    }
}

fn written(id: &[u8; 4], key: &[u8; 32]) -> String {
    let mut bytes = [ED25519; 33];
    bytes[1..].copy_from_slice(key);
    format!("{NAME}+{:08x}+{}", u32::from_be_bytes(*id), STANDARD.encode(bytes))
}

/// The key id and the 32 bytes in `remit+<key id>+<base64>`.
fn parts(text: &str) -> Option<([u8; 4], [u8; 32])> {
    let (id, key) = text.strip_prefix(NAME)?.strip_prefix('+')?.split_once('+')?;
    let number = u32::from_str_radix(id, 16).ok()?;
    if format!("{number:08x}") != id {
        return None;
    }
    let bytes: [u8; 33] = STANDARD.decode(key).ok()?.try_into().ok()?;
    let (kind, key) = bytes.split_first_chunk::<1>()?;
    (*kind == [ED25519]).then_some((number.to_be_bytes(), key.try_into().ok()?))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Private,
    Public,
}

/// Reads a short text file. A private one that others can read, or that belongs
/// to someone else, is denied.
fn read(directory: BorrowedFd<'_>, name: &Path, secrecy: Secrecy) -> io::Result<String> {
    let file = files::open(directory, name)?;
    let stat = rustix::fs::fstat(&file)?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    if secrecy == Secrecy::Private && !ours {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not ours alone"));
    }
    let mut text = String::new();
    std::fs::File::from(file).take(4096).read_to_string(&mut text)?;
    Ok(text)
}

fn create(state: BorrowedFd<'_>) -> io::Result<()> {
    let seed = files::random()?;
    let id = DeviceKey::from_seed(&seed).public.id;
    let text = format!("PRIVATE+KEY+{}\n", written(&id, &seed));
    files::publish(state.as_fd(), "key", text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_published_example_of_the_format_verifies() {
        // SOURCE: golang.org/x/mod/sumdb/note, the example in its documentation.
        let (id, key) = "c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
            .split_once('+')
            .expect("an id and a key");
        let bytes = STANDARD.decode(key).expect("base64");
        let hash = Sha256::new_with_prefix("PeterNeumann\n").chain_update(&bytes).finalize();
        assert_eq!(format!("{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3]), id);
    }

    #[test]
    fn a_key_is_its_text() {
        let key = DeviceKey::from_seed(&[7; 32]);
        let text = format!("PRIVATE+KEY+{}\n", written(&key.public.id, &[7; 32]));
        assert_eq!(DeviceKey::parse(&text).expect("a key").public, key.public);
        assert_eq!(PublicKey::parse(&key.public.to_string()), Some(key.public));
        for bad in ["", "remit", "remit+0+x", "other+00000000+AQ=="] {
            assert_eq!(PublicKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let shown = format!("{:?}", DeviceKey::from_seed(&[0xee; 32]));
        assert!(
            shown.ends_with("[secret])") && !shown.contains(&STANDARD.encode([0xee; 32])[4..40])
        );
    }
}
