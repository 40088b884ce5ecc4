//! The raw shape of `[network]`, and what it states.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::{Speaker, Texts};
use crate::basis::Layer;
use crate::data::{Cache, DataSaid, NO_CAP, Patterns, Web};
use crate::egress::{self, EgressSaid};
use crate::error::PolicyError;
use crate::host::Port;
use crate::layers::{Decision, Force, Said};
use crate::limits;
use crate::network::path::PathPattern;
use crate::network::presets::preset;
use crate::network::programs::Programs;
use crate::network::scope::Scope;
use crate::network::{About, Say};
use crate::pattern::HostPattern;
use crate::request::{Method, Scheme};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NetworkText {
    default: Option<Spanned<String>>,
    allow: Texts,
    ask: Texts,
    deny: Texts,
    internal: Texts,
    inspect: Texts,
    pass_through: Texts,
    opaque: Texts,
    web: Option<Spanned<String>>,
    cache: Option<Spanned<String>>,
    upload: Option<Spanned<String>>,
    patterns: Option<Spanned<String>>,
    publish: Option<Spanned<Vec<Spanned<i64>>>>,
    proxy: Option<Spanned<String>>,
    no_proxy: Texts,
    proxy_credential: Option<Spanned<String>>,
    rules: Vec<Spanned<RuleText>>,
}

/// One `[[network.rules]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    host: Spanned<String>,
    decision: Option<Spanned<String>>,
    scheme: Option<Spanned<String>>,
    methods: Texts,
    paths: Texts,
    programs: Texts,
    ssh: Texts,
    justification: Option<Spanned<String>>,
    upload: Option<Spanned<String>>,
}

/// Everything that one `[network]` states.
#[derive(Debug, Default)]
pub(crate) struct NetworkSaid {
    pub(crate) default: Option<Said<Decision>>,
    pub(crate) hosts: Vec<Said<About>>,
    pub(crate) data: DataSaid,
    pub(crate) egress: EgressSaid,
}

impl NetworkText {
    pub(super) fn state(&self, speaker: &Speaker<'_>) -> Result<NetworkSaid, PolicyError> {
        let mut hosts = Vec::new();
        let lists = [
            ("network.deny", &self.deny, Say::Decide(Decision::Refuse)),
            ("network.ask", &self.ask, Say::Decide(Decision::Ask)),
            ("network.allow", &self.allow, Say::Decide(Decision::Allow)),
            ("network.internal", &self.internal, Say::Internal),
            ("network.inspect", &self.inspect, Say::Inspect),
            ("network.pass_through", &self.pass_through, Say::PassThrough),
            ("network.opaque", &self.opaque, Say::Opaque),
            ("network.no_proxy", &self.no_proxy, Say::Direct),
        ];
        for (key, texts, say) in lists {
            if !narrows(say) {
                speaker.widens(key, texts)?;
            }
            speaker.hosts(key, texts, say, &mut hosts)?;
        }
        for rule in &self.rules {
            rule.get_ref().state(speaker, &mut hosts)?;
        }
        let asks = [("ask", Decision::Ask), ("refuse", Decision::Refuse)];
        let webs = [("full", Web::Full), ("read-only", Web::ReadOnly)];
        let caches = [("off", Cache::Off), ("fill", Cache::Fill), ("only", Cache::Only)];
        let patterns = [("off", Patterns::Off), ("ask", Patterns::Ask)];
        let data = DataSaid {
            upload: one(speaker.single("network.upload", &self.upload, cap)?),
            web: one(speaker.choice("network.web", &self.web, &webs)?),
            cache: one(speaker.choice("network.cache", &self.cache, &caches)?),
            patterns: one(speaker.choice("network.patterns", &self.patterns, &patterns)?),
        };
        Ok(NetworkSaid {
            default: speaker.choice("network.default", &self.default, &asks)?,
            hosts,
            data,
            egress: self.egress(speaker)?,
        })
    }

