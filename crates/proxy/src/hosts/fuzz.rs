//! Any bytes in the place of the host's list.

use bolero::check;

use super::*;

/// Law: a list adds nothing to a name but the addresses of lines that spell it, and
/// what stands around such a line does not take it away.
#[test]
fn a_line_is_found_whatever_stands_around_it() {
    let name = HostName::parse("db.corp.example").expect("a name");
    check!().for_each(|noise: &[u8]| {
        let spelt = noise.to_ascii_lowercase();
        let is_spelt = spelt.windows(name.as_str().len()).any(|it| it == name.as_str().as_bytes());
        if !is_spelt {
            assert_eq!(listed(noise, &name), Vec::<IpAddr>::new());
        }
        let text = [noise, b"\n192.0.2.7 db.corp.example\n", noise].concat();
        assert!(listed(&text, &name).contains(&IpAddr::from([192, 0, 2, 7])));
    });
}
