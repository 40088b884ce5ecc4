//! Socket addresses that nobody meant.

use bolero::{check, produce};

use super::*;

/// Memory of a few bytes, which begins at address 0.
struct Few<'a>(&'a [u8]);

impl Memory for Few<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(address).unwrap_or(usize::MAX).min(self.0.len());
        let got = into.len().min(self.0.len() - start);
        into[..got].copy_from_slice(&self.0[start..start + got]);
        Ok(got)
    }
}

#[test]
fn a_destination_is_read_whole_or_not_at_all() {
    const FAMILIES: [i32; 6] = [
        libc::AF_UNSPEC,
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
        libc::AF_VSOCK,
    ];
    let rest = produce::<Vec<u8>>().with().len(0..160_usize);
    let input = (produce::<u16>(), rest, produce::<u32>());
    check!().with_iterations(50_000).with_generator(input).for_each(|(family, rest, length)| {
        // Half of the time a family that means something.
        let family = match family % 2 {
            0 => FAMILIES[usize::from(family / 2) % FAMILIES.len()] as u16,
            _ => *family,
        };
        let mut bytes = family.to_ne_bytes().to_vec();
        bytes.extend(rest);
        let length = if length % 4 == 0 { *length } else { length % 160 };
        let found = destination(&Few(&bytes), 0, length);
        let fits = (2..=128).contains(&length);
        match &found {
            Err(libc::EINVAL) => {}
            Err(libc::EFAULT) => assert!(length as usize > bytes.len()),
            Err(other) => panic!("error {other}"),
            Ok(_) => assert!(fits && length as usize <= bytes.len()),
        }
        match found {
            Ok(Destination::Internet(address)) => {
                let mapped =
                    matches!(address.ip(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
                assert!(!mapped, "{address} is judged as something else than it reaches");
                assert_eq!(parse_destination(&encode(address)), Ok(Destination::Internet(address)));
                assert_eq!(address.port().to_be_bytes(), bytes[2..4]);
            }
            Ok(Destination::LocalPath(path)) => {
                let path = path.into_vec();
                assert!(!path.is_empty() && !path.contains(&0));
                assert!(bytes[2..].starts_with(&path));
            }
            Ok(Destination::LocalAbstract(name)) => {
                assert!(name.first().is_none_or(|byte| *byte == 0));
                assert_eq!(name, bytes[2..length as usize]);
            }
            Ok(Destination::Unknown(said)) => assert_eq!(said, family),
            Ok(Destination::Nowhere) => assert_eq!(i32::from(family), libc::AF_UNSPEC),
            Ok(Destination::Kernel) | Err(_) => {}
        }
    });
}
