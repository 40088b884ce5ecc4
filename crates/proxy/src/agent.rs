//! The agent's side of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::meter::Meter;

/// The agent's connection: what was read to see what is spoken comes again first,
/// and every byte is counted.
#[derive(Debug)]
pub(crate) struct Agent {
    stream: TcpStream,
    /// Read already, given out first. Not yet counted.
    ahead: Bytes,
    meter: Arc<Meter>,
}

impl Agent {
    pub(crate) fn new(stream: TcpStream, ahead: Bytes, meter: Arc<Meter>) -> Self {
        Self { stream, ahead, meter }
    }

    /// Gives bytes that were read out once more.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.meter.unsends(bytes.len());
        self.ahead = Bytes::from([&bytes[..], &self.ahead[..]].concat());
    }

    /// The socket itself and what was read ahead of it, for those who count themselves.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.stream, self.ahead)
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
            this.meter.sends(length)?;
            buffer.put_slice(&this.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let length = buffer.filled().len() - before;
        if let Err(error) = this.meter.sends(length) {
            buffer.set_filled(before);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Agent {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = std::task::ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.meter.receives(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let stream = Pin::new(&mut this.stream);
        let written = std::task::ready!(stream.poll_write_vectored(context, pieces))?;
        this.meter.receives(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
