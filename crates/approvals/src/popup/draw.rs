//! What a question looks like.

use std::time::Instant;

use remit_policy::{Basis, Choice};

use super::{Area, Popup};
use crate::words::{lookalikes, plain, shorten, width, wrap};

/// Widest box; longer lines are hard to read.
const WIDEST: usize = 100;

/// The smallest window that gets a box; below it there is one line.
const BOX_COLUMNS: u16 = 40;
const BOX_ROWS: u16 = 10;

/// The narrowest line on which the end of a command can still be read.
const LINE_COLUMNS: usize = 30;

const BOLD: &str = "\x1b[1m";
const INVERSE: &str = "\x1b[7m";
const PLAIN: &str = "\x1b[0m";

impl Popup {
    /// The cells that [`Popup::draw`] writes to on a screen of this size.
    pub fn area(&self, cols: u16, rows: u16) -> Area {
        if cols < BOX_COLUMNS || rows < BOX_ROWS {
            return Area { left: 0, top: rows.saturating_sub(1), width: cols, height: rows.min(1) };
        }
        let box_width = box_width(cols);
        let height = self.body(inner(box_width), rows).len() as u16 + 2;
        Area { left: (cols - box_width) / 2, top: (rows - height) / 2, width: box_width, height }
    }

    /// Draws on a screen of this size: cursor positions are absolute, there is
    /// no newline, nothing is cleared, no cell outside [`Popup::area`] is
    /// touched, and the cursor ends up hidden. It leaves attributes plain.
    ///
    /// Expects plain attributes, ASCII in the left half and no origin or
    /// insert mode. With autowrap off, a terminal that disagrees about the
    /// width of a character still breaks no line.
    pub fn draw(&mut self, cols: u16, rows: u16, now: Instant) -> Vec<u8> {
        let mut out = format!("\x1b[?25l{PLAIN}");
        if cols < BOX_COLUMNS || rows < BOX_ROWS {
            self.readable = rows > 0 && usize::from(cols) >= LINE_COLUMNS;
            self.draw_line(&mut out, cols, rows);
        } else {
            self.readable = true;
            self.draw_box(&mut out, cols, rows, now);
        }
        out.push_str(PLAIN);
        out.into_bytes()
    }

    fn draw_box(&self, out: &mut String, cols: u16, rows: u16, now: Instant) {
        let area = self.area(cols, rows);
        let inside = inner(area.width);
        let right = area.left + area.width - 1;
        let more = match self.waiting {
            0 => String::new(),
            waiting => format!(" {waiting} more waiting "),
        };
        edge(out, area, 0, ['╭', '╮'], &format!(" remit asks: {} ", kind(&self.posed.kind)), &more);
        let body = self.body(inside, rows);
        for (row, line) in (area.top + 1..).zip(&body) {
            at(out, row, area.left);
            out.push_str("│ ");
            out.push_str(line);
            let blank = inside.saturating_sub(shown(line));
            out.extend(std::iter::repeat_n(' ', blank));
            out.push_str(PLAIN);
            // Placed, not followed: the frame holds even if a terminal takes
            // some character for wider than we do.
            at(out, row, right - 1);
            out.push_str(" │");
        }
        let hint = match (&self.note, self.wakes_at(now)) {
            (_, Some(_)) => " keys wake when you pause typing ",
            (Some((choice, _)), None) if choice.is_yes() => {
                " Enter says yes with this reason, Esc goes back "
            }
            (Some(_), None) if area.width < 60 => " Enter refuses, Esc goes back ",
            (Some(_), None) => " Enter refuses with this note, Esc goes back ",
            (None, None) => "",
        };
        edge(out, area, area.height - 1, ['╰', '╯'], "", hint);
    }

    /// The lines between the edges, each at most `inside` wide, at most
    /// `rows - 2` of them.
    fn body(&self, inside: usize, rows: u16) -> Vec<String> {
        let summary = plain(&self.posed.summary);
        let choices = self.choices(inside);
        let mut facts = self.facts(inside);
        let room = usize::from(rows) - 2;
        // An empty line above and below the facts, while there is room.
        let air = if room >= 14 { 2 } else { 0 };
        let left = room - choices.len() - air;
        let needed = wrap(&summary, inside).len();
        let lines = needed.min(left.saturating_sub(facts.len()).max(left.div_ceil(2)));
        // A wide character may leave the last column of a line empty.
        let mut text = wrap(&summary, inside);
        if text.len() > lines {
            let slack = if summary.is_ascii() { 0 } else { lines };
            text = wrap(&shorten(&summary, lines * inside - slack), inside);
        }
        facts.truncate(left - text.len());
        let mut body: Vec<String> =
            text.into_iter().map(|line| format!("{BOLD}{line}{PLAIN}")).collect();
        let gap = || (air > 0).then(String::new);
        body.extend(gap());
        body.extend(facts);
        body.extend(gap());
        body.extend(choices);
        body
    }

