//! `remit approvals` on a terminal: all open questions, one of them in full, and
//! what was answered before.
//!
//! A key answers the question that is shown in full, and only after the keyboard
//! has rested since that question came up, so that nobody answers one by typing
//! on from another.

mod board;
mod draw;
mod history;
mod similar;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use remit_approvals::Posed;

use super::{ApprovalsError, answer, open, said};
use board::{Act, Board, Press};
use history::History;

/// How often the sessions are asked for their questions.
const REFRESH: Duration = Duration::from_millis(500);

/// How often the records are looked at for what was answered.
const LOOK_BACK: Duration = Duration::from_secs(2);

/// Shows the queue until the person leaves it.
pub(super) fn run(state: &Path) -> Result<(), ApprovalsError> {
    let failed = |source| ApprovalsError::Screen { source };
    // Before the screen is taken, so that what is wrong is said on it.
    let questions = open(state)?;
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let outcome = show(&mut terminal, state, questions);
    ratatui::restore();
    outcome
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    state: &Path,
    questions: Vec<Posed>,
) -> Result<(), ApprovalsError> {
    let failed = |source: io::Error| ApprovalsError::Screen { source };
    let mut board = Board::default();
    let mut history = History::default();
    board.refresh(questions, Instant::now());
    let (mut refreshed, mut looked_back) = (Instant::now(), None::<Instant>);
    loop {
        if looked_back.is_none_or(|at| at.elapsed() >= LOOK_BACK) {
            board.remember(history.read(state));
            looked_back = Some(Instant::now());
        }
        terminal.draw(|frame| draw::board(frame, &mut board, Instant::now())).map_err(failed)?;
        let wait = REFRESH.saturating_sub(refreshed.elapsed());
        if event::poll(wait).map_err(failed)? {
            let event = event::read().map_err(failed)?;
            // More that is there already came in one burst, as pasted text does.
            let burst = event::poll(Duration::ZERO).map_err(failed)?;
            match press(&event).and_then(|press| board.press(press, burst, Instant::now())) {
                Some(Act::Leave) => return Ok(()),
                Some(Act::Answer { id, choice, note }) => {
                    board.told(match answer(state, &id, choice, note) {
                        Ok((id, outcome)) => said(&id, choice, outcome),
                        Err(error) => in_full(&error),
                    });
                    board.refresh(open(state)?, Instant::now());
                    looked_back = None;
                }
                None => {}
            }
        }
        if refreshed.elapsed() >= REFRESH {
            board.refresh(open(state)?, Instant::now());
            refreshed = Instant::now();
        }
    }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

fn press(event: &Event) -> Option<Press> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return None;
    };
    let plain = modifiers.difference(KeyModifiers::SHIFT).is_empty();
    Some(match code {
        KeyCode::Char('c') if *modifiers == KeyModifiers::CONTROL => Press::Interrupt,
        KeyCode::Char(c) if plain => Press::Char(*c),
        KeyCode::Up => Press::Up,
        KeyCode::Down => Press::Down,
        KeyCode::PageUp => Press::PageUp,
        KeyCode::PageDown => Press::PageDown,
        KeyCode::Tab | KeyCode::BackTab => Press::Tab,
        KeyCode::Enter => Press::Enter,
        KeyCode::Esc => Press::Escape,
        KeyCode::Backspace => Press::Backspace,
        _ => return None,
    })
}
