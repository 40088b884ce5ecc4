//! PostgreSQL before it is encrypted or begun: whether TLS follows, and which
//! database is asked for by whom.
//!
//! SOURCE: PostgreSQL, frontend/backend protocol, "Message Formats".

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::flow::Stop;
use crate::{Fact, Gate};

/// How the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Both sides speak TLS now: the agent's next byte is its greeting's.
    Tls,
    /// All is said; what follows is carried as it is.
    Carry,
}

/// What a client says first.
#[derive(Clone, Debug, PartialEq, Eq)]
enum First {
    Tls,
    /// Encryption by GSSAPI, which nobody between can read.
    Gss,
    /// Another connection's query is to be cancelled.
    Cancel,
    Startup {
        user: String,
        database: String,
    },
}

/// Why bytes are not a first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct FirstError(&'static str);

/// SOURCE: `pqcomm.h`, MAX_STARTUP_PACKET_LENGTH.
const LONGEST: usize = 10_000;

const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

/// Whether these first bytes are a PostgreSQL client's; eight decide.
pub(crate) fn begins(first: &[u8]) -> bool {
    let Some(([a, b, c, d], rest)) = first.split_first_chunk::<4>() else { return false };
    let Some(code) = rest.first_chunk::<4>() else { return false };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    match u32::from_be_bytes(*code) {
        TLS | GSS => length == 8,
        CANCEL => (16..=LONGEST).contains(&length),
        version => version >> 16 == 3 && (9..=LONGEST).contains(&length),
    }
}

