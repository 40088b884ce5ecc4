//! Files outside and protected files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use super::attempts::{Attempt, Look, none_works, py, sh};
use super::probe::{self, Answers};
use crate::places;
use crate::run::{Running, eventually};
use crate::scenario::Need::{Kernel, Program, RootHarness};
use crate::world::{SECRET, World};

scenarios! { "escapes":
    c03_no_call_links_a_file_from_outside [Program("python3")],
    c04_no_way_through_proc_leads_outside [Program("python3")],
    c07_a_descriptor_gains_no_right_to_write [Program("python3")],
    c09_a_protected_file_cannot_be_renamed_or_linked_over [Program("python3")],
    c09_a_protected_file_that_the_host_replaced_stays_protected,
    c10_the_parent_of_a_protected_file_cannot_be_moved_away [Program("python3")],
    c13_an_inherited_directory_leads_nowhere,
    c20_no_call_changes_contents_outside [Program("python3")],
    c21_no_call_changes_metadata_outside [Program("python3")],
    c21_metadata_of_a_protected_file_cannot_be_changed [Program("python3")],
    c22_variants_of_a_protected_name_cannot_be_made [Program("python3")],
    c22_a_folding_file_system_changes_nothing
        [RootHarness, Program("mkfs.ext4"), Kernel("/sys/fs/ext4/features/casefold", "case folding")],
    e16_a_directory_that_the_host_moves_out_leads_nowhere,
}

/// A file of the home that is beside every workspace, and one that reads it.
const VICTIM: &str = "echo original > ../victim; chmod 640 ../victim";

