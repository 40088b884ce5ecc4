//! Making changes in the workspace, in words.

use std::path::PathBuf;
use std::process::ExitCode;

use remit_supervisor::changes::{Applied, Change, ChangesError, Choice, Review};

use super::{Meter, ask, show};
use crate::log::units;
use crate::say;

pub(super) fn run(
    review: &Review,
    paths: &[PathBuf],
    yes: bool,
    force: bool,
) -> Result<ExitCode, ChangesError> {
    let mut consent = |change: &Change| match yes {
        true => Choice::Yes,
        false => match ask(&format!("{}\nApply it?", show::line(change))) {
            Some(true) => Choice::Yes,
            Some(false) => Choice::No,
            None => Choice::Unasked,
        },
    };
    let mut meter = Meter::new("applied");
    let applied = review.apply(paths, force, &mut consent, &mut |number, total| {
        meter.at(number, Some(total));
    })?;
    meter.end();
    tell(review, &applied);
    let complete = applied.left.is_empty() && applied.failed.is_none();
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(review: &Review, applied: &Applied) {
    let Applied { done, left, failed, record, all } = applied;
    let count = units::count(done.len() as u64, "change");
    say::line(&format!("applied {count} to {}; recorded as {record}", review.workspace.display()));
    if let Some(error) = failed {
        say::line(&format!("remit: stopped, since something failed: {error}"));
    }
    for left in left {
        say::line(&format!("not applied: {}: {}", show::path(&left.change), left.why));
    }
    if !all {
        let session = review.session;
        say::line(&format!("the rest is kept; `remit changes show {session}` lists it"));
    }
}
