//! Which addresses are public, and ranges of addresses.
//!
//! A host that is refused by name must not be reachable by another spelling of
//! its address, so IPv6 forms that carry an IPv4 address are opened up here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address that is not public is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Private,
    Shared,
    Loopback,
    LinkLocal,
    Unspecified,
    Multicast,
    Broadcast,
    Test,
    Reserved,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Special::Private => "private addresses",
            Special::Shared => "shared addresses of a provider",
            Special::Loopback => "loopback addresses",
            Special::LinkLocal => "link-local addresses",
            Special::Unspecified => "unspecified addresses",
            Special::Multicast => "multicast addresses",
            Special::Broadcast => "broadcast addresses",
            Special::Test => "test and example addresses",
            Special::Reserved => "reserved addresses",
        })
    }
}

/// The address as it is judged, compared and dialled: an IPv4 address written as
/// IPv6 (`::ffff:10.0.0.5`) is that IPv4 address.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What a canonical address is for, if it is not public. An IPv6 address that
/// carries IPv4 addresses is what they are.
pub(crate) fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

/// The IPv4 addresses that an IPv6 address leads to through a translator or a
/// tunnel: compatible, translated, NAT64, 6to4, Teredo and ISATAP forms.
///
/// SOURCE: RFC 4291 §2.5.5.1, RFC 2765, RFC 6052, RFC 3056, RFC 4380 §4,
/// RFC 5214 §6.1.
pub(crate) fn carried(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return Vec::new();
    };
    let s = v6.segments();
    let at = |i: usize| Ipv4Addr::from((u32::from(s[i]) << 16) | u32::from(s[i + 1]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => vec![at(6)],
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => vec![at(6)],
        [0x2002, ..] => vec![at(1)],
        [0x2001, 0, ..] => vec![at(2), Ipv4Addr::from(!u32::from(at(6)))],
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => vec![at(6)],
        _ => Vec::new(),
    }
}

/// SOURCE: the IANA registries of special-purpose addresses, and RFC 6598 for
/// shared addresses.
fn special_v4(address: Ipv4Addr) -> Option<Special> {
    Some(match address.octets() {
        [0, ..] => Special::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Special::Private,
        [100, 64..=127, ..] => Special::Shared,
        [127, ..] => Special::Loopback,
        [169, 254, ..] => Special::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..] => Special::Test,
        [192, 0, 0, _] | [192, 88, 99, _] => Special::Reserved,
        [255, 255, 255, 255] => Special::Broadcast,
        [224..=239, ..] => Special::Multicast,
        [240..=255, ..] => Special::Reserved,
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => return Some(Special::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => return Some(Special::Loopback),
        // Unique local, and the site-local range that it replaced.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => return Some(Special::Private),
        [0xfe80..=0xfebf, ..] => return Some(Special::LinkLocal),
        [0xff00..=0xffff, ..] => return Some(Special::Multicast),
        [0x2001, 0xdb8, ..] | [0x2001, 2, 0, ..] | [0x3fff, 0..=0xfff, ..] => {
            return Some(Special::Test);
        }
        // A translator of this network's own choice: what it leads to is unknown.
        [0x64, 0xff9b, 1, ..] => return Some(Special::Private),
        // ORCHID identifiers are not locators.
        [0x2001, 0x10..=0x2f, ..] => return Some(Special::Reserved),
        _ => {}
    }
    let carried = carried(IpAddr::V6(address));
    if let Some(kind) = carried.iter().find_map(|v4| special_v4(*v4)) {
        return Some(kind);
    }
    let global = address.segments()[0] & 0xe000 == 0x2000;
    (!global && carried.is_empty()).then_some(Special::Reserved)
}

/// All addresses that share their first bits: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    base: IpAddr,
    /// How many first bits are shared: 0 to 32, or 0 to 128.
    bits: u8,
}

