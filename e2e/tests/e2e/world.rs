//! A world per test: an account, a home with secrets in it, a workspace with a
//! repository, and nothing else that is worth keeping.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::places;
use crate::record::Record;
use crate::run::{Output, Running};
use crate::who::Who;

/// What every secret in a world says; nothing else does.
pub const SECRET: &str = "do-not-read-9f2c";

/// Files that hold [`SECRET`], below the home.
pub const SECRETS: [&str; 7] = [
    ".ssh/id_ed25519",
    ".aws/credentials",
    ".config/gh/hosts.yml",
    ".gnupg/private-keys-v1.d/key",
    ".netrc",
    ".git-credentials",
    ".docker/config.json",
];

#[derive(Debug)]
pub struct World {
    pub who: Who,
    pub home: PathBuf,
    pub workspace: PathBuf,
    base: TempDir,
    elsewhere: TempDir,
}

impl World {
    pub fn new(who: Who) -> Self {
        let base = tempfile::Builder::new()
            .prefix("e2e-")
            .tempdir_in(&who.home)
            .expect("a directory at home");
        let elsewhere =
            tempfile::Builder::new().prefix("remit-e2e-").tempdir_in("/tmp").expect("a directory");
        let home = base.path().join("home");
        let world = Self { workspace: home.join("project"), home, who, base, elsewhere };
        world.own(world.base.path());
        world.own(world.elsewhere.path());
        for secret in SECRETS {
            world.write(&world.home.join(secret), SECRET);
        }
        fs::set_permissions(world.home.join(".ssh"), fs::Permissions::from_mode(0o700))
            .expect("a closed directory");
        let name = "[user]\n\tname = Test\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n";
        world.write(&world.home.join(".gitconfig"), name);
        world.repository(&world.workspace);
        world
    }

    /// A second workspace, under `/tmp`.
    pub fn workspace_under_tmp(&self) -> PathBuf {
        let folder = self.elsewhere.path().join("project");
        self.repository(&folder);
        folder
    }

    /// A host directory outside home and workspace that the account may write.
    pub fn elsewhere(&self) -> &Path {
        self.elsewhere.path()
    }

    fn repository(&self, folder: &Path) {
        self.write(&folder.join("README"), "hello\n");
        let script = "git init -q . && git add README && git commit -qm first";
        let mut command = self.command("sh", &["-c", script]);
        command.current_dir(folder);
        Running::start(command).finish().succeeds();
    }

