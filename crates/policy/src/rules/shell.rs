//! Splits a line into words as a POSIX shell would, without expanding anything.

/// The words of one line; nothing if a quotation or a `\` is left open.
///
/// `'…'` keeps everything, `"…"` keeps all but `\` before `$`, `` ` ``, `"`, `\`
/// and a newline, `#` at the beginning of a word starts a comment.
/// SOURCE: POSIX.1-2024, Shell Command Language, §2.2 Quoting.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '#' if word.is_none() => {
                rest.by_ref().find(|c| *c == '\n');
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => quoted(&mut rest, word.get_or_insert_default())?,
            '\\' => match rest.next()? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

fn quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            '"' => return Some(()),
            '\\' => match rest.next()? {
                '\n' => {}
                c @ ('$' | '`' | '"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[track_caller]
    fn check(line: &str, expected: Option<&[&str]>) {
        let found = split(line);
        let found: Option<Vec<&str>> =
            found.as_ref().map(|w| w.iter().map(String::as_str).collect());
        assert_eq!(found.as_deref(), expected, "{line:?}");
    }

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        check("", Some(&[]));
        check(" git  push ", Some(&["git", "push"]));
        check("a 'b c' \"d e\" f\\ g", Some(&["a", "b c", "d e", "f g"]));
        check("a'b'\"c\"d", Some(&["abcd"]));
        check("'' \"\"", Some(&["", ""]));
        check(r#""a\"b\$c\d""#, Some(&[r#"a"b$c\d"#]));
        check(r"'a\'", Some(&[r"a\"]));
        check("a#b #c\nd", Some(&["a#b", "d"]));
        check("a\\\nb", Some(&["ab"]));
        check("'a", None);
        check("\"a", None);
        check("a\\", None);
    }
}
