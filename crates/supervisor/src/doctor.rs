//! What a session would find on this host.

use std::fs;

use remit_policy::Policy;

use crate::files::{self, Places};

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

/// Asks the kernel, the disk and the policy. Leaves nothing behind.
pub fn examine() -> Vec<Finding> {
    let features = remit_sandbox::support().features.into_iter().map(|feature| Finding {
        name: feature.name.to_owned(),
        purpose: feature.purpose.to_owned(),
        ok: feature.available,
        found: feature.found,
        remedy: feature.remedy.to_owned(),
    });
    let mut findings: Vec<_> = features.collect();
    findings.push(tracing());
    findings.extend(crate::limits::examine());
    match Places::from_environment() {
        Ok(places) => findings.extend([record(&places), policy(&places)]),
        Err(error) => findings.push(Finding {
            name: "home directory".to_owned(),
            purpose: "policy and records".to_owned(),
            ok: false,
            found: error.to_string(),
            remedy: "Set HOME to your home directory.".to_owned(),
        }),
    }
    findings
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

fn policy(places: &Places) -> Finding {
    let place =
        remit_policy::Place { home: places.home.clone(), workspace: places.home.join("workspace") };
    let loaded = files::load(places, &place.workspace).map_err(|error| error.to_string()).and_then(
        |files::Loaded { texts, .. }| {
            Policy::compile(&texts, None, &crate::agents::none(), &place)
                .map(|_| texts.len())
                .map_err(|error| error.to_string())
        },
    );
    Finding {
        name: "policy".to_owned(),
        purpose: "judging".to_owned(),
        ok: loaded.is_ok(),
        found: match &loaded {
            Ok(0) => "the built-in profile".to_owned(),
            Ok(count) => format!("the built-in profile and {count} files"),
            Err(error) => error.clone(),
        },
        remedy: "Mend the file and line it names.".to_owned(),
    }
}
