//! The agent's side of SSH that is ended here: what a program may ask for.

use russh::server::{Auth, Handler, Msg, Session};
use russh::{Channel, ChannelId, Pty};
use tokio::sync::mpsc::Sender;

use super::tie::{For, Waiting};

/// What a program asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Run {
        channel: Channel<Msg>,
        /// Whom to be on the host.
        user: String,
        /// The version of Git's protocol, `version=2`.
        protocol: Option<String>,
        command: Vec<u8>,
    },
    /// Anything else, in words that follow "to".
    Other { what: String, channel: Option<Channel<Msg>> },
}

/// Requests beside the command itself. Clients pass a few variables.
const REQUESTS: usize = 100;

/// Hears a program out, which gets one command for its connection. Whoever gets
/// here was permitted to connect, so there is nothing left to prove: keys are
/// asked for by the host, of the person.
#[derive(Debug)]
pub(super) struct Door {
    asked: Sender<Asked>,
    waiting: Waiting,
    user: String,
    channel: Once,
    protocol: Option<String>,
    requests: usize,
}

/// The channel for the command.
#[derive(Debug)]
enum Once {
    Never,
    Open(Channel<Msg>),
    Taken,
}

impl Door {
    pub(super) fn new(asked: Sender<Asked>, waiting: Waiting) -> Self {
        let (user, channel, protocol) = (String::new(), Once::Never, None);
        Self { asked, waiting, user, channel, protocol, requests: 0 }
    }

    fn take(&mut self, id: ChannelId) -> Option<Channel<Msg>> {
        match std::mem::replace(&mut self.channel, Once::Taken) {
            Once::Open(channel) if channel.id() == id => Some(channel),
            _ => None,
        }
    }

    async fn other(&mut self, what: String, id: Option<ChannelId>) -> Result<(), russh::Error> {
        let channel = id.and_then(|id| self.take(id));
        self.say(Asked::Other { what, channel }).await
    }

    async fn say(&mut self, asked: Asked) -> Result<(), russh::Error> {
        self.asked.send(asked).await.map_err(|_| russh::Error::Disconnect)
    }

    /// Requests wait in memory, whatever becomes of them.
    fn count(&mut self) -> Result<(), russh::Error> {
        self.requests += 1;
        if self.requests > REQUESTS { Err(russh::Error::Disconnect) } else { Ok(()) }
    }

    fn waits(&self, data: &[u8]) -> Result<(), russh::Error> {
        let bearable = self.waiting.taken(For::Host, data.len());
        if bearable { Ok(()) } else { Err(russh::Error::Disconnect) }
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, russh::Error> {
        user.clone_into(&mut self.user);
        Ok(Auth::Accept)
    }

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        _: &russh::keys::PublicKey,
    ) -> Result<Auth, russh::Error> {
        Ok(Auth::reject())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        if !matches!(self.channel, Once::Never) {
            return Ok(false);
        }
        self.channel = Once::Open(channel);
        Ok(true)
    }

    async fn data(
        &mut self,
        _: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.waits(data)
    }

    async fn extended_data(
        &mut self,
        _: ChannelId,
        _: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.waits(data)
    }

    async fn window_change_request(
        &mut self,
        _: ChannelId,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()
    }

    async fn signal(
        &mut self,
        _: ChannelId,
        _: russh::Sig,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        self.count().map(|()| false)
    }

    /// Only Git's protocol is passed on: a shell on the host may obey any other.
    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        if name == "GIT_PROTOCOL" && ["version=1", "version=2"].contains(&value) {
            self.protocol = Some(value.to_owned());
            return session.channel_success(id);
        }
        session.channel_failure(id)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(channel) = self.take(id) else {
            return session.channel_failure(id);
        };
        // Whatever becomes of it is said on the command's own standard error.
        session.channel_success(id)?;
        let (user, protocol) = (self.user.clone(), self.protocol.take());
        self.say(Asked::Run { channel, user, protocol, command: command.to_vec() }).await
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        self.other("open a shell".to_owned(), Some(id)).await
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        self.other(format!("use the subsystem `{name}`"), Some(id)).await
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        session.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.count()?;
        session.channel_failure(id)
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        self.other(format!("reach `{host}:{port}` through it"), None).await?;
        Ok(false)
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        path: &str,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        self.other(format!("reach its socket `{path}`"), None).await?;
        Ok(false)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        self.other(format!("listen there on `{address}:{port}`"), None).await?;
        Ok(false)
    }

    async fn streamlocal_forward(
        &mut self,
        path: &str,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        self.other(format!("listen there on the socket `{path}`"), None).await?;
        Ok(false)
    }
}
