//! What a person pressed, out of the bytes a terminal sends.
//!
//! Only plain keys become [`Input::Key`]. What a terminal says by itself
//! (cursor position, device attributes, focus) is a [`Input::Report`] and
//! belongs to the program that asked. Arrows, mouse, function keys, modified
//! keys and everything pasted become [`Input::Other`], which answers nothing.

/// One key, pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Char(char),
    Enter,
    Esc,
    Backspace,
    CtrlC,
}

/// What one complete piece of input means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Key(Key),
    /// An answer of the terminal to the program; it must reach the program.
    Report,
    /// A cursor position report, `CSI row ; column R`.
    Position {
        row: u16,
        col: u16,
    },
    /// A piece of a bracketed paste, markers included.
    Pasted,
    /// Input that is nobody's answer: arrows, mouse, function keys.
    Other,
}

/// A complete piece of input and its bytes as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub input: Input,
    pub raw: Vec<u8>,
}

/// Longest sequence that is waited for. A longer one comes out in pieces that
/// are [`Input::Other`] until it ends.
const SEQUENCE_LIMIT: usize = 4096;

/// Cuts input into pieces, across any split into reads.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    pasting: bool,
    /// Within a string sequence that outgrew [`SEQUENCE_LIMIT`].
    overlong: bool,
}

enum Step {
    /// The pending bytes are a prefix of something.
    More,
    /// The pending bytes are a piece.
    Done(Input),
}

impl Decoder {
    /// Takes bytes and returns the pieces they complete, in order. Every byte
    /// ends up in exactly one piece, sooner or later.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for &byte in bytes {
            // `ESC ESC` is an Esc that was pressed, then something new. Within
            // a paste, an `ESC` may begin the marker that ends it.
            let afresh =
                if self.pasting { !self.pending.is_empty() } else { self.pending == [0x1b] };
            if byte == 0x1b && afresh {
                let input = if self.pasting { Input::Pasted } else { Input::Key(Key::Esc) };
                pieces.push(Piece { input, raw: std::mem::take(&mut self.pending) });
            }
            self.pending.push(byte);
            if let Step::Done(input) = self.step() {
                pieces.push(Piece { input, raw: std::mem::take(&mut self.pending) });
            }
        }
        pieces
    }

    /// Ends the wait for more: nothing came for some 50 ms, so a lone `ESC` was
    /// the Esc key and any other beginning is nothing.
    pub fn flush(&mut self) -> Option<Piece> {
        if self.pending.is_empty() || self.pasting {
            return None;
        }
        let raw = std::mem::take(&mut self.pending);
        self.overlong = false;
        let input = if raw == [0x1b] { Input::Key(Key::Esc) } else { Input::Other };
        Some(Piece { input, raw })
    }

    /// Bytes of a piece that is not complete yet.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Whether a bracketed paste has begun and not ended.
    pub fn pasting(&self) -> bool {
        self.pasting
    }

    fn step(&mut self) -> Step {
        if self.pasting {
            return self.paste_step();
        }
        if self.overlong {
            let ended = matches!(self.pending.last(), Some(0x07 | 0x18 | 0x1a))
                || self.pending.ends_with(b"\x1b\\");
            self.overlong = !ended;
            return if ended || self.pending.len() >= SEQUENCE_LIMIT {
                Step::Done(Input::Other)
            } else {
                Step::More
            };
        }
        let step = parse(&self.pending);
        if let Step::Done(Input::Pasted) = step {
            self.pasting = true;
        }
        if matches!(step, Step::More) && self.pending.len() >= SEQUENCE_LIMIT {
            self.overlong = matches!(self.pending.get(1), Some(b']' | b'P' | b'_' | b'^' | b'X'));
            return Step::Done(Input::Other);
        }
        step
    }

    /// Nothing inside a paste means anything but the marker that ends it.
    fn paste_step(&mut self) -> Step {
        const END: &[u8] = b"\x1b[201~";
        if self.pending == END {
            self.pasting = false;
            return Step::Done(Input::Pasted);
        }
        if END.starts_with(&self.pending) {
            return Step::More;
        }
        Step::Done(Input::Pasted)
    }
}

