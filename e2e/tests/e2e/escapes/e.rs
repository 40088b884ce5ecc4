//! Pitfalls of the mechanisms: directories of callers, filters of their own,
//! pointers, namespaces of the network.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use super::probe::{self, Answers, probe};
use super::races::compile;
use crate::run::{Running, eventually};
use crate::scenario::Need::{Program, RootHarness};
use crate::world::World;

scenarios! { "escapes":
    e05_one_allowed_destination_carries_no_other [Program("python3")],
    e07_paths_are_resolved_as_the_caller_resolves_them [Program("python3")],
    e07_what_is_made_is_made_as_the_caller_makes_it [Program("python3")],
    e13_a_filter_of_ones_own_weakens_nothing [Program("python3")],
    e13_hiding_ones_memory_weakens_nothing [Program("python3"), Program("cc")],
    e14_bad_pointers_are_answered_as_the_kernel_does [Program("cc")],
    e19_the_network_cannot_be_changed [Program("python3"), Program("ip"), Program("unshare")],
    e20_another_session_is_not_reached [Program("python3")],
    e20_an_address_of_the_host_s_interface_is_not_reached [RootHarness, Program("python3")],
}

fn e05_one_allowed_destination_carries_no_other(world: &World) {
    let code = r#"
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); own.bind(("127.0.0.1", 0)); own.settimeout(2)
def messages(*ports):
    keep, headers = [], b""
    for host, port in ports:
        name = ctypes.create_string_buffer(struct.pack("=H", 2) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8))
        data = ctypes.create_string_buffer(b"carried")
        vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(data), 7))
        keep += [name, data, vector]
        headers += struct.pack("QIIQQQQIIII", ctypes.addressof(name), 16, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0, 0, 0)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    buffer = ctypes.create_string_buffer(headers)
    sent = call("sendmmsg", s.fileno(), buffer, len(ports), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    return sent, keep
sent, _ = messages(("127.0.0.1", own.getsockname()[1]), (sys.argv[1], int(sys.argv[2])))
print("sent", sent, own.recv(100).decode())
"#;
    let host = UdpSocket::bind("0.0.0.0:0").expect("a port");
    host.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
    let port = host.local_addr().expect("its address").port();
    probe::write(world, code);
    for address in ["127.0.0.1", "127.0.0.2", "10.9.8.7", "198.18.0.1"] {
        let inside = world.inside(&format!("python3 -B probe.py {address} {port}"));
        assert!(inside.out.contains("carried"), "its own server gets it: {inside:?}");
        if address == "10.9.8.7" {
            assert!(inside.out.contains("sent 1 "), "the count is true: {inside:?}");
        }
    }
    assert!(host.recv(&mut [0; 100]).is_err(), "a datagram arrived");
    world
        .outside(&format!("python3 -B probe.py 127.0.0.1 {port}"))
        .succeeds()
        .says("sent 2 carried");
    host.recv(&mut [0; 100]).expect("the control's datagram");
    // Connecting by the first bytes is refused, whichever call sends them.
    let fast = r#"
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen()
s = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)
fd = lambda: s().detach()
attempt("sendto", lambda: s().sendto(b"x", 0x20000000, listener.getsockname()))
attempt("sendmsg", lambda: s().sendmsg([b"x"], [], 0x20000000, listener.getsockname()))
def many():
    name = ctypes.create_string_buffer(struct.pack("=H", 2) + struct.pack(">H", listener.getsockname()[1]) + socket.inet_aton("127.0.0.1") + bytes(8))
    data = ctypes.create_string_buffer(b"x"); vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(data), 1))
    call("sendmmsg", fd(), ctypes.create_string_buffer(struct.pack("QIIQQQQIIII", ctypes.addressof(name), 16, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0, 0, 0)), 1, 0x20000000)
attempt("sendmmsg", many)
"#;
    let answers = probe(world, fast, "");
    answers.are_refused();
    let through = answers.0.iter().filter(|each| each.outside == "done").count();
    assert!(
        through == 3
            || fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen")
                .is_ok_and(|text| text.trim() == "0"),
        "{answers:?}"
    );
}

