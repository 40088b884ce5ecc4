//! A reviewer of our own on loopback, that behaves in every way it should not.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use remit_policy::{Exec, Grants, Layer, Matter, Place, Policy, PolicyText, TextKind, Verdict};
use remit_triage::{Decision, Facts, Key, NoAnswer, Opinion, Reviewer, Session, Trust, Words};

const KEY: &str = "sk-test-0123456789";

/// A reviewer that does this with every connection, and what it was sent.
struct Mock {
    port: u16,
    asked: Receiver<String>,
}

impl Mock {
    fn new(behave: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (asking, asked) = channel();
        let behave = std::sync::Arc::new(behave);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (asking, behave) = (asking.clone(), std::sync::Arc::clone(&behave));
                thread::spawn(move || {
                    let mut stream = stream.expect("a connection");
                    let _ = asking.send(read(&stream));
                    behave(&mut stream);
                });
            }
        });
        Self { port, asked }
    }

    fn answering(status: &'static str, body: String) -> Self {
        Self::new(move |stream| respond(stream, status, &body))
    }

    /// What came of asking it about a harmless command.
    fn review(&self, more: &str) -> Result<(Decision, Opinion), NoAnswer> {
        self.review_of(more, &["echo", "hello"])
    }

    fn review_of(&self, more: &str, argv: &[&str]) -> Result<(Decision, Opinion), NoAnswer> {
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", self.port);
        let reviewer = reviewer(&format!(
            "[review]\nreviewer = \"openai\"\nurl = \"{url}\"\nmodel = \"m\"\n{more}"
        ));
        reviewer.review(&facts(argv), &words(), "00ff")
    }
}

/// The whole request, head and body.
fn read(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return head;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    let _ = lines.read_exact(&mut body);
    head + &String::from_utf8_lossy(&body)
}

fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn completion(content: &str) -> String {
    let message = serde_json::json!({ "role": "assistant", "content": content });
    let choice = serde_json::json!({ "index": 0, "finish_reason": "stop", "message": message });
    serde_json::json!({ "choices": [choice] }).to_string()
}

fn opinion(risk: &str, authorization: &str, outcome: &str) -> String {
    format!(
        r#"{{"risk":"{risk}","authorization":"{authorization}","outcome":"{outcome}","reason":"because"}}"#
    )
}

fn policy(text: &str) -> Policy {
    let text = PolicyText {
        layer: Layer::User,
        kind: TextKind::Settings,
        file: "config.toml".to_owned(),
        text: text.to_owned(),
    };
    let place = Place { home: "/home/a".into(), workspace: "/w".into() };
    Policy::compile(&[text], None, &Default::default(), &place).expect("a policy")
}

fn reviewer(settings: &str) -> Reviewer {
    let key = Key::new(
        "authorization".parse().expect("a name"),
        format!("Bearer {KEY}").parse().expect("a value"),
    );
    Reviewer::new(policy(settings).review(), Some(key), None).expect("a reviewer")
}

fn matter(argv: &[&str]) -> Matter {
    let exec = Exec {
        path: "/usr/bin/tool".into(),
        program: Some("/usr/bin/tool".into()),
        argv: argv.iter().map(OsString::from).collect(),
        cwd: "/w".into(),
        ..Exec::default()
    };
    match policy("[commands]\ndefault = \"prompt\"\n").exec(exec, &Grants::default()) {
        Verdict::Ask(question) => question.matter().expect("a matter"),
        other => panic!("{other:?}"),
    }
}

fn facts(argv: &[&str]) -> Facts {
    let session = Session {
        agent: "codex",
        profile: "default",
        workspace: Path::new("/w"),
        behind: None,
        seen: "for the first time in this session",
    };
    Facts::of(&matter(argv), session, &str::to_owned)
}

fn words() -> Vec<Words> {
    let text = "build the project".to_owned();
    vec![Words { trust: Trust::Person, source: "the command line".to_owned(), text }]
}

