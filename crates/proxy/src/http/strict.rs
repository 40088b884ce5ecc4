//! What every request must be, whichever version it came in: for the host that
//! the connection was permitted to, and readable in one way only.

use http::{HeaderMap, HeaderName, StatusCode};
use remit_policy::{Connect, Method, Scheme};

/// Why a request is not passed on: not what it asks for, but how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

impl Malformed {
    pub(super) const fn new(why: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, why }
    }

    /// It is for another host than the connection.
    pub(super) const fn misdirected(why: &'static str) -> Self {
        Self { status: StatusCode::MISDIRECTED_REQUEST, why }
    }
}

/// Fields that some servers obey in place of the method.
const METHOD_OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-forwarded-method",
];

/// Fields that some servers and their front ends obey in place of the target or
/// the host. A request with one of them is not for what its first line says.
const STEERING: [&str; 15] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-uri",
    "x-rewrite-url",
];

/// Fields that a server which writes `_` for `-` (as CGI does) would take for
/// framing, though no proxy does.
const FRAMING: [&str; 6] =
    ["connection", "content-length", "host", "te", "transfer-encoding", "upgrade"];

/// Refuses fields that make a request mean something else than it says. Returns
/// the methods that it asks to have put in place of its own.
pub(super) fn overrides(headers: &HeaderMap) -> Result<Vec<Method>, Malformed> {
    let mut overrides = Vec::new();
    for (name, value) in headers {
        let spelt = name.as_str();
        let meant = spelt.replace('_', "-");
        if meant != spelt && FRAMING.contains(&meant.as_str()) {
            return Err(Malformed::new("a field is written with `_` and may be taken for framing"));
        }
        if STEERING.contains(&meant.as_str()) {
            return Err(Malformed::new(
                "a field (`x-forwarded-host`, `x-original-url`, …) names another host or path",
            ));
        }
        if METHOD_OVERRIDES.contains(&meant.as_str()) {
            let method = value.to_str().ok().and_then(|text| Method::parse(text.trim()).ok());
            let odd = Malformed::new("a field names another method, which is not a method");
            overrides.push(method.ok_or(odd)?);
        }
    }
    Ok(overrides)
}

/// The scheme, the authority and the rest of a target in absolute form.
pub(super) fn absolute(target: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = target.split_once("://").filter(|_| !target.starts_with('/'))?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    Some((scheme, authority, rest))
}

/// The rest of a target in absolute form, as the target in origin form.
/// SOURCE: RFC 9112 §3.2.1 and §3.2.4.
pub(super) fn origin(rest: &str, method: &Method) -> String {
    match rest {
        "" if method.as_str() == "OPTIONS" => "*".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        query => format!("/{query}"),
    }
}

/// The host and port that an authority names.
pub(super) fn named(text: &str, scheme: Scheme) -> Result<Connect, Malformed> {
    let with_port = if text.ends_with(']') || !text.contains(':') {
        format!("{text}:{}", default_port(scheme))
    } else {
        text.to_owned()
    };
    Connect::parse(&with_port).ok_or(Malformed::new("the host is not a host name or an address"))
}

/// Checks that a request's own words for its host are those of the connection.
pub(super) fn same_authority(
    text: &str,
    connect: &Connect,
    scheme: Scheme,
) -> Result<(), Malformed> {
    let asked = named(text, scheme)?;
    if asked.host != connect.host || asked.port != connect.port {
        return Err(Malformed::misdirected("it is for another host than its connection"));
    }
    Ok(())
}

/// Checks every `Host` field. Returns whether there is one.
pub(super) fn same_host(
    headers: &HeaderMap,
    connect: &Connect,
    scheme: Scheme,
) -> Result<bool, Malformed> {
    let mut hosts = headers.get_all(http::header::HOST).iter();
    let Some(host) = hosts.next() else { return Ok(false) };
    if hosts.next().is_some() {
        return Err(Malformed::new("it has more than one `Host`"));
    }
    let text = host.to_str().map_err(|_| Malformed::new("`Host` is not ASCII"))?;
    same_authority(text, connect, scheme)?;
    Ok(true)
}

/// The host as it is written in requests: `api.example`, with the port where it is
/// not the scheme's own.
pub(crate) fn authority(connect: &Connect, scheme: Scheme) -> String {
    let full = connect.to_string();
    if u16::from(connect.port) != default_port(scheme) {
        return full;
    }
    full.rsplit_once(':').map_or(full.clone(), |(host, _)| host.to_owned())
}

fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

/// The only value of a field. An error if there are several.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    several: &'static str,
) -> Result<Option<&'a [u8]>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.as_bytes());
    if values.next().is_some() {
        return Err(Malformed::new(several));
    }
    Ok(value)
}
