//! Control sequences: `CSI`, parameters, intermediates, a final byte.
//!
//! SOURCE: xterm control sequences; the kitty keyboard protocol; contour's
//! synchronized output and grapheme modes.

/// The private modes that a program may set, and whether they are on by
/// themselves. 47, 1047, 1048 and 1049 are the alternate screen and the cursor.
///
/// Not among them: 2, after which sequences mean something else; 3 and 40, which
/// resize the window; 18, 19 and 46, which print and write files; 1001, which
/// stops the terminal; 1034 to 1042, which are the person's settings.
pub(in super::super) const MODES: [(u16, bool); 29] = [
    (1, false),  // application cursor keys
    (4, false),  // smooth scroll
    (5, false),  // reverse video
    (6, false),  // origin
    (7, true),   // autowrap
    (8, true),   // autorepeat
    (9, false),  // mouse: presses
    (12, false), // blinking cursor
    (25, true),  // cursor
    (45, false), // reverse wrap
    (47, false),
    (66, false),   // application keypad
    (69, false),   // left and right margins
    (1000, false), // mouse: presses and releases
    (1002, false), // mouse: drags
    (1003, false), // mouse: all motion
    (1004, false), // focus
    (1005, false), // mouse: coordinates as UTF-8
    (1006, false), // mouse: coordinates as numbers
    (1007, false), // wheel as arrows
    (1015, false), // mouse: coordinates as urxvt has them
    (1016, false), // mouse: coordinates in pixels
    (1047, false),
    (1048, false),
    (1049, false),
    (2004, false), // bracketed paste
    (2026, false), // synchronized output
    (2027, false), // grapheme clusters
    (2031, false), // tell of light and dark
];

/// Insert mode, and line feed as new line. Not 2, which locks the keyboard, and
/// 12, which echoes.
const ANSI_MODES: [u16; 2] = [4, 20];

/// In-band reports of the window's size.
const IN_BAND_SIZE: u16 = 2048;

/// The body of a sequence as far as it may pass.
pub(super) fn clean<'a>(body: &'a [u8], last: u8, room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let parts = Parts::cut(body)?;
    match (parts.prefix, parts.intermediates, last) {
        (b"", b"", b'h' | b'l') => choose(parts, room, |mode| ANSI_MODES.contains(&mode)),
        (b"?", b"", b'h' | b'l') => choose(parts, room, is_mode),
        _ => parts.pass(last).then_some(body),
    }
}

fn is_mode(mode: u16) -> bool {
    mode == IN_BAND_SIZE || MODES.iter().any(|(known, _)| *known == mode)
}

#[derive(Clone, Copy)]
struct Parts<'a> {
    /// One of `<`, `=`, `>`, `?`, or nothing.
    prefix: &'a [u8],
    parameters: &'a [u8],
    intermediates: &'a [u8],
}

impl<'a> Parts<'a> {
    /// None if they are out of order: terminals disagree about what that means.
    fn cut(body: &'a [u8]) -> Option<Self> {
        let prefixed = matches!(body.first(), Some(b'<'..=b'?'));
        let (prefix, rest) = body.split_at(usize::from(prefixed));
        let is_parameter = |byte: &u8| (b'0'..=b';').contains(byte);
        let end = rest.iter().position(|byte| !is_parameter(byte)).unwrap_or(rest.len());
        let (parameters, intermediates) = rest.split_at(end);
        let in_order = intermediates.iter().all(|byte| (0x20..0x30).contains(byte));
        in_order.then_some(Self { prefix, parameters, intermediates })
    }

    fn first(&self) -> Option<u16> {
        let text = std::str::from_utf8(self.parameters).ok()?;
        text.split(';').next()?.parse().ok()
    }

    fn pass(&self, last: u8) -> bool {
        match (self.prefix, self.intermediates, last) {
            // Cursor, erasing, inserting, scrolling, tabs, attributes, margins,
            // what the terminal is.
            (b"", b"", _) if b"@ABCDEFGHIJKLMPSXZ^`abcdefgmrsu".contains(&last) => true,
            // With more than one number it is highlight tracking.
            (b"", b"", b'T') => !self.parameters.contains(&b';'),
            // Is the terminal there, where is the cursor, light or dark.
            (b"", b"", b'n') => matches!(self.first(), Some(5 | 6)),
            (b"?", b"", b'n') => matches!(self.first(), Some(6 | 996)),
            // Sizes; pushing and popping the title. Not what reports the title,
            // or moves, resizes, raises or closes the window.
            (b"", b"", b't') => matches!(self.first(), Some(14 | 16 | 18 | 22 | 23)),
            // Selective erasing, tab stops, what keyboard mode is on.
            (b"?", b"", b'J' | b'K' | b'W' | b'm' | b'u') => true,
            // What the terminal is, keyboard modes.
            (b">", b"", b'c' | b'q' | b'm' | b'n' | b'u') => true,
            (b"=", b"", b'c' | b'u') | (b"<", b"", b'u') => true,
            // Soft reset; is this mode known.
            (b"", b"!", b'p') | (b"" | b"?", b"$", b'p') => true,
            // The cursor's shape, columns, rectangles; the stack of attributes.
            // Not the checksum of a rectangle, which tells what is on the screen.
            (b"", b" ", b'q' | b'@' | b'A') | (b"", b"'", b'}' | b'~') => true,
            (b"", b"$", b'r' | b't' | b'v' | b'x' | b'z' | b'{') | (b"", b"*", b'x') => true,
            (b"", b"#", b'{' | b'}' | b'p' | b'q') => true,
            _ => false,
        }
    }
}

/// Those of the modes that may be set.
fn choose<'a>(
    parts: Parts<'_>,
    room: &'a mut Vec<u8>,
    may: impl Fn(u16) -> bool,
) -> Option<&'a [u8]> {
    if !parts.intermediates.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(parts.parameters).ok()?;
    for mode in text.split(';').filter_map(|mode| mode.parse().ok()).filter(|mode| may(*mode)) {
        room.extend(if room.is_empty() { parts.prefix } else { b";" });
        room.extend(mode.to_string().bytes());
    }
    (!room.is_empty()).then_some(room)
}
