//! What leaves and what is answered, on a connection that is really carried, under
//! a real policy.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use remit_policy::{
    AgentNeeds, Answer, Choice, Connect, Grants, Host, Layer, Permit, Place, Policy, PolicyText,
    Port, Scheme, TextKind, Upload, Verdict,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::timeout;

use super::*;
use crate::credentials::Form;
use crate::credentials::frames::tests::frame;
use crate::credentials::tests::{TOKEN, held, loaded, placeholder_of, secret};
use crate::http::Inspected;
use crate::{Answered, Caps, Carried, Fact, Requested, Way};

/// A token of nobody's.
const FOUND: &str = "ghp_Ab3dEf6hIj9lMn2pQr5tUv8xYz1aBc4eFg7i";

/// Judges by a policy, answers every question alike, and remembers.
#[derive(Clone, Debug)]
struct Judging {
    policy: Arc<Policy>,
    answer: Choice,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Judging {
    fn new(network: &str, answer: Choice) -> Self {
        let text = PolicyText {
            layer: Layer::User,
            kind: TextKind::Settings,
            file: "config.toml".into(),
            text: format!("[network]\nallow = ['api.example', 'other.example']\n{network}"),
        };
        let agent = AgentNeeds { hosts: vec!["model.example".into()], ..AgentNeeds::default() };
        let place = Place { home: "/home/alice".into(), workspace: "/home/alice/w".into() };
        let policy = Policy::compile(&[text], None, &agent, &place).expect("a policy");
        Self { policy: Arc::new(policy), answer, seen: Arc::default() }
    }

    fn see(&self, what: String) {
        self.seen.lock().expect("no test panicked with it").push(what);
    }

    fn settle<A: remit_policy::Attempt>(&self, verdict: Verdict<A>) -> Result<Permit<A>, Refusal> {
        match verdict {
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Ask(question) => {
                self.see(format!("asked: {}", question.attempt().summary()));
                let answer = Answer {
                    choice: self.answer,
                    by: "alice".into(),
                    people: [].into(),
                    note: None,
                };
                question.settle(&answer)
            }
        }
    }
}

impl Gate for Judging {
    fn address(&self, _: &Connect, _: IpAddr) -> Result<(), Refusal> {
        unreachable!("nothing is dialled here")
    }
    fn way(&self, _: &Connect) -> Way {
        Way::Direct
    }
    fn handling(&self, permitted: &Connect) -> Handling {
        self.policy.handling(permitted)
    }
    fn caps(&self, _: &Connect) -> Caps {
        Caps::default()
    }
    async fn connect(&self, _: Host, _: Port) -> Result<(Self, Permit<Connect>), Refusal> {
        unreachable!("no proxy is spoken to here")
    }
    async fn request(&self, request: Request) -> Result<Requested, Refusal> {
        let permit = self.settle(self.policy.request(request, &Grants::default()))?;
        Ok(Requested { number: 7, permit })
    }
    async fn upload(&self, upload: Upload) -> Result<Permit<Upload>, Refusal> {
        self.settle(self.policy.upload(upload, &Grants::default()))
    }
    fn answered(&self, _: u64, _: Answered) {}
    fn noted(&self, _: Fact) {}
    fn refused(&self, refusal: &Refusal) {
        self.see(refusal.to_string());
    }
    fn failed(&self, error: String) {
        self.see(error);
    }
    fn ended(&self, _: Carried) {}
    async fn revoked(&self, _: &Connect) -> Refusal {
        std::future::pending().await
    }
}

/// One exchange.
struct Outcome {
    to_host: String,
    to_agent: String,
    seen: Vec<String>,
}

impl Outcome {
    #[track_caller]
    fn saw(&self, what: &str) {
        assert!(self.seen.iter().any(|seen| seen.contains(what)), "{what}: {:?}", self.seen);
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The credentials of these tests: a token for `api.example`.
fn token() -> Arc<Credentials> {
    Arc::new(held(vec![loaded("api", Form::Bearer(secret(TOKEN)), "api.example")]))
}

/// Says these pieces to a host, which answers `answer` to the head and closes.
async fn exchange(
    gate: &Judging,
    host: &str,
    answers: Option<Arc<Answers>>,
    pieces: &[&[u8]],
    answer: &str,
) -> Outcome {
    let connect = Connect::parse(&format!("{host}:443")).expect("a host");
    let handling = gate.handling(&connect);
    let hooks = Watch::new(gate.clone(), &handling, token(), answers);
    let inspected =
        Inspected { gate: gate.clone(), connect, scheme: Scheme::Https, hooks, is_crowded: false };
    let (mut agent, ours) = duplex(1 << 16);
    let (theirs, mut upstream) = duplex(1 << 16);
    let hosting = async {
        let (mut heard, mut room) = (Vec::new(), [0; 4096]);
        while let Ok(Ok(length @ 1..)) =
            timeout(Duration::from_secs(1), upstream.read(&mut room)).await
        {
            heard.extend_from_slice(&room[..length]);
        }
        if !heard.is_empty() {
            let _ = upstream.write_all(answer.as_bytes()).await;
        }
        drop(upstream);
        String::from_utf8_lossy(&heard).into_owned()
    };
    let asking = async {
        for piece in pieces {
            let _ = agent.write_all(piece).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut heard = Vec::new();
        let _ = agent.read_to_end(&mut heard).await;
        String::from_utf8_lossy(&heard).into_owned()
    };
    let (_, to_host, to_agent) = tokio::join!(inspected.one(ours, theirs), hosting, asking);
    let seen = gate.seen.lock().expect("no test panicked with it").clone();
    Outcome { to_host, to_agent, seen }
}

fn post(host: &str, length: usize) -> String {
    format!(
        "POST /paste HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// Posts a body in two pieces.
async fn posts(gate: &Judging, host: &str, body: &str, cut: usize) -> Outcome {
    let head = post(host, body.len());
    let (one, two) = body.as_bytes().split_at(cut);
    exchange(gate, host, None, &[head.as_bytes(), one, two], OK).await
}

#[tokio::test(start_paused = true)]
async fn a_token_in_a_body_does_not_leave_without_a_yes() {
    for cut in [0, 5, 7, 20, 40, 45] {
        let gate = Judging::new("", Choice::Refuse);
        let outcome = posts(&gate, "other.example", &format!("key={FOUND}\n"), cut).await;
        assert!(!outcome.to_host.contains("ghp_"), "{cut}: {}", outcome.to_host);
        assert!(outcome.to_agent.starts_with("HTTP/1.1 403"), "{cut}: {}", outcome.to_agent);
        outcome.saw("asked: send what looks like a GitHub token to `other.example:443`");
        outcome.saw("refused: send what looks like a GitHub token");
        let all = format!("{}{:?}", outcome.to_agent, outcome.seen);
        assert!(!all.contains(&FOUND[..8]), "{all}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_yes_lets_a_request_go_on_and_is_asked_for_once_a_kind() {
    let gate = Judging::new("", Choice::Once);
    let body = format!("{FOUND} {FOUND} AKIAQ3EGZ7T2MV5XKR4J {FOUND}");
    let outcome = posts(&gate, "other.example", &body, 50).await;
    assert!(outcome.to_host.ends_with(&body), "{}", outcome.to_host);
    assert_eq!(outcome.seen.len(), 2, "{:?}", outcome.seen);
    posts(&gate, "other.example", &body, 50).await;
    assert_eq!(gate.seen.lock().expect("a list").len(), 4, "another request asks again");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_where_the_policy_does_not_want_it_or_about_the_agents_model() {
    for (network, host) in [("patterns = 'off'", "other.example"), ("", "model.example")] {
        let gate = Judging::new(network, Choice::Refuse);
        let outcome = posts(&gate, host, FOUND, 9).await;
        assert!(outcome.to_host.ends_with(FOUND), "{host}: {}", outcome.to_host);
        assert_eq!(outcome.seen, [""; 0], "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_quote_placeholders_to_its_model_and_no_secret() {
    let placeholder = placeholder_of(&token(), "api");
    let env = format!("{{\"output\":\"API_TOKEN={placeholder}\\n\"}}");
    let gate = Judging::new("", Choice::Refuse);
    let outcome = posts(&gate, "model.example", &env, 30).await;
    assert!(outcome.to_host.ends_with(&env), "{}", outcome.to_host);
    let outcome = posts(&gate, "other.example", &env, 30).await;
    outcome.saw("the placeholder of credential `api` goes only where it is bound");
    let outcome = posts(&gate, "model.example", &env.replace(&placeholder, TOKEN), 30).await;
    assert!(!outcome.to_host.contains(TOKEN), "{}", outcome.to_host);
    outcome.saw("the secret of credential `api` goes only where it is bound");
    let head = format!("GET /?k={placeholder} HTTP/1.1\r\nHost: model.example\r\n\r\n");
    let outcome = exchange(&gate, "model.example", None, &[head.as_bytes()], OK).await;
    assert_eq!(outcome.to_host, "", "a head quotes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_placeholder_where_it_is_bound_is_not_asked_about() {
    let placeholder = placeholder_of(&token(), "api");
    let gate = Judging::new("", Choice::Refuse);
    let outcome = posts(&gate, "api.example", &placeholder, 12).await;
    assert!(outcome.to_host.ends_with(&placeholder), "{}", outcome.to_host);
    assert_eq!(outcome.seen, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_websocket_sends_is_looked_through() {
    // SOURCE: RFC 6455 §1.3 for the key and what answers it.
    let head = "GET /chat HTTP/1.1\r\nHost: other.example\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Version: 13\r\n\r\n";
    let taken = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for (text, goes) in [("hello", true), (FOUND, false)] {
        let gate = Judging::new("", Choice::Refuse);
        let connect = Connect::parse("other.example:443").expect("a host");
        let handling = gate.handling(&connect);
        let hooks = Watch::new(gate.clone(), &handling, token(), None);
        let inspected = Inspected {
            gate: gate.clone(),
            connect,
            scheme: Scheme::Https,
            hooks,
            is_crowded: false,
        };
        let (mut agent, ours) = duplex(1 << 16);
        let (theirs, mut upstream) = duplex(1 << 16);
        let message = frame(text.as_bytes(), [0x37, 0xfa, 0x21, 0x3d]);
        let talking = async {
            agent.write_all(head.as_bytes()).await.expect("the agent speaks");
            let mut room = [0; 4096];
            let heard = upstream.read(&mut room).await.expect("the host hears the head");
            assert!(room[..heard].ends_with(b"\r\n\r\n"));
            upstream.write_all(taken.as_bytes()).await.expect("the host answers");
            let heard = agent.read(&mut room).await.expect("the agent hears the answer");
            assert!(room[..heard].starts_with(b"HTTP/1.1 101"));
            agent.write_all(&message).await.expect("the agent sends a message");
            agent.shutdown().await.expect("and no more");
            let mut heard = Vec::new();
            upstream.read_to_end(&mut heard).await.expect("the host hears it");
            drop(upstream);
            heard
        };
        let (reason, heard) = tokio::join!(inspected.one(ours, theirs), talking);
        assert_eq!(heard == message, goes, "{text}: {heard:?}");
        assert_eq!(reason, if goes { "closed" } else { "refused" });
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_is_answered_and_nothing_else_and_nothing_is_sent() {
    let folder = tempfile::tempdir().expect("a directory");
    let answers = || Some(Arc::new(Answers::open(&folder.path().join("cache")).expect("a cache")));
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nserver: x\r\ncontent-length: 4\r\n\r\npage";
    let get = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: other.example\r\n{more}Connection: close\r\n\r\n")
    };
    let asked = get("GET /a?b=c", "");
    let only = Judging::new("cache = 'only'", Choice::Refuse);
    let outcome = exchange(&only, "other.example", answers(), &[asked.as_bytes()], page).await;
    assert_eq!(outcome.to_host, "", "nothing is sent");
    assert!(outcome.to_agent.starts_with("HTTP/1.1 504"), "{}", outcome.to_agent);
    assert!(outcome.to_agent.contains("x-remit: not cached"), "{}", outcome.to_agent);
    outcome.saw("answers come from the cache alone");

    let fill = Judging::new("cache = 'fill'", Choice::Refuse);
    let outcome = exchange(&fill, "other.example", answers(), &[asked.as_bytes()], page).await;
    assert!(outcome.to_agent.ends_with("page"), "{}", outcome.to_agent);
    for (line, more, found) in [
        ("GET /a?b=c", "", true),
        ("GET /a?b=c", "Authorization: Bearer mine\r\n", true),
        ("GET /a?b=d", "", false),
        ("GET /A?b=c", "", false),
        ("POST /a?b=c", "Content-Length: 0\r\n", false),
        ("GET /a?b=c", "X-HTTP-Method-Override: DELETE\r\n", false),
    ] {
        let asked = get(line, more);
        let outcome = exchange(&only, "other.example", answers(), &[asked.as_bytes()], OK).await;
        assert_eq!(outcome.to_host, "", "nothing is sent: {line}");
        let status = if found { "HTTP/1.1 200" } else { "HTTP/1.1 504" };
        assert!(outcome.to_agent.starts_with(status), "{line} {more}: {}", outcome.to_agent);
        let is_page = outcome.to_agent.ends_with("page")
            && outcome.to_agent.contains("content-type: text/html")
            && outcome.to_agent.contains("x-remit: cached")
            && outcome.to_agent.contains("age: ")
            && !outcome.to_agent.contains("server");
        assert_eq!(is_page, found, "{line} {more}: {}", outcome.to_agent);
    }
    let asked = get("HEAD /a?b=c", "");
    let outcome = exchange(&only, "other.example", answers(), &[asked.as_bytes()], OK).await;
    assert!(outcome.to_agent.contains("content-length: 4"), "{}", outcome.to_agent);
    assert!(!outcome.to_agent.ends_with("page"), "{}", outcome.to_agent);
}

#[tokio::test(start_paused = true)]
async fn what_is_for_one_person_or_may_be_poisoned_is_not_kept() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("cache");
    let fill = Judging::new("cache = 'fill'", Choice::Once);
    let kept = || std::fs::read_dir(&path).expect("a directory").count();
    let plain = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n";
    let keeps = |host: &'static str, method: &str, request: &str, answer: String| {
        let said = format!("{method} /k HTTP/1.1\r\nHost: {host}\r\n{request}\r\n");
        let answers = Answers::open(&path).expect("a cache");
        let fill = &fill;
        async move {
            let pieces = [said.as_bytes()];
            exchange(fill, host, Some(Arc::new(answers)), &pieces, &answer).await;
        }
    };
    for (method, request, answer) in [
        ("GET", "", format!("{plain}set-cookie: a=b\r\n\r\nok")),
        ("GET", "", format!("{plain}cache-control: max-age=9, no-store\r\n\r\nok")),
        ("GET", "", format!("{plain}cache-control: Private=\"x\"\r\n\r\nok")),
        ("GET", "", format!("{plain}vary: *\r\n\r\nok")),
        ("GET", "", "HTTP/1.1 200 OK\r\n\r\ncut off?".to_owned()),
        ("GET", "", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut".to_owned()),
        ("GET", "", "HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\n\r\nok".to_owned()),
        ("GET", "", "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nok".to_owned()),
        ("HEAD", "", format!("{plain}\r\n")),
        ("POST", "Content-Length: 0\r\n", format!("{plain}\r\nok")),
        ("GET", "Authorization: Bearer a\r\n", format!("{plain}\r\nok")),
        ("GET", "Cookie: a=b\r\n", format!("{plain}\r\nok")),
        ("GET", "Range: bytes=0-1\r\n", format!("{plain}\r\nok")),
        ("GET", "Cache-Control: no-store\r\n", format!("{plain}\r\nok")),
        ("GET", "X-Forwarded-Host: evil.example\r\n", format!("{plain}\r\nok")),
        ("GET", "Content-Length: 2\r\n\r\nok", format!("{plain}\r\nok")),
    ] {
        keeps("other.example", method, request, answer.clone()).await;
        assert_eq!(kept(), 0, "{method} {request} {answer}");
    }
    keeps("api.example", "GET", "", format!("{plain}\r\nok")).await;
    assert_eq!(kept(), 0, "a credential was put in");
    keeps("model.example", "GET", "", format!("{plain}\r\nok")).await;
    assert_eq!(kept(), 0, "the agent's own");
    keeps("other.example", "GET", "", format!("{plain}\r\nok")).await;
    assert_eq!(kept(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_nothing_is_answered_from_one_and_nothing_is_sent() {
    let only = Judging::new("cache = 'only'", Choice::Refuse);
    let asked = "GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n";
    let outcome = exchange(&only, "other.example", None, &[asked.as_bytes()], OK).await;
    assert_eq!(outcome.to_host, "");
    assert!(outcome.to_agent.starts_with("HTTP/1.1 504"), "{}", outcome.to_agent);
}
