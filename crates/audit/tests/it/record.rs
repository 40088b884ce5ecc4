//! What is written can be read, by whom it should and by nobody else.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::Path;

use crate::common::{SESSION, at, create, degraded, directory, exec, kinds, session, verify};
use remit_audit::{AppendError, CreateError, KeyError, Kind, Outcome, Record, Sync, Text};

#[test]
fn every_kind_reads_back_as_it_was_written() {
    let state = tempfile::tempdir().expect("a directory");
    let mut record = create(state.path());
    for (n, kind) in kinds().into_iter().enumerate() {
        assert_eq!(record.append(at(n as u64), kind).expect("written"), n as u64);
    }
    record.end(at(12)).expect("written");
    let events: Vec<_> = remit_audit::events(&directory(state.path()))
        .expect("opened")
        .collect::<Result<_, _>>()
        .expect("events");
    let mut expected = kinds();
    expected.push(Kind::SessionEnded { events: 13, refusals: 1, questions: 1 });
    assert_eq!(events.iter().map(|event| event.event.clone()).collect::<Vec<_>>(), expected);
    for (n, event) in events.iter().enumerate() {
        assert_eq!((event.time, event.mono), (at(n as u64).wall_ns, at(n as u64).mono_ns));
        let line = serde_json::to_string(event).expect("JSON");
        assert!(line.contains(&format!("\"event\":{{\"{}\":{{", event.event.name())), "{line}");
    }
    let report = verify(state.path());
    assert_eq!(
        (report.outcome, report.events, report.uncovered, report.ended),
        (Outcome::Intact, 13, 0, true)
    );
}

/// How many events the last checkpoint covers after these.
fn covered(sync: Sync, kinds: impl IntoIterator<Item = Kind>) -> u64 {
    let state = tempfile::tempdir().expect("a directory");
    let mut record = Record::create(state.path(), session(), sync).expect("a record");
    for kind in kinds {
        record.append(at(0), kind).expect("written");
    }
    verify(state.path()).covered
}

#[test]
fn answers_refusals_and_limits_are_synced_and_signed_at_once() {
    for (n, kind) in kinds().into_iter().enumerate() {
        let at_once = ["answer", "refusal", "limit_reached"].contains(&kind.name());
        assert_eq!(
            covered(Sync::Grouped, [degraded(), kind.clone()]),
            if at_once { 2 } else { 0 },
            "{n}"
        );
        assert_eq!(covered(Sync::Always, [degraded(), kind]), 2, "{n}");
    }
}

#[test]
fn a_commit_in_three_steps_covers_what_was_there_when_it_began() {
    let state = tempfile::tempdir().expect("a directory");
    let mut record = create(state.path());
    assert!(!record.dirty() && record.begin_commit().expect("healthy").is_none());
    record.append(at(0), degraded()).expect("written");
    let pending = record.begin_commit().expect("healthy").expect("dirty");
    record.append(at(1), degraded()).expect("written, without waiting");
    record.finish(pending.sync()).expect("signed");
    assert!(record.dirty());
    let report = verify(state.path());
    assert_eq!((report.events, report.covered, report.uncovered), (2, 1, 1));
    assert_eq!(
        report.to_string(),
        "intact: 2 events, 1 covered by 2 checkpoints, 1 not yet covered; \
         ended without a last word (the supervisor died or still runs)"
    );
}

#[test]
fn nothing_follows_the_last_word() {
    let state = tempfile::tempdir().expect("a directory");
    let mut record = create(state.path());
    record.end(at(0)).expect("written");
    assert!(matches!(record.append(at(1), degraded()), Err(AppendError::Ended)));
    assert!(matches!(record.end(at(1)), Err(AppendError::Ended)));
}

#[test]
fn whatever_an_agent_writes_is_one_valid_line() {
    let hostile: [&[u8]; 12] = [
        b"line\nbreak\r\n",
        b"\x1b[2J\x1b]0;title\x07\x9b31m",
        b"nul\0nul",
        b"\xff\xfe\xc3",
        b"\xed\xa0\x80",
        "\u{2028}\u{2029}\u{85}\u{202e}\u{feff}".as_bytes(),
        br#"","verdict":"allow"}}}{"seq":0"#,
        br"\u0000\x00\\",
        b"",
        b"\x7f\x00\x01\x1f",
        "😀🏳️‍🌈".as_bytes(),
        &[0xfe; 1 << 20],
    ];
    let state = tempfile::tempdir().expect("a directory");
    let mut record = create(state.path());
    let argv =
        |bytes: &[u8]| vec![Text::from("printf"), Text::from(OsString::from_vec(bytes.to_vec()))];
    for bytes in hostile {
        record.append(at(0), exec(argv(bytes))).expect("written");
    }
    record.end(at(1)).expect("written");
    let file = std::fs::read(directory(state.path()).join("record.jsonl")).expect("read");
    assert_eq!(file.iter().filter(|b| **b == b'\n').count(), hostile.len() + 1);
    assert!(file.iter().all(|b| *b == b'\n' || (b' '..=b'~').contains(b)), "printable ASCII only");
    let events = remit_audit::events(&directory(state.path())).expect("opened");
    for (event, bytes) in events.zip(hostile) {
        let Kind::Exec { argv: read, .. } = event.expect("an event").event else {
            panic!("an exec")
        };
        assert!(read == argv(bytes), "{:?}", &bytes[..bytes.len().min(40)]);
    }
    assert_eq!(verify(state.path()).outcome, Outcome::Intact);
}

