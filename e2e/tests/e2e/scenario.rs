//! A scenario and what it needs.

use crate::who::{Absent, Who};
use crate::world::World;
use crate::{places, postgres};

/// One promise.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub theme: &'static str,
    pub title: &'static str,
    pub needs: &'static [Need],
    pub run: fn(&World),
}

/// What must be there for a scenario to mean anything.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// A program on the test's search path.
    Program(&'static str),
    /// The harness itself runs as root, to build a network or a disk.
    RootHarness,
    /// What the laboratory with an internet in it is made of.
    Internet,
    /// A variable that asks for what takes long.
    Asked(&'static str),
    /// PostgreSQL's server.
    Postgres,
    /// A version 2 hierarchy of control groups that can be handed out.
    DelegatedCgroup,
    /// An agent from npm.
    Agent(places::Agent),
    /// A file by which the kernel says that it can do something, and what.
    Kernel(&'static str, &'static str),
}

/// Declares `all()`: the scenarios of a theme, named by their functions.
macro_rules! scenarios {
    ($theme:literal: $($name:ident $([$($need:expr),+])?),+ $(,)?) => {
        pub fn all() -> Vec<crate::scenario::Scenario> {
            vec![$(crate::scenario::Scenario {
                theme: $theme,
                title: stringify!($name),
                needs: &[$($($need),+)?],
                run: $name,
            }),+]
        }
    };
}

impl Scenario {
    pub fn name(&self, who: &Result<Who, Absent>) -> String {
        let who = match who {
            Ok(who) => who.label(),
            Err(absent) => absent.label,
        };
        format!("{who}::{}::{}", self.theme, self.title)
    }

    /// Why it cannot run here, if so.
    pub fn obstacle(&self, who: &Result<Who, Absent>) -> Option<String> {
        if let Err(absent) = who {
            return Some(absent.reason.clone());
        }
        self.needs.iter().find_map(Need::missing)
    }
}

impl Need {
    fn missing(&self) -> Option<String> {
        match self {
            Need::Program(name) if places::program(name).is_none() => {
                Some(format!("no program `{name}`"))
            }
            Need::RootHarness if !rustix::process::geteuid().is_root() => Some(
                "the tests do not run as root, so they cannot build a network or a disk".into(),
            ),
            Need::Internet => crate::internet::NEEDS.iter().find_map(Need::missing),
            Need::Asked(variable) if std::env::var_os(variable).is_none() => {
                Some(format!("it takes long; set `{variable}` to run it"))
            }
            Need::Postgres if postgres::programs().is_none() => {
                Some("no PostgreSQL server below `/usr/lib/postgresql`".to_owned())
            }
            Need::DelegatedCgroup => crate::delegated::missing(),
            Need::Agent(agent) if agent.installed().is_none() => Some(format!(
                "{agent:?} is not installed; `cargo xtask test` installs it if npm is there"
            )),
            Need::Kernel(file, what) if !std::path::Path::new(file).exists() => {
                Some(format!("this kernel has no {what} (no `{file}`)"))
            }
            _ => None,
        }
    }
}
