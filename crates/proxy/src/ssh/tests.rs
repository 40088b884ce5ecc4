//! A program, the door, and a host, all of them really speaking SSH.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{Auth, Msg, Session};
use russh::{Channel, ChannelId, ChannelMsg, client, server};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use tokio::io::copy_bidirectional;

use crate::meter::Caps;
use crate::witness::{Witness, pair};

const FETCH: &str = "git-upload-pack '/team/a.git'";

/// A host that takes one person's key, and answers each command with what it
/// was told, on both streams, and status 7.
#[derive(Clone)]
struct Host {
    takes: PublicKey,
    told: Arc<Mutex<Vec<String>>>,
}

impl server::Handler for Host {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: &PublicKey) -> Result<Auth, russh::Error> {
        self.told.lock().expect("told").push(format!("user {user}"));
        Ok(if *key.key_data() == *self.takes.key_data() { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }

    async fn env_request(
        &mut self,
        _: ChannelId,
        name: &str,
        value: &str,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.told.lock().expect("told").push(format!("{name}={value}"));
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.told.lock().expect("told").push(String::from_utf8_lossy(command).into_owned());
        session.channel_success(id)?;
        session.extended_data(id, 1, "progress".as_bytes().to_vec().into())
    }

    async fn data(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.data(id, data.to_vec().into())
    }

    async fn channel_eof(&mut self, id: ChannelId, s: &mut Session) -> Result<(), russh::Error> {
        s.exit_status_request(id, 7)?;
        s.eof(id)?;
        s.close(id)
    }
}

/// A program that takes the key of whom it meets, and remembers it.
struct Program(Arc<Mutex<Option<PublicKey>>>);

impl client::Handler for Program {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKey) -> Result<bool, russh::Error> {
        *self.0.lock().expect("met") = Some(key.clone());
        Ok(true)
    }
}

struct World {
    files: tempdir::Folder,
    keys: SshKeys,
    witness: Witness,
    host: SocketAddr,
    host_key: PrivateKey,
    told: Arc<Mutex<Vec<String>>>,
    met: Arc<Mutex<Option<PublicKey>>>,
}

/// Folders that go away with their test.
mod tempdir {
    use std::path::PathBuf;

    pub(super) struct Folder(pub(super) PathBuf);

