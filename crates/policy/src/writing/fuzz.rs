//! Laws of judging names, tried on names that nobody thought of.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use bolero::{check, produce};

use super::tests::writing;
use super::*;

/// What paths are made of: names that somebody trusts, and what hides them.
const PIECES: [&str; 40] = [
    "/",
    "/",
    "/",
    "/",
    ".git",
    ".git",
    ".GIT",
    "GIT~1",
    "hooks",
    "config",
    "config.lock",
    "info",
    "attributes",
    "modules",
    "worktrees",
    "commondir",
    "objects",
    "refs",
    "pre-commit",
    ".sample",
    ".vscode",
    "tasks.json",
    ".envrc",
    ".claude",
    "settings.json",
    ".",
    "..",
    " ",
    ":",
    "::$DATA",
    "\u{200c}",
    "\u{feff}",
    "\u{17f}",
    "\u{212a}",
    "\u{130}",
    "\u{e9}",
    "a",
    "t123456",
    "bin",
    "python3",
];

fn path(start: u8, picks: &[u8]) -> PathBuf {
    const STARTS: [&str; 6] =
        ["/home/ada/p/", "/srv/more/", "/home/ada/.codex/", "/tmp/", "/srv/repo.git/", "/"];
    let rest = picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]);
    let text: String =
        std::iter::once(STARTS[usize::from(start) % STARTS.len()]).chain(rest).collect();
    // As whoever asks gives it: no `.`, `..` or empty name is left.
    let names = Path::new(&text).components().filter(|part| {
        matches!(part, std::path::Component::RootDir | std::path::Component::Normal(_))
    });
    names.collect()
}

fn change(pick: u8) -> Change {
    const ALL: [Change; 7] = [
        Change::Write,
        Change::MakeDirectory,
        Change::MakeLink,
        Change::PutFile,
        Change::PutDirectory { empty: true },
        Change::PutDirectory { empty: false },
        Change::Take,
    ];
    ALL[usize::from(pick) % ALL.len()]
}

fn allows(writing: &Writing, path: &Path, change: Change) -> bool {
    matches!(writing.judge(FileWrite { path: path.into(), change }), Verdict::Allow(_))
}

#[test]
fn a_folded_name_is_folded_however_it_was_spelt() {
    check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
        let folded = fold::fold(OsStr::from_bytes(bytes)).into_owned();
        assert_eq!(fold::fold(OsStr::new(&folded)), folded, "once is enough");
        let loud = bytes.to_ascii_uppercase();
        assert_eq!(fold::fold(OsStr::from_bytes(&loud)), folded, "case does not matter");
    });
}

#[test]
fn a_stricter_setting_allows_no_more() {
    let [read, commit, manage] =
        ["read", "commit", "manage"].map(|git| writing(&format!("sandbox.git = \"{git}\"\n")));
    let picks = produce::<Vec<u8>>().with().len(0..14_usize);
    let input = (produce::<u8>(), picks, produce::<u8>());
    check!().with_iterations(20_000).with_generator(input).for_each(|(start, picks, what)| {
        let (path, change) = (path(*start, picks), change(*what));
        let said = [&read, &commit, &manage].map(|writing| allows(writing, &path, change));
        assert!(said.is_sorted(), "{change:?} {}: {said:?}", path.display());
        for writing in [&read, &commit, &manage] {
            let _ = (writing.handoff(&path), writing.minds_contents(&path));
            if !writing.is_within(&path) {
                assert!(!allows(writing, &path, change), "outside: {}", path.display());
            }
        }
    });
}

/// A file system may take both spellings for one name.
#[test]
fn spelling_changes_no_verdict() {
    let writing = writing("");
    let root = Path::new("/home/ada/p");
    let picks = produce::<Vec<u8>>().with().len(0..14_usize);
    let input = (picks, produce::<u8>());
    check!().with_iterations(20_000).with_generator(input).for_each(|(picks, what)| {
        let (path, change) = (path(0, picks), change(*what));
        let Ok(rest) = path.strip_prefix(root) else { return };
        let loud = root.join(OsStr::from_bytes(&rest.as_os_str().as_bytes().to_ascii_uppercase()));
        let said = [&path, &loud].map(|path| allows(&writing, path, change));
        assert_eq!(said[0], said[1], "{change:?} {}", path.display());
    });
}

/// Written from Git's documentation, and not by asking the code. Only the first
/// `.git` of a path counts here: what lies in it is Git's own.
#[test]
fn what_git_obeys_is_never_written() {
    let writing = writing("");
    let picks = produce::<Vec<u8>>().with().len(0..14_usize);
    let input = (picks, produce::<u8>());
    check!().with_iterations(20_000).with_generator(input).for_each(|(picks, what)| {
        let (path, change) = (path(0, picks), change(*what));
        let names: Vec<_> = path.iter().map(fold::fold).collect();
        let Some(at) = names.iter().position(|name| name == ".git") else { return };
        let obeyed = match names.get(at + 1).map(|name| &**name) {
            Some("hooks" | "config" | "config.lock" | "commondir") => true,
            Some("info") => names.get(at + 2).is_some_and(|name| name == "attributes"),
            Some(_) => false,
            None => true,
        };
        assert!(!(obeyed && allows(&writing, &path, change)), "{change:?} {}", path.display());
    });
}
