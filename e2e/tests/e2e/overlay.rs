//! Copy-on-write workspaces: nothing reaches the host until a person says so,
//! and then exactly that.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::places;
use crate::record::Record;
use crate::run::{Output, Running, eventually};
use crate::scenario::Need::{Program, RootHarness};
use crate::screen::Screen;
use crate::world::{SECRET, World};

scenarios! { "overlay":
    the_host_is_untouched_during_and_after,
    every_kind_of_change_is_shown_and_applied,
    only_the_named_paths_are_applied,
    git_works_inside_and_its_commit_can_be_applied [Program("git")],
    a_link_put_in_the_place_of_a_directory_leads_nowhere,
    a_link_on_the_host_is_not_followed_either,
    pipes_and_set_uid_files_are_listed_and_never_applied,
    a_change_of_the_host_meanwhile_is_a_conflict,
    deletions_and_protected_names_need_a_yes,
    a_repository_under_another_name_needs_a_yes [Program("git")],
    names_that_lead_a_tool_elsewhere_need_a_yes,
    nothing_is_applied_where_a_session_runs,
    existing_protected_names_stay_read_only,
    applied_files_of_a_replaced_directory_stay,
    dropping_asks_and_leaves_nothing,
    killing_the_supervisor_leaves_the_changes_reviewable,
    a_running_session_is_not_decided_on,
    the_kept_changes_cannot_be_reached_from_inside,
    what_is_decided_is_recorded,
    a_read_only_workspace_contradicts,
    a_mount_inside_the_workspace_is_refused [RootHarness],
    a_state_directory_on_an_overlay_is_refused [RootHarness],
    a_writable_root_does_not_lead_past_the_copy,
    a_hidden_path_in_the_workspace_stays_hidden,
    a_full_disk_stops_and_loses_nothing [RootHarness],
    a_mount_made_meanwhile_is_not_emptied [RootHarness],
    any_name_of_a_workspace_works,
    the_boundary_holds_on_a_copy_too,
    a_person_is_asked_path_by_path [Program("tmux"), Program("bash")],
    a_diff_is_escaped_and_names_binaries,
}

/// Runs a script on a copy-on-write view of the workspace.
#[track_caller]
fn on_copy(world: &World, script: &str) -> Output {
    world.remit(&["run", "--overlay", "--", "sh", "-c", script])
}

/// `remit changes …` of the last session.
#[track_caller]
fn changes(world: &World, verb: &str, words: &[&str]) -> Output {
    world.remit(&[&["changes", verb, "latest"], words].concat())
}

/// What `remit changes show` lists, such as `A new/file`, outside `.git`.
#[track_caller]
fn listed(world: &World) -> Vec<String> {
    let output = changes(world, "show", &["--json"]).succeeds();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let lines = output.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .map(|change| {
            let letter = match text(&change["change"]).as_str() {
                "added" => "A",
                "modified" => "M",
                "deleted" => "D",
                _ => "T",
            };
            format!("{letter} {}", text(&change["path"]))
        })
        .filter(|line| !line[2..].starts_with(".git"))
        .collect()
}

#[track_caller]
fn holds(world: &World, path: &str, text: Option<&str>) {
    let found = fs::read_to_string(world.workspace.join(path)).ok();
    assert_eq!(found.as_deref(), text, "`{path}` on the host");
}

fn the_host_is_untouched_during_and_after(world: &World) {
    world.write(&world.workspace.join("d/x"), "x");
    let listing = "find . ! -path './.git*' -printf '%p %i %s %m %C@\\n' | sort; cat README";
    let before = world.outside(listing).succeeds().out;
    let mark = world.mark();
    let change = "echo more >> README; rm -r d; mkdir made; chmod 777 .; ln -s / link";
    let script = format!("{change}; test ! -e d && test -e made && sleep {mark}");
    let running = world.start(&["run", "--overlay", "--", "sh", "-c", &script]);
    eventually("the changes", Duration::from_secs(10), || {
        (world.sleepers(&mark).len() == 1).then_some(())
    });
    assert_eq!(world.outside(listing).out, before, "while the session runs");
    running.signal(Signal::TERM);
    running.finish().says("changes show");
    assert_eq!(world.outside(listing).out, before, "after the session");
    world.inside(change).succeeds();
    assert_ne!(world.outside(listing).out, before, "the control: without --overlay");
}

