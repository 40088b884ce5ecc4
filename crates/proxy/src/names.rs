//! Names and the synthetic addresses they are answered with.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// The names that were looked up in one session.
///
/// An address stays with its name as long as there is room: only when three
/// quarters of the range are taken, a new name gets the address of the one that was
/// not used for longest, and of no name that was used within [`REST`] or that a
/// connection is open to. A program that keeps an address for longer, against its
/// time to live, reaches the host that the address then stands for, and is judged
/// by that host's name.
#[derive(Debug)]
pub struct Names {
    ranges: Ranges,
    known: Mutex<Known>,
}

/// How long an address means its name after it was last looked up or connected to.
/// Answers may be kept for a minute; some programs keep them for longer.
pub(crate) const REST: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<HostName, u32>,
    /// Index 0 belongs to the first address.
    entries: Vec<Entry>,
    /// Entries without an open connection by when they were last used: by the
    /// count of all uses at that time, oldest first.
    resting: BTreeMap<u64, u32>,
    uses: u64,
    lookups: Lookups,
}

#[derive(Debug)]
struct Entry {
    name: HostName,
    used: Instant,
    /// Its place in `resting`; meaningless while a connection is open.
    turn: u64,
    open: u32,
    is_connected: bool,
}

/// How many names were looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Questions about addresses.
    pub asked: u64,
    /// Names, each counted once unless its address was given to another meanwhile.
    pub distinct: u64,
    /// Of those, the ones that somebody tried to connect to.
    pub connected: u64,
}

/// As long as this is held, the name keeps its address.
#[derive(Debug)]
pub(crate) struct Kept {
    names: Arc<Names>,
    index: u32,
}

/// Every address of the range is taken, and none has rested for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no synthetic address is left for another name")]
pub struct Exhausted;

impl Names {
    pub fn new(ranges: Ranges) -> Self {
        Self { ranges, known: Mutex::default() }
    }

    /// The addresses that stand for a name.
    pub fn addresses(&self, name: &HostName) -> Result<(Ipv4Addr, Ipv6Addr), Exhausted> {
        self.addresses_at(name, Instant::now())
    }

    fn addresses_at(
        &self,
        name: &HostName,
        now: Instant,
    ) -> Result<(Ipv4Addr, Ipv6Addr), Exhausted> {
        let mut known = self.known();
        known.lookups.asked += 1;
        let index = match known.by_name.get(name) {
            Some(index) => *index,
            None => known.take(name, self.room(), now)?,
        };
        known.touch(index, now);
        let v4 = Ipv4Addr::from(u32::from(self.ranges.gateway) + 1 + index);
        let v6 = Ipv6Addr::from(u128::from(self.ranges.gateway6) + 1 + u128::from(index));
        Ok((v4, v6))
    }

    /// What an address means to somebody who connects to it: the name it stands
    /// for, or itself.
    pub fn host(&self, address: IpAddr) -> Host {
        self.host_at(address, Instant::now())
    }

    fn host_at(&self, address: IpAddr, now: Instant) -> Host {
        let mut known = self.known();
        let Some(index) = self.index(address, &known) else { return Host::Address(address) };
        known.touch(index, now);
        known.connect(index);
        Host::Name(known.entries[index as usize].name.clone())
    }

    /// The name that an address stands for, if any.
    pub(crate) fn name(&self, address: IpAddr) -> Option<HostName> {
        let known = self.known();
        let index = self.index(address, &known)?;
        Some(known.entries[index as usize].name.clone())
    }

    /// Has a name keep its address while a connection to it is open. None for an
    /// address, and for a name that nobody looked up.
    pub(crate) fn keep(self: &Arc<Self>, host: &Host) -> Option<Kept> {
        let Host::Name(name) = host else { return None };
        let mut known = self.known();
        let index = *known.by_name.get(name)?;
        known.open(index);
        drop(known);
        Some(Kept { names: Arc::clone(self), index })
    }

