//! Hosts that lack something: refused until policy names the lesser tier, and
//! what each tier then holds. What is lacking is taken away by a filter.

mod ends;
mod network;

use std::fs;
use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{Lab, NAME};
use crate::places;
use crate::run::{Output, Running, eventually};
use crate::scenario::Need::{Program, RootHarness};
use crate::world::{SECRET, World};

use ends::{
    killing_process_1_ends_a_session_of_any_tier,
    killing_the_supervisor_ends_a_session_of_any_tier, nothing_outlives_a_session_of_any_tier,
};
use network::{
    a_stranger_gets_nothing_from_the_proxys_listeners,
    loopback_is_refused_unless_named_in_every_tier, no_server_can_be_started_without_namespaces,
    nothing_leaves_unasked_in_any_tier,
};

scenarios! { "tiers":
    a_host_that_lacks_something_is_refused_until_the_tier_is_named [Program("python3")],
    a_tier_that_is_not_named_is_not_used [Program("python3")],
    the_strongest_tier_that_is_named_is_used [Program("python3")],
    the_doctor_says_which_tier_and_why_not_a_better_one [Program("python3")],
    files_are_held_in_every_tier [Program("python3")],
    attributes_are_held_in_every_tier [Program("python3"), Program("chattr")],
    processes_of_the_host_are_held_in_every_tier [Program("python3"), Program("prlimit")],
    local_sockets_are_held_in_every_tier [Program("python3")],
    protected_names_are_held_in_every_tier [Program("python3")],
    nothing_is_taken_from_one_root_to_another_without_namespaces [Program("python3")],
    the_supervisor_opens_nothing_that_the_session_may_not [Program("python3")],
    the_persons_terminals_cannot_be_opened_without_namespaces [Program("python3")],
    a_session_without_namespaces_has_its_own_terminal [Program("python3")],
    processes_are_counted_without_namespaces [Program("python3")],
    a_copy_on_write_view_is_refused_without_namespaces [Program("python3")],
    shared_memory_is_held_in_every_tier [Program("python3"), Program("ipcmk")],
    nothing_leaves_unasked_in_any_tier
        [RootHarness, Program("tcpdump"), Program("python3"), Program("curl")],
    loopback_is_refused_unless_named_in_every_tier [Program("python3"), Program("curl")],
    a_stranger_gets_nothing_from_the_proxys_listeners [Program("python3")],
    no_server_can_be_started_without_namespaces [Program("python3")],
    temporary_files_have_a_place_of_their_own_without_namespaces [Program("python3")],
    ordinary_work_goes_on_without_namespaces [Program("python3"), Program("git"), Program("tar")],
    what_is_hidden_cannot_be_watched_without_namespaces [Program("python3")],
    a_hidden_path_in_the_workspace_is_refused_without_namespaces [Program("python3")],
    nothing_outlives_a_session_of_any_tier [Program("python3")],
    killing_the_supervisor_ends_a_session_of_any_tier [Program("python3")],
    killing_process_1_ends_a_session_of_any_tier [Program("python3")],
    a_container_without_capabilities_runs_the_last_tier [Program("python3"), Program("curl")],
}

/// What takes something away from the kernel.
const WITHOUT: &str = include_str!("without.py");

/// A tier, and what is taken away so that it is the best there is. No filter can
/// pretend an older Landlock, so the policy alone asks for that.
struct Tier {
    name: &'static str,
    lack: Option<&'static str>,
}

const TIERS: [Tier; 3] = [
    Tier { name: "old-landlock", lack: None },
    Tier { name: "no-landlock", lack: Some("landlock") },
    Tier { name: "no-namespaces", lack: Some("namespaces") },
];
const LAST: Tier = Tier { name: "no-namespaces", lack: Some("namespaces") };

impl Tier {
    /// The words that run `remit` on such a host.
    fn words(&self, world: &World, words: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(lack) = self.lack {
            let wrapper = world.elsewhere().join("without.py");
            world.write(&wrapper, WITHOUT);
            all.extend(["python3".to_owned(), wrapper.display().to_string(), lack.to_owned()]);
        }
        all.push(places::remit().display().to_string());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }

