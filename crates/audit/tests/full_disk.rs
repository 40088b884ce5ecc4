//! A disk that is really full: a tiny file system, mounted in namespaces of our
//! own by a second copy of this program.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use remit_audit::{
    AppendError, At, CreateError, Kind, Outcome, PublicKey, Record, SessionId, Sync,
};

/// Set for the second copy to where it mounts.
const INSIDE: &str = "REMIT_TEST_FULL_DISK";

const NAME: &str = "a_full_disk_ends_the_record_and_keeps_what_was_written";

fn main() -> ExitCode {
    if let Some(at) = std::env::var_os(INSIDE) {
        fill(Path::new(&at));
        return ExitCode::SUCCESS;
    }
    let possible = unshare("true").status().is_ok_and(|status| status.success());
    let name = match possible {
        true => NAME.to_owned(),
        false => format!(
            "{NAME} (skipped: this host lets us mount nothing, not even in namespaces of our own)"
        ),
    };
    let trial = Trial::test(name, in_a_second_copy).with_ignored_flag(!possible);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn in_a_second_copy() -> Result<(), Failed> {
    let at = tempfile::tempdir()?;
    let output = unshare(std::env::current_exe()?).env(INSIDE, at.path()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

fn unshare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--"]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn fill(state: &Path) {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"])
        .arg(state)
        .status();
    assert!(mounted.expect("mount runs").success(), "the tiny file system is mounted");

    let session: SessionId = "first".parse().expect("a name");
    let mut record = Record::create(state, session, Sync::Grouped).expect("a record");
    let mut written = 0;
    let error = loop {
        match record.append(AT, event()) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "a tiny disk is never full");
    };
    assert!(written > 10, "only {written} events fitted");
    assert!(matches!(error, AppendError::Write { seq, .. } if seq == written), "{error}");
    assert!(matches!(record.append(AT, event()), Err(AppendError::Failed)));
    assert!(matches!(record.end(AT), Err(AppendError::Failed)));

    let key = PublicKey::load(&state.join("key.pub")).expect("a key");
    let report = remit_audit::verify(&session.directory(state), session, &key).expect("read");
    assert_eq!((report.outcome, report.events, report.ended), (Outcome::Intact, written, false));

    let second: SessionId = "second".parse().expect("a name");
    let error = Record::create(state, second, Sync::Grouped).expect_err("nothing fits");
    assert!(matches!(error, CreateError::Files { .. }), "{error}");
    assert!(!second.directory(state).exists(), "nothing half-started is left");
}

const AT: At = At { wall_ns: 1, mono_ns: 2 };

fn event() -> Kind {
    Kind::Degraded { what: "x".repeat(700), why: "the disk must fill".to_owned() }
}
