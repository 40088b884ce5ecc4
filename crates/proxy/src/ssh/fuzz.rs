//! Commands nobody would type and greetings no host would send.

use bolero::{check, produce};

use super::command::Command;
use super::watch::tests::{blob, shown};
use super::watch::{Greeting, Seen};

/// What commands are made of, and what shells make of them.
const PIECES: [&str; 20] = [
    "git-upload-pack",
    "git",
    "upload-pack",
    " ",
    "'",
    "\\",
    "!",
    "\\'",
    "'\\''",
    "a.git",
    ";",
    "$(id)",
    "--x",
    "=",
    "\n",
    "\"",
    "*",
    "~",
    "é",
    "\u{202e}",
];

/// What a POSIX shell reads of words that have only quotes in them.
///
/// SOURCE: POSIX.1-2024, shell command language §2.2.
fn read_by_a_shell(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (vec![], None::<String>, false);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if quoted => word.get_or_insert_default().push(c),
            '\\' => word.get_or_insert_default().extend(rest.next()),
            ' ' => words.extend(word.take()),
            c => {
                let safe = c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
                assert!(safe, "a shell may obey `{c}` in {text}");
                word.get_or_insert_default().push(c);
            }
        }
    }
    assert!(!quoted, "{text} goes on");
    words.extend(word);
    words
}

fn lawful(bytes: &[u8]) {
    let Ok(command) = Command::parse(bytes) else { return };
    let sent = command.to_string();
    assert_eq!(Command::parse(sent.as_bytes()), Ok(command.clone()), "{sent}");
    let words = read_by_a_shell(&sent);
    assert_eq!(words.first().map(String::as_str), Some(command.name()), "{sent}");
    assert!(!sent.chars().any(char::is_control), "{sent}");
}

#[test]
fn a_command_is_to_a_shell_what_it_is_to_us() {
    let picks = produce::<Vec<u8>>().with().len(0..12_usize);
    check!().with_iterations(20_000).with_generator(picks).for_each(|picks| {
        let pieces = picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]);
        lawful(pieces.collect::<String>().as_bytes());
    });
}

#[test]
fn no_bytes_at_all_are_too_odd_for_a_command() {
    check!().with_iterations(10_000).for_each(|bytes: &[u8]| lawful(bytes));
}

#[test]
fn a_bent_greeting_shows_the_same_key_or_a_wrong_one_but_never_panics() {
    let input = (produce::<u16>(), produce::<u8>(), produce::<u8>());
    check!().with_iterations(20_000).with_generator(input).for_each(|(at, bent, size)| {
        let mut bytes = shown(&blob());
        let at = usize::from(*at) % bytes.len();
        bytes[at] = *bent;
        let mut whole = Greeting::default();
        let expected = whole.feed(&bytes);
        let mut cut = Greeting::default();
        let seen = bytes.chunks(usize::from(*size).max(1)).map(|piece| cut.feed(piece));
        assert_eq!(
            seen.into_iter().find(|seen| *seen != Seen::More).unwrap_or(Seen::More),
            expected
        );
    });
}
