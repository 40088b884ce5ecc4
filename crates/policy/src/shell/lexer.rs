//! Splits a shell text into words and operators, as long as all shells agree on
//! where they end. An error where they may not.
//!
//! SOURCE: POSIX.1-2024, Shell Command Language, §2.2 Quoting and §2.3 Token
//! Recognition; the manuals of bash 5.2, dash 0.5.12 and zsh 5.9 for what they add.

use std::collections::VecDeque;
use std::ops::Range;

use super::Doubt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `;`, `&&`, `(`, … and `\n`, with its place in the text.
    Operator(&'static str, usize),
    /// What stands before the word that says from where or whereto.
    Redirect {
        /// The descriptor, if one is named.
        descriptor: Option<String>,
        operator: &'static str,
        at: usize,
    },
    /// A here-document with its body, and whether the body is taken as it stands.
    Here {
        body: String,
        exact: bool,
        at: usize,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// After quote removal; as written if there is a doubt.
    pub(super) text: String,
    pub(super) span: Range<usize>,
    /// Whether nothing in it was quoted, so that it may be a reserved word.
    pub(super) bare: bool,
    /// Where in `text` the `=` of an assignment is.
    pub(super) equals: Option<usize>,
    pub(super) doubt: Option<&'static str>,
}

/// Longest first.
const OPERATORS: [&str; 13] =
    [";;&", "&&", "||", "|&", ";;", ";&", ";|", "\n", ";", "&", "|", "(", ")"];
const REDIRECTS: [&str; 14] =
    ["&>>", "<<<", "<<-", "&>", ">>", "<<", "<&", ">&", ">|", "<>", ">!", "<(", "<", ">"];

const EXPANSION: &str = "what it stands for is known only when it runs";
const SUBSTITUTION: &str = "what the inner commands print is known only when they run";
const ENDS: &str = "it ends within a quotation";

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Doubt> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), awaited: VecDeque::new() };
    while lexer.at < text.len() {
        lexer.step()?;
    }
    match lexer.awaited.is_empty() {
        true => Ok(lexer.tokens),
        false => Err(Doubt::new(text, "a here-document without its end")),
    }
}

