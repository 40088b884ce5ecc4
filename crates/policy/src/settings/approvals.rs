//! The raw shape of `[approvals]`, and what it states.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{Speaker, Texts, duration};
use crate::approvals::{ApprovalsSaid, Notify, WebhookSaid};
use crate::error::PolicyError;
use crate::grant::Choice;
use crate::host::Host;
use crate::layers::Said;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApprovalsText {
    patience: Option<Spanned<String>>,
    answers: Texts,
    reason: Option<Spanned<bool>>,
    session_expiry: Option<Spanned<String>>,
    project_expiry: Option<Spanned<String>>,
    people: Option<Spanned<i64>>,
    people_high: Option<Spanned<i64>>,
    break_glass: Option<Spanned<String>>,
    notify: Option<Spanned<String>>,
    webhook: Option<Spanned<WebhookText>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WebhookText {
    url: Option<Spanned<String>>,
    credential: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
}

/// The yeses that a policy can name.
const YESES: [(&str, Choice); 5] = [
    ("once", Choice::Once),
    ("session", Choice::Session),
    ("host", Choice::Host),
    ("domain", Choice::Domain),
    ("project", Choice::Project),
];

impl ApprovalsText {
    pub(super) fn state(&self, speaker: &Speaker<'_>) -> Result<ApprovalsSaid, PolicyError> {
        speaker.widens("approvals.notify", &self.notify)?;
        speaker.widens("approvals.webhook", &self.webhook)?;
        let single = |key: &str, text, read: fn(&str) -> Result<Duration, String>| {
            speaker.single(&format!("approvals.{key}"), text, read)
        };
        let notify = [("off", Notify::Off), ("desktop", Notify::Desktop)];
        Ok(ApprovalsSaid {
            patience: one(single("patience", &self.patience, duration)?),
            answers: one(self.answers(speaker)?),
            reason: one(speaker.raw("approvals.reason", &self.reason, |on| Ok(*on))?),
            session_expiry: one(single("session_expiry", &self.session_expiry, session_expiry)?),
            project_expiry: one(single("project_expiry", &self.project_expiry, days)?),
            people: one(speaker.raw("approvals.people", &self.people, people)?),
            people_high: one(speaker.raw("approvals.people_high", &self.people_high, people)?),
            break_glass: one(single("break_glass", &self.break_glass, break_glass)?),
            notify: one(speaker.choice("approvals.notify", &self.notify, &notify)?),
            webhook: one(self.webhook(speaker)?),
        })
    }

    /// One statement for the whole list, for what it leaves out is taken away.
    fn answers(
        &self,
        speaker: &Speaker<'_>,
    ) -> Result<Option<Said<BTreeSet<Choice>>>, PolicyError> {
        let key = "approvals.answers";
        let Some(list) = &self.answers else { return Ok(None) };
        let read = |text: &str| {
            let found = YESES.iter().find(|(word, _)| *word == text);
            let words = YESES.map(|(word, _)| format!("`{word}`")).join(", ");
            found.map(|(_, yes)| *yes).ok_or_else(|| format!("a yes is {words}, not `{text}`"))
        };
        let named = speaker.listed(key, &self.answers, read)?.unwrap_or_default();
        let words: Vec<_> =
            list.get_ref().iter().map(|text| format!("{:?}", text.get_ref())).collect();
        let rule = format!("{key} = [{}]", words.join(", "));
        Ok(Some(speaker.says(named.into_iter().collect(), rule, list.span())))
    }

    fn webhook(&self, speaker: &Speaker<'_>) -> Result<Option<Said<WebhookSaid>>, PolicyError> {
        let Some(text) = &self.webhook else { return Ok(None) };
        let part = |key: &str| format!("approvals.webhook.{key}");
        let missing = |key: &str, what: &str| speaker.wrong(&part(key), text.span(), what);
        let WebhookText { url, credential, timeout } = text.get_ref();
        let url = speaker
            .single(&part("url"), url, webhook_url)?
            .ok_or_else(|| missing("url", "it says where questions go: `url = \"https://…\"`"))?;
        let credential = speaker
            .single(&part("credential"), credential, |name| Ok(name.to_owned()))?
            .ok_or_else(|| {
                missing("credential", "it names the `[credentials.NAME]` to sign with")
            })?;
        let timeout = speaker.single(&part("timeout"), timeout, duration)?;
        let said = WebhookSaid {
            url: url.value,
            credential: credential.value,
            timeout: timeout.map_or(Duration::from_secs(30), |said| said.value),
        };
        Ok(Some(speaker.says(said, "approvals.webhook".to_owned(), text.span())))
    }
}

fn one<T>(said: Option<Said<T>>) -> Vec<Said<T>> {
    said.into_iter().collect()
}

/// `"end"` is as long as a session can last, and longer.
fn session_expiry(text: &str) -> Result<Duration, String> {
    match text {
        "end" => Ok(Duration::MAX),
        text => duration(text).map_err(|why| format!("{why}, or `end`")),
    }
}

fn break_glass(text: &str) -> Result<Duration, String> {
    match text {
        "off" => Ok(Duration::ZERO),
        text => duration(text).map_err(|why| format!("{why}, or `off`")),
    }
}

/// A number and `d`: from one day to a year.
fn days(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('d').filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
    match number.and_then(|number| number.parse::<u64>().ok()) {
        Some(days @ 1..=365) => Ok(Duration::from_secs(days * 24 * 60 * 60)),
        Some(_) => Err(format!("`{text}` is not between `1d` and `365d`")),
        None => Err(format!("`{text}` is not a number of days such as `30d`")),
    }
}

fn people(number: &i64) -> Result<u8, String> {
    let small = u8::try_from(*number).ok().filter(|number| (1..=5).contains(number));
    small.ok_or_else(|| format!("it is a number from 1 to 5, not {number}"))
}

/// `https://host[:port]/path`; `http://` to loopback alone, since questions tell
/// what a session does.
fn webhook_url(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("`{text}` is not a webhook's address: {why}"));
    let (encrypted, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return wrong("it begins with `https://`"),
    };
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['#', '\\', '"', '`']) {
        return wrong("it is written in visible ASCII, without a fragment");
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("a webhook's address holds no name and no password".to_owned());
    }
    let bare = authority.strip_suffix(']').is_some() || !authority.contains(':');
    let full = if bare { format!("{authority}:443") } else { authority.to_owned() };
    let Some(there) = crate::attempt::Connect::parse(&full) else {
        return wrong("no host can be read in it");
    };
    let local = match &there.host {
        Host::Address(address) => address.is_loopback(),
        Host::Name(name) => name.as_str() == "localhost",
    };
    match encrypted || local {
        true => Ok(text.to_owned()),
        false => wrong("without encryption it is on this machine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_encrypted_or_on_this_machine() {
        for good in [
            "https://hooks.example/remit?team=a",
            "https://hooks.example:8443/x",
            "http://127.0.0.1:8080/x",
            "http://[::1]:8080/x",
            "http://localhost/x",
        ] {
            assert_eq!(webhook_url(good).as_deref(), Ok(good));
        }
        for bad in [
            "http://hooks.example/x",
            "http://127.0.0.1.evil.example/x",
            "http://127.0.0.1@evil.example/x",
            "https://me:secret@hooks.example/",
            "https:///x",
            "https://hooks.example:0/x",
            "ftp://hooks.example/",
            "https://hooks.example/#x",
            "https://hooks.exam ple/",
            "http://localhost\\@evil.example/",
        ] {
            assert!(webhook_url(bad).is_err(), "{bad}");
        }
    }
}
