//! Which tiers of the boundary may be used?
//!
//! A tier is allowed only by its name. Every list of the system and the project
//! bounds all others, so the tiers that hold are those that all of them name. An
//! empty list permits nothing.

use std::collections::BTreeSet;

use crate::basis::Basis;
use crate::layers::{Force, Said};

/// How much of the boundary the kernel holds, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Namespaces, Landlock and the system call filter.
    Full,
    /// As `Full`, with a Landlock of fewer rights.
    OldLandlock,
    /// Namespaces and the filter.
    NoLandlock,
    /// Landlock and the filter.
    NoNamespaces,
}

impl Tier {
    pub const ALL: [Tier; 4] =
        [Tier::Full, Tier::OldLandlock, Tier::NoLandlock, Tier::NoNamespaces];

    /// The name it has in settings and events.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Full => "full",
            Tier::OldLandlock => "old-landlock",
            Tier::NoLandlock => "no-landlock",
            Tier::NoNamespaces => "no-namespaces",
        }
    }

    /// The tier of this name. The error says which names there are.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tier| tier.name() == text);
        let names: Vec<_> = Self::ALL.iter().map(|tier| format!("`{}`", tier.name())).collect();
        found.ok_or_else(|| format!("a tier is {}, not `{text}`", names.join(" or ")))
    }
}

/// The tiers that may be used, and what decided that.
#[derive(Clone, Debug)]
pub struct Tiers {
    /// Strongest first.
    pub allowed: BTreeSet<Tier>,
    /// The statement that was chosen, or the last that took a tier away.
    pub basis: Basis,
}

impl Tiers {
    /// Chooses the first statement that is not a project's, in order of
    /// preference, and leaves of it what every list of the system and the project
    /// names. Where nobody chose, only `full` is allowed.
    pub(crate) fn settle(said: &[Said<BTreeSet<Tier>>]) -> Self {
        let chosen = said.iter().find(|said| said.force != Force::Allegation);
        let (mut allowed, mut basis) = match chosen {
            Some(said) => (said.value.clone(), &said.basis),
            None => (BTreeSet::from([Tier::Full]), &Basis::built_in("sandbox.tiers = [\"full\"]")),
        };
        for bound in said {
            if matches!(bound.force, Force::Requirement | Force::Allegation)
                && !allowed.is_subset(&bound.value)
            {
                allowed.retain(|tier| bound.value.contains(tier));
                basis = &bound.basis;
            }
        }
        Self { allowed, basis: basis.clone() }
    }
}