    fn start(&self, world: &World, words: &[&str]) -> Running {
        let all = self.words(world, words);
        let rest: Vec<&str> = all[1..].iter().map(String::as_str).collect();
        Running::start(world.command(&all[0], &rest))
    }

    fn remit(&self, world: &World, words: &[&str]) -> Output {
        self.start(world, words).finish()
    }

    /// Runs a script inside, in this tier and no other; see [`World::inside`].
    fn inside(&self, world: &World, script: &str) -> Output {
        self.inside_with(world, "", script)
    }

    /// The same with more settings.
    fn inside_with(&self, world: &World, more: &str, script: &str) -> Output {
        self.allow(world, more);
        let script = script.replace("~/", &format!("{}/", world.home.display()));
        let output = self.remit(world, &["run", "--", "sh", "-c", &script]);
        world.record().has(&["session_started", &format!("\"tier\":\"{}\"", self.name)]);
        output
    }

    fn allow(&self, world: &World, more: &str) {
        world.settings(&format!("[sandbox]\ntiers = [\"{}\"]\n{more}", self.name));
    }
}

fn a_host_that_lacks_something_is_refused_until_the_tier_is_named(world: &World) {
    for tier in TIERS.iter().filter(|tier| tier.lack.is_some()) {
        let make = ["run", "--", "touch", "made"];
        world.settings("");
        let refused = tier.remit(world, &make);
        assert_eq!(refused.code, 125, "{refused:?}");
        for part in ["lacks", "remit doctor", tier.name, "sandbox.tiers"] {
            assert!(refused.err.contains(part), "`{part}` is missing: {refused:?}");
        }
        assert!(!world.workspace.join("made").exists() && world.sessions().is_empty());
        tier.allow(world, "");
        let output = tier.remit(world, &make).succeeds();
        assert!(output.err.contains(tier.name), "the person is told: {output:?}");
        fs::remove_file(world.workspace.join("made")).expect("what the command made");
        let session = world.sessions().pop().expect("a session");
        world.record().has(&["session_started", &format!("\"tier\":\"{}\"", tier.name)]);
        fs::remove_dir_all(world.state().join("sessions").join(session)).expect("its record");
    }
}

fn a_tier_that_is_not_named_is_not_used(world: &World) {
    let check = |tier: &Tier, settings: &str| {
        world.settings(settings);
        let output = tier.remit(world, &["run", "--", "touch", "made"]);
        assert_eq!(output.code, 125, "{settings}: {output:?}");
        assert!(!world.workspace.join("made").exists(), "{settings}");
    };
    let [_, no_landlock, no_namespaces] = &TIERS;
    check(no_namespaces, "[sandbox]\ntiers = ['full', 'old-landlock', 'no-landlock']");
    check(no_landlock, "[sandbox]\ntiers = ['full', 'old-landlock', 'no-namespaces']");
    check(no_namespaces, "[sandbox]\ntiers = []");
    check(&TIERS[0], "[sandbox]\ntiers = []");
    check(&TIERS[0], "[sandbox]\ntiers = ['fulll']");
    // A project cannot name what the user did not.
    let project = world.workspace.join(".remit/config.toml");
    world.write(&project, "[sandbox]\ntiers = ['full', 'no-namespaces']");
    check(no_namespaces, "[sandbox]\ntiers = ['full']");
    check(no_namespaces, "");
}

fn the_strongest_tier_that_is_named_is_used(world: &World) {
    let every = "[sandbox]\ntiers = ['no-namespaces', 'no-landlock', 'old-landlock', 'full']";
    let check = |tier: &Tier, expected: &str| {
        world.settings(every);
        tier.remit(world, &["run", "--", "true"]).succeeds();
        world.record().has(&["session_started", &format!("\"tier\":\"{expected}\"")]);
    };
    check(&Tier { name: "full", lack: None }, "full");
    check(&TIERS[1], "no-landlock");
    world.record().has(&["session_started", "hidden paths that appear later are not held"]);
    check(&TIERS[2], "no-namespaces");
    world.record().has(&["session_started", "removing, and changes of mode, owner and time"]);
    world.record().has(&["session_started", "no limit of temporary files"]);
}

