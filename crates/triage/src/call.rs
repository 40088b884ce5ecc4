//! One question over HTTP, within a time and a size, to where it was meant and
//! nowhere else.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use remit_policy::{ReviewUrl, Scheme};
use ureq::http::{HeaderName, HeaderValue};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Proxy};

/// Longest response, in bytes. An answer has some hundred.
const LONGEST: u64 = 256 * 1024;

/// Longest head of a response, in bytes.
const LONGEST_HEAD: usize = 32 * 1024;

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    #[error("it did not answer in time")]
    TimedOut,
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("it sent its caller elsewhere, with status {0}")]
    Redirected(u16),
    #[error("its answer is longer than {LONGEST} bytes")]
    TooLong,
    #[error("this machine's certificates cannot be read: {0}")]
    Certificates(String),
}

impl CallError {
    /// Whether the same may succeed in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            CallError::Unreachable(_) => true,
            CallError::Status(status) => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// Where a call goes, and by which way.
#[derive(Clone, Debug)]
pub(crate) struct Way<'w> {
    pub(crate) url: &'w ReviewUrl,
    /// `http://host:port` of the proxy that connections leave by.
    pub(crate) proxy: Option<&'w str>,
}

/// Posts a body of JSON and returns the body of a response with status 200.
pub(crate) fn post(
    way: &Way<'_>,
    headers: &[(HeaderName, HeaderValue)],
    body: &[u8],
    deadline: Instant,
) -> Result<Vec<u8>, CallError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(CallError::TimedOut);
    }
    let mut request = agent(way, left)?.post(way.url.to_string());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.content_type("application/json").send(body).map_err(explain)?;
    let status = response.status().as_u16();
    match status {
        200 => {}
        300..=399 => return Err(CallError::Redirected(status)),
        _ => return Err(CallError::Status(status)),
    }
    response.into_body().into_with_config().limit(LONGEST).read_to_vec().map_err(explain)
}

/// An agent for one call. Nothing of the environment, such as a proxy's name, is
/// heeded, and no redirection is followed: the key goes to the address that the
/// policy names.
fn agent(way: &Way<'_>, left: Duration) -> Result<Agent, CallError> {
    let proxy = way.proxy.map(Proxy::new).transpose();
    let proxy = proxy.map_err(|error| CallError::Unreachable(error.to_string()))?;
    let mut config = Agent::config_builder()
        .timeout_global(Some(left))
        .http_status_as_error(false)
        .https_only(way.url.scheme == Scheme::Https)
        .proxy(proxy)
        .max_redirects(0)
        .max_response_header_size(LONGEST_HEAD)
        .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")));
    if way.url.scheme == Scheme::Https {
        config = config.tls_config(tls()?);
    }
    Ok(config.build().new_agent())
}

/// TLS by the authorities that this machine trusts, read once.
fn tls() -> Result<TlsConfig, CallError> {
    static ROOTS: OnceLock<Result<Arc<Vec<Certificate<'static>>>, String>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let certificates: Vec<_> =
            found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        match certificates.is_empty() {
            true => Err(found.errors.first().map_or("there are none".into(), ToString::to_string)),
            false => Ok(Arc::new(certificates)),
        }
    });
    let roots = roots.clone().map_err(CallError::Certificates)?;
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(roots))
        .build())
}

/// A message that has neither the body nor a header in it.
fn explain(error: ureq::Error) -> CallError {
    match error {
        ureq::Error::Timeout(_) => CallError::TimedOut,
        ureq::Error::BodyExceedsLimit(_) => CallError::TooLong,
        error => CallError::Unreachable(error.to_string()),
    }
}
