//! A person's terminal: everything behaves as without Remit, and a question is
//! drawn over it and gone without a trace.

use std::time::Duration;

use crate::run::eventually;
use crate::scenario::Need::Program;
use crate::screen::Screen;
use crate::world::World;

scenarios! { "terminal":
    the_command_has_a_terminal_with_size_and_colours [Program("tmux"), Program("bash")],
    vim_looks_the_same [Program("tmux"), Program("vim"), Program("bash")],
    without_a_controlling_terminal_nothing_is_handed_in [Program("tmux"), Program("setsid")],
    htop_draws_itself [Program("tmux"), Program("htop"), Program("bash")],
    control_c_interrupts_the_command [Program("tmux"), Program("bash")],
    control_z_and_fg_stop_and_continue [Program("tmux"), Program("bash")],
    job_control_works_inside [Program("tmux"), Program("bash")],
    a_resize_reaches_the_program [Program("tmux"), Program("bash")],
    a_question_covers_vim_and_leaves_no_trace [Program("tmux"), Program("vim"), Program("bash")],
    a_question_is_answered_by_key [Program("tmux"), Program("bash")],
    a_refusal_by_key_refuses [Program("tmux"), Program("bash")],
    the_terminal_is_sane_afterwards [Program("tmux"), Program("bash")],
    the_clipboard_is_out_of_reach [Program("tmux"), Program("bash")],
    what_harms_a_terminal_does_not_reach_it [Program("tmux"), Program("bash")],
    what_a_killed_program_left_on_is_switched_off [Program("tmux"), Program("bash")],
    output_can_be_piped [Program("tmux"), Program("bash")],
}

const ASK: &str = "prefix_rule(pattern = [\"touch\", \"asked\"], decision = \"prompt\")\n";

fn the_command_has_a_terminal_with_size_and_colours(world: &World) {
    let screen = Screen::new(world);
    screen.runs_inside("sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size; printf \"\\033[31mred\\033[0m\\n\"; tty; echo en\"\"d'");
    let text = screen.shows("\nend");
    assert!(text.contains("\n30 100\n"), "{text}");
    assert!(text.contains("/dev/"), "tty names the terminal: {text}");
    assert!(screen.colours().contains("\u{1b}[31mred"), "{}", screen.colours());
}

fn vim_looks_the_same(world: &World) {
    // It begins with a command of the editor's, and those can start programs.
    world.rules("prefix_rule(pattern = [\"vim\"])\n");
    world.write(&world.workspace.join("text"), "one\ntwo\nthree\n");
    let command = "vim -u NONE -N -i NONE -c 'syntax on' text";
    let screen = Screen::new(world);
    screen.runs(command);
    screen.shows("three");
    let plain = screen.settles();
    screen.runs(":q");
    screen.until("the shell again", |text| text.trim_end().ends_with('$'));
    screen.clears();
    screen.runs_inside(command);
    screen.shows("three");
    assert_eq!(screen.settles(), plain);
    screen.types("ggdwihello");
    screen.presses("Escape");
    screen.runs(":wq");
    eventually("the edited file", Duration::from_secs(5), || {
        std::fs::read_to_string(world.workspace.join("text"))
            .ok()?
            .starts_with("hello")
            .then_some(())
    });
    screen.until("the shell again", |text| text.contains("run -- vim"));
}

fn without_a_controlling_terminal_nothing_is_handed_in(world: &World) {
    let screen = Screen::new(world);
    let remit = crate::places::remit().display().to_string();
    screen.runs(&format!("setsid -w {remit} run -- tty; echo sta''tus-$?"));
    screen.shows("status-125");
    assert!(screen.text().contains("/dev/tty"), "{}", screen.text());
}

fn htop_draws_itself(world: &World) {
    let screen = Screen::new(world);
    screen.runs_inside("htop");
    let text = screen
        .until("htop's bars", |text| text.contains("F10Quit") && text.contains("Load average"));
    assert!(!text.contains("tmux"), "no process of the host is listed: {text}");
    screen.types("q");
    screen.until("the shell again", |text| text.contains("run -- htop"));
}