fn the_doctor_says_which_tier_and_why_not_a_better_one(world: &World) {
    for tier in TIERS.iter().filter(|tier| tier.lack.is_some()) {
        world.settings("");
        let output = tier.remit(world, &["doctor"]).fails();
        for part in ["MISSING", tier.name, "not full", "sandbox.tiers"] {
            assert!(output.out.contains(part), "`{part}` is missing: {output:?}");
        }
        tier.allow(world, "");
        tier.remit(world, &["doctor"]).succeeds();
        let report = tier.remit(world, &["doctor", "--json"]).succeeds();
        let report: serde_json::Value = serde_json::from_str(&report.out).expect("one JSON value");
        assert_eq!((&report["tier"], &report["chosen"]), (&tier.name.into(), &tier.name.into()));
        assert_eq!(report["full"], false);
    }
}

fn files_are_held_in_every_tier(world: &World) {
    let write = format!("echo x > {}/written", world.elsewhere().display());
    let read = "cat ~/.ssh/id_ed25519 ~/.aws/credentials ~/.netrc; ls ~/.ssh";
    for tier in TIERS {
        tier.inside(world, "echo hi > made && cat made && rm made").succeeds().says("hi");
        tier.inside(world, &write).fails();
        tier.inside(world, "echo x > ~/outside").fails();
        tier.inside(world, "ln ~/.gitconfig linked || mv ~/.gitconfig moved").fails();
        tier.inside(world, "rm -f ~/.gitconfig").fails();
        tier.inside(world, read).does_not_say(SECRET).does_not_say("id_ed25519\n");
        let links =
            "ln -s ~/.ssh/id_ed25519 link; cat link; cat /proc/self/root/$HOME/.netrc; rm link";
        tier.inside(world, links).does_not_say(SECRET);
        assert!(
            !world.elsewhere().join("written").exists() && !world.home.join("outside").exists()
        );
        assert!(world.home.join(".gitconfig").exists(), "{}", tier.name);
    }
    world.outside(&format!("{write}; echo x > ~/outside")).succeeds();
    world.outside(read).says(SECRET).says("id_ed25519\n");
}

fn attributes_are_held_in_every_tier(world: &World) {
    // At home, where every tier can read it.
    let path = world.home.join("theirs");
    world.write(&path, "x");
    let theirs = path.display();
    let changes = [
        format!("chmod 777 {theirs}"),
        format!("touch -d 2001-01-01 {theirs}"),
        format!("python3 -c \"import os; os.fchmod(os.open('{theirs}', os.O_RDONLY), 0o777)\""),
        format!("cat {theirs} && chattr +d {theirs}"),
        format!("ln -sf {theirs} way; chmod 777 way"),
        format!("python3 -c \"import os; os.setxattr('{theirs}', 'user.e2e', b'x')\""),
    ];
    let about = || {
        let about = fs::metadata(&path).expect("the file");
        (std::os::unix::fs::MetadataExt::mode(&about), about.modified().expect("a time"))
    };
    let before = about();
    let own = "touch own && chmod 751 own && touch -d 2001-01-01 own && stat -c '%a %Y' own \
               && ln -sf own link && touch -h -d 2002-02-02 link && stat -c %Y own link";
    for tier in TIERS {
        for change in &changes {
            tier.inside(world, change).fails();
            assert_eq!(about(), before, "{}: {change}", tier.name);
        }
        let output = tier.inside(world, own).succeeds();
        assert!(output.out.starts_with("751 978"), "{output:?}");
        if tier.name == LAST.name {
            // Here the supervisor makes the change, and lends nothing.
            tier.inside(world, "chmod u+s own").fails();
        }
    }
    world.outside(&format!("{} && {} && {}", changes[0], changes[1], changes[3])).succeeds();
    assert_ne!(about(), before);
}

