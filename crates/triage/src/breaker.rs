//! When a reviewer is asked no more.

use std::collections::VecDeque;

/// Refusals among the last [`WINDOW`] questions that are too many, in a row or not.
const MOST: usize = 10;

const WINDOW: usize = 50;

/// Counts what a reviewer did in one session. Once it is out, it stays out: an agent
/// that is refused again and again is looking for a way round, and a reviewer that
/// is not there keeps everybody waiting. Either is for a person to see.
#[derive(Clone, Debug)]
pub struct Breaker {
    in_a_row: u32,
    without_answer: u32,
    /// Whether each of the last questions was refused, oldest first.
    last: VecDeque<bool>,
    why: Option<String>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { in_a_row: 0, without_answer: 0, last: VecDeque::with_capacity(WINDOW), why: None }
    }
}

impl Breaker {
    /// Whether the reviewer is asked no more.
    pub fn is_out(&self) -> bool {
        self.why.is_some()
    }

    /// Notes an answer; `most` refusals in a row are too many. Says why, if the
    /// reviewer is out from now on.
    pub fn answered(&mut self, refused: bool, most: u32) -> Option<String> {
        self.without_answer = 0;
        self.in_a_row = if refused { self.in_a_row + 1 } else { 0 };
        if self.last.len() == WINDOW {
            self.last.pop_front();
        }
        self.last.push_back(refused);
        let among = self.last.iter().filter(|refused| **refused).count();
        if self.in_a_row >= most {
            return self.end(format!("it refused {} in a row", self.in_a_row));
        }
        if among >= MOST {
            return self.end(format!("it refused {among} of the last {}", self.last.len()));
        }
        None
    }

    /// Notes that there was no answer; `most` in a row are too many.
    pub fn unanswered(&mut self, most: u32) -> Option<String> {
        self.without_answer += 1;
        match self.without_answer >= most {
            true => self.end(format!("it did not answer {} in a row", self.without_answer)),
            false => None,
        }
    }

    fn end(&mut self, why: String) -> Option<String> {
        if self.is_out() {
            return None;
        }
        self.why = Some(why);
        self.why.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `r` refused, `a` allowed, `n` no answer; returns at which it was out.
    fn out_at(played: &str, most: u32) -> Option<usize> {
        let mut breaker = Breaker::default();
        played.chars().position(|what| {
            match what {
                'n' => breaker.unanswered(most),
                what => breaker.answered(what == 'r', most),
            };
            breaker.is_out()
        })
    }

    #[test]
    fn refusals_or_silence_in_a_row_and_refusals_in_number_end_it() {
        assert_eq!(out_at("rrr", 3), Some(2));
        assert_eq!(out_at("rrarrarra", 3), None);
        assert_eq!(out_at("r", 1), Some(0));
        assert_eq!(out_at("nnn", 3), Some(2));
        assert_eq!(out_at("nnanna", 3), None);
        assert_eq!(out_at("nnrnnr", 3), None);
        // No answer is no refusal, and no end of a row of them.
        assert_eq!(out_at("rrnr", 3), Some(3));
        assert_eq!(out_at(&"ra".repeat(10), 50), Some(18));
        assert_eq!(out_at(&"raaaaaa".repeat(30), 50), None);
    }

    #[test]
    fn it_is_said_once_and_stays() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.answered(true, 2), None);
        assert_eq!(breaker.answered(true, 2).as_deref(), Some("it refused 2 in a row"));
        assert_eq!(breaker.answered(true, 2), None);
        assert_eq!(breaker.answered(false, 2), None);
        assert!(breaker.is_out());
    }
}
