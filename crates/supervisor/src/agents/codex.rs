//! OpenAI Codex.

use super::{Adapter, State};

pub(super) const ADAPTER: Adapter = Adapter {
    name: "codex",
    programs: &["codex"],
    hosts: &["preset:codex"],
    environment: &[
        "CODEX_*",
        "CODEX_API_KEY",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_ORGANIZATION",
        "OPENAI_PROJECT",
        "RUST_LOG",
    ],
    state: &[State::Directory { at: ".codex", moved_by: "CODEX_HOME", below: "" }],
    // Its bubblewrap cannot start inside any Landlock domain. Its approvals stay
    // as its user has set them.
    arguments: &["-c", r#"sandbox_mode="danger-full-access""#],
    defaults: &[],
};
