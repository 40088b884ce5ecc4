//! The outer terminal: our own description of it, and its modes.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    OptionalActions, Termios, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

/// The person's terminal. Dropping it puts its modes back.
pub(super) struct Outer {
    tty: OwnedFd,
    /// The modes to put back, while it is raw.
    found: Option<Termios>,
}

impl Outer {
    /// Opens the terminal behind `tty` again: whether a descriptor blocks is
    /// a property of what was opened, which the person's shell may share.
    pub(super) fn open(tty: &OwnedFd) -> io::Result<Self> {
        tcgetattr(tty)?;
        let path = format!("/proc/self/fd/{}", tty.as_raw_fd());
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(Self { tty: rustix::fs::open(path, flags, Mode::empty())?, found: None })
    }

    /// The modes as they are now.
    pub(super) fn modes(&self) -> io::Result<Termios> {
        Ok(tcgetattr(&self.tty)?)
    }

    pub(super) fn size(&self) -> io::Result<Winsize> {
        Ok(tcgetwinsize(&self.tty)?)
    }

    /// Whether we may change modes and read without being stopped for it.
    /// A terminal that is not our session's has no job control over us.
    pub(super) fn in_foreground(&self) -> bool {
        tcgetpgrp(&self.tty).map_or(true, |group| group == rustix::process::getpgrp())
    }

    /// Raw mode, remembering what it was before the first time.
    pub(super) fn make_raw(&mut self) -> io::Result<()> {
        let now = tcgetattr(&self.tty)?;
        let mut raw = now.clone();
        raw.make_raw();
        tcsetattr(&self.tty, OptionalActions::Now, &raw)?;
        self.found.get_or_insert(now);
        Ok(())
    }

    /// Puts the modes back. In the background they are the shell's already.
    pub(super) fn restore(&mut self) {
        if let Some(found) = self.found.take()
            && self.in_foreground()
        {
            // The terminal may be gone, with its modes.
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &found);
        }
    }
}

impl AsFd for Outer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tty.as_fd()
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.restore();
    }
}
