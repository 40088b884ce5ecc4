//! Rule files: Starlark, in the dialect that Codex users already have.
//!
//! `prefix_rule`, `network_rule` and `host_executable` take the same arguments
//! and mean the same, so an organisation's rule files load unchanged; see
//! `examples/acme.rules`. Anything else is a load error that names file, line
//! and column; a file is never dropped and a rule never skipped.
//!
//! Evaluation is bounded as far as the crate allows: [`guard`] refuses, before
//! anything runs, what could grow far beyond its own text in one step; calls and
//! turns of loops are counted, and the heap is measured before each statement.
//! The crate itself promises no bound, and [`guard`] says what is left: a file
//! made for it can delay the start, which nothing has been permitted by then.
#![allow(clippy::too_many_arguments, reason = "a builtin's arguments are words, given by name")]

mod guard;
mod shell;

use std::cell::RefCell;

use starlark::codemap::{FileSpan, FileSpanRef};
use starlark::environment::{GlobalsBuilder, Module};
use starlark::eval::{BeforeStmtFunc, BeforeStmtFuncDyn, Evaluator};
use starlark::starlark_module;
use starlark::syntax::{AstModule, Dialect, DialectTypes};
use starlark::values::Value;
use starlark::values::list::ListRef;
use starlark::values::none::{NoneOr, NoneType};

use crate::basis::Basis;
use crate::command::{Pattern, Whereabouts};
use crate::error::PolicyError;
use crate::filesystem::Place;
use crate::layers::{Decision, Said, Voice};
use crate::network::path::PathPattern;
use crate::network::programs::Programs;
use crate::network::scope::Scope;
use crate::network::{About, Say};
use crate::pattern::HostPattern;
use crate::show;

/// What one or more rule files say.
#[derive(Debug, Default)]
pub(crate) struct RulesSaid {
    pub(crate) commands: Vec<Said<(Decision, Pattern)>>,
    pub(crate) hosts: Vec<Said<About>>,
    pub(crate) whereabouts: Vec<Whereabouts>,
}

/// Bytes of one rule file. Ten thousand rules fit.
const TEXT_LIMIT: usize = 4 << 20;
/// Calls and turns of loops in one file.
const TICK_LIMIT: u64 = 200_000;
/// Bytes of values in one file.
const HEAP_LIMIT: usize = 64 << 20;
/// Calls within calls.
const STACK_LIMIT: usize = 50;

/// Reads one rule file and adds what it says to `into`.
pub(crate) fn read(
    into: &mut RulesSaid,
    voice: &Voice,
    file: &str,
    text: &str,
    place: &Place,
) -> Result<(), PolicyError> {
    let fail = |error: starlark::Error| {
        let (line, column) = error.span().map_or((1, 1), begin);
        let reason = error.without_diagnostic().to_string();
        let reason = reason.trim().strip_prefix("error: ").unwrap_or(reason.trim()).to_owned();
        PolicyError::Rules { file: file.to_owned(), line, column, reason }
    };
    guard::text(text, TEXT_LIMIT).map_err(|(line, reason)| PolicyError::Rules {
        file: file.to_owned(),
        line,
        column: 1,
        reason,
    })?;
    let dialect = Dialect {
        enable_load: false,
        enable_f_strings: true,
        enable_keyword_only_arguments: true,
        enable_top_level_stmt: true,
        enable_types: DialectTypes::ParseOnly,
        ..Dialect::Standard
    };
    let ast = AstModule::parse(file, text.to_owned(), &dialect).map_err(fail)?;
    let globals = GlobalsBuilder::standard().with(vocabulary).build();
    let builtins = globals.names().map(|name| name.as_str().to_owned()).collect();
    guard::syntax(&ast, &builtins).map_err(|(span, reason)| {
        let (line, column) = begin(&span);
        PolicyError::Rules { file: file.to_owned(), line, column, reason }
    })?;
    CALLS.with_borrow_mut(Vec::clear);
    Module::with_temp_heap(|module| {
        let mut evaluator = Evaluator::new(&module);
        let limits = "the limits are set once and are not zero";
        evaluator.set_max_tick_count(TICK_LIMIT).expect(limits);
        evaluator.set_max_heap_size(HEAP_LIMIT).expect(limits);
        evaluator.set_max_callstack_size(STACK_LIMIT).expect(limits);
        evaluator.before_stmt_for_dap(BeforeStmtFunc::from_dyn(Box::new(Measure)));
        evaluator.eval_module(ast, &globals).map(drop)
    })
    .map_err(fail)?;
    for Call { line, column, justification, what } in CALLS.take() {
        let because = |mut basis: Basis| {
            basis.justification = justification.clone();
            basis
        };
        match what {
            What::Prefix(decision, pattern) => {
                let rule = show::line(&format!("{} {pattern}", word(decision)));
                let said = voice.says((decision, pattern), rule, line);
                into.commands.push(Said { basis: because(said.basis), ..said });
            }
            What::Host(decision, hosts, scope) => {
                let rule = format!("network_rule {hosts} {}{scope}", word(decision));
                let about = About { say: Say::Decide(decision), hosts, scope };
                let said = voice.says(about, rule, line);
                into.hosts.push(Said { basis: because(said.basis), ..said });
            }
            What::Whereabouts(name, paths) => {
                let paths = paths.iter().map(|path| place.resolve(path)).collect::<Result<_, _>>();
                let paths = paths.map_err(|reason| {
                    let reason = format!("`host_executable` {name}: {reason}");
                    PolicyError::Rules { file: file.to_owned(), line, column, reason }
                })?;
                into.whereabouts.push(Whereabouts { name, paths, layer: voice.layer });
            }
        }
    }
    Ok(())
}

