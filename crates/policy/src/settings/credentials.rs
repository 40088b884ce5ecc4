//! The raw shape of `[credentials.NAME]`, and what it states.

use serde::Deserialize;
use toml::Spanned;

use super::network::method;
use super::{Speaker, Texts};
use crate::credentials::{CredentialSaid, CredentialSource, CredentialUse};
use crate::environment::Environment;
use crate::error::PolicyError;
use crate::layers::Said;
use crate::network::Say;
use crate::network::path::PathPattern;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CredentialText {
    source: Option<Spanned<SourceText>>,
    hosts: Texts,
    methods: Texts,
    paths: Texts,
    r#as: Option<Spanned<String>>,
    name: Option<Spanned<String>>,
    expose: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SourceText {
    file: Option<String>,
    variable: Option<String>,
    keyring: Option<String>,
}

impl CredentialText {
    pub(super) fn state(
        &self,
        speaker: &Speaker<'_>,
        name: &Spanned<String>,
    ) -> Result<Said<CredentialSaid>, PolicyError> {
        let key = |part: &str| format!("credentials.{}.{part}", name.get_ref());
        let wrong = |part: &str, why: String| speaker.wrong(&key(part), name.span(), why);
        identifier(name.get_ref()).map_err(|why| {
            speaker.wrong(&format!("credentials.{}", name.get_ref()), name.span(), why)
        })?;
        let source = self.source.as_ref().ok_or_else(|| {
            wrong(
                "source",
                "it says where the secret is kept: `source = { file = \"~/…\" }`".into(),
            )
        })?;
        let source = source
            .get_ref()
            .read(speaker)
            .map_err(|why| speaker.wrong(&key("source"), source.span(), why))?;
        let uses = self.uses().map_err(|(part, why)| wrong(part, why))?;
        let hosts = speaker.listed(&key("hosts"), &self.hosts, |text| {
            speaker.pattern(text, Say::Decide(crate::layers::Decision::Allow)).and_then(|pattern| {
                match pattern.is_broad() {
                    true => Err(format!("`{text}` covers too much for a secret")),
                    false => Ok(pattern),
                }
            })
        })?;
        let hosts = hosts.unwrap_or_default();
        let expose = speaker.single(&key("expose"), &self.expose, |text| {
            Environment::check(text)?;
            match (text.ends_with('*'), hosts.is_empty()) {
                (true, _) => Err(format!("`{text}` is not the name of one variable")),
                (_, true) => Err("a secret without `hosts` is not put into requests".to_owned()),
                _ => Ok(text.to_owned()),
            }
        })?;
        let said = CredentialSaid {
            name: name.get_ref().clone(),
            source,
            uses,
            expose: expose.map(|said| said.value),
            hosts,
            methods: speaker.listed(&key("methods"), &self.methods, method)?,
            paths: speaker.listed(&key("paths"), &self.paths, PathPattern::parse)?,
        };
        Ok(speaker.says(said, format!("credentials.{}", name.get_ref()), name.span()))
    }

    fn uses(&self) -> Result<CredentialUse, (&'static str, String)> {
        let ways = "it is `bearer`, `basic`, `header`, `query` or `aws`";
        let Some(way) = &self.r#as else { return Err(("as", ways.to_owned())) };
        let name = self.name.as_ref().map(|name| name.get_ref().clone());
        let named = |what: &str| name.clone().ok_or_else(|| ("name", what.to_owned()));
        let uses = match way.get_ref().as_str() {
            "basic" => {
                let user = named("with `as = \"basic\"` it is the user")?;
                if user.contains(':') || user.chars().any(char::is_control) {
                    return Err(("name", "a user has no `:` and no control characters".to_owned()));
                }
                CredentialUse::Basic { user }
            }
            "header" => {
                let name = named("with `as = \"header\"` it is the header's name")?;
                header(&name).map_err(|why| ("name", why))?;
                CredentialUse::Header { name: name.to_ascii_lowercase() }
            }
            "query" => {
                let name = named("with `as = \"query\"` it is the parameter's name")?;
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$".contains(&b);
                if name.is_empty() || !name.bytes().all(plain) {
                    let why = "a parameter is letters, digits, `-`, `_`, `.`, `~` and `$`";
                    return Err(("name", why.to_owned()));
                }
                CredentialUse::Query { name }
            }
            way @ ("bearer" | "aws") => {
                if name.is_some() {
                    return Err(("name", format!("with `as = \"{way}\"` there is no name")));
                }
                if way == "aws" { CredentialUse::Aws } else { CredentialUse::Bearer }
            }
            other => return Err(("as", format!("{ways}, not `{other}`"))),
        };
        Ok(uses)
    }
}

impl SourceText {
    fn read(&self, speaker: &Speaker<'_>) -> Result<CredentialSource, String> {
        match (&self.file, &self.variable, &self.keyring) {
            (Some(file), None, None) => {
                if file.starts_with("./") {
                    return Err(format!("`{file}`: a secret is not kept in the workspace"));
                }
                let path = speaker.place.resolve(file).map_err(|why| format!("`{file}`: {why}"))?;
                Ok(CredentialSource::File(path))
            }
            (None, Some(variable), None) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                match !variable.is_empty() && variable.bytes().all(plain) {
                    true => Ok(CredentialSource::Variable(variable.clone())),
                    false => Err(format!("`{variable}` is not the name of a variable")),
                }
            }
            (None, None, Some(entry)) => match entry.split_once('/') {
                Some((service, account)) if !service.is_empty() && !account.is_empty() => {
                    let (service, account) = (service.to_owned(), account.to_owned());
                    Ok(CredentialSource::Keyring { service, account })
                }
                _ => Err(format!("`{entry}` is not an entry such as `service/account`")),
            },
            _ => Err("it is exactly one of `file`, `variable` and `keyring`".to_owned()),
        }
    }
}

fn identifier(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    match !name.is_empty() && name.len() <= 64 && name.bytes().all(plain) {
        true => Ok(()),
        false => Err("a name is at most 64 letters, digits, `-` and `_`".to_owned()),
    }
}

/// Headers that frame a message or say where it goes are not for secrets.
fn header(name: &str) -> Result<(), String> {
    const OURS: [&str; 9] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
    ];
    // SOURCE: RFC 9110 §5.6.2, tokens.
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("`{name}` is not the name of a header"));
    }
    match OURS.contains(&name.to_ascii_lowercase().as_str()) {
        true => Err(format!("`{name}` is a header that carries no secrets")),
        false => Ok(()),
    }
}
