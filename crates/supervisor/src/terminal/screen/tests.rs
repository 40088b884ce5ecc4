use remit_approvals::popup::Area;

use super::*;

/// Covers and uncovers after every byte of `before` and,
/// with `after`, compares with a terminal that nobody disturbed.
fn check(before: &str, after: &str) {
    let area = Area { left: 3, top: 1, width: 14, height: 4 };
    let mut outer = new_model(20, 6);
    let mut screen = Screen::new(20, 6);
    for byte in before.bytes() {
        let mut heard = Vec::new();
        screen.feed(&[byte], &mut heard);
        outer.process(&heard);
        outer.process(&screen.cover());
        for row in 2..=5 {
            outer.process(format!("\x1b[{row};4H\x1b[7m┌ popup ─────┐\x1b[0m").as_bytes());
        }
        outer.process(&screen.wipe(area));
        outer.process(&screen.uncover());
    }
    outer.process(after.as_bytes());
    let mut wanted = new_model(20, 6);
    wanted.process(before.as_bytes());
    wanted.process(after.as_bytes());
    // A blank and an erased cell look the same.
    let rows = |model: &vt100::Parser| {
        let rows = model.screen().rows(0, 20);
        rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rows(&outer), rows(&wanted), "{before:?}");
    assert_eq!(outer.screen().cursor_position(), wanted.screen().cursor_position(), "{before:?}");
    let attributes = |model: &vt100::Parser| model.screen().attributes_formatted();
    assert_eq!(attributes(&outer), attributes(&wanted), "{before:?}");
    assert_eq!(outer.screen().hide_cursor(), wanted.screen().hide_cursor(), "{before:?}");
}

#[test]
fn a_program_that_was_covered_at_any_moment_goes_on_as_if_it_was_not() {
    let alternate = "\x1b[?1049h\x1b[2J\x1b[H";
    for start in [alternate, ""] {
        check(&format!("{start}one\r\n\x1b[31mtwo\x1b[4m"), "three");
        // About to wrap, with narrow and wide characters.
        check(&format!("{start}{}", "x".repeat(20)), "y");
        check(&format!("{start}{}字", "x".repeat(18)), "y");
        check(&format!("{start}\x1b[6;1H{}", "x".repeat(20)), "y");
        check(&format!("{start}\x1b[3;5H字字字\x1b[?25l"), "字");
        check(&format!("{start}\x1b[38;5;200;48;2;1;2;3;1;2;3mX\x1b[22m"), "Y");
    }
    // Scroll margins, with and without origin mode.
    check(&format!("{alternate}\x1b[2;4r\x1b[4;1Hlast"), "\r\nscrolled\r\nagain");
    check(&format!("{alternate}\x1b[2;4r\x1b[?6h\x1b[3;2Hin"), "\r\nscrolled\x1b[1;1Htop");
    // Saved cursors stay saved.
    check(&format!("{alternate}\x1b[2;3H\x1b[32m\x1b7\x1b[5;5H\x1b[0m"), "\x1b8back");
    // Leaving the alternate screen under way.
    check("shell$ \x1b[?1049h\x1b[2Jfull\x1b[?1049l", "prompt");
}

fn fed(text: &str) -> Screen {
    let mut screen = Screen::new(20, 6);
    screen.feed(text.as_bytes(), &mut Vec::new());
    screen
}

/// `set` must be undone when covering with `off` and redone with `on`.
fn check_mode(set: &str, off: &str, on: &str) {
    for start in ["\x1b[?1049h", ""] {
        let screen = fed(&format!("{start}{set}"));
        let covering = String::from_utf8(screen.cover()).unwrap();
        let uncovering = String::from_utf8(screen.uncover()).unwrap();
        assert!(covering.contains(off), "{set:?} covers with {covering:?}");
        assert!(uncovering.contains(on), "{set:?} uncovers with {uncovering:?}");
        let plain = fed(start);
        assert!(!String::from_utf8(plain.uncover()).unwrap().contains(on), "{on:?}");
    }
}

#[test]
fn modes_that_would_garble_a_popup_are_off_under_it_and_on_again_after() {
    check_mode("\x1b(0", "\x1b(B", "\x1b(0");
    check_mode("\x1b)0\x0e", "\x0f\x1b(B", "\x1b)0\x0e");
    check_mode("\x1b[4h", "\x1b[4l", "\x1b[4h");
    check_mode("\x1b[?6h", "\x1b[?6l", "\x1b[?6h");
    check_mode("\x1b[?69h\x1b[3;9s", "\x1b[?69l", "\x1b[?69h\x1b[3;9s");
    check_mode("\x1b[?2026h", "\x1b[?2026l", "\x1b[?2026h");
    check_mode("\x1b]8;;http://x\x1b\\", "\x1b]8;;\x1b\\", "\x1b]8;;http://x\x1b\\");
    check_mode("\x1b[9m\x1b[4:3m", "\x1b[0m", "\x1b[0m\x1b[9m\x1b[4:3m");
}

#[test]
fn modes_that_were_reset_are_not_set_again() {
    let set = "\x1b(0\x1b[4h\x1b[?6h\x1b[?7l\x1b[?2026h\x1b]8;;http://x\x07\x1b[9m";
    for reset in ["\x1bc", "\x1b(B\x1b[4l\x1b[?6;7l\x1b[?7h\x1b[?2026l\x1b]8;;\x07\x1b[m"] {
        assert_eq!(fed(&format!("{set}{reset}")).uncover(), fed("").uncover(), "{reset:?}");
    }
    assert!(!fed("\x1b[?7l").uncover().windows(5).any(|bytes| bytes == b"\x1b[?7h"));
}

