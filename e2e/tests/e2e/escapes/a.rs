//! What a trusted program later consumes: configuration of agents, editors and
//! shells, start-up files, interpreters, and the choice of the boundary.

use std::fs;
use std::time::Duration;

use super::attempts::{Attempt, Look, none_works, py, sh};
use crate::places;
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "escapes":
    a01_a_missing_protected_name_cannot_be_made [Program("python3")],
    a01_no_call_makes_a_protected_name [Program("python3")],
    a01_no_spelling_reaches_a_protected_name [Program("python3")],
    a01_no_tool_makes_a_protected_name [Program("python3"), Program("git"), Program("tar")],
    a01_a_prepared_directory_brings_no_protected_name [Program("python3")],
    a01_every_writable_root_has_its_protected_names,
    a01_a_refusal_names_the_rule_and_is_an_event,
    a01_what_is_not_protected_is_made_as_ever [Program("python3")],
    a01_private_places_are_free,
    a09_start_up_files_of_the_home_cannot_be_written [Program("python3")],
    a10_user_services_cannot_be_written [Program("python3")],
    a11_a_replaced_interpreter_is_a_hand_off_in_the_record,
    a13_the_workspace_is_not_what_the_agent_says [Program("python3")],
    a15_remit_inside_itself_stays_confined,
    a18_a_policy_that_is_no_plain_file_refuses_the_start,
}

/// The built-in list, so that a name added to it is tried at once.
const PROTECTED: &str = include_str!("../../../../crates/policy/data/protected.toml");

/// What must be on it, whatever happens to the list.
const CATALOGUE: [&str; 10] = [
    ".claude/settings.json",
    ".codex",
    ".gemini",
    ".cursor",
    ".mcp.json",
    ".vscode",
    ".idea",
    ".envrc",
    ".husky",
    "mise.toml",
];

/// Protected names outside `.git`, which has tests of its own.
pub fn protected_names() -> Vec<&'static str> {
    let listed = PROTECTED.lines().filter_map(|line| line.split("path = \"").nth(1));
    let names: Vec<_> = listed.filter_map(|rest| rest.split('"').next()).collect();
    assert!(CATALOGUE.iter().all(|name| names.contains(name)), "{names:?}");
    names.into_iter().filter(|name| *name != ".git" && !name.starts_with(".git/")).collect()
}

fn a01_a_missing_protected_name_cannot_be_made(world: &World) {
    let ways = |name: &&str| {
        let make = name
            .rsplit_once('/')
            .map_or(String::new(), |(parent, _)| format!("mkdir -p {parent}; "));
        sh(
            *name,
            format!("{make}echo planted > {name}; mkdir {name} && echo planted > {name}/planted"),
        )
    };
    let attempts: Vec<_> = protected_names().iter().map(ways).collect();
    none_works(world, "", &attempts);
    for name in protected_names() {
        let left = Look::at(&world.workspace.join(name));
        assert!(left.is_nothing(), "nothing is left behind of `{name}`: {left:?}");
    }
}

