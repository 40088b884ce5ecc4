//! The session's own certificate authority.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use remit_policy::Host;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use sha2::{Digest as _, Sha256};

use super::Http;

/// Vouches, towards the session's own programs, for hosts whose TLS is inspected.
///
/// INVARIANT: its keys exist in this value only. Nothing gives them out: they are
/// not written, printed or passed on, and end with the session. The certificate is
/// public, and trusted inside the session only.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// The key of every certificate that is issued: they are all ours.
    key: KeyPair,
    valid: Span,
    /// What is answered with, made once for each host and protocol.
    made: Mutex<HashMap<Answering, Arc<ServerConfig>>>,
}

/// As which host, and in which protocol.
type Answering = (Host, Option<Http>);

/// Why there is no authority, or no certificate of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot make the session's certificate authority")]
    Make(#[source] rcgen::Error),
    #[error("cannot issue a certificate for `{host}`")]
    Issue { host: String, source: rcgen::Error },
    #[error("cannot answer TLS for `{host}`")]
    Answer { host: String, source: rustls::Error },
}

/// From when to when certificates are valid.
#[derive(Clone, Copy)]
struct Span {
    from: SystemTime,
    to: SystemTime,
}

/// A clock inside may be late.
const BEFORE: Duration = Duration::from_secs(24 * 60 * 60);

/// The most that some clients take of a host's certificate. A session that lasts
/// longer gets no inspected connections any more.
const AFTER: Duration = Duration::from_secs(397 * 24 * 60 * 60);

/// How many hosts are remembered; then all are forgotten and made anew.
const REMEMBERED: usize = 1000;

/// How many sessions of TLS can be resumed, for each host.
const RESUMABLE: usize = 32;

/// The longest common name. SOURCE: RFC 5280, appendix A.1, `ub-common-name`.
const LONGEST_NAME: usize = 64;

impl Authority {
    /// Makes a new authority with new keys, for a session that begins `now`.
    pub fn new(now: SystemTime) -> Result<Self, AuthorityError> {
        let valid = Span { from: now - BEFORE, to: now + AFTER };
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        // Lists may hold several of ours: a client finds the right one by its name.
        let digest = Sha256::digest(key.public_key_raw());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let params = valid.params(&format!("Remit session {name}"), |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        });
        let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?;
        Ok(Self {
            certificate: certificate.into(),
            issuer: Issuer::new(params, key),
            key: KeyPair::generate().map_err(AuthorityError::Make)?,
            valid,
            made: Mutex::default(),
        })
    }

    /// Its certificate, in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What a program that asked for `host` is answered with, speaking `http`
    /// where that is agreed on.
    pub(crate) fn answer(
        &self,
        host: &Host,
        http: Option<Http>,
    ) -> Result<Arc<ServerConfig>, AuthorityError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (host.clone(), http);
        if let Some(config) = made.get(&wanted) {
            return Ok(Arc::clone(config));
        }
        if made.len() >= REMEMBERED {
            made.clear();
        }
        let config = Arc::new(self.make(host, http)?);
        made.insert(wanted, Arc::clone(&config));
        Ok(config)
    }

    fn make(&self, host: &Host, http: Option<Http>) -> Result<ServerConfig, AuthorityError> {
        let name = host.to_string();
        let failed = |source| AuthorityError::Answer { host: name.clone(), source };
        let chain = vec![self.issue(host)?];
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(failed)?;
        config.alpn_protocols = http.map(|http| http.alpn().to_vec()).into_iter().collect();
        config.session_storage = ServerSessionMemoryCache::new(RESUMABLE);
        Ok(config)
    }

    fn issue(&self, host: &Host) -> Result<CertificateDer<'static>, AuthorityError> {
        let name = host.to_string();
        let failed = |source| AuthorityError::Issue { host: name.clone(), source };
        let subject = match host {
            Host::Address(address) => SanType::IpAddress(*address),
            Host::Name(name) => {
                SanType::DnsName(Ia5String::try_from(name.as_str()).map_err(failed)?)
            }
        };
        let shown = if name.len() > LONGEST_NAME { "a long name" } else { &name };
        let params = self.valid.params(shown, |params| {
            params.subject_alt_names = vec![subject];
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            // Python's strict verification wants it.
            params.use_authority_key_identifier_extension = true;
        });
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(failed)?;
        Ok(certificate.into())
    }
}

