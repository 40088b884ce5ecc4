//! The raw shape of `[review]`, and what it states.

use std::cmp::Reverse;

use serde::Deserialize;
use toml::Spanned;

use super::{Speaker, seconds};
use crate::error::PolicyError;
use crate::layers::Said;
use crate::review::{ReviewFormat, ReviewSaid, ReviewUrl, Reviewer};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReviewText {
    reviewer: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    model: Option<Spanned<String>>,
    credential: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    attempts: Option<Spanned<i64>>,
    breaker: Option<Spanned<i64>>,
    guidance: Option<Spanned<String>>,
}

/// Longest guidance of one text, in bytes. A reviewer reads all of it each time.
const GUIDANCE: usize = 8 * 1024;

impl ReviewText {
    pub(super) fn state(&self, speaker: &Speaker<'_>) -> Result<ReviewSaid, PolicyError> {
        let named = [
            ("review.url", &self.url),
            ("review.model", &self.model),
            ("review.credential", &self.credential),
            ("review.guidance", &self.guidance),
        ];
        for (key, text) in named {
            speaker.widens(key, text)?;
        }
        let timeout = speaker.single("review.timeout", &self.timeout, |text| {
            let within = seconds(text).filter(|it| (1..=90).contains(it));
            let seconds =
                within.ok_or_else(|| format!("`{text}` is not between `1s` and `90s`"))?;
            Ok(Reverse(std::time::Duration::from_secs(seconds)))
        })?;
        let attempts = speaker.raw("review.attempts", &self.attempts, |attempts| {
            let within = u8::try_from(*attempts).ok().filter(|it| (1..=3).contains(it));
            within.map(Reverse).ok_or_else(|| format!("`{attempts}` is not between 1 and 3"))
        })?;
        let breaker = speaker.raw("review.breaker", &self.breaker, |most| {
            let within = u32::try_from(*most).ok().filter(|it| (1..=50).contains(it));
            within.map(Reverse).ok_or_else(|| format!("`{most}` is not between 1 and 50"))
        })?;
        let guidance = speaker.single("review.guidance", &self.guidance, guidance)?;
        Ok(ReviewSaid {
            reviewer: self.reviewer(speaker)?.into_iter().collect(),
            timeout: timeout.into_iter().collect(),
            attempts: attempts.into_iter().collect(),
            breaker: breaker.into_iter().collect(),
            guidance: guidance.into_iter().collect(),
        })
    }

    fn reviewer(
        &self,
        speaker: &Speaker<'_>,
    ) -> Result<Option<Said<Option<Reviewer>>>, PolicyError> {
        let url = speaker.single("review.url", &self.url, ReviewUrl::parse)?;
        let model = speaker.single("review.model", &self.model, model)?;
        let Some(text) = &self.reviewer else {
            let named = [
                ("review.url", &self.url),
                ("review.model", &self.model),
                ("review.credential", &self.credential),
            ];
            let of_whom = "it belongs to a reviewer; say `review.reviewer` in the same table";
            let alone = named.iter().find_map(|(key, text)| Some((key, text.as_ref()?.span())));
            return alone.map_or(Ok(None), |(key, span)| Err(speaker.wrong(key, span, of_whom)));
        };
        let wrong = |why: &str| speaker.wrong("review.reviewer", text.span(), why);
        let (format, address) = match text.get_ref().as_str() {
            "off" => {
                return Ok(Some(speaker.says(
                    None,
                    "review.reviewer = \"off\"".into(),
                    text.span(),
                )));
            }
            "openai" => (ReviewFormat::OpenAi, "https://api.openai.com/v1/chat/completions"),
            "anthropic" => (ReviewFormat::Anthropic, "https://api.anthropic.com/v1/messages"),
            other => {
                return Err(wrong(&format!("it is `off`, `openai` or `anthropic`, not `{other}`")));
            }
        };
        speaker.widens("review.reviewer", &self.reviewer)?;
        let url = match url {
            Some(said) => said.value,
            None => ReviewUrl::parse(address).expect("our own addresses are well-formed"),
        };
        let model = model.ok_or_else(|| wrong("say which `review.model` it is"))?.value;
        let credential = self.credential.as_ref().map(|name| name.get_ref().clone());
        if credential.is_none() && !url.is_here() {
            return Err(wrong(
                "name a credential in `review.credential`; only a reviewer on this machine \
                 needs none",
            ));
        }
        let rule = format!("review.reviewer = {:?}", text.get_ref());
        let reviewer = Reviewer { format, url, model, credential };
        Ok(Some(speaker.says(Some(reviewer), rule, text.span())))
    }
}

fn model(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic());
    match plain {
        true => Ok(text.to_owned()),
        false => Err("a model is at most 128 letters, digits and signs".to_owned()),
    }
}

fn guidance(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("an empty text guides nobody; leave it out".to_owned());
    }
    if text.len() > GUIDANCE {
        return Err(format!("it is longer than {GUIDANCE} bytes"));
    }
    match text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        true => Err("it has control characters".to_owned()),
        false => Ok(text.to_owned()),
    }
}
