//! The table of programs that run others, from `data/wrappers.toml`.

use std::collections::BTreeSet;
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
    quits: Vec<String>,
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
    let (mut exact, mut beginnings) = (BTreeSet::new(), Vec::new());
    for (number, row) in wrapper.into_iter().enumerate() {
        for name in &row.names {
            match name.strip_suffix('*') {
                Some(beginning) => beginnings.push((beginning.to_owned(), number)),
                None => drop(exact.insert((name.clone(), number))),
            }
        }
        let variables: Vec<_> = row
            .variables
            .iter()
            .map(|pair| pair.rsplit_once('=').unwrap_or_else(|| panic!("`{pair}` has no `=`")))
            .collect();
        let Row { flags, values, texts, directories, splits, quits, numbers, .. } = row;
        let Row { after, operands, assignments, runs, doubt, hidden, .. } = row;
        let hidden = hidden.map_or("None".to_owned(), |kind| format!("Some(Hidden::{kind:?})"));
        let _ = writeln!(
            out,
            "    Row {{ flags: &{flags:?}, values: &{values:?}, \
             texts: &{texts:?}, directories: &{directories:?}, splits: &{splits:?}, \
             variables: &{variables:?}, quits: &{quits:?}, numbers: {numbers}, after: &{after:?}, \
             operands: {operands}, assignments: {assignments}, runs: Runs::{runs:?}, \
             doubt: {doubt:?}, hidden: {hidden} }},"
        );
    }
    out += "];\n";
    let exact: Vec<_> = exact.into_iter().collect();
    let _ = writeln!(out, "const NAMES: &[(&str, usize)] = &{exact:?};");
    let _ = writeln!(out, "const BEGINNINGS: &[(&str, usize)] = &{beginnings:?};");
    let _ = writeln!(out, "const READERS: &[&str] = &{:?};", readers.names);
    let _ = writeln!(out, "const INTERPRETERS: &[&str] = &{:?};", interpreters.names);
    let _ = writeln!(out, "const SCRIPTED: &[&str] = &{:?};", scripted.names);
    out
}
