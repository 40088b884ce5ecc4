//! Where a caller wants its socket to go, and taking it there.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;

use super::memory::{Memory, Task};
use super::sys;

/// Where a socket is asked to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Internet(SocketAddr),
    /// A path, as the caller spelt it.
    LocalPath(OsString),
    /// An abstract or unnamed local address, in the kernel's form.
    LocalAbstract(Vec<u8>),
    /// Dissolve the association.
    Nowhere,
    /// The kernel, over netlink: the only netlink peer there is to talk to.
    Kernel,
    /// Another family, or bytes that mean nothing.
    Unknown(u16),
}

/// Reads a socket address from the caller's memory, once.
///
/// IPv4 addresses mapped into IPv6 come out as IPv4.
pub fn read_destination(task: u32, address: u64, length: u32) -> Result<Destination, i32> {
    destination(&Task(task), address, length)
}

fn destination(memory: &impl Memory, address: u64, length: u32) -> Result<Destination, i32> {
    // SOURCE: linux/socket.h, struct sockaddr_storage.
    if !(2..=128).contains(&length) {
        return Err(libc::EINVAL);
    }
    let mut bytes = vec![0; length as usize];
    match memory.read(address, &mut bytes) {
        Ok(got) if got == bytes.len() => parse_destination(&bytes),
        _ => Err(libc::EFAULT),
    }
}

fn parse_destination(bytes: &[u8]) -> Result<Destination, i32> {
    let family = bytes.get(..2).ok_or(libc::EINVAL)?;
    let family = u16::from_ne_bytes([family[0], family[1]]);
    let port = || bytes.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]]));
    match i32::from(family) {
        libc::AF_UNSPEC => Ok(Destination::Nowhere),
        libc::AF_INET => {
            // The kernel wants the whole sockaddr_in.
            let (Some(port), Some(address), true) = (port(), bytes.get(4..8), bytes.len() >= 16)
            else {
                return Err(libc::EINVAL);
            };
            let address = Ipv4Addr::new(address[0], address[1], address[2], address[3]);
            Ok(Destination::Internet((address, port).into()))
        }
        libc::AF_INET6 => {
            // SOURCE: net/ipv6, SIN6_LEN_RFC2133 is the least the kernel takes.
            let (Some(port), Some(address)) = (port(), bytes.get(8..24)) else {
                return Err(libc::EINVAL);
            };
            let octets: [u8; 16] = address.try_into().map_err(|_| libc::EINVAL)?;
            let address = Ipv6Addr::from(octets);
            let address = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
            Ok(Destination::Internet((address, port).into()))
        }
        libc::AF_UNIX => Ok(parse_local(&bytes[2..])),
        libc::AF_NETLINK => match bytes.get(4..12) {
            Some([0, 0, 0, 0, 0, 0, 0, 0]) => Ok(Destination::Kernel),
            Some(_) => Ok(Destination::Unknown(family)),
            None => Err(libc::EINVAL),
        },
        _ => Ok(Destination::Unknown(family)),
    }
}

fn parse_local(name: &[u8]) -> Destination {
    match name.first() {
        None | Some(0) => Destination::LocalAbstract(name.to_vec()),
        Some(_) => {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            Destination::LocalPath(OsString::from_vec(name[..end].to_vec()))
        }
    }
}

/// The caller's own socket, by another descriptor.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// What kind of socket it is; from the socket, not from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    Tcp { ipv6: bool },
    Udp,
    Local,
    Netlink,
    Other,
}

impl Socket {
    /// Takes the descriptor that the caller named. Fails with what the kernel
    /// would have said: `EBADF`, `ENOTSOCK` (from [`Socket::kind`]).
    pub fn of(task: u32, number: RawFd) -> io::Result<Self> {
        let pidfd = sys::pidfd(task as i32)?;
        sys::take_descriptor(pidfd.as_fd(), number).map(Self)
    }

