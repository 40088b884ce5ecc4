//! What the person sees, followed byte by byte, so that it can be covered
//! and uncovered.
//!
//! A terminal model knows the cells; what it does not know, and a popup would
//! disturb or be garbled by, is followed here: character sets, margins, origin
//! and insert mode, autowrap, links, synchronized output, exact attributes.

mod cover;
#[cfg(test)]
mod tests;

use std::num::NonZeroU16;

use super::attributes::Attributes;
use super::filter;
use super::left::Left;
use super::lexer::{Lexer, Token};

/// Sizes beyond these are followed as these: a model must not eat the memory.
const ROWS: u16 = 500;
const COLS: u16 = 1000;

pub(super) struct Screen {
    lexer: Lexer,
    model: vt100::Parser,
    /// For the model, not processed yet.
    batch: Vec<u8>,
    marks: Marks,
    left: Left,
}

/// What the model does not know.
#[derive(Clone, Debug, Default)]
struct Marks {
    pen: Pen,
    /// What `ESC 7` saved, on the normal and the alternate screen.
    saved: [Pen; 2],
    insert: bool,
    no_autowrap: bool,
    synchronized: bool,
    /// Left and right margins: whether the mode is on, and what they are.
    sides: Option<Vec<u8>>,
    top_margin: u16,
    /// Whether lines above or below the margins do not scroll.
    margins: bool,
    /// The open hyperlink, as the sequence that opened it.
    link: Option<Vec<u8>>,
}

/// What `ESC 7` saves beside the position.
#[derive(Clone, Debug, Default)]
struct Pen {
    /// Attribute sequences since the last reset. None if they were too many.
    attributes: Attributes,
    /// The sequences that designated G0 to G3, if any did.
    sets: [Option<Vec<u8>>; 4],
    /// Which of them is in the left half.
    shifted: usize,
    origin: bool,
}

impl Screen {
    /// A blank screen.
    pub(super) fn new(cols: u16, rows: u16) -> Self {
        Self {
            lexer: Lexer::default(),
            model: new_model(cols, rows),
            batch: Vec::new(),
            marks: Marks::default(),
            left: Left::default(),
        }
    }

