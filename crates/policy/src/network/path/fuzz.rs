//! Laws of paths, tried on spellings that nobody wrote down.

use bolero::{check, produce};

use super::*;

const PIECES: [&str; 32] = [
    "/", "//", "a", "admin", "users", ".", "..", ";x=1", "%2f", "%2F", "%252f", "%5c", "\\", "%2e",
    "%2e%2e", "%252e", "%61", "%", "%2", "%zz", "%00", "%3f", "%c0%af", "%u002f", "ADMIN", "*",
    "%25", "%20", "~", "%c0", "%23", "é",
];

fn text(picks: &[u8]) -> String {
    let piece = |pick: &u8| PIECES[usize::from(*pick) % PIECES.len()];
    format!("/{}", picks.iter().map(piece).collect::<String>())
}

/// What a server does to a path before it acts on it, in an order of its own.
const STEPS: [Rewrite; 6] =
    [decoded, decoded_but_slashes, slashed, collapsed, resolved, without_parameters];

#[test]
fn no_path_that_some_server_reads_as_denied_gets_past_a_restriction() {
    let denied = [PathPattern::parse("/admin/users").expect("a pattern")];
    let picks = produce::<Vec<u8>>().with().len(0..12_usize);
    check!().with_iterations(20_000).with_generator(picks).for_each(|picks| {
        // The first picks choose the steps, the others the path.
        let (steps, pieces) = picks.split_at(picks.len().min(4));
        let path = text(pieces);
        let acted_on = steps.iter().fold(path.as_bytes().to_vec(), |path, step| {
            STEPS[usize::from(*step) % STEPS.len()](&path)
        });
        let Some(readings) = Readings::of(&path) else { return };
        let reached = is_one_of(&denied, &acted_on);
        assert!(!reached || readings.any_is_one_of(&denied), "{path}");
        let permits =
            |p: &PathPattern| readings.each().all(|r| is_one_of(std::slice::from_ref(p), r));
        for permission in ["/a/**", "/a/*", "/*/users", "/**"] {
            let permission = PathPattern::parse(permission).expect("a pattern");
            assert!(
                !permits(&permission) || is_one_of(std::slice::from_ref(&permission), &acted_on),
                "`{permission}` permits {path}, read as {acted_on:?}"
            );
        }
    });
}

#[test]
fn a_respelt_path_is_denied_as_the_plain_one_is() {
    let denied = [PathPattern::parse("/admin/users").expect("a pattern")];
    let picks = produce::<Vec<u8>>().with().len(12..40_usize);
    check!().with_iterations(20_000).with_generator(picks).for_each(|picks| {
        let mut picks = picks.iter().copied().cycle();
        let mut next = || picks.next().unwrap_or_default();
        let mut spelt = String::new();
        for letter in "/admin/users".chars() {
            let encode = |letter: char| format!("%{:02x}", u32::from(letter));
            spelt += &match (letter, next() % 8) {
                ('/', 0) => "//".to_owned(),
                ('/', 1) => "/./".to_owned(),
                ('/', 2) => "/x/../".to_owned(),
                ('/', 3) => "/%2e/".to_owned(),
                ('/', 4) => "%2f".to_owned(),
                ('/', 5) => "\\".to_owned(),
                ('/', 6) => ";x/".to_owned(),
                (letter, 0) => encode(letter),
                (letter, 1) => encode(letter).replace('%', "%25"),
                (letter, 2) => letter.to_ascii_uppercase().to_string(),
                (letter, 3) => encode(letter).to_ascii_uppercase(),
                (letter, _) => letter.to_string(),
            };
        }
        let Some(readings) = Readings::of(&spelt) else { return };
        assert!(readings.any_is_one_of(&denied), "{spelt}");
    });
}