    /// Writes a file that the account owns, with the directories it needs.
    pub fn write(&self, path: &Path, text: &str) {
        let folder = path.parent().expect("a directory");
        let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder).expect("a new directory");
            self.own(folder);
        }
        fs::write(path, text).expect("a new file");
        self.own(path);
    }

    fn own(&self, path: &Path) {
        chown(path, Some(self.who.uid), Some(self.who.gid)).expect("ownership");
    }

    /// The user's settings, `~/.config/remit/config.toml`.
    pub fn settings(&self, text: &str) {
        self.write(&self.home.join(".config/remit/config.toml"), text);
    }

    /// The user's rules, `~/.config/remit/rules/default.rules`.
    pub fn rules(&self, text: &str) {
        self.write(&self.home.join(".config/remit/rules/default.rules"), text);
    }

    pub fn state(&self) -> PathBuf {
        self.home.join(".local/state/remit")
    }

    /// A command of this account, in the workspace, without a terminal.
    pub fn command(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.arg(program).args(words);
        self.dress(&mut command);
        self.who.assume(&mut command);
        command
    }

    /// Gives a command this world's environment and workspace.
    pub fn dress(&self, command: &mut Command) {
        command.env_clear().envs([
            ("PATH", OsStr::new(places::PATH)),
            ("HOME", self.home.as_os_str()),
            ("USER", OsStr::new(&self.who.name)),
            ("LOGNAME", OsStr::new(&self.who.name)),
            ("SHELL", OsStr::new("/bin/sh")),
            ("TERM", OsStr::new("xterm-256color")),
            ("LANG", OsStr::new("C.UTF-8")),
        ]);
        if self.workspace.exists() {
            command.current_dir(&self.workspace);
        }
    }

    /// Runs `remit` to its end.
    #[track_caller]
    pub fn remit(&self, words: &[&str]) -> Output {
        self.start(words).finish()
    }

    /// Starts `remit`.
    #[track_caller]
    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(places::remit(), words))
    }

    /// Runs a shell script inside the boundary.
    ///
    /// INVARIANT: no script may harm the host if the boundary fails, root's
    /// included: it names only files of this world, signals only processes of
    /// this test, and mounts only by [`World::inside_own_mounts`].
    #[track_caller]
    pub fn inside(&self, script: &str) -> Output {
        self.remit(&["run", "--", "sh", "-c", &self.spelt_out(script)])
    }

    /// As [`World::inside`], with mounts that the host does not share. An
    /// ordinary account may not mount on the host anyway.
    #[track_caller]
    pub fn inside_own_mounts(&self, script: &str) -> Output {
        let remit = places::remit().display().to_string();
        let script = self.spelt_out(script);
        let run = [remit.as_str(), "run", "--", "sh", "-c", &script];
        if self.who.uid != 0 {
            return self.remit(&run[1..]);
        }
        Running::start(self.command(
            "unshare",
            &[&["--mount", "--propagation", "private", "--"], &run[..]].concat(),
        ))
        .finish()
    }

    /// Runs the same script as the same account without Remit: the control.
    #[track_caller]
    pub fn outside(&self, script: &str) -> Output {
        Running::start(self.command("sh", &["-c", &self.spelt_out(script)])).finish()
    }

    /// `~/` becomes this world's home, so that a mistake about `HOME` cannot
    /// lead a script to the account's real one.
    fn spelt_out(&self, script: &str) -> String {
        script.replace("~/", &format!("{}/", self.home.display()))
    }

    /// The ids of all sessions, oldest first.
    pub fn sessions(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.state().join("sessions")) else {
            return Vec::new();
        };
        let mut found: Vec<_> = entries
            .flatten()
            .map(|entry| {
                (entry.metadata().and_then(|found| found.modified()).ok(), entry.file_name())
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, name)| name.to_string_lossy().into_owned()).collect()
    }

    /// The record of the last session.
    #[track_caller]
    pub fn record(&self) -> Record {
        let sessions = self.sessions();
        let id = sessions.last().expect("a session's record");
        Record::parse(&self.remit(&["log", "show", id, "--json"]).succeeds().out)
    }

    /// A number of seconds that names one `sleep` of this test.
    pub fn mark(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("9{:03}.{}", NEXT.fetch_add(1, Ordering::Relaxed), std::process::id())
    }

    /// Host pids of processes that are exactly `sleep MARK`.
    pub fn sleepers(&self, mark: &str) -> Vec<Pid> {
        let wanted = format!("sleep\0{mark}\0");
        processes()
            .into_iter()
            .filter(|(_, command)| *command == wanted)
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Host pids of processes that mention this world's directories.
    pub fn mine(&self) -> Vec<(Pid, String)> {
        let named = |text: &str| {
            [self.base.path(), self.elsewhere.path()]
                .iter()
                .any(|path| text.contains(&*path.to_string_lossy()))
        };
        let mut found = processes();
        found.retain(|(pid, command)| {
            let cwd =
                fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).unwrap_or_default();
            let environment =
                fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
            named(command)
                || named(&cwd.to_string_lossy())
                || named(&String::from_utf8_lossy(&environment))
        });
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (pid, _) in self.mine() {
            let _ = kill_process(pid, Signal::KILL);
        }
        // Removing a directory walks into whatever is mounted in it.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for folder in [&mut self.base, &mut self.elsewhere] {
            if mounts.contains(&*folder.path().to_string_lossy()) {
                folder.disable_cleanup(true);
            }
        }
    }
}

/// Every live process but this one, with its command line; words end in NUL.
fn processes() -> Vec<(Pid, String)> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| *number != std::process::id().cast_signed())
        .filter_map(|number| {
            let command = fs::read(format!("/proc/{number}/cmdline")).ok()?;
            Some((Pid::from_raw(number)?, String::from_utf8_lossy(&command).into_owned()))
        })
        .collect()
}
