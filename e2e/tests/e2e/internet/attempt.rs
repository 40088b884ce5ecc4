//! Bytes that a program tries to send somewhere, many at a time in one session.

use serde_json::{Value, json};

use super::Internet;
use crate::places;

/// One thing that a program tries.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What is tried, for messages.
    pub what: String,
    host: String,
    port: u16,
    tls: Option<Value>,
    send: Vec<u8>,
}

impl Attempt {
    /// Sends bytes as they are.
    pub fn plain(what: &str, host: impl Into<String>, port: u16, send: impl AsRef<[u8]>) -> Self {
        Self {
            what: what.to_owned(),
            host: host.into(),
            port,
            tls: None,
            send: send.as_ref().to_vec(),
        }
    }

    /// Sends bytes within TLS, to a server that proves to be the host.
    pub fn secure(what: &str, host: &str, port: u16, send: impl AsRef<[u8]>) -> Self {
        let tls = Some(json!({ "name": host, "verify": true }));
        Self { tls, ..Self::plain(what, host, port, send) }
    }

    /// The same, giving another name, whoever answers.
    pub fn naming(self, name: Option<&str>) -> Self {
        Self { tls: Some(json!({ "name": name, "verify": false })), ..self }
    }

    /// And more bytes after those.
    pub fn also(mut self, more: impl AsRef<[u8]>) -> Self {
        self.send.extend(more.as_ref());
        self
    }

    fn to_json(&self) -> Value {
        let hex: String = self.send.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "host": self.host, "port": self.port, "tls": self.tls, "send": hex })
    }
}

const PROGRAM: &str = include_str!("attempts.py");

impl Internet<'_> {
    /// Tries all inside, in one session. What came back of each, in order: a first
    /// line, `closed` or `error …`.
    #[track_caller]
    pub fn try_inside(&self, attempts: &[Attempt]) -> Vec<String> {
        self.tried(attempts, places::remit().to_str(), &["run", "--"])
    }

    /// The control: tries all in the laboratory without Remit.
    #[track_caller]
    pub fn try_outside(&self, attempts: &[Attempt]) -> Vec<String> {
        self.tried(attempts, None, &[])
    }

    #[track_caller]
    fn tried(&self, attempts: &[Attempt], under: Option<&str>, words: &[&str]) -> Vec<String> {
        self.script("attempts.py", PROGRAM);
        let list = Value::Array(attempts.iter().map(Attempt::to_json).collect());
        self.script("attempts.json", &list.to_string());
        let command = [words, &["python3", "attempts.py", "attempts.json"]].concat();
        let output = match under {
            Some(program) => self.lab.run(program, &command),
            None => self.lab.run(command[0], &command[1..]),
        };
        let output = output.succeeds();
        let outcomes: Vec<String> = output.out.lines().map(str::to_owned).collect();
        assert_eq!(outcomes.len(), attempts.len(), "{output:?}");
        outcomes
    }

    /// Every attempt is refused inside: by an answer in its own words or by an error,
    /// and none of the needles reached a server. The control gets all of them there.
    #[track_caller]
    pub fn refuses(&self, attempts: &[Attempt], needle: &str) {
        self.forget();
        for (attempt, outcome) in attempts.iter().zip(self.try_inside(attempts)) {
            assert!(is_refused(&outcome), "{}: {outcome}\n{attempt:?}", attempt.what);
        }
        assert_eq!(self.saw(&[needle]), [Value::Null; 0], "nothing of it arrived");
        let outcomes = self.try_outside(attempts);
        let arrived = self.saw(&[needle]).len();
        assert!(arrived >= attempts.len(), "the control: {arrived} of {outcomes:?}");
        self.forget();
    }
}

/// Whether an outcome is a refusal.
pub fn is_refused(outcome: &str) -> bool {
    // In the words of PostgreSQL and of SSH.
    outcome.contains("FATAL")
        || ["N", "SSH-2.0-Remit"].contains(&outcome)
        || ["closed", "error", "HTTP/1.1 4", "HTTP/1.1 502", "HTTP/1.1 505"]
            .iter()
            .any(|no| outcome.starts_with(no))
}

/// The first message of TLS, byte by byte, for what no library sends.
///
/// SOURCE: RFC 8446 §4.1.2; RFC 9849 (encrypted server names) for extension 0xfe0d.
pub fn client_hello(name: Option<&str>, encrypted: bool) -> Vec<u8> {
    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }
    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes(), &sized(body)[..]].concat()
    }
    let mut extensions = Vec::new();
    if let Some(name) = name {
        extensions.extend(extension(0, &sized(&[&[0], &sized(name.as_bytes())[..]].concat())));
    }
    extensions.extend(extension(10, &[0, 2, 0, 0x1d])); // x25519
    extensions.extend(extension(13, &[0, 6, 4, 3, 8, 4, 4, 1])); // ECDSA, RSA-PSS, RSA
    extensions.extend(extension(43, &[2, 3, 4])); // TLS 1.3
    // The key 9 is a point like any other.
    let share = [&[0, 0x1d, 0, 32, 9][..], &[0; 31]].concat();
    extensions.extend(extension(51, &sized(&share)));
    if encrypted {
        // An outer hello: HKDF-SHA256, AES-128-GCM, an identifier, no key, a payload.
        let sealed = [&[0, 0, 1, 0, 1, 7, 0, 32][..], &[5; 32], &sized(&[6; 200])].concat();
        extensions.extend(extension(0xfe0d, &sealed));
    }
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &sized(&extensions)].concat();
    let message = [&[1, 0][..], &sized(&body)].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}
