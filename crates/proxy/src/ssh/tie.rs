//! Sockets lent to the protocol's own tasks, and how fast they are read.
//!
//! Each side's task takes whatever has arrived, so neither ever waits for the
//! other, and what waits between them is bounded here: a socket is not read
//! while too much of it waits. One exception keeps both from waiting forever:
//! the host is heard while anything waits *for* it, as it has to say when it
//! can take more.

use std::io;

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, copy, duplex, split,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes taken from one side that the other has not been given yet. A message
/// also counts for its own size, so that small ones are not free.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(watch::Sender<Bytes>);

#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    // Given may be counted before taken, so these may be negative for a moment.
    for_host: i64,
    for_agent: i64,
}

/// Whom bytes wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Host,
    Agent,
}

/// Twice what a side may send before it hears that more can be taken.
const ENOUGH: i64 = 4 * 1024 * 1024;

/// Reached only by a program that sends much and does not read what comes back.
const TOO_MUCH: i64 = 64 * 1024 * 1024;

/// What a message takes beside its bytes, at least.
const MESSAGE: i64 = 64;

/// Messages in a queue. Never reached, as `ENOUGH` bytes are in fewer.
pub(super) const QUEUE: usize = 128 * 1024;

/// Between a socket and the protocol, in bytes.
const BUFFER: usize = 64 * 1024;

impl Waiting {
    /// False when so much waits that the connection is to end.
    pub(super) fn taken(&self, whom: For, bytes: usize) -> bool {
        self.change(whom, bytes as i64 + MESSAGE) < TOO_MUCH
    }

    pub(super) fn given(&self, whom: For, bytes: usize) {
        self.change(whom, -(bytes as i64 + MESSAGE));
    }

    fn change(&self, whom: For, by: i64) -> i64 {
        let mut now = 0;
        self.0.send_modify(|waiting| {
            let bytes = match whom {
                For::Host => &mut waiting.for_host,
                For::Agent => &mut waiting.for_agent,
            };
            *bytes += by;
            now = *bytes;
        });
        now
    }
}

/// A stream that the protocol's own tasks may hold: they outlive whoever began
/// them, so they never get the socket itself.
///
/// INVARIANT: when the carriers are dropped the socket is closed, and nothing
/// passes any more.
pub(super) struct Tied {
    pub(super) end: DuplexStream,
    /// Returns how reading the socket ended.
    pub(super) carriers: JoinSet<io::Result<()>>,
}

/// `whom` is whom the bytes read from the socket are for.
pub(super) fn tie(
    socket: impl AsyncRead + AsyncWrite + Send + 'static,
    whom: For,
    waiting: &Waiting,
) -> Tied {
    let (end, other) = duplex(BUFFER);
    let (mut from, mut to) = split(socket);
    let (mut from_task, mut to_task) = split(other);
    let mut waiting = waiting.0.subscribe();
    let may_read = move |now: &Bytes| match whom {
        For::Host => now.for_host < ENOUGH,
        For::Agent => now.for_agent < ENOUGH || now.for_host > 0,
    };
    let mut carriers = JoinSet::new();
    carriers.spawn(async move {
        let inward = async {
            let mut buffer = vec![0; 16 * 1024];
            let ended = loop {
                if waiting.wait_for(may_read).await.is_err() {
                    break Ok(());
                }
                match from.read(&mut buffer).await {
                    Ok(0) => break Ok(()),
                    Ok(length) if to_task.write_all(&buffer[..length]).await.is_ok() => {}
                    // The task has ended and says why by itself.
                    Ok(_) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            let _ = to_task.shutdown().await;
            ended
        };
        let outward = async {
            let _ = copy(&mut from_task, &mut to).await;
            let _ = to.shutdown().await;
        };
        tokio::join!(inward, outward).0
    });
    Tied { end, carriers }
}
