//! Which key gives which answer, wherever questions are answered by keys.

use remit_policy::Choice;

/// Each yes: its key, and what it covers in a word or two.
pub const YESES: [(char, &str, Choice); 5] = [
    ('o', "once", Choice::Once),
    ('s', "this session", Choice::Session),
    ('h', "this host", Choice::Host),
    ('d', "this domain", Choice::Domain),
    ('p', "this project", Choice::Project),
];

/// The yeses among what is offered, in the order in which they are shown.
pub fn yeses(offered: &[Choice]) -> impl Iterator<Item = (char, &'static str, Choice)> {
    YESES.into_iter().filter(|(_, _, choice)| offered.contains(choice))
}

/// The yes that a key gives, if it is offered.
pub fn yes(key: char, offered: &[Choice]) -> Option<Choice> {
    yeses(offered).find(|(letter, ..)| *letter == key).map(|(_, _, choice)| choice)
}