    fn egress(&self, speaker: &Speaker<'_>) -> Result<EgressSaid, PolicyError> {
        speaker.widens("network.publish", &self.publish)?;
        speaker.widens("network.proxy", &self.proxy)?;
        speaker.widens("network.proxy_credential", &self.proxy_credential)?;
        let mut publish = Vec::new();
        for number in self.publish.iter().flat_map(Spanned::get_ref) {
            let read = |number: &i64| {
                let port = u16::try_from(*number).ok().and_then(|port| Port::try_from(port).ok());
                port.ok_or_else(|| format!("`{number}` is not a port from 1 to 65535"))
            };
            publish.extend(speaker.raw("network.publish", &Some(number.clone()), read)?);
        }
        let name = |text: &str| Ok(text.to_owned());
        Ok(EgressSaid {
            proxy: one(speaker.single("network.proxy", &self.proxy, egress::proxy)?),
            proxy_credential: one(speaker.single(
                "network.proxy_credential",
                &self.proxy_credential,
                name,
            )?),
            publish,
        })
    }
}

fn one<T>(said: Option<Said<T>>) -> Vec<Said<T>> {
    said.into_iter().collect()
}

/// Whether a list takes away, so that a project may have it.
fn narrows(say: Say) -> bool {
    matches!(say, Say::Decide(Decision::Refuse | Decision::Ask) | Say::Inspect)
}

fn cap(text: &str) -> Result<Reverse<u64>, String> {
    match (text, limits::bytes(text)) {
        ("none", _) => Ok(Reverse(NO_CAP)),
        (_, Some(bytes)) => Ok(Reverse(bytes)),
        _ => Err(format!("`{text}` is not a size such as `64KiB` or `1GiB`, and not `none`")),
    }
}

impl RuleText {
    fn state(
        &self,
        speaker: &Speaker<'_>,
        hosts: &mut Vec<Said<About>>,
    ) -> Result<(), PolicyError> {
        let key = |name: &str| format!("network.rules.{name}");
        let decides = [
            ("allow", Decision::Allow),
            ("prompt", Decision::Ask),
            ("forbidden", Decision::Refuse),
        ];
        let decision = speaker.choice(&key("decision"), &self.decision, &decides)?;
        let decision = decision.map(|said| said.value);
        let upload = speaker.single(&key("upload"), &self.upload, cap)?;
        let upload = upload.map(|said| said.value.0).filter(|bytes| *bytes != NO_CAP);
        let wrong = |name: &str, why: &str| speaker.wrong(&key(name), self.host.span(), why);
        if decision.is_none() && self.upload.is_none() {
            return Err(wrong("decision", "a rule has a `decision`, or an `upload` that caps"));
        }
        if decision == Some(Decision::Allow) {
            speaker.widens(&key("decision"), &self.decision)?;
        }
        let scope = self.scope(speaker, key)?;
        if scope.ssh.is_some() && (decision != Some(Decision::Allow) || scope.is_about_requests()) {
            let why = "the commands that may be run over SSH are listed in a rule that allows \
                       them, without `scheme`, `methods` and `paths`";
            return Err(wrong("ssh", why));
        }
        if decision.is_none() && scope.is_about_requests() {
            let why = "a cap without a `decision` is on everything that goes to the host; leave \
                       out `scheme`, `methods` and `paths`";
            return Err(wrong("upload", why));
        }
        let justification = speaker.single(&key("justification"), &self.justification, |text| {
            match text.trim() {
                "" => Err("it is empty".to_owned()),
                _ => Ok(text.to_owned()),
            }
        })?;
        let pattern = speaker.single(&key("host"), &Some(self.host.clone()), |text| {
            let pattern = speaker.pattern(text, decision.map_or(Say::Upload(0), Say::Decide))?;
            Ok(pattern)
        })?;
        let Some(pattern) = pattern.map(|said| said.value) else { return Ok(()) };
        let mut say = |say, scope: Scope, words: String| {
            let about = About { say, hosts: pattern.clone(), scope };
            let mut said = speaker.says(about, format!("network.rules {words}"), self.host.span());
            said.basis.justification = justification.as_ref().map(|said| said.value.clone());
            hosts.push(said);
        };
        if let Some(decision) = decision {
            let word = crate::rules::word(decision);
            say(Say::Decide(decision), scope.clone(), format!("{word} {pattern}{scope}"));
        }
        if scope.ssh.is_some() {
            say(Say::Ssh, scope.clone(), format!("allow {pattern}{scope}"));
        }
        if let Some(bytes) = upload {
            let of = Scope { programs: scope.programs.clone(), ..Scope::default() };
            let size = limits::spell_size(bytes);
            say(Say::Upload(bytes), of.clone(), format!("upload {size} {pattern}{of}"));
        }
        Ok(())
    }

