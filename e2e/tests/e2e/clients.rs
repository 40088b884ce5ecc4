//! Programs as people have them reach what is allowed, by no means of ours that they
//! know about: no proxy is configured, and where TLS is inspected they trust the
//! session's authority because of what Remit shows them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::internet::furniture::{self, SSHD};
use crate::internet::{GREETING, Internet, certificates};
use crate::places;
use crate::run::eventually;
use crate::scenario::Need::{self, Program};
use crate::world::World;

scenarios! { "clients":
    curl_fetches [Need::Internet, Program("curl")],
    node_fetches [Need::Internet],
    a_static_go_binary_fetches [Need::Internet, Program("go")],
    java_fetches [Need::Internet, Program("javac"), Program("keytool")],
    java_fetches_in_the_clear [Need::Internet, Program("javac")],
    odd_but_honest_requests_pass [Need::Internet, Program("curl"), Program("nc")],
    python_fetches [Need::Internet],
    git_clones_over_https [Need::Internet, Program("git")],
    git_pushes_over_https_where_requests_allow_it [Need::Internet, Program("git")],
    git_clones_over_ssh [Need::Internet, Program("git"), Program("ssh"), Program("sshd")],
    cargo_fetches [Need::Internet, Program("cargo")],
    pip_downloads [Need::Internet, Program("pip3")],
    npm_installs [Need::Internet, Program("npm")],
    apt_updates [Need::Internet, Program("apt-get")],
}

/// A program and what it says when it got through.
struct Client<'c> {
    host: &'c str,
    script: &'c str,
    /// The script where the machine's authorities alone vouch, if it has to differ:
    /// some programs do not look at those.
    uninspected: Option<&'c str>,
    says: &'c str,
}

impl Client<'_> {
    /// It works outside, inside, and inspected; without a word of the policy it
    /// reaches nothing.
    #[track_caller]
    fn works(&self, world: &World, internet: &Internet<'_>) {
        let Self { host, script, uninspected, says } = self;
        let plain = uninspected.unwrap_or(script);
        internet.outside(plain).succeeds().says(says);
        internet.forget();
        world.settings("");
        internet.inside(script);
        assert!(internet.seen().is_empty(), "unasked: {:?}", internet.seen());
        let allow = format!("[network]\nallow = [\"{host}\"]\n");
        world.settings(&allow);
        internet.inside(plain).succeeds().says(says);
        world.record().has(&["connect_fact", "tls", "\"inspected\":false"]);
        world.settings(&format!("{allow}inspect = [\"{host}\"]\n"));
        internet.inside(script).succeeds().says(says);
        let record = world.record();
        record.has(&["connect_fact", "tls", "\"inspected\":true"]);
        record.has(&["\"request\"", host, "https"]);
        // Java also writes where nothing may be written, and does not mind.
        let refused = record.with(&["\"refusal\"", host]);
        assert!(refused.is_empty(), "{refused:#?}");
    }
}

fn curl_fetches(world: &World) {
    let internet = Internet::new(world);
    for version in ["--http1.1", "--http2", "--tls-max 1.2"] {
        let script = format!("curl -sS -m 10 {version} https://api.example/");
        let client =
            Client { host: "api.example", script: &script, uninspected: None, says: GREETING };
        client.works(world, &internet);
    }
}

/// Its own list of authorities is built in.
fn node_fetches(world: &World) {
    let internet = Internet::new(world);
    internet.script(
        "fetch.mjs",
        "console.log(await (await fetch('https://api.example/', { signal: AbortSignal.timeout(9000) })).text())",
    );
    let client = Client {
        host: "api.example",
        script: "node fetch.mjs",
        uninspected: Some("node --use-openssl-ca fetch.mjs"),
        says: GREETING,
    };
    client.works(world, &internet);
}

fn python_fetches(world: &World) {
    let internet = Internet::new(world);
    let script = "python3 -c \"import urllib.request; print(urllib.request.urlopen('https://api.example/', timeout=9).read().decode())\"";
    Client { host: "api.example", script, uninspected: None, says: GREETING }
        .works(world, &internet);
}

