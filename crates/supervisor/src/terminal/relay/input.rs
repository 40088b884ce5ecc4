//! Bytes from the person: for the program, or for the popup.

use std::os::fd::AsFd as _;
use std::time::Instant;

use remit_approvals::keys::{Input, Piece};
use rustix::io::Errno;
use rustix::termios::{LocalModes, tcgetattr};

use super::{Relay, write_some};

impl Relay {
    pub(super) fn write_master(&mut self) {
        if write_some(self.master.as_fd(), &mut self.to_master).is_err() {
            // Nobody has the other side open: nobody will read this.
            self.to_master.clear();
        }
    }

    pub(super) fn read_outer(&mut self) {
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.outer, &mut bytes) {
            Ok(count @ 1..) => {
                let input = self.pastes.push(&bytes[..count], Instant::now());
                self.on_input(&input);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(0) | Err(_) => self.lose_outer(),
        }
    }

    pub(super) fn on_input(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.time_out_input();
        self.last_input = Instant::now();
        let pieces = self.decoder.push(bytes);
        if self.shown.is_none() {
            if self.is_shown_what_is_typed() {
                self.shared.desk.typed(&pieces);
            }
            for piece in &pieces {
                self.pass_on(piece);
            }
            if !(self.decoder.pasting() && self.popup_paste) {
                self.to_master.extend(&self.decoder.pending()[self.passed..]);
                self.passed = self.decoder.pending().len();
            }
            return;
        }
        let keys = pieces.iter().filter(|piece| matches!(piece.input, Input::Key(_))).count();
        for piece in &pieces {
            self.take(piece, keys);
        }
        if self.shown.is_some() {
            self.draw();
        }
    }

    /// Whether the program does not read a line without showing it, as programs read
    /// passwords.
    fn is_shown_what_is_typed(&self) -> bool {
        tcgetattr(&self.master).is_ok_and(|modes| {
            let modes = modes.local_modes;
            !modes.contains(LocalModes::ICANON) || modes.contains(LocalModes::ECHO)
        })
    }

    /// Input while no popup is shown belongs to the program, but for the rest
    /// of a paste that began under one.
    pub(super) fn pass_on(&mut self, piece: &Piece) {
        let passed = std::mem::take(&mut self.passed);
        if piece.input == Input::Pasted {
            if piece.raw == b"\x1b[200~" {
                self.popup_paste = false;
            }
            if self.popup_paste {
                return;
            }
        }
        self.to_master.extend(&piece.raw[passed..]);
    }

    /// Input while a popup is shown: keys are for it, what the terminal says
    /// to the program is not, and what began before it is the program's.
    /// `keys` is how many keys came at once.
    pub(super) fn take(&mut self, piece: &Piece, keys: usize) {
        let Some(shown) = &mut self.shown else {
            // An answer closed the popup. A key that came with it was typed
            // blindly; a report is still the program's.
            if matches!(piece.input, Input::Report | Input::Position { .. }) {
                self.to_master.extend(&piece.raw);
            }
            return;
        };
        if self.passed > 0 {
            let passed = std::mem::take(&mut self.passed);
            self.to_master.extend(&piece.raw[passed..]);
            return;
        }
        match piece.input {
            Input::Report | Input::Position { .. } => self.to_master.extend(&piece.raw),
            Input::Pasted => {
                if piece.raw == b"\x1b[200~" {
                    self.popup_paste = true;
                }
                if !self.popup_paste {
                    self.to_master.extend(&piece.raw);
                }
            }
            Input::Other => {}
            // Several keys at once are a paste without its marks, or typing
            // ahead; and nobody can have read what was not sent yet.
            Input::Key(_) if !shown.sent || (keys > 1 && !shown.popup.noting()) => {
                shown.popup.disturb(self.last_input);
            }
            Input::Key(key) => {
                let id = shown.popup.posed().id;
                if let Some(answered) = shown.popup.key(key, self.last_input) {
                    self.answer(id, answered);
                }
            }
        }
    }

    /// The screen was just covered: sorts out input that is under way.
    pub(super) fn begin_input(&mut self) {
        self.time_out_input();
        self.popup_paste = false;
    }
}