    /// How many names were looked up so far.
    pub fn lookups(&self) -> Lookups {
        self.known().lookups
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

    /// How many names there are addresses for: not the network's, not the gateway's,
    /// and not the last, which is the broadcast.
    fn room(&self) -> u32 {
        (1 << (32 - u32::from(self.ranges.prefix))) - 3
    }

    fn index(&self, address: IpAddr, known: &Known) -> Option<u32> {
        let offset = match address {
            IpAddr::V4(v4) => {
                u128::from(u32::from(v4).checked_sub(u32::from(self.ranges.gateway))?)
            }
            IpAddr::V6(v6) => u128::from(v6).checked_sub(u128::from(self.ranges.gateway6))?,
        };
        let index = usize::try_from(offset.checked_sub(1)?).ok()?;
        known.entries.get(index).and(u32::try_from(index).ok())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing between two changes that belong together can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// An address for a new name, in a range with room for so many.
    fn take(&mut self, name: &HostName, room: u32, now: Instant) -> Result<u32, Exhausted> {
        let taken = u32::try_from(self.entries.len()).map_err(|_| Exhausted)?;
        let rested = self.resting.first_key_value().map(|(_, index)| *index).filter(|index| {
            let used = self.entries[*index as usize].used;
            taken >= room - room / 4 && now.saturating_duration_since(used) >= REST
        });
        let index = match rested {
            Some(index) => index,
            None if taken < room => taken,
            None => return Err(Exhausted),
        };
        // Its turn comes with its use.
        let turn = u64::MAX;
        let entry = Entry { name: name.clone(), used: now, turn, open: 0, is_connected: false };
        if index == taken {
            self.entries.push(entry);
        } else {
            let old = std::mem::replace(&mut self.entries[index as usize], entry);
            self.resting.remove(&old.turn);
            self.by_name.remove(&old.name);
        }
        self.by_name.insert(name.clone(), index);
        self.lookups.distinct += 1;
        Ok(index)
    }

    /// It was used now.
    fn touch(&mut self, index: u32, now: Instant) {
        let entry = &mut self.entries[index as usize];
        entry.used = now;
        if entry.open > 0 {
            return;
        }
        self.resting.remove(&entry.turn);
        entry.turn = self.uses;
        self.resting.insert(entry.turn, index);
        self.uses += 1;
    }

    fn connect(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        if !entry.is_connected {
            entry.is_connected = true;
            self.lookups.connected += 1;
        }
    }

    fn open(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.open += 1;
        self.resting.remove(&entry.turn);
    }

    fn close(&mut self, index: u32, now: Instant) {
        self.entries[index as usize].open -= 1;
        self.touch(index, now);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.names.known().close(self.index, Instant::now());
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
    #[test]
    fn an_address_that_rested_goes_to_the_next_name_when_the_range_is_nearly_full() {
        let names = Arc::new(names(28));
        let start = Instant::now();
        let ask = |text: &str, after| names.addresses_at(&name(text), start + after);
        let given: Vec<_> = (0..9).map(|i| ask(&format!("n{i}.example"), Duration::ZERO)).collect();
        let later = REST + Duration::from_secs(1);
        // Nine of thirteen are not three quarters.
        assert!(ask("tenth.example", later).is_ok_and(|new| !given.contains(&Ok(new))));
        let kept = names.keep(&Host::Name(name("n0.example"))).expect("it was looked up");
        assert_eq!(
            names.host_at(given[1].expect("one").0.into(), start + later),
            Host::Name(name("n1.example"))
        );
        assert_eq!(ask("n2.example", later), given[2], "looked up again");
        assert_eq!(ask("new.example", later), given[3], "the first that nobody used since");
        assert_eq!(names.host(given[3].expect("one").1.into()), Host::Name(name("new.example")));
        drop(kept);
        let counted = Lookups { asked: 12, distinct: 11, connected: 2 };
        assert_eq!(names.lookups(), counted);
    }

    #[test]
    fn names_that_nobody_uses_fill_the_range_for_an_hour_at_most() {
        let names = names(24);
        let start = Instant::now();
        let ask = |number: usize, after| {
            names.addresses_at(&name(&format!("x{number}.example")), start + after)
        };
        assert_eq!((0..1000).filter(|i| ask(*i, Duration::ZERO).is_ok()).count(), 253);
        assert_eq!(ask(2000, REST - Duration::from_secs(1)), Err(Exhausted));
        assert_eq!((2000..4000).filter(|i| ask(*i, REST).is_ok()).count(), 253);
    }
}
