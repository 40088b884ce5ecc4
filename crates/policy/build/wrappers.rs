//! The table of programs that run others, from `data/wrappers.toml`.

use std::fmt::Write as _;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    wrapper: Vec<Row>,
    readers: Names,
    interpreters: Names,
    scripted: Names,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    names: Vec<String>,
    #[serde(rename = "reason")]
    _reason: String,
    #[serde(rename = "source")]
    _source: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    texts: Vec<String>,
    #[serde(default)]
    directories: Vec<String>,
    #[serde(default)]
    splits: Vec<String>,
    #[serde(default)]
    variables: Vec<String>,
    #[serde(default)]
    numbers: bool,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    operands: usize,
    #[serde(default)]
    assignments: bool,
    #[serde(default)]
    runs: Runs,
    doubt: Option<String>,
    hidden: Option<Hidden>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Runs {
    #[default]
    Command,
    Joined,
    Nothing,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Hidden {
    Program,
    Applet,
}

pub(crate) fn table() -> String {
    let File { wrapper, readers, interpreters, scripted } = crate::parse("wrappers.toml");
    let mut out = "const ROWS: &[Row] = &[\n".to_owned();
    for row in wrapper {
        let variables: Vec<_> = row
            .variables
            .iter()
            .map(|pair| pair.rsplit_once('=').unwrap_or_else(|| panic!("`{pair}` has no `=`")))
            .collect();
        let Row { names, flags, values, texts, directories, splits, numbers, after, .. } = row;
        let Row { operands, assignments, runs, doubt, hidden, .. } = row;
        let hidden = hidden.map_or("None".to_owned(), |kind| format!("Some(Hidden::{kind:?})"));
        let _ = writeln!(
            out,
            "    Row {{ names: &{names:?}, flags: &{flags:?}, values: &{values:?}, \
             texts: &{texts:?}, directories: &{directories:?}, splits: &{splits:?}, \
             variables: &{variables:?}, numbers: {numbers}, after: &{after:?}, \
             operands: {operands}, assignments: {assignments}, runs: Runs::{runs:?}, \
             doubt: {doubt:?}, hidden: {hidden} }},"
        );
    }
    let _ = writeln!(out, "];\nconst READERS: &[&str] = &{:?};", readers.names);
    let _ = writeln!(out, "const INTERPRETERS: &[&str] = &{:?};", interpreters.names);
    let _ = writeln!(out, "const SCRIPTED: &[&str] = &{:?};", scripted.names);
    out
}
