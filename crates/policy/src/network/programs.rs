//! Which program connects: a file, or one that does part of its work.

use std::path::{Component, Path, PathBuf};

/// A program and the directory whose files do part of its work.
struct Row {
    path: &'static str,
    parts: &'static str,
}

/// Programs that a statement is about. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Programs(Vec<PathBuf>);

impl Programs {
    /// Parses absolute paths of files. Links in them are followed later, by
    /// [`follow`](Self::follow), for `/proc/PID/exe` has none.
    pub(crate) fn parse(text: &str) -> Result<PathBuf, String> {
        let path = Path::new(text);
        let plain = !text.chars().any(char::is_control);
        if !path.is_absolute() || !plain || path.components().any(|c| c == Component::ParentDir) {
            return Err(format!(
                "`{text}` is not an absolute path of a program, such as `/usr/bin/git`"
            ));
        }
        if text.ends_with('/') {
            return Err(format!("`{text}` is a directory; name each program"));
        }
        Ok(usr(path))
    }

    pub(crate) fn new(paths: Vec<PathBuf>) -> Option<Self> {
        (!paths.is_empty()).then_some(Self(paths))
    }

    /// Each path that was named.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Adds what each path leads to, where it is another.
    pub(crate) fn follow(&mut self, target: impl Fn(&Path) -> Option<PathBuf>) {
        let targets: Vec<_> = self.0.iter().filter_map(|path| target(path)).collect();
        for target in targets {
            let target = usr(&target);
            if !self.0.contains(&target) {
                self.0.push(target);
            }
        }
    }

    /// Whether the program is one of these or a part of one. What is not known
    /// is none of them.
    pub(crate) fn have(&self, program: Option<&Path>) -> bool {
        let Some(program) = program.map(usr) else { return false };
        let part_of = |named: &Path| {
            let row = ROWS.iter().find(|row| Path::new(row.path) == named);
            row.is_some_and(|row| program.parent() == Some(Path::new(row.parts)))
        };
        self.0.iter().any(|named| *named == program || part_of(named))
    }

    /// Whether the program may be one of these: what is not known may.
    pub(crate) fn may_have(&self, program: Option<&Path>) -> bool {
        program.is_none() || self.have(program)
    }
}

/// The path with `/bin`, `/sbin` and `/lib` written as what they lead to.
///
/// SOURCE: Debian policy 10.1 and file-hierarchy(7): the merged `/usr`.
fn usr(path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().collect();
    match ["bin", "sbin", "lib"].iter().any(|old| plain.starts_with(Path::new("/").join(old))) {
        true => Path::new("/usr").join(plain.strip_prefix("/").unwrap_or(&plain)),
        false => plain,
    }
}

pub(crate) const TEXT: &str = include_str!("../../data/programs.toml");

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_its_file_and_its_parts_and_nothing_else() {
        let git = Programs::new(vec![Programs::parse("/bin/git").unwrap()]).unwrap();
        for part in
            ["/usr/bin/git", "/bin/git", "/usr/lib/git-core/git-remote-http", "/lib/git-core/git"]
        {
            assert!(git.have(Some(Path::new(part))), "{part}");
        }
        for other in [
            "/usr/local/bin/git",
            "/tmp/git",
            "/usr/lib/git-core",
            "/usr/lib/git-core/x/git",
            "/usr/lib/git-core/../evil",
            "git",
            "",
        ] {
            assert!(!git.have(Some(Path::new(other))), "{other}");
        }
        assert!(!git.have(None) && git.may_have(None));
    }

    #[test]
    fn a_program_is_named_by_an_absolute_path() {
        for bad in ["git", "./git", "~/git", "/usr/bin/", "/usr/../bin/git", "", "/a\nb"] {
            assert!(Programs::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_is_what_it_leads_to_as_well() {
        let mut python = Programs::new(vec![Programs::parse("/usr/bin/python3").unwrap()]).unwrap();
        python.follow(|path| path.ends_with("python3").then(|| "/bin/python3.13".into()));
        for path in ["/usr/bin/python3", "/usr/bin/python3.13"] {
            assert!(python.have(Some(Path::new(path))), "{path}");
        }
        assert!(!python.have(Some(Path::new("/usr/bin/python3.12"))));
    }
}