impl Range {
    /// The addresses that share the first `bits` bits of `address`. No range if
    /// there are not that many.
    pub(crate) fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let base = match address {
            IpAddr::V4(v4) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
            _ => return None,
        };
        Some(Self { base, bits })
    }

    /// The range of one address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self { base: address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Parses `10.0.0.0/8` or `fd00::/8`. The bits after the shared ones must be
    /// zero, so that what is read is what is meant.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let plain = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        let range = Self::around(address, bits).filter(|range| plain && range.base == address)?;
        match (address.to_canonical(), bits) {
            (v4 @ IpAddr::V4(_), 96..) if address.is_ipv6() => Self::around(v4, bits - 96),
            _ => Some(range),
        }
    }

    pub(crate) fn base(self) -> IpAddr {
        self.base
    }

    pub(crate) fn bits(self) -> u8 {
        self.bits
    }

    pub(crate) fn is_ipv4(self) -> bool {
        self.base.is_ipv4()
    }

    /// Whether it is one address, or lies among addresses that are not public:
    /// `10.0.0.0/8` means its private addresses, `172.0.0.0/8` happens to hold some.
    pub(crate) fn is_direct(self) -> bool {
        let whole = if self.is_ipv4() { 32 } else { 128 };
        self.bits == whole || (!self.is_broad() && special(self.base).is_some())
    }

    /// Whether so much of the address space is covered that nobody can have
    /// meant each of its hosts.
    pub(crate) fn is_broad(self) -> bool {
        self.bits < if self.is_ipv4() { 8 } else { 16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: &str) {
        let found = special(canonical(address.parse().unwrap()));
        let found = found.map_or_else(|| "public".to_owned(), |kind| kind.to_string());
        assert!(found.starts_with(expected), "{address} is {found}, not {expected}");
    }

    #[test]
    fn no_spelling_of_an_address_makes_it_public() {
        check("8.8.8.8", "public");
        check("2606:4700::1111", "public");
        check("10.1.2.3", "private");
        check("172.16.0.1", "private");
        check("172.32.0.1", "public");
        check("192.168.1.1", "private");
        check("100.64.0.1", "shared");
        check("100.128.0.1", "public");
        check("127.1.2.3", "loopback");
        check("0.0.0.0", "unspecified");
        check("0.1.2.3", "unspecified");
        check("169.254.169.254", "link-local");
        check("198.18.0.1", "test");
        check("203.0.113.9", "test");
        check("224.0.0.1", "multicast");
        check("240.0.0.1", "reserved");
        check("255.255.255.255", "broadcast");
        check("::", "unspecified");
        check("::1", "loopback");
        check("fd00:ec2::254", "private");
        check("fe80::1", "link-local");
        check("febf::1", "link-local");
        check("fec0::1", "private");
        check("ff02::1", "multicast");
        check("2001:db8::1", "test");
        check("4000::1", "reserved");
        check("::ffff:10.0.0.5", "private");
        check("::10.0.0.5", "private");
        check("::ffff:0:10.0.0.5", "private");
        check("64:ff9b::a9fe:a9fe", "link-local");
        check("64:ff9b::8.8.8.8", "public");
        check("64:ff9b:1::8.8.8.8", "private");
        check("2002:7f00:1::", "loopback");
        check("2002:808:808::", "public");
        // Teredo: the client's address is stored inverted.
        check("2001:0:808:808::f5ff:fffe", "private");
        check("2001:0:a00:1::f7f7:f7f7", "private");
        check("2606:4700::5efe:10.0.0.1", "private");
    }

    #[test]
    fn a_range_is_written_with_nothing_after_its_shared_bits() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "10.0.0.5/32", "fd00::/8", "::/0", "::1/128"] {
            assert!(Range::parse(good).is_some(), "{good}");
        }
        for bad in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::1/64", "x/8", "8"] {
            assert!(Range::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(Range::parse("::ffff:10.0.0.0/104"), Range::parse("10.0.0.0/8"));
    }
}
