//! Credentials that the agent never holds.
//!
//! Inside there is a placeholder of the same shape. The secret is put in here, on
//! the way out, into requests that it is bound to and that were permitted; the
//! placeholder and the secret are refused everywhere else, and where an answer
//! repeats a secret, the placeholder is put back.
//!
//! This sees inspected connections only, and what `spell` can spell: a program
//! that holds a secret by other means and encrypts it is not noticed.

mod aws;
mod find;
pub(crate) mod frames;
#[cfg(test)]
mod fuzz;
mod hooks;
mod secret;
mod slot;
mod spell;

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use remit_policy::{Attempt as _, Basis, Credential, CredentialUse, Refusal, Request};

pub(crate) use hooks::{Coming, Leaving, Placeholders, PutIn};
pub use secret::{Secret, SecretError};

use find::Finder;
use secret::placeholder;
use spell::spellings;

/// The credentials of a session. None by default.
#[derive(Debug, Default)]
pub struct Credentials {
    held: Vec<Held>,
    /// What must not leave but where it is bound.
    outgoing: Option<Finder<Meaning>>,
    /// The spellings of secrets in answers, and what stands there instead.
    echoes: Option<Finder<Vec<u8>>>,
}

/// One credential, with its secret read.
#[derive(Debug)]
pub struct Loaded {
    /// As in `[credentials.NAME]`.
    pub name: String,
    pub form: Form,
    /// The variable inside that holds the placeholder.
    pub expose: Option<String>,
    pub bound: Box<dyn Bound>,
}

/// How a secret is put into a request, with the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `authorization: Bearer SECRET`.
    Bearer(Secret),
    /// `authorization: Basic …` of this user and the secret as password.
    Basic { user: String, password: Secret },
    /// This header, and nothing else in it.
    Header { name: HeaderName, secret: Secret },
    /// This parameter of the query.
    Query { name: String, secret: Secret },
    /// The request is signed anew (AWS Signature Version 4).
    Aws(AwsKey),
}

/// A key of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKey {
    /// Such as `AKIAIOSFODNN7EXAMPLE`. Not secret, and yet no business of the agent's.
    pub id: Secret,
    pub secret: Secret,
    /// The token of a key that expires.
    pub session: Option<Secret>,
}

impl Form {
    /// The form that the policy names, filled with the text of a secret as it was
    /// found. A line end after it is not part of it.
    pub fn fill(uses: &CredentialUse, text: &str) -> Result<Self, SecretError> {
        Ok(match uses {
            CredentialUse::Bearer => Form::Bearer(Secret::parse(text)?),
            CredentialUse::Basic { user } => {
                Form::Basic { user: user.clone(), password: Secret::parse(text)? }
            }
            CredentialUse::Header { name } => {
                let name = name.parse().map_err(|_| SecretError::HEADER)?;
                Form::Header { name, secret: Secret::parse(text)? }
            }
            CredentialUse::Query { name } => {
                Form::Query { name: name.clone(), secret: Secret::parse(text)? }
            }
            CredentialUse::Aws => Form::Aws(AwsKey::parse(text)?),
        })
    }
}

impl AwsKey {
    /// Parses `ID:SECRET`, or `ID:SECRET:TOKEN` of a key that expires.
    ///
    /// # Errors
    ///
    /// If there are other than two or three parts, or one of them is no [`Secret`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let parts: Vec<_> = text.trim_end_matches(['\r', '\n']).split(':').collect();
        let (id, secret, session) = match parts[..] {
            [id, secret] => (id, secret, None),
            [id, secret, session] => (id, secret, Some(Secret::parse(session)?)),
            _ => return Err(SecretError::AWS),
        };
        // Slashes and commas would end it within a signature.
        if !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(SecretError::AWS);
        }
        Ok(Self { id: Secret::parse(id)?, secret: Secret::parse(secret)?, session })
    }
}

/// Which requests a credential is for. The policy says so.
pub trait Bound: fmt::Debug + Send + Sync {
    fn applies(&self, request: &Request) -> bool;
}

impl Bound for Credential {
    fn applies(&self, request: &Request) -> bool {
        Credential::applies(self, request)
    }
}

/// Why credentials cannot be held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("credential `{0}` is put into `{1}`, which says where a message ends or goes")]
    Framing(String, HeaderName),
    #[error("credentials `{0}` and `{1}` are both exposed as `{2}`; choose two variables")]
    Exposed(String, String, String),
    #[error(
        "credential `{0}` is exposed as `{1}`; a key of AWS is exposed as a name that ends in \
         `SECRET_ACCESS_KEY`, and its other parts beside it"
    )]
    AwsVariable(String, String),
    #[error("credential `{0}` has a user name with a colon or other than printable ASCII")]
    User(String),
}

