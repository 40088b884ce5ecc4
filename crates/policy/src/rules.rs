//! Rule files: Starlark, in the dialect that Codex users already have.
//!
//! `prefix_rule`, `network_rule` and `host_executable` take the same arguments
//! and mean the same, so an organisation's rule files load unchanged; see
//! `examples/acme.rules`. `command_rule`, `file_rule` and `tool_rule` are ours.
//! Anything else is a load error that names file, line and column; a file is never
//! dropped and a rule never skipped.
//!
//! Evaluation is bounded as far as the crate allows: [`guard`] refuses, before
//! anything runs, what could grow far beyond its own text in one step; calls and
//! turns of loops are counted, and the heap is measured before each statement.
//! The crate itself promises no bound, and [`guard`] says what is left: a file
//! made for it can delay the start, which nothing has been permitted by then.
#![allow(clippy::too_many_arguments, reason = "a builtin's arguments are words, given by name")]

mod codex;
mod guard;
mod ours;
mod shell;
mod values;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use starlark::codemap::{FileSpan, FileSpanRef};
use starlark::environment::{GlobalsBuilder, Module};
use starlark::eval::{BeforeStmtFunc, BeforeStmtFuncDyn, Evaluator};
use starlark::syntax::{AstModule, Dialect, DialectTypes};
use starlark::values::none::NoneType;

use crate::basis::{Basis, Layer};
use crate::command::{CommandRule, Whereabouts, Which};
use crate::day::Day;
use crate::error::PolicyError;
use crate::filesystem::{FileRule, Place};
use crate::layers::{Decision, Said, Voice};
use crate::network::scope::Scope;
use crate::network::{About, Say};
use crate::paths::{FilePattern, Spelling};
use crate::pattern::HostPattern;
use crate::show;
use crate::tool::{ToolCall, ToolRule};
use values::Examples;

/// What one or more rule files say.
#[derive(Debug, Default)]
pub(crate) struct RulesSaid {
    pub(crate) commands: Vec<Said<CommandRule>>,
    pub(crate) hosts: Vec<Said<About>>,
    pub(crate) whereabouts: Vec<Whereabouts>,
    pub(crate) files: Vec<Said<FileRule>>,
    pub(crate) tools: Vec<Said<ToolRule>>,
    /// How many rules are not in force today.
    pub(crate) resting: usize,
}

/// What rules are read for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'p> {
    pub(crate) place: &'p Place,
    /// The profiles that a command can be placed in; absent where not all of them
    /// could be read.
    pub(crate) profiles: Option<&'p BTreeSet<String>>,
    /// Absent where it is not known: then what would allow until a day does not.
    pub(crate) today: Option<Day>,
}

/// Bytes of one rule file. Ten thousand rules fit.
const TEXT_LIMIT: usize = 4 << 20;
/// Calls and turns of loops in one file.
const TICK_LIMIT: u64 = 200_000;
/// Bytes of values in one file.
const HEAP_LIMIT: usize = 64 << 20;
/// Calls within calls.
const STACK_LIMIT: usize = 50;
/// Reads one rule file and adds what it says to `into`, and what is wrong with it
/// to `problems`, in order.
pub(crate) fn read(
    into: &mut RulesSaid,
    problems: &mut Vec<PolicyError>,
    voice: &Voice,
    file: &str,
    text: &str,
    reading: Reading<'_>,
) {
    let wrong_at =
        |(line, column), reason| PolicyError::Rules { file: file.to_owned(), line, column, reason };
    CALLS.with_borrow_mut(Vec::clear);
    let evaluated = evaluate(file, text);
    // What does not hold today is checked all the same.
    let mut resting = RulesSaid::default();
    for Call { at, said } in CALLS.take() {
        let settled = said.and_then(|(what, justification, until)| {
            let said = match is_in_force(&what, until, reading.today) {
                true => &mut *into,
                false => {
                    resting.resting += 1;
                    &mut resting
                }
            };
            what.settle(said, voice, at.0, justification, reading)
        });
        if let Err(reason) = settled {
            problems.push(wrong_at(at, reason));
        }
    }
    into.resting += resting.resting;
    if let Err((at, reason)) = evaluated {
        problems.push(wrong_at(at, reason));
    }
}

type At = (u32, u32);