fn e07_paths_are_resolved_as_the_caller_resolves_them(world: &World) {
    let code = r#"
os.makedirs("sub/deep", exist_ok=True)
here, sub = os.open(".", os.O_PATH), os.open("sub", os.O_RDONLY | os.O_DIRECTORY)
C = os.O_CREAT | os.O_WRONLY
attempt("by directory", lambda: write_all(call("openat", sub, "a1", C, 0o644)))
attempt("by place", lambda: write_all(call("openat", os.open("sub", os.O_PATH), "a2", C, 0o644)))
attempt("absolute, directory ignored", lambda: write_all(call("openat", 9999, os.getcwd() + "/sub/a3", C, 0o644)))
attempt("high half of the descriptor", lambda: write_all(call("openat", sub | (5 << 32), "a4", C, 0o644)))
attempt("cwd as 32 bits", lambda: write_all(call("openat", 0xffffff9c, "sub/a5", C, 0o644)))
attempt("closed descriptor", lambda: call("openat", 9999, "b1", C, 0o644))
attempt("minus one", lambda: call("mkdirat", -1, "b2", 0o755))
attempt("a file as directory", lambda: call("mkdirat", os.open("README", os.O_RDONLY), "b3", 0o755))
attempt("self cwd", lambda: write_all(os.open("/proc/self/cwd/sub/a6", C)))
attempt("thread cwd", lambda: write_all(os.open("/proc/thread-self/cwd/sub/a7", C)))
attempt("self fd", lambda: write_all(os.open(f"/proc/self/fd/{sub}/a8", C)))
attempt("upward", lambda: write_all(call("openat", sub, "deep/../a9", C, 0o644)))
attempt("mkdirat", lambda: call("mkdirat", sub, "c1", 0o755))
attempt("symlinkat", lambda: call("symlinkat", "a1", sub, "c2"))
attempt("linkat", lambda: call("linkat", sub, "a1", sub, "c3", 0))
attempt("renameat2", lambda: call("renameat2", sub, "a2", here, "sub/c4", 1))
attempt("fchdir", lambda: (os.fchdir(sub), write_all(os.open("c5", C))))
attempt("chdir in the child", lambda: (os.chdir("sub/deep"), write_all(os.open("c6", C))))
def removed():
    os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
    write_all(os.open("b4", C))
attempt("removed directory", removed)
def private():
    errors = []
    def work():
        libc.unshare(0x200)
        os.chdir("sub")
        try:
            write_all(os.open("d1", C)); os.mkdir("d2"); os.symlink("x", "d3"); os.link("d1", "d4"); os.rename("d4", "d5")
            write_all(os.open("/proc/thread-self/cwd/d6", C))
            write_all(os.open("/proc/self/cwd/sub/d7", C))
        except OSError as error: errors.append(error)
    thread = threading.Thread(target=work); thread.start(); thread.join()
    if errors: raise errors[0]
    write_all(os.open("sub/d8", C))
attempt("a thread's own directory", private)
def local():
    os.chdir("/tmp")
    server = socket.socket(socket.AF_UNIX); server.bind(f"relative-{os.getpid()}"); server.listen()
    os.mkdir(f"t{os.getpid()}"); os.chdir(f"t{os.getpid()}")
    socket.socket(socket.AF_UNIX).connect(f"../relative-{os.getppid() if False else os.getpid()}")
    os.unlink(f"../relative-{os.getpid()}"); os.rmdir(f"../t{os.getpid()}")
attempt("a socket by relative path", local)
def program():
    os.chdir("/usr"); directory = os.open("bin", os.O_PATH)
    if os.fork() == 0: call("execveat", directory, "true", (ctypes.c_char_p * 2)(b"true", None), (ctypes.c_char_p * 1)(None), 0)
    if os.wait()[1]: raise OSError(1, "no program")
attempt("a program by directory", program)
def nameless():
    fd = os.open("/bin/true", os.O_RDONLY)
    if os.fork() == 0: call("execveat", fd, "", (ctypes.c_char_p * 2)(b"true", None), (ctypes.c_char_p * 1)(None), 0x1000)
    if os.wait()[1]: raise OSError(1, "no program")
attempt("a program by descriptor", nameless)
"#;
    probe::write(world, code);
    let other = world.workspace_under_tmp();
    world.outside(&format!("cp probe.py {}", other.display())).succeeds();
    let inside = world.inside("python3 -B probe.py").succeeds();
    let outside =
        world.outside(&format!("cd {} && python3 -B probe.py", other.display())).succeeds();
    assert_eq!(inside.out, outside.out, "answers are the kernel's: {}", inside.err);
    let list = "find . -path ./.git -prune -o -printf '%y %m %p\\n' | sort";
    let here = world.outside(list).out;
    assert_eq!(here, world.outside(&format!("cd {} && {list}", other.display())).out);
    assert!(here.contains("./sub/d1") && here.contains("./sub/c5"), "{here}");
}

