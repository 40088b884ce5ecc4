//! The text of a profile, read back by a reader that knows nothing of how it
//! was written.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::plan::{Limits, Network};

pub(super) fn plan(mounts: Vec<Mount>, floor: Vec<Floor>) -> Plan {
    Plan {
        tier: crate::Tier::Full,
        mounts,
        floor,
        network: Network {
            gateway: Ipv4Addr::new(198, 18, 0, 1),
            prefix: 15,
            gateway6: Ipv6Addr::LOCALHOST,
            prefix6: 64,
        },
        limits: Limits::default(),
        environment: Vec::new(),
        directory: "/Users/me/project".into(),
        program: "/bin/sh".into(),
        argv: vec!["sh".into()],
    }
}

fn ordinary() -> Plan {
    let work = || PathBuf::from("/Users/me/project");
    let host = |path: &str, access| Mount::Host { path: work().join(path), access };
    plan(
        vec![
            Mount::Private { path: "/private/tmp".into(), mode: 0o1777 },
            Mount::Processes,
            Mount::Devices,
            Mount::Host { path: work(), access: Access::Write },
            Mount::Host { path: "/Users/me/not-on-the-floor".into(), access: Access::Write },
            host(".git/hooks", Access::Read),
            Mount::Hidden { path: "/Users/me/.ssh".into(), directory: true },
            Mount::Hidden { path: work().join("conf/.env"), directory: false },
            Mount::Text { path: "/etc/resolv.conf".into(), text: "nameserver".into() },
        ],
        vec![
            Floor::List("/".into()),
            Floor::Read("/bin".into()),
            Floor::Read("/usr".into()),
            Floor::Device("/dev".into()),
            Floor::Write(work()),
        ],
    )
}

/// Somebody reads this file.
#[test]
fn an_ordinary_plan_has_this_profile() {
    let written = profile(&ordinary(), 8123).unwrap();
    assert_eq!(written, include_str!("ordinary.sb"));
}

#[test]
fn what_is_missing_is_said() {
    use Lack::{Capture, Lifetime, Names, Private, Processes, Programs, Texts};
    let always = [Programs, Names, Capture, Processes, Lifetime];
    assert_eq!(lacks(&plan(vec![], vec![])), BTreeSet::from(always));
    let ordinary = lacks(&ordinary());
    assert!([Private, Texts].iter().all(|lack| ordinary.contains(lack)));
}

/// One form: a word, a string, or forms in parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Word(String),
    Text(String),
    List(Vec<Form>),
}

/// Reads as a Scheme does.
fn read(text: &str) -> Vec<Form> {
    let mut open = vec![Vec::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ';' => while chars.next().is_some_and(|c| c != '\n') {},
            '(' => open.push(Vec::new()),
            ')' => {
                let list = open.pop().unwrap();
                open.last_mut().expect("as many opened as closed").push(Form::List(list));
            }
            '"' => {
                let mut string = String::new();
                loop {
                    match chars.next().expect("a closing quote") {
                        '"' => break,
                        '\\' => string.push(chars.next().unwrap()),
                        c => string.push(c),
                    }
                }
                open.last_mut().unwrap().push(Form::Text(string));
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                while let Some(c) =
                    chars.next_if(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '"'))
                {
                    word.push(c);
                }
                open.last_mut().unwrap().push(Form::Word(word));
            }
        }
    }
    assert_eq!(open.len(), 1, "as many closed as opened");
    open.pop().unwrap()
}

/// The same forms with one path in place of another.
fn renamed(forms: &[Form], from: &str, to: &str) -> Vec<Form> {
    let rename = |form: &Form| match form {
        Form::Text(text) if text == from => Form::Text(to.to_owned()),
        Form::List(forms) => Form::List(renamed(forms, from, to)),
        other => other.clone(),
    };
    forms.iter().map(rename).collect()
}

fn with_path(path: &str) -> Result<String, ProfileError> {
    let path = PathBuf::from(path);
    let mounts = vec![
        Mount::Host { path: path.clone(), access: Access::Write },
        Mount::Host { path: path.clone(), access: Access::Read },
        Mount::Private { path: path.clone(), mode: 0o700 },
        Mount::Hidden { path: path.clone(), directory: true },
    ];
    let floor = vec![
        Floor::List(path.clone()),
        Floor::Read(path.clone()),
        Floor::Write(path.clone()),
        Floor::Device(path),
    ];
    profile(&plan(mounts, floor), 1)
}