fn evaluate(file: &str, text: &str) -> Result<(), (At, String)> {
    let fail = |error: starlark::Error| {
        let at = error.span().map_or((1, 1), begin);
        (at, reason(error))
    };
    guard::text(text, TEXT_LIMIT).map_err(|(line, reason)| ((line, 1), reason))?;
    let dialect = Dialect {
        enable_load: false,
        enable_f_strings: true,
        enable_keyword_only_arguments: true,
        enable_top_level_stmt: true,
        enable_types: DialectTypes::ParseOnly,
        ..Dialect::Standard
    };
    let ast = AstModule::parse(file, text.to_owned(), &dialect).map_err(fail)?;
    let globals = GlobalsBuilder::standard().with(codex::vocabulary).with(ours::vocabulary).build();
    let builtins = globals.names().map(|name| name.as_str().to_owned()).collect();
    guard::syntax(&ast, &builtins).map_err(|(span, reason)| (begin(&span), reason))?;
    Module::with_temp_heap(|module| {
        let mut evaluator = Evaluator::new(&module);
        let limits = "the limits are set once and are not zero";
        evaluator.set_max_tick_count(TICK_LIMIT).expect(limits);
        evaluator.set_max_heap_size(HEAP_LIMIT).expect(limits);
        evaluator.set_max_callstack_size(STACK_LIMIT).expect(limits);
        evaluator.before_stmt_for_dap(BeforeStmtFunc::from_dyn(Box::new(Measure)));
        evaluator.eval_module(ast, &globals).map(drop)
    })
    .map_err(fail)
}

fn reason(error: starlark::Error) -> String {
    let reason = error.without_diagnostic().to_string();
    reason.trim().strip_prefix("error: ").unwrap_or(reason.trim()).to_owned()
}

