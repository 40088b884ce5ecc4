//! The builtins that Codex has, and what Remit adds to them.

use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::Value;
use starlark::values::none::{NoneOr, NoneType};

use super::values::{self, Examples, Given, narrowing, strings};
use super::{Command, What, note, wrong};
use crate::command::{Prefix, Which};
use crate::layers::Decision;
use crate::network::path::PathPattern;
use crate::network::programs::Programs;
use crate::network::scope::Scope;
use crate::pattern::HostPattern;

#[starlark_module]
pub(super) fn vocabulary(builder: &mut GlobalsBuilder) {
    /// `exact`, `cwd`, `place` and `until` are ours.
    fn prefix_rule<'v>(
        pattern: Value<'v>,
        #[starlark(default = NoneOr::None)] decision: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] r#match: Given<'v>,
        #[starlark(default = NoneOr::None)] not_match: Given<'v>,
        #[starlark(default = NoneOr::None)] justification: NoneOr<&'v str>,
        #[starlark(default = false)] exact: bool,
        #[starlark(default = NoneOr::None)] cwd: Given<'v>,
        #[starlark(default = NoneOr::None)] place: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] until: NoneOr<&'v str>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        note(evaluator, || {
            let decision = values::decision(decision.into_option().unwrap_or("allow"), &[])?;
            let justification = values::justification(justification)?;
            let prefix = prefix(pattern)?;
            let which = Which::Prefix(if exact { prefix.exact() } else { prefix });
            let examples = Examples::read(r#match, not_match)?;
            let cwd = narrowing("cwd", cwd, |text| Ok(text.to_owned()))?.unwrap_or_default();
            let place = place.into_option().map(str::to_owned);
            let command = Command { decision, which, cwd, place, examples };
            Ok((What::Command(command), justification, values::until(until)?))
        })
    }

    /// The protocol is checked and, as in Codex, does not narrow the rule; it is
    /// about the host on every port. UDP is not carried, so a rule that would
    /// permit it says nothing. `methods`, `paths`, `programs` and `until` are ours.
    fn network_rule<'v>(
        host: &'v str,
        protocol: &'v str,
        decision: &'v str,
        #[starlark(default = NoneOr::None)] justification: NoneOr<&'v str>,
        #[starlark(default = NoneOr::None)] methods: Given<'v>,
        #[starlark(default = NoneOr::None)] paths: Given<'v>,
        #[starlark(default = NoneOr::None)] programs: Given<'v>,
        #[starlark(default = NoneOr::None)] until: NoneOr<&'v str>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        note(evaluator, || {
            let carried = match protocol {
                "http" | "https" | "https_connect" | "http-connect" | "socks5_tcp" => true,
                "socks5_udp" => false,
                other => {
                    let known = "`http`, `https`, `socks5_tcp` or `socks5_udp`";
                    return Err(wrong(format!("`protocol` is {known}, not `{other}`")));
                }
            };
            let decision = values::decision(decision, &["deny"])?;
            let justification = values::justification(justification)?;
            let pattern = HostPattern::parse(host.trim())
                .map_err(|reason| wrong(format!("`{host}` is not a host: {reason}")))?;
            if !pattern.is_single() {
                return Err(wrong(format!(
                    "`host` names one host, not `{host}`; wildcards belong in settings"
                )));
            }
            // A refusal is never narrower than its author may have meant.
            let pattern =
                if decision == Decision::Refuse { pattern.on_every_port() } else { pattern };
            let scope = Scope {
                methods: narrowing("methods", methods, crate::settings::method)?,
                paths: narrowing("paths", paths, PathPattern::parse)?,
                programs: narrowing("programs", programs, Programs::parse)?.and_then(Programs::new),
                ..Scope::default()
            };
            let what = match carried || decision == Decision::Refuse {
                true => What::Host(decision, pattern, scope),
                false => What::Nothing,
            };
            Ok((what, justification, values::until(until)?))
        })
    }

    fn host_executable<'v>(
        name: &'v str,
        paths: Value<'v>,
        evaluator: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        note(evaluator, || {
            if name.is_empty() || name.contains('/') || name == "." || name == ".." {
                return Err(wrong(format!("`name` is the bare name of a program, not `{name}`")));
            }
            let paths = strings("paths", paths)?;
            if let Some(other) = paths.iter().find(|path| path.rsplit('/').next() != Some(name)) {
                return Err(wrong(format!("path `{other}` does not end in `/{name}`")));
            }
            Ok((What::Whereabouts(name.to_owned(), paths), None, None))
        })
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

fn prefix(value: Value<'_>) -> starlark::Result<Prefix> {
    let places = values::places("pattern", value)?;
    if places.first().is_some_and(|programs| programs.iter().any(String::is_empty)) {
        return Err(wrong("`pattern` begins with an empty program name"));
    }
    Prefix::new(places).ok_or_else(|| wrong("`pattern`, or a list of alternatives in it, is empty"))
}
