//! Connections: by which of its names a host is judged, and on which way it is
//! reached.

use remit_policy::{Connect, Host, HostName, ProxySettings, Verdict};
use remit_proxy::Way;

use super::Gate;

impl Gate {
    /// What the policy says to a connection. It may name the host's loopback as
    /// `localhost`, whichever of its addresses is asked for.
    pub(crate) fn judge_connect(&self, tried: Connect) -> Verdict<Connect> {
        let is_loopback = matches!(tried.host, Host::Address(address) if address.is_loopback());
        let localhost = HostName::parse("localhost").ok().filter(|_| is_loopback);
        let localhost = localhost.map(|name| Connect { host: Host::Name(name), ..tried.clone() });
        match (self.judge(tried), localhost) {
            (refused @ Verdict::Refuse(_), Some(localhost)) => match self.judge(localhost) {
                Verdict::Refuse(_) => refused,
                named => named,
            },
            (verdict, _) => verdict,
        }
    }

    /// The same for one that a proxy was asked for, to which loopback is the host's.
    pub(super) fn judge_proxied(&self, tried: Connect) -> Verdict<Connect> {
        let is_loopback = tried.is_loopback();
        let mut verdict = self.judge_connect(tried);
        if let Verdict::Refuse(refusal) = &mut verdict
            && is_loopback
        {
            let ours = "servers of the session itself, without a proxy";
            let rest = refusal.instead.take().map(|rest| format!("; {rest}")).unwrap_or_default();
            refusal.instead = Some(format!("{ours}{rest}"));
        }
        verdict
    }

    /// The way on which a permitted connection leaves.
    pub(super) fn way(&self, permitted: &Connect) -> Way {
        let policy = self.policy();
        let Some(proxy) = policy.proxy().filter(|_| !policy.dials_directly(permitted)) else {
            return Way::Direct;
        };
        let ProxySettings { host, port, credential, .. } = proxy;
        let credential = credential.as_ref();
        Way::Proxy {
            host: host.clone(),
            port: *port,
            authorization: credential.and_then(|name| self.credentials.authorization(name)),
        }
    }
}