/// Line and column of the beginning, counted from 1.
fn begin(span: &FileSpan) -> At {
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

/// One call: checked but for what depends on the [`Place`], or what is wrong with it.
#[derive(Debug)]
struct Call {
    at: At,
    said: Result<Checked, String>,
}

/// What a call says, why, and until when.
type Checked = (What, Option<String>, Option<Day>);

#[derive(Debug)]
enum What {
    Command(Command),
    Host(Decision, HostPattern, Scope),
    Whereabouts(String, Vec<String>),
    Files(Files),
    Tool(ToolRule, Examples),
    /// About something that cannot happen.
    Nothing,
}

#[derive(Debug)]
struct Command {
    decision: Decision,
    which: Which,
    cwd: Vec<String>,
    place: Option<String>,
    examples: Examples,
}

#[derive(Debug)]
struct Files {
    paths: Vec<String>,
    read: bool,
    write: bool,
    examples: Examples,
}

/// Notes what a call says. What is wrong with it is noted as well, so that the
/// calls behind it are looked at too.
fn note(
    evaluator: &Evaluator<'_, '_, '_>,
    check: impl FnOnce() -> starlark::Result<Checked>,
) -> starlark::Result<NoneType> {
    let at = evaluator.call_stack_top_location().map_or((1, 1), |span| begin(&span));
    let said = check().map_err(reason);
    CALLS.with_borrow_mut(|calls| calls.push(Call { at, said }));
    Ok(NoneType)
}

/// Whether a statement holds. Where the day is not known, what would allow does not
/// and what restricts does.
fn is_in_force(what: &What, until: Option<Day>, today: Option<Day>) -> bool {
    let allows = match what {
        What::Command(command) => command.decision == Decision::Allow,
        What::Host(decision, ..) => *decision == Decision::Allow,
        What::Tool(rule, _) => rule.decision == Decision::Allow,
        What::Whereabouts(..) | What::Files(_) | What::Nothing => false,
    };
    match (until, today) {
        (None, _) => true,
        (Some(until), Some(today)) => today <= until,
        (Some(_), None) => !allows,
    }
}

impl What {
    /// Puts it where it belongs, as said by this voice in this line.
    fn settle(
        self,
        into: &mut RulesSaid,
        voice: &Voice,
        line: u32,
        justification: Option<String>,
        reading: Reading<'_>,
    ) -> Result<(), String> {
        let because = |basis| Basis { justification: justification.clone(), ..basis };
        match self {
            What::Command(command) => {
                let rule = command.settle(voice.layer, reading)?;
                let words = show::line(&format!("{} {rule}", word(rule.decision)));
                let said = voice.says(rule, words, line);
                into.commands.push(Said { basis: because(said.basis), ..said });
            }
            What::Host(decision, hosts, scope) => {
                let rule = format!("network_rule {hosts} {}{scope}", word(decision));
                let about = About { say: Say::Decide(decision), hosts, scope };
                let said = voice.says(about, rule, line);
                into.hosts.push(Said { basis: because(said.basis), ..said });
            }
            What::Whereabouts(name, paths) => {
                let paths: Result<_, _> =
                    paths.iter().map(|path| reading.place.resolve(path)).collect();
                let paths =
                    paths.map_err(|reason| format!("`host_executable` {name}: {reason}"))?;
                into.whereabouts.push(Whereabouts { name, paths, layer: voice.layer });
            }
            What::Files(files) => {
                for rule in files.settle(reading.place)? {
                    let said =
                        voice.says(rule.clone(), show::line(&format!("forbidden {rule}")), line);
                    into.files.push(Said { basis: because(said.basis), ..said });
                }
            }
            What::Tool(rule, examples) => {
                examples.check(&rule, |words| match words {
                    [server, tool] => {
                        let (server, tool) = (server.clone(), tool.clone());
                        rule.names(&ToolCall { server, tool, ..ToolCall::default() })
                    }
                    _ => false,
                })?;
                let words = show::line(&format!("{} {rule}", word(rule.decision)));
                let said = voice.says(rule, words, line);
                into.tools.push(Said { basis: because(said.basis), ..said });
            }
            What::Nothing => {}
        }
        Ok(())
    }
}

impl Command {
    fn settle(self, layer: Layer, reading: Reading<'_>) -> Result<CommandRule, String> {
        let Self { decision, mut which, cwd, place, examples } = self;
        if let Which::Shape(shape) = &mut which {
            for program in shape.programs.iter_mut().filter(|program| program.contains('/')) {
                let path = reading.place.resolve(program);
                let path = path.map_err(|why| format!("`program`: `{program}`: {why}"))?;
                *program = path.to_str().ok_or("`program`: the path is not text")?.to_owned();
            }
        }
        let directories = cwd.iter().map(|text| FilePattern::parse(text, reading.place));
        let directories =
            directories.collect::<Result<_, _>>().map_err(|why| format!("`cwd`: {why}"))?;
        let place = match place.as_deref() {
            None | Some("inside") => None,
            Some(_) if decision == Decision::Refuse => {
                return Err("what is forbidden has no `place`".to_owned());
            }
            Some(_) if layer == Layer::Project => {
                return Err("a project does not choose under which profile a command runs; \
                            leave out `place`, or put the rule into your own or the system's rules"
                    .to_owned());
            }
            Some(name) if reading.profiles.is_some_and(|known| !known.contains(name)) => {
                let known: Vec<_> = reading.profiles.into_iter().flatten().cloned().collect();
                let known = known.join("`, `");
                return Err(format!(
                    "`place` is `inside` or a profile, and none is called `{name}`; there are `{known}`"
                ));
            }
            Some(name) => Some(Arc::from(name)),
        };
        let rule = CommandRule { decision, which, directories, place };
        examples.check(&rule, |argv| rule.is_about(argv, reading.place))?;
        Ok(rule)
    }
}

impl Files {
    fn settle(self, place: &Place) -> Result<Vec<FileRule>, String> {
        let Self { paths, read, write, examples } = self;
        let patterns = paths.iter().map(|text| FilePattern::parse(text, place));
        let patterns: Vec<_> =
            patterns.collect::<Result<_, _>>().map_err(|why| format!("`paths`: {why}"))?;
        if let Some(pattern) = patterns.iter().find(|p| read && p.plain().is_none()) {
            return Err(format!(
                "`{pattern}`: hiding is done by path, without `*` but for `/**` at the end; \
                 name each path, or forbid writing alone"
            ));
        }
        // What is hidden is hidden with all that is below it.
        let covers = |path: &std::path::Path| {
            patterns.iter().any(|pattern| {
                let hidden = || read && pattern.plain().is_some_and(|root| path.starts_with(root));
                pattern.matches(path, Spelling::Folded) || hidden()
            })
        };
        examples.check(&format!("file {}", paths.join(" ")), |words| match words {
            [path] => place.resolve(path).is_ok_and(|path| covers(&path)),
            _ => false,
        })?;
        Ok(patterns.into_iter().map(|pattern| FileRule { pattern, read, write }).collect())
    }
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