/// No answer, with these words, within this time, without the key.
#[track_caller]
fn no_answer(outcome: Result<(Decision, Opinion), NoAnswer>, words: &str, since: Instant) {
    let error = outcome.expect_err("no answer");
    let said = format!("{error} {error:?}");
    assert!(said.contains(words), "{said}");
    assert!(!said.contains(KEY), "{said}");
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}

#[test]
fn a_plain_answer_counts_and_the_key_goes_in_its_header_alone() {
    let mock = Mock::answering("200 OK", completion(&opinion("low", "high", "allow")));
    let (decision, opinion) = mock.review("").expect("an answer");
    assert_eq!((decision, opinion.reason.as_str()), (Decision::Allow, "because"));
    let asked = mock.asked.recv().expect("a request");
    let (head, body) = asked.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(head.contains(KEY) && !body.contains(KEY));
    assert!(body.contains("build the project") && body.contains("hello"));
}

#[test]
fn a_refusal_counts() {
    let mock = Mock::answering("200 OK", completion(&opinion("critical", "high", "deny")));
    assert_eq!(mock.review("").expect("an answer").0, Decision::Refuse);
}

#[test]
fn anthropics_format_goes_to_its_own_path_with_its_version() {
    let input: serde_json::Value =
        serde_json::from_str(&opinion("low", "high", "allow")).expect("JSON");
    let block =
        serde_json::json!({ "type": "tool_use", "id": "1", "name": "review", "input": input });
    let body = serde_json::json!({ "content": [block], "stop_reason": "tool_use" }).to_string();
    let mock = Mock::answering("200 OK", body);
    let reviewer = reviewer(&format!(
        "[review]\nreviewer = \"anthropic\"\nurl = \"http://127.0.0.1:{}/v1/messages\"\nmodel = \"m\"\n",
        mock.port
    ));
    let (decision, _) = reviewer.review(&facts(&["a"]), &words(), "00ff").expect("an answer");
    assert_eq!(decision, Decision::Allow);
    let asked = mock.asked.recv().expect("a request");
    assert!(asked.contains("anthropic-version: 2023-06-01"), "{asked}");
}

#[test]
fn whatever_is_no_opinion_is_no_answer() {
    let check = |body: String| {
        let since = Instant::now();
        no_answer(Mock::answering("200 OK", body).review(""), "Unusable", since);
    };
    check(String::new());
    check("garbage \u{0} \u{1b}[2J".to_owned());
    check("{\"choices\":".to_owned());
    check(opinion("low", "high", "allow"));
    check(completion("yes, allow it"));
    check(completion("{\"outcome\":\"allow\"}"));
    check(completion(&opinion("critical", "high", "allow")));
    check(completion(&opinion("high", "low", "allow")));
    check(completion(&opinion("none", "high", "allow")));
    check(completion(&format!(
        "{}{}",
        opinion("low", "high", "allow"),
        opinion("high", "low", "deny")
    )));
}

#[test]
fn what_it_was_not_shown_in_full_it_cannot_allow() {
    let mock = Mock::answering("200 OK", completion(&opinion("low", "high", "allow")));
    let long = "x".repeat(100_000);
    no_answer(mock.review_of("", &["echo", &long]), "shown in full", Instant::now());
}

#[test]
fn a_reviewer_that_stalls_drips_or_breaks_off_is_waited_for_no_longer_than_was_said() {
    let second = "timeout = \"1s\"\n";
    let check = |behave: fn(&mut TcpStream), words: &str| {
        let since = Instant::now();
        no_answer(Mock::new(behave).review(second), words, since);
    };
    check(|_| thread::sleep(Duration::from_secs(30)), "in time");
    check(
        |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{");
            thread::sleep(Duration::from_secs(30));
        },
        "in time",
    );
    check(
        |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        },
        "in time",
    );
    check(
        |stream| {
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20))
            }
        },
        "",
    );
    check(
        |stream| {
            let body = completion(&opinion("low", "high", "allow"));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len() + 1);
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        },
        "reached",
    );
    check(
        |stream| {
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc");
        },
        "",
    );
    check(|_| {}, "reached");
    check(|stream| while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}, "");
}

