//! What must not be read, and what must not be left behind.

use std::time::Duration;

use super::attempts::{none_works, py, sh};
use super::probe::{self, Answers};
use crate::places;
use crate::run::{Running, eventually};
use crate::scenario::Need::Program;
use crate::world::{SECRET, SECRETS, World};

scenarios! { "escapes":
    c08_the_parent_s_memory_cannot_be_read [Program("python3")],
    c14_a_handle_opens_nothing [Program("python3")],
    c23_no_call_reads_a_secret [Program("python3")],
    c23_a_secret_that_appears_later_cannot_be_read,
    c23_a_secret_that_is_renewed_cannot_be_read,
    c23_known_gap_a_hidden_file_of_the_workspace_that_the_host_renews_can_be_read,
    c26_nothing_left_behind_holds_up_a_host_tool [Program("git"), Program("python3")],
}

fn c08_the_parent_s_memory_cannot_be_read(world: &World) {
    probe::write(
        world,
        r#"
who = int(sys.argv[1]) if sys.argv[1] != "parent" else os.getppid()
for name in ("environ", "auxv", "maps", "mem", "stack", "syscall", "io", "fd", "cwd", "exe", "root", "smaps", "map_files", "ns/net"):
    path = f"/proc/{who}/{name}"
    def read():
        if os.path.isdir(path) and not os.path.islink(path): os.stat(path + "/" + os.listdir(path)[0])
        elif os.path.islink(path): os.readlink(path)
        else:
            with open(path, "rb") as file:
                if name == "mem": file.seek(int(sys.argv[2], 16))
                file.read(16)
    attempt(name, read)
"#,
    );
    // Outside, the parent is a shell of the same account.
    let base = "$(cut -d- -f1 /proc/$$/maps | head -1)";
    let control = world.outside(&format!("python3 -B probe.py parent {base}; true"));
    let inside = world.inside("python3 -B probe.py 1 1000");
    let answers = Answers::of(&inside, &control);
    answers
        .are_refused()
        .work_outside(&["environ", "auxv", "maps", "mem", "fd", "cwd", "exe", "root"]);
    // What the supervisor was given is in no environment that can be read.
    let look = "cat /proc/[0-9]*/environ /proc/[0-9]*/task/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c given-71f0; true";
    let run = |program: &str, words: &[&str]| {
        let mut command = world.command(program, words);
        command.env("REMIT_TEST_SECRET", "given-71f0");
        Running::start(command).finish()
    };
    let remit = places::remit().display().to_string();
    assert_eq!(run(&remit, &["run", "--", "sh", "-c", look]).out.trim(), "0");
    assert_ne!(run("sh", &["-c", look]).out.trim(), "0", "the control finds it");
}

fn c14_a_handle_opens_nothing(world: &World) {
    let secret = world.home.join(".ssh/id_ed25519").display().to_string();
    let make = format!(
        "import os\nhandle = ctypes.create_string_buffer(struct.pack(\"Ii\", 128, 0) + bytes(128))\nmount = ctypes.c_int()\n\
         try:\n  call(\"name_to_handle_at\", AT, \"{secret}\", handle, ctypes.byref(mount), 0)\n  open(\"handle\", \"wb\").write(handle.raw)\n  print(\"made\")\nexcept OSError as error:\n  print(error)\n"
    );
    probe::write(world, &make);
    world.inside("python3 -B probe.py").succeeds().does_not_say("made");
    world.outside("python3 -B probe.py").succeeds().says("made");
    probe::write(
        world,
        r#"
handle = ctypes.create_string_buffer(open("handle", "rb").read())
for place in (".", "/", "/proc/self/root", "/tmp"):
    for flags in (os.O_RDONLY, os.O_PATH, os.O_WRONLY):
        try:
            fd = call("open_by_handle_at", os.open(place, os.O_RDONLY), handle, flags)
            print("opened", os.read(fd, 100))
        except OSError as error:
            print(place, error)
"#,
    );
    world.inside("python3 -B probe.py").succeeds().does_not_say("opened").does_not_say(SECRET);
    if world.who.uid == 0 {
        // Only root may use handles at all.
        world.outside("python3 -B probe.py").succeeds().says(SECRET);
    }
}

