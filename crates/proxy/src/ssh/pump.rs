//! One command's streams, carried both ways until it has ended.

use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client, server};

use super::tie::{For, Waiting};

/// SOURCE: RFC 4254 §5.2, the type of data that is standard error.
const STDERR: u32 = 1;

/// What a command's status is when a signal ended it or it never said one.
const BROKEN: u32 = 255;

/// Carries a command of `host` for a program, and tells it how it ended.
pub(super) async fn pump(
    agent: Channel<server::Msg>,
    host: Channel<client::Msg>,
    waiting: &Waiting,
) {
    let (from_agent, to_agent) = agent.split();
    let (from_host, to_host) = host.split();
    tokio::select! {
        // A program that hangs up ends its command; a command that ends, ends all.
        _ = input(from_agent, &to_host, waiting) => {}
        _ = output(from_host, &to_agent, waiting) => {}
    }
    // Either may be gone already, and then there is nobody to tell.
    let _ = to_host.close().await;
    let _ = to_agent.close().await;
}

/// Says why a command does not run, on its standard error, and ends it.
pub(super) async fn end(channel: Channel<server::Msg>, words: &str) -> Result<(), russh::Error> {
    channel.extended_data(STDERR, format!("{words}\n").as_bytes()).await?;
    channel.exit_status(BROKEN).await?;
    channel.eof().await?;
    channel.close().await
}

/// Ends when the program has closed its side.
async fn input(
    mut from: ChannelReadHalf,
    to: &ChannelWriteHalf<client::Msg>,
    waiting: &Waiting,
) -> Result<(), russh::Error> {
    while let Some(said) = from.wait().await {
        match said {
            ChannelMsg::Data { data } => {
                to.data(&data[..]).await?;
                waiting.given(For::Host, data.len());
            }
            // Programs have no second input.
            ChannelMsg::ExtendedData { data, .. } => waiting.given(For::Host, data.len()),
            ChannelMsg::Eof => to.eof().await?,
            ChannelMsg::Signal { signal } => to.signal(signal).await?,
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    Ok(())
}

/// Ends when the command has.
async fn output(
    mut from: ChannelReadHalf,
    to: &ChannelWriteHalf<server::Msg>,
    waiting: &Waiting,
) -> Result<(), russh::Error> {
    let mut status = None;
    while let Some(said) = from.wait().await {
        match said {
            ChannelMsg::Data { data } => {
                to.data(&data[..]).await?;
                waiting.given(For::Agent, data.len());
            }
            ChannelMsg::ExtendedData { data, ext } => {
                to.extended_data(ext, &data[..]).await?;
                waiting.given(For::Agent, data.len());
            }
            ChannelMsg::Eof => to.eof().await?,
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    to.exit_status(status.unwrap_or(BROKEN)).await
}
