//! What outlives a session: yeses for projects, and the review of each time the
//! glass was broken.

use std::fmt::Write as _;
use std::time::Duration;

use remit_approvals::wire;
use remit_approvals::words::plain;
use remit_supervisor::Places;
use remit_supervisor::answers::{Answers, Entry};
use remit_supervisor::reviews::{Review, Reviews};

use super::{ApprovalsError, connect};

/// Every yes for a project, with the number to take it back by.
pub(super) fn rules(places: &Places, json: bool) -> Result<String, ApprovalsError> {
    let entries = Answers::of(places).entries()?;
    if json {
        let rows: Vec<_> = entries.iter().map(row).collect();
        return Ok(format!("{:#}\n", serde_json::Value::from(rows)));
    }
    let today = jiff::Zoned::now().date();
    let tell = |entry: &Entry| {
        let over = if entry.until < today { ", over" } else { "" };
        let place = plain(&entry.workspace.to_string_lossy());
        let mut text = format!("{}  until {}{over}, in {place}\n", entry.number, entry.until);
        for line in entry.rule.lines() {
            let _ = writeln!(text, "    {}", plain(line));
        }
        text
    };
    Ok(entries.iter().map(tell).collect::<Vec<_>>().join("\n"))
}

fn row(entry: &Entry) -> serde_json::Value {
    serde_json::json!({
        "number": entry.number,
        "until": entry.until.to_string(),
        "workspace": entry.workspace,
        "rule": entry.rule,
    })
}

/// Takes a yes for a project back. Running sessions follow within half a second.
pub(super) fn forget(places: &Places, number: u32) -> Result<String, ApprovalsError> {
    let gone = Answers::of(places).forget(number)?;
    let place = plain(&gone.workspace.to_string_lossy());
    Ok(format!("{number}: taken back in {place}."))
}

/// Lifts the limits on answers of one session.
pub(super) fn break_glass(
    places: &Places,
    session: &str,
    length: Duration,
    reason: String,
) -> Result<String, ApprovalsError> {
    let nothing = || ApprovalsError::NoSession { session: session.to_owned() };
    // A name and no path: sessions are looked for below the state directory only.
    if session.is_empty() || session.contains('/') || session.starts_with('.') {
        return Err(nothing());
    }
    let socket = places.state.join("sessions").join(session).join("approvals.sock");
    let mut client = connect(&socket)?.ok_or_else(nothing)?;
    let until = client.break_glass(length, reason)?;
    Ok(format!("{}: the glass is broken until {}.", plain(session), plain(&until)))
}

/// Reviews that wait, or all of them.
pub(super) fn reviews(places: &Places, all: bool, json: bool) -> Result<String, ApprovalsError> {
    let reviews = Reviews::of(places);
    let reviews = if all { reviews.all()? } else { reviews.open()? };
    if json {
        let rows = serde_json::to_value(&reviews).unwrap_or_default();
        return Ok(format!("{rows:#}\n"));
    }
    Ok(reviews.iter().map(tell).collect::<Vec<_>>().join("\n"))
}

fn tell(review: &Review) -> String {
    let mut text = format!("{}\n", plain(&review.id));
    let mut fact = |label: &str, value: &str| {
        let _ = writeln!(text, "    {label:9} {}", plain(value));
    };
    fact("by", &review.by);
    fact("reason", &review.reason);
    fact("from", &review.began);
    fact("to", review.ended.as_ref().unwrap_or(&review.until));
    match review.yeses {
        Some(yeses) => fact("yeses", &yeses.to_string()),
        None => fact("yeses", "not counted; see the record of the session"),
    }
    if let Some(closed) = &review.closed {
        fact("reviewed", &format!("{} by {}: {}", closed.at, closed.by, closed.note));
    }
    text
}

/// Closes a review.
pub(super) fn review(places: &Places, id: &str, note: &str) -> Result<String, ApprovalsError> {
    let by = wire::person(rustix::process::getuid().as_raw());
    Reviews::of(places).close(id, &by, note, jiff::Timestamp::now())?;
    Ok(format!("{}: reviewed.", plain(id)))
}

/// What is said before a session starts, if reviews wait.
pub(crate) fn reminder(places: &Places) -> Option<String> {
    let reviews = Reviews::of(places).open();
    let words = match reviews {
        Ok(open) if open.is_empty() => return None,
        Ok(open) => format!("the glass was broken and {} not reviewed", times(open.len())),
        Err(error) => format!("the reviews of broken glasses cannot be read: {error}"),
    };
    Some(format!("{words}; `remit approvals reviews` lists what waits"))
}

fn times(count: usize) -> String {
    if count == 1 { "that is".to_owned() } else { format!("{count} times of it are") }
}

/// `30s`, `10m` or `1h`.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number = text.strip_suffix(unit)?;
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(*seconds)
    });
    found.map(Duration::from_secs).ok_or_else(|| "it is a duration such as `10m`".to_owned())
}