/// A credential of the session, and what stands in for it inside.
#[derive(Debug)]
struct Held {
    loaded: Loaded,
    /// The same form, filled with placeholders.
    inside: Form,
}

/// What it means that a text was found on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meaning {
    /// Which credentials have it, by their place in `held`. One secret may be put
    /// in as `basic` for one host and as `bearer` for another.
    of: Vec<usize>,
    what: What,
}

impl Meaning {
    fn is_of(&self, of: usize) -> bool {
        self.of.contains(&of)
    }

    /// Whether it may not be in a request that `bound` are for. A placeholder may,
    /// because it is worth nothing there; a secret comes from nowhere but here.
    fn is_misplaced(&self, bound: &[usize]) -> bool {
        self.what == What::Secret || !self.of.iter().any(|of| bound.contains(of))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Secret,
    Placeholder,
}

impl Credentials {
    /// `entropy` is drawn anew for every session, from the kernel.
    ///
    /// # Errors
    ///
    /// See [`CredentialsError`]; the session does not start.
    pub fn new(loaded: Vec<Loaded>, entropy: &[u8; 32]) -> Result<Self, CredentialsError> {
        let mut drawn = Drawn::new();
        let held: Vec<Held> = loaded
            .into_iter()
            .map(|loaded| Held {
                inside: loaded.form.placeholders(entropy, &loaded.name, &mut drawn),
                loaded,
            })
            .collect();
        check(&held)?;
        let (mut outgoing, mut echoes) = (BTreeMap::new(), BTreeMap::new());
        let mut means = |text: Vec<u8>, of, what| {
            let meaning = outgoing.entry(text).or_insert(Meaning { of: Vec::new(), what });
            meaning.of.push(of);
        };
        for (of, held) in held.iter().enumerate() {
            for (outside, inside) in held.loaded.form.parts().iter().zip(held.inside.parts()) {
                let there = spellings(outside.text.expose());
                let here = spellings(inside.text.expose());
                for (there, here) in there.into_iter().zip(here) {
                    means(here.clone(), of, What::Placeholder);
                    if outside.secret {
                        means(there.clone(), of, What::Secret);
                        echoes.insert(there, here);
                    }
                }
            }
        }
        let outgoing = Finder::new(outgoing.into_iter().collect());
        let echoes = Finder::new(echoes.into_iter().collect());
        Ok(Self { held, outgoing, echoes })
    }

    /// The variables that hold placeholders inside, by name.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables: Vec<_> = self.held.iter().flat_map(Held::variables).collect();
        variables.sort();
        variables
    }

    /// The text with the placeholder wherever it has a secret, for what is written
    /// down or shown.
    pub fn masked(&self, text: &str) -> String {
        String::from_utf8(self.masked_bytes(text.as_bytes()))
            .expect("secrets and placeholders are ASCII")
    }

    /// The same for what may be no text, as long as it was.
    pub fn masked_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if let Some(finder) = &self.echoes {
            finder.replace(&mut bytes);
        }
        bytes
    }

    /// The value of `proxy-authorization` for a proxy that is told this credential.
    /// `None` if there is none of the name, or it is no `bearer` or `basic` one.
    pub fn authorization(&self, name: &str) -> Option<HeaderValue> {
        let held = self.held.iter().find(|held| held.loaded.name == name)?;
        slot::authorization(&held.loaded.form)
    }

    /// The header that authorises whoever holds this credential, for a service that
    /// we ask ourselves. `None` if there is none of the name, or it is no `bearer`
    /// or `header` one.
    pub fn header(&self, name: &str) -> Option<(HeaderName, HeaderValue)> {
        let held = self.held.iter().find(|held| held.loaded.name == name)?;
        match &held.loaded.form {
            form @ Form::Bearer(_) => {
                Some((http::header::AUTHORIZATION, slot::authorization(form)?))
            }
            Form::Header { name, secret } => Some((name.clone(), slot::value(secret.expose()))),
            Form::Basic { .. } | Form::Query { .. } | Form::Aws(_) => None,
        }
    }

    /// Whether a placeholder begins with these bytes.
    pub(crate) fn is_placeholder(&self, bytes: &[u8]) -> bool {
        let mut texts = self.held.iter().flat_map(|held| held.inside.parts());
        texts.any(|part| part.text.expose().as_bytes().starts_with(bytes))
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The refusal of what would carry a credential where it is not bound.
    fn misplaced(&self, request: &Request, found: &Meaning) -> Refusal {
        let name = &self.held[found.of[0]].loaded.name;
        let what = match found.what {
            What::Secret => "secret",
            What::Placeholder => "placeholder",
        };
        self.refusal(
            request,
            format!("the {what} of credential `{name}` goes only where it is bound"),
            format!("requests to the hosts, methods and paths of `credentials.{name}`, encrypted"),
        )
    }

    /// What a program put into a path may be a secret, and refusals are written down.
    fn refusal(&self, request: &Request, rule: String, instead: String) -> Refusal {
        Refusal {
            attempt: self.masked(&request.summary()),
            basis: Basis::built_in(rule),
            instead: Some(instead),
            note: None,
        }
    }
}

