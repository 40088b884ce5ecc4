//! The two wire formats that reviewers speak.

use remit_policy::ReviewFormat;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::opinion::{Opinion, Unusable};
use crate::prompt::Prompt;

/// The name of the schema, and of the tool that stands for it.
const NAME: &str = "review";

/// Room for an answer and for a reasoning model's thoughts before it. Anthropic's
/// format wants a number.
const TOKENS: u32 = 4096;

/// Headers that a format wants beside the key.
pub(crate) fn headers(format: ReviewFormat) -> &'static [(&'static str, &'static str)] {
    match format {
        ReviewFormat::OpenAi => &[],
        // SOURCE: Claude API reference, "Versions".
        ReviewFormat::Anthropic => &[("anthropic-version", "2023-06-01")],
    }
}

/// The body of a question.
pub(crate) fn body(format: ReviewFormat, model: &str, prompt: &Prompt) -> Value {
    let Prompt { system, user } = prompt;
    match format {
        // SOURCE: OpenAI API reference, "Create chat completion", structured outputs;
        // Ollama, vLLM and LM Studio take the same.
        ReviewFormat::OpenAi => json!({
            "model": model,
            "stream": false,
            "messages": [
                { "role": "system", "content": system },
                { "role": "user", "content": user },
            ],
            "response_format": {
                "type": "json_schema",
                "json_schema": { "name": NAME, "strict": true, "schema": Opinion::schema() },
            },
        }),
        // SOURCE: Claude API reference, "Messages", and "Tool use", forced tools.
        ReviewFormat::Anthropic => json!({
            "model": model,
            "max_tokens": TOKENS,
            "system": system,
            "messages": [{ "role": "user", "content": user }],
            "tools": [{
                "name": NAME,
                "description": "Answers with the review.",
                "input_schema": Opinion::schema(),
            }],
            "tool_choice": { "type": "tool", "name": NAME },
        }),
    }
}

/// The one answer in a response. Anything else that could be read as an answer
/// makes it none.
pub(crate) fn opinion(format: ReviewFormat, response: &[u8]) -> Result<Opinion, Unusable> {
    let text = match format {
        ReviewFormat::OpenAi => of_openai(response),
        ReviewFormat::Anthropic => of_anthropic(response),
    };
    Opinion::parse(&text.ok_or(Unusable::Form)?)
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Value>>,
}

fn of_openai(response: &[u8]) -> Option<String> {
    let Completion { choices } = serde_json::from_slice(response).ok()?;
    let [Choice { message, finish_reason }] = <[Choice; 1]>::try_from(choices).ok()?;
    let called = message.tool_calls.is_some_and(|calls| !calls.is_empty());
    let whole = finish_reason.as_deref() == Some("stop");
    message.content.filter(|_| whole && !called && message.refusal.is_none())
}

#[derive(Deserialize)]
struct Answer {
    content: Vec<Block>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Box<serde_json::value::RawValue>>,
}

fn of_anthropic(response: &[u8]) -> Option<String> {
    let Answer { content, stop_reason } = serde_json::from_slice(response).ok()?;
    let [Block { r#type, name, input }] = <[Block; 1]>::try_from(content).ok()?;
    let ours = r#type == "tool_use" && name.as_deref() == Some(NAME);
    let whole = stop_reason.as_deref() == Some("tool_use");
    // As it came, so that a field that is there twice is not quietly one.
    input.filter(|_| ours && whole).map(|input| input.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opinion::Outcome;

    const GOOD: &str = r#"{"risk":"low","authorization":"high","outcome":"allow","reason":"r"}"#;

    fn openai(content: &str) -> Value {
        json!({ "id": "x", "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": content, "refusal": null },
        }], "usage": {} })
    }

    fn anthropic(input: &str) -> Value {
        let input: Value = serde_json::from_str(input).expect("JSON");
        json!({ "id": "x", "role": "assistant", "stop_reason": "tool_use", "content": [
            { "type": "tool_use", "id": "t", "name": "review", "input": input },
        ] })
    }

    fn check(format: ReviewFormat, response: &Value, expected: bool) {
        let read = opinion(format, response.to_string().as_bytes());
        assert_eq!(read.is_ok(), expected, "{response}: {read:?}");
        assert!(read.is_err() || read.is_ok_and(|it| it.outcome == Outcome::Allow));
    }

    #[test]
    fn one_answer_of_openais_format_is_read_and_nothing_like_it() {
        let with = |change: fn(&mut Value)| {
            let mut response = openai(GOOD);
            change(&mut response);
            check(ReviewFormat::OpenAi, &response, false);
        };
        check(ReviewFormat::OpenAi, &openai(GOOD), true);
        with(|it| it["choices"] = json!([]));
        with(|it| it["choices"] = json!([it["choices"][0], it["choices"][0]]));
        with(|it| it["choices"][0]["finish_reason"] = "length".into());
        with(|it| it["choices"][0]["finish_reason"] = Value::Null);
        with(|it| it["choices"][0]["finish_reason"] = "content_filter".into());
        with(|it| it["choices"][0]["message"]["refusal"] = "I cannot".into());
        with(|it| it["choices"][0]["message"]["tool_calls"] = json!([{}]));
        with(|it| it["choices"][0]["message"]["content"] = Value::Null);
        with(|it| it["choices"][0]["message"]["content"] = json!([{ "text": GOOD }]));
        with(|it| *it = json!({ "error": { "message": "no" } }));
        with(|it| *it = serde_json::from_str(GOOD).expect("JSON"));
        check(ReviewFormat::OpenAi, &anthropic(GOOD), false);
    }

    #[test]
    fn one_tool_call_of_anthropics_format_is_read_and_nothing_like_it() {
        let with = |change: fn(&mut Value)| {
            let mut response = anthropic(GOOD);
            change(&mut response);
            check(ReviewFormat::Anthropic, &response, false);
        };
        check(ReviewFormat::Anthropic, &anthropic(GOOD), true);
        with(|it| it["content"] = json!([]));
        with(|it| it["content"] = json!([it["content"][0], it["content"][0]]));
        with(|it| it["content"] = json!([{ "type": "text", "text": GOOD }]));
        with(|it| it["content"][0]["name"] = "other".into());
        with(|it| it["content"][0]["type"] = "server_tool_use".into());
        with(|it| it["content"][0]["input"] = GOOD.into());
        with(|it| it["stop_reason"] = "max_tokens".into());
        with(|it| it["stop_reason"] = "refusal".into());
        with(|it| it["content"][0]["input"]["more"] = 1.into());
        check(ReviewFormat::Anthropic, &openai(GOOD), false);
        let twice = anthropic(GOOD)
            .to_string()
            .replace(r#""outcome":"allow""#, r#""outcome":"deny","outcome":"allow""#);
        assert!(opinion(ReviewFormat::Anthropic, twice.as_bytes()).is_err());
    }

    #[test]
    fn the_schema_is_asked_for_in_both_formats() {
        let prompt = Prompt { system: "s".to_owned(), user: "u".to_owned() };
        let body = body(ReviewFormat::OpenAi, "m", &prompt);
        let schema = &body["response_format"]["json_schema"];
        assert_eq!((&schema["strict"], &schema["schema"]), (&true.into(), &Opinion::schema()));
        let body = super::body(ReviewFormat::Anthropic, "m", &prompt);
        assert_eq!(body["tools"][0]["input_schema"], Opinion::schema());
        assert_eq!(body["tool_choice"]["name"], "review");
    }
}
