//! Bound by a real policy, on a connection that is really carried.

use remit_policy::{
    AgentNeeds, Grants, Layer, Place, Policy, PolicyText, Scheme, TextKind, Verdict,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;
use crate::Caps;
use crate::http::Inspected;

const POLICY: &str = r#"
[network]
allow = ["api.example", "other.example"]

[credentials.forge]
source = { variable = "FORGE" }
hosts = ["api.example"]
methods = ["GET"]
paths = ["/repos/**"]
as = "bearer"
expose = "FORGE_TOKEN"
"#;

/// Judges by the policy, and remembers what was noted and refused.
#[derive(Clone, Debug)]
struct Judging {
    policy: Arc<Policy>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Judging {
    fn see(&self, what: String) {
        self.seen.lock().unwrap().push(what);
    }
}

impl Gate for Judging {
    fn address(&self, _: &Connect, _: IpAddr) -> Result<(), Refusal> {
        unreachable!("nothing is dialled here")
    }
    fn handling(&self, permitted: &Connect) -> Handling {
        self.policy.handling(permitted)
    }
    fn way(&self, _: &Connect) -> crate::Way {
        crate::Way::Direct
    }

    fn caps(&self, _: &Connect) -> Caps {
        Caps::default()
    }
    async fn connect(&self, _: Host, _: Port) -> Result<(Self, Permit<Connect>), Refusal> {
        unreachable!("no proxy is spoken to here")
    }
    async fn request(&self, request: Request) -> Result<Requested, Refusal> {
        match self.policy.request(request, &Grants::default()) {
            Verdict::Allow(permit) => Ok(Requested { number: 7, permit }),
            Verdict::Ask(question) => Err(question.unanswered("nothing")),
            Verdict::Refuse(refusal) => Err(refusal),
        }
    }
    async fn upload(&self, _: Upload) -> Result<Permit<Upload>, Refusal> {
        unreachable!("bodies are not searched here")
    }
    fn answered(&self, _: u64, _: Answered) {}
    fn noted(&self, fact: Fact) {
        self.see(format!("{fact:?}"));
    }
    fn refused(&self, refusal: &Refusal) {
        self.see(format!("refused by {}", refusal.basis.rule));
    }
    fn failed(&self, error: String) {
        self.see(error);
    }
    fn ended(&self, _: Carried) {}
    async fn revoked(&self, _: &Connect) -> Refusal {
        std::future::pending().await
    }
}

/// What the host was sent, what the agent was answered, what was noted. The host
/// answers with what it was sent.
async fn carried(host: &str, asked: &str) -> (String, String, Vec<String>) {
    let text = PolicyText {
        layer: Layer::User,
        kind: TextKind::Settings,
        file: "config.toml".into(),
        text: POLICY.into(),
    };
    let place = Place { home: "/home/alice".into(), workspace: "/home/alice/w".into() };
    let policy = Policy::compile(&[text], None, &AgentNeeds::default(), &place).unwrap();
    let named = policy.credentials()[0].clone();
    let form = Form::fill(&named.uses, TOKEN).unwrap();
    let (name, expose) = (named.name.clone(), named.expose.clone());
    let loaded = Loaded { name, form, expose, bound: Box::new(named) };
    let credentials = Arc::new(held(vec![loaded]));
    let placeholder = credentials.variables().remove(0).1;
    let connect = Connect::parse(&format!("{host}:443")).unwrap();
    assert_eq!(policy.handling(&connect).inspect, host == "api.example");

    let gate = Judging { policy: Arc::new(policy), seen: Arc::default() };
    let hooks = PutIn::new(gate.clone(), credentials, Placeholders::WhereBound);
    let inspected =
        Inspected { gate: gate.clone(), connect, scheme: Scheme::Https, hooks, is_crowded: false };
    let (mut agent, ours) = duplex(1 << 16);
    let (theirs, mut upstream) = duplex(1 << 16);
    let answering = async {
        let mut sent = vec![0; 1 << 16];
        let length = upstream.read(&mut sent).await.unwrap();
        sent.truncate(length);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let answer = [head.as_bytes(), &sent].concat();
        if length > 0 {
            upstream.write_all(&answer).await.unwrap();
        }
        String::from_utf8(sent).unwrap()
    };
    let asking = async {
        let asked = asked.replace("PLACEHOLDER", &placeholder);
        agent.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        agent.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let all = async { tokio::join!(inspected.one(ours, theirs), answering, asking) };
    let (_, sent, answer) =
        tokio::time::timeout(std::time::Duration::from_secs(10), all).await.expect("an end");
    assert!(!answer.contains(TOKEN), "{answer}");
    let seen = gate.seen.lock().unwrap().clone();
    (sent, answer, seen)
}

fn asks(host: &str, line: &str, authorization: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\
         Connection: close\r\n\r\n"
    )
}

#[tokio::test(start_paused = true)]
async fn the_host_sees_the_secret_and_the_agent_sees_the_placeholder() {
    let asked = asks("api.example", "GET /repos/a/b?x=1", "Bearer PLACEHOLDER");
    let (sent, answer, seen) = carried("api.example", &asked).await;
    assert!(sent.contains(&format!("Bearer {TOKEN}")), "{sent}");
    assert!(answer.contains("200 OK") && answer.contains("Bearer ghp_"), "{answer}");
    assert_eq!(seen, [r#"Credential { name: "forge", request: 7 }"#]);
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_does_not_bind_gets_no_secret_and_keeps_no_placeholder() {
    for line in [
        "POST /repos/a",
        "GET /user",
        "GET /repos/../user",
        "GET /repos/%2e%2e/user",
        "GET /repos//..%2fuser",
    ] {
        let asked = asks("api.example", line, "Bearer PLACEHOLDER");
        let (sent, answer, seen) = carried("api.example", &asked).await;
        assert_eq!(sent, "", "{line}");
        assert!(answer.starts_with("HTTP/1.1 403"), "{line}: {answer}");
        assert!(seen[0].contains("placeholder of credential `forge`"), "{line}: {seen:?}");
        let asked = asks("api.example", line, "Bearer mine");
        let (sent, ..) = carried("api.example", &asked).await;
        assert!(!sent.contains(TOKEN), "{line}: {sent}");
    }
    let asked = asks("other.example", "GET /repos/a", "Bearer PLACEHOLDER");
    let (sent, answer, _) = carried("other.example", &asked).await;
    assert_eq!(sent, "");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
