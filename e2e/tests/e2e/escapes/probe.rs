//! Calls made inside and outside, and what the kernel answered to each.

use crate::run::Output;
use crate::world::World;

use super::attempts::CALLS;

/// What came of one call: `done`, `killed`, or the name of an error.
#[derive(Debug)]
pub struct Answer {
    pub name: String,
    pub inside: String,
    pub outside: String,
}

#[derive(Debug)]
pub struct Answers(pub Vec<Answer>);

/// Runs Python behind `calls.py` inside and then, as the control, outside. It
/// calls `attempt(NAME, DEED)`.
#[track_caller]
pub fn probe(world: &World, code: &str, words: &str) -> Answers {
    write(world, code);
    let inside = world.inside(&format!("python3 -B probe.py {words}"));
    let outside = world.outside(&format!("python3 -B probe.py {words}"));
    Answers::of(&inside, &outside)
}

/// Writes the script as `probe.py` in the workspace.
pub fn write(world: &World, code: &str) {
    world.write(&world.workspace.join("probe.py"), &format!("{CALLS}\n{code}"));
}

impl Answers {
    /// Puts the answers of two runs of the same script side by side.
    #[track_caller]
    pub fn of(inside: &Output, outside: &Output) -> Self {
        let pairs = |text: &Output| -> Vec<(String, String)> {
            let lines = text.out.lines().filter_map(|line| line.rsplit_once(' '));
            lines.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
        };
        let (within, without) = (pairs(inside), pairs(outside));
        let names = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(&within), names(&without), "{inside:?} {outside:?}");
        assert!(!within.is_empty(), "{inside:?}");
        let both = within.into_iter().zip(without);
        Self(both.map(|((name, inside), (_, outside))| Answer { name, inside, outside }).collect())
    }

    /// None succeeded inside, and no answer was a crash.
    #[track_caller]
    pub fn are_refused(&self) -> &Self {
        let through = |each: &&Answer| ["done", "killed"].contains(&&*each.inside);
        let through: Vec<_> = self.0.iter().filter(through).collect();
        assert!(through.is_empty(), "not refused: {through:#?}");
        self
    }

    /// The control shows at least these succeed; `""` means all.
    #[track_caller]
    pub fn work_outside(&self, names: &[&str]) -> &Self {
        let meant = |each: &&Answer| names.iter().any(|name| name.is_empty() || *name == each.name);
        let found: Vec<_> = self.0.iter().filter(meant).collect();
        assert!(found.len() >= names.len(), "{names:?} in {self:#?}");
        let idle: Vec<_> = found.iter().filter(|each| each.outside != "done").collect();
        assert!(idle.is_empty(), "the control should succeed: {idle:#?}");
        self
    }

    #[track_caller]
    pub fn get(&self, name: &str) -> &Answer {
        let found = self.0.iter().find(|each| each.name == name);
        found.unwrap_or_else(|| panic!("no `{name}` in {self:#?}"))
    }
}
