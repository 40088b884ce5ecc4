//! What the screen shows and what a key means on it. Pure: presses and times go
//! in, acts come out.

use std::time::{Duration, Instant};

use remit_approvals::letters::yes;
use remit_approvals::{Posed, QuestionId};
use remit_policy::Choice;

use super::history::Closed;

/// How long the keyboard must rest, since the question came up, before a key
/// answers it. As in the popup of a session.
const REST: Duration = Duration::from_millis(500);

/// Longest note, in characters.
const NOTE_LIMIT: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Tab,
    Enter,
    Escape,
    Backspace,
    Interrupt,
}

/// What the person wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Leave,
    Answer { id: String, choice: Choice, note: Option<String> },
}

/// Which list is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Open,
    History,
}

/// What is being typed or confirmed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Keys,
    /// Words that go with an answer: to the agent with a no, a reason with a yes.
    Note(Choice, String),
    /// A yes to a high risk is said twice.
    Sure(Choice),
}

#[derive(Debug)]
pub(super) struct Board {
    open: Vec<Posed>,
    closed: Vec<Closed>,
    view: View,
    mode: Mode,
    /// The question in full: its session and number, so that no other takes its
    /// place under the person's fingers.
    chosen: Option<(String, QuestionId)>,
    /// The line of the history in full.
    past: usize,
    /// Lines of the details that are scrolled away.
    pub(super) scrolled: u16,
    message: String,
    awake_at: Option<Instant>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            closed: Vec::new(),
            view: View::Open,
            mode: Mode::Keys,
            chosen: None,
            past: 0,
            scrolled: 0,
            message: String::new(),
            awake_at: None,
        }
    }
}

impl Board {
    /// Takes over the questions that are open now.
    pub(super) fn refresh(&mut self, mut open: Vec<Posed>, now: Instant) {
        open.sort_by(|a, b| (&a.posed_at, a.id).cmp(&(&b.posed_at, b.id)));
        let place = self.place().unwrap_or(0);
        self.open = open;
        if self.place().is_none() {
            let next = self.open.get(place).or_else(|| self.open.last());
            self.chosen = next.map(|posed| (posed.session.clone(), posed.id));
            self.come_up(now);
        }
    }

    pub(super) fn remember(&mut self, closed: Vec<Closed>) {
        self.closed = closed;
        self.past = self.past.min(self.closed.len().saturating_sub(1));
    }

    pub(super) fn told(&mut self, message: String) {
        self.message = message;
    }

    pub(super) fn open(&self) -> &[Posed] {
        &self.open
    }

    pub(super) fn closed(&self) -> &[Closed] {
        &self.closed
    }

    pub(super) fn view(&self) -> View {
        self.view
    }

