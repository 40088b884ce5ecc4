//! Real agents, unmodified, each completing a turn with a shell call.

pub mod inspected;

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
    gemini_completes_a_turn [Need::Agent(Agent::Gemini), Need::Program("node")],
    opencode_completes_a_turn [Need::Agent(Agent::OpenCode)],
    codex_meets_the_boundary [Need::Agent(Agent::Codex)],
    claude_meets_the_boundary [Need::Agent(Agent::Claude)],
    gemini_meets_the_boundary [Need::Agent(Agent::Gemini), Need::Program("node")],
    opencode_meets_the_boundary [Need::Agent(Agent::OpenCode)],
    an_agent_is_refused_nothing_of_its_own [
        Need::Agent(Agent::Codex), Need::Agent(Agent::Claude), Need::Agent(Agent::Gemini)
    ],
    gemini_starts_without_its_own_sandbox [Need::Agent(Agent::Gemini), Need::Program("node")],
}

pub const FAREWELL: &str = "all finished, thank you";

/// A model on the host's loopback, named in the user's settings.
pub fn model(world: &World, command: &str) -> MockModel {
    let script = Script { command: command.to_owned(), farewell: FAREWELL.to_owned() };
    let log = File::create(world.elsewhere().join("model.jsonl")).expect("a log");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let model = MockModel::start(any, script, log).expect("a loopback port");
    world.settings(&format!("[network]\nallow = [\"{}\"]\n", model.address()));
    model
}

/// Runs the agent to the end of one turn: governed, or alone as a control.
fn turn(world: &World, agent: Agent, model: &MockModel, governed: bool) -> Output {
    let url = format!("http://{}", model.address());
    let words = prompt(world, agent, &url);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = if governed {
        world.command(places::remit(), &[&["run", "--"], &words[..]].concat())
    } else {
        world.command(words[0], &words[1..])
    };
    command.envs(keys(&url));
    Running::start(command).finish()
}

/// The agent and its words for one turn, configured to ask the model at `url`.
fn prompt(world: &World, agent: Agent, url: &str) -> Vec<String> {
    let program = agent.installed().expect("the scenario needs it").display().to_string();
    let words: &[&str] = match agent {
        Agent::Codex => &["exec", "--json", "--skip-git-repo-check", "say hi"],
        Agent::Claude => &["-p", "say hi", "--allowedTools", "Bash"],
        // Without a model's name it asks which is up, and waits.
        Agent::Gemini => &["--skip-trust", "--yolo", "-m", "gemini-2.5-pro", "-p", "say hi"],
        Agent::OpenCode => &["run", "--format", "json", "say hi"],
    };
    match agent {
        Agent::Codex => world.write(&world.home.join(".codex/config.toml"), &codex_config(url)),
        Agent::Gemini => gemini_settings(world, "{}"),
        Agent::OpenCode => {
            let path = world.home.join(".config/opencode/opencode.json");
            world.write(&path, &opencode_config(url));
        }
        Agent::Claude => {}
    }
    [vec![program], words.iter().map(|word| (*word).to_owned()).collect()].concat()
}

/// The command line that starts the agent, governed, on its own screen with a first prompt,
/// configured to ask the model at `url` and nothing of its user.
pub fn on_screen(world: &World, agent: Agent, url: &str) -> String {
    let program = agent.installed().expect("the scenario needs it").display().to_string();
    let project = world.workspace.display();
    let words = match agent {
        Agent::Codex => {
            let trust = format!("[projects.\"{project}\"]\ntrust_level = \"trusted\"\n");
            let config =
                format!("check_for_update_on_startup = false\n{}{trust}", codex_config(url));
            world.write(&world.home.join(".codex/config.toml"), &config);
            format!("{program} 'say hi'")
        }
        Agent::Claude => {
            let begun = format!(
                r#"{{ "hasCompletedOnboarding": true, "theme": "dark",
                      "customApiKeyResponses": {{ "approved": ["key-0000000000000000"], "rejected": [] }},
                      "projects": {{ "{project}": {{ "hasTrustDialogAccepted": true,
                          "hasCompletedProjectOnboarding": true }} }} }}"#
            );
            // Where it looks depends on a variable that Remit sets.
            world.write(&world.home.join(".claude/.claude.json"), &begun);
            world.write(&world.home.join(".claude.json"), &begun);
            format!("{program} --allowedTools Bash -- 'say hi'")
        }
        Agent::Gemini | Agent::OpenCode => unreachable!("no screen of theirs is tried"),
    };
    let keys: Vec<String> = keys(url).iter().map(|(name, key)| format!("{name}={key}")).collect();
    format!("env {} {} run -- {words}", keys.join(" "), places::remit().display())
}

