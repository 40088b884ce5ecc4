//! The scripted model, and the registry that the agent wants something from:
//! two small HTTP servers on this machine's loopback.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Where the two listen. They end with the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    pub(super) port: u16,
    pub(super) registry_port: u16,
}

/// What the model wants done, in order. `{registry}` is the registry's address.
const SCRIPT: [(&str, &str); 6] = [
    ("shell", "sed -i s/wrld/world/ greet.sh"),
    ("shell", "sh test.sh"),
    ("shell", "cat < ~/.ssh/id_ed25519"),
    ("fetch", "http://{registry}/greetings/latest"),
    ("shell", "./deploy.sh production"),
    ("done", "The greeting is fixed and tested. I could not deploy: that is not mine to do."),
];

pub(super) fn start() -> io::Result<Model> {
    let registry = TcpListener::bind(("127.0.0.1", 0))?;
    let registry_port = registry.local_addr()?.port();
    serve(registry, |_| "greetings 2.0.1 is the latest\n".to_owned());
    let model = TcpListener::bind(("127.0.0.1", 0))?;
    let port = model.local_addr()?.port();
    serve(model, move |body| next_step(body, registry_port).to_string());
    Ok(Model { port, registry_port })
}

/// The step after as many results as the conversation holds.
fn next_step(body: &str, registry_port: u16) -> Value {
    let conversation: Value = serde_json::from_str(body).unwrap_or_default();
    let results = conversation["results"].as_array().map_or(0, Vec::len);
    let (tool, argument) = SCRIPT[results.min(SCRIPT.len() - 1)];
    let argument = argument.replace("{registry}", &format!("localhost:{registry_port}"));
    json!({"tool": tool, "argument": argument})
}

fn serve(listener: TcpListener, answer: impl Fn(&str) -> String + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that breaks off has only itself to tell.
            let _ = reply(stream, &answer);
        }
    });
}

fn reply(stream: TcpStream, answer: &impl Fn(&str) -> String) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.by_ref().take(8192).read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    let body = answer(&body);
    write!(
        &stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_goes_on_by_what_the_conversation_holds() {
        assert_eq!(next_step("{}", 7)["argument"], "sed -i s/wrld/world/ greet.sh");
        let four = r#"{"results": ["", "", ""]}"#;
        assert_eq!(next_step(four, 7)["argument"], "http://localhost:7/greetings/latest");
        let many = r#"{"results": ["", "", "", "", "", "", "", ""]}"#;
        assert_eq!(next_step(many, 7)["tool"], "done");
    }
}
