//! A connection about to be made: read once, judged, and made here, on the
//! caller's own socket. Nothing is ever continued.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use remit_audit::Text;
use remit_policy::{Basis, Connect, Permit, Port, Refusal, Verdict};
use remit_proxy::{Admission, Capture, Captured, Names};
use remit_sandbox::notify::{self, Destination, Notification, Socket, SocketKind};
use tokio::sync::oneshot;

use crate::exec::libc_errno as errno;
use crate::gate::{Asked, Connection, Gate, Judged};
use crate::live::Standing;
use crate::process::Facts;
use crate::resolve::Place;

mod onward;

pub(crate) use onward::Errand;
use onward::Onward;

/// Everything that making connections for others needs.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) gate: Arc<Gate>,
    pub(crate) names: Arc<Names>,
    pub(crate) capture: Arc<Capture<Connection>>,
    /// Where captured connections are accepted.
    pub(crate) listener4: SocketAddr,
    pub(crate) listener6: Option<SocketAddr>,
    pub(crate) runtime: tokio::runtime::Handle,
    /// Tells sockets of the session from those that were handed in.
    pub(crate) network: u64,
    /// Whether network and local sockets are the session's own. If not, nothing
    /// is reached but by the proxy.
    pub(crate) is_apart: bool,
    /// File systems that only this session has; found out when first needed.
    pub(crate) private_devices: OnceLock<HashSet<u64>>,
    /// Refusals the agent has been told of in words; once each is enough.
    pub(crate) told: Mutex<HashSet<String>>,
}

/// What comes of a call.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The number to answer with, 0 for success.
    Now(i32),
    /// Answer with what this comes to.
    Later(Errand),
}

/// The file systems that the session does not share with the host, as a task of
/// it sees them.
fn private_devices(task: u32) -> HashSet<u64> {
    ["/tmp", "/run", "/var/tmp", "/dev/shm"]
        .iter()
        .filter_map(|path| Place::of(task, Path::new(path), None).ok())
        .map(|place| place.identity().device)
        .collect()
}

const NAMES_PORT: u16 = 53;

/// Programs that speak HTTP here expect an answer in HTTP, and get the refusal
/// as one; elsewhere the refusal is an error number.
const WEB_PORTS: [u16; 4] = [80, 3128, 8000, 8080];

impl Connector {
    /// Does what the caller asked, or not. What may wait for a server inside is
    /// left to be done elsewhere, for everybody waits for this thread.
    pub(crate) fn connect(
        &self,
        still_waiting: impl Fn() -> bool,
        call: &Notification,
        socket: i32,
        address: u64,
        length: u32,
    ) -> Reply {
        let attempt = || -> Result<Option<Errand>, i32> {
            let socket = Socket::of(call.task, socket).map_err(|error| number(&error))?;
            let kind = socket.kind().map_err(|error| number(&error))?;
            if socket.network().map_err(|error| number(&error))? != self.network {
                // It would be connected from outside the boundary.
                return Err(errno::EPERM);
            }
            let destination = notify::read_destination(call.task, address, length)?;
            let mut facts = Facts::of(call.task).map_err(|_| errno::ESRCH)?;
            facts.origin = self.gate.lineage.of(&facts);
            if !still_waiting() {
                return Err(errno::ESRCH);
            }
            let errand = self.route(call.task, &facts, &socket, kind, destination)?;
            Ok(errand.map(|to| Errand::new(socket, to)))
        };
        match attempt() {
            Ok(None) => Reply::Now(0),
            Ok(Some(errand)) => Reply::Later(errand),
            Err(number) => Reply::Now(number),
        }
    }

