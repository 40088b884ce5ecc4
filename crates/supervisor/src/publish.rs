//! Servers of the session on the host's loopback, port by port: `--publish`.
//!
//! This is a way in, for the person's own programs; it is no way out. What a
//! server inside answers goes to whoever came, so the policy names the ports and
//! other accounts of the host are turned away. It does *not* tell the person's
//! programs from each other: a web page in the person's browser may come, too.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use remit_audit::Kind;
use remit_policy::{Basis, Policy, Port};
use remit_sandbox::{Control, Tier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::gate::Gate;
use crate::session::RunError;

/// Connections of one port that may be open. More wait to be accepted.
const MOST: usize = 256;

/// How long a server inside may take to accept.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port of the host's loopback that leads inside.
#[derive(Debug)]
pub(crate) struct Published {
    port: Port,
    basis: Basis,
    listener: std::net::TcpListener,
}

/// The ports asked for, each with what permits it.
///
/// # Errors
///
/// If the policy does not name one of them, or the session shares the host's
/// loopback, where publishing would mean nothing.
pub(crate) fn permitted(
    policy: &Policy,
    tier: Tier,
    ports: &[Port],
) -> Result<BTreeMap<Port, Basis>, RunError> {
    if !ports.is_empty() && !tier.has_namespaces() {
        return Err(RunError::NoPublishing { tier: tier.name() });
    }
    let judged = ports.iter().map(|port| match policy.publishes(*port) {
        Ok(basis) => Ok((*port, basis.clone())),
        Err(refusal) => Err(RunError::NotPublished(refusal)),
    });
    judged.collect()
}

impl Published {
    /// Takes the ports on the host, all or none.
    pub(crate) fn bind(ports: &BTreeMap<Port, Basis>) -> Result<Vec<Self>, RunError> {
        let bind = |(port, basis): (&Port, &Basis)| {
            let failed = |source| RunError::Publish { port: *port, source };
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, u16::from(*port)))
                .map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(Self { port: *port, basis: basis.clone(), listener })
        };
        ports.iter().map(bind).collect()
    }

    /// Writes down that the port is open. Nobody is accepted before [`Self::serve`].
    pub(crate) fn record(&self, gate: &Gate) -> Result<(), remit_audit::AppendError> {
        gate.journal.write(Kind::Published { port: self.port, basis: self.basis.clone() })
    }

    /// Carries whoever comes, until the session ends.
    pub(crate) async fn serve(self, gate: Arc<Gate>, control: Arc<Control>) {
        // It fails only for want of descriptors; then nobody is let in.
        let Ok(listener) = TcpListener::from_std(self.listener) else { return };
        let places = Arc::new(Semaphore::new(MOST));
        let door = Arc::new(Door {
            port: self.port,
            gate,
            control,
            has_turned_away: AtomicBool::new(false),
        });
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, SocketAddr::V4(from))) => {
                    let door = Arc::clone(&door);
                    tokio::spawn(async move {
                        door.meet(stream, from).await;
                        drop(place);
                    });
                }
                // Out of descriptors, or gone before it was accepted.
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Everything that letting somebody in at one port needs.
struct Door {
    port: Port,
    gate: Arc<Gate>,
    control: Arc<Control>,
    /// Whether somebody of another account came. Once is written down; who comes
    /// again and again shall not fill the record.
    has_turned_away: AtomicBool,
}

impl Door {
    /// Lets somebody in or not, and carries it to its end. It is written down
    /// before anybody inside hears of it; what cannot be written down is dropped.
    async fn meet(&self, outer: TcpStream, from: SocketAddrV4) {
        let mut changes = self.gate.changes();
        let is_open = |policy: &Policy| policy.publishes(self.port).map(drop);
        let named = is_open(&changes.borrow_and_update());
        let owned = named.map_err(|refusal| io::Error::other(refusal.to_string()));
        let owned = owned.and_then(|()| check_owner(from, self.port));
        if owned.is_err() && self.has_turned_away.swap(true, Ordering::Relaxed) {
            return;
        }
        let journal = &self.gate.journal;
        let attempt = journal.attempt();
        if journal.write(Kind::Inbound { attempt, port: self.port, from: from.port() }).is_err() {
            return;
        }
        let inner = match owned {
            Ok(()) => reach(self.port, &self.control).await,
            Err(error) => Err(error),
        };
        let end = match inner {
            Ok(inner) => carry(outer, inner, attempt, self.closing(changes)).await,
            Err(error) => Kind::Outcome { attempt, error: error.to_string() },
        };
        // A record that fails here ends the session.
        let _ = journal.write(end);
    }
}

impl Door {
    /// Ends when a change of the policy closes the port.
    async fn closing(&self, mut changes: watch::Receiver<Arc<Policy>>) {
        while changes.changed().await.is_ok() {
            if changes.borrow_and_update().publishes(self.port).is_err() {
                return;
            }
        }
        // Nobody changes it any more.
        std::future::pending().await
    }
}

/// Carries both ways until both are done, or until the port is closed. Returns the
/// event of the end.
async fn carry(
    mut outer: TcpStream,
    mut inner: TcpStream,
    attempt: u64,
    closing: impl Future<Output = ()>,
) -> Kind {
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let _ = (outer.set_nodelay(true), inner.set_nodelay(true));
    let ((from_outer, to_outer), (from_inner, to_inner)) = (outer.split(), inner.split());
    let both = async {
        tokio::try_join!(pass(from_outer, to_inner, &received), pass(from_inner, to_outer, &sent))
    };
    let reason = tokio::select! {
        biased;
        () = closing => "revoked",
        both = both => if both.is_ok() { "closed" } else { "broken off" },
    };
    let reason = reason.to_owned();
    let (sent, received) = (sent.into_inner(), received.into_inner());
    Kind::ConnectEnded { attempt, sent, received, reason }
}

