//! The one who judges and records, as tests need it: permits what policy
//! permits, and remembers what it was told.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use remit_policy::{
    AgentNeeds, Connect, Grants, Handling, Host, Permit, Place, Policy, PolicyText, Port, Refusal,
    Request, TextKind, Upload, Verdict,
};
use tokio::net::{TcpListener, TcpStream};

use crate::flow::Flow;
use crate::shared::tests::shared;
use crate::{Answered, Carried, Fact, Gate, Requested, Way};

#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    pub(crate) handling: Handling,
    pub(crate) way: Way,
    /// What is asked for later is judged by this.
    pub(crate) policy: Option<Arc<Policy>>,
    pub(crate) refused: Arc<Mutex<Vec<String>>>,
    pub(crate) facts: Arc<Mutex<Vec<Fact>>>,
}

impl Witness {
    pub(crate) fn of_ssh(commands: &[&str]) -> Self {
        let ssh = Some(commands.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>());
        Self { handling: Handling { ssh, ..Handling::default() }, ..Self::default() }
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.facts.lock().expect("no test panicked with it").clone()
    }

    /// With the user's settings in place of its own opinions.
    pub(crate) fn judging(settings: &str) -> Self {
        Self { policy: Some(Arc::new(policy(settings.to_owned()))), ..Self::default() }
    }

    /// By a proxy.
    pub(crate) fn leaving_by(way: Way) -> Self {
        Self { way, ..Self::default() }
    }

    /// The refusals that it was to write down.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.refused.lock().expect("no test panicked with it").clone()
    }

    fn policy(&self) -> &Policy {
        self.policy.as_deref().expect("nothing else is asked for here")
    }

    /// A permitted connection to a server of the test's own.
    pub(crate) fn flow(&self, server: SocketAddr) -> Flow<Self> {
        Flow::new(self.clone(), permit(server), shared())
    }
}

fn policy(text: String) -> Policy {
    let place = Place { home: PathBuf::from("/home/ada"), workspace: "/home/ada/work".into() };
    let text = PolicyText {
        layer: remit_policy::Layer::User,
        kind: TextKind::Settings,
        file: "config.toml".to_owned(),
        text,
    };
    Policy::compile(&[text], None, &AgentNeeds::default(), &place).expect("a policy")
}

/// What the policy permits of this server.
pub(crate) fn permit(server: SocketAddr) -> Permit<Connect> {
    let policy = policy(format!("[network]\nallow = ['{server}']\ninternal = ['{server}']"));
    let port = Port::try_from(server.port()).expect("a port");
    let connect = Connect { host: Host::Address(server.ip()), port, program: None };
    match policy.connect(connect, &Grants::default()) {
        Verdict::Allow(permit) => permit,
        other => panic!("not permitted: {other:?}"),
    }
}

/// Both ends of a connection on the loopback.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("a connection"), far.expect("its other end").0)
}

impl Gate for Witness {
    fn address(&self, _: &Connect, _: IpAddr) -> Result<(), Refusal> {
        Ok(())
    }

    fn way(&self, _: &Connect) -> Way {
        self.way.clone()
    }

    fn caps(&self, _: &Connect) -> crate::Caps {
        crate::Caps::default()
    }

    fn handling(&self, _: &Connect) -> Handling {
        self.handling.clone()
    }

    /// Nobody answers what would be asked about.
    async fn connect(&self, host: Host, port: Port) -> Result<(Self, Permit<Connect>), Refusal> {
        let tried = Connect { host, port, program: None };
        match self.policy().connect(tried, &Grants::default()) {
            Verdict::Allow(permit) => Ok((self.clone(), permit)),
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Ask(_) => std::future::pending().await,
        }
    }

    async fn request(&self, request: Request) -> Result<Requested, Refusal> {
        match self.policy().request(request, &Grants::default()) {
            Verdict::Allow(permit) => Ok(Requested { number: 1, permit }),
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Ask(_) => std::future::pending().await,
        }
    }

    async fn upload(&self, upload: Upload) -> Result<Permit<Upload>, Refusal> {
        panic!("nobody has {} here", upload.what)
    }

    fn answered(&self, _: u64, _: Answered) {}

    fn noted(&self, fact: Fact) {
        self.facts.lock().expect("no test panicked with it").push(fact);
    }

    fn refused(&self, refusal: &Refusal) {
        let why = refusal.basis.justification.as_ref().unwrap_or(&refusal.basis.rule);
        self.refused.lock().expect("no test panicked with it").push(why.clone());
    }

    fn failed(&self, _: String) {}

    fn ended(&self, _: Carried) {}

    async fn revoked(&self, _: &Connect) -> Refusal {
        std::future::pending().await
    }
}
