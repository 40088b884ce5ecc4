//! What the arguments of a builtin are, read strictly.

use starlark::values::Value;
use starlark::values::dict::DictRef;
use starlark::values::list::ListRef;
use starlark::values::none::NoneOr;

use super::{shell, wrong};
use crate::day::Day;
use crate::layers::Decision;
use crate::show;

/// An argument that may be left out.
pub(super) type Given<'v> = NoneOr<Value<'v>>;

/// What examples a rule has to match, and what not.
#[derive(Debug, Default)]
pub(super) struct Examples {
    matched: Vec<Vec<String>>,
    unmatched: Vec<Vec<String>>,
}

impl Examples {
    pub(super) fn read(matched: Given<'_>, unmatched: Given<'_>) -> starlark::Result<Self> {
        let (matched, unmatched) = (examples("match", matched)?, examples("not_match", unmatched)?);
        Ok(Self { matched, unmatched })
    }

    /// Tries each on a rule. The error names the first that comes out wrong.
    pub(super) fn check(
        &self,
        rule: &dyn std::fmt::Display,
        is_about: impl Fn(&[String]) -> bool,
    ) -> Result<(), String> {
        if let Some(example) = self.matched.iter().find(|example| !is_about(example)) {
            let example = shown(example);
            return Err(format!("`match` example `{example}` is not matched by `{rule}`"));
        }
        if let Some(example) = self.unmatched.iter().find(|example| is_about(example)) {
            let example = shown(example);
            return Err(format!("`not_match` example `{example}` is matched by `{rule}`"));
        }
        Ok(())
    }
}

pub(super) fn decision(word: &str, also_forbidden: &[&str]) -> starlark::Result<Decision> {
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

pub(super) fn justification(given: NoneOr<&str>) -> starlark::Result<Option<String>> {
    match given.into_option() {
        Some(text) if text.trim().is_empty() => Err(wrong("`justification` is empty")),
        given => Ok(given.map(str::to_owned)),
    }
}

pub(super) fn until(given: NoneOr<&str>) -> starlark::Result<Option<Day>> {
    let day = |text| Day::parse(text).map_err(|why| wrong(format!("`until`: {why}")));
    given.into_option().map(day).transpose()
}

/// Places of words, each a word or a list of alternatives.
pub(super) fn places(what: &str, value: Value<'_>) -> starlark::Result<Vec<Vec<String>>> {
    let places = list(what, value)?.iter().map(|place| match place.unpack_str() {
        Some(word) => Ok(vec![word.to_owned()]),
        None => match ListRef::from_value(*place) {
            Some(alternatives) => {
                strings_of(&format!("an alternative of `{what}`"), alternatives.content())
            }
            None => Err(wrong(format!(
                "a place of `{what}` is a string or a list of strings, not `{}`",
                place.get_type()
            ))),
        },
    });
    places.collect()
}

/// One string, or a list of at least one.
pub(super) fn one_or_more(what: &str, value: Value<'_>) -> starlark::Result<Vec<String>> {
    let found = match value.unpack_str() {
        Some(word) => vec![word.to_owned()],
        None => strings(what, value)?,
    };
    match found.is_empty() || found.iter().any(String::is_empty) {
        true => Err(wrong(format!("`{what}`, or a name in it, is empty"))),
        false => Ok(found),
    }
}

/// A list that narrows a rule, if it is given.
pub(super) fn narrowing<T>(
    what: &str,
    given: Given<'_>,
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

/// Names with what each may be: a string, or a list of strings.
pub(super) fn dictionary(
    what: &str,
    given: Given<'_>,
) -> starlark::Result<Vec<(String, Vec<String>)>> {
    let Some(given) = given.into_option() else { return Ok(Vec::new()) };
    let Some(pairs) = DictRef::from_value(given) else {
        return Err(wrong(format!("`{what}` is a dictionary, not `{}`", given.get_type())));
    };
    if pairs.is_empty() {
        return Err(wrong(format!("`{what}` is empty; leave it out")));
    }
    let pair = |(name, value): (Value<'_>, Value<'_>)| {
        let name = name.unpack_str().filter(|name| !name.is_empty());
        let name =
            name.ok_or_else(|| wrong(format!("a name in `{what}` is no string, or empty")))?;
        Ok((name.to_owned(), one_or_more(&format!("{what}.{name}"), value)?))
    };
    pairs.iter().map(pair).collect()
}

/// Argument vectors, given as lists of strings or as lines for a shell.
fn examples(what: &str, given: Given<'_>) -> starlark::Result<Vec<Vec<String>>> {
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

pub(super) fn strings(what: &str, value: Value<'_>) -> starlark::Result<Vec<String>> {
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
