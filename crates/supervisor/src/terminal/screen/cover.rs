//! What to send so that a popup can be drawn, is gone again, and the terminal
//! is left as it was found.

use remit_approvals::popup::Area;

use super::super::paint;
use super::Screen;

impl Screen {
    /// What to send before a popup is drawn.
    pub(in super::super) fn cover(&self) -> Vec<u8> {
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
    pub(in super::super) fn wipe(&self, area: Area) -> Vec<u8> {
        if self.is_alternate() {
            paint::repaint(self.model.screen(), area)
        } else {
            paint::blank(area)
        }
    }

    /// What to send to undo [`Screen::cover`], after [`Screen::wipe`].
    pub(in super::super) fn uncover(&self) -> Vec<u8> {
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
    pub(in super::super) fn repaint(&self) -> Vec<u8> {
        let (width, height) = self.size();
        paint::repaint(self.model.screen(), Area { left: 0, top: 0, width, height })
    }

    /// What to send so that the terminal is left as it was found. Empty if the
    /// session left nothing on, and the second time.
    pub(in super::super) fn leave(&mut self) -> Vec<u8> {
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
}
