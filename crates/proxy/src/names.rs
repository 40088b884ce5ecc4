//! Names and the synthetic addresses they are answered with.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_policy::{Host, HostName};

/// The ranges that synthetic addresses come from. The first address of each is
/// the gateway and is never given to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    pub gateway: Ipv4Addr,
    /// How many leading bits of the IPv4 range are fixed, 1 to 30.
    pub prefix: u8,
    pub gateway6: Ipv6Addr,
}

/// The names that were looked up in one session. An address, once given to a
/// name, stays with it until the session ends.
#[derive(Debug)]
pub struct Names {
    ranges: Ranges,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<HostName, u32>,
    /// Index 0 belongs to the first name.
    names: Vec<HostName>,
}

/// Every address of the range is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no synthetic address is left for another name")]
pub struct Exhausted;

impl Names {
    pub fn new(ranges: Ranges) -> Self {
        Self { ranges, known: Mutex::default() }
    }

    /// The addresses that stand for a name.
    pub fn addresses(&self, name: &HostName) -> Result<(Ipv4Addr, Ipv6Addr), Exhausted> {
        let mut known = self.known();
        let index = match known.by_name.get(name) {
            Some(index) => *index,
            None => {
                let index = u32::try_from(known.names.len()).map_err(|_| Exhausted)?;
                // The last address of a range is its broadcast.
                if index + 3 >= 1 << (32 - u32::from(self.ranges.prefix)) {
                    return Err(Exhausted);
                }
                known.by_name.insert(name.clone(), index);
                known.names.push(name.clone());
                index
            }
        };
        let v4 = Ipv4Addr::from(u32::from(self.ranges.gateway) + 1 + index);
        let v6 = Ipv6Addr::from(u128::from(self.ranges.gateway6) + 1 + u128::from(index));
        Ok((v4, v6))
    }

    /// What an address means: the name it stands for, or itself.
    pub fn host(&self, address: IpAddr) -> Host {
        let offset = match address {
            IpAddr::V4(v4) => {
                u32::from(v4).checked_sub(u32::from(self.ranges.gateway)).map(u128::from)
            }
            IpAddr::V6(v6) => u128::from(v6).checked_sub(u128::from(self.ranges.gateway6)),
        };
        let index =
            offset.and_then(|offset| usize::try_from(offset).ok()).and_then(|o| o.checked_sub(1));
        let known = self.known();
        match index.and_then(|index| known.names.get(index)) {
            Some(name) => Host::Name(name.clone()),
            None => Host::Address(address),
        }
    }

    /// Whether an address belongs to the synthetic ranges, given out or not.
    pub fn is_synthetic(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let shift = 32 - u32::from(self.ranges.prefix);
                u32::from(v4) >> shift == u32::from(self.ranges.gateway) >> shift
            }
            IpAddr::V6(v6) => v6.segments()[..4] == self.ranges.gateway6.segments()[..4],
        }
    }

    /// Whether an address is the gateway's, in either family.
    pub fn is_gateway(&self, address: IpAddr) -> bool {
        address == self.ranges.gateway || address == self.ranges.gateway6
    }

    pub fn gateway(&self) -> Ipv4Addr {
        self.ranges.gateway
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Both collections only grow, and a panic cannot come between them.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn names(prefix: u8) -> Names {
        Names::new(Ranges {
            gateway: Ipv4Addr::new(198, 18, 0, 1),
            prefix,
            gateway6: "fd72:656d:6974::1".parse().expect("an address"),
        })
    }

    pub(super) fn name(text: &str) -> HostName {
        HostName::parse(text).expect("a name")
    }

    #[test]
    fn an_address_leads_back_to_its_name_in_both_families() {
        let names = names(15);
        for text in ["a.example", "b.example", "a.example"] {
            let (v4, v6) = names.addresses(&name(text)).expect("an address");
            assert_eq!(names.host(v4.into()), Host::Name(name(text)));
            assert_eq!(names.host(v6.into()), Host::Name(name(text)));
        }
    }

    #[test]
    fn the_gateway_and_what_was_never_given_out_stay_addresses() {
        let names = names(15);
        names.addresses(&name("a.example")).expect("an address");
        for text in
            ["198.18.0.1", "198.18.0.3", "198.18.0.0", "fd72:656d:6974::1", "10.0.0.1", "::"]
        {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(names.host(address), Host::Address(address));
        }
    }

    #[test]
    fn a_full_range_says_so_and_keeps_what_it_gave() {
        let names = names(29);
        let given: Vec<_> =
            (0..9).map(|i| names.addresses(&name(&format!("n{i}.example")))).collect();
        let good = given.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(
            good, 5,
            "of 8 addresses, the network, the gateway and the broadcast take three"
        );
        assert_eq!(names.addresses(&name("n0.example")), given[0]);
        assert_eq!(given[8], Err(Exhausted));
    }
}
