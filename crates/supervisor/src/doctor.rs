//! What a session would find on this host.

use std::fs;
use std::path::Path;

use remit_policy::Policy;
use remit_sandbox::{Feature, Need};

use crate::files::{self, Places};
use crate::tier;

/// One thing a full session needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub name: String,
    /// What it is for.
    pub purpose: String,
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do if it is not there.
    pub remedy: String,
}

/// One tier of the boundary, and whether a session can have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierFinding {
    pub name: &'static str,
    /// What the host lacks for it, in words; empty if it can be built here.
    pub lacks: Vec<String>,
    /// Whether the policy names it.
    pub allowed: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    pub findings: Vec<Finding>,
    /// Strongest first.
    pub tiers: Vec<TierFinding>,
}

impl Examination {
    /// The strongest tier that this host can build, if nothing else is missing.
    pub fn best(&self) -> Option<&'static str> {
        self.tiers.iter().find(|tier| tier.lacks.is_empty()).map(|tier| tier.name)
    }

    /// The tier that a session would have here.
    pub fn chosen(&self) -> Option<&'static str> {
        let mut usable = self.tiers.iter().filter(|tier| tier.lacks.is_empty() && tier.allowed);
        usable.next().map(|tier| tier.name)
    }

    /// Whether everything but what tiers differ in is in order.
    pub fn is_sound(&self) -> bool {
        let of_a_tier = |finding: &&Finding| TIER_FEATURES.contains(&finding.name.as_str());
        self.findings.iter().filter(|finding| !of_a_tier(finding)).all(|finding| finding.ok)
    }
}

/// Without these there is a lesser tier, perhaps.
const TIER_FEATURES: [&str; 2] = ["user namespaces", "Landlock"];

/// Asks the kernel, the disk and the policy. Leaves nothing behind.
pub fn examine() -> Examination {
    let support = remit_sandbox::support();
    let mut findings: Vec<_> = support.features.iter().map(feature).collect();
    findings.extend([tracing(), account()]);
    findings.extend(crate::limits::examine());
    let mut allowed = None;
    match Places::from_environment() {
        Ok(places) => {
            let (finding, policy) = policy(&places);
            findings.extend([record(&places), finding]);
            allowed = policy.map(|policy| policy.tiers().allowed.clone());
        }
        Err(error) => findings.push(Finding {
            name: "home directory".to_owned(),
            purpose: "policy and records".to_owned(),
            ok: false,
            found: error.to_string(),
            remedy: "Set HOME to your home directory.".to_owned(),
        }),
    }
    let allowed = allowed.unwrap_or_default();
    let tiers = remit_policy::Tier::ALL.map(|named| {
        let tier = tier::of_policy(named);
        let lacks = support.lacks(tier).map(|lack| format!("{} ({})", lack.name, lack.found));
        TierFinding { name: tier.name(), lacks: lacks.collect(), allowed: allowed.contains(&named) }
    });
    Examination { findings, tiers: tiers.into() }
}

fn feature(feature: &Feature) -> Finding {
    let by_apparmor = feature.need == Need::Namespaces && apparmor_restricts();
    Finding {
        name: feature.name.to_owned(),
        purpose: feature.purpose.to_owned(),
        ok: feature.available,
        found: match by_apparmor && !feature.available {
            true => format!("{}, by AppArmor", feature.found),
            false => feature.found.clone(),
        },
        remedy: if by_apparmor { apparmor_remedy() } else { feature.remedy.to_owned() },
    }
}

/// Whether AppArmor keeps user namespaces, or the capabilities in them, from
/// programs without a profile. Root is not kept from them.
fn apparmor_restricts() -> bool {
    fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        .is_ok_and(|value| value.trim() == "1")
        && !rustix::process::geteuid().is_root()
}

/// The profile that ships with the program.
const APPARMOR_PROFILE: &str = include_str!("../../../packaging/apparmor/remit");
/// Where that profile expects the program.
const APPARMOR_PATH: &str = "/usr/{,local/}bin/remit";

/// How to install the profile for the program that is running, as lines to paste.
fn apparmor_remedy() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "/usr/local/bin/remit".into());
    let usual =
        ["/usr/bin/remit", "/usr/local/bin/remit"].iter().any(|path| program == Path::new(path));
    let profile: Vec<_> = APPARMOR_PROFILE.lines().filter(|line| !line.starts_with('#')).collect();
    let mut profile = profile.join("\n").trim().to_owned();
    if !usual {
        profile = profile.replace(APPARMOR_PATH, &format!("{:?}", program.display().to_string()));
    }
    format!(
        "Install an AppArmor profile that lets this program create user namespaces:\n\
         sudo tee /etc/apparmor.d/remit <<'END'\n{profile}\nEND\n\
         sudo apparmor_parser -r /etc/apparmor.d/remit"
    )
}

