//! A terminal between two pseudo-terminals: the test is the program on one
//! side and the person on the other.

mod said;

use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remit_approvals::{NotOpen, Posed, QuestionId};
use remit_policy::{Answer, Basis, Choice};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{InputModes, LocalModes, OptionalActions, Winsize};
use rustix::termios::{tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::*;

/// Longer than the keyboard must rest before a key counts.
const REST: Duration = Duration::from_millis(650);

/// Longer than a string may stay unfinished.
const SEQUENCE_AND_MORE: Duration = Duration::from_millis(1200);

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Desk {
    answers: Mutex<Vec<(u32, Answer)>>,
    signals: Mutex<Vec<i32>>,
    typed: Mutex<Vec<u8>>,
}

impl TerminalDesk for Desk {
    fn answer(&self, id: QuestionId, answer: Answer) -> Result<(), NotOpen> {
        self.answers.lock().unwrap().push((id.into(), answer));
        Ok(())
    }

    fn resume(&self) {}

    fn signalled(&self, signal: i32) {
        self.signals.lock().unwrap().push(signal);
    }

    fn typed(&self, pieces: &[Piece]) {
        self.typed.lock().unwrap().extend(pieces.iter().flat_map(|piece| &piece.raw));
    }
}

/// A person before a terminal of 80 by 24, and a program behind it.
struct World {
    desk: Arc<Desk>,
    terminal: Option<Terminal>,
    person: Option<OwnedFd>,
    tty: OwnedFd,
    program: OwnedFd,
    /// What the person sees.
    seen: vt100::Parser,
    /// All bytes that came to the person.
    bytes: Vec<u8>,
}

fn pty() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    (master, slave)
}

fn parser(cols: u16, rows: u16) -> vt100::Parser {
    let size = |n| NonZeroU16::new(n).unwrap();
    vt100::Parser::new(size(rows), size(cols), 100)
}

fn winsize(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }
}

fn readable(fd: impl AsFd, wait: Duration) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::try_from(wait).unwrap())).unwrap() > 0
}

impl World {
    fn new() -> Self {
        Self::after("")
    }

    /// A world in which the shell printed something before.
    fn after(shell: &str) -> Self {
        let (person, tty) = pty();
        let (master, program) = pty();
        tcsetwinsize(&tty, winsize(80, 24)).unwrap();
        let desk = Arc::new(Desk::default());
        let terminal = Terminal::start(tty.try_clone().unwrap(), master, desk.clone()).unwrap();
        let mut modes = tcgetattr(&program).unwrap();
        modes.make_raw();
        tcsetattr(&program, OptionalActions::Now, &modes).unwrap();
        let mut seen = parser(80, 24);
        seen.process(shell.as_bytes());
        let terminal = Some(terminal);
        Self { desk, terminal, person: Some(person), tty, program, seen, bytes: Vec::new() }
    }

    fn handle(&self) -> Handle {
        self.terminal.as_ref().unwrap().handle()
    }

    fn ask(&self, id: u32, summary: &str) {
        self.handle().ask(Posed {
            id: QuestionId::try_from(id).unwrap(),
            session: "s1".to_owned(),
            kind: "exec".to_owned(),
            summary: summary.to_owned(),
            details: vec![("cwd".to_owned(), "/w".to_owned())],
            basis: Basis::built_in("test"),
            choices: vec![Choice::Once, Choice::Session, Choice::Refuse],
            people: 1,
            reason: false,
            agreed: std::collections::BTreeSet::new(),
            findings: Vec::new(),
            needs_a_person: false,
            proposal: None,
            digest: String::new(),
            expires_at: String::new(),
            posed_at: "2026-01-01T00:00:00Z".to_owned(),
        });
    }

    fn print(&self, bytes: impl AsRef<[u8]>) {
        let mut bytes = bytes.as_ref();
        while !bytes.is_empty() {
            bytes = &bytes[rustix::io::write(&self.program, bytes).unwrap()..];
        }
    }

    fn press(&self, bytes: &str) {
        rustix::io::write(self.person.as_ref().unwrap(), bytes.as_bytes()).unwrap();
    }

    /// Looks until the screen shows this.
    fn see(&mut self, words: &str) {
        self.look(&format!("never saw `{words}`"), |screen| screen.contents().contains(words));
    }

