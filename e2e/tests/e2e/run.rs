//! Running a program with a deadline and no leftovers.

use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Longer than anything a scenario waits for.
pub const LIMIT: Duration = Duration::from_secs(40);

/// What a program did.
#[derive(Debug)]
pub struct Output {
    /// Exit status, or 128 + the number of the signal that ended it.
    pub code: i32,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl Output {
    /// Both streams, for messages that may come by either.
    pub fn both(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "should have succeeded: {self:?}");
        self
    }

    #[track_caller]
    pub fn fails(self) -> Self {
        assert_ne!(self.code, 0, "should have failed: {self:?}");
        self
    }

    /// It failed, or was given a refusal in the place of an answer.
    #[track_caller]
    pub fn fails_or_is_refused(self) -> Self {
        let refused = self.code != 0 || self.out.starts_with("refused:");
        assert!(refused, "should have been refused: {self:?}");
        self
    }

    #[track_caller]
    pub fn says(self, needle: &str) -> Self {
        assert!(self.both().contains(needle), "should say `{needle}`: {self:?}");
        self
    }

    #[track_caller]
    pub fn does_not_say(self, needle: &str) -> Self {
        assert!(!self.both().contains(needle), "should not say `{needle}`: {self:?}");
        self
    }
}

/// A program that runs in a session of its own and is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    started: Instant,
}

impl Running {
    /// Starts a command whose program is `setsid`, so that it has no terminal
    /// and leads a process group of its own.
    pub fn start(mut command: Command) -> Self {
        let started = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let out = collect(child.stdout.take().expect("a pipe"));
        let err = collect(child.stderr.take().expect("a pipe"));
        Self { child, out, err, started }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to the program alone, not to its descendants.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the program is still there");
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }

    /// Waits for the end, at most [`LIMIT`].
    #[track_caller]
    pub fn finish(mut self) -> Output {
        let status = self.wait();
        let took = self.started.elapsed();
        let text = |from: &Receiver<String>| {
            from.recv_timeout(Duration::from_secs(5))
                .expect("something still holds the output open")
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Output { code, out: text(&self.out), err: text(&self.err), took }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            if self.started.elapsed() > LIMIT {
                self.kill();
                let text = |from: &Receiver<String>| {
                    from.recv_timeout(Duration::from_secs(1)).unwrap_or_default()
                };
                panic!("did not end in {LIMIT:?}\n{}\n{}", text(&self.out), text(&self.err));
            }
            thread::sleep(Duration::from_millis(3));
        }
    }

    fn kill(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Polls until `probe` gives something.
///
/// Panics with `what` after `patience`.
#[track_caller]
pub fn eventually<T>(what: &str, patience: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < patience, "waited {patience:?} in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
