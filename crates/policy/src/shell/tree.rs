//! The rough reader: every command that the grammar of Bash finds anywhere in a
//! text, substitutions included.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use super::lexer::unquoted;
use super::{Doubt, Input, Script, Simple};

/// The parser is given a text in pieces of so many bytes.
const PIECE: usize = 256;

/// How often it may ask for a piece or report progress, for a text of no length
/// and for each piece. It reports every hundred steps, and a text without tricks
/// takes less than ten steps per byte; some tricks take it minutes.
const FEWEST: usize = 2_000;
const PER_PIECE: usize = 100;

/// How many commands are looked at to say which feeds which: nested pipelines
/// would take the square of their number. Those left over feed nothing.
const MOST_JOINED: usize = 1_000_000;

/// How long the pieces are in which a text is read, in bytes: of one that the
/// strict reader read to its end, of one that it did not, and the longest group.
/// The time that the parser takes over a piece with errors is the square of its
/// length.
const LONG: usize = 4 << 10;
const SHORT: usize = 512;
const LONGEST: usize = 16 << 10;

/// Reads a text of which these parts, ascending, can be left out to cut it.
pub(super) fn read(text: &str, cuts: &[Range<usize>]) -> Script {
    let mut script = Script::default();
    let mut from = 0;
    while from < text.len() {
        let cut = next_cut(text.len(), from, cuts).unwrap_or_else(|| {
            let rest = &text[from..];
            script.doubts.push(Doubt::new(rest, "it is too long to be read at once"));
            let end = from + rough_cut(rest);
            end..end
        });
        read_piece(&text[from..cut.start], &mut script);
        from = cut.end;
    }
    script
}

/// Where the next piece ends and the one after it begins: at the last place to cut
/// that keeps it short. None if no place does.
fn next_cut(end: usize, from: usize, cuts: &[Range<usize>]) -> Option<Range<usize>> {
    let whole = end..end;
    if end - from <= SHORT {
        return Some(whole);
    }
    let next = cuts.partition_point(|cut| cut.end <= from);
    let last = cuts.partition_point(|cut| cut.end <= from + LONG);
    let cut = cuts.get(last.saturating_sub(1).max(next)).unwrap_or(&whole);
    let allowed = if cuts.is_empty() { SHORT } else { LONGEST };
    (cut.end - from <= allowed).then(|| cut.clone())
}

/// Where to cut a text that is not understood: after what often ends a command.
fn rough_cut(text: &str) -> usize {
    let most = text.floor_char_boundary(SHORT);
    text[..most].rfind(['\n', ';', '|', '&']).map_or(most, |at| at + 1)
}

fn read_piece(text: &str, script: &mut Script) {
    let Some(tree) = parse(text) else {
        return script.doubts.push(Doubt::new(text, "its syntax takes too long to read"));
    };
    let mut reader = Reader { text, script: Script::default(), begins: Vec::new() };
    if tree.root_node().has_error() {
        reader.doubt(tree.root_node(), "its syntax is not understood");
    }
    reader.walk(&tree);
    super::append(&mut script.commands, reader.script.commands);
    script.doubts.append(&mut reader.script.doubts);
}

