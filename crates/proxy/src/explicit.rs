//! Programs that insist on a proxy: the gateway's address is one, at any port, in
//! HTTP (`CONNECT` and requests in absolute form) and SOCKS (5, 4 and 4a).
//!
//! What such a program asks for is judged like what is captured, and then carried
//! by the same code. A yes is said before the host is dialled, for what the program
//! says first may decide whether it is.

mod socks;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use remit_policy::{Basis, Host, Permit, Port, Refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::proxied::{self, Passed};
use crate::shared::Shared;
use crate::{Carried, Gate, explain, flow};

/// How long a program may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much is read ahead while a question waits.
const AHEAD_LIMIT: usize = 64 * 1024;

/// A message and its length; `None` while it is not complete.
type Parsed<T> = Result<Option<(T, usize)>, Wrong>;

/// What is not understood, or not served.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    /// What the program is told, in its own protocol.
    reply: Vec<u8>,
    why: String,
}

/// What a program asks for, and in which words.
#[derive(Debug)]
struct Asked {
    host: Host,
    port: Port,
    words: Words,
}

#[derive(Debug)]
enum Words {
    Socks(u8),
    Connect,
    Request(Passed),
}

/// A program that speaks to us.
#[derive(Debug)]
struct Program {
    stream: TcpStream,
    /// Read, and not understood yet.
    said: BytesMut,
}

/// Why a program has asked for nothing.
#[derive(Debug)]
enum Unheard {
    Gone,
    Wrong(Wrong),
}

impl From<Wrong> for Unheard {
    fn from(wrong: Wrong) -> Self {
        Unheard::Wrong(wrong)
    }
}

/// Serves a connection that a program made to the gateway, to its end.
pub(crate) async fn serve<G: Gate>(stream: TcpStream, gate: G, shared: Arc<Shared>) {
    let mut program = Program { stream, said: BytesMut::new() };
    let Asked { host, port, words } = match timeout(PATIENCE, program.ask()).await {
        Ok(Ok(asked)) => asked,
        Ok(Err(Unheard::Wrong(Wrong { reply, why }))) => {
            gate.refused(&misspoken(why));
            return explain::say(program.stream, &reply).await;
        }
        Ok(Err(Unheard::Gone)) | Err(_) => return explain::cut(program.stream),
    };
    let host = match host {
        // What was looked up inside stands for a name.
        Host::Address(address) => shared.names.host(address.to_canonical()),
        name => name,
    };
    let verdict = tokio::select! {
        biased;
        verdict = gate.connect(host, port) => verdict,
        // A program that hangs up withdraws its question.
        () = program.gone() => return explain::cut(program.stream),
    };
    match verdict {
        Ok((gate, permit)) => program.go_on(words, gate, permit, shared).await,
        Err(refusal) => explain::say(program.stream, &words.refused(&refusal)).await,
    }
}

impl Program {
    /// Hears what the program wants.
    async fn ask(&mut self) -> Result<Asked, Unheard> {
        match self.until(|said| Ok(said.first().map(|first| (*first, 0)))).await? {
            4 => {
                let (host, port) = self.until(socks::request4).await?;
                Ok(Asked { host, port, words: Words::Socks(4) })
            }
            5 => self.ask5().await,
            0x16 => Err(Unheard::Wrong(Wrong {
                reply: explain::ALERT_ACCESS_DENIED.to_vec(),
                why: "it speaks TLS; this proxy is spoken to as `http://` or `socks5h://`".into(),
            })),
            _ => self.until(request).await,
        }
    }

    async fn ask5(&mut self) -> Result<Asked, Unheard> {
        let way = self.until(socks::sign_in).await?;
        self.say(&[5, way]).await?;
        if way == socks::PASSWORD {
            self.until(socks::password).await?;
            self.say(&[1, 0]).await?;
        }
        let (host, port) = self.until(socks::request5).await?;
        Ok(Asked { host, port, words: Words::Socks(5) })
    }

    /// Reads until a message is complete, and takes it out of what was said.
    async fn until<T>(&mut self, parse: impl Fn(&[u8]) -> Parsed<T>) -> Result<T, Unheard> {
        loop {
            if let Some((message, length)) = parse(&self.said)? {
                self.said.advance(length);
                return Ok(message);
            }
            match self.stream.read_buf(&mut self.said).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Unheard::Gone),
            }
        }
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), Unheard> {
        self.stream.write_all(bytes).await.map_err(|_| Unheard::Gone)
    }

    /// Ends when the program has hung up. What it says meanwhile is kept; when that
    /// is much, its end is not seen any more.
    async fn gone(&mut self) {
        while self.said.len() < AHEAD_LIMIT {
            if !matches!(self.stream.read_buf(&mut self.said).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Says yes, and carries what follows.
    async fn go_on<G: Gate>(
        mut self,
        words: Words,
        gate: G,
        permit: Permit<remit_policy::Connect>,
        shared: Arc<Shared>,
    ) {
        let said = self.said.split().freeze();
        let (reply, ahead) = match &words {
            Words::Socks(version) => (socks::reply(*version, true), said),
            Words::Connect => (b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec(), said),
            Words::Request(passed) => {
                let head = passed.to_host(permit.attempt());
                (Vec::new(), Bytes::from([&head[..], &said[..]].concat()))
            }
        };
        if self.say(&reply).await.is_err() {
            let reason = "given up by the program";
            return gate.ended(Carried { sent: 0, received: 0, reason });
        }
        flow::carry(self.stream, ahead, gate, permit, shared).await;
    }
}

impl Words {
    fn refused(&self, refusal: &Refusal) -> Vec<u8> {
        let has_body = match self {
            Words::Socks(version) => return socks::reply(*version, false),
            Words::Connect => true,
            Words::Request(passed) => !passed.is_head(),
        };
        answer(StatusCode::FORBIDDEN, refusal, has_body)
    }
}

/// What is asked for in HTTP.
fn request(said: &[u8]) -> Parsed<Asked> {
    let (asked, length) = match proxied::asked(said) {
        Ok(Some(asked)) => asked,
        Ok(None) => return Ok(None),
        Err((status, why)) => {
            let has_body = !said.starts_with(b"HEAD ");
            let reply = answer(status, &misspoken(why.to_owned()), has_body);
            return Err(Wrong { reply, why: why.to_owned() });
        }
    };
    let (there, words) = match asked {
        proxied::Asked::Connection(there) => (there, Words::Connect),
        proxied::Asked::Request(there, passed) => (there, Words::Request(passed)),
    };
    Ok(Some((Asked { host: there.host, port: there.port, words }, length)))
}

/// The refusal of what cannot be understood, or is not served.
fn misspoken(why: String) -> Refusal {
    let mut basis = Basis::built_in("what is asked of a proxy must be readable in one way only");
    basis.justification = Some(why);
    Refusal {
        attempt: "ask the proxy for a connection".to_owned(),
        basis,
        instead: Some("the same without a proxy: connections are captured anyway".to_owned()),
        note: None,
    }
}

fn answer(status: StatusCode, refusal: &Refusal, has_body: bool) -> Vec<u8> {
    let text = format!("{refusal}\n");
    let status = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or_default());
    explain::in_http(&status, "x-remit: refused", &text, has_body)
}
