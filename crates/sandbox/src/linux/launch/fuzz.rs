//! Plans that no supervisor would make.

use std::path::{Path, PathBuf};

use bolero::{check, produce};

use super::*;
use crate::plan::{Access, Floor, Limits, Network, Tier};

fn path(picks: &[u8]) -> PathBuf {
    const PIECES: [&str; 14] =
        ["/", "/", "/", "a", "b", "..", ".", "//", "\n", "\"", "\0", "\u{1b}", " ", "é"];
    picks.iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]).collect::<String>().into()
}

fn mount(kind: u8, path: PathBuf) -> Mount {
    let access = if kind & 1 == 0 { Access::Read } else { Access::Write };
    match kind / 2 % 8 {
        0 => Mount::Host { path, access },
        1 => Mount::Overlay { upper: path.join("u"), work: path.join("w"), path },
        2 => Mount::Fixed { path, access },
        3 => Mount::Private { path, mode: kind.into() },
        4 => Mount::Processes,
        5 => Mount::Devices,
        6 => Mount::Hidden { path, directory: kind & 1 == 0 },
        _ => Mount::Text { path, text: "\0".into() },
    }
}

fn floor(kind: u8, path: PathBuf) -> Floor {
    match kind % 5 {
        0 => Floor::List(path),
        1 => Floor::Read(path),
        2 => Floor::Write(path),
        3 => Floor::Own(path),
        _ => Floor::Device(path),
    }
}

fn has_nul(path: &Path) -> bool {
    path.as_os_str().as_bytes().contains(&0)
}

#[test]
fn a_plan_is_made_ready_whole_or_not_at_all() {
    let steps = || {
        let path = produce::<Vec<u8>>().with().len(0..10_usize);
        produce::<Vec<(u8, Vec<u8>)>>().with().len(0..6_usize).values((produce::<u8>(), path))
    };
    let input = (steps(), steps(), produce::<Option<u64>>(), produce::<u32>());
    check!().with_iterations(500).with_generator(input).for_each(|(view, ground, tmp, abi)| {
        let mounts: Vec<_> = view.iter().map(|(kind, picks)| mount(*kind, path(picks))).collect();
        let floor: Vec<_> = ground.iter().map(|(kind, picks)| floor(*kind, path(picks))).collect();
        let named = |mount: &Mount| match mount {
            Mount::Host { path, .. }
            | Mount::Overlay { path, .. }
            | Mount::Fixed { path, .. }
            | Mount::Private { path, .. }
            | Mount::Hidden { path, .. }
            | Mount::Text { path, .. } => has_nul(path),
            Mount::Processes | Mount::Devices => false,
        };
        let nul = mounts.iter().any(named) || floor.iter().any(|grant| has_nul(grant.path()));
        let plan = Plan {
            tier: Tier::Full,
            mounts,
            floor,
            network: Network {
                gateway: [198, 18, 0, 1].into(),
                prefix: 15,
                gateway6: std::net::Ipv6Addr::LOCALHOST,
                prefix6: 64,
            },
            limits: Limits { tmp: *tmp, ..Limits::default() },
            environment: vec![("A".into(), "b".into())],
            directory: "/".into(),
            program: "/bin/true".into(),
            argv: vec!["true".into()],
        };
        let _ = plan.to_string();
        match prepare(&plan, Stdio([Stream::Null; 3]), Abi(abi % 12)) {
            Ok(entry) => {
                assert!(!nul, "a name would end early");
                assert_eq!(entry.steps.len(), plan.mounts.len());
                assert_eq!(entry.grants.len(), plan.floor.len());
                for (grant, floor) in entry.grants.iter().zip(&plan.floor) {
                    assert_eq!(grant.path(), floor.path().as_os_str().as_bytes());
                }
            }
            Err(LaunchError::Nul(_)) => assert!(nul),
            Err(other) => panic!("{other}"),
        }
    });
}
