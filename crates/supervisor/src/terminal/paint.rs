//! Known cells as bytes that put them on a terminal.
//!
//! Expects a terminal with autowrap off and ASCII in the left half. Lines that
//! wrapped softly no longer count as one line to the terminal where they are
//! painted; they look the same.

use remit_approvals::popup::Area;
use vt100::{Cell, Color, Screen};

/// Paints the cells of `area`; a wide character at its edge is painted whole.
pub(super) fn repaint(screen: &Screen, area: Area) -> Vec<u8> {
    let (rows, cols) = screen.size();
    let mut out = String::from("\x1b[0m");
    let bottom = (area.top + area.height).min(rows.get());
    for row in area.top..bottom {
        let continues = |col| screen.cell(row, col).is_some_and(vt100::Cell::is_wide_continuation);
        let left = if continues(area.left) { area.left.saturating_sub(1) } else { area.left };
        let end = (area.left + area.width).min(cols.get());
        let right = if continues(end) { end + 1 } else { end };
        repaint_row(screen, &mut out, row, left..right);
    }
    out.push_str("\x1b[0m");
    out.into_bytes()
}

fn repaint_row(screen: &Screen, out: &mut String, row: u16, cols: std::ops::Range<u16>) {
    let mut attributes = String::from("\x1b[0m");
    out.push_str(&at(row, cols.start));
    for col in cols {
        let Some(cell) = screen.cell(row, col) else {
            continue;
        };
        if cell.is_wide_continuation() {
            // Placed afresh, in case the terminal takes it for narrow.
            out.push_str(&at(row, col + 1));
            continue;
        }
        let wanted = attributes_of(cell);
        if wanted != attributes {
            out.push_str(&wanted);
            attributes = wanted;
        }
        out.push_str(if cell.has_contents() { cell.contents() } else { " " });
    }
    if attributes != "\x1b[0m" {
        out.push_str("\x1b[0m");
    }
}

/// Blanks the cells of `area`.
pub(super) fn blank(area: Area) -> Vec<u8> {
    let mut out = String::from("\x1b[0m");
    for row in area.top..area.top + area.height {
        out.push_str(&at(row, area.left));
        out.extend(std::iter::repeat_n(' ', area.width.into()));
    }
    out.into_bytes()
}

/// Puts the cursor where the program has it, with autowrap as it had it. A
/// cursor past the last column, about to wrap, gets there the way it did: by
/// writing that column's character again.
pub(super) fn place_cursor(screen: &Screen) -> Vec<u8> {
    let (_, cols) = screen.size();
    let (row, col) = screen.cursor_position();
    if col < cols.get() {
        return at(row, col).into_bytes();
    }
    let last = cols.get() - 1;
    let wide = screen.cell(row, last).is_some_and(Cell::is_wide_continuation);
    let mut out = String::new();
    repaint_row(screen, &mut out, row, last - u16::from(wide)..last + u16::from(!wide));
    out.into_bytes()
}

fn at(row: u16, col: u16) -> String {
    format!("\x1b[{};{}H", u32::from(row) + 1, u32::from(col) + 1)
}

fn attributes_of(cell: &Cell) -> String {
    let mut codes = vec!["0".to_owned()];
    let flags = [
        (cell.bold(), "1"),
        (cell.dim(), "2"),
        (cell.italic(), "3"),
        (cell.underline(), "4"),
        (cell.inverse(), "7"),
    ];
    codes.extend(flags.iter().filter(|(set, _)| *set).map(|(_, code)| (*code).to_owned()));
    codes.extend(color(cell.fgcolor(), 30));
    codes.extend(color(cell.bgcolor(), 40));
    format!("\x1b[{}m", codes.join(";"))
}

/// SOURCE: ECMA-48 for the first eight, xterm for the rest.
fn color(color: Color, base: u16) -> Option<String> {
    match color {
        Color::Default => None,
        Color::Idx(index @ 0..=7) => Some((base + u16::from(index)).to_string()),
        Color::Idx(index) => Some(format!("{};5;{index}", base + 8)),
        Color::Rgb(r, g, b) => Some(format!("{};2;{r};{g};{b}", base + 8)),
    }
}
