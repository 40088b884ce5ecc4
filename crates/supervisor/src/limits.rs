//! What a session may take of the machine: decided, put in force, watched, told.
//!
//! Each limit is enforced by the strongest means this host has. What somebody
//! wrote down and no means here enforces refuses the start; what holds by
//! default and cannot be enforced is said in the record and by `remit doctor`.

mod cgroup;
mod inside;
mod watch;

use std::fs;
use std::time::Instant;

use remit_policy::{Basis, Limits, Resource};
use remit_sandbox::{Plan, Tier};

use crate::doctor::Finding;
use crate::session::RunError;
use cgroup::{Cgroup, Controller};
pub(crate) use watch::Watch;

/// How a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// The kernel, for all processes together.
    Cgroup,
    /// The kernel, by a limit every process inherits.
    Rlimit,
    /// The size of a file system in memory.
    Mount,
    /// The supervisor looks, several times a second, and ends the session.
    Counted,
    /// The supervisor's clock.
    Clock,
}

impl Means {
    fn words(self) -> &'static str {
        match self {
            Means::Cgroup => "cgroup v2",
            Means::Rlimit => "a resource limit of each process",
            Means::Mount => "the size of each private directory",
            Means::Counted => "counted by the supervisor, which ends the session beyond it",
            Means::Clock => "the supervisor's clock",
        }
    }
}

/// One limit with its means.
#[derive(Clone, Debug)]
struct Held {
    resource: Resource,
    most: u64,
    means: Means,
    basis: Basis,
}

/// The limits of one session, in force as far as the kernel holds them. Dropping
/// it removes the control group and whatever is left in it.
#[derive(Debug)]
pub(crate) struct Limited {
    held: Vec<Held>,
    cgroup: Option<Cgroup>,
    /// Why there is none, if one was wanted.
    without: Option<String>,
    /// What holds elsewhere by default and does not hold here, in words.
    missing: Vec<String>,
    tier: Tier,
    begun: Instant,
}

/// Facts about the host that limits depend on.
#[derive(Clone, Copy, Debug)]
struct Machine {
    memory: u64,
    /// Whether `RLIMIT_NPROC` counts the session alone, and counts at all.
    counts_processes: bool,
}

impl Machine {
    /// In the eyes of a session of this tier.
    fn for_tier(tier: Tier) -> Self {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy().into_owned();
        // Before 5.14 it counted all of the user's processes everywhere; root
        // is exempt. SOURCE: kernel/fork.c, kernel/ucount.c. Without a user
        // namespace the person's other processes are counted too.
        let counts_processes = tier.has_namespaces()
            && version(&release) >= (5, 14)
            && !rustix::process::geteuid().is_root();
        Self { memory: memory_of_the_host(), counts_processes }
    }
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Without an answer the least that is plausible, so that a limit there is.
fn memory_of_the_host() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib << 10)
}

/// The amount that holds: what the policy says and, where nobody but a project
/// said anything, what the machine can bear.
///
/// Three quarters of the memory leave the person a working desktop and do not
/// get into a build's way; half of it for each directory in memory is what the
/// kernel gives by itself, and the limit of memory covers them together.
fn amount(limits: &Limits, resource: Resource, machine: Machine) -> Option<u64> {
    let limit = limits.of(resource);
    let bearable = match resource {
        Resource::Memory => Some(machine.memory / 4 * 3),
        Resource::Tmp => Some(machine.memory / 2),
        _ => None,
    };
    // Whole MiB are easier to read, and nobody chose the rest.
    let bearable = bearable.map(|bytes| bytes >> 20 << 20);
    match (limit.most, bearable.filter(|_| limit.by_default)) {
        (Some(most), Some(bearable)) => Some(most.min(bearable)),
        (most, bearable) => most.or(bearable),
    }
}

