//! Every event in full: for a person with its time, for a program as recorded.

use std::io::Write;
use std::path::Path;

use remit_approvals::words;
use remit_audit::{Event, chain};

use super::{LogError, units};

pub(super) fn write(out: &mut impl Write, directory: &Path, json: bool) -> Result<(), LogError> {
    let mut line = Vec::new();
    let mut start = None;
    for event in remit_audit::events(directory)? {
        let event = event.inspect_err(|_| drop(out.flush()))?;
        if json {
            // Encoded anew, so that a line that was tampered with can be no
            // more than an event.
            line.clear();
            chain::encode(&event, &mut line);
            out.write_all(&line)?;
        } else {
            let start = *start.get_or_insert(event.mono);
            out.write_all(in_full(&event, start).as_bytes())?;
        }
    }
    Ok(())
}

/// The event's number, times and name, then its fields as indented JSON. Since
/// `start`, a `mono`, its relative time counts.
fn in_full(event: &Event, start: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(event.time.into())
        .map_or_else(|_| event.time.to_string(), |time| format!("{time:.3}"));
    let since = units::since_start(event.mono.saturating_sub(start));
    let name = event.event.name();
    let json =
        serde_json::to_string_pretty(&event.event).expect("an event is strings and integers");
    // Two lines of braces and the name enclose the fields.
    let lines: Vec<_> = json.lines().collect();
    let fields = lines.get(2..lines.len().saturating_sub(2)).unwrap_or_default();
    let mut text = format!("#{} {since} {time} {name}\n", event.seq);
    for line in fields {
        text.push_str(&words::plain(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_audit::{Digest, Kind};

    #[test]
    fn an_event_in_full_can_move_no_cursor() {
        let event = Event {
            seq: 7,
            time: 1_000_000_000,
            mono: 5_250_000_000,
            session: "s".parse().expect("a name"),
            prev: Digest::of(b""),
            event: Kind::Degraded {
                what: "a\u{1b}[2J\u{202e}\u{9b}".to_owned(),
                why: "grün".to_owned(),
            },
        };
        let expected = "#7 +0.250s 1970-01-01T00:00:01.000Z degraded\n\
                        \x20   \"what\": \"a\\u001b[2J\\u{202e}\\u{9b}\",\n    \"why\": \"grün\"\n";
        assert_eq!(in_full(&event, 5_000_000_000), expected);
    }
}
