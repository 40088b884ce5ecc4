//! `remit demo`: the whole story with a scripted agent and a scripted model.
//!
//! Only the agent and its model are scripted. The session is an ordinary
//! `remit run` of this same program, with an ordinary policy in a home directory
//! of its own; its question is answered over the approval socket, as a person in
//! another terminal would.

pub(crate) mod agent;
mod model;
mod project;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use remit_approvals::Posed;
use remit_approvals::wire::Client;
use remit_audit::SessionId;
use remit_policy::Choice;

use crate::log::{self, LogCommand, LogError};
use crate::say;
use project::Project;

/// Why the demonstration stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("cannot {doing}")]
    System { doing: &'static str, source: io::Error },
    #[error(
        "the session ended with status {0}, which the script does not expect; `remit doctor` may say why"
    )]
    Status(i32),
    #[error("nobody asked within {} seconds, though the script does", PATIENCE.as_secs())]
    NoQuestion,
    #[error(transparent)]
    Log(#[from] LogError),
}

/// How long the whole session may take; it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn run() -> Result<ExitCode, DemoError> {
    let system = |doing| move |source| DemoError::System { doing, source };
    let model = model::start().map_err(system("start the scripted model"))?;
    let project = Project::lay_out(&model).map_err(system("lay out the example project"))?;
    say::line("A scripted agent is asked to fix a greeting, in a workspace of its own:");
    say::line("");
    let mut session = start(&project, model.port).map_err(system("start the session"))?;
    let answered = answer_when_asked(&project.state(), &mut session);
    if answered.is_err() {
        let _ = session.kill();
    }
    let status = session.wait().map_err(system("wait for the session"))?;
    answered?;
    if !status.success() {
        return Err(DemoError::Status(status.code().unwrap_or(-1)));
    }
    say::line("");
    say::line("The record, kept outside the agent's reach:");
    say::line("");
    let latest = || "latest".to_owned();
    log::run(LogCommand::Timeline { session: latest() }, &project.state())?;
    say::line("");
    say::line("Verification of the record:");
    let verify = LogCommand::Verify { session: latest(), all: false, key: None, json: false };
    Ok(log::run(verify, &project.state())?)
}

fn start(project: &Project, port: u16) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["run", "--approvals", "queue", "-C"])
        .arg(project.workspace())
        .arg("--")
        .arg(project.agent())
        .args(["demo-agent", &format!("localhost:{port}")])
        .env("HOME", project.home())
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        // Without a terminal of its own the session asks through the queue.
        .spawn()
}

/// Waits for the script's one question and says yes to it.
fn answer_when_asked(state: &Path, session: &mut Child) -> Result<(), DemoError> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some((mut client, question)) = open_question(state) {
            say::line(&format!("  ? asked: may it {}", question.summary));
            if client.answer(question.id, Choice::Once, None).is_ok() {
                say::line("  ! answered in another terminal: once");
                return Ok(());
            }
        }
        if session.try_wait().is_ok_and(|status| status.is_some()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(DemoError::NoQuestion)
}

fn open_question(state: &Path) -> Option<(Client, Posed)> {
    let session: SessionId = remit_audit::sessions(state).ok()?.pop()?;
    let mut client = Client::connect(&session.directory(state).join("approvals.sock")).ok()?;
    let question = client.list().ok()?.into_iter().next()?;
    Some((client, question))
}

/// Everything of a stream, as text, however it is encoded.
fn read_all(stream: &mut impl io::Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A directory that is removed with everything in it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays where caches are cleaned.
        let _ = fs::remove_dir_all(&self.0);
    }
}
