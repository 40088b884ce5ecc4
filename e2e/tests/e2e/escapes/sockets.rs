//! Sockets of the host and of odd families.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::attempts::CALLS;
use super::probe::{self, Answers};
use crate::run::{Running, eventually};
use crate::scenario::Need::Program;
use crate::world::World;

scenarios! { "escapes":
    d26_sockets_of_the_host_are_not_reached [Program("python3")],
    d30_datagrams_to_sockets_of_the_host_do_not_arrive [Program("python3")],
    d32_no_other_family_of_sockets_is_made [Program("python3")],
}

/// Servers of the host at the places and of the kinds that desktops use. Each
/// line of the notes is one that was reached.
const SERVERS: &str = r#"
base, mark = sys.argv[1], sys.argv[2]
notes = open(os.path.join(base, "reached"), "a")
kept = []
def serve(name, address, kind):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(address)
    if kind != socket.SOCK_DGRAM: s.listen()
    def loop():
        while True:
            if kind == socket.SOCK_DGRAM: s.recv(100)
            else: kept.append(s.accept())
            print(name, file=notes, flush=True)
    threading.Thread(target=loop, daemon=True).start()
home = os.environ["HOME"]
for kind, word in ((socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "packet"), (socket.SOCK_DGRAM, "datagram")):
    os.makedirs(home + "/.cache/bus", exist_ok=True)
    serve("home-" + word, f"{home}/.cache/bus/{word}", kind)
    serve("tmp-" + word, f"{base}/{word}", kind)
    serve("workspace-" + word, f"{word}.sock", kind)
    serve("abstract-" + word, f"\0{mark}-{word}", kind)
open(os.path.join(base, "ready"), "w")
time.sleep(60)
"#;

const CLIENTS: &str = r#"
base, mark = sys.argv[1], sys.argv[2]
home = os.environ["HOME"]
def connect(address, kind):
    def deed():
        s = socket.socket(socket.AF_UNIX, kind)
        s.setblocking(False)
        s.connect(address() if callable(address) else address)
        s.send(b"x")
    return deed
def send(address, kind):
    def deed():
        s = socket.socket(socket.AF_UNIX, kind)
        if kind == socket.SOCK_DGRAM: s.sendto(b"x", address)
        else: s.connect(address)
    return deed
def message(address, kind):
    def deed():
        socket.socket(socket.AF_UNIX, kind).sendmsg([b"x"], [], 0, address)
    return deed
def many(address):
    def deed():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = ctypes.create_string_buffer(struct.pack("H", 1) + (address.encode() if isinstance(address, str) else address) + b"\0")
        data = ctypes.create_string_buffer(b"x")
        vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(data), 1))
        length = len(name) - 1 if not address.startswith("\0") else 2 + len(address)
        header = struct.pack("QIIQQQQIIII", ctypes.addressof(name), length, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0, 0, 0)
        call("sendmmsg", s.fileno(), ctypes.create_string_buffer(header), 1, 0)
    return deed
def inside_of(directory, name):
    def where():
        os.chdir(directory)
        return name
    return where
kinds = ((socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "packet"), (socket.SOCK_DGRAM, "datagram"))
for kind, word in kinds:
    places = {"home": f"{home}/.cache/bus/{word}", "tmp": f"{base}/{word}", "workspace": f"{word}.sock", "abstract": f"\0{mark}-{word}"}
    for place, address in places.items():
        attempt(f"{place} {word} connect", connect(address, kind))
        if kind == socket.SOCK_DGRAM:
            attempt(f"{place} {word} sendto", send(address, kind))
            attempt(f"{place} {word} sendmsg", message(address, kind))
            attempt(f"{place} {word} sendmmsg", many(address))
    os.path.lexists("l-" + word) or os.symlink(places["home"], "l-" + word)
    attempt(f"link {word}", connect("l-" + word, kind))
    attempt(f"proc {word}", connect(f"/proc/self/root{home}/.cache/bus/{word}", kind))
    attempt(f"relative {word}", connect(inside_of(home + "/.cache/bus", word), kind))
    attempt(f"descriptor {word}", connect(lambda: "/proc/self/fd/%d" % os.open(places["home"], os.O_PATH), kind))
    def hard():
        os.link(f"{word}.sock", f"{word}.hard")
        connect(f"{word}.hard", kind)()
    attempt(f"hard link {word}", hard)
"#;

