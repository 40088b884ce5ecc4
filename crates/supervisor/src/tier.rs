//! Which tier of the boundary? The strongest that this host can build and the
//! policy allows by name. Nothing is chosen that was not named.

use remit_policy::Tiers;
use remit_sandbox::{LaunchError, Support, Tier};

use crate::session::RunError;

/// Why there is no tier to run in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTier {
    #[error("cannot build a boundary: {0} allows no tier; name at least `full`")]
    NoneAllowed(String),
    #[error(
        "cannot build a boundary of tier `{wanted}`: this host lacks {lacking}; \
         `remit doctor` says how to get it{instead}"
    )]
    NotHere { wanted: &'static str, lacking: String, instead: String },
}

/// Chooses a tier.
///
/// Where `full` is the only one allowed the kernel is not asked: building it
/// will tell, and every start is spared the trial.
pub(crate) fn choose(tiers: &Tiers) -> Result<Tier, NoTier> {
    let allowed: Vec<Tier> = tiers.allowed.iter().copied().map(of_policy).collect();
    match allowed[..] {
        [] => Err(NoTier::NoneAllowed(tiers.basis.to_string())),
        [Tier::Full] => Ok(Tier::Full),
        [strongest, ..] => {
            let support = remit_sandbox::support();
            let possible = allowed.iter().copied().find(|tier| support.offers(*tier));
            possible.ok_or_else(|| not_here(strongest, &support, tiers))
        }
    }
}

/// What a failed launch means: the host lacks something, or something else.
pub(crate) fn explain(error: LaunchError, tier: Tier, tiers: &Tiers) -> RunError {
    let support = remit_sandbox::support();
    if support.offers(tier) {
        return RunError::Launch(error);
    }
    not_here(tier, &support, tiers).into()
}

/// What a person should know at the start of a session that is less than full.
pub(crate) fn caution(tier: Tier) -> Option<&'static str> {
    match tier {
        Tier::Full => None,
        Tier::OldLandlock => Some(
            "this session is of tier `old-landlock`: namespaces hold it, over a floor of fewer rights",
        ),
        Tier::NoLandlock => Some(
            "this session is of tier `no-landlock`: the mount view holds alone, with no floor under it",
        ),
        Tier::NoNamespaces => Some(
            "this session is of tier `no-namespaces`: it shares the host's view of files, processes \
             and network; Landlock, the call filter and the supervisor hold, each alone",
        ),
    }
}

/// What the policy says and a tier cannot hold, for the record.
pub(crate) fn gap(tier: Tier) -> Option<&'static str> {
    match tier {
        Tier::Full | Tier::OldLandlock | Tier::NoNamespaces => None,
        // There is nothing to cover yet when the view is built.
        Tier::NoLandlock => Some("hidden paths that appear later are not held"),
    }
}

pub(crate) fn of_policy(tier: remit_policy::Tier) -> Tier {
    match tier {
        remit_policy::Tier::Full => Tier::Full,
        remit_policy::Tier::OldLandlock => Tier::OldLandlock,
        remit_policy::Tier::NoLandlock => Tier::NoLandlock,
        remit_policy::Tier::NoNamespaces => Tier::NoNamespaces,
    }
}

fn not_here(wanted: Tier, support: &Support, tiers: &Tiers) -> NoTier {
    let lacking: Vec<_> =
        support.lacks(wanted).map(|lack| format!("{} ({})", lack.name, lack.found)).collect();
    let instead = match support.best() {
        Some(best) => format!(
            ", or name the lesser tier `{}` in `sandbox.tiers`; what is allowed is decided by {}",
            best.name(),
            tiers.basis
        ),
        None => "; no lesser tier can be built here either".to_owned(),
    };
    NoTier::NotHere { wanted: wanted.name(), lacking: lacking.join(" and "), instead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_has_one_name_in_policy_and_sandbox() {
        for tier in remit_policy::Tier::ALL {
            assert_eq!(of_policy(tier).name(), tier.name());
        }
        assert_eq!(remit_policy::Tier::ALL.map(of_policy), Tier::ALL);
    }

    #[test]
    fn every_tier_but_the_full_one_comes_with_a_word_of_caution_that_names_it() {
        for tier in Tier::ALL {
            let caution = caution(tier);
            assert_eq!(caution.is_none(), tier == Tier::Full);
            assert!(caution.is_none_or(|text| text.contains(tier.name())));
        }
    }
}
