//! Where paths among the arguments lead: arithmetic on names, as everything that
//! knows no file system.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::table::{SECRETS, Secret, is_one_of};
use super::words::{holds, is_any};
use super::{Finding, glob};
use crate::filesystem::{OWN, Place};
use crate::show;

/// What a command would hit, in words that follow "deletes".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) words: String,
}

/// The first operand whose deletion nobody meant lightly: outside the workspace
/// and the session's own directories, the workspace itself, or in a repository.
pub(super) fn deleted<'a>(
    operands: impl Iterator<Item = &'a [u8]>,
    cwd: &Path,
    place: &Place,
) -> Option<Target> {
    let mut operands = operands;
    operands.find_map(|word| grave(word, cwd, place))
}

/// A value that is a directory outside the workspace.
pub(super) fn abroad<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    cwd: &Path,
    place: &Place,
) -> Option<Target> {
    let mut values = values;
    let outside = |word: &[u8]| {
        let inside =
            resolve(word, cwd, place).is_some_and(|path| path.starts_with(&place.workspace));
        (!inside).then(|| Target { words: quoted(word) })
    };
    values.find_map(outside)
}

/// Whether, and as what, it would be grave to delete what this word names.
pub(super) fn grave(word: &[u8], cwd: &Path, place: &Place) -> Option<Target> {
    let target = |words: &str| Some(Target { words: words.to_owned() });
    let Some(path) = resolve(word, cwd, place) else {
        return target(&format!("{}, which may be outside the workspace", quoted(word)));
    };
    if path == Path::new("/") {
        return target("the whole file system");
    }
    if place.home.starts_with(&path) {
        return target("the home directory");
    }
    if place.workspace.starts_with(&path) {
        return target("the workspace itself");
    }
    let own = OWN.iter().any(|own| path.starts_with(own) && path != Path::new(own));
    if path.starts_with(&place.workspace) {
        let inside = path.strip_prefix(&place.workspace).unwrap_or(&path);
        let of_git = |part: Component<'_>| part.as_os_str().eq_ignore_ascii_case(".git");
        // What Git leaves behind when it is interrupted, and asks people to remove.
        let lock = path.extension() == Some(OsStr::new("lock"));
        return if inside.components().any(of_git) && !lock {
            target(&format!("{}, which holds a repository's history", quoted(word)))
        } else {
            None
        };
    }
    if own { None } else { target(&format!("{}, outside the workspace", quoted(word))) }
}

/// The absolute path that a word means, without `.` and `..`. A part of it that
/// may stand for anything stands for its directory. None if nobody can know.
pub(super) fn resolve(word: &[u8], cwd: &Path, place: &Place) -> Option<PathBuf> {
    let text = Path::new(OsStr::from_bytes(word));
    let mut parts = text.components();
    let mut path = match parts.clone().next()? {
        Component::RootDir => PathBuf::new(),
        Component::Normal(first) => match first.as_bytes() {
            b"~" | b"$HOME" | b"${HOME}" => {
                parts.next();
                place.home.clone()
            }
            b"$PWD" | b"${PWD}" => {
                parts.next();
                cwd.to_owned()
            }
            [b'~' | b'$', ..] => return None,
            _ => cwd.to_owned(),
        },
        _ => cwd.to_owned(),
    };
    for part in parts {
        match part {
            Component::RootDir | Component::Prefix(_) => path = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) if stands_for_all(name.as_bytes()) => {
                // `.*` names the directory above as well.
                if name.as_bytes().starts_with(b".") {
                    path.pop();
                }
                return path.is_absolute().then_some(path);
            }
            Component::Normal(name) => path.push(name),
        }
    }
    path.is_absolute().then_some(path)
}

/// A pattern that says nothing about the name it stands for: `*`, `.*`, `[!.]*`.
fn stands_for_all(name: &[u8]) -> bool {
    name.contains(&b'*') && !name.iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80)
}