impl Held {
    fn variables(&self) -> Vec<(String, String)> {
        let Some(expose) = &self.loaded.expose else { return Vec::new() };
        let owned = |name: String, secret: &Secret| (name, secret.expose().to_owned());
        match &self.inside {
            Form::Bearer(secret)
            | Form::Basic { password: secret, .. }
            | Form::Header { secret, .. }
            | Form::Query { secret, .. } => vec![owned(expose.clone(), secret)],
            Form::Aws(key) => {
                let before = expose.strip_suffix(AWS_VARIABLE).unwrap_or_default();
                let mut all = vec![
                    owned(expose.clone(), &key.secret),
                    owned(format!("{before}ACCESS_KEY_ID"), &key.id),
                ];
                all.extend(
                    key.session.iter().map(|it| owned(format!("{before}SESSION_TOKEN"), it)),
                );
                all
            }
        }
    }
}

/// SOURCE: AWS SDKs and Tools Reference Guide, "AWS access keys".
const AWS_VARIABLE: &str = "SECRET_ACCESS_KEY";

/// SOURCE: RFC 9110 §7.2, §7.6.1, §8.6, RFC 9112 §6.1.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One text of a form, and whether it is secret or only belongs to a secret.
struct Part<'a> {
    text: &'a Secret,
    secret: bool,
}

/// The placeholder of each secret so far, so that equal secrets have equal ones: an
/// answer that repeats one could not say which it means.
type Drawn = BTreeMap<String, Secret>;

impl Form {
    fn parts(&self) -> Vec<Part<'_>> {
        let only = |text| vec![Part { text, secret: true }];
        match self {
            Form::Bearer(secret)
            | Form::Basic { password: secret, .. }
            | Form::Header { secret, .. }
            | Form::Query { secret, .. } => only(secret),
            Form::Aws(AwsKey { id, secret, session }) => {
                let mut parts =
                    vec![Part { text: secret, secret: true }, Part { text: id, secret: false }];
                let token = |text| Part { text, secret: true };
                parts.extend(session.iter().map(token));
                parts
            }
        }
    }

    /// The same form with a placeholder for each text.
    fn placeholders(&self, entropy: &[u8; 32], name: &str, drawn: &mut Drawn) -> Self {
        let mut draw = |text: &Secret, part: &str| {
            let anew = || {
                Secret::parse(&placeholder(text, entropy, &format!("{part}/{name}")))
                    .expect("a placeholder has the shape of a secret")
            };
            drawn.entry(text.expose().to_owned()).or_insert_with(anew).clone()
        };
        let mut one = |secret| draw(secret, "");
        match self {
            Form::Bearer(secret) => Form::Bearer(one(secret)),
            Form::Basic { user, password } => {
                Form::Basic { user: user.clone(), password: one(password) }
            }
            Form::Header { name, secret } => {
                Form::Header { name: name.clone(), secret: one(secret) }
            }
            Form::Query { name, secret } => Form::Query { name: name.clone(), secret: one(secret) },
            Form::Aws(key) => Form::Aws(AwsKey {
                id: draw(&key.id, "id"),
                secret: draw(&key.secret, "secret"),
                session: key.session.as_ref().map(|token| draw(token, "session")),
            }),
        }
    }
}

fn check(all: &[Held]) -> Result<(), CredentialsError> {
    for (place, held) in all.iter().enumerate() {
        let name = &held.loaded.name;
        if let Form::Basic { user, .. } = &held.loaded.form
            && !user.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b':')
        {
            return Err(CredentialsError::User(name.clone()));
        }
        if let Form::Header { name: field, .. } = &held.loaded.form
            && FRAMING.contains(&field.as_str())
        {
            return Err(CredentialsError::Framing(name.clone(), field.clone()));
        }
        if let (Form::Aws(_), Some(expose)) = (&held.loaded.form, &held.loaded.expose)
            && !expose.ends_with(AWS_VARIABLE)
        {
            return Err(CredentialsError::AwsVariable(name.clone(), expose.clone()));
        }
        for other in &all[..place] {
            let before = &other.loaded.name;
            let theirs = other.variables();
            let twice = |(one, _): &(String, String)| theirs.iter().any(|(two, _)| two == one);
            if let Some((variable, _)) = held.variables().into_iter().find(twice) {
                return Err(CredentialsError::Exposed(before.clone(), name.clone(), variable));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
