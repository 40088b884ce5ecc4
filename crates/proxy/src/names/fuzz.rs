//! Any names in any order, in a range of any size, over any time.

use std::collections::{HashMap, HashSet};

use bolero::{TypeGenerator, check, produce};

use super::*;

/// What may happen to one of many names.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Step {
    Ask(u8),
    Connect(u8),
    Open(u8),
    Close,
    /// So many minutes pass.
    Wait(u8),
}

/// Laws: no two names share an address; an address means the name it was last given
/// to; it means the same for an hour after it was used and as long as a connection
/// is open; while there is room nobody loses one; the gateway and what is outside
/// the range mean themselves.
#[test]
fn an_address_means_one_name_at_a_time_and_rests_before_it_means_another() {
    check!()
        .with_generator((24_u8..=30, produce::<Vec<Step>>().with().len(0..300_usize)))
        .for_each(|(prefix, steps)| lawful(*prefix, steps));
}

fn lawful(prefix: u8, steps: &[Step]) {
    let names = tests::names(prefix);
    let name = |number: &u8| tests::name(&format!("n{number}.example"));
    let mut now = Instant::now();
    let mut given: HashMap<HostName, (Ipv4Addr, Ipv6Addr, Instant)> = HashMap::new();
    let mut open: Vec<(HostName, u32)> = Vec::new();
    for step in steps {
        match step {
            Step::Wait(minutes) => now += Duration::from_secs(60 * u64::from(*minutes)),
            Step::Close => {
                let Some((name, index)) = open.pop() else { continue };
                names.known().close(index, now);
                given.entry(name).and_modify(|held| held.2 = now);
            }
            Step::Open(number) => {
                let index = names.known().by_name.get(&name(number)).copied();
                let Some(index) = index else { continue };
                names.known().open(index);
                open.push((name(number), index));
            }
            Step::Connect(number) => {
                let Some((v4, _, used)) = given.get_mut(&name(number)) else { continue };
                assert_eq!(names.host_at((*v4).into(), now), Host::Name(name(number)));
                *used = now;
            }
            Step::Ask(number) => {
                let asked = name(number);
                let is_full = given.len() * 4 >= names.room() as usize * 3;
                let held: HashSet<_> = open.iter().map(|(name, _)| name.clone()).collect();
                match names.addresses_at(&asked, now) {
                    Ok((v4, v6)) => {
                        if let Some((four, six, _)) = given.get(&asked) {
                            assert_eq!((v4, v6), (*four, *six));
                        }
                        given.retain(|other, (four, _, used)| {
                            let lost = *four == v4 && *other != asked;
                            let rested = now.duration_since(*used) >= REST && !held.contains(other);
                            assert!(!lost || (rested && is_full), "{other} lost to {asked}");
                            !lost
                        });
                        given.insert(asked, (v4, v6, now));
                    }
                    Err(Exhausted) => {
                        assert!(!given.contains_key(&asked), "a known name keeps its address");
                        assert_eq!(given.len(), names.room() as usize, "all are taken");
                    }
                }
            }
        }
    }
    for (name, (v4, v6, _)) in &given {
        for address in [IpAddr::V4(*v4), IpAddr::V6(*v6)] {
            assert!(names.is_synthetic(address));
            assert_eq!(names.name(address), Some(name.clone()));
        }
    }
    // The network, the gateway and the broadcast are nobody's.
    assert!(given.len() <= (1 << (32 - prefix)) - 3, "{} names in a /{prefix}", given.len());
    let gateway = IpAddr::V4(names.gateway());
    for address in [gateway, Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()] {
        assert_eq!(names.host(address), Host::Address(address));
    }
}
