//! The four wire formats.
//!
//! SOURCE: the public API references of Anthropic Messages, OpenAI Responses
//! and Chat Completions, and Gemini `generateContent`.

use serde_json::{Value, json};

use super::Script;

/// Which format a request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Anthropic,
    Responses,
    Chat,
    GeminiStream,
    Gemini,
}

/// An answer, ready to be sent.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(value: &Value) -> Self {
        Self { status: 200, kind: "application/json", body: value.to_string().into_bytes() }
    }

    pub(super) fn refusal(status: u16, message: &str) -> Self {
        let error = json!({ "error": { "type": "not_found_error", "message": message } });
        Self { status, ..Self::json(&error) }
    }

    /// Server-sent events. Each is named by its own `type`, if `named`.
    fn events(events: &[Value], named: bool) -> Self {
        let mut text = String::new();
        for event in events {
            if let (true, Some(name)) = (named, event["type"].as_str()) {
                text.push_str(&format!("event: {name}\n"));
            }
            text.push_str(&format!("data: {event}\n\n"));
        }
        Self { status: 200, kind: "text/event-stream", body: text.into_bytes() }
    }
}

/// The format of a request that asks the model to speak, if it is one.
pub(super) fn recognise(path: &str, body: &Value) -> Option<Wire> {
    if !body.is_object() {
        return None;
    }
    if path.ends_with("/messages") {
        Some(Wire::Anthropic)
    } else if path.ends_with("/responses") {
        Some(Wire::Responses)
    } else if path.ends_with("/chat/completions") {
        Some(Wire::Chat)
    } else if path.ends_with(":streamGenerateContent") {
        Some(Wire::GeminiStream)
    } else if path.ends_with(":generateContent") {
        Some(Wire::Gemini)
    } else {
        None
    }
}

/// Everything agents ask beside the model: token counts, lists, greetings.
pub(super) fn housekeeping(path: &str) -> Reply {
    if path.ends_with("/count_tokens") {
        Reply::json(&json!({ "input_tokens": 11 }))
    } else if path.ends_with(":countTokens") {
        Reply::json(&json!({ "totalTokens": 11 }))
    } else if path.ends_with("/models") {
        let models = json!([{ "id": "mock", "object": "model" }]);
        Reply::json(&json!({ "object": "list", "data": models, "models": [] }))
    } else if path.ends_with("/api/hello") {
        Reply::json(&json!({}))
    } else {
        Reply::refusal(404, "the mock model has no such endpoint")
    }
}

/// A tool that the agent offers.
pub(super) struct Tool<'a> {
    pub(super) name: &'a str,
    parameters: &'a Value,
}

/// Every tool offered, whatever the format.
pub(super) fn tools(body: &Value) -> Vec<Tool<'_>> {
    let mut found = Vec::new();
    for tool in list(&body["tools"]) {
        let declarations = list(&tool["functionDeclarations"]);
        let nested = list(&tool["tools"]);
        let one = if tool["function"].is_object() { &tool["function"] } else { tool };
        for tool in std::iter::once(one).chain(declarations).chain(nested) {
            let parameters = ["input_schema", "parameters", "parametersJsonSchema"]
                .iter()
                .map(|key| &tool[*key])
                .find(|value| value.is_object())
                .unwrap_or(&Value::Null);
            if let Some(name) = tool["name"].as_str() {
                found.push(Tool { name, parameters });
            }
        }
    }
    found
}