fn e07_what_is_made_is_made_as_the_caller_makes_it(world: &World) {
    let code = r#"
import resource
os.umask(0o027)
os.makedirs("m", exist_ok=True); os.chdir("m")
os.close(os.open("umasked", os.O_CREAT | os.O_WRONLY, 0o666))
os.mkdir("directory", 0o777); os.chmod("directory", 0o2770)
os.close(os.open("directory/inherits", os.O_CREAT | os.O_WRONLY, 0o644)); os.mkdir("directory/below")
fd = os.open("appends", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
os.write(fd, b"one"); os.lseek(fd, 0, 0); os.write(fd, b"two")
print("append", open("appends").read(), bool(fcntl.fcntl(fd, fcntl.F_GETFD) & 1), oct(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND))
plain = call("openat", AT, "plain", os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o644)
print("plain", fcntl.fcntl(plain, fcntl.F_GETFD) & 1, bool(fcntl.fcntl(plain, fcntl.F_GETFL) & os.O_NONBLOCK))
os.close(fd); os.close(plain)
print("lowest", os.open("lowest", os.O_CREAT | os.O_WRONLY) == min(set(range(3, 60)) - {int(n) for n in os.listdir("/proc/self/fd")} | {fd}) or "other")
attempt("exclusive", lambda: os.open("plain", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
attempt("a directory for writing", lambda: os.open("directory", os.O_WRONLY))
attempt("a link not followed", lambda: (os.symlink("plain", "soft"), os.open("soft", os.O_CREAT | os.O_NOFOLLOW | os.O_WRONLY)))
attempt("not a directory", lambda: os.open("plain/x", os.O_CREAT | os.O_WRONLY))
attempt("a missing parent", lambda: os.open("missing/x", os.O_CREAT | os.O_WRONLY))
attempt("a loop of links", lambda: (os.symlink("loop", "loop"), os.open("loop", os.O_CREAT | os.O_WRONLY)))
attempt("a long name", lambda: os.open("n" * 256, os.O_CREAT | os.O_WRONLY))
attempt("a name with a slash", lambda: os.open("slash/", os.O_CREAT | os.O_WRONLY))
attempt("closed to all", lambda: (os.mkdir("shut", 0), os.open("shut/x", os.O_CREAT | os.O_WRONLY))[0] if os.getuid() else os.open("missing/x", os.O_CREAT))
attempt("read-only file", lambda: (os.close(os.open("locked", os.O_CREAT | os.O_WRONLY, 0o444)), os.open("locked", os.O_WRONLY)) if os.getuid() else os.open("missing/x", os.O_CREAT))
attempt("rename over a full directory", lambda: (os.makedirs("full/x"), os.mkdir("e"), os.rename("e", "full")))
attempt("rename a directory into itself", lambda: os.rename("full", "full/x/y"))
attempt("link a directory", lambda: os.link("full", "hard"))
attempt("no more descriptors", lambda: (resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)), [os.open(f"many-{n}", os.O_CREAT | os.O_WRONLY) for n in range(40)]))
def limited():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    fd = os.open("limited", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"x" * 10); os.write(fd, b"x")
attempt("file size limit", limited)
attempt("size limit by truncate", lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)), os.truncate("plain", 100)))
me = os.stat("umasked"); print("owner", me.st_uid == os.getuid(), me.st_gid == os.getgid())
"#;
    probe::write(world, code);
    let other = world.workspace_under_tmp();
    world.outside(&format!("cp probe.py {}", other.display())).succeeds();
    let inside = world.inside("python3 -B probe.py").succeeds();
    let outside =
        world.outside(&format!("cd {} && python3 -B probe.py", other.display())).succeeds();
    assert_eq!(inside.out, outside.out, "{}", inside.err);
    let list = "find m -printf '%y %m %s %U %G %p\\n' | grep -v many | sort";
    let sizes =
        |place: &str| world.outside(&format!("cd {place} && {list}")).out.replace(" 4096 ", " ");
    assert_eq!(sizes("."), sizes(&other.display().to_string()));
    world.outside("chmod 700 m/shut").both();
}

