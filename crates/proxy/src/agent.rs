//! The agent's side of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::shared::Shared;

/// The agent's connection: what was read to see what is spoken comes again first,
/// and every byte is counted.
#[derive(Debug)]
pub(crate) struct Agent {
    stream: TcpStream,
    /// Read already, given out first.
    ahead: Bytes,
    counts: Arc<Counts>,
    shared: Arc<Shared>,
}

/// Bytes so far, known even when the carrying breaks off.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl Agent {
    pub(crate) fn new(
        stream: TcpStream,
        ahead: Bytes,
        counts: Arc<Counts>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { stream, ahead, counts, shared }
    }

    /// The socket itself and what was read ahead of it, for those who count themselves.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.ahead)
    }

    fn sent(&self, bytes: usize) {
        self.counts.sent.fetch_add(bytes as u64, Relaxed);
        self.shared.uploaded.fetch_add(bytes as u64, Relaxed);
    }
}

impl AsyncRead for Agent {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.has_remaining() {
            let length = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead.split_to(length));
            this.sent(length);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.sent(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Agent {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            this.counts.received.fetch_add(*written as u64, Relaxed);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
