//! What a yes to a program is bound to: whatever changes between the question and
//! the start, something else does not run.

use std::time::Duration;

use serde_json::Value;

use crate::run::{Output, Running, eventually};
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "exec_binding":
    what_was_shown_runs,
    a_script_that_was_changed_does_not_run,
    a_script_that_was_replaced_does_not_run,
    a_script_behind_a_link_that_was_turned_does_not_run,
    a_script_behind_a_directory_that_was_turned_does_not_run,
    a_script_with_an_interpreter_that_was_changed_does_not_run,
    a_program_that_was_changed_does_not_run,
    a_target_behind_a_link_that_was_turned_is_not_touched,
    a_script_that_somebody_can_still_write_to_does_not_run,
    an_approved_script_stays_as_it_is_while_it_runs,
    a_yes_for_the_session_does_not_cover_a_changed_script,
    a_flipped_argument_never_runs_as_another_than_was_shown [Program("cc")],
    a_hundred_questions_at_once_allow_nothing,
    five_thousand_commands_do_not_hide_the_last,
    odd_bytes_in_arguments_stay_one_event_each,
    a_question_shows_what_it_is_bound_to,
}

const GOOD: &str = "echo good >> ran\n";
const EVIL: &str = "echo evil >> ran\n";

const ASK: &str = r#"
prefix_rule(pattern = ["sh", "run.sh"], decision = "prompt")
prefix_rule(pattern = ["sh", ["link", "here/run.sh"]], decision = "prompt")
prefix_rule(pattern = ["run.sh"], decision = "prompt")
prefix_rule(pattern = ["tool"], decision = "prompt")
prefix_rule(pattern = ["touch"], decision = "prompt")
"#;

/// The open questions.
pub(crate) fn questions(world: &World) -> Vec<Value> {
    let listing = world.remit(&["approvals", "list", "--json"]).succeeds().out;
    match serde_json::from_str(&listing) {
        Ok(Value::Array(questions)) => questions,
        _ => listing.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
    }
}

fn number(question: &Value) -> String {
    question["id"].as_str().map_or_else(|| question["id"].to_string(), str::to_owned)
}

#[track_caller]
fn question(world: &World) -> Value {
    eventually("a question", Duration::from_secs(20), || questions(world).into_iter().next())
}

fn start(world: &World, script: &str) -> Running {
    world.start(&["run", "--approvals", "queue", "--", "sh", "-c", script])
}

fn ran(world: &World) -> String {
    std::fs::read_to_string(world.workspace.join("ran")).unwrap_or_default()
}

/// Asks about `command`, does `swap` inside while the question waits, says yes.
#[track_caller]
fn swapped(world: &World, swap: &str, command: &str) -> Output {
    world.rules(ASK);
    let wait = "while ! [ -e now ]; do sleep 0.05; done";
    let running = start(
        world,
        &format!("({wait}; {swap}; : > swapped) & {command}; status=$?; wait; exit $status"),
    );
    let asked = question(world);
    world.write(&world.workspace.join("now"), "");
    eventually("the swap", Duration::from_secs(20), || {
        world.workspace.join("swapped").exists().then_some(())
    });
    world.remit(&["approvals", "answer", &number(&asked), "--once"]).succeeds();
    running.finish()
}

#[track_caller]
fn check(world: &World, swap: &str, command: &str) {
    world.write(&world.workspace.join("run.sh"), GOOD);
    world.write(&world.workspace.join("other.sh"), EVIL);
    let output = swapped(world, swap, command).fails();
    assert_eq!(ran(world), "", "`{swap}`: {output:?}");
    assert!(world.workspace.join("swapped").exists(), "the swap itself is allowed: {output:?}");
    world.record().has(&["refusal", "what runs must be what was judged"]);
    world.remit(&["log", "verify"]).succeeds();
}