fn a01_no_call_makes_a_protected_name(world: &World) {
    // `fd` is a new file without a name; `d` a directory; `spare` a file.
    let calls = [
        r#"write_all(call("creat", ".envrc", 0o644))"#,
        r#"write_all(call("open", ".envrc", os.O_CREAT | os.O_WRONLY, 0o644))"#,
        r#"write_all(call("openat", AT, ".envrc", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644))"#,
        r#"write_all(call("openat", os.open(".", os.O_PATH), ".envrc", os.O_CREAT | os.O_RDWR, 0o644))"#,
        r#"write_all(call("openat", os.open("d", os.O_RDONLY), "../.envrc", os.O_CREAT | os.O_RDWR, 0o644))"#,
        r#"call("openat", AT, ".envrc", os.O_CREAT, 0o644)"#,
        r#"call("openat2", AT, ".envrc", struct.pack("QQQ", os.O_CREAT | os.O_RDWR, 0o644, 0), 24)"#,
        r#"call("mkdir", ".envrc", 0o755)"#,
        r#"call("mkdirat", os.open(".", os.O_PATH), ".envrc", 0o755)"#,
        r#"call("mkdir", ".envrc/", 0o755)"#,
        r#"call("mknod", ".envrc", stat.S_IFREG | 0o644, 0)"#,
        r#"call("mknodat", AT, ".envrc", 0o644, 0)"#,
        r#"call("mknodat", AT, ".envrc", stat.S_IFIFO | 0o644, 0)"#,
        r#"call("mknodat", AT, ".envrc", stat.S_IFSOCK | 0o644, 0)"#,
        r#"socket.socket(socket.AF_UNIX).bind(".envrc")"#,
        r#"socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind("/proc/self/cwd/.envrc")"#,
        r#"call("rename", "spare", ".envrc")"#,
        r#"call("rename", "d", ".envrc")"#,
        r#"call("renameat", AT, "spare", os.open(".", os.O_PATH), ".envrc")"#,
        r#"call("renameat2", AT, "spare", AT, ".envrc", 1)"#,
        r#"call("link", "spare", ".envrc")"#,
        r#"call("linkat", AT, "spare", os.open("d", os.O_PATH), "../.envrc", 0)"#,
        r#"call("linkat", AT, f"/proc/self/fd/{os.open(chr(46), os.O_TMPFILE | os.O_RDWR)}", AT, ".envrc", 0x400)"#,
        r#"call("linkat", os.open(".", os.O_TMPFILE | os.O_RDWR), "", AT, ".envrc", 0x1000)"#,
        r#"fd = os.open("spare", os.O_RDONLY); call("linkat", AT, f"/proc/self/fd/{fd}", AT, ".envrc", 0x400)"#,
    ];
    let mut attempts: Vec<Attempt> = calls.iter().map(|code| py(".envrc", code)).collect();
    attempts.push(py(".envrc", r#"call("symlink", "spare", ".envrc")"#));
    attempts.push(py(".envrc", r#"call("symlinkat", "/nowhere-here", AT, ".envrc")"#));
    none_works(world, "mkdir d; cp README spare", &attempts);
    assert!(Look::at(&world.workspace.join(".envrc")).is_nothing());
}

fn a01_no_spelling_reaches_a_protected_name(world: &World) {
    let writes = [
        "echo planted > .envrc",
        "echo planted >> ./././/.envrc",
        "echo planted > \"$PWD//.envrc\"",
        "echo planted > d/../.envrc",
        "echo planted > ../project/.envrc",
        "echo planted > here/.envrc",
        "echo planted > here/here/here/.envrc",
        "cd d && echo planted > ../.envrc",
        "cd here && cd here && echo planted > .envrc",
        "cd .git && echo planted > ../.envrc",
        "echo planted > /proc/self/cwd/.envrc",
        "echo planted > /proc/$$/cwd/.envrc",
        "echo planted > /proc/self/task/$$/cwd/d/../.envrc || echo planted > /proc/$$/task/$$/cwd/.envrc",
        "echo planted > /proc/thread-self/cwd/.envrc",
        "echo planted > \"/proc/self/root$PWD/.envrc\"",
        "exec 9< .; echo planted > /proc/self/fd/9/.envrc",
        "exec 9< d; echo planted > /dev/fd/9/../.envrc",
        // A link that leads nowhere yet is followed by what creates.
        "echo planted > dangling",
        "echo planted > through",
        "echo planted > twice",
        "ln -s .envrc fresh && echo planted > fresh",
        "ln -s \"$PWD/.envrc\" absolute && tee absolute < README",
        "ln -s /proc/self/cwd/.envrc magic && echo planted > magic",
    ];
    let mut attempts: Vec<Attempt> = writes.map(|does| sh(".envrc", does)).into();
    let long = r#"write_all(os.open("./" * 2040 + ".envrc", os.O_CREAT | os.O_WRONLY))"#;
    attempts.push(py(".envrc", long));
    let thread = r#"
def create():
    libc.unshare(0x200)
    os.chdir("d")
    write_all(os.open("../.envrc", os.O_CREAT | os.O_WRONLY))
one = threading.Thread(target=create)
one.start(); one.join()"#;
    attempts.push(py(".envrc", thread));
    let setup = "mkdir d; ln -s . here; ln -s .envrc dangling; ln -s d/../.envrc through; ln -s dangling twice";
    none_works(world, setup, &attempts);
    assert!(Look::at(&world.workspace.join(".envrc")).is_nothing());
}

fn a01_no_tool_makes_a_protected_name(world: &World) {
    let tools = [
        "cp README .envrc",
        "cp spare/.envrc .",
        "cp -a spare/. .",
        "cp -l README .envrc",
        "cp -s \"$PWD/README\" .envrc",
        "mv made .envrc",
        "ln README .envrc",
        "ln -s README .envrc",
        "install -m 755 README .envrc",
        "dd if=README of=.envrc",
        "tee .envrc < README",
        "tar -xf spare.tar",
        "git checkout -q side -- .envrc",
        "git checkout -q side",
        "git apply side.patch",
        "git restore --source=side .envrc",
        "git mv README .envrc",
        "git worktree add -q -f --detach . side; git read-tree -u -m side",
        "sed 's/hello/planted/w .envrc' README",
        "cat > /tmp/.envrc < README && mv /tmp/.envrc .",
        "touch .envrc",
        "truncate -s 10 .envrc",
        "mkdir .envrc",
        "mkfifo .envrc",
    ];
    // Git is made to write the branch elsewhere, for here it has the name.
    let setup = "mkdir spare; echo planted > spare/.envrc; cp README made; tar -cf spare.tar -C spare .envrc
        git worktree add -q -b side ../side; echo planted > ../side/.envrc
        git -C ../side add .envrc; git -C ../side commit -qm side
        git diff HEAD side > side.patch
        git worktree remove --force ../side; rm -rf ../side";
    none_works(world, setup, &tools.map(|does| sh(".envrc", does)));
}

fn a01_a_prepared_directory_brings_no_protected_name(world: &World) {
    let target = ".claude/settings.json";
    let make = "mkdir x && echo planted > x/settings.json";
    let mut attempts = vec![
        sh(target, format!("{make} && mv x .claude")),
        sh(target, format!("{make} && mv -T x .claude")),
        sh(target, format!("{make} && mkdir .claude && mv x/settings.json .claude")),
        sh(target, format!("{make} && ln -s x .claude")),
        sh(
            target,
            format!("{make} && mkdir .claude && ln -s ../x/settings.json .claude/settings.json"),
        ),
        sh(target, format!("{make} && mkdir .claude && ln x/settings.json .claude/settings.json")),
        sh(target, format!("{make} && mkdir y && mv x y/z && mv y/z .claude")),
        sh(
            target,
            format!(
                "{make} && mkdir -p .claude/deep && mv x .claude/deep/a && rm -rf .claude && mv .claude/deep/a .claude; {make}; mv x .claude"
            ),
        ),
        sh(target, "mkdir x && ln -s x .claude && echo planted > x/settings.json"),
        sh(target, "mkdir x && ln -s \"$PWD/x\" .claude && echo planted > .claude/settings.json"),
        sh(target, "ln -s x .claude && mkdir x && echo planted > x/settings.json"),
        sh(".github/hooks", "mkdir -p x/hooks && echo planted > x/hooks/h && ln -s x .github"),
        sh(".github/hooks", "mkdir -p x/hooks && echo planted > x/hooks/h && mv x .github"),
        sh(".claude/hooks", "mkdir -p x/hooks && mv x .claude"),
        sh(".claude/commands", "mkdir -p .claude x && mv x .claude/commands"),
        sh(".vscode", "mkdir x && echo planted > x/tasks.json && mv x .vscode"),
        sh(".codex", "mkdir x && ln -s x .codex"),
        // A directory opened before it has its name, used after.
        sh(target, "mkdir x && cd x && mv ../x ../.claude && echo planted > settings.json"),
        sh(
            target,
            "mkdir x && exec 9< x && mv x .claude && echo planted > /proc/self/fd/9/settings.json",
        ),
    ];
    attempts.push(py(
        target,
        r#"os.mkdir("x"); os.mkdir(".claude"); open("x/settings.json", "w").write("planted"); call("renameat2", AT, "x", AT, ".claude", 2)"#,
    ));
    attempts.push(py(
        target,
        r#"os.mkdir("x"); os.mkdir(".claude"); open("x/settings.json", "w").write("planted"); call("renameat2", AT, ".claude", AT, "x", 2)"#,
    ));
    attempts.push(py(
        target,
        r#"os.mkdir("x"); fd = os.open("x", os.O_PATH); os.rename("x", ".claude"); write_all(os.open("settings.json", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))"#,
    ));
    attempts.push(py(
        target,
        r#"os.mkdir("x"); fd = os.open("x/settings.json", os.O_CREAT | os.O_WRONLY); os.rename("x", ".claude"); write_all(fd)"#,
    ));
    none_works(world, "rm -rf .claude", &each_from_nothing(attempts));
}

/// Attempts that share directories: each first removes what one before it made.
fn each_from_nothing(attempts: Vec<Attempt>) -> Vec<Attempt> {
    let shell = "rmdir .claude 2>/dev/null; [ -L .claude ] && rm .claude; rm -rf x y";
    let python = "import shutil; shutil.rmtree(\"x\", True)\ntry: os.rmdir(\".claude\")\nexcept OSError: pass";
    attempts.into_iter().map(|each| each.after(shell, python)).collect()
}

fn a01_every_writable_root_has_its_protected_names(world: &World) {
    world.outside("mkdir ~/shared").succeeds();
    world.settings("[sandbox]\nwrite = [\"~/shared\"]\n");
    let script =
        "cd ~/shared && echo fine > ordinary; echo planted > .envrc; mkdir .vscode; mkdir .git";
    let inside = world.inside(script);
    let there = |name: &str| !Look::at(&world.home.join("shared").join(name)).is_nothing();
    assert!(there("ordinary"), "the root is writable: {inside:?}");
    let made: Vec<_> =
        [".envrc", ".vscode", ".git"].into_iter().filter(|name| there(name)).collect();
    world.outside(script).succeeds();
    assert!(there(".envrc") && there(".vscode") && there(".git"), "the control makes them");
    assert!(made.is_empty(), "{made:?} were made: {inside:?}");
}

fn a01_a_refusal_names_the_rule_and_is_an_event(world: &World) {
    let inside = world.inside("echo planted > .envrc").fails();
    assert!(!world.workspace.join(".envrc").exists());
    for part in ["refused", "protect .envrc"] {
        assert!(inside.err.contains(part), "`{part}` is not said: {inside:?}");
    }
    world.record().has(&["refusal", "protect .envrc"]);
    world.remit(&["log", "verify"]).succeeds();
}

/// The guard must not be felt where it has nothing to say.
fn a01_what_is_not_protected_is_made_as_ever(world: &World) {
    let script = r#"
set -e
umask 027; echo one > new; mkdir folder; ln new hard; ln -s new soft; mv hard moved
cp README .envrcs; echo x > envrc; mkdir .vscodes sub; echo x > sub/.envrc; echo x > sub/.mcp.json
mkdir .claude; echo x > .claude/notes; echo x > CLAUDE.md
: > empty; truncate -s 5 empty; echo more >> new
stat -c '%a %s %n' new folder empty soft sub/.envrc .claude/notes; cat moved soft
"#;
    let place = world.workspace_under_tmp();
    let without = world.outside(&format!("cd {}; {script}", place.display())).succeeds();
    let inside = world.inside(script).succeeds();
    assert_eq!(inside.out, without.out, "modes and contents are those of any other place");
    assert!(world.workspace.join("sub/.envrc").exists());
    let owner = std::os::unix::fs::MetadataExt::uid(
        &fs::metadata(world.workspace.join("new")).expect("a file"),
    );
    assert_eq!(owner, world.who.uid, "what is made belongs to the person");
}

fn a01_private_places_are_free(world: &World) {
    let script = "for place in /tmp /dev/shm /var/tmp; do cd $place; echo x > .envrc; mkdir .git; echo x > .git/config; mkfifo pipe; mv .git .vscode; ls -A; done";
    let inside = world.inside(script).succeeds();
    assert_eq!(inside.out.matches(".vscode").count(), 3, "{inside:?}");
    assert!(!std::path::Path::new("/tmp/.vscode/config").exists());
}

const START_UP: [&str; 24] = [
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".gitconfig",
    ".config/git/config",
    ".config/git/hooks/pre-commit",
    ".config/git/attributes",
    ".ssh/config",
    ".ssh/authorized_keys",
    ".ssh/rc",
    ".config/fish/config.fish",
    ".inputrc",
    ".vimrc",
    ".tmux.conf",
    ".npmrc",
    ".config/pip/pip.conf",
    ".cargo/config.toml",
    ".xprofile",
];

/// What makes programs start by themselves or under a trusted name.
const SERVICES: [&str; 10] = [
    ".config/systemd/user/planted.service",
    ".config/autostart/planted.desktop",
    ".config/environment.d/planted.conf",
    ".local/share/systemd/user/planted.service",
    ".local/share/applications/planted.desktop",
    ".local/share/dbus-1/services/planted.service",
    ".local/bin/ls",
    ".cargo/bin/cargo",
    "bin/git",
    ".pam_environment",
];

/// Writes below the home: appending, making, replacing, linking.
fn check_home(world: &World, names: &[&str]) {
    let present = |number: usize| number.is_multiple_of(2);
    let setup: String = names
        .iter()
        .enumerate()
        .filter(|(number, _)| present(*number))
        .map(|(_, name)| format!("mkdir -p \"$(dirname ../{name})\"; echo was >> ../{name}\n"))
        .collect();
    let attempts: Vec<_> = names
        .iter()
        .map(|name| {
            let does = format!(
                "mkdir -p \"$(dirname ../{name})\"; echo planted >> ../{name}; cp README spare; \
                 mv -f spare ../{name}; ln -sf README ../{name}; rm -f ../{name}; \
                 chmod 777 ../{name}; mkdir ../{name}"
            );
            sh(format!("../{name}"), does)
        })
        .collect();
    none_works(world, &setup, &attempts);
}

fn a09_start_up_files_of_the_home_cannot_be_written(world: &World) {
    check_home(world, &START_UP);
}

fn a10_user_services_cannot_be_written(world: &World) {
    check_home(world, &SERVICES);
    // The machine's own, without a control: it would change the machine.
    let mark = world.mark();
    let places = [
        "/etc/cron.d",
        "/var/spool/cron",
        "/var/spool/cron/crontabs",
        "/etc/profile.d",
        "/etc/systemd/system",
        "/usr/local/bin",
        "/etc/ld.so.preload.d",
    ];
    for place in places {
        world.inside(&format!("echo planted > {place}/remit-{mark}")).fails();
        assert!(!std::path::Path::new(place).join(format!("remit-{mark}")).exists(), "{place}");
    }
}

fn a11_a_replaced_interpreter_is_a_hand_off_in_the_record(world: &World) {
    world
        .outside("mkdir -p venv/bin && cp /bin/true venv/bin/python && touch venv/pyvenv.cfg")
        .succeeds();
    world.inside("cp /bin/echo spare && mv spare venv/bin/python").succeeds();
    world.outside("venv/bin/python changed").succeeds().says("changed");
    world.record().has(&["handoff", "venv/bin/python"]);
}

fn a13_the_workspace_is_not_what_the_agent_says(world: &World) {
    let attempts = [
        "cd .. && echo planted > planted",
        "export PWD=/ HOME=/ REMIT_WORKSPACE=/; echo planted > ../planted",
        "ln -s .. up && echo planted > up/planted",
        "env -C .. sh -c 'echo planted > planted'",
        "cd .. && git init -q planted",
    ]
    .map(|does| sh("../planted", does));
    none_works(world, "", &attempts);
    // Spellings of what is no workspace.
    world.outside("ln -s ~/ link; ln -s / root").succeeds();
    for place in [
        "..",
        "../",
        "link",
        "link/.",
        "./link/project/..",
        "root",
        "/proc/self/cwd/..",
        "/proc/self/root",
    ] {
        let output = world.remit(&["run", "-C", place, "--", "sh", "-c", "echo planted > planted"]);
        assert_eq!(output.code, 125, "`{place}`: {output:?}");
    }
    assert!(!world.home.join("planted").exists());
}

fn a15_remit_inside_itself_stays_confined(world: &World) {
    let remit = places::remit().display().to_string();
    world.outside("mkdir ~/other").succeeds();
    let attempt = format!(
        "{remit} run -C ~/other -- sh -c 'echo planted > ~/other/planted; cat ~/.ssh/id_ed25519'"
    );
    let looser = format!(
        "mkdir -p .config/remit && printf '[sandbox]\\nwrite = [\"~/other\"]\\n' > .config/remit/config.toml; HOME=$PWD XDG_CONFIG_HOME=$PWD/.config XDG_STATE_HOME=/tmp {attempt}"
    );
    for script in [&attempt, &looser] {
        let inside = world.inside(script).does_not_say(crate::world::SECRET);
        assert!(inside.took < Duration::from_secs(20));
        assert!(!world.home.join("other/planted").exists(), "{inside:?}");
    }
    world.outside(&attempt);
    assert!(world.home.join("other/planted").exists(), "the control writes there");
}

fn a18_a_policy_that_is_no_plain_file_refuses_the_start(world: &World) {
    let config = world.home.join(".config/remit/config.toml");
    world.settings("[network]\ndefault = \"refuse\"\n");
    world.inside("true").succeeds();
    for (what, script) in [
        ("a dangling link", "rm -rf $C; ln -s /nowhere-here $C"),
        ("a loop of links", "rm -rf $C; ln -s config.toml $C"),
        ("a directory", "rm -rf $C; mkdir $C"),
        ("a pipe", "rm -rf $C; mkfifo $C"),
        ("an endless device", "rm -rf $C; ln -s /dev/zero $C"),
        ("a file among directories", "rm -rf $C; rm -rf ~/.config/remit; echo x > ~/.config/remit"),
    ] {
        world.outside(&script.replace("$C", &config.display().to_string())).succeeds();
        let output = world.inside("echo ran");
        assert_eq!(output.code, 125, "{what}: {output:?}");
        assert!(
            !output.out.contains("ran") && output.err.contains(".config/remit"),
            "{what}: {output:?}"
        );
    }
}