fn processes_of_the_host_are_held_in_every_tier(world: &World) {
    let mark = world.mark();
    let mut sleeper = Running::start(world.command("sleep", &[&mark]));
    let pid = sleeper.pid().as_raw_nonzero();
    let read = format!("tr '\\0' '\\n' < /proc/{pid}/environ");
    let tries = [
        format!("kill -0 {pid}"),
        format!("prlimit --pid {pid} --core=0"),
        format!("renice -n 19 -p {pid}"),
        format!("python3 -c \"import os; os.sched_setaffinity({pid}, [0])\""),
        "python3 -c \"import os; os.setpriority(os.PRIO_USER, os.getuid(), 19)\"".to_owned(),
        format!("ls /proc/{pid}/cwd/"),
        read.clone(),
    ];
    for tier in TIERS {
        for attempt in &tries {
            // Another process may have the number inside, and may be changed.
            if tier.name == "no-namespaces" || !attempt.contains("PRIO_USER") {
                tier.inside(world, attempt).fails();
            }
        }
        tier.inside(world, &format!("kill -9 {pid}")).fails();
        assert!(!sleeper.has_ended(), "{}: the host's process lives on", tier.name);
    }
    world.outside(&tries[0]).succeeds();
    world.outside(&tries[1]).succeeds();
    world.outside(&tries[2]).succeeds();
    world.outside(&tries[3]).succeeds();
    world.outside(&read).succeeds().says("HOME=");
    world.outside(&format!("kill -9 {pid}")).succeeds();
    eventually("its end", Duration::from_secs(2), || sleeper.has_ended().then_some(()));
}

/// Sends to a datagram socket and connects to streams of the host's; prints what
/// worked.
const LOCAL: &str = r#"
import socket, sys
stream, datagram, abstract = sys.argv[1:]
def attempt(name, go):
    try:
        go()
        print(name, "reached")
    except OSError as error:
        print(name, error.errno)
attempt("stream", lambda: socket.socket(socket.AF_UNIX).connect(stream))
attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\0" + abstract))
attempt("datagram", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", datagram))
attempt("pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", datagram))
"#;

fn local_sockets_are_held_in_every_tier(world: &World) {
    world.write(&world.workspace.join("local.py"), LOCAL);
    let name = format!("remit-e2e-{}", world.mark());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _abstract = UnixListener::bind_addr(&address).expect("an abstract socket");
    // Under `/tmp`, and in the workspace, where every tier sees it.
    for (place, tiers) in [(world.elsewhere(), &TIERS[..]), (&*world.workspace, &TIERS[2..])] {
        let (stream, datagram) = (place.join("s"), place.join("d"));
        let _stream = UnixListener::bind(&stream).expect("a stream socket");
        let listening = UnixDatagram::bind(&datagram).expect("a datagram socket");
        listening.set_read_timeout(Some(Duration::from_millis(100))).expect("a deadline");
        for path in [&stream, &datagram] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(path, open).expect("a socket for everybody");
        }
        let script = format!("python3 local.py {} {} {name}", stream.display(), datagram.display());
        for tier in tiers {
            tier.inside(world, &script).succeeds().does_not_say("reached");
            assert!(listening.recv(&mut [0; 8]).is_err(), "{}: a datagram arrived", tier.name);
        }
        let control = world.outside(&script).succeeds();
        assert_eq!(control.out.matches("reached").count(), 4, "{control:?}");
    }
}

