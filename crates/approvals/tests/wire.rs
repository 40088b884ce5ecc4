//! The approval socket, over a real socket.
#![forbid(unsafe_code)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use remit_approvals::wire::{
    AnswerError, BreakError, BreakGlass, Client, ClientError, Desk, Outcome, Server, local, serve,
};
use remit_approvals::{Ask, Heard, NotOpen, Posed, QuestionId, Queue, Terms};
use remit_policy::{Answer, Basis, Choice};

#[derive(Default)]
struct Room {
    queue: Mutex<Queue<()>>,
    answers: Mutex<Vec<Answer>>,
}

impl Desk for Room {
    fn open(&self) -> Vec<Posed> {
        self.queue.lock().unwrap().open().cloned().collect()
    }

    fn answer(&self, id: QuestionId, answer: Answer) -> Result<Outcome, NotOpen> {
        let heard = self.queue.lock().unwrap().answer(id, &answer)?;
        self.answers.lock().unwrap().push(answer);
        Ok(match heard {
            Heard::Decided { .. } => Outcome::Decided,
            Heard::Waits { more } => Outcome::Waits { more },
        })
    }

    fn break_glass(&self, wish: BreakGlass) -> Result<String, String> {
        match wish.length.as_secs() {
            600 => Ok(format!("later, for {} of {}", wish.reason, wish.person)),
            _ => Err("at most 10m".to_owned()),
        }
    }
}

fn terms() -> Terms {
    let choices = vec![Choice::Once, Choice::Session, Choice::Refuse];
    Terms { choices, people: 1, reason: false }
}

struct World {
    dir: tempfile::TempDir,
    room: Arc<Room>,
    server: Option<Server>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let room = Arc::new(Room::default());
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let desk: Arc<dyn Desk> = room.clone();
        let server = serve(listener, desk).unwrap();
        Self { dir, room, server: Some(server) }
    }

    fn pose(&self, summary: &str) -> QuestionId {
        let ask = Ask {
            session: "s1".to_owned(),
            kind: "exec".to_owned(),
            summary: summary.to_owned(),
            details: vec![("cwd".to_owned(), "/w".to_owned())],
            basis: Basis::built_in("test"),
            terms: terms(),
            in_break_glass: terms(),
            findings: Vec::new(),
            needs_a_person: false,
            proposal: None,
            digest: String::new(),
            expires_at: "2026-01-01T00:05:00Z".to_owned(),
            posed_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        self.room.queue.lock().unwrap().pose(ask, ()).unwrap()
    }

    fn client(&self) -> Client {
        Client::connect(&self.dir.path().join("s")).unwrap()
    }

    /// What comes back for one raw line.
    fn say(&self, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("s")).unwrap();
        let _ = stream.write_all(line); // an over-long line may be cut off
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        reply
    }
}

#[test]
fn another_terminal_lists_and_answers_and_is_named_by_the_kernel() {
    let world = World::new();
    let id = world.pose("run `make`");
    let mut client = world.client();
    assert_eq!(client.list().unwrap()[0].summary, "run `make`");
    client.answer(id, Choice::Refuse, Some("not now".to_owned())).unwrap();
    assert!(client.list().unwrap().is_empty());
    let answer = world.room.answers.lock().unwrap()[0].clone();
    assert_eq!((answer.choice, answer.note.as_deref()), (Choice::Refuse, Some("not now")));
    let pid = format!("at another terminal (pid {})", std::process::id());
    assert!(answer.by.ends_with(&pid), "{}", answer.by);
}

#[test]
fn the_second_answer_hears_who_was_first() {
    let world = World::new();
    let id = world.pose("run `make`");
    world.client().answer(id, Choice::Once, None).unwrap();
    let late = world.client().answer(id, Choice::Refuse, None).unwrap_err();
    assert!(
        matches!(late, AnswerError::NotOpen(NotOpen::Answered { choice: Choice::Once, .. })),
        "{late}"
    );
    assert_eq!(world.room.answers.lock().unwrap().len(), 1);
}

