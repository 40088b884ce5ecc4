//! TLS towards hosts. Their certificates are verified, always: there is no
//! setting and no function that does without.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use remit_policy::{Connect, Host};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Http;

/// Begins TLS to hosts that the machine's own authorities vouch for.
#[derive(Clone, Debug)]
pub struct Upstream {
    config: Arc<ClientConfig>,
}

/// Why no host can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error(
        "cannot verify hosts: this machine trusts no certificate authority; \
         install its bundle of authorities (the package is often called `ca-certificates`)"
    )]
    None,
    #[error("cannot set up TLS")]
    Tls(#[source] Error),
}

/// How long a host may take over its part of the handshake.
const PATIENCE: Duration = Duration::from_secs(15);

impl Upstream {
    /// Trusts what this machine trusts: its bundle of authorities, or what
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` of our own environment name. Reads the disk.
    pub fn load() -> Result<Self, RootsError> {
        // Files that cannot be read leave fewer to trust.
        Self::trusting(rustls_native_certs::load_native_certs().certs)
    }

    /// Trusts these. What is not a certificate is left out.
    pub fn trusting(
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        if roots.is_empty() {
            return Err(RootsError::None);
        }
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(RootsError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: config.into() })
    }

    /// Does the handshake with the host that was asked for, offering `offer`, and
    /// says what was agreed on: `None` where the host names no protocol.
    ///
    /// # Errors
    ///
    /// What is wrong, in words for a person, if the host does not prove to be itself.
    pub(crate) async fn begin<S>(
        &self,
        connect: &Connect,
        offer: &[Http],
        stream: S,
    ) -> Result<(TlsStream<S>, Option<Http>), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let failed = |why: &str| format!("cannot begin TLS with `{connect}`: {why}");
        let name = match &connect.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned())
                .map_err(|_| failed("no certificate can be for such a name"))?,
        };
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = offer.iter().map(|http| http.alpn().to_vec()).collect();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = match tokio::time::timeout(PATIENCE, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(&said(&error))),
            Err(_) => return Err(failed("it does not answer")),
        };
        let agreed = stream.get_ref().1.alpn_protocol().and_then(Http::of);
        Ok((stream, agreed))
    }
}

/// What went wrong on a connection to a host, in words. For errors of reading
/// and writing as well: in TLS 1.3 a host that wants a client certificate says so
/// after the handshake.
pub(crate) fn said(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(why)) => {
            format!("its certificate is not valid: {}", doubt(why))
        }
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it wants a client certificate, which only the program has; \
             let the host pass uninspected (`network.pass_through`)"
                .to_owned()
        }
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            "it speaks none of the protocols that the program and Remit speak".to_owned()
        }
        Some(other) => other.to_string(),
        None => error.to_string(),
    }
}

fn doubt(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            "no authority that this machine trusts has signed it".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its time has not come".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is another host's".to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        other => other.to_string(),
    }
}