fn protected_names_are_held_in_every_tier(world: &World) {
    for name in [".envrc", ".vscode/settings.json", ".git/hooks/pre-push"] {
        world.write(&world.workspace.join(name), "the person's");
    }
    let tries = [
        "echo x > .envrc",
        "echo x >> .vscode/settings.json",
        "echo x > .vscode/tasks.json",
        "mkdir .vscode/deep",
        "echo x > .mcp.json",
        "echo x > .MCP.JSON",
        "echo x > .git/hooks/pre-commit",
        "git config core.fsmonitor ./evil",
        "mv .envrc moved",
        "mv .vscode moved",
        "mv .git moved",
        "mv .git/hooks moved",
        "ln .envrc linked",
        "ln -s elsewhere .mcp.json",
        "rm -f .envrc",
        "rm -rf .vscode",
        "rm -rf .git/hooks",
        "rm -f .git/config",
        "python3 -c \"import os; os.unlink('.ENVRC' if os.path.exists('.ENVRC') else '.envrc')\"",
        "python3 -c \"import os; d = os.open('.vscode', os.O_PATH); os.unlink('settings.json', dir_fd=d)\"",
        "chmod 777 .envrc",
        "touch -d 2001-01-01 .git/hooks/pre-push",
        "truncate -s 0 .envrc",
    ];
    let state = || {
        let find = "find .envrc .vscode .git/hooks .git/config -printf '%p %m %T@\\n' | sort; \
                    cat .envrc .git/config .vscode/settings.json .git/hooks/pre-push; ls -A";
        world.outside(find).succeeds().out
    };
    let before = state();
    for tier in TIERS {
        for attempt in tries {
            tier.inside(world, attempt).fails();
            assert_eq!(state(), before, "{}: {attempt}", tier.name);
        }
        let work = "echo x > made && mv made other && rm other && mkdir d && rmdir d && rm -rf d \
                    && git add -A && git rm -q --cached README && git reset -q && echo done";
        tier.inside(world, work).succeeds().says("done");
    }
    LAST.inside(world, "rm -f .envrc").fails();
    world.record().has(&["refusal", "protect .envrc"]);
    world.outside("rm -f .envrc && mv .vscode moved && echo x > .mcp.json").succeeds();
}

fn nothing_is_taken_from_one_root_to_another_without_namespaces(world: &World) {
    let [secret, host] = [".ssh/id_ed25519", "victim"].map(|name| world.home.join(name));
    world.write(&host, "original");
    let (secret, host) = (secret.display(), host.display());
    let call = |call: &str| format!("python3 -c \"import os; os.{call}\"");
    let tries = [
        call(&format!("link('{secret}', 'taken')")),
        call(&format!("link('{host}', 'taken')")),
        call(&format!("rename('{host}', 'taken')")),
        call(&format!("link('/proc/self/fd/%d' % os.open('{host}', os.O_RDONLY), 'taken')")),
        call("rename(os.environ['TMPDIR'], 'taken')"),
        "mkdir -p $TMPDIR/d/.git/hooks && echo x > $TMPDIR/d/.git/hooks/pre-commit && ".to_owned()
            + &call("rename(os.environ['TMPDIR'] + '/d', 'taken')"),
        "echo x > $TMPDIR/f && ".to_owned() + &call("link(os.environ['TMPDIR'] + '/f', 'taken')"),
        "rmdir $TMPDIR".to_owned(),
    ];
    for attempt in tries {
        LAST.inside(world, &attempt).fails().does_not_say(SECRET);
        assert!(!world.workspace.join("taken").exists(), "after `{attempt}`");
    }
    assert_eq!(fs::read_to_string(world.home.join("victim")).ok().as_deref(), Some("original"));
    LAST.inside(world, "echo x > a && ln a b && mv b c && cat c").succeeds();
    world.outside(&call(&format!("link('{secret}', 'taken')"))).succeeds();
}

/// Ways past the floor by whoever opens files for the session.
const PAST: &str = r#"
import os, sys
home, place = os.environ["HOME"], sys.argv[1]
W, R, C, T = os.O_WRONLY, os.O_RDONLY, os.O_CREAT, os.O_TRUNC
def attempt(name, go):
    try:
        go()
        print(name, "WORKED")
    except OSError as error:
        print(name, error.errno)
def listed():
    os.chdir(home + "/.ssh")
    try:
        return os.listdir(os.open("/proc/self/cwd", R | C))
    finally:
        os.chdir(place)
def again(path, flags):
    return os.open("/proc/self/fd/%d" % os.open(path, R | os.O_NONBLOCK), flags)
