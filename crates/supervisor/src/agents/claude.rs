//! Claude Code. Its own sandbox is off unless its user turns it on.

use super::{Adapter, State};

pub(super) const ADAPTER: Adapter = Adapter {
    name: "claude",
    programs: &["claude"],
    hosts: &["preset:claude"],
    environment: &[
        "ANTHROPIC_*",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_*",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "IS_SANDBOX",
        "DISABLE_TELEMETRY",
        "DISABLE_AUTOUPDATER",
        "DISABLE_ERROR_REPORTING",
    ],
    state: &[
        State::Directory { at: ".claude", moved_by: "CLAUDE_CONFIG_DIR", below: "" },
        State::Copy(".claude/.claude.json", ".claude.json"),
    ],
    arguments: &[],
    defaults: &[
        // It replaces `~/.claude.json` by renaming, for which it would have to
        // write in the home directory. Here it keeps that file in its own.
        ("CLAUDE_CONFIG_DIR", "~/.claude"),
        // Updates, surveys and a plug-in market: each would be a question.
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        // It would clone a repository of plug-ins at each start.
        ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
    ],
};
