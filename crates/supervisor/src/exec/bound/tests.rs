use std::os::unix::fs::symlink;

use super::*;

/// This test's own process is the stopped one: its variables and directory are
/// what they are.
fn exec(line: &str) -> Exec {
    let argv: Vec<_> = line.split(' ').map(std::ffi::OsString::from).collect();
    let us = std::process::id();
    Exec {
        path: (&argv[0]).into(),
        argv,
        cwd: std::env::current_dir().expect("a directory"),
        environment: environment::of(&policy(), us).expect("our variables"),
        ..Exec::default()
    }
}

fn policy() -> Policy {
    let place = remit_policy::Place { home: "/home/ada".into(), workspace: "/home/ada/w".into() };
    Policy::compile(&[], None, &remit_policy::AgentNeeds::default(), &place).expect("a policy")
}

fn bound(exec: &Exec) -> Bound {
    Bound::of(std::process::id(), exec, None, &mut Contents::default())
}

fn difference(bound: &Bound) -> Option<Difference> {
    bound
        .difference(&policy(), std::process::id(), &mut Contents::default())
        .expect("it can be told")
}

#[test]
fn what_is_named_must_stay_what_it_was() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("one"), "echo one").expect("a file");
    fs::write(at("two"), "echo two").expect("a file");
    fs::create_dir(at("directory")).expect("a directory");
    symlink("one", at("link")).expect("a link");
    let command = |name: &str| exec(&format!("sh {}", at(name).display()));

    let script = bound(&command("one"));
    assert_eq!(difference(&script), None);
    let linked = bound(&command("link"));
    let option = bound(&exec(&format!("tool --file={}", at("link").display())));
    let directory = bound(&command("directory"));
    assert_eq!([&linked, &option, &directory].map(difference), [None, None, None]);

    fs::write(at("directory/new"), "").expect("a file");
    assert_eq!(difference(&directory), None, "what is in a directory may change");
    fs::remove_file(at("link")).and_then(|()| symlink("two", at("link"))).expect("a link");
    assert!(difference(&linked).is_some_and(|what| what.contains("link")));
    assert!(difference(&option).is_some());
    assert_eq!(difference(&script), None, "it is named by itself");
    // The same length, within one tick of the clock.
    fs::write(at("one"), "echo eno").expect("a file");
    assert!(difference(&script).is_some());
    fs::remove_file(at("one")).expect("removed");
    assert!(difference(&script).is_some());
}

#[test]
fn other_variables_and_another_directory_are_a_difference() {
    let mut other = exec("tool");
    other.environment.push(("GIT_SSH_COMMAND".into(), "x".into()));
    assert!(difference(&bound(&other)).is_some_and(|what| what.contains("variables")));
    let elsewhere = Exec { cwd: "/".into(), ..exec("tool") };
    assert!(difference(&bound(&elsewhere)).is_some_and(|what| what.contains("directory")));
}

#[test]
fn the_digest_covers_every_part() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("script");
    let mut digests = Vec::new();
    let mut seen = |exec: &Exec| digests.push(bound(exec).digest);
    fs::write(&path, "one").expect("a file");
    let script = exec(&format!("sh {}", path.display()));
    seen(&script);
    fs::write(&path, "two").expect("a file");
    seen(&script);
    seen(&Exec { cwd: "/tmp".into(), ..script.clone() });
    seen(&Exec { environment: vec![("A".into(), "b=c".into())], ..script.clone() });
    seen(&Exec { environment: vec![("A=b".into(), "c".into())], ..script.clone() });
    seen(&exec("sh a b"));
    seen(&exec("sh ab"));
    let different: std::collections::HashSet<_> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
    fs::write(&path, "one").expect("a file");
    assert_eq!(bound(&script).digest, digests[0], "and nothing else");
}

#[test]
fn the_trail_names_every_link_on_the_way() {
    let folder = tempfile::tempdir().expect("a directory");
    let base = folder.path().canonicalize().expect("a path");
    let at = |name: &str| base.join(name);
    fs::create_dir(at("real")).expect("a directory");
    fs::write(at("real/script"), "").expect("a file");
    symlink("real", at("here")).expect("a link");
    symlink(at("here/script"), at("first")).expect("a link");
    symlink("first", at("second")).expect("a link");
    symlink("loop", at("loop")).expect("a link");
    let us = std::process::id();
    let expected = ["second", "first", "here", "real/script"].map(at);
    assert_eq!(trail(us, &at("second")), expected);
    assert_eq!(trail(us, &at("real/../real/./script")), [at("real/script")]);
    assert!(trail(us, &at("loop")).len() <= 42, "a ring of links comes to an end");
}