#[test]
fn only_the_user_can_read_what_is_written() {
    let above = tempfile::tempdir().expect("a directory");
    let state = above.path().join("new/state");
    let record = Record::create(&state, session(), Sync::Grouped).expect("a record");
    let mode = |path: &Path| path.metadata().expect("it is there").mode() & 0o7777;
    for path in [state.clone(), state.join("sessions"), directory(&state)] {
        assert_eq!(mode(&path), 0o700, "{}", path.display());
    }
    let files = ["key", "key.pub"].map(|name| state.join(name));
    let own = ["record.jsonl", "checkpoints"].map(|name| directory(&state).join(name));
    for path in files.iter().chain(&own) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert_eq!(std::fs::read_dir(&state).expect("listed").count(), 3, "no draft is left");
    assert!(remit_audit::is_open(&directory(&state)));
    drop(record);
    assert!(!remit_audit::is_open(&directory(&state)));
}

#[test]
fn a_second_record_of_the_same_name_is_refused() {
    let state = tempfile::tempdir().expect("a directory");
    let mut record = create(state.path());
    record.append(at(0), degraded()).expect("written");
    let again = Record::create(state.path(), session(), Sync::Grouped);
    assert!(matches!(again, Err(CreateError::Exists { .. })));
    assert_eq!(verify(state.path()).events, 1);
}

#[test]
fn a_discarded_record_leaves_nothing() {
    let state = tempfile::tempdir().expect("a directory");
    create(state.path()).discard();
    assert_eq!(remit_audit::sessions(state.path()).expect("listed"), []);
    assert!(!directory(state.path()).exists());
    create(state.path());
    assert_eq!(remit_audit::sessions(state.path()).expect("listed"), [session()]);
}

#[test]
fn links_and_open_directories_are_not_followed_or_used() {
    let refused = |prepare: fn(&Path, &Path)| {
        let above = tempfile::tempdir().expect("a directory");
        let (state, elsewhere) = (above.path().join("state"), above.path().join("elsewhere"));
        std::fs::create_dir(&elsewhere).expect("made");
        prepare(&state, &elsewhere);
        let created = Record::create(&state, session(), Sync::Grouped).map(|_| ());
        assert_eq!(std::fs::read_dir(&elsewhere).expect("listed").count(), 0);
        created.expect_err("refused")
    };
    let error = refused(|state, elsewhere| symlink(elsewhere, state).expect("linked"));
    assert!(matches!(error, CreateError::State { .. }), "{error}");
    let error = refused(|state, elsewhere| {
        std::fs::create_dir(state).expect("made");
        symlink(elsewhere, state.join("sessions")).expect("linked");
    });
    assert!(matches!(error, CreateError::State { .. }), "{error}");
    let error = refused(|state, elsewhere| {
        std::fs::create_dir_all(state.join("sessions")).expect("made");
        symlink(elsewhere, state.join("sessions").join(SESSION)).expect("linked");
    });
    assert!(matches!(error, CreateError::Exists { .. }), "{error}");
    let error = refused(|state, _| {
        std::fs::create_dir(state).expect("made");
        std::fs::set_permissions(state, PermissionsExt::from_mode(0o777)).expect("opened");
    });
    assert!(matches!(error, CreateError::State { .. }), "{error}");
}

#[test]
fn a_key_that_is_exposed_broken_or_not_the_public_ones_is_not_used() {
    let check = |spoil: fn(&Path), expected: fn(&KeyError) -> bool| {
        let state = tempfile::tempdir().expect("a directory");
        create(state.path()).discard();
        spoil(state.path());
        match Record::create(state.path(), session(), Sync::Grouped) {
            Err(CreateError::Key(error)) => assert!(expected(&error), "{error}"),
            other => panic!("{other:?}"),
        }
        assert!(!directory(state.path()).exists());
    };
    check(
        |state| {
            std::fs::set_permissions(state.join("key"), PermissionsExt::from_mode(0o640))
                .expect("opened")
        },
        |error| matches!(error, KeyError::Exposed { .. }),
    );
    check(
        |state| std::fs::write(state.join("key"), "").expect("emptied"),
        |error| matches!(error, KeyError::Malformed { .. }),
    );
    check(
        |state| std::fs::remove_file(state.join("key")).expect("removed"),
        |error| matches!(error, KeyError::Mismatch { .. }),
    );
    check(
        |state| {
            std::fs::rename(state.join("key"), state.join("real")).expect("moved");
            symlink("real", state.join("key")).expect("linked");
        },
        |error| matches!(error, KeyError::Read { .. }),
    );
}

#[test]
fn many_first_sessions_at_once_share_one_key() {
    let state = tempfile::tempdir().expect("a directory");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let state = state.path();
            scope.spawn(move || {
                let session = format!("s{n}").parse().expect("a name");
                let mut record = Record::create(state, session, Sync::Grouped).expect("a record");
                record.end(at(0)).expect("written");
            });
        }
    });
    let key = remit_audit::PublicKey::load(&state.path().join("key.pub")).expect("a key");
    for session in remit_audit::sessions(state.path()).expect("listed") {
        let report =
            remit_audit::verify(&session.directory(state.path()), session, &key).expect("read");
        assert_eq!(report.to_string(), "intact: 1 event, all covered by 2 checkpoints");
    }
}

#[test]
fn a_record_verifies_at_any_moment_while_it_is_written() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let state = tempfile::tempdir().expect("a directory");
    let mut record = create(state.path());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..40 {
                let report = verify(state.path());
                assert_eq!(report.outcome, Outcome::Intact, "{report}");
            }
            over.store(true, Ordering::Relaxed);
        });
        // The bound is for a failed check, which never says that it is over.
        for n in 0..20_000 {
            record.append(at(n), degraded()).expect("written");
            if n % 7 == 0 {
                record.commit().expect("committed");
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
    });
}