fn every_kind_of_change_is_shown_and_applied(world: &World) {
    for path in ["keep", "gone", "tree/deep/x", "was-file", "was-dir/x", "moved", "script"] {
        world.write(&world.workspace.join(path), path);
    }
    on_copy(
        world,
        "echo more >> README; rm gone; rm -r tree; rm was-file; mkdir was-file; echo in > was-file/in; \
         rm -r was-dir; ln -s README was-dir; mv moved renamed; chmod 755 script; mkdir -p a/b; \
         echo new > a/b/c; chmod 700 a; touch keep; ln -s ../README a/up",
    )
    .succeeds()
    .says("changes show");
    assert_eq!(
        listed(world),
        [
            "M README",
            "A a",
            "A a/b",
            "A a/b/c",
            "A a/up",
            "D gone",
            "D moved",
            "A renamed",
            "M script",
            "D tree",
            "T was-dir",
            "T was-file",
            "A was-file/in",
        ]
    );
    changes(world, "show", &[]).succeeds().says("mode 644 to 755").says("D  tree/");
    changes(world, "apply", &["--yes"]).succeeds();
    holds(world, "README", Some("hello\nmore\n"));
    holds(world, "gone", None);
    holds(world, "moved", None);
    holds(world, "renamed", Some("moved"));
    holds(world, "a/b/c", Some("new\n"));
    holds(world, "was-file/in", Some("in\n"));
    assert!(!world.workspace.join("tree").exists());
    let at = |path: &str| world.workspace.join(path);
    assert_eq!(fs::read_link(at("was-dir")).ok(), Some("README".into()));
    assert_eq!(fs::read_link(at("a/up")).ok(), Some("../README".into()));
    let mode = |path: &str| fs::metadata(at(path)).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode("script"), mode("a")), (0o755, 0o700));
    assert_eq!(fs::metadata(at("a/b/c")).expect("there").uid(), world.who.uid);
    changes(world, "show", &[]).fails().says("no session left changes");
    let litter = world.outside("find . -name '.remit-*'").succeeds();
    assert_eq!(litter.out, "", "no drafts are left");
}

fn only_the_named_paths_are_applied(world: &World) {
    on_copy(world, "mkdir -p a/b; echo 1 > a/b/one; echo 2 > a/two; echo more >> README")
        .succeeds();
    changes(world, "apply", &["nowhere"]).fails().says("changed nothing at `nowhere`");
    changes(world, "apply", &["../outside"]).fails().says("not a path inside");
    changes(world, "apply", &["./a/b/"]).succeeds();
    holds(world, "a/b/one", Some("1\n"));
    holds(world, "a/two", None);
    holds(world, "README", Some("hello\n"));
    assert_eq!(listed(world), ["M README", "A a/two"]);
    changes(world, "apply", &["README"]).succeeds();
    assert_eq!(listed(world), ["A a/two"]);
    // What was applied is the person's own again, and no change.
    world.write(&world.workspace.join("README"), "mine now\n");
    assert_eq!(listed(world), ["A a/two"]);
    changes(world, "apply", &[]).succeeds();
    holds(world, "a/two", Some("2\n"));
    holds(world, "README", Some("mine now\n"));
}

fn git_works_inside_and_its_commit_can_be_applied(world: &World) {
    let commit = "echo more >> README && git add README && git commit -qm second && git status --porcelain && git log --oneline";
    on_copy(world, commit).succeeds().says("second");
    world.outside("git log --oneline").succeeds().does_not_say("second");
    changes(world, "apply", &[]).succeeds();
    let status = world.outside("git fsck && git log --oneline && git status --porcelain");
    assert_eq!(status.succeeds().says("second").out.lines().count(), 2, "nothing differs");
}

