//! What a session needs to look into connections: made before it starts, trusted
//! inside, kept in memory only.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use remit_policy::Cache;
use remit_proxy::{
    Answers, AnswersError, Authority, AuthorityError, RootsError, Shared, SshKeys, SshKeysError,
    Tls, Upstream,
};
use remit_sandbox::{Floor, Mount, Plan};

use crate::prepare::Prepared;
use crate::trust::{self, TrustError};

/// Keys of the session, as far as its policy needs any.
#[derive(Debug)]
pub(crate) struct Means {
    tls: Option<Tls>,
    ssh: Option<SshKeys>,
    answers: Option<Answers>,
}

/// Why connections could not be looked into. The session does not start.
#[derive(Debug, thiserror::Error)]
pub enum MeansError {
    #[error("cannot inspect TLS, as the policy says")]
    Authority(#[from] AuthorityError),
    #[error("cannot inspect TLS, as the policy says: no host could be verified")]
    Roots(#[from] RootsError),
    #[error("cannot judge SSH commands, as the policy says")]
    Ssh(#[from] SshKeysError),
    #[error("cannot keep answers, as `network.cache` says")]
    Answers(#[from] AnswersError),
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Means {
    /// Makes what the policy needs and places the public part of it in the plan,
    /// which is otherwise complete.
    pub(crate) fn make(prepared: &Prepared, plan: &mut Plan) -> Result<Self, MeansError> {
        let tls = prepared.policy.inspects_anything().then(|| authority(prepared, plan));
        let hosts = prepared.policy.ssh_hosts().iter().cloned().collect::<Vec<_>>();
        let ssh = (!hosts.is_empty()).then(|| ssh(prepared, &hosts.join(","), plan));
        let kept = prepared.places.state.join("cache");
        let keeps = prepared.policy.data().cache != Cache::Off;
        let answers = keeps.then(|| Answers::open(&kept)).transpose()?;
        Ok(Self { tls: tls.transpose()?, ssh: ssh.transpose()?, answers })
    }

    /// Gives them to the connections of the session.
    pub(crate) fn share(self, shared: Shared) -> Shared {
        let shared = match self.tls {
            Some(tls) => shared.inspecting(tls),
            None => shared,
        };
        let shared = match self.ssh {
            Some(keys) => shared.commanding(keys),
            None => shared,
        };
        match self.answers {
            Some(answers) => shared.keeping(answers),
            None => shared,
        }
    }
}

fn authority(prepared: &Prepared, plan: &mut Plan) -> Result<Tls, MeansError> {
    let authority = Authority::new(SystemTime::now())?;
    let upstream = Upstream::load()?;
    let scratch = prepared.scratch.as_deref();
    trust::install(authority.certificate(), &prepared.places.home, scratch, plan)?;
    Ok(Tls { authority, upstream })
}

/// Where OpenSSH's client has its settings, and hosts that everybody knows.
const SSH: &str = "/etc/ssh";

/// What the client inside is told: it knows the hosts of the policy by the
/// session's key, and proves nothing, for it has nothing to prove it by.
const SSH_CONFIG: &str = "Host *\n    GlobalKnownHostsFile /etc/ssh/ssh_known_hosts\n    \
    StrictHostKeyChecking yes\n    UpdateHostKeys no\n    ForwardAgent no\n";

/// The keys that vouch outside are the person's own, where OpenSSH looks for them.
fn ssh(prepared: &Prepared, hosts: &str, plan: &mut Plan) -> Result<SshKeys, MeansError> {
    let own = prepared.places.home.join(".ssh");
    let known = ["known_hosts", "known_hosts2"].map(|name| own.join(name));
    let everybodys = ["ssh_known_hosts", "ssh_known_hosts2"].map(|name| Path::new(SSH).join(name));
    let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    let identities = ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| own.join(name));
    let known = known.into_iter().chain(everybodys).collect();
    let keys = SshKeys::new(known, agent, identities.to_vec())?;
    if plan.tier.has_namespaces() && Path::new(SSH).is_dir() {
        plan.mounts.push(Mount::Private { path: SSH.into(), mode: 0o755 });
        let known = keys.known_hosts_line(hosts)?;
        for (name, text) in [("ssh_known_hosts", known.as_str()), ("ssh_config", SSH_CONFIG)] {
            let path = Path::new(SSH).join(name);
            plan.mounts.push(Mount::Text { path, text: text.as_bytes().to_vec() });
        }
        plan.mounts.push(Mount::Fixed { path: SSH.into(), access: remit_sandbox::Access::Read });
        plan.floor.push(Floor::Read(SSH.into()));
    }
    Ok(keys)
}
