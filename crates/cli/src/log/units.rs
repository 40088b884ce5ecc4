//! Times, sizes and texts in the fewest characters that still tell.

use remit_approvals::words;

/// Since the start, in at most 9 columns for up to ten hours: `+0.123s`,
/// `+12m03.4s`, `+3h12m03s`. Cut off, not rounded.
pub(super) fn since_start(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("+{seconds}.{:03}s", milliseconds % 1000),
        60..3600 => format!("+{}m{:02}.{}s", seconds / 60, seconds % 60, milliseconds % 1000 / 100),
        _ => format!("+{}h{:02}m{:02}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// How long something took: `35ms`, `4.2s`, `12m03s`, `3h12m`. Cut off.
pub(super) fn duration(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `512 B`, `3.4 kB`, `18.0 MB`, in thousands. Cut off.
pub(crate) fn bytes(number: u64) -> String {
    let mut tenths = u128::from(number) * 10;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if tenths < 10_000 {
            return match unit {
                "B" => format!("{number} B"),
                unit => format!("{}.{} {unit}", tenths / 10, tenths % 10),
            };
        }
        tenths /= 1000;
    }
    format!("{} PB", tenths / 10)
}

/// `1 refusal`, `2 refusals`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// At most `room` columns wide: what does not fit is left out of the middle for
/// a `…`. The tail, where a command has its point, gets two thirds. The text is
/// one from [`words::plain`].
pub(super) fn shorten(text: &str, room: usize) -> String {
    if words::width(text) <= room {
        return text.to_owned();
    }
    let within = |room: usize| {
        let mut used = 0;
        move |c: &char| {
            used += words::width(c.encode_utf8(&mut [0; 4]));
            used <= room
        }
    };
    let room = room.saturating_sub(1);
    let head: String = text.chars().take_while(within(room / 3)).collect();
    let tail: Vec<char> = text.chars().rev().take_while(within(room - room / 3)).collect();
    format!("{head}…{}", tail.iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn times_are_short_and_never_ahead() {
        assert_eq!(since_start(0), "+0.000s");
        assert_eq!(since_start(59_999 * MS + 999_999), "+59.999s");
        assert_eq!(since_start(723_456 * MS), "+12m03.4s");
        assert_eq!(since_start(11_523_999 * MS), "+3h12m03s");
        assert_eq!(duration(35 * MS), "35ms");
        assert_eq!(duration(4_299 * MS), "4.2s");
        assert_eq!(duration(723_000 * MS), "12m03s");
        assert_eq!(duration(11_523_000 * MS), "3h12m");
    }

    #[test]
    fn a_shortened_text_keeps_both_ends() {
        assert_eq!(shorten("0123456789", 10), "0123456789");
        assert_eq!(shorten("0123456789abc", 10), "012…789abc");
        assert_eq!(shorten("字字字字字字字字", 10), "字…字字字");
        assert_eq!(shorten("0123456789", 1), "…");
    }

    #[test]
    fn sizes_are_in_thousands() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(3_456), "3.4 kB");
        assert_eq!(bytes(18_000_000), "18.0 MB");
        assert_eq!(bytes(u64::MAX), "18446 PB");
    }
}
