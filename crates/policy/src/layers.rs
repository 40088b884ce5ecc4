//! Administrator or user, who wins?
//!
//! Every statement of every layer is kept with its **force**, and combined so
//! that adding a restriction never allows more:
//!
//! - *Lists* (`deny`, `hide`, `allow`, rules, …) are united over all layers.
//!   Where statements meet, the strictest decision wins: refuse, ask, allow.
//! - *Single values* (`default`, `workspace`, …) are chosen by the profile that
//!   was asked for, else the user, else the system, else the built-in `default`.
//!   The choice is then made no weaker than what the system and the project say:
//!   the user may choose among strictnesses, down to the administrator's.
//! - *A refusing default binds below it.* Where the system says
//!   `network.default = "refuse"`, an `allow` of the user's own is refused as
//!   well; so is the user's general `allow` under a profile such as `offline`.
//!   An asking default does not: whoever will be asked may answer beforehand.
//! - *A project only narrows.* It is judged last, upon what the others decided.

use crate::basis::{Basis, Layer, Origin};

/// How a matter is decided, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    Allow,
    Ask,
    Refuse,
}

/// How much a statement binds others, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Force {
    /// A project's: it can only narrow what the others decided.
    Allegation,
    /// The built-in `default` profile.
    Fallback,
    /// The user's, outside a profile.
    Choice,
    /// The profile that was asked for.
    Profile,
    /// The system's. Also what an agent cannot work without, which is not the
    /// user's to grant but the program's; a `deny` still takes it away.
    Requirement,
}

/// Who speaks in one text.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    pub(crate) layer: Layer,
    pub(crate) force: Force,
    /// The file, as a person would name it. Absent for what is built in.
    pub(crate) file: Option<String>,
}

impl Voice {
    /// A text of this layer, outside any profile.
    pub(crate) fn of(layer: Layer, file: &str) -> Self {
        let force = match layer {
            Layer::Project => Force::Allegation,
            Layer::BuiltIn => Force::Fallback,
            Layer::User => Force::Choice,
            Layer::System | Layer::Answer => Force::Requirement,
        };
        let file = (layer != Layer::BuiltIn).then(|| file.to_owned());
        Self { layer, force, file }
    }

    /// The same voice within a profile that was asked for.
    pub(crate) fn in_profile(self) -> Self {
        Self { force: self.force.max(Force::Profile), ..self }
    }

    /// What an agent's adapter adds.
    pub(crate) fn agent() -> Self {
        Self { layer: Layer::BuiltIn, force: Force::Requirement, file: None }
    }

    pub(crate) fn says<T>(&self, value: T, rule: impl Into<String>, line: u32) -> Said<T> {
        let origin = self.file.clone().map(|file| Origin { file, line });
        let basis = Basis { rule: rule.into(), layer: self.layer, origin, justification: None };
        Said { value, force: self.force, basis }
    }
}

/// One statement: what, how much it binds, and whose words it was.
#[derive(Clone, Debug)]
pub(crate) struct Said<T> {
    pub(crate) value: T,
    pub(crate) force: Force,
    pub(crate) basis: Basis,
}

/// The single value that holds, of all that was said about it in order of
/// preference, and everything that binds others. Greater values are stricter.
#[derive(Clone, Debug)]
pub(crate) struct Settled<T> {
    held: Said<T>,
    said: Vec<Said<T>>,
}

impl<T: Copy + Ord> Settled<T> {
    /// Chooses the first statement that is not a project's, then makes it no
    /// weaker than each requirement and allegation. Nothing if nobody chose.
    pub(crate) fn new(said: Vec<Said<T>>) -> Option<Self> {
        let mut held = said.iter().find(|s| s.force != Force::Allegation)?;
        for requirement in said.iter().filter(|s| s.force == Force::Requirement) {
            if (requirement.value, requirement.force) > (held.value, held.force) {
                held = requirement;
            }
        }
        for allegation in said.iter().filter(|s| s.force == Force::Allegation) {
            if allegation.value > held.value {
                held = allegation;
            }
        }
        Some(Self { held: held.clone(), said })
    }

    pub(crate) fn value(&self) -> T {
        self.held.value
    }

    pub(crate) fn basis(&self) -> &Basis {
        &self.held.basis
    }

    /// A statement of this value that binds statements of `force`: a profile's
    /// or a requirement, and stronger than they are.
    pub(crate) fn binding(&self, value: T, force: Force) -> Option<&Said<T>> {
        self.said.iter().find(|s| s.value == value && s.force > force.max(Force::Choice))
    }

    fn spoke(&self, basis: &Basis) -> bool {
        std::ptr::eq(basis, self.basis()) || self.said.iter().any(|s| std::ptr::eq(basis, &s.basis))
    }
}

/// How one attempt is decided, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ruling<'p> {
    pub(crate) decision: Decision,
    pub(crate) basis: &'p Basis,
    /// Whether a default decided, not a statement about the attempt.
    pub(crate) by_default: bool,
}

/// Rules on one attempt from the statements that are about it.
///
/// INVARIANT: the strictest holds and the order does not matter, so one more
/// statement that is at least as strict as the ruling without it never weakens it.
pub(crate) fn rule<'p>(
    default: &'p Settled<Decision>,
    about: impl IntoIterator<Item = (Decision, Force, &'p Basis)>,
) -> Ruling<'p> {
    let (allegations, own): (Vec<_>, Vec<_>) =
        about.into_iter().partition(|(_, force, _)| *force == Force::Allegation);
    // What a refusing default binds permits nothing by itself. Beside what is not
    // bound it still restricts.
    let (mut free, mut refusing) = (false, None);
    let stated = own
        .iter()
        .inspect(|(decision, force, _)| match default.binding(Decision::Refuse, *force) {
            Some(binding) if *decision != Decision::Refuse => refusing = Some(&binding.basis),
            _ => free = true,
        })
        .map(|(decision, _, basis)| (*decision, *basis))
        .max_by_key(|(decision, basis)| (*decision, basis.layer));
    let stated = match refusing {
        Some(basis) if !free => Some((Decision::Refuse, basis)),
        _ => stated,
    };
    let (mut decision, mut basis) = stated.unwrap_or((default.value(), default.basis()));
    for (alleged, _, why) in allegations {
        if alleged > decision {
            (decision, basis) = (alleged, why);
        }
    }
    Ruling { decision, basis, by_default: default.spoke(basis) }
}
