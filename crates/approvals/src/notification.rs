//! A desktop's notice that a question waits.
//!
//! It says that, and the class of what is asked: no argument, no path, no host and
//! no secret, since notices are kept and shown on locked screens. Nothing is
//! answered there.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Named in full, so that no directory of `PATH` can stand before it.
///
/// SOURCE: notify-send(1), of libnotify.
const TOOL: &str = "/usr/bin/notify-send";

/// How long the tool may take to hand the notice over.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows a notice if this machine can. Does not wait for it.
///
/// `class` is one of ours: what kind of thing is asked, or a risk class.
pub fn show(title: &'static str, class: &str) {
    show_by(Path::new(TOOL), title, class);
}

fn show_by(tool: &Path, title: &str, class: &str) {
    let words = classes(class);
    let mut command = Command::new(tool);
    command.args(["--app-name=remit", "--urgency=critical", "--", title, &words]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A machine without it shows none, and that is no reason not to ask.
    let Ok(child) = command.spawn() else { return };
    // Without a thread it stays unreaped until we end.
    let _ = thread::Builder::new().name("notice".to_owned()).spawn(move || reap(child));
}

fn reap(mut child: Child) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// A class is words of small letters joined by hyphens; anything else is not said.
/// Daemons read markup in what they are given.
fn classes(class: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
    match !class.is_empty() && class.len() <= 64 && class.bytes().all(plain) {
        true => class.to_owned(),
        false => "something".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_notice_says_title_and_class_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (tool, said) = (directory.path().join("tool"), directory.path().join("said"));
        let script =
            format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {0}.new\nmv {0}.new {0}\n", said.display());
        fs::write(&tool, script).unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o700)).unwrap();
        for (class, expected) in
            [("recursive-deletion", "recursive-deletion"), ("<b>rm -rf /secret</b>", "something")]
        {
            let _ = fs::remove_file(&said);
            show_by(&tool, "remit asks", class);
            let end = Instant::now() + PATIENCE;
            while !said.exists() && Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
            let words = fs::read_to_string(&said).unwrap();
            assert_eq!(words.lines().skip(3).collect::<Vec<_>>(), ["remit asks", expected]);
        }
        show_by(&directory.path().join("absent"), "remit asks", "exec");
    }
}
