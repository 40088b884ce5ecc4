//! Turns the built-in lists of `data/` into tables, so that no session parses
//! them. A mistake in them is an error of the build.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a build reads files; the crate it builds does not")]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde::Deserialize;

#[path = "build/commands.rs"]
mod commands;
#[path = "build/wrappers.rs"]
mod wrappers;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hidden {
    hidden: Vec<HiddenRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HiddenRow {
    path: String,
    reason: String,
    unless: Option<Unless>,
    #[serde(default)]
    always: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unless {
    Agent,
    Home,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protected {
    protected: Vec<ProtectedRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtectedRow {
    path: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    pass: Vec<String>,
    default: Vec<DefaultVariable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultVariable {
    name: String,
    value: String,
    instead_of: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    refused: Vec<CallRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallRow {
    calls: Vec<String>,
    attempt: String,
    rule: String,
    reason: String,
    instead: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Programs {
    program: Vec<ProgramRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramRow {
    path: String,
    parts: String,
    #[serde(rename = "reason")]
    _reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Presets {
    preset: Vec<Preset>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Preset {
    name: String,
    #[serde(rename = "reason")]
    _reason: String,
    #[serde(rename = "source")]
    _source: String,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    requests: Vec<Requests>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    hosts: Vec<String>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TooBroad {
    never: Vec<NeverRow>,
    short: Vec<ShortRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    words: Vec<WordsRow>,
    free: Vec<FreeRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NeverRow {
    names: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortRow {
    words: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WordsRow {
    programs: Vec<String>,
    words: usize,
    #[serde(rename = "reason")]
    _reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FreeRow {
    command: Vec<String>,
    #[serde(rename = "reason")]
    _reason: String,
}

fn main() {
    println!("cargo::rerun-if-changed=data");
    let mut out = String::new();
    let Hidden { hidden } = parse("hidden.toml");
    out.push_str("pub(crate) const HIDDEN_ROWS: &[HiddenRow] = &[\n");
    for HiddenRow { path, reason, unless, always } in hidden {
        let unless = unless.map_or("None".to_owned(), |unless| format!("Some(Unless::{unless:?})"));
        let row = format!("path: {path:?}, reason: {reason:?}, unless: {unless}, always: {always}");
        let _ = writeln!(out, "    HiddenRow {{ {row} }},");
    }
    let Protected { protected } = parse("protected.toml");
    out.push_str("];\npub(crate) const PROTECTED_ROWS: &[ProtectedRow] = &[\n");
    for ProtectedRow { path, reason } in protected {
        let _ = writeln!(out, "    ProtectedRow {{ path: {path:?}, reason: {reason:?} }},");
    }
    out.push_str("];\n");
    write("paths.rs", &out);
    let Environment { pass, default } = parse("environment.toml");
    let mut out = format!("const PASS_NAMES: &[&str] = &{pass:?};\n");
    out.push_str("const DEFAULT_VARIABLES: &[DefaultVariable] = &[\n");
    for DefaultVariable { name, value, instead_of } in default {
        let row = format!("name: {name:?}, value: {value:?}, instead_of: {instead_of:?}");
        let _ = writeln!(out, "    DefaultVariable {{ {row} }},");
    }
    out.push_str("];\n");
    write("pass.rs", &out);
    let Calls { refused } = parse("calls.toml");
    let mut out = "const ROWS: &[Row] = &[\n".to_owned();
    for CallRow { calls, attempt, rule, reason, instead } in refused {
        let words = format!("attempt: {attempt:?}, rule: {rule:?}, reason: {reason:?}");
        let _ = writeln!(out, "    Row {{ calls: &{calls:?}, {words}, instead: {instead:?} }},");
    }
    out.push_str("];\n");
    write("calls.rs", &out);
    write("programs.rs", &programs());
    write("presets.rs", &presets());
    println!("cargo::rerun-if-changed=build");
    write("commands.rs", &commands::table());
    write("wrappers.rs", &wrappers::table());
    write("broad.rs", &too_broad());
    write("answers.rs", &answers());
}

fn answers() -> String {
    let Answers { words, free } = parse("answers.toml");
    let mut out = String::from("const WORDS_ROWS: &[Words] = &[\n");
    for WordsRow { programs, words, .. } in words {
        let _ = writeln!(out, "    Words {{ programs: &{programs:?}, words: {words} }},");
    }
    out.push_str("];\nconst FREE_ROWS: &[Free] = &[\n");
    for FreeRow { command, .. } in free {
        let _ = writeln!(out, "    Free {{ command: &{command:?} }},");
    }
    out + "];\n"
}

fn programs() -> String {
    let Programs { program } = parse("programs.toml");
    let mut out = "const ROWS: &[Row] = &[\n".to_owned();
    for ProgramRow { path, parts, .. } in program {
        let _ = writeln!(out, "    Row {{ path: {path:?}, parts: {parts:?} }},");
    }
    out + "];\n"
}

fn too_broad() -> String {
    let TooBroad { never, short } = parse("too_broad.toml");
    let mut out = "const NEVER: &[Never] = &[\n".to_owned();
    for NeverRow { names, reason } in never {
        assert!(!names.is_empty(), "too_broad.toml: a row of `never` names no program");
        let _ = writeln!(out, "    Never {{ names: &{names:?}, reason: {reason:?} }},");
    }
    out += "];\nconst SHORT: &[Short] = &[\n";
    for ShortRow { words, reason } in short {
        assert!(words.len() > 1, "too_broad.toml: a row of `short` has less than two words");
        let _ = writeln!(out, "    Short {{ words: &{words:?}, reason: {reason:?} }},");
    }
    out + "];\n"
}

fn presets() -> String {
    let Presets { preset } = parse("presets.toml");
    let mut out = "const PRESETS: &[Preset] = &[\n".to_owned();
    for Preset { name, hosts, requests, .. } in preset {
        let _ = writeln!(out, "    Preset {{ name: {name:?}, hosts: &{hosts:?}, requests: &[");
        for Requests { hosts, methods, paths } in requests {
            let row = format!("hosts: &{hosts:?}, methods: &{methods:?}, paths: &{paths:?}");
            let _ = writeln!(out, "        Requests {{ {row} }},");
        }
        out += "    ] },\n";
    }
    out + "];\n"
}

fn parse<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = Path::new("data").join(name);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(name: &str, text: &str) {
    let place = env::var_os("OUT_DIR").expect("Cargo says where");
    fs::write(Path::new(&place).join(name), text).expect("Cargo's place can be written");
}