    fn scope(
        &self,
        speaker: &Speaker<'_>,
        key: impl Fn(&str) -> String,
    ) -> Result<Scope, PolicyError> {
        let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
        let scheme = speaker.choice(&key("scheme"), &self.scheme, &schemes)?;
        let ssh = speaker.listed(&key("ssh"), &self.ssh, command)?;
        let programs = speaker.listed(&key("programs"), &self.programs, Programs::parse)?;
        Ok(Scope {
            programs: programs.and_then(Programs::new),
            scheme: scheme.map(|said| said.value),
            methods: speaker.listed(&key("methods"), &self.methods, method)?,
            paths: speaker.listed(&key("paths"), &self.paths, PathPattern::parse)?,
            ssh: ssh.map(BTreeSet::from_iter),
        })
    }
}

pub(crate) fn method(text: &str) -> Result<Method, String> {
    let method = Method::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    match text.bytes().any(|b| b.is_ascii_lowercase()) {
        true => Err(format!("`{text}` is written in capitals, as requests spell it")),
        false => Ok(method),
    }
}

/// The name of a command that a Git client runs over SSH, or another without
/// blanks and what shells read; and before an `@` the user, if it is not `git`.
fn command(text: &str) -> Result<String, String> {
    let plain = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.+/".contains(&b);
        !part.is_empty() && part.bytes().all(plain)
    };
    let (user, name) = text.split_once('@').map_or((None, text), |(user, name)| (Some(user), name));
    match plain(name) && user.is_none_or(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not the name of a command such as `git-upload-pack`")),
    }
}

impl Speaker<'_> {
    /// A host pattern that this voice may use to say so.
    pub(super) fn pattern(&self, text: &str, say: Say) -> Result<HostPattern, String> {
        let pattern = HostPattern::parse(text)
            .map_err(|reason| format!("`{text}` is not a host pattern: {reason}"))?;
        let takes = matches!(
            say,
            Say::Decide(Decision::Refuse) | Say::Inspect | Say::Upload(_) | Say::Direct
        );
        let may_be_broad =
            takes || self.voice.force == Force::Allegation || self.voice.layer == Layer::System;
        if pattern.is_broad() && !may_be_broad {
            return Err(format!("`{text}` covers too much; only the system's settings may say so"));
        }
        Ok(pattern)
    }

    fn hosts(
        &self,
        key: &str,
        texts: &Texts,
        say: Say,
        hosts: &mut Vec<Said<About>>,
    ) -> Result<(), PolicyError> {
        let said = self.list(key, texts, |text| match preset(text) {
            Some(found) => {
                let Say::Decide(decision) = say else {
                    return Err("a preset stands in `allow`, `ask` or `deny`".to_owned());
                };
                let whole = |hosts: HostPattern| About::whole(say, hosts.on_every_port());
                Ok(found?
                    .into_iter()
                    .map(|(hosts, scope)| match decision {
                        Decision::Allow => About { say, hosts, scope },
                        // Never narrower than its author may have meant.
                        Decision::Ask | Decision::Refuse => whole(hosts),
                    })
                    .collect())
            }
            None => Ok(vec![About::whole(say, self.pattern(text, say)?)]),
        })?;
        for Said { value, force, basis } in said {
            let of = |value| Said { value, force, basis: basis.clone() };
            hosts.extend(value.into_iter().map(of));
        }
        Ok(())
    }
}
