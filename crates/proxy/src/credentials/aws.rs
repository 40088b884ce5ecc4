//! Signs requests to AWS anew.
//!
//! A program inside signs with a placeholder key. Its signature is checked with
//! that key first: only where we read the request as its signer did do we sign it
//! with the real one. So nothing is signed that a program did not mean, and a
//! request that would be refused far away is refused here, with a reason.
//!
//! SOURCE: AWS Identity and Access Management User Guide, "Create a signed AWS API
//! request"; Amazon S3 API Reference, "Authenticating Requests (AWS Signature
//! Version 4)".

use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use remit_policy::{Request, Scheme};
use sha2::{Digest as _, Sha256};

use super::AwsKey;
use super::slot::{decoded, encoded};
use crate::http::hooks::Draft;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
const CONTENT: &str = "x-amz-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The query parameters of a presigned address, as the headers without them.
const IN_QUERY: [&str; 5] = [
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
];

/// The signature that was replaced, and the one that took its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) inside: String,
    pub(super) outside: String,
}

/// What a program said when it signed.
#[derive(Debug)]
struct Claim {
    /// The query has it, and not the header.
    in_query: bool,
    id: String,
    /// `DATE/REGION/SERVICE/aws4_request`.
    scope: String,
    /// Names of headers, lower case, as listed.
    headers: Vec<String>,
    signature: String,
    /// `20150830T123600Z`.
    time: String,
}

/// Signs with `outside` what was signed with `inside`. A request that is not
/// signed at all stays so: `None`.
///
/// # Errors
///
/// What is wrong with the request, in words that follow "because".
pub(super) fn sign(
    request: &Request,
    draft: &mut Draft,
    inside: &AwsKey,
    outside: &AwsKey,
) -> Result<Option<Signed>, &'static str> {
    let Some(claim) = Claim::of(draft)? else { return Ok(None) };
    if claim.id != inside.id.expose() {
        return Err("it is signed with a key that is not the placeholder");
    }
    let payload = payload(&claim, &draft.headers)?;
    let reading = hosts(request)
        .into_iter()
        .find(|host| {
            signature(request, draft, &claim, host, &payload, inside).as_ref()
                == Some(&claim.signature)
        })
        .ok_or(
            "its signature is not right, or is over a body whose hash it does not state: \
             state `x-amz-content-sha256`",
        )?;
    let claim = Claim { id: outside.id.expose().to_owned(), ..claim };
    claim.put_key(draft, inside, outside)?;
    let anew = signature(request, draft, &claim, &reading, &payload, outside)
        .ok_or("a header that it signs is missing")?;
    claim.put_signature(draft, &anew)?;
    Ok(Some(Signed { inside: claim.signature, outside: anew }))
}