/// Line and column of the beginning, counted from 1.
fn begin(span: &FileSpan) -> (u32, u32) {
    let begin = span.resolve_span().begin;
    let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    (count(begin.line), count(begin.column))
}

/// Measures the heap before each statement; the evaluator itself looks only once
/// in a thousand ticks, too late for a value that doubles.
struct Measure;

impl<'e> BeforeStmtFuncDyn<'e> for Measure {
    fn call<'v>(
        &mut self,
        _: FileSpanRef<'_>,
        _: bool,
        evaluator: &mut Evaluator<'v, '_, 'e>,
    ) -> starlark::Result<()> {
        if evaluator.heap().allocated_bytes() > HEAP_LIMIT {
            return Err(wrong(format!("the file makes more than {HEAP_LIMIT} bytes of values")));
        }
        Ok(())
    }
}

thread_local! {
    /// What the file being read on this thread has called so far.
    ///
    /// The evaluator can carry a value of ours to the builtins only if its type
    /// implements an unsafe trait, which this crate does not.
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// One call, checked but for what depends on the [`Place`].
#[derive(Debug)]
struct Call {
    line: u32,
    column: u32,
    justification: Option<String>,
    what: What,
}

#[derive(Debug)]
enum What {
    Prefix(Decision, Pattern),
    Host(Decision, HostPattern, Scope),
    Whereabouts(String, Vec<String>),
}

fn record(evaluator: &Evaluator<'_, '_, '_>, what: What, justification: Option<String>) {
    let (line, column) = evaluator.call_stack_top_location().map_or((1, 1), |span| begin(&span));
    CALLS.with_borrow_mut(|calls| calls.push(Call { line, column, justification, what }));
}

pub(crate) fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Ask => "prompt",
        Decision::Refuse => "forbidden",
    }
}

/// What is wrong with one call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

fn wrong(reason: impl Into<String>) -> starlark::Error {
    starlark::Error::new_other(Wrong(reason.into()))
}

