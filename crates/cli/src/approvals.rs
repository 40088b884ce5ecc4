//! `remit approvals`: the open questions of all running sessions, from
//! another terminal, and what yeses left behind.

mod kept;

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use remit_approvals::wire::{AnswerError, BreakError, Client, ClientError, Outcome};
use remit_approvals::words::{lookalikes, plain};
use remit_approvals::{NotOpen, Posed, QuestionId};
use remit_policy::Choice;
use remit_supervisor::Places;
use remit_supervisor::answers::AnswersError;
use remit_supervisor::reviews::ReviewError;

pub(crate) use kept::reminder;

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// Show the open questions
    List {
        /// As one JSON array, for programs
        #[arg(long)]
        json: bool,
    },
    /// Answer a question
    Answer {
        /// The question, as listed: SESSION/N, or N alone if only one session has it
        id: String,
        #[command(flatten)]
        choice: ChoiceArgs,
        /// Words: to the agent with a no, the reason with a yes
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Show the yeses for projects that were written down
    Rules {
        /// As one JSON array, for programs
        #[arg(long)]
        json: bool,
    },
    /// Take a yes for a project back
    Forget {
        /// Its number, as `remit approvals rules` shows it
        number: u32,
    },
    /// Lift the limits on answers for a while, where policy permits it
    ///
    /// It never lifts what a rule forbids. It is written down, said aloud, and has to be
    /// reviewed.
    BreakGlass {
        /// The session, as `remit approvals list` or `remit log list` shows it
        session: String,
        /// For how long, such as `10m`
        #[arg(long = "for", value_name = "TIME", value_parser = kept::length)]
        length: Duration,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show the times that the glass was broken and that nobody has reviewed
    Reviews {
        /// Those that were reviewed as well
        #[arg(long)]
        all: bool,
        /// As one JSON array, for programs
        #[arg(long)]
        json: bool,
    },
    /// Close the review of a time that the glass was broken
    Review {
        /// The review, as listed
        id: String,
        /// What was done, and whether that was right
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ChoiceArgs {
    /// Yes, this one time
    #[arg(long)]
    once: bool,
    /// Yes, and the same again until the session ends
    #[arg(long)]
    session: bool,
    /// Yes, and this host on every port until the session ends
    #[arg(long)]
    host: bool,
    /// Yes, and every host of this domain until the session ends
    #[arg(long)]
    domain: bool,
    /// Yes, and what the proposed rule covers, in this project
    #[arg(long)]
    project: bool,
    /// No
    #[arg(long)]
    refuse: bool,
    /// No, and end the session
    #[arg(long)]
    stop: bool,
}

/// Listing or answering failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApprovalsError {
    #[error("cannot read the sessions in `{}`", path.display())]
    Sessions { path: PathBuf, source: io::Error },
    #[error("`{}` is not a question; `remit approvals list` shows them as SESSION/N", plain(text))]
    NotAnId { text: String },
    #[error(
        "no running session has a question `{}`; `remit approvals list` shows what is open",
        plain(text)
    )]
    NoQuestion { text: String },
    #[error("more than one session has a question {number}; say which: {}", ids.join(" or "))]
    Ambiguous { number: QuestionId, ids: Vec<String> },
    #[error("your answer came too late")]
    TooLate { source: NotOpen },
    #[error("the question is still open, and does not take this answer")]
    NotOffered { source: NotOpen },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(
        "no running session is called `{}`; `remit log list` shows their names",
        plain(session)
    )]
    NoSession { session: String },
    #[error(transparent)]
    Break(#[from] BreakError),
    #[error(transparent)]
    Answers(#[from] AnswersError),
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("cannot write the list")]
    Write { source: io::Error },
}

