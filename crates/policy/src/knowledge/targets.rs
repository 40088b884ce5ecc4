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

/// The first operand that is the repository of the workspace, or of a part of it.
pub(super) fn history<'a>(
    operands: impl Iterator<Item = &'a [u8]>,
    cwd: &Path,
    place: &Place,
) -> Option<Target> {
    let mut operands = operands;
    operands.find_map(|word| {
        let path = resolve(word, cwd, place)?;
        let is_git = path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(".git"));
        (is_git && path.starts_with(&place.workspace)).then(|| Target { words: quoted(word) })
    })
}

/// A value that is a directory outside the workspace and the session's own.
pub(super) fn abroad<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    cwd: &Path,
    place: &Place,
) -> Option<Target> {
    let mut values = values;
    let outside = |word: &[u8]| {
        let inside = resolve(word, cwd, place)
            .is_some_and(|path| path.starts_with(&place.workspace) || is_own(&path));
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
    if path.starts_with(&place.workspace) {
        let inside = path.strip_prefix(&place.workspace).unwrap_or(&path);
        let of_git = |part: Component<'_>| {
            let name = part.as_os_str();
            name.eq_ignore_ascii_case(".git")
                || name.to_str().is_some_and(|name| glob(name, b".git"))
        };
        // What Git leaves behind when it is interrupted, and asks people to remove.
        let lock = path.extension() == Some(OsStr::new("lock"));
        return if inside.components().any(of_git) && !lock {
            target(&format!("{}, which holds a repository's history", quoted(word)))
        } else {
            None
        };
    }
    if is_own(&path) { None } else { target(&format!("{}, outside the workspace", quoted(word))) }
}

/// Whether a path is below a directory that only the session has.
fn is_own(path: &Path) -> bool {
    OWN.iter().any(|own| path.starts_with(own) && path != Path::new(own))
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

/// A pattern that says next to nothing about the name it stands for: `*`, `.*`,
/// `[!.]*`, `[a-z]*`.
fn stands_for_all(name: &[u8]) -> bool {
    let mut inside = false;
    let says = name.iter().any(|b| {
        inside = (inside || *b == b'[') && *b != b']';
        !inside && (b.is_ascii_alphanumeric() || *b >= 0x80)
    });
    name.contains(&b'*') && !says
}

/// What of the arguments names something to log in with, the gravest only.
pub(super) fn secrets(
    names: &[&[u8]],
    arguments: &[&[u8]],
    cwd: &Path,
    place: &Place,
) -> Option<Finding> {
    let counts = |secret: &&Secret| match secret.readers {
        [] => !names.iter().all(|name| is_one_of(name, secret.users)),
        readers => names.iter().any(|name| is_one_of(name, readers)),
    };
    let secrets: Vec<_> = SECRETS.iter().filter(counts).collect();
    let at_home = !cwd.starts_with(&place.workspace) || place.home.starts_with(&place.workspace);
    let leads_home =
        |word: &&[u8]| pieces(word).any(|piece| leaves(piece) && is_home(piece, cwd, place));
    // `tar -C ~ .ssh`: what follows may be meant from there.
    let cwd = if arguments.iter().any(leads_home) { &place.home } else { cwd };
    let at_home = at_home || cwd == place.home;
    let pieces = arguments.iter().flat_map(|word| pieces(word));
    let named = pieces.filter_map(|piece| {
        let path = (at_home || leaves(piece)).then(|| resolve(piece, cwd, place)).flatten();
        let name = piece.rsplit(|b| *b == b'/').next().unwrap_or(piece);
        let mut about = secrets.iter().filter(|secret| !is_any(name, secret.except));
        let secret = about.find(|secret| secret.is(path.as_deref(), name, place))?;
        Some((piece, secret))
    });
    let (piece, secret) = named.max_by_key(|(_, secret)| secret.risk)?;
    Some(Finding {
        class: "credential-reading".to_owned(),
        risk: secret.risk,
        reason: format!("{} is named: {}", quoted(piece), secret.reason),
        undo: Some("a secret that was read can only be replaced".to_owned()),
    })
}

impl Secret {
    /// Whether a file is it, or below it: by its path, or by its last part alone.
    fn is(&self, path: Option<&Path>, name: &[u8], place: &Place) -> bool {
        self.paths.iter().any(|secret| {
            if let Some(wanted) = secret.strip_prefix("**/") {
                return glob(wanted, name);
            }
            let Some(path) = path else { return false };
            match secret.strip_prefix("~/") {
                Some(below) => {
                    path.strip_prefix(&place.home).is_ok_and(|path| path.starts_with(below))
                }
                None => path.starts_with(secret),
            }
        })
    }
}

fn is_home(piece: &[u8], cwd: &Path, place: &Place) -> bool {
    resolve(piece, cwd, place).is_some_and(|path| path == place.home)
}

/// Whether a path may lead out of the directory it is relative to.
fn leaves(piece: &[u8]) -> bool {
    piece.starts_with(b"/")
        || piece.starts_with(b"~")
        || piece.starts_with(b"$")
        || holds(piece, b"..")
}

/// A word, and what in it may be a path: behind `=`, `@`, `:` or `<`, or behind
/// the letter of an option.
fn pieces(word: &[u8]) -> impl Iterator<Item = &[u8]> {
    let behind = |mark: u8| word.iter().position(|b| *b == mark).map(|at| &word[at + 1..]);
    let letter = word.strip_prefix(b"-").filter(|rest| rest.len() > 1).map(|rest| &rest[1..]);
    let whole = (!word.starts_with(b"-")).then_some(word);
    [whole, behind(b'='), behind(b'@'), behind(b':'), behind(b'<'), letter].into_iter().flatten()
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
        for word in [".git*", ".g?t/x", "sub/.gi*"] {
            check(word, here, Some("history"));
        }
        for word in ["[a-z]*", "[!.]*", "?*", "./[a-z]*"] {
            check(word, here, Some("the workspace itself"));
        }
        check(".git/index.lock", here, None);
        check("x", "/tmp/y", None);
        check("x", "/usr/src", Some("outside"));
        check("x", "", Some("may be outside"));
    }
}
