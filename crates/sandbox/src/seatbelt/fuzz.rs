//! Laws of profiles, for plans in any order.

use bolero::{check, produce};

use super::tests::{decides, plan};
use super::*;

const PATHS: [&str; 10] = [
    "/u",
    "/u/p",
    "/u/p/.git/hooks",
    "/u/p/.env",
    "/u/.ssh",
    "/u/.ssh/id \"x\"",
    "/u/p/sub",
    "/usr",
    "/tmp",
    "/u/p/sub/k\\",
];

fn path(pick: u8) -> PathBuf {
    PATHS[usize::from(pick) % PATHS.len()].into()
}

#[test]
fn a_profile_reads_nothing_hidden_and_writes_nothing_protected() {
    let steps = || produce::<Vec<(u8, u8)>>().with().len(0..8_usize);
    check!().with_iterations(300).with_generator((steps(), steps())).for_each(|(view, ground)| {
        let mounts: Vec<_> = view
            .iter()
            .map(|(kind, at)| match kind % 5 {
                0 => Mount::Host { path: path(*at), access: Access::Write },
                1 => Mount::Host { path: path(*at), access: Access::Read },
                2 => Mount::Fixed { path: path(*at), access: Access::Read },
                3 => Mount::Private { path: path(*at), mode: 0o700 },
                _ => Mount::Hidden { path: path(*at), directory: true },
            })
            .collect();
        let floor: Vec<_> = ground
            .iter()
            .map(|(kind, at)| match kind % 4 {
                0 => Floor::List(path(*at)),
                1 => Floor::Read(path(*at)),
                2 => Floor::Write(path(*at)),
                _ => Floor::Own(path(*at)),
            })
            .collect();
        let plan = plan(mounts, floor);
        let text = profile(&plan, 1).expect("paths that can be written down");
        for at in PATHS.map(Path::new) {
            let at = at.to_str().expect("text");
            // A child, so that a rule about the name alone does not count.
            let child = format!("{at}/x");
            let reads = |path: &str| decides(&text, "file-read-data", path);
            let writes = |path: &str| decides(&text, "file-write-create", path);
            let hidden = plan.mounts.iter().any(|mount| {
                matches!(mount, Mount::Hidden { path, .. } if Path::new(at).starts_with(path))
            });
            assert!(!(hidden && (reads(&child) || writes(&child))), "{at} is hidden:\n{text}");
            let last = plan.mounts.iter().rev().find_map(|mount| match mount {
                Mount::Host { path, access } | Mount::Fixed { path, access } => {
                    Path::new(at).starts_with(path).then_some(*access == Access::Write)
                }
                Mount::Private { path, .. } => Path::new(at).starts_with(path).then_some(false),
                _ => None,
            });
            let may = last == Some(true) && grants_writing(&plan, Path::new(at));
            assert!(may || !writes(&child), "{at} can be written:\n{text}");
        }
    });
}