/// Lists or answers, or looks after what yeses left behind.
pub(crate) fn run(command: ApprovalsCommand, places: &Places) -> Result<ExitCode, ApprovalsError> {
    let state = places.state.as_path();
    let said = match command {
        ApprovalsCommand::List { json } => {
            list(state, json, &mut io::stdout().lock())?;
            return Ok(ExitCode::SUCCESS);
        }
        ApprovalsCommand::Rules { json } => return print(&kept::rules(places, json)?),
        ApprovalsCommand::Reviews { all, json } => {
            return print(&kept::reviews(places, all, json)?);
        }
        ApprovalsCommand::Answer { id, choice, note } => {
            let choice = choice.chosen();
            let (id, outcome) = answer(state, &id, choice, note)?;
            match outcome {
                Outcome::Decided => format!("{id}: {choice}."),
                Outcome::Waits { more } => format!("{id}: heard; {more} more must agree."),
            }
        }
        ApprovalsCommand::Forget { number } => kept::forget(places, number)?,
        ApprovalsCommand::BreakGlass { session, length, reason } => {
            kept::break_glass(places, &session, length, reason)?
        }
        ApprovalsCommand::Review { id, note } => kept::review(places, &id, &note)?,
    };
    // Telling is a courtesy; it is done already.
    let _ = writeln!(io::stderr(), "{said}");
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> Result<ExitCode, ApprovalsError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever listened has heard enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => {
            written.map_err(|source| ApprovalsError::Write { source }).map(|()| ExitCode::SUCCESS)
        }
    }
}

impl ChoiceArgs {
    fn chosen(&self) -> Choice {
        // Clap demands exactly one of them.
        let yeses = [
            (self.once, Choice::Once),
            (self.session, Choice::Session),
            (self.host, Choice::Host),
            (self.domain, Choice::Domain),
            (self.project, Choice::Project),
            (self.stop, Choice::Stop),
        ];
        yeses.into_iter().find(|(given, _)| *given).map_or(Choice::Refuse, |(_, choice)| choice)
    }
}

fn list(state: &Path, json: bool, out: &mut dyn Write) -> Result<(), ApprovalsError> {
    let mut questions = Vec::new();
    for session in sessions(state)? {
        questions.extend(ask(&session)?);
    }
    questions.sort_by(|a, b| (&a.posed_at, a.id).cmp(&(&b.posed_at, b.id)));
    let text = if json {
        let rows: Vec<serde_json::Value> = questions.iter().map(row).collect();
        format!("{:#}\n", serde_json::Value::from(rows))
    } else if questions.is_empty() {
        let _ = writeln!(io::stderr(), "No question is open.");
        String::new()
    } else {
        let _ = writeln!(io::stderr(), "{}", hint(&questions[0]));
        questions.iter().map(describe).collect::<Vec<_>>().join("\n")
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever listened has heard enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|source| ApprovalsError::Write { source }),
    }
}

/// A question as JSON: as the session has it, with the name to answer it by.
fn row(posed: &Posed) -> serde_json::Value {
    let details: serde_json::Map<_, _> =
        posed.details.iter().map(|(label, value)| (label.clone(), value.as_str().into())).collect();
    serde_json::json!({
        "id": name(posed),
        "session": posed.session,
        "number": posed.id,
        "kind": posed.kind,
        "summary": posed.summary,
        "details": details,
        "basis": posed.basis,
        "choices": posed.choices,
        "people": posed.people,
        "agreed": posed.agreed,
        "reason": posed.reason,
        "findings": posed.findings,
        "needs_a_person": posed.needs_a_person,
        "proposal": posed.proposal,
        "digest": posed.digest,
        "expires_at": posed.expires_at,
        "posed_at": posed.posed_at,
    })
}

/// A question for a person: the name, the summary in full, then one fact a
/// line. Everything is escaped.
fn describe(posed: &Posed) -> String {
    let mut text = format!("{}  {}\n", plain(&name(posed)), plain(&posed.summary));
    let mut fact = |label: &str, value: &str| {
        let _ = writeln!(text, "    {:9} {}", plain(label), plain(value));
    };
    let texts = posed.details.iter().map(|(_, value)| value).chain([&posed.summary]);
    if let Some(letters) = lookalikes(&texts.map(String::as_str).collect::<String>()) {
        fact("letters", &letters);
    }
    fact("rule", &posed.basis.to_string());
    if let Some(why) = &posed.basis.justification {
        fact("because", why);
    }
    for (label, value) in &posed.details {
        fact(label, value);
    }
    for finding in &posed.findings {
        fact("known", &finding.reason);
    }
    if let Some(proposal) = &posed.proposal {
        fact("project", proposal);
    }
    if posed.people > 1 {
        let agreed = posed.agreed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let agreed = if agreed.is_empty() { "nobody yet".to_owned() } else { agreed };
        fact("people", &format!("{} must agree; {agreed}", posed.people));
    }
    if posed.reason {
        fact("reason", "a yes needs one: --note TEXT");
    }
    fact("asked", &posed.posed_at);
    text
}