fn control_c_interrupts_the_command(world: &World) {
    let mark = world.mark();
    let screen = Screen::new(world);
    screen.runs_inside(&format!("sleep {mark}"));
    eventually("the sleeper", Duration::from_secs(10), || {
        (!world.sleepers(&mark).is_empty()).then_some(())
    });
    screen.presses("C-c");
    eventually("its end", Duration::from_secs(3), || {
        world.sleepers(&mark).is_empty().then_some(())
    });
    screen.runs("echo status-$?");
    screen.shows("status-130");
    screen.clears();
    screen.runs_inside("sh -c 'trap \"echo cau\"\"ght; exit 4\" INT; echo rea\"\"dy; while :; do sleep 0.05; done'");
    screen.shows("\nready");
    screen.presses("C-c");
    screen.shows("caught");
    screen.runs("echo status-$?");
    screen.shows("status-4");
}

fn control_z_and_fg_stop_and_continue(world: &World) {
    let screen = Screen::new(world);
    screen.runs_inside("sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo $i > count; sleep 0.02; [ -e stop ] && break; done; echo fin\"\"ished'");
    let count =
        || std::fs::read_to_string(world.workspace.join("count")).ok()?.trim().parse::<u32>().ok();
    eventually("the first count", Duration::from_secs(10), || count().filter(|count| *count > 2));
    screen.presses("C-z");
    screen.shows("Stopped");
    let stopped = eventually("the count at rest", Duration::from_secs(5), || {
        let before = count()?;
        std::thread::sleep(Duration::from_millis(300));
        (count()? == before).then_some(before)
    });
    screen.runs("jobs; fg");
    eventually("the count going on", Duration::from_secs(5), || {
        count().filter(|count| *count > stopped + 3)
    });
    world.outside(": > stop").succeeds();
    screen.shows("\nfinished");
}

fn job_control_works_inside(world: &World) {
    let mark = world.mark();
    let screen = Screen::new(world);
    screen.runs_inside("env PS1='inner> ' bash --norc --noprofile -i");
    screen.shows("inner> ");
    screen.runs(&format!("sleep {mark}"));
    eventually("the sleeper", Duration::from_secs(10), || {
        (!world.sleepers(&mark).is_empty()).then_some(())
    });
    screen.presses("C-z");
    screen.shows("Stopped");
    screen.runs("fg");
    screen.until("the job in front again", |text| text.matches(&mark).count() >= 3);
    screen.presses("C-c");
    eventually("the end of the job", Duration::from_secs(10), || {
        world.sleepers(&mark).is_empty().then_some(())
    });
    screen.runs("echo jobs-$?-do''ne");
    screen.shows("-done");
    let text = screen.text();
    assert!(!text.contains("no job control"), "{text}");
    screen.presses("C-d");
    screen.until("the outer shell", |text| text.trim_end().ends_with('$'));
}

fn a_resize_reaches_the_program(world: &World) {
    let screen = Screen::new(world);
    screen.runs_inside("bash --norc --noprofile -c 'trap \"stty size\" WINCH; echo rea\"\"dy; while ! [ -e stop ]; do sleep 0.05; done'");
    screen.shows("\nready");
    screen.resizes(90, 25);
    screen.shows("25 90");
    screen.resizes(120, 40);
    screen.shows("40 120");
    world.outside(": > stop").succeeds();
}

/// Starts vim with a companion that asks for something once `go` exists.
fn vim_with_a_question(world: &World) -> Screen<'_> {
    world.rules(ASK);
    world.write(
        &world.workspace.join("text"),
        &"some text that fills a line of the screen\n".repeat(40),
    );
    world.write(
        &world.workspace.join("both.sh"),
        "(while ! [ -e go ]; do sleep 0.05; done; touch asked; echo $? > status) >/dev/null 2>&1 &\nexec vim -u NONE -N -i NONE text\n",
    );
    let screen = Screen::new(world);
    screen.runs_inside("sh both.sh");
    screen.shows("some text");
    screen
}

