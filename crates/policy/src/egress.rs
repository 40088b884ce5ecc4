//! Ways across the boundary beside the agent's own connections: the proxy that
//! everything leaves by, and ports that are opened on the host's loopback.

use std::collections::BTreeMap;

use crate::basis::{Basis, Layer};
use crate::credentials::{Credential, CredentialUse};
use crate::error::PolicyError;
use crate::host::{Host, Port};
use crate::layers::{Force, Said};
use crate::verdict::Refusal;

/// The HTTP proxy that connections leave by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    pub host: Host,
    pub port: Port,
    /// The name of the [`Credential`](crate::Credential) that it is told.
    pub credential: Option<String>,
    pub basis: Basis,
}

/// What was said about both, in order of preference.
#[derive(Debug, Default)]
pub(crate) struct EgressSaid {
    pub(crate) proxy: Vec<Said<(Host, Port)>>,
    pub(crate) proxy_credential: Vec<Said<String>>,
    pub(crate) publish: Vec<Said<Port>>,
}

/// Both, as all layers together have them.
#[derive(Debug)]
pub(crate) struct Egress {
    proxy: Option<ProxySettings>,
    /// How much the statement about the proxy binds those about ways around it.
    force: Force,
    publish: BTreeMap<Port, Basis>,
}

impl EgressSaid {
    pub(crate) fn add(&mut self, more: Self) {
        self.proxy.extend(more.proxy);
        self.proxy_credential.extend(more.proxy_credential);
        self.publish.extend(more.publish);
    }

    /// The system's proxy and credential before anybody else's.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if no credential has the name, or a proxy cannot be told it.
    pub(crate) fn settle(self, credentials: &[Credential]) -> Result<Egress, PolicyError> {
        for said in &self.proxy_credential {
            let reason = match credentials.iter().find(|one| one.name == said.value) {
                Some(Credential {
                    uses: CredentialUse::Bearer | CredentialUse::Basic { .. },
                    ..
                }) => continue,
                Some(_) => format!("a proxy is told `bearer` or `basic`, not `{}`", said.value),
                None => format!("there is no `[credentials.{}]`", said.value),
            };
            return Err(PolicyError::about(&said.basis, reason));
        }
        let credential = chosen(&self.proxy_credential).map(|said| said.value.clone());
        let proxy = chosen(&self.proxy);
        let force = proxy.map_or(Force::Fallback, |said| said.force);
        let proxy = proxy.map(|Said { value: (host, port), basis, .. }| ProxySettings {
            host: host.clone(),
            port: *port,
            credential,
            basis: basis.clone(),
        });
        let publish = self.publish.into_iter().map(|said| (said.value, said.basis)).collect();
        Ok(Egress { proxy, force, publish })
    }
}

fn chosen<T>(said: &[Said<T>]) -> Option<&Said<T>> {
    said.iter().find(|said| said.basis.layer == Layer::System).or(said.first())
}

impl Egress {
    pub(crate) fn proxy(&self) -> Option<&ProxySettings> {
        self.proxy.as_ref()
    }

    /// Whether a statement of this force leads around the proxy.
    pub(crate) fn yields_to(&self, force: Force) -> bool {
        force >= self.force
    }

    pub(crate) fn publishes(&self, port: Port) -> Result<&Basis, Refusal> {
        self.publish.get(&port).ok_or_else(|| {
            let ports: Vec<_> = self.publish.keys().map(|port| format!("`{port}`")).collect();
            let instead = match ports.is_empty() {
                true => "list the port in `network.publish` of your settings".to_owned(),
                false => format!("ports in `network.publish`: {}", ports.join(", ")),
            };
            Refusal {
                attempt: format!("publish port `{port}` on the host's loopback"),
                basis: Basis::built_in("network: only ports that are listed are opened"),
                instead: Some(instead),
                note: None,
            }
        })
    }
}

/// Parses `http://host:port`; a port is always given, and nothing else.
pub(crate) fn proxy(text: &str) -> Result<(Host, Port), String> {
    let wrong = || format!("`{text}` is not a proxy such as `http://proxy.example:3128`");
    let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(format!(
            "`{}` holds a password; name a credential in `network.proxy_credential`",
            "http://…@…"
        ));
    }
    let there = crate::attempt::Connect::parse(rest).ok_or_else(wrong)?;
    Ok((there.host, there.port))
}