fn what_was_shown_runs(world: &World) {
    world.write(&world.workspace.join("run.sh"), &format!("#!/bin/sh\n{GOOD}"));
    world.outside("ln -s run.sh link && chmod +x run.sh && mkdir real && cp run.sh real && ln -s real here").succeeds();
    let command = "sh run.sh && sh link && sh here/run.sh && ./run.sh";
    world.rules(ASK);
    let mut running = start(world, command);
    while !running.has_ended() {
        for asked in questions(world) {
            world.remit(&["approvals", "answer", &number(&asked), "--once"]);
        }
    }
    running.finish();
    assert_eq!(ran(world), "good\n".repeat(4));
}

fn a_script_that_was_changed_does_not_run(world: &World) {
    check(world, "cat other.sh > run.sh", "sh run.sh");
}

fn a_script_that_was_replaced_does_not_run(world: &World) {
    check(world, "mv other.sh run.sh", "sh run.sh");
}

fn a_script_behind_a_link_that_was_turned_does_not_run(world: &World) {
    world.outside("ln -s run.sh link").succeeds();
    check(world, "ln -sf other.sh link", "sh link");
}

fn a_script_behind_a_directory_that_was_turned_does_not_run(world: &World) {
    world.outside("mkdir one two && ln -s one here").succeeds();
    world.write(&world.workspace.join("one/run.sh"), GOOD);
    world.write(&world.workspace.join("two/run.sh"), EVIL);
    check(world, "ln -sfn two here", "sh here/run.sh");
}

fn a_script_with_an_interpreter_that_was_changed_does_not_run(world: &World) {
    let path = world.workspace.join("run.sh");
    world.write(&path, GOOD);
    world.outside("chmod +x run.sh").succeeds();
    check(world, "printf '#!/bin/sh\\necho evil >> ran\\n' > run.sh", "./run.sh");
}

fn a_program_that_was_changed_does_not_run(world: &World) {
    world.outside("cp /bin/true tool && cp /bin/false evil").succeeds();
    let output = {
        world.write(&world.workspace.join("run.sh"), GOOD);
        swapped(world, "cp evil tool.new && mv tool.new tool", "./tool").fails()
    };
    assert!(!output.both().contains("evil"), "{output:?}");
    world.record().has(&["refusal", "what runs must be what was judged"]);
}

fn a_target_behind_a_link_that_was_turned_is_not_touched(world: &World) {
    world.write(&world.workspace.join("harmless"), "");
    world.write(&world.workspace.join("precious"), "");
    world.outside("ln -s harmless target && touch -d 2001-01-01 precious").succeeds();
    let before =
        std::fs::metadata(world.workspace.join("precious")).and_then(|about| about.modified());
    swapped(world, "ln -sf precious target", "touch target").fails();
    let after =
        std::fs::metadata(world.workspace.join("precious")).and_then(|about| about.modified());
    assert_eq!(before.expect("a time"), after.expect("a time"), "it was touched");
}

fn a_script_that_somebody_can_still_write_to_does_not_run(world: &World) {
    world.write(&world.workspace.join("run.sh"), GOOD);
    world.rules(ASK);
    // The writer has it open since before the question.
    let running = start(
        world,
        "(exec 9>> run.sh; : > open; while [ -e open ]; do sleep 0.05; done) & while ! [ -e open ]; do sleep 0.05; done; sh run.sh; status=$?; rm open; wait; exit $status",
    );
    world.remit(&["approvals", "answer", &number(&question(world)), "--once"]).succeeds();
    running.finish().fails();
    assert_eq!(ran(world), "");
    world.record().has(&["refusal", "open for writing"]);
}

