//! `data/commands/*.toml`: what is known about programs, as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::path::Path;

use serde::Deserialize;

const FILES: [&str; 13] = [
    "grammars",
    "reading",
    "arguments",
    "deletion",
    "history",
    "disk",
    "secrets",
    "cloud",
    "publishing",
    "outside",
    "privilege",
    "tampering",
    "variables",
];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    group: Vec<Group>,
    grammar: Vec<Grammar>,
    finding: Vec<Finding>,
    reads: Vec<Reads>,
    variable: Vec<Variable>,
    secret: Vec<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    programs: Vec<String>,
    #[serde(rename = "reason")]
    _reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grammar {
    programs: Vec<String>,
    #[serde(default)]
    globals: Vec<String>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    skip: Vec<String>,
    #[serde(default)]
    single: bool,
    #[serde(default)]
    old: bool,
    #[serde(default)]
    never_ends: bool,
    ends_after: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    programs: Vec<String>,
    #[serde(default)]
    subcommand: Vec<String>,
    #[serde(default)]
    globals: bool,
    #[serde(default)]
    options: Option<Vec<String>>,
    #[serde(default)]
    also: Option<Vec<String>>,
    #[serde(default)]
    operands: Option<Vec<String>>,
    #[serde(default)]
    harmless: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    #[serde(default)]
    says: Option<Vec<String>>,
    check: Option<Check>,
    class: String,
    risk: Risk,
    reason: String,
    undo: Option<String>,
    #[serde(rename = "source")]
    _source: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Check {
    Deletion,
    Find,
    Sed,
    Abroad,
    History,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Risk {
    Low,
    Medium,
    High,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reads {
    programs: Vec<String>,
    #[serde(default)]
    subcommand: Vec<String>,
    #[serde(default)]
    stop: Option<Vec<String>>,
    #[serde(default)]
    only: Option<Vec<String>>,
    #[serde(default)]
    without: Option<Vec<String>>,
    operands: Option<usize>,
    #[serde(default)]
    forms: Option<Vec<String>>,
    #[serde(default)]
    script: bool,
    #[serde(rename = "reason")]
    _reason: String,
    #[serde(rename = "source")]
    _source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    names: Vec<String>,
    #[serde(default)]
    programs: Vec<String>,
    #[serde(default)]
    harmless: Vec<String>,
    #[serde(default)]
    bad: Vec<String>,
    asks: bool,
    reason: String,
    #[serde(rename = "source")]
    _source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    paths: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    readers: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
    risk: Risk,
    reason: String,
}

/// What is about one program, by numbers of rows.
#[derive(Default)]
struct About {
    grammar: Option<usize>,
    findings: BTreeSet<usize>,
    reads: BTreeSet<usize>,
}

type Groups = BTreeMap<String, Vec<String>>;

pub(crate) fn table() -> String {
    let mut all = File::default();
    for name in FILES {
        let file: File = super::parse(&format!("commands/{name}.toml"));
        all.group.extend(file.group);
        all.grammar.extend(file.grammar);
        all.finding.extend(file.finding);
        all.reads.extend(file.reads);
        all.variable.extend(file.variable);
        all.secret.extend(file.secret);
    }
    let present = std::fs::read_dir(Path::new("data/commands")).expect("the directory is there");
    assert_eq!(present.count(), FILES.len(), "data/commands: a file is not named in the build");
    let groups: Groups = all.group.into_iter().map(|group| (group.name, group.programs)).collect();
    let mut known = BTreeMap::<String, About>::new();
    let mut out = String::new();
    grammars(&mut out, &all.grammar, &groups, &mut known);
    findings(&mut out, &all.finding, &groups, &mut known);
    reads(&mut out, &all.reads, &groups, &mut known);
    index(&mut out, &known);
    variables(&mut out, &all.variable, &groups);
    secrets(&mut out, &all.secret, &groups);
    for (name, programs) in &groups {
        let name = name.to_ascii_uppercase().replace('-', "_");
        let _ = writeln!(out, "#[allow(dead_code, reason = \"some groups are for rows alone\")]");
        let _ = writeln!(out, "pub(super) const {name}: &[&str] = &{programs:?};");
    }
    out
}

fn grammars(
    out: &mut String,
    rows: &[Grammar],
    groups: &Groups,
    known: &mut BTreeMap<String, About>,
) {
    out.push_str("pub(super) const GRAMMARS: &[Grammar] = &[\n");
    for (number, row) in rows.iter().enumerate() {
        let Grammar { globals, values, flags, skip, single, old, never_ends, ends_after, .. } = row;
        for program in expand(&row.programs, groups) {
            let about = known.entry(program.clone()).or_default();
            assert!(about.grammar.is_none(), "`{program}` has two grammars");
            about.grammar = Some(number);
        }
        for option in globals.iter().chain(values).chain(flags) {
            assert!(option.starts_with('-'), "`{option}` of {:?} is no option", row.programs);
        }
        let _ = writeln!(
            out,
            "    Grammar {{ globals: &{globals:?}, values: &{values:?}, flags: &{flags:?}, \
             skip: &{skip:?}, single: {single}, old: {old}, never_ends: {never_ends}, \
             ends_after: {ends_after:?} }},"
        );
    }
    out.push_str("];\n");
}

fn findings(
    out: &mut String,
    rows: &[Finding],
    groups: &Groups,
    known: &mut BTreeMap<String, About>,
) {
    out.push_str("pub(super) const ROWS: &[Row] = &[\n");
    for (number, row) in rows.iter().enumerate() {
        let Finding { class, risk, reason, globals, check, undo, harmless, unless, .. } = row;
        check_words(class, reason);
        assert!(!row.programs.is_empty(), "a finding about no program: {reason}");
        for program in expand(&row.programs, groups) {
            known.entry(program).or_default().findings.insert(number);
        }
        let options = list(&row.options, "options", reason);
        let also = list(&row.also, "also", reason);
        for option in options.iter().chain(also) {
            assert!(option.starts_with('-'), "`{option}` is no option: {reason}");
        }
        let says = list(&row.says, "says", reason);
        assert!(!says.iter().any(String::is_empty), "an empty text is in every word: {reason}");
        assert!(
            says.iter().all(|text| *text == text.to_ascii_lowercase()),
            "{says:?} is matched in lower case"
        );
        let operands = list(&row.operands, "operands", reason);
        let subcommand = places(&row.subcommand);
        let check = check.map_or("None".to_owned(), |check| format!("Some(Check::{check:?})"));
        let _ = writeln!(
            out,
            "    Row {{ subcommand: {subcommand}, globals: {globals}, harmless: &{harmless:?}, unless: &{unless:?}, options: &{options:?}, \
             also: &{also:?}, operands: &{operands:?}, says: &{says:?}, check: {check}, \
             class: {class:?}, risk: Risk::{risk:?}, reason: {reason:?}, undo: {undo:?} }},"
        );
    }
    out.push_str("];\n");
}

fn reads(out: &mut String, rows: &[Reads], groups: &Groups, known: &mut BTreeMap<String, About>) {
    out.push_str("pub(super) const READS: &[Reads] = &[\n");
    for (number, row) in rows.iter().enumerate() {
        let about = format!("{:?}", row.programs);
        for program in expand(&row.programs, groups) {
            known.entry(program).or_default().reads.insert(number);
        }
        let stop = list(&row.stop, "stop", &about);
        let only = list(&row.only, "only", &about);
        let without = list(&row.without, "without", &about);
        let forms = list(&row.forms, "forms", &about);
        let (operands, script) = (row.operands, row.script);
        let subcommand = places(&row.subcommand);
        let _ = writeln!(
            out,
            "    Reads {{ subcommand: {subcommand}, stop: &{stop:?}, only: &{only:?}, \
             without: &{without:?}, operands: {operands:?}, forms: &{forms:?}, \
             script: {script} }},"
        );
    }
    out.push_str("];\n");
}

fn index(out: &mut String, known: &BTreeMap<String, About>) {
    let mut named = String::new();
    let mut beginnings = String::new();
    for (name, About { grammar, findings, reads }) in known {
        let numbers = |set: &BTreeSet<usize>| set.iter().copied().collect::<Vec<_>>();
        let about = format!(
            "About {{ grammar: {grammar:?}, rows: &{:?}, reads: &{:?} }}",
            numbers(findings),
            numbers(reads)
        );
        let (name, to) = match name.strip_suffix('*') {
            Some(beginning) => (beginning, &mut beginnings),
            None => (name.as_str(), &mut named),
        };
        let _ = writeln!(to, "    ({name:?}, {about}),");
    }
    let _ = writeln!(out, "pub(super) const BY_NAME: &[(&str, About)] = &[\n{named}];");
    let _ = writeln!(out, "pub(super) const BY_BEGINNING: &[(&str, About)] = &[\n{beginnings}];");
}

fn variables(out: &mut String, rows: &[Variable], groups: &Groups) {
    let mut named = BTreeMap::new();
    let mut beginnings = BTreeMap::new();
    for row in rows {
        let Variable { harmless, bad, asks, reason, .. } = row;
        check_words("variable", reason);
        let programs = expand(&row.programs, groups);
        let about = format!(
            "Variable {{ programs: &{programs:?}, harmless: &{harmless:?}, bad: &{bad:?}, \
             asks: {asks}, reason: {reason:?} }}"
        );
        assert!(!row.names.is_empty(), "a variable without a name: {reason}");
        for name in &row.names {
            let earlier = match name.strip_suffix('*') {
                Some(beginning) => beginnings.insert(beginning.to_owned(), about.clone()),
                None => named.insert(name.clone(), about.clone()),
            };
            assert!(earlier.is_none(), "`{name}` is there twice");
        }
    }
    for (table, rows) in [("VARIABLES", named), ("VARIABLE_BEGINNINGS", beginnings)] {
        let _ = writeln!(out, "pub(super) const {table}: &[(&str, Variable)] = &[");
        for (name, about) in rows {
            let _ = writeln!(out, "    ({name:?}, {about}),");
        }
        out.push_str("];\n");
    }
}

fn secrets(out: &mut String, rows: &[Secret], groups: &Groups) {
    out.push_str("pub(super) const SECRETS: &[Secret] = &[\n");
    for row in rows {
        let Secret { paths, except, risk, reason, .. } = row;
        check_words("secret", reason);
        assert!(!paths.is_empty(), "a secret without a path: {reason}");
        for path in paths {
            assert!(
                path.starts_with("~/") || path.starts_with('/') || path.starts_with("**/"),
                "`{path}` begins with `~/`, `/` or `**/`"
            );
        }
        let readers = expand(&row.readers, groups);
        let users = expand(&row.users, groups);
        let _ = writeln!(
            out,
            "    Secret {{ paths: &{paths:?}, except: &{except:?}, readers: &{readers:?}, \
             users: &{users:?}, risk: Risk::{risk:?}, reason: {reason:?} }},"
        );
    }
    out.push_str("];\n");
}

/// `@name` stands for the programs of a group.
fn expand(programs: &[String], groups: &Groups) -> Vec<String> {
    let mut expanded = Vec::new();
    for program in programs {
        match program.strip_prefix('@') {
            Some(name) => {
                let group = groups.get(name);
                expanded.extend(group.unwrap_or_else(|| panic!("no group `{name}`")).clone());
            }
            None => expanded.push(program.clone()),
        }
    }
    expanded
}

/// Alternatives of one place are written `a|b`.
fn places(path: &[String]) -> String {
    let place = |text: &String| {
        let words: Vec<_> = text.split('|').collect();
        assert!(words.iter().all(|word| !word.is_empty()), "an empty alternative in `{text}`");
        format!("&{words:?}")
    };
    format!("&[{}]", path.iter().map(place).collect::<Vec<_>>().join(", "))
}

fn list<'a>(
    list: &'a Option<Vec<String>>,
    key: &str,
    about: &(impl Debug + ?Sized),
) -> &'a [String] {
    match list {
        None => &[],
        Some(list) => {
            assert!(!list.is_empty(), "`{key}` is empty: {about:?}");
            list
        }
    }
}

fn check_words(class: &str, reason: &str) {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
    assert!(!class.is_empty() && class.bytes().all(plain), "`{class}` is no class");
    let said = !reason.is_empty() && !reason.ends_with('.');
    assert!(said, "`{reason}` is no reason: words without a full stop");
}
