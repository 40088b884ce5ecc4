//! Who may know whom: the table of crates in `ARCHITECTURE.md` against what
//! Cargo sees, and where unsafe code may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::{Package, Workspace, short};
use crate::{Failure, say};

/// Names that say that we stopped thinking.
const BANNED: [&str; 4] = ["core", "common", "types", "utils"];
/// The one crate with unsafe code, and the one file name for it.
const UNSAFE_CRATE: &str = "sandbox";
const UNSAFE_FILE: &str = "sys.rs";
/// Packages beside the layers. They may know none of ours.
const OUTSIDE: [&str; 2] = ["xtask", "e2e"];

/// Checks everything and says every problem before it fails.
pub(crate) fn run() -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    let path = workspace.root.join("ARCHITECTURE.md");
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let mut problems = edges(&Table::parse(&text)?, &workspace.packages);
    for package in &workspace.packages {
        unsafe_code(package, &workspace.root, &mut problems)?;
    }
    for problem in &problems {
        say(problem);
    }
    match problems.len() {
        0 => Ok(()),
        count => Err(format!("layers: {count} problems").into()),
    }
}

/// Each crate with the crates it may depend on.
#[derive(Debug)]
struct Table(BTreeMap<String, BTreeSet<String>>);

impl Table {
    /// Reads the rows under `| crate | one line | depends on |`.
    ///
    /// The third column is `–` for none, a list of names separated by commas,
    /// or `all below but A, B`: every crate in an earlier row, except those.
    /// Crates may be listed before they exist.
    fn parse(text: &str) -> Result<Self, Failure> {
        let cells = |line: &str| -> Vec<String> {
            let inner = line.trim().trim_matches('|');
            inner.split('|').map(|cell| cell.trim().replace('`', "")).collect()
        };
        let mut lines =
            text.lines().skip_while(|line| cells(line) != ["crate", "one line", "depends on"]);
        lines.next().ok_or("ARCHITECTURE.md has no table `| crate | one line | depends on |`")?;
        let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in lines.skip(1).take_while(|line| line.trim_start().starts_with('|')) {
            let [name, _, depends_on] = <[String; 3]>::try_from(cells(line)).map_err(|cells| {
                format!("a row of the crate table has {} columns: `{line}`", cells.len())
            })?;
            let allowed = match depends_on.strip_prefix("all below") {
                Some(rest) => {
                    let except = names(rest.trim().strip_prefix("but").unwrap_or_default());
                    table.keys().filter(|name| !except.contains(*name)).cloned().collect()
                }
                None => names(&depends_on),
            };
            if table.insert(name.clone(), allowed).is_some() {
                return Err(format!("the crate table lists `{name}` twice").into());
            }
        }
        for (name, allowed) in &table {
            if let Some(unknown) = allowed.iter().find(|name| !table.contains_key(*name)) {
                return Err(format!(
                    "the crate table lets `{name}` depend on `{unknown}`, which has no row"
                )
                .into());
            }
        }
        Ok(Self(table))
    }
}

fn names(list: &str) -> BTreeSet<String> {
    let words = list.split(',').map(str::trim);
    words.filter(|word| !["", "–", "-", "—"].contains(word)).map(str::to_owned).collect()
}

/// The name by which a package is known in the table.
fn title(package: &str) -> &str {
    package.strip_prefix("remit-").unwrap_or(package)
}

fn edges(table: &Table, packages: &[Package]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let none = BTreeSet::new();
    let mut problems = Vec::new();
    for package in packages {
        let name = title(&package.name);
        if BANNED.contains(&name) {
            problems.push(format!(
                "a crate called `{name}` is nobody's home; name it after what it does"
            ));
        }
        let allowed = match table.0.get(name) {
            Some(allowed) => allowed,
            None if OUTSIDE.contains(&name) => &none,
            None => {
                problems.push(format!("crate `{name}` has no row in the table of ARCHITECTURE.md"));
                continue;
            }
        };
        for other in package.depends_on.iter().filter(|other| ours.contains(other.as_str())) {
            let other = title(other);
            if !allowed.contains(other) {
                problems.push(format!(
                    "`{name}` must not depend on `{other}`, says the table of ARCHITECTURE.md"
                ));
            }
        }
    }
    problems
}

