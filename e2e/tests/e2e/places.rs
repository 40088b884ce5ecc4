//! Where the programs under test are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

/// The search path of every world: the system's, not the developer's.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// The `remit` under test: `REMIT_BIN`, or the one built beside this program.
pub fn remit() -> PathBuf {
    let built = std::env::var_os("REMIT_BIN").map_or_else(|| beside("remit"), PathBuf::from);
    assert!(built.exists(), "no `{}`; build it with `cargo build -p remit-cli`", built.display());
    reachable(&built)
}

/// A helper of this crate.
pub fn helper(name: &str) -> PathBuf {
    let built = beside(name);
    assert!(built.exists(), "no `{}`; build it with `cargo build -p remit-e2e`", built.display());
    reachable(&built)
}

/// A program on [`PATH`].
pub fn program(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

/// A directory of this build's own, for things compiled once.
pub fn workshop() -> PathBuf {
    let folder = target().join("e2e");
    fs::create_dir_all(&folder).expect("a directory for compiled helpers");
    folder
}

/// An agent from npm.
#[derive(Clone, Copy, Debug)]
pub enum Agent {
    Codex,
    Claude,
    Gemini,
    OpenCode,
}

impl Agent {
    /// The native binary, or what npm starts, below `REMIT_AGENTS` or the build's
    /// `agents/`.
    pub fn installed(self) -> Option<PathBuf> {
        let folder =
            std::env::var_os("REMIT_AGENTS").map_or_else(|| target().join("agents"), PathBuf::from);
        let modules = folder.join("node_modules");
        let (scope, package, binary) = match self {
            Agent::Codex => ("@openai", "codex-linux-", "bin/codex"),
            Agent::Claude => ("@anthropic-ai", "claude-code-linux-", "claude"),
            Agent::OpenCode => ("", "opencode-linux-", "bin/opencode"),
            // Not one file but many; it runs where it lies, or not at all.
            Agent::Gemini => return Some(modules.join(".bin/gemini")).filter(|path| is_open(path)),
        };
        let packages = fs::read_dir(modules.join(scope)).ok()?.flatten();
        packages
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(package))
            })
            .flat_map(|path| {
                let vendor = fs::read_dir(path.join("vendor")).ok().into_iter().flatten().flatten();
                vendor
                    .map(|entry| entry.path())
                    .chain([path])
                    .map(|folder| folder.join(binary))
                    .collect::<Vec<_>>()
            })
            .find(|path| path.is_file())
            .map(|path| reachable(&path))
    }
}

/// `target/`, with `debug/deps/` below it, in which this program was built.
fn target() -> PathBuf {
    beside("").parent().expect("a build directory").to_owned()
}

fn beside(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program's path");
    this.ancestors().nth(2).expect("a build directory").join(name)
}

/// Whether every account may walk to this file, or nobody else needs to.
fn is_open(path: &Path) -> bool {
    let open = |folder: &Path| {
        fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o5 == 0o5)
    };
    path.exists() && (path.ancestors().skip(1).all(open) || !rustix::process::geteuid().is_root())
}

/// The same file at a path that every account may walk: itself, or a copy.
fn reachable(path: &Path) -> PathBuf {
    if is_open(path) {
        return path.to_owned();
    }
    let found = fs::metadata(path).expect("the file's metadata");
    let age = found.modified().expect("a time").duration_since(UNIX_EPOCH).expect("after 1970");
    let name = path.file_name().expect("a file name").to_string_lossy();
    let shared = PathBuf::from(format!("/var/tmp/remit-e2e-{}-{}", found.len(), age.as_nanos()));
    let copy = shared.join(&*name);
    if !copy.exists() {
        // Tests run side by side: fill a private directory, then rename it.
        let draft = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
        fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o755))
            .expect("an open directory");
        let copied = Command::new("cp").arg("-p").arg(path).arg(draft.path()).status();
        assert!(copied.is_ok_and(|status| status.success()), "cannot copy `{}`", path.display());
        let _ = fs::rename(draft.keep(), &shared);
    }
    copy
}
