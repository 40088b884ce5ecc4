//! OpenCode. It has no sandbox of its own.

use super::{Adapter, State};

pub(super) const ADAPTER: Adapter = Adapter {
    name: "opencode",
    programs: &["opencode"],
    // Its model's host depends on the provider its user configured.
    hosts: &["opencode.ai", "models.dev", "models.opencode.ai"],
    environment: &["OPENCODE_*"],
    state: &[
        State::Directory(".config/opencode"),
        State::Directory(".local/share/opencode"),
        State::Directory(".local/state/opencode"),
        State::Directory(".cache/opencode"),
    ],
    moved_by: None,
    arguments: &[],
    defaults: &[],
};