/// Whatever a path is called, the profile has the same rules, about that path.
#[test]
fn no_path_breaks_out_of_its_literal() {
    const HOSTILE: [&str; 14] = [
        "\"",
        "\\",
        "\\\"",
        "(",
        ")",
        "(allow default)",
        "\")(allow default)(\"",
        ";",
        "#",
        " ",
        "'",
        "é",
        "$(x)",
        "x",
    ];
    let plain = read(&with_path("/plain").unwrap());
    // A simple generator; the seed makes a failure repeatable.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..5_000 {
        let mut name = String::from("/n");
        for _ in 0..8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            name.push_str(HOSTILE[usize::try_from(state >> 33).unwrap() % HOSTILE.len()]);
        }
        let forms = read(&with_path(&name).unwrap());
        assert_eq!(forms, renamed(&plain, "/plain", &name), "{name:?}");
    }
}

#[test]
fn a_path_that_cannot_be_written_exactly_has_no_profile() {
    for path in ["/a\nb", "/a\0b", "/a\u{7f}", "/a\u{85}b", "/a\rb", "/\u{1b}[m"] {
        assert_eq!(with_path(path), Err(ProfileError::Unspeakable(path.into())), "{path:?}");
    }
    for path in ["", "a", "/a/../b", "/a/./b", "/a//b", "/a/", "./a", "/a/.."] {
        assert_eq!(with_path(path), Err(ProfileError::NotPlain(path.into())), "{path:?}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = PathBuf::from(std::ffi::OsStr::from_bytes(b"/a\xff"));
        let read = vec![Floor::Read(bytes.clone())];
        let refused = profile(&plan(vec![], read), 1);
        assert_eq!(refused, Err(ProfileError::Unspeakable(bytes)));
    }
}

/// What a reader of profiles decides about a path: the last rule that matches.
pub(super) fn decides(profile: &str, operation: &str, path: &str) -> bool {
    let mut allowed = false;
    for form in read(profile) {
        let Form::List(parts) = form else { panic!("a rule") };
        let (Form::Word(verb), rest) = (&parts[0], &parts[1..]) else { panic!("a verb") };
        let covers = |word: &str| {
            word == operation
                || word.strip_suffix('*').is_some_and(|stem| operation.starts_with(stem))
        };
        let named = rest.iter().any(|part| matches!(part, Form::Word(word) if covers(word)));
        let matches = rest.iter().any(|part| match part {
            Form::List(filter) => match &filter[..] {
                [Form::Word(kind), Form::Text(root)] if kind == "subpath" => {
                    Path::new(path).starts_with(root)
                }
                [Form::Word(kind), Form::Text(name)] if kind == "literal" => path == name,
                _ => false,
            },
            _ => false,
        });
        if named && matches {
            allowed = verb == "allow";
        }
    }
    allowed
}

#[test]
fn the_last_rule_is_the_stricter_one() {
    let profile = profile(&ordinary(), 1).unwrap();
    let check = |operation, path, expected| {
        assert_eq!(decides(&profile, operation, path), expected, "{operation} {path}");
    };
    check("file-read-data", "/usr/bin/env", true);
    check("file-write-data", "/usr/bin/env", false);
    check("process-exec", "/usr/bin/env", true);
    check("file-write-create", "/Users/me/project/src/new", true);
    check("file-write-unlink", "/Users/me/project/src", true);
    check("file-read-data", "/Users/me/project/.git/hooks/x", true);
    check("file-write-create", "/Users/me/project/.git/hooks/x", false);
    check("file-write-unlink", "/Users/me/project/.git/hooks", false);
    check("file-write-unlink", "/Users/me/project/.git", false);
    check("file-write-create", "/Users/me/project/.git/index", true);
    check("file-read-data", "/Users/me/project/conf/.env", false);
    check("file-read-metadata", "/Users/me/project/conf/.env", false);
    check("file-write-unlink", "/Users/me/project/conf", false);
    check("file-read-data", "/Users/me/.ssh/id", false);
    check("file-read-data", "/Users/me/other", false);
    check("file-write-data", "/Users/me/not-on-the-floor/x", false);
    check("file-write-create", "/private/tmp/x", false);
    check("file-read-data", "/private/tmp/x", false);
    check("file-read-data", "/System/Volumes/Data/Users/me/.ssh/id", false);
    check("network-outbound", "/var/run/docker.sock", false);
}

/// Where a plan hides something inside a root that it grants later.
#[test]
fn hidden_paths_are_denied_whatever_the_order() {
    let mut plan = ordinary();
    plan.mounts.reverse();
    let profile = profile(&plan, 1).unwrap();
    assert!(!decides(&profile, "file-read-data", "/Users/me/project/conf/.env"));
    assert!(!decides(&profile, "file-read-data", "/Users/me/.ssh/id"));
}