fn hint(posed: &Posed) -> String {
    let ways: Vec<_> =
        posed.choices.iter().map(|choice| format!("`{}`", option(*choice))).collect();
    let name = plain(&name(posed));
    format!("Answer with `remit approvals answer {name}` and one of {}.\n", ways.join(", "))
}

fn option(choice: Choice) -> &'static str {
    match choice {
        Choice::Once => "--once",
        Choice::Session => "--session",
        Choice::Host => "--host",
        Choice::Domain => "--domain",
        Choice::Project => "--project",
        Choice::Refuse => "--refuse",
        Choice::Stop => "--stop",
    }
}

fn name(posed: &Posed) -> String {
    format!("{}/{}", posed.session, posed.id)
}

/// Answers the question that `text` names and returns its full name.
fn answer(
    state: &Path,
    text: &str,
    choice: Choice,
    note: Option<String>,
) -> Result<(String, Outcome), ApprovalsError> {
    let (session, number) = match text.rsplit_once('/') {
        Some((session, number)) => (Some(session), number),
        None => (None, text),
    };
    let not_an_id = || ApprovalsError::NotAnId { text: text.to_owned() };
    let number: QuestionId =
        number.parse::<u32>().ok().and_then(|n| n.try_into().ok()).ok_or_else(not_an_id)?;
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for socket in sessions(state)? {
        let named = |name: &str| session.is_none_or(|wanted| wanted == name);
        let Some(name) = session_of(&socket).filter(|name| named(name)) else {
            continue;
        };
        // A session that is named says itself what became of the question.
        if session.is_some() || ask(&socket)?.iter().any(|posed| posed.id == number) {
            found.push((format!("{name}/{number}"), socket));
        }
    }
    let nothing = || ApprovalsError::NoQuestion { text: text.to_owned() };
    if found.len() > 1 {
        let ids = found.iter().map(|(id, _)| plain(id)).collect();
        return Err(ApprovalsError::Ambiguous { number, ids });
    }
    let (id, socket) = found.pop().ok_or_else(nothing)?;
    let mut client = connect(&socket)?.ok_or_else(nothing)?;
    match client.answer(number, choice, note) {
        Ok(outcome) => Ok((plain(&id), outcome)),
        Err(AnswerError::NotOpen(NotOpen::Unknown { .. })) => Err(nothing()),
        Err(AnswerError::NotOpen(source)) if source.is_still_open() => {
            Err(ApprovalsError::NotOffered { source })
        }
        Err(AnswerError::NotOpen(source)) => Err(ApprovalsError::TooLate { source }),
        Err(AnswerError::Client(error)) => Err(error.into()),
    }
}

/// The questions of one session; none if it has ended.
fn ask(socket: &Path) -> Result<Vec<Posed>, ApprovalsError> {
    match connect(socket)? {
        // A session may end while we ask.
        Some(mut client) => match client.list() {
            Err(ClientError::Closed { .. }) => Ok(Vec::new()),
            listed => Ok(listed?),
        },
        None => Ok(Vec::new()),
    }
}

/// None if nobody listens: the session has ended.
fn connect(socket: &Path) -> Result<Option<Client>, ClientError> {
    match Client::connect(socket) {
        Err(ClientError::Connect { source, .. })
            if matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
        {
            Ok(None)
        }
        connected => connected.map(Some),
    }
}

/// The approval sockets of all sessions, running or not, oldest name first.
fn sessions(state: &Path) -> Result<Vec<PathBuf>, ApprovalsError> {
    let path = state.join("sessions");
    let error = |source| ApprovalsError::Sessions { path: path.clone(), source };
    let entries = match std::fs::read_dir(&path) {
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(error)?,
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let socket = entry.map_err(error)?.path().join("approvals.sock");
        if socket.symlink_metadata().is_ok() {
            sockets.push(socket);
        }
    }
    sockets.sort();
    Ok(sockets)
}

