//! The example: a home with a secret and a policy, and a project in it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Scratch;
use super::model::Model;

/// A home directory that exists for one demonstration.
#[derive(Debug)]
pub(super) struct Project {
    home: Scratch,
}

const SECRET: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nnot a real one\n";
const GREETING: &str = "#!/bin/sh\necho \"Hello, wrld\"\n";
const TEST: &str = "#!/bin/sh\ntest \"$(sh greet.sh)\" = \"Hello, world\" && echo ok: greeting\n";
const DEPLOY: &str = "#!/bin/sh\necho deployed to \"$1\"\n";
const RULES: &str = r#"prefix_rule(
    pattern = ["deploy.sh"],
    decision = "forbidden",
    justification = "releases go through the release pipeline",
    match = [["./deploy.sh", "production"]],
    not_match = [["sh", "test.sh"]],
)
"#;

impl Project {
    /// Writes everything. In the person's own home, because inside a session
    /// `/tmp` is private, and the secret must be there to be refused.
    pub(super) fn lay_out(model: &Model) -> io::Result<Self> {
        let base = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let home = base.join(format!(".remit-demo-{}", std::process::id()));
        fs::create_dir(&home)?;
        let project = Self { home: Scratch(home) };
        let home = project.home();
        write(&home.join(".ssh/id_ed25519"), SECRET, 0o600)?;
        write(&home.join(".config/remit/config.toml"), &settings(model), 0o600)?;
        write(&home.join(".config/remit/rules/default.rules"), RULES, 0o600)?;
        write(&home.join("project/greet.sh"), GREETING, 0o644)?;
        write(&home.join("project/test.sh"), TEST, 0o644)?;
        write(&home.join("project/deploy.sh"), DEPLOY, 0o755)?;
        // The agent is this program; its own file may be hidden inside.
        fs::copy(std::env::current_exe()?, project.agent())?;
        Ok(project)
    }

    pub(super) fn home(&self) -> &Path {
        &self.home.0
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.home().join("project")
    }

    pub(super) fn agent(&self) -> PathBuf {
        self.home().join("scripted-agent")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.home().join(".local/state/remit")
    }
}

/// The model may be reached; the registry is known to be on this machine, and
/// asked about.
fn settings(model: &Model) -> String {
    format!(
        "[network]\nallow = [\"localhost:{}\"]\nask = [\"localhost:{}\"]\n",
        model.port, model.registry_port
    )
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
