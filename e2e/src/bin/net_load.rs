//! Load for benchmarks of the network: `net-load serve FOLDER` and
//! `net-load drive KIND PORT AMOUNT CLIENTS [AUTHORITY]`.
//!
//! The server listens on ports of 127.0.0.1 and prints them in one line, in the
//! order of [`Kind::ALL`]; it writes its authority to `FOLDER/authority.pem`, and
//! ends when stdin does. The driver prints a number: bytes, connections or
//! requests per second. One thread each, so that both together need one of two
//! processors and what stands between them the other.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Connect, get a byte, end.
    Connections,
    /// Get AMOUNT bytes over one connection.
    Bulk,
    /// `GET` of 1 KiB on a connection that stays.
    Requests,
    /// The same in TLS.
    Tls,
    /// Connect and shake hands in TLS, one request, end.
    Handshakes,
    /// Open AMOUNT connections, say so, keep them for a minute.
    Idle,
}

impl Kind {
    const ALL: [(&str, Kind); 6] = [
        ("connections", Kind::Connections),
        ("bulk", Kind::Bulk),
        ("requests", Kind::Requests),
        ("tls", Kind::Tls),
        ("handshakes", Kind::Handshakes),
        ("idle", Kind::Idle),
    ];

    fn parse(word: &str) -> Outcome<Self> {
        let known = Self::ALL.iter().find(|(name, _)| *name == word);
        known.map(|(_, kind)| *kind).ok_or_else(|| format!("there is no load `{word}`").into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", folder] => serve(Path::new(folder)).await,
        ["drive", kind, port, amount, clients, ref authority @ ..] => {
            let authority = authority.first().map(Path::new);
            drive(Kind::parse(kind)?, port.parse()?, amount.parse()?, clients.parse()?, authority)
                .await
        }
        _ => {
            Err("usage: net-load serve FOLDER | drive KIND PORT AMOUNT CLIENTS [AUTHORITY]".into())
        }
    }
}

async fn serve(folder: &Path) -> Outcome<()> {
    let acceptor = acceptor(folder)?;
    let mut ports = Vec::new();
    for (_, kind) in Kind::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ports.push(listener.local_addr()?.port().to_string());
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let acceptor = acceptor.clone();
                // A client that breaks off is its own affair.
                tokio::spawn(async move { serve_one(kind, stream, acceptor).await });
            }
        });
    }
    writeln!(std::io::stdout(), "{}", ports.join(" "))?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn serve_one(kind: Kind, mut stream: TcpStream, acceptor: TlsAcceptor) -> Outcome<()> {
    match kind {
        Kind::Connections => Ok(stream.write_all(b"x").await?),
        Kind::Bulk => {
            let mut left = stream.read_u64().await?;
            let piece = vec![b'x'; 256 * 1024];
            while left > 0 {
                let length = piece.len().min(usize::try_from(left)?);
                stream.write_all(&piece[..length]).await?;
                left -= length as u64;
            }
            Ok(())
        }
        Kind::Requests => answer(stream).await,
        Kind::Tls | Kind::Handshakes => answer(acceptor.accept(stream).await?).await,
        Kind::Idle => {
            stream.read_to_end(&mut Vec::new()).await?;
            Ok(())
        }
    }
}

/// Answers requests until there are no more.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Outcome<()> {
    let reply = [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1024\r\n\r\n".as_slice(),
        &[b'x'; 1024],
    ]
    .concat();
    let mut heard = Vec::new();
    loop {
        while !heard.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut heard).await? == 0 {
                return Ok(());
            }
        }
        heard.clear();
        stream.write_all(&reply).await?;
    }
}

async fn drive(
    kind: Kind,
    port: u16,
    amount: u64,
    clients: u64,
    authority: Option<&Path>,
) -> Outcome<()> {
    let connector = authority.map(connector).transpose()?;
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(one_client(kind, port, amount / clients, connector.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    writeln!(std::io::stdout(), "{:.1}", amount as f64 / start.elapsed().as_secs_f64())?;
    Ok(())
}

async fn one_client(
    kind: Kind,
    port: u16,
    amount: u64,
    connector: Option<TlsConnector>,
) -> Outcome<()> {
    let missing = "the authority's path is missing";
    match kind {
        Kind::Connections => {
            for _ in 0..amount {
                connect(port).await?.read_u8().await?;
            }
        }
        Kind::Bulk => {
            let mut stream = connect(port).await?;
            stream.write_u64(amount).await?;
            let (mut piece, mut left) = (vec![0; 1024 * 1024], amount);
            while left > 0 {
                match stream.read(&mut piece).await? {
                    0 => return Err("the connection ended early".into()),
                    length => left -= length as u64,
                }
            }
        }
        Kind::Requests => ask(&mut connect(port).await?, port, amount).await?,
        Kind::Tls => {
            let mut stream = secure(&connector.ok_or(missing)?, port).await?;
            ask(&mut stream, port, amount).await?;
        }
        Kind::Handshakes => {
            let connector = connector.ok_or(missing)?;
            for _ in 0..amount {
                ask(&mut secure(&connector, port).await?, port, 1).await?;
            }
        }
        Kind::Idle => {
            let mut held = Vec::new();
            for _ in 0..amount {
                let mut stream = connect(port).await?;
                stream.write_all(b"x").await?;
                held.push(stream);
            }
            writeln!(std::io::stdout(), "open")?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(held);
        }
    }
    Ok(())
}

async fn connect(port: u16) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn secure(
    connector: &TlsConnector,
    port: u16,
) -> Outcome<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("127.0.0.1")?;
    Ok(connector.connect(name, connect(port).await?).await?)
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    port: u16,
    times: u64,
) -> Outcome<()> {
    let request = format!("GET /file HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    let mut heard = Vec::with_capacity(4096);
    for _ in 0..times {
        stream.write_all(request.as_bytes()).await?;
        heard.clear();
        loop {
            if stream.read_buf(&mut heard).await? == 0 {
                return Err("the connection ended early".into());
            }
            let head = heard.windows(4).position(|four| four == b"\r\n\r\n");
            if head.is_some_and(|head| heard.len() >= head + 4 + 1024) {
                break;
            }
        }
        if !heard.starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&heard).into_owned().into());
        }
    }
    Ok(())
}

/// A server's side with an authority of its own, which is written down.
fn acceptor(folder: &Path) -> Outcome<TlsAcceptor> {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    std::fs::write(folder.join("authority.pem"), certified.cert.pem())?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn connector(authority: &Path) -> Outcome<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        // A bundle may hold certificates that are too odd for this library.
        let _ = roots.add(certificate?);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}