def gone():
    file = os.open(home + "/passing", R)
    open("ready", "w").close()
    while os.path.exists(home + "/passing"):
        pass
    return os.open("/proc/self/fd/%d" % file, W)
for flags in (R | C, W, os.O_RDWR, R | T, W | C, W | C | T):
    attempt("secret", lambda: os.open(home + "/.ssh/id_ed25519", flags))
    attempt("other", lambda: os.open(home + "/theirs", flags))
    attempt("again", lambda: again(home + "/theirs", flags))
attempt("directory", lambda: os.open(home + "/.ssh", R | C))
attempt("listing", listed)
attempt("nameless", lambda: os.open(home, os.O_RDWR | os.O_TMPFILE))
attempt("new", lambda: os.open(home + "/new", W | C))
attempt("tmp", lambda: os.open("/tmp/remit-e2e-new", W | C))
attempt("shm", lambda: os.open("/dev/shm/remit-e2e-new", W | C))
attempt("run", lambda: os.mkdir("/tmp/remit-e2e-directory"))
attempt("pipe", lambda: os.open(home + "/pipe", W | os.O_NONBLOCK))
attempt("pipe again", lambda: again(home + "/pipe", W | os.O_NONBLOCK))
attempt("parent", lambda: os.open("/proc/%d/oom_score_adj" % os.getppid(), W))
attempt("own score", lambda: os.open("/proc/self/oom_score_adj", W))
attempt("root", lambda: os.open("/proc/self/root" + home + "/theirs", W))
attempt("other root", lambda: os.open("/proc/1/root" + home + "/theirs", W))
attempt("removed", lambda: os.unlink(home + "/theirs"))
attempt("gone", gone)
for device in ("/dev/ptmx", "/dev/kmsg", "/dev/mem", "/dev/console", "/dev/tty0"):
    attempt(device, lambda: os.open(device, os.O_RDWR))
print("-- what works")
os.write(os.open("/dev/null", W), b"x")
ends = os.pipe()
os.write(os.open("/dev/fd/%d" % ends[1], W), b"by its own descriptor")
print(os.read(ends[0], 99).decode())
memory = os.memfd_create("memory")
os.write(os.open("/proc/self/fd/%d" % memory, W), b"x")
link = os.open(".", os.O_RDWR | os.O_TMPFILE)
os.fchmod(link, 0o600)
print("all")
"#;

fn the_supervisor_opens_nothing_that_the_session_may_not(world: &World) {
    world.write(&world.workspace.join("past.py"), PAST);
    let at = |name: &str| world.home.join(name);
    let prepare = || {
        for name in ["theirs", "passing"] {
            world.write(&at(name), "original");
        }
    };
    prepare();
    let pipe = at("pipe");
    world.outside(&format!("mkfifo {}", pipe.display())).succeeds();
    // Somebody reads, so that opening it to write would work at once.
    let reader = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK;
    let _reader = rustix::fs::open(&pipe, reader, rustix::fs::Mode::empty()).expect("the pipe");
    let script = format!("python3 past.py {}", world.workspace.display());
    LAST.allow(world, "");
    let session = LAST.start(world, &["run", "--", "sh", "-c", &script]);
    eventually("the open file", Duration::from_secs(20), || {
        world.workspace.join("ready").exists().then_some(())
    });
    fs::remove_file(at("passing")).expect("it was there");
    let output = session.finish().succeeds();
    let (refused, works) = output.out.split_once("-- what works").expect("both parts");
    assert!(!refused.contains("WORKED") && refused.lines().count() > 30, "{output:?}");
    assert!(works.contains("by its own descriptor") && works.contains("all"), "{output:?}");
    assert_eq!(fs::read_to_string(at("theirs")).ok().as_deref(), Some("original"));
    assert!(!at("new").exists());
    for left in ["/tmp/remit-e2e-new", "/tmp/remit-e2e-directory", "/dev/shm/remit-e2e-new"] {
        assert!(!std::path::Path::new(left).exists(), "{left}");
    }
    let control = "cat ~/theirs && echo x > ~/pipe && python3 -c \"import os; os.open('/proc/self/fd/%d' % os.open(os.environ['HOME'] + '/theirs', 0), 1); os.listdir(os.open(os.environ['HOME'] + '/.ssh', 0))\"";
    world.outside(control).succeeds();
}

