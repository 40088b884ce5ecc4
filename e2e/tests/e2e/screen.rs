//! A terminal that a test can type into and look at: tmux, on a socket of the
//! world's own.

use std::process::Command;
use std::time::Duration;

use crate::places;
use crate::run::{Running, eventually};
use crate::world::World;

#[derive(Debug)]
pub struct Screen<'w> {
    world: &'w World,
    socket: String,
}

/// How long a screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(15);

impl<'w> Screen<'w> {
    /// A shell on a screen of 100 columns and 30 lines.
    pub fn new(world: &'w World) -> Self {
        let screen = Self { world, socket: world.elsewhere().join("tmux").display().to_string() };
        let shell = "exec env PS1='$ ' bash --norc --noprofile -i";
        let mut command = world.command(
            "tmux",
            &[
                "-S",
                &screen.socket,
                "-f",
                "/dev/null",
                "new-session",
                "-d",
                "-x",
                "100",
                "-y",
                "30",
                shell,
            ],
        );
        command.env("SHELL", "/bin/bash");
        Running::start(command).finish().succeeds();
        // tmux does not show the blank after the prompt.
        screen.shows("$");
        screen
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command: Command = self.world.command("tmux", &["-S", &self.socket]);
        command.args(words);
        Running::start(command).finish().succeeds().out
    }

    /// Types text as it is.
    pub fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses a key by tmux's name for it, such as `Enter` or `C-c`.
    pub fn presses(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Types a command that runs inside the boundary.
    pub fn runs_inside(&self, command: &str) {
        self.types(&format!("{} run -- {command}", places::remit().display()));
        self.presses("Enter");
    }

    pub fn runs(&self, command: &str) {
        self.types(command);
        self.presses("Enter");
    }

    pub fn clears(&self) {
        self.runs("clear");
        eventually("a clear screen", PATIENCE, || (self.text().trim() == "$").then_some(()));
    }

    /// What is on the screen, without colours.
    pub fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// What is on the screen, with colours.
    pub fn colours(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the screen shows a text, and returns the screen.
    #[track_caller]
    pub fn shows(&self, needle: &str) -> String {
        self.until(&format!("`{needle}` on the screen"), |text| text.contains(needle))
    }

    #[track_caller]
    pub fn until(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let started = std::time::Instant::now();
        while started.elapsed() < PATIENCE {
            last = self.text();
            if matches(&last) {
                return last;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        panic!("waited in vain for {what}; the screen is\n{last}");
    }

    /// Waits until two looks in a row are the same, and returns it in colour.
    pub fn settles(&self) -> String {
        let mut last = self.colours();
        eventually("a screen at rest", PATIENCE, || {
            std::thread::sleep(Duration::from_millis(150));
            let now = self.colours();
            let same = now == last;
            last.clone_from(&now);
            same.then_some(now)
        })
    }

    pub fn resizes(&self, columns: u16, lines: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let command = self.world.command("tmux", &["-S", &self.socket, "kill-server"]);
        let _ = Running::start(command).finish();
    }
}