fn a_question_covers_vim_and_leaves_no_trace(world: &World) {
    let screen = vim_with_a_question(world);
    let before = screen.settles();
    world.outside(": > go").succeeds();
    screen.shows("touch asked");
    let listing = world.remit(&["approvals", "list", "--json"]).succeeds();
    assert!(listing.out.contains("asked"), "the same question is in the queue: {listing:?}");
    assert!(!world.workspace.join("asked").exists(), "nothing happens before the answer");
    press(&screen, "o  once");
    eventually("the permitted command", Duration::from_secs(5), || {
        world.workspace.join("asked").exists().then_some(())
    });
    screen.until("the popup's end", |text| !text.contains("touch asked"));
    assert_eq!(screen.settles(), before, "the screen is as it was");
    screen.types("ggx");
    screen.runs(":wq");
    eventually("vim's own work", Duration::from_secs(5), || {
        std::fs::read_to_string(world.workspace.join("text"))
            .ok()?
            .starts_with("ome text")
            .then_some(())
    });
}

/// Presses the key that the popup offers, such as `o  once`.
#[track_caller]
fn press(screen: &Screen<'_>, offer: &str) {
    screen.shows(offer);
    // A key counts half a second after the popup appeared, so that nobody who
    // is typing approves by accident.
    std::thread::sleep(Duration::from_millis(900));
    screen.types(&offer[..1]);
}

fn a_question_is_answered_by_key(world: &World) {
    world.rules(ASK);
    let screen = Screen::new(world);
    screen.runs_inside("sh -c 'touch asked && rm asked && touch asked && echo bo\"\"th'");
    press(&screen, "s  this session");
    screen.shows("\nboth");
    let record = world.record();
    record.has(&["answer", "session"]);
    assert_eq!(record.with(&["\"question\":{"]).len(), 1, "the same was not asked again");
}

fn a_refusal_by_key_refuses(world: &World) {
    world.rules(ASK);
    let screen = Screen::new(world);
    screen.runs_inside("sh -c 'touch asked || echo fai\"\"led'");
    press(&screen, "r  refuse");
    screen.shows("\nfailed");
    assert!(!world.workspace.join("asked").exists());
    world.record().has(&["refusal", "asked"]);
}

fn the_terminal_is_sane_afterwards(world: &World) {
    let screen = Screen::new(world);
    screen.runs("stty -a > before");
    screen.runs_inside("sh -c 'echo on''ce'");
    screen.shows("once");
    screen.settles();
    screen.runs_inside("sh -c 'echo twi''ce; stty raw -echo; kill -9 $$'");
    screen.shows("twice");
    screen.settles();
    screen.runs("stty -a > after; echo fin''ished");
    screen.shows("finished");
    let read = |name: &str| {
        std::fs::read_to_string(world.workspace.join(name)).expect("the terminal's settings")
    };
    assert_eq!(read("after"), read("before"));
}

fn the_clipboard_is_out_of_reach(world: &World) {
    // Copies its first word, then tells what the clipboard answers.
    world.write(
        &world.workspace.join("clip.sh"),
        "printf '\\033]52;c;%s\\007' $(printf %s $1 | base64)\nprintf '\\033]52;c;?\\007'\nIFS= read -rs -t 2 -d '' answer\nprintf '%s' \"$answer\" > answer.part; mv answer.part answer-$1\n",
    );
    let screen = Screen::new(world);
    screen.runs("tmux set-option -s set-clipboard on; tmux set-buffer before");
    let clip = |copied: &str, inside: bool| {
        let command = format!("bash clip.sh {copied}");
        if inside {
            screen.runs_inside(&command)
        } else {
            screen.runs(&command)
        }
        let file = world.workspace.join(format!("answer-{copied}"));
        let answer = eventually("the clipboard's answer, or none", Duration::from_secs(10), || {
            std::fs::read_to_string(&file).ok()
        });
        screen.runs(&format!("tmux show-buffer > buffer; echo shown-''{copied}"));
        screen.shows(&format!("shown-{copied}"));
        let buffer = std::fs::read_to_string(world.workspace.join("buffer")).expect("the buffer");
        (buffer, answer)
    };
    assert_eq!(clip("inside", true), ("before".to_owned(), String::new()));
    let (buffer, answer) = clip("outside", false);
    assert_eq!(buffer, "outside", "without Remit the terminal obeys");
    assert!(answer.contains("]52;"), "and answers: {answer:?}");
}

