//! Bytes read ahead of what they mean.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::head;
use super::strict::Malformed;

/// One side of a connection, with what was read of it and not used yet.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    held: BytesMut,
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The other side closed before its first byte.
    Ended,
    Broken(io::Error),
    Malformed(Malformed),
}

/// How much is read at once: few bytes while little is expected, so that an idle
/// connection is cheap.
const LITTLE: usize = 2 * 1024;
const MUCH: usize = 64 * 1024;

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, held: BytesMut::new() }
    }

    /// What was read and not used.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Reads more; `false` at the end. Nothing is lost when it is dropped.
    async fn more(&mut self, room: usize) -> io::Result<bool> {
        self.held.reserve(room);
        Ok(self.from.read_buf(&mut self.held).await? > 0)
    }

    /// Waits for a first byte. `false` if the other side closed instead.
    pub(super) async fn begun(&mut self) -> io::Result<bool> {
        if self.held.is_empty() {
            // Lets go of what the last body needed.
            self.held = BytesMut::new();
            return self.more(LITTLE).await;
        }
        Ok(true)
    }

    /// The bytes of a head.
    pub(super) async fn head(&mut self) -> Result<Bytes, NoHead> {
        if !self.begun().await.map_err(NoHead::Broken)? {
            return Err(NoHead::Ended);
        }
        let mut seen = 0;
        loop {
            match head::end(&self.held, seen) {
                Ok(Some(end)) => return Ok(self.held.split_to(end).freeze()),
                Ok(None) => seen = self.held.len(),
                Err(malformed) => return Err(NoHead::Malformed(malformed)),
            }
            if !self.more(LITTLE).await.map_err(NoHead::Broken)? {
                return Err(NoHead::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// The next bytes, at least one and at most `most`. `None` at the end.
    pub(super) async fn piece(&mut self, most: u64) -> io::Result<Option<Bytes>> {
        if self.held.is_empty() && !self.more(MUCH).await? {
            return Ok(None);
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.held.len());
        Ok(Some(self.held.split_to(length).freeze()))
    }

    /// A line without its CR LF, at most `limit` bytes long.
    pub(super) async fn line(&mut self, limit: usize) -> io::Result<Bytes> {
        loop {
            if let Some(at) = self.held.iter().position(|byte| *byte == b'\n') {
                if at > limit {
                    return Err(invalid("a line is too long"));
                }
                let mut line = self.held.split_to(at + 1).freeze();
                if at == 0 || line[at - 1] != b'\r' || line[..at - 1].contains(&b'\r') {
                    return Err(invalid("a line does not end with CR LF"));
                }
                line.truncate(at - 1);
                return Ok(line);
            }
            if self.held.len() > limit {
                return Err(invalid("a line is too long"));
            }
            if !self.more(LITTLE).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Ends when the other side has closed. What it says meanwhile is kept; when
    /// that is much, its end is not seen any more.
    pub(super) async fn gone(&mut self) -> io::Result<()> {
        while self.held.len() < MUCH {
            if !self.more(LITTLE).await? {
                return Ok(());
            }
        }
        std::future::pending().await
    }
}

pub(super) fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