/// What of the arguments holds something to log in with.
pub(super) fn secrets(
    names: &[&[u8]],
    arguments: &[&[u8]],
    cwd: &Path,
    place: &Place,
) -> Vec<Finding> {
    let among =
        |list: &[&str]| names.iter().any(|name| list.iter().any(|known| known.as_bytes() == *name));
    let counts = |secret: &&Secret| match secret.readers {
        [] => !names.iter().all(|name| is_one_of(name, secret.users)),
        readers => among(readers),
    };
    let secrets: Vec<_> = SECRETS.iter().filter(counts).collect();
    let mut findings = Vec::new();
    for secret in secrets {
        let named = arguments
            .iter()
            .flat_map(|word| pieces(word))
            .find(|piece| is_secret(piece, secret, cwd, place));
        if let Some(piece) = named {
            findings.push(Finding {
                class: "credential-reading".to_owned(),
                risk: secret.risk,
                reason: format!("{} is named: {}", quoted(piece), secret.reason),
                undo: Some("a secret that was read can only be replaced".to_owned()),
            });
        }
    }
    findings
}

/// A word, and what in it may be a path: behind `=`, `@` or `:`.
fn pieces(word: &[u8]) -> impl Iterator<Item = &[u8]> {
    let behind = |mark: u8| word.iter().position(|b| *b == mark).map(|at| &word[at + 1..]);
    let options = word.strip_prefix(b"-").filter(|rest| rest.len() > 1).map(|rest| &rest[1..]);
    [Some(word), behind(b'='), behind(b'@'), behind(b':'), options].into_iter().flatten()
}

fn is_secret(piece: &[u8], secret: &Secret, cwd: &Path, place: &Place) -> bool {
    let mut paths = secret.paths.iter();
    paths.any(|path| {
        let last = path.rsplit('/').next().unwrap_or(path);
        if path.starts_with("**/") {
            let name = piece.rsplit(|b| *b == b'/').next().unwrap_or(piece);
            return glob(last, name) && !is_any(name, secret.except);
        }
        // Most words hold nothing of the name, and are not looked at further.
        let near =
            holds(piece, last.as_bytes()) || holds(cwd.as_os_str().as_bytes(), last.as_bytes());
        let Some(path) = near.then(|| place.resolve(path).ok()).flatten() else { return false };
        let named = resolve(piece, cwd, place).is_some_and(|named| named.starts_with(&path));
        let name = piece.rsplit(|b| *b == b'/').next().unwrap_or(piece);
        named && !piece.starts_with(b"-") && !is_any(name, secret.except)
    })
}

fn quoted(word: &[u8]) -> String {
    format!("`{}`", show::line(&String::from_utf8_lossy(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { home: "/home/alice".into(), workspace: "/home/alice/proj".into() }
    }

    #[track_caller]
    fn check(word: &str, cwd: &str, expected: Option<&str>) {
        let target = grave(word.as_bytes(), Path::new(cwd), &place());
        let words = target.map(|target| target.words);
        match (words, expected) {
            (None, None) => {}
            (Some(words), Some(part)) => {
                assert!(words.contains(part), "{word}: {words}, not {part}")
            }
            (words, _) => panic!("{word}: {words:?}, not {expected:?}"),
        }
    }

    #[test]
    fn what_is_below_the_workspace_may_go_and_nothing_else() {
        let here = "/home/alice/proj";
        for word in
            ["target", "./target", "a/../b", "src/*", "*.o", "/tmp/x", "/tmp/x/.git", "sub/..x"]
        {
            check(word, here, None);
        }
        for word in [".", "./", "*", "./*", "..//proj", "/home/alice/proj/", "sub/..", "src/../*"] {
            check(word, here, Some("the workspace itself"));
        }
        for word in ["..", "~", "~/", "$HOME", "/home", "/home/alice/*", ".*", "${HOME}/"] {
            check(word, here, Some("the home directory"));
        }
        for word in ["/", "/*", "//", "/./", "../../..", "../../../../../..", "/.*"] {
            check(word, here, Some("the whole file system"));
        }
        for word in [
            "../other",
            "~/x",
            "/etc",
            "/tmp",
            "/tmp/*",
            "/tmp/../etc",
            "$X/y",
            "~bob",
            "/var/tmp/..",
        ] {
            check(word, here, Some("outside"));
        }
        for word in [".git", ".git/", "./.GIT/refs", "sub/.git", "x/../.git/objects"] {
            check(word, here, Some("history"));
        }
        check(".git/index.lock", here, None);
        check("x", "/tmp/y", None);
        check("x", "/usr/src", Some("outside"));
        check("x", "", Some("may be outside"));
    }
}
