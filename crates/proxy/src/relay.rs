//! Bytes carried both ways without being looked at.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncWriteExt as _, copy};
use tokio::net::TcpStream;

use crate::agent::{Agent, Counts};

/// Carries until both sides are done or one breaks off. Returns why it ended.
pub(crate) async fn relay(agent: Agent, mut host: TcpStream, counts: &Counts) -> &'static str {
    let _ = counts.sent.load(Relaxed);
    let (mut from_agent, mut to_agent) = tokio::io::split(agent);
    let (mut from_host, mut to_host) = host.split();
    let out = async {
        copy(&mut from_agent, &mut to_host).await?;
        to_host.shutdown().await
    };
    let back = async {
        copy(&mut from_host, &mut to_agent).await?;
        to_agent.shutdown().await
    };
    let ended: io::Result<_> = tokio::try_join!(out, back).map(drop);
    if ended.is_ok() { "closed" } else { "broken off" }
}