#[test]
fn the_screen_is_known_where_the_model_alone_would_not_know_it() {
    let show = |text: &str| fed(text).model.screen().contents();
    assert_eq!(show("\x1b(0lqk\x1b(Bq"), "┌─┐q");
    assert_eq!(show("abc\x1b[2D\x1b[4hX\x1b[4l"), "aXbc");
    assert_eq!(show(&format!("\x1b[?7l{}yz", "x".repeat(20))), format!("{}z", "x".repeat(19)));
    assert_eq!(show("ab\x1bDc\x1bEd"), "ab\n  c\nd");
    assert_eq!(show("\x1b[12Gx\x1b[2Zy"), "y          x");
    assert_eq!(show("a\x1b[Ib"), "a       b");
    assert_eq!(show("x\x1b[sabc\x1b[uy"), "xybc");
}

#[test]
fn no_output_breaks_the_screen() {
    // A simple generator; the seed makes a failure repeatable.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (cols, rows) in [(1, 1), (2, 1), (80, 24), (0, 0), (3, 200)] {
        let mut screen = Screen::new(cols, rows);
        for _ in 0..3000 {
            let alphabet =
                b"\x1b\x1b[[?;0123456789hlmrsuHJKABCDLMPST@X78cDEM()0\n\r\t\x0e\x0fx\xe5\xad\x97";
            let bytes: Vec<u8> =
                (0..20).map(|_| alphabet[random() as usize % alphabet.len()]).collect();
            screen.feed(&bytes, &mut Vec::new());
            screen.resize(random() as u16 % 90, random() as u16 % 30);
            screen.cover();
            screen.wipe(Area { left: 1, top: 1, width: 60, height: 10 });
            screen.uncover();
        }
        screen.leave();
        assert_eq!(screen.leave(), b"");
    }
}

/// What is sent after `printed` to leave the terminal as it was found.
#[track_caller]
fn check_leave(printed: &str, expected: &str) {
    let mut screen = fed(printed);
    let sent = screen.leave();
    assert_eq!(String::from_utf8(sent).unwrap(), expected, "{printed:?}");
    assert_eq!(screen.leave(), b"", "{printed:?}, the second time");
}

#[test]
fn a_program_that_tidies_up_is_not_tidied_up_after() {
    for tidy in [
        "text\r\n\x1b[31mred\x1b[39m\x1b[1mbold\x1b[22m\x1b[m",
        "\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\x1b[?2004h\x1b[?1004h\x1b[1;6r\x1b[?12h\x1b[?12l\x1b[2 q\x1b[?25l\x1b[>4;2m\x1b[2;5r\x1b[r\x1b[?2004l\x1b[?1004l\x1b[?1l\x1b>\x1b[>4m\x1b[0 q\x1b[?1049l\x1b[?25h\x1b[23;0;0t",
        "\x1b)0\x1b[?7l\x1b[?7h\x0elqk\x0f",
        "\x1b[>1u\x1b[<u\x1b[=5u\x1b[=0u\x1b[?u",
        "\x1b]10;?\x07\x1b]4;1;?\x07\x1b]11;#000\x07\x1b]111\x07",
        "\x1b[?1049h\x1b[31;7m\x1b(0\x1b[?1003h\x1bc",
        "\x1b]0;title\x07\x1b]8;;http://x\x07x\x1b]8;;\x07",
    ] {
        check_leave(tidy, "");
    }
}

#[test]
fn what_a_program_left_on_is_switched_off() {
    check_leave(
        "\x1b[?1049h\x1b[?1003;1006h\x1b[?25l",
        "\x1b[?1049l\x1b[?25h\x1b[?1003l\x1b[?1006l",
    );
    check_leave("\x1b[?47hx", "\x1b[?47l");
    check_leave("\x1b[?1h\x1b=\x1b[?2004h\x1b[?2026h", "\x1b[?1l\x1b[?2004l\x1b[?2026l\x1b>");
    check_leave("\x1b[>1u\x1b[>3u\x1b[?1049h\x1b[>1u", "\x1b[<1u\x1b[?1049l\x1b[<2u");
    check_leave("\x1b[=1;2u\x1b[>4;1m\x1b[5 q", "\x1b[=0u\x1b[>4m\x1b[0 q");
    check_leave("\x1b[31mred", "\x1b[0m");
    check_leave("\x1b(0\x0e", "\x0f\x1b(B");
    check_leave("\x1b[2;4r", "\x1b7\x1b[r\x1b8");
    check_leave("\x1b[2;4r\x1b[?6h", "\x1b[?6l\x1b[r\x1b[999;1H");
    check_leave("\x1b[4h\x1b[20h\x1b[?7l", "\x1b[?7h\x1b[20l\x1b[4l");
    check_leave("\x1b]8;;http://x\x07x", "\x1b]8;;\x1b\\");
    check_leave(
        "\x1b]10;red;blue\x07\x1b]4;1;red\x07",
        "\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\",
    );
    // Cut off in the middle of a sequence.
    check_leave("\x1b[7m\x1b]0;tit", "\x1b[0m");
}