fn a_static_go_binary_fetches(world: &World) {
    let internet = Internet::new(world);
    fs::copy(go_fetch(), world.workspace.join("fetch")).expect("a copy for the workspace");
    let script = "./fetch https://api.example/";
    Client { host: "api.example", script, uninspected: None, says: GREETING }
        .works(world, &internet);
}

fn go_fetch() -> PathBuf {
    const SOURCE: &str = r#"package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	io.Copy(os.Stdout, answer.Body)
}
"#;
    compiled("fetch-web", |folder| {
        fs::write(folder.join("fetch.go"), SOURCE).expect("a source file");
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(folder.join("fetch-web")).arg(folder.join("fetch.go"));
        go.env("CGO_ENABLED", "0").env("GOCACHE", places::workshop().join("go-cache"));
        go.env("GOFLAGS", "-mod=mod");
        go
    })
}

fn java_fetches(world: &World) {
    let internet = Internet::with(world, certificates::tell_java);
    java(world);
    let script = "java -XX:TieredStopAtLevel=1 -cp . Fetch https://api.example/";
    Client { host: "api.example", script, uninspected: None, says: GREETING }
        .works(world, &internet);
}

/// It offers to go on in HTTP/2, which may be declined and not refused.
fn java_fetches_in_the_clear(world: &World) {
    let internet = Internet::new(world);
    java(world);
    let script = "java -XX:TieredStopAtLevel=1 -cp . Fetch http://api.example/";
    internet.outside(script).succeeds().says(GREETING);
    assert!(!internet.saw(&["h2c"]).is_empty(), "the control offers: {:?}", internet.seen());
    internet.forget();
    world.settings("[network]\nallow = [\"api.example:80\"]\n");
    internet.inside(script).succeeds().says(GREETING);
    assert!(internet.saw(&["h2c"]).is_empty(), "the offer is not passed on: {:?}", internet.seen());
}

/// Puts `Fetch.class` into the workspace.
fn java(world: &World) {
    const SOURCE: &str = r#"
import java.net.URI;
import java.net.http.*;
import java.time.Duration;

public class Fetch {
    public static void main(String[] words) throws Exception {
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(words[0])).build();
        HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.version() + " " + answer.body());
    }
}
"#;
    let class = compiled("Fetch.class", |folder| {
        fs::write(folder.join("Fetch.java"), SOURCE).expect("a source file");
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(folder).arg(folder.join("Fetch.java"));
        javac
    });
    fs::copy(class, world.workspace.join("Fetch.class")).expect("a copy for the workspace");
}

/// What is rare and means one thing only.
fn odd_but_honest_requests_pass(world: &World) {
    let internet = Internet::new(world);
    world.settings("[network]\nallow = [\"api.example\"]\ninspect = [\"api.example\"]\n");
    let get = "GET / HTTP/1.0\\r\\nhost: api.example\\r\\n\\r\\n";
    for script in [
        // Its own end is closed before the answer comes.
        format!("printf '{get}' | nc -N -w 5 api.example 80"),
        "(printf 'GE'; sleep 1; printf 'T / HTTP/1.0\\r\\nhost: api.example\\r\\n\\r\\n') | nc -w 5 api.example 80".to_owned(),
        "printf 'GET http://api.example/ HTTP/1.1\\r\\nhost: api.example\\r\\nconnection: close\\r\\n\\r\\n' | nc -w 5 api.example 80".to_owned(),
        "curl -sS -m 5 -H \"x: $(head -c 12000 /dev/zero | tr '\\0' x)\" https://api.example/".to_owned(),
        "curl -sS -m 5 \"https://api.example/?$(head -c 12000 /dev/zero | tr '\\0' x)\"".to_owned(),
        "curl -sS -m 5 -H 'host: API.example:443' --http1.1 https://api.example/".to_owned(),
        "curl -sS -m 5 -X PURGE https://api.example/".to_owned(),
        "curl -sS -m 5 -H 'cookie: a=b' -H 'cookie: c=d' --http2 https://api.example/".to_owned(),
        "curl -sS -m 5 https://api.example./".to_owned(),
        "curl -sS -m 5 -6 https://api.example/".to_owned(),
        "curl -sS -m 5 -H 'connection: keep-alive, te' -H 'te: trailers' --http1.1 https://api.example/".to_owned(),
    ] {
        let outputs = [internet.outside(&script), internet.inside(&script)];
        assert!(outputs.iter().all(|one| one.out.contains(GREETING)), "{script}: {outputs:?}");
    }
}

