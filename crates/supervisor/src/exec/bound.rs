//! What a yes to a program is bound to, besides its arguments: the variables that
//! matter, the directory, the file that runs, and the files that it names.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use remit_policy::{Exec, Policy, pipes, show};
use sha2::{Digest as _, Sha256};

use super::contents::{self, Contents};
use super::environment::{self, Variables};
use crate::resolve::{Identity, Place};

/// A program and its surroundings as they were shown to whoever is asked.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    environment: Variables,
    cwd: PathBuf,
    /// Which directory that is, whatever it is called.
    directory: Option<Identity>,
    /// The file that was to run, if it could be found.
    program: Option<Named>,
    /// What the arguments name.
    named: Vec<Named>,
    /// SHA-256 in hex of all of it and the arguments.
    pub(crate) digest: String,
    /// The same of what a yes for longer than once is bound to: what runs, and where
    /// links lead. What else is named may be there or not, and may say another thing
    /// the next time.
    pub(crate) lasting: String,
}

/// An existing thing that the attempt names.
#[derive(Clone, Debug)]
struct Named {
    /// As the program is called, or the argument says it.
    word: PathBuf,
    /// Where that leads, links followed.
    path: Option<PathBuf>,
    /// Links on the way, by their own paths, and where the way ends.
    trail: Vec<PathBuf>,
    identity: Identity,
    is_file: bool,
    contents: Option<contents::Digest>,
    /// An interpreter reads it after it has started.
    is_script: bool,
}

/// A difference between what was shown and what is there now; in words that go on
/// after "run it after ".
pub(crate) type Difference = String;

/// A script that was approved, so that nobody changes it before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) file: (u64, u64),
    /// Changing one of these names, or a directory above it, would put another
    /// file in its place.
    pub(crate) names: Vec<PathBuf>,
}

/// How many arguments are looked for among the files.
const MOST_WORDS: usize = 256;

/// Longer files are known by their times and length alone.
const LONGEST: i64 = 64 << 20;

/// How many things a question lists.
const MOST_SHOWN: usize = 16;

impl Bound {
    /// Looks at everything that `exec`, whose environment is told, is to be bound
    /// to. `program` is its file, and a path that leads there from its directory.
    pub(crate) fn of(
        task: u32,
        exec: &Exec,
        program: Option<(&Place, &Path)>,
        contents: &mut Contents,
    ) -> Self {
        let program = program.map(|(place, path)| {
            Named::new(task, &exec.cwd, path, place, is_script(place), contents)
        });
        let interprets = pipes::interprets(exec);
        let mut named = Vec::new();
        for word in exec.argv.iter().skip(1).take(MOST_WORDS).filter_map(|word| path_in(word)) {
            if let Ok(place) = Place::of(task, word, None) {
                let is_script = interprets && place.is_file();
                named.push(Named::new(task, &exec.cwd, word, &place, is_script, contents));
            }
        }
        let mut bound = Self {
            environment: exec.environment.clone(),
            cwd: exec.cwd.clone(),
            directory: directory(task),
            program,
            named,
            digest: String::new(),
            lasting: String::new(),
        };
        bound.digest = bound.digest_with(exec, |_| true);
        bound.lasting = bound.digest_with(exec, Named::runs_or_leads);
        bound
    }

    /// What is no longer as it was shown, looked at from a stopped process that has
    /// not run an instruction of the new program. None if all of it is.
    ///
    /// # Errors
    ///
    /// If it cannot be told. It must not run.
    pub(crate) fn difference(
        &self,
        policy: &Policy,
        process: u32,
        contents: &mut Contents,
    ) -> io::Result<Option<Difference>> {
        if environment::of(policy, process)? != self.environment {
            return Ok(Some("its variables were changed".to_owned()));
        }
        let cwd = fs::read_link(format!("/proc/{process}/cwd"))?;
        let same = |one: Option<Identity>, other: Option<Identity>| {
            one.zip(other).is_some_and(|(one, other)| one.is_same_file(&other))
        };
        if cwd != self.cwd || !same(self.directory, directory(process)) {
            return Ok(Some("its directory was changed".to_owned()));
        }
        for named in self.files() {
            let now = Place::of(process, &named.word, None);
            if !now.is_ok_and(|now| named.is_still(&now, contents)) {
                let word = show::line(&named.word.to_string_lossy());
                return Ok(Some(format!("`{word}` was changed")));
            }
        }
        Ok(None)
    }

