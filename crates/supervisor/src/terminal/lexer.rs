//! Cuts a program's output into characters, controls and sequences, and knows
//! at every byte whether the terminal is in the middle of one.

/// Longest sequence that is kept. Longer strings (images, clipboards) pass
/// through, and are known only as a string.
const KEPT: usize = 4096;

/// One complete thing that a program printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Char(char),
    Control(u8),
    /// `ESC`, intermediates, a final byte.
    Escape {
        intermediates: &'a [u8],
        last: u8,
    },
    /// `CSI`, then parameters and intermediates as they came, a final byte.
    Csi {
        body: &'a [u8],
        last: u8,
    },
    /// An operating system command, device control string or the like: all of
    /// it, unless it was longer than is kept.
    Text {
        whole: Option<&'a [u8]>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Utf8 {
        length: usize,
    },
    Escape,
    Csi,
    Text,
    TextEscape,
}

#[derive(Debug, Default)]
pub(super) struct Lexer {
    state: State,
    /// The bytes of the unfinished thing, up to [`KEPT`].
    kept: Vec<u8>,
    overflowed: bool,
}

impl Lexer {
    /// Whether the terminal is between things, so that we may speak.
    pub(super) fn at_rest(&self) -> bool {
        self.state == State::Ground
    }

    /// The beginning of an unfinished thing. None if it was too long to keep.
    pub(super) fn unfinished(&self) -> Option<&[u8]> {
        (!self.overflowed).then_some(&self.kept)
    }

