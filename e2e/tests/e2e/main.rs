//! Promises, kept by the real binary: each scenario runs as an ordinary user
//! and as root, in a world of its own, and asserts what the user would see.
//!
//! `--list-skips` prints each test that cannot run here, and why.
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "nobody can reach into a program")]

#[macro_use]
mod scenario;
mod delegated;
mod internet;
mod lab;
mod places;
mod postgres;
mod record;
mod run;
mod screen;
mod who;
mod world;

mod agents;
mod answers;
mod approvals;
mod asked;
mod bad_input;
mod boundary;
mod capture;
mod clients;
mod commands;
mod data;
mod escapes;
mod evidence;
mod exec_binding;
mod exec_identity;
mod explained;
mod explicit;
mod flows;
mod handover;
mod kernel;
mod leaks;
mod limits;
mod live;
mod network;
mod overlay;
mod races;
mod review;
mod story;
mod supervisor;
mod terminal;
mod tiers;
mod told;
mod tools;

use std::io::Write as _;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use scenario::Scenario;
use who::Who;
use world::World;

fn main() -> ExitCode {
    let themes = [
        boundary::all(),
        kernel::all(),
        limits::all(),
        live::all(),
        network::all(),
        explained::all(),
        explicit::all(),
        leaks::all(),
        leaks::insisting::all(),
        leaks::requests::all(),
        clients::all(),
        flows::all(),
        data::all(),
        capture::all(),
        commands::all(),
        races::all(),
        review::all(),
        handover::all(),
        overlay::all(),
        approvals::all(),
        asked::all(),
        answers::all(),
        evidence::all(),
        exec_binding::all(),
        exec_identity::all(),
        bad_input::all(),
        escapes::all(),
        terminal::all(),
        tiers::all(),
        told::all(),
        tools::all(),
        supervisor::all(),
        agents::all(),
        agents::inspected::all(),
        story::all(),
    ];
    let scenarios: Vec<Scenario> = themes.into_iter().flatten().collect();
    if std::env::args().any(|word| word == "--list-skips") {
        return list_skips(&scenarios);
    }
    let trials = Who::everyone()
        .into_iter()
        .flat_map(|who| scenarios.iter().map(move |scenario| trial(scenario.clone(), who.clone())))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(scenario: Scenario, who: Result<Who, who::Absent>) -> Trial {
    let name = scenario.name(&who);
    let obstacle = scenario.obstacle(&who);
    let ignored = obstacle.is_some();
    let run = move || match (obstacle, who) {
        (None, Ok(who)) => {
            (scenario.run)(&World::new(who));
            Ok(())
        }
        (obstacle, _) => Err(format!("cannot run here: {}", obstacle.unwrap_or_default()).into()),
    };
    Trial::test(name, run).with_ignored_flag(ignored)
}

fn list_skips(scenarios: &[Scenario]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    for who in Who::everyone() {
        for scenario in scenarios {
            if let Some(reason) = scenario.obstacle(&who) {
                let _ = writeln!(out, "{}: {reason}", scenario.name(&who));
            }
        }
    }
    ExitCode::SUCCESS
}