fn an_approved_script_stays_as_it_is_while_it_runs(world: &World) {
    // The shell reads its script piece by piece: what is added in time would run.
    let script = "echo good >> ran\n: > begun\nwhile ! [ -e tried ]; do sleep 0.05; done\n";
    world.write(&world.workspace.join("run.sh"), script);
    world.rules(ASK);
    let tries = [
        "echo 'echo evil >> ran' >> run.sh",
        "(echo 'echo evil >> ran' > new; mv new run.sh)",
        "ln run.sh name && echo 'echo evil >> ran' >> name",
        "truncate -s 3 run.sh",
        "mv ../project ../moved",
    ];
    let tries = tries.map(|one| format!("{one} && echo '{}' >> done", one.replace('\'', "")));
    let running = start(
        world,
        &format!(
            "(while ! [ -e begun ]; do sleep 0.05; done; {}; : > tried) & sh run.sh; wait; echo '# later' >> run.sh",
            tries.join("; ")
        ),
    );
    world.remit(&["approvals", "answer", &number(&question(world)), "--once"]).succeeds();
    running.finish().succeeds();
    let done = std::fs::read_to_string(world.workspace.join("done")).unwrap_or_default();
    assert_eq!(done, "", "these were not refused");
    assert_eq!(ran(world), "good\n");
    world.record().has(&["refusal", "an approved script stays as it was shown"]);
    let text = std::fs::read_to_string(world.workspace.join("run.sh")).expect("the script");
    assert!(text.ends_with("# later\n"), "when it has ended it can be changed: {text}");
}

fn a_yes_for_the_session_does_not_cover_a_changed_script(world: &World) {
    world.write(&world.workspace.join("run.sh"), GOOD);
    world.rules(ASK);
    let running = start(world, "sh run.sh; sh run.sh; echo 'echo evil >> ran' > run.sh; sh run.sh");
    world.remit(&["approvals", "answer", &number(&question(world)), "--session"]).succeeds();
    let again = question(world);
    assert_eq!(ran(world), "good\ngood\n", "the same was not asked again");
    world.remit(&["approvals", "answer", &number(&again), "--refuse"]).succeeds();
    running.finish().fails();
    assert_eq!(ran(world), "good\ngood\n");
}

/// Starts `./say WORD` again and again while another thread flips WORD.
const FLIPPER: &str = r#"
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *word;

static void *flip(void *unused) {
    volatile unsigned *at = (volatile unsigned *)word;
    unsigned good, evil;
    memcpy(&good, "good", 4);
    memcpy(&evil, "evil", 4);
    for (;;) {
        *at = good;
        for (volatile int i = 0; i < 300; i++) {}
        *at = evil;
        for (volatile int i = 0; i < 300; i++) {}
    }
    return unused;
}

int main(void) {
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(word, "good");
    pthread_t flipper;
    pthread_create(&flipper, NULL, flip, NULL);
    for (int i = 0; i < 24; i++) {
        pid_t child = fork();
        if (child == 0) {
            char *argv[] = {"say", word, NULL};
            execve("./say", argv, environ);
            _exit(1);
        }
        waitpid(child, NULL, 0);
    }
    return 0;
}
"#;

fn a_flipped_argument_never_runs_as_another_than_was_shown(world: &World) {
    world.write(&world.workspace.join("flipper.c"), FLIPPER);
    let say = "#include <stdio.h>\nint main(int c, char **v) { puts(v[1]); return 0; }\n";
    world.write(&world.workspace.join("say.c"), say);
    world.outside("cc -O1 -pthread -o flipper flipper.c && cc -o say say.c").succeeds();
    let alone = world.outside("./flipper").succeeds();
    assert!(alone.out.contains("evil"), "the control runs both: {alone:?}");
    world.rules("prefix_rule(pattern = [\"say\"], decision = \"prompt\")\n");
    let mut running = start(world, "./flipper > said");
    let (mut good, mut evil) = (0, 0);
    while !running.has_ended() {
        for asked in questions(world) {
            let is_good = asked["summary"].as_str().is_some_and(|summary| summary.contains("good"));
            *if is_good { &mut good } else { &mut evil } += 1;
            let answer = if is_good { "--once" } else { "--refuse" };
            world.remit(&["approvals", "answer", &number(&asked), answer]);
        }
    }
    running.finish();
    assert!(good > 0 && evil > 0, "both were asked about: {good} good, {evil} evil");
    let said = std::fs::read_to_string(world.workspace.join("said")).expect("what was said");
    assert!(!said.contains("evil"), "a yes to `good` ran `evil`: {said}");
    world.remit(&["log", "verify"]).succeeds();
}

