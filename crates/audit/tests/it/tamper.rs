//! Whatever is done to a record afterwards is found, and the first bad record
//! is named.

use std::path::Path;

use crate::common::{at, degraded, directory, session};
use remit_audit::{
    Event, Fault, Outcome, PublicKey, Record, Report, SessionId, Sync, chain, verify::streams,
};

/// The two files of a record and the key that vouches for them.
#[derive(Clone)]
struct Files {
    lines: Vec<Vec<u8>>,
    notes: Vec<String>,
    key: PublicKey,
}

impl Files {
    fn load(state: &Path, session: SessionId) -> Self {
        let read = |name| std::fs::read(session.directory(state).join(name)).expect("a file");
        let lines =
            read("record.jsonl").split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let notes = String::from_utf8(read("checkpoints")).expect("text");
        let lines_of_notes: Vec<&str> = notes.split_inclusive('\n').collect();
        let notes = lines_of_notes.chunks(6).map(<[&str]>::concat).collect();
        let key = PublicKey::load(&state.join("key.pub")).expect("a key");
        Self { lines, notes, key }
    }

    fn verify(&self) -> Report {
        verify_bytes(&self.lines.concat(), self.notes.concat().as_bytes(), &self.key)
    }

    fn event(&self, n: usize) -> Event {
        chain::decode(self.lines[n].trim_ascii_end()).expect("an event")
    }

    fn set(&mut self, n: usize, event: &Event) {
        self.lines[n].clear();
        chain::encode(event, &mut self.lines[n]);
    }

    /// Makes every line from `n` on continue the one before.
    fn chain_anew(&mut self, n: usize) {
        for n in n..self.lines.len() {
            let mut event = self.event(n);
            event.seq = n as u64;
            event.prev = chain::Digest::of(self.lines[n - 1].trim_ascii_end());
            self.set(n, &event);
        }
    }
}

fn verify_bytes(record: &[u8], checkpoints: &[u8], key: &PublicKey) -> Report {
    streams(record, checkpoints, session(), key).expect("memory can be read")
}

/// That many records, the last being the last word. There are checkpoints over
/// none of them, the first half, all but the last, and all.
fn write(state: &Path, session: SessionId, start: u64, count: u64) -> Files {
    let mut record = Record::create(state, session, Sync::Grouped).expect("a record");
    for n in 1..count {
        record.append(at(start + n), degraded()).expect("written");
        if n == count / 2 {
            record.commit().expect("committed");
        }
    }
    record.end(at(start + count)).expect("written");
    Files::load(state, session)
}

/// Records 0 to 11 with checkpoints over 0, 6, 11 and 12 of them.
fn twelve(state: &Path, session: SessionId, start: u64) -> Files {
    write(state, session, start, 12)
}

fn fixture() -> Files {
    twelve(tempfile::tempdir().expect("a directory").path(), session(), 0)
}

/// Records 0 to 3 with checkpoints over 0, 2, 3 and 4, for laws about each byte.
fn small() -> Files {
    write(tempfile::tempdir().expect("a directory").path(), session(), 0, 4)
}

#[track_caller]
fn check(tamper: impl FnOnce(&mut Files), fault: Fault, record: u64) {
    let mut files = fixture();
    tamper(&mut files);
    let report = files.verify();
    let bad = report.bad.expect("it is found");
    assert_eq!(
        (report.outcome, bad.fault, bad.record),
        (Outcome::Bad, fault, Some(record)),
        "{}",
        bad.message
    );
    assert_eq!(bad.line, Some(record + 1));
}

#[track_caller]
fn check_note(tamper: impl FnOnce(&mut Files), fault: Fault, number: u64) {
    let mut files = fixture();
    tamper(&mut files);
    let bad = files.verify().bad.expect("it is found");
    assert_eq!((bad.fault, bad.checkpoint), (fault, Some(number)), "{}", bad.message);
}