/// As whom, and whether inside a container. Neither is wrong.
fn account() -> Finding {
    let who = if rustix::process::geteuid().is_root() {
        "root; the session keeps the number and loses every capability"
    } else {
        "an ordinary user"
    };
    let container =
        container().map_or_else(String::new, |sign| format!(", in a container ({sign})"));
    Finding {
        name: "account".to_owned(),
        purpose: "knowing whose files are at stake".to_owned(),
        ok: true,
        found: format!("{who}{container}"),
        remedy: String::new(),
    }
}

/// A sign that this is a container.
fn container() -> Option<String> {
    let files = ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"];
    if let Some(file) = files.iter().find(|file| Path::new(file).exists()) {
        return Some(format!("`{file}` is there"));
    }
    ["container", "KUBERNETES_SERVICE_HOST"]
        .iter()
        .find(|name| std::env::var_os(name).is_some())
        .map(|name| format!("`{name}` is set"))
}

/// Yama's strictest level forbids what makes the exec gate free of races.
fn tracing() -> Finding {
    let level = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let level = level.trim();
    Finding {
        name: "tracing of children".to_owned(),
        purpose: "proving that what runs is what was judged".to_owned(),
        ok: level != "3" && level != "2",
        found: if level.is_empty() {
            "no Yama".to_owned()
        } else {
            format!("Yama ptrace_scope {level}")
        },
        remedy: "Set kernel.yama.ptrace_scope to 0 or 1.".to_owned(),
    }
}

fn record(places: &Places) -> Finding {
    // The nearest directory that is there is where the rest would be made.
    let there = places.state.ancestors().find(|above| above.is_dir()).unwrap_or(&places.home);
    let writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok();
    let room = rustix::fs::statvfs(there).map_or(0, |about| about.f_bavail * about.f_frsize);
    Finding {
        name: "room for the record".to_owned(),
        purpose: "writing down what happens, before it happens".to_owned(),
        ok: writable && room > ROOM,
        found: format!(
            "`{}` is {}, {} MiB free",
            there.display(),
            if writable { "writable" } else { "not writable" },
            room >> 20
        ),
        remedy: format!("Make `{}` writable, with some MiB free.", places.state.display()),
    }
}

/// The least that is worth starting with: a few thousand events.
const ROOM: u64 = 8 << 20;

fn policy(places: &Places) -> (Finding, Option<Policy>) {
    let place =
        remit_policy::Place { home: places.home.clone(), workspace: places.home.join("workspace") };
    let loaded = files::load(places, &place.workspace).map_err(|error| error.to_string()).and_then(
        |files::Loaded { texts, .. }| {
            Policy::compile(&texts, None, &crate::agents::none(), &place)
                .map(|policy| (policy, texts.len()))
                .map_err(|error| error.to_string())
        },
    );
    let finding = Finding {
        name: "policy".to_owned(),
        purpose: "judging".to_owned(),
        ok: loaded.is_ok(),
        found: match &loaded {
            Ok((_, 0)) => "the built-in profile".to_owned(),
            Ok((_, count)) => format!("the built-in profile and {count} files"),
            Err(error) => error.clone(),
        },
        remedy: "Mend the file and line it names.".to_owned(),
    };
    (finding, loaded.ok().map(|(policy, _)| policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_installs_the_profile_that_ships_for_this_program() {
        assert!(APPARMOR_PROFILE.contains(&format!("profile remit {APPARMOR_PATH} flags=")));
        let remedy = apparmor_remedy();
        let program = std::env::current_exe().expect("ourselves");
        assert!(remedy.contains(&format!(
            "profile remit {:?} flags=(unconfined)",
            program.display().to_string()
        )));
        assert!(remedy.contains("\n  userns,\n") && remedy.contains("apparmor_parser -r"));
        assert!(remedy.lines().any(|line| line == "abi <abi/4.0>,"));
    }

    #[test]
    fn every_lack_of_a_tier_is_said_once_and_the_first_usable_tier_is_chosen() {
        let tier = |name, lacks: &[&str], allowed| TierFinding {
            name,
            lacks: lacks.iter().map(|lack| (*lack).to_owned()).collect(),
            allowed,
        };
        let found = Examination {
            findings: Vec::new(),
            tiers: vec![tier("a", &["x"], true), tier("b", &[], false), tier("c", &[], true)],
        };
        assert_eq!((found.best(), found.chosen()), (Some("b"), Some("c")));
    }
}
