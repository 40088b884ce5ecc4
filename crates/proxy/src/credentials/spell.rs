//! The ways in which a text is commonly written into others.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Every spelling of `text` that is looked for, the text itself first.
///
/// Two texts of one shape (see `placeholder`) have as many, in the same order,
/// each as long as its counterpart: where one stands, the other fits.
///
/// What this does not find: a text that was encrypted, compressed, reversed, cut
/// into pieces, or encoded twice.
pub(super) fn spellings(text: &str) -> Vec<Vec<u8>> {
    let mut all = vec![text.as_bytes().to_vec()];
    for offset in 0..3 {
        let core = base64_within(text.as_bytes(), offset, &STANDARD);
        let url = base64_within(text.as_bytes(), offset, &URL_SAFE);
        all.extend([core, url]);
    }
    all.push(hex(text, "0123456789abcdef"));
    all.push(hex(text, "0123456789ABCDEF"));
    all.push(escaped(text, |b| format!("%{b:02X}")));
    all.push(escaped(text, |b| format!("%{b:02x}")));
    all.push(escaped(text, |b| if b == b' ' { "+".into() } else { format!("%{b:02X}") }));
    all.push(escaped(text, in_json));
    all.push(escaped(text, |b| if b == b'/' { "\\/".into() } else { in_json(b) }));
    all.push(escaped(text, in_html));
    all
}

/// The characters of the base64 of a longer text that hold nothing but `text`,
/// which begins `offset` bytes after a multiple of three.
fn base64_within(text: &[u8], offset: usize, alphabet: &impl Engine) -> Vec<u8> {
    let mut padded = vec![0; offset];
    padded.extend(text);
    let encoded = alphabet.encode(&padded);
    let (first, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    encoded.as_bytes()[first..end].to_vec()
}

fn hex(text: &str, digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes();
    text.bytes().flat_map(|b| [digits[usize::from(b >> 4)], digits[usize::from(b & 15)]]).collect()
}

/// Letters and digits stay, so that texts of one shape are escaped alike.
fn escaped(text: &str, escape: impl Fn(u8) -> String) -> Vec<u8> {
    let one = |b: u8| {
        let plain = b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if plain { vec![b] } else { escape(b).into_bytes() }
    };
    text.bytes().flat_map(one).collect()
}

fn in_json(b: u8) -> String {
    match b {
        b'"' | b'\\' => format!("\\{}", char::from(b)),
        _ => char::from(b).to_string(),
    }
}

fn in_html(b: u8) -> String {
    match b {
        b'&' => "&amp;".into(),
        b'<' => "&lt;".into(),
        b'>' => "&gt;".into(),
        b'"' => "&quot;".into(),
        b'\'' => "&#39;".into(),
        _ => char::from(b).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(text: &str, within: &str) -> bool {
        spellings(text)
            .iter()
            .any(|one| within.as_bytes().windows(one.len()).any(|window| window == one.as_slice()))
    }

    #[test]
    fn common_encodings_of_a_longer_text_have_a_spelling_in_them() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY";
        for user in ["", "u", "us", "use", "user"] {
            for tail in ["", "x", "xy", "xyz"] {
                let text = format!("{user}:{secret}{tail}");
                assert!(spelt(secret, &STANDARD.encode(&text)), "{text}");
                assert!(spelt(secret, &URL_SAFE.encode(&text)), "{text}");
            }
        }
        for within in [
            "x=wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCY&",
            "x=wJalrXUtnFEMI%2fK7MDENG%2bbPxRfiCY&",
            r#"{"key":"wJalrXUtnFEMI\/K7MDENG+bPxRfiCY"}"#,
            "774a616c725855746e46454d492f4b374d44454e472b62507852666943590a",
        ] {
            assert!(spelt(secret, within), "{within}");
        }
        assert!(!spelt(secret, "wJalrXUtnFEMI K7MDENG bPxRfiCY"));
        assert!(spelt(r#"a"b<c&dEFGHIJ"#, r#"{"x":"a\"b<c&dEFGHIJ"}"#));
        assert!(spelt(r#"a"b<c&dEFGHIJ"#, "<p>a&quot;b&lt;c&amp;dEFGHIJ</p>"));
    }
}