fn a_link_put_in_the_place_of_a_directory_leads_nowhere(world: &World) {
    world.write(&world.workspace.join("d/note"), "x");
    let ssh = world.home.join(".ssh");
    let script = format!(
        "import os\nos.symlink({0:?}, 'd')\nos.symlink({0:?} + '/id_ed25519', 'key')\n",
        ssh.display().to_string()
    );
    world.write(&world.home.join("links.py"), &script);
    let script = format!(
        "echo evil > d/note; mkdir e; echo evil > e/note; mv d kept; python3 -B {}",
        world.home.join("links.py").display()
    );
    on_copy(world, &script).succeeds();
    assert_eq!(listed(world), ["T d", "A e", "A e/note", "A kept", "A kept/note", "A key"]);
    changes(world, "show", &["--diff"]).succeeds().does_not_say(SECRET);
    changes(world, "apply", &[]).fails().says("lead out of the workspace");
    assert!(!world.workspace.join("key").is_symlink());
    assert!(world.workspace.join("d").is_dir() && !world.workspace.join("d").is_symlink());
    changes(world, "apply", &["--yes"]).succeeds();
    assert_eq!(fs::read_link(world.workspace.join("d")).ok(), Some(ssh.clone()));
    assert!(!ssh.join("authorized_keys").exists(), "nothing was written through the link");
    assert_eq!(fs::read_to_string(ssh.join("id_ed25519")).ok().as_deref(), Some(SECRET));
}

fn a_link_on_the_host_is_not_followed_either(world: &World) {
    world.write(&world.workspace.join("d/x"), "x");
    world.write(&world.home.join("outside/x"), "x");
    on_copy(world, "echo evil > d/x").succeeds();
    fs::rename(world.workspace.join("d"), world.workspace.join("moved")).expect("moved");
    symlink(world.home.join("outside"), world.workspace.join("d")).expect("a link");
    for words in [&[][..], &["--yes"], &["--yes", "--force"], &["--yes", "--force", "d/x"]] {
        changes(world, "apply", words);
        let found = fs::read_to_string(world.home.join("outside/x")).ok();
        assert_eq!(found.as_deref(), Some("x"), "after {words:?}");
    }
    world.outside("echo evil > d/x || rm d").succeeds();
}

fn pipes_and_set_uid_files_are_listed_and_never_applied(world: &World) {
    let script = "mkfifo pipe; echo x > tool; truncate -s 2G holes; echo fine > fine";
    on_copy(world, script).succeeds();
    // No session makes a set-uid file; suppose that one did.
    let tool = world.state().join("changes").join(last(world)).join("upper/tool");
    world.outside(&format!("chmod 4755 {}", tool.display())).succeeds();
    assert_eq!(listed(world), ["A fine", "A holes", "A pipe", "A tool"]);
    let output = changes(world, "apply", &["--yes", "--force"]).fails();
    assert!(output.took < Duration::from_secs(5), "a pipe holds nobody up: {output:?}");
    output.says("pipe: never applied").says("tool: never applied").says("holes: never applied");
    holds(world, "fine", Some("fine\n"));
    for path in ["pipe", "tool", "holes"] {
        assert!(!world.workspace.join(path).exists(), "{path}");
    }
    // The control: the session really left a pipe.
    let kept = world.state().join("changes").join(last(world)).join("upper/pipe");
    assert!(fs::symlink_metadata(kept).expect("kept").file_type().is_fifo());
}

