use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use remit_audit::{Record, Sync};
use remit_policy::{Connect, Verdict};
use tempfile::TempDir;

use super::*;
use crate::desk::Questions;
use crate::journal::Journal;

/// A session's files, and who follows them.
struct Session {
    folder: TempDir,
    live: Live,
}

/// A gate with a record below a directory.
pub(super) fn gate(state: &Path, policy: Policy) -> Arc<Gate> {
    let session = crate::session::session_id().expect("a name");
    let record = Record::create(state, session, Sync::Grouped).expect("a record");
    let (journal, questions) =
        (Journal::new(record), Questions::new(false, crate::desk::Elsewhere::default()));
    Arc::new(Gate::new(policy, Arc::default(), journal, questions, session.to_string()))
}

impl Session {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let at = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(&path).expect("a directory");
            path.canonicalize().expect("its name")
        };
        let home = at("home");
        let places = Places {
            config: at("home/.config/remit"),
            state: at("home/.local/state/remit"),
            system: folder.path().join("etc/remit"),
            home: home.clone(),
        };
        let place = Place { home, workspace: at("home/work") };
        let needs = AgentNeeds::default();
        let purpose = Purpose { profile: None, needs, place, hooks: Vec::new() };
        let gate = gate(&places.state, purpose.compile(&[]).expect("a policy"));
        let bindings = Bindings::default();
        let source = Source { places, purpose, texts: Vec::new(), bindings };
        let live = Live::new(&gate, source, true);
        Self { folder, live }
    }

    fn config(&self) -> PathBuf {
        self.live.source.places.config.join("config.toml")
    }

    fn write(&mut self, text: &str) -> bool {
        fs::write(self.config(), text).expect("a file");
        self.live.follow()
    }

    /// What is said about `api.example:443`: `allow`, `ask` or `refuse`.
    fn verdict(&self) -> &'static str {
        let connect = Connect::parse("api.example:443").expect("a connection");
        match self.live.gate.judge(connect) {
            Verdict::Allow(_) => "allow",
            Verdict::Ask(_) => "ask",
            Verdict::Refuse(_) => "refuse",
        }
    }

    /// Lines of the record that have this in them.
    fn recorded(&self, needle: &str) -> Vec<String> {
        let sessions = self.live.source.places.state.join("sessions");
        let session = fs::read_dir(sessions).expect("sessions").flatten().next().expect("one");
        let text = fs::read_to_string(session.path().join("record.jsonl")).expect("a record");
        text.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
    }
}

const ALLOW: &str = "[network]\nallow = [\"api.example:443\"]\n";
const DENY: &str = "[network]\ndeny = [\"api.example\"]\n";

#[test]
fn a_change_is_written_down_and_then_holds() {
    let mut session = Session::new();
    let before = session.verdict();
    assert!(session.live.follow());
    assert!(session.recorded("policy_changed").is_empty(), "nothing was changed");
    for (text, expected) in [(ALLOW, "allow"), (DENY, "refuse"), ("", before)] {
        assert!(session.write(text));
        assert_eq!(session.verdict(), expected, "{text}");
    }
    session.write(ALLOW);
    fs::remove_file(session.config()).expect("it was there");
    assert!(session.live.follow());
    assert_eq!(session.verdict(), before, "a file that is gone says nothing");
    let events = session.recorded("policy_changed");
    assert_eq!(events.len(), 5);
    let now = digest(&session.live.gate.policy());
    assert!(events[4].contains(&format!("\"to\":\"{now}\"")), "{}", events[4]);
    assert!(events[0].contains(&format!("\"from\":\"{now}\"")), "{}", events[0]);
    assert!(events[0].contains("config.toml"), "{}", events[0]);
    assert!(session.live.unsaid.is_empty(), "{:?}", session.live.unsaid);
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_told_once() {
    let mut session = Session::new();
    session.write(DENY);
    let config = session.config();
    let mut check = |make: &dyn Fn(), words: &str, is_final: bool| {
        let before = session.recorded("degraded").len();
        fs::remove_file(&config).or_else(|_| fs::remove_dir(&config)).expect("it was there");
        make();
        assert_eq!(session.live.follow(), is_final, "{words}");
        session.live.follow();
        assert_eq!(session.verdict(), "refuse", "{words}");
        let told = session.recorded("degraded").split_off(before);
        assert!(matches!(&told[..], [one] if one.contains(words)), "{words}: {told:?}");
        let said = std::mem::take(&mut session.live.unsaid);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(words), "{said:?}");
        fs::remove_file(&config).or_else(|_| fs::remove_dir(&config)).expect("it was there");
        fs::write(&config, DENY).expect("a file");
        assert!(session.live.follow(), "what is well again is in force as it was");
    };
    let workspace = config.ancestors().nth(3).expect("the home").join("work");
    check(&|| fs::write(&config, "[network]\nalow = []\n").expect("a file"), "alow", true);
    check(&|| fs::write(&config, "[network\n").expect("a file"), "line 1", true);
    check(&|| fs::write(&config, vec![b'#'; 2 << 20]).expect("a file"), "larger than 1 MiB", false);
    check(&|| fs::write(&config, b"\xff").expect("a file"), "not UTF-8", false);
    check(&|| fs::create_dir(&config).expect("a directory"), "not a regular file", false);
    let pipe = || {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &config, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe");
    };
    check(&pipe, "not a regular file", false);
    check(&|| symlink("/nowhere/at/all", &config).expect("a link"), "cannot read policy", false);
    check(&|| symlink("/dev/zero", &config).expect("a link"), "not a regular file", false);
    // What the agent can write is nobody's policy, by whatever way it came there.
    let theirs = workspace.join("theirs.toml");
    fs::write(&theirs, ALLOW).expect("a file");
    check(&|| symlink(&theirs, &config).expect("a link"), "which the agent may write to", true);
}