/// Carries what is said before TLS or the first query, and notes it. GSSAPI's
/// encryption is declined in the server's stead; clients then go on without.
pub(crate) async fn negotiate(
    gate: &impl Gate,
    agent: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<Next, Stop> {
    gate.noted(Fact::Protocol { name: "postgresql", inspected: false });
    // Each kind of encryption may be asked for once, in either order.
    for _ in 0..3 {
        let message = read(agent).await?;
        match parse(&message) {
            Ok(First::Gss) => agent.write_all(b"N").await.map_err(broken)?,
            Ok(First::Tls) => {
                if offer(agent, host, &message).await? {
                    return Ok(Next::Tls);
                }
            }
            first => return begin(gate, host, &message, first).await,
        }
    }
    Err(stop("the client asks for encryption again and again"))
}

/// Carries the beginning of a session within TLS that is ended here, and notes it.
pub(crate) async fn within_tls(
    gate: &impl Gate,
    agent: &mut (impl AsyncRead + Unpin),
    host: &mut (impl AsyncWrite + Unpin),
) -> Result<Next, Stop> {
    gate.noted(Fact::Protocol { name: "postgresql", inspected: true });
    let message = read(agent).await?;
    begin(gate, host, &message, parse(&message)).await
}

/// Tells a client that may not connect, or whose server is not reached, why.
/// `first` is what it said so far.
pub(crate) async fn farewell(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    first: &[u8],
    words: &str,
) {
    let mut message = first.to_vec();
    // Clients do not show what is said before they began, lest it be forged.
    for _ in 0..2 {
        if !matches!(parse(&message), Ok(First::Tls | First::Gss)) {
            break;
        }
        let declined = stream.write_all(b"N").await;
        match (declined, read(stream).await) {
            (Ok(()), Ok(next)) => message = next,
            // It wants encryption or nothing.
            _ => return,
        }
    }
    // It has hung up if this fails.
    let _ = stream.write_all(&error(words)).await;
}

/// An `ErrorResponse`: fatal, "insufficient privilege".
fn error(words: &str) -> Vec<u8> {
    let words = words.replace('\0', " ");
    let fields = format!("SFATAL\0VFATAL\0C42501\0M{words}\0\0");
    let length = (fields.len() + 4) as u32;
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

/// Passes the wish for TLS on. Whether the server agrees.
async fn offer(
    agent: &mut (impl AsyncWrite + Unpin),
    host: &mut (impl AsyncRead + AsyncWrite + Unpin),
    message: &[u8],
) -> Result<bool, Stop> {
    host.write_all(message).await.map_err(broken)?;
    // Not a byte more: what follows belongs to TLS.
    let answer = host.read_u8().await.map_err(broken)?;
    let agreed = match answer {
        b'S' => true,
        b'N' => false,
        _ => return Err(stop("the server neither takes nor declines TLS")),
    };
    agent.write_u8(answer).await.map_err(broken)?;
    Ok(agreed)
}

async fn begin(
    gate: &impl Gate,
    host: &mut (impl AsyncWrite + Unpin),
    message: &[u8],
    first: Result<First, FirstError>,
) -> Result<Next, Stop> {
    match first {
        Ok(First::Startup { user, database }) => gate.noted(Fact::Database { user, database }),
        Ok(First::Cancel) => {}
        Ok(First::Tls | First::Gss) => return Err(stop("the client asks for TLS within TLS")),
        Err(error) => return Err(stop(&error.to_string())),
    }
    host.write_all(message).await.map_err(broken)?;
    Ok(Next::Carry)
}

/// Reads one message without a type: its length, itself included, and the rest.
async fn read(agent: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Stop> {
    let length = agent.read_u32().await.map_err(broken)?;
    if !(8..=LONGEST).contains(&(length as usize)) {
        return Err(stop("the client's first message has no sensible length"));
    }
    let mut message = length.to_be_bytes().to_vec();
    message.resize(length as usize, 0);
    agent.read_exact(&mut message[4..]).await.map_err(broken)?;
    Ok(message)
}

/// Reads a whole message, its length included.
fn parse(message: &[u8]) -> Result<First, FirstError> {
    let short = FirstError("the client's first message is cut short");
    let (length, rest) = message.split_first_chunk::<4>().ok_or(short)?;
    let (code, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
    if u32::from_be_bytes(*length) as usize != message.len() {
        return Err(short);
    }
    match u32::from_be_bytes(*code) {
        TLS if rest.is_empty() => Ok(First::Tls),
        GSS if rest.is_empty() => Ok(First::Gss),
        CANCEL if rest.len() >= 8 => Ok(First::Cancel),
        version if version >> 16 == 3 => startup(rest),
        _ => Err(FirstError("the client speaks a version of the protocol that is not known")),
    }
}

/// Names and values, each ended by a zero byte, and one more at the end.
fn startup(mut rest: &[u8]) -> Result<First, FirstError> {
    let (mut user, mut database) = (None, None);
    loop {
        let name = text(&mut rest)?;
        let field = match name {
            "" if rest.is_empty() => break,
            "" => return Err(FirstError("there is more after the end of the first message")),
            "user" => &mut user,
            "database" => &mut database,
            _ => {
                text(&mut rest)?;
                continue;
            }
        };
        // Servers take the last, and whoever reads the record may take the first.
        if field.replace(text(&mut rest)?.to_owned()).is_some() {
            return Err(FirstError("the client names its user or its database twice"));
        }
    }
    let user = user.filter(|user| !user.is_empty());
    let user = user.ok_or(FirstError("the client names no user"))?;
    let database = database.filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
    Ok(First::Startup { user, database })
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, FirstError> {
    let end = rest.iter().position(|&b| b == 0);
    let end = end.ok_or(FirstError("a text in the client's first message does not end"))?;
    let (text, after) = rest.split_at(end);
    *rest = &after[1..];
    std::str::from_utf8(text)
        .map_err(|_| FirstError("a text in the client's first message is not UTF-8"))
}

fn broken(error: std::io::Error) -> Stop {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => stop("one side ended too early"),
        _ => stop(&error.to_string()),
    }
}

fn stop(why: &str) -> Stop {
    Stop::Failed(format!("cannot begin PostgreSQL: {why}"))
}
