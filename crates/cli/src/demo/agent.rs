//! The scripted agent: asks its model what to do, does it, tells what came of
//! it. It knows nothing of the boundary it runs in.

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use super::read_all;

/// Why the agent gave up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("cannot reach the model at `{model}`")]
    Model { model: String, source: io::Error },
    #[error("the model answered with something that is not a step")]
    Answer,
}

/// More steps than the script has would be a conversation that goes nowhere.
const MOST_STEPS: usize = 20;

pub(crate) fn run(model: &str) -> Result<ExitCode, AgentError> {
    let mut results: Vec<String> = Vec::new();
    while results.len() < MOST_STEPS {
        let body =
            json!({"task": "Fix the greeting and release it.", "results": results}).to_string();
        let answer = http(model, "POST", "/v1/next", &body)
            .map_err(|source| AgentError::Model { model: model.to_owned(), source })?;
        let step: Value = serde_json::from_str(&answer).map_err(|_| AgentError::Answer)?;
        let argument = step["argument"].as_str().ok_or(AgentError::Answer)?;
        let result = match step["tool"].as_str() {
            Some("shell") => shell(argument),
            Some("fetch") => fetch(argument),
            Some("done") => {
                tell(&format!("agent: {argument}"));
                return Ok(ExitCode::SUCCESS);
            }
            _ => return Err(AgentError::Answer),
        };
        results.push(result);
    }
    Err(AgentError::Answer)
}

fn shell(command: &str) -> String {
    tell(&format!("  $ {command}"));
    let result = match Command::new("sh").args(["-c", command]).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&text).into_owned()
        }
        Err(error) => format!("sh: {error}"),
    };
    tell_indented(&result);
    result
}

fn fetch(url: &str) -> String {
    tell(&format!("  > fetch {url}"));
    let address = url.trim_start_matches("http://");
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let result =
        http(host, "GET", &format!("/{path}"), "").unwrap_or_else(|error| error.to_string());
    tell_indented(&result);
    result
}

/// One request on one connection, no proxy variable looked at.
fn http(host: &str, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect(address) {
            Ok(mut stream) => {
                write!(
                    stream,
                    "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )?;
                let reply = read_all(&mut stream)?;
                return Ok(reply
                    .split_once("\r\n\r\n")
                    .map_or(reply.clone(), |(_, body)| body.to_owned()));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tell_indented(text: &str) {
    for line in text.lines() {
        tell(&format!("    {line}"));
    }
}

fn tell(line: &str) {
    // An agent that nobody listens to works all the same.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
