//! Questions on the screens that people really look at: 80 columns, 24 lines,
//! keys alone. With `REMIT_CAPTURES` set to a directory, each screen is kept there.

use std::time::Duration;

use crate::agents;
use crate::places::{self, Agent};
use crate::run::eventually;
use crate::scenario::Need;
use crate::screen::Screen;
use crate::world::World;

scenarios! { "asked":
    over_vim [Need::Program("vim")],
    over_less [Need::Program("less")],
    over_claude_code [Need::Agent(Agent::Claude)],
    over_codex [Need::Agent(Agent::Codex)],
    the_queue_on_a_screen_of_its_own,
    the_queue_answers_nothing_that_was_typed_ahead,
}

const ASK: &str = "prefix_rule(pattern = [\"touch\"], decision = \"prompt\", justification = \"it makes files\")\n";

/// A screen of the smallest usual size.
fn small(world: &World) -> Screen<'_> {
    let screen = Screen::new(world);
    screen.resizes(80, 24);
    screen
}

fn keep(name: &str, screen: &Screen<'_>) {
    if let Some(directory) = std::env::var_os("REMIT_CAPTURES") {
        let path = std::path::Path::new(&directory).join(format!("{name}.txt"));
        std::fs::write(path, screen.text()).expect("the capture is kept");
    }
}

/// A pager or editor in front, and beside it something that asks once `go` is there.
fn check_program(world: &World, name: &str, program: &str) {
    world.rules(ASK);
    world.write(&world.workspace.join("text"), &"a line of text to look at\n".repeat(60));
    let beside = "(while ! [ -e go ]; do sleep 0.05; done; touch asked) >/dev/null 2>&1 &";
    world.write(&world.workspace.join("both.sh"), &format!("{beside}\nexec {program} text\n"));
    let screen = small(world);
    screen.runs_inside("sh both.sh");
    screen.shows("a line of text");
    let before = screen.settles();
    world.outside(": > go").succeeds();
    let asked = screen.shows("touch asked");
    for words in ["it makes files", " o ", " r ", "refuse"] {
        assert!(asked.contains(words), "`{words}` in\n{asked}");
    }
    keep(name, &screen);
    yes(&screen);
    made(world, "asked");
    screen.until("the end of the question", |text| !text.contains("touch asked"));
    assert_eq!(screen.settles(), before, "the screen is as it was");
}

/// Says yes once, after the pause that a key takes to count.
fn yes(screen: &Screen<'_>) {
    std::thread::sleep(Duration::from_millis(900));
    screen.types("o");
}

fn made(world: &World, name: &str) {
    let path = world.workspace.join(name);
    eventually("what was permitted", Duration::from_secs(10), || path.exists().then_some(()));
}

fn over_vim(world: &World) {
    check_program(world, "vim", "vim -u NONE -N -i NONE");
}

fn over_less(world: &World) {
    check_program(world, "less", "less");
}

/// The agent's own full screen, in a turn whose tool call asks.
fn check_agent(world: &World, name: &str, agent: Agent, farewell: &str) {
    let model = agents::model(world, "touch by-the-agent");
    // What else it would ask for at its start is not this test's question.
    let network = format!("default = \"refuse\"\nallow = [\"{}\"]", model.address());
    world.settings(&format!("[network]\n{network}\n"));
    world.rules(ASK);
    let command = agents::on_screen(world, agent, &format!("http://{}", model.address()));
    let screen = small(world);
    screen.runs(&command);
    let asked = screen.shows("may this command run?");
    assert!(asked.contains("touch by-the-agent") && asked.contains("it makes files"), "{asked}");
    keep(name, &screen);
    assert!(!world.workspace.join("by-the-agent").exists(), "nothing before the answer");
    yes(&screen);
    made(world, "by-the-agent");
    let after = screen.shows(farewell);
    assert!(!after.contains("may this command run?"), "{after}");
    keep(&format!("{name}-afterwards"), &screen);
}

fn over_claude_code(world: &World) {
    check_agent(world, "claude-code", Agent::Claude, agents::FAREWELL);
}

fn over_codex(world: &World) {
    check_agent(world, "codex", Agent::Codex, agents::FAREWELL);
}

/// A session that asks two questions, one after the other, and the queue over it.
fn asking(world: &World) -> crate::run::Running {
    world.rules(ASK);
    let script = "touch one; touch two; echo done > done";
    world.start(&["run", "--approvals", "queue", "--", "sh", "-c", script])
}

fn the_queue_on_a_screen_of_its_own(world: &World) {
    let running = asking(world);
    let screen = small(world);
    screen.runs(&format!("{} approvals", places::remit().display()));
    let shown = screen.shows("touch one");
    for words in ["1 open", "it makes files", "o  once", "r  refuse", "expires"] {
        assert!(shown.contains(words), "`{words}` in\n{shown}");
    }
    keep("queue", &screen);
    yes(&screen);
    made(world, "one");
    let second = screen.shows("differs from");
    assert!(second.contains("touch two") && second.contains("{+two`+}"), "{second}");
    keep("queue-difference", &screen);
    std::thread::sleep(Duration::from_millis(900));
    screen.types("n");
    screen.shows("note: _");
    screen.types("better not");
    screen.shows("note: better not_");
    screen.presses("Enter");
    running.finish().succeeds().says("better not");
    assert!(!world.workspace.join("two").exists());
    screen.types("q");
    screen.until("the shell again", |text| text.contains("approvals") && text.contains('$'));
}

fn the_queue_answers_nothing_that_was_typed_ahead(world: &World) {
    let running = asking(world);
    let screen = small(world);
    screen.runs(&format!("{} approvals", places::remit().display()));
    screen.shows("touch one");
    screen.types("oooooooo");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!world.workspace.join("one").exists(), "typing on answers nothing");
    std::thread::sleep(Duration::from_millis(900));
    screen.types("r");
    screen.shows("touch two");
    std::thread::sleep(Duration::from_millis(900));
    screen.types("r");
    running.finish();
    assert!(!world.workspace.join("one").exists());
}