impl Span {
    fn params(self, name: &str, fill: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.not_before = self.from.into();
        params.not_after = self.to.into();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        fill(&mut params);
        params
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority([secret])")
    }
}

#[cfg(test)]
mod tests {
    use remit_policy::Connect;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    fn host(text: &str) -> Host {
        Connect::parse(text).expect("an attempt").host
    }

    fn verify(authority: &Authority, for_host: &str, asked: &str, now: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).expect("a root");
        let verifier = WebPkiServerVerifier::builder_with_provider(
            roots.into(),
            ring::default_provider().into(),
        )
        .build()
        .expect("a verifier");
        let issued = authority.issue(&host(for_host)).expect("a certificate");
        let name = ServerName::try_from(asked).expect("a name");
        let now = now.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        verifier
            .verify_server_cert(&issued, &[], &name, &[], UnixTime::since_unix_epoch(now))
            .is_ok()
    }

    #[test]
    fn a_certificate_is_good_for_its_host_and_its_time_only() {
        let now = SystemTime::now();
        let authority = Authority::new(now).expect("an authority");
        let long = format!("{0}.{0}.example:443", "a".repeat(60));
        assert!(verify(&authority, "api.example:443", "api.example", now));
        assert!(verify(&authority, "192.0.2.1:443", "192.0.2.1", now));
        assert!(verify(&authority, "[2001:db8::1]:443", "2001:db8::1", now));
        assert!(verify(&authority, &long, long.trim_end_matches(":443"), now));
        assert!(!verify(&authority, "api.example:443", "evil.example", now));
        assert!(!verify(&authority, "api.example:443", "a.api.example", now));
        assert!(!verify(&authority, "api.example:443", "api.example", now + AFTER + BEFORE));
    }

    #[test]
    fn nothing_shows_a_key() {
        let authority = Authority::new(SystemTime::now()).expect("an authority");
        assert_eq!(format!("{authority:?}"), "Authority([secret])");
    }

    #[test]
    fn two_sessions_do_not_trust_each_other() {
        let now = SystemTime::now();
        let [one, other] = [Authority::new(now), Authority::new(now)].map(|a| a.expect("made"));
        let mut roots = RootCertStore::empty();
        roots.add(other.certificate.clone()).expect("a root");
        let verifier = WebPkiServerVerifier::builder_with_provider(
            roots.into(),
            ring::default_provider().into(),
        )
        .build()
        .expect("a verifier");
        let issued = one.issue(&host("api.example:443")).expect("a certificate");
        let name = ServerName::try_from("api.example").expect("a name");
        assert!(verifier.verify_server_cert(&issued, &[], &name, &[], UnixTime::now()).is_err());
    }

    #[test]
    fn a_host_is_answered_for_once_and_memory_is_bounded() {
        let authority = Authority::new(SystemTime::now()).expect("an authority");
        let answer = |host: Host, http| authority.answer(&host, http).expect("answered");
        let first = answer(host("a.example:443"), Some(Http::Two));
        assert!(Arc::ptr_eq(&first, &answer(host("a.example:443"), Some(Http::Two))));
        assert!(!Arc::ptr_eq(&first, &answer(host("a.example:443"), None)));
        for number in 0..REMEMBERED {
            answer(host(&format!("h{number}.example:443")), None);
        }
        assert!(authority.made.lock().expect("whole").len() <= REMEMBERED);
    }
}
