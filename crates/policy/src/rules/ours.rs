//! The builtins that Remit has beside those of Codex.

use std::collections::BTreeMap;

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::none::{NoneOr, NoneType};

use super::values::{self, Examples, Given, dictionary, narrowing, one_or_more};
use super::{Command, Files, What, note, wrong};
use crate::command::{Flag, Shape, Variable, Which};
use crate::layers::Decision;
use crate::tool::ToolRule;

#[starlark_module]
pub(super) fn vocabulary(builder: &mut GlobalsBuilder) {
    fn command_rule<'v>(
        program: Value<'v>,
        #[starlark(default = NoneOr::None)] any_flags: Given<'v>,
        #[starlark(default = NoneOr::None)] all_flags: Given<'v>,
        #[starlark(default = NoneOr::None)] subcommand: Given<'v>,
        #[starlark(default = NoneOr::None)] cwd: Given<'v>,
        #[starlark(default = NoneOr::None)] env: Given<'v>,
        #[starlark(default = NoneOr::None)] stdin_is_script: NoneOr<bool>,
        #[starlark(default = NoneOr::None)] decision: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] place: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] justification: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] r#match: Given<'v>,
        #[starlark(default = NoneOr::None)] not_match: Given<'v>,
        #[starlark(default = NoneOr::None)] until: NoneOr<&'v str>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        note(evaluator, || {
            let decision = values::decision(decision.into_option().unwrap_or("allow"), &[])?;
            let justification = values::justification(justification)?;
            let shape = Shape {
                programs: one_or_more("program", program)?,
                subcommand: subcommand
                    .into_option()
                    .map(self::subcommand)
                    .transpose()?
                    .unwrap_or_default(),
                any_flags: narrowing("any_flags", any_flags, Flag::parse)?.unwrap_or_default(),
                all_flags: narrowing("all_flags", all_flags, Flag::parse)?.unwrap_or_default(),
                variables: narrowing("env", env, Variable::parse)?.unwrap_or_default(),
                stdin_is_script: stdin_is_script.into_option(),
            };
            let examples = Examples::read(r#match, not_match)?;
            let cwd = narrowing("cwd", cwd, |text| Ok(text.to_owned()))?.unwrap_or_default();
            let place = place.into_option().map(str::to_owned);
            let which = Which::Shape(shape);
            let command = Command { decision, which, cwd, place, examples };
            Ok((What::Command(command), justification, values::until(until)?))
        })
    }

    fn file_rule<'v>(
        paths: Value<'v>,
        access: Value<'v>,
        decision: &'v str,
        #[starlark(default = NoneOr::None)] justification: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] r#match: Given<'v>,
        #[starlark(default = NoneOr::None)] not_match: Given<'v>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        note(evaluator, || {
            match values::decision(decision, &["deny"])? {
                Decision::Refuse => {}
                Decision::Allow => {
                    return Err(wrong(
                        "a file rule only forbids; what may be written beside the workspace \
                         stands in `sandbox.write` of the settings, and everything that is not \
                         hidden may be read",
                    ));
                }
                Decision::Ask => {
                    return Err(wrong(
                        "files are opened too often to be asked about; forbid it, or prompt for \
                         the command with `command_rule`",
                    ));
                }
            }
            let justification = values::justification(justification)?;
            let (mut read, mut write) = (false, false);
            for word in one_or_more("access", access)? {
                match word.as_str() {
                    "read" => read = true,
                    "write" => write = true,
                    other => {
                        return Err(wrong(format!("`access` is `read` or `write`, not `{other}`")));
                    }
                }
            }
            let examples = Examples::read(r#match, not_match)?;
            let files = Files { paths: one_or_more("paths", paths)?, read, write, examples };
            Ok((What::Files(files), justification, None))
        })
    }

    fn tool_rule<'v>(
        server: &'v str,
        tool: Value<'v>,
        decision: &'v str,
        #[starlark(default = NoneOr::None)] justification: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] arguments: Given<'v>,
        #[starlark(default = NoneOr::None)] r#match: Given<'v>,
        #[starlark(default = NoneOr::None)] not_match: Given<'v>,
        #[starlark(default = NoneOr::None)] until: NoneOr<&'v str>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        note(evaluator, || {
            if server.is_empty() {
                return Err(wrong("`server` is empty; `*` is every server"));
            }
            let rule = ToolRule {
                decision: values::decision(decision, &["deny"])?,
                server: server.to_owned(),
                tools: one_or_more("tool", tool)?,
                arguments: BTreeMap::from_iter(dictionary("arguments", arguments)?),
            };
            let justification = values::justification(justification)?;
            let examples = Examples::read(r#match, not_match)?;
            Ok((What::Tool(rule, examples), justification, values::until(until)?))
        })
    }
}

fn subcommand(value: Value<'_>) -> starlark::Result<Vec<Vec<String>>> {
    let words = values::places("subcommand", value)?;
    let empty = |alternatives: &Vec<String>| {
        alternatives.is_empty() || alternatives.iter().any(String::is_empty)
    };
    if words.is_empty() || words.iter().any(empty) {
        return Err(wrong("`subcommand`, or a word in it, is empty; leave it out"));
    }
    if let Some(flag) = words.iter().flatten().find(|word| word.starts_with('-')) {
        return Err(wrong(format!("`subcommand` has words, and `{flag}` is a flag")));
    }
    Ok(words)
}