/// Variables by which agents find the model at `url`, and sign in.
fn keys(url: &str) -> [(&'static str, String); 7] {
    let key = || "mock-key-0000000000000000".to_owned();
    [
        ("OPENAI_API_KEY", key()),
        ("ANTHROPIC_API_KEY", key()),
        ("ANTHROPIC_BASE_URL", url.to_owned()),
        ("GEMINI_API_KEY", key()),
        ("GOOGLE_GEMINI_BASE_URL", url.to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ("DISABLE_AUTOUPDATER", "1".to_owned()),
    ]
}

fn codex_config(url: &str) -> String {
    format!(
        r#"model = "mock"
model_provider = "mock"
[model_providers.mock]
name = "mock"
base_url = "{url}/v1"
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

/// Its user's settings; `tools` are those of its own sandbox among others.
fn gemini_settings(world: &World, tools: &str) {
    let text = format!(
        r#"{{ "security": {{ "auth": {{ "selectedType": "gemini-api-key" }} }},
              "privacy": {{ "usageStatisticsEnabled": false }}, "tools": {tools} }}"#
    );
    let path = world.home.join(".gemini/settings.json");
    if !path.exists() {
        world.write(&path, &text);
    }
}

fn opencode_config(url: &str) -> String {
    format!(
        r#"{{ "model": "mock/mock", "small_model": "mock/mock", "autoupdate": false,
              "share": "disabled", "permission": "allow", "provider": {{ "mock": {{
                "npm": "@ai-sdk/openai-compatible", "name": "mock",
                "options": {{ "baseURL": "{url}/v1", "apiKey": "mock-key-0000000000000000" }},
                "models": {{ "mock": {{ "name": "mock" }} }} }} }} }}"#
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

fn gemini_completes_a_turn(world: &World) {
    check_turn(world, Agent::Gemini);
}

fn opencode_completes_a_turn(world: &World) {
    check_turn(world, Agent::OpenCode);
}

fn gemini_meets_the_boundary(world: &World) {
    check_boundary(world, Agent::Gemini);
}

fn opencode_meets_the_boundary(world: &World) {
    check_boundary(world, Agent::OpenCode);
}

/// OpenCode is not among them: it fetches plug-ins from npm's registry.
fn an_agent_is_refused_nothing_of_its_own(world: &World) {
    for agent in [Agent::Codex, Agent::Claude, Agent::Gemini] {
        let model = model(world, "/bin/echo from-the-tool");
        turn(world, agent, &model, true).succeeds().says(FAREWELL);
        let record = world.record();
        for kind in ["refusal", "question", "degraded"] {
            let found = record.with(&[&format!("{{\"{kind}\":")]);
            assert!(found.is_empty(), "{agent:?}: {found:#?}");
        }
    }
}

/// Its user has it start a container for each session, and that cannot be done
/// inside; without Remit it tries.
fn gemini_starts_without_its_own_sandbox(world: &World) {
    gemini_settings(world, r#"{ "sandbox": "podman" }"#);
    let model = model(world, "/bin/echo from-the-tool");
    turn(world, Agent::Gemini, &model, false).fails().says("podman");
    turn(world, Agent::Gemini, &model, true).succeeds().says(FAREWELL);
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
