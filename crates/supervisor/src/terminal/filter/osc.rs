//! Operating system commands: `OSC number ; text ST`.
//!
//! Those that may pass are titles, colours, pointers to the web. Not clipboards
//! (52), fonts (50), notifications (9, 99, 777), directories (7), window
//! properties (3), files and whatever else a terminal has of its own (1337).

use remit_policy::show;

/// Longest title, in characters.
const TITLE: usize = 256;

/// SOURCE: hyperlinks in terminal emulators: longer ones are ignored.
const LINK: usize = 2083;

const BEGIN: &[u8] = b"\x1b]";
const BEL: &[u8] = b"\x07";
const ST: &[u8] = b"\x1b\\";

/// The command as far as it may pass; it ends the way it ended.
pub(super) fn clean<'a>(whole: &'a [u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let rest = whole.strip_prefix(BEGIN)?;
    let (rest, end) = match rest.strip_suffix(BEL) {
        Some(rest) => (rest, BEL),
        None => (rest.strip_suffix(ST)?, ST),
    };
    let at = rest.iter().position(|byte| *byte == b';').unwrap_or(rest.len());
    let (number, text) = (&rest[..at], rest.get(at + 1..).unwrap_or_default());
    match number {
        b"0" | b"1" | b"2" => {
            room.extend(BEGIN);
            room.extend(number);
            room.push(b';');
            room.extend(title(text).bytes());
            room.extend(end);
            Some(room)
        }
        b"4" | b"10" | b"11" | b"12" | b"104" | b"110" | b"111" | b"112" => {
            is_colour(text).then_some(whole)
        }
        b"8" if is_link(text) => Some(whole),
        b"8" => {
            // What was to be linked must not belong to the link before it.
            room.extend(b"\x1b]8;;");
            room.extend(end);
            Some(room)
        }
        _ => None,
    }
}

/// What a person can see of it.
fn title(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let is_shown = |c: &char| {
        let c = c.encode_utf8(&mut [0; 4]).to_owned();
        show::line(&c) == c
    };
    text.chars().filter(is_shown).take(TITLE).collect()
}

/// Numbers, names, `#rrggbb`, `rgb:r/g/b`, and `?` for a question, whose answer
/// is numbers again.
fn is_colour(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b";:/#?., -".contains(byte))
}

/// `parameters ; target`: nothing, which ends a link, or a place on the web. A
/// click on a file would open on the host, with the host's programs, what the
/// session wrote.
fn is_link(text: &[u8]) -> bool {
    let Some(at) = text.iter().position(|byte| *byte == b';') else {
        return false;
    };
    let target = text[at + 1..].to_ascii_lowercase();
    text.iter().all(u8::is_ascii_graphic)
        && target.len() <= LINK
        && (target.is_empty() || target.starts_with(b"http://") || target.starts_with(b"https://"))
}
