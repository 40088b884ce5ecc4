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
    /// A script that starts in the workspace.
    pub does: String,
    tongue: Tongue,
}

#[derive(Clone, Copy, Debug)]
enum Tongue {
    Shell,
    /// With the names of `calls.py`.
    Python,
}

impl Attempt {
    /// The same after something else, said in either tongue.
    pub fn after(self, shell: &str, python: &str) -> Self {
        let first = match self.tongue {
            Tongue::Shell => shell,
            Tongue::Python => python,
        };
        Self { does: format!("{first}\n{}", self.does), ..self }
    }
}

pub fn sh(touches: impl Into<String>, does: impl Into<String>) -> Attempt {
    Attempt { touches: touches.into(), does: does.into(), tongue: Tongue::Shell }
}

pub fn py(touches: impl Into<String>, code: &str) -> Attempt {
    Attempt { touches: touches.into(), does: code.to_owned(), tongue: Tongue::Python }
}

/// Runs all attempts in one session and asserts that the host sees nothing of
/// them, and that each would have left something without Remit. `setup` is a
/// shell script that prepares the workspace, from outside.
///
/// The controls run in copies of the workspace, one for each attempt, so a
/// script names what is beside the workspace by `..` and never by `~`.
#[track_caller]
pub fn none_works(world: &World, setup: &str, attempts: &[Attempt]) -> Output {
    let (changes, output) = run(world, setup, attempts);
    assert!(changes.is_empty(), "the host sees: {changes:#?}\n{}", output.both());
    output
}

/// As [`none_works`], where taking something away is not what is prevented.
#[track_caller]
pub fn none_plants(world: &World, setup: &str, attempts: &[Attempt]) -> Output {
    let (mut changes, output) = run(world, setup, attempts);
    changes.retain(|change| !change.ends_with(" became nothing"));
    assert!(changes.is_empty(), "the host sees: {changes:#?}\n{}", output.both());
    output
}

/// What the host sees changed, and what the session said.
#[track_caller]
fn run(world: &World, setup: &str, attempts: &[Attempt]) -> (Vec<String>, Output) {
    lay_out(world, setup, attempts);
    let without = without(world, attempts);
    assert!(without.is_empty(), "the controls should work too: {without:#?}");
    let before: Vec<_> = attempts.iter().map(|each| look(&world.workspace, each)).collect();
    let inside = world.inside("python3 -B tries/calls.py");
    let changed: Vec<_> = attempts
        .iter()
        .zip(&before)
        .flat_map(|(each, before)| before.changes(&look(&world.workspace, each), &each.touches))
        .collect();
    assert!(
        inside.err.contains(&format!("--- {} ended", attempts.len() - 1)),
        "the session ran to its end: {inside:?}"
    );
    (changed, inside)
}

/// Puts the scripts into the workspace, copies it for each control, prepares all.
fn lay_out(world: &World, setup: &str, attempts: &[Attempt]) {
    let tries = world.workspace.join("tries");
    world.write(&tries.join("calls.py"), CALLS);
    for (number, each) in attempts.iter().enumerate() {
        let ending = match each.tongue {
            Tongue::Shell => "sh",
            Tongue::Python => "py",
        };
        world.write(&tries.join(format!("{number}.{ending}")), &each.does);
    }
    let touches: Vec<_> = attempts.iter().map(|each| each.touches.as_str()).collect();
    world.write(&tries.join("touches"), &touches.join("\n"));
    let place = world.elsewhere().join("controls");
    world.write(&place.join("setup.sh"), setup);
    // Prepared once and copied, for Git takes its time.
    let script = format!(
        "set -e; mkdir {place}/first; cp -a . {place}/first/project; rm -r {place}/first/project/tries
         (cd {place}/first/project; sh -e {place}/setup.sh); sh -e {place}/setup.sh
         i=0; while [ $i -lt {} ]; do cp -a {place}/first {place}/$i; i=$((i+1)); done",
        attempts.len(),
        place = place.display(),
    );
    world.outside(&script).succeeds();
}

/// Runs each attempt in its own copy. Returns those that left nothing.
fn without(world: &World, attempts: &[Attempt]) -> Vec<String> {
    let place = |number: usize| world.elsewhere().join(format!("controls/{number}/project"));
    let look = |number: usize| look(&place(number), &attempts[number]);
    let before: Vec<_> = (0..attempts.len()).map(look).collect();
    let controls = world.elsewhere().join("controls");
    let said = world.outside(&format!("python3 -B tries/calls.py {}", controls.display()));
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