fn parse(bytes: &[u8]) -> Step {
    use Step::{Done, More};
    let key = |key| Done(Input::Key(key));
    match bytes {
        [0x1b] => More,
        [0x1b, b'[', ..] => parse_csi(&bytes[2..]),
        [0x1b, b']' | b'P' | b'_' | b'^' | b'X', ..] => parse_string(bytes),
        [0x1b, b'O'] => More,
        // Alt with a key, or a keypad key: not the key alone.
        [0x1b, b'O', ..] => Done(Input::Other),
        [0x1b, rest @ ..] => match parse(rest) {
            More => More,
            Done(_) => Done(Input::Other),
        },
        [b'\r' | b'\n'] => key(Key::Enter),
        [0x7f | 0x08] => key(Key::Backspace),
        [0x03] => key(Key::CtrlC),
        [0..=0x1f] => Done(Input::Other),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => match text.chars().next() {
                Some(c) if !c.is_control() => key(Key::Char(c)),
                _ => Done(Input::Other),
            },
            Err(error) if error.error_len().is_none() => More,
            Err(_) => Done(Input::Other),
        },
    }
}

/// After `CSI`: parameter bytes, intermediate bytes, one final byte.
fn parse_csi(body: &[u8]) -> Step {
    let Some((&last, params)) = body.split_last() else {
        return Step::More;
    };
    // SOURCE: xterm control sequences, X10 mouse: `CSI M` and three bytes.
    if body[0] == b'M' {
        return if body.len() < 4 { Step::More } else { Step::Done(Input::Other) };
    }
    // SOURCE: the Linux console's function keys F1 to F5, `CSI [ A` to `CSI [ E`.
    if body[0] == b'[' {
        return if body.len() < 2 { Step::More } else { Step::Done(Input::Other) };
    }
    if (0x20..0x40).contains(&last) {
        return Step::More;
    }
    let private = params.first().is_some_and(|b| (b'<'..=b'?').contains(b));
    Step::Done(match last {
        b'~' if params == b"200" => Input::Pasted,
        b'~' if params.starts_with(b"27;") => other_key(&params[3..]),
        b'u' if params.first() == Some(&b'?') => Input::Report,
        b'u' => kitty_key(params),
        b'R' if !private => position(params),
        b'R' | b'c' | b'n' | b'y' | b't' | b'x' => Input::Report,
        b'I' | b'O' if params.is_empty() => Input::Report,
        _ => Input::Other,
    })
}

/// `OSC`, `DCS`, `APC`, `PM`, `SOS`, up to `ST` or `BEL`: only a terminal says
/// such things, in reply to the program.
fn parse_string(bytes: &[u8]) -> Step {
    match bytes {
        [_, _, .., 0x1b, b'\\'] | [_, _, .., 0x07] => Step::Done(Input::Report),
        [_, _, .., 0x18 | 0x1a] => Step::Done(Input::Other),
        // A person's Alt-] or Alt-P comes alone and is flushed.
        _ => Step::More,
    }
}

fn position(params: &[u8]) -> Input {
    let text = std::str::from_utf8(params).unwrap_or_default();
    let parsed =
        text.split_once(';').and_then(|(row, col)| Some((row.parse().ok()?, col.parse().ok()?)));
    match parsed {
        Some((row, col)) if row > 0 && col > 0 => Input::Position { row, col },
        _ => Input::Report,
    }
}

/// SOURCE: the kitty keyboard protocol: `code:shifted:base ; modifiers:event ; text u`.
/// Only a press without Alt, Ctrl or Super counts as the key.
fn kitty_key(params: &[u8]) -> Input {
    let text = std::str::from_utf8(params).unwrap_or_default();
    let mut fields = text.split(';');
    let mut codes = fields.next().unwrap_or_default().split(':');
    let mut state = fields.next().unwrap_or_default().split(':');
    let (code, shifted) = (codes.next(), codes.next());
    let modifiers = state.next().unwrap_or_default();
    let event = state.next().unwrap_or("1");
    if event != "1" {
        return Input::Other;
    }
    modified_key(code.unwrap_or_default(), shifted.unwrap_or_default(), modifiers)
}