fn edit(files: &mut Files, n: usize) {
    let text = String::from_utf8(files.lines[n].clone()).expect("ASCII");
    files.lines[n] = text.replace(r#""why":"y""#, r#""why":"n""#).into_bytes();
}

fn forged(files: &Files, n: usize) -> Event {
    Event { time: 4, ..files.event(n) }
}

#[test]
fn an_untouched_record_verifies() {
    let report = fixture().verify();
    assert_eq!(report.to_string(), "intact: 12 events, all covered by 4 checkpoints");
    assert!(report.ended);
}

#[test]
fn an_edited_record_is_named() {
    for n in [0, 3, 4, 5, 6, 10] {
        check(|files| edit(files, n), Fault::Edited, n as u64);
    }
    check(
        |files| {
            let end = Event { time: 4, ..files.event(11) };
            files.set(11, &end);
        },
        Fault::Edited,
        11,
    );
    check(
        |files| {
            let moved = Event { seq: 7, ..files.event(3) };
            files.set(3, &moved);
        },
        Fault::Edited,
        3,
    );
    check(|files| files.lines[3].insert(1, b' '), Fault::Edited, 3);
    check(|files| files.lines[3] = b"\n".to_vec(), Fault::NotAnEvent, 3);
    check(|files| files.lines[3] = b"{}\n".to_vec(), Fault::NotAnEvent, 3);
    check(
        |files| {
            files.lines[3].pop();
            files.lines[3].extend(b"\r\n");
        },
        Fault::NotAnEvent,
        3,
    );
}

#[test]
fn a_run_that_was_chained_anew_is_caught_by_the_checkpoint_over_it() {
    check(
        |files| {
            edit(files, 3);
            files.chain_anew(4);
        },
        Fault::Rewritten,
        0,
    );
    check(
        |files| {
            edit(files, 8);
            files.chain_anew(9);
        },
        Fault::Rewritten,
        6,
    );
    check(
        |files| {
            edit(files, 3);
            let all = files.lines.len();
            files.lines.remove(all - 1);
            files.chain_anew(4);
        },
        Fault::Rewritten,
        0,
    );
    check(
        |files| {
            files.lines.remove(8);
            files.chain_anew(8);
        },
        Fault::Rewritten,
        6,
    );
}

#[test]
fn a_missing_record_is_named() {
    for n in [0, 1, 5, 6, 10] {
        check(|files| drop(files.lines.remove(n)), Fault::Missing, n as u64);
    }
    check(|files| drop(files.lines.drain(3..8)), Fault::Missing, 3);
    check(
        |files| {
            let line = files.lines.remove(2);
            files.lines.insert(9, line);
        },
        Fault::Missing,
        2,
    );
    check(|files| files.lines.reverse(), Fault::Missing, 0);
}

#[test]
fn an_inserted_record_is_named() {
    let misplaced = |files: &Files, n| Event { prev: files.event(3).prev, ..forged(files, n) };
    for n in [1, 4, 5, 6, 11] {
        check(|files| insert(files, n, &forged(files, n)), Fault::Inserted, n as u64);
        check(|files| insert(files, n, &misplaced(files, n)), Fault::Inserted, n as u64);
    }
    check(|files| files.lines.insert(4, b"{\"seq\":4}\n".to_vec()), Fault::NotAnEvent, 4);
    check(
        |files| {
            insert(files, 12, &forged(files, 10));
            files.chain_anew(12);
        },
        Fault::AfterTheEnd,
        12,
    );
}

fn insert(files: &mut Files, n: usize, event: &Event) {
    files.lines.insert(n, Vec::new());
    files.set(n, event);
}

#[test]
fn a_repeated_record_is_named() {
    for n in [0, 4, 5, 11] {
        check(
            |files| {
                let line = files.lines[n].clone();
                files.lines.insert(n, line);
            },
            Fault::Duplicated,
            n as u64 + 1,
        );
    }
    check(
        |files| {
            let line = files.lines[2].clone();
            files.lines.insert(8, line);
        },
        Fault::Duplicated,
        8,
    );
}

#[test]
fn records_out_of_order_are_named() {
    for n in [0, 4, 5, 10] {
        check(|files| files.lines.swap(n, n + 1), Fault::Reordered, n as u64);
    }
}

#[test]
fn a_record_from_elsewhere_is_named() {
    let state = tempfile::tempdir().expect("a directory");
    let other = twelve(state.path(), "other".parse().expect("a name"), 0);
    check(|files| files.lines[5] = other.lines[5].clone(), Fault::OtherSession, 5);
    // The same name on another device, at another time.
    let state = tempfile::tempdir().expect("a directory");
    let namesake = twelve(state.path(), session(), 1_000);
    check(|files| files.lines[5] = namesake.lines[5].clone(), Fault::Edited, 5);
    check(|files| files.lines[6..].clone_from_slice(&namesake.lines[6..]), Fault::Edited, 6);
    check(|files| files.lines = namesake.lines.clone(), Fault::Rewritten, 0);
    check_note(|files| files.notes = namesake.notes.clone(), Fault::CheckpointOtherKey, 1);
    check_note(|files| files.notes[2] = namesake.notes[2].clone(), Fault::CheckpointOtherKey, 3);
    check_note(|files| files.key = namesake.key.clone(), Fault::CheckpointOtherKey, 1);
}

#[test]
fn records_cut_off_before_a_checkpoint_are_missed() {
    for n in [0, 1, 6, 8, 11] {
        check(|files| files.lines.truncate(n), Fault::Truncated, n as u64);
        check(
            |files| {
                files.lines.truncate(n + 1);
                files.lines[n].truncate(40);
            },
            Fault::Truncated,
            n as u64,
        );
    }
}

#[test]
fn a_changed_checkpoint_is_named() {
    check_note(|files| files.notes.swap(1, 2), Fault::CheckpointOrder, 3);
    check_note(
        |files| {
            let note = files.notes[1].clone();
            files.notes.insert(1, note);
        },
        Fault::CheckpointOrder,
        3,
    );
    check_note(
        |files| files.notes[1] = files.notes[1].replacen("\n6\n", "\n5\n", 1),
        Fault::CheckpointSignature,
        2,
    );
    check_note(|files| files.notes[0].insert(0, '\n'), Fault::CheckpointMalformed, 1);
    check_note(|files| files.notes.push("more".to_owned()), Fault::CheckpointMalformed, 5);
    // One device, another session.
    let state = tempfile::tempdir().expect("a directory");
    let ours = twelve(state.path(), session(), 0);
    let mut other = twelve(state.path(), "other".parse().expect("a name"), 0);
    other.lines = ours.lines;
    assert_eq!(other.verify().bad.expect("found").fault, Fault::CheckpointOtherSession);
}

#[test]
fn a_missing_file_is_named() {
    for (file, fault) in [("record.jsonl", Fault::NoRecord), ("checkpoints", Fault::NoCheckpoints)]
    {
        let state = tempfile::tempdir().expect("a directory");
        twelve(state.path(), session(), 0);
        std::fs::remove_file(directory(state.path()).join(file)).expect("removed");
        assert_eq!(crate::common::verify(state.path()).bad.expect("found").fault, fault);
    }
    let mut files = fixture();
    files.notes.clear();
    assert_eq!(files.verify().bad.expect("found").fault, Fault::NoCheckpoints);
}

#[test]
fn no_record_with_one_byte_changed_verifies_and_its_line_is_named() {
    let files = small();
    let (record, notes) = (files.lines.concat(), files.notes.concat());
    let mut line = 1;
    for at in 0..record.len() {
        let mut changed = record.clone();
        changed[at] ^= 1 << (at % 8);
        let bad = verify_bytes(&changed, notes.as_bytes(), &files.key).bad;
        let bad = bad.unwrap_or_else(|| panic!("byte {at} of the record is not missed"));
        assert_eq!(bad.line, Some(line), "byte {at}: {}", bad.message);
        line += u64::from(record[at] == b'\n');
    }
}

#[test]
fn no_checkpoints_with_one_byte_changed_verify() {
    let files = small();
    let (record, notes) = (files.lines.concat(), files.notes.concat().into_bytes());
    for at in 0..notes.len() {
        let mut changed = notes.clone();
        changed[at] ^= 1 << (at % 8);
        let report = verify_bytes(&record, &changed, &files.key);
        assert_eq!(report.outcome, Outcome::Bad, "byte {at} of the checkpoints");
    }
}

#[test]
fn a_write_cut_short_anywhere_is_incomplete_and_never_called_tampering() {
    let state = tempfile::tempdir().expect("a directory");
    let mut record = crate::common::create(state.path());
    for n in 0..4 {
        record.append(at(n), degraded()).expect("written");
        if n == 1 {
            record.commit().expect("committed");
        }
    }
    drop(record);
    let files = Files::load(state.path(), session());
    let (bytes, notes) = (files.lines.concat(), files.notes.concat());
    let covered: usize = files.lines[..2].iter().map(Vec::len).sum();
    for length in 0..=bytes.len() {
        let whole = bytes[..length].iter().filter(|b| **b == b'\n').count() as u64;
        let report = verify_bytes(&bytes[..length], notes.as_bytes(), &files.key);
        assert_eq!(report.events, whole, "{length}");
        if length < covered {
            let bad = report.bad.expect("a cut before the checkpoint is found");
            assert_eq!((bad.fault, bad.record), (Fault::Truncated, Some(whole)), "{length}");
        } else {
            assert_eq!(
                (report.outcome, report.covered, report.ended),
                (Outcome::Intact, 2, false),
                "{length}"
            );
            assert_eq!(report.incomplete_event, !bytes[..length].ends_with(b"\n"), "{length}");
        }
    }
    for length in files.notes[0].len()..=notes.len() {
        let report = verify_bytes(&bytes, &notes.as_bytes()[..length], &files.key);
        let torn = length != files.notes[0].len() && length != notes.len();
        assert_eq!(
            (report.outcome, report.incomplete_checkpoint),
            (Outcome::Intact, torn),
            "{length}"
        );
        assert_eq!(report.covered, if length == notes.len() { 2 } else { 0 }, "{length}");
    }
}
