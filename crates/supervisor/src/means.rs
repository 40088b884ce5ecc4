//! What a session needs to look into connections: made before it starts, trusted
//! inside, kept in memory only.

use std::io;
use std::time::SystemTime;

use remit_proxy::{Authority, AuthorityError, RootsError, Shared, Tls, Upstream};
use remit_sandbox::Plan;

use crate::prepare::Prepared;
use crate::trust;

/// Keys of the session, as far as its policy needs any.
#[derive(Debug)]
pub(crate) struct Means {
    tls: Option<Tls>,
}

/// Why connections could not be looked into. The session does not start.
#[derive(Debug, thiserror::Error)]
pub enum MeansError {
    #[error("cannot inspect TLS, as the policy says")]
    Authority(#[from] AuthorityError),
    #[error("cannot inspect TLS, as the policy says: no host could be verified")]
    Roots(#[from] RootsError),
    #[error("cannot place the session's authority where programs look for it")]
    Place(#[source] io::Error),
}

impl Means {
    /// Makes what the policy needs and places the public part of it in the plan,
    /// which is otherwise complete.
    pub(crate) fn make(prepared: &Prepared, plan: &mut Plan) -> Result<Self, MeansError> {
        let tls = prepared.policy.inspects_anything().then(|| authority(prepared, plan));
        Ok(Self { tls: tls.transpose()? })
    }

    /// Gives them to the connections of the session.
    pub(crate) fn share(self, shared: Shared) -> Shared {
        match self.tls {
            Some(tls) => shared.inspecting(tls),
            None => shared,
        }
    }
}

fn authority(prepared: &Prepared, plan: &mut Plan) -> Result<Tls, MeansError> {
    let authority = Authority::new(SystemTime::now())?;
    let upstream = Upstream::load()?;
    let scratch = prepared.scratch.as_deref();
    trust::install(authority.certificate(), &prepared.places.home, scratch, plan)
        .map_err(MeansError::Place)?;
    Ok(Tls { authority, upstream })
}
