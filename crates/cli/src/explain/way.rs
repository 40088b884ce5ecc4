//! The two ways to judge a command: by its text, and where it really starts.

use std::ffi::OsString;

use remit_policy::{Basis, Decision, Exec, Grants, learn, past};
use remit_supervisor::Standpoint;
use remit_supervisor::session::RunError;

use super::told::Told;

/// A command with its arguments.
pub(super) fn command(stand: &Standpoint, exec: Exec) -> Told {
    let grants = Grants::default();
    let findings = stand.policy.findings(&exec);
    let at_start = past::ruled(stand.policy.exec(exec.clone(), &grants));
    let program = exec.program.as_ref().unwrap_or(&exec.path).to_string_lossy().into_owned();
    let cwd = exec.cwd.to_string_lossy().into_owned();
    forecast(stand, exec)
        .known(findings)
        .with("program", Some(program))
        .with("in", Some(cwd))
        .at_start(at_start)
}

/// A text for a shell.
pub(super) fn shell(stand: &Standpoint, text: &str) -> Result<Told, RunError> {
    let exec = stand.exec(["sh", "-c", text].map(OsString::from).to_vec())?;
    Ok(command(stand, exec))
}

/// What can be said of a command before it runs. What a program would do with a
/// text, or start in its turn, is judged when it starts; here it is a doubt, and
/// what is in doubt is asked about.
fn forecast(stand: &Standpoint, exec: Exec) -> Told {
    let program = exec.path.to_string_lossy().into_owned();
    let shown = remit_policy::show::command(&exec.argv);
    let runs_another = learn::runs_another(&program);
    let told = Told::of(stand.policy.exec(exec, &Grants::default()));
    let Some(why) = runs_another else { return told };
    let told = told.doubted(vec![(shown, why.to_owned())]);
    match told.decision() {
        Decision::Allow => {
            let basis = Basis {
                justification: Some(why.to_owned()),
                ..Basis::built_in("commands: not fully understood")
            };
            told.decided_by(past::Ruled { decision: Decision::Ask, basis })
        }
        Decision::Ask | Decision::Refuse => told,
    }
}
