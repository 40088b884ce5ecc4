//! A webhook against a real server on loopback that answers well or badly.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use remit_policy::{Basis, Choice};
use serde_json::{Value, json};
use tiny_http::{Header, Response, Server};

use super::*;
use crate::queue::{Ask, Queue};
use crate::quorum::Terms;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const PATIENCE: Duration = Duration::from_secs(20);

fn posed(summary: &str) -> Posed {
    let terms = Terms { choices: vec![Choice::Once, Choice::Refuse], people: 1, reason: false };
    let mut queue = Queue::default();
    let ask = Ask {
        session: "s1".to_owned(),
        kind: "exec".to_owned(),
        summary: summary.to_owned(),
        details: Vec::new(),
        basis: Basis::built_in("test"),
        terms: terms.clone(),
        in_break_glass: terms,
        findings: Vec::new(),
        needs_a_person: false,
        proposal: None,
        digest: String::new(),
        posed_at: "2026-01-01T00:00:00Z".to_owned(),
        expires_at: "2026-01-01T00:05:00Z".to_owned(),
    };
    let id = queue.pose(ask, ()).unwrap();
    queue.get(id).unwrap().clone()
}

/// What the webhook said of the questions, in order.
struct Heard(std::sync::mpsc::Sender<Result<Answer, String>>);

impl Hook for Heard {
    fn is_open(&self, _: &Posed) -> bool {
        true
    }

    fn answer(&self, _: &Posed, answer: Answer) {
        let _ = self.0.send(Ok(answer));
    }

    fn ignored(&self, _: &Posed, why: &str) {
        let _ = self.0.send(Err(why.to_owned()));
    }
}

/// What a service replies: status, headers, body.
type Reply = (u16, Vec<(String, String)>, Vec<u8>);

/// A question as the service got it.
struct Got {
    is_signed: bool,
    body: Value,
    path: String,
}

/// Serves until the test ends.
fn serve(reply: impl Fn(&Got) -> Reply + Send + 'static) -> String {
    let server = Server::http("127.0.0.1:0").unwrap();
    let address = server.server_addr().to_ip().unwrap();
    thread::spawn(move || {
        for mut request in server.incoming_requests() {
            let mut body = Vec::new();
            request.as_reader().read_to_end(&mut body).unwrap();
            let of = |name: &str| {
                let found = request.headers().iter().find(|it| it.field.as_str() == name);
                found.map(|it| it.value.to_string()).unwrap_or_default()
            };
            let message = Message {
                id: of("webhook-id"),
                timestamp: of("webhook-timestamp"),
                signature: of("webhook-signature"),
                body: body.clone(),
            };
            let got = Got {
                is_signed: message.check(&Key::parse(SECRET).unwrap(), now()).is_ok(),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                path: request.url().to_owned(),
            };
            let (status, headers, body) = reply(&got);
            let mut response = Response::from_data(body).with_status_code(status);
            for (name, value) in headers {
                response.add_header(Header::from_bytes(name, value).unwrap());
            }
            let _ = request.respond(response);
        }
    });
    format!("http://{address}/hook")
}

/// A signed answer to what came, changed as the test likes.
fn answer(got: &Got, change: impl Fn(&mut Value)) -> Reply {
    let data = &got.body["data"];
    let mut text = json!({
        "question": data["question"], "digest": data["digest"], "choice": "once",
        "by": "Bob@acme.example", "note": "seen", "expires": now() + 60,
    });
    change(&mut text);
    signed(&serde_json::to_vec(&text).unwrap(), "msg_1", now(), SECRET)
}

fn signed(body: &[u8], id: &str, at: u64, secret: &str) -> Reply {
    let signature = Key::parse(secret).unwrap().sign(id, at, body);
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signature),
    ];
    (200, headers.map(|(name, value)| (name.to_owned(), value)).into(), body.to_vec())
}

fn webhook(url: &str) -> Arc<Webhook> {
    let timeout = Duration::from_secs(5);
    Arc::new(Webhook::new(url, SECRET, timeout, "alice".to_owned()).unwrap())
}

fn send(webhook: &Arc<Webhook>, patience: Duration) -> Receiver<Result<Answer, String>> {
    let (told, heard) = channel();
    webhook.send(posed("run `make`"), patience, Arc::new(Heard(told)));
    heard
}

