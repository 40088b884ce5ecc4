//! The two ways to judge a command: by its text, and where it really starts.

use remit_policy::{Decision, Exec, Forecast, Grants, Outcome, past};
use remit_supervisor::Standpoint;

use super::told::{Part, Told};

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
pub(super) fn shell(stand: &Standpoint, text: &str) -> Told {
    let which = stand.programs();
    let grants = Grants::default();
    foretold(stand.policy.forecast_text_with(text, &stand.workspace, &grants, &which))
}

/// What can be said of a command before it runs.
fn forecast(stand: &Standpoint, exec: Exec) -> Told {
    let which = stand.programs();
    foretold(stand.policy.forecast_with(exec, &Grants::default(), &which))
}

fn foretold(Forecast { verdict, parts, doubts }: Forecast) -> Told {
    let parts = parts.into_iter().map(|part| {
        let decision = match part.outcome {
            Outcome::Allow => Decision::Allow,
            Outcome::Ask => Decision::Ask,
            Outcome::Refuse => Decision::Refuse,
        };
        let ruled = past::Ruled { decision, basis: part.basis };
        Part::new(remit_policy::show::command(&part.argv), ruled)
    });
    let doubts = doubts.into_iter().map(|doubt| (doubt.what, doubt.why.to_owned()));
    Told::of(verdict).in_parts(parts.collect()).doubted(doubts.collect())
}