    fn route(
        &self,
        task: u32,
        facts: &Facts,
        socket: &Socket,
        kind: SocketKind,
        destination: Destination,
    ) -> Result<Option<Onward>, i32> {
        let at_once = |result| done(result).map(|()| None);
        match (kind, destination) {
            (_, Destination::Nowhere) => at_once(socket.disconnect()),
            (SocketKind::Tcp { ipv6 }, Destination::Internet(to)) => {
                self.stream(task, facts, socket, ipv6, to)
            }
            (SocketKind::Udp | SocketKind::Netlink, _) if !self.is_apart => Err(errno::EPERM),
            (SocketKind::Udp, Destination::Internet(to)) => {
                self.datagram(task, facts, socket, to).map(|()| None)
            }
            (SocketKind::Local, Destination::LocalAbstract(_)) if !self.is_apart => {
                let name = "an abstract local socket".to_owned();
                self.refuse(task, facts, no_local_sockets(name)).map(|()| None)
            }
            (SocketKind::Local, Destination::LocalAbstract(name)) => {
                // Abstract names belong to the session's own network namespace.
                Ok(Some(Onward::Abstract(name)))
            }
            (SocketKind::Local, Destination::LocalPath(path)) => self.local(task, facts, &path),
            (SocketKind::Netlink, Destination::Kernel) => at_once(socket.connect_kernel()),
            (SocketKind::Netlink, _) => Err(errno::EPERM),
            _ => Err(errno::EAFNOSUPPORT),
        }
    }

    /// TCP: judged, then connected to the proxy under the judged name.
    fn stream(
        &self,
        task: u32,
        facts: &Facts,
        socket: &Socket,
        ipv6: bool,
        to: SocketAddr,
    ) -> Result<Option<Onward>, i32> {
        if rustix::net::getpeername(socket).is_ok_and(|peer| peer.is_some()) {
            return Err(errno::EISCONN);
        }
        let to = meant(to);
        // Before the verdict, so that no change of the policy falls in between.
        let standing = Arc::new(Standing::new(self.gate.policy()));
        let hand_over = |attempt, admission| {
            let connection = Connection {
                gate: Arc::clone(&self.gate),
                attempt,
                facts: facts.clone(),
                standing: Arc::clone(&standing),
            };
            self.hand_over(socket, ipv6, Captured { gate: connection, admission })
        };
        if !self.is_apart && to.port() == NAMES_PORT {
            // Whichever name server it was meant for: ours answers.
            let attempt = self.gate.journal.attempt();
            let lookups = Admission::Lookups(Arc::clone(&self.names));
            return hand_over(attempt, lookups);
        }
        let gateway = IpAddr::from(self.names.gateway());
        if to == SocketAddr::new(gateway, NAMES_PORT) {
            return Ok(Some(Onward::internet(ipv6, to)));
        }
        let port = Port::try_from(to.port()).map_err(|_| errno::EADDRNOTAVAIL)?;
        if self.names.is_gateway(to.ip()) && to.port() != NAMES_PORT {
            // It takes the gateway for a proxy, which judges what it is asked for.
            let attempt = self.gate.journal.attempt();
            return hand_over(attempt, Admission::Explicit);
        }
        let program = Some(PathBuf::from(&facts.program));
        let tried = Connect { host: self.names.host(to.ip()), port, program };
        let detail = vec![Text::from(tried.to_string().as_str())];
        let verdict = self.gate.judge_connect(tried.clone());
        let is_refused = matches!(verdict, Verdict::Refuse(_));
        if is_refused && to.ip().is_loopback() && self.is_apart && self.is_served_inside(task, to) {
            return self.inside(facts, detail, tried, Onward::internet(ipv6, to));
        }
        let judged = self.gate.conclude(facts, detail, verdict).map_err(|_| errno::EIO)?;
        match judged {
            Judged::Permitted { attempt, permit } => {
                standing.permitted(&permit);
                hand_over(attempt, Admission::Permitted(permit))
            }
            Judged::Refused { attempt, refusal } => {
                self.tell(task, &refusal);
                if WEB_PORTS.contains(&to.port()) {
                    hand_over(attempt, Admission::Refused(refusal))
                } else {
                    Err(errno::EACCES)
                }
            }
            Judged::Asked(asked) => {
                let attempt = asked.attempt;
                let pending = self.wait_for(task, *asked, Arc::clone(&standing));
                hand_over(attempt, Admission::Pending(pending))
            }
        }
    }

