//! The host's side of SSH that is ended here: who the host is, and that it
//! takes the person for who they are.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use remit_policy::{Attempt as _, Basis, Connect, Refusal};
use russh::client::{self, Handle, Msg, Session};
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PrivateKeyWithHashAlg, PublicKey, load_secret_key,
};
use russh::{Channel, ChannelId, ChannelMsg};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::keys::SshKeys;
use super::known::{self, Familiar, Known};
use super::tie::{For, QUEUE, Tied, Waiting, tie};
use super::watch;
use crate::flow::{Flow, Stop};
use crate::{Fact, Gate};

/// How long a host may take for each step before a command runs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keys offered to one host. Servers give up after six.
const OFFERS: usize = 5;

/// Keys that hosts may show. Not RSA's, which we cannot check.
const HOST_KEYS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// The way to a host that knows the person.
pub(super) struct Way<G: Gate> {
    handle: Handle<Checked<G>>,
    /// Carries its bytes; ends them when dropped.
    _carriers: JoinSet<io::Result<()>>,
}

impl<G: Gate> Way<G> {
    /// Dials the host of a flow, checks its key, and lets the person's keys
    /// vouch for `user`.
    pub(super) async fn open(
        flow: &mut Flow<G>,
        keys: &SshKeys,
        waiting: &Waiting,
        user: &str,
    ) -> Result<Self, Stop> {
        let connect = flow.connect.clone();
        let known = known::load(&keys.known_hosts, &connect).map_err(failed)?;
        let Tied { end, carriers } = tie(flow.dial().await?, For::Agent, waiting);
        let config = client::Config {
            client_id: super::version(),
            preferred: super::preferred(known.order(&HOST_KEYS)),
            channel_buffer_size: QUEUE,
            keepalive_interval: Some(Duration::from_secs(60)),
            ..client::Config::default()
        };
        let checked = Checked {
            gate: flow.gate.clone(),
            connect: connect.clone(),
            known,
            waiting: waiting.clone(),
        };
        let greeted = client::connect_stream(Arc::new(config), end, checked);
        let handle = match timeout(PATIENCE, greeted).await {
            Ok(Ok(handle)) => handle,
            Ok(Err(HostError::Refused(refusal))) => return Err(Stop::Refused(refusal)),
            Ok(Err(HostError::Ssh(error))) => {
                return Err(Stop::Failed(format!("cannot speak SSH with `{connect}`: {error}")));
            }
            Err(_) => return Err(Stop::Failed(format!("`{connect}` does not greet in SSH"))),
        };
        let mut way = Self { handle, _carriers: carriers };
        match timeout(PATIENCE, way.vouch(keys, user)).await {
            Ok(Ok(())) => Ok(way),
            Ok(Err(why)) => Err(Stop::Failed(format!("cannot log in to `{connect}`: {why}"))),
            Err(_) => Err(Stop::Failed(format!("cannot log in to `{connect}`: it takes too long"))),
        }
    }

    /// Starts a command there.
    pub(super) async fn run(
        &self,
        command: &str,
        protocol: Option<&str>,
    ) -> Result<Channel<Msg>, String> {
        let started = timeout(PATIENCE, self.start(command, protocol)).await;
        started.map_err(|_| "it takes too long".to_owned())?
    }

