//! Where and as whom everything runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::install::Account;
use crate::process::{is_root, output};

/// An ordinary account with an empty home below its own, and a workspace in it.
pub(super) struct Place {
    pub(super) account: Account,
    pub(super) home: PathBuf,
}

impl Place {
    pub(super) fn new(account: Account) -> Result<Self, Failure> {
        let home = Path::new(&account.home).join(format!("remit-bench-{}", std::process::id()));
        let place = Self { account, home };
        for name in ["", "work", ".codex", "read-only"] {
            place.directory(&place.home.join(name))?;
        }
        Ok(place)
    }

    /// Makes a directory that belongs to the account.
    pub(super) fn directory(&self, path: &Path) -> Result<(), Failure> {
        fs::create_dir(path)?;
        Ok(chown(path, Some(self.account.uid), Some(self.account.gid))?)
    }

    pub(super) fn work(&self) -> PathBuf {
        self.home.join("work")
    }

    /// What is only read by whatever runs.
    pub(super) fn read_only(&self) -> PathBuf {
        self.home.join("read-only")
    }

    /// A command as the account, with a clean environment.
    pub(super) fn command(&self, words: &[String], directory: &Path) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(directory).env_clear();
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("USER", &self.account.name);
        command.stdin(Stdio::null());
        if is_root() {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
    }

    /// What a program says of itself, asked as the account.
    pub(super) fn version(&self, program: &Path) -> String {
        let asked = output(&mut self.command(&words(program, "--version"), &self.home));
        asked.map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
    }

    /// The same program where the account may run it: there, or a copy.
    pub(super) fn reachable(&self, program: &Path) -> Result<PathBuf, Failure> {
        let shown = program.display().to_string();
        let mut test = self.command(&["test".into(), "-x".into(), shown.clone()], &self.home);
        if test.status().is_ok_and(|status| status.success()) {
            return Ok(program.to_owned());
        }
        let name = program.file_name().ok_or("a program has a name")?;
        let copy = self.read_only().join(name);
        fs::copy(program, &copy).map_err(|error| format!("cannot copy `{shown}`: {error}"))?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        Ok(copy)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A program with words that have no spaces in them.
pub(super) fn words(program: &Path, rest: &str) -> Vec<String> {
    let program = program.display().to_string();
    std::iter::once(program).chain(rest.split(' ').map(str::to_owned)).collect()
}