#[test]
fn a_huge_answer_is_not_read_to_its_end() {
    let since = Instant::now();
    let huge = Mock::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b' '; 65536]).is_ok() {}
    });
    no_answer(huge.review(""), "longer than", since);
    let head = Mock::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").is_ok() {
        }
    });
    no_answer(head.review("timeout = \"2s\"\n"), "", since);
}

#[test]
fn a_redirection_is_not_followed_and_the_key_goes_nowhere_else() {
    let other = Mock::answering("200 OK", completion(&opinion("low", "high", "allow")));
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let to = format!("http://127.0.0.1:{}/", other.port);
        let mock = Mock::new(move |stream| {
            let head = format!("HTTP/1.1 {status}\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        });
        no_answer(mock.review(""), "elsewhere", Instant::now());
    }
    assert!(other.asked.try_recv().is_err());
}

#[test]
fn what_may_pass_is_tried_again_as_often_as_was_said_and_nothing_else_is() {
    let tries = |status: &'static str, attempts: u8| {
        let mock = Mock::answering(status, "{}".to_owned());
        let since = Instant::now();
        no_answer(mock.review(&format!("attempts = {attempts}\n")), "status", since);
        mock.asked.try_iter().count()
    };
    assert_eq!(tries("500 Internal", 3), 3);
    assert_eq!(tries("503 Busy", 2), 2);
    assert_eq!(tries("429 Too Many", 3), 3);
    assert_eq!(tries("529 Overloaded", 1), 1);
    assert_eq!(tries("400 Bad", 3), 1);
    assert_eq!(tries("401 Unauthorized", 3), 1);
    assert_eq!(tries("204 No Content", 3), 1);
    // A second try that goes well counts.
    let tried = std::sync::atomic::AtomicU8::new(0);
    let mock =
        Mock::new(move |stream| match tried.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => respond(stream, "500 Internal", ""),
            _ => respond(stream, "200 OK", &completion(&opinion("low", "high", "allow"))),
        });
    assert_eq!(mock.review("attempts = 2\n").expect("an answer").0, Decision::Allow);
}

#[test]
fn a_reviewer_that_is_not_there_is_no_answer() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let url = format!("http://{port}/v1/x");
    let reviewer = reviewer(&format!(
        "[review]\nreviewer = \"openai\"\nurl = \"{url}\"\nmodel = \"m\"\nattempts = 2\n"
    ));
    let since = Instant::now();
    no_answer(reviewer.review(&facts(&["a"]), &words(), "00ff"), "cannot be reached", since);
}

#[test]
fn a_reviewer_that_cannot_prove_its_name_is_no_answer() {
    // Whatever speaks there, it is no TLS.
    let mock = Mock::answering("200 OK", completion(&opinion("low", "high", "allow")));
    let url = format!("https://127.0.0.1:{}/v1/x", mock.port);
    let reviewer =
        reviewer(&format!("[review]\nreviewer = \"openai\"\nurl = \"{url}\"\nmodel = \"m\"\n"));
    let outcome = reviewer.review(&facts(&["a"]), &words(), "00ff");
    no_answer(outcome, "cannot be reached", Instant::now());
    let asked = mock.asked.try_iter().collect::<String>();
    assert!(!asked.contains("POST"), "{asked}");
}

#[test]
fn the_key_is_in_nothing_that_can_be_printed() {
    let reviewer = reviewer(
        "[review]\nreviewer = \"openai\"\nurl = \"http://127.0.0.1:1/v1/x\"\nmodel = \"m\"\n",
    );
    assert!(!format!("{reviewer:?}").contains(KEY));
}
