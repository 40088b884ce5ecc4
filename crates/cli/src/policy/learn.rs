//! Rules proposed from what was answered.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use remit_audit::PublicKey;
use remit_policy::learn::{Came, propose};
use remit_policy::past::Tried;
use remit_policy::{Decision, Layer, PolicyText, TextKind};
use remit_supervisor::{Places, Standpoint};

use super::PolicyCliError;
use super::recorded::{self, Attempted, Recorded};
use crate::log::{self, Out};
use crate::say;

pub(super) fn run(sessions: &[String], write: Option<PathBuf>) -> Result<ExitCode, PolicyCliError> {
    let state = Places::from_environment()?.state;
    let key = PublicKey::load(&state.join("key.pub"))?;
    let mut records: Vec<Recorded> = Vec::new();
    for session in log::chosen(&state, sessions)? {
        let record = recorded::read(&state, session, &key)?;
        if let Some(first) = records.first().filter(|first| first.view != record.view) {
            return Err(PolicyCliError::Mixed { first: first.session, second: session });
        }
        records.push(record);
    }
    let Some(first) = records.first() else { return Ok(ExitCode::SUCCESS) };
    let stand = Standpoint::take(first.view.clone())?;
    let past: Vec<(Tried, Came)> =
        records.iter().flat_map(|record| &record.attempts).map(came).collect();
    let proposal = propose(&past, stand.place(), |text| {
        let mut texts = stand.texts().to_vec();
        texts.push(PolicyText {
            layer: Layer::User,
            kind: TextKind::Rules,
            file: "the proposed rules".to_owned(),
            text: text.to_owned(),
        });
        stand.compile(&texts)
    })?;
    let mut text = header(&records);
    let _ = write!(text, "{proposal}");
    if proposal.rules.is_empty() {
        say::line("remit: nothing was answered yes that a narrow rule could answer");
    }
    match write {
        Some(path) => {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let put = options.open(&path).and_then(|mut file| file.write_all(text.as_bytes()));
            put.map_err(|source| PolicyCliError::Put { path: path.clone(), source })?;
            let shown = remit_approvals::words::plain(&path.to_string_lossy());
            say::line(&format!(
                "remit: wrote `{shown}`; read it, then put it into `~/.config/remit/rules/`"
            ));
        }
        None => {
            let mut out = Out::new(io::stdout().lock());
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn came(attempted: &Attempted) -> (Tried, Came) {
    let came = match attempted.said.decision {
        Decision::Allow if attempted.said.is_granted() => Came::Covered,
        Decision::Allow => Came::Through,
        Decision::Ask if attempted.was_answered_yes() => Came::Yes,
        Decision::Ask | Decision::Refuse => Came::No,
    };
    (attempted.tried.clone(), came)
}

fn header(records: &[Recorded]) -> String {
    let mut text = String::from("# Proposed from what was answered yes in:\n");
    for record in records {
        let _ = writeln!(text, "#   {}", record.session);
    }
    text.push_str(
        "# A rule names the beginning of a command and permits what follows, too. Read\n\
         # each one, and leave out what you would not say again.\n\n",
    );
    text
}
