//! The record: complete, chained, and there whatever happens.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::record::file_of;
use crate::run::eventually;
use crate::world::World;

scenarios! { "evidence":
    a_run_leaves_session_exec_and_exit,
    the_record_is_private,
    an_edited_event_is_named,
    a_deleted_event_is_named,
    reordered_events_are_named,
    a_doubled_event_is_named,
    a_truncated_record_is_noticed,
    killing_the_supervisor_ends_the_session_and_spares_the_record,
    hostile_text_stays_one_event,
    the_timeline_is_escaped,
}

fn a_run_leaves_session_exec_and_exit(world: &World) {
    world.inside("true; /bin/echo here; exit 3");
    let record = world.record();
    let seq = |needles: &[&str]| record.has(needles)["seq"].as_u64().expect("a position");
    let (start, echo) = (seq(&["session_started"]), seq(&["exec", "echo", "here", "allow"]));
    let end = record.events.last().expect("events");
    assert!(start < echo);
    assert!(end.to_string().contains('3'), "the last event says how it ended: {end}");
    let positions: Vec<_> = record.events.iter().map(|event| event["seq"].as_u64()).collect();
    assert_eq!(positions, (0..record.events.len() as u64).map(Some).collect::<Vec<_>>(), "no gaps");
    let session = world.sessions().pop().expect("a session");
    world.remit(&["log", "list"]).succeeds().says(&session);
    world.remit(&["log", "timeline", &session]).succeeds().says("echo here");
    world.remit(&["log", "verify", &session]).succeeds();
}

fn the_record_is_private(world: &World) {
    world.inside("true").succeeds();
    let loose = format!("find {} -perm /077 ! -type l", world.state().join("sessions").display());
    let found = world.outside(&loose).succeeds();
    assert_eq!(found.out, "", "only the owner may read the record");
}

/// Changes the lines of a fresh record and expects verification to name one of
/// the positions in `named`, counted from the record's own `seq`.
fn check(world: &World, what: &str, change: fn(&mut Vec<String>), named: &[usize]) {
    world.inside("true; /bin/true one; /bin/true two; /bin/true three").succeeds();
    let (session, file) = last(world);
    world.remit(&["log", "verify", &session]).succeeds();
    let text = fs::read_to_string(&file).expect("the record");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let first: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(first["seq"], 0, "the first event has position 0");
    change(&mut lines);
    fs::write(&file, lines.join("\n") + "\n").expect("the changed record");
    let output = world.remit(&["log", "verify", &session]).fails();
    let said = output.both();
    let numbers: Vec<usize> =
        said.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert!(
        named.iter().any(|position| numbers.contains(position)),
        "{what} should name one of {named:?}: {output:?}"
    );
}

fn last(world: &World) -> (String, PathBuf) {
    let session = world.sessions().pop().expect("a session");
    let file = file_of(&world.state().join("sessions").join(&session));
    (session, file)
}

fn an_edited_event_is_named(world: &World) {
    let edit = |lines: &mut Vec<String>| {
        lines[2] = lines[2].replacen("true", "trve", 1).replacen("\"time\":1", "\"time\":2", 1)
    };
    check(world, "an edit", edit, &[2, 3]);
}

fn a_deleted_event_is_named(world: &World) {
    check(world, "a deletion", |lines| drop(lines.remove(2)), &[2, 3]);
}

fn reordered_events_are_named(world: &World) {
    check(world, "a reordering", |lines| lines.swap(2, 3), &[2, 3]);
}

fn a_doubled_event_is_named(world: &World) {
    check(world, "a doubling", |lines| lines.insert(2, lines[2].clone()), &[2, 3]);
}

fn a_truncated_record_is_noticed(world: &World) {
    check(world, "a truncation", |lines| lines.truncate(3), &[2, 3]);
}

fn killing_the_supervisor_ends_the_session_and_spares_the_record(world: &World) {
    let mark = world.mark();
    let running =
        world.start(&["run", "--", "sh", "-c", &format!("setsid sleep {mark} & sleep {mark}")]);
    eventually("both sleepers", Duration::from_secs(10), || {
        (world.sleepers(&mark).len() == 2).then_some(())
    });
    running.signal(Signal::KILL);
    eventually("the end of the session", Duration::from_secs(1), || {
        world.sleepers(&mark).is_empty().then_some(())
    });
    assert_eq!(running.finish().code, 137);
    let session = world.sessions().pop().expect("a session");
    world.remit(&["log", "verify", &session]).succeeds();
    world.record().has(&["exec", "sleep", &mark]);
}

fn hostile_text_stays_one_event(world: &World) {
    let script = "/bin/true \"$(printf 'a\\nb\\033[31m\"},{\\\\ \\342\\200\\256x')\" after";
    world.inside(script).succeeds();
    let record = world.record();
    assert_eq!(
        record.with(&["exec", "after"]).len(),
        record.with(&["exec", "after", "true"]).len()
    );
    let (session, file) = last(world);
    let raw = fs::read(file).expect("the record");
    assert!(
        raw.iter().all(|byte| *byte == b'\n' || (32..127).contains(byte)),
        "the record is printable"
    );
    world.remit(&["log", "verify", &session]).succeeds();
}

fn the_timeline_is_escaped(world: &World) {
    world.inside("/bin/true \"$(printf 'x\\033]0;title\\007y')\"").succeeds();
    let session = world.sessions().pop().expect("a session");
    let timeline = world.remit(&["log", "timeline", &session]).succeeds();
    assert!(!timeline.out.contains("\u{1b}]0;"), "a title change got through: {timeline:?}");
    assert!(timeline.out.contains("title"), "the argument is shown: {timeline:?}");
}
