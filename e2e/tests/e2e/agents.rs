//! Real agents, unmodified, each completing a turn with a shell call.

use std::fs::File;
use std::net::SocketAddr;

use remit_e2e::mock_model::{MockModel, Script};

use crate::places::{self, Agent};
use crate::record::Record;
use crate::run::{Output, Running};
use crate::scenario::Need;
use crate::world::{SECRET, World};

scenarios! { "agents":
    codex_completes_a_turn [Need::Agent(Agent::Codex)],
    claude_completes_a_turn [Need::Agent(Agent::Claude)],
    codex_meets_the_boundary [Need::Agent(Agent::Codex)],
    claude_meets_the_boundary [Need::Agent(Agent::Claude)],
}

const FAREWELL: &str = "all finished, thank you";

/// A model on the host's loopback, named in the user's settings.
fn model(world: &World, command: &str) -> MockModel {
    let script = Script { command: command.to_owned(), farewell: FAREWELL.to_owned() };
    let log = File::create(world.elsewhere().join("model.jsonl")).expect("a log");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let model = MockModel::start(any, script, log).expect("a loopback port");
    world.settings(&format!("[network]\nallow = [\"{}\"]\n", model.address()));
    model
}

/// Runs the agent to the end of one turn: governed, or alone as a control.
fn turn(world: &World, agent: Agent, model: &MockModel, governed: bool) -> Output {
    let program = agent.installed().expect("the scenario needs it").display().to_string();
    let words: &[&str] = match agent {
        Agent::Codex => &["exec", "--json", "--skip-git-repo-check", "say hi"],
        Agent::Claude => &["-p", "say hi", "--allowedTools", "Bash"],
    };
    if matches!(agent, Agent::Codex) {
        world.write(&world.home.join(".codex/config.toml"), &codex_config(model.address()));
    }
    let mut all = vec![program.as_str()];
    all.extend(words);
    let mut command = if governed {
        all.splice(..0, ["run", "--"]);
        world.command(places::remit(), &all)
    } else {
        world.command(all[0], &all[1..])
    };
    command.envs([
        ("OPENAI_API_KEY", "mock-key-0000000000000000".to_owned()),
        ("ANTHROPIC_API_KEY", "mock-key-0000000000000000".to_owned()),
        ("ANTHROPIC_BASE_URL", format!("http://{}", model.address())),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ("DISABLE_AUTOUPDATER", "1".to_owned()),
    ]);
    Running::start(command).finish()
}

fn codex_config(model: SocketAddr) -> String {
    format!(
        r#"model = "mock"
model_provider = "mock"
[model_providers.mock]
name = "mock"
base_url = "http://{model}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
[analytics]
enabled = false
[features]
plugins = false
apps = false
"#
    )
}

fn check_turn(world: &World, agent: Agent) {
    let model = model(world, "echo by-the-tool > made; /bin/echo from-the-tool");
    turn(world, agent, &model, true).succeeds().says(FAREWELL);
    assert!(world.workspace.join("made").exists(), "the tool call ran in the workspace");
    let record: Record = world.record();
    record.has(&["exec", "from-the-tool"]);
    record.has(&["connect", &model.address().port().to_string(), "allow"]);
    let session = world.sessions().pop().expect("a session");
    world.remit(&["log", "verify", &session]).succeeds();
    world.remit(&["log", "timeline", &session]).succeeds().says("from-the-tool");
}

fn check_boundary(world: &World, agent: Agent) {
    let script = "cat ~/.ssh/id_ed25519 > stolen; cp ~/.ssh/id_ed25519 also; echo x > ~/outside; git push; true";
    let model = model(world, script);
    world.rules("prefix_rule(pattern = [\"git\", \"push\"], decision = \"forbidden\")\n");
    turn(world, agent, &model, true).succeeds().says(FAREWELL);
    let read = |name: &str| std::fs::read_to_string(world.workspace.join(name)).unwrap_or_default();
    assert!(world.workspace.join("stolen").exists(), "the tool call ran");
    assert!(!read("stolen").contains(SECRET) && !read("also").contains(SECRET));
    assert!(!world.home.join("outside").exists());
    world.record().has(&["refusal", "git push"]);
}

fn codex_completes_a_turn(world: &World) {
    check_turn(world, Agent::Codex);
}

fn claude_completes_a_turn(world: &World) {
    check_turn(world, Agent::Claude);
}

fn codex_meets_the_boundary(world: &World) {
    check_boundary(world, Agent::Codex);
}

fn claude_meets_the_boundary(world: &World) {
    check_boundary(world, Agent::Claude);
    // Without Remit the same turn reads the key: the boundary made the difference.
    let model = model(world, "cat ~/.ssh/id_ed25519 > stolen");
    turn(world, Agent::Claude, &model, false).succeeds();
    let stolen = std::fs::read_to_string(world.workspace.join("stolen")).unwrap_or_default();
    assert!(stolen.contains(SECRET), "the control reads the key");
}
