//! The strict reader: lists, pipelines, groups, `if`, `while`, `for`, `case` and
//! simple commands. What it cannot place ends it with a doubt.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::lexer::{Token, Word};
use super::names::{self, RESERVED, is_obeyed_by_shells};
use super::{Doubt, Input, Script, Simple};

/// How deep groups may stand in each other.
const DEEPEST: usize = 60;

/// In how many directories one command may run before that is a doubt.
const MOST_DIRECTORIES: usize = 4;

type Directories = Arc<[PathBuf]>;

/// Where a shell may stand after a list: if it succeeded, and if it failed.
#[derive(Clone)]
struct After {
    yes: Directories,
    no: Directories,
}

impl After {
    fn unchanged(directories: &Directories) -> Self {
        Self { yes: directories.clone(), no: directories.clone() }
    }
}

/// The script, and what of the text can be left out to cut it without cutting a
/// group in two; nothing if it was not read to its end.
pub(super) fn parse(text: &str, tokens: &[Token]) -> (Script, Vec<Range<usize>>) {
    let mut awaits = false;
    let awaits_here = tokens.iter().map(|token| {
        let before = awaits;
        awaits = match token {
            Token::Here { .. } => true,
            Token::Operator("\n", _) => false,
            _ => awaits,
        };
        before
    });
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        depth: 0,
        awaits_here: awaits_here.collect(),
        cuts: Vec::new(),
        script: Script::default(),
    };
    let start: Directories = Arc::new([PathBuf::new()]);
    let end = parser.list(start, &[]);
    let left_over = end.is_ok() && parser.at < tokens.len();
    let mut script = std::mem::take(&mut parser.script);
    if let Err(doubt) = end {
        script.doubts.push(doubt);
        parser.cuts.clear();
    } else if left_over {
        script.doubts.push(Doubt::new(text, NOT_UNDERSTOOD));
        parser.cuts.clear();
    }
    (script, parser.cuts)
}

const AMPERSAND: &str = "some shells end the command at the `&` before it";
const NOT_UNDERSTOOD: &str = "its syntax is not understood";

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Whether the body of a here-document begins after the line of each token.
    awaits_here: Vec<bool>,
    cuts: Vec<Range<usize>>,
    script: Script,
}