fn a_change_of_the_host_meanwhile_is_a_conflict(world: &World) {
    world.write(&world.workspace.join("tree/x"), "x");
    world.write(&world.workspace.join("other"), "x");
    on_copy(world, "echo theirs > README; rm -r tree; echo theirs > new; echo theirs > other")
        .succeeds();
    for path in ["README", "tree/y", "new"] {
        world.write(&world.workspace.join(path), "mine");
    }
    changes(world, "show", &[]).succeeds().says("README  (7 B; conflict");
    changes(world, "apply", &["--yes"]).fails().says("--force overwrites");
    for path in ["README", "tree/y", "new"] {
        holds(world, path, Some("mine"));
    }
    holds(world, "other", Some("theirs\n"));
    changes(world, "apply", &["--yes", "--force"]).succeeds();
    holds(world, "README", Some("theirs\n"));
    holds(world, "new", Some("theirs\n"));
    assert!(!world.workspace.join("tree").exists());
}

fn deletions_and_protected_names_need_a_yes(world: &World) {
    world.write(&world.workspace.join("gone"), "x");
    // The text of the script names what Git runs, and would be asked about.
    world.rules("prefix_rule(pattern = [\"sh\"], decision = \"allow\")\n");
    let script = "rm gone; echo x > .envrc; mkdir -p .vscode vendor/x/.git/hooks bare/objects bare/refs; \
                  echo x > .vscode/tasks.json; echo x > vendor/x/.git/hooks/pre-commit; \
                  echo x > bare/HEAD; echo x > bare/config; echo x > .git/info/attributes; echo fine > fine";
    on_copy(world, script);
    let needing = ["gone", ".vscode/tasks.json", "vendor/x/.git/hooks/pre-commit", "bare/config"];
    let output = changes(world, "apply", &[]);
    assert_eq!(output.code, 1, "the status says that something was left: {output:?}");
    output.says("needs --yes").says("editor runs tasks").says("Git runs it");
    holds(world, "gone", Some("x"));
    holds(world, "fine", Some("fine\n"));
    for path in &needing[1..] {
        holds(world, path, None);
    }
    changes(world, "apply", &["--yes"]).succeeds();
    holds(world, "gone", None);
    for path in &needing[1..] {
        holds(world, path, Some("x\n"));
    }
}

fn a_repository_under_another_name_needs_a_yes(world: &World) {
    // Half of the second one is on the host already.
    world.write(&world.workspace.join("half/commondir"), "../evil\n");
    let script = "mkdir -p assets evil/objects evil/refs; printf '[n]\\n\\tk = planted\\n' > evil/config; \
                  echo ../evil > assets/commondir; echo fine > fine; \
                  for d in assets half; do echo 'ref: refs/heads/main' > $d/HEAD; done";
    on_copy(world, script).succeeds();
    changes(world, "apply", &[]).fails().says("led by it to what it runs");
    for path in ["assets/HEAD", "assets/commondir", "half/HEAD"] {
        holds(world, path, None);
    }
    holds(world, "fine", Some("fine\n"));
    let obeys = |place: &str| world.outside(&format!("git -C {place} config n.k; true")).succeeds();
    for place in ["assets", "half"] {
        obeys(place).does_not_say("planted");
    }
    changes(world, "apply", &["--yes"]).succeeds();
    for place in ["assets", "half"] {
        // The control: Git takes it for one.
        obeys(place).says("planted");
    }
}

fn names_that_lead_a_tool_elsewhere_need_a_yes(world: &World) {
    let needing = [
        ".v\u{17f}code/tasks.json",
        "git~1/config",
        ".envrc.",
        ".envrc ",
        ".hg/requires",
        ".hg/sharedpath",
        ".sl/sharedpath",
        ".jj/repo",
        ".config/mise.toml",
    ];
    let free = [".hg/dirstate", ".config/other", ".envrc.example", "gitlab/config"];
    let make = |path: &&str| format!("mkdir -p \"$(dirname '{path}')\"; echo x > '{path}'; ");
    let script: String = needing.iter().chain(&free).map(make).collect();
    on_copy(world, &script).succeeds();
    changes(world, "apply", &[]).fails();
    for path in needing {
        holds(world, path, None);
    }
    for path in free {
        holds(world, path, Some("x\n"));
    }
    changes(world, "apply", &["--yes"]).succeeds();
    for path in needing {
        holds(world, path, Some("x\n"));
    }
}