fn c03_no_call_links_a_file_from_outside(world: &World) {
    let attempts = [
        py("../victim", r#"call("link", "../victim", "hard"); open("hard", "w").write("planted")"#),
        py(
            "../victim",
            r#"call("linkat", AT, "../victim", os.open(".", os.O_PATH), "hard2", 0); open("hard2", "w").write("planted")"#,
        ),
        py(
            "../victim",
            r#"fd = os.open("../victim", os.O_RDONLY); call("linkat", AT, f"/proc/self/fd/{fd}", AT, "hard3", 0x400); open("hard3", "w").write("planted")"#,
        ),
        py(
            "../victim",
            r#"fd = os.open("../victim", os.O_PATH); call("linkat", fd, "", AT, "hard4", 0x1000); open("hard4", "w").write("planted")"#,
        ),
        sh("../victim", "cp -l ../victim hard5 && echo planted > hard5"),
        sh("../victim", "mv ../victim taken && echo planted > taken"),
        py("../victim", r#"call("renameat2", AT, "README", AT, "../victim", 2)"#),
        sh("../planted", "ln README ../planted"),
        sh("../planted", "mv README ../planted"),
        sh("../planted", "ln -s README ../planted"),
    ];
    none_works(world, VICTIM, &attempts);
    for name in ["hard", "hard2", "hard3", "hard4", "hard5"] {
        assert!(!world.workspace.join(name).exists(), "`{name}` was made");
    }
}

fn c04_no_way_through_proc_leads_outside(world: &World) {
    let ways = [
        "/proc/self/cwd/../victim",
        "/proc/$$/cwd/../victim",
        "/proc/thread-self/cwd/../victim",
        "/proc/self/root/$OUT/victim",
        "/proc/thread-self/root/$OUT/victim",
        "/proc/$$/task/$$/root/$OUT/victim",
        "/proc/self/root/proc/self/root/$OUT/victim",
        "/proc/self/fd/9/../victim",
        "/dev/fd/9/../victim",
        "/proc/self/fd/8",
        "/dev/fd/8",
        "d/../../victim",
        "up/victim",
        "itself",
    ];
    let attempts = ways.map(|way| {
        let does = format!("OUT=$(cd ..; pwd); exec 9< . 8< ../victim; echo planted > {way}");
        sh("../victim", does)
    });
    none_works(
        world,
        &format!("{VICTIM}; mkdir d; ln -s .. up; ln -s ../victim itself"),
        &attempts,
    );
    // Process 1 stands for the host's process that started the session.
    for way in ["/proc/1/root", "/proc/1/cwd", "/proc/1/fd/3"] {
        world.inside(&format!("ls {way}/ && echo through")).fails().does_not_say("through");
    }
}

fn c07_a_descriptor_gains_no_right_to_write(world: &World) {
    let open = r#"fd = os.open("../victim", os.O_RDONLY)"#;
    let attempts = [
        py(
            "../victim",
            &format!(r#"{open}; write_all(os.open(f"/proc/self/fd/{{fd}}", os.O_RDWR))"#),
        ),
        py(
            "../victim",
            &format!(r#"{open}; write_all(os.open(f"/dev/fd/{{fd}}", os.O_WRONLY | os.O_TRUNC))"#),
        ),
        py(
            "../victim",
            &format!(
                r#"{open}; write_all(os.open(f"/proc/thread-self/fd/{{fd}}", os.O_WRONLY | os.O_APPEND))"#
            ),
        ),
        py(
            "../victim",
            r#"fd = os.open("../victim", os.O_PATH); write_all(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY))"#,
        ),
        py("../victim", &format!(r#"{open}; os.truncate(f"/proc/self/fd/{{fd}}", 0)"#)),
        py("../victim", &format!(r#"{open}; os.chmod(f"/proc/self/fd/{{fd}}", 0o777)"#)),
        py("../victim", &format!(r#"{open}; os.fchmod(fd, 0o777)"#)),
        py(
            "../victim",
            r#"a, b = socket.socketpair(); socket.send_fds(a, [b"x"], [os.open("../victim", os.O_RDONLY)]); fd = socket.recv_fds(b, 1, 1)[1][0]; write_all(os.open(f"/proc/self/fd/{fd}", os.O_RDWR))"#,
        ),
        py(
            ".git/config",
            r#"fd = os.open(".git/config", os.O_RDONLY); write_all(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND))"#,
        ),
        py(
            ".git/config",
            r#"fd = os.open(".git/config", os.O_PATH); os.truncate(f"/proc/self/fd/{fd}", 3)"#,
        ),
    ];
    none_works(world, VICTIM, &attempts);
}

/// Files that are protected and there from the start.
const KEPT: &str = "mkdir .claude .github .vscode; echo kept > .envrc; echo kept > .claude/settings.json
    mkdir .github/hooks; echo kept > .github/hooks/h; echo kept > .vscode/tasks.json; echo planted > spare; mkdir dir; echo planted > dir/settings.json";

fn c09_a_protected_file_cannot_be_renamed_or_linked_over(world: &World) {
    let mut attempts = Vec::new();
    for name in [".envrc", ".claude/settings.json", ".github/hooks/h", ".vscode/tasks.json"] {
        attempts.extend([
            sh(name, format!("echo planted > {name}")),
            sh(name, format!("mv -f spare {name}")),
            sh(name, format!("mv {name} away")),
            sh(name, format!("rm -f {name}")),
            sh(name, format!("rm -f {name}; ln spare {name}")),
            sh(name, format!("ln -sf \"$PWD/spare\" {name}")),
            sh(name, format!("truncate -s 1 {name}")),
            sh(name, format!("cp --remove-destination spare {name}")),
            sh(name, format!("ln {name} other && echo planted > other")),
            sh(name, format!("chmod 777 {name}; touch -d 2001-01-01 {name}; exec 3<>{name} && echo planted >&3")),
            py(name, &format!(r#"call("renameat2", AT, "spare", AT, "{name}", 2)"#)),
            py(name, &format!(r#"call("renameat2", AT, "{name}", AT, "new", 5)"#)),
            py(name, &format!(r#"fd = os.open("spare", os.O_RDONLY); os.unlink("{name}"); call("linkat", AT, f"/proc/self/fd/{{fd}}", AT, "{name}", 0x400)"#)),
        ]);
    }
    // RENAME_WHITEOUT needs rights that an ordinary account has not.
    if world.who.uid != 0 {
        attempts.retain(|each| !each.does.contains("\"new\", 5"));
    }
    none_works(world, KEPT, &attempts);
}

fn c09_a_protected_file_that_the_host_replaced_stays_protected(world: &World) {
    // Git on the host rewrites its configuration by renaming a new file over it.
    world.outside(KEPT).succeeds();
    let script = "echo > ready; while ! [ -e go ]; do sleep 0.02; done
        for f in .git/config .envrc .claude/settings.json; do echo planted >> $f; echo planted > spare; mv -f spare $f; done; true";
    let replace = "git config user.name Other; for f in .envrc .claude/settings.json; do echo new > $f.new; mv $f.new $f; done; rm -f ready";
    let attack = |start: &dyn Fn() -> Running| {
        let running = start();
        eventually("the session", Duration::from_secs(10), || {
            world.workspace.join("ready").exists().then_some(())
        });
        world.outside(replace).succeeds();
        let names = [".git/config", ".envrc", ".claude/settings.json"];
        let look = || names.map(|name| Look::at(&world.workspace.join(name)));
        let before = look();
        world.outside("touch go").succeeds();
        let output = running.finish();
        world.outside("rm go").succeeds();
        let after = look();
        let pairs = before.iter().zip(&after).zip(names);
        let changes: Vec<_> =
            pairs.flat_map(|((before, after), name)| before.changes(after, name)).collect();
        (changes, output)
    };
    let (changed, output) = attack(&|| world.start(&["run", "--", "sh", "-c", script]));
    let (control, _) = attack(&|| Running::start(world.command("sh", &["-c", script])));
    assert_eq!(control.len(), 3, "the control changes all: {control:?}");
    assert!(changed.is_empty(), "the host sees: {changed:#?} {output:?}");
}

fn c10_the_parent_of_a_protected_file_cannot_be_moved_away(world: &World) {
    let mut attempts: Vec<Attempt> = Vec::new();
    for (parent, name) in [
        (".claude", "settings.json"),
        (".github", "hooks"),
        (".git", "config"),
        (".git/info", "attributes"),
    ] {
        let target = format!("{parent}/{name}");
        attempts.extend([
            sh(&target, format!("mv {parent} was && mkdir -p {target}")),
            sh(&target, format!("rm -rf {parent}; mkdir -p {target}")),
            sh(&target, format!("mv {parent} was; mv dir {parent}")),
            sh(&target, format!("mv {parent} was; ln -s dir {parent}")),
            py(&target, &format!(r#"call("renameat2", AT, "dir", AT, "{parent}", 2)"#)),
        ]);
    }
    attempts.push(sh(
        "../project/.envrc",
        "cd .. && mv project elsewhere && mkdir project && echo planted > project/.envrc",
    ));
    attempts.push(sh(
        "../project/.claude/settings.json",
        "cd .. && mv project/.claude claude && mkdir project/.claude",
    ));
    none_works(
        world,
        &format!("{KEPT}; mkdir -p .git/info; echo kept > .git/info/attributes"),
        &attempts,
    );
}

fn c13_an_inherited_directory_leads_nowhere(world: &World) {
    let remit = places::remit().display().to_string();
    world.outside("echo original > ../victim").succeeds();
    let look = "for n in 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$n ] && echo open-$n; cat /proc/self/fd/$n/../victim; echo planted > /proc/self/fd/$n/../victim; done; true";
    let open = "exec 3< . 4< .. 5< / 6<> ../victim 7< ~/.ssh; exec";
    let inside = world.outside(&format!("{open} {remit} run -- sh -c '{look}' 2>&1"));
    inside.does_not_say("open-").does_not_say("original");
    assert_eq!(fs::read_to_string(world.home.join("victim")).ok().as_deref(), Some("original\n"));
    world.outside(&format!("{open} sh -c '{look}' 2>&1")).says("open-7").says("original");
    assert_eq!(fs::read_to_string(world.home.join("victim")).ok().as_deref(), Some("planted\n"));
}

/// Contents of a file of the home, and of the workspace's `.git/config`.
fn c20_no_call_changes_contents_outside(world: &World) {
    let mut attempts = Vec::new();
    for name in ["../victim", ".git/config"] {
        let deeds = [
            r#"call("truncate", "NAME", 0)"#,
            r#"call("open", "NAME", os.O_RDONLY | os.O_TRUNC, 0)"#,
            r#"call("open", "NAME", os.O_WRONLY | os.O_TRUNC, 0)"#,
            r#"call("openat", AT, "NAME", os.O_RDWR | os.O_TRUNC, 0)"#,
            r#"call("creat", "NAME", 0o644)"#,
            r#"call("ftruncate", os.open("NAME", os.O_RDWR), 0)"#,
            r#"call("fallocate", os.open("NAME", os.O_RDWR), 3, 0, 4)"#,
            r#"os.write(os.open("NAME", os.O_WRONLY | os.O_APPEND), b"planted")"#,
            r#"os.pwrite(os.open("NAME", os.O_WRONLY), b"planted", 0)"#,
            r#"call("copy_file_range", os.open("README", os.O_RDONLY), 0, os.open("NAME", os.O_WRONLY), 0, 5, 0)"#,
            r#"os.sendfile(os.open("NAME", os.O_WRONLY), os.open("README", os.O_RDONLY), 0, 5)"#,
            r#"mmap.mmap(os.open("NAME", os.O_RDWR), 4)[0:4] = b"plan""#,
            r#"r, w = os.pipe(); os.write(w, b"planted"); os.splice(r, os.open("NAME", os.O_WRONLY), 7)"#,
            r#"call("unlinkat", AT, "NAME", 0)"#,
            r#"call("renameat2", AT, "README", AT, "NAME", 0)"#,
        ];
        attempts.extend(deeds.map(|deed| py(name, &deed.replace("NAME", name))));
        attempts.extend([
            sh(name, format!("truncate -s 0 {name}")),
            sh(name, format!(": > {name}")),
            sh(name, format!("dd if=README of={name} conv=notrunc")),
            sh(name, format!("rm -f {name}")),
        ]);
    }
    none_works(world, VICTIM, &attempts);
}

fn metadata(name: &str) -> Vec<Attempt> {
    let deeds = [
        r#"call("chmod", "NAME", 0o777)"#,
        r#"call("fchmodat", AT, "NAME", 0o777)"#,
        r#"call("fchmodat2", AT, "NAME", 0o777, 0)"#,
        r#"call("fchmodat2", os.open("NAME", os.O_RDONLY), "", 0o777, 0x1000)"#,
        r#"call("fchmod", os.open("NAME", os.O_RDONLY), 0o777)"#,
        r#"fd = os.open("NAME", os.O_PATH); os.chmod(f"/proc/self/fd/{fd}", 0o777)"#,
    ];
    deeds.map(|deed| py(name, &deed.replace("NAME", name))).into()
}

/// Calls whose traces `Look` does not see: times, owners, attributes, flags.
const UNSEEN: &str = r#"
name = sys.argv[1]
me = os.stat(".")
def flags(change):
    fd = os.open(name, os.O_RDONLY)
    was = struct.unpack("i", fcntl.ioctl(fd, 0x80086601, b"\0" * 4))[0]
    fcntl.ioctl(fd, 0x40086602, struct.pack("i", was ^ change))
attempt("utimensat", lambda: call("utimensat", AT, name, struct.pack("qqqq", 1, 0, 1, 0), 0))
attempt("utimensat now", lambda: call("utimensat", AT, name, 0, 0))
attempt("futimens", lambda: call("utimensat", os.open(name, os.O_RDONLY), 0, struct.pack("qqqq", 2, 0, 2, 0), 0))
attempt("chown", lambda: call("chown", name, me.st_uid, me.st_gid))
attempt("fchown", lambda: call("fchown", os.open(name, os.O_RDONLY), me.st_uid, me.st_gid))
attempt("fchownat", lambda: call("fchownat", os.open(name, os.O_PATH), "", me.st_uid, me.st_gid, 0x1000))
attempt("setxattr", lambda: call("setxattr", name, "user.planted", b"planted", 7, 0))
attempt("lsetxattr", lambda: call("lsetxattr", name, "user.planted2", b"planted", 7, 0))
attempt("fsetxattr", lambda: call("fsetxattr", os.open(name, os.O_RDONLY), "user.planted3", b"planted", 7, 0))
attempt("removexattr", lambda: call("removexattr", name, "user.was"))
attempt("nodump flag", lambda: flags(0x40))
attempt("file_setattr", lambda: call("file_setattr", AT, name, struct.pack("QIIIIII", 0, 0, 0, 0, 0, 0, 0)[:24], 24, 0))
attempt("lease", lambda: fcntl.fcntl(os.open(name, os.O_RDONLY), 1024, 0))
"#;

fn unseen(world: &World, name: &str) {
    let path = world.workspace.join(name);
    let mark = format!("import os; os.setxattr(\"{}\", \"user.was\", b\"x\")", path.display());
    world.outside(&format!("python3 -c '{mark}'")).succeeds();
    let state = || {
        let about = fs::metadata(&path).expect("the file");
        let names = world.outside(&format!("python3 -c 'import os; print(sorted(os.listxattr(\"{}\")))'; lsattr {} 2>/dev/null", path.display(), path.display())).out;
        (
            about.mtime_nsec(),
            about.mtime(),
            about.ctime(),
            about.ctime_nsec(),
            about.permissions().mode(),
            names,
        )
    };
    probe::write(world, UNSEEN);
    let before = state();
    let inside = world.inside(&format!("python3 -B probe.py {name}"));
    assert_eq!(state(), before, "{inside:?}");
    let outside = world.outside(&format!("python3 -B probe.py {name}"));
    assert_ne!(state(), before, "the control changes it");
    Answers::of(&inside, &outside).are_refused().work_outside(&[
        "utimensat",
        "utimensat now",
        "futimens",
        "chown",
        "fchown",
        "fchownat",
        "setxattr",
        "fsetxattr",
        "removexattr",
        "nodump flag",
        "lease",
    ]);
}

fn c21_no_call_changes_metadata_outside(world: &World) {
    none_works(world, VICTIM, &metadata("../victim"));
    unseen(world, "../victim");
}

fn c21_metadata_of_a_protected_file_cannot_be_changed(world: &World) {
    none_works(world, VICTIM, &metadata(".git/config"));
    unseen(world, ".git/config");
}

/// Spellings that some file system, or some program on it, takes for the name.
const VARIANTS: [&str; 22] = [
    ".ENVRC",
    ".Envrc",
    ".eNvRc",
    ".Git",
    ".GIT",
    ".giT/hooks",
    ".g\u{200c}it",
    ".\u{200d}git",
    ".git\u{200c}",
    ".gi\u{feff}t",
    ".e\u{200b}nvrc",
    ".envrc\u{200d}",
    "git~1",
    "GIT~1",
    "Git~1",
    ".VSCODE",
    ".v\u{17f}code",
    ".hus\u{212a}y",
    ".MCP.json",
    "MISE.toml",
    ".Claude/Settings.JSON",
    ".g\u{131}t",
];

fn c22_variants_of_a_protected_name_cannot_be_made(world: &World) {
    // A dotless i folds to no other letter: the last one is another name.
    let (other, variants) = VARIANTS.split_last().expect("variants");
    let attempts = variants.iter().map(|name| {
        let make =
            name.rsplit_once('/').map_or(String::new(), |(parent, _)| format!("mkdir {parent}; "));
        sh(
            *name,
            format!(
                "{make}echo planted > {name}; mkdir {name}; mv spare {name} || ln -s README {name}"
            ),
        )
    });
    none_works(world, "echo planted > spare", &attempts.collect::<Vec<_>>());
    world.inside(&format!("echo fine > {other}")).succeeds();
}

/// On a file system where `.GIT` is `.git`.
fn c22_a_folding_file_system_changes_nothing(world: &World) {
    let image = world.elsewhere().join("image");
    let place = world.home.join("folding");
    let script = format!(
        "set -e; truncate -s 16M {image}; mkfs.ext4 -q -O casefold {image}; mkdir -p {place}
         mount -o loop {image} {place}; mkdir {place}/p; chattr +F {place}/p; chown {uid}:{gid} {place}/p
         cd {place}/p; setpriv --reuid {uid} --regid {gid} --clear-groups sh -c 'git init -q; echo kept > .envrc; $0 run -C . -- sh -c \"$1\" || true' {remit} \"$1\"
         cat .envrc .git/config; ls -A .git/hooks .; echo planted > .ENVRC && cat .envrc",
        image = image.display(),
        place = place.display(),
        uid = world.who.uid,
        gid = world.who.gid,
        remit = places::remit().display(),
    );
    let attack = "echo planted-inside > .ENVRC; echo planted-inside >> .GIT/CONFIG; echo planted-inside > .Git/Hooks/pre-commit; mkdir .VSCODE; echo planted-inside > .Mcp.Json; mv .GIT was";
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--",
        "setsid",
        "sh",
        "-c",
        &script,
        "sh",
        attack,
    ]);
    world.dress(&mut command);
    let output = Running::start(command).finish().succeeds();
    let seen = output.out.to_lowercase();
    for planted in ["planted-inside", "pre-commit\n", ".vscode", ".mcp.json"] {
        assert!(!seen.contains(planted), "{planted}: {output:?}");
    }
    assert!(seen.contains("kept") && seen.ends_with("planted\n"), "it folds: {output:?}");
}

fn e16_a_directory_that_the_host_moves_out_leads_nowhere(world: &World) {
    // Landlock was once wrong about it (CVE-2025-68736).
    world.outside("mkdir -p sub/deep; echo original > ../victim").succeeds();
    let then = "cd sub/deep && echo > ../../ready; while ! [ -e ../../go ] && ! [ -e ../../project/go ]; do sleep 0.02; done
        echo planted > ../../victim; echo planted > ../../.bashrc; cat ../../.netrc; rm -f ../../.netrc; true";
    let attack = |running: Running| {
        eventually("the session", Duration::from_secs(10), || {
            world.workspace.join("ready").exists().then_some(())
        });
        world.outside("mv sub ../sub && touch go ../go").succeeds();
        let output = running.finish();
        world.outside("mv ../sub sub; rm -f go ../go ready").succeeds();
        output
    };
    let victim = || fs::read_to_string(world.home.join("victim")).unwrap_or_default();
    let then_inside = then.replace("-e ../../project/go", "-e /nowhere-here");
    // Inside, the way up is gone, so a clock has to do.
    let inside = attack(world.start(&[
        "run",
        "--",
        "sh",
        "-c",
        &then_inside.replace(
            "while ! [ -e ../../go ]",
            "i=0; while [ $((i+=1)) -lt 100 ] && ! [ -e ../../go ]",
        ),
    ]));
    inside.does_not_say(SECRET);
    assert_eq!(victim(), "original\n");
    assert!(!world.home.join(".bashrc").exists() && world.home.join(".netrc").exists());
    attack(Running::start(world.command("sh", &["-c", then]))).says(SECRET);
    assert_eq!(victim(), "planted\n");
}
