//! Proposed rules as text that loads.

use std::collections::BTreeSet;
use std::fmt;

use crate::show;

use super::{Left, Proposal, Proposed};

/// A rule about commands that begin so, with one of them.
pub(super) fn command(beginning: &[String], example: &[String]) -> String {
    let list = |words: &[String]| {
        format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
    };
    format!(
        "prefix_rule(\n    pattern = {},\n    decision = \"allow\",\n    match = [{}],\n)\n",
        list(beginning),
        list(example)
    )
}

/// A rule about connections to `host:port`.
pub(super) fn host(there: &str, port: u16) -> String {
    format!(
        "network_rule(host = {}, protocol = \"{}\", decision = \"allow\")\n",
        quoted(there),
        protocol(port)
    )
}

/// A rule about requests there.
pub(super) fn request(there: &str, port: u16, path: &str, methods: &BTreeSet<&str>) -> String {
    let methods: Vec<_> = methods.iter().map(|method| quoted(method)).collect();
    format!(
        "network_rule(\n    host = {},\n    protocol = \"{}\",\n    decision = \"allow\",\n    \
         methods = [{}],\n    paths = [{}],\n)\n",
        quoted(there),
        protocol(port),
        methods.join(", "),
        quoted(path)
    )
}

fn protocol(port: u16) -> &'static str {
    match port {
        80 => "http",
        443 => "https",
        _ => "socks5_tcp",
    }
}

/// A string of the rule language. Brackets without a partner are written by number,
/// because the language counts them wherever they stand; so is what a terminal
/// would hide.
fn quoted(text: &str) -> String {
    let paired = has_pairs(text);
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '(' | ')' | '[' | ']' | '{' | '}' if !paired => {
                out.push_str(&format!("\\x{:02x}", c as u32))
            }
            c if show::line(c.encode_utf8(&mut [0; 4])).chars().eq([c]) => out.push(c),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

/// Whether each bracket has its partner, and few stand within others.
fn has_pairs(text: &str) -> bool {
    let mut depth = 0_u8;
    for c in text.chars() {
        match c {
            '(' | '[' | '{' if depth == 8 => return false,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return false,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

impl fmt::Display for Proposal {
    /// A rules file: each rule under a comment about what it is for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Proposed { text, answers, about }) in self.rules.iter().enumerate() {
            let gap = if number == 0 { "" } else { "\n" };
            writeln!(f, "{gap}# Would have answered {}:", questions(*answers))?;
            for what in about {
                writeln!(f, "#   {what}")?;
            }
            f.write_str(text)?;
        }
        if !self.left.is_empty() {
            let gap = if self.rules.is_empty() { "" } else { "\n" };
            writeln!(f, "{gap}# No rule is proposed for these, so they will be asked again:")?;
        }
        for Left { what, why, questions: asked } in &self.left {
            writeln!(f, "#   {what} ({}): {}", questions(*asked), show::line(why))?;
        }
        Ok(())
    }
}

fn questions(number: usize) -> String {
    format!("{number} question{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_written_so_that_it_reads_the_same_and_hides_nothing() {
        assert_eq!(quoted("a \"b\" \\"), r#""a \"b\" \\""#);
        assert_eq!(quoted("f(x)[0]"), r#""f(x)[0]""#);
        assert_eq!(quoted("f(x"), r#""f\x28x""#);
        assert_eq!(quoted(")("), r#""\x29\x28""#);
        assert_eq!(quoted("a\n\u{202e}é"), r#""a\U0000000a\U0000202eé""#);
    }
}
