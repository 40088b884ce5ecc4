//! What a rule file may not contain, so that evaluating it stays in proportion
//! to its text.
//!
//! One step of Starlark can do unbounded work: repeat a string a billion times,
//! shift a number by as many bits, sort, join or format. None of it has a use in
//! rules, so none of it is let in, and most steps left grow by no more than they
//! were given. Not stopped: comparing or printing lists that hold each other many
//! times over, which a file made for that can keep up for as long as it likes.

use std::collections::HashSet;

use starlark::codemap::{FileSpan, Span};
use starlark::syntax::AstModule;
use starlark::syntax::ast::{AssignOp, AstExpr, AstStmt, BinOp, Expr, Stmt};

/// Brackets within brackets, and indentation within indentation. Parsing and
/// evaluation recurse, and a thread's stack ends.
const DEPTH_LIMIT: usize = 64;
/// Operators in one expression; `a + b + c` nests as brackets do.
const OPERATOR_LIMIT: usize = 256;

/// The builtins that stay in proportion.
const BUILTINS: [&str; 14] = [
    "True",
    "False",
    "None",
    "prefix_rule",
    "network_rule",
    "host_executable",
    "command_rule",
    "file_rule",
    "tool_rule",
    "range",
    "len",
    "bool",
    "any",
    "all",
];
/// The methods that stay in proportion.
const METHODS: [&str; 16] = [
    "append",
    "extend",
    "items",
    "keys",
    "values",
    "get",
    "startswith",
    "endswith",
    "strip",
    "lstrip",
    "rstrip",
    "lower",
    "upper",
    "split",
    "removeprefix",
    "removesuffix",
];

/// Refuses a text too long or too deeply nested to parse, with the line.
pub(super) fn text(text: &str, limit: usize) -> Result<(), (u32, String)> {
    if text.len() > limit {
        return Err((1, format!("the file is longer than {limit} bytes")));
    }
    let (mut depth, mut operators) = (0_usize, 0_usize);
    for (number, line) in (1..).zip(text.lines()) {
        let fail = |what: &str| Err((number, format!("the expression {what}")));
        if depth == 0 {
            operators = 0;
        }
        // Counts in strings and comments too: over-counting refuses, never admits.
        let indentation = line.len() - line.trim_start().len();
        if depth == 0 && indentation > DEPTH_LIMIT {
            return Err((number, "the line is indented too far".to_owned()));
        }
        for byte in line.bytes() {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b',' => operators = 0,
                b'+' | b'-' | b'~' | b'|' | b'&' | b'^' | b'<' | b'>' | b'=' | b'.' | b'/'
                | b'%' => {
                    operators += 1;
                }
                _ => {}
            }
            if depth > DEPTH_LIMIT {
                return fail("has too many brackets within brackets");
            }
        }
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        operators += words
            .filter(|w| ["not", "and", "or", "in", "if", "else", "lambda"].contains(w))
            .count();
        if operators > OPERATOR_LIMIT {
            return fail("has too many operators");
        }
    }
    Ok(())
}

/// Refuses syntax that does unbounded work in one step, with its place.
/// `builtins` are the names that the language itself defines.
pub(super) fn syntax(
    ast: &AstModule,
    builtins: &HashSet<String>,
) -> Result<(), (FileSpan, String)> {
    let check = Check { ast, builtins };
    check.statement(ast.statement())?;
    let mut found = Ok(());
    ast.statement().visit_expr(|expression| {
        if found.is_ok() {
            found = check.expression(expression);
        }
    });
    found
}

type Found = Result<(), (FileSpan, String)>;

struct Check<'a> {
    ast: &'a AstModule,
    builtins: &'a HashSet<String>,
}

impl Check<'_> {
    fn statement(&self, statement: &AstStmt) -> Found {
        if let Stmt::AssignModify(_, operator, _) = &statement.node
            && !matches!(operator, AssignOp::Add | AssignOp::Subtract)
        {
            return self.refuse(statement.span, "an assignment with this operator");
        }
        let mut found = Ok(());
        statement.visit_stmt(|inner| {
            if found.is_ok() {
                found = self.statement(inner);
            }
        });
        found
    }

    fn expression(&self, expression: &AstExpr) -> Found {
        use BinOp::{Divide, FloorDivide, LeftShift, Multiply, Percent};
        match &expression.node {
            Expr::Op(_, Multiply | Percent | LeftShift | Divide | FloorDivide, _) => {
                return self.refuse(expression.span, "this operator");
            }
            Expr::Dot(_, method) if !METHODS.contains(&method.node.as_str()) => {
                return self.refuse(method.span, &format!("`.{}`", method.node));
            }
            Expr::Identifier(name) => {
                let name = name.node.ident.as_str();
                if self.builtins.contains(name) && !BUILTINS.contains(&name) {
                    return self.refuse(expression.span, &format!("`{name}`"));
                }
            }
            _ => {}
        }
        let mut found = Ok(());
        expression.visit_expr(|inner| {
            if found.is_ok() {
                found = self.expression(inner);
            }
        });
        found
    }

    fn refuse(&self, span: Span, what: &str) -> Found {
        Err((self.ast.file_span(span), format!("{what} is not part of the rule language")))
    }
}
