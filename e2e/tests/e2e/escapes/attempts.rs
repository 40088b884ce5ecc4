//! A series of attempts at one thing, judged by what the host sees afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::run::Output;
use crate::world::World;

pub const CALLS: &str = include_str!("programs/calls.py");

/// One way to do what must not be done.
#[derive(Debug)]
pub struct Attempt {
    /// What it would change, as seen from the workspace.
    pub touches: String,
    /// A shell script that starts in the workspace.
    pub does: String,
}

pub fn sh(touches: impl Into<String>, does: impl Into<String>) -> Attempt {
    Attempt { touches: touches.into(), does: does.into() }
}

/// Python with the names of `calls.py`; it contains no single quote.
pub fn py(touches: impl Into<String>, code: &str) -> Attempt {
    assert!(!code.contains('\''), "the shell ends it there: {code}");
    sh(touches, format!("python3 -B tries/calls.py '{code}'"))
}

/// Runs all attempts in one session and asserts that the host sees nothing of
/// them, and that each would have left something without Remit. `setup` is a
/// shell script that prepares the workspace, from outside.
///
/// The controls run in copies of the workspace, one for each attempt, so a
/// script names what is beside the workspace by `..` and never by `~`.
#[track_caller]
pub fn none_works(world: &World, setup: &str, attempts: &[Attempt]) -> Output {
    lay_out(world, setup, attempts);
    let without = without(world, attempts);
    assert!(without.is_empty(), "the controls should work too: {without:#?}");
    let before: Vec<_> = attempts.iter().map(|each| look(&world.workspace, each)).collect();
    let inside = world.inside(&all_of_them(attempts));
    let changed: Vec<_> = attempts
        .iter()
        .zip(&before)
        .flat_map(|(each, before)| before.changes(&look(&world.workspace, each), &each.touches))
        .collect();
    assert!(
        inside.err.contains(&format!("--- {} ended", attempts.len() - 1)),
        "the session ran to its end: {inside:?}"
    );
    assert!(changed.is_empty(), "the host sees: {changed:#?}\n{}", inside.both());
    inside
}

/// Puts the scripts into the workspace, copies it for each control, prepares all.
fn lay_out(world: &World, setup: &str, attempts: &[Attempt]) {
    let tries = world.workspace.join("tries");
    world.write(&tries.join("calls.py"), CALLS);
    for (number, each) in attempts.iter().enumerate() {
        world.write(&tries.join(format!("{number}.sh")), &each.does);
    }
    let place = world.elsewhere().join("controls");
    world.write(&place.join("setup.sh"), setup);
    let script = format!(
        "set -e; i=0; while [ $i -lt {} ]; do mkdir {place}/$i; cp -a . {place}/$i/project; \
         (cd {place}/$i/project; sh -e {place}/setup.sh) >/dev/null; i=$((i+1)); done; sh -e {place}/setup.sh",
        attempts.len(),
        place = place.display(),
    );
    world.outside(&script).succeeds();
}

/// A script that makes one attempt after the other, and says what is there then.
fn all_of_them(attempts: &[Attempt]) -> String {
    let steps = attempts.iter().enumerate().map(|(number, each)| {
        format!(
            "echo '--- {number}' >&2; sh tries/{number}.sh </dev/null; code=$?; is=absent; \
             [ -e '{0}' ] || [ -L '{0}' ] && is=there; echo \"--- {number} ended $code, $is\" >&2",
            each.touches
        )
    });
    steps.collect::<Vec<_>>().join("\n")
}

/// Runs each attempt in its own copy. Returns those that left nothing.
fn without(world: &World, attempts: &[Attempt]) -> Vec<String> {
    let place = |number: usize| world.elsewhere().join(format!("controls/{number}/project"));
    let look = |number: usize| look(&place(number), &attempts[number]);
    let before: Vec<_> = (0..attempts.len()).map(look).collect();
    let steps = (0..attempts.len()).map(|number| {
        let place = place(number).display().to_string();
        format!("cd {place} && echo '--- {number}' >&2; sh tries/{number}.sh </dev/null")
    });
    let said = world.outside(&steps.collect::<Vec<_>>().join("\n"));
    let idle = (0..attempts.len()).filter(|number| look(*number) == before[*number]);
    let mut idle: Vec<_> = idle.map(|number| attempts[number].does.clone()).collect();
    if !idle.is_empty() {
        idle.push(said.both());
    }
    idle
}

fn look(workspace: &Path, attempt: &Attempt) -> Look {
    Look::at(&workspace.join(&attempt.touches))
}

/// What is at a path and below it: kinds, modes, contents, targets of links.
/// Nothing of it is opened that could keep us waiting.
#[derive(Debug, PartialEq, Eq)]
pub struct Look(BTreeMap<String, String>);

impl Look {
    pub fn at(path: &Path) -> Self {
        let mut found = BTreeMap::new();
        walk(path, "", &mut found);
        Self(found)
    }

    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// What is different later, a line each; `name` is what was looked at.
    pub fn changes(&self, later: &Self, name: &str) -> Vec<String> {
        let below: BTreeSet<_> = self.0.keys().chain(later.0.keys()).collect();
        let show = |look: &Self, below: &str| {
            look.0.get(below).map_or("nothing".to_owned(), String::clone)
        };
        below
            .into_iter()
            .filter(|below| self.0.get(*below) != later.0.get(*below))
            .map(|below| {
                format!("{name}{below}: {} became {}", show(self, below), show(later, below))
            })
            .collect()
    }
}

fn walk(path: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    let Ok(about) = path.symlink_metadata() else {
        return;
    };
    let (kind, mode) = (about.file_type(), about.permissions().mode());
    let what = if kind.is_symlink() {
        format!("link to {:?}", fs::read_link(path).unwrap_or_default())
    } else if kind.is_file() {
        // The size alone tells of a file too large to be read.
        let text =
            if about.len() < 1 << 20 { fs::read(path).unwrap_or_default() } else { Vec::new() };
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let beginning = String::from_utf8_lossy(&text[..text.len().min(30)]).into_owned();
        format!("file {mode:o} of {} bytes {beginning:?} ({:x})", about.len(), hasher.finish())
    } else {
        format!("{mode:o}")
    };
    found.insert(name.to_owned(), what);
    if kind.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let below = format!("{name}/{}", entry.file_name().to_string_lossy());
            walk(&entry.path(), &below, found);
        }
    }
}