    /// Label and value, most telling first, one line each.
    fn facts(&self, inside: usize) -> Vec<String> {
        let posed = &self.posed;
        let basis = &posed.basis;
        let mut facts: Vec<(String, String)> = Vec::new();
        let texts = posed.details.iter().map(|(_, value)| value).chain([&posed.summary]);
        if let Some(letters) = lookalikes(&texts.map(String::as_str).collect::<String>()) {
            facts.push(("letters".to_owned(), letters));
        }
        facts.push(("rule".to_owned(), basis.rule.clone()));
        facts.push(("set by".to_owned(), set_by(basis)));
        facts.extend(posed.details.iter().cloned());
        facts.extend(posed.proposal.iter().map(|rule| ("project".to_owned(), rule.clone())));
        if posed.people > 1 {
            let agreed = posed.agreed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let agreed = if agreed.is_empty() { "nobody yet".to_owned() } else { agreed };
            facts.push(("people".to_owned(), format!("{} must agree; {agreed}", posed.people)));
        }
        if let Some(why) = &basis.justification {
            facts.push(("because".to_owned(), why.clone()));
        }
        let label_width =
            facts.iter().map(|(label, _)| width(&plain(label))).max().unwrap_or(0).min(inside / 3);
        facts
            .iter()
            .map(|(label, value)| {
                let label = shorten(&plain(label), label_width);
                let pad = " ".repeat(label_width - width(&label));
                format!("{label}{pad}  {}", shorten(&plain(value), inside - label_width - 2))
            })
            .collect()
    }

    fn choices(&self, inside: usize) -> Vec<String> {
        if let Some((choice, note)) = &self.note {
            let note = plain(note);
            // The end is what is being typed.
            let lines = wrap(&format!("{}: {note}_", typed(*choice)), inside);
            return lines[lines.len().saturating_sub(2)..].to_vec();
        }
        let noes = [('r', "refuse"), ('n', "refuse with note")];
        let stop = self.stops().then_some(('x', "refuse and stop"));
        let words = self.yeses().map(|(key, word, _)| (key, word)).chain(noes).chain(stop);
        let mut lines = vec![String::new()];
        let mut used = 0;
        for (key, word) in words {
            let taken = key.len_utf8() + word.len() + 3;
            let gap = if used == 0 { 0 } else { 3 };
            if used > 0 && used + gap + taken > inside {
                lines.push(String::new());
                used = 0;
            }
            let gap = if used == 0 { 0 } else { gap };
            used += gap + taken;
            if let Some(line) = lines.last_mut() {
                line.push_str(&" ".repeat(gap));
                line.push_str(&format!("{INVERSE} {key} {PLAIN} {word}"));
            }
        }
        lines
    }

    fn draw_line(&self, out: &mut String, cols: u16, rows: u16) {
        let (cols, Some(row)) = (usize::from(cols), rows.checked_sub(1)) else {
            return;
        };
        let yeses: String = self.yeses().map(|(key, ..)| format!("{key}/")).collect();
        let keys = format!("{yeses}r/n? ");
        let keys = if self.readable { keys.as_str() } else { "r? (enlarge) " };
        let line = match &self.note {
            Some((choice, note)) => shorten(&format!("{}: {}_", typed(*choice), plain(note)), cols),
            None => format!(
                "{keys}{}",
                shorten(&plain(&self.posed.summary), cols.saturating_sub(keys.len()))
            ),
        };
        let line: String = line.chars().take(cols).collect();
        at(out, row, 0);
        out.push_str(INVERSE);
        out.push_str(&line);
        out.extend(std::iter::repeat_n(' ', cols.saturating_sub(width(&line))));
    }
}

/// What the words being typed are.
fn typed(choice: Choice) -> &'static str {
    if choice.is_yes() { "reason" } else { "note" }
}

/// The layer, and the file and line if there are any.
fn set_by(basis: &Basis) -> String {
    match &basis.origin {
        Some(origin) => format!("{}, {} line {}", basis.layer, origin.file, origin.line),
        None => basis.layer.to_string(),
    }
}

/// Two frame columns and two blanks each side of the text, and a margin.
fn box_width(cols: u16) -> u16 {
    (usize::from(cols) - 2).min(WIDEST) as u16
}

fn inner(box_width: u16) -> usize {
    usize::from(box_width) - 4
}

fn kind(kind: &str) -> String {
    match kind {
        "exec" => "may this command run?".to_owned(),
        "connect" => "may this connection be made?".to_owned(),
        "request" => "may this request be sent?".to_owned(),
        "upload" => "may this leave?".to_owned(),
        other => shorten(&plain(other), 12),
    }
}

/// A horizontal edge with words at both ends; the left ones give way.
fn edge(out: &mut String, area: Area, row: u16, corners: [char; 2], left: &str, right: &str) {
    let between = usize::from(area.width) - 4;
    let left = if width(left) + width(right) > between { " remit asks " } else { left };
    let left = if width(left) + width(right) > between { "" } else { left };
    at(out, area.top + row, area.left);
    out.push(corners[0]);
    out.push('─');
    out.push_str(&format!("{BOLD}{left}{PLAIN}"));
    let line = between.saturating_sub(width(left) + width(right));
    out.extend(std::iter::repeat_n('─', line));
    out.push_str(right);
    out.push('─');
    at(out, area.top + row, area.left + area.width - 1);
    out.push(corners[1]);
}

fn at(out: &mut String, row: u16, col: u16) {
    out.push_str(&format!("\x1b[{};{}H", u32::from(row) + 1, u32::from(col) + 1));
}

/// The width of a line of ours, attributes aside. The texts in it are
/// [`plain`], so every `ESC` is ours and ends with `m`.
fn shown(line: &str) -> usize {
    let mut parts = line.split('\x1b');
    let before = parts.next().map_or(0, width);
    before
        + parts.map(|part| part.split_once('m').map_or(0, |(_, text)| width(text))).sum::<usize>()
}