fn c23_no_call_reads_a_secret(world: &World) {
    let code = r#"
for path in sys.stdin.read().split():
    base, name = os.path.split(path)
    ways = {
        "open": lambda: os.read(os.open(path, os.O_RDONLY), 100),
        "rdwr": lambda: os.read(os.open(path, os.O_RDWR), 100),
        "by directory": lambda: os.read(os.open(name, os.O_RDONLY, dir_fd=os.open(base, os.O_RDONLY)), 100),
        "by place": lambda: os.read(os.open(name, os.O_RDONLY, dir_fd=os.open(base, os.O_PATH)), 100),
        "by path descriptor": lambda: os.read(os.open("/proc/self/fd/%d" % os.open(path, os.O_PATH), os.O_RDONLY), 100),
        "chdir": lambda: (os.chdir(base), os.read(os.open(name, os.O_RDONLY), 100))[1],
        "upward": lambda: os.read(os.open(base + "/../" + os.path.basename(base) + "/" + name, os.O_RDONLY), 100),
        "map": lambda: mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:],
        "sendfile": lambda: os.sendfile(1, os.open(path, os.O_RDONLY), 0, 100),
        "link": lambda: (os.link(path, "hard" + name), os.read(os.open("hard" + name, os.O_RDONLY), 100))[1],
        "rename": lambda: (os.rename(path, "taken"), os.rename("taken", path)),
        "exec": lambda: os.execv(path, ["x"]),
    }
    for way, deed in ways.items():
        def say(): 
            got = deed()
            if got and b"do-not" + b"-read" in bytes(got if not isinstance(got, int) else b""): print("GOT", way, path)
        attempt(way, say)
"#;
    let paths: Vec<_> =
        SECRETS.iter().map(|name| world.home.join(name).display().to_string()).collect();
    probe::write(world, code);
    let script = format!("echo {} | python3 -B probe.py", paths.join(" "));
    let inside = world.inside(&script).does_not_say("GOT").does_not_say(SECRET);
    assert!(inside.out.lines().count() >= 12 * SECRETS.len(), "{inside:?}");
    let tools = "tar -cf t.tar -C ~/ .ssh .aws .netrc 2>/dev/null; cat t.tar; cp -r ~/.aws aws; cat aws/*; cp -a ~/. all 2>/dev/null; cat all/.netrc; . ~/.netrc; LD_PRELOAD=~/.netrc ls; diff ~/.netrc README; git hash-object -w --stdin < ~/.netrc; git diff --no-index README ~/.netrc; python3 -c 'import os; exec(open(os.path.expanduser(\"~/.netrc\")).read())'";
    world.inside(tools).does_not_say("do-not-read");
    let found = world.outside(&format!(
        "grep -rl do-not-read {} | grep -v /home/[.] | grep -c project; true",
        world.home.display()
    ));
    assert_eq!(found.out.trim(), "0", "nothing was carried into the workspace: {found:?}");
    let control = world.outside(&script);
    assert_eq!(control.out.matches("GOT").count(), 9 * SECRETS.len(), "{control:?}");
    world.outside("tar -cf t.tar -C ~/ .ssh .aws .netrc; cat t.tar").says(SECRET);
}

/// Starts a session that waits for `go`, changes the host meanwhile, and
/// returns what the session then says.
fn meanwhile(world: &World, host: &str, then: &str) -> [crate::run::Output; 2] {
    let script = format!("echo > ready; while ! [ -e go ]; do sleep 0.02; done; {then}")
        .replace("~/", &format!("{}/", world.home.display()));
    let run = |running: Running| {
        eventually("the session", Duration::from_secs(10), || {
            world.workspace.join("ready").exists().then_some(())
        });
        world.outside(host).succeeds();
        world.outside("rm ready; touch go").succeeds();
        let output = running.finish();
        world.outside("rm go").succeeds();
        output
    };
    [
        run(world.start(&["run", "--", "sh", "-c", &script])),
        run(Running::start(world.command("sh", &["-c", &script]))),
    ]
}