    /// Has an asked connection wait for its answer beside everything else.
    fn wait_for(
        &self,
        task: u32,
        asked: Asked<Connect>,
        standing: Arc<Standing>,
    ) -> oneshot::Receiver<Result<Permit<Connect>, Refusal>> {
        let (mut verdict, pending) = oneshot::channel();
        let gate = Arc::clone(&self.gate);
        self.runtime.spawn(async move {
            let outcome = gate.settle_unless(asked, verdict.closed()).await;
            match &outcome {
                Ok(permit) => standing.permitted(permit),
                Err(refusal) => {
                    let free = !gate.questions.screen_is_taken();
                    gate.taught.tell(refusal, |words| notify::tell(task, words, free));
                }
            }
            // A program that hung up meanwhile dropped the other end.
            let _ = verdict.send(outcome);
        });
        pending
    }

    /// Connects the caller's socket to the proxy and announces it there.
    ///
    /// Mostly done at once. Where the proxy's queue is full, a caller that waits
    /// is left to wait elsewhere, for everybody waits for this thread.
    fn hand_over(
        &self,
        socket: &Socket,
        ipv6: bool,
        captured: Captured<Connection>,
    ) -> Result<Option<Onward>, i32> {
        let to = match self.listener6 {
            Some(listener) if ipv6 => listener,
            _ => self.listener4,
        };
        let onward = Onward::internet(ipv6, to);
        let begun = onward.attempt(socket, Duration::ZERO);
        if !matches!(begun, None | Some(0 | errno::EINPROGRESS)) {
            return begun.map_or(Ok(None), Err);
        }
        let from = rustix::net::getsockname(socket)
            .ok()
            .and_then(|name| SocketAddr::try_from(name).ok())
            .ok_or(errno::EADDRNOTAVAIL)?;
        self.capture.expect(canonical(from), captured);
        match begun {
            None => Ok(Some(onward)),
            Some(0) => Ok(None),
            Some(number) => Err(number),
        }
    }

    /// The session's own loopback: servers that it started itself.
    fn inside(
        &self,
        facts: &Facts,
        detail: Vec<Text>,
        tried: Connect,
        to: Onward,
    ) -> Result<Option<Onward>, i32> {
        let verdict = self.gate.policy().connect_inside(tried);
        match self.gate.conclude(facts, detail, verdict).map_err(|_| errno::EIO)? {
            Judged::Permitted { permit, .. } => {
                let _ = permit.spend();
                Ok(Some(to))
            }
            _ => Err(errno::EACCES),
        }
    }

    /// Whether a process of the session listens there.
    fn is_served_inside(&self, task: u32, to: SocketAddr) -> bool {
        if Some(to) == self.listener6 || to == self.listener4 {
            return false;
        }
        ["tcp", "tcp6"].iter().any(|table| {
            fs::read_to_string(format!("/proc/{task}/net/{table}"))
                .is_ok_and(|text| text.lines().any(|line| is_listener(line, to.port())))
        })
    }

    /// UDP carries lookups only. A connected datagram socket sends nothing by
    /// itself, and resolvers connect one to each answer to see the way there; so
    /// the synthetic ranges may be connected to, where nothing listens.
    fn datagram(
        &self,
        task: u32,
        facts: &Facts,
        socket: &Socket,
        to: SocketAddr,
    ) -> Result<(), i32> {
        if self.names.is_synthetic(to.ip()) || to.ip().is_loopback() {
            return done(socket.connect(to));
        }
        let refusal = Refusal {
            attempt: format!("connect to `{to}` over UDP"),
            basis: Basis::built_in("network: UDP carries lookups only"),
            instead: Some("TCP to an allowed host, by name".to_owned()),
            note: None,
        };
        self.refuse(task, facts, refusal)
    }

    /// Local sockets: those of this session's own file systems.
    fn local(&self, task: u32, facts: &Facts, path: &OsString) -> Result<Option<Onward>, i32> {
        let path = Path::new(path);
        let place = match Place::of(task, path, None) {
            Ok(place) if place.is_socket() => place,
            Ok(_) => return self.not_shown(task, facts, path, errno::ECONNREFUSED),
            Err(error) => return self.not_shown(task, facts, path, number(&error)),
        };
        let shown = remit_policy::show::line(&path.to_string_lossy());
        if !self.is_apart {
            let refusal = no_local_sockets(format!("local socket `{shown}`"));
            return self.refuse(task, facts, refusal).map(|()| None);
        }
        let private = self.private_devices.get_or_init(|| private_devices(task));
        if private.contains(&place.identity().device) {
            return Ok(Some(Onward::Local(place.fd)));
        }
        let refusal = Refusal {
            attempt: format!("connect to local socket `{shown}`"),
            basis: Basis::built_in("network: local sockets of the session only"),
            instead: Some("sockets in /tmp, which the session has for itself".to_owned()),
            note: None,
        };
        self.refuse(task, facts, refusal).map(|()| None)
    }

