//! Bodies of HTTP/1, piece by piece.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::framing::Body;
use super::reader::{Reader, invalid};

/// A body being read.
#[derive(Debug)]
pub(super) struct Pieces {
    state: State,
    extensions: Extensions,
}

/// Whether a chunk's size may have words after it.
///
/// SOURCE: RFC 9112 §7.1.1 has a reader ignore them. Requests with them are
/// refused, for readers differ in where they end; answers are read as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extensions {
    Refused,
    Ignored,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Left(u64),
    ChunkSize,
    /// So many bytes of this chunk are left, and its CR LF.
    Chunk(u64),
    UntilClose,
    Done,
}

const LINE_LIMIT: usize = 4 * 1024;
/// Lines of trailers, which are dropped.
const TRAILER_LIMIT: usize = 64;

impl Pieces {
    pub(super) fn new(body: Body, extensions: Extensions) -> Self {
        let state = match body {
            Body::None => State::Done,
            Body::Length(length) => State::Left(length),
            Body::Chunked => State::ChunkSize,
            Body::UntilClose => State::UntilClose,
        };
        Self { state, extensions }
    }

    /// The next piece. `None` when the body is complete; an error when it breaks off
    /// or is malformed (then its kind is `InvalidData`).
    pub(super) async fn next<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut Reader<R>,
    ) -> io::Result<Option<Bytes>> {
        loop {
            match self.state {
                State::Done => return Ok(None),
                State::Left(left) => {
                    let piece = some(from.piece(left).await?)?;
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 { State::Done } else { State::Left(left) };
                    return Ok(Some(piece));
                }
                State::ChunkSize => {
                    let size = self.size(&from.line(LINE_LIMIT).await?)?;
                    if size == 0 {
                        skip_trailers(from).await?;
                        self.state = State::Done;
                    } else {
                        self.state = State::Chunk(size);
                    }
                }
                State::Chunk(0) => {
                    if !from.line(2).await?.is_empty() {
                        return Err(invalid("a chunk is longer than it says"));
                    }
                    self.state = State::ChunkSize;
                }
                State::Chunk(left) => {
                    let piece = some(from.piece(left).await?)?;
                    self.state = State::Chunk(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                State::UntilClose => {
                    let piece = from.piece(u64::MAX).await?;
                    if piece.is_none() {
                        self.state = State::Done;
                    }
                    return Ok(piece);
                }
            }
        }
    }

    fn size(&self, line: &[u8]) -> io::Result<u64> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, rest) = line.split_at(digits);
        let ignored = self.extensions == Extensions::Ignored
            && matches!(rest.first(), Some(b' ' | b'\t' | b';'))
            && rest.iter().all(|byte| *byte == b'\t' || *byte >= b' ');
        if !(rest.is_empty() || ignored) {
            return Err(invalid("a chunk's size is not a number"));
        }
        // 15 digits: 2^60 is beyond any body.
        if size.is_empty() || size.len() > 15 {
            return Err(invalid("a chunk's size is not a number below 2^60"));
        }
        let text = std::str::from_utf8(size).map_err(|_| invalid("a chunk's size is not ASCII"))?;
        u64::from_str_radix(text, 16).map_err(|_| invalid("a chunk's size is not a number"))
    }
}

async fn skip_trailers<R: AsyncRead + Unpin>(from: &mut Reader<R>) -> io::Result<()> {
    for _ in 0..TRAILER_LIMIT {
        if from.line(LINE_LIMIT).await?.is_empty() {
            return Ok(());
        }
    }
    Err(invalid("there are more than 64 trailers"))
}

fn some(piece: Option<Bytes>) -> io::Result<Bytes> {
    piece.ok_or(io::ErrorKind::UnexpectedEof.into())
}

/// A body being written. Counts, so that it cannot become another than its head
/// says.
#[derive(Debug)]
pub(super) struct Written {
    body: Body,
    length: u64,
}

/// Chunks up to this size are written at once with their frame, larger ones apart.
const COPIED: usize = 16 * 1024;

impl Written {
    pub(super) fn new(body: Body) -> Self {
        Self { body, length: 0 }
    }

    pub(super) async fn piece<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        piece: &[u8],
    ) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.length += piece.len() as u64;
        match self.body {
            Body::None => return Err(changed()),
            Body::Length(length) if self.length > length => return Err(changed()),
            Body::Length(_) | Body::UntilClose => to.write_all(piece).await?,
            Body::Chunked => {
                let size = format!("{:x}\r\n", piece.len());
                if piece.len() <= COPIED {
                    to.write_all(&[size.as_bytes(), piece, b"\r\n"].concat()).await?;
                } else {
                    to.write_all(size.as_bytes()).await?;
                    to.write_all(piece).await?;
                    to.write_all(b"\r\n").await?;
                }
            }
        }
        to.flush().await
    }

    pub(super) async fn end<W: AsyncWrite + Unpin>(self, to: &mut W) -> io::Result<()> {
        match self.body {
            Body::Length(length) if self.length != length => return Err(changed()),
            Body::Chunked => to.write_all(b"0\r\n\r\n").await?,
            _ => {}
        }
        to.flush().await
    }
}

/// What looked at a body changed its length.
fn changed() -> io::Error {
    invalid("the body came out with another length than it went in")
}