fn unsafe_code(package: &Package, root: &Path, problems: &mut Vec<String>) -> Result<(), Failure> {
    let read = |file: &Path| {
        fs::read_to_string(file)
            .map_err(|error| format!("cannot read `{}`: {error}", file.display()))
    };
    if title(&package.name) == UNSAFE_CRATE {
        for file in sources(&package.folder)? {
            if !file.ends_with(UNSAFE_FILE) && says_unsafe(&read(&file)?) {
                problems.push(format!(
                    "`{}` has unsafe code, which belongs in a `{UNSAFE_FILE}`",
                    short(&file, root)
                ));
            }
        }
        return Ok(());
    }
    for file in &package.roots {
        if !read(file)?.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]") {
            problems.push(format!("`{}` lacks `#![forbid(unsafe_code)]`", short(file, root)));
        }
    }
    Ok(())
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(sources(&entry.path())?);
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether the keyword stands anywhere outside a line comment.
fn says_unsafe(text: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|word| word == "unsafe")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Some words.

| crate | one line | depends on |
|---|---|---|
| policy | decides | – |
| sandbox | confines | – |
| audit | remembers | policy |
| server | joins the control plane | policy, audit |
| `supervisor` | joins the endpoint | all below but server |

More | words | here";

    fn check(crates: &[(&str, &[&str])], expected: &[&str]) {
        let packages: Vec<_> = crates
            .iter()
            .map(|(name, depends_on)| Package {
                name: (*name).to_owned(),
                folder: PathBuf::new(),
                roots: Vec::new(),
                depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
            })
            .collect();
        let problems = edges(&Table::parse(TEXT).expect("a table"), &packages);
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, words) in problems.iter().zip(expected) {
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn edges_within_the_table_pass_and_others_do_not() {
        check(&[("remit-policy", &["serde"]), ("remit-audit", &["remit-policy"])], &[]);
        let upwards = [("remit-policy", &["remit-audit"][..]), ("remit-audit", &[])];
        check(&upwards, &["`policy` must not depend on `audit`"]);
        let across = [("remit-sandbox", &["remit-policy"][..]), ("remit-policy", &[])];
        check(&across, &["`sandbox` must not depend on `policy`"]);
    }

    #[test]
    fn all_below_means_every_earlier_row_except_those_named() {
        let below: [(&str, &[&str]); 4] = [
            ("remit-policy", &[]),
            ("remit-sandbox", &[]),
            ("remit-audit", &[]),
            ("remit-server", &[]),
        ];
        let all: (&str, &[&str]) =
            ("remit-supervisor", &["remit-policy", "remit-sandbox", "remit-audit"]);
        check(&[&below[..], &[all]].concat(), &[]);
        let server: (&str, &[&str]) = ("remit-supervisor", &["remit-server"]);
        check(&[&below[..], &[server]].concat(), &["`supervisor` must not depend on `server`"]);
    }

    #[test]
    fn a_crate_without_a_row_is_a_problem_and_a_row_without_a_crate_is_not() {
        check(&[("remit-policy", &[])], &[]);
        check(&[("remit-gossip", &[])], &["`gossip` has no row"]);
        check(&[("remit-utils", &[])], &["nobody's home", "no row"]);
    }

    #[test]
    fn the_outsiders_may_know_none_of_ours() {
        check(&[("xtask", &["serde_json"]), ("remit-e2e", &[])], &[]);
        let e2e = [("remit-e2e", &["remit-policy"][..]), ("remit-policy", &[])];
        check(&e2e, &["`e2e` must not depend on `policy`"]);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_an_error() {
        assert!(Table::parse("no table").is_err());
        assert!(Table::parse(&TEXT.replace("policy, audit", "policy, nobody")).is_err());
        assert!(Table::parse(&TEXT.replace("| sandbox |", "| policy |")).is_err());
        assert!(Table::parse(&TEXT.replace("| decides | – |", "| decides |")).is_err());
    }

    #[test]
    fn the_keyword_is_found_and_its_relatives_are_not() {
        assert!(says_unsafe("let x = unsafe { call() };"));
        assert!(says_unsafe("unsafe fn f() {}"));
        assert!(!says_unsafe(
            "#![forbid(unsafe_code)]\n// unsafe would be wrong\nlet unsafely = 1;"
        ));
    }
}
