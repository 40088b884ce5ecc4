//! Why a policy does not load. Nothing starts with a policy that does not load.

use crate::basis::Basis;
use crate::show::line as shown;

/// Why [`Policy::compile`](crate::Policy::compile) refused. Lines and columns
/// count from 1; files are named as the supervisor named them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    #[error("settings `{}` line {line}: {}", shown(.file), shown(.reason))]
    NotToml { file: String, line: u32, reason: String },

    #[error("settings `{}` line {line}: unknown key `{}`{}", shown(.file), shown(.key), did_you_mean(.likely))]
    UnknownKey { file: String, line: u32, key: String, likely: Option<String> },

    #[error("settings `{}` line {line}: `{}`: {}", shown(.file), shown(.key), shown(.reason))]
    Value { file: String, line: u32, key: String, reason: String },

    #[error(
        "settings `{}` line {line}: `{}` would allow more, and a project can only narrow; \
         put it into your own or the system's settings",
        shown(.file), shown(.key)
    )]
    Widens { file: String, line: u32, key: String },

    #[error("rules `{}` line {line} column {column}: {}", shown(.file), shown(.reason))]
    Rules { file: String, line: u32, column: u32, reason: String },

    #[error("no profile is called `{}`; there are {}", shown(.name), shown(.known))]
    NoProfile { name: String, known: String },

    #[error("cannot place the policy: {}", shown(.reason))]
    Place { reason: String },

    #[error("what agent `{}` needs does not fit the policy: {}", shown(.agent), shown(.reason))]
    Agent { agent: String, reason: String },
}

impl PolicyError {
    /// The file, line and column at which it is, as far as it is at one.
    pub fn place(&self) -> (Option<&str>, Option<u32>, Option<u32>) {
        match self {
            PolicyError::NotToml { file, line, .. }
            | PolicyError::UnknownKey { file, line, .. }
            | PolicyError::Value { file, line, .. }
            | PolicyError::Widens { file, line, .. } => (Some(file), Some(*line), None),
            PolicyError::Rules { file, line, column, .. } => {
                (Some(file), Some(*line), Some(*column))
            }
            PolicyError::NoProfile { .. }
            | PolicyError::Place { .. }
            | PolicyError::Agent { .. } => (None, None, None),
        }
    }

    /// A statement that contradicts another, or what the machine is like.
    pub(crate) fn about(basis: &Basis, reason: String) -> Self {
        match &basis.origin {
            Some(origin) => PolicyError::Value {
                file: origin.file.clone(),
                line: origin.line,
                key: basis.rule.clone(),
                reason,
            },
            None => PolicyError::Place { reason: format!("`{}` (built-in): {reason}", basis.rule) },
        }
    }
}

fn did_you_mean(key: &Option<String>) -> String {
    key.as_ref().map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}

/// The one of `known` that `word` is probably a misspelling of: at most two
/// letters added, dropped, changed or swapped, and more letters right than wrong.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance * 2 < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_key_finds_the_key_that_was_meant() {
        let known = ["allow", "ask", "default", "deny", "internal"];
        let find = |word| nearest(word, known.into_iter());
        assert_eq!(find("dney"), Some("deny"));
        assert_eq!(find("alow"), Some("allow"));
        assert_eq!(find("defaults"), Some("default"));
        assert_eq!(find("hosts"), None);
        assert_eq!(find("x"), None);
    }
}