    impl Folder {
        pub(super) fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("remit-ssh-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn made() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::ssh_key::rand_core::OsRng, Algorithm::Ed25519)
        .expect("a key")
}

impl World {
    async fn new(name: &str, commands: &[&str]) -> Self {
        let files = tempdir::Folder::new(name);
        let (host_key, person) = (made(), made());
        let told = Arc::new(Mutex::new(Vec::new()));
        let config = server::Config {
            keys: vec![host_key.clone()],
            auth_rejection_time: Duration::ZERO,
            ..server::Config::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let host = listener.local_addr().expect("its address");
        let serving = Host { takes: person.public_key().clone(), told: Arc::clone(&told) };
        tokio::spawn(async move {
            let config = Arc::new(config);
            while let Ok((stream, _)) = listener.accept().await {
                let session = server::run_stream(Arc::clone(&config), stream, serving.clone());
                tokio::spawn(async move { session.await.expect("a session").await });
            }
        });
        let identity = files.0.join("id_ed25519");
        let text = person.to_openssh(russh::keys::ssh_key::LineEnding::LF).expect("its text");
        std::fs::write(&identity, text.as_bytes()).expect("its file");
        let keys =
            SshKeys::new(vec![files.0.join("known_hosts")], None, vec![identity]).expect("keys");
        let witness = Witness::of_ssh(commands);
        let world = Self { files, keys, witness, host, host_key, told, met: Arc::default() };
        world.knows(&world.host_key.public_key().to_openssh().expect("its text"));
        world
    }

    fn knows(&self, key: &str) {
        let path = self.files.0.join("known_hosts");
        let mut file = std::fs::File::create(path).expect("known hosts");
        writeln!(file, "[127.0.0.1]:{} {key}", self.host.port()).expect("a line");
    }

    /// A program that is logged in as `git`, and what comes of its connection.
    async fn program(&self) -> (client::Handle<Program>, JoinHandle<Result<&'static str, Stop>>) {
        self.program_of(Caps::default()).await
    }

    async fn program_of(
        &self,
        caps: Caps,
    ) -> (client::Handle<Program>, JoinHandle<Result<&'static str, Stop>>) {
        let (near, far) = pair().await;
        let mut flow = self.witness.flow(self.host);
        let meter = Meter::new(caps, Arc::clone(&flow.shared));
        let agent = Agent::new(far, Bytes::new(), Arc::new(meter));
        let keys = self.keys.clone();
        let carried = tokio::spawn(async move { carry(&mut flow, agent, &keys).await });
        let program = Program(Arc::clone(&self.met));
        let mut handle =
            client::connect_stream(Arc::default(), near, program).await.expect("a greeting");
        assert!(handle.authenticate_none("git").await.expect("an answer").success());
        (handle, carried)
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("told").clone()
    }
}

/// Everything that comes back of a command: output, standard error, status.
async fn said(mut channel: Channel<client::Msg>) -> (String, String, Option<u32>) {
    let (mut out, mut err, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => out.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, ext: 1 } => err.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(out), text(err), status)
}

async fn run(program: &client::Handle<Program>, command: &str) -> (String, String, Option<u32>) {
    let channel = program.channel_open_session().await.expect("a channel");
    channel.set_env(false, "LD_PRELOAD", "/x").await.expect("sent");
    channel.set_env(false, "GIT_PROTOCOL", "version=2;id").await.expect("sent");
    channel.set_env(false, "GIT_PROTOCOL", "version=2").await.expect("sent");
    channel.exec(true, command).await.expect("sent");
    // A refused command may have closed its input already.
    let _ = channel.data(&b"want"[..]).await;
    let _ = channel.eof().await;
    said(channel).await
}

fn refused(stop: Result<&'static str, Stop>) -> Refusal {
    match stop {
        Err(Stop::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_named_command_runs_on_the_host_in_the_persons_name() {
    let world = World::new("runs", &["git-upload-pack"]).await;
    for spelt in [FETCH, "git upload-pack /team/a.git"] {
        let (program, carried) = world.program().await;
        let (out, err, status) = run(&program, spelt).await;
        assert_eq!((&*out, &*err, status), ("want", "progress", Some(7)));
        assert!(program.channel_open_session().await.is_err(), "one command, one connection");
        drop(program);
        assert_eq!(carried.await.expect("no panic").expect("carried"), "closed");
    }
    assert_eq!(world.told(), ["user git", "GIT_PROTOCOL=version=2", FETCH].repeat(2));
    let blob = world.host_key.public_key().to_bytes().expect("a blob");
    let key = Fact::SshHostKey {
        algorithm: "ssh-ed25519".into(),
        fingerprint: watch::fingerprint(&blob),
    };
    let expected = [
        Fact::Protocol { name: "ssh", inspected: true },
        Fact::SshCommand { user: "git".into(), command: FETCH.into() },
        key,
    ];
    for facts in world.witness.facts().chunks(3) {
        assert_eq!(facts, expected);
    }
    assert_eq!(world.witness.facts().len(), 6);
    let met = world.met.lock().expect("met").clone().expect("a key");
    let line = world.keys.known_hosts_line("git.example").expect("a line");
    let (hosts, key) = line.split_once(' ').expect("two fields");
    assert_eq!(hosts, "git.example");
    assert_eq!(PublicKey::from_openssh(key).expect("a key").key_data(), met.key_data());
    assert_ne!(met.key_data(), world.host_key.public_key().key_data());
}

#[tokio::test]
async fn another_command_is_refused_and_nothing_is_dialled() {
    let cases = [
        "git-receive-pack '/team/a.git'",
        "git-upload-pack '/team/a.git'; id",
        "git-upload-pack '/team/a.git'\nid",
        "git-upload-pack --exec=id '/team/a.git'",
        "GIT_UPLOAD_PACK=x git-upload-pack '/team/a.git'",
        "/tmp/git-upload-pack '/team/a.git'",
        "GIT-UPLOAD-PACK '/team/a.git'",
        "sh -c 'git-upload-pack a'",
        "",
    ];
    let world = World::new("other", &["git-upload-pack"]).await;
    for command in cases {
        let (program, carried) = world.program().await;
        let (out, err, status) = run(&program, command).await;
        assert_eq!((&*out, status), ("", Some(255)), "{command}");
        assert!(err.starts_with("refused: connect to `127.0.0.1:"), "{command}: {err}");
        assert!(err.contains("only git-upload-pack by SSH on 127.0.0.1:"), "{command}: {err}");
        drop(program);
        let refusal = refused(carried.await.expect("no panic"));
        assert_eq!(format!("{refusal}\n"), err, "{command}");
    }
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn what_is_no_command_is_refused() {
    let world = World::new("kinds", &["git-upload-pack"]).await;
    let check = async |what: &str, kind: u8| {
        let (mut program, carried) = world.program().await;
        match kind {
            0 => {
                let channel = program.channel_open_session().await.expect("a channel");
                channel.request_shell(false).await.expect("sent");
                assert_eq!(said(channel).await.2, Some(255));
            }
            1 => {
                let channel = program.channel_open_session().await.expect("a channel");
                channel.request_subsystem(false, "sftp").await.expect("sent");
                assert_eq!(said(channel).await.2, Some(255));
            }
            2 => {
                let opened =
                    program.channel_open_direct_tcpip("paste.example", 443, "::1", 1).await;
                assert!(opened.is_err());
            }
            3 => {
                let opened = program.channel_open_direct_streamlocal("/run/docker.sock").await;
                assert!(opened.is_err());
            }
            4 => assert!(program.streamlocal_forward("/tmp/back").await.is_err()),
            _ => assert!(program.tcpip_forward("0.0.0.0", 80).await.is_err()),
        }
        drop(program);
        let refusal = refused(carried.await.expect("no panic"));
        assert!(refusal.attempt.ends_with(what), "{}", refusal.attempt);
    };
    check("by SSH to open a shell", 0).await;
    check("by SSH to use the subsystem `sftp`", 1).await;
    check("by SSH to reach `paste.example:443` through it", 2).await;
    check("by SSH to reach its socket `/run/docker.sock`", 3).await;
    check("by SSH to listen there on the socket `/tmp/back`", 4).await;
    check("by SSH to listen there on `0.0.0.0:80`", 5).await;
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn a_host_with_another_key_gets_neither_login_nor_command() {
    let world = World::new("keys", &["git-upload-pack"]).await;
    let own = world.host_key.public_key().to_openssh().expect("its text");
    let other = made().public_key().to_openssh().expect("its text");
    let port = world.host.port();
    for (lines, why) in [
        (String::new(), "is not known"),
        (other.clone(), "is another than the known one"),
        (format!("{own}\n@revoked [127.0.0.1]:{port} {own}"), "is revoked"),
    ] {
        world.knows(&lines);
        let (program, carried) = world.program().await;
        let (_, err, status) = run(&program, FETCH).await;
        assert!(err.contains(why) && status == Some(255), "{err}");
        drop(program);
        assert!(refused(carried.await.expect("no panic")).attempt.ends_with(why));
    }
    assert_eq!(world.told(), [""; 0]);
}

#[tokio::test]
async fn a_host_that_takes_no_key_is_a_failure_that_says_so() {
    let mut world = World::new("login", &["git-upload-pack"]).await;
    world.keys.identities = vec![world.files.0.join("absent")];
    let (program, carried) = world.program().await;
    let (_, err, _) = run(&program, FETCH).await;
    assert!(err.contains("cannot log in to `127.0.0.1:") && err.contains("no SSH key is held"));
    drop(program);
    assert!(matches!(carried.await.expect("no panic"), Err(Stop::Failed(_))));
}

#[tokio::test]
async fn much_is_carried_both_ways() {
    // More than all buffers between them take, so that each waits for the other.
    let world = World::new("much", &["cat"]).await;
    let (program, _carried) = world.program().await;
    let channel = program.channel_open_session().await.expect("a channel");
    channel.exec(true, "cat").await.expect("sent");
    let (mut back, out) = channel.split();
    let sent: Vec<u8> = (0..12_000_000_u32).map(|i| (i % 251) as u8).collect();
    let expected = sent.clone();
    let sending = tokio::spawn(async move {
        out.data(&sent[..]).await.expect("sent");
        out.eof().await.expect("sent");
    });
    let mut got = Vec::new();
    while let Some(message) = back.wait().await {
        if let ChannelMsg::Data { data } = message {
            got.extend_from_slice(&data);
        }
    }
    sending.await.expect("no panic");
    assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
}

#[tokio::test]
async fn an_upload_beyond_its_cap_ends_the_command() {
    let world = World::new("cap", &["cat"]).await;
    let caps = Caps { session: Some(100_000), there: Vec::new() };
    let (program, carried) = world.program_of(caps).await;
    let mut channel = program.channel_open_session().await.expect("a channel");
    channel.exec(true, "cat").await.expect("sent");
    // Beyond the cap nobody reads any more.
    let _ = channel.data(&vec![7; 300_000][..]).await;
    while channel.wait().await.is_some() {}
    drop(program);
    let refusal = refused(carried.await.expect("no panic"));
    assert!(refusal.basis.rule.contains("upload cap"), "{refusal}");
}

#[tokio::test]
async fn nothing_is_compressed() {
    // A few bytes from either side would unfold to very many in our memory.
    let world = World::new("zlib", &["git-upload-pack"]).await;
    let (near, far) = pair().await;
    let mut flow = world.witness.flow(world.host);
    let agent = Agent::new(far, Bytes::new(), Arc::clone(&flow.meter));
    let keys = world.keys.clone();
    tokio::spawn(async move { carry(&mut flow, agent, &keys).await });
    let compression = Cow::Borrowed(&[russh::compression::ZLIB][..]);
    let preferred = Preferred { compression, ..Preferred::DEFAULT };
    let config = client::Config { preferred, ..client::Config::default() };
    let program = Program(Arc::clone(&world.met));
    assert!(client::connect_stream(Arc::new(config), near, program).await.is_err());
}

#[tokio::test]
async fn dropping_the_carrying_ends_both_sides() {
    let world = World::new("dropped", &["git-upload-pack"]).await;
    let (program, carried) = world.program().await;
    let channel = program.channel_open_session().await.expect("a channel");
    channel.exec(true, FETCH).await.expect("sent");
    let mut channel = channel;
    while !matches!(channel.wait().await, Some(ChannelMsg::ExtendedData { .. }) | None) {}
    carried.abort();
    let ended = async { while channel.wait().await.is_some() {} };
    timeout(Duration::from_secs(5), ended).await.expect("the program's side is closed");
}

#[tokio::test]
async fn a_program_that_is_refused_reads_why() {
    let (mut near, mut far) = pair().await;
    let words = "refused: connect to `h:22`\n  by `deny h`";
    tokio::io::AsyncWriteExt::write_all(&mut far, &farewell(words)).await.expect("written");
    drop(far);
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut near, &mut bytes).await.expect("read");
    let packet = bytes.strip_prefix(b"SSH-2.0-Remit\r\n").expect("a version");
    let length = u32::from_be_bytes(packet[..4].try_into().expect("a length")) as usize;
    assert_eq!((packet.len(), packet.len() % 8), (4 + length, 0), "SOURCE: RFC 4253 §6");
    assert!(packet[4] >= 4 && String::from_utf8_lossy(packet).contains(words));
}

#[tokio::test]
async fn watching_passes_everything_on() {
    let world = World::new("watch", &[]).await;
    let (near, mut far) = pair().await;
    let mut upstream = TcpStream::connect(world.host).await.expect("the host");
    let witness = world.witness.clone();
    tokio::spawn(async move {
        watch(&witness, &mut far, &mut upstream).await.expect("watched");
        let _ = copy_bidirectional(&mut far, &mut upstream).await;
    });
    let program = Program(Arc::clone(&world.met));
    let _greeted = client::connect_stream(Arc::default(), near, program).await.expect("a greeting");
    let blob = world.host_key.public_key().to_bytes().expect("a blob");
    assert_eq!(
        world.witness.facts(),
        [
            Fact::Protocol { name: "ssh", inspected: false },
            Fact::SshHostKey {
                algorithm: "ssh-ed25519".into(),
                fingerprint: watch::fingerprint(&blob)
            },
        ]
    );
}