    /// No socket is there. If the policy hides what might be, that is the reason
    /// to give, whether or not the host has it: nobody shall find out this way.
    fn not_shown(
        &self,
        task: u32,
        facts: &Facts,
        path: &Path,
        number: i32,
    ) -> Result<Option<Onward>, i32> {
        // SOURCE: Filesystem Hierarchy Standard 3.0, 5.13: /var/run is /run.
        let meant = path.strip_prefix("/var/run").map(|rest| Path::new("/run").join(rest));
        let meant = meant.as_deref().unwrap_or(path);
        let hidden = &self.gate.boundary().filesystem().hidden;
        if let Some(rule) = hidden.iter().find(|rule| meant.starts_with(&rule.path)) {
            let shown = remit_policy::show::line(&path.to_string_lossy());
            let refusal = Refusal {
                attempt: format!("connect to local socket `{shown}`"),
                basis: rule.basis.clone(),
                instead: Some("talking to it outside".to_owned()),
                note: None,
            };
            self.refuse(task, facts, refusal).or(Err(number))?;
        }
        Err(number)
    }

    fn refuse(&self, task: u32, facts: &Facts, refusal: Refusal) -> Result<(), i32> {
        let attempt = self.gate.journal.attempt();
        let detail = vec![Text::from(refusal.attempt.as_str())];
        self.gate
            .record_refusal::<Connect>(facts, attempt, detail, &refusal)
            .map_err(|_| errno::EIO)?;
        self.tell(task, &refusal);
        Err(errno::EACCES)
    }

    fn tell(&self, task: u32, refusal: &Refusal) {
        let text = format!("remit: {refusal}\n");
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(text.clone()) {
            let free = !self.gate.questions.screen_is_taken();
            self.gate.taught.tell(refusal, |words| notify::tell(task, words, free));
        }
    }
}

/// Without namespaces every local socket may be one of the host's.
fn no_local_sockets(what: String) -> Refusal {
    Refusal {
        attempt: format!("connect to {what}"),
        basis: Basis::built_in("network: no local sockets in tier no-namespaces"),
        instead: Some("a pipe, or a pair of sockets".to_owned()),
        note: None,
    }
}

fn done(result: io::Result<()>) -> Result<(), i32> {
    result.map_err(|error| number(&error))
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(errno::EIO)
}

/// An address as the kernel takes it: none at all means the loopback.
/// SOURCE: net/ipv4/route.c, ip_route_output_key; net/ipv6/tcp_ipv6.c, tcp_v6_connect.
fn meant(to: SocketAddr) -> SocketAddr {
    let ip = match to.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, to.port())
}

/// An address as both sides of the capture compare it: mapped ones as IPv4.
fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// Whether a line of `/proc/net/tcp` is a listener on this port.
/// SOURCE: proc_pid_net(5): `sl local_address rem_address st …`, state 0A listens.
fn is_listener(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let (Some(local), Some(_), Some(state)) = (fields.next(), fields.next(), fields.next()) else {
        return false;
    };
    let local = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    state == "0A" && local == Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_the_loopback_and_others_are_themselves() {
        let check = |given: &str, expected: &str| {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(meant(address(given)), address(expected));
        };
        check("0.0.0.0:80", "127.0.0.1:80");
        check("[::]:80", "[::1]:80");
        check("0.0.0.1:80", "0.0.0.1:80");
        check("[::2]:80", "[::2]:80");
    }

    #[test]
    fn listeners_are_told_from_connections() {
        let listening =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        let connected =
            "   1: 0100007F:1F90 0100007F:8234 01 00000000:00000000 00:00000000 00000000";
        assert!(is_listener(listening, 8080));
        assert!(!is_listener(listening, 8081));
        assert!(!is_listener(connected, 8080));
        assert!(!is_listener("  sl  local_address rem_address   st", 8080));
    }
}