    /// Takes a byte and tells what it completes.
    pub(super) fn push(&mut self, byte: u8, tell: &mut dyn FnMut(Token<'_>)) {
        match (self.state, byte) {
            (State::Ground, 0x20..0x7f) => tell(Token::Char(byte.into())),
            (State::Ground, ..0x20 | 0x7f) if byte != 0x1b => tell(Token::Control(byte)),
            (State::Utf8 { .. }, ..0x80 | 0xc0..) => {
                tell(Token::Char(char::REPLACEMENT_CHARACTER));
                self.end();
                self.push(byte, tell);
            }
            (State::Utf8 { length }, _) => {
                self.keep(byte);
                if self.kept.len() == length {
                    let text = std::str::from_utf8(&self.kept).ok();
                    let c = text.and_then(|text| text.chars().next());
                    tell(Token::Char(c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                    self.end();
                }
            }
            (State::TextEscape, b'\\') => {
                self.keep(byte);
                tell(Token::Text { whole: self.unfinished() });
                self.end();
            }
            // Any other byte after ESC ends the string and begins a sequence.
            (State::TextEscape, _) => {
                self.begin(State::Escape, 0x1b);
                self.push(byte, tell);
            }
            // SOURCE: DEC STD 070: CAN and SUB cancel a sequence.
            (_, 0x18 | 0x1a) => {
                self.end();
                tell(Token::Control(byte));
            }
            (State::Text, 0x1b) => self.turn(State::TextEscape, byte),
            (State::Text, 0x07) if self.kept.get(1) == Some(&b']') => {
                self.keep(byte);
                tell(Token::Text { whole: self.unfinished() });
                self.end();
            }
            (State::Text, _) => self.keep(byte),
            (_, 0x1b) => self.begin(State::Escape, byte),
            (State::Ground, 0xc2..=0xdf) => self.begin(State::Utf8 { length: 2 }, byte),
            (State::Ground, 0xe0..=0xef) => self.begin(State::Utf8 { length: 3 }, byte),
            (State::Ground, 0xf0..=0xf4) => self.begin(State::Utf8 { length: 4 }, byte),
            (State::Ground, _) => tell(Token::Char(char::REPLACEMENT_CHARACTER)),
            // Controls work in the middle of a sequence.
            (State::Escape | State::Csi, ..0x20) => tell(Token::Control(byte)),
            (State::Escape, b'[') if self.kept.len() == 1 => self.turn(State::Csi, byte),
            (State::Escape, b']' | b'P' | b'_' | b'^' | b'X') if self.kept.len() == 1 => {
                self.turn(State::Text, byte);
            }
            (State::Escape | State::Csi, 0x20..0x30) | (State::Csi, 0x30..0x40) => self.keep(byte),
            (State::Escape, 0x30..0x7f) => {
                let intermediates = self.kept.get(1..).unwrap_or_default();
                tell(Token::Escape { intermediates, last: byte });
                self.end();
            }
            (State::Csi, 0x40..0x7f) => {
                tell(Token::Csi { body: self.kept.get(2..).unwrap_or_default(), last: byte });
                self.end();
            }
            // DEL is ignored; other bytes do not belong and end it.
            (State::Escape | State::Csi, 0x7f) => {}
            (State::Escape | State::Csi, 0x80..) => self.end(),
        }
    }

    fn begin(&mut self, state: State, byte: u8) {
        self.end();
        self.turn(state, byte);
    }

    fn turn(&mut self, state: State, byte: u8) {
        self.state = state;
        self.keep(byte);
    }

    fn keep(&mut self, byte: u8) {
        if self.kept.len() < KEPT {
            self.kept.push(byte);
        } else {
            self.overflowed = true;
        }
    }

    fn end(&mut self) {
        self.state = State::Ground;
        self.kept.clear();
        self.overflowed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let mut lexer = Lexer::default();
        let mut seen = Vec::new();
        for byte in bytes {
            lexer.push(*byte, &mut |token| seen.push(spell(&token)));
        }
        if !lexer.at_rest() {
            seen.push("…".to_owned());
        }
        assert_eq!(seen.join(" "), expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    fn spell(token: &Token<'_>) -> String {
        let text = String::from_utf8_lossy;
        match token {
            Token::Char(c) => c.to_string(),
            Token::Control(byte) => format!("^{byte:02x}"),
            Token::Escape { intermediates, last } => {
                format!("esc({}{})", text(intermediates), char::from(*last))
            }
            Token::Csi { body, last } => format!("csi({}{})", text(body), char::from(*last)),
            Token::Text { whole } => format!("text({})", whole.map_or(0, <[u8]>::len)),
        }
    }

    #[test]
    fn output_is_cut_where_a_terminal_cuts_it() {
        check("aé字🦀".as_bytes(), "a é 字 🦀");
        check(b"\x1b[1;31mx\x1b[?25l", "csi(1;31m) x csi(?25l)");
        check(b"\x1b(0q\x1b7\x1b#8", "esc((0) q esc(7) esc(#8)");
        check(b"\x1b]0;title\x07x\x1b]8;;u\x1b\\y", "text(10) x text(8) y");
        check(b"\x1bPq#0\x07;\x1b\\z", "text(9) z");
        check(b"\x1b[3\n1mx", "^0a csi(31m) x");
        check(b"\x1b[3\x18x", "^18 x");
        check(b"\x1b]0;a\x1b[1mx", "csi(1m) x");
        check(b"\xffa\xe5\xadb\xc3\x1b[m", "\u{fffd} a \u{fffd} b \u{fffd} csi(m)");
    }

    #[test]
    fn the_middle_of_anything_is_not_rest() {
        let middles =
            ["\x1b", "\x1b[", "\x1b[1;", "\x1b]0;abc", "\x1b]0;\x1b", "\x1bP1", "\x1b(", "\x1b_G"];
        for bytes in middles {
            check(bytes.as_bytes(), "…");
        }
        check(b"a\xe5\xad", "a …");
    }

    #[test]
    fn a_long_string_is_known_to_be_one_without_being_kept() {
        let mut lexer = Lexer::default();
        let mut told = Vec::new();
        let long = b"\x1bPq".iter().chain(std::iter::repeat_n(&b'~', 3 * KEPT));
        long.for_each(|byte| lexer.push(*byte, &mut |token| told.push(spell(&token))));
        assert!(!lexer.at_rest() && lexer.unfinished().is_none() && told.is_empty());
        b"\x1b\\".iter().for_each(|byte| lexer.push(*byte, &mut |token| told.push(spell(&token))));
        assert_eq!(told, ["text(0)"]);
        assert!(lexer.at_rest());
    }
}