fn e13_a_filter_of_ones_own_weakens_nothing(world: &World) {
    let code = r#"
ALLOW, ERRNO0, TRACE, TRAP, NOTIFY, LOG = 0x7fff0000, 0x00050000, 0x7ff00000, 0x00030000, 0x7fc00000, 0x7ffc0000
def install(flags, *code):
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    return call("seccomp", 1, flags, struct.pack("HxxxxxxQ", len(code), ctypes.addressof(program)))
everything = lambda action: [(6, 0, 0, action)]
# Only what makes names is handed to the listener, or nothing would run.
creation = lambda action: [(0x20, 0, 0, 0)] + [line for number in (NUMBERS[n][0 if X86 else 1] for n in ("openat", "mkdirat", "symlinkat", "mkdir", "symlink")) if number is not None for line in [(0x15, 0, 1, number), (6, 0, 0, action)]] + [(6, 0, 0, ALLOW)]
def forbidden():
    for deed in (lambda: os.mkdir(".vscode"), lambda: os.symlink("x", ".mcp.json"), lambda: os.close(os.open(".envrc", os.O_CREAT | os.O_WRONLY)), lambda: os.close(os.open("../planted", os.O_CREAT | os.O_WRONLY)), lambda: call("unshare", 0x10000000), lambda: call("ptrace", 0, 0, 0, 0)):
        try: deed(); print("through", flush=True)
        except OSError: pass
def way(name, install_it):
    child = os.fork()
    if child == 0:
        try: install_it()
        except OSError as error: print(name, "not installed:", errno.errorcode[error.errno], flush=True)
        forbidden()
        print(name, "ended", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
def listen():
    fd = install(8, *creation(NOTIFY))
    def serve():
        while True:
            buffer = ctypes.create_string_buffer(80)
            fcntl.ioctl(fd, 0xc0502100, buffer)
            fcntl.ioctl(fd, 0xc0182101, ctypes.create_string_buffer(buffer.raw[:8] + struct.pack("qiI", 0, 0, 1)))
    threading.Thread(target=serve, daemon=True).start()
def landlock():
    ruleset = call(444, struct.pack("QQQ", 0x1fff, 0, 0), 24, 0)
    call(445, ruleset, 1, struct.pack("=Qi", 0x1fff, os.open("/", os.O_PATH)), 0)
    call(446, ruleset, 0)
libc.prctl(38, 1, 0, 0, 0)
way("none", lambda: None)
way("allow", lambda: install(0, *everything(ALLOW)))
way("log", lambda: install(2, *everything(LOG)))
way("spec allow", lambda: install(4, *everything(ALLOW)))
way("all threads", lambda: install(1, *everything(ALLOW)))
way("by prctl", lambda: call("prctl", 22, 2, struct.pack("HxxxxxxQ", 1, ctypes.addressof(ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, ALLOW)))), 0, 0))
way("trace", lambda: install(0, *creation(TRACE)))
way("landlock", landlock)
way("listener", listen)
"#;
    probe::write(world, code);
    let inside = world.inside("python3 -B probe.py");
    assert!(
        inside.out.contains("landlock ended") && inside.out.contains("spec allow ended"),
        "{inside:?}"
    );
    for name in [".envrc", ".vscode", ".mcp.json", "../planted"] {
        assert!(world.workspace.join(name).symlink_metadata().is_err(), "`{name}`: {inside:?}");
    }
    assert!(!inside.out.contains("through"), "{inside:?}");
    assert!(
        inside.out.contains("listener not installed: EBUSY"),
        "one listener at most: {inside:?}"
    );
    let outside = world.outside("python3 -B probe.py");
    assert!(
        outside.out.contains("through") && world.workspace.join(".envrc").exists(),
        "{outside:?}"
    );
}

