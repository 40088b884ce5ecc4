//! Whom a host is known by, and what vouches for the person towards it.

use std::fmt;
use std::path::PathBuf;

use russh::keys::ssh_key::rand_core::OsRng;
use russh::keys::{Algorithm, PrivateKey};

/// What connections of a session need whose SSH is ended here. The agent gets
/// nothing of it but the public half of the session's own key.
#[derive(Clone)]
pub struct SshKeys {
    /// Shown to programs inside in place of every host's key. Never on a disk.
    pub(super) session: PrivateKey,
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) agent: Option<PathBuf>,
    pub(super) identities: Vec<PathBuf>,
}

/// The session has no key of its own.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the SSH key of the session")]
pub struct SshKeysError(#[source] russh::keys::ssh_key::Error);

impl SshKeys {
    /// `known_hosts`: files of OpenSSH's; those that do not exist say nothing.
    /// `agent`: the socket of the person's SSH agent. `identities`: files of
    /// private keys without a passphrase, tried after the agent's.
    pub fn new(
        known_hosts: Vec<PathBuf>,
        agent: Option<PathBuf>,
        identities: Vec<PathBuf>,
    ) -> Result<Self, SshKeysError> {
        let session = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(SshKeysError)?;
        Ok(Self { session, known_hosts, agent, identities })
    }

    /// A line for a file of known hosts inside, which makes `hosts` (patterns of
    /// OpenSSH's, joined by commas, such as `git.example,[git.example]:2222`)
    /// known by the session's key.
    ///
    /// # Errors
    ///
    /// If the key cannot be written as text.
    pub fn known_hosts_line(&self, hosts: &str) -> Result<String, SshKeysError> {
        let key = self.session.public_key().to_openssh().map_err(SshKeysError)?;
        Ok(format!("{hosts} {key}\n"))
    }
}

impl fmt::Debug for SshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshKeys")
            .field("session", &"[secret]")
            .field("known_hosts", &self.known_hosts)
            .field("agent", &self.agent)
            .field("identities", &self.identities)
            .finish()
    }
}
