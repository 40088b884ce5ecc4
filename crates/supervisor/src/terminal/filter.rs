//! What of a program's output may reach the person's terminal.
//!
//! A terminal obeys its output: it can be told to hand over the clipboard, to
//! type things into the next program, to write files, to print, to open what
//! is clicked. So only what is known to draw, to move, to set a mode that
//! [`Left`](super::left::Left) can take back, or to ask a harmless question may
//! pass; everything else is dropped without a trace. A question that was
//! dropped gets no answer: programs wait a moment and go on.
//!
//! What passes is written anew, whole and in its plainest form, so terminals
//! cannot read into it what we did not: the terminal is never left in the
//! middle of anything.
//!
//! What it does not do: it does not judge text. A program can draw whatever it
//! likes, something that looks like a popup of ours or a shell's prompt too.
//! It takes the terminal for one that speaks UTF-8.

mod csi;
#[cfg(test)]
mod fuzz;
mod osc;
#[cfg(test)]
mod tests;

use super::lexer::Token;

pub(super) use csi::MODES;

/// The part of a token that may pass, if any. `room` is where a part is put
/// together.
pub(super) fn clean<'a>(token: Token<'a>, room: &'a mut Vec<u8>) -> Option<Token<'a>> {
    room.clear();
    match token {
        // U+0080 to U+009F are controls: U+009B begins a sequence in xterm.
        Token::Char(c) => (!c.is_control()).then_some(token),
        // Without ENQ, which types an answer, and flow control.
        Token::Control(byte) => matches!(byte, 0x00 | 0x07..=0x0f).then_some(token),
        Token::Escape { intermediates, last } => {
            passes_escape(intermediates, last).then_some(token)
        }
        Token::Csi { body, last } => {
            csi::clean(body, last, room).map(|body| Token::Csi { body, last })
        }
        // DCS, APC, PM, SOS and window names say nothing that is needed: they
        // define keys, read files, read settings, pass through tmux.
        Token::Text { whole } => osc::clean(whole, room).map(|whole| Token::Text { whole }),
    }
}

/// Not among them: `ESC SP G` and `ESC % @`, after which bytes mean something
/// else, `ESC Z`, and memory lock.
fn passes_escape(intermediates: &[u8], last: u8) -> bool {
    match intermediates {
        // Cursor, index, tab stop, single shift, reset, keypad, locking shift.
        [] => b"78DEHMNOc=>no|}~".contains(&last),
        // Character sets of 94.
        [b'(' | b')' | b'*' | b'+'] | [b'(' | b')' | b'*' | b'+', b'"' | b'%' | b'&'] => true,
        // Sizes of a line, and the alignment picture.
        [b'#'] => b"34568".contains(&last),
        _ => false,
    }
}
