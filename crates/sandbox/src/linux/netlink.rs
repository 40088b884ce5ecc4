//! The few routing messages that set up the loopback of a new network
//! namespace, built by hand because nothing may allocate here.
//!
//! SOURCE: linux/rtnetlink.h, linux/if_addr.h, rtnetlink(7).

use std::os::fd::{AsFd as _, BorrowedFd};

use super::sys::{self, Errno, Sys};
use crate::plan::Network;

/// The loopback interface is the first in every network namespace.
const LOOPBACK: u32 = 1;

/// Brings the loopback up and makes the synthetic ranges local to it.
pub(crate) fn raise_loopback(network: &Network) -> Sys<()> {
    let socket = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    let route = socket.as_fd();
    request(route, &link_up())?;
    // An address on a loopback makes its whole range local (any-IP).
    request(route, &address(&network.gateway.octets(), network.prefix))?;
    let octets = network.gateway6.octets();
    match request(route, &address(&octets, 128)) {
        // No IPv6 in this kernel: names are then answered with IPv4 alone.
        Err(Errno(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EACCES)) => return Ok(()),
        other => other?,
    }
    request(route, &local_route(&octets, network.prefix6))
}

fn request(socket: BorrowedFd<'_>, message: &Message) -> Sys<()> {
    let mut reply = [0_u8; 256];
    let got = sys::exchange(socket, message.bytes(), &mut reply)?;
    // An acknowledgement is nlmsghdr (16 bytes) and a negative error number.
    let code = reply.get(16..20).filter(|_| got >= 20).ok_or(Errno(libc::EPROTO))?;
    let code = i32::from_ne_bytes([code[0], code[1], code[2], code[3]]);
    if code == 0 { Ok(()) } else { Err(Errno(-code)) }
}

/// A netlink message in a fixed buffer, large enough for those made here.
struct Message {
    buffer: [u8; 128],
    length: usize,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut message = Self { buffer: [0; 128], length: 16 };
        let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        message.buffer[4..6].copy_from_slice(&kind.to_ne_bytes());
        message.buffer[6..8].copy_from_slice(&flags.to_ne_bytes());
        message
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length = (self.length + bytes.len()).next_multiple_of(4);
        let length = self.length as u32;
        self.buffer[0..4].copy_from_slice(&length.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        let mut header = [0; 4];
        header[0..2].copy_from_slice(&length.to_ne_bytes());
        header[2..4].copy_from_slice(&kind.to_ne_bytes());
        self.push(&header);
        self.push(value);
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

fn family(octets: &[u8]) -> u8 {
    if octets.len() == 4 { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn link_up() -> Message {
    let mut message = Message::new(libc::RTM_NEWLINK, 0);
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    // ifinfomsg: family, pad, type, index, flags, change.
    let mut info = [0; 16];
    info[4..8].copy_from_slice(&LOOPBACK.to_ne_bytes());
    info[8..12].copy_from_slice(&up);
    info[12..16].copy_from_slice(&up);
    message.push(&info);
    message
}

fn address(octets: &[u8], prefix: u8) -> Message {
    let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE as u16);
    // ifaddrmsg: family, prefix length, flags, scope, index.
    let mut info = [family(octets), prefix, libc::IFA_F_NODAD as u8, 0, 0, 0, 0, 0];
    info[4..8].copy_from_slice(&LOOPBACK.to_ne_bytes());
    message.push(&info);
    message.attribute(libc::IFA_LOCAL, octets);
    message.attribute(libc::IFA_ADDRESS, octets);
    message
}

fn local_route(octets: &[u8], prefix: u8) -> Message {
    let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE as u16);
    let mut network = [0_u8; 16];
    let kept = usize::from(prefix / 8);
    network[..kept].copy_from_slice(&octets[..kept]);
    // rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
    let info = [
        family(octets),
        prefix,
        0,
        0,
        libc::RT_TABLE_LOCAL,
        libc::RTPROT_BOOT,
        libc::RT_SCOPE_HOST,
        libc::RTN_LOCAL,
        0,
        0,
        0,
        0,
    ];
    message.push(&info);
    message.attribute(libc::RTA_DST, &network[..octets.len()]);
    message.attribute(libc::RTA_OIF, &LOOPBACK.to_ne_bytes());
    message
}
