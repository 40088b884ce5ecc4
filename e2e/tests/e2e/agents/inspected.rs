//! The same agents with their model's host inspected: they trust the session's
//! authority, and their streams go through piece by piece.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::{FAREWELL, keys, prompt};
use crate::internet::Internet;
use crate::places::{self, Agent};
use crate::run::{Running, eventually};
use crate::scenario::Need::{self, Program};
use crate::world::World;

scenarios! { "inspected":
    codex_completes_a_turn [Need::Internet, Need::Agent(Agent::Codex)],
    claude_completes_a_turn [Need::Internet, Need::Agent(Agent::Claude)],
    gemini_completes_a_turn [Need::Internet, Need::Agent(Agent::Gemini), Program("node")],
    opencode_completes_a_turn [Need::Internet, Need::Agent(Agent::OpenCode)],
}

const MODEL: &str = "https://model.example";

/// The model behind `model.example`, where the laboratory's servers look for it.
struct Behind(Child);

impl Behind {
    fn start(internet: &Internet<'_>) -> Self {
        let log = internet.folder().join("model.jsonl");
        let mut model = internet.lab.enter(places::helper("mock-model"));
        model.args(["--listen", "127.0.0.1:8081", "--farewell", FAREWELL]);
        model.args(["--command", "echo by-the-tool > made; /bin/echo from-the-tool", "--log"]);
        let model = Self(model.arg(log).stdout(Stdio::null()).spawn().expect("nsenter"));
        eventually("the model", Duration::from_secs(10), || {
            let look = "import socket; socket.create_connection(('127.0.0.1', 8081))";
            let found =
                internet.lab.enter("python3").args(["-c", look]).stderr(Stdio::null()).status();
            found.is_ok_and(|status| status.success()).then_some(())
        });
        model
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn check(world: &World, agent: Agent) {
    let internet = Internet::new(world);
    let _model = Behind::start(&internet);
    world.settings("[network]\nallow = [\"model.example\"]\ninspect = [\"model.example\"]\n");
    let words = prompt(world, agent, MODEL);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = [&["run", "--"], &words[..]].concat();
    let mut command = internet.lab.command(places::remit(), &run);
    command.envs(keys(MODEL));
    Running::start(command).finish().succeeds().says(FAREWELL);
    assert!(world.workspace.join("made").exists(), "the tool call ran in the workspace");
    let record = world.record();
    record.has(&["\"request\"", "model.example", "https", "POST"]);
    record.has(&["request_ended", "200"]);
    assert!(!internet.saw(&["model.example", "POST"]).is_empty());
}

fn codex_completes_a_turn(world: &World) {
    check(world, Agent::Codex);
}

fn claude_completes_a_turn(world: &World) {
    check(world, Agent::Claude);
}

fn gemini_completes_a_turn(world: &World) {
    check(world, Agent::Gemini);
}

fn opencode_completes_a_turn(world: &World) {
    check(world, Agent::OpenCode);
}