/// A program of this build's own, made once.
fn compiled(name: &str, compiler: impl FnOnce(&Path) -> Command) -> PathBuf {
    let workshop = places::workshop();
    let made = workshop.join(name);
    if !made.exists() {
        let draft = tempfile::tempdir_in(&workshop).expect("a directory");
        let output = compiler(draft.path()).output().expect("a compiler");
        assert!(output.status.success(), "{output:?}");
        fs::rename(draft.path().join(name), &made).expect("the finished program");
    }
    made
}

/// Inside, repositories are made in `/tmp`.
const CLONE: &str = "git clone -q https://git.example/project.git $(mktemp -d)/x && echo cloned";

fn git_clones_over_https(world: &World) {
    let internet = Internet::with(world, furniture::repository);
    let client = Client { host: "git.example", script: CLONE, uninspected: None, says: "cloned" };
    client.works(world, &internet);
}

/// Fetching and pushing differ in the requests alone.
fn git_pushes_over_https_where_requests_allow_it(world: &World) {
    let internet = Internet::with(world, furniture::repository);
    let rule = |paths: &str| {
        format!(
            "[network]\ndefault = \"refuse\"\n[[network.rules]]\nhost = \"git.example\"\ndecision = \"allow\"\n\
             methods = [\"GET\"]\n[[network.rules]]\nhost = \"git.example\"\ndecision = \"allow\"\n\
             methods = [\"POST\"]\npaths = [{paths}]\n"
        )
    };
    let push = "cd $(mktemp -d) && git clone -q https://git.example/project.git x && cd x && echo cloned && \
         echo more > more && git add more && git commit -qm more && git push -q origin HEAD:refs/heads/$1";
    internet.script("push.sh", push);
    // Branches that were there from the start are packed into one file.
    let pushed = || {
        let heads = internet.folder().join("repositories/project.git/refs/heads");
        let names = fs::read_dir(heads).expect("branches").flatten();
        names.map(|name| name.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    world.settings(&rule("\"/*/git-upload-pack\""));
    internet.inside("sh push.sh refused").fails().says("cloned").says("403");
    assert!(pushed().is_empty(), "{:?}", pushed());
    world.record().has(&["refusal", "git-receive-pack"]);
    world.settings(&rule("\"/*/git-upload-pack\", \"/*/git-receive-pack\""));
    internet.inside("sh push.sh allowed").succeeds();
    assert_eq!(pushed(), ["allowed"]);
}

/// A server of SSH in the laboratory, as long as this is.
struct Sshd(Child);

impl Sshd {
    fn start(internet: &Internet<'_>) -> Self {
        let log = internet.folder().join("sshd.log");
        let mut sshd = internet.lab.enter(SSHD);
        sshd.args(["-D", "-f"]).arg(internet.folder().join("sshd.conf")).arg("-E").arg(&log);
        let server = Self(sshd.stdin(Stdio::null()).spawn().expect("nsenter"));
        eventually("sshd", Duration::from_secs(10), || {
            fs::read_to_string(&log).ok()?.contains("Server listening").then_some(())
        });
        server
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// With a key that lies in the workspace; those in `~/.ssh` are hidden.
fn git_clones_over_ssh(world: &World) {
    let internet = Internet::with(world, |folder| {
        furniture::repository(folder);
        furniture::ssh(folder);
    });
    let _server = Sshd::start(&internet);
    for name in ["userkey", "known"] {
        let text = fs::read_to_string(internet.folder().join(name)).expect("made before");
        internet.script(name, &text);
    }
    world.rules("prefix_rule(pattern = [\"git\", \"-c\"], decision = \"allow\")\n");
    let ssh = "ssh -i $PWD/userkey -o UserKnownHostsFile=$PWD/known -o IdentitiesOnly=yes -o BatchMode=yes";
    let repository = internet.folder().join("repositories/project.git").display().to_string();
    let script = format!(
        "chmod 600 userkey; git -c core.sshCommand=\"{ssh}\" -c protocol.version=2 clone -q \
         --upload-pack 'git -c safe.directory=* upload-pack' \
         ssh://{}@ssh.example{repository} $(mktemp -d)/x && echo cloned",
        world.who.name
    );
    internet.outside(&script).succeeds().says("cloned");
    internet.inside(&script).fails();
    world.settings("[network]\nallow = [\"ssh.example:22\"]\n");
    internet.inside(&script).succeeds().says("cloned");
    let record = world.record();
    record.has(&["connect", "ssh.example:22", "allow"]);
    record.has(&["connect_fact", "ssh"]);
    record.has(&["connect_fact", "SHA256:"]);
}

fn cargo_fetches(world: &World) {
    let internet = Internet::with(world, furniture::packages);
    furniture::project(internet.folder(), world);
    // Debian's Cargo is from before the sparse protocol was finished.
    let script = "export CARGO_HOME=$(mktemp -d) RUSTC_BOOTSTRAP=1; rm -f Cargo.lock; \
                  cargo fetch -q -Z sparse-registry && find $CARGO_HOME -name 'greeting-1.0.0.crate'";
    let client =
        Client { host: "crates.example", script, uninspected: None, says: "greeting-1.0.0.crate" };
    client.works(world, &internet);
}

fn pip_downloads(world: &World) {
    let internet = Internet::with(world, furniture::packages);
    let script = "cd $(mktemp -d) && pip3 --disable-pip-version-check --no-cache-dir download -q --no-deps \
                  --retries 0 --index-url https://pip.example/simple/ greeting && ls";
    // Debian's pip looks at the machine's list, PyPI's at its own.
    let client = Client {
        host: "pip.example",
        script,
        uninspected: None,
        says: "greeting-1.0-py3-none-any.whl",
    };
    client.works(world, &internet);
}

fn npm_installs(world: &World) {
    let internet = Internet::with(world, furniture::packages);
    furniture::project(internet.folder(), world);
    let script = "rm -rf node_modules; npm ci --registry https://npm.example/ --no-audit --no-fund \
                  --fetch-retries=0 --loglevel=error --prefer-online && node -p 'require(\"greeting\")'";
    let uninspected =
        script.replace("--prefer", "--cafile=/etc/ssl/certs/ca-certificates.crt --prefer");
    let client = Client {
        host: "npm.example",
        script,
        uninspected: Some(&uninspected),
        says: "hello from a package",
    };
    client.works(world, &internet);
}

fn apt_updates(world: &World) {
    let internet = Internet::with(world, furniture::packages);
    internet.script("sources.list", "deb [trusted=yes] https://apt.example/ ./\n");
    let script = "set -e; d=$(mktemp -d); mkdir -p $d/lists/partial $d/cache/archives/partial $d/parts; touch $d/status; \
        o=\"-o Dir::State=$d -o Dir::State::status=$d/status -o Dir::Cache=$d/cache -o Dir::Etc::sourcelist=$PWD/sources.list \
        -o Dir::Etc::sourceparts=$d/parts -o Dir::Etc::parts=$d/parts -o Dir::Etc::trustedparts=$d/parts \
        -o Dir::State::lists=$d/lists -o APT::Sandbox::User= -o Acquire::Retries=0 \
        -o APT::Update::Error-Mode=any -o Acquire::http::Timeout=9\"; \
        apt-get $o -qq update && apt-cache $o show greeting";
    let client =
        Client { host: "apt.example", script, uninspected: None, says: "hello from a package" };
    client.works(world, &internet);
}