#[test]
fn what_is_not_a_request_is_rejected_and_answers_nothing() {
    let world = World::new();
    world.pose("run `make`");
    let lines: [&[u8]; 12] = [
        b"\n",
        b"answer 1\n",
        b"{\"list\":{\"all\":true}}\n",
        b"{\"answer\":{\"id\":1,\"choice\":\"once\",\"by\":\"root\"}}\n",
        b"{\"answer\":{\"id\":1,\"choice\":\"always\"}}\n",
        b"{\"answer\":{\"id\":1}}\n",
        b"{\"answer\":{\"id\":0,\"choice\":\"once\"}}\n",
        b"{\"answer\":{\"id\":-1,\"choice\":\"once\"}}\n",
        b"{\"answer\":{\"id\":4294967297,\"choice\":\"once\"}}\n",
        b"{\"answer\":{\"id\":1,\"id\":1,\"choice\":\"once\"}}\n",
        b"{\"answer\":{\"id\":1,\"choice\":\"once\"},\"list\":{}}\n",
        b"{\"answer\":{\"id\":1,\"choice\":\"once\"}} {}\n",
    ];
    for line in lines {
        let reply = world.say(line);
        assert!(
            reply.starts_with("{\"rejected\":"),
            "{} got {reply}",
            String::from_utf8_lossy(line)
        );
    }
    assert_eq!(world.room.queue.lock().unwrap().open().count(), 1);
}

#[test]
fn an_over_long_line_is_cut_off_and_answers_nothing() {
    let world = World::new();
    world.pose("run `make`");
    let pad = " ".repeat(64 * 1024);
    let reply =
        world.say(format!("{pad}{{\"answer\":{{\"id\":1,\"choice\":\"once\"}}}}\n").as_bytes());
    assert!(reply.contains("longer than 65536 bytes"), "{reply}");
    assert_eq!(world.room.queue.lock().unwrap().open().count(), 1);
    assert_eq!(world.client().list().unwrap().len(), 1, "the server lives on");
}

#[test]
fn a_request_without_its_end_answers_nothing() {
    let world = World::new();
    world.pose("run `make`");
    let mut stream = UnixStream::connect(world.dir.path().join("s")).unwrap();
    stream.write_all(b"{\"answer\":{\"id\":1,\"choice\":\"once\"}}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "");
    assert_eq!(world.room.queue.lock().unwrap().open().count(), 1);
}

#[test]
fn a_crowd_is_bounded_and_room_comes_back() {
    let world = World::new();
    let path = world.dir.path().join("s");
    let crowd: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let closed = crowd.iter().filter(|stream| {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        matches!((&**stream).read(&mut [0]), Ok(0))
    });
    assert_eq!(closed.count(), 40 - 16);
    drop(crowd);
    let listed = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        world.client().list().is_ok()
    });
    assert!(listed, "room comes back");
}

#[test]
fn a_session_that_ended_refuses_connections() {
    let mut world = World::new();
    world.server = None;
    let error = Client::connect(&world.dir.path().join("s")).unwrap_err();
    let ClientError::Connect { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_socket_deep_in_a_tree_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    std::fs::rename(dir.path().join("s"), deep.join("s")).unwrap();
    let desk: Arc<dyn Desk> = Arc::new(Room::default());
    let _server = serve(listener, desk).unwrap();
    assert!(Client::connect(&deep.join("s")).unwrap().list().unwrap().is_empty());
}

#[test]
fn a_full_queue_of_the_longest_questions_can_be_listed() {
    let world = World::new();
    for _ in 0..64 {
        world.pose(&"\\\"".repeat(100_000));
    }
    assert_eq!(world.client().list().unwrap().len(), 64);
}

#[test]
fn the_glass_is_broken_by_whom_the_kernel_says() {
    let world = World::new();
    let mut client = world.client();
    let long = std::time::Duration::from_secs(600);
    let me = local(rustix::process::getuid().as_raw());
    let until = client.break_glass(long, "the fire".to_owned()).unwrap();
    assert_eq!(until, format!("later, for the fire of {me}"));
    let refused = client.break_glass(long * 2, "the fire".to_owned()).unwrap_err();
    assert!(matches!(&refused, BreakError::Refused(_)), "{refused}");
    assert_eq!(refused.to_string(), "the glass stays whole: at most 10m");
}