fn the_persons_terminals_cannot_be_opened_without_namespaces(world: &World) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlocked");
    let path = ptsname(&master, Vec::new()).expect("its name").into_string().expect("a path");
    let owner = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&path, owner).expect("a terminal for everybody");
    let tries = [
        format!("echo x > {path}"),
        format!("cat {path}"),
        format!("python3 -c \"import os; os.open('{path}', os.O_RDWR | os.O_NOCTTY)\""),
        format!("echo x > /proc/{}/fd/0", std::process::id()),
        "echo x > /dev/tty".to_owned(),
    ];
    for attempt in &tries {
        LAST.inside(world, attempt).fails();
    }
    world.outside(&tries[0]).succeeds();
}

fn a_session_without_namespaces_has_its_own_terminal(world: &World) {
    LAST.allow(world, "");
    let script = "echo to-tty > /dev/tty; echo to-own > $(tty); echo to-out > /dev/stdout; test -t 1 && echo done";
    let words = LAST.words(world, &["run", "--", "sh", "-c", script]);
    let driver =
        "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut all = vec!["-c", driver];
    all.extend(words.iter().map(String::as_str));
    let output = Running::start(world.command("python3", &all)).finish();
    for said in ["to-tty", "to-own", "to-out", "done"] {
        assert!(output.both().contains(said), "`{said}` is missing: {output:?}");
    }
}

fn processes_are_counted_without_namespaces(world: &World) {
    let many = "for i in $(seq 40); do sleep 20 & done; wait";
    let limit = "[limits]\nprocesses = 16\n";
    let output = LAST.inside_with(world, limit, many).fails();
    assert!(
        output.err.contains("limits.processes") || output.both().contains("fork"),
        "{output:?}"
    );
    LAST.inside_with(world, limit, "sleep 1; echo done").succeeds().says("done");
    LAST.allow(world, "[limits]\ntmp = '1GiB'\n");
    let output = LAST.remit(world, &["run", "--", "true"]);
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.err.contains("limits.tmp"), "{output:?}");
}

fn a_copy_on_write_view_is_refused_without_namespaces(world: &World) {
    LAST.allow(world, "");
    let output = LAST.remit(world, &["run", "--overlay", "--", "touch", "made"]);
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.err.contains("--overlay") && output.err.contains("no-namespaces"), "{output:?}");
    assert!(!world.workspace.join("made").exists() && world.sessions().is_empty());
}

fn shared_memory_is_held_in_every_tier(world: &World) {
    let made = world.outside("ipcmk -M 64").succeeds();
    let id = made.out.rsplit(' ').next().expect("a number").trim().to_owned();
    let remove = format!("ipcrm -m {id}");
    for tier in TIERS {
        tier.inside(world, &remove).fails();
    }
    world.outside(&remove).succeeds();
}

fn temporary_files_have_a_place_of_their_own_without_namespaces(world: &World) {
    let script = "echo $TMPDIR && stat -c %a $TMPDIR && f=$(mktemp) && echo x > $f \
                  && mkdir $TMPDIR/a && mv $f $TMPDIR/a/b && cat $TMPDIR/a/b && chmod 0 $TMPDIR/a";
    let output = LAST.inside(world, script).succeeds();
    let mut lines = output.out.lines();
    let place = PathBuf::from(lines.next().expect("a directory"));
    assert!(place.starts_with("/tmp/") && lines.next() == Some("700"), "{output:?}");
    assert!(!place.exists(), "it is removed with the session");
    LAST.inside(world, "echo x > /tmp/remit-e2e-outside").fails();
    // What a tool keeps in the private `/tmp` elsewhere.
    LAST.inside(world, "echo x > $TMPDIR/x && case $GOCACHE in $TMPDIR/*) echo kept;; esac")
        .succeeds()
        .says("kept");
    LAST.inside(world, &format!("ls {}", world.elsewhere().display())).fails();
    LAST.inside(world, "ls /dev/pts /dev/shm /run").fails();
}

