//! Secrets that are put in on the way out are not written down.
//!
//! A program that came to one by other means can put it into a path, a command to a
//! server or a lookup. Arguments of programs are evidence as they are: those that
//! are given a secret of the session hold its placeholder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use remit_audit::{AppendError, Kind, Text, event};
use remit_policy::Refusal;
use remit_proxy::Credentials;

use super::Gate;

impl Gate {
    /// Writes an event down, with placeholders where what the network side of it
    /// says has a secret.
    pub(super) fn write(&self, event: Kind) -> Result<(), AppendError> {
        self.journal.write(masked(event, &self.credentials))
    }
}

fn masked(mut event: Kind, credentials: &Credentials) -> Kind {
    if credentials.is_empty() {
        return event;
    }
    match &mut event {
        Kind::Request { method, path, also, .. } => {
            mask(method, credentials);
            mask(path, credentials);
            also.iter_mut().for_each(|text| mask(text, credentials));
        }
        Kind::Upload { method, path, .. } => {
            mask(method, credentials);
            mask(path, credentials);
        }
        Kind::Question { summary, .. } => *summary = credentials.masked(summary),
        Kind::Refusal { detail, refusal, .. } => {
            detail.iter_mut().for_each(|text| mask(text, credentials));
            mask_refusal(refusal, credentials);
        }
        Kind::Outcome { error, .. } => *error = credentials.masked(error),
        Kind::ConnectFact { fact, .. } => match fact {
            event::Fact::SshCommand { command, .. } => mask(command, credentials),
            event::Fact::Database { user, database } => {
                mask(user, credentials);
                mask(database, credentials);
            }
            _ => {}
        },
        _ => {}
    }
    event
}

fn mask(text: &mut Text, credentials: &Credentials) {
    let bytes = credentials.masked_bytes(text.as_bytes());
    if bytes != text.as_bytes() {
        *text = Text::from(OsStr::from_bytes(&bytes));
    }
}

fn mask_refusal(refusal: &mut Refusal, credentials: &Credentials) {
    refusal.attempt = credentials.masked(&refusal.attempt);
    let also = [&mut refusal.instead, &mut refusal.note, &mut refusal.basis.justification];
    for text in also.into_iter().flatten() {
        *text = credentials.masked(text);
    }
}
