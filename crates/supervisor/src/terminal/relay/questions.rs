//! Which question is on the screen.

use std::time::Instant;

use remit_approvals::QuestionId;
use remit_approvals::popup::{Answered, Popup};
use remit_policy::Answer;

use super::{Relay, Shown};

impl Relay {
    /// Brings what is shown in line with which questions are open.
    pub(super) fn settle(&mut self) {
        let oldest = self.questions.keys().next().copied();
        if let Some(shown) = &mut self.shown {
            let id = shown.popup.posed().id;
            if self.questions.get(&id) == Some(shown.popup.posed()) {
                shown.popup.set_waiting(self.questions.len() - 1);
            } else if oldest.is_some() {
                // The next one takes its place, or the same as it is now.
                let area = shown.area;
                self.shown = None;
                self.to_outer.extend(self.screen.wipe(area));
                self.open(Instant::now());
            } else {
                self.hide();
            }
            return;
        }
        if oldest.is_some() && !self.background && !self.outer_gone {
            self.to_outer.extend(self.screen.cover());
            self.begin_input();
            self.open(Instant::now());
        }
    }

    /// Shows the oldest question on a covered screen.
    pub(super) fn open(&mut self, now: Instant) {
        let Some(posed) = self.questions.values().next() else {
            return;
        };
        let popup = Popup::new(posed.clone(), self.questions.len() - 1, now);
        let (cols, rows) = self.screen.size();
        let area = popup.area(cols, rows);
        self.shown = Some(Shown { popup, area, sent: false, asleep: true });
        self.draw();
    }

    pub(super) fn draw(&mut self) {
        let Some(shown) = &mut self.shown else { return };
        let (cols, rows) = self.screen.size();
        let area = shown.popup.area(cols, rows);
        if area != shown.area {
            self.to_outer.extend(self.screen.wipe(shown.area));
            shown.area = area;
        }
        let now = Instant::now();
        shown.asleep = shown.popup.wakes_at(now).is_some();
        self.to_outer.extend(shown.popup.draw(cols, rows, now));
        self.write_outer();
    }

    /// Takes the popup away and lets the program's output go on.
    pub(super) fn hide(&mut self) {
        let Some(shown) = self.shown.take() else {
            return;
        };
        self.to_outer.extend(self.screen.wipe(shown.area));
        self.to_outer.extend(self.screen.uncover());
        if !self.decoder.pasting() {
            // A sequence that began under the popup goes on without it.
            self.to_master.extend(&self.decoder.pending()[self.passed..]);
            self.passed = self.decoder.pending().len();
        }
        let held = std::mem::take(&mut self.held);
        self.forward(&held);
    }

    pub(super) fn answer(&mut self, id: QuestionId, answered: Answered) {
        let (by, people) = (self.by.clone(), [self.person.clone()].into());
        let answer = Answer { choice: answered.choice, by, people, note: answered.note };
        // Someone elsewhere may have been faster; then that stands. What takes another
        // answer stays, and what more people must agree to comes again as it is then.
        let heard = self.shared.desk.answer(id, answer);
        if !heard.is_err_and(|why| why.is_still_open()) {
            self.questions.remove(&id);
        }
        self.settle();
    }
}
