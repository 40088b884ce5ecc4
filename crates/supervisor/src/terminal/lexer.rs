//! Cuts a program's output into characters, controls and sequences.
//!
//! Bytes are taken for UTF-8, so the 8-bit forms of controls (0x80 to 0x9f) are
//! what UTF-8 makes of them: characters, or bytes that are none.

/// Longest sequence that is told. A longer one is nothing.
const KEPT: usize = 4096;

/// Longest string that is waited out. What comes after this many bytes counts
/// as text again, so that one that never ends does not swallow everything.
const SWALLOWED: usize = 4 * 1024 * 1024;

/// One complete thing that a program printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Char(char),
    /// One of 0x00 to 0x1f, or 0x7f.
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
    /// An operating system command, device control string or the like, from
    /// its `ESC` to its end.
    Text {
        whole: &'a [u8],
    },
}

impl Token<'_> {
    /// Writes it the shortest way it can be written.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Token::Char(c) => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Token::Control(byte) => out.push(byte),
            Token::Escape { intermediates, last } => {
                out.push(0x1b);
                out.extend(intermediates);
                out.push(last);
            }
            Token::Csi { body, last } => {
                out.extend(b"\x1b[");
                out.extend(body);
                out.push(last);
            }
            Token::Text { whole } => out.extend(whole),
        }
    }
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
    /// How many bytes it has, kept or not.
    length: usize,
}

impl Lexer {
    /// Whether a string has begun and not ended.
    pub(super) fn in_text(&self) -> bool {
        matches!(self.state, State::Text | State::TextEscape)
    }

    /// Gives up what is unfinished: what comes next begins anew.
    pub(super) fn end(&mut self) {
        self.state = State::Ground;
        self.kept.clear();
        self.length = 0;
    }

    /// The next characters, as far as nothing but printable ones comes: they
    /// need not be pushed one by one.
    pub(super) fn plain<'a>(&self, bytes: &'a [u8]) -> &'a str {
        if self.state != State::Ground {
            return "";
        }
        let is_control = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
        let end = bytes.iter().position(is_control).unwrap_or(bytes.len());
        let text = match std::str::from_utf8(&bytes[..end]) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        // U+0080 to U+009F are controls too.
        let is_control = |pair: &[u8]| pair[0] == 0xc2 && pair[1] < 0xa0;
        if text.is_ascii() {
            return text;
        }
        let at = text.as_bytes().windows(2).position(is_control);
        at.map_or(text, |at| &text[..at])
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
                self.tell_text(tell);
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
                self.tell_text(tell);
            }
            (State::Text, _) if self.length == SWALLOWED => {
                self.end();
                self.push(byte, tell);
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
            // SOURCE: `ESC k` is a window's name to screen and tmux.
            (State::Escape, b']' | b'P' | b'_' | b'^' | b'X' | b'k') if self.kept.len() == 1 => {
                self.turn(State::Text, byte);
            }
            (State::Escape | State::Csi, 0x20..0x30) | (State::Csi, 0x30..0x40) => self.keep(byte),
            (State::Escape, 0x30..0x7f) => {
                if self.is_whole() {
                    let intermediates = self.kept.get(1..).unwrap_or_default();
                    tell(Token::Escape { intermediates, last: byte });
                }
                self.end();
            }
            (State::Csi, 0x40..0x7f) => {
                if self.is_whole() {
                    tell(Token::Csi { body: self.kept.get(2..).unwrap_or_default(), last: byte });
                }
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
        self.length += 1;
        if self.kept.len() < KEPT {
            self.kept.push(byte);
        }
    }

    /// Whether all of the unfinished thing was kept.
    fn is_whole(&self) -> bool {
        self.length == self.kept.len()
    }

    fn tell_text(&mut self, tell: &mut dyn FnMut(Token<'_>)) {
        if self.is_whole() {
            tell(Token::Text { whole: &self.kept });
        }
        self.end();
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
        if lexer.state != State::Ground {
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
            Token::Text { whole } => format!("text({})", whole.len()),
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
    fn what_is_too_long_to_be_told_is_nothing_and_ends_all_the_same() {
        for (begin, end) in
            [("\x1b]0;", "\x07"), ("\x1bPq", "\x1b\\"), ("\x1b[", "m"), ("\x1b", "0")]
        {
            let filler = if begin == "\x1b" { " " } else { "1" };
            check(format!("{begin}{}{end}x", filler.repeat(3 * KEPT)).as_bytes(), "x");
        }
    }

    #[test]
    fn a_string_that_never_ends_becomes_text_again() {
        let mut lexer = Lexer::default();
        let mut told = 0;
        let long = b"\x1b_G".iter().chain(std::iter::repeat_n(&b'~', SWALLOWED));
        long.for_each(|byte| lexer.push(*byte, &mut |_| told += 1));
        assert_eq!((told, lexer.state), (3, State::Ground));
        assert!(lexer.kept.capacity() <= 2 * KEPT, "what is too long is not kept");
    }
}