fn e13_hiding_ones_memory_weakens_nothing(world: &World) {
    // The supervisor reads what callers pass; one whose memory it may not read
    // must be refused, or be judged all the same.
    let code = r#"
def deeds():
    for deed in (lambda: os.mkdir(".vscode"), lambda: os.close(os.open(".envrc", os.O_CREAT | os.O_WRONLY)), lambda: os.rename("spare", ".mcp.json")):
        try: deed(); print("through", flush=True)
        except OSError as error: print(error, flush=True)
    s = socket.socket(); s.settimeout(3)
    try: s.connect(("127.0.0.1", int(sys.argv[1]))); print("connected", flush=True)
    except OSError as error: print(error, flush=True)
    child = os.fork()
    if child == 0:
        try: os.execv("./evil", ["evil"])
        except OSError as error: print(error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
libc.prctl(4, 0, 0, 0, 0)
deeds()
print("ended", flush=True)
"#;
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("a socket that does not wait");
    world.settings("[network]\ndefault = \"refuse\"\n");
    world.rules("prefix_rule(pattern = [\"evil\"], decision = \"forbidden\")\n");
    compile(
        world,
        "evil",
        "#include <stdio.h>\nint main(void) { puts(\"forbidden ran\"); return 0; }\n",
    );
    world.outside("echo x > spare").succeeds();
    probe::write(world, code);
    let script =
        format!("python3 -B probe.py {}", server.local_addr().expect("its address").port());
    let inside = world.inside(&script).succeeds();
    assert!(server.accept().is_err(), "the server was reached: {inside:?}");
    for name in [".envrc", ".vscode", ".mcp.json"] {
        assert!(!world.workspace.join(name).exists(), "`{name}`: {inside:?}");
    }
    inside.says("ended").does_not_say("forbidden ran").does_not_say("through");
    world.outside(&script).succeeds().says("through").says("forbidden ran").says("connected");
}

fn e14_bad_pointers_are_answered_as_the_kernel_does(world: &World) {
    compile(world, "pointers", include_str!("programs/pointers.c"));
    world.outside("mkdir d control; cp pointers control; echo x > spare; mkdir control/d; echo x > control/spare").succeeds();
    let inside = world
        .inside("./pointers; echo fine > after; /bin/true && echo supervisor alive")
        .succeeds();
    let outside = world.outside("cd control && ./pointers; echo supervisor alive").succeeds();
    assert!(world.workspace.join("after").exists());
    let answers = Answers::of(&inside, &outside);
    assert!(answers.0.len() > 300, "{inside:?}");
    // What is wrong with a call in two ways may be told by the other one.
    let number = [
        "EFAULT",
        "ENAMETOOLONG",
        "ENOENT",
        "EINVAL",
        "EBADF",
        "ENOTSOCK",
        "EAFNOSUPPORT",
        "EACCES",
        "EPERM",
    ];
    let odd = |inside: &str, outside: &str| {
        inside != outside && (outside == "done" || !number.contains(&inside))
    };
    let odd: Vec<_> = answers.0.iter().filter(|each| odd(&each.inside, &each.outside)).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    let different = answers.0.iter().filter(|each| each.inside != each.outside).count();
    assert!(different < 40, "nearly all are the kernel's own: {answers:#?}");
    let faults = answers.0.iter().filter(|each| each.inside == "EFAULT").count();
    assert!(faults > 100, "{faults} faults: {inside:?}");
}

fn e19_the_network_cannot_be_changed(world: &World) {
    let commands = [
        "ip address add 10.0.0.1/8 dev lo",
        "ip address del 127.0.0.1/8 dev lo",
        "ip -6 address add fd00::1/64 dev lo",
        "ip link set lo down",
        "ip link set lo up mtu 1000",
        "ip route add default dev lo",
        "ip route add 8.8.8.8/32 via 127.0.0.1",
        "ip rule add from all lookup 200",
        "ip link add dummy0 type dummy",
        "ip link add veth0 type veth peer name veth1",
        "ip tuntap add tun0 mode tun",
        "ip neigh add 10.0.0.9 lladdr 00:00:00:00:00:01 dev lo",
    ];
    let script = commands
        .map(|command| format!("{command} >/dev/null 2>&1 && echo changed: {command}"))
        .join("\n");
    let view = "cat /proc/net/route /proc/net/ipv6_route /proc/net/fib_trie /proc/net/if_inet6; ip address; ip route show table all";
    let inside = world.inside(&format!("ip address > before; ip route > routes; {script}\nip address | cmp - before && ip route | cmp - routes && echo same; {view} >/dev/null"));
    assert!(inside.out.contains("same") && !inside.out.contains("changed"), "{inside:?}");
    let outside = world.outside(&format!("unshare --user --map-root-user --net sh -c '{script}'"));
    assert!(outside.out.matches("changed").count() >= 6, "{outside:?}");
    let code = r#"
s = lambda kind=socket.SOCK_STREAM: socket.socket(socket.AF_INET, kind)
attempt("transparent", lambda: s().setsockopt(0, 19, 1))
attempt("transparent 6", lambda: socket.socket(socket.AF_INET6).setsockopt(41, 75, 1))
attempt("mark", lambda: s().setsockopt(1, 36, 1))
attempt("priority", lambda: s().setsockopt(1, 12, 7))
attempt("force buffer", lambda: s().setsockopt(1, 33, 1 << 28))
attempt("upper protocol", lambda: s().setsockopt(6, 31, b"espintcp"))
attempt("low port of another address", lambda: s().bind(("10.1.2.3", 80)))
attempt("iptables", lambda: s(socket.SOCK_RAW).getsockopt(0, 64, 84))
attempt("netfilter", lambda: socket.socket(16, 3, 12))
attempt("xfrm", lambda: socket.socket(16, 3, 6))
attempt("diagnosis", lambda: socket.socket(16, 3, 4))
attempt("uevents", lambda: socket.socket(16, 3, 15))
attempt("ifreq address", lambda: fcntl.ioctl(s().detach(), 0x8916, struct.pack("16sHH4s8x", b"lo", 2, 0, b"\x0a\0\0\1")))
attempt("ifreq flags", lambda: fcntl.ioctl(s().detach(), 0x8914, struct.pack("16sH14x", b"lo", 1)))
attempt("route ioctl", lambda: fcntl.ioctl(s().detach(), 0x890b, bytes(120)))
attempt("arp ioctl", lambda: fcntl.ioctl(s().detach(), 0x8955, bytes(68)))
"#;
    probe::write(world, code);
    let inside = world.inside("python3 -B probe.py");
    let outside = world.outside("unshare --user --map-root-user --net python3 -B probe.py");
    Answers::of(&inside, &outside).are_refused().work_outside(&[
        "transparent",
        "mark",
        "netfilter",
        "ifreq flags",
    ]);
    // Binding to a device does not lead out where there is but one.
    world.inside("python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(1, 25, b\"eth0\")'").fails();
}

fn e20_another_session_is_not_reached(world: &World) {
    let serve = r#"
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
local = socket.socket(socket.AF_UNIX); local.bind("\0remit-e2e-" + sys.argv[1]); local.listen()
named = socket.socket(socket.AF_UNIX); named.bind("/tmp/remit-e2e-" + sys.argv[1]); named.listen()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", server.getsockname()[1]))
open("port.new", "w").write(str(server.getsockname()[1])); os.rename("port.new", "port")
reached = []
for s in (server, local, named): threading.Thread(target=lambda s=s: [reached.append(s.accept()) for _ in range(99)], daemon=True).start()
threading.Thread(target=lambda: [reached.append(udp.recv(9)) for _ in range(99)], daemon=True).start()
while not os.path.exists("stop"): time.sleep(0.02)
print("reached", len(reached), flush=True)
"#;
    let mark = world.mark();
    world.write(&world.workspace.join("serve.py"), &format!("{}\n{serve}", super::attempts::CALLS));
    let connect = r#"
port, mark = int(open("port").read()), sys.argv[1]
def reach(family, address):
    s = socket.socket(family); s.settimeout(3); s.connect(address)
for host in ("127.0.0.1", "127.0.0.2", "198.18.0.2", "0.0.0.0"): attempt(host, lambda: reach(socket.AF_INET, (host, port)))
for host in ("::1", "::ffff:127.0.0.1", "fd72:656d:6974::2"): attempt(host, lambda: reach(socket.AF_INET6, (host, port)))
# The gateway is the session's own proxy, which answers by itself.
def ask(family, host):
    s = socket.socket(family); s.settimeout(3); s.connect((host, port))
    s.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nhost: x\r\n\r\n" % port)
    if not s.recv(99).startswith(b"HTTP/1.1 200"): raise ConnectionRefusedError(111, "refused")
attempt("gateway", lambda: ask(socket.AF_INET, "198.18.0.1"))
attempt("gateway 6", lambda: ask(socket.AF_INET6, "fd72:656d:6974::1"))
attempt("abstract", lambda: reach(socket.AF_UNIX, "\0remit-e2e-" + mark))
attempt("file", lambda: reach(socket.AF_UNIX, "/tmp/remit-e2e-" + mark))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))
"#;
    let other = world.workspace_under_tmp();
    probe::write(world, connect);
    world.outside(&format!("cp probe.py {}", other.display())).succeeds();
    let place = other.display().to_string();
    let run = |running: Running, client: &dyn Fn() -> crate::run::Output| {
        eventually("the server", Duration::from_secs(10), || {
            world.workspace.join("port").exists().then_some(())
        });
        world.outside(&format!("cp port {place}")).succeeds();
        let said = client();
        world.outside("touch stop").succeeds();
        let served = running.finish();
        world.outside("rm -f stop port").succeeds();
        (said, served)
    };
    let serve = format!("python3 -B serve.py {mark}");
    let client = format!("python3 -B probe.py {mark}");
    let (said, served) = run(world.start(&["run", "--", "sh", "-c", &serve]), &|| {
        world.remit(&["run", "-C", &place, "--", "sh", "-c", &client])
    });
    let (control, reached) =
        run(Running::start(world.command("sh", &["-c", &serve])), &|| world.outside(&client));
    world.outside(&format!("rm -f /tmp/remit-e2e-{mark}")).succeeds();
    assert!(served.out.contains("reached 0"), "{served:?} {said:?}");
    assert!(
        reached.out.contains("reached 6")
            || reached.out.contains("reached 5")
            || reached.out.contains("reached 7"),
        "{reached:?}"
    );
    Answers::of(&said, &control).are_refused().work_outside(&["127.0.0.1", "abstract", "file"]);
}

