//! Text from an agent, fitted into the room there is, without hiding that
//! something is missing.

use std::fmt::Write as _;

use remit_policy::show;
use unicode_width::UnicodeWidthChar as _;

/// One line that takes exactly the columns [`width`] says: what
/// [`show::line`] escapes, and combining marks too, which would pile up on
/// their neighbours. Doing it twice changes nothing.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in show::line(text).chars() {
        if c.width().unwrap_or(0) == 0 {
            let _ = write!(plain, "{}", c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Columns a text from [`plain`] takes.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// At most `columns` wide. What does not fit is left out of the middle and
/// counted; the tail, where a command hides its point, gets two thirds of the
/// room. With no room for the count, the tail alone remains after a `…`.
pub fn shorten(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let total = text.chars().count();
    // The count is as long as it can get, so that the result surely fits.
    let widest = gap(total).chars().count();
    if room < widest + 12 {
        let tail = last(text, room.saturating_sub(1));
        let mark = if room == 0 { "" } else { "…" };
        return format!("{mark}{tail}");
    }
    let head = first(text, (room - widest) / 3);
    let tail = last(text, room - widest - width(head));
    let hidden = total - head.chars().count() - tail.chars().count();
    format!("{head}{}{tail}", gap(hidden))
}

fn gap(hidden: usize) -> String {
    format!("…({hidden} characters not shown)…")
}

/// At most `bytes` long, shortened in the middle as [`shorten`] does.
pub fn bound(text: String, bytes: usize) -> String {
    if text.len() <= bytes {
        return text;
    }
    let half = bytes / 2;
    let head = &text[..floor(&text, half)];
    let tail = &text[ceil(&text, text.len() - half)..];
    let hidden = text.chars().count() - head.chars().count() - tail.chars().count();
    format!("{head}{}{tail}", gap(hidden))
}

/// Breaks into lines of at most `columns`, anywhere; no character is lost.
/// A character wider than a line gets one of its own. Never empty.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        if used > 0 && used + columns(c) > room {
            lines.push(String::new());
            used = 0;
        }
        used += columns(c);
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
}

/// Says which characters are not ASCII, because some of them look like others:
/// `` `а` U+0430, `е` U+0435 and 3 more``. None if all are ASCII.
///
/// It does not judge: a German file name is listed like a Cyrillic `a`.
pub fn lookalikes(text: &str) -> Option<String> {
    let mut seen: Vec<char> = Vec::new();
    // The ellipsis is our own mark of what was left out.
    for c in text.chars().filter(|c| !c.is_ascii() && *c != '…') {
        if !seen.contains(&c) {
            seen.push(c);
        }
        if seen.len() > 99 {
            break;
        }
    }
    if seen.is_empty() {
        return None;
    }
    let named =
        seen.iter().take(3).map(|c| format!("`{}` U+{:04X}", plain(&c.to_string()), u32::from(*c)));
    let mut said = named.collect::<Vec<_>>().join(", ");
    if seen.len() > 3 {
        let _ = write!(said, " and {} more", seen.len() - 3);
    }
    Some(said)
}

fn first(text: &str, room: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += columns(*c);
        used > room
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

fn last(text: &str, room: usize) -> &str {
    let mut used = 0;
    let start = text.char_indices().rev().find(|(_, c)| {
        used += columns(*c);
        used > room
    });
    &text[start.map_or(0, |(at, c)| at + c.len_utf8())..]
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(1)
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_text_fits_counts_what_is_hidden_and_keeps_its_tail() {
        let text = format!("head {}{} tail", "x".repeat(3000), "字".repeat(900));
        for room in 0..400 {
            let short = shorten(&text, room);
            assert!(width(&short) <= room, "{room}: {short}");
            if room >= 7 {
                assert!(short.ends_with(" tail"), "{room}: {short}");
            }
            if let Some((before, rest)) = short.split_once("…(") {
                let (count, after) = rest.split_once(" characters not shown)…").expect("a count");
                let hidden: usize = count.parse().expect("a number");
                let shown = before.chars().count() + after.chars().count();
                assert_eq!(shown + hidden, text.chars().count(), "{room}");
            }
        }
        assert!(shorten(&text, 400).starts_with("head xxx"));
    }

    #[test]
    fn wrapping_loses_nothing_and_overflows_nothing() {
        let text = "ab字c字字défg 12345678901234567890";
        for room in 2..30 {
            let lines = wrap(text, room);
            assert_eq!(lines.concat(), text);
            assert!(lines.iter().all(|line| width(line) <= room), "{room}: {lines:?}");
        }
    }

    #[test]
    fn a_bounded_text_says_how_much_is_gone() {
        let short = bound("é".repeat(100), 21);
        assert_eq!(short, format!("{}…(90 characters not shown)…{}", "é".repeat(5), "é".repeat(5)));
        assert_eq!(bound("short".to_owned(), 21), "short");
    }

    #[test]
    fn marks_that_pile_up_are_spelt_out() {
        assert_eq!(plain("e\u{301}\u{1b}x"), "e\\u{301}\\u{1b}x");
        assert_eq!(plain(&plain("e\u{301}")), plain("e\u{301}"));
    }

    #[test]
    fn letters_that_only_look_like_others_are_named() {
        assert_eq!(lookalikes("git push"), None);
        assert_eq!(lookalikes("p\u{430}ypal").as_deref(), Some("`а` U+0430"));
        assert_eq!(
            lookalikes("äöüß").as_deref(),
            Some("`ä` U+00E4, `ö` U+00F6, `ü` U+00FC and 1 more")
        );
    }
}
