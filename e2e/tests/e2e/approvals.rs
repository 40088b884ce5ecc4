//! Questions answered from another terminal.

use std::time::Duration;

use serde_json::Value;

use crate::run::{Running, eventually};
use crate::world::World;

scenarios! { "approvals":
    once_allows_one_time,
    session_allows_the_same_again,
    a_refusal_carries_the_note_to_the_agent,
    question_and_answer_are_in_the_record,
    an_unknown_question_cannot_be_answered,
    nothing_inside_can_answer,
}

const ASK: &str = "prefix_rule(pattern = [\"touch\"], decision = \"prompt\")\n";

fn start(world: &World, script: &str) -> Running {
    world.rules(ASK);
    world.start(&["run", "--approvals", "queue", "--", "sh", "-c", script])
}

/// The id of the one open question.
#[track_caller]
pub(crate) fn question(world: &World) -> String {
    eventually("a question", Duration::from_secs(10), || ids(world).into_iter().next())
}

fn ids(world: &World) -> Vec<String> {
    let listing = world.remit(&["approvals", "list", "--json"]).succeeds().out;
    let questions = match serde_json::from_str(&listing) {
        Ok(Value::Array(questions)) => questions,
        _ => listing.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
    };
    let text = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    questions.iter().map(|question| text(&question["id"])).collect()
}

fn once_allows_one_time(world: &World) {
    let running = start(world, "touch one && touch one; echo $? > status");
    let first = question(world);
    assert!(!world.workspace.join("one").exists(), "nothing happens before the answer");
    world.remit(&["approvals", "answer", &first, "--once"]).succeeds();
    let second = eventually("a second question", Duration::from_secs(10), || {
        ids(world).into_iter().find(|id| *id != first)
    });
    assert!(world.workspace.join("one").exists());
    world.remit(&["approvals", "answer", &second, "--refuse"]).succeeds();
    running.finish().succeeds();
    assert!(ids(world).is_empty(), "no question outlives its session");
}

fn session_allows_the_same_again(world: &World) {
    let running = start(world, "touch one && rm one && touch one && touch two");
    world.remit(&["approvals", "answer", &question(world), "--session"]).succeeds();
    let other = question(world);
    assert!(world.workspace.join("one").exists(), "the same was not asked again");
    world.remit(&["approvals", "answer", &other, "--refuse"]).succeeds();
    running.finish().fails();
    assert!(!world.workspace.join("two").exists(), "a session's yes covers the same and no more");
}

fn a_refusal_carries_the_note_to_the_agent(world: &World) {
    let running = start(world, "touch one");
    let note = "use the build directory";
    world.remit(&["approvals", "answer", &question(world), "--refuse", "--note", note]).succeeds();
    running.finish().fails().says("refused").says(note);
    assert!(!world.workspace.join("one").exists());
}

fn question_and_answer_are_in_the_record(world: &World) {
    let running = start(world, "touch one");
    world.remit(&["approvals", "answer", &question(world), "--once"]).succeeds();
    running.finish().succeeds();
    let record = world.record();
    let seq = |needles: &[&str]| record.has(needles)["seq"].as_u64().expect("a position");
    assert!(seq(&["question", "touch one"]) < seq(&["answer", "once"]));
    let session = world.sessions().pop().expect("a session");
    world.remit(&["log", "timeline", &session]).succeeds().says("touch one");
}

fn an_unknown_question_cannot_be_answered(world: &World) {
    world.remit(&["approvals", "answer", "no-such-id", "--once"]).fails().says("no-such-id");
    let running = start(world, "touch one");
    let id = question(world);
    world.remit(&["approvals", "answer", &id, "--once"]).succeeds();
    running.finish().succeeds();
    world.remit(&["approvals", "answer", &id, "--once"]).fails();
}

fn nothing_inside_can_answer(world: &World) {
    let remit = crate::places::remit().display().to_string();
    let tool = world.workspace.join("tool");
    world.outside(&format!("cp {remit} tool")).succeeds();
    assert!(tool.exists());
    // The background process tries to answer every question it can see.
    let answer = "./tool approvals list --json > seen 2>&1; grep -o '\"id\":[^,}]*' seen | tr -d '\"' | cut -d: -f2 | while read id; do ./tool approvals answer $id --once; done; sleep 0.1";
    let script = format!("(while ! [ -e stop ]; do {answer}; done) & touch one");
    let running = start(world, &script);
    let id = question(world);
    // Three rounds of the background process, each long enough to answer.
    for round in 0..3 {
        eventually("a try from inside", Duration::from_secs(10), || {
            world.workspace.join("seen").exists().then_some(())
        });
        std::fs::remove_file(world.workspace.join("seen")).expect("the file of the try");
        assert!(!world.workspace.join("one").exists(), "round {round}: answered from inside");
    }
    world.remit(&["approvals", "answer", &id, "--refuse"]).succeeds();
    world.outside(": > stop").succeeds();
    running.finish();
    assert!(!world.workspace.join("one").exists());
}
