//! Words for the person: on stderr, in one form.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

/// `remit: what failed: why: why`, on one line for each cause's own lines.
pub(crate) fn error(error: &dyn Error) {
    let mut text = format!("remit: {error}");
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    line(&text);
}

/// A line on stderr. That nobody reads it is no error.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The status of a subcommand, with its error said.
pub(crate) fn outcome<E: Error>(result: Result<ExitCode, E>) -> ExitCode {
    result.unwrap_or_else(|failed| {
        error(&failed);
        ExitCode::FAILURE
    })
}