impl Claim {
    fn of(draft: &Draft) -> Result<Option<Self>, &'static str> {
        let presigned = parameter(draft, "X-Amz-Signature")?;
        let mut headers = draft.headers.get_all(header::AUTHORIZATION).iter();
        match (headers.next(), headers.next(), presigned) {
            (None, _, None) => Ok(None),
            (Some(value), None, None) => Self::of_header(value, &draft.headers).map(Some),
            (None, _, Some(signature)) => Self::of_query(draft, signature).map(Some),
            _ => Err("it is signed more than once"),
        }
    }

    fn of_header(value: &HeaderValue, headers: &HeaderMap) -> Result<Self, &'static str> {
        let text = value.to_str().map_err(|_| "its signature is not ASCII")?;
        let fields = text
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '))
            .ok_or("it is signed or authorised in another way than AWS4-HMAC-SHA256")?;
        let (mut credential, mut names, mut signature) = (None, None, None);
        for field in fields.split(',') {
            let (name, value) = field.trim().split_once('=').ok_or("its signature is cut")?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut names,
                "Signature" => &mut signature,
                _ => return Err("its signature has a field that is not known"),
            };
            if place.replace(value.to_owned()).is_some() {
                return Err("its signature has a field twice");
            }
        }
        let time = single(headers, DATE)?.ok_or("it has no `x-amz-date`")?;
        Self::new(false, credential, names, signature, time)
    }

    fn of_query(draft: &Draft, signature: String) -> Result<Self, &'static str> {
        if parameter(draft, "X-Amz-Algorithm")?.as_deref() != Some(ALGORITHM) {
            return Err("it is signed in another way than AWS4-HMAC-SHA256");
        }
        let time = parameter(draft, "X-Amz-Date")?.ok_or("it has no `X-Amz-Date`")?;
        let credential = parameter(draft, "X-Amz-Credential")?;
        Self::new(true, credential, parameter(draft, "X-Amz-SignedHeaders")?, Some(signature), time)
    }

    fn new(
        in_query: bool,
        credential: Option<String>,
        names: Option<String>,
        signature: Option<String>,
        time: String,
    ) -> Result<Self, &'static str> {
        const CUT: &str = "its signature lacks a field";
        let credential = credential.ok_or(CUT)?;
        let (id, scope) = credential.split_once('/').ok_or(CUT)?;
        let parts: Vec<_> = scope.split('/').collect();
        let [date, _, _, "aws4_request"] = parts[..] else {
            return Err("its signature has no scope of four parts");
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/".contains(&b);
        if !scope.bytes().all(plain) || time.len() != 16 || !time.starts_with(date) {
            return Err("its signature's date or scope is not well-formed");
        }
        let headers: Vec<_> = names.ok_or(CUT)?.split(';').map(str::to_owned).collect();
        let is_name = |name: &String| name.parse::<HeaderName>().is_ok_and(|it| it == **name);
        let mut in_order = headers.clone();
        in_order.sort();
        in_order.dedup();
        if !headers.iter().all(is_name) || in_order != headers || !headers.contains(&"host".into())
        {
            return Err("the headers that it signs are not a sorted list with `host`");
        }
        let signature = signature.ok_or(CUT)?;
        if signature.len() != 64 || !signature.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("its signature is not 64 hexadecimal digits");
        }
        Ok(Self { in_query, id: id.to_owned(), scope: scope.to_owned(), headers, signature, time })
    }

    fn service(&self) -> &str {
        self.scope.split('/').nth(2).unwrap_or_default()
    }

    /// S3 and its kin encode a path once and may leave bodies unsigned.
    fn is_s3(&self) -> bool {
        self.service() == "s3" || self.service().starts_with("s3-") || self.service() == "s3express"
    }

    /// Puts the real key's parts where the placeholder's are, but the signature.
    fn put_key(
        &self,
        draft: &mut Draft,
        inside: &AwsKey,
        outside: &AwsKey,
    ) -> Result<(), &'static str> {
        let there = match self.in_query {
            true => parameter(draft, "X-Amz-Security-Token")?,
            false => single(&draft.headers, TOKEN)?,
        };
        if there.as_deref() != inside.session.as_ref().map(|token| token.expose()) {
            return Err("its session token is not the key's");
        }
        if self.in_query && draft.headers.contains_key(TOKEN) {
            return Err("it has a session token in a header that it does not sign");
        }
        if !self.in_query && there.is_some() && !self.headers.contains(&TOKEN.to_owned()) {
            return Err("it does not sign its session token");
        }
        let token = outside.session.as_ref().map(|token| token.expose());
        if self.in_query {
            let credential = format!("{}/{}", self.id, self.scope);
            set_parameter(draft, "X-Amz-Credential", &credential);
            if let Some(token) = token {
                set_parameter(draft, "X-Amz-Security-Token", token);
            }
        } else if let Some(token) = token {
            draft.headers.insert(TOKEN, secret_value(token)?);
        }
        Ok(())
    }

    fn put_signature(&self, draft: &mut Draft, signature: &str) -> Result<(), &'static str> {
        if self.in_query {
            set_parameter(draft, "X-Amz-Signature", signature);
            return Ok(());
        }
        let text = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.id,
            self.scope,
            self.headers.join(";")
        );
        draft.headers.insert(header::AUTHORIZATION, secret_value(&text)?);
        Ok(())
    }
}