    async fn start(&self, command: &str, protocol: Option<&str>) -> Result<Channel<Msg>, String> {
        let said = |error: russh::Error| error.to_string();
        let mut channel = self.handle.channel_open_session().await.map_err(said)?;
        if let Some(version) = protocol {
            channel.set_env(false, "GIT_PROTOCOL", version).await.map_err(said)?;
        }
        channel.exec(true, command).await.map_err(said)?;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(channel),
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                _ => return Err("the host does not run it".to_owned()),
            }
        }
    }

    async fn vouch(&mut self, keys: &SshKeys, user: &str) -> Result<(), String> {
        let said = |error: russh::Error| error.to_string();
        if self.handle.authenticate_none(user).await.map_err(said)?.success() {
            return Ok(());
        }
        let mut offers = 0;
        if let Some(socket) = &keys.agent {
            let path = socket.display();
            let mut agent = AgentClient::connect_uds(socket)
                .await
                .map_err(|error| format!("the SSH agent at `{path}` does not answer: {error}"))?;
            let held = agent.request_identities().await;
            let held = held.map_err(|e| format!("the SSH agent at `{path}` names no keys: {e}"))?;
            for key in held.into_iter().take(OFFERS) {
                let hash = self.hash(&key.algorithm()).await?;
                offers += 1;
                let vouched = self.handle.authenticate_publickey_with(user, key, hash, &mut agent);
                // An agent may refuse to sign with one key and agree to another.
                if vouched.await.is_ok_and(|result| result.success()) {
                    return Ok(());
                }
            }
        }
        let mut unusable = String::new();
        for path in keys.identities.iter().filter(|path| path.exists()) {
            let key = match load_secret_key(path, None) {
                Ok(key) if offers < OFFERS => Arc::new(key),
                Ok(_) => break,
                Err(error) => {
                    unusable = format!("; the key `{}` cannot be used: {error}", path.display());
                    continue;
                }
            };
            let hash = self.hash(&key.algorithm()).await?;
            offers += 1;
            let key = PrivateKeyWithHashAlg::new(key, hash);
            if self.handle.authenticate_publickey(user, key).await.map_err(said)?.success() {
                return Ok(());
            }
        }
        let why = match offers {
            0 => "no SSH key is held for it; add one to your SSH agent and start anew".to_owned(),
            1 => "the host does not take the one SSH key offered".to_owned(),
            _ => format!("the host takes none of the {offers} SSH keys offered"),
        };
        Err(why + &unusable)
    }

    /// How an RSA key is to sign: never by SHA-1.
    async fn hash(&self, algorithm: &Algorithm) -> Result<Option<HashAlg>, String> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(None);
        }
        let best = self.handle.best_supported_rsa_hash().await.map_err(|e| e.to_string())?;
        Ok(best.flatten().or(Some(HashAlg::Sha512)))
    }
}

fn failed(error: known::KnownError) -> Stop {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    Stop::Failed(format!("{error}{}", source.unwrap_or_default()))
}

/// Meets the host.
struct Checked<G> {
    gate: G,
    connect: Connect,
    known: Known,
    waiting: Waiting,
}

#[derive(Debug)]
enum HostError {
    Refused(Refusal),
    Ssh(russh::Error),
}

impl From<russh::Error> for HostError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl<G> Checked<G> {
    fn waits(&self, data: &[u8]) -> Result<(), HostError> {
        let bearable = self.waiting.taken(For::Agent, data.len());
        if bearable { Ok(()) } else { Err(HostError::Ssh(russh::Error::Disconnect)) }
    }
}

impl<G: Gate> client::Handler for Checked<G> {
    type Error = HostError;

    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), HostError> {
        self.waits(data)
    }

    async fn extended_data(
        &mut self,
        _: ChannelId,
        _: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), HostError> {
        self.waits(data)
    }

    async fn check_server_key(&mut self, key: &PublicKey) -> Result<bool, HostError> {
        let blob = key.to_bytes().map_err(|error| HostError::Ssh(error.into()))?;
        let fingerprint = watch::fingerprint(&blob);
        self.gate.noted(Fact::SshHostKey {
            algorithm: key.algorithm().to_string(),
            fingerprint: fingerprint.clone(),
        });
        let why = match self.known.check(&blob) {
            Familiar::Known => return Ok(true),
            Familiar::Unknown => "is not known",
            Familiar::Changed => "is another than the known one",
            Familiar::Revoked => "is revoked",
        };
        let attempt = self.connect.summary();
        Err(HostError::Refused(Refusal {
            attempt: format!("{attempt}, whose key `{fingerprint}` {why}"),
            basis: Basis::built_in("a host of SSH must have the key that it is known by"),
            instead: Some(
                "a host whose Ed25519 or ECDSA key is in the person's known hosts".to_owned(),
            ),
            note: None,
        }))
    }
}