/// Whether the conversation already carries the result of a tool.
pub(super) fn has_tool_result(body: &Value) -> bool {
    const RESULTS: [&str; 4] = [
        "tool_result",
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
    ];
    match body {
        Value::Array(items) => items.iter().any(has_tool_result),
        Value::Object(fields) => {
            let kind = body["type"].as_str().unwrap_or_default();
            RESULTS.contains(&kind)
                || body["role"] == "tool"
                || fields.contains_key("functionResponse")
                || ["messages", "input", "contents", "content", "parts"]
                    .iter()
                    .any(|key| has_tool_result(&body[*key]))
        }
        _ => false,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What the model does in one turn.
enum Turn {
    Call { tool: String, arguments: Value },
    Say(String),
}

/// The names that agents give their shell tool.
const SHELL_TOOLS: [&str; 7] = [
    "Bash",
    "bash",
    "exec_command",
    "shell_command",
    "shell",
    "run_shell_command",
    "execute_command",
];

fn turn(body: &Value, script: &Script) -> Turn {
    let offered = tools(body);
    let shell = SHELL_TOOLS.iter().find_map(|name| offered.iter().find(|tool| tool.name == *name));
    let Some(shell) = shell.filter(|_| !has_tool_result(body)) else {
        return Turn::Say(script.farewell.clone());
    };
    let properties = &shell.parameters["properties"];
    let mut arguments = if properties["cmd"].is_object() {
        json!({ "cmd": script.command })
    } else if properties["command"]["type"] == "array" {
        json!({ "command": ["sh", "-c", script.command] })
    } else {
        json!({ "command": script.command })
    };
    if properties["description"].is_object() {
        arguments["description"] = json!("the mock model's one idea");
    }
    Turn::Call { tool: shell.name.to_owned(), arguments }
}

impl Wire {
    pub(super) fn reply(self, body: &Value, script: &Script) -> Reply {
        let turn = turn(body, script);
        let stream = body["stream"] == true;
        match self {
            Wire::Anthropic if stream => Reply::events(&anthropic_events(body, &turn), true),
            Wire::Anthropic => Reply::json(&anthropic(body, &turn)),
            Wire::Responses => Reply::events(&responses_events(body, &turn), true),
            Wire::Chat if stream => {
                let mut reply = Reply::events(&chat_events(body, &turn), false);
                reply.body.extend_from_slice(b"data: [DONE]\n\n");
                reply
            }
            Wire::Chat => Reply::json(&chat(body, &turn)),
            Wire::GeminiStream => Reply::events(&[gemini(&turn)], false),
            Wire::Gemini => Reply::json(&gemini(&turn)),
        }
    }
}

fn anthropic(body: &Value, turn: &Turn) -> Value {
    let (content, reason) = match turn {
        Turn::Call { tool, arguments } => (
            json!({ "type": "tool_use", "id": "toolu_mock", "name": tool, "input": arguments }),
            "tool_use",
        ),
        Turn::Say(text) => (json!({ "type": "text", "text": text }), "end_turn"),
    };
    json!({
        "id": "msg_mock", "type": "message", "role": "assistant", "model": body["model"],
        "content": [content], "stop_reason": reason, "stop_sequence": null,
        "usage": { "input_tokens": 11, "output_tokens": 7 },
    })
}

fn anthropic_events(body: &Value, turn: &Turn) -> Vec<Value> {
    let whole = anthropic(body, turn);
    let mut start = whole.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let (block, delta) = match turn {
        Turn::Call { tool, arguments } => (
            json!({ "type": "tool_use", "id": "toolu_mock", "name": tool, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": arguments.to_string() }),
        ),
        Turn::Say(text) => {
            (json!({ "type": "text", "text": "" }), json!({ "type": "text_delta", "text": text }))
        }
    };
    let ending = json!({ "stop_reason": whole["stop_reason"], "stop_sequence": null });
    vec![
        json!({ "type": "message_start", "message": start }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": ending, "usage": { "output_tokens": 7 } }),
        json!({ "type": "message_stop" }),
    ]
}

fn responses_events(body: &Value, turn: &Turn) -> Vec<Value> {
    let item = match turn {
        Turn::Call { tool, arguments } => json!({
            "type": "function_call", "id": "fc_mock", "call_id": "call_mock", "name": tool,
            "arguments": arguments.to_string(), "status": "completed",
        }),
        Turn::Say(text) => json!({
            "type": "message", "id": "msg_mock", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }),
    };
    let usage = json!({
        "input_tokens": 11, "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": 7, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 18,
    });
    let response = |status: &str, output: Value, usage: Value| {
        json!({
            "id": "resp_mock", "object": "response", "model": body["model"],
            "status": status, "output": output, "usage": usage,
        })
    };
    vec![
        json!({ "type": "response.created", "response": response("in_progress", json!([]), Value::Null) }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": response("completed", json!([item]), usage) }),
    ]
}

fn chat_message(turn: &Turn) -> (Value, &'static str) {
    match turn {
        Turn::Call { tool, arguments } => {
            let function = json!({ "name": tool, "arguments": arguments.to_string() });
            let call =
                json!({ "index": 0, "id": "call_mock", "type": "function", "function": function });
            (json!({ "role": "assistant", "content": null, "tool_calls": [call] }), "tool_calls")
        }
        Turn::Say(text) => (json!({ "role": "assistant", "content": text }), "stop"),
    }
}

fn chat(body: &Value, turn: &Turn) -> Value {
    let (message, reason) = chat_message(turn);
    json!({
        "id": "chatcmpl-mock", "object": "chat.completion", "created": 0, "model": body["model"],
        "choices": [{ "index": 0, "message": message, "finish_reason": reason }],
        "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
    })
}

fn chat_events(body: &Value, turn: &Turn) -> Vec<Value> {
    let (delta, reason) = chat_message(turn);
    let chunk = |delta: Value, reason: Value| {
        json!({
            "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 0, "model": body["model"],
            "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }],
        })
    };
    let mut last = chunk(json!({}), json!(reason));
    last["usage"] = json!({ "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 });
    vec![chunk(delta, Value::Null), last]
}

fn gemini(turn: &Turn) -> Value {
    let part = match turn {
        Turn::Call { tool, arguments } => {
            json!({ "functionCall": { "name": tool, "args": arguments } })
        }
        Turn::Say(text) => json!({ "text": text }),
    };
    json!({
        "candidates": [{
            "content": { "role": "model", "parts": [part] }, "finishReason": "STOP", "index": 0,
        }],
        "usageMetadata": { "promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18 },
        "modelVersion": "mock", "responseId": "mock",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        Script { command: "echo hi".into(), farewell: "done".into() }
    }

    fn check(path: &str, body: &Value, expected: &str) {
        let wire = recognise(path, body).expect("a request to the model");
        let reply = String::from_utf8(wire.reply(body, &script()).body).expect("text");
        assert!(reply.contains(expected), "{path} answered {reply}");
    }

    #[test]
    fn every_wire_first_calls_the_shell_and_then_says_farewell() {
        let schema = json!({ "type": "object", "properties": { "command": { "type": "string" } } });
        let tool = json!({ "name": "Bash", "input_schema": schema });
        check(
            "/v1/messages",
            &json!({ "tools": [tool], "stream": true }),
            r#"{\"command\":\"echo hi\"}"#,
        );
        let result = json!([{ "role": "user", "content": [{ "type": "tool_result" }] }]);
        check("/v1/messages", &json!({ "tools": [tool], "messages": result }), r#""text":"done""#);

        let schema = json!({ "properties": { "cmd": { "type": "string" } } });
        let tool = json!({ "type": "function", "name": "exec_command", "parameters": schema });
        check("/v1/responses", &json!({ "tools": [tool] }), r#"{\"cmd\":\"echo hi\"}"#);
        let result = json!([{ "type": "function_call_output" }]);
        check("/v1/responses", &json!({ "tools": [tool], "input": result }), r#""text":"done""#);

        let tool = json!({ "type": "function", "function": { "name": "shell" } });
        check("/v1/chat/completions", &json!({ "tools": [tool], "stream": true }), "tool_calls");
        let result = json!([{ "role": "tool" }]);
        check(
            "/v1/chat/completions",
            &json!({ "tools": [tool], "messages": result }),
            r#""content":"done""#,
        );

        let tool = json!({ "functionDeclarations": [{ "name": "run_shell_command" }] });
        check("/v1beta/models/m:generateContent", &json!({ "tools": [tool] }), "functionCall");
        let result = json!([{ "parts": [{ "functionResponse": {} }] }]);
        check(
            "/m:streamGenerateContent",
            &json!({ "tools": [tool], "contents": result }),
            r#"{"text":"done"}"#,
        );
    }
}
