//! Named secrets that the agent never holds: where each is kept, and which
//! requests it is put into.

use std::path::PathBuf;

use crate::basis::Basis;
use crate::error::PolicyError;
use crate::layers::Said;
use crate::network::path::PathPattern;
use crate::network::scope::{Read, Scope};
use crate::pattern::{HostPattern, Index};
use crate::request::{Method, Request, Scheme};

/// A secret by its name. It is never held here.
#[derive(Clone, Debug)]
pub struct Credential {
    pub name: String,
    pub source: CredentialSource,
    pub uses: CredentialUse,
    /// The variable inside that holds the placeholder.
    pub expose: Option<String>,
    pub basis: Basis,
    scope: Scope,
    patterns: Vec<HostPattern>,
    hosts: Index,
}

/// Where a secret is kept, outside the boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// An absolute path, which is hidden inside.
    File(PathBuf),
    /// A variable of Remit's own environment, which does not pass inside.
    Variable(String),
    /// An entry of the person's keyring.
    Keyring { service: String, account: String },
}

/// How a secret is put into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialUse {
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// `Authorization: Basic …`, of this user and the secret as password.
    Basic { user: String },
    /// The value of this header, in small letters.
    Header { name: String },
    /// The value of this parameter of the query.
    Query { name: String },
    /// The request is signed anew (AWS Signature Version 4). The secret is
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, or with `:SESSION_TOKEN` behind it.
    Aws,
}

/// A credential as one layer states it.
#[derive(Clone, Debug)]
pub(crate) struct CredentialSaid {
    pub(crate) name: String,
    pub(crate) source: CredentialSource,
    pub(crate) uses: CredentialUse,
    pub(crate) expose: Option<String>,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) paths: Option<Vec<PathPattern>>,
}

/// Brings the credentials of all layers together, in order of their names.
///
/// # Errors
///
/// [`PolicyError`] if two have one name.
pub(crate) fn settle(mut said: Vec<Said<CredentialSaid>>) -> Result<Vec<Credential>, PolicyError> {
    said.sort_by(|a, b| a.value.name.cmp(&b.value.name));
    if let Some([first, second]) =
        said.array_windows().find(|[first, second]| first.value.name == second.value.name)
    {
        let reason = format!("that name is taken by {}", first.basis);
        return Err(PolicyError::about(&second.basis, reason));
    }
    Ok(said.into_iter().map(|said| Credential::new(said.value, said.basis)).collect())
}

impl Credential {
    fn new(said: CredentialSaid, basis: Basis) -> Self {
        let CredentialSaid { name, source, uses, expose, hosts: patterns, methods, paths } = said;
        let scope = Scope { methods, paths, ..Scope::default() };
        let mut hosts = Index::default();
        patterns.iter().for_each(|pattern| hosts.insert(pattern, 0));
        Self { name, source, uses, expose, basis, scope, patterns, hosts }
    }

    /// Whether the secret may be put into this request: its host is named, and
    /// every reading of its method and path. Never into one that is not
    /// encrypted, unless it goes to `localhost` or an address of loopback.
    pub fn applies(&self, request: &Request) -> bool {
        let connect = crate::network::canonical(request.connect.clone());
        let mut named = false;
        self.hosts.visit(&connect.host, connect.port, |_| named = true);
        let private = request.scheme == Scheme::Https || crate::network::is_loopback(&connect.host);
        named && private && Read::of(request).is_some_and(|read| read.is_within(&self.scope))
    }

    /// Whether the secret may be put into some request to this host.
    pub fn is_for(&self, connect: &crate::Connect) -> bool {
        let connect = crate::network::canonical(connect.clone());
        let mut named = false;
        self.hosts.visit(&connect.host, connect.port, |_| named = true);
        named
    }

    pub(crate) fn hosts(&self) -> &[HostPattern] {
        &self.patterns
    }

    /// Variables of Remit's own environment that the session must not get.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let kept = match &self.source {
            CredentialSource::Variable(name) => Some(name.as_str()),
            CredentialSource::File(_) | CredentialSource::Keyring { .. } => None,
        };
        kept.into_iter().chain(self.expose.as_deref())
    }
}