/// Runs the servers, the clients inside and then outside.
fn against_servers(world: &World, kinds: &[&str]) {
    let mark = format!("remit-{}", world.mark());
    let base = world.elsewhere().display().to_string();
    let servers = world.elsewhere().join("servers.py");
    world.write(&servers, &format!("{CALLS}\n{SERVERS}"));
    let _servers = Running::start(
        world.command("python3", &["-B", &servers.display().to_string(), &base, &mark]),
    );
    eventually("the servers", Duration::from_secs(10), || {
        world.elsewhere().join("ready").exists().then_some(())
    });
    let reached = || fs::read_to_string(world.elsewhere().join("reached")).unwrap_or_default();
    let reached = |kind: &str| reached().lines().filter(|line| line.ends_with(kind)).count();
    probe::write(world, CLIENTS);
    let script = format!("python3 -B probe.py {base} {mark}");
    let inside = world.inside(&script);
    let hits: Vec<_> = kinds.iter().map(|kind| reached(kind)).collect();
    world.outside("rm -f *.hard l-*").succeeds();
    let outside = world.outside(&script);
    for kind in kinds {
        let least = if *kind == "datagram" { 20 } else { 8 };
        eventually("the control's connections", Duration::from_secs(5), || {
            (reached(kind) >= least).then_some(())
        });
    }
    assert!(hits.iter().all(|hits| *hits == 0), "reached: {hits:?} {inside:?}");
    let mut answers = Answers::of(&inside, &outside);
    answers.0.retain(|each| kinds.iter().any(|kind| each.name.contains(kind)));
    answers.are_refused().work_outside(&[""]);
}

fn d26_sockets_of_the_host_are_not_reached(world: &World) {
    against_servers(world, &["stream", "packet"]);
    // Where the real ones are: nothing is there to be seen.
    let names = "/run/dbus/system_bus_socket /run/user/*/bus /run/user/*/systemd/private /run/user/*/wayland-0 /run/user/*/pipewire-0 /run/docker.sock /var/run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock /tmp/.X11-unix/X0 /run/systemd/private /run/systemd/notify /dev/log";
    let list = format!("for f in {names}; do [ -e \"$f\" ] && echo found $f; done; true");
    world.inside(&list).succeeds().does_not_say("found");
}

fn d30_datagrams_to_sockets_of_the_host_do_not_arrive(world: &World) {
    against_servers(world, &["datagram"]);
    // One that the session's own programs could be taken for.
    let path = world.workspace.join("log.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
    let send = "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b\"x\", \"log.sock\")";
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .expect("open to all");
    world.inside(&format!("python3 -c '{send}'")).fails();
    assert!(socket.recv(&mut [0; 10]).is_err(), "a datagram arrived");
    world.outside(&format!("python3 -c '{send}'")).succeeds();
    socket.recv(&mut [0; 10]).expect("the control's datagram");
}

fn d32_no_other_family_of_sockets_is_made(world: &World) {
    let code = r#"
allowed = {(1, kind, protocol) for kind in (1, 2, 3, 5) for protocol in (0, 1)} | {(family, kind, protocol) for family in (2, 10) for kind, protocol in ((1, 0), (2, 0), (1, 6), (2, 17))} | {(16, 3, 0), (16, 2, 0)}
made = []
for family in list(range(0, 60)) + [0x10001, 0xffff]:
    for kind in (1, 2, 3, 4, 5, 6, 10):
        protocols = range(0, 24) if family == 16 else (0, 1, 6, 17, 33, 58, 89, 115, 132, 136, 255, 262) if family in (2, 10) else (0, 1, 3, 768)
        for protocol in protocols:
            for flags in (0, 0o2000000):
                try:
                    socket.socket(family, kind | flags, protocol).close()
                    made.append((family, kind, protocol))
                except OSError: pass
                try:
                    if family == 1: continue
                    for s in socket.socketpair(family, kind | flags, protocol): s.close()
                    made.append(("pair", family, kind))
                except OSError: pass
odd = sorted({str(each) for each in made if each not in allowed})
print(len(set(made)), "odd:", *odd)
"#;
    probe::write(world, code);
    let inside = world.inside("python3 -B probe.py").succeeds();
    assert!(inside.out.trim().ends_with("odd:"), "{inside:?}");
    let made: u32 =
        inside.out.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    assert!(made >= 11, "ordinary ones are made: {inside:?}");
    let outside = world.outside("python3 -B probe.py").succeeds();
    assert!(outside.out.contains("(16, 3, 9)"), "the control makes others: {outside:?}");
}