    /// The scripts that its interpreter has not read yet.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = (&Path, Script)> {
        self.files().filter(|named| named.is_script).map(|named| {
            let file = (named.identity.device, named.identity.inode);
            (named.word.as_path(), Script { file, names: named.trail.clone() })
        })
    }

    /// Label and value for a person.
    pub(crate) fn particulars(&self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let script = |named: &Named| {
            let digest = named.contents.as_ref().map_or("cannot be read".to_owned(), contents::hex);
            format!("{} sha256 {digest}", named.shown())
        };
        let scripts: Vec<_> = self.files().filter(|named| named.is_script).map(script).collect();
        if !scripts.is_empty() {
            told.push(("script".to_owned(), scripts.join(", ")));
        }
        if !self.named.is_empty() {
            let mut shown: Vec<_> = self.named.iter().take(MOST_SHOWN).map(Named::shown).collect();
            if self.named.len() > MOST_SHOWN {
                shown.push(format!("and {} more", self.named.len() - MOST_SHOWN));
            }
            told.push(("touches".to_owned(), shown.join(", ")));
        }
        told
    }

    fn files(&self) -> impl Iterator<Item = &Named> {
        self.program.iter().chain(&self.named)
    }

    /// Every part with its length before it, so that no two attempts are alike.
    fn digest_with(&self, exec: &Exec, counts: impl Fn(&Named) -> bool) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        let mut words = Vec::new();
        for word in &exec.argv {
            words.extend_from_slice(word.as_bytes());
            words.push(0);
        }
        part(&words);
        part(self.cwd.as_os_str().as_bytes());
        for (name, value) in &self.environment {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        let program = self.program.iter();
        for named in program.chain(self.named.iter().filter(|named| counts(named))) {
            part(named.word.as_os_str().as_bytes());
            part(named.path.as_deref().unwrap_or(Path::new("")).as_os_str().as_bytes());
            part(named.contents.as_ref().map_or(&[][..], |digest| digest));
        }
        contents::hex(&hash.finalize().into())
    }
}

impl Named {
    fn new(
        task: u32,
        cwd: &Path,
        word: &Path,
        place: &Place,
        is_script: bool,
        contents: &mut Contents,
    ) -> Self {
        let identity = place.identity();
        let is_file = place.is_file();
        let short = is_file && identity.size <= LONGEST;
        Self {
            word: word.to_owned(),
            path: place.path(),
            trail: trail(task, &cwd.join(word)),
            identity,
            is_file,
            contents: short.then(|| contents.digest(place).ok()).flatten(),
            is_script,
        }
    }

    /// A directory's contents may change; which one it is may not.
    fn is_still(&self, now: &Place, contents: &mut Contents) -> bool {
        let identity = now.identity();
        if !self.is_file {
            return self.identity.is_same_file(&identity);
        }
        self.identity == identity
            && self.contents.is_none_or(|then| contents.digest(now).is_ok_and(|now| now == then))
    }

    /// Whether it is code that runs, or the way to it goes over a link.
    fn runs_or_leads(&self) -> bool {
        self.is_script || self.trail.len() > 1
    }

    fn shown(&self) -> String {
        let quoted = |path: &Path| format!("`{}`", show::line(&path.to_string_lossy()));
        match &self.path {
            // Only what a link changes is worth a second path.
            Some(path) if self.trail.len() > 1 => {
                format!("{} (a link to {})", quoted(&self.word), quoted(path))
            }
            _ => quoted(&self.word),
        }
    }
}

/// The path that an argument is, or has behind its `=`.
fn path_in(word: &OsStr) -> Option<&Path> {
    let bytes = word.as_bytes();
    let value = match bytes {
        [b'-', ..] => &bytes[bytes.iter().position(|byte| *byte == b'=')? + 1..],
        _ => bytes,
    };
    (!value.is_empty()).then(|| Path::new(OsStr::from_bytes(value)))
}

fn directory(task: u32) -> Option<Identity> {
    Place::of(task, Path::new("."), None).ok().map(|place| place.identity())
}

/// Whether the kernel starts another program to read it. SOURCE: execve(2).
fn is_script(program: &Place) -> bool {
    use std::io::Read as _;
    let mut begin = [0; 2];
    program.reopen().and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == *b"#!"
}

/// The links on the way of an absolute path, by their own paths, and its end.
fn trail(task: u32, path: &Path) -> Vec<PathBuf> {
    /// SOURCE: linux/namei.h, MAXSYMLINKS.
    const MOST_LINKS: usize = 40;
    let root = PathBuf::from(format!("/proc/{task}/root"));
    let mut links = Vec::new();
    let mut way = PathBuf::from("/");
    let mut ahead: Vec<_> = path.components().rev().map(owned).collect();
    while let Some(step) = ahead.pop() {
        match Path::new(&step).components().next() {
            Some(Component::RootDir) => way = PathBuf::from("/"),
            Some(Component::ParentDir) => drop(way.pop()),
            Some(Component::Normal(name)) => {
                let next = way.join(name);
                let below = next.strip_prefix("/").unwrap_or(&next);
                match fs::read_link(root.join(below)) {
                    Ok(target) if links.len() < MOST_LINKS => {
                        links.push(next);
                        ahead.extend(target.components().rev().map(owned));
                    }
                    _ => way = next,
                }
            }
            _ => {}
        }
    }
    links.push(way);
    links
}

fn owned(part: Component<'_>) -> std::ffi::OsString {
    part.as_os_str().to_owned()
}

#[cfg(test)]
mod tests;