fn nothing_is_applied_where_a_session_runs(world: &World) {
    world.write(&world.workspace.join("inner/x"), "x");
    world.write(&world.home.join("elsewhere/x"), "x");
    on_copy(world, "echo new > new").succeeds();
    let session = last(world);
    let apply = |words: &[&str]| world.remit(&[&["changes", "apply", &session], words].concat());
    let elsewhere = world.home.join("elsewhere").display().to_string();
    let run = |words: &[&str]| {
        let mark = world.mark();
        let sleep = ["sleep", &mark];
        let running = world.start(&[&["run"], words, &["--"], &sleep].concat());
        eventually("the session", Duration::from_secs(10), || {
            (world.sleepers(&mark).len() == 1).then_some(())
        });
        running
    };
    for words in [&[][..], &["-C", "inner"], &["--overlay"]] {
        let running = run(words);
        for words in [&["--yes"][..], &["--yes", "--force", "new"]] {
            apply(words).fails().says("runs in this workspace");
        }
        holds(world, "new", None);
        running.signal(Signal::TERM);
        running.finish();
    }
    // The control: one in another workspace is no obstacle.
    let running = run(&["-C", &elsewhere]);
    apply(&[]).succeeds();
    holds(world, "new", Some("new\n"));
    running.signal(Signal::TERM);
    running.finish();
}

fn existing_protected_names_stay_read_only(world: &World) {
    for attempt in [
        "echo x > .git/hooks/pre-commit",
        "echo x >> .git/config",
        "mv .git was",
        "rm -rf .git/hooks && mkdir .git/hooks && echo x > .git/hooks/pre-commit",
    ] {
        on_copy(world, attempt).fails();
        on_copy(world, "cat .git/config; ls .git/hooks").succeeds().does_not_say("pre-commit\n");
    }
    world.outside("echo x > .git/hooks/pre-commit && echo '# x' >> .git/config").succeeds();
}

fn applied_files_of_a_replaced_directory_stay(world: &World) {
    world.write(&world.workspace.join("d/old"), "x");
    on_copy(world, "rm -r d; mkdir d; echo k > d/new; mkfifo pipe").succeeds();
    assert_eq!(listed(world), ["A d/new", "D d/old", "A pipe"]);
    changes(world, "apply", &["d/new"]).succeeds();
    // Not being among what waits any more is not being deleted, not even where
    // an interrupted application did not come to note it.
    assert_eq!(listed(world), ["D d/old", "A pipe"]);
    let noted = world.state().join("changes").join(last(world)).join("applied");
    fs::remove_file(noted).expect("a note");
    assert_eq!(listed(world), ["D d/old", "A pipe"]);
    world.write(&world.workspace.join("d/mine"), "mine");
    changes(world, "apply", &["--yes", "--force"]).fails();
    holds(world, "d/new", Some("k\n"));
    holds(world, "d/mine", Some("mine"));
    holds(world, "d/old", None);
}

fn dropping_asks_and_leaves_nothing(world: &World) {
    let script = "mkdir -p shut/inner; echo x > shut/inner/x; chmod 000 shut/inner shut; echo x > new; \
                  i=0; while [ $i -lt 150 ]; do mkdir dir && cd dir; i=$((i+1)); done";
    on_copy(world, script).succeeds();
    changes(world, "show", &[]).succeeds();
    changes(world, "drop", &[]).fails().says("--yes");
    assert!(listed(world).contains(&"A new".to_owned()), "nothing was dropped yet");
    changes(world, "drop", &["--yes"]).succeeds();
    let left = fs::read_dir(world.state().join("changes")).expect("the place").count();
    assert_eq!(left, 0);
    assert!(!world.workspace.join("new").exists());
}