    /// Looks until the screen no longer shows this.
    fn miss(&mut self, words: &str) {
        self.look(&format!("still see `{words}`"), |screen| !screen.contents().contains(words));
    }

    fn look(&mut self, otherwise: &str, found: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !found(self.seen.screen()) {
            assert!(Instant::now() < deadline, "{otherwise}:\n{}", self.seen.screen().contents());
            self.look_for(Duration::from_millis(10));
        }
    }

    /// Looks for a while.
    fn look_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if !readable(self.person.as_ref().unwrap(), left) {
                return;
            }
            let mut bytes = [0; 4096];
            let count = rustix::io::read(self.person.as_ref().unwrap(), &mut bytes).unwrap();
            self.seen.process(&bytes[..count]);
            self.bytes.extend(&bytes[..count]);
        }
    }

    /// Everything the program was sent within a moment.
    fn heard(&self) -> String {
        let mut heard = Vec::new();
        while readable(&self.program, Duration::from_millis(150)) {
            let mut bytes = [0; 4096];
            let count = rustix::io::read(&self.program, &mut bytes).unwrap();
            heard.extend(&bytes[..count]);
        }
        String::from_utf8(heard).unwrap()
    }

    fn answers(&self) -> Vec<(u32, Choice)> {
        self.desk.answers.lock().unwrap().iter().map(|(id, a)| (*id, a.choice)).collect()
    }

    fn until_answered(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.answers().len() < count {
            assert!(Instant::now() < deadline, "no answer: {:?}", self.answers());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Asserts that two screens look the same and would go on the same.
fn same(seen: &vt100::Screen, wanted: &vt100::Screen, case: &str) {
    let look = |cell: Option<&vt100::Cell>| {
        cell.map(|cell| {
            // An erased cell and a blank one look the same.
            let text = if cell.has_contents() { cell.contents() } else { " " }.to_owned();
            let flags = (cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse());
            (text, cell.fgcolor(), cell.bgcolor(), flags, cell.is_wide_continuation())
        })
    };
    assert_eq!(seen.size(), wanted.size(), "{case}");
    let (rows, cols) = wanted.size();
    for row in 0..rows.get() {
        for col in 0..cols.get() {
            let (left, right) = (look(seen.cell(row, col)), look(wanted.cell(row, col)));
            assert_eq!(left, right, "{case}, at {row},{col}:\n{}", seen.contents());
        }
    }
    assert_eq!(seen.cursor_position(), wanted.cursor_position(), "{case}");
    assert_eq!(seen.attributes_formatted(), wanted.attributes_formatted(), "{case}");
    assert_eq!(seen.input_mode_formatted(), wanted.input_mode_formatted(), "{case}");
    assert_eq!(seen.hide_cursor(), wanted.hide_cursor(), "{case}");
    assert_eq!(seen.alternate_screen(), wanted.alternate_screen(), "{case}");
}

/// A full screen of colours, wide characters and attributes.
fn full_screen() -> String {
    let mut text = String::from("\x1b[?1049h\x1b[?1h\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[2J");
    for row in 1..=24 {
        text += &format!("\x1b[{row};1H");
        for col in 0..40 {
            let (fg, bg) = ((row * 7 + col) % 256, (row + col * 3) % 256);
            let style = [0, 1, 2, 3, 4, 7][(row + col) % 6];
            let what = if col % 5 == 0 { "字" } else { "ab" };
            text += &format!("\x1b[0;{style};38;5;{fg};48;2;{bg};9;9m{what}");
        }
    }
    text + "\x1b[0;1;35m\x1b[7;13H"
}

#[test]
fn bytes_pass_both_ways_and_the_modes_come_back() {
    let mut world = World::new();
    assert_eq!(tcgetwinsize(&world.program).unwrap().ws_col, 80);
    assert!(!tcgetattr(&world.tty).unwrap().local_modes.contains(LocalModes::ICANON));
    world.press("o\x1b[A\x03\x1a\r\u{e9}");
    assert_eq!(world.heard(), "o\x1b[A\x03\x1a\r\u{e9}");
    world.print("a\r\n\x1b[31mb\x1b]0;t\x07");
    world.see("b");
    assert_eq!(world.bytes, b"a\r\n\x1b[31mb\x1b]0;t\x07");
    world.print("last words");
    let person = world.person.as_ref().unwrap().try_clone().unwrap();
    world.handle().finish();
    assert!(tcgetattr(&world.tty).unwrap().local_modes.contains(LocalModes::ICANON));
    assert!(readable(&person, PATIENCE));
    world.see("last words");
}

#[test]
fn a_full_screen_is_the_same_cell_by_cell_after_a_question() {
    for key in ["o", "s", "r"] {
        let mut world = World::new();
        world.print(full_screen());
        let mut wanted = parser(80, 24);
        wanted.process(full_screen().as_bytes());
        world.look_for(Duration::from_millis(200));
        same(world.seen.screen(), wanted.screen(), "before");
        world.ask(1, "run `git push`");
        world.see("run `git push`");
        assert!(world.seen.screen().hide_cursor());
        world.look_for(REST);
        world.press(key);
        world.miss("git push");
        world.look_for(Duration::from_millis(100));
        same(world.seen.screen(), wanted.screen(), "after");
        let choice = match key {
            "o" => Choice::Once,
            "s" => Choice::Session,
            _ => Choice::Refuse,
        };
        assert_eq!(world.answers(), [(1, choice)]);
        assert!(world.desk.answers.lock().unwrap()[0].1.by.ends_with("at the session's terminal"));
        assert_eq!(world.heard(), "", "the key was not for the program");
    }
}

#[test]
fn what_the_shell_showed_before_us_is_the_same_after_a_question() {
    let shell: String = (0..40).map(|n| format!("\r\nold line {n}")).collect();
    let mut world = World::after(&shell);
    world.print("\r\n\x1b[32mnew line");
    world.see("new line");
    let before = world.seen.screen().clone();
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.look_for(REST);
    world.press("r");
    world.miss("run `make`");
    world.look_for(Duration::from_millis(100));
    same(world.seen.screen(), &before, "after");
    world.seen.screen_mut().set_scrollback(10);
    assert!(world.seen.screen().contents().contains("old line 8"), "the scrollback is there");
}

#[test]
fn what_is_printed_under_a_popup_appears_after_it() {
    let mut world = World::new();
    world.print("before");
    world.ask(1, "run `make`");
    world.see("run `make`");
    // More than we hold: the program has to wait, and nothing is lost.
    let program = world.program.try_clone().unwrap();
    let printing = std::thread::spawn(move || {
        let mut left = vec![b'.'; 3 << 20];
        left.extend(b"\r\n\x1b[33mafter");
        let mut left = &left[..];
        while !left.is_empty() {
            left = &left[rustix::io::write(&program, left).unwrap()..];
        }
    });
    world.look_for(REST);
    assert!(!printing.is_finished(), "the program waits");
    assert!(!world.seen.screen().contents().contains("...."), "nothing shows through");
    world.bytes.clear();
    world.press("o");
    world.see("after");
    printing.join().unwrap();
    assert_eq!(world.bytes.iter().filter(|byte| **byte == b'.').count(), 3 << 20);
}

#[test]
fn questions_are_shown_one_by_one_and_a_withdrawn_one_vanishes() {
    let mut world = World::new();
    world.print(full_screen());
    world.look_for(Duration::from_millis(200));
    let before = world.seen.screen().clone();
    for id in 1..=3 {
        world.ask(id, &format!("run `number {id}`"));
    }
    world.see("number 1");
    world.see("2 more waiting");
    world.handle().withdraw(QuestionId::try_from(1).unwrap());
    world.see("number 2");
    world.miss("number 1");
    world.press("o"); // too soon: meant for the first
    world.look_for(REST);
    assert_eq!(world.answers(), []);
    world.press("r");
    world.see("number 3");
    world.miss("more waiting");
    world.handle().withdraw(QuestionId::try_from(3).unwrap());
    world.miss("number 3");
    world.look_for(Duration::from_millis(100));
    same(world.seen.screen(), &before, "after");
    assert_eq!(world.answers(), [(2, Choice::Refuse)]);
}

#[test]
fn pastes_bursts_and_typing_ahead_answer_nothing() {
    let mut world = World::new();
    world.ask(1, "run `make`");
    world.press("oooo");
    world.see("run `make`");
    world.press("o");
    world.look_for(REST);
    for ahead in [
        "\x1b[200~o\x1b[201~",
        "os",
        "so\r",
        "o\r",
        "\x1bo",
        "\x1b[<0;111;115M",
        "\r",
        "\x1b[111;1:3u",
    ] {
        world.press(ahead);
        world.look_for(REST);
        assert_eq!(world.answers(), [], "{ahead:?}");
    }
    world.press("\x1b[200~o");
    world.look_for(REST);
    world.press("o\x1b[201~");
    world.look_for(REST);
    assert_eq!(world.answers(), []);
    world.see("run `make`");
    world.press("o");
    world.until_answered(1);
    assert_eq!(world.answers(), [(1, Choice::Once)]);
    // What came before the popup appeared was the program's.
    assert!(["", "o", "oo", "ooo", "oooo"].contains(&world.heard().as_str()));
}

#[test]
fn a_paste_that_began_before_the_popup_reaches_the_program_whole() {
    let mut world = World::new();
    world.press("\x1b[200~one o");
    assert_eq!(world.heard(), "\x1b[200~one o");
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.look_for(REST);
    world.press("o two");
    world.press("\x1b[201~");
    assert_eq!(world.heard(), "o two\x1b[201~");
    assert_eq!(world.answers(), []);
}

#[test]
fn what_the_terminal_says_to_the_program_reaches_it_under_a_popup() {
    let mut world = World::new();
    world.press("\x1b[12");
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.press(";40R\x1b[?62c\x1b[I\x1b]11;rgb:00/00/00\x1b\\\x1b[A");
    assert_eq!(world.heard(), "\x1b[12;40R\x1b[?62c\x1b[I\x1b]11;rgb:00/00/00\x1b\\");
    assert_eq!(world.answers(), []);
}

#[test]
fn a_note_goes_with_the_refusal_and_esc_goes_back() {
    let mut world = World::new();
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.look_for(REST);
    world.press("n");
    world.see("note: _");
    world.press("\x1b");
    world.miss("note: _");
    world.press("n");
    world.see("note: _");
    world.press("use ninja");
    world.see("note: use ninja_");
    world.press("\r");
    world.until_answered(1);
    let answer = world.desk.answers.lock().unwrap()[0].1.clone();
    assert_eq!((answer.choice, answer.note.as_deref()), (Choice::Refuse, Some("use ninja")));
}

#[test]
fn a_popup_and_the_program_follow_the_window() {
    for alternate in [true, false] {
        let mut world = World::new();
        world.print(if alternate { full_screen() } else { "text".to_owned() });
        world.look_for(Duration::from_millis(200));
        world.ask(1, "run `make`");
        world.see("run `make`");
        for (cols, rows) in [(60, 15), (100, 30), (35, 8), (80, 24)] {
            let size = |n| NonZeroU16::new(n).unwrap();
            world.seen.set_size(size(rows), size(cols));
            tcsetwinsize(&world.tty, winsize(cols, rows)).unwrap();
            kill_process(getpid(), Signal::WINCH).unwrap();
            world.look_for(Duration::from_millis(200));
            world.see("run `make`");
            let told = tcgetwinsize(&world.program).unwrap();
            assert_eq!((told.ws_col, told.ws_row), (cols, rows));
            let edges = world.seen.screen().contents().matches('╭').count();
            assert_eq!(edges, usize::from(cols >= 40), "{}", world.seen.screen().contents());
        }
        world.look_for(REST);
        world.press("r");
        world.miss("run `make`");
        world.miss("╭");
    }
}

#[test]
fn a_program_in_the_middle_of_a_sequence_does_not_hide_the_question() {
    let long = format!("\x1bPq{}", "~".repeat(9000));
    let cases = [
        ("\x1b[3", "1mred", "red"),
        ("\x1b]0;title", "\x07text", "text"),
        ("\x1b", "[1mbold", "bold"),
        (long.as_str(), "~~~\x1b\\text", "text"),
        ("\u{5b57}\x1b(", "Bplain", "plain"),
    ];
    for (begin, end, shown) in cases {
        let mut world = World::new();
        world.print(full_screen() + begin);
        let mut wanted = parser(80, 24);
        wanted.process(format!("{}{begin}{end}", full_screen()).as_bytes());
        world.look_for(Duration::from_millis(100));
        world.ask(1, "run `make`");
        world.see("run `make`");
        world.look_for(REST);
        world.press("r");
        world.miss("run `make`");
        world.print(end);
        world.see(shown);
        same(world.seen.screen(), wanted.screen(), shown);
    }
}

#[test]
fn a_terminal_that_went_away_refuses_and_asks_for_the_end() {
    let mut world = World::new();
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.person = None;
    world.until_answered(1);
    world.ask(2, "run `make again`");
    world.until_answered(2);
    for (_, answer) in world.desk.answers.lock().unwrap().iter() {
        assert_eq!(answer.choice, Choice::Refuse);
        assert_eq!(answer.by, "the terminal went away");
    }
    assert!(world.desk.signals.lock().unwrap().contains(&signals::SIGHUP));
    // The program is not held up by output that nobody sees.
    world.print(vec![b'x'; 1 << 20]);
    world.terminal = None;
}

#[test]
fn finishing_under_a_popup_leaves_the_terminal_as_it_was_found() {
    let mut world = World::after("$ remit run\r\n");
    let before = world.seen.screen().clone();
    world.print(full_screen());
    world.look_for(Duration::from_millis(200));
    assert!(world.seen.screen().alternate_screen());
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.terminal = None;
    world.miss("run `make`");
    world.look_for(Duration::from_millis(100));
    same(world.seen.screen(), &before, "after");
    assert!(tcgetattr(&world.tty).unwrap().local_modes.contains(LocalModes::ICANON));
    assert_eq!(world.answers(), []);
}

#[test]
fn what_could_harm_the_terminal_does_not_reach_it() {
    let mut world = World::new();
    world.print("one\x1b]52;c;cm0=\x07\x1b[21t\x1bP$qm\x1b\\ \x1b]52;c;");
    world.see("one");
    world.print("?\x07two");
    world.see("two");
    assert_eq!(world.bytes, b"one two");
}

#[test]
fn a_string_that_is_not_continued_swallows_nothing_more() {
    let mut world = World::new();
    world.print("\x1b]52;c;cm0=");
    world.look_for(SEQUENCE_AND_MORE);
    world.print("prompt");
    world.see("prompt");
    assert_eq!(world.bytes, b"prompt");
}

#[test]
fn pasted_text_cannot_end_the_paste() {
    let world = World::new();
    world.press("\x1b[200~a\x1b[201~rm\r\x1b[201~");
    assert_eq!(world.heard(), "\x1b[200~a[201~rm\r\x1b[201~");
    world.press("\r");
    assert_eq!(world.heard(), "\r");
}

#[test]
fn a_program_that_ended_and_one_that_stays_silent_both_let_us_finish() {
    let mut world = World::new();
    world.print("bye");
    let (_, unused) = pty();
    drop(std::mem::replace(&mut world.program, unused));
    let start = Instant::now();
    world.handle().finish();
    assert!(start.elapsed() < Duration::from_secs(1));
    world.see("bye");
    let world = World::new();
    let start = Instant::now();
    world.handle().finish();
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_is_typed_is_told_unless_a_program_reads_a_line_unseen() {
    let mut world = World::new();
    let modes = |line: bool, echo: bool| {
        let mut modes = tcgetattr(&world.program).unwrap();
        modes.local_modes.set(LocalModes::ICANON, line);
        modes.input_modes.set(InputModes::ICRNL, line);
        modes.local_modes.set(LocalModes::ECHO, echo);
        tcsetattr(&world.program, OptionalActions::Now, &modes).unwrap();
    };
    for (line, echo, text) in [
        (false, false, "keys\r"),
        (true, false, "secret\r"),
        (true, true, "line\r"),
        (false, true, "both\r"),
    ] {
        modes(line, echo);
        world.press(text);
        assert!(readable(&world.program, PATIENCE), "{text}");
        rustix::io::read(&world.program, &mut [0; 64]).unwrap();
    }
    world.ask(1, "run `make`");
    world.see("run `make`");
    world.press("x");
    std::thread::sleep(REST);
    assert_eq!(*world.desk.typed.lock().unwrap(), b"keys\rline\rboth\r");
}