/// SOURCE: xterm's modifyOtherKeys: `CSI 27 ; modifiers ; code ~`.
fn other_key(params: &[u8]) -> Input {
    let text = std::str::from_utf8(params).unwrap_or_default();
    match text.split_once(';') {
        Some((modifiers, code)) => modified_key(code, "", modifiers),
        None => Input::Other,
    }
}

fn modified_key(code: &str, shifted: &str, modifiers: &str) -> Input {
    const SHIFT: u32 = 1;
    const CTRL: u32 = 4;
    const LOCKS: u32 = 64 | 128;
    let modifiers = match modifiers {
        "" => 0,
        text => match text.parse::<u32>() {
            Ok(number) if number > 0 => (number - 1) & !LOCKS,
            _ => return Input::Other,
        },
    };
    let Ok(code) = code.parse::<u32>() else {
        return Input::Other;
    };
    let shown = if modifiers & SHIFT != 0 { shifted.parse().unwrap_or(code) } else { code };
    match (code, modifiers) {
        (99, CTRL) => Input::Key(Key::CtrlC),
        (13, 0) => Input::Key(Key::Enter),
        (27, 0) => Input::Key(Key::Esc),
        (127, 0 | SHIFT) => Input::Key(Key::Backspace),
        // Kitty's names for its own keys lie in a private area.
        (_, 0 | SHIFT) if !(57344..=63743).contains(&code) => match char::from_u32(shown) {
            Some(c) if !c.is_control() => Input::Key(Key::Char(c)),
            _ => Input::Other,
        },
        _ => Input::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes at every possible split into two reads, and byte by byte.
    fn check(bytes: &[u8], expected: &[Input]) {
        for split in 0..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut pieces = decoder.push(&bytes[..split]);
            pieces.extend(decoder.push(&bytes[split..]));
            pieces.extend(decoder.flush());
            verify(bytes, &pieces, expected, split);
        }
        let mut decoder = Decoder::default();
        let mut pieces: Vec<Piece> = bytes.iter().flat_map(|b| decoder.push(&[*b])).collect();
        pieces.extend(decoder.flush());
        verify(bytes, &pieces, expected, usize::MAX);
    }

    fn verify(bytes: &[u8], pieces: &[Piece], expected: &[Input], split: usize) {
        let inputs: Vec<Input> = pieces.iter().map(|piece| piece.input).collect();
        assert_eq!(inputs, expected, "{:?} split at {split}", String::from_utf8_lossy(bytes));
        let raw: Vec<u8> = pieces.iter().flat_map(|piece| piece.raw.clone()).collect();
        assert_eq!(raw, bytes, "every byte is in a piece");
    }

    const fn char(c: char) -> Input {
        Input::Key(Key::Char(c))
    }

    #[test]
    fn plain_keys_are_keys() {
        check(b"o", &[char('o')]);
        check("é字".as_bytes(), &[char('é'), char('字')]);
        check(b"\r", &[Input::Key(Key::Enter)]);
        check(b"\n", &[Input::Key(Key::Enter)]);
        check(b"\x7f", &[Input::Key(Key::Backspace)]);
        check(b"\x08", &[Input::Key(Key::Backspace)]);
        check(b"\x03", &[Input::Key(Key::CtrlC)]);
        check(b"\x1b", &[Input::Key(Key::Esc)]);
        check(b"\x1b\x1b", &[Input::Key(Key::Esc), Input::Key(Key::Esc)]);
        check(b"\x01", &[Input::Other]);
        check(b"\x00", &[Input::Other]);
    }

    #[test]
    fn modified_keys_arrows_and_function_keys_answer_nothing() {
        for bytes in [
            "\x1bo",
            "\x1bé",
            "\x1b[A",
            "\x1b[1;5C",
            "\x1bOP",
            "\x1b[15~",
            "\x1b[[A",
            "\x1b\r",
            "\x1b[Z",
        ] {
            check(bytes.as_bytes(), &[Input::Other]);
        }
        check(b"\x1bOPo", &[Input::Other, char('o')]);
    }

    #[test]
    fn mouse_reports_answer_nothing() {
        check(b"\x1b[<0;111;115M", &[Input::Other]);
        check(b"\x1b[<35;10;5m", &[Input::Other]);
        check(b"\x1b[Moso", &[Input::Other]);
        check(b"\x1b[M !!o", &[Input::Other, char('o')]);
        check(b"\x1b[32;111;115M", &[Input::Other]);
    }

    #[test]
    fn pasted_text_answers_nothing_and_ends_where_it_ends() {
        check(b"\x1b[200~o\x1b[201~", &[Input::Pasted; 3]);
        check(b"\x1b[200~\x1b[201~r", &[Input::Pasted, Input::Pasted, char('r')]);
        let paste = [&[Input::Pasted; 5][..], &[char('r')]].concat();
        check(b"\x1b[200~o\x1b\x1b[20\x1b[201~r", &paste);
    }

    #[test]
    fn a_paste_that_never_ends_never_becomes_keys() {
        let mut decoder = Decoder::default();
        let pieces = decoder.push(b"\x1b[200~osrn\r\x03");
        assert!(pieces.iter().all(|piece| piece.input == Input::Pasted));
        assert_eq!(decoder.flush(), None);
        assert!(decoder.pasting());
    }

    #[test]
    fn what_the_terminal_says_by_itself_is_a_report() {
        let reports: [&[u8]; 12] = [
            b"\x1b[?1;2c",
            b"\x1b[>0;276;0c",
            b"\x1b[0n",
            b"\x1b[?997;1n",
            b"\x1b[?2026;2$y",
            b"\x1b[I",
            b"\x1b[O",
            b"\x1b[8;24;80t",
            b"\x1b[?5u",
            b"\x1b]11;rgb:0000/0000/0000\x1b\\",
            b"\x1b]10;rgb:ff/ff/ff\x07",
            b"\x1bP>|XTerm(390)\x1b\\",
        ];
        for report in reports {
            check(report, &[Input::Report]);
        }
        check(b"\x1b[12;40R", &[Input::Position { row: 12, col: 40 }]);
        check(b"\x1b[?12;40R", &[Input::Report]);
        check(b"\x1b_Gi=1;OK\x1b\\", &[Input::Report]);
    }

    #[test]
    fn the_kitty_keyboard_and_modify_other_keys_are_understood() {
        check(b"\x1b[111u", &[char('o')]);
        check(b"\x1b[111;1u", &[char('o')]);
        check(b"\x1b[111;129u", &[char('o')]); // with Num Lock
        check(b"\x1b[111;1:1u", &[char('o')]);
        check(b"\x1b[111;1:3u", &[Input::Other]); // let go
        check(b"\x1b[111;1:2u", &[Input::Other]); // held down
        check(b"\x1b[111;5u", &[Input::Other]); // Ctrl-o
        check(b"\x1b[111;3u", &[Input::Other]); // Alt-o
        check(b"\x1b[111:79;2u", &[char('O')]);
        check(b"\x1b[99;5u", &[Input::Key(Key::CtrlC)]);
        check(b"\x1b[13u", &[Input::Key(Key::Enter)]);
        check(b"\x1b[27u", &[Input::Key(Key::Esc)]);
        check(b"\x1b[127u", &[Input::Key(Key::Backspace)]);
        check(b"\x1b[57399u", &[Input::Other]);
        check(b"\x1b[27;5;99~", &[Input::Key(Key::CtrlC)]);
        check(b"\x1b[27;1;115~", &[char('s')]);
        check(b"\x1b[27;3;115~", &[Input::Other]);
    }

    #[test]
    fn bytes_that_mean_nothing_come_out_and_do_not_stick() {
        check(b"\xff", &[Input::Other]);
        check(b"\xffo", &[Input::Other, char('o')]);
        let mut decoder = Decoder::default();
        let long: Vec<u8> =
            b"\x1b]52;c;".iter().copied().chain(std::iter::repeat_n(b'o', 10_000)).collect();
        assert!(decoder.push(&long).iter().all(|piece| piece.input == Input::Other));
        assert!(decoder.push(b"oo\x07").iter().all(|piece| piece.input == Input::Other));
        assert_eq!(decoder.push(b"o")[0].input, char('o'));
    }
}
