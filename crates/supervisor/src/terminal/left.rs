//! What a session has switched on in the terminal and not off again.
//!
//! Attributes, character sets and margins are followed with the screen itself.
//! Not taken back: the title, tab stops, and colours that were there before and
//! differ from the terminal's own.

use std::collections::BTreeSet;

use super::filter::MODES;
use super::lexer::Token;

#[derive(Debug, Default)]
pub(super) struct Left {
    /// Private modes that are not what they are by themselves.
    modes: BTreeSet<u16>,
    /// The private mode that opened the alternate screen.
    alternate: Option<u16>,
    keypad: bool,
    new_line: bool,
    cursor_shape: bool,
    /// The kitty keyboard's stack, on the normal and the alternate screen.
    keyboard: [Keyboard; 2],
    /// xterm's keyboard settings, by number.
    modified_keys: BTreeSet<u16>,
    /// Colours by the command that sets them: 4, 10, 11, 12.
    colours: BTreeSet<u16>,
}

#[derive(Debug, Default)]
struct Keyboard {
    pushed: u16,
    /// The flags below everything pushed were set.
    set: bool,
}

impl Left {
    pub(super) fn follow(&mut self, token: &Token<'_>) {
        match *token {
            Token::Escape { intermediates: [], last: b'c' } => *self = Self::default(),
            Token::Escape { intermediates: [], last: last @ (b'=' | b'>') } => {
                self.keypad = last == b'=';
            }
            Token::Csi { body, last } => self.follow_csi(body, last),
            Token::Text { whole } => self.follow_text(whole),
            _ => {}
        }
    }

    /// What to send to leave the alternate screen.
    pub(super) fn leave_alternate(&self) -> Vec<u8> {
        let Some(mode) = self.alternate else { return Vec::new() };
        let mut out = self.keyboard[1].undo();
        out.extend(format!("\x1b[?{mode}l").bytes());
        out
    }

    /// What to send to take back everything on the normal screen.
    pub(super) fn undo(&self) -> Vec<u8> {
        let mut out = self.keyboard[0].undo();
        for (mode, on) in MODES {
            if self.modes.contains(&mode) {
                out.extend(format!("\x1b[?{mode}{}", if on { 'h' } else { 'l' }).bytes());
            }
        }
        if self.modes.contains(&2048) {
            out.extend(b"\x1b[?2048l");
        }
        for number in &self.modified_keys {
            out.extend(format!("\x1b[>{number}m").bytes());
        }
        for number in &self.colours {
            out.extend(format!("\x1b]{}\x1b\\", number + 100).bytes());
        }
        let mut when = |left: bool, bytes: &[u8]| {
            if left {
                out.extend(bytes);
            }
        };
        when(self.keypad, b"\x1b>");
        when(self.new_line, b"\x1b[20l");
        when(self.cursor_shape, b"\x1b[0 q");
        out
    }

    fn follow_csi(&mut self, body: &[u8], last: u8) {
        let is_attributes = last == b'm' && body.first() != Some(&b'>');
        if is_attributes || !b"hlpqmnu".contains(&last) {
            return;
        }
        let text = std::str::from_utf8(body).unwrap_or_default();
        match (body, last) {
            ([b'?', ..], b'h' | b'l') => {
                let modes = text[1..].split(';').filter_map(|mode| mode.parse().ok());
                modes.for_each(|mode| self.follow_mode(mode, last == b'h'));
            }
            (_, b'h' | b'l') if text.split(';').any(|mode| mode == "20") => {
                self.new_line = last == b'h';
            }
            (b"!", b'p') => {
                self.keypad = false;
                for mode in [1, 7, 25, 66, 69] {
                    self.modes.remove(&mode);
                }
            }
            ([style @ .., b' '], b'q') => self.cursor_shape = !matches!(style, b"" | b"0"),
            ([b'>', ..], b'm' | b'n') => {
                let mut numbers = text[1..].split(';').map(|number| number.parse().unwrap_or(0));
                let setting = numbers.next().unwrap_or(0);
                if last == b'n' || numbers.next().is_some_and(|value| value > 0) {
                    self.modified_keys.insert(setting);
                } else {
                    self.modified_keys.remove(&setting);
                }
            }
            ([b'<' | b'=' | b'>', ..], b'u') => self.follow_keyboard(text),
            _ => {}
        }
    }

    fn follow_mode(&mut self, mode: u16, on: bool) {
        match mode {
            47 | 1047 | 1049 => self.alternate = on.then_some(mode),
            // Known with the screen, because `ESC 8` changes it too; or none.
            6 | 1048 => {}
            _ => {
                let by_itself = MODES.iter().any(|(known, on)| *known == mode && *on);
                if on == by_itself {
                    self.modes.remove(&mode);
                } else {
                    self.modes.insert(mode);
                }
            }
        }
    }

    /// SOURCE: the kitty keyboard protocol: `CSI > flags u` pushes, `CSI < count u`
    /// pops, `CSI = flags ; how u` changes the top.
    fn follow_keyboard(&mut self, text: &str) {
        let keyboard = &mut self.keyboard[usize::from(self.alternate.is_some())];
        let mut numbers = text[1..].split(';').map(str::parse::<u16>);
        let first = numbers.next().and_then(Result::ok);
        match text.as_bytes()[0] {
            b'>' => keyboard.pushed = keyboard.pushed.saturating_add(1),
            b'<' => keyboard.pushed = keyboard.pushed.saturating_sub(first.unwrap_or(1).max(1)),
            _ if keyboard.pushed == 0 => {
                let flags = first.unwrap_or(0);
                keyboard.set = match numbers.next() {
                    Some(Ok(2 | 3)) => keyboard.set || flags > 0,
                    _ => flags > 0,
                };
            }
            _ => {}
        }
    }

    fn follow_text(&mut self, whole: &[u8]) {
        let Some(rest) = whole.strip_prefix(b"\x1b]") else { return };
        let text = String::from_utf8_lossy(rest);
        let text = text.trim_end_matches(['\u{7}', '\\', '\u{1b}']);
        let mut fields = text.split(';');
        let Some(Ok(number)) = fields.next().map(str::parse::<u16>) else { return };
        match number {
            4 if fields.clone().skip(1).step_by(2).any(|colour| colour != "?") => {
                self.colours.insert(4);
            }
            // One command sets several in a row.
            10..=12 => {
                for (number, colour) in (number..=12).zip(fields) {
                    if colour != "?" && !colour.is_empty() {
                        self.colours.insert(number);
                    }
                }
            }
            // Single colours of the palette may be reset; that leaves others.
            104 if fields.next().is_none_or(str::is_empty) => drop(self.colours.remove(&4)),
            110..=112 => drop(self.colours.remove(&(number - 100))),
            _ => {}
        }
    }
}

impl Keyboard {
    fn undo(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.pushed > 0 {
            out.extend(format!("\x1b[<{}u", self.pushed).bytes());
        }
        if self.set {
            out.extend(b"\x1b[=0u");
        }
        out
    }
}
