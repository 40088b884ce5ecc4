//! A model with one idea: run one shell command, then say it is done.
//!
//! It speaks enough of four wire formats for a tool-calling turn of a real
//! agent: Anthropic Messages, OpenAI Responses and Chat Completions, Gemini. The
//! first request of a conversation is answered with one call of the agent's own
//! shell tool; once a tool result is in the request, with plain text.

mod wire;

use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use wire::Reply;

/// What the model says.
#[derive(Clone, Debug)]
pub struct Script {
    /// The shell command of the one tool call.
    pub command: String,
    /// The text that ends the turn.
    pub farewell: String,
}

/// A model listening on loopback until it is dropped.
#[derive(Debug)]
pub struct MockModel {
    address: SocketAddr,
    server: Stopper,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Requests served at once. Agents hold a few connections open each.
const WORKERS: usize = 4;

impl MockModel {
    /// Listens on `address` (port 0 for any) and answers by `script`. Each
    /// request becomes one line of JSON in `log`: `method`, `path`, `wire`
    /// (absent if unknown), `model`, `tools`, `tool_result` and `user_agent`.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub fn start(address: SocketAddr, script: Script, log: File) -> io::Result<Self> {
        let server = Arc::new(Server::http(address).map_err(io::Error::other)?);
        let address =
            server.server_addr().to_ip().ok_or_else(|| io::Error::other("no IP address"))?;
        let log = Arc::new(Mutex::new(log));
        let threads = (0..WORKERS)
            .map(|_| {
                let (server, script, log) = (Arc::clone(&server), script.clone(), Arc::clone(&log));
                thread::spawn(move || {
                    while let Ok(request) = server.recv() {
                        answer(request, &script, &log);
                    }
                })
            })
            .collect();
        Ok(Self { address, server: Stopper(server), threads })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process ends.
    pub fn serve_forever(mut self) {
        for worker in self.threads.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Drop for MockModel {
    fn drop(&mut self) {
        for _ in &self.threads {
            self.server.0.unblock();
        }
        for worker in self.threads.drain(..) {
            let _ = worker.join();
        }
    }
}

struct Stopper(Arc<Server>);

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

fn answer(mut request: Request, script: &Script, log: &Mutex<File>) {
    let mut raw = Vec::new();
    let read = request.as_reader().read_to_end(&mut raw);
    let body: Value = serde_json::from_slice(&raw).unwrap_or(Value::Null);
    let path = request.url().split('?').next().unwrap_or_default().to_owned();
    let seen = wire::recognise(&path, &body);
    let line = json!({
        "method": request.method().as_str(),
        "path": request.url(),
        "wire": seen.map(|wire| format!("{wire:?}")),
        "model": body["model"],
        "tools": wire::tools(&body).into_iter().map(|tool| tool.name).collect::<Vec<_>>(),
        "tool_result": wire::has_tool_result(&body),
        "user_agent": header(&request, "user-agent"),
        "complete": read.is_ok(),
    });
    if let Ok(mut log) = log.lock() {
        let _ = writeln!(log, "{line}");
    }
    let reply =
        if header(&request, "upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket")) {
            // SOURCE: RFC 9110 §15.5.22. Codex then falls back to POST.
            Reply::refusal(426, "this model speaks no WebSocket")
        } else {
            match seen {
                Some(wire) => wire.reply(&body, script),
                None if *request.method() == Method::Head => Reply::json(&json!({})),
                None => wire::housekeeping(&path),
            }
        };
    let kind = Header::from_bytes("content-type", reply.kind);
    let id = Header::from_bytes("request-id", "req_mock");
    let mut response = Response::from_data(reply.body).with_status_code(reply.status);
    for header in [kind, id].into_iter().flatten() {
        response.add_header(header);
    }
    // The agent may have gone away; that is its business.
    let _ = request.respond(response);
}

fn header(request: &Request, name: &'static str) -> Option<String> {
    let found = request.headers().iter().find(|header| header.field.equiv(name))?;
    Some(found.value.as_str().to_owned())
}
