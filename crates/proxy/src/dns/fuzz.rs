//! Messages that no resolver sent.

use bolero::{check, produce};

use super::tests::names;
use super::*;

/// What messages are made of: headers, labels, pointers, types, lengths.
const PIECES: [&[u8]; 24] = [
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
    b"\x00\x07\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00",
    b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01",
    b"\x03api\x07example\x00",
    b"\x09localhost\x00",
    b"\x01a",
    b"\x3f",
    b"\xc0\x0c",
    b"\xc0\x0e",
    b"\xc0\xff",
    b"\x00",
    b"\x00\x01",
    b"\x00\x1c",
    b"\x00\x10",
    b"\x00\x41",
    b"\x00\xff",
    b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00",
    b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x08",
    b"\xff\xff",
    b"\x00\x00\x00\x3c",
    b"\x00\x04\x01\x02\x03\x04",
    b"\x04a.b\x00",
    b"\x02\xc3\xa9",
    b"\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fn lawful(message: &[u8], names: &Names) {
    let Some(reply) = answer(message, names) else { return };
    assert_eq!(reply[..2], message[..2], "the asker's own number");
    let reply = Packet::parse(&reply).expect("our own reply is well-formed");
    assert!(reply.has_flags(PacketFlag::RESPONSE));
    assert!(reply.answers.len() <= 1 && reply.name_servers.is_empty());
    for record in &reply.answers {
        let synthetic = match &record.rdata {
            RData::A(A { address }) => {
                let [a, b, ..] = address.to_be_bytes();
                (a == 198 && b & 0xfe == 18) || *address == u32::from(Ipv4Addr::LOCALHOST)
            }
            RData::AAAA(AAAA { address }) => {
                let address = Ipv6Addr::from(*address);
                address.octets().starts_with(&[0xfd, 0x72, 0x65, 0x6d, 0x69, 0x74])
                    || address.is_loopback()
            }
            _ => false,
        };
        assert!(synthetic, "{record:?} says more than a synthetic address");
    }
}

#[test]
fn any_message_gets_a_synthetic_address_or_nothing() {
    let names = names();
    let picks = produce::<Vec<u8>>().with().len(0..12_usize);
    let input = (picks, produce::<u16>(), produce::<u8>());
    check!().with_iterations(20_000).with_generator(input).for_each(|(picks, at, bent)| {
        let pieces = picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]);
        let mut message = pieces.collect::<Vec<_>>().concat();
        lawful(&message, &names);
        // The same with one byte bent.
        let at = usize::from(*at) % message.len().max(1);
        if let Some(byte) = message.get_mut(at) {
            *byte = *bent;
            lawful(&message, &names);
        }
    });
}

#[test]
fn no_bytes_at_all_are_too_odd() {
    let names = names();
    check!().with_iterations(10_000).for_each(|bytes: &[u8]| lawful(bytes, &names));
}