fn killing_the_supervisor_leaves_the_changes_reviewable(world: &World) {
    let mark = world.mark();
    let script = format!("echo more >> README; sleep {mark}");
    let running = world.start(&["run", "--overlay", "--", "sh", "-c", &script]);
    eventually("the change", Duration::from_secs(10), || {
        (world.sleepers(&mark).len() == 1).then_some(())
    });
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, 137);
    eventually("the end of the session", Duration::from_secs(2), || {
        world.sleepers(&mark).is_empty().then_some(())
    });
    assert_eq!(listed(world), ["M README"]);
    holds(world, "README", Some("hello\n"));
    changes(world, "apply", &[]).succeeds();
    holds(world, "README", Some("hello\nmore\n"));
}

fn a_running_session_is_not_decided_on(world: &World) {
    let mark = world.mark();
    let script = format!("echo x > new; sleep {mark}");
    let running = world.start(&["run", "--overlay", "--", "sh", "-c", &script]);
    eventually("the change", Duration::from_secs(10), || {
        (world.sleepers(&mark).len() == 1).then_some(())
    });
    changes(world, "show", &[]).succeeds().says("still runs").says("A  new");
    changes(world, "apply", &["--yes"]).fails().says("still runs");
    changes(world, "drop", &["--yes"]).fails().says("still runs");
    running.signal(Signal::TERM);
    running.finish();
    changes(world, "apply", &[]).succeeds();
    holds(world, "new", Some("x\n"));
}

fn the_kept_changes_cannot_be_reached_from_inside(world: &World) {
    on_copy(world, "echo x > new").succeeds();
    let state = world.state().join("changes").display().to_string();
    let reach = format!("find {state} -name upper | grep .");
    on_copy(world, &reach).fails().does_not_say("upper");
    world.inside(&reach).fails().does_not_say("upper");
    world.outside(&reach).succeeds().says("upper");
    let loose = format!("find {state} -maxdepth 1 -perm /077 ! -type l");
    assert!(world.outside(&loose).succeeds().out.is_empty(), "only the owner gets there");
}

fn what_is_decided_is_recorded(world: &World) {
    world.write(&world.workspace.join("gone"), "x");
    on_copy(world, "echo x > new; rm gone").succeeds();
    let session = last(world);
    world.record().has(&["changes_kept", "\"paths\":2"]);
    changes(world, "apply", &["--yes"]).succeeds();
    let review = world.sessions().pop().expect("a review");
    assert_ne!(review, session);
    let record = Record::parse(&world.remit(&["log", "show", &review, "--json"]).succeeds().out);
    record.has(&["review_started", &session, "apply"]);
    // SOURCE: printf 'x\n' | sha256sum
    let digest = "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac";
    record.has(&["change_applied", "\"new\"", "added", digest]);
    record.has(&["change_applied", "gone", "deleted", "it deletes what is there"]);
    world.remit(&["log", "verify", "--all"]).succeeds();
    world.remit(&["log", "timeline", &review]).succeeds().says("added new").says("deleted gone");
    on_copy(world, "echo x > new2").succeeds();
    let session = last(world);
    changes(world, "drop", &["--yes"]).succeeds();
    world.record().has(&["review_started", &session, "drop"]);
    on_copy(world, "true").succeeds().does_not_say("changes show");
    assert!(world.record().with(&["changes_kept"]).is_empty(), "nothing changed, nothing kept");
}

fn a_read_only_workspace_contradicts(world: &World) {
    let run = ["run", "--overlay", "--profile", "read-only", "--", "true"];
    assert_eq!(world.remit(&run).says("read-only").code, 125);
    let without = ["run", "--profile", "read-only", "--", "true"];
    world.remit(&without).succeeds();
}

const ON_COPY: &str = "\"$0\" run --overlay -- true";

fn a_mount_inside_the_workspace_is_refused(world: &World) {
    let place = world.workspace.join("data");
    world.write(&place.join("x"), "x");
    let output = among_mounts(world, "mount --bind data data", ON_COPY);
    assert_eq!(output.says("is mounted inside the workspace").code, 125);
    on_copy(world, "true").succeeds();
}