#[test]
fn a_project_narrows_and_no_more() {
    let mut session = Session::new();
    session.write(ALLOW);
    let project = session.live.source.purpose.place.workspace.join(".remit");
    fs::create_dir_all(project.join("rules")).expect("a directory");
    fs::write(project.join("config.toml"), DENY).expect("a file");
    session.live.follow();
    assert_eq!(session.verdict(), "refuse");
    fs::write(project.join("config.toml"), ALLOW).expect("a file");
    session.write("");
    assert_ne!(session.verdict(), "allow", "it opens nothing");
}

#[test]
fn what_holds_from_the_next_session_on_is_said_once() {
    let mut session = Session::new();
    let check = |session: &mut Session, text: &str, later: &str, says: usize| {
        assert!(session.write(text));
        let events = session.recorded("policy_changed");
        let last = events.last().expect("an event");
        assert!(last.contains(&format!("\"later\":[{later}]")), "{text}: {last}");
        assert_eq!(std::mem::take(&mut session.live.unsaid).len(), says, "{text}");
    };
    check(&mut session, "# a remark\n", "", 0);
    check(&mut session, "[sandbox]\nhide = [\"~/private\"]\n", "\"sandbox\"", 1);
    check(&mut session, "\n[sandbox]\nhide = [\"~/private\"]\n", "\"sandbox\"", 0);
    check(&mut session, "[sandbox]\nenvironment = [\"MINE\"]\n", "\"sandbox.environment\"", 1);
    check(&mut session, "[limits]\nprocesses = 50\n", "\"limits\"", 1);
    check(&mut session, "[record]\nsync = \"always\"\n", "\"record\"", 1);
    check(&mut session, "[network]\ninspect = [\"api.example\"]\n", "\"network.inspect\"", 1);
    check(&mut session, "[approvals]\npatience = \"1m\"\n", "", 0);
    let patience = session.live.gate.policy().approvals().patience;
    assert_eq!(patience, Duration::from_secs(60), "it holds at once");
}

#[test]
fn looks_differ_when_files_do() {
    let session = Session::new();
    let config = session.config();
    let rules = session.live.source.places.config.join("rules");
    let mut last = session.live.look();
    assert_eq!(last, session.live.look());
    let mut check = |what: &str, change: &dyn Fn()| {
        // A change within one tick of the kernel's clock need not show.
        std::thread::sleep(Duration::from_millis(20));
        change();
        let look = session.live.look();
        assert_ne!(look, last, "{what}");
        last = look;
    };
    check("made", &|| fs::write(&config, "# one").expect("a file"));
    check("written with the same length", &|| fs::write(&config, "# two").expect("a file"));
    check("given an older time", &|| {
        let file = fs::File::open(&config).expect("the file");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
    });
    check("replaced", &|| {
        let draft = session.folder.path().join("draft");
        fs::write(&draft, "# two").expect("a file");
        fs::rename(draft, &config).expect("a move");
    });
    check("a directory of rules", &|| fs::create_dir(&rules).expect("a directory"));
    check("rules", &|| fs::write(rules.join("a.rules"), "").expect("a file"));
    check("other rules", &|| fs::write(rules.join("a.rules"), "#").expect("a file"));
    check("gone", &|| fs::remove_file(&config).expect("it was there"));
    check("a link", &|| symlink(rules.join("a.rules"), &config).expect("a link"));
    check("where it leads", &|| fs::write(rules.join("a.rules"), "##").expect("a file"));
}

fn names() -> Names {
    Names::new(remit_proxy::Ranges {
        gateway: [198, 18, 0, 1].into(),
        prefix: 15,
        gateway6: "fd72:656d:6974::1".parse().expect("an address"),
    })
}

#[test]
fn many_names_that_nobody_uses_are_written_down_once() {
    let mut session = Session::new();
    let names = names();
    for number in 0..=2000 {
        let name = remit_policy::HostName::parse(&format!("x{number}.example")).expect("a name");
        let (v4, _) = names.addresses(&name).expect("an address");
        if number % 2 == 0 {
            names.host(v4.into());
        }
        session.live.count(&names);
    }
    assert!(session.recorded("lookups").is_empty(), "half of them were used");
    for number in 3000..3010 {
        let name = remit_policy::HostName::parse(&format!("x{number}.example")).expect("a name");
        names.addresses(&name).expect("an address");
        session.live.count(&names);
    }
    let events = session.recorded("lookups");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("\"distinct\":2002,\"connected\":1001"), "{}", events[0]);
}

#[test]
fn a_file_that_is_being_written_is_not_read() {
    let mut session = Session::new();
    let (stop, stopped) = std::sync::mpsc::channel();
    let names = names();
    let config = session.config();
    fs::write(&config, DENY).expect("a file");
    let gate = Arc::clone(&session.live.gate);
    let (live, names) = (&mut session.live, &names);
    std::thread::scope(|scope| {
        scope.spawn(move || live.watch(names, &stopped));
        let denies = || {
            let connect = Connect::parse("api.example:443").expect("a connection");
            matches!(gate.judge(connect), Verdict::Refuse(_))
        };
        let began = std::time::Instant::now();
        while !denies() {
            assert!(began.elapsed() < Duration::from_secs(5), "it is never read");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Emptied again and again, and written each time a little later.
        for _ in 0..40 {
            fs::write(&config, "").expect("a file");
            std::thread::sleep(Duration::from_millis(20));
            assert!(denies(), "the empty file was taken for a policy");
            fs::write(&config, DENY).expect("a file");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(stop);
    });
}
