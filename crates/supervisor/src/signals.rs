//! Signals that ask for the end of a session without a terminal. (With one, the
//! terminal's own thread listens for them.)

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::desk::Desk;

/// Passes signals on until it is dropped.
#[derive(Debug)]
pub(crate) struct Forwarding {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Starts passing SIGHUP, SIGINT and SIGTERM on to the command.
pub(crate) fn forward(desk: Arc<Desk>) -> io::Result<Forwarding> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let handle = signals.handle();
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            desk.signal(signal);
        }
    })?;
    Ok(Forwarding { handle, thread: Some(thread) })
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // It only forwards; a panic in it was reported already.
            let _ = thread.join();
        }
    }
}
