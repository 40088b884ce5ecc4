//! SSH: watched as it goes by, or ended here and begun anew, so that only the
//! commands that the policy names are run.
//!
//! Where it is ended, the program inside proves nothing and holds nothing: it
//! shows no key, and it meets the session's own key in place of the host's.
//! Towards the host the person's keys vouch, once a command was permitted and
//! the host has shown the key that the person knows it by.

mod command;
mod door;
mod host;
mod keys;
mod known;
mod pump;
mod tie;
mod watch;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use remit_policy::{Attempt as _, Basis, Connect, Refusal, show};
use russh::keys::Algorithm;
use russh::server::{self, Config, Msg};
use russh::{Channel, Disconnect, MethodKind, MethodSet, Preferred, SshId, compression};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::agent::Agent;
use crate::flow::{Flow, Stop};
use crate::meter::Meter;
use crate::{Fact, Gate};
use command::Command;
use door::{Asked, Door};
use host::Way;
use tie::{For, QUEUE, Tied, Waiting, tie};

pub use keys::{SshKeys, SshKeysError};
pub(crate) use watch::watch;

/// How long a program may take to greet.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to read why it ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a program that greeted may take to say what it wants.
const IDLE: Duration = Duration::from_secs(120);

/// Whether these first bytes are SSH's.
///
/// SOURCE: RFC 4253 §4.2, a client says nothing before its version.
pub(crate) fn begins(first: &[u8]) -> bool {
    first.starts_with(b"SSH-")
}

/// What to answer a program that may not speak SSH with a host at all; it shows
/// `words` to the person. In clear, as nothing was agreed upon yet.
///
/// SOURCE: RFC 4253 §4.2, §6 and §11.1.
pub(crate) fn farewell(words: &str) -> Vec<u8> {
    /// SOURCE: RFC 4253 §11.1, SSH_MSG_DISCONNECT, "host not allowed to connect".
    const DISCONNECT: [u8; 5] = [1, 0, 0, 0, 1];
    // Packets are of at most 32768 bytes, and their length a multiple of eight.
    let mut end = words.len().min(8 * 1024);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    let words = &words.as_bytes()[..end];
    let mut payload = DISCONNECT.to_vec();
    payload.extend_from_slice(&(words.len() as u32).to_be_bytes());
    payload.extend_from_slice(words);
    payload.extend_from_slice(&[0; 4]); // no language
    let padding = 4 + (8 - (payload.len() + 1 + 4 + 4) % 8) % 8;
    let length = (payload.len() + 1 + padding) as u32;
    [
        &b"SSH-2.0-Remit\r\n"[..],
        &length.to_be_bytes(),
        &[padding as u8],
        &payload,
        &vec![0; padding],
    ]
    .concat()
}

/// Ends SSH here, and runs one command on the host, if the flow's handling names
/// it. Returns why it ended. Nothing is dialled before the command was permitted.
///
/// # Errors
///
/// The program was told; it is for the caller to write down.
pub(crate) async fn carry<G: Gate>(
    flow: &mut Flow<G>,
    agent: Agent,
    keys: &SshKeys,
) -> Result<&'static str, Stop> {
    flow.gate.noted(Fact::Protocol { name: "ssh", inspected: true });
    let waiting = Waiting::default();
    let Tied { end, carriers: mut program } = tie(agent, For::Host, &waiting);
    let (asked, mut questions) = mpsc::channel(1);
    let door = Door::new(asked, waiting.clone());
    let greeted = server::run_stream(Arc::new(config(keys)), end, door);
    let Ok(Ok(session)) = timeout(PATIENCE, greeted).await else {
        return Err(Stop::Failed(format!("`{}` was not greeted in SSH", flow.connect)));
    };
    let reason = serve(flow, keys, &waiting, &mut questions).await;
    if let Err(stop) = &reason {
        // A program that asked for no command has no standard error to be told on.
        let (why, words) = (Disconnect::ByApplication, words(stop));
        let _ = timeout(LAST_WORDS, session.handle().disconnect(why, words, String::new())).await;
    }
    let ended = timeout(LAST_WORDS, async {
        while questions.recv().await.is_some() {}
        program.join_next().await
    });
    match ended.await {
        Ok(Some(Ok(Err(error)))) if reason.is_ok() && Meter::is_spent(&error) => {
            Err(Stop::Refused(flow.capped()))
        }
        _ => reason,
    }
}

