//! What is different about a question, beside the most similar one before it.

use similar::{ChangeTag, TextDiff};

use super::history::Closed;

/// How alike two summaries must be for the difference to say something.
const ALIKE: f32 = 0.6;

/// A word of the question, and whether the one before had it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) tag: ChangeTag,
    pub(super) text: String,
}

/// The closed question that is most like `summary`, and the words by which they
/// differ. None if nothing is like it, or if it is the same.
pub(super) fn nearest<'c>(summary: &str, closed: &'c [Closed]) -> Option<(&'c Closed, Vec<Piece>)> {
    // Longer texts take long to compare, and their difference is not read.
    const LONGEST: usize = 2000;
    if summary.len() > LONGEST {
        return None;
    }
    let mut best: Option<(f32, &Closed)> = None;
    for other in closed.iter().filter(|other| other.summary.len() <= LONGEST) {
        let ratio = TextDiff::from_words(other.summary.as_str(), summary).ratio();
        if ratio >= ALIKE && best.is_none_or(|(most, _)| ratio > most) {
            best = Some((ratio, other));
        }
    }
    let (_, other) = best?;
    let diff = TextDiff::from_words(other.summary.as_str(), summary);
    let pieces = diff
        .iter_all_changes()
        .map(|change| Piece { tag: change.tag(), text: change.value().to_owned() })
        .collect();
    (other.summary != summary).then_some((other, pieces))
}

#[cfg(test)]
mod tests {
    use remit_policy::Choice;

    use super::*;

    fn closed(summary: &str) -> Closed {
        Closed {
            session: "s".to_owned(),
            number: 1,
            summary: summary.to_owned(),
            rule: String::new(),
            choice: Choice::Once,
            by: "ada".to_owned(),
            note: None,
            waited_ms: 1,
        }
    }

    #[test]
    fn the_word_that_makes_the_difference_is_found() {
        let before =
            [closed("run `ls`"), closed("run `git push origin main`"), closed("run `make`")];
        let (other, pieces) = nearest("run `git push --force origin main`", &before).unwrap();
        assert_eq!(other.summary, "run `git push origin main`");
        let new: String = pieces
            .iter()
            .filter(|piece| piece.tag == ChangeTag::Insert)
            .map(|piece| piece.text.as_str())
            .collect();
        assert_eq!(new.trim(), "--force");
    }

    #[test]
    fn what_is_the_same_or_like_nothing_has_no_difference() {
        let before = [closed("run `git push origin main`")];
        assert!(nearest("run `git push origin main`", &before).is_none());
        assert!(nearest("connect to `a.example:443`", &before).is_none());
    }
}