/// Writes what the kernel is told at the start into the plan.
pub(crate) fn lower(limits: &Limits, plan: &mut Plan) {
    let machine = Machine::for_tier(plan.tier);
    let amount = |resource| amount(limits, resource, machine);
    plan.limits = remit_sandbox::Limits {
        processes: amount(Resource::Processes).filter(|_| machine.counts_processes),
        open_files: amount(Resource::OpenFiles),
        file_size: amount(Resource::FileSize),
        tmp: amount(Resource::Tmp).filter(|_| plan.tier.has_namespaces()),
        cgroup: None,
    };
}

impl Limited {
    /// Chooses the means for each limit and makes the control group, if this
    /// host has delegated one to us.
    pub(crate) fn establish(limits: &Limits, session: &str, tier: Tier) -> Result<Self, RunError> {
        let machine = Machine::for_tier(tier);
        let wanted = [
            (Controller::Memory, amount(limits, Resource::Memory, machine)),
            (Controller::Processes, amount(limits, Resource::Processes, machine)),
            (Controller::Cpu, amount(limits, Resource::Cpu, machine)),
        ];
        let wanted: Vec<_> =
            wanted.into_iter().filter_map(|(which, most)| Some((which, most?))).collect();
        let (cgroup, without) = match Cgroup::create(session, &wanted) {
            Ok(cgroup) => (Some(cgroup), None),
            Err(why) => (None, Some(why)),
        };
        let in_group = |which| cgroup.as_ref().is_some_and(|cgroup| cgroup.controls(which));
        let unenforceable = |resource: Resource, why: String| {
            let basis = limits.of(resource).basis.to_string();
            RunError::Unenforceable { limit: resource.name(), basis, why }
        };
        let (mut held, mut missing) = (Vec::new(), Vec::new());
        for resource in Resource::ALL {
            let Some(most) = amount(limits, resource, machine) else { continue };
            let means = match resource {
                Resource::Memory if in_group(Controller::Memory) => Means::Cgroup,
                Resource::Processes if in_group(Controller::Processes) => Means::Cgroup,
                Resource::Cpu if in_group(Controller::Cpu) => Means::Cgroup,
                Resource::Processes if machine.counts_processes => Means::Rlimit,
                Resource::Memory | Resource::Processes => Means::Counted,
                // How much a program has run is known only afterwards, so a
                // share of the processors cannot honestly be counted out.
                Resource::Cpu => {
                    let why = without.as_deref().unwrap_or(NO_CPU);
                    return Err(unenforceable(resource, format!("{why}; {DELEGATE}")));
                }
                Resource::OpenFiles | Resource::FileSize => Means::Rlimit,
                Resource::Tmp if tier.has_namespaces() => Means::Mount,
                Resource::Tmp if limits.of(resource).is_asked_for() => {
                    let why = format!("{NO_TMP}; take it out, or get a better tier");
                    return Err(unenforceable(resource, why));
                }
                Resource::Tmp => {
                    missing.push(format!("no limit of temporary files: {NO_TMP}"));
                    continue;
                }
                Resource::Time => Means::Clock,
            };
            held.push(Held { resource, most, means, basis: limits.of(resource).basis.clone() });
        }
        Ok(Self { held, cgroup, without, missing, tier, begun: Instant::now() })
    }

    /// Lets process 1 begin in the group, if there is one.
    pub(crate) fn place(&self, plan: &mut Plan) {
        let Some(cgroup) = &self.cgroup else { return };
        plan.limits.cgroup = Some(cgroup.directory().to_path_buf());
        if cgroup.controls(Controller::Processes) {
            // The inherited limit stays behind the group's, one higher: the
            // group keeps count of what it turns down.
            plan.limits.processes = plan.limits.processes.map(|most| most + 1);
        }
    }

    /// Each limit and how it is enforced, in words for the record.
    pub(crate) fn layers(&self) -> Vec<String> {
        let limits = self.held.iter().map(|held| {
            format!(
                "{} at most {}: {}",
                held.resource,
                held.resource.spell(held.most),
                held.means.words()
            )
        });
        let score = remit_sandbox::OOM_SCORE;
        let standing = format!("ordinary priority, memory killer score at least {score}");
        let without = self.without.iter().map(|why| format!("no cgroup v2 for limits: {why}"));
        limits.chain([standing]).chain(without).chain(self.missing.iter().cloned()).collect()
    }