fn what_harms_a_terminal_does_not_reach_it(world: &World) {
    const HARM: [&str; 6] =
        ["\x1b[21t", "\x1bP$qm\x1b\\", "\x1b_Gx\x1b\\", "\x1b]1337;x\x07", "\x1b[5i", "\x05"];
    world.write(
        &world.workspace.join("bytes"),
        &format!("{}\x1b[1mbold\x1b[0m \x1b]2;na\x1b[21tme\x07", HARM.concat()),
    );
    let screen = Screen::new(world);
    let sent = |name: &str, inside: bool| {
        let file = world.workspace.join(name);
        screen.runs(&format!("tmux pipe-pane 'cat > {}'; echo pi''ped", file.display()));
        screen.shows("piped");
        screen.clears();
        if inside {
            screen.runs_inside("cat bytes")
        } else {
            screen.runs("cat bytes")
        }
        screen.shows("bold");
        screen.settles();
        screen.runs("tmux pipe-pane; clear");
        std::fs::read_to_string(&file).expect("what was sent to the terminal")
    };
    let plain = sent("plain", false);
    for harm in HARM {
        assert!(plain.contains(harm), "without Remit {harm:?} is sent: {plain:?}");
    }
    let filtered = sent("filtered", true);
    assert!(filtered.contains("\x1b[1mbold\x1b[0m"), "{filtered:?}");
    for harm in HARM {
        assert!(!filtered.contains(harm), "{harm:?} in {filtered:?}");
    }
}

fn what_a_killed_program_left_on_is_switched_off(world: &World) {
    world.write(
        &world.workspace.join("die.sh"),
        "printf '\\033[?1049h\\033[?1003h\\033[?1006h\\033[?25l\\033=\\033[?1h\\033[4h\\033[3;9r\\033[31mdying'\nsleep 0.3\nkill -9 $$\n",
    );
    let screen = Screen::new(world);
    let modes = |name: &str| {
        screen.runs(&format!(
            "tmux display-message -p 'alternate #{{alternate_on}} mouse #{{mouse_all_flag}} #{{mouse_sgr_flag}} cursor #{{cursor_flag}} keypad #{{keypad_flag}} #{{keypad_cursor_flag}} insert #{{insert_flag}} scroll #{{scroll_region_upper}} #{{scroll_region_lower}}' > {name}; echo mo''des"
        ));
        let file = world.workspace.join(name);
        eventually("the terminal's modes", Duration::from_secs(10), || {
            std::fs::read_to_string(&file).ok().filter(|modes| modes.ends_with('\n'))
        })
    };
    let before = modes("before");
    screen.runs_inside("sh die.sh; echo sta''tus-$?");
    screen.shows("status-137");
    assert_eq!(modes("after"), before);
    screen.runs("echo pl''ain");
    let text = screen.until("plain letters", |text| text.contains("plain"));
    assert!(!screen.colours().contains("\u{1b}[31m"), "{text}");
    screen.runs("sh die.sh");
    screen.until("the end", |text| text.contains("Killed"));
    assert_ne!(modes("left"), before, "without Remit they stay on");
}

fn output_can_be_piped(world: &World) {
    let screen = Screen::new(world);
    let remit = crate::places::remit().display().to_string();
    screen.runs(&format!("echo input | {remit} run -- sh -c 'cat; test -t 1 || echo no-terminal; echo words >&2' > out 2> err; echo fin''ished"));
    screen.shows("finished");
    let read = |name: &str| {
        std::fs::read_to_string(world.workspace.join(name)).expect("the redirected output")
    };
    assert_eq!(read("out"), "input\nno-terminal\n");
    assert_eq!(read("err"), "words\n", "standard error stays apart");
}