/// What rule files may call.
#[starlark_module]
fn vocabulary(builder: &mut GlobalsBuilder) {
    fn prefix_rule<'v>(
        pattern: Value<'v>,
        #[starlark(default = NoneOr::None)] decision: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] r#match: NoneOr<Value<'v>>,
        #[starlark(default = NoneOr::None)] not_match: NoneOr<Value<'v>>,
        #[starlark(default = NoneOr::None)] justification: NoneOr<&'v str>,
        #[starlark(default = false)] exact: bool,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let decision = self::decision(decision.into_option().unwrap_or("allow"), &[])?;
        let justification = self::justification(justification)?;
        let pattern = self::pattern(pattern)?;
        let pattern = if exact { pattern.exact() } else { pattern };
        for example in examples("match", r#match)? {
            if !pattern.matches(&example) {
                let example = shown(&example);
                return Err(wrong(format!(
                    "`match` example `{example}` is not matched by `{pattern}`"
                )));
            }
        }
        for example in examples("not_match", not_match)? {
            if pattern.matches(&example) {
                let example = shown(&example);
                return Err(wrong(format!(
                    "`not_match` example `{example}` is matched by `{pattern}`"
                )));
            }
        }
        record(evaluator, What::Prefix(decision, pattern), justification);
        Ok(NoneType)
    }

    /// The protocol is checked and, as in Codex, does not narrow the rule; it is
    /// about the host on every port. UDP is not carried, so a rule that would
    /// permit it says nothing. `methods`, `paths` and `programs` are ours.
    fn network_rule<'v>(
        host: &'v str,
        protocol: &'v str,
        decision: &'v str,
        #[starlark(default = NoneOr::None)] justification: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] methods: NoneOr<Value<'v>>,
        #[starlark(default = NoneOr::None)] paths: NoneOr<Value<'v>>,
        #[starlark(default = NoneOr::None)] programs: NoneOr<Value<'v>>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let carried = match protocol {
            "http" | "https" | "https_connect" | "http-connect" | "socks5_tcp" => true,
            "socks5_udp" => false,
            other => {
                let known = "`http`, `https`, `socks5_tcp` or `socks5_udp`";
                return Err(wrong(format!("`protocol` is {known}, not `{other}`")));
            }
        };
        let decision = self::decision(decision, &["deny"])?;
        let justification = self::justification(justification)?;
        let pattern = HostPattern::parse(host.trim())
            .map_err(|reason| wrong(format!("`{host}` is not a host: {reason}")))?;
        if !pattern.is_single() {
            return Err(wrong(format!(
                "`host` names one host, not `{host}`; wildcards belong in settings"
            )));
        }
        // A refusal is never narrower than its author may have meant.
        let pattern = if decision == Decision::Refuse { pattern.on_every_port() } else { pattern };
        let scope = Scope {
            methods: narrowing("methods", methods, crate::settings::method)?,
            paths: narrowing("paths", paths, PathPattern::parse)?,
            programs: narrowing("programs", programs, Programs::parse)?.and_then(Programs::new),
            ..Scope::default()
        };
        if carried || decision == Decision::Refuse {
            record(evaluator, What::Host(decision, pattern, scope), justification);
        }
        Ok(NoneType)
    }

    fn host_executable<'v>(
        name: &'v str,
        paths: Value<'v>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(wrong(format!("`name` is the bare name of a program, not `{name}`")));
        }
        let paths = strings("paths", paths)?;
        if let Some(other) = paths.iter().find(|path| path.rsplit('/').next() != Some(name)) {
            return Err(wrong(format!("path `{other}` does not end in `/{name}`")));
        }
        record(evaluator, What::Whereabouts(name.to_owned(), paths), None);
        Ok(NoneType)
    }

    /// As everywhere, but short: a rule file has no use for a long one, and an
    /// endless one would be walked inside a single step.
    fn range(
        #[starlark(require = pos)] first: i32,
        #[starlark(require = pos)] second: Option<i32>,
        #[starlark(require = pos, default = 1)] step: i32,
    ) -> starlark::Result<Vec<i32>> {
        let (start, stop) = second.map_or((0, first), |second| (first, second));
        let long =
            i64::from(stop).abs_diff(i64::from(start)) / u64::from(step.unsigned_abs()).max(1);
        match step {
            0 => Err(wrong("the step of `range` is not 0")),
            _ if long > 10_000 => Err(wrong("`range` has at most 10000 numbers")),
            1.. => Ok((start..stop).step_by(step.unsigned_abs() as usize).collect()),
            _ => {
                let down = i64::from(stop) + 1..=i64::from(start);
                let numbers = down.rev().step_by(step.unsigned_abs() as usize);
                Ok(numbers.filter_map(|n| i32::try_from(n).ok()).collect())
            }
        }
    }
}