/// What the signature says of the body.
fn payload(claim: &Claim, headers: &HeaderMap) -> Result<String, &'static str> {
    match single(headers, CONTENT)? {
        // Each piece of such a body has a signature of its own.
        Some(stated) if stated.starts_with("STREAMING-") && !stated.contains("UNSIGNED") => {
            Err("its body is signed piece by piece: let the program send unsigned payloads")
        }
        Some(stated) => Ok(stated),
        None if claim.in_query && claim.is_s3() => Ok(UNSIGNED.to_owned()),
        // Right if there is no body; if there is one, the check of the signature fails.
        None => Ok(hex(&Sha256::digest(b""))),
    }
}

/// The ways in which the host may have been signed.
fn hosts(request: &Request) -> Vec<String> {
    let with_port = request.connect.to_string();
    let port = u16::from(request.connect.port);
    let usual = match request.scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let without = with_port.rsplit_once(':').map(|(host, _)| host.to_owned());
    without.filter(|_| port == usual).into_iter().chain([with_port]).collect()
}

/// The signature of the request as it stands in the draft. `None` if a header that
/// is to be signed is not there.
fn signature(
    request: &Request,
    draft: &Draft,
    claim: &Claim,
    host: &str,
    payload: &str,
    key: &AwsKey,
) -> Option<String> {
    let canonical = canonical(request, draft, claim, host, payload)?;
    let digest = hex(&Sha256::digest(canonical));
    let text = format!("{ALGORITHM}\n{}\n{}\n{digest}", claim.time, claim.scope);
    let first = format!("AWS4{}", key.secret.expose()).into_bytes();
    let key = claim.scope.split('/').fold(first, |key, part| mac(&key, part));
    Some(hex(&mac(&key, &text)))
}

fn canonical(
    request: &Request,
    draft: &Draft,
    claim: &Claim,
    host: &str,
    payload: &str,
) -> Option<String> {
    let path = request.target.path();
    let path = if claim.is_s3() { decoded(path) } else { path.as_bytes().to_vec() };
    let path: Vec<_> = path.split(|b| *b == b'/').map(encoded).collect();
    let mut pairs: Vec<_> = parameters(draft)
        .filter(|(name, _)| !(claim.in_query && name == b"X-Amz-Signature"))
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort();
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in &claim.headers {
        let value = if name == "host" { host.to_owned() } else { joined(&draft.headers, name)? };
        headers.push_str(&format!("{name}:{value}\n"));
    }
    let method = request.method.as_str();
    let (path, query, names) = (path.join("/"), query.join("&"), claim.headers.join(";"));
    Some(format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}"))
}

/// The values of a header, with runs of spaces made one, joined by commas.
fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Option<Vec<_>> = headers
        .get_all(name)
        .iter()
        .map(|value| Some(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>()))
        .map(|words| Some(words?.join(" ")))
        .collect();
    values.filter(|values| !values.is_empty()).map(|values| values.join(","))
}

fn single(headers: &HeaderMap, name: &str) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(|text| Some(text.to_owned()))
            .map_err(|_| "a header of its signature is not ASCII"),
        _ => Err("a header of its signature is there twice"),
    }
}

fn parameters(draft: &Draft) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
    draft.query.iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()).map(
        |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        },
    )
}

fn parameter(draft: &Draft, name: &str) -> Result<Option<String>, &'static str> {
    let mut values = parameters(draft).filter(|(it, _)| it.eq_ignore_ascii_case(name.as_bytes()));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((spelt, value)), None) if spelt == name.as_bytes() => String::from_utf8(value)
            .map(Some)
            .map_err(|_| "a parameter of its signature is not text"),
        _ => Err("a parameter of its signature is there twice or in another case"),
    }
}

/// Replaces the value of a parameter that is there once.
fn set_parameter(draft: &mut Draft, name: &str, value: &str) {
    debug_assert!(IN_QUERY.contains(&name), "`{name}` is none of a signature's");
    let query = draft.query.take().unwrap_or_default();
    let pairs = query.split('&').map(|pair| {
        let (spelt, _) = pair.split_once('=').unwrap_or((pair, ""));
        match decoded(spelt) == name.as_bytes() {
            true => format!("{name}={}", encoded(value.as_bytes())),
            false => pair.to_owned(),
        }
    });
    draft.query = Some(pairs.collect::<Vec<_>>().join("&"));
}

fn secret_value(text: &str) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "its key does not fit a header")?;
    value.set_sensitive(true);
    Ok(value)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key).expect("any key will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