fn c23_a_secret_that_appears_later_cannot_be_read(world: &World) {
    let make = format!(
        "mkdir -p ~/.kube ~/.azure ~/.config/hub ~/.ssh/new; for f in ~/.kube/config ~/.azure/t ~/.config/hub/h ~/.ssh/new/key ~/.vault-token; do echo {SECRET} > $f; done"
    );
    let [inside, control] = meanwhile(
        world,
        &make,
        "cat ~/.kube/config ~/.azure/t ~/.config/hub/h ~/.ssh/new/key ~/.vault-token; true",
    );
    inside.succeeds().does_not_say(SECRET);
    assert_eq!(control.out.matches(SECRET).count(), 5, "{control:?}");
}

fn c23_a_secret_that_is_renewed_cannot_be_read(world: &World) {
    // A file renamed over another takes away what was mounted there.
    let renew = format!(
        "for f in .netrc .git-credentials .aws/credentials .docker/config.json; do echo {SECRET} > ~/$f.new; mv ~/$f.new ~/$f; done; mv ~/.aws ~/.aws-old; mkdir ~/.aws; echo {SECRET} > ~/.aws/credentials"
    );
    let read = "cat ~/.netrc ~/.git-credentials ~/.aws/credentials ~/.docker/config.json; true";
    let [inside, control] = meanwhile(world, &renew, read);
    inside.succeeds().does_not_say(SECRET);
    assert_eq!(control.out.matches(SECRET).count(), 4, "{control:?}");
}

fn c23_known_gap_a_hidden_file_of_the_workspace_that_the_host_renews_can_be_read(world: &World) {
    world.settings("[sandbox]\nhide = [\"./secrets\", \"./token\"]\n");
    let write = format!(
        "mkdir -p secrets; echo {SECRET} > secrets/key; echo {SECRET} > token.new; mv token.new token"
    );
    world.outside(&write).succeeds();
    let renew = format!(
        "{write}; mv secrets old-secrets && mkdir secrets && echo {SECRET} > secrets/key; rm -rf old-secrets"
    );
    let [inside, control] = meanwhile(world, &renew, "cat secrets/key token; true");
    // A known gap: the host takes our cover away with the file, and the floor
    // grants reading in the whole workspace. Should this fail, it is closed.
    assert!(inside.succeeds().out.contains(SECRET), "no longer a gap; tell docs/escapes.md");
    assert_eq!(control.out.matches(SECRET).count(), 2, "{control:?}");
}

fn c26_nothing_left_behind_holds_up_a_host_tool(world: &World) {
    let attempts = [
        sh("pipe", "mkfifo pipe"),
        py("socket", r#"socket.socket(socket.AF_UNIX).bind("socket")"#),
        py("packet", r#"socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).bind("packet")"#),
        py("datagram", r#"socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind("datagram")"#),
        py("node", r#"call("mknodat", AT, "node", stat.S_IFSOCK | 0o666, 0)"#),
        py("moved", r#"os.mkfifo("first"); os.rename("first", "moved")"#),
        py("linked", r#"os.mkfifo("second"); os.link("second", "linked")"#),
        sh(".git/MERGE_MSG", "mkfifo .git/MERGE_MSG"),
        sh(".git/refs/heads/pipe", "mkfifo .git/refs/heads/pipe"),
        sh("other", "cp README other; rm other; mkfifo other"),
    ];
    none_works(world, "", &attempts);
    // What can be left: files that say they are enormous, deep and many.
    let leave = "truncate -s 1T huge; mkdir deep; cd deep; i=0; while [ $i -lt 200 ]; do mkdir d && cd d; i=$((i+1)); done; true";
    world.inside(&format!("git checkout -q -- README; {leave}"));
    let host = world.outside("timeout 5 git status --short && timeout 5 grep -c hello README && timeout 5 cat README").succeeds();
    assert!(host.took < Duration::from_secs(5));
    let again = world.inside("true").succeeds();
    assert!(again.took < Duration::from_secs(5), "the next session starts: {again:?}");
    world.outside("mkfifo pipe; timeout 1 cat pipe").fails();
}