fn a_hundred_questions_at_once_allow_nothing(world: &World) {
    world.rules(ASK);
    let running = start(
        world,
        "for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3 4 5 6 7 8 9 10; do touch file-$i-$j 2>> errors & done; done; wait; : > over",
    );
    eventually("all of them", Duration::from_secs(60), || {
        let asked = questions(world).len();
        assert!(asked <= 64, "{asked} questions wait");
        let refused = std::fs::read_to_string(world.workspace.join("errors")).unwrap_or_default();
        (asked == 64 && refused.matches("refused: run").count() == 36).then_some(())
    });
    let first = questions(world).swap_remove(0);
    world.remit(&["approvals", "answer", &number(&first), "--once"]).succeeds();
    let made = || {
        let entries = std::fs::read_dir(&world.workspace).expect("the workspace").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("file-")).count()
    };
    eventually("the one", Duration::from_secs(20), || (made() == 1).then_some(()));
    for asked in questions(world) {
        world.remit(&["approvals", "answer", &number(&asked), "--refuse"]).succeeds();
    }
    running.finish().succeeds();
    assert_eq!(made(), 1, "one yes is for one");
}

fn five_thousand_commands_do_not_hide_the_last(world: &World) {
    world.rules("prefix_rule(pattern = [\"touch\", \"evil\"], decision = \"forbidden\")\n");
    let chain = format!("{} /usr/bin/touch evil", "/usr/bin/true &&".repeat(5000));
    world.write(&world.workspace.join("chain"), &chain);
    let output = world.inside("sh chain").fails().says("refused");
    assert!(!world.workspace.join("evil").exists(), "{output:?}");
    let record = world.record();
    let all = record.with(&["\"exec\"", "/usr/bin/true"]).len();
    assert!(all >= 5000, "each of them is in the record: {all}");
}

fn odd_bytes_in_arguments_stay_one_event_each(world: &World) {
    let words =
        ["a\nb", "{\"event\":\"exec\"}", "\u{1b}[2Jx", "\u{202e}evil", "\r", "\u{200b}", "\u{85}"];
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = quoted.iter().map(|word| format!("/bin/true {word};")).collect::<String>();
    world.inside(&format!("{script} /bin/true \"$(printf '\\377\\376')\"")).succeeds();
    world.remit(&["log", "verify"]).succeeds();
    let record = world.record();
    let starts = record.events.iter().filter(|event| {
        event.to_string().contains("\"/bin/true\"") && !event.to_string().contains("printf")
    });
    assert_eq!(starts.count(), words.len() + 1);
    let session = world.sessions().pop().expect("a session");
    let shown = world.remit(&["log", "timeline", &session]).succeeds().out;
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "they reach the terminal");
}

fn a_question_shows_what_it_is_bound_to(world: &World) {
    world.write(&world.workspace.join("run.sh"), GOOD);
    world.outside("ln -s run.sh link").succeeds();
    world.rules(ASK);
    let running = start(world, "sh link");
    let asked = question(world);
    world.remit(&["approvals", "answer", &number(&asked), "--refuse"]).succeeds();
    running.finish().fails();
    let details = asked["details"].to_string();
    // sha256sum run.sh
    let digest = world.outside("sha256sum run.sh | cut -d' ' -f1").succeeds().out;
    for part in ["program", "behind", "a link to", "run.sh", "sh -c 'sh link'", digest.trim()] {
        assert!(details.contains(part), "`{part}` is missing: {details}");
    }
}