    pub(super) fn mode(&self) -> &Mode {
        &self.mode
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The line that is chosen in the list that is shown.
    pub(super) fn line(&self) -> Option<usize> {
        match self.view {
            View::Open => self.place(),
            View::History => (!self.closed.is_empty()).then_some(self.past),
        }
    }

    pub(super) fn question(&self) -> Option<&Posed> {
        self.place().and_then(|place| self.open.get(place))
    }

    pub(super) fn sleeps(&self, now: Instant) -> bool {
        self.awake_at.is_some_and(|at| now < at)
    }

    /// Takes a key. `burst`: more input is there already.
    pub(super) fn press(&mut self, press: Press, burst: bool, now: Instant) -> Option<Act> {
        self.message.clear();
        let asleep = self.sleeps(now);
        match (&mut self.mode, press) {
            (Mode::Note(..), _) => self.typed(press),
            (Mode::Sure(_), _) if asleep || burst => {
                self.awake_at = Some(now + REST);
                None
            }
            (Mode::Sure(choice), Press::Enter) => {
                let choice = *choice;
                self.answer(choice, None)
            }
            (Mode::Sure(_), _) => {
                self.mode = Mode::Keys;
                self.message = "not answered".to_owned();
                None
            }
            (Mode::Keys, Press::Char('q') | Press::Interrupt | Press::Escape) => Some(Act::Leave),
            (Mode::Keys, Press::Char('j') | Press::Down) => self.step(1, now),
            (Mode::Keys, Press::Char('k') | Press::Up) => self.step(-1, now),
            (Mode::Keys, Press::Tab) => self.turn(now),
            (Mode::Keys, Press::PageDown | Press::Char(' ')) => {
                self.scrolled = self.scrolled.saturating_add(5);
                None
            }
            (Mode::Keys, Press::PageUp) => {
                self.scrolled = self.scrolled.saturating_sub(5);
                None
            }
            (Mode::Keys, Press::Char(key)) if self.view == View::Open => {
                self.key(key, asleep || burst, now)
            }
            (Mode::Keys, _) => None,
        }
    }

    /// A key that may answer.
    fn key(&mut self, key: char, early: bool, now: Instant) -> Option<Act> {
        let posed = self.question()?;
        if early {
            self.come_up(now);
            self.message = "keys wake when you pause typing".to_owned();
            return None;
        }
        match key {
            'r' => self.answer(Choice::Refuse, None),
            'n' => {
                self.mode = Mode::Note(Choice::Refuse, String::new());
                None
            }
            'x' if posed.choices.contains(&Choice::Stop) => self.confirm(Choice::Stop, now),
            key => match yes(key, &posed.choices) {
                Some(choice) if posed.reason => {
                    self.mode = Mode::Note(choice, String::new());
                    None
                }
                Some(choice) if posed.needs_a_person => self.confirm(choice, now),
                Some(choice) => self.answer(choice, None),
                None => None,
            },
        }
    }

    /// Asks whether this is meant, and lets the keyboard rest first.
    fn confirm(&mut self, choice: Choice, now: Instant) -> Option<Act> {
        self.mode = Mode::Sure(choice);
        self.awake_at = Some(now + REST);
        None
    }

    fn typed(&mut self, press: Press) -> Option<Act> {
        let Mode::Note(choice, note) = &mut self.mode else { return None };
        match press {
            Press::Enter => {
                let (choice, note) = (*choice, note.trim().to_owned());
                if choice.is_yes() && note.is_empty() {
                    return None;
                }
                return self.answer(choice, Some(note).filter(|note| !note.is_empty()));
            }
            Press::Escape | Press::Interrupt => self.mode = Mode::Keys,
            Press::Backspace => drop(note.pop()),
            Press::Char(c) if note.chars().count() < NOTE_LIMIT => note.push(c),
            _ => {}
        }
        None
    }

    fn answer(&mut self, choice: Choice, note: Option<String>) -> Option<Act> {
        self.mode = Mode::Keys;
        let posed = self.question()?;
        Some(Act::Answer { id: format!("{}/{}", posed.session, posed.id), choice, note })
    }

    fn step(&mut self, by: isize, now: Instant) -> Option<Act> {
        self.scrolled = 0;
        match self.view {
            View::Open => {
                let place = self.place().unwrap_or(0).saturating_add_signed(by);
                if let Some(posed) = self.open.get(place) {
                    self.chosen = Some((posed.session.clone(), posed.id));
                    self.come_up(now);
                }
            }
            View::History => {
                let last = self.closed.len().saturating_sub(1);
                self.past = self.past.saturating_add_signed(by).min(last);
            }
        }
        None
    }

    fn turn(&mut self, now: Instant) -> Option<Act> {
        self.scrolled = 0;
        self.view = match self.view {
            View::Open => View::History,
            View::History => View::Open,
        };
        self.come_up(now);
        None
    }

    /// Another question is shown in full, or one that was typed at.
    fn come_up(&mut self, now: Instant) {
        self.awake_at = Some(now + REST);
        self.mode = Mode::Keys;
    }

    fn place(&self) -> Option<usize> {
        let (session, id) = self.chosen.as_ref()?;
        self.open.iter().position(|posed| posed.session == *session && posed.id == *id)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use remit_policy::{Basis, Finding, Risk};

    use super::*;

    pub(in super::super) fn posed(id: u32, summary: &str) -> Posed {
        Posed {
            id: id.try_into().unwrap(),
            session: "20261121-041500-123-k3v9qr".to_owned(),
            kind: "exec".to_owned(),
            summary: summary.to_owned(),
            details: vec![("in".to_owned(), "/home/ada/work".to_owned())],
            basis: Basis::built_in("prompt git push"),
            choices: vec![Choice::Once, Choice::Session, Choice::Refuse, Choice::Stop],
            findings: Vec::new(),
            needs_a_person: false,
            reason: false,
            people: 1,
            agreed: Default::default(),
            proposal: None,
            digest: "ab".repeat(32),
            posed_at: format!("2026-01-01T00:00:0{id}Z"),
            expires_at: "2026-01-01T00:05:00Z".to_owned(),
        }
    }

    pub(in super::super) fn risky(id: u32, summary: &str) -> Posed {
        let finding = Finding {
            class: "history-rewrite".to_owned(),
            risk: Risk::High,
            reason: "what others have fetched is replaced".to_owned(),
            undo: Some("from a clone that still has it".to_owned()),
        };
        Posed { findings: vec![finding], needs_a_person: true, ..posed(id, summary) }
    }

    fn awake(questions: Vec<Posed>) -> (Board, Instant) {
        let now = Instant::now();
        let mut board = Board::default();
        board.refresh(questions, now);
        (board, now + REST)
    }

    fn answered(act: Option<Act>) -> Option<(String, Choice)> {
        match act {
            Some(Act::Answer { id, choice, .. }) => Some((id, choice)),
            _ => None,
        }
    }

    #[test]
    fn a_key_answers_only_what_has_been_shown_for_a_moment() {
        let (mut board, later) = awake(vec![posed(1, "run `a`")]);
        let early = later - REST / 2;
        assert_eq!(board.press(Press::Char('o'), false, early), None);
        assert_eq!(board.press(Press::Char('o'), false, later), None, "it rests anew");
        let act = board.press(Press::Char('o'), false, later + REST);
        assert_eq!(answered(act), Some(("20261121-041500-123-k3v9qr/1".into(), Choice::Once)));
    }

    #[test]
    fn keys_in_a_burst_answer_nothing() {
        let (mut board, later) = awake(vec![posed(1, "run `a`")]);
        assert_eq!(board.press(Press::Char('o'), true, later), None);
    }

    #[test]
    fn a_question_that_goes_does_not_hand_its_key_to_the_next() {
        let (mut board, later) = awake(vec![posed(1, "run `a`"), posed(2, "run `b`")]);
        board.refresh(vec![posed(2, "run `b`")], later);
        assert_eq!(board.press(Press::Char('o'), false, later), None);
        let act = board.press(Press::Char('o'), false, later + 2 * REST);
        assert_eq!(answered(act).map(|(id, _)| id.ends_with("/2")), Some(true));
    }

    #[test]
    fn a_new_question_does_not_move_the_one_in_full() {
        let (mut board, later) = awake(vec![posed(2, "run `b`")]);
        board.refresh(vec![posed(1, "run `a`"), posed(2, "run `b`")], later);
        assert_eq!(board.question().map(|posed| posed.summary.as_str()), Some("run `b`"));
        assert!(answered(board.press(Press::Char('s'), false, later)).is_some());
    }

    #[test]
    fn a_high_risk_takes_two_keys_and_a_pause() {
        let (mut board, at) = awake(vec![risky(1, "run `git push --force`")]);
        assert_eq!(board.press(Press::Char('o'), false, at), None);
        assert_eq!(board.press(Press::Enter, false, at), None, "as a line of text would end");
        assert_eq!(board.mode(), &Mode::Sure(Choice::Once));
        assert_eq!(board.press(Press::Char('y'), false, at + REST), None);
        assert_eq!(board.mode(), &Mode::Keys);
        board.press(Press::Char('o'), false, at + REST);
        let act = board.press(Press::Enter, false, at + 2 * REST);
        assert_eq!(answered(act).map(|(_, choice)| choice), Some(Choice::Once));
    }

    #[test]
    fn a_choice_that_is_not_offered_is_no_answer() {
        let (mut board, later) = awake(vec![posed(1, "run `a`")]);
        for key in ['h', 'd', 'p', 'z', '1'] {
            assert_eq!(board.press(Press::Char(key), false, later), None, "{key}");
        }
    }

    #[test]
    fn a_note_takes_every_letter_and_refuses() {
        let (mut board, later) = awake(vec![posed(1, "run `a`")]);
        assert_eq!(board.press(Press::Char('n'), false, later), None);
        for key in "no, soq".chars() {
            // A burst of letters is just typing here.
            assert_eq!(board.press(Press::Char(key), true, later), None);
        }
        let act = board.press(Press::Enter, false, later);
        let note = Some("no, soq".to_owned());
        let id = "20261121-041500-123-k3v9qr/1".to_owned();
        assert_eq!(act, Some(Act::Answer { id, choice: Choice::Refuse, note }));
    }

    #[test]
    fn a_yes_that_needs_a_reason_gets_one() {
        let (mut board, later) = awake(vec![Posed { reason: true, ..posed(1, "run `a`") }]);
        assert_eq!(board.press(Press::Char('o'), false, later), None);
        assert_eq!(board.press(Press::Enter, false, later), None, "no words, no yes");
        "as planned".chars().for_each(|c| drop(board.press(Press::Char(c), true, later)));
        let act = board.press(Press::Enter, false, later);
        let id = "20261121-041500-123-k3v9qr/1".to_owned();
        let note = Some("as planned".to_owned());
        assert_eq!(act, Some(Act::Answer { id, choice: Choice::Once, note }));
    }

    #[test]
    fn history_takes_no_answers() {
        let (mut board, later) = awake(vec![posed(1, "run `a`")]);
        board.press(Press::Tab, false, later);
        assert_eq!(board.press(Press::Char('o'), false, later + 2 * REST), None);
        assert_eq!(board.press(Press::Char('q'), false, later), Some(Act::Leave));
    }
}
