//! `*` is any text, `?` one byte; letters count in either case.

/// Takes time linear in the text for each `*` of the pattern.
pub(super) fn glob(pattern: &str, text: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut at, mut from) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, from));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(&text[from]) => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((again, start)) = retry else { return false };
                retry = Some((again, start + 1));
                at = again;
                from = start + 1;
            }
        }
    }
    pattern[at..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn stars_are_any_text_and_question_marks_one_byte() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(glob(pattern, text.as_bytes()), expected, "{pattern} {text}");
        };
        check("", "", true);
        check("*", "", true);
        check("a*c", "abbc", true);
        check("a*c", "abb", false);
        check("*ab", "aab", true);
        check("4???", "4755", true);
        check("4???", "475", false);
        check("core.pager=*", "Core.Pager=x", true);
        check("*.*", "a.b.c", true);
        check("a", "ab", false);
    }
}