    pub fn kind(&self) -> io::Result<SocketKind> {
        let domain = sys::socket_property(self.0.as_fd(), libc::SO_DOMAIN)?;
        let kind = sys::socket_property(self.0.as_fd(), libc::SO_TYPE)?;
        Ok(match (domain, kind) {
            (libc::AF_INET, libc::SOCK_STREAM) => SocketKind::Tcp { ipv6: false },
            (libc::AF_INET6, libc::SOCK_STREAM) => SocketKind::Tcp { ipv6: true },
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) => SocketKind::Udp,
            (libc::AF_UNIX, _) => SocketKind::Local,
            (libc::AF_NETLINK, _) => SocketKind::Netlink,
            _ => SocketKind::Other,
        })
    }

    /// Tells the network namespace the socket was made in from every other. One
    /// that was handed in from outside is not of the session's.
    pub fn network(&self) -> io::Result<u64> {
        network_of(self.0.as_fd())
    }

    /// Connects the caller's socket, as if it had been asked to go there.
    ///
    /// `EINPROGRESS` is the normal answer for a socket that does not wait.
    pub fn connect(&self, to: SocketAddr) -> io::Result<()> {
        sys::connect(self.0.as_fd(), &encode(to))
    }

    /// Connects to a local socket by a descriptor of its file (`O_PATH`), so
    /// that no name is looked up again.
    pub fn connect_local(&self, place: BorrowedFd<'_>) -> io::Result<()> {
        let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        address.extend(format!("/proc/self/fd/{}\0", place.as_raw_fd()).bytes());
        sys::connect(self.0.as_fd(), &address)
    }

    /// Connects to an abstract address of the socket's own network namespace.
    pub fn connect_abstract(&self, name: &[u8]) -> io::Result<()> {
        let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        address.extend(name);
        sys::connect(self.0.as_fd(), &address)
    }

    /// Dissolves the association.
    pub fn disconnect(&self) -> io::Result<()> {
        sys::connect(self.0.as_fd(), &[0; 16])
    }

    /// Connects a netlink socket to the kernel.
    pub fn connect_kernel(&self) -> io::Result<()> {
        let mut address = [0; 12];
        address[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
        sys::connect(self.0.as_fd(), &address)
    }
}

/// The number of a socket's network namespace; see [`Socket::network`].
pub fn network_of(socket: BorrowedFd<'_>) -> io::Result<u64> {
    sys::network_cookie(socket)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn encode(address: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![0; 28];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&ip.octets());
            bytes.truncate(16);
        }
        IpAddr::V6(ip) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[8..24].copy_from_slice(&ip.octets());
        }
    }
    bytes
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Destination, i32> {
        parse_destination(bytes)
    }

    #[test]
    fn addresses_survive_the_way_through_the_kernels_form() {
        for text in ["127.0.0.1:80", "198.18.3.4:65535", "[::1]:443", "[fd00::1]:1"] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(parsed(&encode(address)), Ok(Destination::Internet(address)));
        }
    }

    #[test]
    fn mapped_addresses_are_judged_as_what_they_reach() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("an address");
        let plain: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        assert_eq!(parsed(&encode(mapped)), Ok(Destination::Internet(plain)));
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        for family in 0..=64_u16 {
            for length in 0..=126 {
                for fill in [0, 1, 0xff] {
                    let mut bytes = family.to_ne_bytes().to_vec();
                    bytes.extend(vec![fill; length]);
                    let _ = parsed(&bytes);
                }
            }
        }
        assert_eq!(parsed(&[0]), Err(libc::EINVAL));
    }

    #[test]
    fn a_short_internet_address_is_invalid() {
        let whole = encode("1.2.3.4:5".parse().expect("an address"));
        for length in 2..16 {
            assert_eq!(parsed(&whole[..length]), Err(libc::EINVAL), "{length}");
        }
    }

    #[test]
    fn local_names_end_at_their_nul_and_abstract_ones_do_not() {
        let local = |name: &[u8]| {
            let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
            bytes.extend(name);
            parsed(&bytes)
        };
        assert_eq!(local(b"/a\0b"), Ok(Destination::LocalPath("/a".into())));
        assert_eq!(local(b"\0a\0b"), Ok(Destination::LocalAbstract(b"\0a\0b".to_vec())));
        assert_eq!(local(b""), Ok(Destination::LocalAbstract(Vec::new())));
    }
}