/// Passes bytes one way to their end, and the end too. Counts as it goes, so
/// that what broke off is counted as well.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, passed: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        passed.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Reaches a server on the session's loopback, in either family.
async fn reach(port: Port, control: &Arc<Control>) -> io::Result<TcpStream> {
    let port = u16::from(port);
    let mut last = io::Error::from(io::ErrorKind::ConnectionRefused);
    for address in [Ipv4Addr::LOCALHOST.to_ipv6_mapped(), Ipv6Addr::LOCALHOST] {
        let control = Arc::clone(control);
        let socket = tokio::task::spawn_blocking(move || control.socket())
            .await
            .map_err(io::Error::other)??;
        let socket = TcpSocket::from_std_stream(socket.into());
        let to = match (socket.local_addr()?, address.to_ipv4_mapped()) {
            (SocketAddr::V6(_), _) => SocketAddr::from((address, port)),
            (SocketAddr::V4(_), Some(v4)) => SocketAddr::from((v4, port)),
            (SocketAddr::V4(_), None) => break,
        };
        match tokio::time::timeout(PATIENCE, socket.connect(to)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(io::Error::new(last.kind(), format!("nobody inside listens at port {port}: {last}")))
}

/// Turns away whoever is not this person's program. The table that is asked has
/// no line for a socket that is gone.
fn check_owner(from: SocketAddrV4, port: Port) -> io::Result<()> {
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::from(port));
    let us = rustix::process::geteuid().as_raw();
    let owner = |table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().find_map(|line| owner(line, from, to))
    };
    match owner("/proc/net/tcp").or_else(|| owner("/proc/net/tcp6")) {
        Some(uid) if uid == us => Ok(()),
        Some(uid) => Err(io::Error::other(format!(
            "refused: it came from a program of another account (uid {uid})"
        ))),
        None => Err(io::Error::other("refused: whose program it came from is not known")),
    }
}

/// The account a line of `/proc/net/tcp` or `tcp6` names as the owner of the
/// connection between these two, if that is the line's.
/// SOURCE: proc_pid_net(5); net/ipv4/tcp_ipv4.c, get_tcp4_sock: the fields are
/// `sl local_address rem_address st queues timer retrnsmt uid timeout inode …`.
fn owner(line: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, from, to, _, _, _, _, uid, _, inode, ..] = fields.as_slice() else {
        return None;
    };
    // Without an inode nobody holds it any more, and the owner is told as 0.
    let is_it = is_end(from, local) && is_end(to, remote) && *inode != "0";
    is_it.then(|| uid.parse().ok())?
}

/// Whether an end is written so, as IPv4 or mapped into IPv6. The kernel prints
/// each 32 bits of an address as a number of its own byte order.
fn is_end(text: &str, end: SocketAddrV4) -> bool {
    let word = |bytes| format!("{:08X}", u32::from_ne_bytes(bytes));
    let plain = format!("{}:{:04X}", word(end.ip().octets()), end.port());
    let mapped = format!("{0}{0}{1}", word([0; 4]), word([0, 0, 0xff, 0xff]));
    text == plain || text.strip_prefix(mapped.as_str()) == Some(plain.as_str())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn end(text: &str) -> SocketAddrV4 {
        text.parse().expect("an address")
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_owner_is_told_by_the_clients_line_only() {
        let (from, to) = (end("127.0.0.1:33332"), end("127.0.0.1:8080"));
        let rest = "01 00000000:00000000 00:00000000 00000000";
        let check = |line: String, expected| assert_eq!(owner(&line, from, to), expected, "{line}");
        check(format!("1: 0100007F:8234 0100007F:1F90 {rest} 1000 0 4242 1"), Some(1000));
        check(
            format!(
                "1: 0000000000000000FFFF00000100007F:8234 0000000000000000FFFF00000100007F:1F90 {rest} 7 0 4242 1"
            ),
            Some(7),
        );
        // The server's own line, another port, an orphan, a short line.
        check(format!("1: 0100007F:1F90 0100007F:8234 {rest} 1000 0 4242 1"), None);
        check(format!("1: 0100007F:8235 0100007F:1F90 {rest} 1000 0 4242 1"), None);
        check(format!("1: 0100007F:8234 0100007F:1F90 {rest} 0 0 0 1"), None);
        check("1: 0100007F:8234 0100007F:1F90 01".to_owned(), None);
    }

    #[test]
    fn our_own_programs_are_known_as_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let at = listener.local_addr().expect("an address");
        let port = Port::try_from(at.port()).expect("a port");
        let client = TcpStream::connect(at).expect("a connection");
        let Ok(SocketAddr::V4(from)) = client.local_addr() else { panic!("not IPv4") };
        check_owner(from, port).expect("ours");
        drop(client);
        let gone = SocketAddrV4::new(*from.ip(), 1);
        assert!(check_owner(gone, port).is_err(), "nobody has that port");
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let number = taken.local_addr().expect("an address").port();
        let port = Port::try_from(number).expect("a port");
        let ports = BTreeMap::from([(port, Basis::built_in("test"))]);
        let error = Published::bind(&ports).expect_err("it is taken").to_string();
        assert!(error.contains(&number.to_string()), "{error}");
    }
}
