//! What Cargo says about this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Failure;
use crate::process::output;

/// The parts of `cargo metadata --no-deps` that the chores read.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Root source file of every target.
    pub(crate) roots: Vec<PathBuf>,
    /// Names of packages it depends on, for whatever purpose.
    pub(crate) depends_on: Vec<String>,
}

/// A command of the Cargo that runs us.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words);
    command
}

impl Workspace {
    pub(crate) fn load() -> Result<Self, Failure> {
        let text = output(&mut cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
        Self::parse(&serde_json::from_str(&text)?)
            .ok_or_else(|| "`cargo metadata` has an unknown shape".into())
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let path = |value: &Value| value.as_str().map(PathBuf::from);
        let packages = metadata["packages"].as_array()?.iter().map(|package| {
            Some(Package {
                name: package["name"].as_str()?.to_owned(),
                folder: path(&package["manifest_path"])?.parent()?.to_owned(),
                roots: list(package, "targets", "src_path")?
                    .into_iter()
                    .map(PathBuf::from)
                    .collect(),
                depends_on: list(package, "dependencies", "name")?,
            })
        });
        Some(Self {
            root: path(&metadata["workspace_root"])?,
            target: path(&metadata["target_directory"])?,
            packages: packages.collect::<Option<_>>()?,
        })
    }
}

fn list(package: &Value, key: &str, field: &str) -> Option<Vec<String>> {
    package[key].as_array()?.iter().map(|item| Some(item[field].as_str()?.to_owned())).collect()
}

/// A path as the reader of a message knows it.
pub(crate) fn short(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