/// Answers what a program asks for.
async fn serve<G: Gate>(
    flow: &mut Flow<G>,
    keys: &SshKeys,
    waiting: &Waiting,
    questions: &mut mpsc::Receiver<Asked>,
) -> Result<&'static str, Stop> {
    let allowed = flow.handling.ssh.clone().unwrap_or_default();
    let Ok(asked) = timeout(IDLE, questions.recv()).await else { return Ok("idle") };
    let (channel, user, protocol, command) = match asked {
        None => return Ok("closed"),
        Some(Asked::Other { what, channel }) => {
            return tell(channel, Stop::Refused(refusal(&flow.connect, &what, &allowed))).await;
        }
        Some(Asked::Run { channel, user, protocol, command }) => (channel, user, protocol, command),
    };
    let command = match judge(&user, &command, &allowed) {
        Ok(command) => command.to_string(),
        Err(what) => {
            let refused = refusal(&flow.connect, &what, &allowed);
            return tell(Some(channel), Stop::Refused(refused)).await;
        }
    };
    // Written down before it is sent, whatever becomes of it.
    flow.gate.noted(Fact::SshCommand { user: user.clone(), command: command.clone() });
    let way = match Way::open(flow, keys, waiting, &user).await {
        Ok(way) => way,
        Err(stop) => return tell(Some(channel), stop).await,
    };
    let started = match way.run(&command, protocol.as_deref()).await {
        Ok(started) => started,
        Err(why) => {
            let command = show::line(&command);
            let why = format!("cannot run `{command}` on `{}`: {why}", flow.connect);
            return tell(Some(channel), Stop::Failed(why)).await;
        }
    };
    tokio::select! {
        () = pump::pump(channel, started, waiting) => Ok("closed"),
        // It asks for more than one command while that runs.
        Some(asked) = questions.recv() => {
            let what = match asked {
                Asked::Other { what, .. } => what,
                Asked::Run { .. } => "run two commands at once".to_owned(),
            };
            Err(Stop::Refused(refusal(&flow.connect, &what, &allowed)))
        }
    }
}

/// Whom forges know everybody as. The person's keys may open other accounts, too.
const USER: &str = "git";

/// The command that may be run, or what was tried in words that follow "to". A name
/// alone is for the user `git`; others are named, as in `deploy@rsync`.
fn judge(user: &str, command: &[u8], allowed: &BTreeSet<String>) -> Result<Command, String> {
    let said = String::from_utf8_lossy(command);
    let may = |name: &str| {
        allowed.contains(&format!("{user}@{name}")) || (user == USER && allowed.contains(name))
    };
    match Command::parse(command) {
        Ok(command) if may(command.name()) => Ok(command),
        Ok(command) => Err(format!("run `{command}` as `{}`", show::line(user))),
        Err(error) => Err(format!("run `{said}`, but {error}")),
    }
}

fn refusal(connect: &Connect, what: &str, allowed: &BTreeSet<String>) -> Refusal {
    let names = allowed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let only = if names.is_empty() { "nothing" } else { &names };
    Refusal {
        attempt: format!("{} by SSH to {}", connect.summary(), show::line(what)),
        basis: Basis::built_in(format!("only {only} by SSH on {connect}")),
        instead: (!allowed.is_empty()).then(|| format!("{names}, with plain arguments")),
        note: None,
    }
}

/// Tells a program why its connection ends.
async fn tell(channel: Option<Channel<Msg>>, stop: Stop) -> Result<&'static str, Stop> {
    if let Some(channel) = channel {
        // A program that does not read is not waited for.
        let _ = timeout(LAST_WORDS, pump::end(channel, &words(&stop))).await;
    }
    Err(stop)
}

fn words(stop: &Stop) -> String {
    match stop {
        Stop::Refused(refusal) => refusal.to_string(),
        Stop::Failed(why) => format!("remit: {why}"),
    }
}

fn config(keys: &SshKeys) -> Config {
    Config {
        server_id: version(),
        // The first try of every client, which succeeds.
        methods: MethodSet::from(&[MethodKind::None][..]),
        auth_rejection_time: Duration::ZERO,
        keys: vec![keys.session.clone()],
        preferred: preferred(vec![keys.session.algorithm()]),
        max_auth_attempts: 3,
        // A quiet command may be a long one.
        inactivity_timeout: None,
        channel_buffer_size: QUEUE,
        ..Config::default()
    }
}

/// Without compression: a few bytes from either side would unfold to very many.
fn preferred(key: Vec<Algorithm>) -> Preferred {
    let compression = Cow::Borrowed(&[compression::NONE][..]);
    Preferred { key: Cow::Owned(key), compression, ..Preferred::DEFAULT }
}

fn version() -> SshId {
    SshId::Standard("SSH-2.0-Remit".to_owned())
}
