//! Names that the host itself lists, `/etc/hosts`.
//!
//! The system's resolver reads that file, too, but finds no name in it that ends in
//! a dot, as those do that it is asked for.

use std::io;
use std::net::IpAddr;

use remit_policy::HostName;

const FILE: &str = "/etc/hosts";

/// All addresses that the host lists for a name.
///
/// # Errors
///
/// If the file is there and cannot be read.
pub(crate) async fn addresses(name: HostName) -> io::Result<Vec<IpAddr>> {
    let read = tokio::task::spawn_blocking(|| std::fs::read(FILE)).await;
    match read.map_err(io::Error::other)? {
        Ok(text) => Ok(listed(&text, &name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The addresses of the lines that have the name, in order, once each.
/// SOURCE: hosts(5): an address, blanks, names; a `#` ends the line. A line that
/// does not begin with an address alone, such as one with a zone, is nobody's.
fn listed(text: &[u8], name: &HostName) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        let is_named = |word: &str| HostName::parse(word).is_ok_and(|listed| listed == *name);
        if words.any(is_named) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_name_are_found_and_no_other() {
        let check = |text: &str, expected: &[&str]| {
            let name = HostName::parse("db.corp.example").expect("a name");
            let expected: Vec<IpAddr> =
                expected.iter().map(|it| it.parse().expect("an address")).collect();
            assert_eq!(listed(text.as_bytes(), &name), expected, "{text:?}");
        };
        check("10.0.0.5 db.corp.example", &["10.0.0.5"]);
        check("10.0.0.5\tdb DB.Corp.EXAMPLE.\r\n::5 db.corp.example\n", &["10.0.0.5", "::5"]);
        check("10.0.0.5 db.corp.example\n10.0.0.5 x db.corp.example", &["10.0.0.5"]);
        check("#10.0.0.5 db.corp.example\n10.0.0.6 # db.corp.example", &[]);
        check("10.0.0.5 xdb.corp.example db.corp.example.x db.corp", &[]);
        check("10.0.0.256 db.corp.example\nfe80::1%lo db.corp.example", &[]);
        check("0x0a000005 db.corp.example\n10.5 db.corp.example\ndb.corp.example", &[]);
    }
}
