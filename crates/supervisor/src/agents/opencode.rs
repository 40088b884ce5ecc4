//! OpenCode. It has no sandbox of its own.

use super::{Adapter, State};

pub(super) const ADAPTER: Adapter = Adapter {
    name: "opencode",
    programs: &["opencode"],
    // Its model's host depends on the provider its user configured.
    hosts: &["preset:opencode"],
    environment: &["OPENCODE_*"],
    state: &[
        place(".config/opencode", "XDG_CONFIG_HOME"),
        place(".local/share/opencode", "XDG_DATA_HOME"),
        place(".local/state/opencode", "XDG_STATE_HOME"),
        place(".cache/opencode", "XDG_CACHE_HOME"),
    ],
    arguments: &[],
    // It would replace its own program, which lies outside.
    defaults: &[("OPENCODE_DISABLE_AUTOUPDATE", "1")],
};

const fn place(at: &'static str, moved_by: &'static str) -> State {
    State::Directory { at, moved_by, below: "opencode" }
}