fn a_state_directory_on_an_overlay_is_refused(world: &World) {
    let base = world.home.join("layers");
    for name in ["lower", "upper", "work"] {
        world.write(&base.join(name).join(".keep"), "");
        fs::remove_file(base.join(name).join(".keep")).expect("removed");
    }
    world.write(&world.state().join(".keep"), "");
    let options = "lowerdir=../layers/lower,upperdir=../layers/upper,workdir=../layers/work";
    let mount = format!(
        "mount -t overlay x -o {options} ../.local/state/remit && chown $0:$1 ../.local/state/remit"
    );
    let output = among_mounts(world, &mount, ON_COPY);
    assert_eq!(output.says("is an overlay itself").code, 125);
    on_copy(world, "true").succeeds();
}

fn a_writable_root_does_not_lead_past_the_copy(world: &World) {
    let workspace = world.home.join("group/deep/project");
    for path in ["group/beside", "group/deep/project/sub/x"] {
        world.write(&world.home.join(path), "x");
    }
    world.settings("[sandbox]\nwrite = [\"~/group\", \"./sub\"]\n");
    let target = workspace.display().to_string();
    let script = "echo new > sub/x; echo new > made; echo new > ../../beside; ls; \
                  mv ../../deep ../../moved && echo new > ../../moved/project/sub/y; mv ../../moved ../../deep";
    let words = ["-C", &target, "--", "sh", "-c", script];
    world.remit(&[&["run", "--overlay"], &words[..]].concat()).says("made");
    let read = |path: &str| fs::read_to_string(world.home.join("group").join(path)).ok();
    assert_eq!(read("beside").as_deref(), Some("new\n"), "a root beside is not copied");
    assert_eq!(read("deep/project/sub/x").as_deref(), Some("x"));
    assert_eq!(read("deep/project/sub/y"), None);
    assert_eq!(read("deep/project/made"), None);
    world.remit(&[&["run"], &words[..]].concat());
    assert_eq!(read("deep/project/sub/x").as_deref(), Some("new\n"), "the control");
}

fn a_hidden_path_in_the_workspace_stays_hidden(world: &World) {
    world.write(&world.workspace.join("secrets/key"), SECRET);
    world.settings("[sandbox]\nhide = [\"./secrets\"]\n");
    let script = "cat secrets/key; mv secrets s; cp -r secrets c; cat s/key c/key; echo x > new";
    on_copy(world, script).succeeds().does_not_say(SECRET);
    assert_eq!(listed(world).last().map(String::as_str), Some("A new"));
    changes(world, "show", &["--diff"]).succeeds().does_not_say(SECRET);
    holds(world, "secrets/key", Some(SECRET));
}

fn a_full_disk_stops_and_loses_nothing(world: &World) {
    let mount = "mkdir small && mount -t tmpfs -o size=1m x small && chown $0:$1 small";
    let then = "cd small && echo old > c-big && \
        \"$0\" run --overlay -- sh -c 'echo a > a; head -c 3000000 /dev/zero > c-big; echo d > d' && \
        \"$0\" changes apply latest; echo status-$?; cat a c-big; ls -A; \
        rm -f c-big; \"$0\" changes show";
    let output = among_mounts(world, mount, then).says("status-1").says("No space left on device");
    let shown = output.out.clone();
    assert!(shown.contains("status-1\na\nold\na\nc-big\n"), "{shown}");
    assert!(
        !shown.contains("  a  ") && shown.contains("  c-big  ") && shown.contains("A  d  "),
        "{shown}"
    );
    output.says("not tried");
}

fn a_mount_made_meanwhile_is_not_emptied(world: &World) {
    world.write(&world.workspace.join("tree/inner/x"), "x");
    world.write(&world.home.join("precious/x"), "precious");
    on_copy(world, "rm -r tree").succeeds();
    let then = "\"$0\" changes apply latest --yes --force; cat tree/inner/x";
    let mount = "mount --bind ../precious tree/inner";
    among_mounts(world, mount, then).says("precious");
    among_mounts(world, mount, "rm -r tree; cat tree/inner/x").fails();
    world.write(&world.home.join("precious/x"), "precious");
}

