//! Any names in any order, in a range of any size.

use std::collections::HashMap;

use bolero::{check, produce};

use super::*;

/// Law: an address means the one name it was given to, for good; names never
/// share one; the gateway and what is outside the range mean themselves.
#[test]
fn an_address_once_given_means_one_name_for_good() {
    check!()
        .with_generator((24_u8..=30, produce::<Vec<u8>>().with().len(0..200_usize)))
        .for_each(|(prefix, order)| lawful(*prefix, order));
}

fn lawful(prefix: u8, order: &[u8]) {
    let names = tests::names(prefix);
    let mut given: HashMap<HostName, (Ipv4Addr, Ipv6Addr)> = HashMap::new();
    for number in order {
        let name = tests::name(&format!("n{number}.example"));
        match (names.addresses(&name), given.get(&name)) {
            (Ok(addresses), Some(before)) => assert_eq!(addresses, *before),
            (Ok(addresses), None) => {
                assert!(given.values().all(|(v4, v6)| *v4 != addresses.0 && *v6 != addresses.1));
                given.insert(name, addresses);
            }
            (Err(Exhausted), before) => assert_eq!(before, None, "a known name keeps its address"),
        }
    }
    // The network, the gateway and the broadcast are nobody's.
    assert!(given.len() <= (1 << (32 - prefix)) - 3, "{} names in a /{prefix}", given.len());
    for (name, (v4, v6)) in &given {
        for address in [IpAddr::V4(*v4), IpAddr::V6(*v6)] {
            assert!(names.is_synthetic(address));
            assert_eq!(names.host(address), Host::Name(name.clone()));
        }
    }
    let gateway = IpAddr::V4(names.gateway());
    for address in [gateway, Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()] {
        assert_eq!(names.host(address), Host::Address(address));
    }
}