fn ordinary_work_goes_on_without_namespaces(world: &World) {
    let script = "git init -q sub && cd sub && echo x > x && git add x && git commit -qm one \
        && git log --oneline | grep one && mkdir d && cp -a x d/ && tar cf t.tar d && rm -r d \
        && tar xf t.tar && cat d/x && printf '#!/bin/sh\\necho ran' > run && chmod +x run && ./run \
        && python3 -c 'import tempfile, subprocess; print(subprocess.check_output([\"./run\"]), tempfile.mkstemp())' \
        && cat < /dev/null && echo x > /dev/null && cat /proc/self/status | grep -c NoNewPrivs";
    LAST.inside_with(world, "git = 'manage'", script).succeeds().says("ran");
}

/// Watches a directory, and changes it if it can.
const WATCH: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
instance = libc.inotify_init()
watch = libc.inotify_add_watch(instance, sys.argv[1].encode(), 0x100)
if watch < 0:
    sys.exit("errno %d" % ctypes.get_errno())
open(os.path.join(sys.argv[1], "made-%d" % watch), "w").close()
print(os.read(instance, 4096)[16:].rstrip(b"\0").decode(), "of watch", watch)
"#;

fn what_is_hidden_cannot_be_watched_without_namespaces(world: &World) {
    world.write(&world.workspace.join("watch.py"), WATCH);
    LAST.inside(world, "python3 watch.py .").succeeds().says("made-1 of watch 1");
    // As an argument it would be asked about, and the script would not start.
    let link = "import os; os.symlink(os.path.expanduser('~/.ssh'), 'way')";
    let way = format!("python3 -c \"{link}\"; python3 watch.py way");
    LAST.inside(world, &way).fails().says("errno 13");
    let at = world.home.join(".ssh").display().to_string();
    let named = WATCH.replace("instance =", &format!("sys.argv = ['', {at:?}]\ninstance ="));
    world.write(&world.workspace.join("named.py"), &named);
    LAST.inside(world, "python3 named.py").fails().says("errno 13");
    LAST.inside(world, "python3 watch.py /proc/self/cwd/../.ssh").fails();
    LAST.inside(world, "python3 watch.py ~/").fails().says("errno 13");
    world.outside("python3 watch.py ~/.ssh").succeeds().says("made-1 of watch 1");
}

fn a_hidden_path_in_the_workspace_is_refused_without_namespaces(world: &World) {
    world.write(&world.workspace.join("keys/one"), SECRET);
    LAST.allow(world, "hide = ['./keys']");
    let output = LAST.remit(world, &["run", "--", "cat", "keys/one"]).does_not_say(SECRET);
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.err.contains("keys") && output.err.contains("no-namespaces"), "{output:?}");
    // The other tiers cover it.
    for tier in &TIERS[..2] {
        tier.inside_with(world, "hide = ['./keys']", "cat keys/one").fails().does_not_say(SECRET);
    }
}

fn a_container_without_capabilities_runs_the_last_tier(world: &World) {
    // As Docker runs it with --cap-add=SYS_PTRACE.
    let docker = Tier { name: "no-namespaces", lack: Some("docker-ptrace") };
    let get = "curl -sS -m 10 http://unknown.example/";
    let output = docker.inside(world, &format!("cat ~/.ssh/id_ed25519; {get}; echo done > made"));
    output.does_not_say(SECRET).says("network.default");
    assert!(world.workspace.join("made").exists());
    // Without it the callers' sockets cannot be had, and no tier is possible.
    let bare = Tier { name: "no-namespaces", lack: Some("docker") };
    bare.allow(world, "");
    let output = bare.remit(world, &["run", "--", "true"]);
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.err.contains("callers' descriptors"), "{output:?}");
    bare.remit(world, &["doctor"]).fails().says("SYS_PTRACE");
}
