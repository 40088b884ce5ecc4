//! Text as a rule file spells it.

use std::fmt::Write as _;

/// A string of Starlark in double quotes, on one line, in visible ASCII.
///
/// SOURCE: the Starlark specification, "String literals": `\\`, `\"`, `\u` with
/// four and `\U` with eight hexadecimal digits.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match (c, u32::from(c)) {
            ('"' | '\\', _) => out.extend(['\\', c]),
            (' '..='~', _) => out.push(c),
            (_, code @ 0..=0xffff) => drop(write!(out, "\\u{code:04x}")),
            (_, code) => drop(write!(out, "\\U{code:08x}")),
        }
    }
    out + "\""
}

/// A list of strings.
pub(super) fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    format!("[{}]", texts.into_iter().map(string).collect::<Vec<_>>().join(", "))
}
