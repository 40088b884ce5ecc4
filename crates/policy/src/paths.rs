//! Patterns of paths, as rules about files and working directories write them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::filesystem::Place;
use crate::network::path::fits as any_text;
use crate::writing::fold_name;

/// Which paths a rule is about: `/srv/x` (that path), `./*/y` (`*` is any text
/// within one name), `~/x/**` (it and all below), `./**/*.pem` (at any depth).
///
/// It compares names and follows no links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePattern {
    /// As it was written.
    text: String,
    /// From the root of the file system.
    names: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// A name in which each `*` is any text.
    One(String),
    /// Any number of names.
    Any,
}

/// How names are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Byte for byte: for what permits.
    Exact,
    /// As a file system might that takes `.GIT` for `.git`: for what restricts.
    Folded,
}

impl FilePattern {
    /// Parses `/…`, `~/…` or `./…`. The error says what a pattern looks like.
    pub(crate) fn parse(text: &str, place: &Place) -> Result<Self, String> {
        let path = place.resolve(text).map_err(|why| format!("`{text}`: {why}"))?;
        let mut names = Vec::new();
        // Each part of the place itself is a plain name, whatever is in it.
        let plain = [("~", &place.home), ("./", &place.workspace)];
        let base = plain.into_iter().find(|(sign, _)| text.starts_with(sign));
        let base = base.map_or(0, |(_, path)| path.iter().count() - 1);
        for (at, name) in path.iter().skip(1).enumerate() {
            let name = name.to_str().ok_or_else(|| format!("`{text}` is not text"))?;
            match name {
                "**" if at >= base => {
                    if names.last() != Some(&Name::Any) {
                        names.push(Name::Any);
                    }
                }
                name if at >= base && name.contains("**") => {
                    return Err(format!("`{text}`: `**` stands for whole names, as in `/**/`"));
                }
                name if at < base && name.contains('*') => {
                    return Err(format!("`{text}`: there is a `*` in the name of its directory"));
                }
                name => names.push(Name::One(name.to_owned())),
            }
        }
        if names.iter().filter(|name| **name == Name::Any).count() > 3 {
            return Err(format!("`{text}`: `**` stands at most three times in a pattern"));
        }
        Ok(Self { text: text.to_owned(), names })
    }

    pub(crate) fn matches(&self, path: &Path, spelling: Spelling) -> bool {
        fits(&self.names, &names(path, spelling), spelling, End::Whole)
    }

    /// Whether something strictly below this path could match.
    pub(crate) fn reaches_below(&self, path: &Path) -> bool {
        fits(&self.names, &names(path, Spelling::Folded), Spelling::Folded, End::Below)
    }

    /// The path that this pattern is about, with all that is below it, if it has
    /// wildcards nowhere but in a `/**` at its end.
    pub(crate) fn plain(&self) -> Option<PathBuf> {
        let names = match self.names.as_slice() {
            [names @ .., Name::Any] => names,
            names => names,
        };
        let mut path = PathBuf::from("/");
        for name in names {
            match name {
                Name::One(name) if !name.contains('*') => path.push(name),
                _ => return None,
            }
        }
        Some(path)
    }

    /// The directory above the first wildcard, and whether what comes first is a `**`.
    pub(crate) fn stem(&self) -> (PathBuf, bool) {
        let mut stem = PathBuf::from("/");
        for name in &self.names {
            match name {
                Name::One(name) if !name.contains('*') => stem.push(name),
                Name::One(_) => return (stem, false),
                Name::Any => return (stem, true),
            }
        }
        (stem, false)
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The names end where the pattern does.
    Whole,
    /// The names end before the pattern does.
    Below,
}

fn names(path: &Path, spelling: Spelling) -> Vec<Cow<'_, [u8]>> {
    let name = |name| match spelling {
        Spelling::Exact => Cow::Borrowed(OsStr::as_bytes(name)),
        Spelling::Folded => Cow::Owned(fold_name(name).into_owned().into_bytes()),
    };
    path.iter().skip(1).map(name).collect()
}

fn fits(pattern: &[Name], names: &[Cow<'_, [u8]>], spelling: Spelling, end: End) -> bool {
    match (pattern, names) {
        ([], []) => end == End::Whole,
        ([Name::Any], _) => true,
        (_, []) if end == End::Below => true,
        ([Name::Any, rest @ ..], _) => {
            (0..=names.len()).any(|skip| fits(rest, &names[skip..], spelling, end))
        }
        ([Name::One(wanted), rest @ ..], [name, others @ ..]) => {
            let wanted = match spelling {
                Spelling::Exact => Cow::Borrowed(wanted.as_str()),
                Spelling::Folded => fold_name(OsStr::new(wanted)),
            };
            any_text(wanted.as_bytes(), name) && fits(rest, others, spelling, end)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { home: "/home/alice".into(), workspace: "/home/alice/proj".into() }
    }

    fn pattern(text: &str) -> FilePattern {
        FilePattern::parse(text, &place()).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn a_pattern_is_about_what_it_says() {
        let check = |text: &str, path: &str, expected: bool| {
            let found = pattern(text).matches(Path::new(path), Spelling::Exact);
            assert_eq!(found, expected, "{text} {path}");
        };
        check("./**", "/home/alice/proj", true);
        check("./**", "/home/alice/proj/a/b", true);
        check("./**", "/home/alice/project", false);
        check("./**", "/home/alice", false);
        check("~/x/**", "/home/alice/x", true);
        check("/srv/x", "/srv/x", true);
        check("/srv/x", "/srv/x/y", false);
        check("/srv/*/y", "/srv/a/y", true);
        check("/srv/*/y", "/srv/a/b/y", false);
        check("./**/*.pem", "/home/alice/proj/k.pem", true);
        check("./**/*.pem", "/home/alice/proj/a/b/k.pem", true);
        check("./**/*.pem", "/home/alice/proj/a/b/k.pem/x", false);
        check("./**/a/**/b", "/home/alice/proj/x/a/y/a/b", true);
        check("./K", "/home/alice/proj/k", false);
        assert!(pattern("./K").matches(Path::new("/home/alice/proj/k"), Spelling::Folded));
        check("/**", "/", true);
    }

    #[test]
    fn what_could_lie_below_is_known() {
        let below = |text: &str, path: &str| pattern(text).reaches_below(Path::new(path));
        assert!(below("./deploy/**", "/home/alice/proj"));
        assert!(below("./deploy/**", "/home/alice/proj/deploy"));
        assert!(below("./deploy/key", "/home/alice/proj/deploy"));
        assert!(!below("./deploy/key", "/home/alice/proj/deploy/key"));
        assert!(!below("./deploy/key", "/home/alice/proj/src"));
        assert!(below("./*/key", "/home/alice/proj/src"));
        assert!(below("./**/*.pem", "/home/alice/proj/src/x"));
    }

    #[test]
    fn a_pattern_is_written_plainly() {
        for text in ["x", "**", "./a**", "/**/a/**/b/**/c/**", "./../x", "~bob/x", "/a\nb", ""] {
            assert!(FilePattern::parse(text, &place()).is_err(), "{text:?}");
        }
        assert_eq!(pattern("./x/**").plain().as_deref(), Some(Path::new("/home/alice/proj/x")));
        assert_eq!(pattern("./x/*").plain(), None);
        assert_eq!(pattern("./**/*.pem").stem(), ("/home/alice/proj".into(), true));
    }
}
