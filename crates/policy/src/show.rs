//! Text that came from an agent, made safe and honest for a person's eyes.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

/// One line: control, bidirectional, zero-width and other invisible characters
/// become `\u{…}`; what is left is what a terminal will show.
pub fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut shown, c);
    }
    shown
}

/// An argument vector as a shell would need it typed: words that need quotes
/// have them, bytes that are not UTF-8 become `\x…`.
pub fn command(argv: &[OsString]) -> String {
    argv.iter().map(|word| self::word(word.as_bytes())).collect::<Vec<_>>().join(" ")
}

fn word(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut shown, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,~^".contains(&b) || b >= 0x80;
    if !shown.is_empty() && shown.bytes().all(plain) {
        return shown;
    }
    format!("'{}'", shown.replace('\'', r"'\''"))
}

fn push(shown: &mut String, c: char) {
    if is_deceptive(c) {
        let _ = write!(shown, "{}", c.escape_unicode());
    } else {
        shown.push(c);
    }
}

/// Characters that a terminal obeys or hides instead of showing.
///
/// SOURCE: Unicode general categories Cc, Cf, Zl, Zp, the variation selectors
/// and tags, and the blank letters U+115F, U+1160, U+3164, U+FFA0, U+2800.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelt_out() {
        assert_eq!(line("a\u{1b}[31m\u{202e}b\r\n"), r"a\u{1b}[31m\u{202e}b\u{d}\u{a}");
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_would_need_it() {
        let argv = ["git", "commit", "-m", "it's done", ""].map(OsString::from);
        assert_eq!(command(&argv), r"git commit -m 'it'\''s done' ''");
    }
}