/// One word after quote removal; as written if it is not exactly one word.
pub(super) fn unquoted(raw: &str) -> String {
    match tokens(raw).as_deref() {
        Ok([Token::Word(word)]) => word.text.clone(),
        _ => raw.to_owned(),
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    /// Here-documents whose bodies begin after this line.
    awaited: VecDeque<Awaited>,
}

struct Awaited {
    token: usize,
    delimiter: String,
    strip_tabs: bool,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self) -> Result<(), Doubt> {
        let rest = self.rest();
        if rest.starts_with([' ', '\t']) {
            self.at += 1;
        } else if rest.starts_with("\\\n") {
            self.at += 2;
        } else if rest.starts_with('#') {
            self.at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("<(") || rest.starts_with(">(") {
            return Err(Doubt::new(rest, SUBSTITUTION));
        } else if let Some(operator) = REDIRECTS.iter().find(|op| rest.starts_with(**op)) {
            self.redirect(None, operator)?;
        } else if let Some(operator) = OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            self.tokens.push(Token::Operator(operator, self.at));
            self.at += operator.len();
            if *operator == "\n" {
                self.bodies()?;
            }
        } else {
            let word = self.word()?;
            let number = word.bare && word.text.bytes().all(|b| b.is_ascii_digit());
            let operator = REDIRECTS.iter().find(|op| self.rest().starts_with(**op));
            match operator.filter(|op| number && !op.starts_with('&')) {
                Some(operator) => self.redirect(Some(word), operator)?,
                None => self.tokens.push(Token::Word(word)),
            }
        }
        Ok(())
    }

    fn redirect(&mut self, number: Option<Word>, operator: &'static str) -> Result<(), Doubt> {
        let at = number.as_ref().map_or(self.at, |number| number.span.start);
        let descriptor = number.map(|number| number.text);
        self.at += operator.len();
        if !matches!(operator, "<<" | "<<-") {
            self.tokens.push(Token::Redirect { descriptor, operator, at });
            return Ok(());
        }
        while self.rest().starts_with([' ', '\t']) {
            self.at += 1;
        }
        let start = self.at;
        let word = self.word()?;
        if word.doubt.is_some() || word.text.is_empty() || descriptor.is_some_and(|d| d != "0") {
            return Err(Doubt::new(&self.text[at..], "a here-document of an unusual kind"));
        }
        debug_assert_eq!(start, word.span.start);
        self.awaited.push_back(Awaited {
            token: self.tokens.len(),
            delimiter: word.text,
            strip_tabs: operator == "<<-",
        });
        self.tokens.push(Token::Here { body: String::new(), exact: !word.bare, at });
        Ok(())
    }

    /// Reads the bodies of the here-documents that the line before began.
    fn bodies(&mut self) -> Result<(), Doubt> {
        while let Some(awaited) = self.awaited.pop_front() {
            let start = self.at;
            let mut found = String::new();
            loop {
                let rest = &self.text[self.at..];
                if rest.is_empty() {
                    return Err(Doubt::new(&self.text[start..], "a here-document without its end"));
                }
                let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
                self.at += end;
                let line = &rest[..end];
                let line = if awaited.strip_tabs { line.trim_start_matches('\t') } else { line };
                if line.strip_suffix('\n').unwrap_or(line) == awaited.delimiter {
                    break;
                }
                found.push_str(line);
            }
            let whole = &self.text[start..self.at];
            if let Some(Token::Here { body, exact, .. }) = self.tokens.get_mut(awaited.token) {
                if !*exact && found.contains(['$', '`', '\\']) {
                    return Err(Doubt::new(whole, EXPANSION));
                }
                *body = found;
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Word, Doubt> {
        let start = self.at;
        let mut word = Word { bare: true, ..Word::default() };
        // Whether everything so far could be the name of a variable.
        let mut name = true;
        // What came last, a continued line aside.
        let mut last = Last::Nothing;
        while let Some(c) = self.peek() {
            let rest = self.rest();
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => {
                    let inner = &rest[1..];
                    let end = inner.find('\'').ok_or_else(|| Doubt::new(rest, ENDS))?;
                    word.text.push_str(&inner[..end]);
                    word.bare = false;
                    self.at += end + 2;
                }
                '"' => self.double(&mut word)?,
                '\\' => {
                    let next = rest[1..].chars().next().ok_or_else(|| Doubt::new(rest, ENDS))?;
                    self.at += 1 + next.len_utf8();
                    if next == '\n' {
                        continue;
                    }
                    word.text.push(next);
                    word.bare = false;
                }
                '$' if rest[1..].starts_with('\'') => self.ansi(&mut word)?,
                '$' | '`' => self.expansion(&mut word)?,
                _ => {
                    let after = rest[c.len_utf8()..].chars().next();
                    word.doubt = word.doubt.or_else(|| special(c, last, after));
                    if c == '=' && name && last != Last::Nothing && word.equals.is_none() {
                        word.equals = Some(word.text.len());
                    }
                    let digit = c.is_ascii_digit() && last != Last::Nothing;
                    name &= c == '_' || c.is_ascii_alphabetic() || digit;
                    word.text.push(c);
                    self.at += c.len_utf8();
                    last = Last::Bare(c);
                    continue;
                }
            }
            last = Last::Quoted;
            name = false;
        }
        word.span = start..self.at;
        let raw = &self.text[word.span.clone()];
        word.doubt = match raw {
            "[" | "[[" | "{" | "}" | "!=" | "=" => None,
            _ => word.doubt,
        };
        if word.doubt.is_some() {
            word.text = raw.to_owned();
        }
        match raw.is_empty() {
            true => Err(Doubt::new(self.rest(), "it is not a text of a shell")),
            false => Ok(word),
        }
    }

    fn double(&mut self, word: &mut Word) -> Result<(), Doubt> {
        let whole = self.at;
        self.at += 1;
        word.bare = false;
        loop {
            let rest = self.rest();
            let mut chars = rest.chars();
            match chars.next() {
                None => return Err(Doubt::new(&self.text[whole..], ENDS)),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => {
                    let Some(next) = chars.next() else {
                        return Err(Doubt::new(&self.text[whole..], ENDS));
                    };
                    match next {
                        '\n' => {}
                        '$' | '`' | '"' | '\\' => word.text.push(next),
                        _ => word.text.extend(['\\', next]),
                    }
                    self.at += 1 + next.len_utf8();
                }
                Some('$' | '`') => self.expansion(word)?,
                Some(c) => {
                    word.text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// `$'…'`, which some shells take for a `$` before `'…'`.
    fn ansi(&mut self, word: &mut Word) -> Result<(), Doubt> {
        let mut escaped = false;
        let inner = &self.text[self.at + 2..];
        for (i, c) in inner.char_indices() {
            if c == '\'' && !escaped {
                self.at += 2 + i + 1;
                word.bare = false;
                word.doubt = Some("its escapes are not read alike by all shells");
                return Ok(());
            }
            escaped = c == '\\' && !escaped;
        }
        Err(Doubt::new(self.rest(), ENDS))
    }

    /// A `$` or a `` ` ``. Goes on after `$name`, `${name}` and a `$` that stands
    /// for itself; an error for all others, whose end is not known here.
    fn expansion(&mut self, word: &mut Word) -> Result<(), Doubt> {
        let rest = self.rest();
        let whole = rest;
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let length = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
        let Some(after) = rest.strip_prefix('$') else {
            return Err(Doubt::new(whole, SUBSTITUTION));
        };
        let taken = match after.chars().next() {
            Some('(' | '[') => return Err(Doubt::new(whole, SUBSTITUTION)),
            Some('{') => match length(&after[1..]) {
                0 => return Err(Doubt::new(whole, EXPANSION)),
                name if after[1 + name..].starts_with('}') => name + 2,
                _ => return Err(Doubt::new(whole, EXPANSION)),
            },
            Some(c) if is_name(c) => length(after),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => 0,
        };
        word.doubt = Some(EXPANSION);
        word.bare = false;
        self.at += 1 + taken;
        Ok(())
    }
}

/// What the last character of an unfinished word is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Quoted,
    Bare(char),
}

/// What is not known about a word that has this character in it, unquoted, behind
/// what came last and before what comes after.
fn special(c: char, last: Last, after: Option<char>) -> Option<&'static str> {
    let begins = last == Last::Nothing;
    match c {
        '*' | '?' | '[' => Some("which files it stands for is known only when it runs"),
        '{' if after == Some('}') => None,
        '}' if last == Last::Bare('{') => None,
        '{' | '}' => Some("some shells make several words of it"),
        '~' if begins || matches!(last, Last::Bare('=' | ':')) => {
            Some("whose home it stands for is known only when it runs")
        }
        '=' if begins => Some("some shells put the path of a program there"),
        '=' if last == Last::Bare('+') => Some("some shells take it for an assignment"),
        '!' if begins && after.is_some_and(|c| !c.is_whitespace() && c != ';') => {
            Some("some shells put an earlier command there")
        }
        _ => None,
    }
}