/// None if the parser went astray.
fn parse(text: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    // Counted and not timed, so that the same text is always read the same.
    let left = Cell::new(FEWEST + text.len() / PIECE * PER_PIECE);
    let spend = || {
        left.set(left.get().saturating_sub(1));
        left.get() > 0
    };
    let mut progress = |_: &ParseState| match spend() {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let bytes = text.as_bytes();
    let mut pieces = |at: usize, _| match spend() {
        true => &bytes[at.min(bytes.len())..(at + PIECE).min(bytes.len())],
        false => &[],
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let tree = parser.parse_with_options(&mut pieces, None, Some(options));
    tree.filter(|_| left.get() > 0)
}

struct Reader<'a> {
    text: &'a str,
    script: Script,
    /// Where in the text each command begins; ascending, as nodes are visited
    /// before what is in them.
    begins: Vec<usize>,
}

impl Reader<'_> {
    /// Visits every node. Without recursion: the tree of a long list is deep.
    fn walk(&mut self, tree: &Tree) {
        let here: Arc<[PathBuf]> = Arc::new([PathBuf::new()]);
        let mut pipelines = Vec::new();
        let mut cursor = tree.walk();
        loop {
            let node = cursor.node();
            if node.is_named() && !KNOWN.contains(&node.kind()) {
                self.doubt(node, "what it does is not known before it runs");
            }
            match node.kind() {
                "command" => self.command(node, here.clone()),
                "pipeline" => pipelines.push(stages(node)),
                _ => {}
            }
            if cursor.goto_first_child() || cursor.goto_next_sibling() {
                continue;
            }
            loop {
                if !cursor.goto_parent() {
                    return self.join(&pipelines);
                }
                if cursor.goto_next_sibling() {
                    break;
                }
            }
        }
    }

    fn command(&mut self, node: Node<'_>, here: Arc<[PathBuf]>) {
        let mut simple = Simple { directories: here, ..Simple::default() };
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            let text = self.piece(child);
            match child.kind() {
                "variable_assignment" => {
                    let (name, value) = text.split_once('=').unwrap_or((text, ""));
                    simple.assignments.push((name.to_owned(), unquoted(value)));
                }
                "herestring_redirect" => {
                    let word = text.trim_start_matches('<').trim_start();
                    simple.input = Input::Text(format!("{}\n", unquoted(word)));
                }
                "file_redirect" | "heredoc_redirect" | "comment" => {}
                _ => simple.argv.push(unquoted(text)),
            }
        }
        if !simple.argv.is_empty() {
            self.script.commands.push(simple);
            self.begins.push(node.start_byte());
        }
    }

    /// Notes which commands feed which in these pipelines, each given by its
    /// stages; the inner ones first, as they are nearer to what they feed.
    fn join(&mut self, pipelines: &[Vec<Range<usize>>]) {
        let mut left = MOST_JOINED;
        for pair in pipelines.iter().rev().flat_map(|stages| stages.windows(2)) {
            let place = |at: usize| self.begins.partition_point(|begin| *begin < at);
            let within = |stage: &Range<usize>| place(stage.start)..place(stage.end);
            let (writers, readers) = (within(&pair[0]), within(&pair[1]));
            let Some(rest) = usize::checked_sub(left, writers.len() + readers.len()) else {
                return;
            };
            left = rest;
            super::feed(&mut self.script.commands, &writers, &readers);
        }
    }

    fn piece(&self, node: Node<'_>) -> &str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn doubt(&mut self, node: Node<'_>, why: &'static str) {
        let doubt = Doubt::new(self.piece(node), why);
        self.script.doubts.push(doubt);
    }
}

/// Where in the text the stages of a pipeline are.
fn stages(pipeline: Node<'_>) -> Vec<Range<usize>> {
    let mut cursor = pipeline.walk();
    pipeline.named_children(&mut cursor).map(|stage| stage.byte_range()).collect()
}

/// The kinds of node that may stand in a text without a doubt; whether they do is
/// for the strict reader to say. Any other is a doubt.
const KNOWN: [&str; 45] = [
    "binary_expression",
    "case_item",
    "case_statement",
    "command",
    "command_name",
    "comment",
    "compound_statement",
    "concatenation",
    "declaration_command",
    "do_group",
    "elif_clause",
    "else_clause",
    "extglob_pattern",
    "file_descriptor",
    "file_redirect",
    "for_statement",
    "heredoc_body",
    "heredoc_content",
    "heredoc_end",
    "heredoc_redirect",
    "heredoc_start",
    "herestring_redirect",
    "if_statement",
    "list",
    "negated_command",
    "number",
    "parenthesized_expression",
    "pipeline",
    "postfix_expression",
    "program",
    "raw_string",
    "redirected_statement",
    "regex",
    "simple_heredoc_body",
    "string",
    "string_content",
    "subshell",
    "test_command",
    "test_operator",
    "unary_expression",
    "variable_assignment",
    "variable_assignments",
    "variable_name",
    "while_statement",
    "word",
];