impl Parser<'_> {
    /// Commands up to one of `ends` in command position, or the end of the text.
    fn list(&mut self, directories: Directories, ends: &[&str]) -> Result<After, Doubt> {
        let mut after = After::unchanged(&directories);
        loop {
            while self.is_operator("\n") {
                self.at += 1;
            }
            if self.at == self.tokens.len() || self.is_end(ends) {
                return Ok(after);
            }
            let here = self.either(&after.yes, &after.no);
            after = self.and_or(here.clone())?;
            if self.is_operator("&") {
                after = After::unchanged(&here);
            } else if !self.is_operator(";") && !self.is_operator("\n") {
                return Ok(after);
            }
            self.at += 1;
            self.can_cut(None);
        }
    }

    fn and_or(&mut self, directories: Directories) -> Result<After, Doubt> {
        let mut left = self.pipeline(directories)?;
        loop {
            let and = self.is_operator("&&");
            if !and && !self.is_operator("||") {
                return Ok(left);
            }
            let operator = begin(&self.tokens[self.at]);
            self.at += 1;
            self.newlines();
            self.can_cut(Some(operator));
            left = if and {
                let right = self.pipeline(left.yes)?;
                After { no: self.either(&left.no, &right.no), yes: right.yes }
            } else {
                let right = self.pipeline(left.no)?;
                After { yes: self.either(&left.yes, &right.yes), no: right.no }
            };
        }
    }

    fn pipeline(&mut self, directories: Directories) -> Result<After, Doubt> {
        let mut negated = false;
        while self.is_bare("!") {
            self.at += 1;
            negated = !negated;
        }
        let mut before = self.script.commands.len()..self.script.commands.len();
        let mut stages = 0;
        loop {
            let start = self.script.commands.len();
            let after = self.element(directories.clone())?;
            let stage = start..self.script.commands.len();
            stages += 1;
            if stages > 1 {
                super::feed(&mut self.script.commands, &before, &stage);
            }
            if self.is_operator("|") || self.is_operator("|&") {
                let operator = begin(&self.tokens[self.at]);
                self.at += 1;
                self.newlines();
                self.can_cut(Some(operator));
                before = stage;
                continue;
            }
            return Ok(match (stages, negated) {
                (1, false) => after,
                (1, true) => After { yes: after.no, no: after.yes },
                // Some shells run the last stage themselves.
                _ => {
                    let all = self.either(&after.yes, &after.no);
                    After::unchanged(&self.either(&all, &directories))
                }
            });
        }
    }

    fn element(&mut self, directories: Directories) -> Result<After, Doubt> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Doubt::new(self.rest(), "it is nested too deeply to be read"));
        }
        let start = self.script.commands.len();
        let reserved = self.word().filter(|word| word.bare).map(|word| word.text.as_str());
        let after = match reserved {
            _ if self.is_operator("(") => self.subshell(&directories)?,
            Some("{") => {
                self.at += 1;
                let after = self.list(directories, &["}"])?;
                self.expect("}")?;
                after
            }
            Some("if") => self.choice(directories)?,
            Some("while" | "until") => self.repetition(&directories)?,
            Some("for") => self.each(&directories)?,
            Some("case") => self.cases(&directories)?,
            Some(word) if word != "[[" && RESERVED.contains(&word) => {
                return Err(Doubt::new(self.rest(), NOT_UNDERSTOOD));
            }
            _ => {
                let after = self.simple(directories)?;
                self.depth -= 1;
                return Ok(after);
            }
        };
        // What is said about a group holds for all in it.
        let mut input = None;
        while self.redirect(&mut input)? {}
        if let Some(input) = input {
            for simple in &mut self.script.commands[start..] {
                if simple.input == Input::Inherited {
                    simple.input = input.clone();
                }
            }
        }
        self.depth -= 1;
        Ok(after)
    }

    fn subshell(&mut self, directories: &Directories) -> Result<After, Doubt> {
        if let [Token::Operator("(", first), Token::Operator("(", second), ..] =
            self.tokens[self.at..]
            && second == first + 1
        {
            self.doubt_here("some shells take it for a calculation");
        }
        self.at += 1;
        self.list(directories.clone(), &[")"])?;
        self.expect(")")?;
        Ok(After::unchanged(directories))
    }

    fn choice(&mut self, directories: Directories) -> Result<After, Doubt> {
        self.at += 1;
        let mut condition = self.list(directories, &["then"])?;
        let mut ends: Option<Directories> = None;
        loop {
            self.expect("then")?;
            let then = self.list(condition.yes.clone(), &["elif", "else", "fi"])?;
            let done = self.either(&then.yes, &then.no);
            ends = Some(ends.map_or(done.clone(), |ends| self.either(&ends, &done)));
            if !self.is_bare("elif") {
                break;
            }
            self.at += 1;
            condition = self.list(condition.no.clone(), &["then"])?;
        }
        let mut otherwise = condition.no;
        if self.is_bare("else") {
            self.at += 1;
            let last = self.list(otherwise, &["fi"])?;
            otherwise = self.either(&last.yes, &last.no);
        }
        self.expect("fi")?;
        let all = ends.map_or(otherwise.clone(), |ends| self.either(&ends, &otherwise));
        Ok(After::unchanged(&all))
    }

    fn repetition(&mut self, directories: &Directories) -> Result<After, Doubt> {
        self.at += 1;
        let condition = self.list(directories.clone(), &["do"])?;
        let inside = self.either(&condition.yes, &condition.no);
        self.body(inside, directories)
    }

    fn each(&mut self, directories: &Directories) -> Result<After, Doubt> {
        self.at += 1;
        let name = self.take_word()?;
        if is_obeyed_by_shells(&name.text) || name.doubt.is_some() {
            self.doubt(&name, "a shell obeys this variable");
        }
        self.newlines();
        if self.is_bare("in") {
            self.at += 1;
            while let Some(word) = self.word().cloned() {
                self.at += 1;
                self.words_doubt(&word);
                self.script.variables.push((name.text.clone(), word.text));
            }
        }
        while self.is_operator(";") || self.is_operator("\n") {
            self.at += 1;
        }
        self.body(directories.clone(), directories)
    }

    /// `do … done`, which may run any number of times.
    fn body(&mut self, inside: Directories, before: &Directories) -> Result<After, Doubt> {
        let start = self.at;
        self.expect("do")?;
        let after = self.list(inside, &["done"])?;
        self.expect("done")?;
        let all = self.either(&after.yes, &after.no);
        if all != *before {
            self.at_token(start, "each round may run somewhere else");
        }
        Ok(After::unchanged(&self.either(&all, before)))
    }

    fn cases(&mut self, directories: &Directories) -> Result<After, Doubt> {
        self.at += 1;
        let subject = self.take_word()?;
        self.words_doubt(&subject);
        self.newlines();
        self.expect("in")?;
        let mut all = directories.clone();
        loop {
            self.newlines();
            if self.is_bare("esac") {
                self.at += 1;
                return Ok(After::unchanged(&all));
            }
            if self.is_operator("(") {
                self.at += 1;
            }
            loop {
                let pattern = self.take_word()?;
                let raw = &self.text[pattern.span.clone()];
                if raw.contains(['$', '`']) {
                    self.words_doubt(&pattern);
                }
                if !self.is_operator("|") {
                    break;
                }
                self.at += 1;
            }
            self.expect(")")?;
            let after = self.list(all.clone(), &[";;", ";&", ";;&", ";|", "esac"])?;
            let here = self.either(&after.yes, &after.no);
            all = self.either(&all, &here);
            if !self.is_bare("esac") {
                self.at += 1;
            }
        }
    }

    fn simple(&mut self, directories: Directories) -> Result<After, Doubt> {
        let start = self.at;
        let mut simple = Simple { directories: directories.clone(), ..Simple::default() };
        let mut input = None;
        // Whether there was a `&>`, which is a `&` and a `>` for some.
        let mut parted = false;
        loop {
            let both = matches!(self.tokens.get(self.at), Some(Token::Redirect { operator, .. })
                if operator.starts_with("&>"));
            if self.redirect(&mut input)? {
                parted |= both;
                continue;
            }
            let Some(word) = self.word().cloned() else { break };
            self.at += 1;
            self.words_doubt(&word);
            if parted {
                self.doubt(&word, AMPERSAND);
            }
            if word.bare && matches!(word.text.as_str(), "{" | "}") {
                self.doubt(&word, "some shells take it for a word of the language");
            }
            match word.equals.filter(|_| simple.argv.is_empty()) {
                Some(equals) => {
                    let (name, value) = (&word.text[..equals], &word.text[equals + 1..]);
                    if is_obeyed_by_shells(name) {
                        self.doubt(&word, "a shell obeys this variable");
                    }
                    simple.assignments.push((name.to_owned(), value.to_owned()));
                }
                None => simple.argv.push(word.text),
            }
        }
        if self.is_operator("(") && simple.argv.len() == 1 {
            return self.function(&simple.argv[0], directories);
        }
        if self.at == start {
            return Err(Doubt::new(self.rest(), NOT_UNDERSTOOD));
        }
        if simple.argv.is_empty() {
            if simple.assignments.is_empty() || input.is_some() {
                self.at_token(start, "some shells run a program for it");
            }
            self.script.variables.append(&mut simple.assignments);
            return Ok(After::unchanged(&directories));
        }
        if let Some(input) = input {
            simple.input = input;
        }
        if let Some(why) = names::doubt_about(&simple.argv) {
            self.at_token(start, why);
        }
        if parted && simple.argv[0] == "cd" {
            self.at_token(start, AMPERSAND);
        }
        if simple.argv[0] == "export" {
            self.exported(&simple.argv[1..]);
        }
        let after = self.after(&simple, start, directories);
        self.script.commands.push(simple);
        Ok(after)
    }

    /// Where the shell stands after a simple command.
    fn after(&mut self, simple: &Simple, start: usize, directories: Directories) -> After {
        match simple.argv.as_slice() {
            [name, to] if name == "cd" && !to.is_empty() && !to.starts_with(['-', '+']) => {
                let there = directories.iter().map(|from| join(from, Path::new(to))).collect();
                After { yes: there, no: directories }
            }
            [name, ..] if name == "cd" => {
                self.at_token(start, "where it leads is known only when it runs");
                After::unchanged(&directories)
            }
            _ => After::unchanged(&directories),
        }
    }

    fn exported(&mut self, words: &[String]) {
        for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
            self.script.variables.push((name.to_owned(), value.to_owned()));
        }
        for name in words.iter().filter_map(|word| word.split('=').next()) {
            if is_obeyed_by_shells(name) {
                let doubt = Doubt::new(name, "a shell obeys this variable");
                self.script.doubts.push(doubt);
            }
        }
    }

    /// `name ( ) body`: a later command of this name is another one.
    fn function(&mut self, name: &str, directories: Directories) -> Result<After, Doubt> {
        let doubt = Doubt::new(name, "it gives a word another meaning");
        self.script.doubts.push(doubt);
        self.at += 1;
        self.expect(")")?;
        self.newlines();
        self.element(directories)
    }

    /// Takes a redirection, if there is one here. `input` becomes what it puts on
    /// standard input.
    fn redirect(&mut self, input: &mut Option<Input>) -> Result<bool, Doubt> {
        let (descriptor, operator) = match self.tokens.get(self.at) {
            Some(Token::Here { body, .. }) => {
                *input = Some(Input::Text(body.clone()));
                self.at += 1;
                return Ok(true);
            }
            Some(Token::Redirect { descriptor, operator, .. }) => {
                (descriptor.as_deref(), *operator)
            }
            _ => return Ok(false),
        };
        let start = self.at;
        self.at += 1;
        let target = self.take_word()?;
        self.words_doubt(&target);
        let reads = descriptor.is_none_or(|d| d.bytes().all(|b| b == b'0'));
        let duplicate = target.text.strip_suffix('-').unwrap_or(&target.text);
        let duplicate = duplicate.bytes().all(|b| b.is_ascii_digit());
        let found = match operator {
            "<" if target.text == "/dev/null" => Some(Input::Nothing),
            "<" if !reaches_network(&target.text) => Some(Input::File),
            "<<<" => Some(Input::Text(format!("{}\n", target.text))),
            ">" | ">>" | "&>" | "&>>" | ">|" | ">&" if target.text == "/dev/null" => None,
            ">&" | "<&" if duplicate => None,
            _ => {
                self.at_token(start, "it opens a file for more than reading");
                None
            }
        };
        if reads && let Some(found) = found {
            *input = Some(found);
        }
        Ok(true)
    }

    /// Notes that the text can be cut before the next token, and what comes before
    /// ends at `end` or there: outside of groups, and on a line whose here-documents
    /// have not begun.
    fn can_cut(&mut self, end: Option<usize>) {
        if self.depth == 0 && self.at < self.tokens.len() && !self.awaits_here[self.at] {
            let next = begin(&self.tokens[self.at]);
            self.cuts.push(end.unwrap_or(next)..next);
        }
    }

    fn either(&mut self, a: &Directories, b: &Directories) -> Directories {
        if a == b {
            return a.clone();
        }
        let new = b.iter().filter(|path| !a.contains(path));
        let mut all: Vec<PathBuf> = a.iter().chain(new).cloned().collect();
        if all.len() > MOST_DIRECTORIES {
            all.truncate(MOST_DIRECTORIES);
            self.doubt_here("in which directory it runs is not clear");
        }
        all.into()
    }

    fn word(&self) -> Option<&Word> {
        match self.tokens.get(self.at)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn take_word(&mut self) -> Result<Word, Doubt> {
        let word = self.word().cloned();
        self.at += 1;
        word.ok_or_else(|| Doubt::new(self.text, NOT_UNDERSTOOD))
    }

    fn is_operator(&self, operator: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Operator(found, _)) if *found == operator)
    }

    fn is_bare(&self, text: &str) -> bool {
        self.word().is_some_and(|word| word.bare && word.text == text)
    }

    fn is_end(&self, ends: &[&str]) -> bool {
        ends.iter().any(|end| self.is_operator(end) || self.is_bare(end))
    }

    fn expect(&mut self, what: &str) -> Result<(), Doubt> {
        if !self.is_operator(what) && !self.is_bare(what) {
            return Err(Doubt::new(self.rest(), NOT_UNDERSTOOD));
        }
        self.at += 1;
        Ok(())
    }

    fn newlines(&mut self) {
        while self.is_operator("\n") {
            self.at += 1;
        }
    }

    fn words_doubt(&mut self, word: &Word) {
        if let Some(why) = word.doubt {
            self.doubt(word, why);
        }
    }

    fn doubt(&mut self, word: &Word, why: &'static str) {
        self.script.doubts.push(Doubt::new(&self.text[word.span.clone()], why));
    }

    fn doubt_here(&mut self, why: &'static str) {
        self.script.doubts.push(Doubt::new(self.rest(), why));
    }

    /// A doubt about what was read from this token up to here.
    fn at_token(&mut self, start: usize, why: &'static str) {
        let place = |at: usize| self.tokens.get(at).map_or(self.text.len(), begin);
        let piece = &self.text[place(start)..place(self.at)];
        self.script.doubts.push(Doubt::new(piece.trim(), why));
    }

    fn rest(&self) -> &str {
        &self.text[self.tokens.get(self.at).map_or(self.text.len(), begin)..]
    }
}

fn begin(token: &Token) -> usize {
    match token {
        Token::Word(word) => word.span.start,
        Token::Operator(_, at) | Token::Redirect { at, .. } | Token::Here { at, .. } => *at,
    }
}

/// The directory that `cd` leads to, by names alone, as a shell keeps it. A link
/// on the way is not seen.
pub(crate) fn join(from: &Path, to: &Path) -> PathBuf {
    let mut path = PathBuf::new();
    for part in from.join(to).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(path.components().next_back(), Some(Component::Normal(_))) =>
            {
                path.pop();
            }
            Component::ParentDir if path.has_root() => {}
            _ => path.push(part),
        }
    }
    path
}

/// SOURCE: bash(1), "REDIRECTION": it connects where these names are opened.
fn reaches_network(path: &str) -> bool {
    path.starts_with("/dev/tcp/") || path.starts_with("/dev/udp/")
}