    /// Follows output and adds to `out` what of it the terminal may hear. After
    /// that the terminal is in the middle of nothing, whatever the program is
    /// in the middle of.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut lexer = std::mem::take(&mut self.lexer);
        let mut room = Vec::new();
        let mut rest = bytes;
        while let Some(byte) = rest.first() {
            let plain = lexer.plain(rest);
            if plain.is_empty() {
                lexer.push(*byte, &mut |token| {
                    if let Some(token) = filter::clean(token, &mut room) {
                        token.write(out);
                        self.follow(&token);
                    }
                });
                rest = &rest[1..];
            } else {
                out.extend(plain.as_bytes());
                self.follow_plain(plain);
                rest = &rest[plain.len()..];
            }
        }
        self.lexer = lexer;
        self.process();
    }

    /// Whether the program has begun a string and not ended it.
    pub(super) fn in_text(&self) -> bool {
        self.lexer.in_text()
    }

    /// Gives up the program's unfinished sequence: what it prints next is text.
    pub(super) fn end_text(&mut self) {
        self.lexer.end();
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (u16, u16) {
        let (rows, cols) = self.model.screen().size();
        (cols.get(), rows.get())
    }

    pub(super) fn resize(&mut self, cols: u16, rows: u16) {
        let (cols, rows) = clamp(cols, rows);
        self.marks.top_margin = 0;
        self.marks.margins = false;
        self.guard(|model| model.set_size(rows, cols));
    }

    /// Whether a full-screen program has the alternate screen.
    pub(super) fn is_alternate(&self) -> bool {
        self.model.screen().alternate_screen()
    }

    fn follow_plain(&mut self, text: &str) {
        let pen = &self.marks.pen;
        if pen.sets[pen.shifted].is_none() && !self.marks.insert && !self.marks.no_autowrap {
            self.batch.extend(text.as_bytes());
        } else {
            text.chars().for_each(|c| self.follow_char(c));
        }
    }

    fn follow(&mut self, token: &Token<'_>) {
        self.left.follow(token);
        match token {
            Token::Char(c) => self.follow_char(*c),
            Token::Control(byte) => {
                match byte {
                    0x0e => self.marks.pen.shifted = 1,
                    0x0f => self.marks.pen.shifted = 0,
                    _ => {}
                }
                self.batch.push(*byte);
            }
            Token::Escape { intermediates, last } => self.follow_escape(intermediates, *last),
            Token::Csi { body, last } => self.follow_csi(body, *last),
            Token::Text { whole } => self.follow_text(whole),
        }
    }

    fn follow_char(&mut self, c: char) {
        let pen = &self.marks.pen;
        let drawing = pen.sets[pen.shifted].as_ref().is_some_and(|set| set.ends_with(b"0"));
        let c = if drawing { line_drawing(c) } else { c };
        if self.marks.insert {
            self.batch.extend(b"\x1b[@");
        }
        if self.marks.no_autowrap {
            self.process();
            let (cols, _) = self.size();
            if self.model.screen().cursor_position().1 >= cols {
                self.batch.extend(format!("\x1b[{cols}G").bytes());
            }
        }
        self.batch.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn follow_escape(&mut self, intermediates: &[u8], last: u8) {
        match (intermediates, last) {
            ([], b'7') => self.save(),
            ([], b'8') => self.restore(),
            ([], b'c') => {
                self.marks = Marks::default();
                self.batch.extend(b"\x1bc");
            }
            ([], b'D') => self.batch.push(b'\n'),
            ([], b'E') => self.batch.extend(b"\r\n"),
            ([], b'n') => self.marks.pen.shifted = 2,
            ([], b'o') => self.marks.pen.shifted = 3,
            ([which @ (b'(' | b')' | b'*' | b'+'), ..], _) => {
                let mut set = vec![0x1b];
                set.extend(intermediates);
                set.push(last);
                let ascii = intermediates.len() == 1 && last == b'B';
                let slot = usize::from(which - b'(');
                self.marks.pen.sets[slot] = (!ascii).then_some(set);
            }
            ([], _) => self.batch.extend([0x1b, last]),
            _ => {}
        }
    }

    fn follow_csi(&mut self, body: &[u8], last: u8) {
        match (body, last) {
            ([b'?', modes @ ..], b'h' | b'l') => self.follow_private_modes(modes, last),
            (_, b'h' | b'l') if numbers(body).contains(&4) => self.marks.insert = last == b'h',
            (b"!", b'p') => self.soft_reset(),
            (_, b'm') if !body.starts_with(b">") && !body.starts_with(b"?") => {
                self.marks.pen.attributes.follow(body);
                self.pass(body, last);
            }
            (_, b'r') if !body.starts_with(b"?") => {
                let top = numbers(body).first().copied().unwrap_or(0);
                self.marks.top_margin = top.saturating_sub(1);
                let bottom = numbers(body).get(1).copied().unwrap_or(0);
                self.marks.margins = top > 1 || (1..self.size().1).contains(&bottom);
                self.pass(body, last);
            }
            (_, b's') if self.marks.sides.is_some() => {
                self.marks.sides = Some([b"\x1b[", body, b"s"].concat());
            }
            (b"", b's') => self.save(),
            (b"", b'u') => self.restore(),
            // Names of the same moves that the model knows.
            (_, b'a') => self.pass(body, b'C'),
            (_, b'e') => self.pass(body, b'B'),
            (_, b'I') => {
                let count = numbers(body).first().copied().unwrap_or(1).clamp(1, COLS);
                self.batch.extend(std::iter::repeat_n(b'\t', count.into()));
            }
            (_, b'Z') => {
                let count = numbers(body).first().copied().unwrap_or(1).max(1);
                self.process();
                let col = self.model.screen().cursor_position().1;
                let stop = (col.div_ceil(8)).saturating_sub(count) * 8;
                self.batch.extend(format!("\x1b[{}G", stop + 1).bytes());
            }
            _ => self.pass(body, last),
        }
    }

    /// SOURCE: xterm control sequences, DECSET and DECRST.
    fn follow_private_modes(&mut self, modes: &[u8], last: u8) {
        let on = last == b'h';
        for mode in numbers(modes) {
            match mode {
                6 => self.marks.pen.origin = on,
                7 => self.marks.no_autowrap = !on,
                69 => self.marks.sides = on.then(Vec::new),
                2026 => self.marks.synchronized = on,
                1048 if on => self.save(),
                1048 => self.restore(),
                1049 if on => self.save_marks(),
                1049 => self.marks.pen = self.marks.saved[0].clone(),
                _ => {}
            }
            match mode {
                7 | 69 | 1048 | 2026 => {}
                1047 => self.pass(b"?47", last),
                _ => self.pass(format!("?{mode}").as_bytes(), last),
            }
            self.process();
        }
    }

    fn follow_text(&mut self, whole: &[u8]) {
        // SOURCE: hyperlinks in terminal emulators: `OSC 8 ; params ; URI ST`.
        let Some(link) = whole.strip_prefix(b"\x1b]8;") else {
            return;
        };
        let target = link.iter().position(|byte| *byte == b';').map(|at| &link[at + 1..]);
        let closes = matches!(target, None | Some(b"\x07" | b"\x1b\\"));
        self.marks.link = (!closes).then(|| whole.to_vec());
    }

    fn save_marks(&mut self) {
        self.process();
        let which = usize::from(self.is_alternate());
        self.marks.saved[which] = self.marks.pen.clone();
    }

    fn save(&mut self) {
        self.save_marks();
        self.batch.extend(b"\x1b7");
    }

    fn restore(&mut self) {
        self.process();
        let which = usize::from(self.is_alternate());
        self.marks.pen = self.marks.saved[which].clone();
        self.batch.extend(b"\x1b8");
    }

    /// SOURCE: DECSTR, which leaves the cells and the cursor's place alone.
    fn soft_reset(&mut self) {
        let link = self.marks.link.take();
        self.marks = Marks { link, ..Marks::default() };
        self.process();
        let (row, col) = self.model.screen().cursor_position();
        let place = format!("\x1b[?6l\x1b[r\x1b[m\x1b[?25h\x1b[{};{}H", row + 1, col + 1);
        self.batch.extend(place.bytes());
    }

    fn pass(&mut self, body: &[u8], last: u8) {
        self.batch.extend(b"\x1b[");
        self.batch.extend(body);
        self.batch.push(last);
    }

    fn process(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.guard(|model| model.process(&batch));
        }
    }

    /// Output that the model cannot digest must not end the session: it starts
    /// afresh, and a popup then leaves blanks until the program paints again.
    fn guard(&mut self, step: impl FnOnce(&mut vt100::Parser)) {
        let model = &mut self.model;
        let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(model)));
        if stepped.is_err() {
            let (rows, cols) = self.model.screen().size();
            let alternate = self.is_alternate();
            self.model = new_model(cols.get(), rows.get());
            if alternate {
                self.model.process(b"\x1b[?47h");
            }
        }
    }
}

fn new_model(cols: u16, rows: u16) -> vt100::Parser {
    let (cols, rows) = clamp(cols, rows);
    vt100::Parser::new(rows, cols, 0)
}

/// A terminal that says nothing about its size is taken for an ordinary one.
/// The model needs two columns for a wide character.
fn clamp(cols: u16, rows: u16) -> (NonZeroU16, NonZeroU16) {
    let (cols, rows) = if cols == 0 || rows == 0 { (80, 24) } else { (cols, rows) };
    let size = |n: u16| NonZeroU16::new(n).unwrap_or(NonZeroU16::MIN);
    (size(cols.clamp(2, COLS)), size(rows.min(ROWS)))
}

/// The parameters of a sequence; what is not a number is 0.
fn numbers(body: &[u8]) -> Vec<u16> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.split(';').map(|number| number.parse().unwrap_or(0)).collect()
}

/// SOURCE: the DEC special graphics character set, 0x60 to 0x7e.
fn line_drawing(c: char) -> char {
    const DRAWN: &str = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
    match u32::from(c) {
        0x5f => ' ',
        code @ 0x60..=0x7e => DRAWN.chars().nth((code - 0x60) as usize).unwrap_or(c),
        _ => c,
    }
}
