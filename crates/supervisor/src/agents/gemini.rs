//! Gemini CLI. Its own sandbox is off.

use super::{Adapter, State};

pub(super) const ADAPTER: Adapter = Adapter {
    name: "gemini",
    programs: &["gemini"],
    hosts: &["preset:gemini"],
    environment: &[
        "GEMINI_*",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_GEMINI_BASE_URL",
        "GOOGLE_VERTEX_BASE_URL",
        "GOOGLE_GENAI_USE_VERTEXAI",
        "GOOGLE_GENAI_USE_GCA",
        "GOOGLE_GENAI_API_VERSION",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_PROJECT_ID",
        "GOOGLE_CLOUD_QUOTA_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "CODE_ASSIST_ENDPOINT",
        "CODE_ASSIST_API_VERSION",
    ],
    state: &[State::Directory { at: ".gemini", moved_by: "GEMINI_CLI_HOME", below: ".gemini" }],
    arguments: &[],
    // Containers and sandboxes of its own cannot be made inside. The variable
    // outranks its settings and its `--sandbox`.
    defaults: &[("GEMINI_SANDBOX", "false")],
};
