//! What must not be seen, and what stands in for it inside.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// A secret: printable ASCII, 8 to 4096 bytes, with no space at either end.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a text is not a secret that can be put in. Never says the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(&'static str);

impl SecretError {
    pub(super) const HEADER: Self = Self("it is put into a header whose name is none");
    pub(super) const AWS: Self = Self(
        "a key of AWS is written `ID:SECRET` or `ID:SECRET:TOKEN`, the ID in letters and digits",
    );
}

impl Secret {
    /// Takes the text without one line end after it, as files have it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if !(8..=4096).contains(&text.len()) {
            return Err(SecretError("it is not 8 to 4096 bytes long"));
        }
        if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) || text.trim() != text {
            return Err(SecretError("it has other than printable ASCII, or a space at an end"));
        }
        if bits(text) < LEAST_BITS {
            return Err(SecretError("it has too few letters and digits to be told apart"));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// So much must be drawn at random that a placeholder is not met by accident in
/// terabytes of traffic: a trillion spellings.
const LEAST_BITS: f64 = 40.0;

/// What tokens of well-known issuers begin with. It is public and programs look
/// at it, so a placeholder begins the same. Longer ones before what they begin with.
///
/// SOURCE: the issuers' pages on token formats, and `AKIA`, `ASIA` from "IAM
/// identifiers"; `eyJ` is `{"` in base64, as every JSON Web Token begins (RFC 7519).
const BEGINNINGS: [&str; 24] = [
    "sk-ant-api03-",
    "sk-ant-oat01-",
    "sk-svcacct-",
    "sk-or-v1-",
    "sk-proj-",
    "sk_live_",
    "sk_test_",
    "sk-",
    "github_pat_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "pypi-",
    "npm_",
    "AKIA",
    "ASIA",
    "AIza",
    "hf_",
    "eyJ",
];

/// A text of the secret's shape: as long, digits for digits, small letters for
/// small ones, capitals for capitals, all else as it is.
///
/// It is drawn from `entropy` and `label`, never from the secret: whoever has the
/// placeholder knows the shape and nothing more. `label` differs between the
/// secrets of a session. Checksums that some issuers put into their tokens do
/// not come out right.
pub(super) fn placeholder(secret: &Secret, entropy: &[u8; 32], label: &str) -> String {
    let text = secret.expose();
    let kept = BEGINNINGS
        .iter()
        .find(|beginning| text.starts_with(**beginning))
        .filter(|beginning| bits(&text[beginning.len()..]) >= LEAST_BITS)
        .map_or(0, |beginning| beginning.len());
    let mut drawn = Drawn { entropy, label, round: 0, block: Vec::new() };
    loop {
        let rest = text[kept..].chars().map(|c| match class(c) {
            Some((first, size)) => char::from(first + drawn.below(size)),
            None => c,
        });
        let drawn: String = text[..kept].chars().chain(rest).collect();
        if drawn != text {
            return drawn;
        }
    }
}

/// The first of the characters that may stand for this one, and how many they are.
fn class(c: char) -> Option<(u8, u8)> {
    match c {
        '0'..='9' => Some((b'0', 10)),
        'a'..='z' => Some((b'a', 26)),
        'A'..='Z' => Some((b'A', 26)),
        _ => None,
    }
}

fn bits(text: &str) -> f64 {
    text.chars().filter_map(class).map(|(_, size)| f64::from(size).log2()).sum()
}

/// Numbers drawn from a key: HMAC-SHA256 of a label and a counter.
struct Drawn<'a> {
    entropy: &'a [u8; 32],
    label: &'a str,
    round: u64,
    block: Vec<u8>,
}

impl Drawn<'_> {
    /// A number less than `size`, each as likely.
    fn below(&mut self, size: u8) -> u8 {
        let fair = u8::MAX - u8::MAX % size;
        loop {
            let byte = self.next();
            if byte < fair {
                return byte % size;
            }
        }
    }

    fn next(&mut self) -> u8 {
        if let Some(byte) = self.block.pop() {
            return byte;
        }
        let mut mac = <Hmac<Sha256>>::new_from_slice(self.entropy).expect("any key will do");
        mac.update(self.label.as_bytes());
        mac.update(&self.round.to_be_bytes());
        self.round += 1;
        self.block = mac.finalize().into_bytes().to_vec();
        self.block.pop().expect("a block has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(text: &str, label: &str) -> String {
        placeholder(&Secret::parse(text).unwrap(), &[7; 32], label)
    }

    #[test]
    fn a_placeholder_has_the_shape_and_the_beginning_of_its_secret() {
        for (text, begins) in [
            ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_"),
            ("sk-ant-api03-abcDEF0123456789-xyz_AA", "sk-ant-api03-"),
            ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
            ("correct horse battery", ""),
        ] {
            let drawn = shaped(text, "a");
            assert!(drawn.starts_with(begins), "{drawn}");
            assert_eq!(drawn.len(), text.len());
            for (one, other) in text.chars().zip(drawn.chars()) {
                assert_eq!(class(one), class(other), "{drawn}");
                assert!(class(one).is_some() || one == other, "{drawn}");
            }
        }
    }

    #[test]
    fn another_label_or_session_draws_another_placeholder() {
        let text = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
        assert_ne!(shaped(text, "a"), shaped(text, "b"));
        let other = placeholder(&Secret::parse(text).unwrap(), &[8; 32], "a");
        assert_ne!(shaped(text, "a"), other);
        assert_eq!(shaped(text, "a"), shaped(text, "a"));
    }

    #[test]
    fn a_beginning_is_drawn_too_where_little_follows_it() {
        assert_ne!(&shaped("AKIAabcdefgh", "a")[..4], "AKIA");
    }

    #[test]
    fn what_cannot_be_told_apart_or_put_into_a_header_is_no_secret() {
        for bad in [
            "",
            "hunter2",
            "123456789012",
            "--------------------",
            " leading-space-abcdefgh",
            "two\nlines-abcdefgh",
            "nul\0nul-abcdefgh",
            "schlüssel-abcdefgh",
            "ends-with-two-newlines\n\n",
        ] {
            assert!(Secret::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Secret::parse(&"a".repeat(4097)).is_err());
        assert_eq!(Secret::parse("abcdefghij\r\n").unwrap().expose(), "abcdefghij");
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::parse("abcdefghij").unwrap()), "[secret]");
    }
}
