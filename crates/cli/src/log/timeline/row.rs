//! One line of a timeline, with the lines that belong to it.

use remit_approvals::words;

use super::{Colours, Page};
use crate::log::units;

/// Columns before the text: a mark, a time, and the blanks between.
const MARGIN: usize = 14;

/// Deeper processes are not moved further right.
const DEEPEST: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    mark: Mark,
    /// Nanoseconds since the session's start.
    since: u64,
    depth: usize,
    text: String,
    notes: Vec<(Weight, String)>,
    pub traffic: Option<Traffic>,
    /// How many rows were folded into this one, itself included.
    times: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Refused,
    Asked,
    Warning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Light,
    Heavy,
}

/// What went over connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Nanoseconds; of one connection that has ended.
    pub took: Option<u64>,
    pub sent: u64,
    pub received: u64,
    /// How many have no recorded end.
    pub open: u64,
}

impl Row {
    /// The text may be anything; it is escaped here.
    pub(super) fn new(mark: Mark, since: u64, depth: usize, text: &str) -> Self {
        let text = words::plain(text);
        Self {
            mark,
            since,
            depth: depth.min(DEEPEST),
            text,
            notes: Vec::new(),
            traffic: None,
            times: 1,
        }
    }

    /// With a line below.
    pub(super) fn note(mut self, text: impl AsRef<str>) -> Self {
        self.notes.push((Weight::Light, words::plain(text.as_ref())));
        self
    }

    /// With a line below that stands out.
    pub(super) fn warning(mut self, text: impl AsRef<str>) -> Self {
        self.notes.push((Weight::Heavy, words::plain(text.as_ref())));
        self
    }

    /// Whether only times and amounts tell the two apart.
    pub(super) fn tells_the_same(&self, other: &Self) -> bool {
        let same = |row: &Self| (row.mark, row.depth, row.traffic.is_some());
        same(self) == same(other) && self.text == other.text && self.notes == other.notes
    }

    /// Takes in one that tells the same.
    pub(super) fn fold(&mut self, other: Self) {
        self.times += other.times;
        if let (Some(ours), Some(theirs)) = (&mut self.traffic, other.traffic) {
            ours.took = None;
            ours.sent = ours.sent.saturating_add(theirs.sent);
            ours.received = ours.received.saturating_add(theirs.received);
            ours.open += theirs.open;
        }
    }

    /// The lines, each with its newline.
    pub(super) fn text(&self, page: &Page) -> String {
        let colours = page.colours;
        let indent = " ".repeat(MARGIN + self.depth * 2);
        let room = page.width.saturating_sub(indent.len()).max(16);
        let times = if self.times > 1 { format!(" ×{}", self.times) } else { String::new() };
        let traffic = self.traffic.map(|traffic| traffic.text()).unwrap_or_default();
        let beside =
            words::width(&self.text) + words::width(&times) + 2 + words::width(&traffic) <= room;
        let (amounts, below) = match traffic.as_str() {
            "" => (times, None),
            traffic if beside => (format!("{times}  {traffic}"), None),
            _ => (times, Some((Weight::Light, traffic))),
        };
        let text = units::shorten(&self.text, room.saturating_sub(words::width(&amounts)).max(8));
        let (mark, text) = match self.mark {
            Mark::None => (" ".to_owned(), text),
            Mark::Refused => (colours.red("✗"), colours.red(&text)),
            Mark::Asked => (colours.yellow("?"), colours.yellow(&text)),
            Mark::Warning => (colours.yellow("!"), colours.yellow(&text)),
        };
        let time = colours.dim(&format!("{:>10}", units::since_start(self.since)));
        let blanks = &indent[12..];
        let mut lines = format!("{mark} {time}{blanks}{text}{}\n", colours.dim(&amounts));
        for (weight, note) in below.iter().chain(&self.notes) {
            for line in wrap(note, room - 2) {
                let line = match weight {
                    Weight::Heavy => colours.red(&line),
                    Weight::Light => line,
                };
                lines.push_str(&format!("{indent}  {line}\n"));
            }
        }
        lines
    }
}

impl Traffic {
    /// `4.2s, 1.0 kB up, 2.0 kB down`; empty if there is nothing to say.
    fn text(self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.took.map(units::duration));
        if self.sent > 0 || self.received > 0 || self.took.is_some() {
            parts.push(format!("{} up", units::bytes(self.sent)));
            parts.push(format!("{} down", units::bytes(self.received)));
        }
        if self.open > 0 {
            parts.push(format!("{} without an end", self.open));
        }
        parts.join(", ")
    }
}

/// Breaks between words where it can, and inside one that is longer than a line.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if line.is_empty() || words::width(line) + 1 + words::width(word) <= room {
            let blank = if line.is_empty() { "" } else { " " };
            line.push_str(&format!("{blank}{word}"));
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().flat_map(|line| words::wrap(line, room)).collect()
}

impl Colours {
    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, codes: &str, text: &str) -> String {
        match self {
            Colours::On if !text.is_empty() => format!("\u{1b}[{codes}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}