fn decision(word: &str, also_forbidden: &[&str]) -> starlark::Result<Decision> {
    match word {
        "allow" => Ok(Decision::Allow),
        "prompt" => Ok(Decision::Ask),
        "forbidden" => Ok(Decision::Refuse),
        word if also_forbidden.contains(&word) => Ok(Decision::Refuse),
        other => {
            Err(wrong(format!("`decision` is `allow`, `prompt` or `forbidden`, not `{other}`")))
        }
    }
}

fn justification(given: NoneOr<&str>) -> starlark::Result<Option<String>> {
    match given.into_option() {
        Some(text) if text.trim().is_empty() => Err(wrong("`justification` is empty")),
        given => Ok(given.map(str::to_owned)),
    }
}

fn pattern(value: Value<'_>) -> starlark::Result<Pattern> {
    let places = list("pattern", value)?.iter().map(|place| match place.unpack_str() {
        Some(word) => Ok(vec![word.to_owned()]),
        None => match ListRef::from_value(*place) {
            Some(alternatives) => strings_of("an alternative of `pattern`", alternatives.content()),
            None => Err(wrong(format!(
                "a place of `pattern` is a string or a list of strings, not `{}`",
                place.get_type()
            ))),
        },
    });
    let places = places.collect::<starlark::Result<Vec<_>>>()?;
    if places.first().is_some_and(|programs| programs.iter().any(String::is_empty)) {
        return Err(wrong("`pattern` begins with an empty program name"));
    }
    Pattern::new(places)
        .ok_or_else(|| wrong("`pattern`, or a list of alternatives in it, is empty"))
}

/// A list that narrows a rule, if it is given.
fn narrowing<T>(
    what: &str,
    given: NoneOr<Value<'_>>,
    read: impl Fn(&str) -> Result<T, String>,
) -> starlark::Result<Option<Vec<T>>> {
    let Some(given) = given.into_option() else { return Ok(None) };
    let texts = strings(what, given)?;
    if texts.is_empty() {
        return Err(wrong(format!("`{what}` is empty; leave it out")));
    }
    let read = |text: &String| read(text).map_err(|why| wrong(format!("`{what}`: {why}")));
    texts.iter().map(read).collect::<starlark::Result<Vec<_>>>().map(Some)
}

/// Argument vectors, given as lists of strings or as lines for a shell.
fn examples(what: &str, given: NoneOr<Value<'_>>) -> starlark::Result<Vec<Vec<String>>> {
    let Some(given) = given.into_option() else {
        return Ok(Vec::new());
    };
    let example = |value: &Value<'_>| {
        let argv = match (value.unpack_str(), ListRef::from_value(*value)) {
            (Some(line), _) => shell::split(line).ok_or_else(|| {
                wrong(format!("`{what}` example `{line}` ends within a quotation"))
            })?,
            (None, Some(words)) => {
                strings_of(&format!("a word of a `{what}` example"), words.content())?
            }
            (None, None) => {
                let kind = value.get_type();
                return Err(wrong(format!(
                    "a `{what}` example is a string or a list of strings, not `{kind}`"
                )));
            }
        };
        if argv.is_empty() {
            return Err(wrong(format!("a `{what}` example is empty")));
        }
        Ok(argv)
    };
    list(what, given)?.iter().map(example).collect()
}

fn list<'v>(what: &str, value: Value<'v>) -> starlark::Result<&'v [Value<'v>]> {
    let list = ListRef::from_value(value).map(ListRef::content);
    list.ok_or_else(|| wrong(format!("`{what}` is a list, not `{}`", value.get_type())))
}

fn strings(what: &str, value: Value<'_>) -> starlark::Result<Vec<String>> {
    strings_of(&format!("an item of `{what}`"), list(what, value)?)
}

fn strings_of(what: &str, values: &[Value<'_>]) -> starlark::Result<Vec<String>> {
    let string = |value: &Value<'_>| {
        let string = value.unpack_str().map(str::to_owned);
        string.ok_or_else(|| wrong(format!("{what} is a string, not `{}`", value.get_type())))
    };
    values.iter().map(string).collect()
}

fn shown(argv: &[String]) -> String {
    show::command(&argv.iter().map(std::ffi::OsString::from).collect::<Vec<_>>())
}