fn e20_an_address_of_the_host_s_interface_is_not_reached(world: &World) {
    // A network of the test's own stands for the host's.
    let serve = "import socket\nwith socket.socket() as s:\n  s.bind((\"0.0.0.0\", 8099)); s.listen(); print(\"up\", flush=True)\n  while True: s.accept()[0].sendall(b\"the host\")\n";
    world.write(&world.workspace.join("serve.py"), serve);
    let reach = "import socket, sys\nfor host in sys.argv[1:]:\n  try: s = socket.create_connection((host, 8099), 3); print(host, s.recv(9).decode())\n  except OSError as error: print(host, error)\n";
    world.write(&world.workspace.join("reach.py"), reach);
    let hosts = "10.77.0.1 172.31.77.1 169.254.77.1 127.0.0.1 127.1.2.3";
    let script = format!(
        "ip link set lo up; for a in 10.77.0.1 172.31.77.1 169.254.77.1; do ip address add $a/24 dev lo; done
         python3 serve.py > up & while ! [ -s up ]; do sleep 0.02; done
         as() {{ setpriv --reuid {uid} --regid {gid} --clear-groups -- \"$@\"; }}
         as {remit} run -- python3 reach.py {hosts}; echo ---; as python3 reach.py {hosts}; kill $!",
        uid = world.who.uid,
        gid = world.who.gid,
        remit = crate::places::remit().display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "setsid", "sh", "-c", &script]);
    world.dress(&mut command);
    let output = Running::start(command).finish();
    let (inside, outside) = output.out.split_once("---").unwrap_or_else(|| panic!("{output:?}"));
    assert!(!inside.contains("the host"), "{output:?}");
    assert_eq!(inside.lines().filter(|line| !line.is_empty()).count(), 5, "{output:?}");
    assert!(outside.matches("the host").count() == 5, "{output:?}");
}