    fn held(&self, resource: Resource) -> Option<&Held> {
        self.held.iter().find(|held| held.resource == resource)
    }
}

const DELEGATE: &str = "take it out, or start Remit in a cgroup that is delegated to you, such as \
                        by `systemd-run --user --scope`";
const NO_TMP: &str = "the tier `no-namespaces` has no directories in memory";
const NO_CPU: &str = "the control group that is delegated to us has no `cpu` controller";

/// How this host would enforce the limits that not every host can.
pub(crate) fn examine() -> Vec<Finding> {
    let place = cgroup::find(&[Controller::Memory, Controller::Processes, Controller::Cpu]);
    let machine = Machine::for_tier(Tier::Full);
    let has = |which| place.as_ref().is_ok_and(|place| place.controllers.contains(&which));
    let otherwise = |which: Controller, words: &str| match &place {
        _ if has(which) => "cgroup v2, for all processes of a session together".to_owned(),
        Ok(_) => format!("{words} (the delegated cgroup has no `{}` controller)", which.name()),
        Err(why) => format!("{words} (no cgroup v2: {why})"),
    };
    let processes =
        if machine.counts_processes { Means::Rlimit.words() } else { Means::Counted.words() };
    let findings = [
        (
            "limit of memory",
            "ending a session that would take the machine down",
            otherwise(Controller::Memory, Means::Counted.words()),
        ),
        (
            "limit of processes",
            "keeping a fork bomb within the session",
            otherwise(Controller::Processes, processes),
        ),
        (
            "limit of processor time",
            "`limits.cpu`, which is not set unless a policy does",
            otherwise(
                Controller::Cpu,
                "cannot be enforced here; a policy that sets it refuses to start",
            ),
        ),
    ];
    let finding = |(name, purpose, found): (&str, &str, String)| Finding {
        name: name.to_owned(),
        purpose: purpose.to_owned(),
        // A session starts either way; what a policy asks for is checked then.
        ok: true,
        found,
        remedy:
            "Start Remit in a cgroup delegated to you, such as by `systemd-run --user --scope`."
                .to_owned(),
    };
    findings.map(finding).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_policy::{Layer, Place, Policy, PolicyText, TextKind};

    const MACHINE: Machine = Machine { memory: 16 << 30, counts_processes: true };

    #[track_caller]
    fn check(layer: Layer, text: &str, resource: Resource, expected: Option<u64>) {
        let place = Place { home: "/home/a".into(), workspace: "/home/a/w".into() };
        let file = "x.toml".to_owned();
        let text = PolicyText { layer, kind: TextKind::Settings, file, text: text.to_owned() };
        let policy =
            Policy::compile(&[text], None, &crate::agents::none(), &place).expect("a policy");
        assert_eq!(amount(policy.limits(), resource, MACHINE), expected);
    }

    #[test]
    fn the_machine_bounds_what_nobody_chose() {
        check(Layer::User, "", Resource::Memory, Some(12 << 30));
        check(Layer::User, "", Resource::Tmp, Some(8 << 30));
        check(Layer::User, "", Resource::Cpu, None);
        check(Layer::User, "limits.memory = '900GiB'", Resource::Memory, Some(900 << 30));
        check(Layer::User, "limits.memory = 'none'", Resource::Memory, None);
        // A project cannot choose more than what holds without it.
        check(Layer::Project, "limits.memory = '900GiB'", Resource::Memory, Some(12 << 30));
        check(Layer::Project, "limits.tmp = '900GiB'", Resource::Tmp, Some(8 << 30));
        check(Layer::Project, "limits.memory = '1GiB'", Resource::Memory, Some(1 << 30));
    }

    #[test]
    fn a_kernel_release_begins_with_its_version() {
        assert_eq!(version("6.18.44-fc-v657"), (6, 18));
        assert_eq!(version("5.4.0"), (5, 4));
        assert_eq!(version(""), (0, 0));
    }
}