/// The first that comes of a service that replies so.
fn first(reply: impl Fn(&Got) -> Reply + Send + 'static) -> Result<Answer, String> {
    send(&webhook(&serve(reply)), PATIENCE).recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_signed_answer_counts_and_says_who_gave_it() {
    let good = first(|got| {
        assert!(got.is_signed, "what is sent is signed");
        let data = &got.body["data"];
        assert_eq!(
            (&got.body["type"], &data["requester"]),
            (&"question.posed".into(), &"alice".into())
        );
        assert_eq!(data["asked"]["summary"], "run `make`");
        answer(got, |_| {})
    });
    let good = good.unwrap();
    assert_eq!((good.choice, good.note.as_deref()), (Choice::Once, Some("seen")));
    assert_eq!(good.by, "Bob@acme.example by the webhook at 127.0.0.1");
    assert_eq!(good.people, ["bob".to_owned()].into());
}

#[test]
fn an_answer_that_is_forged_stale_or_to_something_else_is_none() {
    type Change = fn(&mut Value);
    let texts: [(Change, &str); 7] = [
        (|text| text["digest"] = "00".repeat(32).into(), "digest differs"),
        (|text| text["question"] = "s1/2".into(), "another question"),
        (|text| text["expires"] = now().into(), "expired"),
        (|text| text["by"] = " ".into(), "by whom"),
        (|text| text["choice"] = "always".into(), "not an answer"),
        (|text| text["also"] = true.into(), "not an answer"),
        (|text| drop(text.as_object_mut().unwrap().remove("expires")), "not an answer"),
    ];
    for (change, words) in texts {
        let why = first(move |got| answer(got, change)).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
    type Forge = fn(Reply) -> Reply;
    let forged: [(Forge, &str); 4] = [
        (|(_, _, body)| signed(&body, "m", now(), "0123456789abcdef"), "not signed"),
        (|(_, _, body)| signed(&body, "m", now() - 400, SECRET), "five minutes"),
        (|(status, _, body)| (status, Vec::new(), body), "when it was signed"),
        (
            |(status, headers, mut body)| {
                body.push(b' ');
                (status, headers, body)
            },
            "not signed",
        ),
    ];
    for (forge, words) in forged {
        let why = first(move |got| forge(answer(got, |_| {}))).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn an_answer_counts_once() {
    let webhook = webhook(&serve(|got| answer(got, |_| {})));
    let next = || send(&webhook, PATIENCE).recv_timeout(PATIENCE).unwrap();
    assert!(next().is_ok());
    assert_eq!(next().unwrap_err(), "it was used before");
}

#[test]
fn a_service_that_is_silent_closes_or_sends_elsewhere_answers_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let why = send(&webhook(&url), Duration::from_millis(300)).recv_timeout(PATIENCE).unwrap();
    assert!(why.unwrap_err().contains("timeout"));
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", closing.local_addr().unwrap());
    thread::spawn(move || closing.incoming().for_each(drop));
    let why = send(&webhook(&url), PATIENCE).recv_timeout(PATIENCE).unwrap();
    assert!(why.unwrap_err().contains("not reached"));
    for (status, words) in [(302, "302"), (500, "500")] {
        let why = first(move |_| {
            (status, vec![("location".to_owned(), "http://127.0.0.1:1/x".to_owned())], Vec::new())
        });
        assert!(why.unwrap_err().contains(words));
    }
    let why = first(|_| (200, Vec::new(), vec![b'x'; 70 << 10])).unwrap_err();
    assert!(why.contains("cut off"), "{why}");
    let nothing = send(&webhook(&serve(|_| (204, Vec::new(), Vec::new()))), PATIENCE);
    assert!(nothing.recv_timeout(PATIENCE).is_err(), "no answer, and nothing to tell");
}

#[test]
fn an_answer_may_be_looked_for_at_the_same_origin_only() {
    let asked = Mutex::new(Value::Null);
    let polled = AtomicUsize::new(0);
    let found = first(move |got| {
        assert!(got.is_signed, "looking is signed, too");
        if got.path == "/hook" {
            *asked.lock().unwrap() = got.body.clone();
            let place = ("location".to_owned(), "/answers/1".to_owned());
            return (202, vec![place, ("retry-after".to_owned(), "1".to_owned())], Vec::new());
        }
        match polled.fetch_add(1, Ordering::SeqCst) {
            0 => (204, vec![("retry-after".to_owned(), "1".to_owned())], Vec::new()),
            _ => {
                let body = asked.lock().unwrap().clone();
                answer(&Got { body, is_signed: true, path: String::new() }, |_| {})
            }
        }
    });
    assert_eq!(found.unwrap().choice, Choice::Once);
    let why = first(|_| {
        (202, vec![("location".to_owned(), "http://127.0.0.1:1/answers".to_owned())], Vec::new())
    });
    assert_eq!(why.unwrap_err(), "the answer would be at another origin");
}

#[test]
fn an_origin_is_scheme_host_and_port() {
    let check = |there: &str, expected: bool| {
        let url: Uri = "https://hooks.example/remit".parse().unwrap();
        assert_eq!(same_origin(&url, there).is_ok(), expected, "{there}");
    };
    check("/answers/1?x=y", true);
    check("https://hooks.example/a", true);
    check("https://HOOKS.example:443/a", true);
    check("//evil.example/a", false);
    check("http://hooks.example/a", false);
    check("https://hooks.example:8443/a", false);
    check("https://hooks.example.evil.example/a", false);
    check("https://hooks.example@evil.example/a", false);
    check("https://me@hooks.example/a", false);
    check("answers/1", false);
    // Our own host, whatever a browser would make of it.
    check("/\\evil.example", true);
}
