//! What the person sees, followed byte by byte, so that it can be covered
//! and uncovered.
//!
//! A terminal model knows the cells; what it does not know, and a popup would
//! disturb or be garbled by, is followed here: character sets, margins, origin
//! and insert mode, autowrap, links, synchronized output, exact attributes.

use std::num::NonZeroU16;

use remit_approvals::popup::Area;

use super::attributes::Attributes;
use super::filter;
use super::left::Left;
use super::lexer::{Lexer, Token};
use super::paint;

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

    /// What to send so that the terminal is left as it was found. Empty if the
    /// session left nothing on, and the second time.
    pub(super) fn leave(&mut self) -> Vec<u8> {
        self.lexer.end();
        let mut out = Vec::new();
        self.feed(&self.left.leave_alternate(), &mut out);
        let marks = &self.marks;
        let mut undo = self.left.undo();
        let mut when = |left: bool, bytes: &[u8]| {
            if left {
                undo.extend(bytes);
            }
        };
        when(marks.link.is_some(), b"\x1b]8;;\x1b\\");
        // Both move the cursor, and origin mode is saved with it.
        when(marks.margins && !marks.pen.origin, b"\x1b7\x1b[r\x1b8");
        when(marks.pen.origin, b"\x1b[?6l\x1b[r\x1b[999;1H");
        when(marks.insert, b"\x1b[4l");
        when(marks.pen.shifted != 0, b"\x0f");
        when(marks.pen.sets[0].is_some(), b"\x1b(B");
        when(marks.pen.attributes.are_on(), b"\x1b[0m");
        self.feed(&undo, &mut out);
        out
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

    /// What to send before a popup is drawn.
    pub(super) fn cover(&self) -> Vec<u8> {
        let marks = &self.marks;
        let mut out = Vec::new();
        if !self.is_alternate() {
            // The position is saved twice: a terminal without an alternate
            // screen knows only the first.
            out.extend(b"\x1b7\x1b[?1049h");
        }
        let mut when = |set: bool, bytes: &[u8]| {
            if set {
                out.extend(bytes);
            }
        };
        when(marks.synchronized, b"\x1b[?2026l");
        when(true, b"\x1b[?25l\x1b[0m");
        when(marks.link.is_some(), b"\x1b]8;;\x1b\\");
        when(marks.pen.origin, b"\x1b[?6l");
        when(marks.insert, b"\x1b[4l");
        when(marks.sides.is_some(), b"\x1b[?69l");
        when(marks.pen.shifted != 0 || marks.pen.sets[0].is_some(), b"\x0f\x1b(B");
        when(true, b"\x1b[?7l");
        // A paste must arrive as a paste, or its letters would be keys.
        when(!self.model.screen().bracketed_paste(), b"\x1b[?2004h");
        out
    }

    /// What to send to remove a popup from `area` while the screen stays
    /// covered.
    pub(super) fn wipe(&self, area: Area) -> Vec<u8> {
        if self.is_alternate() {
            paint::repaint(self.model.screen(), area)
        } else {
            paint::blank(area)
        }
    }

    /// What to send to undo [`Screen::cover`], after [`Screen::wipe`].
    pub(super) fn uncover(&self) -> Vec<u8> {
        let marks = &self.marks;
        let screen = self.model.screen();
        let alternate = self.is_alternate();
        let mut out = Vec::new();
        if !alternate {
            out.extend(b"\x1b[?1049l");
        }
        if !marks.no_autowrap {
            out.extend(b"\x1b[?7h");
        }
        if alternate && !marks.pen.origin {
            out.extend(paint::place_cursor(screen));
        }
        if let Some(sides) = &marks.sides {
            out.extend(b"\x1b[?69h");
            out.extend(sides);
        }
        if marks.insert {
            out.extend(b"\x1b[4h");
        }
        if marks.pen.origin {
            out.extend(b"\x1b[?6h");
        }
        if alternate && (marks.pen.origin || marks.sides.is_some()) {
            let (row, col) = screen.cursor_position();
            let top = if marks.pen.origin { marks.top_margin } else { 0 };
            out.extend(format!("\x1b[{};{}H", row.saturating_sub(top) + 1, col + 1).bytes());
        }
        if !alternate {
            out.extend(b"\x1b8");
        }
        for set in marks.pen.sets.iter().flatten() {
            out.extend(set);
        }
        out.extend(match marks.pen.shifted {
            1 => &b"\x0e"[..],
            2 => b"\x1bn",
            3 => b"\x1bo",
            _ => b"",
        });
        out.extend(b"\x1b[0m");
        match marks.pen.attributes.exact() {
            Some(exact) => out.extend(exact),
            None => out.extend(screen.attributes_formatted().bytes()),
        }
        out.extend(marks.link.iter().flatten());
        out.extend(if screen.hide_cursor() { b"\x1b[?25l" } else { b"\x1b[?25h" });
        if !screen.bracketed_paste() {
            out.extend(b"\x1b[?2004l");
        }
        if marks.synchronized {
            out.extend(b"\x1b[?2026h");
        }
        out
    }

    /// All cells, after the terminal itself changed under a popup.
    pub(super) fn repaint(&self) -> Vec<u8> {
        let (width, height) = self.size();
        paint::repaint(self.model.screen(), Area { left: 0, top: 0, width, height })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers and uncovers after every byte of `before` and,
    /// with `after`, compares with a terminal that nobody disturbed.
    fn check(before: &str, after: &str) {
        let area = Area { left: 3, top: 1, width: 14, height: 4 };
        let mut outer = new_model(20, 6);
        let mut screen = Screen::new(20, 6);
        for byte in before.bytes() {
            let mut heard = Vec::new();
            screen.feed(&[byte], &mut heard);
            outer.process(&heard);
            outer.process(&screen.cover());
            for row in 2..=5 {
                outer.process(format!("\x1b[{row};4H\x1b[7m┌ popup ─────┐\x1b[0m").as_bytes());
            }
            outer.process(&screen.wipe(area));
            outer.process(&screen.uncover());
        }
        outer.process(after.as_bytes());
        let mut wanted = new_model(20, 6);
        wanted.process(before.as_bytes());
        wanted.process(after.as_bytes());
        // A blank and an erased cell look the same.
        let rows = |model: &vt100::Parser| {
            let rows = model.screen().rows(0, 20);
            rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(rows(&outer), rows(&wanted), "{before:?}");
        assert_eq!(
            outer.screen().cursor_position(),
            wanted.screen().cursor_position(),
            "{before:?}"
        );
        let attributes = |model: &vt100::Parser| model.screen().attributes_formatted();
        assert_eq!(attributes(&outer), attributes(&wanted), "{before:?}");
        assert_eq!(outer.screen().hide_cursor(), wanted.screen().hide_cursor(), "{before:?}");
    }

    #[test]
    fn a_program_that_was_covered_at_any_moment_goes_on_as_if_it_was_not() {
        let alternate = "\x1b[?1049h\x1b[2J\x1b[H";
        for start in [alternate, ""] {
            check(&format!("{start}one\r\n\x1b[31mtwo\x1b[4m"), "three");
            // About to wrap, with narrow and wide characters.
            check(&format!("{start}{}", "x".repeat(20)), "y");
            check(&format!("{start}{}字", "x".repeat(18)), "y");
            check(&format!("{start}\x1b[6;1H{}", "x".repeat(20)), "y");
            check(&format!("{start}\x1b[3;5H字字字\x1b[?25l"), "字");
            check(&format!("{start}\x1b[38;5;200;48;2;1;2;3;1;2;3mX\x1b[22m"), "Y");
        }
        // Scroll margins, with and without origin mode.
        check(&format!("{alternate}\x1b[2;4r\x1b[4;1Hlast"), "\r\nscrolled\r\nagain");
        check(&format!("{alternate}\x1b[2;4r\x1b[?6h\x1b[3;2Hin"), "\r\nscrolled\x1b[1;1Htop");
        // Saved cursors stay saved.
        check(&format!("{alternate}\x1b[2;3H\x1b[32m\x1b7\x1b[5;5H\x1b[0m"), "\x1b8back");
        // Leaving the alternate screen under way.
        check("shell$ \x1b[?1049h\x1b[2Jfull\x1b[?1049l", "prompt");
    }

    fn fed(text: &str) -> Screen {
        let mut screen = Screen::new(20, 6);
        screen.feed(text.as_bytes(), &mut Vec::new());
        screen
    }

    /// `set` must be undone when covering with `off` and redone with `on`.
    fn check_mode(set: &str, off: &str, on: &str) {
        for start in ["\x1b[?1049h", ""] {
            let screen = fed(&format!("{start}{set}"));
            let covering = String::from_utf8(screen.cover()).unwrap();
            let uncovering = String::from_utf8(screen.uncover()).unwrap();
            assert!(covering.contains(off), "{set:?} covers with {covering:?}");
            assert!(uncovering.contains(on), "{set:?} uncovers with {uncovering:?}");
            let plain = fed(start);
            assert!(!String::from_utf8(plain.uncover()).unwrap().contains(on), "{on:?}");
        }
    }

    #[test]
    fn modes_that_would_garble_a_popup_are_off_under_it_and_on_again_after() {
        check_mode("\x1b(0", "\x1b(B", "\x1b(0");
        check_mode("\x1b)0\x0e", "\x0f\x1b(B", "\x1b)0\x0e");
        check_mode("\x1b[4h", "\x1b[4l", "\x1b[4h");
        check_mode("\x1b[?6h", "\x1b[?6l", "\x1b[?6h");
        check_mode("\x1b[?69h\x1b[3;9s", "\x1b[?69l", "\x1b[?69h\x1b[3;9s");
        check_mode("\x1b[?2026h", "\x1b[?2026l", "\x1b[?2026h");
        check_mode("\x1b]8;;http://x\x1b\\", "\x1b]8;;\x1b\\", "\x1b]8;;http://x\x1b\\");
        check_mode("\x1b[9m\x1b[4:3m", "\x1b[0m", "\x1b[0m\x1b[9m\x1b[4:3m");
    }

    #[test]
    fn modes_that_were_reset_are_not_set_again() {
        let set = "\x1b(0\x1b[4h\x1b[?6h\x1b[?7l\x1b[?2026h\x1b]8;;http://x\x07\x1b[9m";
        for reset in ["\x1bc", "\x1b(B\x1b[4l\x1b[?6;7l\x1b[?7h\x1b[?2026l\x1b]8;;\x07\x1b[m"] {
            assert_eq!(fed(&format!("{set}{reset}")).uncover(), fed("").uncover(), "{reset:?}");
        }
        assert!(!fed("\x1b[?7l").uncover().windows(5).any(|bytes| bytes == b"\x1b[?7h"));
    }

    #[test]
    fn the_screen_is_known_where_the_model_alone_would_not_know_it() {
        let show = |text: &str| fed(text).model.screen().contents();
        assert_eq!(show("\x1b(0lqk\x1b(Bq"), "┌─┐q");
        assert_eq!(show("abc\x1b[2D\x1b[4hX\x1b[4l"), "aXbc");
        assert_eq!(show(&format!("\x1b[?7l{}yz", "x".repeat(20))), format!("{}z", "x".repeat(19)));
        assert_eq!(show("ab\x1bDc\x1bEd"), "ab\n  c\nd");
        assert_eq!(show("\x1b[12Gx\x1b[2Zy"), "y          x");
        assert_eq!(show("a\x1b[Ib"), "a       b");
        assert_eq!(show("x\x1b[sabc\x1b[uy"), "xybc");
    }

    #[test]
    fn no_output_breaks_the_screen() {
        // A simple generator; the seed makes a failure repeatable.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for (cols, rows) in [(1, 1), (2, 1), (80, 24), (0, 0), (3, 200)] {
            let mut screen = Screen::new(cols, rows);
            for _ in 0..3000 {
                let alphabet = b"\x1b\x1b[[?;0123456789hlmrsuHJKABCDLMPST@X78cDEM()0\n\r\t\x0e\x0fx\xe5\xad\x97";
                let bytes: Vec<u8> =
                    (0..20).map(|_| alphabet[random() as usize % alphabet.len()]).collect();
                screen.feed(&bytes, &mut Vec::new());
                screen.resize(random() as u16 % 90, random() as u16 % 30);
                screen.cover();
                screen.wipe(Area { left: 1, top: 1, width: 60, height: 10 });
                screen.uncover();
            }
            screen.leave();
            assert_eq!(screen.leave(), b"");
        }
    }

    /// What is sent after `printed` to leave the terminal as it was found.
    #[track_caller]
    fn check_leave(printed: &str, expected: &str) {
        let mut screen = fed(printed);
        let sent = screen.leave();
        assert_eq!(String::from_utf8(sent).unwrap(), expected, "{printed:?}");
        assert_eq!(screen.leave(), b"", "{printed:?}, the second time");
    }

    #[test]
    fn a_program_that_tidies_up_is_not_tidied_up_after() {
        for tidy in [
            "text\r\n\x1b[31mred\x1b[39m\x1b[1mbold\x1b[22m\x1b[m",
            "\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\x1b[?2004h\x1b[?1004h\x1b[1;6r\x1b[?12h\x1b[?12l\x1b[2 q\x1b[?25l\x1b[>4;2m\x1b[2;5r\x1b[r\x1b[?2004l\x1b[?1004l\x1b[?1l\x1b>\x1b[>4m\x1b[0 q\x1b[?1049l\x1b[?25h\x1b[23;0;0t",
            "\x1b)0\x1b[?7l\x1b[?7h\x0elqk\x0f",
            "\x1b[>1u\x1b[<u\x1b[=5u\x1b[=0u\x1b[?u",
            "\x1b]10;?\x07\x1b]4;1;?\x07\x1b]11;#000\x07\x1b]111\x07",
            "\x1b[?1049h\x1b[31;7m\x1b(0\x1b[?1003h\x1bc",
            "\x1b]0;title\x07\x1b]8;;http://x\x07x\x1b]8;;\x07",
        ] {
            check_leave(tidy, "");
        }
    }

    #[test]
    fn what_a_program_left_on_is_switched_off() {
        check_leave(
            "\x1b[?1049h\x1b[?1003;1006h\x1b[?25l",
            "\x1b[?1049l\x1b[?25h\x1b[?1003l\x1b[?1006l",
        );
        check_leave("\x1b[?47hx", "\x1b[?47l");
        check_leave("\x1b[?1h\x1b=\x1b[?2004h\x1b[?2026h", "\x1b[?1l\x1b[?2004l\x1b[?2026l\x1b>");
        check_leave("\x1b[>1u\x1b[>3u\x1b[?1049h\x1b[>1u", "\x1b[<1u\x1b[?1049l\x1b[<2u");
        check_leave("\x1b[=1;2u\x1b[>4;1m\x1b[5 q", "\x1b[=0u\x1b[>4m\x1b[0 q");
        check_leave("\x1b[31mred", "\x1b[0m");
        check_leave("\x1b(0\x0e", "\x0f\x1b(B");
        check_leave("\x1b[2;4r", "\x1b7\x1b[r\x1b8");
        check_leave("\x1b[2;4r\x1b[?6h", "\x1b[?6l\x1b[r\x1b[999;1H");
        check_leave("\x1b[4h\x1b[20h\x1b[?7l", "\x1b[?7h\x1b[20l\x1b[4l");
        check_leave("\x1b]8;;http://x\x07x", "\x1b]8;;\x1b\\");
        check_leave(
            "\x1b]10;red;blue\x07\x1b]4;1;red\x07",
            "\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\",
        );
        // Cut off in the middle of a sequence.
        check_leave("\x1b[7m\x1b]0;tit", "\x1b[0m");
    }
}
