//! Lines of our own, and questions that change while they are shown.

use super::*;

#[test]
fn a_line_of_ours_waits_for_the_popup_and_for_the_full_screen() {
    let mut world = World::new();
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.handle().say("the glass was broken by a\u{1b}[2J".to_owned());
    world.look_for(REST);
    assert!(!world.seen.screen().contents().contains("the glass"));
    world.press("r");
    world.see(r"remit: the glass was broken by a\u{1b}[2J");
    world.print("\x1b[?1049hfull");
    world.see("full");
    world.handle().say("it is whole again".to_owned());
    world.look_for(Duration::from_millis(200));
    assert!(!world.seen.screen().contents().contains("whole again"));
    world.print("\x1b[?1049l");
    world.see("remit: it is whole again");
}

#[test]
fn a_question_that_changes_is_shown_as_it_is_now() {
    let mut world = World::new();
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.ask(1, "run `make all`");
    world.see("run `make all`");
    world.look_for(REST);
    world.press("o");
    world.miss("run `make");
    assert_eq!(world.answers(), [(1, Choice::Once)]);
}
