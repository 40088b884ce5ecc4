//! Gemini CLI. Its own sandbox is off unless its user turns it on.

use super::{Adapter, State};

pub(super) const ADAPTER: Adapter = Adapter {
    name: "gemini",
    programs: &["gemini"],
    hosts: &[
        "generativelanguage.googleapis.com",
        "cloudcode-pa.googleapis.com",
        "aiplatform.googleapis.com",
        "oauth2.googleapis.com",
        "accounts.google.com",
    ],
    environment: &[
        "GEMINI_*",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_GEMINI_BASE_URL",
        "GOOGLE_VERTEX_BASE_URL",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "CODE_ASSIST_ENDPOINT",
    ],
    state: &[State::Directory(".gemini")],
    moved_by: None,
    arguments: &[],
    defaults: &[],
};
