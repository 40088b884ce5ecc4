//! The words for system calls that are refused whatever the policy says.

use crate::basis::Basis;
use crate::verdict::Refusal;

struct Row {
    calls: &'static [&'static str],
    attempt: &'static str,
    rule: &'static str,
    reason: &'static str,
    instead: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/calls.rs"));

/// What is said to a program that made this call, which no policy allows.
///
/// It decides nothing: the filter refuses, whether there are words or not.
pub fn refused_call(name: &str) -> Refusal {
    let row = ROWS.iter().find(|row| row.calls.contains(&name));
    let words = |row: &Row| Refusal {
        attempt: format!("{} (`{name}`)", row.attempt),
        basis: Basis { justification: Some(row.reason.to_owned()), ..Basis::built_in(row.rule) },
        instead: Some(row.instead.to_owned()),
        note: None,
    };
    row.map_or_else(
        || Refusal {
            attempt: format!("the system call `{name}`"),
            basis: Basis::built_in("calls that nobody inside may make"),
            instead: None,
            note: None,
        },
        words,
    )
}

/// Every call that has words of its own.
pub fn calls_with_words() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|row| row.calls.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_is_told_with_its_rule_reason_and_way_out() {
        let told = refused_call("mount").to_string();
        assert_eq!(
            told,
            "refused: change what is mounted (`mount`)\n  \
             by `mounts are made outside` (built-in)\n  \
             because: a mount can show what is hidden and make writable what is not\n  \
             allowed instead: directories in the workspace or in /tmp; more roots by `sandbox.write` in the policy"
        );
    }

    #[test]
    fn no_call_is_in_two_rows() {
        let mut names: Vec<_> = calls_with_words().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