/// Runs a script among mounts that end with it. Root mounts, with the account
/// as `$0` and `$1`, and then becomes it; `$0` of the script is Remit.
#[track_caller]
fn among_mounts(world: &World, mount: &str, then: &str) -> Output {
    let turn = "exec setpriv --reuid $0 --regid $1 --clear-groups -- sh -c \"$3\" \"$2\"";
    let script = format!("{mount} && {turn}");
    let mut command = Command::new("setsid");
    command.args(["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", &script]);
    command.args([world.who.uid.to_string(), world.who.gid.to_string()]);
    command.arg(places::remit()).arg(then);
    world.dress(&mut command);
    Running::start(command).finish()
}

fn the_boundary_holds_on_a_copy_too(world: &World) {
    let home = world.home.display();
    on_copy(world, &format!("cat {home}/.ssh/id_ed25519")).fails().does_not_say(SECRET);
    let outside = format!("echo x > {home}/outside");
    on_copy(world, &outside).fails();
    assert!(!world.home.join("outside").exists());
    on_copy(world, "mknod whiteout c 0 0").fails();
    world.outside(&outside).succeeds();
    // What the agent made runs, as it would without a copy.
    let script = "printf '#!/bin/sh\necho it ran\n' > made; chmod +x made; ./made";
    on_copy(world, script).succeeds().says("it ran");
}

fn a_person_is_asked_path_by_path(world: &World) {
    world.write(&world.workspace.join("first"), "x");
    world.write(&world.workspace.join("second"), "x");
    world.write(&world.workspace.join("later/deep/x"), "x");
    on_copy(world, "rm -r first later second; echo x > third").succeeds();
    let screen = Screen::new(world);
    let remit = places::remit().display().to_string();
    screen.runs(&format!("{remit} changes apply latest; echo sta''tus-$?"));
    screen.shows("Apply it? [y/N]");
    screen.runs("n");
    screen.until("the tree's question", |text| text.contains("D  later/"));
    // Changed while the person thinks.
    world.write(&world.workspace.join("later/deep/x"), "mine");
    screen.runs("y");
    screen.until("the second question", |text| text.contains("D  second"));
    screen.runs("y");
    screen.shows("status-1");
    holds(world, "first", Some("x"));
    holds(world, "later/deep/x", Some("mine"));
    holds(world, "second", None);
    holds(world, "third", Some("x\n"));
    screen.clears();
    screen.runs(&format!("{remit} changes drop latest; echo sta''tus-$?"));
    screen.shows("[y/N]");
    screen.presses("Enter");
    screen.shows("nothing was dropped");
    assert_eq!(listed(world), ["D first", "D later"]);
}

fn any_name_of_a_workspace_works(world: &World) {
    for name in ["a,b", "a:b", r"a\b", "a b", "ä\"'", "upperdir=x,lowerdir=y"] {
        let workspace = world.home.join(name);
        world.write(&workspace.join("x"), "x");
        let target = workspace.display().to_string();
        let script = "cat x && echo new > new";
        world.remit(&["run", "--overlay", "-C", &target, "--", "sh", "-c", script]).succeeds();
        assert!(!workspace.join("new").exists(), "{name}");
        changes(world, "apply", &[]).succeeds();
        assert!(workspace.join("new").exists(), "{name}");
    }
}

fn a_diff_is_escaped_and_names_binaries(world: &World) {
    let script = r"printf 'hello\n\tnew \033[31mred\n' > README; printf 'a\0b' > data; printf x > 'a
b'";
    on_copy(world, script).succeeds();
    let output = changes(world, "show", &["--diff"]).succeeds();
    assert!(!output.out.contains('\u{1b}'), "no command reaches the terminal");
    output.says("+\tnew \\u{1b}[31mred").says("binary").says("a\\u{a}b");
}

/// The last session that left changes.
#[track_caller]
fn last(world: &World) -> String {
    let entries = fs::read_dir(world.state().join("changes")).expect("the place").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.max().expect("a session")
}
