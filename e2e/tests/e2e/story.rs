//! The demonstration and the doctor: what a newcomer types first.

use std::fs;
use std::time::Duration;

use crate::world::World;

scenarios! { "story":
    the_demo_tells_the_whole_story_in_time,
    the_demo_leaves_the_host_alone,
    the_doctor_names_what_is_enforced,
}

fn the_demo_tells_the_whole_story_in_time(world: &World) {
    let output = world.remit(&["demo"]).succeeds();
    assert!(output.took < Duration::from_secs(20), "{:?}", output.took);
    let said = output.both().to_lowercase();
    for part in ["refused", "verif", "localhost", "ended"] {
        assert!(said.contains(part), "`{part}` is missing from the story:\n{said}");
    }
}

fn the_demo_leaves_the_host_alone(world: &World) {
    let listing = || {
        let mut names: Vec<_> = fs::read_dir(&world.home)
            .expect("the home")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        names.sort();
        names.retain(|name| name != ".local");
        names
    };
    let before = (listing(), world.outside("git status --porcelain").succeeds().out);
    world.remit(&["demo"]).succeeds();
    assert_eq!((listing(), world.outside("git status --porcelain").succeeds().out), before);
    assert!(world.mine().is_empty(), "no process is left");
}

fn the_doctor_names_what_is_enforced(world: &World) {
    let output = world.remit(&["doctor"]).succeeds();
    let said = output.both().to_lowercase();
    for part in ["user namespace", "landlock", "seccomp"] {
        assert!(said.contains(part), "`{part}` is missing: {said}");
    }
    let report = world.remit(&["doctor", "--json"]).succeeds();
    let report: serde_json::Value = serde_json::from_str(&report.out).expect("one JSON value");
    assert!(report.is_object(), "{report}");
}
