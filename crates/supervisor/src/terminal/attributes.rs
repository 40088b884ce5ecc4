//! What the next character will look like: the attributes that are on.

/// More attribute changes than this without a reset: the model's idea of the
/// attributes has to do.
const LONGEST: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Attributes {
    /// The sequences since the last reset. None if they were too many.
    exact: Option<Vec<u8>>,
    /// Which kinds are on, a bit each, once they are too many.
    lit: u32,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { exact: Some(Vec::new()), lit: 0 }
    }
}

impl Attributes {
    /// Remembers `CSI body m`; a reset forgets what came before it.
    pub(super) fn follow(&mut self, body: &[u8]) {
        if body.is_empty() || body == b"0" {
            *self = Self::default();
            return;
        }
        if body.starts_with(b"0;") {
            *self = Self::default();
        }
        let Some(known) = &mut self.exact else {
            light(&mut self.lit, body);
            return;
        };
        known.extend(b"\x1b[");
        known.extend(body);
        known.push(b'm');
        if known.len() > LONGEST {
            self.lit = lit(known);
            self.exact = None;
        }
    }

    /// The sequences that make them, if they are known.
    pub(super) fn exact(&self) -> Option<&[u8]> {
        self.exact.as_deref()
    }

    /// Whether a character would look different from plain text.
    pub(super) fn are_on(&self) -> bool {
        self.exact.as_ref().map_or(self.lit, |known| lit(known)) != 0
    }
}

/// Which kinds these sequences leave on.
fn lit(sequences: &[u8]) -> u32 {
    let mut kinds = 0;
    for sequence in sequences.split(|byte| *byte == b'm').filter(|sequence| !sequence.is_empty()) {
        light(&mut kinds, sequence.strip_prefix(b"\x1b[").unwrap_or(sequence));
    }
    kinds
}

fn light(lit: &mut u32, body: &[u8]) {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let mut codes = text.split(';');
    while let Some(code) = codes.next() {
        let (code, detail) = code.split_once(':').unwrap_or((code, ""));
        let code = code.parse().unwrap_or(0);
        match kind(code) {
            None => *lit = 0,
            // `4:0` is no underline.
            Some((kind, on)) if on && !(code == 4 && detail == "0") => *lit |= 1 << kind,
            Some((kind, _)) => *lit &= !(1 << kind),
        }
        if matches!(code, 38 | 48 | 58) && detail.is_empty() {
            // `38;5;index` or `38;2;red;green;blue`.
            let skipped = if codes.next() == Some("2") { 3 } else { 1 };
            codes.by_ref().take(skipped).for_each(drop);
        }
    }
}

/// Which kind of attribute a code is about and whether it turns it on. None for
/// the code that turns all off. What is not known counts as on until then.
///
/// SOURCE: ECMA-48 for SGR, xterm and kitty for the codes beyond it.
fn kind(code: u16) -> Option<(u32, bool)> {
    Some(match code {
        0 => return None,
        1 | 2 => (1, true),
        22 => (1, false),
        3 | 20 => (2, true),
        23 => (2, false),
        4 | 21 => (3, true),
        24 => (3, false),
        5 | 6 => (4, true),
        25 => (4, false),
        7 => (5, true),
        27 => (5, false),
        8 => (6, true),
        28 => (6, false),
        9 => (7, true),
        29 => (7, false),
        11..=19 => (8, true),
        10 => (8, false),
        30..=38 | 90..=97 => (9, true),
        39 => (9, false),
        40..=48 | 100..=107 => (10, true),
        49 => (10, false),
        26 => (11, true),
        50 => (11, false),
        51 | 52 => (12, true),
        54 => (12, false),
        53 => (13, true),
        55 => (13, false),
        58 => (14, true),
        59 => (14, false),
        60..=64 => (15, true),
        65 => (15, false),
        73 | 74 => (16, true),
        75 => (16, false),
        _ => (31, true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bodies: &[&str], on: bool) {
        let mut attributes = Attributes::default();
        bodies.iter().for_each(|body| attributes.follow(body.as_bytes()));
        assert_eq!(attributes.are_on(), on, "{bodies:?}");
    }

    #[test]
    fn what_was_turned_off_again_is_off() {
        check(&[], false);
        check(&["1"], true);
        check(&["1;3;4;7;9", "22;23;24;27;29"], false);
        check(&["31;42", "39"], true);
        check(&["31;42", "39;49"], false);
        check(&["38;5;1;48;2;1;1;1", "39;49"], false);
        check(&["38:2::1:1:1", "39"], false);
        check(&["38;2;7;1;4", "39"], false);
        check(&["4:3;58:5:1", "4:0;59"], false);
        check(&["31;0"], false);
        check(&["0;31"], true);
        check(&["99", "0"], false);
        check(&["99"], true);
        let many = ["31"; 500];
        check(&many, true);
        check(&[&many[..], &["39"]].concat(), false);
        check(&[&many[..], &["39", "1", "0;4"]].concat(), true);
    }
}