fn session_of(socket: &Path) -> Option<&str> {
    socket.parent()?.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::{Arc, Mutex};

    use remit_approvals::wire::{Desk, Server, serve};
    use remit_approvals::{Ask, Heard, Queue, Terms};
    use remit_policy::{Answer, Basis};

    use super::*;

    #[derive(Default)]
    struct Room(Mutex<Queue<()>>);

    impl Desk for Room {
        fn open(&self) -> Vec<Posed> {
            self.0.lock().unwrap().open().cloned().collect()
        }

        fn answer(&self, id: QuestionId, answer: Answer) -> Result<Outcome, NotOpen> {
            Ok(match self.0.lock().unwrap().answer(id, &answer)? {
                Heard::Decided { .. } => Outcome::Decided,
                Heard::Waits { more } => Outcome::Waits { more },
            })
        }
    }

    /// A state directory with running sessions; gone when dropped.
    struct World {
        state: PathBuf,
        servers: Vec<Server>,
    }

    impl World {
        fn new(name: &str) -> Self {
            let state =
                std::env::temp_dir().join(format!("remit-approvals-{name}-{}", std::process::id()));
            Self { state, servers: Vec::new() }
        }

        fn session(&mut self, session: &str, summaries: &[&str]) -> Arc<Room> {
            let room = Arc::new(Room::default());
            let choices = vec![Choice::Once, Choice::Session, Choice::Refuse];
            let terms = Terms { choices, people: 1, reason: false };
            for summary in summaries {
                let ask = Ask {
                    session: session.to_owned(),
                    kind: "exec".to_owned(),
                    summary: (*summary).to_owned(),
                    details: vec![("cwd".to_owned(), "/w".to_owned())],
                    basis: Basis::built_in("test"),
                    terms: terms.clone(),
                    in_break_glass: terms.clone(),
                    findings: Vec::new(),
                    needs_a_person: false,
                    proposal: None,
                    digest: String::new(),
                    expires_at: "2026-01-01T00:05:00Z".to_owned(),
                    posed_at: "2026-01-01T00:00:00Z".to_owned(),
                };
                room.0.lock().unwrap().pose(ask, ()).unwrap();
            }
            let dir = self.state.join("sessions").join(session);
            std::fs::create_dir_all(&dir).unwrap();
            let listener = UnixListener::bind(dir.join("approvals.sock")).unwrap();
            self.servers.push(serve(listener, room.clone()).unwrap());
            room
        }

        fn listed(&self, json: bool) -> String {
            let mut out = Vec::new();
            list(&self.state, json, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        }

        fn answer(&self, id: &str) -> Result<String, String> {
            let answered = answer(&self.state, id, Choice::Refuse, None);
            answered.map(|(id, _)| id).map_err(|error| error.to_string())
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.state);
        }
    }

    #[test]
    fn questions_of_all_running_sessions_are_listed_and_ended_ones_are_silent() {
        let mut world = World::new("listed");
        assert_eq!(world.listed(true), "[]\n");
        world.session("ended", &["run `old`"]);
        world.servers.clear();
        world.session("s1", &["run `make`"]);
        world.session("s2", &["run `a\u{1b}[2J`", "run `c`"]);
        let listed = world.listed(false);
        for line in ["s1/1  run `make`", r"s2/1  run `a\u{1b}[2J`", "s2/2  run `c`", "cwd       /w"]
        {
            assert!(listed.contains(line), "{line}:\n{listed}");
        }
        assert!(!listed.contains("ended") && !listed.contains('\u{1b}'), "{listed}");
        let rows: serde_json::Value = serde_json::from_str(&world.listed(true)).unwrap();
        assert_eq!((&rows[0]["id"], &rows[0]["details"]["cwd"]), (&"s1/1".into(), &"/w".into()));
    }

    #[test]
    fn a_number_alone_works_where_only_one_session_has_it() {
        let mut world = World::new("numbers");
        let first = world.session("s1", &["run `a`"]);
        world.session("s2", &["run `b`", "run `c`"]);
        assert_eq!(world.answer("2").unwrap(), "s2/2");
        let ambiguous = world.answer("1").unwrap_err();
        assert!(ambiguous.ends_with("say which: s1/1 or s2/1"), "{ambiguous}");
        assert_eq!(world.answer("s1/1").unwrap(), "s1/1");
        assert_eq!(first.open().len(), 0);
        assert_eq!(world.answer("s1/1").unwrap_err(), "your answer came too late");
        world.session("s4", &["run `d`"]);
        let wrong = answer(&world.state, "s4/1", Choice::Domain, None).unwrap_err().to_string();
        assert_eq!(wrong, "the question is still open, and does not take this answer");
        assert_eq!(world.answer("s4/1").unwrap(), "s4/1");
        for none in ["9", "s1/9", "s3/1"] {
            assert!(world.answer(none).unwrap_err().starts_with("no running session"), "{none}");
        }
        for bad in ["", "0", "s1/", "s1/0", "s1/x", "-1", "99999999999"] {
            assert!(world.answer(bad).unwrap_err().contains("is not a question"), "{bad}");
        }
    }
}
